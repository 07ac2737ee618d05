#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The emulator with a protection key for enclave memory, which the guest's processor has: host code that touches it ends the
# process. Everything else goes on as ever: the emulator's own tests, and the LibOS's with all that the host does for them.
# Without those that the emulated machine is too slow for: timers and registers by their own limits, mappings.
# layouts: unified
# drivers: cgroupfs
# programs: process signals threads exec polling sockets mqueue files pipes groups forks sysv

setup() {
    [ -d /rune/libos ] || skip "no build beside the stage"
    export RUNE_SGX_EMULATOR_ISOLATE=keys
    mkdir -p /tmp/isolate # goes with the guest
    cd /rune/libos || return 1
}

libos() { # PROGRAM...: natively and in the LibOS
    /rune/tests/libos/run.sh --variants pie --limit 500 --compiled /rune/libos/root \
        --runner "/rune/libos/libos-run --libos /rune/libos/libos.elf --cache /tmp/isolate/cache --key /tmp/isolate/key.pem" "$@"
}

@test "the mode finds what the host does, whatever other threads do meanwhile" {
    ./test-sgx-isolate keys
}

@test "the emulator's tests, the kernel of signals and exits included" {
    ./test-sgx-emulator
}

@test "a host thread that reads the LibOS's memory ends the process" {
    run env LD_PRELOAD=/rune/libos/peek.so ./libos-run --libos libos.elf --cache "/tmp/isolate/cache" --key "/tmp/isolate/key.pem" \
        --rootfs /rune/libos/root -- /bin/process-pie
    echo "$output"
    [ "$status" -eq 134 ]
    [[ "$output" == *"host code touched enclave memory: a read of 0x"*"peek.so+0x"* ]]
}

@test "the LibOS: processes, signals, threads" {
    libos process signals threads exec
}

@test "the LibOS: sockets, polling, queues" {
    libos polling sockets mqueue pipes
}

@test "the LibOS: files" {
    libos files
}

@test "the LibOS: forks, shared memory" {
    libos groups forks sysv
}
