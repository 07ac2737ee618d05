#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Hooks (runtime-spec config.md "POSIX-platform Hooks", runtime.md "Lifecycle"): order, state, namespaces, failures, timeouts.

load ordinary

setup() {
    ordinary_setup
    log=$work/log
    # A hook of the host: writes down who it is, its state, and what it sees; fails when told to.
    cat >"$work/hook" <<'H'
#!/bin/sh
name=$1 log=$2 fail=$3
state=$(cat)
printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$state" "$(readlink /proc/self/ns/mnt)" "$(pwd)" "$(env | sort | tr '\n' ' ')" >>"$log"
[ -z "$fail" ] || { echo "words of $name" >&2; exit "$fail"; }
H
    chmod +x "$work/hook"
    # One in the container: the host's names are gone there, so it writes into its root.
    cp "$work/hook" rootfs/bin/hook
    ln rootfs/bin/busybox rootfs/bin/readlink
    ln rootfs/bin/busybox rootfs/bin/sort
    ln rootfs/bin/busybox rootfs/bin/tr
    ln rootfs/bin/busybox rootfs/bin/pwd
    touch rootfs/log
    configure 'c["root"]["readonly"] = False' 'c["annotations"] = {"key": "value"}'
}

teardown() { ordinary_teardown; }

# hooks FAIL-NAME...: two hooks of each kind; the named ones ("createRuntime1") exit 3
hooks() {
    configure "fail = '$*'.split()" "hook = lambda n, path, log: {'path': path, 'args': ['hook', n, log, '3' if n in fail else ''], 'env': ['WHO=' + n, 'PATH=/usr/bin:/bin']}" \
        "c['hooks'] = {k: [hook(k + i, '$work/hook', '$log') for i in '12'] for k in ('prestart', 'createRuntime', 'createContainer', 'poststart', 'poststop')}" \
        "c['hooks']['startContainer'] = [hook('startContainer' + i, '/bin/hook', '/log') for i in '12']"
}

names() {
    cut -f1 "$1" | tr '\n' ' '
}

# state_at NAME PYTHON: an expression over s, the state that the hook got, must be true
state_at() {
    grep -h "^$1	" "$log" rootfs/log | cut -f2 | python3 -c '
import json, sys
s = json.loads(sys.stdin.readline())
if not eval(sys.argv[1]):
    sys.exit(f"{sys.argv[1]} is false of {s}")' "$2"
}

@test "all six kinds: order, state on stdin, environment, working directory, namespaces" {
    hooks
    arguments sleep 100
    rune create --pid-file "$work/pid" "$id" </dev/null >/dev/null 2>&1
    local pid
    pid=$(cat "$work/pid")
    [ "$(names "$log")" = "prestart1 prestart2 createRuntime1 createRuntime2 createContainer1 createContainer2 " ]
    [ ! -s rootfs/log ]
    rune start "$id"
    within 5 grep -q poststart2 "$log"
    within 5 grep -q startContainer2 rootfs/log
    [ "$(names rootfs/log)" = "startContainer1 startContainer2 " ]
    [[ "$(names "$log")" == *"poststart1 poststart2 " ]]
    rune kill "$id" KILL
    within 5 status_is "$id" stopped
    rune delete "$id"
    [[ "$(names "$log")" == *"poststop1 poststop2 " ]]
    nothing_left
    for name in prestart1 createRuntime2; do
        state_at $name "s['status'] == 'creating' and s['pid'] == $pid"
    done
    # In the container's namespaces the pid is the container's own view.
    state_at createContainer1 "s['status'] == 'creating' and s['pid'] == 1"
    state_at startContainer1 "s['status'] == 'created' and s['pid'] == 1"
    state_at poststart1 "s['status'] == 'running' and s['pid'] == $pid"
    state_at poststop1 "s['status'] == 'stopped' and not s.get('pid')"
    for name in prestart1 createRuntime1 createContainer1 startContainer1 poststart1 poststop1; do
        state_at $name "s['id'] == '$id' and s['bundle'] == '$bundle' and s['annotations'] == {'key': 'value'} and s['ociVersion'].startswith('1.')"
        # The environment is the hook's alone.
        [[ "$(grep -h "^$name	" "$log" rootfs/log | cut -f5)" == *"WHO=$name "* ]]
        [[ "$(grep -h "^$name	" "$log" rootfs/log | cut -f5)" != *"HOME="* ]]
    done
    local own
    own=$(readlink /proc/self/ns/mnt)
    for name in prestart1 createRuntime1 poststart1 poststop1; do
        [ "$(grep "^$name	" "$log" | cut -f3)" = "$own" ]
        [ "$(grep "^$name	" "$log" | cut -f4)" = "$bundle" ]
    done
    for name in createContainer1 startContainer1; do
        [ "$(grep -h "^$name	" "$log" rootfs/log | cut -f3)" != "$own" ]
    done
}

