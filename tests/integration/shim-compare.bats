#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The same commands with containerd-shim-rune-v2 and rune, and with containerd-shim-runc-v2 and runc: what a user sees differs in
# nothing that is not listed here.

bats_require_minimum_version 1.5.0
load shim

setup_file() {
    shim_setup_file containerd-shim-runc-v2 runc
}

teardown_file() {
    shim_teardown_file
}

# Each line is a difference that is meant, as runc's text and rune's.
listed() {
    sed -E -e 's/runc create failed: //; s/unable to start container process: //' \
        -e 's/"\/tmp": is a directory: permission denied/"\/tmp": permission denied/' -e 's/(cannot [a-z ]+): (unknown|failed precondition)/\1/' \
        -e 's/^time="[^"]*" level=[a-z]* //' -e 's/[0-9]+\.[0-9]+s//'
}

# shellcheck disable=SC2034 # used by box
compare() { # FUNCTION: with each runtime
    runtime=io.containerd.runc.v2
    "$1" 2>&1 | listed >"$work/$name.runc"
    remove_tasks
    runtime=io.containerd.rune.v2
    "$1" 2>&1 | listed >"$work/$name.rune"
    [ -s "$work/$name.rune" ]
    diff "$work/$name.runc" "$work/$name.rune"
}

said() { # COMMAND...: its output and its exit code
    local status=0
    timeout -s KILL 60 "$@" || status=$?
    echo "= $status"
}

ends() {
    box --rm -- echo hello
    for command in 'exit 7' 'kill -9 $$' 'echo two >&2; exit 3'; do
        box --rm -- sh -c "$command" && echo "= 0" || echo "= $?"
    done
    box --rm -- no-such-program || echo "= $?"
    box --rm -- /tmp || echo "= $?"
    box --rm --cwd /no/such/directory -- pwd && echo "= 0" || echo "= $?"
    box --rm --user 1234:567 -- id
    box --rm -t -- sh -c 'tty; echo tty' </dev/null && echo "= 0" || echo "= $?"
}

@test "outputs and ends" {
    compare ends
}

# shellcheck disable=SC2016 # expanded in the container
inside() {
    box --rm --env A=b -- sh -c 'env | sort; id; umask; pwd; ulimit -a; cat /proc/self/oom_score_adj
        grep -E "^(Cap|NoNewPrivs|Seccomp|Groups|Threads)" /proc/self/status; hostname; stat -c "%n %F %a %u %g" /dev/* /dev/stdout
        awk "{print \$2}" /proc/self/mounts | sort; ls /proc/self/fd; for i in 0 1 2; do readlink /proc/self/fd/$i | sed "s/[0-9][0-9]*//"; done'
}

@test "what a container sees" {
    compare inside
}

life() {
    starts
    said ctr task exec --exec-id one "$name" id -u
    said ctr task exec --exec-id two "$name" sh -c 'exit 9'
    said ctr task exec --exec-id three "$name" no-such-program
    echo in | said ctr task exec --exec-id four "$name" cat
    said ctr task exec --exec-id five --cwd /tmp --user 1000:50 "$name" sh -c 'pwd; id'
    said ctr task exec -d --exec-id six "$name" sleep 1000
    said ctr task exec --exec-id six "$name" true
    said ctr task kill --exec-id six -s KILL "$name"
    said ctr task kill --exec-id none -s KILL "$name"
    said ctr task exec --exec-id seven "$name" sh -c 'tr "\0" "\n" </proc/1/cmdline | head -3; ls /proc/self/fd | wc -l'
    said ctr task pause "$name"
    ctr task ls | awk '{print $3}'
    said ctr task exec --exec-id eight "$name" true
    said ctr task resume "$name"
    said ctr task resume "$name"
    ctr task ls | awk '{print $3}'
    ctr task metrics "$name" | awk 'NF {print $1}' | tail -n +4
    said ctr task start "$name"
    said ctr task delete "$name"
    said ctr task checkpoint "$name" 2>&1 | sed 's/: .*//' # the texts are CRIU's, and rune names the cause
    said ctr task kill -s USR1 "$name"
    within 20 task_is STOPPED
    ctr task ls | awk '{print $3}'
    said ctr task kill "$name"
    said ctr task exec --exec-id nine "$name" true
    said ctr task delete "$name"
    said ctr task delete "$name"
    cat "$work/$name.out"
    rm "$work/$name.out"
}

@test "the life of a task" {
    compare life
}

events() {
    ctr events >"$work/$name.events" &
    local pid=$!
    within 10 ctr namespace label "$CONTAINERD_NAMESPACE" ready=yes
    starts
    ctr task exec --exec-id one "$name" true
    ctr task pause "$name"
    ctr task resume "$name"
    ctr task kill -s KILL "$name"
    within 20 task_is STOPPED
    ctr task delete "$name"
    within 20 grep -q /tasks/delete "$work/$name.events"
    kill $pid
    # What is another each time goes.
    grep -E ' /tasks/' "$work/$name.events" | cut -d' ' -f6- | sed -E 's/"pid":[0-9]+/"pid":N/g; s/"exited_at":"[^"]*"/"exited_at":"T"/g; s/snapshots\/[0-9]+/snapshots\/N/g'
}

@test "events, to the letter" {
    compare events
}
