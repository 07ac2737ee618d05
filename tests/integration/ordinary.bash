# SPDX-License-Identifier: Apache-2.0
# Shared by the tests of ordinary containers: a busybox bundle and what must be gone afterwards.

load common

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
    cd "$bundle" || return 1
}

ordinary_teardown() {
    [ -n "${work:-}" ] || return 0
    cd /
    delete_containers
    grep -F " $work" /proc/self/mounts | cut -d' ' -f2 | sort -r | xargs -r umount 2>/dev/null || true
    rm -rf "$work"
}

rune() {
    "$RUNE" --root "$state" "$@"
}

status_of() {
    rune state "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["status"])'
}

processes_left() {
    local p
    for p in /proc/[0-9]*; do
        [ "$(readlink "$p/cwd" 2>/dev/null)" = "$bundle" ] && [ "${p#/proc/}" != "$$" ] &&
            tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep "^$RUNE" || true
    done
}

# Run the container; what it says is shown when the test fails.
run_container() {
    run rune run "$id"
    echo "$output"
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
