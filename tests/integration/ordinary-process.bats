#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The process and linux objects of the specification: who and what the process is, its namespaces, devices, resources.

load ordinary

setup() { ordinary_setup; }
teardown() { ordinary_teardown; }

in_container() { # COMMAND...: output in $output; as container $box, if that is set
    arguments "$@"
    run rune run "${box:-$id}"
    echo "$output"
}

@test "scheduler: every policy and its parameters, for the container and an exec" {
    install_program probe
    configure 'c["process"]["capabilities"] = {k: ["CAP_SYS_NICE"] for k in ("bounding", "effective", "permitted")}'
    # A kernel with group scheduling gives a new cgroup no real time of its own.
    [ ! -e /sys/fs/cgroup/cpu/cpu.rt_runtime_us ] || configure 'c["linux"]["resources"]["cpu"] = {"realtimeRuntime": 10000, "realtimePeriod": 1000000}'
    try() { # SCHEDULER EXPECTED
        configure "c['process']['scheduler'] = $1"
        in_container probe scheduler
        [[ "$output" == "$2"* ]] || { echo "expected $2"; return 1; }
    }
    try "{'policy': 'SCHED_OTHER', 'nice': 7}" "policy=0 flags=0 nice=7 "
    try "{'policy': 'SCHED_BATCH', 'nice': -3, 'flags': ['SCHED_FLAG_RESET_ON_FORK']}" "policy=3 flags=1 nice=-3 "
    try "{'policy': 'SCHED_IDLE'}" "policy=5 flags=0 "
    try "{'policy': 'SCHED_FIFO', 'priority': 11}" "policy=1 flags=0 nice=0 priority=11 "
    try "{'policy': 'SCHED_RR', 'priority': 12, 'flags': ['SCHED_FLAG_RESET_ON_FORK']}" "policy=2 flags=1 nice=0 priority=12 "
    try "{'policy': 'SCHED_DEADLINE', 'runtime': 10000000, 'deadline': 20000000, 'period': 30000000, 'flags': ['SCHED_FLAG_RECLAIM', 'SCHED_FLAG_DL_OVERRUN', 'SCHED_FLAG_RESET_ON_FORK']}" \
        "policy=6 flags=7 nice=0 priority=0 runtime=10000000 deadline=20000000 period=30000000"
    configure "c['process']['scheduler'] = {'policy': 'SCHED_RR', 'priority': 5}"
    arguments sleep 100
    rune run --detach "$id" </dev/null >/dev/null 2>&1
    run rune exec "$id" probe scheduler
    [[ "$output" == "policy=2 flags=0 nice=0 priority=5 "* ]]
    rune delete --force "$id"
    arguments true
    bad() { configure "c['process']['scheduler'] = $1" && refused "$2" rune run "$id"; }
    bad "{'policy': 'SCHED_FAIR'}" "unknown policy SCHED_FAIR"
    bad "{'policy': 'SCHED_OTHER', 'nice': 20}" nice
    bad "{'policy': 'SCHED_OTHER', 'priority': 3}" priority
    bad "{'policy': 'SCHED_RR', 'priority': 3, 'runtime': 5}" SCHED_DEADLINE
    bad "{'policy': 'SCHED_OTHER', 'flags': ['SCHED_FLAG_X']}" "unknown flag"
    bad "{'policy': 'SCHED_ISO'}" "set the scheduler"
}

@test "ioPriority: classes and values" {
    install_program probe
    configure 'c["process"]["capabilities"] = {k: ["CAP_SYS_NICE"] for k in ("bounding", "effective", "permitted")}'
    try() {
        configure "c['process']['ioPriority'] = {'class': '$1', 'priority': $2}"
        in_container probe ioprio
        [ "$output" = "class=$3 priority=$2" ]
    }
    try IOPRIO_CLASS_RT 3 1
    try IOPRIO_CLASS_BE 7 2
    try IOPRIO_CLASS_IDLE 0 3
    arguments true
    configure "c['process']['ioPriority'] = {'class': 'IOPRIO_CLASS_BE', 'priority': 8}"
    refused "0..7" rune run "$id"
    configure "c['process']['ioPriority'] = {'class': 'IOPRIO_CLASS_NO', 'priority': 1}"
    refused "unknown class" rune run "$id"
}

