#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# rune attest-host, on a configfs-tsm that the test serves as the kernel does (tsm.py): TDX quotes of the simulated authority, a genuine
# SEV-SNP report where one is.

bats_require_minimum_version 1.5.0
load common

setup() {
    [ "$(id -u)" -eq 0 ] || skip "mounting needs root here"
    [ -e /dev/fuse ] || skip "no /dev/fuse"
    work=$(mktemp -d)
    mkdir "$work/tsm" "$work/out"
    export RUNE_SGX_EMULATOR_ROOT=$work/root
    genuine=${ATTEST_DATA:-$repo/../shared/attest}/snp/milan-v2-trustee
}

teardown() {
    [ -z "${server:-}" ] || umount "$work/tsm" || umount -l "$work/tsm"
    [ -z "${server:-}" ] || wait "$server"
    rm -rf "$work"
}

# kernel PROVIDER [FAULT]: what the kernel gives is what $work/maker prints
kernel() {
    echo "$@" >"$work/control.new"
    mv "$work/control.new" "$work/control" # whole at any time: the server reads it at each request
    [ -z "${server:-}" ] || return 0
    python3 "$BATS_TEST_DIRNAME/tsm.py" "$work/tsm" "$work/control" "$work/maker" >"$work/said" 3>&- &
    server=$!
    within 60 grep -q serves "$work/said"
}

td_quotes() { # VERSION
    cat >"$work/maker" <<SH
#!/bin/sh
"$RUNE_STAGE/../tests/unit/attest/make-test-quote" "$work/out" td $1 "\$1" && cat "$work/out/quote"
SH
    chmod 755 "$work/maker"
}

attest_host() {
    "$RUNE" attest-host --tsm "$work/tsm" "$@"
}

# refused TEXT ARGUMENT...: one line that has the text, no evidence, no entry left
refused() {
    run attest_host "${@:2}"
    [ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ] && [[ "$output" == *"$1"* ]] || { echo "$output"; return 1; }
}

@test "a TD's quote over a nonce is judged by verify-quote, and the entry is gone" {
    for version in 4 5; do
        td_quotes $version
        kernel tdx_guest
        attest_host --user-data 6b6579 --nonce 6e6f6e6365 --output "$work/quote"
        verify=(sgx-tools verify-quote --allow-simulation --collateral "$work/out" --user-data 6b6579)
        run -0 "${verify[@]}" --nonce 6e6f6e6365 "$work/quote"
        run -6 "${verify[@]}" --nonce 6e6f6e6364 "$work/quote"
        [ -z "$(ls "$work/tsm")" ]
        attest_host >"$work/quote"
        cmp "$work/quote" "$work/out/quote"
    done
}

@test "a genuine SEV-SNP report passes with the certificates that the host gave along" {
    [ -e "$genuine/report.bin" ] || skip "no vendor's evidence beside the repository"
    openssl x509 -in "$genuine/vcek.pem" -outform DER -out "$work/vcek"
    openssl x509 -in "$genuine/ask.pem" -outform DER -out "$work/ask"
    cp "$genuine/ark.pem" "$work/ark"
    cp "$genuine/../crl/ARK-Milan.crl" "$work/crl"
    printf '#!/bin/sh\n[ "$1" = aux ] && exec cat "%s" || exec cat "%s"\n' "$work/table" "$genuine/report.bin" >"$work/maker"
    chmod 755 "$work/maker"
    python3 - "$work" <<'PY'
import struct, sys, uuid
guids = {"ark": "c0b406a4-a803-4952-9743-3fb6014cd0ae", "vcek": "63da758d-e664-4564-adc5-f4b93be8accd", "ask": "4ab7b379-bbac-4fe4-a02f-05aef327c782",
         "crl": "92f81bc3-5811-4d3d-97ff-d19f88dc67ea"}
rows, data = b"", b""
for name, guid in guids.items():
    text = open(f"{sys.argv[1]}/{name}", "rb").read()
    rows += uuid.UUID(guid).bytes + struct.pack("<II", 24 * (len(guids) + 1) + len(data), len(text))
    data += text
open(sys.argv[1] + "/table", "wb").write(rows + bytes(24) + data)
PY
    kernel sev_guest
    data=$(od -An -v -tx1 -j80 -N64 "$genuine/report.bin" | tr -d ' \n')
    attest_host --user-data "$data" --collateral "$work/out" --output "$work/report"
    run -0 sgx-tools verify-quote --time 2023-03-01T00:00:00Z --collateral "$work/out" --user-data "$data" "$work/report"
    openssl x509 -in "$work/out/snp_chain.pem" -noout -subject | grep VCEK # the first is the key's own

    # A report of other data is an error here already, as is a table that leads out of itself.
    refused "over other report data" --nonce 00
    printf '\377\377\377\377' | dd of="$work/table" bs=1 seek=16 conv=notrunc status=none
    refused "row 0 leads out of it" --user-data "$data" --collateral "$work/out"
    : >"$work/table"
    refused "the host gave no certificate of the key that signed" --user-data "$data" --collateral "$work/out"
    refused "--privlevel: expected 0 to 3" --user-data "$data" --privlevel 9
    refused "privilege level 0 is not this kernel's: it has 1 and higher ones" --user-data "$data" --privlevel 0
    attest_host --user-data "$data" --privlevel 2 | cmp - "$genuine/report.bin"
}

@test "what is missing or fails is told in one line, with what to do" {
    refused "is this a virtual machine of TDX or SEV-SNP" --tsm "$work/nothing"
    td_quotes 4
    kernel none
    refused "load the module tdx_guest or sev_guest"
    kernel tdx_guest errno=EIO
    refused "does the host's quoting service run"
    kernel tdx_guest errno=EBUSY
    refused "(try again)"
    kernel tdx_guest data
    refused "what the kernel gave is over other report data"
    kernel tdx_guest generation
    refused "another program wrote to the entry"
    kernel arm_cca_guest
    refused 'provider "arm_cca_guest" is none that verify-quote knows'
    kernel tdx_guest
    refused "a TDX quote carries its chain" --collateral "$work/out"
    refused "only SEV-SNP has privilege levels" --privlevel 1
    refused "at most 64 bytes together" --user-data "$(printf '%0128d' 0)" --nonce 00
    refused "--nonce: expected bytes in hexadecimal digits" --nonce 0x1
    [ -z "$(ls "$work/tsm")" ]
    printf '#!/bin/sh\nhead -c 100 /dev/zero\n' >"$work/maker"
    refused "no quote of a TD"
}
