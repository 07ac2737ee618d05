# SPDX-License-Identifier: Apache-2.0
# Shared by the enclave tests: a bundle, its configuration, what must be gone afterwards.

repo=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
: "${RUNE_STAGE:=$repo/build/stage}"
: "${RUNE:=$RUNE_STAGE/usr/bin/rune}"
pals=$(dirname "$RUNE_STAGE")/tests/pal
tty=$BATS_TEST_DIRNAME/terminal.py

enclave_setup() {
    [ -x "$RUNE" ] || skip "no rune at $RUNE (make stage)"
    work=$(mktemp -d "${TMPDIR:-/tmp}/enclave-test.XXXXXX")
    state=$work/state
    bundle=$work/bundle
    id=enc-$$-$BATS_TEST_NUMBER-$RANDOM
    mkdir -p "$bundle/rootfs"/{proc,dev,sys,tmp,etc}
    echo 'root:x:0:0:root:/root:/bin/sh' >"$bundle/rootfs/etc/passwd"
    (cd "$bundle" && "$RUNE" spec)
    configure 'c["process"]["terminal"] = False'
    background=()
}

enclave_teardown() {
    [ -n "${work:-}" ] || return 0
    for pid in "${background[@]}"; do
        kill -9 "$pid" 2>/dev/null || true
    done
    for name in $(ls "$state" 2>/dev/null); do
        rune delete --force "$name" >/dev/null 2>&1 || true
    done
    rm -rf "$work"
}

# Nothing here takes this long: a hang becomes a failure, and the next test has its turn.
rune() {
    timeout --foreground -k 5 60 "$RUNE" --root "$state" "$@"
}

# configure 'python statements over c, the configuration' ...
configure() {
    CONFIG=$bundle/config.json python3 - "$@" <<'PY'
import json, os, sys
path = os.environ["CONFIG"]
c = json.load(open(path))
for statement in sys.argv[1:]:
    exec(statement)
json.dump(c, open(path, "w"), indent=2)
PY
}

# use_pal v4 ARGS...: the test library of that version, and the entrypoint
use_pal() {
    local library=$pals/libpal-$1.so
    shift
    configure "c['annotations'] = {'enclave.type': 'auto', 'enclave.runtime.path': '$library'}"
    arguments "$@"
}

arguments() {
    ARGUMENTS=$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@")
    configure "c['process']['args'] = $ARGUMENTS"
}

# within SECONDS COMMAND...: try until it succeeds
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "not within the time: $*" >&2; return 1; }
        sleep 0.05
    done
}

status_is() {
    [ "$(rune state "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["status"])')" = "$2" ]
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

# Nothing of the container is left: state, cgroups, mounts, processes.
nothing_left() {
    [ ! -e "$state/$id" ] || { echo "state directory is left"; return 1; }
    local left
    left=$(find /sys/fs/cgroup -maxdepth 4 -type d -name "*$id*" 2>/dev/null || true)
    [ -z "$left" ] || { echo "cgroups are left: $left"; return 1; }
    left=$(grep -F "$work" /proc/self/mounts || true)
    [ -z "$left" ] || { echo "mounts are left: $left"; return 1; }
    # The pattern comes from a file, so that grep does not find itself.
    left=$(grep -slF -f <(echo "$work") /proc/[0-9]*/cmdline || true)
    [ -z "$left" ] || { echo "processes are left: $left"; return 1; }
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
