# SPDX-License-Identifier: Apache-2.0
# Shared by the enclave tests: a bundle, its configuration, what must be gone afterwards.

load common
pals=$(dirname "$RUNE_STAGE")/tests/pal
export tty=$BATS_TEST_DIRNAME/terminal.py

enclave_setup() {
    [ -x "$RUNE" ] || skip "no rune at $RUNE (make stage)"
    work=$(mktemp -d "${TMPDIR:-/tmp}/enclave-test.XXXXXX")
    state=$work/state
    bundle=$work/bundle
    # shellcheck disable=SC2034 # common.bash and the tests use it
    id=enc-$$-$BATS_TEST_NUMBER-$RANDOM
    mkdir -p "$bundle/rootfs"/{proc,dev,sys,tmp,etc}
    echo 'root:x:0:0:root:/root:/bin/sh' >"$bundle/rootfs/etc/passwd"
    (cd "$bundle" && "$RUNE" spec)
    configure 'c["process"]["terminal"] = False'
    background=()
}

# A container of busybox with these names, which the LibOS is to run. One conversion serves the whole file: the cache is keyed by content.
busybox_setup() { # NAME...
    local name
    enclave_setup
    busybox=$(command -v busybox) || skip "no busybox"
    [ -n "$(find "$RUNE_STAGE" -name libos.elf)" ] || skip "no LibOS in $RUNE_STAGE"
    mkdir -p "$bundle/rootfs/bin"
    cp "$busybox" "$bundle/rootfs/bin/busybox"
    for name in "$@"; do ln -s busybox "$bundle/rootfs/bin/$name"; done
    export RUNE_CACHE_DIR=$BATS_FILE_TMPDIR/cache RUNE_SIGNING_KEY=$BATS_FILE_TMPDIR/key.pem
    mkdir -p "$RUNE_CACHE_DIR"
}

enclave_teardown() {
    [ -n "${work:-}" ] || return 0
    for pid in "${background[@]}"; do
        kill -9 "$pid" 2>/dev/null || true
    done
    delete_containers
    rm -rf "$work"
}

# Nothing here takes this long: a hang becomes a failure, and the next test has its turn.
rune() {
    timeout --foreground -k 5 60 "$RUNE" --root "$state" "$@"
}

# built KEY: of the summary of the enclave that was built last. The cache has those of a file's other tests, too.
built() {
    # shellcheck disable=SC2012
    jq -r --arg key "$1" '.[$key]' "$(ls -t "$RUNE_CACHE_DIR"/*/enclave-*/manifest.json | head -1)"
}

# use_pal v4 ARGS...: the test library of that version, and the entrypoint
use_pal() {
    local library=$pals/libpal-$1.so
    shift
    configure "c['annotations'] = {'enclave.type': 'auto', 'enclave.runtime.path': '$library'}"
    arguments "$@"
}

# killed_within MILLISECONDS rune's arguments...: start rune, kill -9 it at some moment
killed_within() {
    local most=$1
    shift
    "$RUNE" --root "$state" "$@" >"$work/out" 2>&1 </dev/null &
    local creator=$!
    sleep "$(printf '%d.%03d' $((RANDOM % most / 1000)) $((RANDOM % most % 1000)))"
    kill -9 $creator 2>/dev/null || true
    wait $creator 2>/dev/null || true
}

processes_left() {
    # The pattern comes from a file, so that grep does not find itself.
    grep -slF -f <(echo "$work") /proc/[0-9]*/cmdline || true
}

# refused PART COMMAND...: exit code 1, one line with PART, nothing left behind
refused() {
    local part=$1
    shift
    run "$@"
    echo "$output"
    [ "$status" -eq 1 ]
    # Progress of a slow step ends in "..." and is no part of the message.
    [ "$(printf '%s\n' "$output" | grep -vc ' \.\.\.$')" -eq 1 ]
    [[ "$output" == *"$part"* ]]
    nothing_left
}

# annotate NAME VALUE: an enclave.* annotation
annotate() {
    NAME=$1 VALUE=$2 configure 'c.setdefault("annotations", {})["enclave." + os.environ["NAME"]] = os.environ["VALUE"]'
}

# same ARGS...: the program of $bundle has the same output and exit code as an ordinary container and as an enclave
same() {
    arguments "$@"
    local expected_status=0 status=0
    rune run --bundle "$bundle" "$id-plain" </dev/null >"$work/plain" 2>"$work/plain-err" || expected_status=$?
    rune --enclave run --bundle "$bundle" "$id" </dev/null >"$work/inside" 2>"$work/inside-err" || status=$?
    diff "$work/plain" "$work/inside" || { cat "$work/inside-err"; return 1; }
    [ "$status" -eq "$expected_status" ] || { echo "$status, not $expected_status"; cat "$work/inside-err"; return 1; }
    nothing_left
}

# not_taken SIGNAL: rune kill says so; the host that sends it all the same is the enclave's to refuse
not_taken() {
    run -1 rune kill "$id" "$1"
    echo "$output"
    [[ "${#lines[@]}" -eq 1 && "$output" =~ "the enclave "(refuses|never takes)" "(SIG|signal) ]]
    kill -"$1" "$(rune state "$id" | python3 -c 'import json,sys; print(json.load(sys.stdin)["pid"])')"
}
