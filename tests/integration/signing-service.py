#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a signing service that behaves badly: signing-service.py PORT-FILE PEM SIGSTRUCT. The first part of the path says how; SIGSTRUCT
is what the lying ones send."""
import ssl
import sys
import time

sys.dont_write_bytecode = True
import stand_in

port_file, pem, sigstruct = sys.argv[1:4]


class Handler(stand_in.Handler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self.serve(self.path.split("/")[1])
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass

    def serve(self, mode):
        if self.misbehave(mode, "https://127.0.0.1:1/elsewhere"):
            return
        if mode == "silent":
            time.sleep(60)
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


stand_in.serve(Handler, port_file, pem)
