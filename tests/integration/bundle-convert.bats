#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Bundle conversion by rune-image: the sealed image, the cache, and what goes wrong.

load common

tool=$RUNE_STAGE/usr/bin/rune-image
[ -x "$tool" ] || tool=$repo/build/src/tools/rune-image

setup() {
    [ -x "$tool" ] || skip "no rune-image at $tool"
    work=$(mktemp -d "${TMPDIR:-/tmp}/bundle-test.XXXXXX")
    cache=$work/cache
    make_root "$work/root"
    pids=()
}

teardown() {
    [ -n "${work:-}" ] || return 0
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    for mount in "$work"/mnt "$work"/small "$work"/merged "$work"/other; do
        mountpoint -q "$mount" && umount "$mount"
    done
    rm -rf "$work"
}

# A root with the kinds of objects that images have.
make_root() {
    mkdir -p "$1"/{etc,usr/bin,usr/lib,var/empty,tmp}
    cp /bin/true /bin/cat /lib/x86_64-linux-gnu/libc.so.6 "$1/usr/bin"
    echo "some text" >"$1/etc/motd"
    ln "$1/etc/motd" "$1/etc/motd-hard"
    ln -s ../etc/motd "$1/usr/link"
    head -c 5000000 /dev/zero | tr '\0' x >"$1/usr/lib/big"
    mkfifo "$1/var/fifo"
    chmod 1777 "$1/tmp"
    touch -d '2001-02-03 04:05:06.789' "$1/etc/motd"
    for i in $(seq 400); do echo "$i" >"$1/var/empty/file-number-$i"; done
    after_a_tick # as any image is
}

# A stand-in for the LibOS: conversion only lays it out.
make_libos() {
    cat >"$work/libos.c" <<'C'
static int value = 5;
int *pointer = &value;
__attribute__((visibility("default"))) void _start(void)
{
    __asm__ volatile("771: .byte 0x0f, 0x01, 0xd7, 0x0f, 0x1f, 0x44, 0x00, 0x00\n\t"
                     ".pushsection .enclu_sites, \"a\", @progbits\n\t.long 771b - .\n\t.popsection" ::: "memory");
    for (;;)
        *(volatile int *)pointer = 1;
}
C
    gcc -O1 -nostdlib -static-pie -fpie -fcf-protection=none -Wl,-z,separate-code,-z,max-page-size=4096,-z,norelro,--build-id=none \
        -o "$work/libos.elf" "$work/libos.c"
}

convert() { # ROOT [OPTIONS]
    local root=$1
    shift
    "$tool" convert --quiet --cache "$cache" --image-only "$@" "$root"
}

field() { sed -n "s/^$1  *\([^ ]*\).*/\1/p"; }

info() { # DIR KEY
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1/info.json" "$2"
}

entries() { find "$cache" -mindepth 1 -maxdepth 1 | wc -l; }

# refused PATTERN COMMAND...: exit code 1 and one line that contains PATTERN
refused() {
    local pattern=$1
    shift
    run "$@"
    [ "$status" -eq 1 ] || { echo "status $status: $output"; return 1; }
    [ "${#lines[@]}" -eq 1 ] || { echo "more than one line: $output"; return 1; }
    [[ "$output" == *"$pattern"* ]] || { echo "no '$pattern' in: $output"; return 1; }
}