@test "execCPUAffinity: initial before the cgroup, final after it; only for exec" {
    [ "$(nproc)" -ge 2 ] || skip "needs two CPUs"
    install_program probe
    configure 'c["process"]["execCPUAffinity"] = {"initial": "0", "final": "1"}'
    arguments sh -c 'probe affinity; exec sleep 100'
    rune run --detach "$id" >"$work/out" 2>&1 </dev/null
    within 5 grep -q "0 1" "$work/out"
    [ "$(rune exec "$id" probe affinity)" = "1 " ]
    process() { # AFFINITY
        python3 - "$1" <<'PY'
import ast, json, sys
p = json.load(open("config.json"))["process"]
p.update(args=["probe", "affinity"], execCPUAffinity=ast.literal_eval(sys.argv[1]))
json.dump(p, open("process.json", "w"))
PY
        run rune exec --process process.json "$id"
        echo "$output"
    }
    process "{'initial': '0'}" && [ "$output" = "0 " ]
    process "{'final': '0-1'}" && [ "$output" = "0 1 " ]
    process "{'initial': '0,1', 'final': '0'}" && [ "$output" = "0 " ]
    process "{'initial': 'x'}" && [ "$status" -ne 0 ] && [[ "$output" == *"not a list of CPUs"* ]]
    process "{'final': '3-1'}" && [ "$status" -ne 0 ] && [[ "$output" == *"not a list of CPUs"* ]]
    process "{'final': '900'}" && [ "$status" -ne 0 ] && [[ "$output" == *"affinity"* ]]
    rune delete --force "$id"
    # initial may name a CPU that the container's cpuset does not have: it is left behind on entering.
    configure 'c["linux"]["resources"]["cpu"] = {"cpus": "1"}' 'c["process"]["execCPUAffinity"] = {"initial": "0"}'
    arguments sleep 100
    rune run --detach "$id" >/dev/null 2>&1 </dev/null
    [ "$(rune exec "$id" probe affinity)" = "1 " ]
}

@test "personality, umask, rlimits, oom score" {
    install_program probe
    configure 'c["linux"]["personality"] = {"domain": "LINUX32"}'
    in_container probe personality
    [ "$output" = "8 i686" ]
    configure 'c["linux"]["personality"] = {"domain": "LINUX"}'
    in_container probe personality
    [ "$output" = "0 x86_64" ]
    arguments true
    configure 'c["linux"]["personality"] = {"domain": "BSD"}'
    refused "unknown domain BSD" rune run "$id"
    configure 'c["linux"]["personality"] = {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}'
    refused "flag" rune run "$id"
    # Below what a root without CAP_SYS_RESOURCE has.
    configure 'del c["linux"]["personality"]' 'small = ["MEMLOCK", "SIGPENDING", "NPROC", "MSGQUEUE", "NOFILE"]' \
        'big = ["AS", "CORE", "CPU", "DATA", "FSIZE", "LOCKS", "RSS", "RTTIME", "STACK"]' \
        'limit = lambda k, soft, hard: {"type": "RLIMIT_" + k, "soft": soft, "hard": hard}' \
        'c["process"]["rlimits"] = [limit(k, 1000000000 + i, 2000000000 + i) for i, k in enumerate(big)] + [limit(k, 20 + i, 30 + i) for i, k in enumerate(small)] + [limit(k, 0, 0) for k in ("NICE", "RTPRIO")]'
    in_container cat /proc/self/limits
    [ "$(grep -cE ' 100000000[0-9] +200000000[0-9] ' <<<"$output")" = 9 ]
    [ "$(grep -cE ' 2[0-4] +3[0-4] ' <<<"$output")" = 5 ]
    configure 'c["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 30, "hard": 20}]'
    arguments true
    refused "resource limit" rune run "$id"
    configure 'c["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}]'
    in_container sh -c 'grep core /proc/self/limits'
    [[ "$output" == *" 0 "*unlimited* ]]
    configure 'c["process"]["oomScoreAdj"] = 1001'
    arguments true
    refused "oomScoreAdj" rune run "$id"
}