@test "a failing hook before the start: the create fails, the rest of its kind and all later ones are left out, poststop runs" {
    arguments sh -c 'echo RAN'
    for kind in prestart createRuntime createContainer; do
        : >"$log"
        hooks ${kind}1
        run_container
        [ "$status" -eq 1 ]
        [[ "$output" == *"hook #0"*"$kind"*"exit status 3"*"words of ${kind}1"* ]]
        [[ "$output" != *RAN* ]]
        [[ "$(names "$log")" != *"${kind}2"* ]]
        [[ "$(names "$log")" == *"${kind}1 poststop1 poststop2 " ]]
        nothing_left
        run rune create "$id"
        [ "$status" -eq 1 ]
        nothing_left
    done
}

@test "a failing startContainer hook: the program does not run, the container stops" {
    hooks startContainer1
    arguments sh -c 'echo RAN >/ran'
    run_container
    [ "$status" -ne 0 ]
    [[ "$output" == *startContainer*"exit status 3"* ]]
    [ ! -e rootfs/ran ]
    [ "$(names rootfs/log)" = "startContainer1 " ]
    nothing_left
    rune create "$id" >/dev/null 2>&1 </dev/null
    rune start "$id" || true
    within 5 status_is "$id" stopped
    [ ! -e rootfs/ran ]
    rune delete "$id"
    nothing_left
}

@test "a failing poststart hook: an error, and the container is stopped" {
    hooks poststart1
    arguments sleep 100
    rune create "$id" </dev/null >/dev/null 2>&1
    run rune start "$id"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *poststart*"exit status 3"* ]]
    within 5 status_is "$id" stopped
    rune delete "$id"
    run rune run --detach "$id"
    [ "$status" -eq 1 ]
    nothing_left
}

@test "a failing poststop hook is a warning: the others run, the container is gone" {
    hooks poststop1
    arguments true
    run_container
    [ "$status" -eq 0 ]
    [[ "$output" == *warning*poststop* ]]
    [[ "$(names "$log")" == *"poststop1 poststop2 " ]]
    nothing_left
    rune create "$id" </dev/null >/dev/null 2>&1
    run rune delete --force "$id"
    [ "$status" -eq 0 ]
    nothing_left
}

@test "a timeout ends the hook; one that ignores its stdin or leaves a child behind does not hang" {
    arguments true
    configure "c['hooks'] = {'createRuntime': [{'path': '/bin/sh', 'args': ['sh', '-c', 'echo \$\$ >$work/hookpid; exec sleep 60'], 'timeout': 1}]}"
    local start=$SECONDS
    run_container
    [ "$status" -eq 1 ]
    [[ "$output" == *"timeout of 1"* ]]
    [ $((SECONDS - start)) -lt 30 ]
    [ ! -d "/proc/$(cat "$work/hookpid")" ]
    nothing_left
    configure "c['hooks'] = {'createRuntime': [{'path': '/bin/sh', 'args': ['sh', '-c', 'exec <&-; sleep 61 & echo \$! >$work/childpid; exit 0'], 'timeout': 20}], 'poststop': [{'path': '/bin/true'}]}"
    start=$SECONDS
    run rune run "$id" </dev/null
    kill "$(cat "$work/childpid")" || true
    [ "$status" -eq 0 ]
    [ $((SECONDS - start)) -lt 15 ]
}

@test "what cannot be a hook is refused: a relative path, a timeout of zero, a missing program, a signal" {
    arguments true
    hook() { configure "c['hooks'] = {'createRuntime': [$1]}"; }
    hook "{'path': 'bin/true'}" && refused "absolute path" rune run "$id"
    hook "{'path': '/bin/true', 'timeout': 0}" && refused "timeout" rune run "$id"
    hook "{'path': '/missing/hook'}" && refused "/missing/hook" rune run "$id"
    hook "{'path': '/bin/sh', 'args': ['sh', '-c', 'kill -9 \$\$']}" && refused "signal: killed" rune run "$id"
}
