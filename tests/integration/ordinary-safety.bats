#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A container may not reach the host: what past holes of runtimes did.

load ordinary

setup() { ordinary_setup; }
teardown() { ordinary_teardown; }

@test "CVE-2019-5736: the running binary cannot be written to through /proc/self/exe" {
    cp "$RUNE" "$work/rune-copy"
    before=$(sha256sum <"$work/rune-copy")
    # The entrypoint is the runtime itself; it is kept alive as an unknown command's help would end at once.
    configure 'c["root"]["readonly"] = False'
    arguments /proc/self/exe --version
    run "$work/rune-copy" --root "$state" run "$id"
    arguments sleep 100
    "$work/rune-copy" --root "$state" run --detach "$id" >/dev/null 2>&1 </dev/null
    # What an attacker in the container sees of a process that execs: no writable way to the binary.
    cat >"$work/attack.py" <<'PY'
import os, sys
PY
    "$work/rune-copy" --root "$state" exec "$id" sh -c '
        for i in 1 2 3 4 5 6 7 8 9 10; do
            for p in /proc/[0-9]*; do
                echo pwned 2>/dev/null >"$p/exe" && echo "WROTE $p"
            done
        done' >"$work/out" 2>/dev/null || true
    ! grep -q WROTE "$work/out"
    [ "$(sha256sum <"$work/rune-copy")" = "$before" ]
}

@test "the set-up runs from a copy that is read-only or sealed" {
    cp "$RUNE" "$work/rune-copy"
    configure 'c["root"]["readonly"] = False'
    arguments sleep 100
    "$work/rune-copy" --root "$state" run --detach "$id" >/dev/null 2>&1 </dev/null
    strace -f -e trace=execveat,open_tree,memfd_create -o "$work/trace" \
        "$work/rune-copy" --root "$state" exec "$id" true || skip "no strace"
    cat "$work/trace"
    grep -q 'execveat([0-9]*, ""' "$work/trace"
}

@test "CVE-2024-21626: no descriptor of the host leaks, a cwd outside is refused" {
    arguments sh -c 'ls -l /proc/self/fd | grep -v -E "pipe:|/dev/null|socket:|$OUT" | grep -c " -> /" || true'
    configure "c['process']['env'].append('OUT=$work')"
    run rune run "$id" </dev/null
    # Only the directory that ls itself has open.
    [ "${lines[-1]}" -le 1 ]
    for fd in 3 4 5 6 7 8 9 10; do
        configure "c['process']['cwd'] = '/proc/self/fd/$fd'"
        arguments true
        run rune run "$id"
        [ "$status" -eq 1 ]
    done
    nothing_left
}

@test "links in the image do not lead mounts and devices out of the root" {
    mkdir -p "$work/victim"
    ln -s "$work/victim" rootfs/mnt
    ln -s /etc rootfs/tmp/link
    configure 'c["mounts"].append({"destination": "/mnt/inner", "type": "tmpfs", "source": "tmpfs"})' \
        'c["linux"]["devices"] = [{"path": "/mnt/zero", "type": "c", "major": 1, "minor": 5}]' 'c["root"]["readonly"] = False'
    arguments sh -c 'mount | grep inner'
    run rune run "$id"
    [ "$status" -eq 0 ]
    [ -z "$(ls -A "$work/victim")" ]
    nothing_left
}

@test "masked and read-only paths hold" {
    arguments sh -c 'cat /proc/kcore 2>/dev/null | wc -c; cat /proc/keys | wc -c; echo 1 >/proc/sys/kernel/domainname; echo rc=$?; ls /sys/firmware | wc -l'
    run rune run "$id"
    echo "$output"
    [[ "$output" == *"rc=1"* ]]
    [ "${lines[0]}" = 0 ]
    [ "${lines[1]}" = 0 ]
}

