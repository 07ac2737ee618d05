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

kind_of() { # FILE
    sgx-tools inspect --json "$1" | jq -er .kind
}

# A deployment as abi/manifest.h has it: arguments "/bin/app" and one that is no UTF-8.
make_deployment() { # FILE
    python3 - "$1" <<'PY'
import struct, sys
records = b""
for text in [b"/bin/app", b"\xff\x1b[2J"]:
    records += struct.pack("<II", 1, len(text)) + text + bytes(-len(text) % 8)
header = struct.pack("<QIIQ", 0x314C5044454E5552, 1, 2, 24 + len(records))
open(sys.argv[1], "wb").write(header + records)
PY
}

@test "inspect: each kind of file is recognised by what is in it" {
    sgx-tools sign --key "$WORK/key.pem" --out "$WORK/s" "$WORK/e"
    make_deployment "$WORK/deployment"
    mkdir -p "$WORK/root"
    echo hello >"$WORK/root/file"
    enclave=$(rune-image convert --quiet --cache "$WORK/cache" --key "$WORK/key.pem" "$WORK/root" | sed -n 's/^enclave *\([^ ]*\).*/\1/p')
    [ "$(kind_of "$WORK/e")" = enclave ]
    [ "$(kind_of "$WORK/s")" = SIGSTRUCT ]
    [ "$(kind_of "$WORK/deployment")" = deployment ]
    [ "$(kind_of "${enclave%/*}/manifest.json")" = manifest ]
    [ "$(kind_of "${enclave%/*/*}/info.json")" = "sealed image" ]
    seeds=$BATS_TEST_DIRNAME/../fuzz/seeds/attest-quote
    [ "$(kind_of "$seeds/sgx-3")" = quote ]
    [ "$(kind_of "$seeds/tdx-5")" = quote ]
    [ "$(kind_of "$seeds/snp")" = "SEV-SNP report" ]
    dd if="$seeds/sgx-3" of="$WORK/body" bs=1 skip=48 count=384 status=none
    [ "$(kind_of "$WORK/body")" = report ]
    sgx-tools inspect "$WORK/body" | grep -q '^emulated *yes$'
    # The manifest in the enclave is the image's.
    [ "$(sgx-tools inspect --json "$enclave" | jq -r .manifest.rootHash)" = "$(jq -r .rootHash "${enclave%/*/*}/info.json")" ]
    [ "$(sgx-tools inspect --json "$enclave" | jq -r .mrenclave)" = "$(sgx-tools measure "$enclave")" ]
}

@test "inspect: a SIGSTRUCT's signature and a deployment's CONFIGID are computed" {
    sgx-tools sign --key "$WORK/key.pem" --out "$WORK/s" "$WORK/e"
    [ "$(sgx-tools inspect --json "$WORK/s" | jq -r .signature)" = good ]
    printf x | dd of="$WORK/s" bs=1 seek=961 conv=notrunc status=none
    sgx-tools inspect --json "$WORK/s" | jq -r .signature | grep -q 'does not match'
    make_deployment "$WORK/deployment"
    sum=$(sha256sum "$WORK/deployment" | cut -d' ' -f1)
    [ "$(sgx-tools inspect --json "$WORK/deployment" | jq -r .configId)" = "$sum$(printf '0%.0s' {1..64})" ]
    sgx-tools inspect "$WORK/deployment" | grep -q 'argument 0 "/bin/app"'
    if sgx-tools inspect "$WORK/deployment" | grep -q $'\x1b'; then false; fi
}

@test "inspect: what is damaged or of no known kind is refused in one line" {
    sgx-tools sign --key "$WORK/key.pem" --out "$WORK/s" "$WORK/e"
    make_deployment "$WORK/deployment"
    head -c 5000 "$WORK/e" >"$WORK/bad-enclave"
    head -c 1000 "$WORK/s" >"$WORK/bad-sigstruct"
    head -c 40 "$WORK/deployment" >"$WORK/bad-deployment"
    head -c 600 "$BATS_TEST_DIRNAME/../fuzz/seeds/attest-quote/sgx-3" >"$WORK/bad-quote"
    echo '{"mrenclave": ' >"$WORK/bad-json"
    echo '{"something": 1}' >"$WORK/other-json"
    echo text >"$WORK/text"
    : >"$WORK/empty"
    for file in bad-enclave bad-sigstruct bad-deployment bad-quote bad-json other-json text empty missing; do
        echo "$file"
        run sgx-tools inspect "$WORK/$file"
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ $output == *"$WORK/$file: "* ]]
    done
}
