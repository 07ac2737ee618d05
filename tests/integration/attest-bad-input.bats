#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Whatever the files of attestation are, the tools say so in one line, soon, and with little memory: nesting, numbers, names that are there twice,
# long texts, aliases of YAML, files that have no end, and parts of good ones.

bats_require_minimum_version 1.5.0
load common

MEMORY=$((512 << 10)) # KiB of address space, for a tool whose input has a few MiB
SECONDS_EACH=20

setup_file() {
    export work=$BATS_FILE_TMPDIR RUNE_SGX_EMULATOR_ROOT=$BATS_FILE_TMPDIR/sgx
    export PATH=$RUNE_STAGE/usr/bin:$PATH
    mkdir "$work/good" "$work/bombs" "$work/bundle" "$work/rootfs"
    "$RUNE_STAGE/../tests/unit/attest/make-test-quote" "$work/good"
    echo x >"$work/rootfs/file"
    (cd "$work/bundle" && rune spec && mkdir rootfs && echo x >rootfs/file)
    python3 - "$work/bombs" <<'PY'
import os, sys
os.chdir(sys.argv[1])
n = 3 << 20
files = {
    "empty": b"", "nul": bytes(n), "noise": os.urandom(1 << 16), "lists": b"[" * n, "objects": b'{"a":' * (n // 5),
    "closed-lists": b"[" * (n // 2) + b"]" * (n // 2), "in-member": b'{"process":' + b"[" * n,
    "digits": b'{"isv_svn":' + b"9" * n + b"}", "exponent": b'{"isv_svn":1e999999999}', "minus": b'{"version":-' + b"0" * n + b"}",
    "string": b'{"ociVersion":"' + b"a" * n + b'"}', "escapes": b'{"ociVersion":"' + b"\\u0000" * (n // 6) + b'"}',
    "open-string": b'{"process":"' + b"\\" * n, "twice": b'{"mrenclave":"00","mrenclave":"00"}',
    "many-twice": b"{" + b'"a":1,' * (n // 6) + b'"a":1}', "items": b"[" + b"1," * (n // 2) + b"1]",
    "not-utf8": b'{"ociVersion":"\xff\xfe"}', "surrogate": b'{"ociVersion":"\\ud800"}',
    "laughs": b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(12)),
    "flow": b"a: " + b"[" * n, "indents": b"".join(b" " * i + b"a:\n" for i in range(2000)), "dashes": b"- " * (n // 2),
    "pem": b"-----BEGIN CERTIFICATE-----\n" + b"A" * n, "pems": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" * 40000,
    "der": b"\x30\x83\xff\xff\xff" * (n // 5), "hex": b"30" * (n // 2),
}
for name, data in files.items():
    open(name, "wb").write(data)
os.mkdir("directory")
os.symlink("/dev/zero", "endless")
os.symlink("nowhere", "dangling")
PY
}

# refused COMMAND...: in one line of the standard error, by the command itself, in time, within the memory
refused() {
    run bash -c 'ulimit -v "$1"; ulimit -c 0; shift; exec timeout -k 5 "$@" </dev/null 2>&1 >/dev/null' - "$MEMORY" "$SECONDS_EACH" "$@"
    if [ "$status" -eq 0 ] || [ "$status" -ge 124 ] || [ "${#lines[@]}" -ne 1 ] || [ "${#output}" -gt 9000 ]; then
        echo "$*: status $status, ${#lines[@]} lines: ${output:0:600}"
        return 1
    fi
}

# each COMMAND...: with each bomb in place of the word @; all are tried
each() {
    local bomb wrong=0
    for bomb in "$work"/bombs/*; do
        refused "${@//@/$bomb}" || wrong=1
    done
    return $wrong
}

@test "sgx-tools inspect" {
    each sgx-tools inspect @
}

@test "verify-quote: a policy, a root, a deployment" {
    rm "$work"/bombs/empty || true # no policy, an empty one, is refused as well: below
    local verify=(sgx-tools verify-quote --allow-simulation --collateral "$work/good")
    each "${verify[@]}" --policy @ "$work/good/quote"
    each "${verify[@]}" --simulation-root @ "$work/good/quote"
    : >"$work/bombs/empty"
    refused "${verify[@]}" --policy "$work/bombs/empty" "$work/good/quote"
}

# Refusals of evidence print their checks, and the reason last.
judged() { # STATUS COMMAND...
    local expected=$1
    shift
    run bash -c 'ulimit -v "$1"; shift; exec timeout -k 5 "$@" </dev/null' - "$MEMORY" "$SECONDS_EACH" "$@"
    if [[ " $expected " != *" $status "* ]] || [ "${#output}" -gt 20000 ]; then
        echo "$*: status $status: ${output:0:600}"
        return 1
    fi
}

@test "verify-quote: evidence" {
    local bomb wrong=0 size
    for bomb in "$work"/bombs/*; do
        judged "1 2" sgx-tools verify-quote --allow-simulation --collateral "$work/good" "$bomb" || wrong=1
    done
    for size in 1 47 48 431 432 435 436 1000 2000; do
        head -c "$size" "$work/good/quote" >"$work/cut"
        judged 2 sgx-tools verify-quote --allow-simulation --collateral "$work/good" "$work/cut" || wrong=1
    done
    cat "$work/good/quote" "$work/bombs/nul" >"$work/long"
    judged "1 2" sgx-tools verify-quote --allow-simulation --collateral "$work/good" "$work/long" || wrong=1
    return $wrong
}

@test "verify-quote: each part of the collateral" {
    local bomb part wrong=0
    for part in tcb_info.json tcb_issuer_chain.pem qe_identity.json qe_issuer_chain.pem pck.crl root_ca.crl; do
        for bomb in "$work"/bombs/*; do
            [ "$bomb" != "$work/bombs/dangling" ] || continue # a part that is not there is missing, not bad
            rm -rf "$work/bad"
            cp -r "$work/good" "$work/bad"
            ln -sf "$bomb" "$work/bad/$part"
            [ "$part" != qe_issuer_chain.pem ] || [ "$bomb" != "$work/bombs/empty" ] || continue # then it is the TCB info's
            judged "1 3" sgx-tools verify-quote --allow-simulation --simulation-root "$work/good/simulation_root.pem" --collateral "$work/bad" "$work/good/quote" || wrong=1
        done
        size=$(stat -c %s "$work/good/$part")
        rm -rf "$work/bad"
        cp -r "$work/good" "$work/bad"
        head -c $((size / 2)) "$work/good/$part" >"$work/bad/$part"
        judged 3 sgx-tools verify-quote --allow-simulation --simulation-root "$work/good/simulation_root.pem" --collateral "$work/bad" "$work/good/quote" || wrong=1
    done
    return $wrong
}

@test "ratls-client: a policy, collateral, a root" {
    each ratls-client --policy @ 127.0.0.1:1
    each ratls-client --allow-simulation --simulation-root @ 127.0.0.1:1
    each ratls-client --collateral @/x 127.0.0.1:1
}

@test "rune-image measure: what is to run, and what ran" {
    local measure=(rune-image measure --configid-only --cache "$work/cache")
    each "${measure[@]}" "$work/rootfs" @
    for ending in yaml json; do
        mkdir -p "$work/$ending"
        for bomb in "$work"/bombs/*; do
            ln -sf "$bomb" "$work/$ending/x.$ending"
            refused "${measure[@]}" "$work/rootfs" "$work/$ending/x.$ending"
        done
    done
    each "${measure[@]}" --compare @ "$work/bundle"
    each "${measure[@]}" --image-config @ "$work/rootfs" docker run x
    each rune-image policy --cache "$work/cache" "$work/rootfs" @
}

@test "rune-image: bundles, bounds and image files" {
    mkdir -p "$work/other/rootfs"
    for bomb in "$work"/bombs/*; do
        ln -sf "$bomb" "$work/other/config.json"
        refused rune-image measure --configid-only --cache "$work/cache" "$work/other"
        refused sgx-tools verify-quote --allow-simulation --collateral "$work/good" --deployment "$work/other" "$work/good/quote"
        refused sgx-tools verify-quote --allow-simulation --collateral "$work/good" --deployment "$work/bundle" --deployed "$work/other" "$work/good/quote"
    done
    each rune-image convert --quiet --cache "$work/cache" --bound @ "$work/rootfs"
    rm -r "$work/bombs/directory" # a directory is a root
    each rune-image convert --quiet --cache "$work/cache" @
    each rune-image bundle --cache "$work/cache" @ "$work/out"
    mkdir "$work/bombs/directory"
}

@test "rune-signd: its list and its configuration" {
    for bomb in "$work"/bombs/*; do
        [ -f "$bomb" ] || continue
        cp -L "$bomb" "$work/signd.toml"
        chmod 600 "$work/signd.toml"
        refused rune-signd --check --config "$work/signd.toml"
    done
}
