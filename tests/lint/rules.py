#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Break each rule that `make lint` keeps, once, in a small tree of its own, and see lint name it. Prints TAP.

The tree has lint's own scripts and lists, and passes as it is. style.py and libos-floors.py are tried everywhere, the
whole of lint.sh where its tools are installed.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
GOOD_MESSAGE = "base: have one file\n\nSo that there is something to look at.\n"

KEPT = {
    "src/base/good.c": SPDX + '#include "base/good.h"\n\nint good(void)\n{\n    return 0;\n}\n',
    "src/base/good.h": SPDX + "#pragma once\nint good(void);\n",
    "src/oci/config.h": SPDX + "#pragma once\n",
    "src/oci/private.h": SPDX + "#pragma once\n",
    "src/rune/user.c": SPDX + '#include "base/good.h"\n#include "oci/config.h"\n\nint user(void)\n{\n    return good();\n}\n',
    "README.md": "`src/base/good.c` and [it](src/base/good.c).\n",
    "good.sh": "#!/bin/sh\necho good\n",
}

# What is wrong, the file, its text, what lint says: of style.py here, of lint.sh below.
STYLE = [
    ("a file without the SPDX line", "src/base/spdx.c", "int spdx_less;\n", "spdx.c:1: the SPDX line is missing"),
    ("a header without #pragma once", "src/base/once.h", SPDX, "once.h:1: #pragma once is missing"),
    ("a room that includes one it does not use", "src/base/up.c", SPDX + '#include "oci/config.h"\n', "base does not use oci"),
    ("a header that is no door", "src/rune/door.c", SPDX + '#include "oci/private.h"\n', "is no door of oci"),
    ("a file in no room", "src/nowhere/x.c", SPDX, "src/nowhere/x.c: is in no room"),
    ("an excuse for a nested ?: that is gone", "scripts/style-nested.txt", "src/base/good.c\n",
     "src/base/good.c has no nested"),
]
WHOLE = [
    ("clang-format", "src/base/format.c", SPDX + "int  format_of( void );\n", "format.c:2:4: error"),
    ("line length", "src/base/long.S", "/* SPDX-License-Identifier: Apache-2.0 " + "x" * 80 + " */\n", "long.S:1: longer than 100"),
    ("style (docs/style.md)", "src/base/banned.c", SPDX + "int n = atoi(text);\n", "banned.c:2: banned calls"),
    ("host memory", "libos/host/area.c", SPDX + "struct boundary_area *area;\n", "libos/host/area.c:2:struct boundary_area"),
    ("shellcheck", "bad.sh", "#!/bin/sh\nunused=1\n", "SC2034"),
    ("documents", "docs/a.md", "`src/base/none.c`\n", "docs/a.md: there is no src/base/none.c"),
    ("documents", "docs/b.md", "[it](none.md)\n", "docs/b.md: the link to none.md leads nowhere"),
    ("cppcheck", "src/base/check.c", SPDX + "int check(void)\n{\n    int a[2] = {0, 0};\n    return a[2];\n}\n", "arrayIndexOutOfBounds"),
    ("clang-tidy", "src/base/tidy.c", SPDX + "int tidy(int n)\n{\n    if (n)\n        ;\n    return sizeof(n) == sizeof(n);\n}\n", "tidy.c:6:.*misc-redundant|tidy.c:.*bugprone"),
]
UPWARD = ("a name that points up (docs/design/floors.md)", "lib -> heap: higher")

count = failed = 0


def claim(holds, what, output=""):
    global count, failed
    count += 1
    failed += not holds
    print(f"{'ok' if holds else 'not ok'} {count} - {what}")
    if not holds:
        print("\n".join("# " + line for line in output.splitlines()[-40:]))


