#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The system call site table against another disassembler: every window begins at an instruction, holds one syscall at one, nothing that
# objdump knows of enters its first five bytes, and few system calls are left out.

load common

tool=$RUNE_STAGE/usr/bin/rune-image
[ -x "$tool" ] || tool=$repo/build/src/tools/rune-image

setup() {
    [ -x "$tool" ] || skip "no rune-image at $tool"
    command -v objdump >/dev/null || skip "no objdump (binutils)"
    work=$(mktemp -d "${TMPDIR:-/tmp}/sites-test.XXXXXX")
}

teardown() {
    [ -z "${work:-}" ] || rm -rf "$work"
}

# check FILE PERCENT: convert a root with this one file in it and check its sites
check() {
    rm -rf "$work/root" "$work/cache"
    mkdir -p "$work/root"
    cp -L "$1" "$work/root/file"
    after_a_tick
    "$tool" convert --quiet --cache "$work/cache" --image-only "$work/root" >"$work/out"
    objdump -d --no-show-raw-insn "$work/root/file" >"$work/objdump"
    python3 - "$work"/cache/*/sites "$work/objdump" "$work/root/file" "$2" <<'PY'
import re, struct, sys
table, listing, binary, percent = open(sys.argv[1], "rb").read(), sys.argv[2], open(sys.argv[3], "rb").read(), int(sys.argv[4])
magic, version, files, count, size = struct.unpack_from("<QIIQQ", table, 0)
assert magic == 0x31534554454E5552 and version == 1 and size == len(table), "header"
assert files == 1, "%d files have sites" % files
nid, first, number = struct.unpack_from("<QII", table, 32)
assert first == 0 and number == count
sites = [struct.unpack_from("<IBBBB", table, 48 + 8 * i) for i in range(count)]

# Executable segments: file offset to address.
phoff, phentsize, phnum = struct.unpack_from("<Q", binary, 32)[0], *struct.unpack_from("<HH", binary, 54)
delta = None
for i in range(phnum):
    kind, flags, offset, vaddr = struct.unpack_from("<IIQQ", binary, phoff + i * phentsize)
    if kind == 1 and flags & 1:
        delta = vaddr - offset
starts, targets, calls = set(), set(), []
for line in open(listing):
    m = re.match(r"\s*([0-9a-f]+):\t(.*)", line)
    if m:
        address = int(m[1], 16)
        starts.add(address)
        text = m[2].strip()
        if re.match(r"(bnd |notrack )?(j|call|loop|xbegin)", text):
            t = re.search(r"\b([0-9a-f]+) <", text)
            if t:
                targets.add(int(t[1], 16))
        if text.startswith("syscall"):
            calls.append(address)
    m = re.match(r"([0-9a-f]+) <", line)
    if m:
        targets.add(int(m[1], 16))
end = 0
for offset, length, before, after, reserved in sites:
    a = offset + delta
    assert offset >= end, "windows overlap at %#x" % a
    assert 5 <= length <= 32 and before + 2 + after == length and reserved == 0, "shape at %#x" % a
    assert binary[offset + before:offset + before + 2] == b"\x0f\x05", "no syscall at %#x" % a
    assert a in starts and a + before in starts, "not at an instruction: %#x" % a
    inside = [t for t in range(a + 1, a + 5) if t in targets]
    assert not inside, "%#x: branch to %#x" % (a, inside[0])
    assert sum(a <= c < a + length for c in calls) == 1, "more than one syscall at %#x" % a
    end = offset + length
print("%s: %d of %d" % (sys.argv[3], len(sites), len(calls)))
assert len(sites) * 100 >= len(calls) * percent, "%d of %d" % (len(sites), len(calls))
PY
}

@test "Debian's libc and dynamic linker" {
    check /lib/x86_64-linux-gnu/libc.so.6 98
    check /lib64/ld-linux-x86-64.so.2 95
}

@test "musl" {
    [ -e /usr/lib/x86_64-linux-musl/libc.so ] || skip "no musl (musl-tools)"
    check /usr/lib/x86_64-linux-musl/libc.so 80
}

@test "a stripped static program" {
    printf '#include <unistd.h>\nint main(void) { return (int)write(1, "x", 1); }\n' >"$work/program.c"
    gcc -O1 -static -s -o "$work/program" "$work/program.c"
    check "$work/program" 95
}

@test "a stripped Go program" {
    program=$(for f in /usr/sbin/runc /usr/bin/runc /usr/bin/containerd; do [ -x $f ] && echo $f && break; done)
    [ -n "$program" ] || skip "no Go program (runc)"
    check "$program" 90
}
