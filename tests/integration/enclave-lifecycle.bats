#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The life of an enclave container, with the test PAL libraries: no enclave, all of rune, init-runelet and the agent.

load enclave

setup() { enclave_setup; }
teardown() { enclave_teardown; }

@test "run: output, exit code, nothing left, with every version of the PAL" {
    for version in v1 v2 v3 v4; do
        use_pal $version echo "hello $version"
        run rune run --bundle "$bundle" "$id"
        [ "$status" -eq 0 ]
        [[ "$output" == *"hello $version"* ]]
        use_pal $version exit 42
        run rune run --bundle "$bundle" "$id"
        [ "$status" -eq 42 ]
        nothing_left
    done
}

@test "run: a program that a signal ends gives 128 + signal" {
    for version in v2 v3 v4; do
        use_pal $version die 9
        run rune run --bundle "$bundle" "$id"
        [ "$status" -eq 137 ]
        use_pal $version die 15
        run rune run --bundle "$bundle" "$id"
        [ "$status" -eq 143 ]
    done
}

@test "create, state, start, kill, delete" {
    use_pal v4 trap
    rune create --bundle "$bundle" --pid-file "$work/pid" "$id" >"$work/out" 2>"$work/err" </dev/null
    status_is "$id" created
    [ ! -s "$work/out" ]
    [ "$(tr '\0' ' ' <"/proc/$(cat "$work/pid")/cmdline")" != "" ]
    rune start "$id"
    status_is "$id" running
    within 5 grep -q ready "$work/out"
    rune kill "$id" TERM
    within 5 status_is "$id" stopped
    grep -q "signal 15" "$work/out"
    rune delete "$id"
    nothing_left
}

@test "create: the entrypoint is looked up before start" {
    use_pal v4 no-such-program
    refused "no-such-program" rune create --bundle "$bundle" "$id"
}

@test "list, ps and the annotations in state" {
    use_pal v4 trap
    rune run --detach --bundle "$bundle" --pid-file "$work/pid" "$id" >"$work/out" 2>&1 </dev/null
    rune list | grep -q "$id.*running"
    [ "$(rune list -q)" = "$id" ]
    [ "$(rune ps --format json "$id" | tr -d '[] \n')" = "$(cat "$work/pid")" ]
    rune ps "$id" | grep -q init-runelet
    rune state "$id" | grep -q '"enclave.type": *"auto"'
    rune kill "$id" KILL
    within 5 status_is "$id" stopped
    rune delete "$id"
    nothing_left
}

@test "kill: every signal that can be caught arrives" {
    use_pal v4 trap
    rune run --detach --bundle "$bundle" "$id" >"$work/out" 2>"$work/err" </dev/null
    within 5 grep -q ready "$work/out"
    for sig in 1 2 3 4 5 6 7 8 10 11 12 13 14 16 17 18 20 21 22 23 24 25 26 27 28 29 30 31 34 40 50 63; do
        rune kill "$id" $sig
        within 5 grep -qx "signal $sig" "$work/out" || { echo "signal $sig is lost"; false; }
    done
    rune kill "$id" 15
    within 5 status_is "$id" stopped
}

@test "kill: SIGTERM ends a version 1 runtime, which cannot be told of signals" {
    use_pal v1 sleep 1000
    rune run --detach --bundle "$bundle" "$id" >"$work/out" 2>&1 </dev/null
    status_is "$id" running
    rune kill "$id" TERM
    within 5 status_is "$id" stopped
}

@test "exec and kill with runtimes of versions 2 and 3" {
    for version in v2 v3; do
        use_pal $version sleep 1000
        rune run --detach --bundle "$bundle" "$id" >"$work/out" 2>&1 </dev/null
        [ "$(rune exec "$id" echo "by $version")" = "by $version" ]
        run rune exec "$id" exit 17
        [ "$status" -eq 17 ]
        rune enclave info "$id" | grep -q "\"palVersion\": ${version#v}"
        rune kill "$id" TERM
        within 5 status_is "$id" stopped
        rune delete "$id"
        nothing_left
    done
}

@test "stdio: pipes, files, a closed stdin" {
    use_pal v4 cat
    [ "$(echo through a pipe | rune run --bundle "$bundle" "$id" 2>/dev/null)" = "through a pipe" ]
    head -c 3000000 /dev/urandom >"$work/in"
    rune run --bundle "$bundle" "$id" <"$work/in" >"$work/out" 2>/dev/null
    cmp "$work/in" "$work/out"
    "$RUNE" --root "$state" run --bundle "$bundle" "$id" <&- >"$work/out" 2>/dev/null
    [ ! -s "$work/out" ]
}

@test "stdout: its reader sees the end when the application is gone, not later" {
    use_pal v4 exit 3
    set +e
    rune run --bundle "$bundle" "$id" 2>/dev/null | cat
    [ "${PIPESTATUS[0]}" -eq 3 ]
}

