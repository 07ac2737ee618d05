#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# checkpoint and restore. The first half lets CRIU do it, where it works (`criu check`); the second half puts
# fake-criu.py in its place and looks at what is asked of it, on any machine. The first half also runs in a virtual machine:
# layouts: unified hybrid
# drivers: cgroupfs systemd
# drivers on hybrid: systemd
# titles: ^criu:

load ordinary

setup() {
    ordinary_setup
    images=$work/images
    export FAKE_CRIU_LOG=$work/requests
    fake=$BATS_TEST_DIRNAME/fake-criu.py
}

teardown() {
    [ -z "${console_pid:-}" ] || kill "$console_pid" 2>/dev/null || true
    ordinary_teardown
}

real_criu() {
    command -v criu >/dev/null || skip "no criu (package criu)"
    criu check -o "$work/check" || skip "criu does not work on this machine: $(grep -m1 Error "$work/check")"
}

fake_criu() {
    /usr/bin/python3 -c 'import sys; sys.path.append("/usr/lib/python3/dist-packages"); from pycriu import rpc_pb2' \
        2>/dev/null || skip "no pycriu (package criu)"
}

faked() { # MODE COMMAND...
    FAKE_CRIU_MODE=$1 "$RUNE" --root "$state" --criu "$fake" "${@:2}"
}

# request TYPE 'python expression over r, the last request of that type, and o, its options'
request() {
    python3 - "$FAKE_CRIU_LOG" "$1" "$2" <<'PY'
import json, sys
found = [r for r in map(json.loads, open(sys.argv[1])) if r["type"] == sys.argv[2]]
if not found:
    sys.exit(f"no request {sys.argv[2]}")
r = found[-1]
o = r.get("opts", {})
if not eval(sys.argv[3]):
    sys.exit(f"{sys.argv[3]}: {json.dumps(r)}")
PY
}

# A container that counts in a file of its tmpfs and answers on a pipe.
counter() {
    arguments sh -c 'i=0; while :; do i=$((i+1)); echo $i >/tmp/count; sleep 0.1; done'
    configure 'c["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})'
}

# It is empty for a moment whenever the container writes it.
count() {
    local now=
    until [ -n "$now" ]; do
        now=$(rune exec "$id" cat /tmp/count) || return 1
    done
    echo "$now"
}

sleeper() {
    arguments sleep 1000
    rune run -d "$id" </dev/null >/dev/null 2>&1
}

pid_of() {
    rune state "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])'
}

# --- with CRIU ---

