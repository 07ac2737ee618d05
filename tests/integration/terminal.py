#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The other end of a terminal, for tests.

  terminal.py recv SOCKET OUT CONTROL         be a --console-socket: take the pty's master from it
  terminal.py run OUT CONTROL -- COMMAND...   run COMMAND with a terminal of its own; exit as it does

What the terminal shows goes to the file OUT. CONTROL is a fifo that is made here; its lines are orders:
  send TEXT (with escapes of Python)   size ROWS COLUMNS   hangup
"""
import array
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import sys
import termios


def take_master(path):
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(1)
    server.settimeout(60)
    peer, _ = server.accept()
    _, ancillary, _, _ = peer.recvmsg(4096, socket.CMSG_SPACE(64))
    descriptors = array.array("i")
    for _, kind, data in ancillary:
        if kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return descriptors[0]


def obey(master, line):
    order, _, rest = line.partition(" ")
    if order == "send":
        os.write(master, rest.encode().decode("unicode_escape").encode("latin-1"))
    elif order == "size":
        rows, columns = map(int, rest.split())
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    elif order == "hangup":
        return False
    return True


def relay(master, out_path, control_path):
    control = os.open(control_path, os.O_RDWR | os.O_NONBLOCK)
    out = open(out_path, "ab", buffering=0)
    pending = b""
    while True:
        ready, _, _ = select.select([master, control], [], [])
        if master in ready:
            try:
                data = os.read(master, 65536)
            except OSError:  # EIO: the last user of the slave is gone
                data = b""
            if not data:
                return
            out.write(data)
        if control in ready:
            pending += os.read(control, 65536)
            *lines, pending = pending.split(b"\n")
            for line in lines:
                if not obey(master, line.decode()):
                    os.close(master)
                    return


def main():
    if sys.argv[1] == "recv":
        path, out, control = sys.argv[2:5]
        os.mkfifo(control)
        relay(take_master(path), out, control)
        return 0
    out, control = sys.argv[2:4]
    os.mkfifo(control)
    pid, master = pty.fork()
    if pid == 0:
        os.execvp(sys.argv[5], sys.argv[5:])
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    relay(master, out, control)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


sys.exit(main())
