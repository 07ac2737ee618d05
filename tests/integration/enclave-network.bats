#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The loopback of an enclave container is the enclave's own: what the host can reach of it from the pod's network namespace, and what
# it looks like then.

bats_require_minimum_version 1.5.0
load enclave

setup() {
    enclave_setup
    [ "$(id -u)" -eq 0 ] || skip "nsenter needs root here"
    [ -n "$(find "$RUNE_STAGE" -name libos.elf)" ] || skip "no LibOS in $RUNE_STAGE"
    mkdir -p "$bundle/rootfs/bin"
    cc -O1 -static -o "$bundle/rootfs/bin/servers" "$BATS_TEST_DIRNAME/programs/servers.c"
    export RUNE_CACHE_DIR=$BATS_FILE_TMPDIR/cache RUNE_SIGNING_KEY=$BATS_FILE_TMPDIR/key.pem
    mkdir -p "$RUNE_CACHE_DIR"
    arguments /bin/servers
}
teardown() { enclave_teardown; }

start() { # FLAGS...
    rune "$@" run --detach --bundle "$bundle" --pid-file "$work/pid" "$id" >"$work/out" 2>"$work/err" </dev/null
    within 20 grep -q '^inside ' "$work/out"
    grep -qx 'inside ok' "$work/out"
}

# from_host PROTOCOL PORT: what is answered there, asked from the pod's network namespace by 127.0.0.1
from_host() {
    nsenter -n -t "$(cat "$work/pid")" python3 - "$1" "$2" <<'PY'
import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
s = socket.socket(socket.AF_INET, kind)
s.settimeout(2)
try:
    s.connect(("127.0.0.1", int(sys.argv[2])))
    s.send(b"x")
    print(s.recv(100).decode())
except OSError as e:
    print(type(e).__name__)
PY
}

@test "a server on 127.0.0.1 in an ordinary container is reached from its network namespace" {
    start
    [ "$(from_host tcp 7001)" = secret ]
    [ "$(from_host udp 7001)" = secret ]
}

@test "a server on 127.0.0.1 in an enclave is not there for the host" {
    start --enclave
    [ "$(from_host tcp 7001)" = ConnectionRefusedError ]
    [ "$(from_host udp 7001)" = ConnectionRefusedError ]
    [ "$(grep -c 'tcp 7001 from 127.0.0.1' "$work/out")" -eq 1 ]
    # Nothing in the namespace knows of it: it has no socket of the host's.
    [ "$(nsenter -n -t "$(cat "$work/pid")" cat /proc/net/tcp /proc/net/udp | grep -ci ':1B59 ')" -eq 0 ]
    [ "$(nsenter -n -t "$(cat "$work/pid")" cat /proc/net/tcp | grep -ci ':1B5A ')" -eq 1 ]
}

@test "a server on 0.0.0.0 in an enclave is reached, and the host does not look like localhost" {
    start --enclave
    [ "$(from_host tcp 7002)" = public ]
    [ "$(from_host udp 7002)" = public ]
    within 5 grep -qx 'tcp 7002 from 192.0.0.8' "$work/out"
    within 5 grep -qx 'udp 7002 from 192.0.0.8' "$work/out"
    [ "$(grep -c '7002 from 127.0.0.1' "$work/out")" -eq 1 ]
}

@test "enclave.network.loopback=host: the loopback is the pod's, and the start says so" {
    configure 'c.setdefault("annotations", {})["enclave.network.loopback"] = "host"'
    start --enclave
    grep -q 'host loopback (insecure)' "$work/err"
    [ "$(from_host tcp 7001)" = secret ]
    [ "$(from_host udp 7001)" = secret ]
    within 5 grep -qx 'tcp 7002 from 127.0.0.1' "$work/out"
}
