#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Pods over containerd's CRI socket, as a kubelet makes them, by the runtime handlers rune and rune-enclave: ordinary and enclave containers
# give the same answers, and the pause container is ordinary in all of them.

bats_require_minimum_version 1.5.0
load shim

setup_file() {
    # shellcheck disable=SC2034 # read by shim_setup_file
    own_network=yes
    for module in grpc websocket google.protobuf; do
        /usr/bin/python3 -c "import $module" 2>/dev/null || skip "no Python module $module (scripts/deps.sh clients)"
    done
    shim_setup_file containerd protoc ip nsenter jq
    protoc --proto_path="$repo/tests/integration/cri" --python_out="$work" cri.proto
    image=docker.io/test/busybox:1
}

teardown_file() {
    [ -n "${work:-}" ] || return 0
    remove_pods
    shim_teardown_file
}

teardown() {
    remove_pods
}

remove_pods() {
    local pod
    for pod in $(cri pods 2>/dev/null); do
        cri stop-pod "$pod" || true
        cri remove-pod "$pod" || true
    done
    # The kubelet's part: a pod's own cgroup.
    find /sys/fs/cgroup -depth -path "*/$parent/*" -type d -exec rmdir {} + 2>/dev/null || true
}

cri() { # COMMAND...
    timeout -s KILL 150 nsenter --net="/proc/$(cat "$work/containerd.pid")/ns/net" \
        env PYTHONPATH="$work" PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$repo/tests/integration/cri/cri.py" "$work/sock" "$@"
}

pod_of() { # HANDLER [OPTION...]
    mkdir -p "$work/$name"
    cri pod --dir "$work/$name" --cgroup "/$parent/$name" --handler "$@" "$name"
}

made() { # NAME [OPTION...] -- COMMAND...: a started container of $pod
    local flags=() container=$1
    shift
    while [ "$1" != -- ]; do
        flags+=("$1")
        shift
    done
    id=$(cri create "${flags[@]}" --dir "$work/$name" "$pod" "$container" "$image" "$@")
    cri start "$id"
}

is() { # STATE CODE REASON
    [ "$(cri status "$id" | cut -d' ' -f1-3)" = "$*" ]
}

logged() { # NAME STREAM: the whole lines of it, out of the log's form
    sed -n "s/^[^ ]* $2 F //p" "$work/$name/$1.log"
}

where='test -e /dev/attestation && echo inside || echo outside'
talks='echo up; echo and errors >&2; trap "echo told; exit 3" TERM; while :; do sleep 0.1; done'

