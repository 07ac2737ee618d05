#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Keys that are not files: a token of SoftHSM, through OpenSSL.

setup_file() {
    WORK=$(mktemp -d)
    export WORK
    MODULE=/usr/lib/softhsm/libsofthsm2.so
    export MODULE SOFTHSM2_CONF=$WORK/softhsm2.conf
    "$RUNE_STAGE/../tests/unit/sgx/make-test-enclave" "$WORK/e"
    sgx-tools keygen "$WORK/key.pem"
    sgx-tools sign --key "$WORK/key.pem" --out "$WORK/expected" "$WORK/e"
    [ -e "$MODULE" ] || return 0
    mkdir "$WORK/tokens"
    printf 'directories.tokendir = %s\nlog.level = ERROR\n' "$WORK/tokens" >"$SOFTHSM2_CONF"
    softhsm2-util --init-token --free --label rune --pin 1234 --so-pin 5678
    openssl pkcs8 -topk8 -nocrypt -in "$WORK/key.pem" -out "$WORK/key.p8"
    softhsm2-util --import "$WORK/key.p8" --token rune --label signer --id a1b2 --pin 1234
    openssl genrsa 3072 2>/dev/null | openssl pkcs8 -topk8 -nocrypt -out "$WORK/other.p8"
    softhsm2-util --import "$WORK/other.p8" --token rune --label exponent --id a1b3 --pin 1234
    printf '1234\n' >"$WORK/pin"
}

teardown_file() {
    rm -rf "$WORK"
}

need_token() {
    [ -e "$MODULE" ] || skip "softhsm2 is not installed"
    ls /usr/lib/*/engines-3/pkcs11.so >/dev/null 2>&1 || skip "libengine-pkcs11-openssl is not installed"
}

sign() { # KEY
    rm -f "$BATS_TEST_TMPDIR/s"
    run sgx-tools sign --key "$1" --out "$BATS_TEST_TMPDIR/s" "$WORK/e" </dev/null
}

@test "sign: a key in a token gives the bytes that the same key in a file gives" {
    need_token
    for uri in "pkcs11:token=rune;object=signer?pin-value=1234&module-path=$MODULE" \
        "pkcs11:token=rune;id=%a1%b2?module-path=$MODULE&pin-source=file:$WORK/pin"; do
        sign "$uri"
        [ "$status" -eq 0 ]
        [ -z "$output" ]
        cmp "$WORK/expected" "$BATS_TEST_TMPDIR/s"
    done
}

@test "sign: what is wrong with a key in a token is one line, without the PIN" {
    need_token
    for uri in "pkcs11:token=rune;object=none?pin-value=1234&module-path=$MODULE" \
        "pkcs11:token=rune;object=signer?pin-value=98765&module-path=$MODULE" \
        "pkcs11:token=rune;object=signer?pin-value=1234&module-path=/nowhere" \
        "pkcs11:token=rune;object=signer?module-path=$MODULE&pin-source=file:/nowhere" \
        "pkcs11:token=rune;object=exponent?module-path=$MODULE&pin-value=1234" \
        "pkcs11:token=rune;object=signer?module-path=$MODULE"; do
        sign "$uri"
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ $output == *"signing key pkcs11:token=rune;object="* ]]
        [[ $output != *1234* && $output != *98765* ]]
        [ ! -e "$BATS_TEST_TMPDIR/s" ]
    done
}

@test "sign: a URI of OpenSSL's own is a key as well, an unknown one is refused" {
    sign "file:$WORK/key.pem"
    [ "$status" -eq 0 ]
    cmp "$WORK/expected" "$BATS_TEST_TMPDIR/s"
    sign "nonsense:key"
    [ "$status" -eq 1 ]
    [[ $output == *"signing key nonsense:key: OpenSSL's providers have no such key"* ]]
}

@test "convert: an enclave is signed by the key in the token" {
    need_token
    mkdir -p "$BATS_TEST_TMPDIR/root/bin"
    echo hello >"$BATS_TEST_TMPDIR/root/bin/file"
    for key in "$WORK/key.pem" "pkcs11:token=rune;object=signer?pin-value=1234&module-path=$MODULE"; do
        rune-image convert --quiet --cache "$BATS_TEST_TMPDIR/cache" --key "$key" "$BATS_TEST_TMPDIR/root" \
            | grep -E '^(MRENCLAVE|MRSIGNER) ' >>"$BATS_TEST_TMPDIR/identities"
    done
    [ "$(wc -l <"$BATS_TEST_TMPDIR/identities")" -eq 4 ]
    [ "$(sort -u "$BATS_TEST_TMPDIR/identities" | wc -l)" -eq 2 ]
}
