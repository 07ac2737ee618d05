#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/security-boundary.md: every ecall and ocall of abi/boundary.h with what the host can do with it, what stops it and which
test shows that, from abi/boundary_trust.def. A call without a row, a row without a call, and a test or a case of it that is not there are errors.

usage: boundary_doc.py [--check FILE | --output FILE]
"""
import argparse
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CALL = re.compile(r'^\s*([EO])\((\w+),\s*(\d+),[\s\\]*((?:"(?:[^"\\]|\\.)*"[\s\\]*)+)\)', re.MULTILINE)
ROW = re.compile(r"^T\((ECALL|OCALL), (\w+),((?:\s*\"(?:[^\"\\]|\\.)*\",?)+)\)$", re.MULTILINE)
START = re.compile(r"^T\(", re.MULTILINE)
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


def texts(source):
    return [s.replace('\\"', '"') for s in STRING.findall(source)]


def read_calls(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    return {("ECALL" if m[1] == "E" else "OCALL", m[2]): "".join(texts(m[4])) for m in CALL.finditer(text)}


def read_rows(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    rows = {}
    for start in START.finditer(text):
        m = ROW.match(text, start.start())
        cells = texts(m[3]) if m else []
        if len(cells) != 3:
            sys.exit(f"{path}:{text.count(chr(10), 0, start.start()) + 1}: not T(kind, NAME, \"can\", \"stops\", \"tests\")")
        rows[m[1], m[2]] = cells
    return rows


# What stands where a case of such a file is: a case that is renamed, or goes, leaves a gap in the table.
CASES = [
    (r"hostile/plans\.c", r'^    \{"%s", "'),
    (r"hostile/hostile\.py", r'^    "%s": Case\('),
    (r".*\.bats", r'^@test "(\w+: )?%s\b'),
    (r"fuzz/.*", r"\b%s\("),
    (r"libos/.*", r"^    RUN\(%s\);"),
    (r"unit/.*", r"(cmocka_unit_test\w*|TEST|EMULATED)\(%s\b|^ +%s\(\);"),
    (r"unit/libos_boot/host\.c", r'"%s'),
]
# One program that is one claim, or compares with a model: its cases have no names.
WHOLE = ["fuzz/libos_deployment.c", "fuzz/libos_threads.c", "unit/libos_boot/clock.c", "unit/libos_boot/self.c", "unit/libos_boot/threads.c", "unit/libos_mm/model.c"]


def check_test(call, test):
    """FILE:CASE with a case that is run, or FILE where cases have no names."""
    name, _, case = test.partition(":")
    path = os.path.join(TOP, "tests", name)
    if not os.path.exists(path):
        sys.exit(f"boundary_trust.def: {call}: there is no tests/{name}")
    if not case:
        if name not in WHOLE:
            sys.exit(f"boundary_trust.def: {call}: which case of tests/{name}?")
        return
    with open(path, encoding="utf-8") as f:
        text = f.read()
    forms = [form.replace("%s", re.escape(case)) for kind, form in CASES if re.fullmatch(kind, name)]
    if not any(re.search(form, text, re.MULTILINE) for form in forms):
        sys.exit(f"boundary_trust.def: {call}: tests/{name} has no case {case}")


def check_tests(key, tests):
    if tests != "none":
        for test in tests.split(", "):
            check_test(key[1], test)


def render(calls, rows):
    for key in calls:
        if key not in rows:
            sys.exit(f"abi/boundary_trust.def has no row for {key[0]} {key[1]}: say what the host can do with it and what stops it")
    for key in rows:
        if key not in calls:
            sys.exit(f"abi/boundary_trust.def: abi/boundary.h has no {key[0]} {key[1]}")
        check_tests(key, rows[key][2])
    lines = [
        "# The boundary, call by call",
        "",
        "Generated from `abi/boundary.h` and `abi/boundary_trust.def` by `abi/boundary_doc.py`: do not edit. "
        "`docs/security.md` has the whole model.",
    ]
    for kind, title in (("ECALL", "Ecalls: what the host may ask of the enclave"), ("OCALL", "Ocalls: what the enclave asks of the host")):
        lines += ["", f"## {title}", "", "| call | arguments | the host can | what stops it | tests |", "| --- | --- | --- | --- | --- |"]
        for key, arguments in calls.items():
            if key[0] == kind:
                can, stops, tests = rows[key]
                shown = ", ".join(f"`tests/{t}`" for t in tests.split(", ")) if tests != "none" else "none"
                lines.append(f"| {key[1]} | {arguments or 'none'} | {can} | {stops} | {shown} |")
    return "\n".join([*lines, ""])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--output")
    p.add_argument("--check")
    args = p.parse_args()
    page = render(read_calls(os.path.join(TOP, "abi/boundary.h")), read_rows(os.path.join(TOP, "abi/boundary_trust.def")))
    if args.check:
        with open(args.check, encoding="utf-8") as f:
            if f.read() != page:
                sys.exit(f"{args.check} is out of date: run abi/boundary_doc.py --output {args.check}")
    elif args.output:
        with open(args.output, "w", encoding="utf-8") as f:
            f.write(page)
    else:
        sys.stdout.write(page)


main()
