#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of docs/style.md that a line, an #include or a symbol shows. Exit 1 on any finding.

  style.py BUILD [FILE...]    only these files, when any are given (and no symbols then)

Each rule of lines is a row with one text that breaks it and one that keeps it. Both are tried at each start, so no rule
can go blind unseen. Rooms and what each may include: src/rooms. Symbols: the object files below BUILD.
"""
import collections
import fnmatch
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../src"))
from rooms import read_rooms, room_of  # noqa: E402: it stands beside the list that it reads

PRODUCT = ("src/*.[ch]", "libos/*.[ch]", "runtimes/*.[ch]", "abi/*.h", "include/*.h")
C = PRODUCT + ("tests/*.[ch]",)
HOST = ("src/*.c", "runtimes/*.c")
# What shells and images are tried with: programs as strangers write them.
STRANGERS = ("tests/images/*", "tests/k8s/*", "tests/vm/*")

def tracked(*patterns):
    return subprocess.check_output(["git", "ls-files", *patterns], text=True).split()


def blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def without_comments(text):
    """Comments as blanks; strings stay, so that messages can be read."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', lambda m: m[0] if m[0][0] == '"' else blank(m), text, flags=re.S)


def without_strings(text):
    return re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', lambda m: m[0][0] + " " * (len(m[0]) - 2) + m[0][0], text)


def nested_conditions(text):
    """A ?: in an arm of another, with parentheses around it or not."""
    levels = [False]  # in each open bracket: is there a ?: that has not ended?
    for m in re.finditer(r"[][?(){};,]", text):
        c = m[0]
        if c == "?":
            if levels[-1]:
                yield m.start()
            levels[-1] = True
        elif c == "(":
            call = re.search(r"[\w\])]\s*$", text[max(0, m.start() - 40):m.start()])
            levels.append(False if call else levels[-1])
        elif c in "[{":
            levels.append(False)
        elif c in "])}":
            if len(levels) > 1:
                levels.pop()
        if c in ";{},":
            levels[-1] = False


def upward_gotos(text):
    labels = {}
    for m in re.finditer(r"(?m)^(\})|^[ \t]*([a-z]\w*):[ \t]*$|\bgoto (\w+);", text):
        if m[1]:
            labels = {}
        elif m[2]:
            labels[m[2]] = m.start()
        elif m[3] in labels:
            yield m.start()


def breaks(rule, text):
    """Offsets where a text breaks a rule."""
    text = without_comments(text)
    if rule[0] != "messages":
        text = without_strings(text)
    return list(rule[2](text)) if callable(rule[2]) else [m.start() for m in re.finditer(rule[2], text)]


# Older places that a rule leaves out: nothing is added here, and what is mended goes.
NESTED = open("scripts/style-nested.txt", encoding="utf-8").read().split()
ALONE = """
tty_foreground_group host_refresh text_free mem_open mem_read_page mem_write_page g_mem_link_ops g_mem_special_ops mem_xattrs_free
vector_area_size saved_drop_shared loop_leave_outer socket_file process_exec vdso_address process_continue_locked
gramine_image_release signal_pending_locked signal_recalculate sys_fchmodat2 dcache_insert fd_install_at pipe_create runtime_event
""".split()

# What a message may begin with: names, and sentences of runc that engines look for.
NAMES = "LibOS|Gramine|Occlum|OpenSSL|Cwd |Container cannot|Use --page-server|Invalid manage|Invalid port|File config.json"

# Rooms that are written in the one dialect of docs/style.md. Others follow, each as a whole.
DIALECT = tuple(f"src/{room}/*.c" for room in ("base", "cli", "container", "doctor", "image", "oci", "rune", "shim", "ttrpc"))
NULL_TESTS = DIALECT + tuple(f"src/{room}/*.c" for room in ("attest", "quoting", "ratls", "sgx", "tools", "enclave/bundle"))

# name, files, what is not to be found (a regular expression over the text without comments and strings' insides),
# what to do, a text that breaks the rule, one that keeps it
RULES = [
    ("banned calls", C, r"\b(strcpy|strcat|sprintf|vsprintf|strtok|alloca|system|atoi|gets)\(",
     "unbounded or unchecked: src/base, libos/lib and strtol() have others",
     "n = atoi(text);", "n = my_atoi(text); snprintf(a, b, c);"),
    ("descriptors close at exec", ("src/*.c",),
     r"(?<![\w.>])(open|openat|memfd_create|socket|socketpair|accept4|epoll_create1|eventfd|signalfd|timerfd_create|pipe2)"
     r"\((?![^;]*(CLOEXEC|flags))[^;]*;",
     "CLOEXEC is missing", "int fd = open(path, O_RDONLY);", "int fd = open(path, O_RDONLY | O_CLOEXEC);"),
    ("descriptors close at exec", ("src/*.c",), r"(?<![\w.>])(pipe|dup|epoll_create)\(",
     "pipe2(), fcntl(F_DUPFD_CLOEXEC), epoll_create1()", "int fd = dup(0);", "int fd = dup2(0, 1);"),
    ("NULL tests", NULL_TESTS, r"== NULL|!= NULL(?!;)", "!p, or p", "if (p == NULL)", "bool there = p != NULL; if (!p)"),
    ("a status is ret", DIALECT, r"\bint (rc|result|r)\b( =|;)", "call it ret", "int rc = f();", "int ret = f(); int root;"),
    ("limits by name", ("libos/*.c",), r"->rlimits\[\d+\]", "LIMIT_* of rlimit.h",
     "p->rlimits[7].soft", "p->rlimits[LIMIT_NOFILE].soft; h->rlimits[2 * i]; struct rlimit64 r[16];"),
    ("nested ?:", PRODUCT, nested_conditions, "if, or a table",
     "x = a ? b : c ? d : e;", "f(a ? b : c, d ? e : f); x = a[i ? 0 : 1] ? b : c;"),
    ("goto goes down", PRODUCT, upward_gotos, "a loop",
     "void f(void)\n{\nagain:\n    goto again;\n}\n", "void f(void)\n{\n    goto out;\nout:\n    return;\n}\n"),
    ("messages", HOST, r"\berror_(?:set|wrap|errno)\(err, (?:errno, |-?\w+, )?\"(?:(?!" + NAMES + r")[A-Z][a-z]|[^\"\n]*[^.]\.\")",
     "a message begins in lower case and has no full stop", 'error_set(err, "No such thing")', 'error_set(err, "no such thing")'),
]


