#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rooms.py ROOMS OUTPUT [STAMP]: make OUTPUT/ROOM for each room that the file ROOMS lists, the include path of what is compiled there.

It holds links to the room's own headers, to the doors of the rooms that it uses, and to what these doors include. So the
header of a room that is not used, or one that is no door, is not found. Prints the rooms' names, or makes STAMP: the
build does so each time, for a header may be new.
"""
import os
import re
import sys


def read_rooms(source):
    """Name -> (rooms used, doors): from below."""
    rooms = {}
    with open(os.path.join(source, "rooms"), encoding="utf-8") as f:
        for line in f:
            line = line.split("#")[0].strip()
            if line:
                name, uses, doors = (part.split() for part in line.split("|"))
                rooms[name[0]] = (uses, doors)
    return rooms


def room_of(path, rooms):
    """The innermost room that a path below src/ stands in."""
    name = os.path.dirname(path)
    while name and name not in rooms:
        name = os.path.dirname(name)
    return name


def headers(source, room, rooms):
    """The headers of a room, sub-rooms left out, by their paths below src/."""
    for folder, _, files in os.walk(os.path.join(source, room)):
        for name in files:
            path = os.path.relpath(os.path.join(folder, name), source)
            if name.endswith((".h", ".inc", ".def")) and room_of(path, rooms) == room:
                yield path


def with_included(source, paths):
    """These headers, and what they include below src/."""
    todo, seen = list(paths), set()
    while todo:
        path = todo.pop()
        if path not in seen and os.path.exists(os.path.join(source, path)):
            seen.add(path)
            with open(os.path.join(source, path), encoding="utf-8") as f:
                todo += re.findall(r'(?m)^#include "([^"]+/[^"]+)"', f.read())
    return {path for path in seen if not path.startswith("..")}


def wanted(source):
    """Links by their paths below the output, and what they lead to."""
    rooms = read_rooms(source)
    doors = {name: [path for path in headers(source, name, rooms) if not named or os.path.basename(path) in named]
             for name, (_, named) in rooms.items()}
    # A header that says "../../abi/x.h" means this, from where it is found.
    links = {"abi": os.path.join(source, "../abi")}
    for name, (uses, _) in rooms.items():
        for path in set(headers(source, name, rooms)).union(*(with_included(source, doors[used]) for used in uses)):
            links[os.path.join(name.replace("/", "-"), path)] = os.path.join(source, path)
    return links


def present(output):
    links = {}
    for folder, folders, files in os.walk(output):
        for name in folders + files:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                links[os.path.relpath(path, output)] = os.readlink(path)
    return links


def main():
    source, output = os.path.dirname(os.path.abspath(sys.argv[1])), sys.argv[2]
    for name in read_rooms(source):
        os.makedirs(os.path.join(output, name.replace("/", "-")), exist_ok=True)
        if len(sys.argv) == 3:
            print(name)
    new, old = wanted(source), present(output)
    for path in old.items() - new.items():
        os.unlink(os.path.join(output, path[0]))
    for path, target in new.items() - old.items():
        os.makedirs(os.path.dirname(os.path.join(output, path)), exist_ok=True)
        os.symlink(target, os.path.join(output, path))
    if len(sys.argv) > 3 and not os.path.exists(sys.argv[3]):
        with open(sys.argv[3], "w", encoding="utf-8") as f:
            f.write("/* The links are there. */\n")


if __name__ == "__main__":
    main()
