#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Podman (with conmon) with rune as its runtime, in a storage of its own.

load ordinary

setup_file() {
    command -v podman >/dev/null && command -v conmon >/dev/null || return 0
    pod=$(mktemp -d "${TMPDIR:-/tmp}/rune-podman.XXXXXX")
    export pod
    mkdir -p "$pod/image"/{bin,etc,proc,sys,dev,tmp,run}
    cp "$(command -v busybox)" "$pod/image/bin/busybox"
    for applet in sh cat id ls mount sleep tty touch echo ps env wc; do
        ln "$pod/image/bin/busybox" "$pod/image/bin/$applet"
    done
    printf 'root:x:0:0:root:/:/bin/sh\n' >"$pod/image/etc/passwd"
    tar -C "$pod/image" -cf "$pod/image.tar" .
    pod import -q "$pod/image.tar" localhost/bb:latest
}

teardown_file() {
    [ -n "${pod:-}" ] || return 0
    pod rm -fa >/dev/null 2>&1 || true
    pod system reset -f >/dev/null 2>&1 || true
    rm -rf "$pod"
}

setup() {
    [ -n "${pod:-}" ] || skip "no podman or conmon"
    [ -x "$RUNE" ] || skip "no rune at $RUNE (make stage)"
}

teardown() {
    pod rm -fa >/dev/null 2>&1 || true
}

pod() {
    podman --root "$pod/root" --runroot "$pod/run" --tmpdir "$pod/tmp" --storage-driver vfs --cgroup-manager cgroupfs \
        --events-backend file --runtime "$RUNE" "$@"
}

# Limits as the machine allows them: Podman's own defaults may be above.
in_pod() {
    local verb=$1
    shift
    pod "$verb" --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --network none "$@"
}

@test "podman run: output, exit code, user, read-only root, limits" {
    run in_pod run --rm localhost/bb:latest sh -c 'echo hello; exit 5'
    [ "$status" -eq 5 ]
    [[ "$output" == *hello* ]]
    [ "$(in_pod run --rm --user 1000 localhost/bb:latest id -u)" = 1000 ]
    run in_pod run --rm --read-only localhost/bb:latest touch /x
    [ "$status" -eq 1 ]
    [[ "$output" == *"Read-only"* ]]
    [ "$(in_pod run --rm --memory 64m localhost/bb:latest cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null ||
        in_pod run --rm --memory 64m localhost/bb:latest cat /sys/fs/cgroup/memory.max)" = 67108864 ]
}

@test "podman run --detach, exec, logs, pause, top, update, stop" {
    in_pod run --detach --name web localhost/bb:latest sh -c 'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done'
    run pod exec web sh -c 'echo inside; exit 3'
    [ "$status" -eq 3 ]
    [[ "$output" == *inside* ]]
    pod pause web
    [ "$(pod inspect --format '{{.State.Status}}' web)" = paused ]
    pod unpause web
    pod top web | grep -q sleep
    pod update --memory 32m web
    pod stop --time 5 web
    [ "$(pod inspect --format '{{.State.ExitCode}}' web)" = 0 ]
    pod logs web | grep -q up
    pod start web
    pod kill --signal KILL web
    within 5 sh -c "podman --root $pod/root --runroot $pod/run --tmpdir $pod/tmp --storage-driver vfs inspect --format '{{.State.ExitCode}}' web | grep -q 137"
}

@test "podman run: terminal, user namespace, restart policy" {
    script -qec "podman --root $pod/root --runroot $pod/run --tmpdir $pod/tmp --storage-driver vfs --cgroup-manager cgroupfs \
        --runtime $RUNE run --rm -t --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --network none localhost/bb:latest tty" \
        /dev/null | grep -q /dev/pts/0
    in_pod run --rm --uidmap 0:100000:65536 localhost/bb:latest cat /proc/self/uid_map | grep -q 100000
    in_pod run --detach --name again --restart on-failure:2 localhost/bb:latest sh -c 'echo try; exit 1'
    within 20 sh -c "[ \$(podman --root $pod/root --runroot $pod/run --tmpdir $pod/tmp --storage-driver vfs logs again | grep -c try) = 3 ]"
}
