#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# rune doctor on machines that the test makes up: a directory in place of /, words in place of CPUID.

setup() {
    [ -x "$RUNE" ] || skip "no rune at $RUNE (make stage)"
    root=$BATS_TEST_TMPDIR/root
    mkdir -p "$root"/{dev,proc/self,etc/docker,usr/bin,sys/fs/cgroup,var/lib/rune/{keys,images},var/run/aesmd}
    echo "cpu memory pids" >"$root/sys/fs/cgroup/cgroup.controllers"
    echo '{"runtimes": {"rune": {}}}' >"$root/etc/docker/daemon.json"
    touch "$root/dev/sgx_enclave" "$root/dev/sgx_provision"
    printf '#!/bin/sh\n' >"$root/usr/bin/mkfs.erofs"
    chmod 755 "$root/usr/bin/mkfs.erofs"
    chmod 700 "$root/var/lib/rune/images"
    echo "udev /dev devtmpfs rw,nosuid 0 0" >"$root/proc/self/mounts"
    sgx-tools keygen "$root/var/lib/rune/keys/signing-key.pem"
    export RUNE_DOCTOR_CPU="GenuineIntel sgx sgx1 sgx2 flc kss epc=512 device vdso"
    export RUNE_CONFIG=$BATS_TEST_TMPDIR/node.json
    allow_emulator deny
    # aesmd and a PCCS: something that listens
    ports=$BATS_TEST_TMPDIR/port
    python3 - "$root/var/run/aesmd/aesm.socket" "$ports" 3>&- <<'PY' &
import os, socket, sys, time
a = socket.socket(socket.AF_UNIX); os.chdir(os.path.dirname(sys.argv[1])); a.bind("aesm.socket"); a.listen()
p = socket.create_server(("127.0.0.1", 0))
open(sys.argv[2] + ".tmp", "w").write(str(p.getsockname()[1])); os.rename(sys.argv[2] + ".tmp", sys.argv[2])
time.sleep(300)
PY
    listener=$!
    for _ in $(seq 1 200); do [ -e "$ports" ] && break; sleep 0.05; done
    pccs "$(cat "$ports")"
}

teardown() {
    [ -z "${listener:-}" ] || kill "$listener" 2>/dev/null || true
}

allow_emulator() { # allow or deny
    echo "{\"emulator\": \"$1\"}" >"$RUNE_CONFIG"
    chmod 600 "$RUNE_CONFIG"
}

pccs() { # PORT
    echo "{ \"pccs_url\": \"https://127.0.0.1:$1/sgx/certification/v4/\" }" >"$root/etc/sgx_default_qcnl.conf"
}

# first STATUS CHECK TEXT: the exit status, and what is named first
first() {
    run "$RUNE" doctor --sysroot "$root"
    echo "$output"
    [ "$status" -eq "$1" ]
    [[ "${lines[0]}" == "$2: "*"$3"* ]]
    [[ "${lines[1]}" == "To do: "* ]]
    run "$RUNE" doctor --sysroot "$root" --json
    [ "$status" -eq "$1" ]
    [ "$(jq -r .first <<<"$output")" = "$2" ]
}

@test "doctor: nothing is wrong on a good node" {
    [ "$(id -u)" -eq 0 ] || skip "the configuration file has to be root's"
    run "$RUNE" doctor --sysroot "$root"
    echo "$output"
    # The processor of this machine has its own defences, which nobody made up.
    [ "$status" -eq 0 ] || [ "${lines[0]%%:*}" = defences ]
    [[ "$output" == *"What works: ordinary and enclave containers."* ]]
    [[ "$output" != *fault* ]]
}

@test "doctor: what stops enclaves is a fault, and comes first" {
    [ "$(id -u)" -eq 0 ] || skip "the configuration file has to be root's"
    RUNE_DOCTOR_CPU="GenuineIntel" first 3 processor "the firmware hides it"
    RUNE_DOCTOR_CPU="GenuineIntel sgx" first 3 processor "firmware has not switched it on"
    RUNE_DOCTOR_CPU="GenuineIntel sgx sgx1" first 3 processor "flexible launch control"
    RUNE_DOCTOR_CPU="GenuineIntel sgx sgx1 sgx2 flc kss device vdso" first 3 "enclave memory" "0 MiB"
    RUNE_DOCTOR_CPU="GenuineIntel sgx sgx1 sgx2 flc kss epc=512 vdso" first 3 kernel "/dev/sgx_enclave"
    RUNE_DOCTOR_CPU="GenuineIntel sgx sgx1 sgx2 flc kss epc=512 device" first 3 kernel "vDSO"
    echo "udev /dev devtmpfs rw,noexec 0 0" >"$root/proc/self/mounts"
    first 3 devices noexec
    echo "udev /dev devtmpfs rw 0 0" >"$root/proc/self/mounts"
    rm "$root/usr/bin/mkfs.erofs"
    first 3 packer "mkfs.erofs"
}

@test "doctor: what leaves enclaves with less is a warning" {
    [ "$(id -u)" -eq 0 ] || skip "the configuration file has to be root's"
    RUNE_DOCTOR_CPU="GenuineIntel sgx sgx1 flc kss epc=512 device vdso" first 2 features "no SGX2"
    RUNE_DOCTOR_CPU="GenuineIntel sgx sgx1 sgx2 flc epc=512 device vdso" first 2 features "no KSS"
    RUNE_DOCTOR_CPU="GenuineIntel sgx sgx1 sgx2 flc kss epc=64 device vdso" first 2 "enclave memory" "64 MiB"
    allow_emulator allow
    first 2 "software SGX" "allows emulated enclaves"
    allow_emulator deny
    echo cpu >"$root/sys/fs/cgroup/cgroup.controllers"
    first 2 cgroups "memory"
    echo "memory pids" >"$root/sys/fs/cgroup/cgroup.controllers"
    chmod 644 "$root/var/lib/rune/keys/signing-key.pem"
    first 2 "signing key" "read by others"
    chmod 600 "$root/var/lib/rune/keys/signing-key.pem"
    chmod 777 "$root/var/lib/rune/images"
    first 2 "image cache" "others"
    chmod 700 "$root/var/lib/rune/images"
    echo '{}' >"$root/etc/docker/daemon.json"
    first 2 engines "no engine"
}

@test "doctor: aesmd and PCCS that do not answer are told" {
    answer() { # CHECK
        "$RUNE" doctor --sysroot "$root" --json | jq -r ".checks[] | select(.check == \"$1\") | .severity"
    }
    [ "$(answer aesmd)" = ok ]
    [ "$(answer pccs)" = ok ]
    kill "$listener"
    wait "$listener" 2>/dev/null || true
    [ "$(answer aesmd)" = warning ]
    [ "$(answer pccs)" = warning ]
    rm "$root/etc/sgx_default_qcnl.conf"
    [ "$(answer pccs)" = warning ]
}

@test "doctor: without SGX it says what works, as the owner of the node has it" {
    [ "$(id -u)" -eq 0 ] || skip "the configuration file has to be root's"
    export RUNE_DOCTOR_CPU="AuthenticAMD"
    first 3 processor "AuthenticAMD has no SGX"
    "$RUNE" doctor --sysroot "$root" --json | jq -r .works | grep -q 'ordinary containers; conversion'
    allow_emulator allow
    first 2 processor "AuthenticAMD has no SGX"
    "$RUNE" doctor --sysroot "$root" --json | jq -r .works | grep -q 'in the software SGX, for development'
}