@test "veritysetup verifies the image, and the kernel mounts it with the same files" {
    convert "$work/root" >"$work/out"
    image=$(field image <"$work/out")
    hash=$(sed -n 's/^root hash  *//p' "$work/out")
    offset=$(info "$(dirname "$image")" hashOffset)
    veritysetup verify "$image" "$image" "$hash" --hash-offset="$offset"
    run veritysetup verify "$image" "$image" "${hash:1}0" --hash-offset="$offset"
    [ "$status" -ne 0 ]
    "$tool" verify "$image"
    [ "$(id -u)" -eq 0 ] || skip "mounting needs root"
    mkdir "$work/mnt"
    mount -t erofs -o loop,ro "$image" "$work/mnt" || skip "the kernel has no EROFS"
    diff <(cd "$work/root" && find . -printf '%p %y %m %U %G %s %n %T@ %l\n' | grep -v '^\S* d' | sort) \
        <(cd "$work/mnt" && find . -printf '%p %y %m %U %G %s %n %T@ %l\n' | grep -v '^\S* d' | sort)
    # The root's own time is none of the image's: it is another one in each place.
    touch -d @0 "$work/root"
    diff <(cd "$work/root" && find . -type d -printf '%p %m %U %G %n %T@\n' | sort) \
        <(cd "$work/mnt" && find . -type d -printf '%p %m %U %G %n %T@\n' | sort)
    (cd "$work/root" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$work/sums"
    (cd "$work/mnt" && sha256sum --quiet -c "$work/sums")
}

@test "a second run converts nothing, and is fast" {
    convert "$work/root" >"$work/first"
    inode=$(stat -c %i "$(field image <"$work/first")")
    convert "$work/root" --mkfs /bin/false >"$work/second"
    grep -q '(cached)' "$work/second"
    [ "$inode" = "$(stat -c %i "$(field image <"$work/second")")" ]
    [ "$(entries)" -eq 1 ]
}

@test "two copies of one root in different places have the same root hash and MRENCLAVE" {
    make_libos
    mkdir -p "$work/elsewhere/deep"
    cp -a "$work/root" "$work/elsewhere/deep/copy"
    for root in "$work/root" "$work/elsewhere/deep/copy"; do
        "$tool" convert --quiet --cache "$cache" --libos "$work/libos.elf" --key "$work/key.pem" "$root" >>"$work/out"
    done
    [ "$(grep -c '^root hash' "$work/out")" -eq 2 ]
    [ "$(grep '^root hash' "$work/out" | sort -u | wc -l)" -eq 1 ]
    [ "$(grep '^MRENCLAVE' "$work/out" | sort -u | wc -l)" -eq 1 ]
    [ "$(grep '^MRSIGNER' "$work/out" | sort -u | wc -l)" -eq 1 ]
    images=("$cache"/*/image)
    [ ${#images[@]} -eq 2 ]
    cmp "${images[0]}" "${images[1]}"
    enclaves=("$cache"/*/enclave-*/enclave)
    cmp "${enclaves[0]}" "${enclaves[1]}"
    # ... and it is what an independent computation over the file gives.
    [ "$(field MRENCLAVE <"$work/out" | head -1)" = "$(python3 "$repo/tests/conformance/mrenclave.py" "${enclaves[0]}")" ]
    [ "$(stat -c %a "$work/key.pem")" = 600 ]
}

@test "every kind of change gives another image" {
    convert "$work/root" >/dev/null
    n=1
    change() {
        after_a_tick
        eval "$1"
        convert "$work/root" >"$work/out"
        n=$((n + 1))
        [ "$(entries)" -eq $n ] || { echo "not noticed: $1"; return 1; }
        ! grep -q cached "$work/out"
    }
    # same size, and the mtime put back
    change 'printf X | dd of="$work/root/etc/motd" conv=notrunc status=none && touch -d "2001-02-03 04:05:06.789" "$work/root/etc/motd"'
    change 'chmod 600 "$work/root/etc/motd"'
    change 'mv "$work/root/usr/link" "$work/root/usr/link2"'
    change 'ln -sfn elsewhere "$work/root/usr/link2"'
    change 'rm "$work/root/var/empty/file-number-7"'
    change 'mkdir "$work/root/new"'
    [ "$(id -u)" -ne 0 ] || change 'chown 12:34 "$work/root/etc/motd"'
    # a file replaced by another of the same name, size and times
    change 'cp -p "$work/root/usr/lib/big" "$work/big" && mv "$work/big" "$work/root/usr/lib/big"'
}

@test "a change during the clock tick of the fingerprint is not missed" {
    for i in $(seq 8); do
        printf "%s" "$i" >"$work/root/etc/counter"
        convert "$work/root" >"$work/out"
        image=$(field image <"$work/out")
        "$tool" verify "$image" >/dev/null
        hashes+=("$(sed -n 's/^root hash  *//p' "$work/out")")
    done
    [ "$(printf '%s\n' "${hashes[@]}" | sort -u | wc -l)" -eq 8 ]
}

@test "a tree that changes while it is packed is packed again or refused, never sealed half-way" {
    cat >"$work/slow-mkfs" <<EOF
#!/bin/sh
$(command -v mkfs.erofs || echo /usr/sbin/mkfs.erofs) "\$@" || exit 1
date +%N >>"$work/root/etc/motd"
EOF
    chmod +x "$work/slow-mkfs"
    refused "keeps changing" convert "$work/root" --mkfs "$work/slow-mkfs"
    [ "$(entries)" -eq 0 ]
}

@test "two converters at once make one image" {
    for i in 1 2 3 4; do
        convert "$work/root" >"$work/out.$i" 2>&1 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    [ "$(entries)" -eq 1 ]
    [ "$(cat "$work"/out.* | grep '^root hash' | sort -u | wc -l)" -eq 1 ]
    [ "$(cat "$work"/out.* | grep '^image' | grep -vc cached)" -eq 1 ]
}

@test "killed half-way: nothing but a temporary directory, which the next run takes away" {
    convert "$work/root" >"$work/whole"
    hash=$(grep '^root hash' "$work/whole")
    rm -rf "$cache"
    killed=0
    for delay in 0.005 0.01 0.02 0.03 0.04 0.05 0.07 0.1 0.15 0.2; do
        "$tool" convert --quiet --cache "$cache" --image-only "$work/root" >/dev/null 2>&1 &
        pid=$!
        sleep "$delay"
        kill -9 "$pid" 2>/dev/null && killed=$((killed + 1))
        wait "$pid" 2>/dev/null || true
        for entry in "$cache"/*; do
            [ -e "$entry" ] || continue
            case $entry in
            *.tmp) ;;
            *) "$tool" verify "$entry/image" ;;
            esac
        done
        rm -rf "$cache"/*[0-9a-f]
    done
    [ "$killed" -gt 3 ]
    mkdir -p "$cache/0123.tmp" && echo junk >"$cache/0123.tmp/image" # of another image
    convert "$work/root" >"$work/out"
    [ "$(entries)" -eq 1 ]
    [ "$(grep '^root hash' "$work/out")" = "$hash" ]
}

@test "a damaged cache entry is made again" {
    convert "$work/root" >"$work/out"
    image=$(field image <"$work/out")
    truncate -s 4096 "$image"
    convert "$work/root" >"$work/out"
    ! grep -q cached "$work/out" || false
    "$tool" verify "$image"
    echo '{' >"$(dirname "$image")/info.json"
    convert "$work/root" >"$work/out"
    ! grep -q cached "$work/out" || false
    [ "$(entries)" -eq 1 ]
}

@test "a full disk: one line, nothing left behind" {
    [ "$(id -u)" -eq 0 ] || skip "mounting needs root"
    mkdir "$work/small"
    mount -t tmpfs -o size=3m tmpfs "$work/small"
    cache=$work/small/cache
    refused "no space left" convert "$work/root"
    [ "$(entries)" -eq 0 ]
    # Room for the estimate, then gone: the packer itself fails.
    mount -o remount,size=40m "$work/small"
    cat >"$work/hungry-mkfs" <<EOF
#!/bin/sh
head -c 100000000 /dev/zero >"$work/small/cache/filler" 2>/dev/null
exec $(command -v mkfs.erofs || echo /usr/sbin/mkfs.erofs) "\$@"
EOF
    chmod +x "$work/hungry-mkfs"
    refused "no space left" convert "$work/root" --mkfs "$work/hungry-mkfs"
    rm -f "$work/small/cache/filler"
    [ "$(entries)" -eq 0 ]
    convert "$work/root"
}

@test "no mkfs.erofs, one that fails, no root, a file as root, a cache inside the root" {
    refused "erofs" convert "$work/root" --mkfs "$work/none"
    refused "exit code 1" convert "$work/root" --mkfs /bin/false
    refused "$work/nowhere" convert "$work/nowhere"
    refused "is not an image" convert "$work/root/etc/motd"
    cache=$work/root/cache
    refused "inside" convert "$work/root"
    rmdir "$work/root/cache"
    cache=$work/cache
    [ "$(entries)" -eq 0 ]
    [ -z "$(find "$work" -name '*.tmp*')" ]
}

@test "mkfs.erofs is not installed: the line says what to install" {
    [ "$(id -u)" -eq 0 ] || skip "needs a mount namespace"
    unshare -m --propagation private sh -c '
        for dir in /usr/bin /usr/sbin; do
            [ ! -e $dir/mkfs.erofs ] || mount --bind "$1" $dir/mkfs.erofs
        done
        shift
        ! "$@"' sh "$work/root/etc/motd" "$tool" convert --quiet --cache "$cache" --image-only \
        "$work/root" >"$work/out" 2>&1
    grep -q 'install erofs-utils' "$work/out"
    [ "$(wc -l <"$work/out")" -eq 1 ]
}

@test "containers on one overlay share an image; the upper layer counts when it has something" {
    [ "$(id -u)" -eq 0 ] || skip "mounting needs root"
    overlay merged "$work/root"
    overlay other "$work/root"
    convert "$work/merged" >"$work/out1"
    convert "$work/other" >"$work/out2"
    grep -q cached "$work/out2"
    [ "$(entries)" -eq 1 ]
    after_a_tick
    echo changed >"$work/other/etc/motd"
    convert "$work/other" >"$work/out3"
    ! grep -q cached "$work/out3" || false
    convert "$work/merged" | grep -q cached
    [ "$(entries)" -eq 2 ]
}

# overlay NAME LOWER...: mount an overlay at $work/NAME with its own upper directory
overlay() {
    local name=$1 lower
    shift
    lower=$(IFS=:; echo "$*")
    mkdir -p "$work/$name" "$work/$name.upper" "$work/$name.work"
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/$name.upper,workdir=$work/$name.work" "$work/$name" ||
        skip "no overlay on this file system"
}

# store NAME: a layer where containerd keeps it, of the files of $work/root; its path
store() {
    local layer=$work/$1/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs
    mkdir -p "$(dirname "$layer")"
    cp -a "$work/root" "$layer"
    echo "$layer"
}

@test "layers of an engine's store are looked at once, and again for an image that is to be made" {
    [ "$(id -u)" -eq 0 ] || skip "mounting needs root"
    layer=$(store engine)
    after_a_tick
    overlay merged "$layer"
    overlay other "$layer"
    convert "$work/merged" >"$work/out1"
    echo changed >"$layer/etc/motd" # as no engine does: who looks at the files sees it
    after_a_tick
    convert "$work/other" | grep -q cached
    rm -rf "$cache"/[0-9a-f]*[0-9a-f]
    convert "$work/other" >"$work/out2"
    [ "$(grep '^root hash' "$work/out1")" != "$(grep '^root hash' "$work/out2")" ]
    convert "$work/merged" | grep -q cached
    [ "$(ls "$cache/layers" | wc -l)" -eq 1 ]
}

@test "a layer of an engine's store that is replaced is another" {
    [ "$(id -u)" -eq 0 ] || skip "mounting needs root"
    layer=$(store engine)
    after_a_tick
    overlay merged "$layer"
    convert "$work/merged" >"$work/out1"
    umount "$work/merged"
    rm -rf "$layer" "$work/merged.work" && cp -a "$work/root" "$layer"
    after_a_tick
    overlay merged "$layer"
    echo changed >"$layer/etc/motd"
    convert "$work/merged" >"$work/out2"
    ! grep -q cached "$work/out2" || false
}

@test "containers with mount points of their own in thin layers share an image, with the same root hash anywhere" {
    [ "$(id -u)" -eq 0 ] || skip "mounting needs root"
    for n in 1 2; do # as Docker makes them
        mkdir -p "$work/init$n"/{dev/shm,proc,sys,etc}
        touch "$work/init$n"/{.dockerenv,etc/hosts,etc/resolv.conf}
        ln -s /proc/mounts "$work/init$n/etc/mtab"
        after_a_tick
    done
    overlay merged "$work/init1" "$work/root"
    convert "$work/merged" >"$work/out1"
    overlay other "$work/init2" "$work/root"
    mkdir "$work/other/mnt" "$work/merged/mnt" # a mount point that an engine adds
    convert "$work/other" >"$work/out2"
    convert "$work/merged" >"$work/out3"
    grep -q cached "$work/out3"
    [ "$(entries)" -eq 2 ]
    rm -rf "$cache"
    convert "$work/merged" >"$work/out4"
    [ "$(grep '^root hash' "$work/out2")" = "$(grep '^root hash' "$work/out4")" ]
    [ "$(grep '^root hash' "$work/out1")" != "$(grep '^root hash' "$work/out4")" ]
    mkdir "$work/mnt"
    mount -t erofs -o loop,ro "$(field image <"$work/out4")" "$work/mnt" || skip "the kernel has no EROFS"
    [ "$(stat -c %Y "$work/mnt/etc/hosts")" -eq 0 ]
    [ "$(stat -c %Y "$work/mnt/etc/motd")" -eq "$(stat -c %Y "$work/root/etc/motd")" ]
}

@test "what is deleted or replaced on top of an image is another image" {
    [ "$(id -u)" -eq 0 ] || skip "mounting needs root"
    overlay merged "$work/root"
    n=0
    differs() {
        eval "$1"
        convert "$work/merged" >"$work/out"
        n=$((n + 1))
        [ "$(entries)" -eq $n ] || { echo "not noticed: $1"; return 1; }
        hash=$(sed -n 's/^root hash  *//p' "$work/out")
        ! grep -qx "$hash" "$work/hashes" 2>/dev/null || { echo "same root hash: $1"; return 1; }
        echo "$hash" >>"$work/hashes"
    }
    differs 'true'
    differs 'rm "$work/merged/etc/motd-hard"'
    differs 'mkdir "$work/merged/etc/more"'
    differs 'rm -rf "$work/merged/var"'
    differs 'mkdir "$work/merged/var"' # opaque: what was below stays hidden
    differs 'ln -s x "$work/merged/link"'
    differs 'ln -sfn y "$work/merged/link"'
    differs 'chmod 700 "$work/merged/etc/more"'
    differs 'echo text >"$work/merged/etc/more/file"'
}

