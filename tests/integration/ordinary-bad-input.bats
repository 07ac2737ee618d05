#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What is wrong with a bundle is said in one line, and nothing stays behind.

load ordinary

setup() { ordinary_setup; }
teardown() { ordinary_teardown; }

@test "no config.json, a malformed one, a wrong type in it" {
    mv config.json keep.json
    refused "not found" rune run "$id"
    echo '{"ociVersion": "1.0.2", ' >config.json
    refused "config.json: line " rune run "$id"
    sed 's/"cwd": "[^"]*"/"cwd": 7/' keep.json >config.json
    refused "process: cwd: expected a string" rune run "$id"
    echo '[]' >config.json
    refused "not a JSON object" rune run "$id"
    : >config.json
    refused "config.json" rune run "$id"
}

@test "no root filesystem, no bundle, a bad id" {
    configure 'c["root"]["path"] = "nowhere"'
    refused "does not exist" rune run "$id"
    refused "open bundle /nowhere" rune run --bundle /nowhere "$id"
    refused "invalid container ID" rune run "../$id"
    refused "invalid container ID" rune run "a b"
}

@test "an entrypoint that is not there, not executable, a directory" {
    arguments /bin/nothing
    refused "no such file or directory" rune run "$id"
    arguments nothing
    refused "executable file not found" rune run "$id"
    arguments /etc/passwd
    refused "permission denied" rune run "$id"
    arguments /etc
    refused "is a directory" rune run "$id"
    echo 'garbage' >rootfs/bin/garbage
    chmod +x rootfs/bin/garbage
    arguments /bin/garbage
    refused "exec format error" rune run "$id"
}

@test "mounts that cannot be, inside /proc, without a source" {
    configure 'c["mounts"].append({"destination": "/mnt", "type": "bind", "source": "/no/such/source", "options": ["bind"]})'
    refused "/no/such/source" rune run "$id"
    configure 'c["mounts"][-1] = {"destination": "/proc/self", "type": "tmpfs", "source": "tmpfs"}'
    refused "inside /proc" rune run "$id"
    configure 'c["mounts"][-1] = {"destination": "/mnt", "type": "nosuchfs", "source": "x"}'
    refused "nosuchfs" rune run "$id"
}

@test "sysctl of the host, unknown namespace, unknown rlimit, wrong seccomp" {
    configure 'c["linux"]["sysctl"] = {"vm.swappiness": "10"}'
    refused "not in a separate kernel namespace" rune run "$id"
    configure 'del c["linux"]["sysctl"]' 'c["linux"]["namespaces"].append({"type": "wrong"})'
    refused "unknown type wrong" rune run "$id"
    configure 'c["linux"]["namespaces"].pop()' 'c["process"]["rlimits"] = [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]'
    refused "RLIMIT_X" rune run "$id"
    configure 'c["process"]["rlimits"] = []' 'c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_WRONG"}'
    refused "SCMP_ACT_WRONG" rune run "$id"
}

@test "the terminal without a place to go to" {
    configure 'c["process"]["terminal"] = True'
    refused "console socket" rune create "$id"
    configure 'c["process"]["terminal"] = False'
    refused "console socket" rune run --console-socket /nowhere "$id"
}

@test "unknown command and flag; --log takes the error too" {
    run rune frobnicate
    [ "$status" -eq 3 ]
    [[ "$output" == *"No help topic for 'frobnicate'"* ]]
    run rune run --frobnicate "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"flag provided but not defined"* ]]
    arguments /bin/nothing
    run rune --log "$work/log" --log-format json run "$id"
    [ "$status" -eq 1 ]
    python3 -c 'import json,sys; r = json.loads(open(sys.argv[1]).read().splitlines()[-1]); assert r["level"] == "error" and "nothing" in r["msg"], r' "$work/log"
    run rune --log "$work/log2" run "$id"
    grep -q '^time=".*" level=error msg=".*nothing' "$work/log2"
}

@test "a state file cut short: list goes on, delete --force removes" {
    arguments sleep 100
    rune create "$id" >/dev/null
    cp "$state/$id/state.json" "$work/whole"
    head -c 100 "$work/whole" >"$state/$id/state.json"
    run rune list
    [ "$status" -eq 0 ]
    run rune delete "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *state.json* ]]
    cp "$work/whole" "$state/$id/state.json"
    rune delete --force "$id"
    nothing_left
}

@test "a full disk under the state root" {
    mkdir -p "$state"
    mount -t tmpfs -o size=16k,nr_inodes=20 none "$state"
    dd if=/dev/zero of="$state/fill" bs=4k 2>/dev/null || true
    arguments true
    run_container
    [ "$status" -eq 1 ]
    [[ "$output" == *"no space left"* ]]
    rm -f "$state/fill"
    left=$(ls "$state")
    umount "$state"
    [ -z "$left" ]
    nothing_left
}

@test "a read-only state root" {
    mkdir -p "$state"
    mount -t tmpfs -o ro none "$state"
    arguments true
    run rune run "$id"
    umount "$state"
    [ "$status" -eq 1 ]
    [[ "$output" == *"read-only file system"* ]]
    nothing_left
}

@test "--systemd-cgroup without systemd, and with a cgroupsPath that it does not take" {
    # An empty /run/systemd: a machine without it.
    refused "systemd does not run this machine" unshare --mount sh -c \
        'if [ -d /run/systemd ]; then mount -t tmpfs none /run/systemd; fi; exec "$@"' sh \
        "$RUNE" --systemd-cgroup --root "$state" run "$id"
    configure 'c["linux"]["cgroupsPath"] = "/a/b"'
    refused 'expected cgroupsPath to be of format "slice:prefix:name"' rune --systemd-cgroup run "$id"
    configure 'c["linux"]["cgroupsPath"] = "machine.slice:test:a.slice"'
    refused "a container needs a scope, not a slice" rune --systemd-cgroup run "$id"
}
