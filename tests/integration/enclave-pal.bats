#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# PAL versions 1 to 3 as the libraries expect that were built for Inclavare Containers (tests/pal/pal_skeleton.c, pal_occlum.c).

bats_require_minimum_version 1.5.0
load enclave

setup() { enclave_setup; }
teardown() { enclave_teardown; }

@test "a runtime waits for its own children" {
    for version in 1 2 3; do
        use_pal skeleton-v$version exit 42
        for _ in 1 2 3; do
            run rune run --bundle "$bundle" "$id"
            [ "$status" -eq 42 ]
        done
        nothing_left
    done
}

@test "processes whose parents have ended do not stay as zombies" {
    use_pal skeleton-v2 sleep 1000
    rune run --detach --bundle "$bundle" --pid-file "$work/pid" "$id" >"$work/out" 2>&1 </dev/null
    for _ in 1 2 3; do
        rune exec "$id" orphan
    done
    only_the_program() { [ "$(ps --ppid "$(cat "$work/pid")" -o pid= | wc -l)" -eq 1 ]; }
    within 10 only_the_program
}

@test "pal_create_process of versions 2 and 3 comes at start, not at create" {
    use_pal skeleton-v2 exit 0
    rune create --bundle "$bundle" "$id" >"$work/out" 2>&1 </dev/null
    sleep 0.3
    run ! grep -q 'child of' "$work/out"
    rune start "$id"
    within 5 grep -q 'child of 1' "$work/out"
    within 5 status_is "$id" stopped
}

@test "a program that such a runtime does not have ends the container with 127" {
    for library in skeleton-v2 skeleton-v3; do
        use_pal $library missing
        run -127 rune run --bundle "$bundle" "$id"
        echo "$output"
        [[ "$output" == *missing*'executable file not found'* ]]
        nothing_left
    done
}

@test "what a library prints in pal_init is shown, and absent strings are empty ones" {
    for version in 1 2 3; do
        use_pal skeleton-v$version exit 0
        [[ "$(rune run --bundle "$bundle" "$id" 2>/dev/null | head -1)" == 'init args "" (0) log "" (0)' ]]
    done
}

@test "Occlum: the instance directory, exit codes, signals that end it" {
    use_pal occlum exit 3
    run -1 rune run --bundle "$bundle" "$id"
    echo "$output"
    [[ "$output" == *"invalid argument"* ]]
    annotate runtime.args /tmp
    run rune run --bundle "$bundle" "$id"
    [ "$status" -eq 3 ]
    arguments die 9
    run rune run --bundle "$bundle" "$id"
    [ "$status" -eq 137 ]
    arguments spin
    for sig in TERM:143 INT:143 KILL:137; do
        rune run --detach --bundle "$bundle" --pid-file "$work/pid" "$id" >"$work/out" 2>&1 </dev/null
        run rune exec "$id" exit 9
        [ "$status" -eq 9 ]
        rune kill "$id" "${sig%:*}"
        within 10 status_is "$id" stopped
        rune delete "$id"
    done
    nothing_left
}

@test "RUNE_CARRIER=occlum: the node's library, with the instance of the image" {
    configure 'c["process"]["env"] += ["RUNE_CARRIER=occlum", "ENCLAVE_TYPE=auto"]' 'c["process"]["cwd"] = "/app"'
    arguments exit 3
    mkdir -p "$bundle/rootfs/app"
    [ -e /opt/occlum ] || refused /opt/occlum/build/lib/libocclum-pal.so rune run --bundle "$bundle" "$id"
    export RUNE_CARRIER_OCCLUM=$pals/libpal-occlum.so
    refused "has no instance of Occlum" rune run --bundle "$bundle" "$id"
    for instance in .occlum . occlum_instance; do
        mkdir -p "$bundle/rootfs/app/$instance/build/lib"
        touch "$bundle/rootfs/app/$instance/build/lib/libocclum-libos.signed.so"
        run rune run --bundle "$bundle" "$id"
        echo "$output"
        [ "$status" -eq 3 ]
        rm -r "$bundle/rootfs/app/$instance/build"
    done
    annotate runtime.args /app
    run rune run --bundle "$bundle" "$id"
    [ "$status" -eq 3 ]
    nothing_left
}

@test "rune attest writes the local report where Inclavare's does" {
    use_pal v3 sleep 1000
    rune run --detach --bundle "$bundle" "$id" >"$work/out" 2>&1 </dev/null
    rune attest "$id" >"$work/report"
    [ "$(stat -c %s "$work/report")" -eq 432 ]
    rune attest --isRA=false --reportFile /tmp/my.report "$id"
    cmp "$work/report" "$bundle/rootfs/tmp/my.report"
    ln -s /etc/passwd "$bundle/rootfs/tmp/link"
    rune attest --reportFile=/tmp/link "$id"
    cmp "$work/report" "$bundle/rootfs/etc/passwd" # the container's: no link leads out of it
    run ! cmp -s "$work/report" /etc/passwd
    run rune attest --isRA --quote-type ecdsa "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *quote* ]]
    run rune attest --isRA --quote-type epidLinkable --spid 00 "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"EPID"*"ecdsa"* ]]
    run rune attest --isRA --quote-type nosuch "$id"
    [[ "$output" == *'"nosuch"'* ]]
}
