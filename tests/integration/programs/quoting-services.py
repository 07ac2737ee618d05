#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An aesmd and a PCCS for tests of rune doctor, which answer as the files DIR/aesmd and DIR/pccs say.

quoting-services.py SOCKET DIR [CERTIFICATE AND KEY]: the PCCS's port is written to DIR/port; with a certificate it speaks TLS.
"""
import os
import socket
import ssl
import struct
import sys
import threading
import time

path, directory = sys.argv[1:3]


def mode(name):
    return open(os.path.join(directory, name)).read().strip()


def field(number, data):
    """A length-delimited field of protobuf."""
    size, out = len(data), bytes([number << 3 | 2])
    while size > 127:
        out += bytes([size & 127 | 128])
        size >>= 7
    return out + bytes([size]) + data


def init_response(error, target):
    return field(15, bytes([8, error]) + (field(2, target) if target else b""))


def aesmd(c):
    how = mode("aesmd")
    c.recv(65536)
    answers = {
        "good": init_response(0, bytes(512)),
        "unregistered": init_response(44, b""),
        "short": init_response(0, bytes(100)),
        "noise": os.urandom(4096),
    }
    if how in answers:
        c.sendall(struct.pack("=I", len(answers[how])) + answers[how])
    elif how == "huge":
        c.sendall(struct.pack("=I", 0xFFFFFFFF))
        flood(c)
    elif how == "cut":
        c.sendall(struct.pack("=I", 530) + bytes(20))
    elif how == "silent":
        time.sleep(60)


def flood(c):
    try:
        while True:
            c.sendall(bytes(65536))
    except OSError:
        pass


def pccs(c):
    how = mode("pccs")
    request = c.recv(65536)
    ok = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
    answers = {
        "good": ok + b"\r\n" + b"3082" + b"ab" * 200 if b"/pckcrl?ca=" in request else b"HTTP/1.1 404 Not Found\r\n\r\n",
        "web": ok + b"\r\n<html>hello</html>",
        "missing": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "broken": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\x1b[31m\r\nContent-Length: 0\r\n\r\n",
        "noise": os.urandom(4096),
    }
    if how in answers:
        c.sendall(answers[how])
    elif how == "huge":
        c.sendall(ok + b"\r\n")
        flood(c)
    elif how == "headers":
        c.sendall(ok)
        flood(c)
    elif how == "drip":
        try:
            for byte in (ok + b"\r\n" + b"30" * 1000):
                c.sendall(bytes([byte]))
                time.sleep(0.5)
        except OSError:
            pass
    elif how == "silent":
        time.sleep(60)


def one(serve, c, context):
    try:
        serve(context.wrap_socket(c, server_side=True) if context else c)
    except OSError:
        pass
    finally:
        c.close()


def listen(s, serve, context=None):
    while True:
        threading.Thread(target=one, args=(serve, s.accept()[0], context), daemon=True).start()


context = None
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3])
a = socket.socket(socket.AF_UNIX)
os.chdir(os.path.dirname(path))
a.bind(os.path.basename(path))
a.listen()
p = socket.create_server(("127.0.0.1", 0))
with open(os.path.join(directory, "port.tmp"), "w") as f:
    f.write(str(p.getsockname()[1]))
os.rename(os.path.join(directory, "port.tmp"), os.path.join(directory, "port"))
threading.Thread(target=listen, args=(a, aesmd), daemon=True).start()
threading.Thread(target=listen, args=(p, pccs, context), daemon=True).start()
time.sleep(600)
