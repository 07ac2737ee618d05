#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/syscalls.md from the tables of libos/calls and the list of system calls in <asm/unistd_64.h>.

usage: syscalls_doc.py [--check FILE | --output FILE] [--unistd HEADER] [TABLE...]
"""
import argparse
import os
import re
import sys

ENTRY = re.compile(r'^S\((\w+),\s*(\w+),\s*(DONE|PARTIAL),\s*"((?:[^"\\]|\\.)*)"\)[ \t]*$', re.MULTILINE)
START = re.compile(r"^S\(", re.MULTILINE)
NUMBER = re.compile(r"^#define __NR_(\w+)\s+(\d+)\s*$")
HEADERS = ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h")


def read_tables(paths):
    calls = {}
    for path in paths:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for start in START.finditer(text):
            m = ENTRY.match(text, start.start())
            if not m:
                number = text.count("\n", 0, start.start()) + 1
                sys.exit(f"{path}:{number}: not an entry: {text[start.start():].splitlines()[0]}")
            if m[1] in calls:
                sys.exit(f"{path}: {m[1]} is there twice")
            calls[m[1]] = (m[3].lower(), m[4].replace('\\"', '"'))
    return calls


def read_numbers(path):
    with open(path, encoding="utf-8") as f:
        return {m[1]: int(m[2]) for m in map(NUMBER.match, f) if m}


def render(calls, numbers):
    # Numbers come and go with the header's version; those that only newer headers know would make the page differ by machine.
    known = {name: n for name, n in numbers.items() if n <= 450}
    unknown = sorted(set(calls) - set(numbers))
    if unknown:
        sys.exit("not system calls of x86-64: " + ", ".join(unknown))
    count = {"done": 0, "partial": 0, "missing": 0}
    rows = []
    for name, n in sorted(known.items(), key=lambda item: item[1]):
        status, note = calls.get(name, ("missing", ""))
        count[status] += 1
        rows.append(f"| {n} | {name} | {status} | {note} |")
    return "\n".join([
        "# System calls of the LibOS",
        "",
        "Generated from `libos/calls/table_*.h` by `libos/calls/syscalls_doc.py`: do not edit. A missing call returns ENOSYS and is "
        "logged once, by name.",
        "",
        f"{count['done']} done, {count['partial']} partial, {count['missing']} missing.",
        "",
        "| number | name | status | note |",
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
    page = render(read_tables(tables), read_numbers(header))
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
