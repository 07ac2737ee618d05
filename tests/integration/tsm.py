#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel's configfs-tsm, served over FUSE: tsm.py DIRECTORY CONTROL MAKER

A directory that is made in DIRECTORY has the kernel's attributes at once. What is written to inblob counts when the file is closed;
outblob is what `MAKER HEX LEVEL` prints then, auxblob what `MAKER aux` prints. The file CONTROL has the text of `provider` ("none": the
kernel has none) and perhaps a fault: errno=NAME of outblob, data (over other report data), generation (somebody else writes too).
Prints a line when it serves.
"""
import ctypes
import errno
import os
import stat
import struct
import subprocess
import sys

LOOKUP, FORGET, GETATTR, SETATTR, MKDIR, RMDIR, OPEN, READ, WRITE, RELEASE, FLUSH = 1, 2, 3, 4, 9, 11, 14, 15, 16, 18, 25
INIT, OPENDIR, READDIR, RELEASEDIR, ACCESS, DESTROY = 26, 27, 28, 29, 34, 38
NAMES = ["inblob", "outblob", "auxblob", "provider", "generation", "privlevel", "privlevel_floor"]
MODES = {"inblob": 0o200, "privlevel": 0o200}

directory, control, maker = sys.argv[1:]
root = os.path.realpath(directory)
fd = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"tsm", root.encode(), b"fuse.tsm", 0, f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()) < 0:
    sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
print("serves", flush=True)

entries, nodes = {}, {1: None}  # name -> entry; node -> entry, or (entry, attribute)
count = 1


def node_of(what):
    global count
    for node, other in nodes.items():
        if other == what:
            return node
    count += 1
    nodes[count] = what
    return count


def made(*arguments):
    return subprocess.run([maker, *arguments], check=True, stdout=subprocess.PIPE).stdout


def content(entry, name):
    state = entries[entry]
    if name == "outblob":
        if fault.startswith("errno="):
            raise OSError(getattr(errno, fault[6:]), "fault")
        if not state["inblob"]:
            raise OSError(errno.EINVAL, "no inblob")
        if fault == "generation":
            state["generation"] += 1
        data = b"\1" * 64 if fault == "data" else state["inblob"]
        return made(data.ljust(64, b"\0").hex(), state["privlevel"])
    if name == "auxblob":
        return made("aux")
    if name == "provider":
        return provider.encode() + b"\n"
    return b"%d\n" % (state["generation"] if name == "generation" else 1)


def attributes(node):
    what = nodes[node]
    mode = stat.S_IFREG | MODES.get(what[1], 0o400) if isinstance(what, tuple) else stat.S_IFDIR | 0o755
    return struct.pack("<QQQQQQIIIIIIIIII", node, 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def found(node):
    return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + attributes(node)


def answer(op, node, body):
    global provider, fault
    with open(control) as file:
        provider, fault = (file.read().split() + [""])[:2]
    what = nodes.get(node)
    name = body.split(b"\0")[0].decode(errors="replace") if op in (LOOKUP, RMDIR) else ""
    if op == INIT:
        return struct.pack("<IIIIHHIIHHII", 7, 31, 0, 0, 0, 0, 65536, 1, 0, 0, 0, 0) + bytes(24)
    if op == LOOKUP:
        if node == 1 and name in entries:
            return found(node_of(name))
        if isinstance(what, str) and name in NAMES and not (name == "auxblob" and provider == "tdx_guest"):
            return found(node_of((what, name)))
        raise OSError(errno.ENOENT, name)
    if op == MKDIR:
        if provider == "none":
            raise OSError(errno.ENXIO, "no provider")
        name = body[8:].split(b"\0")[0].decode()
        if name in entries:
            raise OSError(errno.EEXIST, name)
        entries[name] = {"inblob": b"", "generation": 7, "privlevel": "default", "pending": {}}
        return found(node_of(name))
    if op == RMDIR:
        del entries[name]
        return b""
    if op == GETATTR or op == SETATTR:
        return struct.pack("<QII", 0, 0, 0) + attributes(node)
    if op in (OPEN, OPENDIR):
        return struct.pack("<QII", 0, 1, 0)  # FOPEN_DIRECT_IO: no cache
    if op == READ:
        offset, size = struct.unpack_from("<QI", body, 8)
        state = entries[what[0]]
        if offset == 0:
            state["pending"][what[1]] = content(*what)
        return state["pending"][what[1]][offset:offset + size]
    if op == WRITE:
        offset, size = struct.unpack_from("<QI", body, 8)
        data, state = body[40:40 + size], entries[what[0]]
        if what[1] == "inblob" and offset + size > 64:
            raise OSError(errno.EINVAL, "too long")
        state["pending"][what[1]] = data
        if what[1] == "privlevel":
            state["privlevel"], state["generation"] = data.decode().strip(), state["generation"] + 1
        return struct.pack("<II", size, 0)
    if op == FLUSH and isinstance(what, tuple) and what[1] == "inblob":
        state = entries.get(what[0])
        if state and "inblob" in state["pending"]:
            state["inblob"], state["generation"] = state["pending"].pop("inblob"), state["generation"] + 1
        return b""
    if op == READDIR:
        return b""
    if op in (FLUSH, RELEASE, RELEASEDIR, ACCESS):
        return b""
    raise OSError(errno.ENOSYS, str(op))


while True:
    try:
        request = os.read(fd, 1 << 20)
    except OSError as error:
        if error.errno == errno.ENODEV:  # unmounted
            break
        raise
    size, op, unique, node = struct.unpack_from("<IIQQ", request)
    if op in (FORGET, 42, 36):  # forget, batch_forget, interrupt
        continue
    if op == DESTROY:
        break
    try:
        result, code = answer(op, node, request[40:]), 0
    except OSError as error:
        result, code = b"", error.errno
    try:
        os.write(fd, struct.pack("<IiQ", 16 + len(result), -code, unique) + result)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
