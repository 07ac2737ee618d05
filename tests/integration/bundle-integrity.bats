#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A sealed image, an enclave file or a signature that was changed on the host: a read fails or the start is refused, with a line
# that says why; wrong data never comes back.

bats_require_minimum_version 1.5.0
load common

setup_file() {
    [ -x "$RUNE" ] || skip "no rune at $RUNE (make stage)"
    [ "$(id -u)" -eq 0 ] || skip "containers need root here"
    export bundle=$BATS_FILE_TMPDIR/bundle RUNE_CACHE_DIR=$BATS_FILE_TMPDIR/cache RUNE_SIGNING_KEY=$BATS_FILE_TMPDIR/key.pem
    make_root "$bundle/rootfs" 1
    (cd "$bundle" && "$RUNE" spec)
    configure "c['process']['terminal'] = False" "c['root']['readonly'] = True"
    check_files >"$BATS_FILE_TMPDIR/expected"
    [ "$(grep -c ' /data/' "$BATS_FILE_TMPDIR/expected")" -eq 40 ]
    entry=$(echo "$RUNE_CACHE_DIR"/*)
    enclave=$(echo "$entry"/enclave-*)
    export entry enclave
    cp -a "$entry" "$BATS_FILE_TMPDIR/whole"
}

# A root with a shell, a few tools and 40 data files of known content.
make_root() { # ROOT SEED
    mkdir -p "$1"/{bin,data,proc,dev,sys,tmp,etc}
    local program library
    for program in sh cat sha256sum sleep; do
        cp "$(readlink -f "$(command -v $program)")" "$1/bin/$program"
        for library in $(ldd "$1/bin/$program" | grep -o '/[^ ]*'); do
            mkdir -p "$1/$(dirname "$library")"
            cp -L "$library" "$1/$library"
        done
    done
    python3 - "$1/data" "$2" <<'PY'
import random, sys
r = random.Random(int(sys.argv[2]))
for i in range(40):
    with open("%s/file-%02d" % (sys.argv[1], i), "wb") as f:
        f.write(random.Random(int(sys.argv[2]) * 100 + i).randbytes(20000 + i * 7001))
PY
    find "$1" -exec touch -h -d '2020-01-01' {} +
}

in_enclave() { # SCRIPT [STDIN]
    SCRIPT=$1 configure "c['process']['args'] = ['/bin/sh', '-c', os.environ['SCRIPT']]"
    timeout -k 5 60 "$RUNE" --root "$BATS_FILE_TMPDIR/state" --enclave run --bundle "$bundle" "integrity-$$-$RANDOM" <"${2:-/dev/null}"
}

check_files() {
    in_enclave 'for f in /data/*; do sha256sum $f || echo "failed: $f"; done'
}

setup() {
    restore
}

restore() {
    local file
    for file in image sites info.json; do cp "$BATS_FILE_TMPDIR/whole/$file" "$entry/$file"; done
    cp "$BATS_FILE_TMPDIR/whole/${enclave##*/}"/* "$enclave/"
}

flip() { # FILE OFFSET
    python3 - "$1" "$2" <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2])); b = f.read(1)[0]
    f.seek(int(sys.argv[2])); f.write(bytes([b ^ 0x21]))
PY
}

hash_offset() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["hashOffset"])' "$entry/info.json"; }

# Every checksum that was printed is the right one.
nothing_wrong() { # OUTPUT
    ! grep -E '^[0-9a-f]{64}  /data/' "$1" | grep -vxFf "$BATS_FILE_TMPDIR/expected"
}

# The start is refused: exit code 1, no output of the program, a reason.
refused() { # PATTERN
    run --separate-stderr check_files
    echo "status $status: $output"
    echo "$stderr"
    [ "$status" -ne 0 ]
    [ -z "$output" ]
    grep -qE "$1" <<<"$stderr"
}