@test "users: additional groups, umask, unmapped ids" {
    configure 'c["process"]["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [7, 8, 4294967294]}'
    in_container sh -c 'id; umask; touch /tmp/x 2>/dev/null; grep -E "^(Uid|Gid|Groups)" /proc/self/status'
    [[ "$output" == *"uid=1000 gid=1001 groups="*7*8* ]]
    [[ "$output" == *0022* ]]
    [[ "$output" == *"Groups:	7 8 1001"* || "$output" == *"Groups:	7 8 4294967294"* ]]
    configure 'c["process"]["user"] = {"uid": 0, "gid": 0, "umask": 0o77}'
    in_container umask
    configure 'c["linux"]["namespaces"].append({"type": "user"})' 'c["process"]["user"] = {"uid": 70000, "gid": 0}' \
        'c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]'
    arguments true
    refused "user 70000 is not mapped" rune run "$id"
}

@test "capabilities: each set, ambient for a user, names that nobody knows" {
    configure 'c["process"]["user"] = {"uid": 1000, "gid": 1000}' \
        'c["process"]["capabilities"] = {"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_NEW_ONE"], "permitted": ["CAP_CHOWN", "CAP_KILL"], "inheritable": ["CAP_CHOWN", "CAP_KILL"], "ambient": ["CAP_KILL"], "effective": ["CAP_KILL", "CAP_NEW_ONE"]}'
    in_container grep Cap /proc/self/status
    [ "$status" -eq 0 ]
    [[ "$output" == *"unknown capability CAP_NEW_ONE"* ]]
    for line in CapInh:0000000000000021 CapPrm:0000000000000020 CapEff:0000000000000020 CapBnd:0000000000002021 CapAmb:0000000000000020; do
        [[ "$(tr -d '\t' <<<"$output")" == *"$line"* ]]
    done
    # Ambient needs permitted and inheritable. Builders of images write such, for each step: nothing to say.
    configure 'for s in c["process"]["capabilities"].values(): s[:] = [n for n in s if n != "CAP_NEW_ONE"]' 'c["process"]["capabilities"]["ambient"] = ["CAP_NET_RAW"]'
    in_container grep CapAmb /proc/self/status
    [ "$status" -eq 0 ]
    [ "$(tr -d '\t' <<<"$output")" = CapAmb:0000000000000000 ]
    configure 'c["process"]["capabilities"] = {}'
    in_container grep -E 'Cap(Bnd|Eff)' /proc/self/status
    [ "$(grep -c 0000000000000000 <<<"$output")" = 2 ]
}

@test "a capability that rune does not have is told in one line, and the rest are granted" {
    setpriv --bounding-set -sys_admin,-net_raw true 2>/dev/null || skip "setpriv cannot drop capabilities here"
    configure 'c["process"]["capabilities"] = {k: ["CAP_KILL", "CAP_NET_RAW", "CAP_CHOWN"] for k in ("bounding", "effective", "permitted")}'
    arguments grep CapPrm /proc/self/status
    run setpriv --bounding-set -net_raw --inh-caps -net_raw "$RUNE" --root "$state" run "$id"
    echo "$output"
    [ "$status" -eq 0 ]
    [ "$(grep -c 'cannot be granted.*CAP_NET_RAW' <<<"$output")" = 1 ]
    [[ "$(tr -d '\t' <<<"$output")" == *CapPrm:0000000000000021* ]]
}

@test "supplementary groups of the caller never stay: refused where they cannot be dropped" {
    configure 'c["process"]["user"] = {"uid": 1000, "gid": 1000}' 'c["process"]["noNewPrivileges"] = False' \
        'c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["setgroups"], "action": "SCMP_ACT_ERRNO"}]}'
    arguments id
    run setpriv --groups 4,27,42 "$RUNE" --root "$state" run "$id"
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"set supplementary groups"* ]]
    nothing_left
    run setpriv --clear-groups "$RUNE" --root "$state" run "$id"
    [ "$status" -eq 0 ]
    [[ "$output" == *uid=1000*gid=1000* && "$output" != *,* ]]
}

