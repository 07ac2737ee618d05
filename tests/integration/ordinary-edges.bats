#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Commands in states that are not the usual ones: clear errors, nothing lost, nothing left.

load ordinary

setup() { ordinary_setup; }
teardown() {
    [ -z "${ro:-}" ] || umount "$ro" 2>/dev/null || true
    ordinary_teardown
}

init_pid() {
    rune state "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])'
}

start_detached() {
    arguments sleep 1000
    rune run --detach "$id" >/dev/null 2>&1 </dev/null
}

# fails PART COMMAND...: exit code 1, or exec's 255, and one line with PART
fails() {
    local part=$1
    shift
    run "$@"
    echo "$*: $output"
    [ "$status" -eq 1 ] || [ "$status" -eq 255 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == *"$part"* ]]
}

@test "a create that hangs in a hook: creating; killed there, it is stopped and delete takes it away" {
    configure 'c["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "300"]}]}'
    "$RUNE" --root "$state" create "$id" >/dev/null 2>&1 </dev/null &
    local pid=$!
    within 5 status_is "$id" creating
    within 5 pgrep -P "$pid" -x sleep
    fails "creat" rune start "$id"
    fails "creat" rune exec "$id" true
    fails "is not stopped" rune delete "$id"
    local hook
    hook=$(pgrep -P "$pid" -x sleep)
    kill -9 "$pid"
    wait "$pid" || true
    kill "$hook"
    within 5 status_is "$id" stopped
    fails "stopped" rune exec "$id" true
    fails "stopped" rune start "$id"
    configure 'del c["hooks"]'
    fails "already exists" rune create "$id"
    rune delete "$id"
    nothing_left
}

@test "killed before it had written any state: list goes on, delete --force takes the directory away" {
    mkdir -p "$state/$id"
    run rune list
    [ "$status" -eq 0 ]
    fails "state.json" rune state "$id"
    fails "already exists" rune create "$id"
    rune delete --force "$id"
    nothing_left
}

@test "an empty state file, and one of another kind: every command says so" {
    start_detached
    cp "$state/$id/state.json" "$work/whole"
    local text
    for text in '' '{' '[]' '{"id":7}'; do
        printf '%s' "$text" >"$state/$id/state.json"
        fails state.json rune state "$id"
        fails state.json rune exec "$id" true
        fails state.json rune kill "$id" KILL
        fails state.json rune pause "$id"
        fails state.json rune delete "$id"
        run rune list -q
        [ "$status" -eq 0 ]
    done
    cp "$work/whole" "$state/$id/state.json"
    status_is "$id" running
    rune delete --force "$id"
    nothing_left
}

@test "the state of a later rune is left alone, by delete --force too" {
    start_detached
    cp "$state/$id/state.json" "$work/whole"
    sed -i 's/"stateVersion":[0-9]*/"stateVersion":9999/' "$state/$id/state.json"
    fails "a newer rune made the container" rune state "$id"
    fails "a newer rune made the container" rune delete --force "$id"
    cp "$work/whole" "$state/$id/state.json"
    status_is "$id" running
    rune delete --force "$id"
    nothing_left
}

@test "the init dies while an exec runs: the exec ends, the next is refused" {
    start_detached
    rune exec "$id" sleep 500 </dev/null >/dev/null 2>&1 &
    local exec=$!
    within 5 sh -c "'$RUNE' --root '$state' ps '$id' | grep -q 'sleep 500'"
    kill -9 "$(init_pid "$id")"
    run wait $exec
    within 5 status_is "$id" stopped
    fails "stopped" rune exec "$id" true
    fails "not running" rune pause "$id"
    rune delete "$id"
    nothing_left
}

@test "created and paused: paused; no start, no exec; resumed it is created and starts" {
    arguments sleep 1000
    rune create "$id" >/dev/null 2>&1 </dev/null
    rune pause "$id"
    status_is "$id" paused
    fails "cannot start a container in the paused state" rune start "$id"
    fails "paused" rune exec "$id" true
    rune resume "$id"
    status_is "$id" created
    rune start "$id"
    status_is "$id" running
    rune delete --force "$id"
    nothing_left
}

