#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A container in a real (small) enclave: the skeleton runtime.

load enclave

setup() {
    enclave_setup
    export RUNE_RUNTIMES_DIR
    RUNE_RUNTIMES_DIR=$(dirname "$(find "$RUNE_STAGE" -name liberpal-skeleton.so | head -1)")
    configure 'c["annotations"] = {"enclave.type": "auto", "enclave.runtime.path": "skeleton"}'
}
teardown() { enclave_teardown; }

@test "hello, echo, exit codes" {
    arguments hello there
    run rune run --bundle "$bundle" "$id"
    [ "$status" -eq 0 ]
    [[ "$output" == *"hello, there, from inside the enclave"* ]]
    arguments echo a 'b  c'
    [ "$(rune run --bundle "$bundle" "$id" 2>/dev/null)" = "a b  c" ]
    arguments exit 42
    run rune run --bundle "$bundle" "$id"
    [ "$status" -eq 42 ]
    nothing_left
}

@test "stdin goes through the enclave" {
    arguments cat
    seq 5000 >"$work/in"
    rune run --bundle "$bundle" "$id" <"$work/in" >"$work/out" 2>/dev/null
    cmp "$work/in" "$work/out"
}

@test "detached: exec in the same enclave, info, report, SIGTERM" {
    arguments cat
    mkfifo "$work/fifo"
    sleep 1000 >"$work/fifo" 3>&- &
    background+=($!)
    rune run --detach --bundle "$bundle" "$id" <"$work/fifo" >"$work/out" 2>"$work/err"
    [ "$(rune exec "$id" hello you)" = "hello, you, from inside the enclave" ]
    run rune exec "$id" exit 5
    [ "$status" -eq 5 ]
    mrenclave=$(rune enclave info "$id" | python3 -c 'import json,sys; print(json.load(sys.stdin)["mrenclave"])')
    rune enclave report "$id" >"$work/report"
    [ "$(stat -c %s "$work/report")" -eq 432 ]
    [ "$(dd if="$work/report" bs=1 skip=64 count=32 status=none | od -An -tx1 | tr -d ' \n')" = "$mrenclave" ]
    [ "$(dd if="$work/report" bs=1 skip=320 count=13 status=none)" = "rune skeleton" ]
    rune kill "$id" TERM
    within 5 status_is "$id" stopped
    rune delete "$id"
    nothing_left
}

@test "Docker's way: variables of the environment choose the runtime" {
    configure 'c["annotations"] = {}' 'c["process"]["env"] += ["ENCLAVE_TYPE=auto", "ENCLAVE_RUNTIME_PATH=skeleton"]'
    arguments hello docker
    [ "$(rune run --bundle "$bundle" "$id" 2>/dev/null)" = "hello, docker, from inside the enclave" ]
}
