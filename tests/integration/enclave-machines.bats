#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Enclave containers on lesser machines, which the emulator presents: SGX1, no KSS, a small EPC; and what an enclave is built
# with: annotations and environment variables.

bats_require_minimum_version 1.5.0
load enclave

setup_file() {
    export RUNE_CACHE_DIR=$BATS_FILE_TMPDIR/cache RUNE_SIGNING_KEY=$BATS_FILE_TMPDIR/key.pem
    mkdir -p "$RUNE_CACHE_DIR"
    cc -O1 -static -pthread -o "$BATS_FILE_TMPDIR/machine" "$BATS_TEST_DIRNAME/../images/programs/machine.c"
}

setup() {
    [ "$(id -u)" -eq 0 ] || skip "containers need root here"
    enclave_setup
    mkdir -p "$bundle/rootfs/bin"
    cp "$BATS_FILE_TMPDIR/machine" "$bundle/rootfs/bin/machine"
    configure "c['annotations'] = {'enclave.type': 'simulatedSgx'}"
}

teardown() { enclave_teardown; }

run_machine() { # WORD...: status and output
    arguments /bin/machine "$@"
    run rune run --bundle "$bundle" "$id"
    echo "$output"
}

@test "SGX1 and no KSS: memory and threads are there from the start, MRENCLAVE names the deployment" {
    export RUNE_SGX_EMULATOR_FEATURES=sgx1
    run_machine memory 32
    [ "$status" -eq 0 ] && [[ "$output" == *good* ]]
    [ "$(built sgx2) $(built kss)" = "false false" ]
    first=$(built mrenclave)
    run_machine attributes
    [ "$status" -eq 0 ] && [[ "$output" == *"kss 0 debug 0"* ]]
    [ "$(built mrenclave)" != "$first" ]
    run_machine fork 20
    [ "$status" -eq 0 ] && [[ "$output" == *good* ]]
    run_machine guard
    [ "$status" -eq 0 ] && [[ "$output" == *"read-only SIGSEGV, none SIGSEGV, unmapped SIGSEGV"* ]]
    annotate memory 100M
    run_machine crowd 8 # whole slots of the small ELRANGE: the mapping stays within its own
    [ "$status" -eq 0 ] && [[ "$output" == *"crowd: some good"*"0 wrong"* ]]
}

@test "SGX1: too much memory and too many threads say what to raise" {
    export RUNE_SGX_EMULATOR_FEATURES=sgx1,kss
    annotate memory 64M
    annotate threads 6
    run_machine memory 100
    [ "$status" -eq 2 ] && [[ "$output" == *"no malloc"* ]]
    run_machine threads 20
    [ "$status" -eq 3 ] && [[ "$output" == *"enclave.threads"* ]]
    [ "$(built staticThreads)" = 10 ]
    run_machine threads 3
    [ "$status" -eq 0 ] && [[ "$output" == *good* ]]
}

@test "without SGX2 the container's own limits go into the enclave" {
    export RUNE_SGX_EMULATOR_FEATURES=sgx1
    configure "c['linux']['resources'] = {'memory': {'limit': 268435456}, 'pids': {'limit': 40}}"
    run_machine memory 8
    [ "$status" -eq 0 ]
    [ "$(built memoryLimit) $(built staticThreads)" = "268435456 44" ]
}

