#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The Debian packages, built twice in different folders, are the same bytes; lintian and rpmlint have nothing to say; in a fresh minimal
# Debian they install with all that they need, run containers, are upgraded under running ones, and purge leaves nothing.
#   full-packages.sh STAGE       RUNE_PACKAGES=DIR: these packages in place of new ones
# TAP on standard output.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
for program in dpkg-buildpackage dh lintian rpmbuild rpmlint reprepro createrepo_c mmdebstrap; do
    command -v $program >/dev/null || { echo "ok 1 # SKIP no $program (scripts/deps.sh packages)"; exit 0; }
done
work=$(mktemp -d /tmp/rune-packages.XXXXXX)
root=$work/root
number=0
cleanup() {
    local mount
    ! [ -x "$root/usr/bin/rune" ] || inside sh -c 'rune list -q | xargs -r -n 1 rune delete --force' >/dev/null 2>&1
    for mount in $(awk -v dir="$work/" 'index($2, dir) == 1 {print $2}' /proc/self/mounts | sort -r); do
        umount -l "$mount"
    done
    find /sys/fs/cgroup -depth -type d -path "*/$(basename "$work")*" -exec rmdir {} + 2>/dev/null
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT

check() { # NAME COMMAND...
    local name=$1
    shift
    number=$((number + 1))
    if "$@" >"$work/out" 2>&1; then
        echo "ok $number $name"
    else
        echo "not ok $number $name"
        sed 's/^/# /' "$work/out" | tail -30
    fi
}

inside() { # COMMAND...: in the fresh Debian
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
}

builds() {
    packages=${RUNE_PACKAGES:-$work/first}
    [ -n "${RUNE_PACKAGES:-}" ] || scripts/packages.sh "$packages" deb rpm
}

reproducible() {
    local deb
    scripts/packages.sh "$work/another/folder" deb || return 1
    for deb in "$packages"/*.deb; do
        cmp "$deb" "$work/another/folder/$(basename "$deb")" || return 1
    done
}

clean_deb() {
    lintian --allow-root --fail-on error,warning "$packages"/*.changes
}

clean_rpm() {
    rpmlint --config packaging/rpm/rpmlint.toml "$packages"/*.rpm
}

fresh_root() {
    mmdebstrap --quiet --variant=minbase --include=ca-certificates bookworm "$root" || return 1
    mount --bind "$root" "$root" || return 1 # pivot_root wants a mount point
    mount --rbind /proc "$root/proc" && mount --rbind /sys "$root/sys" && mount --rbind /dev "$root/dev" &&
        mount --make-rslave "$root/sys" && mount --make-rslave "$root/dev" && mount --make-rslave "$root/proc" &&
        mount -t tmpfs tmpfs "$root/run" && mkdir "$root/run/packages" && cp "$packages"/*.deb "$root/run/packages/"
}

tree() { # what is in the root, but for what apt keeps of any installation
    inside find / -xdev -not -path '/var/lib/dpkg*' -not -path '/var/cache*' -not -path '/var/log*' -not -path '/var/lib/apt*' -not -path '/tmp*' | sort
}

installs() {
    tree >"$work/before"
    inside sh -c 'apt-get -qq update && apt-get -qq install -y --no-install-recommends /run/packages/rune_*.deb /run/packages/containerd-shim-rune_*.deb'
}

bundle() { # NAME COMMAND: of a busybox
    local dir=$root/run/$1
    mkdir -p "$dir/rootfs/bin" && cp "$(command -v busybox)" "$dir/rootfs/bin/busybox" && ln -sf busybox "$dir/rootfs/bin/sh"
    ln -sf busybox "$dir/rootfs/bin/sleep"
    (cd "$dir" && inside sh -c "cd /run/$1 && rune spec") || return 1
    /usr/bin/python3 - "$dir/config.json" "$2" "$(basename "$work")-$1" <<'PY'
import json, sys
path, command, name = sys.argv[1:]
config = json.load(open(path))
config["process"].update(terminal=False, args=["/bin/sh", "-c", command])
config["linux"]["cgroupsPath"] = "/" + name
config["annotations"] = {"enclave.exec": "any"}
json.dump(config, open(path, "w"))
PY
}

runs() {
    bundle plain 'echo ran'
    [ "$(inside rune run --bundle /run/plain plain)" = ran ] || return 1
    # Packages allow no emulator; the owner of a machine for development does.
    local said
    said=$(inside rune --enclave run --bundle /run/plain refused 2>&1)
    [[ "$said" == *"/etc/rune/node.json does not allow the emulator"* ]] || { echo "$said"; return 1; }
    echo '{"emulator": "allow"}' >"$root/etc/rune/node.json"
    [ "$(inside rune --enclave run --bundle /run/plain enclave 2>/dev/null)" = ran ]
}

upgraded() {
    local version package name
    bundle one 'while :; do sleep 1; done' && bundle two 'while :; do sleep 1; done' || return 1
    inside sh -c 'rune run -d --bundle /run/one one && rune --enclave run -d --bundle /run/two two' </dev/null >/dev/null 2>&1 || return 1
    version=$(dpkg-deb -f "$packages"/rune_*.deb Version)
    for package in rune containerd-shim-rune; do
        rm -rf "$work/newer"
        dpkg-deb -R "$packages/${package}_${version}_amd64.deb" "$work/newer" || return 1
        sed -i "s/^Version: .*/Version: $version+1/; s/(= $version)/(= $version+1)/" "$work/newer/DEBIAN/control"
        dpkg-deb --root-owner-group -b "$work/newer" "$root/run/packages/$package-newer.deb" >/dev/null || return 1
    done
    inside sh -c 'dpkg --force-confold -i /run/packages/rune-newer.deb /run/packages/containerd-shim-rune-newer.deb' || return 1
    [ "$(inside dpkg-query -W -f '${Version}' rune)" = "$version+1" ] || return 1
    for name in one two; do
        [ "$(inside rune state $name | jq -r .status)" = running ] || return 1
        [ "$(inside rune exec $name /bin/sh -c 'echo still here')" = "still here" ] || return 1
        inside rune kill $name KILL && inside sh -c "i=0; until rune delete $name 2>/dev/null; do i=\$((i + 1)); [ \$i -lt 100 ] || exit 1; sleep 0.1; done" || return 1
    done
}

purges() {
    inside rune install-runtime docker >/dev/null || return 1
    inside apt-get -qq purge -y rune containerd-shim-rune || return 1
    inside apt-get -qq autopurge -y || return 1
    tree >"$work/after"
    diff "$work/before" "$work/after"
}

repositories() {
    scripts/packages.sh "$packages" repository || return 1
    cp -r "$packages/apt" "$root/run/apt" && cp "$packages/rune-repository.asc" "$root/etc/apt/rune.asc" || return 1
    echo 'deb [signed-by=/etc/apt/rune.asc] file:/run/apt stable main' >"$root/etc/apt/sources.list.d/rune.list"
    inside sh -c 'apt-get -qq update && apt-get -qq install -y --no-install-recommends rune && rune --version' || return 1
    [ ! -d "$packages/dnf" ] || gpg --homedir "$packages/gnupg" --verify "$packages/dnf/repodata/repomd.xml.asc"
}

check "packages are built: deb and rpm" builds
check "lintian has nothing to say" clean_deb
check "rpmlint has nothing to say" clean_rpm
check "a fresh minimal Debian" fresh_root
check "apt installs them with all that they need" installs
check "an ordinary and an enclave container run" runs
check "an upgrade keeps containers: exec, kill and delete by the new one" upgraded
check "purge leaves nothing" purges
check "apt installs from the signed repository" repositories
check "another folder makes the same packages" reproducible
echo "1..$number"
