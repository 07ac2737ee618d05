#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# containerd-shim-rune-v2 under containerd, by way of ctr: ordinary containers.

bats_require_minimum_version 1.5.0
load shim

setup_file() {
    shim_setup_file
}

teardown_file() {
    shim_teardown_file
}

@test "run: output, exit codes, directory, environment, mounts, read-only root; nothing is left" {
    run -0 box --rm -- echo hello
    [ "$output" = hello ]
    run -7 box --rm -- sh -c 'exit 7'
    run -137 box --rm -- sh -c 'sh -c "kill -9 \$\$"; exit $?'
    mkdir "$work/$name"
    echo from outside >"$work/$name/file"
    run -0 box --rm --cwd /home/user --env COLOUR=blue --read-only --mount "type=bind,src=$work/$name,dst=/mnt,options=rbind:ro" -- \
        sh -c 'pwd; echo $COLOUR; cat /mnt/file; touch /x /mnt/x 2>/dev/null || echo no'
    [ "$output" = $'/home/user\nblue\nfrom outside\nno' ]
    run -1 box --rm -- no-such-program
    [ "$output" = 'ctr: failed to create shim task: OCI runtime create failed: exec: "no-such-program": executable file not found in $PATH: unknown' ]
    gone_entirely "$name"
    within 10 no_shims "$CONTAINERD_NAMESPACE"
}

@test "output of 8 MB arrives whole, and so do both streams" {
    [ "$(box --rm -- sh -c 'head -c 8000000 /dev/zero | tr "\0" x' | wc -c)" -eq 8000000 ]
    box --rm -- sh -c 'echo one; echo two >&2' >"$work/$name.1" 2>"$work/$name.2"
    [ "$(cat "$work/$name.1")" = one ]
    [ "$(cat "$work/$name.2")" = two ]
}

@test "exec: codes, input, directory, user, a missing program, a child that keeps the output open" {
    starts
    [ "$(ctr task exec --exec-id one "$name" id -u)" = 0 ]
    run -9 ctr task exec --exec-id two "$name" sh -c 'exit 9'
    [ "$(echo in | ctr task exec --exec-id in "$name" cat)" = in ]
    [ "$(ctr task exec --exec-id three --cwd /tmp --user 1000:50 "$name" sh -c 'pwd; id -u; id -g' | tr '\n' ' ')" = "/tmp 1000 50 " ]
    run -1 ctr task exec --exec-id four "$name" no-such-program
    [ "$output" = 'ctr: OCI runtime exec failed: exec failed: exec: "no-such-program": executable file not found in $PATH: unknown' ]
    SECONDS=0
    run -0 timeout 30 ctr task exec --exec-id five "$name" sh -c 'sleep 100 & echo here'
    [ "$output" = here ]
    [ $SECONDS -lt 15 ]
    # Process files of an exec go with it.
    [ -z "$(find "$(bundle_of "$name")" -name '*.process.json')" ]
}

@test "kill, pause, resume, metrics, ps, a task's end" {
    starts
    ctr task pause "$name"
    task_is PAUSED
    run -1 ctr task exec --exec-id no "$name" true
    [[ "$output" == *"cannot exec in a paused state"* ]]
    ctr task resume "$name"
    task_is RUNNING
    ctr task exec -d --exec-id sleeper "$name" sleep 100
    ctr task ps "$name" | grep -q sleeper
    ctr task metrics "$name" >"$work/$name.metrics"
    grep -qE '^(memory.usage_in_bytes|memory.usage) +[1-9]' "$work/$name.metrics"
    grep -qE '^pids.current +[1-9]' "$work/$name.metrics"
    ctr task kill -s KILL --exec-id sleeper "$name"
    ctr task kill -s TERM "$name"
    within 10 task_is STOPPED
    grep -q told "$work/$name.out"
    run -1 ctr task kill -s TERM "$name"
    [[ "$output" == *"process already finished: not found"* ]]
    run ctr task delete "$name"
    [[ "$output" == *"exit code 3"* ]]
    ctr container rm "$name"
    gone_entirely "$name"
}

