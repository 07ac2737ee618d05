#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# linux.seccomp: actions, arguments, flags, architectures, and the agent behind SCMP_ACT_NOTIFY.

load ordinary

setup() {
    ordinary_setup
    install_program probe
    agent_pid=
}

teardown() {
    [ -z "$agent_pid" ] || { kill "$agent_pid" && wait "$agent_pid" || true; } 2>/dev/null
    ordinary_teardown
}

start_agent() {
    "$(program seccomp-agent)" "$work/agent.sock" "$work/agent.log" 3>&- &
    agent_pid=$!
    within 5 test -S "$work/agent.sock"
}

# profile PYTHON-DICT: over a default of allowing everything
profile() {
    configure "c['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ALLOW', **$1}"
}

notify() { # CALL...: these go to the agent
    local names
    names=$(printf "'%s'," "$@")
    profile "{'listenerPath': '$work/agent.sock', 'listenerMetadata': 'some words', 'syscalls': [{'names': [$names], 'action': 'SCMP_ACT_NOTIFY'}]}"
}

# A Python expression over `m`, the messages that the agent has got, must be true.
agent_got() {
    python3 - "$work/agent.log" "$1" <<'PY'
import json, sys
m = [json.loads(line) for line in open(sys.argv[1])]
if not eval(sys.argv[2]):
    sys.exit(f"{sys.argv[2]} is false of {m}")
PY
}

@test "notify: the agent gets descriptor, metadata and state, and answers" {
    start_agent
    notify mkdir mkdirat getppid
    configure 'c["annotations"] = {"k": "v"}' 'c["root"]["readonly"] = False'
    arguments sh -c 'probe call 110; mkdir /tmp/refused; mkdir /tmp/taken && ls /tmp'
    run_container
    [ "${lines[0]}" = "4242 0" ]
    [[ "$output" == *"No medium found"* ]]
    [ "${lines[-1]}" = taken ]
    agent_got 'len(m) == 1 and m[0]["fds"] == ["seccompFd"] and m[0]["metadata"] == "some words"'
    agent_got 'm[0]["pid"] > 1 and m[0]["ociVersion"].startswith("1.")'
    agent_got "m[0]['state']['id'] == '$id' and m[0]['state']['status'] == 'creating' and m[0]['state']['pid'] == m[0]['pid']"
    agent_got "m[0]['state']['bundle'] == '$bundle' and m[0]['state']['annotations'] == {'k': 'v'}"
    nothing_left
}

@test "notify: create and start, with and without no_new_privs; exec has a listener of its own" {
    start_agent
    notify getppid
    arguments sh -c 'probe call 110; exec sleep 100'
    local round=0
    for nnp in True False; do
        configure "c['process']['noNewPrivileges'] = $nnp"
        rune create --pid-file "$work/pid" "$id" >"$work/out" 2>&1 </dev/null
        # What the agent has to answer for must be known before the container starts.
        agent_got "len(m) == $((round * 2 + 1)) and m[-1]['pid'] == $(cat "$work/pid")"
        rune start "$id"
        within 5 grep -q '4242 0' "$work/out"
        run rune exec "$id" probe call 110
        [ "${lines[0]}" = "4242 0" ]
        agent_got "m[-1]['state']['status'] == 'running' and m[-1]['state']['pid'] == $(cat "$work/pid")"
        agent_got "m[-1]['pid'] != m[-1]['state']['pid']"
        rune delete --force "$id"
        round=$((round + 1))
    done
    nothing_left
}

@test "notify: the calls that hand over the descriptor may themselves go to the agent" {
    start_agent
    notify sendmsg recvmsg read close openat execve fcntl
    for nnp in True False; do
        configure "c['process']['noNewPrivileges'] = $nnp"
        arguments echo fine
        run timeout 20 "$RUNE" --root "$state" run "$id"
        echo "$output"
        [ "$status" -eq 0 ]
        [ "$output" = fine ]
    done
    nothing_left
}

@test "notify: in a user namespace" {
    start_agent
    chown -R 100000:100000 rootfs
    notify getppid
    configure 'c["linux"]["namespaces"].append({"type": "user"})' \
        'c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]'
    arguments probe call 110
    run_container
    [ "${lines[0]}" = "4242 0" ]
}

