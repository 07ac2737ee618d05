#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A container may not reach the host: what past holes of runtimes did.

load ordinary

setup() { ordinary_setup; }
teardown() { ordinary_teardown; }

@test "CVE-2019-5736: the running binary cannot be overwritten through /proc/PID/exe" {
    cp "$RUNE" "$work/rune-copy"
    before=$(sha256sum <"$work/rune-copy")
    install_program overwrite
    # What `rune exec` is told to run leads back to rune's own binary, so that it stays alive as such.
    printf '#!/proc/self/exe\n' >rootfs/bin/lure
    chmod +x rootfs/bin/lure
    # A program of the container's own: it shows that the attack works where nothing prevents it.
    cp rootfs/bin/busybox rootfs/bin/sleeper
    configure 'c["root"]["readonly"] = False' \
        'c["process"]["capabilities"] = {k: ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"] for k in ("bounding", "effective", "permitted")}'
    arguments sh -c 'ln -s sleeper /bin/sleep2; overwrite 4 >/tmp/result & while :; do /bin/sleeper sleep 0.05; done'
    "$work/rune-copy" --root "$state" run --detach "$id" >/dev/null 2>&1 </dev/null
    local end=$((SECONDS + 4))
    while [ $SECONDS -lt $end ]; do
        "$work/rune-copy" --root "$state" exec "$id" /bin/lure >/dev/null 2>&1 </dev/null || true
        "$work/rune-copy" --root "$state" exec "$id" /proc/self/exe >/dev/null 2>&1 </dev/null || true
    done
    within 10 grep -q opened rootfs/tmp/result
    cat rootfs/tmp/result
    grep -q 'WROTE /bin/sleeper' rootfs/tmp/result
    ! grep 'WROTE' rootfs/tmp/result | grep -v 'WROTE /bin/' || false
    [ "$(sha256sum <"$work/rune-copy")" = "$before" ]
}

