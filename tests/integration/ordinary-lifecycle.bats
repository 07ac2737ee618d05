#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The life of an ordinary container, as a user of runc knows it.

load ordinary

setup() { ordinary_setup; }
teardown() { ordinary_teardown; }

@test "run: output, exit code, 128 + signal, nothing left" {
    arguments sh -c 'echo out; echo err >&2; exit 7'
    run rune run "$id"
    [ "$status" -eq 7 ]
    [[ "$output" == *out* && "$output" == *err* ]]
    nothing_left
    arguments sh -c 'kill -9 $$; sleep 5'
    configure 'c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "pid"]'
    run rune run "$id"
    [ "$status" -eq 137 ]
    nothing_left
}

@test "create, state, start, kill, delete" {
    arguments sh -c 'trap "exit 3" TERM; echo up; while :; do sleep 0.1; done'
    rune create --pid-file "$work/pid" "$id" >"$work/out"
    status_is "$id" created
    [ "$(cat "$work/pid")" = "$(rune state "$id" | python3 -c 'import json,sys; print(json.load(sys.stdin)["pid"])')" ]
    [ ! -s "$work/out" ]
    rune start "$id"
    status_is "$id" running
    within 5 grep -q up "$work/out"
    run rune start "$id"
    [ "$status" -eq 1 ]
    run rune delete "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"not stopped"* ]]
    rune kill "$id" TERM
    within 5 status_is "$id" stopped
    run rune kill "$id" TERM
    [ "$status" -eq 1 ]
    rune delete "$id"
    nothing_left
}

@test "a second container of one name is refused, the first lives on" {
    arguments sleep 100
    rune create "$id" >/dev/null
    run rune create "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"already exists"* ]]
    status_is "$id" created
    rune delete --force "$id"
    nothing_left
}

@test "parallel creates of one name: exactly one wins" {
    arguments sleep 100
    for _ in 1 2 3 4 5 6; do
        (rune create "$id" >/dev/null 2>&1 && echo won >>"$work/winners") &
    done
    wait
    [ "$(wc -l <"$work/winners")" = 1 ]
    rune delete --force "$id"
    nothing_left
}

@test "list and ps" {
    arguments sleep 100
    rune run --detach "$id" >/dev/null 2>&1 </dev/null
    rune list | grep -q "$id.*running"
    [ "$(rune list -q)" = "$id" ]
    rune list --format json | python3 -c 'import json,sys; assert json.load(sys.stdin)[0]["status"] == "running"'
    rune ps "$id" | grep -q "sleep 100"
    rune ps --format json "$id" | python3 -c 'import json,sys; assert len(json.load(sys.stdin)) == 1'
}

@test "exec: exit code, user, cwd, environment, detached with a pid file" {
    arguments sleep 100
    rune run --detach "$id" >/dev/null 2>&1 </dev/null
    run rune exec "$id" sh -c 'exit 9'
    [ "$status" -eq 9 ]
    [ "$(rune exec --user 1000:1001 "$id" id -u)" = 1000 ]
    [ "$(rune exec --user 1000:1001 "$id" id -g)" = 1001 ]
    [ "$(rune exec --cwd /bin --env GREETING=hello "$id" sh -c 'echo $PWD $GREETING')" = "/bin hello" ]
    [ "$(echo through | rune exec "$id" cat)" = through ]
    rune exec --detach --pid-file "$work/pid" "$id" sleep 200 </dev/null >/dev/null 2>&1
    tr '\0' ' ' <"/proc/$(cat "$work/pid")/cmdline" | grep -q "sleep 200"
    run rune exec "$id" no-such-program
    [ "$status" -eq 255 ]
    [[ "$output" == *"executable file not found"* ]]
}

@test "exec: --process" {
    arguments sleep 100
    rune run --detach "$id" >/dev/null 2>&1 </dev/null
    echo '{"args":["sh","-c","echo $WORD; id -u"],"env":["PATH=/bin","WORD=file"],"cwd":"/","user":{"uid":7,"gid":7}}' >"$work/p.json"
    [ "$(rune exec --process "$work/p.json" "$id" | tr '\n' ' ')" = "file 7 " ]
}

@test "pause and resume; exec, start and delete in a paused container" {
    arguments sleep 100
    rune run --detach "$id" >/dev/null 2>&1 </dev/null
    rune pause "$id"
    status_is "$id" paused
    run rune exec "$id" true
    [ "$status" -eq 255 ]
    [[ "$output" == *paused* ]]
    run rune resume "$id"
    [ "$status" -eq 0 ]
    status_is "$id" running
    run rune resume "$id"
    [ "$status" -eq 1 ]
    rune pause "$id"
    rune delete --force "$id"
    nothing_left
}

@test "exec in a stopped container, delete of one whose init died" {
    arguments sleep 100
    rune run --detach --pid-file "$work/pid" "$id" >/dev/null 2>&1 </dev/null
    kill -9 "$(cat "$work/pid")"
    within 5 status_is "$id" stopped
    run rune exec "$id" true
    [ "$status" -eq 255 ]
    [[ "$output" == *stopped* ]]
    rune delete "$id"
    nothing_left
}

@test "terminal: own one in the foreground, size and exit code" {
    arguments sh -c 'tty; exit 4'
    configure 'c["process"]["terminal"] = True'
    run python3 "$BATS_TEST_DIRNAME/terminal.py" run "$work/out" "$work/control" -- "$RUNE" --root "$state" run "$id"
    [ "$status" -eq 4 ]
    grep -q "/dev/pts/0" "$work/out"
    nothing_left
}

@test "hooks of all kinds run in order with the state on stdin; a failing one stops the create" {
    cat >"$work/hook" <<'HOOK'
#!/bin/sh
printf '%s %s\n' "$1" "$(sed 's/.*"status":"\([a-z]*\)".*/\1/')" >>"$(dirname "$0")/log"
HOOK
    chmod +x "$work/hook"
    configure "c['hooks'] = {k: [{'path': '$work/hook', 'args': ['hook', k]}] for k in
        ('prestart', 'createRuntime', 'createContainer', 'poststart', 'poststop')}"
    arguments true
    rune run "$id"
    [ "$(cut -d' ' -f1 "$work/log" | tr '\n' ' ')" = "prestart createRuntime createContainer poststart poststop " ]
    grep -q "^createRuntime creating" "$work/log"
    grep -q "^poststop stopped" "$work/log"
    configure 'c["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}'
    run rune run "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *createRuntime* ]]
    nothing_left
    configure 'c["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "20"], "timeout": 1}]}'
    run rune run "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"past specified timeout"* ]]
    nothing_left
}

@test "update and events --stats" {
    arguments sleep 100
    rune run --detach "$id" >/dev/null 2>&1 </dev/null
    rune update --pids-limit 20 --memory 64M "$id"
    rune events --stats "$id" | python3 -c '
import json, sys
d = json.load(sys.stdin)["data"]
assert d["pids"]["limit"] == 20, d
assert d["memory"]["usage"]["limit"] == 64 << 20, d
assert d["cpu"]["usage"]["total"] > 0, d'
}

@test "features and spec are what tools parse" {
    rune features | python3 -c '
import json, sys
f = json.load(sys.stdin)
assert "createRuntime" in f["hooks"] and "rro" in f["mountOptions"]
assert f["linux"]["seccomp"]["enabled"] and "CAP_SYS_ADMIN" in f["linux"]["capabilities"]'
    run rune spec
    [ "$status" -eq 1 ]
    [[ "$output" == *"exists"* ]]
}