@test "namespaces: every kind joined by its path, the wrong kind and a missing path refused" {
    configure 'c["linux"]["namespaces"] += [{"type": "time"}, {"type": "cgroup"}]' 'c["linux"]["timeOffsets"] = {"monotonic": {"secs": 5000, "nanosecs": 7}, "boottime": {"secs": 6000}}'
    arguments sleep 100
    rune run --detach --pid-file "$work/pid" "$id" </dev/null >/dev/null 2>&1
    local pid
    pid=$(cat "$work/pid")
    [ "$(rune exec "$id" cat /proc/self/timens_offsets | tr -s ' ')" = "$(printf 'monotonic 5000 7\nboottime 6000 0')" ]
    configure 'del c["linux"]["timeOffsets"], c["hostname"]' "files = {'network': 'net', 'mount': 'mnt'}" \
        "c['linux']['namespaces'] = [{'type': t, 'path': f'/proc/$pid/ns/{files.get(t, t)}'} for t in ('pid', 'network', 'ipc', 'uts', 'cgroup', 'time')] + [{'type': 'mount'}]"
    box=$id-b in_container sh -c 'ls -l /proc/self/ns'
    local kind
    for kind in pid net ipc uts cgroup time; do
        [[ "$output" == *"$(readlink "/proc/$pid/ns/$kind")"* ]]
    done
    [[ "$output" != *"$(readlink "/proc/$pid/ns/mnt")"* ]]
    configure 'keep = c["linux"]["namespaces"]' "c['linux']['namespaces'] = [n if n['type'] != 'uts' else {'type': 'uts', 'path': '/proc/$pid/ns/ipc'} for n in keep]"
    arguments true
    denied() { # PART: not started, and nothing of it left; the first one lives on
        run rune run "$id-b"
        echo "$output"
        [ "$status" -eq 1 ]
        [[ "$output" == *"$1"* ]]
        nothing_left "$id-b"
        status_is "$id" running
    }
    denied "join uts namespace"
    configure "c['linux']['namespaces'] = [{'type': 'uts', 'path': '/missing'}, {'type': 'mount'}]"
    denied /missing
    configure "c['linux']['namespaces'] = [{'type': 'mount'}, {'type': 'mount'}]"
    denied "given twice"
    configure "c['linux']['namespaces'] = [{'type': 'mount'}, {'type': 'time', 'path': '/proc/$pid/ns/time'}]" 'c["linux"]["timeOffsets"] = {"boottime": {"secs": 1}}'
    denied "time namespace"
    rune delete --force "$id"
}

@test "namespaces: a user namespace by path" {
    chown -R 100000:100000 rootfs
    configure 'c["linux"]["namespaces"].append({"type": "user"})' \
        'c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]'
    arguments sleep 100
    rune run --detach --pid-file "$work/pid" "$id" </dev/null >/dev/null 2>&1
    local pid
    pid=$(cat "$work/pid")
    configure 'del c["linux"]["uidMappings"], c["linux"]["gidMappings"], c["hostname"]' "files = {'network': 'net', 'mount': 'mnt'}" \
        "c['linux']['namespaces'] = [{'type': t, 'path': f'/proc/$pid/ns/{files.get(t, t)}'} for t in ('user', 'network', 'ipc', 'uts')] + [{'type': 'mount'}, {'type': 'pid'}]"
    box=$id-b in_container sh -c 'cat /proc/self/uid_map; ls -l /proc/self/ns/user; id -u'
    [[ "$output" == *100000* ]]
    [[ "$output" == *"$(readlink "/proc/$pid/ns/user")"* ]]
    [ "${lines[-1]}" = 0 ]
    rune delete --force "$id"
}

