#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of docs/enclave.md from src/enclave/properties.def: what becomes of each property of config.json in an enclave. A property
that the parser in src/oci reads and that is in no row is an error.

usage: properties_doc.py [--check | --write]
"""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = os.path.join(TOP, "src/enclave/properties.def")
PAGE = os.path.join(TOP, "docs/enclave.md")
BEGIN, END = "<!-- properties: from src/enclave/properties.def -->\n", "<!-- end of properties -->\n"
PARSER = ["config.c", "process.c", "linux.c", "resources.c"]
ROW = re.compile(r'^P\(((?:"[^"]*"\s*)+),\s*(\w+),\s*(NULL|"[^"]*"),\s*((?:"[^"]*"\s*)+)\)', re.MULTILINE)
CALL = re.compile(r"\b(?:json_get_\w+|oci_get_\w+|fill_throttles|fill_time_offset|fill_set)\(((?:[^()\"]|\"[^\"]*\")*)\)")
WORDS = {"INSIDE": "inside", "OUTSIDE": "outside", "WARNED": "**no effect**, a warning", "REFUSED": "**refused**"}


def texts(source):
    return "".join(re.findall(r'"([^"]*)"', source))


def read_rows():
    with open(TABLE, encoding="utf-8") as f:
        text = f.read()
    rows = [(texts(m[1]), m[2], texts(m[4])) for m in ROW.finditer(text)]
    if len(rows) != len(re.findall(r"^P\(", text, re.MULTILINE)) or any(r[1] not in WORDS for r in rows):
        sys.exit("properties.def: a row that is not P(path, treatment, harmless, note)")
    return rows


def names_of(rows):
    names = set()
    for path, _, _ in rows:
        for part in re.split(r"[.\[\]]+(?![^{]*})", path):
            names.update(part.strip("{}").split(","))
    return names


def keys_of_parser():
    """The keys that the parser asks for: the last text of each call, and the tables of names."""
    keys = {}
    for name in PARSER:
        with open(os.path.join(TOP, "src/oci", name), encoding="utf-8") as f:
            text = f.read()
        for call in CALL.finditer(text):
            strings = re.findall(r'"([^"]*)"', call[1])
            if strings and re.fullmatch(r"[A-Za-z]\w*", strings[-1]):
                keys.setdefault(strings[-1], name)
        for table in re.finditer(r'\[OCI_(?:HOOK|NS)_\w+\] = "(\w+)"|\{"(\w+)", &', text):
            keys.setdefault(table[1] or table[2], name)
    return keys


def table_of(rows):
    lines = ["| property | in the enclave | |\n", "| --- | --- | --- |\n"]
    for path, treatment, note in rows:
        shown = path.replace(",", ", ")
        lines.append(f"| `{shown}` | {WORDS[treatment]} | {note} |\n")
    return "".join(lines)


def main():
    rows = read_rows()
    names = names_of(rows)
    missing = [f"src/oci/{where}: \"{key}\" is in no row of src/enclave/properties.def"
               for key, where in sorted(keys_of_parser().items()) if key not in names]
    if missing:
        sys.exit("\n".join(missing))
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    head, rest = page.split(BEGIN)
    wanted = head + BEGIN + table_of(rows) + END + rest.split(END)[1]
    if "--write" in sys.argv:
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(wanted)
    elif page != wanted:
        sys.exit("docs/enclave.md: the table of properties is not that of src/enclave/properties.def: scripts/properties_doc.py --write")


main()
