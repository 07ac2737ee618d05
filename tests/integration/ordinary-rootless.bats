#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers of an ordinary user: an own user namespace with one mapped id, no cgroups.

load ordinary

setup() {
    ordinary_setup
    command -v setpriv >/dev/null || skip "no setpriv"
    cp "$RUNE" "$work/rune"
    RUNE=$work/rune
    chmod 755 "$work" "$bundle"
    rm config.json
    chown -R 31234:31234 "$work"
    as_user "$RUNE" spec --rootless
    configure 'c["process"]["terminal"] = False'
    chown 31234:31234 config.json
}

teardown() {
    ordinary_teardown
    [ ! -d "${delegated:-/nowhere}" ] || rmdir "$delegated"
}

as_user() {
    setpriv --reuid 31234 --regid 31234 --clear-groups "$@"
}

@test "rootless run, exec, kill, delete" {
    arguments sh -c 'id -u; cat /proc/self/uid_map; echo x >/tmp/y || true; exit 6'
    chown 31234:31234 config.json
    run as_user "$RUNE" --root "$state" run "$id" </dev/null
    echo "$output"
    [ "$status" -eq 6 ]
    [ "${lines[0]}" = 0 ]
    [[ "${lines[1]}" == *31234* ]]
    arguments sleep 100
    as_user "$RUNE" --root "$state" run --detach "$id" </dev/null >/dev/null 2>&1
    [ "$(as_user "$RUNE" --root "$state" exec "$id" id -u </dev/null)" = 0 ]
    as_user "$RUNE" --root "$state" list -q | grep -q "$id"
    as_user "$RUNE" --root "$state" kill "$id" KILL
    within 5 as_user "$RUNE" --root "$state" delete "$id"
    nothing_left
}

@test "rootless: exec before start, and what another container of the same namespaces sees at the gate" {
    arguments sleep 100
    chown 31234:31234 config.json
    as_user "$RUNE" --root "$state" run --detach --pid-file "$work/pid" "$id-a" </dev/null >/dev/null 2>&1
    echo TOPSECRET >"$work/secret"
    local a namespaces
    a=$(cat "$work/pid")
    namespaces="[{'type': 'user', 'path': '/proc/$a/ns/user'}, {'type': 'pid', 'path': '/proc/$a/ns/pid'}, {'type': 'mount'}, {'type': 'ipc'}]"
    configure 'del c["hostname"]' "c['linux']['namespaces'] = $namespaces" 'c["linux"].pop("uidMappings"); c["linux"].pop("gidMappings")'
    chown 31234:31234 config.json
    SECRET=TOPSECRET as_user "$RUNE" --root "$state" create "$id" </dev/null >/dev/null 2>&1
    # The host's files through what it has open, and the environment that it was started with.
    run as_user "$RUNE" --root "$state" exec "$id-a" sh -c 'for p in /proc/[0-9]*; do
        cat $p/environ; for f in $p/fd/*; do cat "$f/..'"$work"'/secret" "$f/secret"; done; ls -l $p/fd; done 2>/dev/null; true' </dev/null
    echo "$output"
    [[ "$output" == *fifo* ]]
    [[ "$output" != *TOPSECRET* ]]
    run as_user "$RUNE" --root "$state" exec "$id" id -u </dev/null
    echo "$output"
    [ "$output" = 0 ]
    as_user "$RUNE" --root "$state" start "$id"
    run as_user "$RUNE" --root "$state" start "$id"
    [ "$status" -eq 1 ]
    as_user "$RUNE" --root "$state" delete --force "$id"
    as_user "$RUNE" --root "$state" delete --force "$id-a"
    nothing_left
}

# In a pids cgroup of the user's own, nothing else is delegated.
in_delegated() {
    delegated=/sys/fs/cgroup/pids/rune-test-$$
    mkdir -p "$delegated"
    chown -R 31234:31234 "$delegated"
    (echo $BASHPID >"$delegated/tasks" && as_user "$@" </dev/null)
}

@test "a user who may make a pids cgroup has that limit, and no other" {
    [ -d /sys/fs/cgroup/pids ] || skip "no pids hierarchy of cgroup v1"
    arguments cat /proc/self/cgroup
    configure 'c["linux"].setdefault("resources", {})["pids"] = {"limit": 20}'
    chown 31234:31234 config.json
    run in_delegated "$RUNE" --root "$state" run "$id"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *":pids:/rune-test-$$/$id"* ]]
    [[ "$output" != *":freezer:"*"$id"* ]]
    configure 'c["linux"]["resources"]["memory"] = {"limit": 100000000}'
    chown 31234:31234 config.json
    run in_delegated "$RUNE" --root "$state" run "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"cannot set memory limit: container could not join or create cgroup"* ]]
    configure 'c["linux"]["resources"] = {}' 'c["linux"]["cgroupsPath"] = "/rune-not-ours"'
    chown 31234:31234 config.json
    run in_delegated "$RUNE" --root "$state" run "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"unable to apply cgroup configuration"*"permission denied"* ]]
    delegated=/sys/fs/cgroup/pids/rune-test-$$
    nothing_left
}

@test "rootless: a seccomp agent and the gate of create" {
    install_program probe
    # rune may not take the descriptor out of the init here: the init sends it.
    # The program itself is what is killed in the end, not a shell around it.
    setpriv --reuid 31234 --regid 31234 --clear-groups "$(program seccomp-agent)" "$work/agent.sock" "$work/agent.log" 3>&- &
    local agent=$!
    within 5 test -S "$work/agent.sock"
    configure "c['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ALLOW', 'listenerPath': '$work/agent.sock', 'syscalls': [{'names': ['getppid'], 'action': 'SCMP_ACT_NOTIFY'}]}"
    arguments sh -c 'probe call 110; exec sleep 100'
    chown 31234:31234 config.json
    as_user "$RUNE" --root "$state" create "$id" >"$work/out" 2>&1 </dev/null
    as_user "$RUNE" --root "$state" start "$id"
    within 5 grep -q '^4242 0' "$work/out"
    run as_user "$RUNE" --root "$state" exec "$id" probe call 110 </dev/null
    [ "${lines[0]}" = "4242 0" ]
    grep -q '"fds":\["seccompFd"\]' "$work/agent.log"
    as_user "$RUNE" --root "$state" delete --force "$id"
    kill $agent
    wait $agent 2>/dev/null || true
    nothing_left
}
