#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# rune is killed at many moments of a start; delete --force removes whatever there is then.

load ordinary

setup() { ordinary_setup; }
teardown() { ordinary_teardown; }

@test "kill -9 of rune at many moments of create and run" {
    arguments sleep 1000
    for i in $(seq 40); do
        name=$id-$i
        command=$([ $((i % 2)) = 0 ] && echo create || echo "run --detach")
        "$RUNE" --root "$state" $command "$name" >/dev/null 2>&1 </dev/null &
        pid=$!
        sleep "0.0$(printf '%02d' $((i % 30)))"
        kill -9 $pid 2>/dev/null || true
        wait $pid 2>/dev/null || true
        run rune delete --force "$name"
        echo "$i: $output"
        [ "$status" -eq 0 ]
        nothing_left "$name"
    done
    ! pgrep -f "^sleep 1000$" -P 1 >/dev/null || { pgrep -fa "sleep 1000"; false; }
}
