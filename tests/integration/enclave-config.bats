#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What config.json says holds in an enclave of the built-in LibOS as it does in an ordinary container, or is told at create.

bats_require_minimum_version 1.5.0
load enclave

setup() {
    [ "$(id -u)" -eq 0 ] || skip "containers need root here"
    enclave_setup
    busybox=$(command -v busybox) || skip "no busybox"
    [ -n "$(find "$RUNE_STAGE" -name libos.elf)" ] || skip "no LibOS in $RUNE_STAGE"
    mkdir -p "$bundle/rootfs/bin" "$bundle/rootfs/data"
    cp "$busybox" "$bundle/rootfs/bin/busybox"
    for applet in $("$busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$bundle/rootfs/bin/$applet"
    done
    configure 'c["root"]["readonly"] = False'
    export RUNE_CACHE_DIR=$BATS_FILE_TMPDIR/cache RUNE_SIGNING_KEY=$BATS_FILE_TMPDIR/key.pem
    mkdir -p "$RUNE_CACHE_DIR"
}
teardown() { enclave_teardown; }

# ooms [RUNE'S OPTIONS]: runs $bundle; its exit code is $status, its events are in $work/events, its output in $work/out
ooms() {
    rune --log "$work/log" "$@" create --bundle "$bundle" --pid-file "$work/pid" "$id" >"$work/out" 2>&1 </dev/null
    rune events "$id" >"$work/events" 2>/dev/null &
    local events=$!
    within 10 test -e "/proc/$events/fd/3"
    sleep 0.3
    rune start "$id"
    wait $events || true
    within 10 status_is "$id" stopped
}

fill='x=a; while :; do x=$x$x; done'

@test "memory limit: the end of process 1 is an oom event, and one line on stderr that says which limit" {
    [ -d /sys/fs/cgroup/memory ] || [ -e /sys/fs/cgroup/cgroup.controllers ] || skip "no memory cgroup here"
    configure 'c["linux"]["resources"] = {"memory": {"limit": 96 << 20, "swap": 96 << 20}}'
    arguments sh -c "$fill"
    ooms --enclave
    [ "$(grep -c '"oom"' "$work/events")" -eq 1 ]
    [ "$(grep -c "rune: out of memory: process 1 was killed: the container's memory limit of 96 MiB is used up; raise" "$work/out")" -eq 1 ]
    [ "$(wc -l <"$work/out")" -eq 1 ]
    rune delete "$id"
    run -137 rune --log "$work/log" --enclave run --bundle "$bundle" "$id"
    nothing_left
}

@test "memory limit: a child's end is one as well, and the container goes on" {
    [ -d /sys/fs/cgroup/memory ] || [ -e /sys/fs/cgroup/cgroup.controllers ] || skip "no memory cgroup here"
    configure 'c["linux"]["resources"] = {"memory": {"limit": 96 << 20, "swap": 96 << 20}}'
    arguments sh -c "for i in 1 2; do sh -c '$fill'; echo ended \$?; done; exec sleep 0.2"
    ooms --enclave
    [ "$(grep -c '"oom"' "$work/events")" -ge 1 ]
    [ "$(grep -c 'ended 137' "$work/out")" -eq 2 ]
    [ "$(grep -c 'out of memory' "$work/out")" -eq 1 ]
}

@test "memory limit: enclave.memory is told apart, and is nothing that the kernel counts" {
    annotate memory 80M
    configure 'c["linux"]["resources"] = {"memory": {"limit": 512 << 20}}'
    arguments sh -c "$fill"
    ooms --enclave
    [ "$(grep -c '"oom"' "$work/events")" -eq 0 ]
    [ "$(grep -c "what the enclave was built with is used up; raise enclave.memory" "$work/out")" -eq 1 ]
}

@test "with --log the container's output is the program's alone, at the first start as well" {
    local wrapper=$work/slow/mkfs.erofs
    mkdir "$work/slow" "$work/cache"
    printf '#!/bin/sh\nsleep 2.5\nexec %s "$@"\n' "$(command -v mkfs.erofs)" >"$wrapper"
    chmod 755 "$wrapper"
    arguments sh -c 'echo out; echo err >&2'
    PATH=$work/slow:$PATH RUNE_CACHE_DIR=$work/cache rune --debug --log "$work/log" --enclave run --bundle "$bundle" "$id" \
        >"$work/out" 2>"$work/err" </dev/null
    [ "$(cat "$work/out")" = out ]
    [ "$(cat "$work/err")" = err ]
    grep -q 'msg="[a-z ]* \.\.\."' "$work/log"
}