class Tree:
    """A repository with lint's scripts, the files KEPT, and a build directory with the objects that lint reads."""

    def __init__(self, work, name):
        self.top = os.path.join(work, name)
        self.git("init", "--quiet", self.top, at=work)
        for path in ("scripts", ".clang-format", ".clang-tidy", "src/rooms", "src/rooms.py", "libos/meson.build"):
            target = os.path.join(self.top, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            copy = shutil.copytree if os.path.isdir(os.path.join(TOP, path)) else shutil.copy
            copy(os.path.join(TOP, path), target)
        self.write("scripts/style-nested.txt", "")
        for path, text in KEPT.items():
            self.write(path, text)
        self.commit(GOOD_MESSAGE)
        self.compile("empty.o", "static int x;")
        with open(os.path.join(self.top, "libos/meson.build"), encoding="utf-8") as f:
            for room in re.findall(r"^subdir\('(\w+)'\)", f.read(), re.M):
                if room != "calls":
                    folder = os.path.join(self.top, f"build/libos/liblibos_{room}.a.p")
                    os.makedirs(folder)
                    shutil.copy(os.path.join(self.top, "build/empty.o"), folder)
        self.compile("src/base/libbase.a.p/good.c.o", "int good(void) { return 0; }")
        self.compile("src/rune/rune.p/user.c.o", "int good(void); int main(void) { return good(); }")

    def git(self, *args, at=None):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *args], cwd=at or self.top, check=True)

    def write(self, path, text):
        target = os.path.join(self.top, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as f:
            f.write(text)

    def compile(self, path, text):
        target = os.path.join(self.top, "build", path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        subprocess.run(["cc", "-xc", "-w", "-c", "-o", target, "-"], input=text, text=True, check=True)

    def commit(self, message):
        with open(os.path.join(self.top, ".git/info/exclude"), "w", encoding="utf-8") as f:
            f.write("/build/\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)

    def run(self, *command):
        """Exit status and output."""
        self.git("add", "--all")
        done = subprocess.run(command, cwd=self.top, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout


def style_rules(tree):
    """A file for each of style.py's rules of lines, made of the text beside it that breaks it."""
    program = "import json, sys; sys.path.insert(0, 'scripts'); import style; print(json.dumps([[r[0], r[1][0], r[4]] for r in style.RULES]))"
    for i, (name, pattern, text) in enumerate(json.loads(tree.run("python3", "-c", program)[1])):
        path = pattern.replace("*", f"rule{i}" if pattern.count("/") > 1 else f"base/rule{i}").replace("[ch]", "c")
        yield f"{name} ({i})", path, SPDX + text + "\n", f"{path}:\\d+: {re.escape(name)}"


def try_style(work):
    tree = Tree(work, "style")
    status, output = tree.run("scripts/style.py", "build")
    claim(status == 0, "style.py finds nothing in a tidy tree", output)
    broken = STYLE + list(style_rules(tree))
    for _, path, text, _ in broken:
        tree.write(path, text)
    tree.compile("src/base/libbase.a.p/alone.c.o", "int used_by_nobody(void) { return 0; }")
    status, output = tree.run("scripts/style.py", "build")
    claim(status == 1, "style.py's exit status tells of findings", output)
    for what, _, _, expected in broken:
        claim(re.search(expected, output), f"style.py names {what}", output)
    claim("used_by_nobody is used in its own file only" in output, "style.py names what is exported for nobody", output)


def try_floors(work):
    tree = Tree(work, "floors")
    status, output = tree.run("scripts/libos-floors.py", "build")
    claim(status == 0, "libos-floors.py finds nothing in a tidy tree", output)
    point_up(tree)
    status, output = tree.run("scripts/libos-floors.py", "build")
    claim(status == 1 and UPWARD[1] in output, "libos-floors.py names what points up", output)


def point_up(tree):
    tree.compile("libos/liblibos_lib.a.p/low.c.o", "void higher(void); void low(void) { higher(); }")
    tree.compile("libos/liblibos_heap.a.p/high.c.o", "void low(void); void higher(void) { low(); }")


def try_include_paths(work):
    """A wrong #include does not even compile."""
    output = os.path.join(work, "visible")
    subprocess.run([os.path.join(TOP, "src/rooms.py"), os.path.join(TOP, "src/rooms"), output], check=True, stdout=subprocess.DEVNULL)

    def compiles(room, header):
        return subprocess.run(["cc", "-xc", "-fsyntax-only", "-D_GNU_SOURCE", "-I" + os.path.join(output, room), "-I" + os.path.join(TOP, "abi"),
                               "-I" + os.path.join(TOP, "include"), "-"], input=f'#include "{header}"\n', text=True,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0

    claim(compiles("container", "container/sequence.h") and compiles("enclave-bundle", "enclave/bundle/sites.h"),
          "a room finds its own headers")
    claim(compiles("rune", "container/container.h"), "a room finds the doors of rooms that it uses")
    claim(not compiles("rune", "container/sequence.h"), "a room does not find a header that is no door")
    claim(not compiles("container", "enclave/enclave.h"), "a room does not find a door of a room that it does not use")
    claim(not compiles("enclave", "enclave/bundle/sites.h"), "a room does not find what is private to the room in it")


def try_whole(work):
    def tell(tree):
        commands = [{"directory": tree.top, "file": os.path.join(tree.top, path), "output": path + ".o", "command": f"cc -I{tree.top}/src -c {path}"}
                    for path in subprocess.check_output(["git", "ls-files", "src/*.c"], cwd=tree.top, text=True).split()]
        tree.write("build/compile_commands.json", json.dumps(commands))

    tree = Tree(work, "whole")
    tell(tree)
    status, output = tree.run("scripts/lint.sh", "build")
    claim(status == 0, "lint.sh finds nothing in a tidy tree", output)
    for _, path, text, _ in WHOLE:
        tree.write(path, text)
    point_up(tree)
    tree.commit("Some changes.")
    tell(tree)
    status, output = tree.run("scripts/lint.sh", "build")
    claim(status == 1, "lint.sh's exit status tells of findings", output)
    for rule, path, _, expected in WHOLE:
        claim(f"{rule}: see above" in output and re.search(expected, output), f"lint.sh: {rule} finds {path}", output)
    claim(f"{UPWARD[0]}: see above" in output and UPWARD[1] in output, "lint.sh finds a name that points up", output)
    claim("commit message: see above" in output, "lint.sh finds a commit message without a room and a body", output)


def main():
    with tempfile.TemporaryDirectory() as work:
        try_style(work)
        try_floors(work)
        try_include_paths(work)
        missing = subprocess.run([os.path.join(TOP, "scripts/deps.sh"), "lint"], env={**os.environ, "NO_DEPS": "1"}, check=False,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
        if missing:
            print(f"ok {count + 1} - lint.sh # SKIP lint's tools are not installed: scripts/deps.sh lint")
        else:
            try_whole(work)
        print(f"1..{count + bool(missing)}")
    return 1 if failed else 0


sys.exit(main())