@test "a flipped byte anywhere in data or tree: the read fails, everything else is right" {
    size=$(stat -c %s "$entry/image")
    tree=$(hash_offset)
    failed=0 refused=0
    RANDOM=11
    for i in $(seq 30); do
        at=$(((RANDOM * 32768 + RANDOM) % tree))
        [ $((i % 5)) -ne 0 ] || at=$((tree + 4096 + (RANDOM * 32768 + RANDOM) % (size - tree - 4096)))
        flip "$entry/image" $at
        status=0
        check_files >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
        nothing_wrong "$BATS_TEST_TMPDIR/out" || { echo "wrong data with byte $at flipped"; return 1; }
        if ! cmp -s "$BATS_TEST_TMPDIR/out" "$BATS_FILE_TMPDIR/expected"; then
            grep -q 'sealed image: ' "$BATS_TEST_TMPDIR/err" || { cat "$BATS_TEST_TMPDIR/err"; return 1; }
            if [ -s "$BATS_TEST_TMPDIR/out" ]; then failed=$((failed + 1)); else refused=$((refused + 1)); fi
        fi
        flip "$entry/image" $at
    done
    echo "reads failed $failed, starts refused $refused"
    [ $((failed + refused)) -gt 10 ]
    [ "$failed" -gt 3 ]
    cmp "$entry/image" "$BATS_FILE_TMPDIR/whole/image"
}

@test "a data block: EIO for its file only, and the log names the block" {
    # The block that holds the middle of file-20.
    at=$(python3 - "$entry/image" "$bundle/rootfs/data/file-20" <<'PY'
import sys
image, part = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read()[40960:45056]
print(image.index(part))
PY
)
    flip "$entry/image" $((at + 1000))
    run --separate-stderr check_files
    [ "$(grep -c '^failed: ' <<<"$output")" -eq 1 ]
    grep -q '^failed: /data/file-20$' <<<"$output"
    [ "$(grep -c ' /data/file-' <<<"$output")" -eq 40 ]
    grep -q "sealed image: block $((at / 4096)) (data) is not what was measured" <<<"$stderr"
    grep -qi 'input/output error' <<<"$stderr"
}

@test "the verity superblock, another image of the same size, another file" {
    flip "$entry/image" "$(($(hash_offset) + 90))"
    refused 'sealed image: its verity superblock'
    restore
    make_root "$BATS_TEST_TMPDIR/other" 2
    "$RUNE_STAGE/usr/bin/rune-image" convert --quiet --image-only --cache "$BATS_TEST_TMPDIR/cache" "$BATS_TEST_TMPDIR/other" >/dev/null
    cp "$BATS_TEST_TMPDIR"/cache/*/image "$BATS_TEST_TMPDIR/image"
    [ "$(stat -c %s "$BATS_TEST_TMPDIR/image")" -eq "$(stat -c %s "$entry/image")" ]
    cat "$BATS_TEST_TMPDIR/image" >"$entry/image"
    refused 'sealed image: '
    head -c "$(stat -c %s "$BATS_TEST_TMPDIR/image")" /dev/zero >"$entry/image"
    refused 'sealed image: '
}

@test "a truncated image is made again, with the same MRENCLAVE" {
    truncate -s -4096 "$entry/image"
    check_files >"$BATS_TEST_TMPDIR/out"
    cmp "$BATS_TEST_TMPDIR/out" "$BATS_FILE_TMPDIR/expected"
    cmp "$entry/image" "$BATS_FILE_TMPDIR/whole/image"
    cp -a "$BATS_FILE_TMPDIR/whole/${enclave##*/}" "$entry/" 2>/dev/null || true
}

@test "an image that is cut while it is in use: the container fails, and gives no wrong data" {
    local out=$BATS_TEST_TMPDIR/out go=$BATS_TEST_TMPDIR/go
    mkfifo "$go"
    in_enclave 'cat /data/file-39 >/dev/null; echo ready; read -r go; for f in /data/*; do sha256sum $f || echo "failed: $f"; done' \
        "$go" >"$out" 2>"$BATS_TEST_TMPDIR/err" &
    pid=$!
    exec 9>"$go"
    within 50 grep -qx ready "$out"
    truncate -s 8192 "$entry/image"
    echo go >&9
    exec 9>&-
    status=0
    wait $pid || status=$?
    cat "$BATS_TEST_TMPDIR/err"
    nothing_wrong "$out"
    ! grep -vx ready "$out" | cmp -s - "$BATS_FILE_TMPDIR/expected" || false
    rm "$entry/image" # what has it mapped keeps the old file
}

