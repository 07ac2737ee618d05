#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the programs of this directory and runs each natively and, with a runner, in the LibOS: output and exit code must be the same.
#
# usage: run.sh [--runner 'COMMAND'] [--variants 'static pie nopie musl'] [TEST...]
#   COMMAND gets `--rootfs DIR -- PROGRAM ARGUMENT...` appended, e.g. --runner 'build/runtimes/libos/libos-run'.
#   Without a runner the programs only check themselves natively.
set -u
here=$(cd "$(dirname "$0")" && pwd)
runner=
variants='static pie'
while [ $# -gt 0 ]; do
    case $1 in
    --runner) runner=$2; shift 2 ;;
    --variants) variants=$2; shift 2 ;;
    --help) sed -n '3,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || set -- process signals threads timers jobs exec polling sockets files pipes terminals fsmodel

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
root=$work/root
mkdir -p "$root/bin" "$root/tmp" "$root/proc" "$root/dev" "$root/sys" "$root/etc" "$root/lib64" "$root/lib/x86_64-linux-gnu"
chmod 1777 "$root/tmp"
for lib in /lib64/ld-linux-x86-64.so.2 /lib/x86_64-linux-gnu/libc.so.6 /lib/x86_64-linux-gnu/libgcc_s.so.1; do
    [ -e "$lib" ] && cp -L "$lib" "$root$lib"
done

compile() { # source variant output
    case $2 in
    static) cc -O1 -g -static -pthread -w -o "$3" "$1" ;;
    pie) cc -O1 -g -fPIE -pie -pthread -w -o "$3" "$1" ;;
    nopie) cc -O1 -g -fno-pie -no-pie -pthread -w -o "$3" "$1" ;;
    musl) musl-gcc -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu -O1 -g -static -pthread -w -o "$3" "$1" ;;
    esac
}

passed=0 failed=0 skipped=0
for variant in $variants; do
    if [ "$variant" = musl ] && ! command -v musl-gcc >/dev/null; then
        echo "skipped: musl variants (no musl-gcc; install musl-tools)"
        skipped=$((skipped + 1))
        continue
    fi
    for test; do
        name=$test-$variant
        compile "$here/$test.c" "$variant" "$root/bin/$name" || { failed=$((failed + 1)); continue; }
        timeout 60 "$root/bin/$name" >"$work/native.out" 2>"$work/native.err"
        echo "exit $?" >>"$work/native.out"
        if ! grep -q '^passed$' "$work/native.out"; then
            echo "FAILED natively: $name"
            cat "$work/native.out" "$work/native.err"
            failed=$((failed + 1))
            continue
        fi
        if [ -n "$runner" ]; then
            timeout -s KILL 120 $runner --rootfs "$root" -- "/bin/$name" >"$work/libos.out" 2>"$work/libos.err" </dev/null
            echo "exit $?" >>"$work/libos.out"
            if ! cmp -s "$work/native.out" "$work/libos.out"; then
                echo "FAILED in the LibOS: $name"
                diff "$work/native.out" "$work/libos.out"
                tail -n 15 "$work/libos.err"
                failed=$((failed + 1))
                continue
            fi
        fi
        echo "ok: $name"
        passed=$((passed + 1))
    done
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