@test "poststop hooks run when a paused container is deleted by force" {
    configure "c['hooks'] = {'poststop': [{'path': '/bin/touch', 'args': ['touch', '$work/poststop']}]}"
    start_detached
    rune pause "$id"
    fails "is not stopped" rune delete "$id"
    [ ! -e "$work/poststop" ]
    rune delete --force "$id"
    [ -e "$work/poststop" ]
    nothing_left
}

@test "the state root becomes read-only: nothing is lost, delete works when it is writable again" {
    start_detached
    mount --bind "$state" "$state"
    ro=$state
    mount -o remount,bind,ro "$state"
    status_is "$id" running
    rune exec "$id" true
    fails "read-only file system" rune create "$id-2"
    fails "read-only file system" rune update --pids-limit 10 "$id"
    rune kill "$id" KILL
    within 5 status_is "$id" stopped
    run rune delete "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"ead-only file system"* ]]
    umount "$state"
    ro=
    rune delete "$id"
    nothing_left
}

@test "the disk under the state root becomes full: a running container lives on and goes" {
    mkdir -p "$state"
    mount -t tmpfs -o size=256k,nr_inodes=100 none "$state"
    ro=$state
    start_detached
    dd if=/dev/zero of="$state/fill" bs=4k 2>/dev/null || true
    fails "no space left" rune create "$id-2"
    rune exec "$id" true
    rune pause "$id"
    rune resume "$id"
    rune delete --force "$id"
    [ -z "$(find "$state" -mindepth 1 -maxdepth 1 ! -name fill ! -name .cache)" ]
    umount "$state"
    ro=
    nothing_left
}

@test "a memory limit too low to start with is named" {
    configure 'c["linux"].setdefault("resources", {})["memory"] = {"limit": 4096}'
    refused "OOM-killed (memory limit too low?)" rune run "$id"
}

@test "of two values of a variable the later one holds; one without a value is refused" {
    arguments sh -c 'echo $WORD'
    configure 'c["process"]["env"] += ["WORD=first", "WORD=second"]'
    [ "$(rune run "$id")" = second ]
    start_detached
    [ "$(rune exec --env WORD=third --env "WORD=a=b" "$id" sh -c 'echo $WORD; env | grep -c ^WORD=' | tr '\n' ' ')" = "a=b 1 " ]
    fails "invalid environment variable" rune exec --env WORD "$id" true
    rune delete --force "$id"
    configure 'c["process"]["env"] += ["=x"]'
    refused "invalid environment variable" rune run "$id"
}

@test "a working directory that is not there is made, in the root only" {
    arguments sh -c pwd
    configure 'c["process"]["cwd"] = "/made/../made/here"' 'c["root"]["readonly"] = True'
    [ "$(rune run "$id")" = /made/here ]
    [ -d rootfs/made/here ]
    ln -s / rootfs/up
    configure "c['process']['cwd'] = '/up$work/outside'"
    rune run "$id"
    [ ! -e "$work/outside" ]
    nothing_left
}

@test "createContainer hooks begin in the root; hooks inherit what their place has as environment" {
    configure "c['hooks'] = {
        'createRuntime': [{'path': '/bin/sh', 'args': ['sh', '-c', 'echo \$HOST_WORD >$work/runtime']},
                          {'path': '/bin/sh', 'args': ['sh', '-c', 'echo :\$HOST_WORD >$work/empty'], 'env': []}],
        'createContainer': [{'path': '/bin/sh', 'args': ['sh', '-c', 'echo \$HOST_WORD \$WORD >./word; pwd >>./word']}]}" \
        'c["process"]["env"] += ["WORD=container"]' 'c["root"]["readonly"] = False'
    arguments cat /word
    HOST_WORD=host run rune run "$id"
    echo "$output"
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = container ]
    [ "${lines[1]}" = "$bundle/rootfs" ]
    [ "$(cat "$work/runtime")" = host ]
    [ "$(cat "$work/empty")" = : ]
    nothing_left
}

@test "started with SIGCHLD ignored: how the container and a hook ended is known all the same" {
    local ignoring=(timeout -k 1 20 env --ignore-signal=CHLD "$RUNE" --root "$state")
    arguments sh -c 'exit 7'
    run "${ignoring[@]}" run "$id"
    echo "$output"
    [ "$status" -eq 7 ]
    configure 'c["hooks"] = {"prestart": [{"path": "/bin/false"}]}'
    refused "exit status 1" "${ignoring[@]}" run "$id"
}
