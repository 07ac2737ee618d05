#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# rune exec in an enclave container: the proxy and the agent, with the test PAL library of version 4.

bats_require_minimum_version 1.5.0
load enclave

setup() {
    enclave_setup
    use_pal v4 sleep 1000
    rune run --detach --bundle "$bundle" --pid-file "$work/pid" "$id" >"$work/out" 2>"$work/err" </dev/null
}
teardown() { enclave_teardown; }

@test "exec: output, input, exit codes" {
    [ "$(rune exec "$id" echo inside the same)" = "inside the same" ]
    [ "$(echo line | rune exec "$id" cat)" = line ]
    head -c 2000000 /dev/urandom >"$work/in"
    rune exec "$id" cat <"$work/in" >"$work/copy"
    cmp "$work/in" "$work/copy"
    run rune exec "$id" exit 17
    [ "$status" -eq 17 ]
    run rune exec "$id" die 9
    [ "$status" -eq 137 ]
    run rune exec "$id" die 15
    [ "$status" -eq 143 ]
}

@test "exec: cwd, user, environment" {
    [ "$(rune exec --cwd /tmp "$id" pwd)" = /tmp ]
    [[ "$(rune exec --user 1234:567 "$id" id)" == "uid=1234 gid=567 tty=0" ]]
    rune exec --env COLOUR=green "$id" env | grep -qx COLOUR=green
}

@test "exec: a program that is not there" {
    run -127 rune exec "$id" no-such-program
    echo "$output"
    [[ "$output" == *no-such-program* ]]
}

@test "exec --detach: the pid file names the proxy, a signal to it ends the process" {
    rune exec --detach --pid-file "$work/exec-pid" "$id" trap >"$work/trap" 2>&1 </dev/null
    within 5 grep -q ready "$work/trap"
    proxy=$(cat "$work/exec-pid")
    kill -0 "$proxy"
    rune ps --format json "$id" | grep -q "\b$proxy\b"
    kill -USR1 "$proxy"
    within 5 grep -qx "signal 10" "$work/trap"
    kill -TERM "$proxy"
    within 5 grep -qx "signal 15" "$work/trap"
    gone() { ! kill -0 "$proxy" 2>/dev/null || grep -q '^State:	Z' "/proc/$proxy/status"; }
    within 5 gone
}

@test "exec: killing the proxy kills the process in the enclave" {
    rune exec --detach --pid-file "$work/exec-pid" "$id" sleep 1000 >"$work/trap" 2>&1 </dev/null
    [ "$(rune enclave stats "$id" | python3 -c 'import json,sys; print(json.load(sys.stdin)["processes"])')" = 2 ]
    kill -9 "$(cat "$work/exec-pid")"
    one() { [ "$(rune enclave stats "$id" | python3 -c 'import json,sys; print(json.load(sys.stdin)["processes"])')" = 1 ]; }
    within 5 one
}

@test "exec: many at once" {
    for i in $(seq 20); do
        rune exec "$id" echo "number $i" >"$work/many-$i" &
    done
    wait
    for i in $(seq 20); do
        [ "$(cat "$work/many-$i")" = "number $i" ]
    done
}

@test "exec: the container dies meanwhile" {
    rune exec "$id" sleep 1000 >"$work/trap" 2>&1 </dev/null &
    runner=$!
    background+=("$runner")
    two() { [ "$(rune enclave stats "$id" | python3 -c 'import json,sys; print(json.load(sys.stdin)["processes"])')" = 2 ]; }
    within 5 two
    rune kill "$id" KILL
    set +e
    wait $runner
    [ $? -eq 137 ]
}

@test "exec with a terminal: --console-socket, size, keys" {
    "$tty" recv "$work/socket" "$work/screen" "$work/control" &
    background+=($!)
    within 5 test -S "$work/socket"
    rune exec --detach --tty --console-socket "$work/socket" --pid-file "$work/exec-pid" "$id" size
    within 5 grep -q "size" "$work/screen"
    echo "size 33 99" >"$work/control"
    within 5 grep -q "size 33 99" "$work/screen"
    printf 'send \\x03\n' >"$work/control" # ^C: to the foreground group
    proxy=$(cat "$work/exec-pid")
    gone() { ! kill -0 "$proxy" 2>/dev/null || grep -q '^State:	Z' "/proc/$proxy/status"; }
    within 5 gone
}

@test "exec in a container that has ended" {
    rune kill "$id" KILL
    within 5 status_is "$id" stopped
    run rune exec "$id" echo hi
    [ "$status" -ne 0 ]
    [ "${#lines[@]}" -eq 1 ]
}

@test "enclave info, stats, report" {
    rune enclave info "$id" | grep -q '"palVersion": 4'
    rune enclave info "$id" | grep -q '"simulated": true'
    rune enclave report "$id" >"$work/report"
    [ "$(stat -c %s "$work/report")" -eq 432 ]
    run rune enclave quote "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"does not offer"* ]]
}
