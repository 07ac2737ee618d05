#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tests that need a machine of their own: cgroup v2 and the systemd cgroup driver, in a virtual machine with Debian's
# kernel, emulated in software (no KVM needed). Ends in "N passed, N failed, N skipped"; exit 1 when anything failed.
#
#   vm.sh [-k DIR] [-l LAYOUTS] [-f FILES] [-r FILES] [-t SECONDS] [-s SUMMARY] [-i] STAGE
#
#   -k DIR      keep kernel and root image in DIR and reuse them (default: vm/ beside the stage)
#   -l LAYOUTS  of the cgroups, one boot each: "unified hybrid" (default: both)
#   -f FILES    of tests/vm, or of tests/integration with "# layouts:", by name without .bats ("" for none; default: all)
#   -r FILES    of runc's own bats files ("" for none; default: those that concern cgroups, and checkpoint)
#   -t SECONDS  for one boot with its tests (default 7200)
#   -s SUMMARY  write a page about the run (docs/check-vm.md)
#   -i          no tests: a root shell of the first layout on this terminal, the source tree shared at /host
#
# The guest gets three disks: its root (Debian packages only), and two that are tar archives: the stage with the tests, and
# runc's sources. Its first serial line is the console, the second carries the results. tests/vm/guest-run is what runs there.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
# systemd, and what rune and the tests use.
packages=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,kmod,bats,jq,gawk,busybox-static,uidmap,procps
packages+=,python3,erofs-utils,runc,util-linux,bsdutils,iproute2,libcapstone4,libssl3,libsystemd0,xz-utils
packages+=,criu,iptables,nftables,apparmor,libcmocka0
# Modules of the kernel that the guest uses; what they need comes along.
modules="virtio_pci virtio_blk ext4 crc32c_generic 9pnet_virtio 9p overlay bfq loop"
# What CRIU asks the kernel with about sockets, and holds connections with meanwhile.
modules+=" inet_diag tcp_diag udp_diag raw_diag unix_diag netlink_diag af_packet_diag tun"
modules+=" ip_tables ip6_tables iptable_filter ip6table_filter nf_tables nft_compat xt_mark xt_conntrack nf_conntrack_netlink"
runc_files="cgroups update checkpoint dev events"
keep='' layouts="unified hybrid" files=all runc=$runc_files limit=7200 summary='' interactive=''
while getopts k:l:f:r:t:s:i option; do
    case $option in
    k) keep=$OPTARG ;;
    l) layouts=$OPTARG ;;
    f) files=$OPTARG ;;
    r) runc=$OPTARG ;;
    t) limit=$OPTARG ;;
    s) summary=$OPTARG ;;
    i) interactive=1 ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
