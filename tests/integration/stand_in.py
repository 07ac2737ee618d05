# SPDX-License-Identifier: Apache-2.0
"""What the stand-ins for servers share: an answer, the ways in which any server can behave badly, and the start."""
import http.server
import os
import ssl
import time


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

    def misbehave(self, mode, elsewhere):
        """Answer as mode says. False: it is none of these."""
        if mode == "slow":  # a byte a second
            self.send_response(200)
            self.end_headers()
            for _ in range(60):
                self.wfile.write(b"{")
                self.wfile.flush()
                time.sleep(1)
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
            self.answer(302, b"", [("Location", elsewhere)])
        else:
            return False
        return True


def serve(handler, port_file, pem=None):
    """On a port of 127.0.0.1, which port_file gets; with certificate and key in pem it speaks TLS."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if pem:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    with open(port_file + ".new", "w", encoding="utf-8") as out:
        out.write(str(server.server_port))
    os.rename(port_file + ".new", port_file)
    server.serve_forever()
