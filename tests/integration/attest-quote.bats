#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A program in an enclave container asks for a quote over its 64 bytes, and a verifier judges it.

bats_require_minimum_version 1.5.0
load enclave

setup() {
    busybox_setup sh cat sleep
    sgx-tools simulation-collateral "$work/sim"
    annotate type simulatedSgx
}
teardown() { enclave_teardown; }

verify() {
    sgx-tools verify-quote --collateral "$work/sim" "$@"
}

@test "a program's quote has its 64 bytes, and is accepted where simulation is" {
    arguments sh -c 'printf %s 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef >/dev/attestation/user_report_data
        cat /dev/attestation/quote'
    rune run --bundle "$bundle" "$id" >"$work/quote" 2>"$work/err" </dev/null
    data=$(printf %s 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef | od -An -v -tx1 | tr -d ' \n')
    run verify --allow-simulation --nonce "$data" "$work/quote"
    echo "$output"
    [ "$status" -eq 0 ]
    run verify --allow-simulation --nonce "${data/30/31}" "$work/quote"
    [ "$status" -eq 6 ]
    run verify --nonce "$data" "$work/quote"
    [ "$status" -eq 4 ]
    # What follows a quote is no part of it.
    size=$(stat -c %s "$work/quote")
    [ "$((436 + $(od -An -tu4 -j432 -N4 "$work/quote")))" -eq "$size" ]
}

@test "a quote that the host asks for has the host's mark, never data of its choice" {
    arguments sleep 60
    rune run --detach --bundle "$bundle" "$id" >"$work/out" 2>&1 </dev/null
    # What signs quotes of the software SGX is loaded for the first of them.
    maps=/proc/$(rune state "$id" | jq .pid)/maps
    run ! grep -E 'libcrypto|libquoting' "$maps"
    rune enclave quote "$id" >"$work/quote"
    grep -q libquoting-simulated.so "$maps"
    run verify --allow-simulation "$work/quote"
    echo "$output"
    [ "$status" -eq 0 ]
    mark="rune: asked for by the host, bound to nothing in the enclave"
    [ "$(dd if="$work/quote" bs=1 skip=368 count=${#mark} status=none)" = "$mark" ]
    run rune enclave quote --data 00ff "$id"
    echo "$output"
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == *"leave out --data"* ]]
    rune attest --isRA "$id" | cmp -n 432 - "$work/quote"
}

@test "no program of the enclave can pass its quote off as the host's" {
    arguments sh -c 'printf "%s" "rune: asked for by the host, bound to nothing in the enclave" >/dev/attestation/user_report_data ||
        echo refused'
    run rune run --bundle "$bundle" "$id" </dev/null
    echo "$output"
    [[ "$output" == *refused* ]]
}
