#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a signing service that behaves badly: signing-service.py PORT-FILE PEM SIGSTRUCT. The first part of the path says how; SIGSTRUCT
is what the lying ones send."""
import http.server
import os
import ssl
import sys
import time

port_file, pem, sigstruct = sys.argv[1:4]


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self.serve(self.path.split("/")[1])
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass

    def serve(self, mode):
        if mode == "slow":  # a byte a second
            self.send_response(200)
            self.end_headers()
            for _ in range(60):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(1)
        elif mode == "silent":
            time.sleep(60)
        elif mode == "endless":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b" " * 65536)
        elif mode == "headers":
            self.send_response(200)
            for i in range(5000):
                self.send_header(f"X-{i}", "y" * 100)
            self.end_headers()
        elif mode == "redirect":
            self.answer(302, b"", [("Location", "https://127.0.0.1:1/elsewhere")])
        elif mode == "html":
            self.answer(404, b"<html>nothing here</html>")
        elif mode == "escapes":
            self.answer(403, b"no\x1b[31m\r\nsecond line")
        elif mode == "short":
            self.answer(200, b"x" * 100)
        elif mode == "garbage":
            self.answer(200, b"x" * 1808)
        elif mode == "empty":
            self.answer(200, b"")
        elif mode == "hangup":
            self.connection.close()
        elif mode == "other":  # a good signature of another enclave, or by another key
            with open(sigstruct, "rb") as file:
                self.answer(200, file.read())
        else:
            self.answer(503, b"")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(pem)
server.socket = context.wrap_socket(server.socket, server_side=True)
with open(port_file + ".new", "w") as file:
    file.write(str(server.server_address[1]))
os.rename(port_file + ".new", port_file)
server.serve_forever()
