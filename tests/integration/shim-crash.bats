#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# containerd-shim-rune-v2 when something dies, goes away or talks nonsense (docs/design/shim.md, "When one dies").

bats_require_minimum_version 1.5.0
load shim

setup_file() {
    shim_setup_file python3 jq
}

teardown_file() {
    shim_teardown_file
}

containerd_dies() {
    local pid
    pid=$(cat "$work/containerd.pid")
    kill -9 "$pid"
    within 10 gone "$pid"
}

@test "containerd killed -9 and started again: containers go on, exec, kill and logs work, an end in between is known" {
    starts
    first=$name shim=$(shim_of "$name") pid=$(task_pid)
    name=$first-ends
    box -d --log-uri "file://$work/$name.out" -- sh -c "while [ ! -e /tmp/end ]; do sleep 0.1; done; echo last words; exit 9"
    second=$name rootfs=/proc/$(task_pid)/root
    containerd_dies
    : >"$rootfs/tmp/end"
    within 10 grep -q 'last words' "$work/$second.out"
    start_containerd
    name=$first
    task_is RUNNING
    [ "$(task_pid)" = "$pid" ]
    [ "$(shim_of "$name")" = "$shim" ]
    [ "$(ctr task exec --exec-id one "$name" echo again)" = again ]
    name=$second
    within 10 task_is STOPPED
    run ctr task delete "$name"
    [[ "$output" == *"exit code 9"* ]]
    name=$first
    ctr task kill "$name"
    within 10 task_is STOPPED
    ctr task delete "$name" || true
    gone_entirely "$first"
    gone_entirely "$second"
}

@test "events of the time without containerd arrive in order afterwards" {
    starts
    pid=$(task_pid)
    containerd_dies
    kill -9 "$pid"
    within 10 gone "$pid"
    start_containerd
    ctr events >"$work/$name.events" &
    events=$!
    within 10 task_is STOPPED
    ctr task delete "$name" || true
    within 15 grep -q /tasks/delete "$work/$name.events"
    kill $events
    # The end itself may have come before anybody listened.
    [ "$(grep -oE ' /tasks/[a-z-]+' "$work/$name.events" | tail -1)" = " /tasks/delete" ]
}

@test "the shim killed -9: containerd notices, and everything is removed" {
    starts
    shim=$(shim_of "$name") pid=$(task_pid)
    kill -9 "$shim"
    within 20 gone "$pid"
    within 20 gone_entirely "$name"
    [ -z "$(ctr task ls -q)" ]
    # The name can be used again.
    ctr container rm "$name"
    run -0 box --rm -- echo again
    [ "$output" = again ]
}

# A container whose creation takes as long as its hook; there is no other way to catch rune in the middle.
slow_spec() { # SECONDS
    ctr oci spec >"$work/$name.json"
    python3 - "$work/$name.json" "$work/busybox" "/$parent/$name" "$1" <<'PY'
import json, sys
path, root, cgroup, seconds = sys.argv[1:]
c = json.load(open(path))
c["root"] = {"path": root}
c["process"]["args"] = ["sh", "-c", "exit 0"]
c["process"]["terminal"] = False
c["linux"]["cgroupsPath"] = cgroup
c["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", seconds]}]}
json.dump(c, open(path, "w"))
PY
}

rune_of() { # CONTAINER: the process that creates it
    pgrep -o -f "rune --root $state .* $1\$"
}

@test "rune killed -9 during create: an error that says so, and nothing is left" {
    slow_spec 5
    timeout 60 ctr run --runtime "$runtime" --rm --config "$work/$name.json" "$name" >"$work/$name.out" 2>&1 &
    client=$!
    within 20 rune_of "$name"
    within 20 test -e "$state/$name"
    kill -9 "$(rune_of "$name")"
    status=0
    wait $client || status=$?
    [ $status -eq 1 ]
    cat "$work/$name.out"
    grep -q 'OCI runtime create failed: the runtime was ended by signal 9' "$work/$name.out"
    within 10 gone_entirely "$name"
    within 10 no_shims "-id $name"
}

@test "containerd killed -9 during create: the create is undone" {
    slow_spec 5
    timeout 60 ctr run --runtime "$runtime" --config "$work/$name.json" "$name" >"$work/$name.out" 2>&1 &
    within 20 rune_of "$name"
    within 20 test -e "$state/$name"
    containerd_dies
    within 20 test ! -e "$state/$name"
    [ -z "$(rune_of "$name")" ]
    start_containerd
    [ -z "$(ctr task ls -q)" ]
    within 10 gone_entirely "$name"
    within 20 no_shims "-id $name"
}

@test "a client that goes away, and one that never reads" {
    # Its FIFOs are full after 64 KiB: the container waits, and can be killed.
    box -- sh -c 'i=0; while :; do echo "line $i"; i=$((i+1)); done' >/dev/null &
    within 20 task_is RUNNING
    client=$(pgrep -f "^ctr run .* $name sh")
    kill -STOP "$client"
    [ "$(timeout 30 ctr task exec --exec-id one "$name" echo served)" = served ]
    kill -KILL "$client"
    [ "$(timeout 30 ctr task exec --exec-id two "$name" echo served)" = served ]
    timeout 30 ctr task kill -s KILL "$name"
    within 10 task_is STOPPED
    timeout 30 ctr task delete "$name" || true
    ctr container rm "$name"
    gone_entirely "$name"
}

