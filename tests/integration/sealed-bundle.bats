#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A sealed bundle, made on one machine, starts on another that has neither the image nor mkfs.erofs nor the signing key.

load enclave

setup() {
    [ "$(id -u)" -eq 0 ] || skip "containers need root here"
    enclave_setup
    busybox=$(command -v busybox) || skip "no busybox"
    [ -n "$(find "$RUNE_STAGE" -name libos.elf)" ] || skip "no LibOS in $RUNE_STAGE"
    mkdir -p "$work/image/bin" "$work/image"/{proc,dev,sys,tmp,etc}
    cp "$busybox" "$work/image/bin/busybox"
    ln -s busybox "$work/image/bin/cat"
    echo 'from the sealed bundle' >"$work/image/etc/text"
    sgx-tools keygen "$work/key.pem"
    arguments /bin/cat /etc/text
    # The other machine: nothing to convert with.
    export RUNE_CACHE_DIR=$work/no-cache RUNE_SIGNING_KEY=$work/no-key.pem
}
teardown() { enclave_teardown; }

seal() { # OPTIONS...
    rune-image bundle --quiet --cache "$work/cache" --key "$work/key.pem" "$@" "$work/image" "$work/sealed"
}

@test "bundle: another machine starts it without converting" {
    seal >"$work/identity"
    rm -rf "$work/image" "$work/cache"
    annotate image "$work/sealed"
    run rune --enclave run --bundle "$bundle" "$id"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *"from the sealed bundle"* ]]
    [ ! -e "$RUNE_CACHE_DIR" ]
    [ ! -e "$RUNE_SIGNING_KEY" ]
    nothing_left
    # What runs is what was printed when it was sealed.
    arguments /bin/busybox sleep 60
    rune --enclave run --detach --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
    grep -q "^MRENCLAVE *$(rune enclave info "$id" | jq -r .mrenclave)$" "$work/identity"
}

@test "bundle: a file is changed, cut off, missing, or of another bundle: refused" {
    seal
    annotate image "$work/sealed"
    truncate -s -4096 "$work/sealed/image"
    refused "do not belong together" rune --enclave run --bundle "$bundle" "$id"
    rm -rf "$work/sealed"
    seal
    rm "$work/sealed/sites"
    refused "sites" rune --enclave run --bundle "$bundle" "$id"
    rm -rf "$work/sealed"
    seal
    printf x | dd of="$work/sealed/sigstruct" bs=1 seek=970 conv=notrunc status=none
    refused "signature" rune --enclave run --bundle "$bundle" "$id"
    mv "$work/sealed" "$work/first"
    echo another >"$work/image/etc/text"
    seal
    cp "$work/first/image" "$work/first/info.json" "$work/first/sites" "$work/sealed"
    refused "another image" rune --enclave run --bundle "$bundle" "$id"
    # The image's bytes are the LibOS's to check.
    rm -rf "$work/sealed"
    seal
    offset=$(grep -abo another "$work/sealed/image" | head -1 | cut -d: -f1)
    printf x | dd of="$work/sealed/image" bs=1 seek="$offset" conv=notrunc status=none
    run rune --enclave run --bundle "$bundle" "$id"
    [ "$status" -ne 0 ]
    [[ $output != *xnother* ]]
}

@test "bundle: what the machine or the container asks for and it was not made for is refused" {
    seal
    annotate image "$work/sealed"
    annotate kss false
    refused "made for KSS" rune --enclave run --bundle "$bundle" "$id"
    annotate kss auto
    annotate mode debug
    refused "its signature forbids" rune --enclave run --bundle "$bundle" "$id"
    annotate mode production
    RUNE_SGX_EMULATOR_FEATURES=sgx1,kss refused "made for SGX2" rune --enclave run --bundle "$bundle" "$id"
    annotate memory 256M
    refused "when it is made" rune --enclave run --bundle "$bundle" "$id"
    annotate memory ""
    annotate image sealed
    refused "absolute path" rune --enclave run --bundle "$bundle" "$id"
    annotate image "$work/nowhere"
    refused "sealed bundle $work/nowhere" rune --enclave run --bundle "$bundle" "$id"
}

@test "bundle: signed elsewhere, it is written when the signature is there" {
    run seal --client-signing
    [ "$status" -eq 1 ]
    [[ $output == *"no signature yet"* ]]
    [ ! -e "$work/sealed" ]
    enclave=$(dirname "$(find "$work/cache" -name sigstruct.unsigned)")
    rune-image export-signing "$enclave" "$work/material"
    openssl dgst -sha256 -sign "$work/key.pem" -out "$work/signature" "$work/material"
    openssl rsa -in "$work/key.pem" -pubout -out "$work/pub.pem" 2>/dev/null
    rune-image import-signature "$enclave" "$work/signature" "$work/pub.pem"
    seal --client-signing
    annotate image "$work/sealed"
    rune --enclave run --bundle "$bundle" "$id" </dev/null 2>/dev/null | grep -q 'from the sealed bundle'
    # And never over one that is there.
    run seal --client-signing
    [ "$status" -eq 1 ]
}

@test "client signing: the signature comes with the container, or from the node's directory by MRENCLAVE" {
    export RUNE_SIGNING=client RUNE_CACHE_DIR=$work/cache RUNE_SIGNATURES=$work/signatures
    mkdir "$work/signatures"
    rm -rf "$bundle/rootfs"
    mv "$work/image" "$bundle/rootfs"
    refused "sign MRENCLAVE " rune --enclave run --bundle "$bundle" "$id"
    mrenclave=$(grep -o 'MRENCLAVE [0-9a-f]*' <<<"$output" | cut -d' ' -f2)
    [ ${#mrenclave} -eq 64 ]
    enclave=$(find "$work/cache" -name enclave -type f)
    sgx-tools sign --key "$work/key.pem" --out "$work/sigstruct" "$enclave"

    annotate signature "$(base64 -w0 "$work/sigstruct")"
    rune --enclave run --bundle "$bundle" "$id" </dev/null 2>/dev/null | grep -q 'from the sealed bundle'
    # It asks for signing elsewhere by itself, and is kept by nobody.
    RUNE_SIGNING='' rune --enclave run --bundle "$bundle" "$id" </dev/null 2>/dev/null | grep -q 'from the sealed bundle'
    annotate signature ""
    refused "sign MRENCLAVE $mrenclave" rune --enclave run --bundle "$bundle" "$id"

    cp "$work/sigstruct" "$work/signatures/$mrenclave.sigstruct"
    rune --enclave run --bundle "$bundle" "$id" </dev/null 2>/dev/null | grep -q 'from the sealed bundle'

    "$RUNE_STAGE/../tests/unit/sgx/make-test-enclave" "$work/other"
    sgx-tools sign --key "$work/key.pem" --out "$work/other.sig" "$work/other"
    annotate signature "$(base64 -w0 "$work/other.sig")"
    refused "and this enclave has $mrenclave" rune --enclave run --bundle "$bundle" "$id"
    annotate signature "AAAA"
    refused "enclave.signature is not a SIGSTRUCT" rune --enclave run --bundle "$bundle" "$id"
    annotate signature ""
    printf x | dd of="$work/signatures/$mrenclave.sigstruct" bs=1 seek=600 conv=notrunc status=none
    refused "$mrenclave.sigstruct: SIGSTRUCT: the signature" rune --enclave run --bundle "$bundle" "$id"
}
