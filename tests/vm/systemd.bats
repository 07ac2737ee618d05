#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What only the systemd driver has: names, slices, properties from annotations, failed and foreign units.
# layouts: unified
# drivers: systemd

load guest

setup() { guest_setup; }
teardown() { guest_teardown; }

@test "properties of the scope are those of runc" {
    start
    unit_has Description "libcontainer container $id"
    unit_has Slice machine.slice
    unit_has Delegate yes
    unit_has DefaultDependencies no
    unit_has Transient yes
    for accounting in Memory CPU IO Tasks; do
        unit_has ${accounting}Accounting yes
    done
    unit_has ControlGroup "/machine.slice/$unit"
}

@test "without cgroupsPath: runc-ID.scope in system.slice" {
    configure 'del(.linux.cgroupsPath)'
    start
    [ "$(cat "/proc/$(rune state "$id" | jq .pid)/cgroup")" = "0::/system.slice/runc-$id.scope" ]
    rune delete --force "$id"
    [ "$(systemctl show "runc-$id.scope" --property LoadState --value)" = not-found ]
}

@test "nested slices are made one in the other" {
    configure ".linux.cgroupsPath = \"vm-a-b.slice:test:$id\""
    start
    [ "$(cat "/proc/$(rune state "$id" | jq .pid)/cgroup")" = "0::/vm.slice/vm-a.slice/vm-a-b.slice/$unit" ]
    rune delete --force "$id"
    systemctl stop vm.slice
}

@test "a cgroupsPath of the wrong form, and names that are none" {
    for path in /a/b a:b:c:d "a--b.slice:x:y" "noslice:x:y" "machine.slice:x:y.slice" "machine.slice:x/z:y"; do
        configure ".linux.cgroupsPath = \"$path\""
        run -1 start
        echo "$path: $output"
        [ "${#lines[@]}" -eq 1 ]
        [ ! -e "$state/$id" ]
    done
}

@test "annotations become properties" {
    configure '.annotations = {"org.systemd.property.TimeoutStopSec": "uint64 7",
        "org.systemd.property.CollectMode": "'"'inactive-or-failed'"'",
        "org.systemd.property.RuntimeMaxSec": "3600",
        "org.systemd.property.MemoryHigh": "uint64 50331648",
        "org.systemd.property.OOMScoreAdjust.x": "1"} | del(.annotations["org.systemd.property.OOMScoreAdjust.x"])'
    start
    unit_has TimeoutStopUSec 7s
    unit_has CollectMode inactive-or-failed
    unit_has RuntimeMaxUSec 1h
    unit_has MemoryHigh 50331648
    holds memory.high 50331648
    rune delete --force "$id"
    for bad in '{"org.systemd.property.Xy1": "1"}' '{"org.systemd.property.TimeoutStopSec": "["}' \
        '{"org.systemd.property.NoSuchThing": "1"}'; do
        configure ".annotations = $bad"
        run -1 start
        echo "$output"
        [ "${#lines[@]}" -eq 1 ]
        gone
    done
}

@test "a failed unit of that name is in nobody's way, a living one is left alone" {
    systemd-run --scope --slice machine.slice --unit "$unit" --property RuntimeMaxSec=1 sleep 30 >/dev/null 2>&1 || true
    [ "$(systemctl show "$unit" --property ActiveState --value)" = failed ]
    start
    status_is "$id" running
    rune delete --force "$id"
    gone
    systemd-run --scope --slice machine.slice --unit "$unit" sleep 1000 >/dev/null 2>&1 </dev/null 3>&- &
    within 20 systemctl is-active "$unit"
    run -1 start
    [[ "$output" == *"systemd has a unit $unit already"* ]]
    [ ! -e "$state/$id" ]
    systemctl is-active "$unit"
    systemctl stop "$unit"
}

@test "a frozen cgroup in the scope's place is refused and left alone" {
    mkdir -p "$group"
    echo 1 >"$group/cgroup.freeze"
    run -1 timeout 60 "$RUNE" --systemd-cgroup --root "$state" run "$id" </dev/null
    echo "$output"
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == *"container's cgroup unexpectedly frozen"* ]]
    [ ! -e "$state/$id" ]
    [ "$(cat "$group/cgroup.freeze")" = 1 ]
    rmdir "$group"
    gone
}

@test "a scope that systemd stops takes the container with it" {
    start
    systemctl kill --signal KILL "$unit"
    within 20 status_is "$id" stopped
    run -0 rune delete "$id"
    [ -z "$output" ]
    gone
}

@test "delete needs no flag: the state knows the driver" {
    start
    timeout 60 "$RUNE" --root "$state" update --pids-limit 9 "$id"
    unit_has TasksMax 9
    timeout 60 "$RUNE" --root "$state" delete --force "$id"
    gone
}

@test "by the system bus when systemd's own socket is not there" {
    run -0 unshare --mount sh -c 'mount -t tmpfs none /run/systemd/private 2>/dev/null ||
        mount --bind /dev/null /run/systemd/private; exec "$@"' sh \
        timeout 60 "$RUNE" --systemd-cgroup --root "$state" run --no-subreaper "$id-bus" </dev/null &
    main=$!
    within 30 systemctl is-active "$unit"
    kill_it() { timeout 60 "$RUNE" --root "$state" kill "$id-bus" KILL; }
    within 20 kill_it
    wait "$main" || true
    gone
}

@test "without systemd: one line that says so, and nothing is left" {
    run -1 unshare --mount sh -c 'umount -l /run/systemd 2>/dev/null; mount -t tmpfs none /run/systemd; exec "$@"' sh \
        timeout 60 "$RUNE" --systemd-cgroup --root "$state" run "$id" </dev/null
    echo "$output"
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == *"systemd does not run this machine"* ]]
    gone
}

@test "eight containers at once" {
    for i in $(seq 8); do
        configure ".linux.cgroupsPath = \"machine.slice:test:$id-$i\""
        cp config.json config.$i
    done
    for i in $(seq 8); do
        mkdir "$work/b$i"
        ln -s "$bundle/rootfs" "$work/b$i/rootfs"
        mv config.$i "$work/b$i/config.json"
        rune run -d --bundle "$work/b$i" "$id-$i" </dev/null >"$work/out.$i" 2>&1 &
    done
    wait
    cat "$work"/out.*
    [ "$(systemctl list-units --no-legend --plain "test-$id-*" | wc -l)" -eq 8 ]
    for i in $(seq 8); do
        rune delete --force "$id-$i" &
    done
    wait
    [ "$(systemctl list-units --all --no-legend --plain "test-$id-*" | wc -l)" -eq 0 ]
    [ -z "$(ls "$state")" ]
}