@test "namespaces: a mount namespace by path, with the same files; nothing reaches the host's" {
    unshare --mount sleep 77 3>&- &
    local holder=$!
    within 5 sh -c "[ \"\$(readlink /proc/$holder/ns/mnt)\" != \"\$(readlink /proc/self/ns/mnt)\" ]"
    configure "c['linux']['namespaces'] = [n if n['type'] != 'mount' else {'type': 'mount', 'path': '/proc/$holder/ns/mnt'} for n in c['linux']['namespaces']]"
    in_container sh -c 'ls /; ls -l /proc/self/ns/mnt'
    kill $holder
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = bin ]
    ! grep -F "$work" /proc/self/mounts || false
    # To change the root of the host's own is never meant.
    configure "c['linux']['namespaces'] = [n if n['type'] != 'mount' else {'type': 'mount', 'path': '/proc/$$/ns/mnt'} for n in c['linux']['namespaces']]"
    arguments true
    refused "the host's own mount namespace" rune run "$id"
}

@test "user namespace: oom score, time offsets, sysctl, limits are set as without one" {
    chown -R 100000:100000 rootfs
    configure 'c["linux"]["namespaces"] += [{"type": "user"}, {"type": "time"}]' 'c["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}' \
        'c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]' \
        'c["process"]["oomScoreAdj"] = 200' 'c["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "5000"}' \
        'c["process"]["user"] = {"uid": 7, "gid": 8, "additionalGids": [9]}'
    arguments sh -c 'cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/uptime; id; exec sleep 100'
    rune create "$id" >"$work/out" 2>&1 </dev/null
    rune start "$id"
    within 5 grep -q "uid=7 gid=8 groups=9" "$work/out"
    cat "$work/out"
    [ "$(head -3 "$work/out" | tr '\n' ' ')" = "200 1 5000 " ]
    [ "$(sed -n '4s/\..*//p' "$work/out")" -gt 1000000 ]
    [ "$(rune exec "$id" cat /proc/self/oom_score_adj)" = 200 ]
}

@test "sysctl: of namespaces only, and of those that are not the host's" {
    in_sysctl() { configure "c['linux']['sysctl'] = {'$1': '$2'}"; }
    in_sysctl net.ipv4.ip_default_ttl 77 && in_container cat /proc/sys/net/ipv4/ip_default_ttl && [ "$output" = 77 ]
    in_sysctl net/ipv4/ip_default_ttl 78 && in_container cat /proc/sys/net/ipv4/ip_default_ttl && [ "$output" = 78 ]
    in_sysctl fs.mqueue.msg_max 11 && in_container cat /proc/sys/fs/mqueue/msg_max && [ "$output" = 11 ]
    in_sysctl kernel.msgmax 5000 && in_container cat /proc/sys/kernel/msgmax && [ "$output" = 5000 ]
    in_sysctl kernel.domainname elsewhere && in_container cat /proc/sys/kernel/domainname && [ "$output" = elsewhere ]
    arguments true
    in_sysctl kernel.hostname x && refused hostname rune run "$id"
    in_sysctl vm.swappiness 1 && refused "not in a separate kernel namespace" rune run "$id"
    in_sysctl net.ipv4..x 1 && refused "not a valid name" rune run "$id"
    configure 'c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "ipc"]'
    in_sysctl kernel.msgmax 5000 && refused "hosts ipc namespace" rune run "$id"
    configure 'c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "network"] + [{"type": "network", "path": "/proc/self/ns/net"}]'
    in_sysctl net.ipv4.ip_default_ttl 77 && refused "host network namespace" rune run "$id"
}