@test "a bind mount of a part of an overlay is not taken for the whole" {
    [ "$(id -u)" -eq 0 ] || skip "mounting needs root"
    overlay merged "$work/root"
    mkdir "$work/mnt"
    mount --bind "$work/merged/etc" "$work/mnt"
    convert "$work/mnt" >"$work/out1"
    umount "$work/mnt"
    mount --bind "$work/merged/usr" "$work/mnt"
    convert "$work/mnt" >"$work/out2"
    umount "$work/mnt"
    ! grep -q cached "$work/out2" || false
    [ "$(grep '^root hash' "$work/out1")" != "$(grep '^root hash' "$work/out2")" ]
}

@test "list and prune" {
    make_root "$work/second"
    convert "$work/root" >/dev/null
    convert "$work/second" >"$work/out"
    kept=$(basename "$(dirname "$(field image <"$work/out")")")
    [ "$("$tool" list --cache "$cache" | wc -l)" -eq 2 ]
    for entry in "$cache"/*; do touch -d '3 days ago' "$entry"; done
    convert "$work/second" | grep -q cached # found, so used now
    mkdir "$cache/$(printf '0%.0s' $(seq 64)).tmp"
    "$tool" list --cache "$cache" | grep -q incomplete
    "$tool" prune --cache "$cache" --days 2 | grep -q 'removed 2 images'
    [ "$(ls "$cache")" = "$kept" ]
    "$tool" verify "$cache/$kept/image"
    # One that is being made is left alone.
    mkdir "$cache/$(printf '1%.0s' $(seq 64)).tmp"
    flock "$cache/$(printf '1%.0s' $(seq 64)).tmp" "$tool" prune --cache "$cache" --days 1 | grep -q 'removed 0'
    "$tool" prune --cache "$cache" --days 0
    [ -z "$(ls "$cache")" ]
    refused "nowhere" "$tool" list --cache "$work/nowhere"
}

@test "an ordinary user has a cache and a key of his own" {
    [ "$(id -u)" -eq 0 ] || skip "changes the user"
    make_libos
    chmod 755 "$work" && mkdir -m 777 "$work/home" && chmod 644 "$work/libos.elf"
    setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$tool" || skip "user nobody cannot reach $tool"
    run setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_CACHE_HOME -u XDG_DATA_HOME HOME="$work/home" \
        "$tool" convert --quiet --libos "$work/libos.elf" "$work/root"
    echo "$output"
    [ "$status" -eq 0 ]
    [ -d "$work/home/.cache/rune/images" ]
    [ "$(stat -c %a "$work/home/.local/share/rune/keys/signing-key.pem")" = 600 ]
}

@test "signing elsewhere: export, openssl, import" {
    make_libos
    "$tool" convert --quiet --cache "$cache" --libos "$work/libos.elf" --client-signing "$work/root" >"$work/out"
    dir=$(dirname "$(field enclave <"$work/out")")
    [ ! -e "$dir/sigstruct" ]
    "$tool" export-signing "$dir" "$work/material"
    [ "$(stat -c %s "$work/material")" -eq 256 ]
    openssl genrsa -3 -out "$work/key.pem" 3072 2>/dev/null
    openssl rsa -in "$work/key.pem" -pubout -out "$work/public.pem" 2>/dev/null
    openssl dgst -sha256 -sign "$work/key.pem" -out "$work/signature" "$work/material"
    head -c 384 /dev/urandom >"$work/wrong"
    run "$tool" import-signature "$dir" "$work/wrong" "$work/public.pem"
    [ "$status" -eq 1 ]
    [ ! -e "$dir/sigstruct" ]
    "$tool" import-signature "$dir" "$work/signature" "$work/public.pem"
    [ "$(stat -c %s "$dir/sigstruct")" -eq 1808 ]
    "$tool" convert --quiet --cache "$cache" --libos "$work/libos.elf" --client-signing "$work/root" | grep -q MRSIGNER
}

@test "settings are measured; the key is not" {
    make_libos
    build() {
        "$tool" convert --quiet --cache "$cache" --libos "$work/libos.elf" --key "$work/${KEY:-a}.pem" "$@" "$work/root"
    }
    mrenclave() { build "$@" | field MRENCLAVE; }
    plain=$(mrenclave)
    [ -n "$plain" ]
    [ "$plain" = "$(KEY=b mrenclave)" ]
    [ "$plain" != "$(mrenclave --debug-enclave)" ]
    [ "$plain" != "$(mrenclave --memory 512M)" ]
    [ "$plain" != "$(mrenclave --threads 100)" ]
    [ "$plain" != "$(mrenclave --enclave-size 32G)" ]
    [ "$plain" = "$(mrenclave --isv-svn 3)" ]
    refused "power of two" build --enclave-size 3G
    refused "not a number" build --memory lots
}

@test "a LibOS that is none, a key that is none" {
    refused "ELF" "$tool" convert --quiet --cache "$cache" --libos "$work/root/etc/motd" --key "$work/k" "$work/root"
    refused "nowhere" "$tool" convert --quiet --cache "$cache" --libos "$work/nowhere" --key "$work/k" "$work/root"
    make_libos
    refused "private key" "$tool" convert --quiet --cache "$cache" --libos "$work/libos.elf" --key "$work/root/etc/motd" "$work/root"
    [ -z "$(find "$cache" -name '*.tmp*')" ]
}

@test "verify finds any flipped byte" {
    convert "$work/root" >"$work/out"
    image=$(field image <"$work/out")
    cp "$image" "$work/copy"
    hash=$(sed -n 's/^root hash  *//p' "$work/out")
    size=$(stat -c %s "$image")
    hash_offset=$(info "$(dirname "$image")" hashOffset)
    for i in $(seq 30); do
        at=$(((RANDOM * 32768 + RANDOM) % size))
        # The verity superblock's unused bytes are nobody's data.
        [ $at -lt "$hash_offset" ] || [ $at -ge $((hash_offset + 4096)) ] || continue
        python3 - "$work/copy" $at <<'PY'
import sys
f = open(sys.argv[1], "r+b"); f.seek(int(sys.argv[2])); b = f.read(1)[0]
f.seek(int(sys.argv[2])); f.write(bytes([b ^ 0x55]))
PY
        run "$tool" verify "$work/copy" "$hash"
        [ "$status" -eq 1 ] || { echo "offset $at not noticed"; return 1; }
        cp "$image" "$work/copy"
    done
    truncate -s -4096 "$work/copy"
    run "$tool" verify "$work/copy" "$hash"
    [ "$status" -eq 1 ]
}