# A container's whole life, the same for both kinds: $1 is where it runs.
life() {
    read -r state address pause < <(cri pod-status "$pod")
    [ "$state" = ready ]
    [[ "$address" == 10.87.* ]]
    [[ "$(tr '\0' ' ' <"/proc/$pause/cmdline")" == "/bin/sleep "* ]]
    mkdir "$work/$name/volume"
    echo from outside >"$work/$name/volume/file"
    made one --env COLOUR=blue --memory 134217728 --mount "$work/$name/volume:/mnt" -- sh -c "$where; cat /mnt/file; echo \$COLOUR; $talks"
    within 60 eval "[ \"\$(logged one stdout)\" = $'$1\nfrom outside\nblue\nup' ]"
    within 10 eval '[ "$(logged one stderr)" = "and errors" ]'
    is running 0 -

    run -7 --separate-stderr cri exec-sync "$id" -- sh -c "$where; echo wrong >&2; exit 7"
    [ "$output" = "$1" ]
    [ "$stderr" = wrong ]
    run -1 cri exec-sync --timeout 1 "$id" -- sleep 100
    [[ "$output" == *DEADLINE_EXCEEDED* ]]
    run -1 cri exec-sync "$id" -- no-such-program
    [[ "$output" == *no-such-program*"executable file not found"* ]]
    run -9 --separate-stderr cri exec "$id" -- sh -c "$where; echo wrong >&2; exit 9"
    [ "$output" = "$1" ]
    [ "$stderr" = wrong ]
    [ "$(echo in | cri exec --stdin "$id" -- head -n 1)" = in ]
    # With standard input: without, containerd loses a terminal's output, with runc's shim as well.
    run -0 cri exec --stdin --tty --size 77x33 "$id" -- sh -c "tty; $show_size"
    [[ "$output" == */dev/pts/* ]]
    [[ "$output" == *"33 77"* ]]

    read -r cpu memory < <(cri stats "$id")
    [ "$cpu" -gt 0 ]
    [ "$memory" -gt 0 ]
    cri update --memory 100663296 "$id"
    [ "$(cat "/sys/fs/cgroup/memory/$parent/$name/$id/memory.limit_in_bytes" 2>/dev/null ||
        cat "/sys/fs/cgroup/$parent/$name/$id/memory.max")" = 100663296 ]
    mv "$work/$name/one.log" "$work/$name/old.log"
    cri reopen "$id"
    cri stop "$id" 30
    is exited 3 Error
    [ "$(logged one stdout)" = told ]
    cri remove "$id"

    made ends -- sh -c 'echo last words; exit 5'
    within 60 is exited 5 Error
    [ "$(logged ends stdout)" = "last words" ]
    made deaf -- sh -c 'trap "" TERM; echo up; while :; do sleep 0.1; done'
    within 60 eval '[ "$(logged deaf stdout)" = up ]'
    cri stop "$id" 1
    is exited 137 Error
    id=$(cri create --dir "$work/$name" "$pod" none "$image" no-such-program)
    run -1 cri start "$id"
    [[ "$output" == *no-such-program*"executable file not found"* ]]

    cri stop-pod "$pod"
    [ "$(cri pod-status "$pod" | cut -d' ' -f1)" = notready ]
    cri remove-pod "$pod"
    within 20 nothing_of "$pod"
}

nothing_of() { # POD
    [ -z "$(cri containers)" ] || return 1
    ! pgrep -f "containerd-shim-rune.*$1" >/dev/null || return 1
    [ -z "$(find /sys/fs/cgroup -path "*/$parent/$name/*" -type d)" ]
}

@test "an ordinary pod: its address, logs, exec, streams, statistics, update, grace, end" {
    pod=$(pod_of rune)
    life outside
}

@test "an enclave pod by its runtime handler: the same" {
    pod=$(pod_of rune-enclave --annotation enclave.exec=any)
    life inside
}

@test "a pod annotation asks for an enclave; without enclave.exec exec is refused, and says so" {
    pod=$(pod_of rune --annotation enclave.type=auto)
    made one -- sh -c "$where; $talks"
    within 60 eval "[ \"\$(logged one stdout)\" = $'inside\nup' ]"
    run -1 cri exec-sync "$id" -- true
    [[ "$output" == *'permission denied: enclave.exec is "none"'* ]]
    # A container's variable does, too, beside ordinary ones.
    cri remove-pod "$pod"
    pod=$(pod_of rune)
    made plain -- sh -c "$where"
    made enclave --env ENCLAVE_TYPE=auto -- sh -c "$where"
    within 60 eval '[ "$(logged enclave stdout)" = inside ]'
    within 10 eval '[ "$(logged plain stdout)" = outside ]'
}

@test "attach: input and output of the first process, a terminal; port-forward" {
    pod=$(pod_of rune-enclave)
    made reads --stdin -- sh -c 'echo up; read -r line; echo "got $line"; read -r line'
    within 60 eval '[ "$(logged reads stdout)" = up ]'
    mkfifo "$work/$name/input"
    exec 5<>"$work/$name/input"
    cri attach "$id" <"$work/$name/input" >"$work/$name/attached" &
    attached=$!
    echo word >&5
    within 30 grep -q 'got word' "$work/$name/attached"
    cri stop "$id" 0
    wait $attached || true
    made terminal --stdin --tty -- sh -c "read -r line; tty; $show_size; echo \$line"
    echo typed >&5
    run -0 cri attach --tty --size 77x33 "$id" <"$work/$name/input"
    exec 5>&-
    [[ "$output" == *"33 77"* ]]
    [[ "$output" == *typed* ]]
    made serves -- sh -c 'echo page >/tmp/index.html; exec httpd -f -p 8080 -h /tmp'
    served() { [[ "$(printf 'GET / HTTP/1.0\r\n\r\n' | cri forward "$pod" 8080)" == *page* ]]; }
    within 60 served
}

@test "containerd killed -9 under a pod: it goes on, and is stopped and removed as ever" {
    pod=$(pod_of rune-enclave --annotation enclave.exec=any)
    made one -- sh -c "$talks"
    within 60 eval '[ "$(logged one stdout)" = up ]'
    old=$(cat "$work/containerd.pid")
    network=$work/$name/network # the pods' one, kept
    : >"$network"
    mount --bind "/proc/$old/ns/net" "$network"
    kill -9 "$old"
    within 10 gone "$old"
    start_containerd nsenter --net="$network"
    umount "$network"
    within 30 is running 0 -
    [ "$(cri exec-sync "$id" -- echo again)" = again ]
    cri stop "$id" 30
    is exited 3 Error
    cri stop-pod "$pod"
    cri remove-pod "$pod"
    within 20 nothing_of "$pod"
}

@test "all pods of a deployment have the identity that rune-image measure predicts of its YAML" {
    cat >"$work/deployment.yaml" <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 50
  template:
    metadata: {annotations: {enclave.host.env: "default POD_IP"}}
    spec:
      automountServiceAccountToken: false
      initContainers:
      - {name: side, image: $image, restartPolicy: Always, command: [sh], args: ["-c", "$show_identity"]}
      containers:
      - name: web
        image: $image
        command: [sh, -c, "$show_identity"]
        env:
        - {name: COLOUR, valueFrom: {configMapKeyRef: {name: colours, key: first}}}
        - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        volumeMounts: [{name: data, mountPath: /mnt}]
      volumes: [{name: data, emptyDir: {}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: colours}
data: {first: blue}
YAML
    predicted "$work/image.tar" "$work/deployment.yaml" >"$work/first"
    jq -r '.[1] | .mrenclave, .configid' "$work/measure.json" >"$work/expected"
    base=$name
    for i in $(identity_runs); do
        name=$base-$i
        pod=$(pod_of rune-enclave --annotation "enclave.host.env=default POD_IP")
        mkdir "$work/$name/volume"
        touch "$work/$name/log"
        made web --kubelet --env "KUBERNETES_SERVICE_PORT=44$i" --env COLOUR=blue --env "KUBERNETES_PORT=tcp://10.0.0.$i:443" --env "POD_IP=10.1.0.$i" \
            --mount "$work/$name/log:/dev/termination-log" --mount "$work/$name/volume:/mnt" -- sh -c "$show_identity"
        within 60 is exited 0 Completed
        logged web stdout | identity_of >"$work/found"
        diff "$work/expected" "$work/found"
        made side --kubelet --env "KUBERNETES_SERVICE_PORT=44$i" --mount "$work/$name/log:/dev/termination-log" -- sh -c "$show_identity"
        within 60 is exited 0 Completed
        logged side stdout | identity_of >"$work/found"
        diff "$work/first" "$work/found"
    done
}