@test "notify: no agent, no path, write, the default action, stray metadata: refused" {
    notify getppid
    arguments true
    refused "failed to connect with seccomp agent" rune run "$id"
    profile "{'syscalls': [{'names': ['getppid'], 'action': 'SCMP_ACT_NOTIFY'}]}"
    refused "listenerPath" rune run "$id"
    profile "{'listenerMetadata': 'x'}"
    refused "listenerMetadata" rune run "$id"
    notify write
    refused "write" rune run "$id"
    profile "{'defaultAction': 'SCMP_ACT_NOTIFY', 'listenerPath': '/x'}"
    refused "default action" rune run "$id"
    profile "{'syscalls': [{'names': ['getppid'], 'action': 'SCMP_ACT_NOTIFY', 'errnoRet': 3}], 'listenerPath': '/x'}"
    refused "errnoRet" rune run "$id"
}

@test "actions: errno, kill, kill process and thread, trap, trace, log" {
    configure 'c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "pid"]'
    arguments probe call 110
    try() { # ACTION [ERRNO]
        profile "{'syscalls': [{'names': ['getppid'], 'action': '$1'${2:+, 'errnoRet': $2}}]}"
        run rune run "$id"
        echo "$1: $status $output"
    }
    try SCMP_ACT_ERRNO && [ "$output" = "-1 1" ]
    try SCMP_ACT_ERRNO 77 && [ "$output" = "-1 77" ]
    try SCMP_ACT_TRACE 77 && [ "$output" = "-1 38" ] # without a tracer: ENOSYS
    try SCMP_ACT_LOG && [ "$status" -eq 0 ] && [[ "$output" == *" 0" ]]
    # SIGSYS is 31.
    for action in SCMP_ACT_KILL SCMP_ACT_KILL_PROCESS SCMP_ACT_KILL_THREAD SCMP_ACT_TRAP; do
        try $action && [ "$status" -eq 159 ]
    done
    try SCMP_ACT_KILL 3 && [ "$status" -eq 1 ] && [[ "$output" == *errnoRet* ]]
    try SCMP_ACT_NONE && [ "$status" -eq 1 ] && [[ "$output" == *"unknown action"* ]]
}

@test "the default action takes an errno; calls newer than the profile get ENOSYS" {
    profile "{'defaultAction': 'SCMP_ACT_ERRNO', 'defaultErrnoRet': 99, 'syscalls': [{'names': ['execve', 'exit', 'exit_group', 'write', 'brk', 'mmap', 'munmap', 'mprotect', 'arch_prctl', 'set_tid_address', 'set_robust_list', 'rseq', 'prlimit64', 'getrandom', 'readlinkat', 'readlink', 'newfstatat', 'fstat', 'read', 'close', 'openat', 'recvmsg', 'sendmsg', 'prctl', 'capset', 'capget', 'setresuid', 'setresgid', 'setgroups', 'chdir', 'getcwd', 'rt_sigaction', 'rt_sigprocmask', 'access', 'faccessat', 'faccessat2', 'stat', 'statx', 'futex', 'close_range', 'getuid', 'geteuid', 'ioctl', 'fcntl'], 'action': 'SCMP_ACT_ALLOW'}]}"
    arguments probe call 110
    run rune run "$id"
    [ "$output" = "-1 99" ]
    arguments probe call 500
    run rune run "$id"
    [ "$output" = "-1 38" ]
}

@test "argument filters: every operator, masked equal, several arguments, two on one argument" {
    # close(-1) is EBADF (9) when it is let through; here errno 77 tells a hit.
    rule() { # ARGS-LIST
        profile "{'syscalls': [{'names': ['kill'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 77, 'args': $1}]}"
    }
    check() { # PID SIGNAL EXPECTED
        arguments probe call 62 "$1" "$2"
        run rune run "$id"
        echo "kill $1 $2: $output, expected $3"
        [ "${output#* }" = "$3" ]
    }
    # No process 0x7000000N: ESRCH (3) when it passes.
    one() { echo "[{'index': 0, 'op': 'SCMP_CMP_$1', 'value': $2, 'valueTwo': ${3:-0}}]"; }
    rule "$(one EQ 0x70000002)" && check 0x70000002 0 77 && check 0x70000001 0 3
    rule "$(one NE 0x70000002)" && check 0x70000002 0 3 && check 0x70000001 0 77
    rule "$(one LT 0x70000002)" && check 0x70000001 0 77 && check 0x70000002 0 3
    rule "$(one LE 0x70000002)" && check 0x70000002 0 77 && check 0x70000003 0 3
    rule "$(one GE 0x70000002)" && check 0x70000002 0 77 && check 0x70000001 0 3
    rule "$(one GT 0x70000002)" && check 0x70000003 0 77 && check 0x70000002 0 3
    rule "$(one MASKED_EQ 0xf 0x2)" && check 0x70000012 0 77 && check 0x70000013 0 3
    # Different arguments must all hold, two conditions on one argument either.
    rule "[{'index': 0, 'op': 'SCMP_CMP_EQ', 'value': 0x70000002}, {'index': 1, 'op': 'SCMP_CMP_EQ', 'value': 5}]"
    check 0x70000002 5 77 && check 0x70000002 6 3 && check 0x70000001 5 3
    rule "[{'index': 0, 'op': 'SCMP_CMP_EQ', 'value': 0x70000002}, {'index': 0, 'op': 'SCMP_CMP_EQ', 'value': 0x70000004}]"
    check 0x70000002 0 77 && check 0x70000004 0 77 && check 0x70000003 0 3
    rule "[{'index': 6, 'op': 'SCMP_CMP_EQ', 'value': 1}]"
    arguments true
    refused "argument index" rune run "$id"
    rule "[{'index': 0, 'op': 'SCMP_CMP_XX', 'value': 1}]"
    refused "unknown operator" rune run "$id"
}

