#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# checkpoint and restore with the real CRIU of what needs a kernel that it works on: cgroups and scopes, user namespaces,
# connections, locks. What every machine can test is in tests/integration/ordinary-checkpoint.bats.
# layouts: unified hybrid
# drivers: cgroupfs systemd
# drivers on hybrid: systemd

load guest

setup() {
    criu check >/dev/null 2>&1 || skip "criu does not work on this kernel"
    guest_setup
    configure '.mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs"}]'
    images=$work/images
    for applet in nc ln rm stat tr; do
        ln -f rootfs/bin/busybox rootfs/bin/$applet
    done
}

teardown() {
    [ -z "${peer:-}" ] || kill "$peer" 2>/dev/null || true
    [ -z "${outside:-}" ] || rm -rf "$outside"
    guest_teardown
}

# shell 'SCRIPT': what the container runs; it counts in /tmp/count when it calls "count"
shell() {
    jq --arg script "i=0; count() { while :; do i=\$((i+1)); echo \$i >/tmp/count; usleep 100000; done; }; $1" \
        '.process.args = ["sh", "-c", $script]' "$bundle/config.json" >"$bundle/config.new"
    mv "$bundle/config.new" "$bundle/config.json"
}

# The guest's own programs, in the container's /usr.
programs_of_the_guest() {
    mkdir rootfs/usr
    ln -s usr/lib rootfs/lib
    ln -s usr/lib64 rootfs/lib64
    configure '.mounts += [{destination: "/usr", source: "/usr", options: ["bind", "ro"]}]'
}

# Detached, with nothing of ours open: that CRIU would not find in the container.
start() {
    rune run -d "$id" </dev/null >/dev/null 2>&1
}

start_counting() {
    start
    within 30 counted 3
}

# It is empty for a moment whenever the container writes it.
count() {
    local now=
    until [ -n "$now" ]; do
        now=$(rune exec "$id" cat /tmp/count) || return 1
    done
    echo "$now"
}
counted() { [ "$(count)" -ge "$1" ]; }
file_has() { [ "$(rune exec "$id" cat "$1")" = "$2" ]; }

checkpoint() {
    rune checkpoint --image-path "$images" --work-path "$work/work" "$@" "$id" ||
        { grep -h -B3 Error "$work/work/dump.log"; return 1; }
}

restore() {
    rune restore -d --image-path "$images" --work-path "$work/work" "$@" "$id" </dev/null >/dev/null 2>&1 ||
        { grep -h -B3 Error "$work/work/restore.log"; return 1; }
}

# goes_on [BEFORE]: it counts from where it was
goes_on() {
    status_is "$id" running
    [ "$(count)" -ge "$1" ]
    within 30 counted $(($(count) + 2))
}

# refuses PART OPTION...: the dump fails with a line that has PART, and the container goes on
refuses() {
    local part=$1
    shift
    run -1 rune checkpoint --image-path "$work/refused" "$@" "$id"
    echo "$output"
    [[ "$output" == *"criu failed: type DUMP errno"*"$part"* ]]
    status_is "$id" running
}

# limit_is V1-CONTROLLER V1-FILE V2-FILE VALUE
limit_is() {
    if [ -e "$group" ] && [ -e "$group/$3" ]; then
        holds "$3" "$4"
    else
        local path=$top/$1${group#"$top"}/$2
        [ "$(cat "$path")" = "$4" ] || { echo "$2 is \"$(cat "$path")\", not \"$4\""; return 1; }
    fi
}

no_group() {
    [ ! -e "$state/$id" ]
    [ -z "$(find $top -maxdepth 4 -name "*$id*")" ]
    [ -z "$unit" ] || [ "$(systemctl show "$unit" --property LoadState --value)" = not-found ]
}

@test "the cgroup and its limits are there again, and obey update, pause and delete" {
    shell count
    configure '.linux.resources = {memory: {limit: 67108864}, pids: {limit: 20}, cpu: {shares: 512}, devices: [{allow: false, access: "rwm"}]}'
    start_counting
    for _ in 1 2; do
        before=$(count)
        checkpoint
        no_group
        restore
        goes_on "$before"
        limit_is memory memory.limit_in_bytes memory.max 67108864
        limit_is pids pids.max pids.max 20
        unit_has TasksMax 20
        unit_has ActiveState active
    done
    pid=$(rune state "$id" | jq .pid)
    # Every line but that of systemd's own names, which the cgroupfs driver does not use.
    grep -v :name= "/proc/$pid/cgroup" | grep "$id"
    rune update --pids-limit 30 "$id"
    limit_is pids pids.max pids.max 30
    rune pause "$id"
    status_is "$id" paused
    rune resume "$id"
    goes_on "$before"
    rune delete --force "$id"
    no_group
}

@test "restored under another name it is in the cgroup of that name, with the limits that it has now" {
    shell count
    configure '.linux.resources = {memory: {limit: 67108864}, devices: [{allow: false, access: "rwm"}]}'
    start_counting
    before=$(count)
    checkpoint
    local old=$id
    id=renamed-$RANDOM
    group=${group/$old/$id} unit=${unit/$old/$id}
    configure ".linux.resources.memory.limit = 50331648 | .linux.cgroupsPath |= sub(\"$old\"; \"$id\")"
    restore
    goes_on "$before"
    run -0 cat "/proc/$(rune state "$id" | jq .pid)/cgroup"
    echo "$output"
    [[ "$output" == *"$id"* && "$output" != *"$old"* ]]
    limit_is memory memory.limit_in_bytes memory.max 50331648
    unit_has ActiveState active
    rune delete --force "$id"
    no_group
    id=$old
    no_group
}

@test "binds with a relative source" {
    mkdir -p here/sub
    echo found >here/sub/file
    configure '.mounts += [{destination: "/bundle", source: ".", options: ["bind"]},
        {destination: "/sub", source: "./here/../here/sub", options: ["bind"]}]'
    shell count
    start_counting
    before=$(count)
    checkpoint
    restore
    goes_on "$before"
    [ "$(rune exec "$id" cat /bundle/here/sub/file /sub/file)" = $'found\nfound' ]
}

