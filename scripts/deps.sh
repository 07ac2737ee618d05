#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Install the Debian packages of the named sets that are missing (with NO_DEPS=1: only name them, exit 1): build, demo, test, conformance, clients, bench, fuzz, vm, packages, k8s, lint.
set -euo pipefail

declare -A sets=(
    [build]="gcc libc6-dev make meson ninja-build pkg-config python3 binutils libjansson-dev libseccomp-dev
             libcap-dev libssl-dev libcapstone-dev nettle-dev libsystemd-dev libprotobuf-c-dev protobuf-c-compiler libcurl4-openssl-dev libarchive-dev libyaml-dev libevent-dev
             erofs-utils lowdown"
    [demo]="mmdebstrap erofs-utils jq"
    [test]="bats libcmocka-dev cryptsetup-bin mmdebstrap musl-tools clang libclang-rt-14-dev python3
            jq gawk runc strace uidmap util-linux procps iproute2 xz-utils bzip2 dpkg-dev busybox-static cpio criu zstd curl openssl softhsm2 libengine-pkcs11-openssl"
    [conformance]="crun mmdebstrap bsdutils"
    [clients]="docker.io containerd podman conmon iptables netavark containernetworking-plugins busybox-static bsdutils
               python3-grpcio python3-websocket protobuf-compiler"
    [bench]="runc crun containerd hyperfine busybox-static"
    [fuzz]="clang libclang-rt-14-dev"
    [lint]="cppcheck clang-tidy clang-format shellcheck"
    [packages]="debhelper dpkg-dev lintian rpm rpmlint reprepro createrepo-c gnupg mmdebstrap busybox-static jq"
    [k8s]="containerd runc containernetworking-plugins iptables iproute2 openssl dpkg-dev xz-utils bsdutils busybox-static"
    [vm]="qemu-system-x86 mmdebstrap cpio e2fsprogs busybox-static dpkg-dev runc bats jq gawk bsdutils xz-utils"
)

missing=()
for set in "$@"; do
    [ -n "${sets[$set]:-}" ] || { echo "deps.sh: no package set '$set' (${!sets[*]})" >&2; exit 1; }
    for package in ${sets[$set]}; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || [ -n "${NO_DEPS:-}" ]; then
    echo "deps.sh: these packages are missing, install them as root: ${missing[*]}" >&2
    exit 1
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# Services of packages that tests need must not start on this machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap 'rm -f $policy' EXIT
fi
apt-get -qq install --no-install-recommends -y -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
