#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# sgx-emulate as a user sees it. What programs with enclaves see of it: the meson tests sgx-emulate-*, sgx-kernel-driver*.

bats_require_minimum_version 1.5.0

load enclave

setup() {
    enclave_setup
    EMULATE=${RUNE_STAGE:?}/usr/bin/sgx-emulate
    export RUNE_SGX_EMULATOR_ROOT=$BATS_TEST_TMPDIR/root
}

teardown() { enclave_teardown; }

@test "a program runs with the device, says what it is, and keeps its exit code" {
    run --separate-stderr "$EMULATE" --log "$BATS_TEST_TMPDIR/log" sh -c '[ -c /dev/sgx_enclave ] && echo device; exit 7'
    [ "$status" = 7 ]
    [ "$output" = device ]
    [[ "$stderr" == "sgx-emulate: SGX is emulated: "* ]]
    grep -q 'SGX is emulated' "$BATS_TEST_TMPDIR/log"
}

@test "what a program starts has the device, also with an environment of its own" {
    run --separate-stderr "$EMULATE" env -i sh -c 'sh -c "[ -c /dev/sgx_enclave ] && echo device"'
    [ "$output" = device ]
}

@test "a program that is killed by a signal ends by it" {
    run --separate-stderr "$EMULATE" sh -c 'kill -TERM $$'
    [ "$status" = 143 ]
}

@test "static programs and what is no program are refused" {
    printf 'int main(void) { return 0; }' >"$BATS_TEST_TMPDIR/static.c"
    gcc -static -o "$BATS_TEST_TMPDIR/static" "$BATS_TEST_TMPDIR/static.c"
    run "$EMULATE" "$BATS_TEST_TMPDIR/static"
    [ "$status" = 1 ]
    [[ "$output" == *"is a static program"* ]]
    run "$EMULATE" "$BATS_TEST_TMPDIR/none"
    [ "$status" = 1 ]
    [[ "$output" == *"no such file"* ]]
    run "$EMULATE"
    [[ "$output" == *"which program?"* ]]
}

@test "a program that uses Syscall User Dispatch itself is told" {
    run "$EMULATE" python3 -c 'import ctypes; print(ctypes.CDLL(None).prctl(59, 1, 0, 0, 0))'
    [[ "$output" == *"uses Syscall User Dispatch itself"* ]]
    [[ "$output" == *-1* ]]
}

@test "a quote by Intel's protocol is good where simulation is allowed, and nowhere else" {
    local judge=(sgx-tools verify-quote --collateral "$BATS_TEST_TMPDIR/sim" --policy "$BATS_TEST_TMPDIR/policy")
    sgx-tools simulation-collateral "$BATS_TEST_TMPDIR/sim"
    echo '{"allow_debug": true}' >"$BATS_TEST_TMPDIR/policy" # the test's enclave is debuggable
    SGX_TEST_QUOTE=$BATS_TEST_TMPDIR/quote "$EMULATE" "$RUNE_STAGE/../tests/conformance/test-sgx-emulate" quotes_come_by_intels_protocol
    run "${judge[@]}" --allow-simulation "$BATS_TEST_TMPDIR/quote"
    echo "$output"
    [ "$status" -eq 0 ]
    run "${judge[@]}" "$BATS_TEST_TMPDIR/quote"
    [ "$status" -eq 4 ]
}

@test "rune: a runtime that knows the SGX device only runs by it where the enclave is emulated, and not as intelSgx" {
    configure "c['annotations'] = {'enclave.type': 'auto', 'enclave.runtime.path': '$RUNE_STAGE/../tests/conformance/libpal-device.so'}" "c['root']['readonly'] = False"
    arguments add
    run rune run --bundle "$bundle" "$id"
    echo "$output"
    [ "$status" = 42 ]
    [[ "$output" == *EMULATED* ]]
    nothing_left
    arguments missing
    run -127 rune run --bundle "$bundle" "$id"
    configure "c['annotations']['enclave.type'] = 'intelSgx'"
    [ -e /dev/sgx_enclave ] || run ! rune run --bundle "$bundle" "$id"
}