@test "capabilities, no_new_privs, seccomp, rlimits, sysctl, umask, oom score hold" {
    configure 'c["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}]' \
        'c["process"]["user"] = {"uid": 0, "gid": 0, "umask": 0o027, "additionalGids": [5, 6]}' \
        'c["process"]["oomScoreAdj"] = 321' \
        'c["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"}' \
        'c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}'
    arguments sh -c 'ulimit -n; umask; cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_forward; grep -E "NoNewPrivs|Seccomp:|CapBnd|Groups" /proc/self/status; mkdir /tmp/x'
    run rune run "$id"
    echo "$output"
    [ "${lines[0]}" = 77 ]
    [ "${lines[1]}" = 0027 ]
    [ "${lines[2]}" = 321 ]
    [ "${lines[3]}" = 1 ]
    [[ "$output" == *"Groups:	5 6"* ]]
    [[ "$output" == *"CapBnd:	0000000020000420"* ]]
    [[ "$output" == *"NoNewPrivs:	1"* ]]
    [[ "$output" == *"Seccomp:	2"* ]]
    [[ "$output" == *"No space left"* ]]
    # Once more with the cached filter.
    run rune run "$id"
    [[ "$output" == *"No space left"* ]]
    [ "$(ls "$state/.cache/seccomp" | wc -l)" = 1 ]
}

@test "a damaged seccomp cache is not believed" {
    configure 'c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}'
    arguments sh -c 'mkdir /tmp/x'
    rune run "$id" || true
    file=$(echo "$state"/.cache/seccomp/*)
    size=$(stat -c %s "$file")
    for cut in $((size - 1)) $((size / 2)) 10 0; do
        head -c "$cut" "$file" >"$work/cut"
        cp "$work/cut" "$file"
        run rune run "$id"
        [[ "$output" == *"No space left"* ]]
    done
    printf '\xff' | dd of="$file" bs=1 seek=$((size - 12)) conv=notrunc 2>/dev/null
    run rune run "$id"
    [[ "$output" == *"No space left"* ]]
}

@test "user namespace: ids are mapped, devices and terminal work" {
    chown -R 100000:100000 rootfs
    configure 'c["linux"]["namespaces"].append({"type": "user"})' \
        'c["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]' \
        'c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]'
    chmod 711 "$work" "$bundle"
    arguments sh -c 'id -u; cat /proc/self/uid_map; echo x >/dev/null && head -c 4 /dev/zero | wc -c'
    run rune run "$id"
    echo "$output"
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = 0 ]
    [[ "${lines[1]}" == *100000* ]]
    [ "${lines[2]}" = 4 ]
    nothing_left
}

@test "time namespace offsets, joined namespaces, domain name" {
    arguments sleep 100
    configure 'c["linux"]["namespaces"].append({"type": "time"})' 'c["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}' 'c["domainname"] = "example"'
    rune run --detach --pid-file "$work/pid" "$id" </dev/null >/dev/null 2>&1
    up=$(rune exec "$id" cat /proc/uptime)
    [ "${up%%.*}" -gt 1000000 ]
    [ "$(rune exec "$id" cat /proc/sys/kernel/domainname)" = example ]
    pid=$(cat "$work/pid")
    mkdir "$work/second"
    cp config.json "$work/second/"
    CONFIG=$work/second/config.json python3 - "$pid" "$bundle/rootfs" <<'PY'
import json, os, sys
c = json.load(open(os.environ["CONFIG"]))
pid = sys.argv[1]
c["root"]["path"] = sys.argv[2]
names = {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}
c["linux"]["namespaces"] = [{"type": t, "path": f"/proc/{pid}/ns/{f}"} for t, f in names.items()] + [{"type": "mount"}]
del c["hostname"], c["domainname"], c["linux"]["timeOffsets"]
c["process"]["args"] = ["sh", "-c", "ps | grep -c 'sleep 100'; cat /proc/sys/kernel/hostname"]
json.dump(c, open(os.environ["CONFIG"], "w"))
PY
    run rune run --bundle "$work/second" "$id-b"
    echo "$output"
    [ "$status" -eq 0 ]
    [ "${lines[0]}" -ge 1 ]
    [ "${lines[1]}" = rune ]
}
