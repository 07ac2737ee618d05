# SPDX-License-Identifier: Apache-2.0
# Shared by the tests of ordinary containers: a busybox bundle and what must be gone afterwards.

repo=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
: "${RUNE_STAGE:=$repo/build/stage}"
: "${RUNE:=$RUNE_STAGE/usr/bin/rune}"

ordinary_setup() {
    [ -x "$RUNE" ] || skip "no rune at $RUNE (make stage)"
    command -v busybox >/dev/null || skip "no busybox (package busybox-static)"
    [ "$(id -u)" = 0 ] || skip "needs root"
    work=$(mktemp -d "${TMPDIR:-/tmp}/rune-test.XXXXXX")
    chmod 711 "$work"
    state=$work/state
    bundle=$work/bundle
    id=ord-$$-$BATS_TEST_NUMBER-$RANDOM
    mkdir -p "$bundle/rootfs"/{bin,proc,dev,sys,tmp,etc,root}
    cp "$(command -v busybox)" "$bundle/rootfs/bin/busybox"
    for applet in sh cat ls true false id env sleep echo tty stty grep mount hostname ps head wc mkdir touch kill dd; do
        ln "$bundle/rootfs/bin/busybox" "$bundle/rootfs/bin/$applet"
    done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$bundle/rootfs/etc/passwd"
    (cd "$bundle" && "$RUNE" spec)
    configure 'c["process"]["terminal"] = False'
    cd "$bundle"
}

ordinary_teardown() {
    [ -n "${work:-}" ] || return 0
    cd /
    for name in $(ls "$state" 2>/dev/null); do
        "$RUNE" --root "$state" delete --force "$name" >/dev/null 2>&1 || true
    done
    grep -F " $work" /proc/self/mounts | cut -d' ' -f2 | sort -r | xargs -r umount 2>/dev/null || true
    rm -rf "$work"
}

rune() {
    "$RUNE" --root "$state" "$@"
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

# The entrypoint.
arguments() {
    configure "c['process']['args'] = $(python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@")"
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

status_of() {
    rune state "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["status"])'
}

status_is() {
    [ "$(status_of "$1")" = "$2" ]
}

# Nothing of the container is left: state, cgroups, mounts, processes.
nothing_left() {
    local name=${1:-$id} left
    [ ! -e "$state/$name" ] || { echo "state directory is left"; return 1; }
    left=$(find /sys/fs/cgroup -maxdepth 4 -type d -name "*$name*" 2>/dev/null || true)
    [ -z "$left" ] || { echo "cgroups are left: $left"; return 1; }
    left=$(grep -F "$work" /proc/self/mounts || true)
    [ -z "$left" ] || { echo "mounts are left: $left"; return 1; }
    left=$(for p in /proc/[0-9]*; do
        [ "$(readlink "$p/cwd" 2>/dev/null)" = "$bundle" ] && [ "${p#/proc/}" != "$$" ] &&
            tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep "^$RUNE" || true
    done)
    [ -z "$left" ] || { echo "processes are left: $left"; return 1; }
}

# refused PART COMMAND...: exit code 1, one line with PART, nothing left behind
refused() {
    local part=$1
    shift
    run "$@"
    echo "$output"
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == "rune: "*"$part"* ]]
    nothing_left
}

# program NAME [FLAG...]: tests/integration/programs/NAME.c as a static program; prints its path
program() {
    local name=$1 out=${BATS_FILE_TMPDIR:-$work}/$1
    shift
    [ -x "$out" ] || cc -O1 -static -D_GNU_SOURCE -o "$out" "$repo/tests/integration/programs/$name.c" "$@" >&2 || return 1
    echo "$out"
}

# install_program NAME: into the root of the bundle, in /bin
install_program() {
    cp "$(program "$@")" "$bundle/rootfs/bin/$1"
}