show_log() {
    grep -h -B3 Error "$images"/*.log "$work"/work/*.log 2>/dev/null || true
}

@test "criu: checkpoint ends the container, restore goes on where it was" {
    real_criu
    counter
    rune run -d "$id" </dev/null >/dev/null 2>&1
    within 20 count
    within 20 eval '[ "$(count)" -gt 3 ]'
    for _ in 1 2; do
        before=$(count)
        rune checkpoint --image-path "$images" --work-path "$work/work" "$id" || { show_log; false; }
        nothing_left
        [ -e "$images/descriptors.json" ]
        [ -s "$work/work/dump.log" ]
        rune restore -d --image-path "$images" --work-path "$work/work" --pid-file "$work/pid" "$id" \
            </dev/null >/dev/null 2>&1 || { show_log; false; }
        status_is "$id" running
        [ "$(cat "$work/pid")" = "$(pid_of "$id")" ]
        [ "$(count)" -ge "$before" ]
        after=$(count)
        within 20 eval '[ "$(count)" -gt "$after" ]'
    done
    run grep -F "$work" /proc/self/mounts
    [ "$status" -ne 0 ]
    grep -q "$id" "/proc/$(pid_of "$id")/cgroup"
    rune kill "$id" KILL
    within 10 status_is "$id" stopped
    rune delete "$id"
    nothing_left
}

@test "criu: --leave-running and --pre-dump leave the container running" {
    real_criu
    counter
    rune run -d "$id" </dev/null >/dev/null 2>&1
    within 20 count
    pid=$(pid_of "$id")
    if criu check --feature mem_dirty_track >/dev/null 2>&1; then
        rune checkpoint --pre-dump --image-path "$work/pre" "$id"
        status_is "$id" running
        rune checkpoint --parent-path ../pre --leave-running --image-path "$images" "$id" || { show_log; false; }
        [ -e "$images/parent" ]
    else
        rune checkpoint --leave-running --image-path "$images" "$id" || { show_log; false; }
    fi
    status_is "$id" running
    [ "$(pid_of "$id")" = "$pid" ]
    after=$(count)
    within 20 eval '[ "$(count)" -gt "$after" ]'
}

@test "criu: pipes of the restored container are those of restore; the foreground gives its status" {
    real_criu
    arguments sh -c 'read a; echo "got $a"; exit 5'
    # A pipe without a name: one with a name is a file outside of the container.
    exec {hold}<> <(:)
    rune run -d "$id" <"/proc/self/fd/$hold" > >(cat >"$work/out1") 2>/dev/null
    rune checkpoint --image-path "$images" "$id" || { show_log; false; }
    exec {hold}>&-
    status=0
    echo hello | rune restore --image-path "$images" "$id" 2>"$work/err" | cat >"$work/out" || true
    cat "$work/err"; show_log
    grep -q "got hello" "$work/out"
    nothing_left
    rune restore --image-path "$images" "$id" < <(echo again) > >(cat >"$work/out") 2> >(cat >&2) || status=$?
    [ "$status" -eq 5 ]
    nothing_left
}

@test "criu: a terminal, bind mounts through links, masked paths" {
    real_criu
    mkdir -p "$bundle/rootfs/real/conf" "$work/host/sub"
    ln -s /real/conf "$bundle/rootfs/conf"
    echo from-host >"$work/host/file"
    arguments sh -c 'trap "echo on the terminal" USR1; while :; do sleep 0.1; done'
    configure 'c["process"]["terminal"] = True' \
        "c['mounts'] += [{'destination': '/conf', 'source': '$work/host', 'options': ['bind']},
                         {'destination': '/conf/new/nested', 'source': '$work/host', 'options': ['rbind', 'ro']}]"
    console
    rune run -d --console-socket "$work/console" "$id"
    rune checkpoint --image-path "$images" "$id" || { show_log; false; }
    nothing_left
    rm -rf "$work/host/new"
    rune restore -d --console-socket "$work/console" --image-path "$images" "$id" || { show_log; false; }
    [ "$(rune exec "$id" cat /conf/file)" = from-host ]
    [ "$(rune exec "$id" cat /real/conf/new/nested/file)" = from-host ]
    [ -z "$(rune exec "$id" cat /proc/kcore)" ]
    rune kill "$id" USR1
    within 10 grep -q "on the terminal" "$work/terminal"
}

# Masters sent to $work/console; what comes out of them goes to $work/terminal.
console() {
    python3 - "$work/console" "$work/terminal" 3>&- <<'PY' &
import array, os, socket, sys, threading
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
out = open(sys.argv[2], "ab", buffering=0)
def relay(fd):
    try:
        while data := os.read(fd, 4096):
            out.write(data)
    except OSError:
        pass
server.settimeout(200)
while True:
    try:
        peer, _ = server.accept()
    except TimeoutError:
        break
    _, fds, _, _ = socket.recv_fds(peer, 4096, 1)
    threading.Thread(target=relay, args=(fds[0],), daemon=True).start()
PY
    console_pid=$!
    within 10 test -S "$work/console"
}

@test "criu: a network namespace of others stays" {
    real_criu
    ip netns add "$id" 2>/dev/null || skip "no network namespaces by name (package iproute2)"
    arguments sleep 1000
    configure "[n.update(path='/run/netns/$id') for n in c['linux']['namespaces'] if n['type'] == 'network']"
    rune run -d "$id" </dev/null >/dev/null 2>&1
    before=$(readlink "/proc/$(pid_of "$id")/ns/net")
    rune checkpoint --image-path "$images" "$id" || { show_log; false; }
    rune restore -d --image-path "$images" "$id" </dev/null >/dev/null 2>&1 || { show_log; false; }
    after=$(readlink "/proc/$(pid_of "$id")/ns/net")
    rune delete -f "$id"
    ip netns del "$id"
    [ "$before" = "$after" ]
}

@test "criu: a paused container; a failed restore leaves nothing, a failed dump leaves it running" {
    real_criu
    counter
    rune run -d "$id" </dev/null >/dev/null 2>&1
    within 20 count
    rune pause "$id"
    rune checkpoint --leave-running --image-path "$images" "$id" || { show_log; false; }
    status_is "$id" paused
    rune resume "$id"
    after=$(count)
    within 20 eval '[ "$(count)" -gt "$after" ]'
    rune delete -f "$id"
    # A file outside of the container that CRIU cannot save.
    rune run -d "$id" <"$bundle/config.json" >/dev/null 2>&1
    run rune checkpoint --image-path "$work/other" "$id"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"criu failed: type DUMP errno"*"; log file: $work/other/dump.log"* ]]
    status_is "$id" running
    rune delete -f "$id"
    rm "$images"/core-*.img
    run rune restore -d --image-path "$images" "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"criu failed: type RESTORE errno"*"restore.log"* ]]
    nothing_left
}

# --- what is asked of CRIU ---

@test "request: dump of a container with all that has to be told" {
    fake_criu
    mkdir -p "$bundle/rootfs/real/conf" "$work/host"
    ln -s /real/conf "$bundle/rootfs/conf"
    configure "c['mounts'] += [{'destination': '/conf', 'source': '$work/host', 'options': ['bind']}]" \
        'c["linux"]["devices"] = [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 3}]'
    sleeper
    pid=$(pid_of "$id")
    faked "" checkpoint --image-path "$images" --work-path "$work/work" --tcp-established --ext-unix-sk --shell-job \
        --file-locks --auto-dedup --link-remap --tcp-skip-in-flight --manage-cgroups-mode full --empty-ns network \
        --page-server 10.0.0.1:27000 "$id"
    nothing_left
    request VERSION 'True'
    request DUMP "o['pid'] == $pid and o['root'] == '$bundle/rootfs'"
    request DUMP "r['images_dir_fd'] == '$images' and r['work_dir_fd'] == '$work/work'"
    request DUMP 'all(o[k] is True for k in ("tcp_established ext_unix_sk shell_job file_locks auto_dedup link_remap "
                      "tcp_skip_in_flight manage_cgroups notify_scripts orphan_pts_master").split())'
    request DUMP 'o["leave_running"] is False and o["lazy_pages"] is False and "track_mem" not in o'
    request DUMP 'o["log_level"] == 4 and o["log_file"] == "dump.log" and o["config_file"] == "/etc/criu/runc.conf"'
    request DUMP 'o["manage_cgroups_mode"] == "FULL" and o["empty_ns"] == 0x40000000'
    request DUMP 'o["ps"] == {"address": "10.0.0.1", "port": 27000}'
    request DUMP '{"key": "/real/conf", "val": "/real/conf"} in o["ext_mnt"]'
    request DUMP 'any(m["key"].startswith("/proc/") and m["val"] == "/dev/null" for m in o["ext_mnt"])'
    request DUMP '{"key": "/dev/mine", "val": "/dev/mine"} in o["ext_mnt"]'
    request DUMP '{"key": "/dev/null", "val": "/dev/null"} in o["ext_mnt"]'
    if [ -d /sys/fs/cgroup/freezer ]; then
        request DUMP '{"key": "/sys/fs/cgroup/freezer", "val": "/sys/fs/cgroup/freezer"} in o["ext_mnt"]'
        request DUMP "o['freeze_cgroup'] == '/sys/fs/cgroup/freezer/$id'"
    fi
    request DUMP 'r["stdio"] == ["/dev/null"] * 3'
    [ "$(cat "$images/descriptors.json")" = '["/dev/null","/dev/null","/dev/null"]' ]
    request NOTIFY 'r["notify_success"] is True'
}

@test "request: pre-dump, parent, configuration file, namespaces by path, lazy pages" {
    fake_criu
    arguments sleep 1000
    configure "[n.update(path='/proc/$$/ns/net') for n in c['linux']['namespaces'] if n['type'] == 'network']" \
        'c["annotations"] = {"org.criu.config": "/tmp/own.conf"}'
    rune run -d "$id" </dev/null >/dev/null 2>&1
    faked "" checkpoint --pre-dump --image-path "$work/pre" "$id"
    status_is "$id" running
    request FEATURE_CHECK 'r["features"] == {"mem_track": True} or r["features"]["mem_track"] is True'
    request PRE_DUMP '"ext_mnt" not in o and o["config_file"] == "/tmp/own.conf"'
    faked "" checkpoint --leave-running --parent-path ../pre --image-path "$images" "$id"
    status_is "$id" running
    inode=$(stat -Lc %i "/proc/$$/ns/net")
    request DUMP "o['external'] == ['net[$inode]:extRootNetNS']"
    request DUMP 'o["parent_img"] == "../pre" and o["track_mem"] is True and o["leave_running"] is True'
    exec {ready}<> <(:)
    faked "" checkpoint --lazy-pages --page-server '[::1]:27001' --status-fd "$ready" --image-path "$images" "$id"
    request DUMP 'o["lazy_pages"] is True and "status_fd" not in o and o["ps"]["address"] == "::1"'
    [ "$(timeout 5 head -c 1 <&"$ready" | od -An -c | tr -d ' ')" = '\0' ]
    exec {ready}>&-
}

# A dump for the restores below.
dumped() {
    sleeper
    faked "" checkpoint --image-path "$images" "$id"
    echo fake >"$images/inventory.img"
}

@test "request: restore into the bundle, detached" {
    fake_criu
    mkdir -p "$work/host"
    printf '#!/bin/sh\ncat >%s\n' "$work/hook" >"$work/hook.sh"
    chmod +x "$work/hook.sh"
    configure "c['mounts'] += [{'destination': '/fresh/conf', 'source': '$work/host', 'options': ['bind']},
                               {'destination': '/bundle', 'source': './rootfs/..', 'options': ['bind']}]" \
        "c['hooks'] = {'prestart': [{'path': '$work/hook.sh'}]}"
    dumped
    rm -rf "$bundle/rootfs/fresh" "$work/hook"
    cd "$work"
    faked "" restore -d --bundle "$bundle" --image-path images --work-path work --pid-file pid --tcp-established \
        --tcp-close --shell-job --ext-unix-sk --file-locks --lsm-profile apparmor:mine --lsm-mount-context ctx \
        --manage-cgroups-mode strict "$id" </dev/null
    status_is "$id" running
    pid=$(pid_of "$id")
    [ "$(cat "$work/pid")" = "$pid" ]
    [ -d "$bundle/rootfs/fresh/conf" ]
    grep -q '"status":"creating"' "$work/hook"
    request RESTORE "r['images_dir_fd'] == '$images' and r['work_dir_fd'] == '$work/work'"
    request RESTORE "o['root'] == '$(realpath "$state")/$id/criu-root' and o['root'] in r['mounts']"
    request RESTORE 'all(o[k] is True for k in ("tcp_established tcp_close ext_unix_sk shell_job file_locks rst_sibling "
                         "evasive_devices manage_cgroups notify_scripts orphan_pts_master").split())'
    request RESTORE 'o["log_file"] == "restore.log" and o["manage_cgroups_mode"] == "STRICT"'
    request RESTORE 'o["lsm_profile"] == "apparmor:mine" and o["lsm_mount_context"] == "ctx"'
    request RESTORE "{'key': '/fresh/conf', 'val': '$work/host'} in o['ext_mnt']"
    request RESTORE "{'key': '/bundle', 'val': '$bundle'} in o['ext_mnt']"
    request RESTORE '{"key": "/dev/null", "val": "/dev/null"} in o["ext_mnt"]'
    request RESTORE "any('$id' in line for line in r['cgroup'])"
    if [ -d /sys/fs/cgroup/freezer ]; then
        request RESTORE '{"ctrl": "freezer", "path": "'"$(sed -n 's/.*:freezer://p' /proc/self/cgroup | sed 's,/$,,')/$id"'"} in o["cg_root"]'
        request RESTORE "{'key': '/sys/fs/cgroup/pids', 'val': [v for k, v in [('pids', '/sys/fs/cgroup/pids/$id')]][0]} in o['ext_mnt']"
    fi
    request LOOPBACK 'r["up"] is True'
    # Nothing stays mounted on the host, and the point it was on is gone.
    run grep -F "$work" /proc/self/mounts
    [ "$status" -ne 0 ]
    [ ! -e "$state/$id/criu-root" ]
    rune kill "$id" KILL
    within 10 status_is "$id" stopped
    rune delete "$id"
    nothing_left
}

@test "request: restore in the foreground, pipes and terminal" {
    fake_criu
    arguments sleep 1000
    rune run -d "$id" < <(sleep 5) > >(cat) 2> >(cat)
    faked "" checkpoint --image-path "$images" "$id"
    echo fake >"$images/inventory.img"
    key=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[1])' "$images/descriptors.json")
    [[ "$key" == "pipe:["*"]" ]]
    status=0
    FAKE_CRIU_SLEEP=1x faked "" restore --image-path "$images" "$id" </dev/null >"$work/out" 2>/dev/null || status=$?
    [ "$status" -eq 1 ]
    nothing_left
    request RESTORE "r['inherited']['$key'] == '$work/out'"
    request RESTORE "r['stdio'][1] == '$work/out'"

    configure 'c["process"]["terminal"] = True'
    FAKE_CRIU_SLEEP=0.2 faked terminal restore --image-path "$images" "$id" </dev/null >"$work/out"
    grep -q restored "$work/out"
    nothing_left
    console
    faked terminal restore -d --console-socket "$work/console" --image-path "$images" "$id"
    within 10 grep -q restored "$work/terminal"
    status_is "$id" running
}

# --- refusals ---

@test "refused: no criu, an old one, a kernel without the feature, a failing one, one that dies" {
    fake_criu
    sleeper
    run "$RUNE" --root "$state" --criu /nonexistent/criu checkpoint --image-path "$images" "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"/nonexistent/criu"*"install it"* ]]
    run faked old checkpoint --image-path "$images" "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"CRIU version 20901 must be 30000 or higher"* ]]
    run faked no-features checkpoint --pre-dump --image-path "$images" "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"--pre-dump needs memory tracking"* ]]
    run faked no-features checkpoint --lazy-pages --image-path "$images" "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"--lazy-pages needs userfaultfd"* ]]
    run faked fail checkpoint --image-path "$images" "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"criu failed: type DUMP errno 52: the first reason; log file: $images/dump.log" ]]
    run faked die checkpoint --image-path "$images" "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"criu failed: type DUMP"* ]]
    status_is "$id" running
    faked "" checkpoint --image-path "$images" "$id"
    echo fake >"$images/inventory.img"
    refused "criu failed: type RESTORE errno 52: the first reason" faked fail restore -d --image-path "$images" "$id"
    refused "criu failed: type RESTORE" faked die restore -d --image-path "$images" "$id"
    # The program fails after the container's cgroup exists.
    refused "no checkpoint" faked "" restore -d --image-path "$work" "$id"
    refused "image directory $work/none" faked "" restore -d --image-path "$work/none" "$id"
}

@test "refused: state, options, enclave" {
    fake_criu
    arguments sleep 1000
    rune create "$id" </dev/null >/dev/null 2>&1
    run faked "" checkpoint --image-path "$images" "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"cannot be checkpointed in created state"* ]]
    rune start "$id"
    for wrong in "--parent-path /abs" "--parent-path none" "--page-server nowhere" "--page-server a:b" \
        "--manage-cgroups-mode odd" "--empty-ns pid" "--lazy-pages --status-fd 77"; do
        # shellcheck disable=SC2086
        run faked "" checkpoint --image-path "$images" $wrong "$id"
        echo "$wrong: $output"
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
    done
    status_is "$id" running
    [ ! -e "$FAKE_CRIU_LOG" ]
    python3 - "$state/$id/state.json" <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
s["enclave"] = "simulatedSgx"
json.dump(s, open(sys.argv[1], "w"))
PY
    run faked "" checkpoint --image-path "$images" "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"runs in an enclave (simulatedSgx): enclave memory cannot be dumped"* ]]
    rune delete -f "$id"
    configure 'c["annotations"] = {"enclave.type": "simulatedSgx"}'
    mkdir "$images" 2>/dev/null || true
    refused "enclave memory cannot be restored" faked "" restore -d --image-path "$images" "$id"
    # Podman finds out so whether a runtime can do it.
    rune checkpoint --help >/dev/null
    run rune restore --lsm-mount-context
    [[ "$output" == *"flag needs an argument"* ]]
}

@test "kill -9 of restore: delete --force removes everything" {
    fake_criu
    dumped
    printf '#!/bin/sh\necho $$ >%s\nexec sleep 100\n' "$work/in-hook" >"$work/hook.sh"
    chmod +x "$work/hook.sh"
    configure "c['hooks'] = {'prestart': [{'path': '$work/hook.sh'}]}"
    faked "" restore -d --image-path "$images" "$id" </dev/null >/dev/null 2>&1 &
    within 20 test -s "$work/in-hook"
    grep -q "$id/criu-root" /proc/self/mounts
    kill -9 $!
    wait $! || true
    kill "$(cat "$work/in-hook")"
    rune delete --force "$id"
    nothing_left
}
