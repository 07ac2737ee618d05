#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# sgx-tools on the tests' tiny enclave.

setup_file() {
    WORK=$(mktemp -d)
    export WORK
    "$RUNE_STAGE/../tests/unit/sgx/make-test-enclave" "$WORK/e"
    sgx-tools keygen "$WORK/key.pem"
    openssl rsa -in "$WORK/key.pem" -pubout -out "$WORK/pub.pem" 2>/dev/null
}

teardown_file() {
    rm -rf "$WORK"
}

@test "measure: signer, SIGSTRUCT and Python agree on MRENCLAVE" {
    measured=$(sgx-tools measure "$WORK/e")
    [ ${#measured} -eq 64 ]
    [ "$measured" = "$(python3 "$BATS_TEST_DIRNAME/../conformance/mrenclave.py" "$WORK/e")" ]
    sgx-tools sign --key "$WORK/key.pem" --out "$WORK/s" "$WORK/e"
    sgx-tools sigstruct "$WORK/s" | grep -q "^mrenclave *$measured$"
}

@test "sign: the same bytes every time, and from a key elsewhere" {
    sgx-tools sign --key "$WORK/key.pem" --out "$WORK/s1" "$WORK/e"
    sgx-tools sign --key "$WORK/key.pem" --out "$WORK/s2" "$WORK/e"
    cmp "$WORK/s1" "$WORK/s2"
    sgx-tools material --out "$WORK/material" "$WORK/e"
    openssl dgst -sha256 -sign "$WORK/key.pem" -out "$WORK/rsa" "$WORK/material"
    sgx-tools import --public-key "$WORK/pub.pem" --signature "$WORK/rsa" --out "$WORK/s3" "$WORK/e"
    cmp "$WORK/s1" "$WORK/s3"
}

@test "sign: production and debug differ" {
    sgx-tools sign --key "$WORK/key.pem" --out "$WORK/s1" "$WORK/e"
    sgx-tools sign --debug --key "$WORK/key.pem" --out "$WORK/s2" "$WORK/e"
    if cmp -s "$WORK/s1" "$WORK/s2"; then false; fi
    sgx-tools sigstruct "$WORK/s1" | grep "^attributes " | grep -vq DEBUG
    sgx-tools sigstruct "$WORK/s2" | grep '^attributes ' | grep -q DEBUG
}

@test "sigstruct: a changed byte is noticed" {
    sgx-tools sign --key "$WORK/key.pem" --out "$WORK/s" "$WORK/e"
    printf 'x' | dd of="$WORK/s" bs=1 seek=961 conv=notrunc status=none
    run sgx-tools sigstruct "$WORK/s"
    [ "$status" -eq 1 ]
    [[ "$output" == *"signature does not match"* ]]
}

@test "bad input: one line, exit code 1, nothing written" {
    head -c 5000 "$WORK/e" >"$WORK/short"
    head -c 5000 /dev/urandom >"$WORK/noise"
    for bad in short noise missing; do
        run sgx-tools measure "$WORK/$bad"
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        run sgx-tools sign --key "$WORK/key.pem" --out "$WORK/none" "$WORK/$bad"
        [ "$status" -eq 1 ]
        [ ! -e "$WORK/none" ]
    done
    openssl genrsa -out "$WORK/other.pem" 2048 2>/dev/null
    run sgx-tools sign --key "$WORK/other.pem" --out "$WORK/none" "$WORK/e"
    [ "$status" -eq 1 ]
    [[ "$output" == *"3072"* ]]
    [ ! -e "$WORK/none" ]
    run sgx-tools keygen "$WORK/key.pem"
    [ "$status" -eq 1 ]
}

@test "info: says whether the defences are right for this processor" {
    sgx-tools info | grep -Eq '^defences +(right|NOT right|not known) '
    ! grep -q AuthenticAMD /proc/cpuinfo || sgx-tools info | grep -Eq '^defences +not known'
}

@test "info: says what enclave.type auto stands for" {
    sgx-tools info | grep -Eq '^enclave.type +(intelSgx|simulatedSgx)$'
}
