#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What config.json says holds in an enclave of the built-in LibOS as it does in an ordinary container, or is told at create.

bats_require_minimum_version 1.5.0
load enclave

setup() {
    [ "$(id -u)" -eq 0 ] || skip "containers need root here"
    enclave_setup
    busybox=$(command -v busybox) || skip "no busybox"
    [ -n "$(find "$RUNE_STAGE" -name libos.elf)" ] || skip "no LibOS in $RUNE_STAGE"
    mkdir -p "$bundle/rootfs/bin" "$bundle/rootfs/data"
    cp "$busybox" "$bundle/rootfs/bin/busybox"
    for applet in $("$busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$bundle/rootfs/bin/$applet"
    done
    configure 'c["root"]["readonly"] = False'
    export RUNE_CACHE_DIR=$BATS_FILE_TMPDIR/cache RUNE_SIGNING_KEY=$BATS_FILE_TMPDIR/key.pem
    mkdir -p "$RUNE_CACHE_DIR"
}
teardown() { enclave_teardown; }

# ooms [RUNE'S OPTIONS]: runs $bundle; its exit code is $status, its events are in $work/events, its output in $work/out
ooms() {
    rune --log "$work/log" "$@" create --bundle "$bundle" --pid-file "$work/pid" "$id" >"$work/out" 2>&1 </dev/null
    rune events "$id" >"$work/events" 2>/dev/null &
    local events=$!
    within 10 test -e "/proc/$events/fd/3"
    sleep 0.3
    rune start "$id"
    wait $events || true
    within 10 status_is "$id" stopped
}

fill='x=a; while :; do x=$x$x; done'

@test "memory limit: the end of process 1 is an oom event, and one line on stderr that says which limit" {
    [ -d /sys/fs/cgroup/memory ] || [ -e /sys/fs/cgroup/cgroup.controllers ] || skip "no memory cgroup here"
    configure 'c["linux"]["resources"] = {"memory": {"limit": 96 << 20, "swap": 96 << 20}}'
    arguments sh -c "$fill"
    ooms --enclave
    [ "$(grep -c '"oom"' "$work/events")" -eq 1 ]
    [ "$(grep -c "rune: out of memory: process 1 was killed: the container's memory limit of 96 MiB is used up; raise" "$work/out")" -eq 1 ]
    [ "$(wc -l <"$work/out")" -eq 1 ]
    rune delete "$id"
    run -137 rune --log "$work/log" --enclave run --bundle "$bundle" "$id"
    nothing_left
}

@test "memory limit: a child's end is one as well, and the container goes on" {
    [ -d /sys/fs/cgroup/memory ] || [ -e /sys/fs/cgroup/cgroup.controllers ] || skip "no memory cgroup here"
    configure 'c["linux"]["resources"] = {"memory": {"limit": 96 << 20, "swap": 96 << 20}}'
    arguments sh -c "for i in 1 2; do sh -c '$fill'; echo ended \$?; done; exec sleep 0.2"
    ooms --enclave
    [ "$(grep -c '"oom"' "$work/events")" -ge 1 ]
    [ "$(grep -c 'ended 137' "$work/out")" -eq 2 ]
    [ "$(grep -c 'out of memory' "$work/out")" -eq 1 ]
}

@test "memory limit: enclave.memory is told apart, and is nothing that the kernel counts" {
    annotate memory 80M
    configure 'c["linux"]["resources"] = {"memory": {"limit": 512 << 20}}'
    arguments sh -c "$fill"
    ooms --enclave
    [ "$(grep -c '"oom"' "$work/events")" -eq 0 ]
    [ "$(grep -c "what the enclave was built with is used up; raise enclave.memory" "$work/out")" -eq 1 ]
}

@test "with --log the container's output is the program's alone, at the first start as well" {
    local wrapper=$work/slow/mkfs.erofs
    mkdir "$work/slow" "$work/cache"
    printf '#!/bin/sh\nsleep 2.5\nexec %s "$@"\n' "$(command -v mkfs.erofs)" >"$wrapper"
    chmod 755 "$wrapper"
    arguments sh -c 'echo out; echo err >&2'
    PATH=$work/slow:$PATH RUNE_CACHE_DIR=$work/cache rune --debug --log "$work/log" --enclave run --bundle "$bundle" "$id" \
        >"$work/out" 2>"$work/err" </dev/null
    [ "$(cat "$work/out")" = out ]
    [ "$(cat "$work/err")" = err ]
    grep -q 'msg="[a-z ]* \.\.\."' "$work/log"
}

@test "cpuset, oomScoreAdj: as in an ordinary container; a quota of processor time is in cpu.max" {
    configure 'c["linux"]["resources"] = {"cpu": {"cpus": "0", "quota": 150000, "period": 100000}, "pids": {"limit": 300}}' \
        'c["process"]["oomScoreAdj"] = 321'
    same sh -c 'nproc; grep ^Cpus_allowed_list /proc/self/status; cat /proc/self/oom_score_adj; sh -c "cat /proc/self/oom_score_adj"'
    configure 'c["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"})'
    arguments sh -c 'cd /sys/fs/cgroup; cat cpu.max cpuset.cpus.effective pids.max'
    run -0 --separate-stderr rune --enclave run --bundle "$bundle" "$id"
    [ "$output" = $'150000 100000\n0\n300' ]
}

@test "update: memory, processors and quota take effect inside; what cannot is an error" {
    configure 'c["linux"]["resources"] = {"cpu": {"cpus": "0"}, "memory": {"limit": 100 << 20}}' \
        'c["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"})'
    arguments sh -c 'cat /sys/fs/cgroup/memory.max; read go; cd /sys/fs/cgroup; cat memory.max cpu.max cpuset.cpus.effective; dd if=/dev/zero of=/tmp/big bs=1M count=150 2>/dev/null; ls -s /tmp/big; read go'
    annotate exec any
    mkfifo "$work/in"
    rune --log "$work/log" --enclave create --bundle "$bundle" "$id" <>"$work/in" >"$work/out" 2>&1
    rune start "$id"
    within 20 grep -q . "$work/out"
    rune update --memory 400M --cpu-quota 50000 --cpu-period 20000 "$id"
    echo go >"$work/in"
    within 30 grep -q /tmp/big "$work/out"
    cat "$work/out"
    [ "$(sed -n 1p "$work/out")" -lt 104857600 ]
    [ "$(sed -n 2p "$work/out")" -gt 300000000 ]
    [ "$(sed -n 3,4p "$work/out")" = $'50000 20000\n0' ]
    [ "$(awk '/big/ {print $1}' "$work/out")" -ge 153600 ]
    if [ "$(nproc)" -gt 1 ]; then
        rune update --cpuset-cpus 0-1 "$id"
        [ "$(rune exec "$id" nproc)" = 2 ]
    fi
    rune delete --force "$id"
    annotate memory 64M
    rune --log "$work/log" --enclave create --bundle "$bundle" "$id" <>"$work/in" >"$work/out" 2>&1
    run -1 rune update --memory 500M "$id"
    [[ "$output" == *"enclave.memory"* && "${#lines[@]}" -eq 1 ]]
}

@test "any number of bind mounts" {
    configure 'for i in range(130):
    c["mounts"].append({"destination": "/m/%d" % i, "type": "bind", "source": c["root"]["path"] if c["root"]["path"][0] == "/" else os.path.join(os.path.dirname(path), c["root"]["path"], "data"), "options": ["bind"]})'
    echo data >"$bundle/rootfs/data/file"
    same sh -c 'cat /m/*/file | wc -l; ls /m | wc -l'
}

# The root hash of the image that was converted last.
last_image() {
    local info
    info=$(ls -t "$RUNE_CACHE_DIR"/*/info.json | head -1)
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["rootHash"])' "$info"
}

@test "user namespace: owners, maps and a private home directory are as in an ordinary container; the image is the one without" {
    local root=$bundle/rootfs show
    show='cd /; stat -c "%u %g %a %n" / /etc/passwd /home/app /etc/unmapped; cat /proc/self/uid_map /proc/self/gid_map; touch /home/app/f 2>/dev/null && echo written; true'
    mkdir -p "$root/home/app" "$root/etc/unmapped"
    chmod 700 "$root/home/app"
    chown 1000:1000 "$root/home/app"
    chown 65534:65534 "$root/etc/unmapped"
    arguments sh -c "$show"
    after_a_tick
    rune --enclave run --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
    local plain
    plain=$(last_image)
    chmod 711 "$work"
    chown -hR 200000:200000 "$root"
    chown 201000:201000 "$root/home/app"
    chown 300000:5 "$root/etc/unmapped"
    configure 'c["process"]["user"] = {"uid": 1000, "gid": 1000}' 'c["linux"]["namespaces"].append({"type": "user"})' \
        'c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 200000, "size": 65536}]'
    after_a_tick
    rune --enclave run --bundle "$bundle" "$id" </dev/null >"$work/out" 2>/dev/null
    [ "$(last_image)" = "$plain" ]
    same sh -c "$show"
    [[ "$(cat "$work/out")" == *"1000 1000 700 /home/app"*"65534 65534"*"0     200000      65536"*written ]]
}

@test "tmpfs: mode, owner, size, nr_inodes, tmpcopyup as in an ordinary container" {
    local root=$bundle/rootfs
    mkdir -p "$root/private" "$root/full/sub"
    chmod 750 "$root/private" "$root/full"
    echo one >"$root/full/one"
    chown 1000:7 "$root/full/one"
    ln -s one "$root/full/link"
    arguments sh -c 'true'
    configure 'for target, options in {"/private": [], "/full": ["tmpcopyup"], "/given": ["mode=710", "uid=1000", "gid=50", "size=1m"], "/few": ["nr_inodes=4"], "/ro": ["ro"]}.items():
    c["mounts"].append({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": options})' \
        'c["root"]["readonly"] = True'
    local show='cd /; stat -c "%a %u %g %n" /private /full /given /full/*; cat /full/one; echo more >/full/two && cat /full/two
        dd if=/dev/zero of=/given/x bs=1k count=2000 2>/dev/null; stat -c %s /given/x; for i in 1 2 3 4 5; do touch /few/$i 2>/dev/null && echo $i; done; touch /ro/x 2>/dev/null || echo refused'
    same sh -c "$show"
    configure 'c["process"]["user"] = {"uid": 1000, "gid": 1000}'
    same sh -c 'touch /private/x 2>/dev/null || echo not mine'
    configure 'c["mounts"].append({"destination": "/new/scratch", "type": "tmpfs", "source": "tmpfs"})'
    for mode in --enclave ""; do # which does not make it in the root of the bundle
        arguments sh -c 'touch /new/scratch/x && stat -c "%a %u" /new/scratch'
        run -0 --separate-stderr rune $mode run --bundle "$bundle" "$id"
        [ "$output" = "1777 0" ]
    done
}

@test "rlimits are the program's, whatever they would do to what carries the enclave" {
    configure 'c["process"]["rlimits"] = [{"type": "RLIMIT_" + n, "soft": v, "hard": v} for n, v in {"DATA": 100 << 20, "AS": 1 << 30,
        "FSIZE": 1 << 20, "NOFILE": 12, "STACK": 1 << 20, "CPU": 1000, "MEMLOCK": 4096, "SIGPENDING": 10}.items()]'
    same sh -c 'for l in d v f n s t l; do ulimit -$l; ulimit -H$l; done; true'
    arguments sh -c 'dd if=/dev/zero of=/tmp/f bs=1M count=2 2>/dev/null; stat -c %s /tmp/f'
    run rune --enclave run --bundle "$bundle" "$id"
    [[ "$output" == *1048576* ]]
}

@test "exec: 127 for a program that is not there, 126 for one that cannot run, in the words that engines look for" {
    annotate exec any
    annotate type auto
    echo text >"$bundle/rootfs/data/file"
    arguments sleep 100
    rune run --detach --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
    run -127 rune exec "$id" /no/such
    [[ "$output" == *"no such file or directory"* ]]
    run -127 rune exec "$id" no-such
    [[ "$output" == *"executable file not found"* ]]
    run -126 rune exec "$id" /data
    [[ "$output" == *[Pp]"ermission denied"* ]]
    run -126 rune exec "$id" /data/file
    [[ "$output" == *[Pp]"ermission denied"* ]]
}

@test "mount points are not in the image: other mounts, the same image and MRENCLAVE, and nothing is made in the root" {
    local before
    before=$(find "$bundle/rootfs" | sort | md5sum)
    arguments sh -c 'cat /extra/deep/file /etc/one 2>/dev/null; ls -d /scratch 2>/dev/null; true'
    echo bound >"$bundle/rootfs/data/file"
    after_a_tick
    run -0 rune --enclave run --bundle "$bundle" "$id"
    local images
    images=$(ls "$RUNE_CACHE_DIR"/*/*/manifest.json | wc -l)
    configure 'data = os.path.join(os.path.dirname(path), "rootfs/data")
c["mounts"] += [{"destination": "/extra/deep", "type": "bind", "source": data, "options": ["bind"]},
    {"destination": "/etc/one", "type": "bind", "source": data + "/file", "options": ["bind"]},
    {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"}]'
    run -0 --separate-stderr rune --enclave run --bundle "$bundle" "$id"
    [ "$output" = $'bound\nbound\n/scratch' ]
    [ "$(ls "$RUNE_CACHE_DIR"/*/*/manifest.json | wc -l)" -eq "$images" ]
    rm "$bundle/rootfs/data/file"
    [ "$(find "$bundle/rootfs" | sort | md5sum)" = "$before" ]
}

@test "the image cache prunes itself, by age and by /etc/rune/node.json, and never what a container runs from" {
    export RUNE_CACHE_DIR=$work/cache RUNE_CONFIG=$work/node.json
    entries() { find "$RUNE_CACHE_DIR" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort; }
    echo '{ "emulator": "allow", "imageCacheDays": 20 }' >"$RUNE_CONFIG"
    arguments sleep 100
    rune --enclave run --detach --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
    local running unused
    running=$(entries)
    echo 1 >"$bundle/rootfs/data/changed"
    arguments true
    after_a_tick
    run -0 rune --enclave run --bundle "$bundle" "$id-2"
    unused=$(entries | grep -v "$running")
    [ "$(entries | wc -l)" -eq 2 ]
    touch -d '21 days ago' "$RUNE_CACHE_DIR"/*
    echo 2 >"$bundle/rootfs/data/changed"
    after_a_tick
    run -0 rune --enclave run --bundle "$bundle" "$id-2"
    [ "$(entries | wc -l)" -eq 2 ]
    [[ "$(entries)" == *"$running"* && "$(entries)" != *"$unused"* ]]
    "${RUNE%/*}/rune-image" prune --cache "$RUNE_CACHE_DIR" --days 0
    [ "$(entries)" = "$running" ]
    rune delete --force "$id"
    within 5 sh -c "'${RUNE%/*}/rune-image' prune --cache '$RUNE_CACHE_DIR' --days 0 | grep -q 'removed 1 '"
    [ -z "$(entries)" ]
    echo '{ "emulator": "allow", "imageCacheDays": -1 }' >"$RUNE_CONFIG"
    run -1 rune --enclave run --bundle "$bundle" "$id-2"
    [[ "$output" == *"imageCacheDays: a number of days"* ]]
}

@test "what config.json says and has no effect inside is one warning at create; the usual says nothing" {
    arguments true
    run -0 rune --log "$work/log" --enclave run --bundle "$bundle" "$id"
    [ -z "$output" ]
    [ "$(grep -c 'no effect' "$work/log" || true)" -eq 0 ]
    configure 'c["linux"]["devices"] = [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 7}, {"path": "/dev/other", "type": "c", "major": 1, "minor": 5}]' \
        'c["hooks"] = {"createContainer": [{"path": "/bin/true"}], "poststart": [{"path": "/bin/true"}]}' \
        'c["process"]["execCPUAffinity"] = {"initial": "0"}' 'c["linux"]["personality"] = {"domain": "LINUX"}'
    : >"$work/log"
    run -0 rune --log "$work/log" --enclave run --bundle "$bundle" "$id"
    [ "$(grep -c 'no effect in the enclave' "$work/log")" -eq 3 ]
    grep -q 'linux.devices\[\].path has no effect in the enclave: there is no such device node' "$work/log"
    grep -q 'hooks.createContainer has no effect' "$work/log"
    grep -q 'process.execCPUAffinity.initial has no effect' "$work/log"
}

@test "mounts on links of the image that lead nowhere yet are made at their ends" {
    local root=$bundle/rootfs
    ln -s /made/by/link "$root/absolute"
    ln -s ../relative/end "$root/data/relative"
    ln -s loop "$root/loop"
    mkdir "$work/source"
    echo bound >"$work/source/file"
    configure 'source = os.path.join(os.path.dirname(os.path.dirname(path)), "source")
c["mounts"] += [{"destination": "/absolute", "type": "bind", "source": source, "options": ["bind"]},
    {"destination": "/data/relative/file", "type": "bind", "source": source + "/file", "options": ["bind"]}]'
    same sh -c 'cat /made/by/link/file /relative/end/file'
    configure 'c["mounts"].append({"destination": "/loop", "type": "tmpfs", "source": "tmpfs"})'
    run -1 rune --enclave run --bundle "$bundle" "$id"
    nothing_left
}