@test "a changed site table" {
    flip "$entry/sites" 40
    refused 'site table'
}

@test "a changed manifest or enclave page" {
    # The manifest page begins with its magic.
    at=$(python3 -c 'import sys; print(open(sys.argv[1], "rb").read().index(b"RUNEIMG1"))' "$enclave/enclave")
    flip "$enclave/enclave" $((at + 16))
    refused 'MRENCLAVE|measurement|mrenclave'
    restore
    flip "$enclave/enclave" "$(($(stat -c %s "$enclave/enclave") / 2))"
    refused 'MRENCLAVE|measurement|mrenclave'
}

@test "a changed or missing signature" {
    flip "$enclave/sigstruct" 600 # in the signature
    refused 'SIGSTRUCT|signature'
    restore
    flip "$enclave/sigstruct" 965 # in the measurement
    refused 'SIGSTRUCT|signature'
    restore
    truncate -s 100 "$enclave/sigstruct"
    refused 'SIGSTRUCT|sigstruct|signature'
}

@test "a root without mount points is sealed once" {
    local other=$BATS_TEST_TMPDIR/other run
    mkdir -p "$other"
    make_root "$other/rootfs" 3
    rmdir "$other"/rootfs/{proc,dev,sys,tmp}
    touch "$BATS_TEST_TMPDIR/hosts"
    cp "$bundle/config.json" "$other/"
    HOSTS=$BATS_TEST_TMPDIR/hosts bundle=$other configure "c['process']['args'] = ['/bin/cat', '/data/file-00']" \
        "c['mounts'].append({'destination': '/etc/hosts', 'type': 'bind', 'source': os.environ['HOSTS'], 'options': ['bind', 'ro']})" \
        "c['mounts'].append({'destination': '/srv/more', 'type': 'tmpfs', 'source': 'tmpfs'})"
    for run in 1 2; do
        timeout -k 5 60 "$RUNE" --debug --root "$BATS_FILE_TMPDIR/state" --enclave run --bundle "$other" "points-$$-$RANDOM" \
            </dev/null >/dev/null 2>"$BATS_TEST_TMPDIR/log.$run"
    done
    grep -q 'converted now' "$BATS_TEST_TMPDIR/log.1"
    grep -q 'from the cache' "$BATS_TEST_TMPDIR/log.2"
}

@test "with RUNE_SIGNING=client only an imported signature starts the enclave" {
    export RUNE_SIGNING=client
    refused 'no signature yet'
    dir=$(find "$entry" -maxdepth 1 -name 'enclave-*' ! -path "$enclave")
    [ -d "$dir" ]
    "$RUNE_STAGE/usr/bin/rune-image" export-signing "$dir" "$BATS_TEST_TMPDIR/material"
    openssl genrsa -3 -out "$BATS_TEST_TMPDIR/key" 3072 2>/dev/null
    openssl rsa -in "$BATS_TEST_TMPDIR/key" -pubout -out "$BATS_TEST_TMPDIR/public" 2>/dev/null
    openssl dgst -sha256 -sign "$BATS_TEST_TMPDIR/key" -out "$BATS_TEST_TMPDIR/signature" "$BATS_TEST_TMPDIR/material"
    "$RUNE_STAGE/usr/bin/rune-image" import-signature "$dir" "$BATS_TEST_TMPDIR/signature" "$BATS_TEST_TMPDIR/public"
    check_files >"$BATS_TEST_TMPDIR/out"
    cmp "$BATS_TEST_TMPDIR/out" "$BATS_FILE_TMPDIR/expected"
    rm -rf "$dir"
}
