#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Terminals of enclave containers, with the test PAL library of version 4.

load enclave

setup() {
    enclave_setup
    configure 'c["process"]["terminal"] = True'
}
teardown() { enclave_teardown; }

@test "create with --console-socket: the application has a terminal, its size follows" {
    use_pal v4 size
    configure 'c["process"]["consoleSize"] = {"height": 31, "width": 101}'
    "$tty" recv "$work/socket" "$work/screen" "$work/control" &
    background+=($!)
    within 5 test -S "$work/socket"
    rune create --bundle "$bundle" --console-socket "$work/socket" "$id"
    rune start "$id"
    within 5 grep -q "size 31 101" "$work/screen"
    echo "size 40 120" >"$work/control"
    within 5 grep -q "size 40 120" "$work/screen"
    rune kill "$id" KILL
    within 5 status_is "$id" stopped
}

@test "terminal signals go to the foreground group, kill's to process 1" {
    export TOY_PAL_LOG=$work/pal.log
    use_pal v4 trap
    "$tty" recv "$work/socket" "$work/screen" "$work/control" &
    background+=($!)
    within 5 test -S "$work/socket"
    rune create --bundle "$bundle" --console-socket "$work/socket" "$id"
    rune start "$id"
    within 5 grep -q ready "$work/screen"
    printf 'send \\x03\n' >"$work/control"
    within 5 grep -q "signal 2" "$work/screen"
    printf 'send \\x1c\n' >"$work/control"
    within 5 grep -q "signal 3" "$work/screen"
    printf 'send \\x1a\n' >"$work/control"
    within 5 grep -q "signal 20" "$work/screen"
    rune kill "$id" TERM
    within 5 grep -q "signal 15" "$work/screen"
}

@test "rune's own terminal in the foreground: keys, size, exit code" {
    use_pal v4 line
    "$tty" run "$work/screen" "$work/control" -- "$RUNE" --root "$state" run --bundle "$bundle" "$id" &
    runner=$!
    background+=("$runner")
    within 5 status_is "$id" running
    printf 'send typed\\n\n' >"$work/control"
    set +e
    wait $runner
    [ $? -eq 0 ]
    [ "$(tr -d '\r' <"$work/screen" | grep -cx typed)" -eq 2 ] # the echo and the application's copy
    nothing_left
}

@test "rune's own terminal: the size of the outer one arrives" {
    use_pal v4 size
    "$tty" run "$work/screen" "$work/control" -- "$RUNE" --root "$state" run --bundle "$bundle" "$id" &
    background+=($!)
    within 5 grep -q size "$work/screen"
    echo "size 22 77" >"$work/control"
    within 5 grep -q "size 22 77" "$work/screen"
    rune kill "$id" KILL
}

@test "a terminal without a console socket needs the foreground" {
    use_pal v4 size
    refused "console" rune create --bundle "$bundle" "$id"
}
