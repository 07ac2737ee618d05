#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The system-call and IPC tests of the Linux Test Project, in an ordinary container and in the enclave: what passes in the first and not in
# the second. The bar is 60 of them (docs/compatibility.md names them and their reasons). TAP.
#
#   LTP_SOURCE=DIR full-ltp.sh STAGE [TEST...]
#
#   LTP_SOURCE  a source tree of LTP, built in place (make autotools; ./configure; make -C lib; make -C testcases/kernel/syscalls).
#               Nothing of it is part of this project; without it the test is skipped.
#   LTP_SECONDS what one test may take (20)
#   LTP_KEEP    a directory for the root, the lists and the outputs; kept
#   TEST        only tests whose names begin so
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
stage=$(realpath "${1:?usage: LTP_SOURCE=DIR full-ltp.sh STAGE [TEST...]}")
shift
seconds=${LTP_SECONDS:-20}
skip() {
    echo "1..0 # skip $1"
    exit 0
}
[ -n "${LTP_SOURCE:-}" ] || skip "LTP_SOURCE is not set"
[ -e "$LTP_SOURCE/testcases/kernel/syscalls/abort/abort01" ] || skip "no built LTP in $LTP_SOURCE"
[ "$(id -u)" -eq 0 ] || skip "not root"
for tool in cc jq mmdebstrap; do
    command -v $tool >/dev/null || skip "$tool is missing"
done

work=${LTP_KEEP:-$(mktemp -d)}
mkdir -p "$work/lists"
[ -n "${LTP_KEEP:-}" ] || trap 'rm -rf --one-file-system "$work"' EXIT
"$here/../images/make-image.sh" "$work" libaio1 libnuma1 libkeyutils1 libacl1 libcap2 libssl3 procps iproute2 || exit 1
root=$work/rootfs bin=$work/rootfs/opt/ltp/testcases/bin
mkdir -p "$bin"
find "$LTP_SOURCE"/testcases/{kernel/syscalls,lib} -type f -perm -100 ! -name '*.o' -exec cp -n {} "$bin/" \;
cc -O1 -static -o "$work/rootfs/opt/ltp/ltp-driver" "$here/ltp-driver.c" || exit 1
if [ -e /proc/config.gz ]; then zcat /proc/config.gz; else cat "/boot/config-$(uname -r)"; fi >"$work/lists/config-ordinary" 2>/dev/null || true
# The LibOS has no groups of real-time scheduling, whatever the host's kernel was built with.
sed 's/^CONFIG_RT_GROUP_SCHED=y/# CONFIG_RT_GROUP_SCHED is not set/' "$work/lists/config-ordinary" >"$work/lists/config-enclave"

# Those that would change the machine's clock, keys of its kernel or its modules are left out for both.
chosen="^(${*:+$(IFS='|'; echo "$*")})"
grep -hv '^#' "$LTP_SOURCE"/runtest/syscalls{,-ipc} | awk -v bin="$bin/" -v chosen="$chosen" '
    $1 !~ /^(reboot|swap|kexec|delete_module|init_module|finit_module|settimeofday|clock_settime|adjtimex|stime|clock_adjtime|quotactl)/ &&
    $1 ~ chosen && !seen[$1]++ && (getline line < (bin $2)) >= 0 { close(bin $2); print }' >"$work/lists/list"

container() { # enclave|ordinary LIST RESULTS
    local bundle=$work/$1 id=ltp-$1-$$ flag=()
    [ "$1" = ordinary ] || flag=(--enclave)
    mkdir -p "$bundle"
    rm -f "$bundle/config.json"
    (cd "$bundle" && "$stage/usr/bin/rune" spec) || return 1
    jq --arg root "$root" --arg lists "$work/lists" --arg seconds "$seconds" --arg kind "$1" --arg list "$2" '
        ([range(41)] | map("CAP_" + (["CHOWN","DAC_OVERRIDE","DAC_READ_SEARCH","FOWNER","FSETID","KILL","SETGID","SETUID","SETPCAP",
            "LINUX_IMMUTABLE","NET_BIND_SERVICE","NET_BROADCAST","NET_ADMIN","NET_RAW","IPC_LOCK","IPC_OWNER","SYS_CHROOT","SYS_PTRACE",
            "SYS_PACCT","SYS_ADMIN","SYS_NICE","SYS_RESOURCE","SYS_TTY_CONFIG","MKNOD","LEASE","AUDIT_WRITE","SETFCAP"][.] // empty))) as $caps |
        .root = {path: $root, readonly: false} | .process.terminal = false | .process.noNewPrivileges = false |
        .process.args = ["/opt/ltp/ltp-driver", "/mnt/\($list)", $seconds] |
        .process.env = ["PATH=/opt/ltp/testcases/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=/tmp", "LTPROOT=/opt/ltp", "LC_ALL=C",
            "HOME=/root", "LTP_TIMEOUT_MUL=3", "LTP_SINGLE_FS_TYPE=tmpfs", "LTP_COLORIZE_OUTPUT=n", "KCONFIG_PATH=/mnt/config-\($kind)"] |
        (.process.capabilities | select(. != null) | keys) as $sets | .process.capabilities = ($sets | map({(.): $caps}) | add) |
        .process.capabilities.inheritable = [] | .process.capabilities.ambient = [] | .process.rlimits = [] |
        .linux.seccomp = null | .linux.maskedPaths = [] | .linux.readonlyPaths = [] |
        .linux.resources = {memory: {limit: 4294967296}, pids: {limit: 2000}, devices: [{allow: true, access: "rwm"}]} |
        .mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["mode=1777", "size=1g"]},
            {destination: "/mnt", type: "bind", source: $lists, options: ["bind", "ro"]}]' "$bundle/config.json" >"$bundle/new" &&
        mv "$bundle/new" "$bundle/config.json"
    "$stage/usr/bin/rune" "${flag[@]}" run --bundle "$bundle" "$id" >"$work/$3.log" 2>&1 </dev/null
    "$stage/usr/bin/rune" delete --force "$id" 2>/dev/null || true
    grep '^result ' "$work/$3.log" | awk '{ print $2, $3 }' | sort >"$work/$3.results"
}

container ordinary list ordinary
container enclave list enclave
echo 1..3
[ -s "$work/ordinary.results" ] && echo "ok 1 - the ordinary container ran $(wc -l <"$work/ordinary.results") tests" || echo "not ok 1 - ordinary"
[ "$(wc -l <"$work/enclave.results")" -eq "$(wc -l <"$work/ordinary.results")" ] &&
    echo "ok 2 - the enclave ran them to the end" || echo "not ok 2 - the enclave ended early: $(tail -1 "$work/enclave.log")"
join "$work/ordinary.results" "$work/enclave.results" | awk '$2 == 0 && $3 != 0 { print $1, $3 }' >"$work/first"
# Some measure time, which a busy machine does not have: what failed is run a second time, and counts when it fails again.
awk 'NR == FNR { failed[$1] = 1; next } $1 in failed' "$work/first" "$work/lists/list" >"$work/lists/again"
: >"$work/again.results"
[ -s "$work/lists/again" ] && container enclave again again
join -a 1 "$work/first" "$work/again.results" | awk '$3 != "0" { print $1, $3 == "" ? $2 : $3 }' >"$work/only-ordinary"
sed 's/^/# only in the ordinary container: /' "$work/only-ordinary"
count=$(wc -l <"$work/only-ordinary")
if [ "$count" -le 60 ]; then echo "ok 3 - $count pass only in the ordinary container"; else echo "not ok 3 - $count pass only in the ordinary container"; fi