@test "flags are given to the kernel; an unknown one is refused" {
    command -v strace >/dev/null || skip "no strace"
    arguments true
    # flags: what seccomp(2) is called with; a listener makes its flag possible.
    loads() { # FLAGS-LIST EXPECTED
        profile "{'flags': $1, 'syscalls': [{'names': ['getppid'], 'action': 'SCMP_ACT_ERRNO'}]}"
        strace -f -e trace=seccomp -o "$work/trace" "$RUNE" --root "$state" run "$id"
        cat "$work/trace"
        grep -qE "seccomp\(SECCOMP_SET_MODE_FILTER, $2, " "$work/trace"
    }
    loads "[]" 0
    loads "['SECCOMP_FILTER_FLAG_LOG']" SECCOMP_FILTER_FLAG_LOG
    loads "['SECCOMP_FILTER_FLAG_SPEC_ALLOW', 'SECCOMP_FILTER_FLAG_TSYNC']" 'SECCOMP_FILTER_FLAG_TSYNC\|SECCOMP_FILTER_FLAG_SPEC_ALLOW'
    # The kernel takes this one with a listener only; without one it has no meaning.
    loads "['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV']" 0
    start_agent
    profile "{'flags': ['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV', 'SECCOMP_FILTER_FLAG_TSYNC'], 'listenerPath': '$work/agent.sock', 'syscalls': [{'names': ['getppid'], 'action': 'SCMP_ACT_NOTIFY'}]}"
    strace -f -e trace=seccomp -o "$work/trace" "$RUNE" --root "$state" run "$id"
    cat "$work/trace"
    grep -qE 'seccomp\(SECCOMP_SET_MODE_FILTER, (SECCOMP_FILTER_FLAG_NEW_LISTENER\|(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV|0x20)|0x28),' "$work/trace"
    profile "{'flags': ['SECCOMP_FILTER_FLAG_NEW']}"
    refused "not known" rune run "$id"
}

@test "architectures: named ones are added, an unknown one is refused" {
    # 0x4000006e is getppid of x32 (this kernel may not have it: then ENOSYS comes from the kernel).
    profile "{'architectures': ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'], 'syscalls': [{'names': ['getppid'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 77}]}"
    arguments sh -c 'probe call 110; probe call 0x4000006e'
    run_container
    [ "${lines[0]}" = "-1 77" ]
    [ "${lines[1]}" = "-1 77" ]
    # Without x32 in the list its calls are of a foreign architecture: the process is killed.
    profile "{'architectures': ['SCMP_ARCH_X86_64'], 'syscalls': [{'names': ['getppid'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 77}]}"
    run_container
    [ "${lines[0]}" = "-1 77" ]
    [[ "${lines[1]:-}" != "-1 77" ]]
    profile "{'architectures': ['SCMP_ARCH_PDP11']}"
    arguments true
    refused "unknown architecture" rune run "$id"
}

@test "between the filter and the program rune makes no call that runc does not make" {
    configure 'c["process"]["noNewPrivileges"] = False' 'c["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [7]}'
    arguments id
    local call
    for call in setresuid setresgid sendmsg sendto faccessat2; do
        profile "{'syscalls': [{'names': ['$call'], 'action': 'SCMP_ACT_ERRNO'}]}"
        run_container
        [ "$status" -eq 0 ]
        [[ "$output" == *uid=1000*gid=1000* ]]
    done
    # What cannot run is still told as such.
    arguments /etc/passwd
    profile "{'syscalls': [{'names': ['faccessat2'], 'action': 'SCMP_ACT_ERRNO'}]}"
    run_container
    [ "$status" -ne 0 ]
    [[ "$output" == *"permission denied"* ]]
}
