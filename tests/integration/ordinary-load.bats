#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Many containers at once; tests/conformance/full-load.sh is the long form.

load ordinary

setup() {
    ordinary_setup
    # Where it is by default: what is left there would be seen.
    state=/run/rune-load-$$
}

teardown() {
    ordinary_teardown
    [ -z "${state:-}" ] || rm -rf "$state"
}

# in_batches COUNT COMMAND...: COMMAND NUMBER for each number, eight at a time; failures go to $work/errors
in_batches() {
    local count=$1 i
    shift
    for i in $(seq "$count"); do
        ("$@" "$i" </dev/null >/dev/null 2>>"$work/errors" || echo "$* $i" >>"$work/errors") &
        [ $((i % 8)) != 0 ] || wait
    done
    wait
}

start_one() { rune run --detach "$id-$1"; }
delete_one() { rune delete --force "$id-$1"; }

@test "containers in parallel batches, then deleted, in rounds: no error, nothing left" {
    local rounds=${LOAD_ROUNDS:-2} count=${LOAD_COUNT:-40} mounts
    arguments sleep 1000
    mounts=$(wc -l </proc/self/mounts)
    for _ in $(seq "$rounds"); do
        in_batches "$count" start_one
        [ "$(rune list -q | wc -l)" = "$count" ]
        [ "$(rune list | grep -c ' running ')" = "$count" ]
        in_batches "$count" delete_one
        cat "$work/errors"
        [ ! -s "$work/errors" ]
        [ -z "$(find "$state" -mindepth 1 -maxdepth 1 ! -name .cache)" ]
        [ -z "$(cgroups_of "$id-")" ]
        [ -z "$(grep "$id" /proc/self/mounts || true)" ]
        [ -z "$(pgrep -f "$id-" || true)" ]
    done
    echo "mounts: $mounts before, $(wc -l </proc/self/mounts) after"
    nothing_left
}
