#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# /etc/rune/node.json: whether the owner of the node allows emulated enclaves. On a machine with SGX `auto` needs no permission.

load enclave
bats_require_minimum_version 1.5.0

setup() {
    enclave_setup
    use_pal v4 echo
    export RUNE_RUNTIMES_DIR
    RUNE_RUNTIMES_DIR=$(dirname "$(find "$RUNE_STAGE" -name liberpal-skeleton.so | head -1)")
    export RUNE_CONFIG=$work/node.json
}

teardown() {
    enclave_teardown
}

@test "denied, or no configuration: auto, the flag, the environment and simulatedSgx by name are refused, with what to do" {
    local type
    [ ! -e /dev/sgx_enclave ] || skip "this machine has SGX"
    for content in '{ "emulator": "deny" }' '{}' none; do
        rm -f "$RUNE_CONFIG"
        [ "$content" = none ] || echo "$content" >"$RUNE_CONFIG"
        for type in auto simulatedSgx; do
            configure "c['annotations']['enclave.type'] = '$type'"
            refused "$RUNE_CONFIG" rune run --bundle "$bundle" "$id"
            [[ "$output" == *"enclave.type is $type"* && "$output" == *"protects nothing"* && "$output" == *'"emulator": "allow"'* ]]
        done
    done
    configure 'del c["annotations"]'
    refused "enclave.type is auto, and this machine has no /dev/sgx_enclave" rune --enclave run --bundle "$bundle" "$id"
    configure 'c["process"]["env"] += ["ENCLAVE_TYPE=simulatedSgx"]'
    refused "enclave.type is simulatedSgx" rune run --bundle "$bundle" "$id"
    configure "c['annotations'] = {'enclave.type': 'intelSgx'}"
    refused "enclave.type is intelSgx" rune run --bundle "$bundle" "$id"
    [[ "$output" != *auto* ]]
    run -0 sgx-tools info
    [[ "$output" == *enclave.type*none:*"$RUNE_CONFIG"* ]]
}

@test "allowed: the enclave runs, and the warning says what it is" {
    [ ! -e /dev/sgx_enclave ] || skip "this machine has SGX"
    echo '{ "emulator": "allow" }' >"$RUNE_CONFIG"
    configure "c['annotations'] = {'enclave.type': 'simulatedSgx', 'enclave.runtime.path': 'skeleton'}"
    arguments hello there
    run rune run --bundle "$bundle" "$id"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *EMULATED* ]]
    run -0 sgx-tools info
    [[ "$output" == *enclave.type*simulatedSgx* ]]
}

@test "a configuration that cannot be trusted or understood is refused in one line, and says where" {
    local content
    for content in '{ "emulater": "allow" }' '{ "emulator": "yes" }' '{ "emulator": true }' '[]' '' 'emulator=allow' \
        '{ "emulator": "deny", "emulator": "allow" }' '{ "emulator": "allow" } x'; do
        echo "$content" >"$RUNE_CONFIG"
        refused "$RUNE_CONFIG: " rune run --bundle "$bundle" "$id"
    done
    echo '{ "emulator": "allow" }' >"$RUNE_CONFIG"
    chmod g+w "$RUNE_CONFIG"
    refused "nobody else can write" rune run --bundle "$bundle" "$id"
    chmod 644 "$RUNE_CONFIG"
    chown daemon "$RUNE_CONFIG"
    refused "nobody else can write" rune run --bundle "$bundle" "$id"
    rm "$RUNE_CONFIG"
    mkfifo "$RUNE_CONFIG"
    refused "regular file" rune run --bundle "$bundle" "$id"
    head -c 70000 /dev/zero | tr '\0' ' ' >"$work/big"
    RUNE_CONFIG=$work/big refused "$work/big" rune run --bundle "$bundle" "$id"
}

@test "an ordinary container asks for nothing" {
    echo broken >"$RUNE_CONFIG"
    configure 'del c["annotations"]'
    cp /bin/busybox "$bundle/rootfs/busybox"
    arguments /busybox echo plain
    run -0 rune run --bundle "$bundle" "$id"
    [ "$output" = plain ]
}

@test "installing writes it once, and never over the owner's" {
    local script=$BATS_TEST_DIRNAME/../../scripts/install-node-config.sh
    DESTDIR=$work/there "$script" /etc allow
    [ "$(jq -r .emulator "$work/there/etc/rune/node.json")" = allow ]
    DESTDIR=$work/there "$script" /etc deny
    [ "$(jq -r .emulator "$work/there/etc/rune/node.json")" = allow ]
    [ "$(ls -A "$work/there/etc/rune")" = node.json ]
    [ "$(stat -c %a "$work/there/etc/rune/node.json")" = 644 ]
}