@test "a user namespace" {
    configure '.linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 1000}]
        | .linux.gidMappings = .linux.uidMappings'
    shell count
    start_counting
    before=$(count)
    # The restored processes read them, as 100000.
    mkdir -m 755 "$images"
    checkpoint
    restore
    goes_on "$before"
    [ "$(stat -c %u "/proc/$(rune state "$id" | jq .pid)")" = 100000 ]
    run -0 rune exec "$id" cat /proc/self/uid_map
    [[ "$output" == *" 0 "*" 100000 "*" 1000" ]]
}

@test "TCP: a connection inside the container goes on with --tcp-established" {
    shell 'nc -l -p 5000 -e cat & usleep 500000; { while :; do echo x; usleep 100000; done; } | nc 127.0.0.1 5000 >/tmp/received & count'
    start_counting
    received() { [ "$(rune exec "$id" stat -c %s /tmp/received)" -gt "$1" ]; }
    within 30 received 3
    refuses "onnected TCP socket"
    before=$(count)
    checkpoint --tcp-established
    restore --tcp-established
    goes_on "$before"
    within 30 received $(($(rune exec "$id" stat -c %s /tmp/received) + 3))
}

@test "TCP: a listening socket needs no option" {
    shell '{ while :; do nc -l -p 5001 -e cat; done; } & count'
    start_counting
    before=$(count)
    checkpoint
    restore
    goes_on "$before"
    run -0 rune exec "$id" sh -c 'echo through | nc 127.0.0.1 5001'
    [ "$output" = through ]
}

@test "file locks are held again with --file-locks" {
    programs_of_the_guest
    shell '/usr/bin/flock /tmp/lock sleep 1000 & count'
    start_counting
    locked() { run -1 rune exec "$id" /usr/bin/flock -n /tmp/lock true; }
    within 20 locked
    refuses "locks"
    before=$(count)
    checkpoint --file-locks
    restore --file-locks
    goes_on "$before"
    locked
    rune exec "$id" /usr/bin/flock -n /tmp/other true
}

@test "a datagram socket of others, with --ext-unix-sk" {
    # CRIU knows the peer if it is of the same network namespace.
    configure '.linux.namespaces |= map(select(.type != "network"))'
    programs_of_the_guest
    # The peer's address is what it bound: the path has to be the same inside and outside.
    outside=/run/$id
    mkdir "$outside"
    configure ".mounts += [{destination: \"$outside\", source: \"$outside\", options: [\"bind\"]}]"
    python3 - "$outside/socket" >"$work/heard" 3>&- <<'PY' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(100).decode(), flush=True)
PY
    peer=$!
    within 20 test -S "$outside/socket"
    cat >rootfs/say.py <<'PY'
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1])
i = 0
while True:
    i += 1
    s.send(b"%d" % i)
    time.sleep(0.1)
PY
    configure ".process.args = [\"/usr/bin/python3\", \"-S\", \"-E\", \"/say.py\", \"$outside/socket\"]"
    start
    heard() { [ "$(tail -n 1 "$work/heard")" -gt "$1" ]; }
    within 30 heard 3
    refuses "External socket"
    checkpoint --ext-unix-sk
    before=$(tail -n 1 "$work/heard")
    restore --ext-unix-sk
    within 30 heard $((before + 3))
}

@test "a file without a name is linked again with --link-remap" {
    mkdir rootfs/data
    shell 'echo kept >/data/a; ln /data/a /data/b; exec 8<>/data/a; rm /data/a; count'
    start_counting
    before=$(count)
    checkpoint --link-remap
    restore
    goes_on "$before"
    run -0 rune exec "$id" cat /proc/1/fd/8
    [ "$output" = kept ]
}

@test "pages by a page server" {
    shell count
    start_counting
    before=$(count)
    mkdir "$images"
    criu page-server --images-dir "$images" --address 127.0.0.1 --port 27301 >/dev/null 2>&1 3>&- &
    server=$!
    listening() { ss -Hlnt | grep -q :27301; }
    within 30 listening
    checkpoint --page-server 127.0.0.1:27301
    wait "$server"
    restore
    goes_on "$before"
}

@test "processes and what they share: children, pipes, sessions, an environment, signals" {
    shell 'trap "echo caught >/tmp/caught" USR1; (echo sub >/tmp/fifo.in; exec sleep 998) & (while :; do sleep 1; done) | cat >/dev/null & count'
    configure '.process.env += ["KEPT=yes"] | .hostname = "before"'
    start_counting
    ps=$(rune ps --format json "$id" | jq length)
    before=$(count)
    checkpoint
    restore
    goes_on "$before"
    [ "$(rune exec "$id" sh -c 'tr "\0" "\n" </proc/1/environ | grep KEPT')" = KEPT=yes ]
    [ "$(rune exec "$id" cat /proc/sys/kernel/hostname)" = before ]
    rune kill "$id" USR1
    within 20 file_has /tmp/caught caught
    now=$(rune ps --format json "$id" | jq length)
    [ $((now - ps)) -le 1 ] && [ $((ps - now)) -le 1 ]
}