stage=$(cd "${1:?usage: vm.sh [-k DIR] [-l LAYOUTS] [-f FILES] [-r FILES] [-t SECONDS] [-s SUMMARY] [-i] STAGE}" && pwd)
for tool in qemu-system-x86_64 mmdebstrap mkfs.ext4 cpio busybox; do
    command -v "$tool" >/dev/null || { echo "vm: $tool is missing"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
done
[ "$(id -u)" = 0 ] || { echo "vm: needs root"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
cache=${keep:-$(dirname "$stage")/vm}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/rune-vm.XXXXXX")
machine=
trap 'if [ -n "$machine" ]; then kill "$machine" 2>/dev/null || true; fi; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

note() {
    printf 'vm: %s\n' "$*" >&2
}

# The archive of one Debian package, unpacked.
fetch_kernel() {
    [ -e "$cache/vmlinuz" ] && return
    note "fetching Debian's kernel"
    local name
    name=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
    (cd "$work" && apt-get -qq download "$name" 2>/dev/null)
    dpkg-deb -x "$work"/linux-image-*.deb "$work/kernel"
    rm -rf "$cache/modules"
    mkdir "$cache/modules"
    mv "$work"/kernel/lib/modules/* "$cache/modules/"
    mv "$work"/kernel/boot/vmlinuz-* "$cache/vmlinuz.part"
    mv "$cache/vmlinuz.part" "$cache/vmlinuz"
}

# copy_modules FROM TO: the named modules and what they need
copy_modules() {
    local from=$1 to=$2 version name line file
    version=$(basename "$from")
    mkdir -p "$to/lib/modules/$version"
    for name in $modules; do
        line=$(grep -E "/$name\.ko:" "$from/modules.dep") || continue
        for file in ${line/:/ }; do
            mkdir -p "$to/lib/modules/$version/$(dirname "$file")"
            cp -n "$from/$file" "$to/lib/modules/$version/$file"
        done
    done
    cp "$from"/modules.{order,builtin,builtin.modinfo} "$to/lib/modules/$version/"
}

make_root() {
    local recipe
    recipe=$(echo "$packages $modules"; declare -f make_root make_initramfs copy_modules)
    [ -e "$cache/root.ext4" ] && [ "$(cat "$cache/root.recipe" 2>/dev/null)" = "$recipe" ] && return
    note "making the guest's root"
    local root=$work/root from
    rm -rf "$root"
    mmdebstrap --quiet --variant=minbase --include="$packages" bookworm "$root"
    from=$(echo "$cache"/modules/*)
    # depmod is in the new root, not necessarily on this machine.
    mkdir -p "$root/lib/modules"
    cp -a "$from" "$root/lib/modules/"
    chroot "$root" depmod "$(basename "$from")"
    cp "$root/lib/modules/$(basename "$from")/modules.dep" "$from/"
    rm -rf "$root/lib/modules"
    copy_modules "$from" "$root"
    chroot "$root" depmod "$(basename "$from")"
    # Started by nobody, and slow in an emulated machine.
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
    ln -sf /dev/null "$root/etc/systemd/system/getty.target"
    local unit
    for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
        fstrim.timer systemd-update-utmp.service systemd-firstboot.service remote-fs.target systemd-timesyncd.service \
        getty@tty1.service serial-getty@ttyS0.service systemd-networkd.service ldconfig.service \
        systemd-journal-catalog-update.service systemd-journal-flush.service apparmor.service nftables.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    echo rune-vm >"$root/etc/hostname"
    printf '/dev/vda / ext4 rw,noatime 0 1\n' >"$root/etc/fstab"
    echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
    cat >"$root/etc/systemd/system/rune-tests.service" <<'UNIT'
[Unit]
Description=The tests of rune
After=multi-user.target dbus.socket systemd-logind.service systemd-user-sessions.service
Wants=dbus.socket systemd-logind.service
[Service]
Type=idle
ExecStart=/bin/sh -c 'mkdir -p /rune && tar -C /rune -xf /dev/vdb && exec /rune/tests/vm/guest-run'
StandardInput=file:/dev/ttyS1
StandardOutput=file:/dev/ttyS1
StandardError=inherit
Environment=HOME=/root TERM=dumb
TimeoutStartSec=infinity
Delegate=yes
[Install]
WantedBy=multi-user.target
UNIT
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -sf ../rune-tests.service "$root/etc/systemd/system/multi-user.target.wants/rune-tests.service"
    rm -f "$cache/root.part"
    mkfs.ext4 -q -d "$root" -L root -m 0 -E lazy_itable_init=1 "$cache/root.part" 1536M
    make_initramfs "$root"
    echo "$recipe" >"$cache/root.recipe"
    mv "$cache/root.part" "$cache/root.ext4"
    rm -rf "$root"
}

# Loads the modules that the root disk needs, mounts it and goes there.
make_initramfs() {
    local root=$work/initramfs
    mkdir -p "$root"/{bin,dev,proc,sys,root}
    cp "$(command -v busybox)" "$root/bin/busybox"
    cp -a "$1/lib" "$root/lib.part" 2>/dev/null || true
    rm -rf "$root/lib.part"
    mkdir -p "$root/lib"
    cp -a "$1/lib/modules" "$root/lib/"
    cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for module in virtio_pci virtio_blk crc32c_generic ext4; do
    modprobe $module
done
mount -t ext4 /dev/vda /root || exec sh
umount /sys /proc
mount --move /dev /root/dev
exec switch_root /root /sbin/init
INIT
    chmod 755 "$root/init"
    (cd "$root" && find . | cpio --quiet -o -H newc | gzip -1 >"$cache/initramfs")
}

# pack_libos BUILD TOP: the LibOS's and the emulator's tests, compiled here, for tests/vm/isolate.bats
pack_libos() {
    [ -x "$1/runtimes/libos/libos-run" ] || return 0
    mkdir "$2/libos"
    cp "$1"/runtimes/libos/libos-run "$1"/libos/libos.elf "$1"/tests/unit/sgx/test-sgx-{isolate,emulator} "$2/libos/"
    cc -O1 -shared -fPIC -o "$2/libos/peek.so" "$repo/tests/libos/peek.c"
    # shellcheck disable=SC2046 # one word a program
    "$repo/tests/libos/run.sh" --variants pie --compile "$2/libos/root" $(sed -n 's/^# programs: //p' "$repo/tests/vm/isolate.bats")
    cp -a "$repo/tests/libos" "$2/tests/"
}

# The stage, the tests and how to run them.
pack() {
    local layout=$1 top=$work/pack
    rm -rf "$top"
    mkdir -p "$top/tests"
    cp -a "$stage" "$top/stage"
    cp -a "$repo/tests/vm" "$repo/tests/integration" "$top/tests/"
    pack_libos "$(dirname "$stage")" "$top"
    printf 'layout=%q\nfiles=%q\nrunc=%q\ninteractive=%q\n' "$layout" "$files" "$runc" "$interactive" >"$top/settings"
    tar -C "$top" -cf "$work/pack.tar" .
}

pack_runc() {
    if [ -n "$runc" ] && [ -z "$interactive" ]; then
        "$here/runc-bats.sh" -k "$cache/runc" -f "$runc" -p "$stage" >&2
        mkdir "$work/runc-pack"
        cp -a "$cache/runc/runc" "$cache/runc/bin" "$work/runc-pack/"
        # tar looks at what is in a file, not at its name: unpacked once here instead of for each test there.
        local image
        for image in "$work"/runc-pack/runc/tests/integration/testdata/*.tar.xz; do
            xz -dcf "$image" >"$work/image.tar"
            mv "$work/image.tar" "$image"
        done
        tar -C "$work/runc-pack" -cf "$work/runc.tar" .
        rm -rf "$work/runc-pack"
    else
        truncate -s 1M "$work/runc.tar"
    fi
}

# boot LAYOUT: the machine, with its results on our standard output; in a subshell, which does not come back
boot() {
    local layout=$1 append
    append="root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on"
    append+=" systemd.show_status=false systemd.journald.forward_to_console=0 hugepages=8 tsc=reliable"
    case $layout in
    unified) append+=" systemd.unified_cgroup_hierarchy=1" ;;
    hybrid) append+=" systemd.unified_cgroup_hierarchy=0" ;;
    legacy) append+=" systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1" ;;
    *) echo "vm: no cgroup layout $layout" >&2; exit 2 ;;
    esac
    # No SMAP: at the IRET of user mode, as enclaves end an exception with, this QEMU reads the stack as the kernel would.
    local machine_options=(
        -nodefaults -no-user-config -machine q35 -accel "tcg,thread=multi" -cpu "max,smap=off" -smp 2 -m 2048
        -kernel "$cache/vmlinuz" -initrd "$cache/initramfs" -append "$append"
        -drive "file=$cache/root.ext4,if=virtio,format=raw,snapshot=on,cache=unsafe"
        -drive "file=$work/pack.tar,if=virtio,format=raw,readonly=on"
        -drive "file=$work/runc.tar,if=virtio,format=raw,readonly=on"
        -display none -no-reboot -serial "file:$work/console.$layout" -serial stdio -monitor none
    )
    [ -z "$interactive" ] || machine_options+=(-virtfs "local,path=$repo,mount_tag=host,security_model=none,readonly=on")
    # In place of this subshell, so that its number is that of what has to be ended.
    TMPDIR=$work exec timeout --foreground --kill-after=10 "$limit" qemu-system-x86_64 "${machine_options[@]}"
}

fetch_kernel
make_root
pack_runc
if [ -n "$interactive" ]; then
    pack "${layouts%% *}"
    (boot "${layouts%% *}")
    exit
fi
passed=0 failed=0 skipped=0
for layout in $layouts; do
    note "booting with the $layout layout"
    pack "$layout"
    results=$work/results.$layout
    status=0
    : >"$results"
    boot "$layout" </dev/null >>"$results" &
    machine=$!
    tail --pid="$machine" -n +1 -f "$results" &
    wait "$machine" || status=$?
    machine=
    wait || true
    tr -d '\r' <"$results" >"$results.text"
    cp "$results.text" "$cache/results.$layout"
    cp "$work/console.$layout" "$cache/console.$layout"
    counts=$(sed -n 's/^guest: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$results.text")
    if [ -z "$counts" ]; then
        note "the guest gave no result (status $status); the end of its console:"
        tail -30 "$work/console.$layout" >&2
        counts="0 1 0"
    fi
    read -r ok bad skip <<<"$counts"
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
done
if [ -n "$summary" ]; then
    "$repo/tests/vm/summary" "$cache" $layouts >"$summary.part"
    mv "$summary.part" "$summary"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
