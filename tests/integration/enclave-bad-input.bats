#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Bad input: one line that says what is wrong, exit code 1, nothing left behind.

load enclave

setup() { enclave_setup; }
teardown() { enclave_teardown; }

@test "no config.json, a broken one, one without a root" {
    use_pal v4 echo
    mv "$bundle/config.json" "$work/good"
    refused "config.json" rune run --bundle "$bundle" "$id"
    head -c 200 "$work/good" >"$bundle/config.json"
    refused "config.json" rune run --bundle "$bundle" "$id"
    cp "$work/good" "$bundle/config.json"
    configure 'del c["root"]'
    refused "root" rune run --bundle "$bundle" "$id"
    cp "$work/good" "$bundle/config.json"
    rm -rf "$bundle/rootfs"
    refused "rootfs" rune run --bundle "$bundle" "$id"
}

@test "an unknown enclave.type, a bad log level, a relative runtime" {
    use_pal v4 echo
    configure 'c["annotations"]["enclave.type"] = "amdSev"'
    refused amdSev rune run --bundle "$bundle" "$id"
    use_pal v4 echo
    configure 'c["annotations"]["enclave.runtime.loglevel"] = "loud"'
    refused loud rune run --bundle "$bundle" "$id"
    configure 'c["annotations"] = {"enclave.runtime.path": "some/where.so"}'
    refused some/where.so rune run --bundle "$bundle" "$id"
}

@test "a PAL library that is missing, no library, lacks symbols, or is of another age" {
    use_pal none echo
    refused libpal-none.so rune run --bundle "$bundle" "$id"
    configure 'c["annotations"]["enclave.runtime.path"] = "/etc/passwd"'
    refused /etc/passwd rune run --bundle "$bundle" "$id"
    use_pal broken echo
    refused pal_create_process rune run --bundle "$bundle" "$id"
    use_pal future echo
    refused "version 9" rune run --bundle "$bundle" "$id"
}

@test "a runtime whose enclave does not start" {
    use_pal v4 echo
    configure 'c["annotations"]["enclave.runtime.args"] = "fail-init"'
    refused "start the enclave" rune run --bundle "$bundle" "$id"
}

@test "an enclave that ends while it starts, in a call that does not return" {
    use_pal v4 echo
    configure 'c["annotations"]["enclave.runtime.args"] = "end-in-init"'
    refused "the enclave ended: the toy enclave broke" rune run --bundle "$bundle" "$id"
    refused "the enclave ended: the toy enclave broke" rune create --bundle "$bundle" "$id"
    configure 'c["annotations"]["enclave.runtime.args"] = "end-in-start"'
    run rune run --bundle "$bundle" "$id"
    echo "$output"
    [ "$status" -eq 125 ]
    [[ "$output" == *"the enclave ended: the toy enclave broke"* ]]
    nothing_left
}

@test "an enclave that ends while its container waits to be started" {
    use_pal v4 echo
    configure 'c["annotations"]["enclave.runtime.args"] = "end-at-the-gate"'
    rune create --bundle "$bundle" "$id" >"$work/out" 2>&1
    for _ in {1..50}; do
        [ "$(rune state "$id" | python3 -c 'import json,sys; print(json.load(sys.stdin)["status"])')" = stopped ] && break
        sleep 0.1
    done
    run rune start "$id"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *stopped* ]]
    rune delete "$id"
    nothing_left
}

@test "a carrier without a path" {
    configure 'c["process"]["env"] = ["RUNE_CARRIER=other"]'
    refused ENCLAVE_RUNTIME_PATH rune run --bundle "$bundle" "$id"
}
