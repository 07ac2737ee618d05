#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the linker made: the enclave image has no way out but ENCLU, no writable and executable segment, no export, and the same bytes
# when it is linked again; PAL libraries export the PAL functions and nothing else.   binary.sh BUILD
set -u
build=$(realpath "$1")
cd "$(dirname "$0")/.." || exit 1
count=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() { # DESCRIPTION COMMAND...
    local what=$1
    shift
    count=$((count + 1))
    if "$@" >"$work/out" 2>&1; then
        echo "ok $count - $what"
    else
        echo "not ok $count - $what"
        sed 's/^/# /' "$work/out" | head -20
    fi
}

exports_only_pal() {
    local extra
    extra=$(nm -D --defined-only "$1" | awk '{print $3}' | grep -v '^pal_')
    [ -z "$extra" ] || { echo "exported: $extra"; return 1; }
    nm -D --defined-only "$1" | grep -q ' pal_init$'
}

image_links_again() {
    cp "$build/libos/libos.elf" "$work/first"
    rm "$build/libos/libos.elf"
    ninja -C "$build" libos/libos.elf >/dev/null && cmp "$work/first" "$build/libos/libos.elf"
}

# The review itself: an entry without the proof of its base, a door without its fence, and code for any base that holds an address.
refuses_bad_images() {
    printf '.globl _start\n_start: cld\n cmpq %%gs:16, %%rbx\n jne 1f\n lfence\n1: ud2\n' >"$work/late.s"
    printf '.globl _start\n_start: cmpq %%gs:16, %%rbx\n jne 1f\n lfence\n1: ud2\nhost_count: ret\n' >"$work/open.s"
    printf '.globl _start\n_start: lea x(%%rip), %%rax\n ud2\n.data\nx: .quad x\n' >"$work/absolute.s"
    cc -nostdlib -static-pie -Wl,--no-dynamic-linker -o "$work/late" "$work/late.s" || return 1
    cc -nostdlib -static-pie -Wl,--no-dynamic-linker -o "$work/open" "$work/open.s" || return 1
    cc -nostdlib -static -no-pie -Wl,--emit-relocs -o "$work/absolute" "$work/absolute.s" || return 1
    ! python3 libos/check_image.py "$work/late" "$work/stamp" 2>"$work/late.out" && grep -q 'does not begin with the proof' "$work/late.out" &&
        ! python3 libos/check_image.py "$work/open" "$work/stamp" 2>"$work/open.out" && grep -q 'no LFENCE in host_count()' "$work/open.out" &&
        ! python3 libos/check_image.py "$work/absolute" "$work/stamp" anywhere 2>"$work/absolute.out" &&
        grep -q 'absolute address: .*R_X86_64_64' "$work/absolute.out"
}

no_undefined() {
    ! nm -u "$build/libos/libos.elf" | grep .
}

pie_and_full_relro() {
    local program=$1
    readelf -hW "$program" | grep -q 'Type:.*DYN' && readelf -dW "$program" | grep -qE 'BIND_NOW|FLAGS_1.*NOW' &&
        readelf -lW "$program" | grep -q GNU_RELRO
}

check "the LibOS image passes its review" python3 libos/check_image.py "$build/libos/libos.elf" "$work/stamp"
check "an image whose entry proves nothing, without a fence, or with an absolute address, does not" refuses_bad_images
check "the LibOS image has no undefined symbol" no_undefined
check "the LibOS image links to the same bytes again" image_links_again
for library in "$build"/stage/usr/lib/*/rune/liberpal-*.so; do
    check "$(basename "$library") exports the PAL and nothing else" exports_only_pal "$library"
done
for program in "$build"/stage/usr/bin/rune "$build"/stage/usr/libexec/rune/init-runelet; do
    check "$(basename "$program") is position independent with full RELRO" pie_and_full_relro "$program"
done
echo "1..$count"