@test "devices: kinds, numbers, modes, owners; default ones and links" {
    configure 'c["root"]["readonly"] = False' 'c["linux"]["resources"]["devices"] = [{"allow": True, "access": "rwm"}]' \
        'c["linux"]["devices"] = [{"path": "/dev/my/char", "type": "c", "major": 1, "minor": 5, "fileMode": 0o644, "uid": 3, "gid": 4}, {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 3}, {"path": "/tmp/block", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600}, {"path": "/dev/pipe", "type": "p", "fileMode": 0o622}, {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o444}]'
    in_container sh -c 'umask; ls -ln /dev/my/char /dev/unbuffered /tmp/block /dev/pipe /dev/zero /dev/null /dev/full /dev/random /dev/urandom /dev/tty; ls -l /dev/fd /dev/stdin /dev/stdout /dev/stderr /dev/ptmx; head -c 3 /dev/my/char | wc -c'
    [ "$status" -eq 0 ]
    like() { grep -qE "$1" <<<"$output" || { echo "no $1"; return 1; }; }
    like '^crw-r--r-- +1 3 +4 +1, +5 .*/dev/my/char'
    like '^crw-rw-rw- +1 0 +0 +1, +3 .*/dev/unbuffered'
    like '^brw------- +1 0 +0 +7, 200 .*/tmp/block'
    like '^prw--w--w- .*/dev/pipe'
    like '^cr--r--r-- .*/dev/zero'
    for name in null full random urandom tty; do
        like "^crw-rw-rw- +1 0 +0 .*/dev/$name\$"
    done
    like '/dev/fd -> /proc/self/fd'
    like '/dev/ptmx -> pts/ptmx'
    [ "${lines[-1]}" = 3 ]
    arguments true
    configure 'c["linux"]["devices"] = [{"path": "/dev/x", "type": "z"}]'
    refused "unknown type z" rune run "$id"
    configure 'c["linux"]["devices"] = [{"type": "c", "major": 1, "minor": 3}]'
    refused "path is missing" rune run "$id"
}

@test "device rules: allow and deny by kind, number, wildcard and access" {
    [ -d /sys/fs/cgroup/devices ] || skip "no devices controller of cgroup v1"
    # 1:3 null, 1:5 zero, 10:229 fuse, 7:0 loop0
    configure 'c["root"]["readonly"] = False' 'c["process"]["capabilities"] = {k: ["CAP_MKNOD"] for k in ("bounding", "effective", "permitted")}' \
        'c["linux"]["resources"]["devices"] = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "r"}, {"allow": True, "type": "b", "major": 7, "access": "m"}, {"allow": True, "type": "c", "major": 10, "access": "m"}]'
    ln rootfs/bin/busybox rootfs/bin/mknod
    arguments sh -c 'cat /sys/fs/cgroup/devices/devices.list 2>/dev/null; mknod /tmp/fuse c 10 229 && echo made; exec 3</tmp/fuse && echo read; exec 4>/tmp/fuse && echo WROTE'
    run_container
    [[ "$output" == *made* ]]
    [[ "$output" != *WROTE* ]]
    arguments sleep 100
    rune run --detach "$id" </dev/null >/dev/null 2>&1
    list=$(cat "/sys/fs/cgroup/devices$(grep devices /proc/self/cgroup | cut -d: -f3 | sed 's:^/$::')/$id/devices.list")
    echo "$list"
    for rule in "c 10:229 r" "b 7:\* m" "c 10:\* m" "c 1:3 rwm" "c 136:\* rwm" "c \*:\* m" "b \*:\* m"; do
        grep -qx "$rule" <<<"$list"
    done
    ! grep -q '^a ' <<<"$list" || false
    rune delete --force "$id"
    configure 'c["linux"]["resources"]["devices"] = [{"allow": True, "type": "x", "access": "r"}]'
    arguments true
    refused "unknown type x" rune run "$id"
    # Without any rule: the default devices and no others.
    configure 'c["linux"].pop("resources")'
    arguments sh -c 'mknod /tmp/own c 10 229 && echo made; (exec 3</tmp/own) && echo READ; (exec 3</dev/null) && echo null'
    run_container
    [[ "$output" == *made*null* ]]
    [[ "$output" != *READ* ]]
}