@test "CVE-2019-5736: rune as the entrypoint itself" {
    cp "$RUNE" "$work/rune-copy"
    before=$(sha256sum <"$work/rune-copy")
    configure 'c["root"]["readonly"] = False'
    arguments /proc/self/exe --version
    run "$work/rune-copy" --root "$state" run "$id"
    [ "$(sha256sum <"$work/rune-copy")" = "$before" ]
    nothing_left
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

@test "CVE-2024-21626: no descriptor of the host is open in the container" {
    arguments sh -c 'ls -l /proc/self/fd | grep -v -E "pipe:|/dev/null|socket:|$OUT" | grep -c " -> /" || true'
    configure "c['process']['env'].append('OUT=$work')"
    run rune run "$id" </dev/null
    # Only the directory that ls itself has open.
    [ "${lines[-1]}" -le 1 ]
}

# with WORD: the configuration with WORD in the place that was marked by @ (faster than `configure` in loops)
with() {
    sed "s|@|$1|" "$work/template.json" >config.json
}

@test "CVE-2024-21626: a cwd that is a descriptor of the host is refused (WORKDIR, link, exec --cwd)" {
    arguments true
    configure "c['process']['cwd'] = '@'"
    cp config.json "$work/template.json"
    for fd in 3 4 5 6 7 8 9 10; do
        ln -sfn "/proc/self/fd/$fd" rootfs/link
        for cwd in "/proc/self/fd/$fd" /link "/proc/self/fd/$fd/.."; do
            with "$cwd"
            run rune run "$id"
            [ "$status" -eq 1 ]
        done
    done
    nothing_left
    with /
    arguments sleep 100
    rune run --detach "$id" </dev/null >/dev/null 2>&1
    for fd in 3 4 5 6 7 8 9 10; do
        for cwd in "/proc/self/fd/$fd" "/proc/1/fd/$fd"; do
            run rune exec --cwd "$cwd" "$id" true
            [ "$status" -ne 0 ]
        done
    done
}

@test "CVE-2024-21626: a program is not found through a descriptor of the host (args)" {
    printf 'int puts(const char *); int main(void) { puts("HOST PROGRAM"); }\n' >"$work/host.c"
    cc -static -o "$work/hostprogram" "$work/host.c"
    # Directories of rune's that a descriptor may lead to: the state directory, /proc, the root of a file system.
    local ups=("../../hostprogram" "../hostprogram" "..$work/hostprogram" ".$work/hostprogram")
    arguments @
    cp config.json "$work/template.json"
    for fd in 3 4 5 6 7 8 9 10; do
        for up in "${ups[@]}"; do
            with "/proc/self/fd/$fd/$up"
            run rune run "$id" </dev/null
            [[ "$output" != *"HOST PROGRAM"* ]]
        done
        # Through the gate of create, which has more open.
        with "/proc/self/fd/$fd/..$work/hostprogram"
        if rune create "$id" >"$work/out" 2>&1 </dev/null; then
            rune start "$id" || true
            within 5 status_is "$id" stopped
            ! grep "HOST PROGRAM" "$work/out" || false
            rune delete --force "$id"
        fi
    done
    arguments sleep 100
    rune run --detach "$id" </dev/null >/dev/null 2>&1
    for fd in 3 4 5 6 7 8 9 10; do
        for up in "${ups[@]}"; do
            run rune exec "$id" "/proc/self/fd/$fd/$up" </dev/null
            [ "$status" -ne 0 ]
            [[ "$output" != *"HOST PROGRAM"* ]]
        done
    done
}

@test "a container does not reach the host through another one of its pid namespace" {
    echo TOPSECRET >"$work/secret"
    arguments sleep 100
    rune run --detach --pid-file "$work/pid" "$id" </dev/null >/dev/null 2>&1
    configure 'del c["hostname"]' "c['linux']['namespaces'] = [{'type': 'pid', 'path': '/proc/$(cat "$work/pid")/ns/pid'}, {'type': 'mount'}, {'type': 'ipc'}]"
    # It waits at the gate and has the capabilities of the first one.
    rune create "$id-b" </dev/null >/dev/null 2>&1
    run rune exec "$id" sh -c 'ps; for p in /proc/[0-9]*; do for f in 3 4 5 6 7 8 9 10 11 12; do
        cat "$p/fd/$f/..'"$work"'/secret" "$p/cwd/..'"$work"'/secret" "$p/root/..'"$work"'/secret"; done; done 2>/dev/null; true'
    echo "$output"
    [[ "$output" == *rune* ]]
    [[ "$output" != *TOPSECRET* ]]
    rune start "$id-b"
    status_is "$id-b" running
    rune delete --force "$id-b"
}

# race COMMAND...: run it again and again for three seconds while $vol/a and $vol/b are swapped
race() {
    local swap end=$((SECONDS + 3)) rounds=0
    swap=$(program swap)
    "$swap" "$vol/a" "$vol/b" 2>/dev/null 3>&- &
    racer=$!
    while [ $SECONDS -lt $end ]; do
        "$@" || { kill $racer; return 1; }
        rounds=$((rounds + 1))
    done
    kill $racer
    wait $racer 2>/dev/null || true
    echo "$rounds rounds"
}

# A directory shared with the container in which a directory and a link out of the root change places.
shared_volume() { # LINK-TARGET
    vol=$work/vol
    mkdir -p "$vol/a" "$work/victim"
    ln -s "$1" "$vol/b"
    configure "c['mounts'].append({'destination': '/vol', 'type': 'bind', 'source': '$vol', 'options': ['rbind', 'rw']})"
}

# Either the start is refused, or everything named in $expected is mounted inside the root.
mounts_are_inside() {
    local out=$work/race.out
    if rune run "$id" >"$out" 2>&1 </dev/null; then
        for part in "${expected[@]}"; do
            grep -q "$part" "$out" || { echo "not in the container: $part"; cat "$out"; return 1; }
        done
    fi
    [ -z "$(ls -A "$work/victim")" ] || { echo "the victim has $(ls -A "$work/victim")"; return 1; }
}

@test "CVE-2021-30465: a link swapped into a mount's target does not move the mount out" {
    shared_volume "../../../../../../../../../..$work/victim"
    configure "c['mounts'] += [{'destination': '/vol/a', 'type': 'tmpfs', 'source': 'raced-tmpfs'}, {'destination': '/vol/a', 'type': 'bind', 'source': '$work/victim', 'options': ['rbind']}]"
    arguments sh -c 'cat /proc/self/mountinfo'
    expected=("raced-tmpfs" "/victim /")
    race mounts_are_inside
    nothing_left
}

@test "CVE-2024-45310: directories and files for mounts are not made outside the root" {
    shared_volume "../../../../../../../../../..$work/victim"
    touch "$work/file"
    configure "c['mounts'] += [{'destination': '/vol/a/deep/er/place', 'type': 'tmpfs', 'source': 'raced-tmpfs'}, {'destination': '/vol/a/some/file', 'type': 'bind', 'source': '$work/file', 'options': ['bind']}]"
    arguments sh -c 'cat /proc/self/mountinfo'
    expected=(raced-tmpfs)
    race mounts_are_inside
    nothing_left
}

@test "devices are not made outside the root" {
    shared_volume "../../../../../../../../../..$work/victim"
    configure "c['linux']['devices'] = [{'path': '/vol/a/null', 'type': 'c', 'major': 1, 'minor': 3}, {'path': '/vol/a/sub/fifo', 'type': 'p'}]"
    arguments true
    expected=()
    race mounts_are_inside
    nothing_left
}

# The entries of mountinfo for a place: root of the mount, then the place.
no_procfs_over() { # OUT PLACE: nothing of procfs is bound to the place
    ! grep -E " (/sys|/sysrq-trigger)[^ ]* $2" "$1"
}

@test "CVE-2025-31133: a link in place of /dev/null does not change what masks a path" {
    # /dev is the image's, shared with an attacker: no tmpfs over it.
    vol=rootfs/dev
    mknod rootfs/dev/a c 1 3
    ln -s /proc/sys/kernel/core_pattern rootfs/dev/b
    ln rootfs/dev/a rootfs/dev/null
    configure 'c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")]' 'c["root"]["readonly"] = False' \
        'c["linux"]["maskedPaths"] = ["/proc/keys", "/proc/timer_list", "/proc/sys/kernel"]'
    arguments sh -c 'cat /proc/self/mountinfo; echo "keys: $(cat /proc/keys | wc -c) kernel: $(ls /proc/sys/kernel | wc -l)"'
    masked() {
        if rune run "$id" >"$work/out" 2>&1 </dev/null; then
            grep -q 'keys: 0 kernel: 0' "$work/out" || { cat "$work/out"; return 1; }
            grep -qE ' /null /proc/keys ' "$work/out" || { cat "$work/out"; return 1; }
            no_procfs_over "$work/out" /proc/keys || return 1
        fi
    }
    ln -sfn b rootfs/dev/null # the link itself goes to the one that is swapped
    race masked
    # And without a race: a plain link.
    rm -f rootfs/dev/a rootfs/dev/b
    ln -sfn /proc/sys/kernel/core_pattern rootfs/dev/null
    masked
    nothing_left
}

@test "CVE-2025-52565: a link in place of /dev/console does not get the terminal bound elsewhere" {
    vol=rootfs/dev
    touch rootfs/dev/a
    ln -s /proc/sysrq-trigger rootfs/dev/b
    ln -s b rootfs/dev/console
    mkdir rootfs/dev/pts
    configure 'c["mounts"] = [m for m in c["mounts"] if m["destination"] in ("/proc", "/dev/pts", "/sys")]' 'c["root"]["readonly"] = False' \
        'c["process"]["terminal"] = True' 'c["linux"]["maskedPaths"] = c["linux"]["readonlyPaths"] = []'
    arguments cat /proc/self/mountinfo
    bound() {
        rm -f "$work/control" "$work/out"
        python3 "$BATS_TEST_DIRNAME/terminal.py" run "$work/out" "$work/control" -- "$RUNE" --root "$state" run "$id" >"$work/said" 2>&1 || true
        ! grep -E ' /[0-9]+ /proc' "$work/out"
    }
    bound
    ln -sfn a rootfs/dev/console
    mv rootfs/dev/console rootfs/dev/kept
    # Now console itself is what changes: a file and a link.
    mv rootfs/dev/a rootfs/dev/console
    ln -s console rootfs/dev/a
    mv -T rootfs/dev/b rootfs/dev/link
    ln -s /proc/sysrq-trigger rootfs/dev/b
    rm rootfs/dev/a && ln rootfs/dev/console rootfs/dev/a
    "$(program swap)" rootfs/dev/console rootfs/dev/b 2>/dev/null 3>&- &
    racer=$!
    local end=$((SECONDS + 3))
    while [ $SECONDS -lt $end ]; do
        bound || { kill $racer; false; }
    done
    kill $racer
    wait $racer 2>/dev/null || true
    nothing_left
}

@test "CVE-2025-52881: what is written to procfs goes there, wherever the container's /proc leads" {
    # A link into /proc as the target of a mount, plain and raced: attr/exec and sysctl would be hidden.
    for target in /proc/sys/net /proc/self/attr /proc/1/attr /proc/thread-self; do
        ln -sfn "$target" rootfs/lure
        configure "c['mounts'] = [m for m in c['mounts'] if m['destination'] != '/lure'] + [{'destination': '/lure', 'type': 'tmpfs', 'source': 'lure'}]"
        arguments true
        run_container
        [ "$status" -eq 1 ]
        [[ "$output" == *"inside /proc"* ]]
    done
    configure "c['mounts'] = [m for m in c['mounts'] if m['destination'] != '/lure']" 'c["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}'
    shared_volume /proc/sys/net/ipv4
    configure "c['mounts'].append({'destination': '/vol/a', 'type': 'tmpfs', 'source': 'lure'})"
    arguments sh -c 'cat /proc/sys/net/ipv4/ip_forward; grep -c "/proc/sys/net.* lure " /proc/self/mountinfo'
    effective() {
        if rune run "$id" >"$work/out" 2>&1 </dev/null || grep -q '^[01]$' "$work/out"; then
            [ "$(head -1 "$work/out")" = 1 ] && [ "$(sed -n 2p "$work/out")" = 0 ] || { cat "$work/out"; return 1; }
        fi
    }
    race effective
    nothing_left
}

@test "CVE-2025-52881: exec with a terminal in a container whose /proc is its own work" {
    configure 'c["root"]["readonly"] = False' \
        'c["process"]["capabilities"] = {k: ["CAP_SYS_ADMIN", "CAP_KILL"] for k in ("bounding", "effective", "permitted")}'
    ln rootfs/bin/busybox rootfs/bin/umount
    ln rootfs/bin/busybox rootfs/bin/ln
    arguments sh -c 'umount -l /proc; mount -t tmpfs tmpfs /proc; mkdir -p /proc/self/fd /proc/self/attr /proc/self/ns
        for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do ln -s /tmp/trap /proc/self/fd/$i; done
        echo untouched >/tmp/trap; echo untouched >/proc/self/oom_score_adj; touch /tmp/ready; exec sleep 100'
    rune run --detach "$id" </dev/null >/dev/null 2>&1
    within 5 test -e rootfs/tmp/ready
    configure 'c["process"]["oomScoreAdj"] = 321' 'c["process"]["terminal"] = True' 'c["process"]["args"] = ["sh", "-c", "tty; cat /tmp/trap /proc/self/oom_score_adj"]'
    ln -f rootfs/bin/busybox rootfs/bin/tty
    python3 -c 'import json; json.dump(json.load(open("config.json"))["process"], open("process.json", "w"))'
    run timeout 20 python3 "$BATS_TEST_DIRNAME/terminal.py" run "$work/out" "$work/control" -- "$RUNE" --root "$state" exec --process process.json "$id"
    cat "$work/out"
    [ "$status" -eq 0 ]
    grep -q /dev/pts/ "$work/out"
    [ "$(grep -c untouched "$work/out")" = 2 ]
}

@test "CVE-2019-16884: nothing but procfs is mounted on /proc, by whatever name" {
    mkdir "$work/fake"
    ln -s proc rootfs/p
    mkdir -p rootfs/proc
    for destination in /proc /proc/ //proc /./proc /tmp/../proc /p /p/; do
        for kind in bind tmpfs; do
            configure "c['mounts'] = [m for m in c['mounts'] if m['destination'] in ('/proc', '/dev', '/sys') and m['type'] not in ('bind',) and m.get('source') != 'over'] + [{'destination': '$destination', 'type': '$kind', 'source': '$([ $kind = bind ] && echo "$work/fake" || echo over)', 'options': ['$([ $kind = bind ] && echo rbind || echo rw)']}]"
            arguments true
            run rune run "$id"
            echo "$destination $kind: $output"
            [ "$status" -eq 1 ]
            [[ "$output" == *"/proc"* || "$output" == *"proc"* ]]
        done
    done
    nothing_left
}

@test "CVE-2019-19921: /proc of the image that is a link is refused" {
    rmdir rootfs/proc
    mkdir rootfs/elsewhere
    ln -s elsewhere rootfs/proc
    arguments true
    refused "ordinary directory" rune run "$id"
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
    run_container
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
    run_container
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
    run_container
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