@test "a start that finds its enclave loads no OpenSSL" {
    libexec=$RUNE_STAGE/usr/libexec/rune
    [ -x "$libexec/enclave-convert" ] || skip "nothing is staged"
    ! ldd "$libexec/enclave-convert" | grep libcrypto || false
    ldd "$libexec/enclave-make" | grep -q libcrypto
}

@test "two installations and two keys that share a cache keep the hashes of their files" {
    make_libos
    mkdir "$work"/{a,b}
    for name in a b; do
        cp "$work/libos.elf" "$work/$name/"
        echo "proxy $name" >"$work/$name/ratls-proxy"
    done
    build() { # NAME: what MRENCLAVE and MRSIGNER are
        "$tool" convert --quiet --cache "$cache" --libos "$work/$1/libos.elf" --key "$work/$1/key.pem" "$work/root" | grep '^MR'
    }
    build a
    build b
    sleep 2.1 # a hash of what changed just now is not kept
    a=$(build a)
    b=$(build b)
    [ "$a" != "$b" ]
    kept() { stat -c '%n %i %s %z' "$cache"/*/{libos,proxy,signer}-hash; }
    before=$(kept)
    [ "$(build a)" = "$a" ]
    [ "$(build b)" = "$b" ]
    [ "$(kept)" = "$before" ]

    # The slot of a file that changed is written anew, and no more are kept than there is room for.
    echo "proxy c" >"$work/a/ratls-proxy"
    sleep 2.1
    c=$(build a)
    [ "$c" != "$a" ]
    [ "$(build a)" = "$c" ]
    size=$(stat -c %s "$cache"/*/proxy-hash)
    [ "$(kept | grep -c " $size ")" -eq 3 ]
    for i in $(seq 10); do cp -r "$work/b" "$work/b$i"; done
    sleep 2.1
    for i in $(seq 10); do [ "$(build "b$i")" = "$b" ]; done
    [ "$(stat -c %s "$cache"/*/proxy-hash)" -eq $((size / 2 * 8)) ]
}

@test "damaged hashes beside an image are not used" {
    make_libos
    build() { "$tool" convert --quiet --cache "$cache" --libos "$work/libos.elf" --key "$work/key.pem" "$work/root" | grep '^MR'; }
    build
    sleep 2.1
    good=$(build)
    for size in 0 1 71 73 100000; do
        for name in libos signer; do head -c "$size" /dev/zero >"$(echo "$cache"/*/$name-hash)"; done
        [ "$(build)" = "$good" ]
        [ "$(stat -c %s "$cache"/*/libos-hash)" -eq 72 ]
    done
}
