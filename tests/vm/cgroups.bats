#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers on the unified hierarchy, with either driver ($DRIVER).
# layouts: unified
# drivers: cgroupfs systemd

load guest

setup() { guest_setup; }
teardown() { guest_teardown; }

@test "create, start, exec, kill, delete: the cgroup is made, entered and removed" {
    rune create "$id" </dev/null >"$work/out" 2>&1
    pid=$(rune state "$id" | jq .pid)
    [ "$(cat /proc/$pid/cgroup)" = "0::${group#$top}" ]
    rune start "$id"
    status_is "$id" running
    unit_has ActiveState active
    run -0 rune exec "$id" cat /proc/self/cgroup
    [ "$output" = 0::/ ]
    run -0 rune ps --format json "$id"
    [ "$output" = "[$pid]" ]
    run -1 rune delete "$id"
    rune kill "$id" KILL
    within 20 status_is "$id" stopped
    rune delete "$id"
    gone
}

@test "run in the foreground: the exit code, and nothing is left" {
    configure '.process.args = ["sh", "-c", "cat /proc/self/cgroup; exit 7"]'
    run -7 rune run "$id" </dev/null
    [ "$output" = 0::/ ]
    gone
}

@test "memory: limit, reservation, swap" {
    configure '.linux.resources.memory = {limit: 67108864, reservation: 33554432, swap: 100663296}'
    start
    holds memory.max 67108864
    holds memory.low 33554432
    holds memory.swap.max 33554432
    unit_has MemoryMax 67108864
    unit_has MemoryLow 33554432
    unit_has MemorySwapMax 33554432
}

@test "memory: no limit means no swap limit, and a swap limit alone is refused" {
    configure '.linux.resources.memory = {limit: -1}'
    start
    holds memory.max max
    holds memory.swap.max max
    unit_has MemoryMax infinity
    rune delete --force "$id"
    configure '.linux.resources.memory = {swap: 67108864}'
    run -1 start
    [[ "$output" == *"unable to set swap limit without memory limit"* ]]
    gone
}

@test "cpu: shares, quota and period, burst, idle" {
    configure '.linux.resources.cpu = {shares: 512, quota: 25500, period: 50000, burst: 1000}'
    start
    holds cpu.weight 20
    holds cpu.max "25500 50000"
    holds cpu.max.burst 1000
    unit_has CPUWeight 20
    # Whole percents: 51%
    unit_has CPUQuotaPerSecUSec 510ms
    unit_has CPUQuotaPeriodUSec 50ms
    rune delete --force "$id"
    configure '.linux.resources.cpu = {idle: 1}'
    start
    holds cpu.idle 1
}

@test "cpuset: CPUs and memory nodes" {
    configure '.linux.resources.cpu = {cpus: "1", mems: "0"}'
    start
    holds cpuset.cpus 1
    holds cpuset.cpus.effective 1
    holds cpuset.mems 0
    unit_has AllowedCPUs 1
    unit_has AllowedMemoryNodes 0
    run -0 rune exec "$id" grep Cpus_allowed_list /proc/self/status
    [[ "$output" == *$'\t1' ]]
}

@test "pids: the limit holds" {
    configure '.linux.resources.pids.limit = 3'
    start
    holds pids.max 3
    unit_has TasksMax 3
    run ! rune exec "$id" sh -c 'sleep 5 & sleep 5 & sleep 5 & wait'
    rune delete --force "$id"
    configure '.linux.resources.pids.limit = -1'
    start
    holds pids.max max
    unit_has TasksMax infinity
}

