#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a PCCS, good and bad: pccs.py COLLATERAL PORT-FILE LOG [PEM]. The first part of the path says how it behaves; with
certificate and key in PEM it speaks TLS."""
import sys
import urllib.parse

sys.dont_write_bytecode = True
import stand_in

directory, port_file, log = sys.argv[1:4]
API = {
    "tcb": ("tcb_info.json", "TCB-Info-Issuer-Chain", "tcb_issuer_chain.pem"),
    "qe/identity": ("qe_identity.json", "SGX-Enclave-Identity-Issuer-Chain", "qe_issuer_chain.pem"),
    "pckcrl": ("pck.crl", None, None),
    "rootcacrl": ("root_ca.crl", None, None),
}


def read(name):
    with open(f"{directory}/{name}", "rb") as file:
        return file.read()


class Handler(stand_in.Handler):
    def do_GET(self):
        with open(log, "a") as file:
            file.write(self.path + "\n")
        try:
            self.serve()
        except (BrokenPipeError, ConnectionResetError):
            pass

    def serve(self):
        path, _, query = self.path.partition("?")
        _, mode, tee, rest = path.split("/", 3)
        name = rest.split("/", 2)[2]
        query = urllib.parse.parse_qs(query)
        if self.misbehave(mode, "http://127.0.0.1:1/elsewhere"):
            return None
        if mode == "unknown" or tee != "sgx" or name not in API:
            return self.answer(404, b"no")
        if mode == "busy":
            return self.answer(429, b"")
        if mode == "broken":
            return self.answer(503, b"<html>")
        if name == "tcb" and query.get("fmspc") != ["454d554c0000"] or name == "pckcrl" and query.get("ca") != ["processor"]:
            return self.answer(400, b"")
        file, header, chain = API[name]
        body = read(file)
        headers = [(header, urllib.parse.quote(read(chain).decode()))] if header else []
        if mode == "empty":
            body = b""
        if mode == "bare":
            headers = []
        if mode == "lies" and name == "tcb":
            body = body.replace(b"2024-01-01", b"2025-01-01")
        if mode == "html":
            body = b"<html>please log in</html>"
        if name == "rootcacrl" and mode == "good":  # as a PCCS serves it
            body = body.hex().encode()
        return self.answer(200, body, headers)


stand_in.serve(Handler, port_file, sys.argv[4] if len(sys.argv) > 4 else None)
