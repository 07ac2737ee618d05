#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A host that skips rune's own checks: a request of its own straight to a container's agent (src/enclave/agent_wire.h).

  hostile-agent.py STATE-DIRECTORY exec [--MEMBER=NUMBER]... [--cwd DIR] [--env NAME=VALUE]... COMMAND [ARGUMENT]...
      what a frame EXEC can say: uid, gid, capabilities, flags; prints the answer
  hostile-agent.py STATE-DIRECTORY report BYTES
      a report over 512 bytes of TARGETINFO and BYTES more
"""
import array
import json
import os
import socket
import struct
import sys

EXEC, REPORT = 1, 6
NAMES = {100: "ok", 101: "error", 102: "started", 103: "exited"}


def connect(directory):
    os.chdir(directory)  # the path may be longer than sun_path
    agent = socket.socket(socket.AF_UNIX)
    agent.connect("agent.sock")
    return agent


def send(agent, kind, members, blob=b"", descriptors=()):
    text = json.dumps(members).encode() if members is not None else b""
    header = struct.pack("<IHHII", 0x41454E52, 1, kind, len(text), len(blob))
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    agent.sendmsg([header], ancillary)
    agent.sendall(text + blob)


def receive(agent):
    def exactly(size):
        data = b""
        while len(data) < size:
            piece = agent.recv(size - len(data))
            if not piece:
                sys.exit("the agent closed the connection")
            data += piece
        return data

    _, _, kind, json_size, blob_size = struct.unpack("<IHHII", exactly(16))
    text, blob = exactly(json_size), exactly(blob_size)
    return NAMES.get(kind, kind), json.loads(text) if text else {}, blob


def execute(agent, arguments):
    members = {"flags": 0, "uid": 0, "gid": 0, "umask": 0, "capabilities": 0}
    environment, directory = [], "/"
    while arguments and arguments[0].startswith("--"):
        name, _, value = arguments.pop(0)[2:].partition("=")
        if name == "env":
            environment.append(value)
        elif name == "cwd":
            directory = value
        else:
            members[name] = int(value, 0)
    members |= {"argc": len(arguments), "envc": len(environment), "groups": [], "rlimits": [2**62] * 32}
    blob = b"".join(os.fsencode(s) + b"\0" for s in [*arguments, *environment, directory])
    send(agent, EXEC, members, blob, [0, 1, 2])
    return receive(agent)


def main():
    directory, what, *arguments = sys.argv[1:]
    agent = connect(directory)
    if what == "report":
        send(agent, REPORT, {}, bytes(512) + arguments[0].encode())
        kind, members, blob = receive(agent)
        print(kind, members, blob.hex())
        return
    kind, members, _ = execute(agent, arguments)
    print(kind, members, flush=True)
    if kind == "started":
        print(*receive(agent)[:2])


main()
