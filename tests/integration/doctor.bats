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
    services=$BATS_TEST_TMPDIR/services
    mkdir "$services"
    echo good >"$services/aesmd"
    echo good >"$services/pccs"
    serve
}

teardown() {
    [ -z "${listener:-}" ] || kill "$listener" 2>/dev/null || true
}

serve() { # [CERTIFICATE]: an aesmd and a PCCS, which answer as $services says
    rm -f "$services/port" "$root/var/run/aesmd/aesm.socket"
    python3 "$BATS_TEST_DIRNAME/programs/quoting-services.py" "$root/var/run/aesmd/aesm.socket" "$services" "$@" 3>&- &
    listener=$!
    for _ in $(seq 1 200); do [ -e "$services/port" ] && break; sleep 0.05; done
    pccs "http://127.0.0.1:$(cat "$services/port")"
}

allow_emulator() { # allow or deny
    echo "{\"emulator\": \"$1\"}" >"$RUNE_CONFIG"
    chmod 600 "$RUNE_CONFIG"
}

pccs() { # URL [OTHER LINES]
    printf '%s\n' "// comment" "{ \"pccs_url\": \"$1/sgx/certification/v4/\"${2:-}" "}" >"$root/etc/sgx_default_qcnl.conf"
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
    echo '{"builder": {"gc": "prune"}}' >"$root/etc/docker/daemon.json"
    mkdir "$root/etc/containers"
    printf '%s\n' '[engine.runtimes]' ' # rune = ["/usr/bin/rune"]' 'runes = 1' >"$root/etc/containers/containers.conf"
    first 2 engines "no engine"
    echo 'rune = ["/usr/bin/rune"]' >>"$root/etc/containers/containers.conf"
    "$RUNE" doctor --sysroot "$root" | grep -q 'engines .*configured: podman$'
}

# answers CHECK SEVERITY TEXT: what one check says; in time
answers() {
    run timeout -k 5 40 "$RUNE" doctor --sysroot "$root" --json
    jq -r ".checks[] | select(.check == \"$1\") | .severity, .text, .remedy" <<<"$output" >"$services/said"
    if [ "$(head -1 "$services/said")" != "$2" ] || [[ "$(sed -n 2p "$services/said")" != *"$3"* ]] || grep -q "$(printf '[\001-\010\013-\037]')" "$services/said"; then
        echo "$1, $(cat "$services/$1"): $(cat -v "$services/said")"
        return 1
    fi
}

@test "doctor: aesmd is asked, and what it answers is told" {
    local how
    answers aesmd ok "the platform is registered"
    while IFS=: read -r how text; do
        echo "$how" >"$services/aesmd"
        answers aesmd warning "$text"
    done <<'END'
unregistered:there is no certificate of this platform: register it
short:no target information of 512 bytes
noise:aesmd
huge:impossible length
cut:cut short
silent:did not answer in time
END
    kill "$listener"
    wait "$listener" 2>/dev/null || true
    answers aesmd warning "no aesmd is running"
    rm -r "$root/var/run/aesmd"
    answers aesmd warning "no aesmd is running"
}

@test "doctor: the PCCS is asked, and what it answers is told" {
    local how text
    answers pccs ok "answers"
    while IFS=: read -r how text; do
        echo "$how" >"$services/pccs"
        answers pccs warning "$text"
    done <<'END'
web:is no PCCS
missing:HTTP status 404: what listens there is no PCCS
broken:HTTP status 502
redirect:which is not followed
noise:the PCCS does not serve
huge:too long
headers:the PCCS does not serve
drip:too slow
silent:too slow
END
    kill "$listener"
    wait "$listener" 2>/dev/null || true
    answers pccs warning "does the service run?"
    pccs http://127.0.0.1:1 ' "use_secure_cert": false'
    answers pccs warning "the quoting library cannot read /etc/sgx_default_qcnl.conf: line 2"
    pccs http://127.0.0.1:1 ' /* two
lines */, "comment": "// \"none" // one'
    answers pccs warning "does the service run?"
    pccs "ftp://127.0.0.1"
    answers pccs warning "no PCCS is configured"
    rm "$root/etc/sgx_default_qcnl.conf"
    answers pccs warning "no PCCS is configured"
}

@test "doctor: a PCCS with a certificate of its own is taken where the quoting library takes it" {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$services/key" -out "$services/cert" -days 1 -subj /CN=localhost 2>/dev/null
    cat "$services/cert" "$services/key" >"$services/both"
    kill "$listener"
    serve "$services/both"
    local url
    url=https://127.0.0.1:$(cat "$services/port")
    pccs "$url"
    answers pccs warning "the certificate that vouches for the service"
    pccs "$url" ', "use_secure_cert": true'
    answers pccs warning "the certificate that vouches for the service"
    pccs "$url" ', "use_secure_cert": false'
    answers pccs ok "answers"
    printf '%s\n' "PCCS_URL=$url/sgx/certification/v4/" USE_SECURE_CERT=FALSE >"$root/etc/sgx_default_qcnl.conf"
    answers pccs ok "answers"
}

@test "doctor: whatever its files are, it answers in time and with little memory" {
    local file kind wrong=0 bombs=$BATS_TEST_TMPDIR/bombs
    mkdir -p "$bombs" "$root/etc"/{containerd,containers} "$root/etc/crio/crio.conf.d"
    mkdir "$bombs/directory"
    mkfifo "$bombs/fifo"
    ln -s /dev/zero "$bombs/endless"
    ln -s nowhere "$bombs/dangling"
    ln -s loop "$bombs/loop"
    : >"$bombs/empty"
    head -c 65536 /dev/urandom >"$bombs/noise"
    truncate -s 8G "$bombs/sparse"
    python3 -c 'print("[" * 900000)' >"$bombs/lists"
    python3 -c 'print("runes/*" * 140000)' >"$bombs/runes"
    python3 -c 'print("{\"pccs_url\": \"https://" + "a" * 900000 + "\"")' >"$bombs/url"
    python3 -c 'print("x /dev " + "y" * 900000)' >"$bombs/long"
    local files=(etc/sgx_default_qcnl.conf etc/docker/daemon.json etc/containerd/config.toml etc/containers/containers.conf etc/crio/crio.conf.d/rune.conf
        sys/fs/cgroup/cgroup.controllers sys/fs/cgroup/memory proc/self/mounts proc/cpuinfo dev/sgx_enclave dev/sgx_provision dev/cpu/0/msr
        usr/bin/mkfs.erofs var/lib/rune/keys/signing-key.pem var/lib/rune/images var/run/aesmd/aesm.socket sys/devices/system/cpu/vulnerabilities/mmio_stale_data)
    for kind in "$bombs"/*; do
        for file in "${files[@]}"; do
            mkdir -p "$(dirname "$root/$file")"
            [ ! -d "$root/$file" ] || [ -L "$root/$file" ] || rm -r "${root:?}/$file"
            ln -sfn "$kind" "$root/$file"
        done
        run bash -c 'ulimit -v 1000000; ulimit -c 0; exec timeout -k 5 30 "$1" doctor --sysroot "$2" --json </dev/null' - "$RUNE" "$root"
        if { [ "$status" -ne 0 ] && [ "$status" -ne 2 ] && [ "$status" -ne 3 ]; } || [ "${#output}" -gt 20000 ] ||
            [ "$(jq -r '.checks | length' <<<"$output")" -ne 16 ]; then
            echo "${kind##*/}: status $status: ${output:0:300}"
            wrong=1
        fi
    done
    return $wrong
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
