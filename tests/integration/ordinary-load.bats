#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Many containers at once; LOAD_ROUNDS=10 LOAD_COUNT=200 is the long form.

load ordinary

setup() { ordinary_setup; }
teardown() { ordinary_teardown; }

@test "containers in parallel batches, then deleted, in rounds: no error, nothing left" {
    local rounds=${LOAD_ROUNDS:-2} count=${LOAD_COUNT:-40} i
    arguments sleep 1000
    for _ in $(seq "$rounds"); do
        for i in $(seq "$count"); do
            (rune run --detach "$id-$i" </dev/null >/dev/null 2>>"$work/errors" || echo "run $i" >>"$work/errors") &
            [ $((i % 8)) != 0 ] || wait
        done
        wait
        [ "$(rune list -q | wc -l)" = "$count" ]
        for i in $(seq "$count"); do
            (rune delete --force "$id-$i" 2>>"$work/errors" || echo "delete $i" >>"$work/errors") &
            [ $((i % 8)) != 0 ] || wait
        done
        wait
        cat "$work/errors"
        [ ! -s "$work/errors" ]
        [ -z "$(ls "$state")" ]
        [ -z "$(cgroups_of "$id-")" ]
    done
    nothing_left
}
