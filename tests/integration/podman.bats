#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Podman and conmon with rune as the runtime, in a store of the test's own: ordinary containers, then enclave containers.

bats_require_minimum_version 1.5.0
load clients

setup_file() {
    clients_setup_file podman conmon busybox
    # conmon hands no environment on.
    cat >"$work/rune" <<SH
#!/bin/sh
export RUNE_CACHE_DIR=$RUNE_CACHE_DIR RUNE_SIGNING_KEY=$RUNE_SIGNING_KEY
exec $RUNE "\$@"
SH
    chmod 755 "$work/rune"
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"
    # Podman's own default limits are more than some machines allow.
    cat >"$work/containers.conf" <<TOML
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
TOML
    export CONTAINERS_CONF=$work/containers.conf
    pod import --signature-policy "$work/policy.json" -c 'ENV PATH=/bin' -c 'CMD ["/bin/sh"]' "$work/busybox.tar" busybox >/dev/null
}

# Podman's own clean-up after a container's end and its rm get into each other's way, with runc in 4 of 12 runs: the shm mount is busy.
remove_all() {
    within 10 pod rm -af -t 0
}

teardown_file() {
    [ -n "${work:-}" ] || return 0
    remove_all
    pod network prune -f >/dev/null
    clients_teardown_file
}

setup() {
    name=test-$BATS_TEST_NUMBER
    cd "$work" || return 1 # conmon writes a file named oom where it is started
}

teardown() {
    remove_all
}

pod() {
    podman --root "$work/root" --runroot "$work/run" --tmpdir "$work/tmp" --network-config-dir "$work/net" --cgroup-manager cgroupfs \
        --events-backend file --runtime "$work/rune" "$@"
}

# run, in the test's parent cgroup and without a network when nobody says otherwise
pod_run() {
    pod run --cgroup-parent "/$parent" --network "${network:-none}" "$@"
}

logs_have() { # CONTAINER TEXT
    pod logs "$1" 2>&1 | grep -qF -- "$2"
}

status_of() { # CONTAINER
    pod inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$1"
}

status_is() {
    [ "$(status_of "$1")" = "$2" ]
}

counts() { # CONTAINER OPTIONS...
    pod_run -d --name "$1" "${@:2}" busybox sh -c 'trap "echo told; exit 3" TERM; i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done' >/dev/null
    within 10 logs_have "$1" 0
}

@test "run: output, input, exit codes of programs, of signals, of what is not there" {
    [ "$(pod_run --rm busybox echo hello)" = hello ]
    [ "$(echo through | pod_run --rm -i busybox cat)" = through ]
    run -7 pod_run --rm busybox sh -c 'exit 7'
    run -137 pod_run --rm busybox sh -c 'sh -c "kill -9 \$\$"; exit $?'
    run -127 pod_run --rm busybox /no/such/program
    run -126 pod_run --rm busybox /etc/passwd
}

@test "user, directory, environment, host name, limits, capabilities" {
    run -0 pod_run --rm -u 1000:50 -w /home/user -e COLOUR=blue -h box --ulimit nofile=123:456 --ulimit nproc=999:999 busybox \
        sh -c 'id -u; id -g; pwd; echo $COLOUR; hostname; ulimit -n; ulimit -Hn'
    [ "$output" = $'1000\n50\n/home/user\nblue\nbox\n123\n456' ]
    run -0 pod_run --rm --cap-drop all --cap-add chown --security-opt no-new-privileges busybox grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status
    [ "$output" = $'CapEff:\t0000000000000001\nCapBnd:\t0000000000000001\nNoNewPrivs:\t1\nSeccomp:\t2' ]
}

