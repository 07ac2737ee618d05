#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""MRENCLAVE of an enclave file (abi/enclave_file.h), from the SDM's description and nothing of the C code.

    mrenclave.py ENCLAVE
"""
import hashlib
import struct
import sys

PAGE, CHUNK, ZERO, MEASURED = 4096, 256, 2**64 - 1, 1


def mrenclave(data):
    magic, version, header_size, _base, size, _attributes, _xfrm, _misc, ssa_pages = struct.unpack_from("<8sIIQQQQII", data)
    _file_size, ranges_at, range_count, range_size = struct.unpack_from("<QQII", data, 56)
    assert magic == b"RUNEENC1" and version == 1 and header_size == 256 and range_size == 40, "not an enclave file"

    digest = hashlib.sha256(struct.pack("<8sIQ44x", b"ECREATE", ssa_pages, size))
    for index in range(range_count):
        offset, length, file_at, secinfo, flags, _ = struct.unpack_from("<QQQQII", data, ranges_at + index * range_size)
        for page in range(0, length, PAGE):
            digest.update(struct.pack("<8sQQ40x", b"EADD", offset + page, secinfo))
            if not flags & MEASURED:
                continue
            for chunk in range(page, page + PAGE, CHUNK):
                digest.update(struct.pack("<8sQ48x", b"EEXTEND", offset + chunk))
                digest.update(bytes(CHUNK) if file_at == ZERO else data[file_at + chunk:file_at + chunk + CHUNK])
    return digest.hexdigest()


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as enclave:
        print(mrenclave(enclave.read()))
