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
