#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# containerd with its own runc shim and rune as the shim's binary (BinaryName), by way of ctr: ordinary containers, and enclave
# containers that an annotation or the environment asks for.

bats_require_minimum_version 1.5.0
load clients

setup_file() {
    clients_setup_file containerd containerd-shim-runc-v2 ctr busybox
    cat >"$work/config.toml" <<TOML
version = 2
root = "$work/root"
state = "$work/run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$work/sock"
[ttrpc]
  address = "$work/ttrpc"
TOML
    export CONTAINERD_ADDRESS=$work/sock CONTAINERD_NAMESPACE=rune-test
    start_daemon containerd containerd --config "$work/config.toml"
    within 30 ctr version || { tail -20 "$work/containerd.log"; return 1; }
    image_archive "$work/busybox.tar" test/busybox:1 "$work/image.tar"
    ctr image import "$work/image.tar" >/dev/null
}

teardown_file() {
    [ -n "${work:-}" ] || return 0
    ctr task ls -q | xargs -r -n 1 ctr task rm -f >/dev/null 2>&1 || true
    ctr container ls -q | xargs -r ctr container rm >/dev/null 2>&1 || true
    stop_daemon containerd
    clients_teardown_file
}

setup() {
    name=test-$BATS_TEST_NUMBER
    # Where the shim's own default would be /run/containerd/runc.
    options=(--runc-binary "$RUNE" --runc-root "$work/state" --cgroup "/$parent/$name")
}

teardown() {
    ctr task rm -f "$name" >/dev/null 2>&1 || true
    ctr container rm "$name" >/dev/null 2>&1 || true
}

box() { # OPTIONS... -- COMMAND...
    local flags=()
    while [ "$1" != -- ]; do
        flags+=("$1")
        shift
    done
    ctr run "${options[@]}" "${flags[@]}" docker.io/test/busybox:1 "$name" "${@:2}"
}

task_is() { # STATE
    ctr task ls | grep -q "^$name .*$1"
}

starts() { # OPTIONS...: in the background, its output in a file
    box -d --log-uri "file://$work/$name.out" "$@" -- sh -c 'trap "echo told; exit 3" TERM; echo up; while :; do sleep 0.1; done'
    within 10 grep -q up "$work/$name.out"
}

@test "run: output, input, exit codes, directory, environment, mounts, read-only root" {
    run -0 box --rm -- echo hello
    echo "$output"
    [ "$output" = hello ]
    run -7 box --rm -- sh -c 'exit 7'
    run -137 box --rm -- sh -c 'sh -c "kill -9 \$\$"; exit $?'
    mkdir "$work/$name"
    echo from outside >"$work/$name/file"
    run -0 box --rm --cwd /home/user --env COLOUR=blue --read-only --mount "type=bind,src=$work/$name,dst=/mnt,options=rbind:ro" -- \
        sh -c 'pwd; echo $COLOUR; cat /mnt/file; touch /x /mnt/x 2>/dev/null || echo no'
    [ "$output" = $'/home/user\nblue\nfrom outside\nno' ]
    run -1 box --rm -- no-such-program
    [[ "$output" == *'"no-such-program": executable file not found in $PATH'* ]]
}

@test "exec, kill, pause, resume, metrics, a task's end" {
    starts
    [ "$(ctr task exec --exec-id one "$name" id -u)" = 0 ]
    run -9 ctr task exec --exec-id two "$name" sh -c 'exit 9'
    [ "$(ctr task exec --exec-id three --cwd /tmp --user 1000:50 "$name" sh -c 'pwd; id -u; id -g' | tr '\n' ' ')" = "/tmp 1000 50 " ]
    run -0 script -qec "ctr task exec -t --exec-id four $name tty" /dev/null
    [[ "$output" == */dev/pts/* ]]
    ctr task pause "$name"
    task_is PAUSED
    ctr task resume "$name"
    task_is RUNNING
    ctr task metrics "$name" | grep -qi 'memory'
    ctr task ps "$name" | grep -q '[0-9]'
    ctr task kill -s TERM "$name"
    within 10 task_is STOPPED
    grep -q told "$work/$name.out"
    ctr task delete "$name"
}

@test "limits, privileged, a user namespace" {
    starts --memory-limit 67108864 --cpus 0.5
    if [ -d "/sys/fs/cgroup/memory/$parent/$name" ]; then
        [ "$(cat "/sys/fs/cgroup/memory/$parent/$name/memory.limit_in_bytes")" = 67108864 ]
        [ "$(cat "/sys/fs/cgroup/cpu/$parent/$name/cpu.cfs_quota_us")" = 50000 ]
    fi
    teardown
    box --rm --privileged -- sh -c 'mkdir /m && mount -t tmpfs tmpfs /m'
    [ "$(box --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 -- cat /proc/self/uid_map | tr -s ' ')" = " 0 100000 65536" ]
}

@test "a terminal" {
    run -0 script -qec "stty rows 33 cols 77; ctr run ${options[*]} --rm -t docker.io/test/busybox:1 $name sh -c 'tty; $show_size'" /dev/null
    [[ "$output" == */dev/pts/* ]]
    [[ "$output" == *"33 77"* ]]
}

# ---- enclave containers ----

@test "enclave: by annotation and by environment: output, exit codes, directory, mounts; the image is converted once" {
    [ "$(box --rm --annotation enclave.type=auto -- cat /dev/attestation/attestation_type 2>/dev/null | head -c 1 | wc -c)" -eq 1 ]
    made=$(cached_images)
    [ "$(wc -w <<<"$made")" -eq 1 ]
    mkdir "$work/$name"
    echo from outside >"$work/$name/file"
    run -9 --separate-stderr box --rm --env ENCLAVE_TYPE=auto --env COLOUR=blue --cwd /home/user --mount "type=bind,src=$work/$name,dst=/mnt,options=rbind:rw" -- \
        sh -c 'pwd; echo $COLOUR$ENCLAVE_TYPE; cat /mnt/file; echo back >/mnt/reply; test -e /dev/attestation || echo outside; exit 9'
    [ "$output" = $'/home/user\nblue\nfrom outside' ]
    [ "$(cat "$work/$name/reply")" = back ]
    run -1 box --rm --annotation enclave.type=auto -- no-such-program
    [[ "$output" == *'"no-such-program": executable file not found in $PATH'* ]]
    [ "$(cached_images)" = "$made" ]
}

@test "enclave: exec, SIGTERM, pause, a terminal" {
    starts --annotation enclave.type=auto --annotation enclave.exec=any
    run -9 ctr task exec --exec-id one "$name" sh -c 'test -e /dev/attestation && exit 9'
    [ "$(echo in | ctr task exec --exec-id two "$name" cat)" = in ]
    run -0 script -qec "ctr task exec -t --exec-id three $name tty" /dev/null
    [[ "$output" == */dev/pts/* ]]
    ctr task pause "$name"
    ctr task resume "$name"
    ctr task kill -s TERM "$name"
    within 10 task_is STOPPED
    grep -q told "$work/$name.out"
    ctr task delete "$name"
    teardown
    run -0 script -qec "stty rows 33 cols 77; ctr run ${options[*]} --annotation enclave.type=auto --rm -t docker.io/test/busybox:1 $name sh -c 'tty; $show_size'" /dev/null
    [[ "$output" == */dev/pts/* ]]
    [[ "$output" == *"33 77"* ]]
}

@test "an enclave container has the identity that rune-image measure predicts" {
    ctr_identity_is_predicted
}