topics() { # of the events in the file
    grep -oE ' /tasks/[a-z-]+' "$work/$name.events"
}

@test "limits, and a kill for memory that is told as such, before the end" {
    ctr events >"$work/$name.events" &
    events=$!
    starts --memory-limit 67108864 --cpus 0.5
    teardown
    run -137 box --rm --memory-limit 16777216 -- sh -c 'x=$(head -c 100000000 /dev/zero | tr "\0" x); echo ${#x}'
    kill $events
    [[ "$(topics | tr -d '\n')" == *"/tasks/oom"*"/tasks/exit"* ]]
}

@test "a terminal: size, resize, exec" {
    run -0 script -qec "stty rows 33 cols 77; timeout --foreground 60 ctr run --runtime $runtime --rm -t $image $name sh -c 'tty; $show_size'" /dev/null
    [[ "$output" == */dev/pts/* ]]
    [[ "$output" == *"33 77"* ]]
    starts
    run -0 script -qec "timeout --foreground 60 ctr task exec -t --exec-id one $name tty" /dev/null
    [[ "$output" == */dev/pts/* ]]
    [ -z "$(find /run/containerd/s -name "pty-$(shim_of "$name")-*")" ]
}

@test "events come in order" {
    ctr events >"$work/$name.events" &
    events=$!
    within 10 ctr namespace label "$CONTAINERD_NAMESPACE" ready=yes
    starts
    ctr task exec --exec-id one "$name" true
    ctr task pause "$name"
    ctr task resume "$name"
    ctr task kill -s KILL "$name"
    within 10 task_is STOPPED
    ctr task delete "$name" || true
    within 10 grep -q /tasks/delete "$work/$name.events"
    kill $events
    [ "$(topics | tr -d '\n')" = \
        " /tasks/create /tasks/start /tasks/exec-added /tasks/exec-started /tasks/exit /tasks/paused /tasks/resumed /tasks/exit /tasks/delete" ]
}

@test "logs: a file, a program" {
    starts
    [ "$(head -1 "$work/$name.out")" = up ]
    teardown
    cat >"$work/logger" <<'SH'
#!/bin/sh
exec 5>&-
{ echo "id $CONTAINER_ID namespace $CONTAINER_NAMESPACE args $*"; cat <&3; sed 's/^/error: /' <&4; echo end; } >"$2"
SH
    chmod 755 "$work/logger"
    box -d --log-uri "binary://$work/logger?to=$work/$name.log" -- sh -c 'echo one; echo two >&2'
    within 10 task_is STOPPED
    ctr task delete "$name"
    within 10 grep -q end "$work/$name.log"
    [ "$(cat "$work/$name.log")" = "id $name namespace $CONTAINERD_NAMESPACE args to $work/$name.log"$'\none\nerror: two\nend' ]
}

@test "containers of a pod share a shim, which ends with the last of them" {
    annotation=io.kubernetes.cri.sandbox-id=pod-$$
    starts --annotation "$annotation"
    first=$name shim=$(shim_of "$name")
    name=$name-two
    starts --annotation "$annotation"
    [ "$(shim_of "$name")" = "$shim" ]
    [ "$(address_of "$name")" = "$(address_of "$first")" ]
    ctr task rm -f "$first"
    ctr task exec --exec-id one "$name" true
    [ -e "/proc/$shim" ]
    ctr task rm -f "$name"
    within 10 gone "$shim"
}

@test "an idle shim never wakes, and is not big" {
    starts
    shim=$(shim_of "$name")
    sleep 1
    before=$(grep ctxt_switches "/proc/$shim/status")
    sleep 3
    [ "$(grep ctxt_switches "/proc/$shim/status")" = "$before" ]
    [ "$(awk '/^VmRSS/ {print $2}' "/proc/$shim/status")" -lt 2500 ]
    [ "$(cat "/proc/$shim/oom_score_adj")" -ge "$(cat "/proc/$(cat "$work/containerd.pid")/oom_score_adj")" ]
}
