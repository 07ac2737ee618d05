#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Enclave containers by containerd-shim-rune-v2, asked for in each of the ways there are; and what stays ordinary.

bats_require_minimum_version 1.5.0
load shim

setup_file() {
    shim_setup_file
}

teardown_file() {
    shim_teardown_file
}

where='test -e /dev/attestation && echo inside || echo outside'

@test "by annotation, by environment, by the runtime's name: output, exit code, input; the image is converted once" {
    [ "$(box --rm -- sh -c "$where")" = outside ]
    [ "$(box --rm --annotation enclave.type=auto -- sh -c "$where" 2>/dev/null)" = inside ]
    made=$(cached_images)
    [ "$(wc -w <<<"$made")" -eq 1 ]
    [ "$(box --rm --env ENCLAVE_TYPE=auto -- sh -c "$where" 2>/dev/null)" = inside ]
    [ "$(box --rm --env RUNE_CARRIER=libos -- sh -c "$where" 2>/dev/null)" = inside ]
    [ "$(runtime=io.containerd.rune-enclave.v2 box --rm -- sh -c "$where" 2>/dev/null)" = inside ]
    run -9 box --rm --annotation enclave.type=auto -- sh -c 'exit 9'
    run -1 box --rm --annotation enclave.type=auto -- no-such-program
    [[ "$output" == *'"no-such-program": executable file not found in $PATH'* ]]
    run -1 box --rm --annotation enclave.type=nonsense -- true
    [[ "$output" == *"OCI runtime create failed: "*nonsense* ]]
    [ "$(cached_images)" = "$made" ]
    gone_entirely "$name"
}

@test "a pod's sandbox is ordinary, whatever asks for an enclave" {
    sandbox=(--annotation io.kubernetes.cri.container-type=sandbox)
    [ "$(runtime=io.containerd.rune-enclave.v2 box --rm "${sandbox[@]}" -- sh -c "$where")" = outside ]
    [ "$(box --rm "${sandbox[@]}" --annotation enclave.type=auto -- sh -c "$where")" = outside ]
    # Its containers are not.
    member=(--annotation io.kubernetes.cri.container-type=container)
    [ "$(runtime=io.containerd.rune-enclave.v2 box --rm "${member[@]}" -- sh -c "$where" 2>/dev/null)" = inside ]
}