@test "an enclave for SGX1 runs where there is SGX2, and is the same; one for SGX2 is refused on SGX1" {
    annotate sgx2 false
    annotate kss false
    run_machine memory 8
    [ "$status" -eq 0 ]
    first=$(built mrenclave)
    export RUNE_SGX_EMULATOR_FEATURES=sgx1
    touch "$bundle/config.json"
    rm -rf "${RUNE_CACHE_DIR:?}"/*
    run_machine memory 8
    [ "$status" -eq 0 ] && [ "$(built mrenclave)" = "$first" ]
    annotate sgx2 true
    refused "this machine has no SGX2" rune run --bundle "$bundle" "$id"
    annotate sgx2 false
    annotate kss true
    refused "this machine has no KSS" rune run --bundle "$bundle" "$id"
}

@test "AEX-Notify is asked for, is another enclave, and is refused where the machine lacks it" {
    run_machine memory 8
    [ "$status" -eq 0 ] && [ "$(built aexnotify)" = false ]
    first=$(built mrenclave)
    rm -rf "${RUNE_CACHE_DIR:?}"/*
    annotate aexnotify true
    run_machine memory 8
    [ "$status" -eq 0 ] && [ "$(built aexnotify)" = true ] && [ "$(built mrenclave)" != "$first" ]
    export RUNE_SGX_EMULATOR_FEATURES=sgx2,kss
    refused "this machine has no AEX-Notify" rune run --bundle "$bundle" "$id"
}

@test "rune-image makes the same enclave by hand" {
    local image=${RUNE%/*}/rune-image
    annotate sgx2 false
    annotate memory 100M
    annotate threads 20
    annotate mode production
    run_machine memory 1
    [ "$status" -eq 0 ]
    local first
    first=$(built mrenclave)
    run "$image" convert --quiet --cache "$RUNE_CACHE_DIR" --key "$RUNE_SIGNING_KEY" --no-sgx2 --memory 100M --threads 20 "$bundle/rootfs"
    echo "$output"
    [ "$status" -eq 0 ] && [[ "$output" == *"$first"* ]]
    run "$image" convert --quiet --cache "$RUNE_CACHE_DIR" --key "$RUNE_SIGNING_KEY" --no-kss 12ab "$bundle/rootfs"
    [ "$status" -eq 1 ] && [[ "$output" == *"deployment hash"* ]]
    run "$image" convert --quiet --cache "$RUNE_CACHE_DIR" --key "$RUNE_SIGNING_KEY" --no-kss "$(printf '%064d' 7)" "$bundle/rootfs"
    [ "$status" -eq 0 ] && [ "$(built kss)" = false ]
}

@test "mode: debug is in the attributes, production is the default and refuses it" {
    run_machine attributes
    [[ "$output" == *"kss 1 debug 0"* ]] && [ "$(built debug)" = false ]
    annotate mode debug
    run_machine attributes
    [[ "$output" == *"kss 1 debug 1"* ]]
    annotate mode production
    run_machine attributes
    [[ "$output" == *"kss 1 debug 0"* ]]
}

@test "an emulated enclave says what it is: in its report, to programs, in the log" {
    run_machine report
    [ "$status" -eq 0 ]
    grep -Ex '[0-9a-f]{864}' <<<"$output" | tail -1 | xxd -r -p >"$BATS_TEST_TMPDIR/report"
    run -0 sgx-tools report "$BATS_TEST_TMPDIR/report"
    [[ "${lines[0]}" == processor*EMULATED* ]]
    [[ "$output" == *"cpu-svn"*"0000000000000000454d554c41544544"* ]]
    head -c 384 "$BATS_TEST_TMPDIR/report" >"$BATS_TEST_TMPDIR/body"
    printf '\001' | dd of="$BATS_TEST_TMPDIR/body" conv=notrunc status=none
    run -0 sgx-tools report "$BATS_TEST_TMPDIR/body"
    [[ "$output" != *EMULATED* ]]
    run -0 sgx-tools verify "$BATS_TEST_TMPDIR/report"
    [[ "$output" == *"verified: EMULATED"* ]]
    cp "$BATS_TEST_TMPDIR/report" "$BATS_TEST_TMPDIR/other"
    printf '\001' | dd of="$BATS_TEST_TMPDIR/other" seek=70 bs=1 conv=notrunc status=none
    run -1 sgx-tools verify "$BATS_TEST_TMPDIR/other"
    [[ "${#lines[@]}" -eq 1 && "$output" == *"not made by an emulated enclave of this machine"* ]]
    printf '\001' | dd of="$BATS_TEST_TMPDIR/other" conv=notrunc status=none # the CPUSVN of a processor
    run -1 sgx-tools verify "$BATS_TEST_TMPDIR/other"
    [[ "${#lines[@]}" -eq 1 && "$output" == *"does not say that it is of an emulated enclave"* ]]
    head -c 512 /dev/urandom >"$BATS_TEST_TMPDIR/target"
    run -1 sgx-tools verify --target "$BATS_TEST_TMPDIR/target" "$BATS_TEST_TMPDIR/report"
    run -1 sgx-tools verify "$BATS_TEST_TMPDIR/body"
    [[ "$output" == *"not a report of 432 bytes"* ]]
    annotate mode debug # what an enclave that is not for debugging says are warnings
    annotate runtime.loglevel info
    arguments /bin/machine attestation
    run rune --debug run --bundle "$bundle" "$id"
    echo "$output"
    [ "$status" -eq 0 ] && [[ "$output" == *"LibOS started in an emulated enclave"* && "$output" == *$'\n'"emulated"* ]]
}

@test "a target that the processor would not report to is refused, and the enclave goes on" {
    run_machine target
    [ "$status" -eq 0 ] && [[ "$output" == *"5 refused"* ]]
}

@test "report data are the writer's, or its session's: never another user's or session's" {
    configure 'c["process"]["capabilities"] = {s: ["CAP_SETUID"] for s in ("bounding", "effective", "permitted")}'
    run_machine reportdata
    [ "$status" -eq 0 ] && [[ "$output" == *0AABABCBC0DBE* ]]
}

@test "keys by MRSIGNER are refused where the machine has the signing key" {
    run_machine signerkey
    [ "$status" -eq 0 ] && [[ "$output" == *"signer key: Permission denied"* && "$output" == *"sign elsewhere"* ]]
}

@test "environment variables say the same, and do not reach the application" {
    configure "c['process']['env'] += ['ENCLAVE_MODE=debug', 'ENCLAVE_KSS=false', 'ENCLAVE_SIZE=8G', 'ENCLAVE_MEMORY=100M', 'ENCLAVE_THREADS=30']"
    run_machine attributes
    [[ "$output" == *"kss 0 debug 1"* ]]
    [ "$(built enclaveSize) $(built memoryLimit) $(built kss)" = "8589934592 104857600 false" ]
    run_machine environment ENCLAVE_
    [ "$status" -eq 0 ] && [[ "$output" != *ENCLAVE_* ]]
}

@test "a setting that cannot be is refused in one line" {
    for wrong in mode=fast size=3G size=64 memory=1M memory=lots threads=0 threads=many kss=maybe sgx2=2 aexnotify=maybe; do
        configure "c['annotations'] = {'enclave.type': 'simulatedSgx', 'enclave.${wrong%%=*}': '${wrong#*=}'}"
        refused "enclave.${wrong%%=*}" rune run --bundle "$bundle" "$id"
    done
    configure "c['annotations'] = {'enclave.type': 'simulatedSgx'}"
    RUNE_SGX_EMULATOR_EPC=64k refused RUNE_SGX_EMULATOR_EPC rune run --bundle "$bundle" "$id"
    RUNE_SGX_EMULATOR_FEATURES=sgx3 refused RUNE_SGX_EMULATOR_FEATURES rune run --bundle "$bundle" "$id"
}

@test "an EPC smaller than what the container uses: pages go out and come back" {
    RUNE_SGX_EMULATOR_EPC=12M run_machine memory 40
    [ "$status" -eq 0 ] && [[ "$output" == *good* ]]
    RUNE_SGX_EMULATOR_EPC=12M RUNE_SGX_EMULATOR_FEATURES=sgx1 run_machine memory 40
    [ "$status" -eq 0 ] && [[ "$output" == *good* ]]
}

@test "an EPC that is used up ends the process that wanted more, or the start, with the setting's name" {
    RUNE_SGX_EMULATOR_EPC=12M,4M run_machine memory 40
    [ "$status" -eq 137 ] && [[ "$output" == *RUNE_SGX_EMULATOR_EPC* ]]
    arguments /bin/machine memory 1
    export RUNE_SGX_EMULATOR_FEATURES=sgx1
    RUNE_SGX_EMULATOR_EPC=12M,4M refused RUNE_SGX_EMULATOR_EPC rune run --bundle "$bundle" "$id"
}

@test "forked processes that together want more than the limit: some are killed, the others go on" {
    configure "c['linux']['resources'] = {'memory': {'limit': 67108864}}"
    run_machine crowd 12
    [ "$status" -eq 0 ] && [[ "$output" == *"crowd: some good, some killed, 0 wrong"* ]]
    [[ "$output" == *"out of enclave memory while switching between forked processes"*"enclave.memory"* ]]
    run_machine crowd 2
    [ "$status" -eq 0 ] && [[ "$output" == *"crowd: some good, none killed, 0 wrong"* ]]
}

@test "a Debian image with Python on SGX1 gives the same output as an ordinary container" {
    local images=${RUNE_CHECK_IMAGES:-$repo/build/images}
    "$repo/tests/images/make-image.sh" "$images/debian-python" 2>/dev/null
    configure "c['root'] = {'path': '$images/debian-python/rootfs', 'readonly': True}" \
        "c['mounts'].append({'destination': '/tmp', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['mode=1777']})" \
        "c['annotations'] = {}"
    arguments /bin/bash -c 'cd /usr/share/doc && for d in a* b*; do echo $d $(find $d -type f | wc -l); done | sort | sha256sum
        python3 -c "import json, subprocess, threading
out = []
t = [threading.Thread(target=lambda i=i: out.append(i * i)) for i in range(4)]
[x.start() for x in t]; [x.join() for x in t]
print(json.dumps(sorted(out)), subprocess.run([\"/bin/echo\", \"hi\"], capture_output=True).stdout)"; (exit 7)'
    run rune run --bundle "$bundle" "$id-plain"
    local plain="$output" code=$status
    export RUNE_SGX_EMULATOR_FEATURES=sgx1
    run bash -c "'$RUNE' --root '$state' --enclave run --bundle '$bundle' '$id' 2>/dev/null"
    echo "$output"
    [ "$status" -eq 7 ] && [ "$code" -eq 7 ] && [ "$output" = "$plain" ]
}
