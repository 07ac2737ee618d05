# SPDX-License-Identifier: Apache-2.0
# Shared by the tests that run in the guest of tests/conformance/vm.sh. DRIVER says which cgroup driver: cgroupfs, systemd.

bats_require_minimum_version 1.5.0
: "${DRIVER:=cgroupfs}"
top=/sys/fs/cgroup

guest_setup() {
    work=$(mktemp -d /tmp/vm-test.XXXXXX)
    chmod 711 "$work"
    state=$work/state
    bundle=$work/bundle
    id=vm-$BATS_TEST_NUMBER-$RANDOM
    make_bundle "$bundle"
    cd "$bundle" || return 1
    configure '.process.args = ["sleep", "1000"]'
    if [ "$DRIVER" = systemd ]; then
        unit=test-$id.scope
        group=$top/machine.slice/$unit
        configure ".linux.cgroupsPath = \"machine.slice:test:$id\""
    else
        unit=
        group=$top/vm-tests/$id
        configure ".linux.cgroupsPath = \"/vm-tests/$id\""
    fi
}

make_bundle() {
    local applet
    mkdir -p "$1/rootfs"/{bin,proc,dev,sys,tmp,etc}
    cp /bin/busybox "$1/rootfs/bin/busybox"
    for applet in sh cat ls true id env sleep echo grep mount mkdir mknod dd head kill usleep; do
        ln "$1/rootfs/bin/busybox" "$1/rootfs/bin/$applet"
    done
    (cd "$1" && "$RUNE" spec)
    bundle=$1 configure '.process.terminal = false | .root.readonly = false'
}

guest_teardown() {
    [ -n "${work:-}" ] || return 0
    local name
    cd /
    for name in $(rune list -q); do
        rune delete --force "$name" >/dev/null 2>&1 || true
    done
    rm -rf "$work"
    rmdir $top/vm-tests 2>/dev/null || true
}

rune() {
    if [ "$DRIVER" = systemd ]; then
        timeout 120 "$RUNE" --systemd-cgroup --root "$state" "$@"
    else
        timeout 120 "$RUNE" --root "$state" "$@"
    fi
}

# configure FILTER: jq's over config.json
configure() {
    jq "$1" "$bundle/config.json" >"$bundle/config.new" && mv "$bundle/config.new" "$bundle/config.json"
}

# Detached, with no output that somebody would wait for.
start() {
    rune run -d "${1:-$id}" </dev/null >"$work/out" 2>&1 || { cat "$work/out"; return 1; }
}

# holds FILE VALUE: a file of the container's cgroup
holds() {
    local now
    now=$(cat "$group/$1") || return 1
    [ "$now" = "$2" ] || { echo "$1 is \"$now\", not \"$2\""; return 1; }
}

# unit_has PROPERTY VALUE: of the scope; nothing to see with the other driver
unit_has() {
    [ "$DRIVER" = systemd ] || return 0
    local now
    now=$(systemctl show "$unit" --property "$1" --value | paste -sd' ')
    [ "$now" = "$2" ] || { echo "$1 is \"$now\", not \"$2\""; return 1; }
}

# within SECONDS COMMAND...: try until it succeeds
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "not within the time: $*"; return 1; }
        sleep 0.2
    done
}

status_is() {
    [ "$(rune state "$1" | jq -r .status)" = "$2" ]
}

gone() {
    [ ! -e "$state/$id" ] || { echo "the state directory is left"; return 1; }
    [ ! -e "$group" ] || { echo "cgroup $group is left"; return 1; }
    [ -z "$unit" ] || [ "$(systemctl show "$unit" --property LoadState --value)" = not-found ] ||
        { echo "unit $unit is left"; return 1; }
}