@test "resources: each file of cgroup v1 that this kernel has" {
    [ -d /sys/fs/cgroup/memory ] || skip "no cgroup v1"
    configure 'c["linux"]["resources"] = {"memory": {"limit": 67108864, "reservation": 33554432, "swappiness": 7}, "cpu": {"shares": 200, "quota": 30000, "period": 60000, "burst": 1000, "cpus": "0"}, "pids": {"limit": 44}}'
    declare -A want=([memory/memory.limit_in_bytes]=67108864 [memory/memory.soft_limit_in_bytes]=33554432 [memory/memory.swappiness]=7
        [cpu/cpu.shares]=200 [cpu/cpu.cfs_quota_us]=30000 [cpu/cpu.cfs_period_us]=60000 [cpu/cpu.cfs_burst_us]=1000 [cpuset/cpuset.cpus]=0 [pids/pids.max]=44)
    local disk
    disk=$(awk '$1 ~ /^[0-9]+$/ && $4 !~ /^loop/ { print $1 ":" $2; exit }' /proc/partitions)
    if [ -n "$disk" ] && [ -e /sys/fs/cgroup/blkio/blkio.throttle.read_bps_device ]; then
        configure "device = lambda rate: [{'major': ${disk%:*}, 'minor': ${disk#*:}, 'rate': rate}]" \
            'c["linux"]["resources"]["blockIO"] = {"throttleReadBpsDevice": device(1000000), "throttleWriteBpsDevice": device(2000000), "throttleReadIOPSDevice": device(300), "throttleWriteIOPSDevice": device(400)}'
        want+=([blkio/blkio.throttle.read_bps_device]="$disk 1000000" [blkio/blkio.throttle.write_bps_device]="$disk 2000000"
            [blkio/blkio.throttle.read_iops_device]="$disk 300" [blkio/blkio.throttle.write_iops_device]="$disk 400")
    fi
    has() { grep -qE "[:,]$1[:,]" /proc/self/cgroup; }
    without() { # CONTROLLER STATEMENT: said, when this machine cannot
        has "$1" && return
        configure 'saved = json.dumps(c["linux"]["resources"]); open("saved.json", "w").write(saved)' "$2"
        arguments true
        refused "$1 cgroup controller is not available" rune run "$id"
        configure 'c["linux"]["resources"] = json.load(open("saved.json"))'
    }
    local size
    size=$(ls /sys/fs/cgroup/hugetlb 2>/dev/null | sed -n 's/^hugetlb\.\(.*\)\.limit_in_bytes$/\1/p' | head -1)
    declare -A more=([hugetlb]="c['linux']['resources']['hugepageLimits'] = [{'pageSize': '${size:-2MB}', 'limit': 4194304}]"
        [net_cls]="c['linux']['resources'].setdefault('network', {})['classID'] = 1048577"
        [net_prio]="c['linux']['resources'].setdefault('network', {})['priorities'] = [{'name': 'lo', 'priority': 5}]"
        [rdma]="c['linux']['resources']['rdma'] = {'mlx5_1': {'hcaHandles': 3, 'hcaObjects': 10000}}")
    want+=([hugetlb/hugetlb.$size.limit_in_bytes]=4194304 [net_cls/net_cls.classid]=1048577 ["net_prio/net_prio.ifpriomap"]="lo 5")
    local name
    for name in "${!more[@]}"; do
        without "$name" "${more[$name]}"
        # There is no device for rdma in a test.
        if has "$name" && [ "$name" != rdma ]; then
            configure "${more[$name]}"
        fi
    done
    arguments sleep 100
    rune run --detach "$id" </dev/null >"$work/out" 2>&1 || { cat "$work/out"; false; }
    local key dir
    for key in "${!want[@]}"; do
        dir=/sys/fs/cgroup/${key%%/*}$(grep -E "[:,]${key%%/*}[:,]" /proc/self/cgroup | cut -d: -f3 | sed 's:^/$::')/$id
        has "${key%%/*}" || continue
        echo "$key: $(cat "$dir/${key#*/}")"
        grep -qx "${want[$key]}" "$dir/${key#*/}"
    done
    rune delete --force "$id"
    arguments true
    configure 'c["linux"]["resources"] = {"unified": {"memory.high": "1"}}'
    refused "cgroup v2" rune run "$id"
    configure 'c["linux"]["resources"] = {"hugepageLimits": [{"pageSize": "../../x", "limit": 1}]}'
    refused "pageSize" rune run "$id"
    configure 'c["linux"]["resources"] = {"memory": {"swappiness": 101}}'
    refused "swappiness" rune run "$id"
    nothing_left
}

