#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The systemd driver where the controllers are on cgroup v1.
# layouts: hybrid legacy
# drivers: systemd

load guest

setup() {
    guest_setup
}
teardown() { guest_teardown; }

# v1 CONTROLLER FILE VALUE
v1() {
    local now
    now=$(cat "$top/$1/machine.slice/$unit/$2")
    [ "$now" = "$3" ] || { echo "$2 is \"$now\", not \"$3\""; return 1; }
}

none_left() {
    [ ! -e "$state/$id" ]
    [ -z "$(find $top -maxdepth 3 -name "$unit")" ]
    [ "$(systemctl show "$unit" --property LoadState --value)" = not-found ]
}

@test "every hierarchy has the container in the scope's place" {
    start
    pid=$(rune state "$id" | jq .pid)
    cat /proc/$pid/cgroup
    [ "$(grep -c ":/machine.slice/$unit\$" /proc/$pid/cgroup)" -eq "$(wc -l </proc/$pid/cgroup)" ]
    unit_has Slice machine.slice
    unit_has BlockIOAccounting yes
    run -0 rune exec "$id" cat /proc/self/cgroup
    [ "$(grep -c ":/machine.slice/$unit\$" <<<"$output")" -eq "${#lines[@]}" ]
    rune delete --force "$id"
    none_left
}

@test "limits are in the files of v1 and in systemd; update changes both" {
    configure '.linux.resources.memory = {limit: 67108864} | .linux.resources.pids.limit = 20
        | .linux.resources.cpu = {shares: 512, quota: 20000, period: 50000, cpus: "0"}'
    start
    v1 memory memory.limit_in_bytes 67108864
    v1 pids pids.max 20
    v1 cpu cpu.shares 512
    v1 cpu cpu.cfs_quota_us 20000
    v1 cpu cpu.cfs_period_us 50000
    v1 cpuset cpuset.cpus 0
    unit_has MemoryLimit 67108864
    unit_has TasksMax 20
    unit_has CPUShares 512
    unit_has CPUQuotaPerSecUSec 400ms
    rune update --memory 32M --pids-limit 10 --cpu-share 100 "$id"
    v1 memory memory.limit_in_bytes 33554432
    v1 pids pids.max 10
    v1 cpu cpu.shares 100
    unit_has MemoryLimit 33554432
    unit_has TasksMax 10
    status_is "$id" running
    rune delete --force "$id"
    none_left
}

@test "device rules hold, also over an update" {
    configure '.process.capabilities |= with_entries(.value += ["CAP_MKNOD"])
        | .linux.resources.devices += [{allow: true, type: "b", major: 254, minor: 16, access: "r"}]'
    start
    check() {
        rune exec "$id" sh -c ': </one && head -c 1 /dev/zero >/dev/null'
        run ! rune exec "$id" sh -c ': </two'
        [[ "$output" == *"Operation not permitted"* ]]
    }
    rune exec "$id" sh -c 'mknod /one b 254 16; mknod /two b 254 32'
    check
    rune update --memory 64M "$id"
    check
}

@test "pause, update while paused, resume" {
    start
    rune pause "$id"
    status_is "$id" paused
    rune update --pids-limit 12 "$id"
    status_is "$id" paused
    rune resume "$id"
    status_is "$id" running
    rune delete --force "$id"
    none_left
}

@test "resources.unified is refused" {
    configure '.linux.resources.unified = {"memory.high": "50331648"}'
    run -1 start
    [[ "$output" == *"needs cgroup v2"* ]]
    none_left
}