@test "nonsense on the shim's socket: the shim serves on" {
    starts
    python3 - "$(address_of "$name")" <<'PY'
import os, socket, struct, sys
def talk(data):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(10)
    s.connect(sys.argv[1])
    try:
        s.sendall(data)
    except BrokenPipeError:
        pass
    return s
def frame(body, stream=1, kind=1):
    return struct.pack(">IIBB", len(body), stream, kind, 0) + body
def field(n, v):
    return bytes([n << 3 | 2, len(v)]) + v
def answer(s):
    length = struct.unpack(">IIBB", s.recv(10, socket.MSG_WAITALL))[0]
    return s.recv(length, socket.MSG_WAITALL)
for seed in range(50):
    talk(os.urandom(200)).close()
talk(b"\xff" * 10).close()
assert b"exceed maximum message size" in answer(talk(struct.pack(">IIBB", 1 << 31, 1, 1, 0)))
assert b"service nobody" in answer(talk(frame(field(1, b"nobody") + field(2, b"State"))))
assert b"method Nothing" in answer(talk(frame(field(1, b"containerd.task.v2.Task") + field(2, b"Nothing"))))
assert b"cannot be decoded" in answer(talk(frame(field(1, b"containerd.task.v3.Task") + field(2, b"State") + field(3, b"\xff\xff"))))
assert b"not found" in answer(talk(frame(field(1, b"containerd.task.v3.Task") + field(2, b"State") + field(3, field(1, b"nobody")))))
many = [talk(b"") for _ in range(200)] # and none of them says anything
PY
    [ "$(ctr task exec --exec-id one "$name" echo served)" = served ]
}

@test "50 containers at once" {
    pids=()
    for i in $(seq 50); do
        timeout -s KILL 300 ctr run --runtime "$runtime" --rm --cgroup "/$parent/$name-$i" "$image" "$name-$i" sh -c "echo $i; exit $((i % 5))" \
            >"$work/$name.$i" 2>&1 &
        pids+=($!)
    done
    for i in $(seq 50); do
        status=0
        wait "${pids[$((i - 1))]}" || status=$?
        [ $status -eq $((i % 5)) ] || { echo "container $i: status $status: $(cat "$work/$name.$i")"; false; }
        [ "$(cat "$work/$name.$i")" = "$i" ]
    done
    [ -z "$(ls "$state")" ]
    within 20 no_shims "$CONTAINERD_NAMESPACE"
}

# containerd's call by hand: a bundle as working directory, options on standard input.
start_by_hand() { # ID [VARIABLE=VALUE...]
    (cd "$work/$name" && env "${@:2}" TTRPC_ADDRESS="$work/ttrpc" containerd-shim-rune-v2 -namespace "$CONTAINERD_NAMESPACE" \
        -address "$work/sock" -id "$1" start 3>&-)
}

message() { # LIST: fields (number, text or nested list) of a protobuf message
    python3 - "$1" <<'PY'
import ast, sys
def encode(fields):
    out = b""
    for number, value in fields:
        value = value.encode() if isinstance(value, str) else encode(value)
        out += bytes([number << 3 | 2, len(value)]) + value
    return out
sys.stdout.buffer.write(encode(ast.literal_eval(sys.argv[1])))
PY
}

@test "start by hand: the address, JSON for later versions, one shim for a pod, its cgroup; it ends when nobody comes" {
    mkdir "$work/$name"
    echo '{"annotations": {"io.kubernetes.cri.sandbox-id": "pod"}}' >"$work/$name/config.json"
    address=$(start_by_hand one </dev/null)
    [[ "$address" =~ ^unix:///run/containerd/s/[0-9a-f]{64}$ ]]
    [ "$(cat "$work/$name/address")" = "$address" ]
    [ "$(start_by_hand two MAX_SHIM_VERSION=2 </dev/null)" = "{\"version\":2,\"address\":\"$address\",\"protocol\":\"ttrpc\"}" ]
    [ "$(message '[(1, "three"), (2, "x")]' | start_by_hand three MAX_SHIM_VERSION=3)" = \
        "{\"version\":3,\"address\":\"$address\",\"protocol\":\"ttrpc\"}" ]
    [ "$(pgrep -fc "containerd-shim-rune-v2 .*-id (one|two|three)")" -eq 1 ]
    # containerd comes and goes.
    python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])' "${address#unix://}"
    within 20 no_shims "-id one"
    [ ! -e "${address#unix://}" ]

    # The parameters of containerd 2.3: another directory for sockets, and the runtime's options.
    echo '{}' >"$work/$name/config.json"
    cgroup=$(find /sys/fs/cgroup -maxdepth 1 -name pids)/$parent
    [ -d "${cgroup%/*}" ] || cgroup=/sys/fs/cgroup/$parent
    mkdir -p "$cgroup/shim"
    address=$(message "[(1, 'four'), (8, [(1, [(1, 'containerd.runc.v1.Options'), (2, [(3, '/$parent/shim')])])]), (9, '$work/s')]" |
        start_by_hand four MAX_SHIM_VERSION=3 | jq -r .address)
    [ "${address%/*}" = "unix://$work/s" ]
    grep -q "$(pgrep -f "containerd-shim-rune-v2 .*-id four")" "$cgroup/shim/cgroup.procs"
    python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])' "${address#unix://}"
    within 20 no_shims "-id four"
    rmdir "$cgroup/shim"

    echo nonsense >"$work/$name/config.json"
    run -1 start_by_hand five </dev/null
    [[ "$output" == *config.json* ]]
    echo '{}' >"$work/$name/config.json"
    run -1 --separate-stderr start_by_hand five < <(printf '\xff\xff')
    [[ "$stderr" == *"standard input"* ]]
}