@test "labels and RDT that this machine cannot enforce are refused" {
    arguments true
    if [ ! -e /sys/kernel/security/apparmor ] && [ ! -e /sys/module/apparmor ]; then
        configure 'c["process"]["apparmorProfile"] = "some-profile"'
        refused "apparmor" rune run "$id"
        configure 'c["process"]["apparmorProfile"] = "unconfined"'
        in_container true
        [ "$status" -eq 0 ]
    fi
    arguments true
    if [ ! -e /sys/fs/selinux/enforce ]; then
        configure 'c["process"]["apparmorProfile"] = ""' 'c["process"]["selinuxLabel"] = "system_u:system_r:svirt_lxc_net_t:s0:c124,c675"'
        refused "selinux" rune run "$id"
        configure 'del c["process"]["selinuxLabel"]' 'c["linux"]["mountLabel"] = "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811"'
        refused "selinux" rune run "$id"
        configure 'del c["linux"]["mountLabel"]'
    fi
    if [ ! -e /sys/fs/resctrl/schemata ]; then
        configure 'c["linux"]["intelRdt"] = {"closID": "gold", "l3CacheSchema": "L3:0=f"}'
        refused "RDT" rune run "$id"
    fi
}

@test "annotations: in the state, an empty key and a value that is no text refused" {
    configure 'c["annotations"] = {"com.example.key": "value", "empty": ""}'
    arguments sleep 100
    rune run --detach "$id" </dev/null >/dev/null 2>&1
    [ "$(rune state "$id" | python3 -c 'import json, sys; print(json.load(sys.stdin)["annotations"])')" = "{'com.example.key': 'value', 'empty': ''}" ]
    rune delete --force "$id"
    configure 'c["annotations"] = {"": "x"}'
    refused "key must not be empty" rune run "$id"
    configure 'c["annotations"] = {"k": 7}'
    refused "annotations" rune run "$id"
}

@test "features: the document of runtime-spec 1.2 is complete" {
    run rune features
    [ "$status" -eq 0 ]
    python3 - "$output" <<'PY'
import json, sys
f = json.loads(sys.argv[1])
l, s = f["linux"], f["linux"]["seccomp"]
assert f["ociVersionMin"] == "1.0.0" and f["ociVersionMax"] == "1.2.0"
assert f["hooks"] == ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
assert {"bind", "rro", "rnosuid", "idmap", "ridmap", "tmpcopyup", "rslave", "nosymfollow"} <= set(f["mountOptions"])
assert set(l["namespaces"]) == {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}
assert len(l["capabilities"]) == 41 and "CAP_CHECKPOINT_RESTORE" in l["capabilities"]
assert all(isinstance(l["cgroup"][k], bool) for k in ("v1", "v2", "systemd", "systemdUser", "rdma"))
assert s["enabled"] and "SCMP_ACT_NOTIFY" in s["actions"] and "SCMP_CMP_MASKED_EQ" in s["operators"]
assert "SCMP_ARCH_X86_64" in s["archs"] and set(s["supportedFlags"]) <= set(s["knownFlags"])
assert "SECCOMP_FILTER_FLAG_LOG" in s["supportedFlags"] and len(s["knownFlags"]) == 4
assert all(l[k]["enabled"] for k in ("apparmor", "selinux", "intelRdt"))
assert l["mountExtensions"]["idmap"]["enabled"]
assert "enclave." in f["potentiallyUnsafeConfigAnnotations"]
PY
}

@test "cp: a tar archive out of the container, and into it" {
    configure 'c["process"]["args"] = ["sleep", "1000"]' 'c["root"]["readonly"] = False'
    rune run --detach "$id" >/dev/null 2>&1 </dev/null
    run rune cp "$id:/etc/passwd" -
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *'"tar": executable file not found'* ]]
    ln rootfs/bin/busybox rootfs/bin/tar
    [ "$(rune cp "$id:etc/passwd" - | tar -tf -)" = passwd ]
    echo given >"$work/-given"
    tar -c -C "$work" ./-given | rune cp - "$id:/tmp"
    [ "$(rune cp "$id:/tmp/-given" - | tar -xO)" = given ]
    for words in "- -" "$id:/etc $id:/tmp" "- $id" "- :/tmp" "- $id:"; do
        # shellcheck disable=SC2086 # words
        run rune cp $words </dev/null
        echo "$output"
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
    done
}
