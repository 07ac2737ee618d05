#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Docker with rune as its runtime: a daemon of the test's own, its own containerd and shim, all else as Debian ships it.
# Ordinary containers first, then enclave containers through the runtime entry that the README names.

bats_require_minimum_version 1.5.0
load clients

setup_file() {
    clients_setup_file dockerd docker containerd busybox
    cat >"$work/daemon.json" <<JSON
{ "runtimes": { "rune": { "path": "$RUNE" },
                "rune-enclave": { "path": "$RUNE", "runtimeArgs": ["--enclave"] } },
  "default-runtime": "rune", "cgroup-parent": "/$parent",
  "data-root": "$work/data", "exec-root": "$work/exec", "pidfile": "$work/docker.pidfile", "hosts": ["unix://$work/sock"],
  "bridge": "none", "iptables": false, "ip6tables": false, "ip-forward": false, "ip-masq": false }
JSON
    export DOCKER_HOST=unix://$work/sock DOCKER_CONFIG=$work/client
    # A network namespace of its own: the tests' bridges and addresses meet nobody's. Without forwarding the client warns in the middle
    # of what the tests read.
    # shellcheck disable=SC2016 # expanded there
    start_daemon dockerd unshare --net sh -c 'ip link set lo up; echo 1 >/proc/sys/net/ipv4/ip_forward; exec "$@"' sh \
        dockerd --config-file "$work/daemon.json"
    within 60 docker version || { tail -20 "$work/dockerd.log"; return 1; }
    docker import -c 'ENV PATH=/bin' -c 'CMD ["/bin/sh"]' "$work/busybox.tar" busybox >/dev/null
}

teardown_file() {
    [ -n "${work:-}" ] || return 0
    [ ! -S "$work/sock" ] || docker ps -aq | xargs -r docker rm -f >/dev/null
    [ ! -S "$work/sock" ] || docker network prune -f >/dev/null
    stop_daemon remap
    stop_daemon dockerd
    clients_teardown_file
}

setup() {
    name=test-$BATS_TEST_NUMBER
}

teardown() {
    docker ps -aq --filter "name=^test-$BATS_TEST_NUMBER" | xargs -r docker rm -f >/dev/null
}

exit_code() {
    docker inspect -f '{{.State.ExitCode}}' "$1"
}

state_is() { # CONTAINER STATE
    [ "$(docker inspect -f '{{.State.Status}}' "$1")" = "$2" ]
}

logs_have() { # CONTAINER TEXT
    docker logs "$1" 2>&1 | grep -qF -- "$2"
}

counts() { # CONTAINER
    docker run -d --name "$1" "${@:2}" busybox sh -c 'trap "echo told; exit 3" TERM; i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done' >/dev/null
    within 10 logs_have "$1" 0
}

@test "run: output, input, exit codes of programs, of signals, of what is not there" {
    [ "$(docker run --rm busybox echo hello)" = hello ]
    [ "$(echo through | docker run --rm -i busybox cat)" = through ]
    run -7 docker run --rm busybox sh -c 'exit 7'
    run -137 docker run --rm --init busybox sh -c 'kill -9 $$'
    run -127 docker run --name "$name" busybox /no/such/program
    [[ "$output" == *"/no/such/program"* ]]
    run -126 docker run --name "$name-b" busybox /etc/passwd
    [[ "$output" == *"permission denied"* ]]
}

@test "user, directory, environment, host name, limits" {
    run -0 docker run --rm -u 1000:50 -w /home/user -e COLOUR=blue -h box --ulimit nofile=123:456 busybox \
        sh -c 'id -u; id -g; pwd; echo $COLOUR; hostname; ulimit -n; ulimit -Hn; id -G'
    [ "$output" = $'1000\n50\n/home/user\nblue\nbox\n123\n456\n50' ]
    run -0 docker run --rm -u user --group-add 77 -w /made/by/docker busybox sh -c 'id -u; id -G; pwd'
    [ "$output" = $'1000\n1000 50 77\n/made/by/docker' ]
    run -0 docker run --rm --cap-drop ALL --cap-add CHOWN --security-opt no-new-privileges busybox grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status
    [ "$output" = $'CapEff:\t0000000000000001\nCapBnd:\t0000000000000001\nNoNewPrivs:\t1\nSeccomp:\t2' ]
    [ "$(docker run --rm --oom-score-adj 321 busybox cat /proc/self/oom_score_adj)" = 321 ]
    [ "$(docker run --rm --sysctl net.ipv4.ip_default_ttl=77 busybox cat /proc/sys/net/ipv4/ip_default_ttl)" = 77 ]
}