@test "io: weight and throttles" {
    disk=$(cat /sys/block/vda/dev)
    configure ".linux.resources.blockIO = {weight: 500,
        throttleReadBpsDevice: [{major: ${disk%:*}, minor: ${disk#*:}, rate: 1048576}],
        throttleWriteBpsDevice: [{major: ${disk%:*}, minor: ${disk#*:}, rate: 2097152}],
        throttleReadIOPSDevice: [{major: ${disk%:*}, minor: ${disk#*:}, rate: 100}],
        throttleWriteIOPSDevice: [{major: ${disk%:*}, minor: ${disk#*:}, rate: 200}]}"
    start
    holds io.max "$disk rbps=1048576 wbps=2097152 riops=100 wiops=200"
    if [ -e "$group/io.bfq.weight" ]; then
        holds io.bfq.weight "default 500"
    else
        holds io.weight "default 4950"
    fi
    unit_has IOWeight 4950
}

@test "hugetlb: limits of the page sizes" {
    [ -e $top/system.slice/hugetlb.2MB.max ] || skip "no hugetlb controller"
    configure '.linux.resources.hugepageLimits = [{pageSize: "2MB", limit: 4194304}]'
    start
    holds hugetlb.2MB.max 4194304
    holds hugetlb.2MB.rsvd.max 4194304
}

@test "unified: any file, by name; unknown ones are refused" {
    configure '.linux.resources.unified = {"memory.high": "50331648", "memory.min": "4096", "memory.max": "67108864",
        "cpu.max": "10000 40000", "cpu.weight": "42", "pids.max": "33", "memory.oom.group": "1", "cpuset.cpus": "0"}'
    start
    holds memory.high 50331648
    holds memory.min 4096
    holds memory.max 67108864
    holds cpu.max "10000 40000"
    holds cpu.weight 42
    holds pids.max 33
    holds memory.oom.group 1
    holds cpuset.cpus 0
    unit_has MemoryHigh 50331648
    unit_has MemoryMin 4096
    unit_has MemoryMax 67108864
    unit_has CPUQuotaPerSecUSec 250ms
    unit_has CPUWeight 42
    unit_has TasksMax 33
    unit_has AllowedCPUs 0
    rune delete --force "$id"
    configure '.linux.resources.unified = {"memory.nonsense": "1"}'
    run -1 start
    [[ "$output" == *"memory.nonsense"* ]]
    gone
}

@test "update: every flag" {
    start
    rune update --memory 64M --memory-reservation 32M --memory-swap 96M --pids-limit 20 --cpu-share 100 \
        --cpu-quota 20000 --cpu-period 40000 --cpuset-cpus 0 --cpuset-mems 0 --cpu-burst 500 --blkio-weight 200 "$id"
    holds memory.max 67108864
    holds memory.low 33554432
    holds memory.swap.max 33554432
    holds pids.max 20
    holds cpu.weight 4
    holds cpu.max "20000 40000"
    holds cpu.max.burst 500
    holds cpuset.cpus 0
    holds cpuset.mems 0
    unit_has MemoryMax 67108864
    unit_has TasksMax 20
    unit_has CPUQuotaPerSecUSec 500ms
    unit_has AllowedCPUs 0
    # What is not named stays.
    rune update --pids-limit 30 "$id"
    holds pids.max 30
    holds memory.max 67108864
    holds cpu.max "20000 40000"
    rune update --memory -1 --cpu-quota -1 "$id"
    holds memory.max max
    holds memory.swap.max max
    holds cpu.max "max 40000"
    rune update --cpu-idle 1 "$id"
    holds cpu.idle 1
    echo '{"unified": {"memory.high": "41943040"}, "pids": {"limit": 40}}' | rune update --resources - "$id"
    holds memory.high 41943040
    holds pids.max 40
    unit_has MemoryHigh 41943040
}

# The guest's disks, 254:0, 254:16 and 254:32: their nodes need no other right to be opened than that of the cgroup.
may_mknod='.process.capabilities |= with_entries(.value += ["CAP_MKNOD"])'

@test "devices: what the rules allow, deny, and split; an update leaves them" {
    configure "$may_mknod"' | .linux.resources.devices = [{allow: false, access: "rwm"},
            {allow: true, type: "b", major: 254, minor: 0, access: "r"},
            {allow: true, type: "b", major: 254, minor: 16, access: "rw"},
            {allow: true, type: "b", major: 254, minor: 0, access: "w"},
            {allow: false, type: "b", major: 254, minor: 16, access: "w"}]'
    start
    rune exec "$id" sh -c 'mknod /disk0 b 254 0; mknod /disk1 b 254 16; mknod /disk2 b 254 32'
    check() {
        # Reading and writing are allowed by two rules: both at once is allowed as well.
        rune exec "$id" sh -c 'head -c 1 /dev/zero && echo x >/dev/null && : </disk0 && : 3<>/disk0 && : </disk1' >/dev/null
        run ! rune exec "$id" sh -c ': 3<>/disk1'
        [[ "$output" == *"Operation not permitted"* ]]
        run ! rune exec "$id" sh -c ': </disk2'
        [[ "$output" == *"Operation not permitted"* ]]
    }
    check
    rune update --memory 64M --pids-limit 50 --cpu-share 200 "$id"
    check
    if [ "$DRIVER" = systemd ]; then
        unit_has DevicePolicy strict
        systemctl show "$unit" --property DeviceAllow | grep -q "/dev/block/254:0 rw"
        systemctl show "$unit" --property DeviceAllow | grep -q "/dev/block/254:16 r$"
        # systemd puts its own filter there again, and it says the same.
        systemctl daemon-reload
        check
    fi
}

@test "devices: everything, all but one, and none but the defaults" {
    configure "$may_mknod"' | .linux.resources.devices = [{allow: true, access: "rwm"}]
        | .process.args = ["sh", "-c", "mknod /one b 254 16; mknod /two b 254 32; (: </one) && echo one; (: </two) && echo two; true"]'
    run -0 rune run "$id" </dev/null
    [ "$output" = $'one\ntwo' ]
    rm -f rootfs/one rootfs/two
    # systemd has no list of forbidden devices; our filter is the one that counts.
    configure '.linux.resources.devices += [{allow: false, type: "b", major: 254, minor: 16, access: "r"}]'
    run -0 rune run "$id" </dev/null
    [[ $'\n'"$output"$'\n' != *$'\none\n'* && "$output" == *two ]]
    rm -f rootfs/one rootfs/two
    configure '.linux.resources.devices = [{allow: false, access: "rwm"}]'
    run -0 rune run "$id" </dev/null
    [[ $'\n'"$output"$'\n' != *$'\none\n'* && $'\n'"$output"$'\n' != *$'\ntwo\n'* ]]
    gone
}

@test "pause and resume: the container stands still; exec is refused meanwhile" {
    configure '.process.args = ["sh", "-c", "while :; do echo >>/tmp/ticks; usleep 100000; done"]'
    start
    within 20 test -s rootfs/tmp/ticks
    rune pause "$id"
    status_is "$id" paused
    holds cgroup.freeze 1
    before=$(stat -c %s rootfs/tmp/ticks)
    sleep 1
    [ "$(stat -c %s rootfs/tmp/ticks)" -eq "$before" ]
    run -255 rune exec "$id" true
    [[ "$output" == *"paused"* ]]
    # An update leaves it frozen.
    rune update --pids-limit 50 "$id"
    status_is "$id" paused
    rune resume "$id"
    status_is "$id" running
    more() { [ "$(stat -c %s rootfs/tmp/ticks)" -gt "$before" ]; }
    within 20 more
    rune pause "$id"
    rune delete --force "$id"
    gone
}

@test "kill --all without a pid namespace reaches every process" {
    configure '.linux.namespaces |= map(select(.type != "pid"))
        | .process.args = ["sh", "-c", "sleep 1001 & sleep 1002 & sleep 1003 & wait"]'
    start
    three() { [ "$(rune ps --format json "$id" | jq length)" -eq 4 ]; }
    within 20 three
    rune kill --all "$id" KILL
    none() { [ ! -s "$group/cgroup.procs" ]; }
    within 20 none
    within 20 status_is "$id" stopped
    rune delete "$id"
    gone
}

@test "events --stats and the OOM notification" {
    configure '.linux.resources.memory = {limit: 20971520, swap: 20971520}'
    start
    run -0 rune events --stats "$id"
    jq -e '.type == "stats" and .data.memory.usage.limit == 20971520 and .data.memory.usage.usage > 0
        and .data.pids.current == 1 and .data.cpu.usage.total > 0' <<<"$output"
    rune events --interval 1s "$id" >"$work/events" 2>/dev/null </dev/null &
    events=$!
    within 20 grep -q '"stats"' "$work/events"
    # As much as it can hold, until it is killed.
    run ! rune exec "$id" sh -c 'head -c 60000000 /dev/zero | dd bs=60M iflag=fullblock of=/dev/null'
    within 30 grep -q '"type":"oom"' "$work/events"
    rune delete --force "$id"
    wait $events || true
    gone
}

@test "exec --cgroup: below the container's own, nowhere else" {
    configure '(.mounts[] | select(.type == "cgroup") | .options) -= ["ro"]'
    start
    rune exec "$id" mkdir /sys/fs/cgroup/sub
    run -0 rune exec --cgroup sub "$id" cat /proc/self/cgroup
    [ "$output" = 0::/sub ]
    run -255 rune exec --cgroup ../.. "$id" true
    [[ "$output" == *"not a sub cgroup path"* ]]
    run -255 rune exec --cgroup missing "$id" true
    rune delete --force "$id"
    gone
}

@test "a container that gave its children controllers can still be entered" {
    configure '(.mounts[] | select(.type == "cgroup") | .options) -= ["ro"]'
    start
    rune exec "$id" sh -c 'mkdir /sys/fs/cgroup/leaf; echo 1 >/sys/fs/cgroup/leaf/cgroup.procs'
    run -0 rune exec "$id" cat /proc/self/cgroup
    [ "$output" = 0::/ ]
    rune exec "$id" sh -c 'echo $$ >/sys/fs/cgroup/leaf/cgroup.procs; echo +memory >/sys/fs/cgroup/cgroup.subtree_control'
    run -0 rune exec "$id" cat /proc/self/cgroup
    [ "$output" = 0::/leaf ]
    rune delete --force "$id"
    gone
}

@test "a user namespace with a writable cgroup mount owns its cgroup" {
    configure '.linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 1000}]
        | .linux.gidMappings = .linux.uidMappings
        | (.mounts[] | select(.type == "cgroup") | .options) -= ["ro"]'
    start
    [ "$(stat -c %u "$group")" = 100000 ]
    [ "$(stat -c %u "$group/cgroup.procs")" = 100000 ]
    [ "$(stat -c %u "$group/memory.max")" = 0 ]
    rune exec "$id" mkdir /sys/fs/cgroup/own
    rune delete --force "$id"
    gone
}

@test "without a cgroup namespace the host's names are seen; the mount is read-only" {
    configure '.linux.namespaces |= map(select(.type != "cgroup"))'
    start
    run -0 rune exec "$id" cat /proc/self/cgroup
    [ "$output" = "0::${group#$top}" ]
    run ! rune exec "$id" mkdir /sys/fs/cgroup/x
    [[ "$output" == *"Read-only"* ]]
}

@test "kill -9 of rune at random moments: delete --force leaves nothing" {
    local systemd
    [ "$DRIVER" != systemd ] || systemd=1
    for delay in 0.2 0.6 1.1; do
        "$RUNE" ${systemd:+--systemd-cgroup} --root "$state" run -d "$id" \
            </dev/null >/dev/null 2>&1 &
        pid=$!
        sleep "$delay"
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        rune delete --force "$id" || true
        within 20 gone
    done
}
