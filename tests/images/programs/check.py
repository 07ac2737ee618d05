#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What an ordinary Python program does: the output is the same in an ordinary container and in an enclave."""
import hashlib
import json
import os
import queue
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time


def files():
    with tempfile.TemporaryDirectory() as top:
        path = os.path.join(top, "data")
        with open(path, "wb") as f:
            for i in range(1000):
                f.write(struct.pack("<I", i * i))
        with open(path, "r+b") as f:
            f.seek(400)
            f.write(b"in place")
            f.seek(-4, os.SEEK_END)
            last = struct.unpack("<I", f.read())[0]
        st = os.stat(path)
        os.rename(path, path + ".moved")
        os.symlink("data.moved", os.path.join(top, "link"))
        os.mkdir(os.path.join(top, "sub"))
        os.link(path + ".moved", os.path.join(top, "sub", "hard"))
        with open(os.path.join(top, "link"), "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        names = sorted(os.path.relpath(os.path.join(d, n), top) for d, _, ns in os.walk(top) for n in ns)
        os.truncate(path + ".moved", 10)
        return {"size": st.st_size, "last": last, "digest": digest, "names": names,
                "links": os.stat(path + ".moved").st_nlink, "cut": os.path.getsize(os.path.join(top, "sub", "hard"))}


def image():
    with open("/usr/bin/python3", "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    return {"python3": digest, "etc": sorted(os.listdir("/etc")), "release": open("/etc/debian_version").read().strip()}


def threads():
    jobs, results, lock, total = queue.Queue(), queue.Queue(), threading.Lock(), [0]

    def work():
        while (n := jobs.get()) is not None:
            with lock:
                total[0] += n
            results.put(n * n)

    workers = [threading.Thread(target=work) for _ in range(6)]
    for w in workers:
        w.start()
    for n in range(500):
        jobs.put(n)
    for _ in workers:
        jobs.put(None)
    for w in workers:
        w.join()
    return {"sum": total[0], "squares": sum(results.get() for _ in range(500))}


def processes():
    text = "".join(f"line {i}\n" for i in range(20000))
    upper = subprocess.run(["tr", "a-z", "A-Z"], input=text, capture_output=True, text=True, check=True).stdout
    shell = subprocess.run("echo out; echo err >&2; exit 5", shell=True, capture_output=True, text=True)
    chain = subprocess.run("seq 1 1000 | grep 7 | sort -rn | head -3", shell=True, capture_output=True, text=True)
    sleeper = subprocess.Popen(["sleep", "60"])
    sleeper.send_signal(signal.SIGTERM)
    sleeper.wait(10)
    try:
        subprocess.run(["/no/such/program"])
        missing = "ran"
    except FileNotFoundError as e:
        missing = e.strerror
    child = os.fork()
    if child == 0:
        os._exit(len(os.environ.get("GREETING", "")))
    return {"upper": hashlib.sha256(upper.encode()).hexdigest(), "shell": [shell.returncode, shell.stdout, shell.stderr],
            "chain": chain.stdout.split(), "signal": sleeper.returncode, "missing": missing,
            "fork": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}


def network():
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]

    def serve():
        for _ in range(3):
            c, _ = server.accept()
            with c:
                while data := c.recv(65536):
                    c.sendall(data[::-1])

    t = threading.Thread(target=serve)
    t.start()
    answers = []
    for n in (1, 1000, 300000):
        with socket.create_connection(("127.0.0.1", port)) as c:
            message = bytes(i * 7 % 251 for i in range(n))
            sender = threading.Thread(target=lambda: (c.sendall(message), c.shutdown(socket.SHUT_WR)))
            sender.start()
            got = 0
            while data := c.recv(65536):
                got += len(data)
            sender.join()
            answers.append(got)
    t.join()
    server.close()
    a, b = socket.socketpair()
    poller = select.epoll()
    poller.register(a.fileno(), select.EPOLLIN)
    b.send(b"x")
    events = [e for _, e in poller.poll(5)]
    try:
        socket.create_connection(("127.0.0.1", port), 2)
        refused = "connected"
    except ConnectionRefusedError as e:
        refused = e.strerror
    return {"bytes": answers, "epoll": events, "refused": refused}


def clock():
    begin, wall = time.monotonic(), time.time()
    time.sleep(0.05)
    took = time.monotonic() - begin
    year = time.gmtime(wall).tm_year
    return {"slept": 0.05 <= took < 5, "wall": 0.04 < time.time() - wall < 5, "year": 2020 <= year < 2100}


def chance():
    random.seed(7)
    return {"seeded": [random.randrange(1000) for _ in range(5)], "urandom": len(set(os.urandom(16) for _ in range(100)))}


def main():
    result = {"arguments": sys.argv[1:], "greeting": os.environ.get("GREETING"), "cwd": os.getcwd(), "pid": os.getpid(),
              "uid": os.getuid()}
    for part in (files, image, threads, processes, network, clock, chance):
        result[part.__name__] = part()
    print(json.dumps(result, indent=1, sort_keys=True))
    sys.exit(3)


main()