@test "exec by the policy, kill, pause, a terminal, the shim killed -9" {
    starts --annotation enclave.type=auto
    run -1 ctr task exec --exec-id no "$name" true
    [[ "$output" == *'permission denied: enclave.exec is "none"'* ]]
    teardown
    starts --annotation enclave.type=auto --annotation enclave.exec=any
    run -9 ctr task exec --exec-id one "$name" sh -c 'test -e /dev/attestation && exit 9'
    [ "$(echo in | ctr task exec --exec-id two "$name" cat)" = in ]
    run -0 script -qec "timeout --foreground 60 ctr task exec -t --exec-id three $name tty" /dev/null
    [[ "$output" == */dev/pts/* ]]
    ctr task exec -d --exec-id sleeper "$name" sleep 1000
    ctr task kill -s KILL --exec-id sleeper "$name"
    ctr task pause "$name"
    task_is PAUSED
    ctr task resume "$name"
    ctr task kill -s TERM "$name"
    within 20 task_is STOPPED
    grep -q told "$work/$name.out"
    teardown
    starts --annotation enclave.type=auto
    pid=$(task_pid)
    kill -9 "$(shim_of "$name")"
    within 20 gone "$pid"
    within 20 gone_entirely "$name"
}

@test "10 enclave containers of an image at once" {
    box --rm --annotation enclave.type=auto -- true
    pids=()
    for i in $(seq 10); do
        timeout -s KILL 300 ctr run --runtime "$runtime" --annotation enclave.type=auto --rm --cgroup "/$parent/$name-$i" "$image" "$name-$i" \
            sh -c "echo $i; exit $((i % 5))" >"$work/$name.$i" 2>/dev/null &
        pids+=($!)
    done
    for i in $(seq 10); do
        status=0
        wait "${pids[$((i - 1))]}" || status=$?
        [ $status -eq $((i % 5)) ]
        [ "$(cat "$work/$name.$i")" = "$i" ]
    done
    [ "$(cached_images | wc -l)" -eq 1 ]
}

@test "the shim's configuration: what it says reaches rune, unknown keys warn, wrong values are refused with their line" {
    refused() { # TEXT MESSAGE [OPTION...]
        printf '%b\n' "$1" >"$RUNE_SHIM_CONFIG"
        run -1 box --rm "${@:3}" -- true
        [[ "$output" == *"$2"* ]] || { echo "$output"; return 1; }
        gone_entirely "$name"
    }
    refused 'log_level = "loud"' "$RUNE_SHIM_CONFIG:1: log_level is \"loud\": give error, warn, info or debug"
    refused '# directory\n[cache]\ndirectory = 3' ':3: cache.directory is a string, not an integer'
    refused 'cache = []' ':1: cache is a table, not another value'
    refused '[cache]\ndirectory = here' ':2: a value is expected'
    refused '[enclave_runtime]\nsignature_method = "client"' 'has no signature yet' --annotation enclave.type=auto --annotation enclave.mode=debug
    refused '[signing]\nserver = "http://127.0.0.1:1"' ':2: signing.server is "http://127.0.0.1:1": give a URL that begins with https://'
    refused '[signing]\nsigner = "12"' ':2: signing.signer is "12": give an MRSIGNER of 64 hexadecimal digits'
    refused '[signing]\ntimeout = "0"' ':2: signing.timeout is "0": give 1 to 3600 seconds'
    refused '[signing]\nca = "ca.pem"' ':2: signing.ca is "ca.pem": give an absolute path'
    refused '[enclave_runtime.occlum]\nenclave_runtime_path = "/nowhere/occlum.so"' /nowhere/occlum.so --env RUNE_CARRIER=occlum
    printf '%s\n' 'log_level = "info"' 'colour = "blue"' '[epm]' 'socket = "/x"' '[wrong]' >"$RUNE_SHIM_CONFIG"
    chmod 666 "$RUNE_SHIM_CONFIG"
    run -1 box --rm -- true
    [[ "$output" == *"must be a regular file of root that nobody else can write to"* ]]
    chmod 644 "$RUNE_SHIM_CONFIG"
    [ "$(box --rm -- echo fine)" = fine ]
    rm "$RUNE_SHIM_CONFIG"
    within 10 grep -q 'shim.toml:2: the key colour is not known' "$work/containerd.log"
    within 10 grep -q 'shim.toml:5: the table wrong is not known' "$work/containerd.log"
    within 10 grep -q 'shim.toml:4: epm.socket has no use' "$work/containerd.log"
}

@test "a signing service that is away: the line reaches the user of ctr, and nothing is left" {
    stop_daemon containerd
    start_containerd env -u RUNE_SIGNING_KEY
    printf '%s\n' '[enclave_runtime]' 'signature_method = "server"' '[signing]' 'server = "https://127.0.0.1:1"' 'timeout = "5"' >"$RUNE_SHIM_CONFIG"
    run -1 box --rm --annotation enclave.type=auto -- true
    [ "$(box --rm -- echo ordinary)" = ordinary ]
    rm "$RUNE_SHIM_CONFIG"
    stop_daemon containerd
    start_containerd
    [[ "$output" == *"signing service https://127.0.0.1:1/v1/sign: "*"(is the URL right, and does the service run?)"* ]] || { echo "$output"; return 1; }
    gone_entirely "$name"
}

@test "an enclave container has the identity that rune-image measure predicts, each time" {
    ctr_identity_is_predicted
}