@test "process: cwd, user, environment without rune's variables" {
    use_pal v4 pwd
    configure 'c["process"]["cwd"] = "/tmp"'
    run rune run --bundle "$bundle" "$id"
    [[ "$output" == *"/tmp"* ]]
    arguments id
    configure 'c["process"]["user"] = {"uid": 1234, "gid": 567}'
    run rune run --bundle "$bundle" "$id"
    [[ "$output" == *"uid=1234 gid=567 tty=0"* ]]
    configure 'c["annotations"] = {}' 'c["process"]["user"] = {"uid": 0, "gid": 0}' \
        "c['process']['env'] = ['PATH=/bin', 'COLOUR=blue', 'ENCLAVE_TYPE=auto', 'ENCLAVE_RUNTIME_PATH=$pals/libpal-v4.so', 'ENCLAVE_RUNTIME_ARGS=x', 'ENCLAVE_RUNTIME_LOGLEVEL=warn', 'RUNE_CARRIER=toy']"
    arguments env
    run rune run --bundle "$bundle" "$id"
    [[ "$output" == *"COLOUR=blue"* ]]
    [[ "$output" != *"ENCLAVE_"* ]]
    [[ "$output" != *"RUNE_CARRIER"* ]]
}

@test "init-runelet is bound as any container: namespaces, cgroup, capabilities, limits, seccomp" {
    use_pal v4 trap
    configure 'c["process"]["noNewPrivileges"] = True' \
        'c["process"]["capabilities"] = {k: ["CAP_KILL"] for k in ("bounding", "effective", "permitted")}' \
        'c["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 200, "hard": 300}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 4096}]' \
        'c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}' \
        'c["linux"]["resources"]["pids"] = {"limit": 77}'
    rune run --detach --bundle "$bundle" --pid-file "$work/pid" "$id" >"$work/out" 2>&1 </dev/null
    pid=$(cat "$work/pid")
    for ns in pid mnt uts ipc net; do
        [ "$(readlink "/proc/$pid/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ]
    done
    for task in /proc/$pid/task/*; do # threads of the runtime as well
        grep -q "^Seccomp:	2" "$task/status"
        grep -q "^NoNewPrivs:	1" "$task/status"
        grep -q "^CapEff:	0000000000000020" "$task/status"
        grep -q "^CapBnd:	0000000000000020" "$task/status"
    done
    [ "$(ls "/proc/$pid/task" | wc -l)" -ge 2 ]
    grep -q "^Max core file size *0 *4096" "/proc/$pid/limits"
    # Others are the program's, in the enclave: they do not bind what carries it.
    ! grep -q "^Max open files *200 *300" "/proc/$pid/limits" || false
    grep -q "$id" "/proc/$pid/cgroup"
    [ "$(cat /sys/fs/cgroup/pids/*/"$id"/pids.max /sys/fs/cgroup/pids/"$id"/pids.max 2>/dev/null | head -1)" = 77 ]
}

@test "an enclave that dies under the application: exit 125 and a line that says why" {
    use_pal v4 trap
    rune run --bundle "$bundle" "$id" >"$work/out" 2>"$work/err" </dev/null &
    runner=$!
    background+=("$runner")
    within 5 grep -q ready "$work/out"
    rune kill "$id" 64
    set +e
    wait $runner
    [ $? -eq 125 ]
    grep -q "the toy enclave broke" "$work/err"
    nothing_left
}

@test "the kind: emulation warns once, hardware that is not there is refused" {
    use_pal v4 echo hi
    rune run --bundle "$bundle" "$id" >"$work/out" 2>"$work/err" </dev/null
    [ "$(grep -c EMULATED "$work/err")" -eq 1 ]
    [ "$(wc -l <"$work/err")" -eq 1 ]
    [ "$(cat "$work/out")" = hi ]
    [ ! -e /dev/sgx_enclave ] || skip "this machine has SGX"
    configure 'c["annotations"]["enclave.type"] = "intelSgx"'
    refused "/dev/sgx_enclave" rune run --bundle "$bundle" "$id"
}

@test "kill -9 of the container: everything is gone" {
    use_pal v4 sleep 1000
    rune run --detach --bundle "$bundle" "$id" >"$work/out" 2>&1 </dev/null
    rune kill "$id" KILL
    within 5 status_is "$id" stopped
    rune delete "$id"
    nothing_left
}

@test "twelve at once, three times: nothing left" {
    use_pal v4 sleep 1000
    for round in 1 2 3; do
        for i in $(seq 12); do
            rune run --detach --bundle "$bundle" "$id-$i" >"$work/out-$i" 2>&1 </dev/null &
        done
        wait
        [ "$(rune list -q | wc -l)" -eq 12 ]
        for i in $(seq 12); do
            rune delete --force "$id-$i" &
        done
        wait
        [ -z "$(rune list -q)" ]
    done
    nothing_left
}

@test "delete --force of a running container" {
    use_pal v4 sleep 1000
    rune run --detach --bundle "$bundle" "$id" >"$work/out" 2>&1 </dev/null
    rune delete --force "$id"
    nothing_left
}

@test "kill -9 of rune at random moments of a start: delete --force leaves nothing" {
    use_pal v4 sleep 1000
    for round in $(seq 30); do
        killed_within 60 create --bundle "$bundle" "$id"
        run rune delete --force "$id"
        within 3 nothing_left || { echo "round $round"; nothing_left; }
    done
}
