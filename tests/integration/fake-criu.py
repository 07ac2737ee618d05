#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for `criu swrk FD`: tests what rune asks of CRIU, with CRIU's own protocol definition (package criu).

Appends every request to $FAKE_CRIU_LOG as a line of JSON, together with what its descriptors lead to, and answers as
criu does. $FAKE_CRIU_MODE is a list of words:
  old          claim version 2.9
  no-features  the kernel lacks memory tracking and userfaultfd
  fail         write an error to the log, refuse
  die          end in the middle of the request
  terminal     hand over the master of a terminal before the restored process starts
A dump kills the process it is told to dump unless it shall go on; a restore starts `sleep` as a sibling.
"""
import ctypes
import fcntl
import json
import os
import pty
import signal
import socket
import struct
import sys

sys.path.append("/usr/lib/python3/dist-packages")
from google.protobuf import json_format
from pycriu import rpc_pb2 as rpc

MODE = os.environ.get("FAKE_CRIU_MODE", "").split()
CLONE_PARENT = 0x8000
SYS_CLONE = 56
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS = 0x8913
IFF_UP = 1


def write_log(entry):
    with open(os.environ["FAKE_CRIU_LOG"], "a") as log:
        log.write(json.dumps(entry) + "\n")


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return None


def record(request, peer):
    entry = json_format.MessageToDict(request, preserving_proto_field_name=True)
    entry["cgroup"] = open("/proc/self/cgroup").read().splitlines()
    entry["stdio"] = [link(f"/proc/self/fd/{fd}") for fd in range(3)]
    entry["mounts"] = [line.split()[4] for line in open("/proc/self/mountinfo")]
    opts = entry.get("opts", {})
    for name in ("images_dir_fd", "work_dir_fd"):
        if name in opts:
            entry[name] = link(f"/proc/{peer}/fd/{opts[name]}")
    entry["inherited"] = {item["key"]: link(f"/proc/self/fd/{item['fd']}") for item in opts.get("inherit_fd", [])}
    write_log(entry)


class Peer:
    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        ids = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        self.pid = struct.unpack("3i", ids)[0]

    def receive(self):
        request = rpc.criu_req()
        data = self.socket.recv(1 << 16)
        if not data:
            sys.exit(1)
        request.ParseFromString(data)
        record(request, self.pid)
        return request

    def answer(self, response, fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        self.socket.sendmsg([response.SerializeToString()], ancillary)

    def notify(self, script, pid=0, fds=()):
        response = rpc.criu_resp(type=rpc.NOTIFY, success=True)
        response.notify.script = script
        if pid:
            response.notify.pid = pid
        self.answer(response, fds)
        request = self.receive()
        if request.type != rpc.NOTIFY or not request.notify_success:
            sys.exit(1)


def log_line(peer, opts, text):
    fd = opts.work_dir_fd if opts.HasField("work_dir_fd") else opts.images_dir_fd
    with open(f"/proc/{peer.pid}/fd/{fd}/{opts.log_file}", "w") as log:
        log.write(text)


def restored_process(slave):
    """What the restored init is for rune: a child of rune's, not of criu's."""
    libc = ctypes.CDLL(None)
    pid = libc.syscall(SYS_CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        if slave is not None:
            for fd in range(3):
                os.dup2(slave, fd)
            os.write(1, b"restored\n")
        os.closerange(3, 64)
        os.execvp("sleep", ["sleep", os.environ.get("FAKE_CRIU_SLEEP", "100")])
    return pid


def dump(peer, request):
    peer.notify("network-lock")
    if request.opts.lazy_pages:
        peer.notify("status-ready")
    if not request.opts.leave_running and request.type == rpc.DUMP:
        peer.notify("post-dump")
        os.kill(request.opts.pid, signal.SIGKILL)
    peer.answer(rpc.criu_resp(type=request.type, success=True))


def loopback_is_up():
    name = struct.pack("16sh14x", b"lo", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return bool(struct.unpack("16sh14x", fcntl.ioctl(s, SIOCGIFFLAGS, name))[1] & IFF_UP)


def restore(peer, request):
    slave = None
    # A new network namespace, as it is with an empty one of criu's.
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0 or loopback_is_up():
        sys.exit("no new network namespace")
    peer.notify("setup-namespaces", os.getpid())
    write_log({"type": "LOOPBACK", "up": loopback_is_up()})
    if "terminal" in MODE:
        master, slave = pty.openpty()
        peer.notify("orphan-pts-master", fds=[master])
        os.close(master)
    pid = restored_process(slave)
    peer.notify("post-restore", pid)
    peer.notify("network-unlock")
    response = rpc.criu_resp(type=rpc.RESTORE, success=True)
    response.restore.pid = pid
    peer.answer(response)


def main():
    if sys.argv[1] != "swrk":
        sys.exit(2)
    peer = Peer(int(sys.argv[2]))
    request = peer.receive()
    response = rpc.criu_resp(type=request.type, success=True)
    if request.type == rpc.VERSION:
        response.version.major_number, response.version.minor_number = (2, 9) if "old" in MODE else (3, 17)
        response.version.sublevel = 1
        peer.answer(response)
    elif request.type == rpc.FEATURE_CHECK:
        for name in ("mem_track", "lazy_pages"):
            if getattr(request.features, name):
                setattr(response.features, name, "no-features" not in MODE)
        peer.answer(response)
    elif "die" in MODE:
        os.kill(os.getpid(), signal.SIGKILL)
    elif "fail" in MODE:
        log_line(peer, request.opts, "(00.01) fine\n(00.02) Error (criu/fake.c:1): the first reason\n"
                                     "(00.03) Error (criu/fake.c:2): what followed\n")
        peer.answer(rpc.criu_resp(type=request.type, success=False, cr_errno=52))
        sys.exit(1)
    elif request.type in (rpc.DUMP, rpc.PRE_DUMP):
        dump(peer, request)
    else:
        restore(peer, request)
    # criu ends a pre-dump when nobody asks for another one.
    sys.exit(1 if request.type == rpc.PRE_DUMP else 0)


main()
