#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A user without privileges, with the systemd of their session and the controllers that it delegates.
# layouts: unified
# drivers: systemd cgroupfs

load guest

user=vmtest
uid=1001

setup_file() {
    useradd --uid $uid --create-home $user 2>/dev/null || true
    # All controllers, as docs of rootless containers ask for.
    mkdir -p /etc/systemd/system/user@.service.d
    printf '[Service]\nDelegate=cpu cpuset io memory pids\n' >/etc/systemd/system/user@.service.d/delegate.conf
    systemctl daemon-reload
    loginctl enable-linger $user || systemctl start user@$uid.service
    for _ in $(seq 60); do
        [ -S /run/user/$uid/bus ] && break
        sleep 1
    done
}

setup() {
    work=$(mktemp -d /tmp/vm-test.XXXXXX)
    id=vm-$BATS_TEST_NUMBER-$RANDOM
    bundle=$work/bundle
    state=/run/user/$uid/vm-state
    manager=/user.slice/user-$uid.slice/user@$uid.service
    mkdir -p "$bundle/rootfs"/{bin,proc,dev,sys,tmp,etc}
    cp /bin/busybox "$bundle/rootfs/bin/busybox"
    for applet in sh cat sleep true grep mkdir; do
        ln "$bundle/rootfs/bin/busybox" "$bundle/rootfs/bin/$applet"
    done
    chown -R $user "$work"
    cd "$bundle" || return 1
    as_user "$RUNE" spec --rootless
    configure '.process.terminal = false | .process.args = ["sleep", "1000"]'
    chown $user config.json
}

teardown() {
    cd /
    urune delete --force "$id" >/dev/null 2>&1 || true
    rm -rf "$work"
}

teardown_file() {
    loginctl disable-linger $user || true
    systemctl stop user@$uid.service || true
}

as_user() {
    setpriv --reuid $uid --regid $uid --clear-groups env -i HOME=/home/$user XDG_RUNTIME_DIR=/run/user/$uid \
        PATH="$PATH" timeout 120 "$@"
}

# rune as the user
urune() {
    if [ "$DRIVER" = systemd ]; then
        as_user "$RUNE" --systemd-cgroup --root "$state" "$@"
    else
        as_user "$RUNE" --root "$state" "$@"
    fi
}

cgroup_of() {
    cat "/proc/$(urune state "$id" | jq .pid)/cgroup"
}

@test "a rootless container: run, exec, delete" {
    configure '.process.args = ["sh", "-c", "cat /proc/self/uid_map; exit 4"]'
    run -4 urune run "$id" </dev/null
    [[ "$output" == *" 0 "*"$uid"* ]]
    configure '.process.args = ["sleep", "1000"]'
    urune run -d "$id" </dev/null >"$work/out" 2>&1
    [ "$(urune state "$id" | jq -r .status)" = running ]
    run -0 urune exec "$id" cat /proc/1/cmdline
    [[ "$output" == sleep* ]]
    urune delete --force "$id"
    [ -z "$(ls "$state")" ]
}

@test "the user's systemd makes the scope, with limits from what is delegated" {
    [ "$DRIVER" = systemd ] || skip "the cgroupfs driver has nothing delegated here"
    configure '.linux.resources = {memory: {limit: 67108864}, pids: {limit: 20}, cpu: {shares: 512, cpus: "0"}}'
    urune run -d "$id" </dev/null >"$work/out" 2>&1 || { cat "$work/out"; false; }
    [ "$(cgroup_of)" = "0::$manager/user.slice/runc-$id.scope" ]
    group=$top$manager/user.slice/runc-$id.scope
    holds memory.max 67108864
    holds pids.max 20
    holds cpu.weight 20
    holds cpuset.cpus 0
    run -0 as_user env DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$uid/bus systemctl --user show "runc-$id.scope" --property MemoryMax --value
    [ "$output" = 67108864 ]
    urune update --memory 32M --memory-swap 32M --pids-limit 10 "$id"
    holds memory.max 33554432
    holds pids.max 10
    urune pause "$id"
    [ "$(urune state "$id" | jq -r .status)" = paused ]
    urune resume "$id"
    run -0 urune exec "$id" true
    urune delete --force "$id"
    [ ! -e "$group" ]
}

@test "the user's bus is found by the session's address, or the runtime directory" {
    [ "$DRIVER" = systemd ] || skip "no bus with the cgroupfs driver"
    urune run -d "$id" </dev/null >"$work/out" 2>&1 || { cat "$work/out"; false; }
    [[ "$(cgroup_of)" == *"$manager/user.slice/"* ]]
    urune delete --force "$id"
    # Nothing of the session in the environment.
    setpriv --reuid $uid --regid $uid --clear-groups env -i HOME=/home/$user PATH="$PATH" timeout 60 \
        "$RUNE" --systemd-cgroup --root "$state" run -d "$id" </dev/null >"$work/out" 2>&1 || { cat "$work/out"; false; }
    [[ "$(cgroup_of)" == *"$manager/user.slice/"* ]]
    urune delete --force "$id"
    run -1 as_user env DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere "$RUNE" --systemd-cgroup --root "$state" run "$id" </dev/null
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == *"the user's bus at unix:path=/nowhere"* ]]
}

@test "without delegation: no cgroup where nothing asks for one; a limit or a cgroupsPath is refused" {
    [ "$DRIVER" = cgroupfs ] || skip "systemd delegates to the user"
    configure '.linux.resources = {memory: {limit: 67108864}}'
    run -1 urune run "$id" </dev/null
    [[ "$output" == *"cannot set memory.max: container could not join or create cgroup"* ]]
    configure '.linux.resources = {} | .linux.cgroupsPath = "/vm-chosen"'
    run -1 urune run "$id" </dev/null
    [[ "$output" == *"unable to apply cgroup configuration"*"denied"* ]]
    [ -z "$(ls "$state")" ]
    configure 'del(.linux.cgroupsPath)'
    urune run -d "$id" </dev/null >"$work/out" 2>&1 || { cat "$work/out"; false; }
    run -1 urune update --pids-limit 10 "$id"
    [[ "$output" == *"cannot set pids"*": container could not join or create cgroup"* ]]
}