def try_rules():
    for rule in RULES:
        if not breaks(rule, rule[4]) or breaks(rule, rule[5]):
            sys.exit(f"style.py: the rule \"{rule[0]}\" does not tell its own examples apart")


def matches(path, patterns):
    return any(fnmatch.fnmatch(path, p) for p in patterns)


def lines(paths):
    for path in paths:
        if matches(path, STRANGERS):
            continue
        text = open(path, encoding="utf-8").read()
        for rule in RULES:
            if matches(path, rule[1]) and not (rule[0] == "nested ?:" and path in NESTED):
                for at in breaks(rule, text):
                    number = text.count("\n", 0, at) + 1
                    if "NOLINT" not in "".join(text.splitlines()[number - 1:number + 1]):
                        yield f"{path}:{number}: {rule[0]}: {rule[3]}"
        head = text.split("\n", 2)
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in head[:2]):
            yield f"{path}:1: the SPDX line is missing"
        if path.endswith(".h") and "#pragma once" not in text and not re.search(r"/(trusted_names|table_\w+|calls|kinds)\.h$", path):
            yield f"{path}:1: #pragma once is missing"


def excuses():
    """Files whose excuse has outlived its reason."""
    rule = next(rule for rule in RULES if rule[0] == "nested ?:")
    for path in NESTED:
        if not os.path.exists(path) or not breaks(rule, open(path, encoding="utf-8").read()):
            yield f"scripts/style-nested.txt: {path} has no nested ?: any more"


# ---- src/: who may include what. The include paths keep most of it; doors bring their own includes along. ----

def includes(paths, rooms):
    below = set()
    for name, (uses, _) in rooms.items():
        for used in set(uses) - below:
            yield f"src/rooms: {name} uses {used}, which is not above it in the list"
        below.add(name)
    for path in paths:
        own = room_of(path.removeprefix("src/"), rooms) if path.startswith("src/") else None
        if own is None:
            continue
        if not own:
            yield f"{path}: is in no room of src/rooms"
            continue
        for number, line in enumerate(open(path, encoding="utf-8"), 1):
            header = re.match(r'#include "([^"]+)"', line)
            if not header or "/" not in header[1] or "../abi/" in header[1]:
                continue
            other = room_of(header[1], rooms)
            if other == own:
                continue
            if other not in rooms[own][0]:
                yield f"{path}:{number}: {own} does not use {other or header[1]} (src/rooms)"
            elif rooms[other][1] and os.path.basename(header[1]) not in rooms[other][1]:
                yield f"{path}:{number}: {header[1]} is no door of {other} (src/rooms)"


# ---- what is exported ----

def symbols(build):
    """Functions and data that are no file's own, though no other file names them."""
    objects = [os.path.join(d, f) for d, _, files in os.walk(build) for f in files if f.endswith(".o") and "/meson-" not in d]
    out = subprocess.run(["xargs", "nm", "-A", "-P", "-g"], input="\n".join(objects), capture_output=True, text=True).stdout
    homes, used = collections.defaultdict(set), set()
    for line in out.splitlines():
        place, name, kind = line.split()[:3]
        if kind in "TDBR":
            homes[name].add(place.rstrip(":"))
        elif kind in "Uvw":
            used.add(name)
    # Doors of libraries, assembly, and what a C library or a program's start looks for.
    known = ["main", "sbrk", "__sbrk", "__fprintf_chk"] + ALONE
    for path in tracked("include/*.h", "libos/*.S", "src/*.S", "runtimes/*.S"):
        known += re.findall(r"\w+", open(path, encoding="utf-8").read())
    used.update(known)
    for name, places in sorted(homes.items()):
        place = sorted(places)[0].removeprefix(build.rstrip("/") + "/")
        if name not in used and re.match(r"(src|libos|runtimes)/", place) and "meson-generated" not in place and ".S.o" not in place:
            yield f"{re.sub(r'/[^/]*[.]p/', ': ', place).removesuffix('.o')}: {name} is used in its own file only: make it static"


def main():
    build, only = sys.argv[1], sys.argv[2:]
    try_rules()
    paths = [p for p in tracked(*C) if not only or p in only]
    found = list(lines(paths)) + list(excuses()) + list(includes(paths, read_rooms("src")))
    if not only:
        found += symbols(build)
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
