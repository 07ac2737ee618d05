#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/syscalls.md from the tables of libos/calls and the list of system calls in <asm/unistd_64.h>.

usage: syscalls_doc.py [--check FILE | --output FILE] [--unistd HEADER] [TABLE...]
"""
import argparse
import os
import re
import sys

STRING = r'"((?:[^"\\]|\\.)*)"'
PARAMETER = re.compile(rf'\(\s*(\w+),\s*(\w+)(?:,\s*{STRING})?\s*\)')
ROWS = {  # name, then status or errno, then note, then parameters
    "CALL": re.compile(rf'CALL\((\w+),\s*(DONE|PARTIAL),\s*{STRING}((?:,\s*{PARAMETER.pattern})*)\)[ \t]*$', re.MULTILINE),
    "REFUSE": re.compile(rf'REFUSE\((\w+),\s*(E\w+),\s*{STRING}((?:,\s*{PARAMETER.pattern})*)\)[ \t]*$', re.MULTILINE),
}
START = re.compile(r"^(CALL|REFUSE)\(", re.MULTILINE)
KIND = re.compile(r"^KIND\((\w+), (\w+), \w+\)", re.MULTILINE)
TYPES = {"u32": "unsigned int", "u64": "unsigned long", "i64": "long"}
NUMBER = re.compile(r"^#define __NR_(\w+)\s+(\d+)\s*$")
HEADERS = ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h")


def read_kinds(path):
    with open(path, encoding="utf-8") as f:
        return dict(KIND.findall(f.read()))


def declare(kinds, kind, name, pointee):
    """A parameter as a manual page has it."""
    if kind not in kinds:
        sys.exit(f"{kind} is no kind of parameter: see libos/calls/kinds.h")
    c_type = TYPES.get(kinds[kind], kinds[kind])
    if c_type == "uaddr":
        const = "" if kind in ("out", "inout") else "const "
        c_type = const + (pointee or ("struct sockaddr" if kind == "sockaddr" else "char")) + " *"
    return c_type + ("" if c_type.endswith("*") else " ") + name


def read_tables(paths, kinds):
    calls = {}
    for path in paths:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for start in START.finditer(text):
            m = ROWS[start[1]].match(text, start.start())
            if not m:
                number = text.count("\n", 0, start.start()) + 1
                sys.exit(f"{path}:{number}: not a row: {text[start.start():].splitlines()[0]}")
            if m[1] in calls:
                sys.exit(f"{path}: {m[1]} is there twice")
            status, note = m[2].lower(), m[3].replace('\\"', '"')
            if start[1] == "REFUSE":
                status, note = "refused", m[2] + (": " + note if note else "")
            parameters = ", ".join(declare(kinds, *p) for p in PARAMETER.findall(m[4]))
            calls[m[1]] = (status, note, f"({parameters})")
    return calls


def read_numbers(*paths):
    numbers = {}
    for path in paths:
        with open(path, encoding="utf-8") as f:
            numbers.update({m[1]: int(m[2]) for m in map(NUMBER.match, f) if m})
    return numbers


def render(calls, numbers):
    # Numbers come and go with the header's version; those that only newer headers know would make the page differ by machine.
    known = {name: n for name, n in numbers.items() if n <= 462}
    unknown = sorted(set(calls) - set(numbers))
    if unknown:
        sys.exit("not system calls of x86-64: " + ", ".join(unknown))
    count = {"done": 0, "partial": 0, "refused": 0, "missing": 0}
    rows = []
    for name, n in sorted(known.items(), key=lambda item: item[1]):
        status, note, parameters = calls.get(name, ("missing", "", ""))
        count[status] += 1
        rows.append(f"| {n} | {name}{parameters} | {status} | {note} |")
    return "\n".join([
        "# System calls of the LibOS",
        "",
        "Generated from `libos/calls/table_*.h` by `libos/calls/syscalls_doc.py`: do not edit. A missing call returns ENOSYS and is "
        "logged once, by name. A refused one always returns its error.",
        "",
        f"{count['done']} done, {count['partial']} partial, {count['refused']} refused, {count['missing']} missing.",
        "",
        "| number | call | status | note |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
    ])


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser()
    p.add_argument("--output")
    p.add_argument("--check")
    p.add_argument("--unistd")
    p.add_argument("tables", nargs="*")
    args = p.parse_args()
    tables = args.tables or [os.path.join(here, f"table_{room}.h") for room in ("proc", "mm", "fs", "net")]
    header = args.unistd or next((h for h in HEADERS if os.path.exists(h)), None)
    if header is None:
        sys.exit("no <asm/unistd_64.h>: install linux-libc-dev")
    page = render(read_tables(tables, read_kinds(os.path.join(here, "kinds.h"))), read_numbers(header, os.path.join(here, "newer.h")))
    if args.check:
        with open(args.check, encoding="utf-8") as f:
            if f.read() != page:
                sys.exit(f"{args.check} is out of date: run libos/calls/syscalls_doc.py --output {args.check}")
    elif args.output:
        with open(args.output, "w", encoding="utf-8") as f:
            f.write(page)
    else:
        sys.stdout.write(page)


main()