@test "exec: with and without a terminal, user, directory, environment, exit code, input, detached" {
    counts "$name"
    run -1 docker exec -u user -w /tmp -e A=b "$name" sh -c 'id -u; pwd; echo $A; tty'
    [ "$output" = $'1000\n/tmp\nb\nnot a tty' ]
    run -9 docker exec "$name" sh -c 'exit 9'
    [ "$(echo in | docker exec -i "$name" cat)" = in ]
    [ "$(docker exec -t "$name" tty </dev/null | tr -d '\r')" = /dev/pts/0 ]
    run -5 script -qec "docker exec -it $name sh -c 'stty size; tty; exit 5'" /dev/null
    [[ "$output" == */dev/pts/* ]]
    docker exec -d "$name" sh -c 'echo done >/tmp/detached'
    within 5 docker exec "$name" grep -q "done" /tmp/detached
    run docker exec "$name" no-such-program
    [ "$status" -eq 126 ] || [ "$status" -eq 127 ]
    [[ "$output" == *"no-such-program"* ]]
    run -126 docker exec "$name" /etc/passwd
    (( 0x$(docker exec --privileged "$name" sed -n 's/CapEff:.//p' /proc/self/status) & 1 << 21 ))
    docker top "$name" | grep -q 'echo told'
}

@test "logs, stop by SIGTERM, start again, restart, kill, wait, rename, rm" {
    counts "$name"
    docker stop -t 20 "$name" >/dev/null
    [ "$(exit_code "$name")" = 3 ]
    logs_have "$name" told
    docker start "$name" >/dev/null
    state_is "$name" running
    docker restart -t 20 "$name" >/dev/null
    state_is "$name" running
    docker kill "$name" >/dev/null
    [ "$(docker wait "$name")" = 137 ]
    docker start "$name" >/dev/null
    docker kill -s TERM "$name" >/dev/null
    [ "$(docker wait "$name")" = 3 ]
    run -0 docker run -d --name "$name-deaf" --init busybox sleep 1000
    docker stop -t 10 "$name-deaf" >/dev/null
    [ "$(exit_code "$name-deaf")" = 143 ]
    run -0 docker run -d --name "$name-deafer" busybox sleep 1000
    docker stop -t 1 "$name-deafer" >/dev/null
    [ "$(exit_code "$name-deafer")" = 137 ]
}

@test "pause and unpause" {
    counts "$name"
    docker pause "$name" >/dev/null
    state_is "$name" paused
    before=$(docker logs "$name" | wc -l)
    sleep 0.5
    [ "$(docker logs "$name" | wc -l)" -eq "$before" ]
    run docker exec "$name" true
    [ "$status" -ne 0 ]
    [[ "$output" == *"paused"* ]]
    docker unpause "$name" >/dev/null
    docker exec "$name" true
    within 5 sh -c "[ \$(docker logs $name | wc -l) -gt $before ]"
}

@test "limits: at run, and by update" {
    counts "$name" --memory 64m --memory-swap 64m --cpus 0.5 --pids-limit 50 --cpuset-cpus 0
    own=$(docker inspect -f '{{.Id}}' "$name")
    limit() { cat /sys/fs/cgroup/"$1/$parent/$own/$2"; }
    [ -d "/sys/fs/cgroup/memory/$parent/$own" ] || skip "the cgroup layout here has no v1 controllers"
    [ "$(limit memory memory.limit_in_bytes)" = 67108864 ]
    [ "$(limit cpu cpu.cfs_quota_us)" = 50000 ]
    [ "$(limit pids pids.max)" = 50 ]
    [ "$(limit cpuset cpuset.cpus)" = 0 ]
    docker update --memory 128m --memory-swap 256m --cpus 1.5 --pids-limit 99 --cpu-shares 512 "$name" >/dev/null
    [ "$(limit memory memory.limit_in_bytes)" = 134217728 ]
    [ "$(limit cpu cpu.cfs_quota_us)" = 150000 ]
    [ "$(limit cpu cpu.shares)" = 512 ]
    [ "$(limit pids pids.max)" = 99 ]
    docker stats --no-stream --format '{{.MemUsage}}' "$name" | grep -q '/ 128MiB'
}

@test "out of memory: the container is killed and Docker knows why" {
    run docker run --name "$name" --memory 16m --memory-swap 16m busybox sh -c 'x=a; while :; do x=$x$x; done'
    [ "$status" -eq 137 ]
    [ "$(docker inspect -f '{{.State.OOMKilled}}' "$name")" = true ]
}

@test "enclave: out of memory: Docker knows why, and the container's output says which limit" {
    run docker run --name "$name" --runtime rune-enclave --memory 96m --memory-swap 96m busybox sh -c 'x=a; while :; do x=$x$x; done'
    [ "$status" -eq 137 ]
    [ "$(docker inspect -f '{{.State.OOMKilled}}' "$name")" = true ]
    run docker logs "$name"
    [ "$(grep -c "container's memory limit of 96 MiB" <<<"$output")" -eq 1 ]
}

@test "healthcheck" {
    counts "$name" --health-cmd 'test -e /tmp/well' --health-interval 0.5s --health-retries 1
    health_is() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$name")" = "$1" ]; }
    within 10 health_is unhealthy
    docker exec "$name" touch /tmp/well
    within 10 health_is healthy
}

@test "restart policy" {
    docker run -d --name "$name" --restart on-failure:2 busybox sh -c 'echo again; exit 4' >/dev/null
    within 15 state_is "$name" exited
    [ "$(docker inspect -f '{{.RestartCount}}' "$name")" = 2 ]
    [ "$(docker logs "$name" | grep -c again)" = 3 ]
    [ "$(exit_code "$name")" = 4 ]
}

@test "read-only root, tmpfs, volumes, binds, read-only binds, shared memory" {
    mkdir "$work/$name"
    echo from outside >"$work/$name/file"
    run -0 docker run --rm --read-only --tmpfs /scratch:size=1m,mode=700 -v "$work/$name:/mnt" -v "$work/$name:/ro:ro" -v vol-$name:/vol \
        --shm-size 5m busybox sh -c '
            touch /root/x 2>/dev/null && echo "the root can be written"
            touch /ro/x 2>/dev/null && echo "the bind can be written"
            cat /mnt/file; echo back >/mnt/reply; echo kept >/vol/kept
            grep -E " /scratch tmpfs .*size=1024k,mode=700" /proc/mounts | cut -d" " -f2
            df /dev/shm | tail -1 | awk "{print \$2}"'
    [ "$output" = $'from outside\n/scratch\n5120' ]
    [ "$(cat "$work/$name/reply")" = back ]
    [ "$(docker run --rm -v vol-$name:/vol busybox cat /vol/kept)" = kept ]
    docker volume rm "vol-$name" >/dev/null
}

@test "mount propagation: what is mounted later outside is seen in the container" {
    mkdir "$work/$name"
    mount --bind "$work/$name" "$work/$name"
    mount --make-shared "$work/$name"
    docker run -d --name "$name" --mount type=bind,src="$work/$name",dst=/mnt,bind-propagation=rslave busybox sleep 1000 >/dev/null
    mkdir "$work/$name/sub"
    mount -t tmpfs tmpfs "$work/$name/sub"
    touch "$work/$name/sub/seen"
    run docker exec "$name" ls /mnt/sub
    docker rm -f "$name" >/dev/null
    umount "$work/$name/sub" "$work/$name"
    [ "$output" = seen ]
}

@test "--init, --privileged, --device, --pid and --ipc of another container" {
    [ "$(docker run --rm --init busybox cat /proc/1/comm)" = docker-init ] || [ "$(docker run --rm --init busybox cat /proc/1/comm)" = tini ]
    run -0 docker run --rm --privileged busybox sh -c 'mkdir /m && mount -t tmpfs tmpfs /m && ls /dev/kmsg'
    run -0 docker run --rm --device /dev/kmsg:/dev/mine:r busybox sh -c 'test -c /dev/mine && echo there; mount -t tmpfs tmpfs /tmp 2>&1 | grep -o "[Pp]ermission denied\|not permitted"'
    [ "${lines[0]}" = there ]
    [ "${#lines[@]}" -eq 2 ]
    counts "$name" --ipc shareable
    docker run --rm --pid "container:$name" --ipc "container:$name" busybox ps | grep -q 'trap'
}

@test "two containers on a network of their own, and in one network namespace" {
    docker network create --subnet 10.213.77.0/24 "net-$name" >/dev/null
    docker run -d --name "$name" --network "net-$name" busybox sh -c 'while :; do echo answer | nc -l -p 7000; done' >/dev/null
    address=$(docker inspect -f "{{(index .NetworkSettings.Networks \"net-$name\").IPAddress}}" "$name")
    ask() { [ "$(docker run --rm --network "$1" busybox nc -w 2 "$2" 7000 </dev/null)" = answer ]; }
    within 20 ask "net-$name" "$address"
    within 20 ask "container:$name" 127.0.0.1
    docker rm -f "$name" >/dev/null
    docker network rm "net-$name" >/dev/null
}

@test "attach, detach, a terminal" {
    run -0 script -qec "docker run --rm -it --name $name busybox sh -c 'tty; stty size'" /dev/null
    [[ "$output" == */dev/pts/* ]]
    docker run -dit --name "$name" busybox sh >/dev/null
    python3 - "$name" <<'PY'
import os, pty, sys, time, select
pid, fd = pty.fork()
if pid == 0:
    os.execlp("docker", "docker", "attach", sys.argv[1])
seen = b""
end = time.time() + 20
while b"42x" not in seen:  # what is typed before Docker has taken the terminal is lost
    assert time.time() < end, seen
    os.write(fd, b"echo $((40+2))x\r")
    while select.select([fd], [], [], 0.5)[0]:
        seen += os.read(fd, 4096)
os.write(fd, b"\x10\x11")  # Docker's detach keys
os.waitpid(pid, 0)
PY
    state_is "$name" running
}

@test "commit, cp, diff, export" {
    docker run --name "$name" busybox sh -c 'echo new >/root/new' >/dev/null
    docker diff "$name" | grep -q 'A /root/new'
    [ "$(docker cp "$name:/root/new" - | tar -xO)" = new ]
    docker commit "$name" "image-$name" >/dev/null
    [ "$(docker run --rm "image-$name" cat /root/new)" = new ]
    docker rmi "image-$name" >/dev/null
}

@test "user namespaces: a daemon with --userns-remap, ordinary and enclave containers" {
    # The ranges of a user that is everywhere, in a mount namespace of the daemon's own.
    echo nobody:200000:65536 >"$work/subid"
    sed -E "s#$work/(data|exec|sock|docker.pidfile)#$work/remap-\1#g" "$work/daemon.json" >"$work/remap.json"
    start_daemon remap unshare -m sh -c "mount --bind $work/subid /etc/subuid && mount --bind $work/subid /etc/subgid &&
        exec dockerd --config-file $work/remap.json --userns-remap nobody:nogroup"
    remapped() { docker -H "unix://$work/remap-sock" "$@"; }
    within 60 remapped version || { tail -20 "$work/remap.log"; return 1; }
    remapped import -c 'ENV PATH=/bin' -c 'CMD ["/bin/sh"]' "$work/busybox.tar" busybox >/dev/null
    run -0 remapped run --rm --network none busybox sh -c 'id -u; cat /proc/self/uid_map; stat -c %u /bin; echo x >/root/x && cat /root/x'
    [ "$(tr -s ' \n' ' ' <<<"$output")" = "0 0 200000 65536 0 x " ]
    remapped run -d --name enclave --network none -e ENCLAVE_EXEC=any --runtime rune-enclave busybox sleep 1000 >/dev/null
    run -0 remapped exec enclave sh -c 'id -u; test -e /dev/attestation && echo inside'
    [ "$output" = $'0\ninside' ]
    [ "$(awk '/^Uid/ {print $2}' "/proc/$(remapped inspect -f '{{.State.Pid}}' enclave)/status")" = 200000 ]
    remapped rm -f enclave >/dev/null
    # An image with a user of its own: what is theirs is theirs inside as well.
    printf 'FROM busybox\nRUN chown -R 1000:1000 /home/user && chmod 700 /home/user\nUSER 1000\n' | remapped build -q -t owned - >/dev/null
    show='stat -c "%u %g %a %n" /etc/passwd /home/user; tr -s " " " " </proc/self/uid_map; echo mine >/home/user/x && cat /home/user/x'
    run -0 remapped run --rm --network none owned sh -c "$show"
    ordinary=$output
    run -0 --separate-stderr remapped run --rm --network none --runtime rune-enclave owned sh -c "$show"
    [ "$output" = "$ordinary" ]
    [[ "$output" == *"1000 1000 700 /home/user"*mine ]]
    stop_daemon remap
}

# ---- enclave containers ----

debian() { # the image, imported by the first test that needs it
    docker image inspect debian >/dev/null 2>&1 || debian_image | docker import -c 'CMD ["/bin/bash"]' - debian >/dev/null
}

@test "enclave: run, output on both streams, exit codes; the second run of an image converts nothing" {
    debian
    before=$(cached_images | wc -l)
    run -0 --separate-stderr docker run --rm --runtime rune-enclave debian python3 -c 'import sys; print(open("/dev/attestation/attestation_type").read(), 6*7)'
    [[ "$output" == *42 ]]
    made=$(cached_images)
    [ "$(wc -w <<<"$made")" -eq $((before + 1)) ]
    run -9 docker run --rm --runtime rune-enclave debian bash -c 'echo to the error stream >&2; exit 9'
    [[ "$output" == *"to the error stream"* ]]
    run -137 docker run --rm --runtime rune-enclave debian sh -c 'python3 -c "import os; os.kill(os.getpid(), 9)"; exit $?'
    run -127 docker run --name "$name" --runtime rune-enclave debian /no/such/program
    [[ "$output" == *"/no/such/program"* ]]
    [ "$(cached_images)" = "$made" ]
}

@test "enclave: user, directory, environment, host name, volumes, tmpfs, input" {
    debian
    mkdir "$work/$name"
    echo from outside >"$work/$name/file"
    run -0 --separate-stderr docker run --rm --runtime rune-enclave -u 1000:50 -w /usr/lib -e COLOUR=blue -h box -v "$work/$name:/mnt" \
        --tmpfs /scratch debian sh -c 'id -u; id -g; pwd; echo $COLOUR; hostname; cat /mnt/file; echo x >/scratch/x && cat /scratch/x'
    [ "$output" = $'1000\n50\n/usr/lib\nblue\nbox\nfrom outside\nx' ]
    docker run --rm --runtime rune-enclave -v "$work/$name:/mnt" debian sh -c 'echo back >/mnt/reply'
    [ "$(cat "$work/$name/reply")" = back ]
    [ "$(echo through | docker run --rm -i --runtime rune-enclave debian cat)" = through ]
}

@test "enclave: exec, logs, SIGTERM by stop, start again, two at once" {
    debian
    server='import signal, sys, time
def end(*_):
    print("told", flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
while True: time.sleep(1)'
    docker run -d --name "$name" -e ENCLAVE_EXEC=any --runtime rune-enclave debian python3 -c "$server" >/dev/null
    docker run -d --name "$name-two" -e ENCLAVE_EXEC=any --runtime rune-enclave debian python3 -c "$server" >/dev/null
    within 20 logs_have "$name" up
    within 20 logs_have "$name-two" up
    run -0 --separate-stderr docker exec -u 1000 -w /tmp -e A=b "$name" sh -c 'id -u; pwd; echo $A; cat /proc/1/comm'
    [ "$output" = $'1000\n/tmp\nb\npython3' ]
    run -9 docker exec "$name" sh -c 'exit 9'
    [ "$(echo in | docker exec -i "$name" cat)" = in ]
    docker exec "$name-two" touch /tmp/two
    run -2 docker exec "$name" ls /tmp/two
    run -0 script -qec "docker exec -it $name tty" /dev/null
    [[ "$output" == */dev/pts/* ]]
    docker pause "$name" >/dev/null
    docker unpause "$name" >/dev/null
    docker stop -t 20 "$name" "$name-two" >/dev/null
    [ "$(exit_code "$name") $(exit_code "$name-two")" = "3 3" ]
    logs_have "$name" told
    docker start "$name" >/dev/null
    docker exec "$name" true
    docker kill "$name" >/dev/null
    [ "$(docker wait "$name")" = 137 ]
}

@test "enclave: a terminal, its size, attach and detach" {
    debian
    run -0 script -qec "stty rows 33 cols 77; docker run --rm -it --runtime rune-enclave debian sh -c 'tty; $show_size'" /dev/null
    [[ "$output" == */dev/pts/* ]]
    [[ "$output" == *"33 77"* ]]
}

@test "enclave: exec is refused unless it is listed, with a line that says how, and 126" {
    debian
    docker run -d --name "$name" --runtime rune-enclave debian sleep 1000 >/dev/null
    run -126 docker exec "$name" cat /etc/hostname
    [[ "$output" == *"permission denied: enclave.exec is \"none\""*'[["cat","/etc/hostname"]]'* ]]
    docker rm -f "$name" >/dev/null
    docker run -d --name "$name" -e ENCLAVE_EXEC='[["cat", "/etc/hostname"], {"args": ["tty"], "terminal": true}]' --runtime rune-enclave \
        debian sleep 1000 >/dev/null
    run -0 docker exec "$name" cat /etc/hostname
    run -0 script -qec "docker exec -it $name tty" /dev/null
    [[ "$output" == */dev/pts/* ]]
    run -126 docker exec --privileged "$name" cat /etc/hostname
    run -126 docker exec -u 1000 "$name" cat /etc/hostname
    run -126 docker exec -e LD_PRELOAD=/evil.so "$name" cat /etc/hostname
    run -126 docker exec -w /tmp "$name" cat /etc/hostname
    run -126 docker exec "$name" cat /etc/shadow
    docker stop -t 1 "$name" >/dev/null
}

@test "enclave: healthcheck, limits, a memory limit's end" {
    debian
    docker run -d --name "$name" -e ENCLAVE_EXEC='[["/bin/sh", "-c", "test -e /tmp/well"], ["touch", "/tmp/well"]]' --runtime rune-enclave --memory 512m --health-cmd 'test -e /tmp/well' --health-interval 1s --health-retries 1 debian sleep 1000 >/dev/null
    health_is() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$name")" = "$1" ]; }
    within 15 health_is unhealthy
    docker exec "$name" touch /tmp/well
    within 15 health_is healthy
    docker stop -t 1 "$name" >/dev/null
    run docker run --rm --runtime rune-enclave --memory 256m debian python3 -c 'x = b"x" * (1 << 30)'
    [ "$status" -ne 0 ]
}

@test "an enclave container has the identity that rune-image measure predicts, each time" {
    docker save -o "$work/save.tar" busybox
    line=(docker run --runtime rune-enclave -u user -w /tmp -v "$work/busybox:/data:ro" -v named:/vol --tmpfs /scratch:size=1m -e COLOUR=blue
        --ulimit nofile=100:200 --cap-add SYS_TIME --cap-drop KILL --shm-size 1m --group-add 50 --security-opt no-new-privileges --read-only
        busybox sh -c "$show_identity")
    expected=$(predicted "$work/save.tar" "${line[@]}")
    [ "${#expected}" -eq 129 ]
    for _ in $(identity_runs); do
        [ "$(docker run --rm "${line[@]:2}" | identity_of)" = "$expected" ]
    done
    # Another name of the host is nothing else, another variable is.
    [ "$(docker run --rm --hostname other "${line[@]:2}" | identity_of)" = "$expected" ]
    [ "$(docker run --rm -e MORE=1 "${line[@]:2}" | identity_of | tail -1)" != "$(tail -1 <<<"$expected")" ]
    docker volume rm -f named

    # A service of a compose file.
    cat >"$work/compose.yaml" <<YAML
services:
  web:
    image: busybox
    command: ["sh", "-c", "$show_identity"]
    environment: {COLOUR: blue, COUNT: 3}
    volumes: ["$work/busybox:/data:ro"]
    ports: ["80:80"]
YAML
    expected=$(predicted "$work/save.tar" "$work/compose.yaml")
    [ "$(docker run --rm --runtime rune-enclave -e COUNT=3 -e COLOUR=blue -v "$work/busybox:/data:ro" busybox sh -c "$show_identity" |
        identity_of)" = "$expected" ]
}

@test "a container that is started again opens what it sealed" {
    seal='key=$(od -An -tx1 /dev/attestation/keys/_sgx_mrenclave); test -e /vol/sealed || echo "$key" >/vol/sealed; [ "$key" = "$(cat /vol/sealed)" ] && echo opened'
    docker run --name "$name" --runtime rune-enclave -v sealed:/vol busybox sh -c "$seal"
    docker start -a "$name"
    [ "$(docker logs "$name" 2>/dev/null | grep -c opened)" -eq 2 ]
    # Another container of the deployment does, another deployment does not.
    [ "$(docker run --rm --runtime rune-enclave -v sealed:/vol busybox sh -c "$seal" 2>/dev/null)" = opened ]
    run -1 docker run --rm --runtime rune-enclave -v sealed:/vol -e OTHER=1 busybox sh -c "$seal"
    docker rm -f "$name"
    docker volume rm -f sealed
}
