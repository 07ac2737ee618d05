#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Docker with containerd-shim-rune-v2: ordinary and enclave containers. Docker takes other shims than runc's by name from version 23 on;
# so that older ones are tests, too, ours stands in the place of that one: it is first in PATH by its name.

bats_require_minimum_version 1.5.0
load clients

setup_file() {
    clients_setup_file dockerd docker containerd busybox
    mkdir "$work/bin"
    ln -s "$RUNE_STAGE/usr/bin/containerd-shim-rune-v2" "$work/bin/containerd-shim-runc-v2"
    export PATH=$work/bin:$PATH
    [ -x "$RUNE_STAGE/usr/bin/containerd-shim-rune-v2" ] || skip "no containerd-shim-rune-v2 in $RUNE_STAGE (make stage)"
    cat >"$work/daemon.json" <<JSON
{ "runtimes": { "rune": { "path": "$RUNE" },
                "rune-enclave": { "path": "$RUNE", "runtimeArgs": ["--enclave"] } },
  "cgroup-parent": "/$parent",
  "data-root": "$work/data", "exec-root": "$work/exec", "pidfile": "$work/docker.pidfile", "hosts": ["unix://$work/sock"],
  "bridge": "none", "iptables": false, "ip6tables": false, "ip-forward": false, "ip-masq": false }
JSON
    export DOCKER_HOST=unix://$work/sock DOCKER_CONFIG=$work/client
    start_daemon dockerd dockerd --config-file "$work/daemon.json"
    within 60 docker version || { tail -20 "$work/dockerd.log"; return 1; }
    docker import -c 'ENV PATH=/bin' -c 'CMD ["/bin/sh"]' "$work/busybox.tar" busybox >/dev/null
}

teardown_file() {
    [ -n "${work:-}" ] || return 0
    [ ! -S "$work/sock" ] || docker ps -aq | xargs -r docker rm -f >/dev/null
    stop_daemon dockerd
    clients_teardown_file
}

setup() {
    name=test-${parent##*-}-$BATS_TEST_NUMBER
}

teardown() {
    docker ps -aq | xargs -r docker rm -f >/dev/null
}

box() { # RUNTIME OPTIONS...
    local runtime=$1
    shift
    timeout -s KILL 120 docker run --network none --runtime "$runtime" "$@"
}

shim_is_ours() { # CONTAINER
    local pid
    pid=$(awk '/^PPid/ {print $2}' "/proc/$(docker inspect -f '{{.State.Pid}}' "$1")/status")
    [ "$(readlink "/proc/$pid/exe")" = "$(realpath "$RUNE_STAGE/usr/bin/containerd-shim-rune-v2")" ]
}

where='test -e /dev/attestation && echo inside || echo outside'

@test "run: output on both streams, exit codes, input, user, a terminal, a missing program" {
    run -0 --separate-stderr box rune --rm busybox sh -c "$where; echo error >&2"
    [ "$output" = outside ]
    [[ "$stderr" == *error ]]
    run -7 box rune --rm busybox sh -c 'exit 7'
    [ "$(echo through | box rune --rm -i busybox cat 2>/dev/null)" = through ]
    [ "$(box rune --rm -u 1000:50 -w /tmp -e A=b busybox sh -c 'id -u; id -g; pwd; echo $A' 2>/dev/null | tr '\n' ' ')" = "1000 50 /tmp b " ]
    run -0 script -qec "stty rows 33 cols 77; docker run --network none --runtime rune --rm -it busybox sh -c 'tty; $show_size'" /dev/null
    [[ "$output" == */dev/pts/* ]]
    [[ "$output" == *"33 77"* ]]
    run -127 box rune --rm busybox no-such-program
    [[ "$output" == *'"no-such-program": executable file not found in $PATH'* ]]
}

@test "exec, logs, stats, top, pause, stop, start again, restart policy, out of memory" {
    box rune -d --name "$name" --memory 64m busybox sh -c 'trap "echo told; exit 3" TERM; echo up; while :; do sleep 0.1; done' >/dev/null
    shim_is_ours "$name"
    [ "$(docker exec "$name" id -u)" = 0 ]
    run -9 docker exec "$name" sh -c 'exit 9'
    [ "$(echo in | docker exec -i "$name" cat)" = in ]
    run -0 script -qec "docker exec -it $name tty" /dev/null
    [[ "$output" == */dev/pts/* ]]
    [[ "$(docker stats --no-stream --format '{{.MemUsage}}' "$name")" == *"/ 64MiB" ]]
    docker top "$name" | grep -q sleep
    docker pause "$name" >/dev/null
    docker unpause "$name" >/dev/null
    docker update --memory 32m --memory-swap 32m "$name" >/dev/null
    [[ "$(docker stats --no-stream --format '{{.MemUsage}}' "$name")" == *"/ 32MiB" ]]
    docker stop -t 20 "$name" >/dev/null
    [ "$(docker inspect -f '{{.State.ExitCode}}' "$name")" = 3 ]
    docker logs "$name" 2>&1 | grep -q told
    docker start "$name" >/dev/null
    docker exec "$name" true
    docker kill "$name" >/dev/null
    [ "$(docker wait "$name")" = 137 ]
    run box rune --name "$name-oom" --memory 16m --memory-swap 16m busybox sh -c 'x=$(head -c 100000000 /dev/zero | tr "\0" x); echo ${#x}'
    [ "$status" -eq 137 ]
    [ "$(docker inspect -f '{{.State.OOMKilled}}' "$name-oom")" = true ]
}

@test "enclave: by the runtime's entry, and by the environment" {
    [ "$(box rune-enclave --rm busybox sh -c "$where" 2>/dev/null)" = inside ]
    [ "$(box rune --rm -e ENCLAVE_TYPE=auto busybox sh -c "$where" 2>/dev/null)" = inside ]
    run -9 box rune-enclave --rm busybox sh -c 'exit 9'
    box rune-enclave -d --name "$name" -e ENCLAVE_EXEC=any busybox sh -c 'trap "echo told; exit 3" TERM; echo up; while :; do sleep 0.1; done' >/dev/null
    shim_is_ours "$name"
    [ "$(docker exec "$name" sh -c "$where")" = inside ]
    up() { docker logs "$name" 2>&1 | grep -q up; }
    within 20 up
    docker stop -t 30 "$name" >/dev/null
    [ "$(docker inspect -f '{{.State.ExitCode}}' "$name")" = 3 ]
}