@test "exec, logs, top, stop by SIGTERM, start, kill, wait" {
    counts "$name"
    run -1 pod exec -u user -w /tmp -e A=b "$name" sh -c 'id -u; pwd; echo $A; tty'
    [ "$output" = $'1000\n/tmp\nb\nnot a tty' ]
    run -9 pod exec "$name" sh -c 'exit 9'
    [ "$(echo in | pod exec -i "$name" cat)" = in ]
    [[ "$(pod exec -t "$name" tty </dev/null)" == /dev/pts/* ]]
    run -127 pod exec "$name" no-such-program
    pod exec -d "$name" sh -c 'echo done >/tmp/detached'
    within 5 pod exec "$name" grep -q "done" /tmp/detached
    pod top "$name" | grep -q 'echo told'
    pod stop -t 20 "$name" >/dev/null
    [ "$(status_of "$name")" = "exited 3" ]
    logs_have "$name" told
    pod start "$name" >/dev/null
    pod kill "$name" >/dev/null
    [ "$(pod wait "$name")" = 137 ]
}

@test "pause and unpause" {
    counts "$name"
    pod pause "$name" >/dev/null
    status_is "$name" "paused 0"
    before=$(pod logs "$name" | wc -l)
    sleep 0.5
    [ "$(pod logs "$name" | wc -l)" -eq "$before" ]
    pod unpause "$name" >/dev/null
    pod exec "$name" true
}

@test "limits at run and by update; out of memory" {
    counts "$name" --memory 64m --cpus 0.5 --pids-limit 50
    own=libpod-$(pod inspect -f '{{.Id}}' "$name")
    if [ -d "/sys/fs/cgroup/memory/$parent/$own" ]; then
        [ "$(cat "/sys/fs/cgroup/memory/$parent/$own/memory.limit_in_bytes")" = 67108864 ]
        [ "$(cat "/sys/fs/cgroup/pids/$parent/$own/pids.max")" = 50 ]
        pod update --cpus 1.5 "$name" >/dev/null
        [ "$(cat "/sys/fs/cgroup/cpu/$parent/$own/cpu.cfs_quota_us")" = 150000 ]
    fi
    run -137 pod_run --name "$name-oom" --memory 16m --memory-swap 16m busybox sh -c 'x=a; while :; do x=$x$x; done'
}

@test "healthcheck and restart policy" {
    pod_run -d --name "$name" --health-cmd 'test -e /tmp/well' --health-interval disable busybox sleep 1000 >/dev/null
    run -1 pod healthcheck run "$name"
    pod exec "$name" touch /tmp/well
    pod healthcheck run "$name"
    pod_run -d --name "$name-again" --restart on-failure:2 busybox sh -c 'echo again; exit 4' >/dev/null
    thrice() { [ "$(pod logs "$name-again" | grep -c again)" = 3 ]; }
    within 15 thrice
    within 5 status_is "$name-again" "exited 4"
}

@test "user namespaces, read-only root, tmpfs, volumes, --init, --privileged" {
    [ "$(pod_run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 busybox sh -c 'id -u; cat /proc/self/uid_map' | tr -s ' \n' ' ')" = "0 0 100000 65536 " ]
    mkdir "$work/$name"
    echo from outside >"$work/$name/file"
    run -0 pod_run --rm --read-only --tmpfs /scratch:size=1m,mode=700 -v "$work/$name:/mnt" -v "$work/$name:/ro:ro" -v "vol-$name:/vol" busybox sh -c '
        touch /root/x 2>/dev/null && echo "the root can be written"
        touch /ro/x 2>/dev/null && echo "the bind can be written"
        cat /mnt/file; echo back >/mnt/reply; echo kept >/vol/kept
        grep -E " /scratch tmpfs .*size=1024k,mode=700" /proc/mounts | cut -d" " -f2'
    [ "$output" = $'from outside\n/scratch' ]
    [ "$(cat "$work/$name/reply")" = back ]
    [ "$(pod_run --rm -v "vol-$name:/vol" busybox cat /vol/kept)" = kept ]
    pod volume rm "vol-$name" >/dev/null
    pod_run --rm --privileged busybox sh -c 'mkdir /m && mount -t tmpfs tmpfs /m'
}

@test "a pod: two containers in one network namespace; a terminal" {
    counts "$name"
    pod exec -d "$name" sh -c 'while :; do echo answer | nc -l -p 7000; done'
    ask() { [ "$(network=container:$name pod_run --rm busybox nc -w 2 127.0.0.1 7000 </dev/null)" = answer ]; }
    within 20 ask
    # What a container says that ends at once Podman sometimes loses, with runc as well: it stays for a while.
    run -0 script -qec "stty rows 33 cols 77; $(declare -f pod pod_run); pod_run --rm -it busybox sh -c 'tty; $show_size; sleep 0.5'" /dev/null
    [[ "$output" == */dev/pts/* ]]
    [[ "$output" == *"33 77"* ]]
}

# ---- enclave containers ----

debian() { # the image, imported by the first test that needs it
    pod image exists debian || debian_image | pod import --signature-policy "$work/policy.json" -c 'CMD ["/bin/bash"]' - debian >/dev/null
}

@test "enclave: by annotation and by flag: output, exit codes, user, directory, volumes; the image is converted once" {
    debian
    run -0 --separate-stderr pod_run --rm --annotation enclave.type=auto debian python3 -c 'print(open("/dev/attestation/attestation_type").read(), 6*7)'
    [[ "$output" == *42 ]]
    made=$(cached_images)
    [ "$(wc -w <<<"$made")" -eq 1 ]
    mkdir "$work/$name"
    echo from outside >"$work/$name/file"
    run -9 --separate-stderr pod --runtime-flag enclave run --rm --cgroup-parent "/$parent" --network none -u games -w /usr/lib -e COLOUR=blue -h box -v "$work/$name:/mnt" debian \
        sh -c 'id -u; id -g; pwd; echo $COLOUR; hostname; cat /mnt/file; exit 9'
    [ "$output" = $'5\n60\n/usr/lib\nblue\nbox\nfrom outside' ]
    run -127 pod_run --rm --annotation enclave.type=auto debian /no/such/program
    run -126 pod_run --rm --annotation enclave.type=auto debian /etc/passwd
    [ "$(cached_images)" = "$made" ]
}

@test "enclave: exec, logs, SIGTERM by stop, two at once, a terminal" {
    debian
    server='trap "echo told; exit 3" TERM; echo up; while :; do sleep 0.1; done'
    pod_run -d --name "$name" --annotation enclave.type=auto --annotation enclave.exec=any debian bash -c "$server" >/dev/null
    pod_run -d --name "$name-two" --annotation enclave.type=auto --annotation enclave.exec=any debian bash -c "$server" >/dev/null
    within 20 logs_have "$name" up
    within 20 logs_have "$name-two" up
    run -0 --separate-stderr pod exec -u 1000 -w /tmp -e A=b "$name" sh -c 'id -u; pwd; echo $A; cat /proc/1/comm'
    [ "$output" = $'1000\n/tmp\nb\nbash' ]
    run -9 pod exec "$name" sh -c 'exit 9'
    [ "$(echo in | pod exec -i "$name" cat)" = in ]
    [[ "$(pod exec -t "$name" tty </dev/null)" == /dev/pts/* ]]
    pod stop -t 20 "$name" "$name-two" >/dev/null
    [ "$(status_of "$name")" = "exited 3" ]
    [ "$(status_of "$name-two")" = "exited 3" ]
    logs_have "$name" told
    run -0 script -qec "stty rows 33 cols 77; $(declare -f pod pod_run); pod_run --annotation enclave.type=auto --rm -it debian sh -c 'tty; $show_size; sleep 0.5'" /dev/null
    [[ "$output" == */dev/pts/* ]]
    [[ "$output" == *"33 77"* ]]
}

@test "enclave: in a user namespace" {
    network=none pod_run -d --name "$name" --annotation enclave.type=auto --annotation enclave.exec=any --uidmap 0:100000:65536 --gidmap 0:100000:65536 busybox sleep 1000 >/dev/null
    [ "$(pod exec "$name" sh -c 'id -u; test -e /dev/attestation && echo inside' | tr '\n' ' ')" = "0 inside " ]
    [ "$(awk '/^Uid/ {print $2}' "/proc/$(pod inspect -f '{{.State.Pid}}' "$name")/status")" = 100000 ]
    pod kill "$name" >/dev/null
    [ "$(pod wait "$name")" = 137 ]
}

@test "an enclave container has the identity that rune-image measure predicts, each time" {
    unset CONTAINERS_CONF # Podman's own defaults, and the limits by name
    pod save --format docker-archive -o "$work/save.tar" busybox >/dev/null
    line=(podman run --network none --annotation enclave.type=auto -u user -w /tmp -v "$work/busybox:/data:ro" --tmpfs /scratch:size=1m -e COLOUR=blue
        --ulimit nofile=100:200 --ulimit nproc=1000:1000 --cap-add SYS_TIME --cap-drop KILL --group-add 50 --security-opt no-new-privileges
        busybox sh -c "$show_identity")
    expected=$(predicted "$work/save.tar" "${line[@]}")
    [ "${#expected}" -eq 129 ]
    for _ in $(identity_runs); do
        [ "$(pod_run --rm "${line[@]:4}" 2>/dev/null | identity_of)" = "$expected" ]
    done
}
