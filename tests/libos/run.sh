#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the programs of this directory and runs each natively and, with a runner, in the LibOS: output and exit code must be the same.
#
# usage: run.sh [--build DIR | --runner 'COMMAND'] [--variants 'static pie nopie musl'] [--compile DIR | --compiled DIR] [--limit SECONDS] [--jobs N] [TEST...]
#   --build: in the LibOS of this build, with a cache and a key of the run's own.
#   COMMAND gets `--rootfs DIR -- PROGRAM ARGUMENT...` appended, e.g. --runner 'build/runtimes/libos/libos-run'.
#   Without a runner the programs only check themselves natively. A TEST that ends in .sh is a script of this directory.
#   --compile only makes the root file system with the programs, in DIR; --compiled takes them from there, on a machine without a compiler.
set -u
here=$(cd "$(dirname "$0")" && pwd)
runner=
variants='static pie'
compile_only='' compiled='' build='' limit=180 jobs=1
while [ $# -gt 0 ]; do
    case $1 in
    --runner) runner=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    --variants) variants=$2; shift 2 ;;
    --compile) compile_only=$2; shift 2 ;;
    --compiled) compiled=$2; shift 2 ;;
    --limit) limit=$2; shift 2 ;;
    --jobs) jobs=$2; shift 2 ;;
    --help) sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || set -- process signals threads timers jobs exec polling sockets loopback loopback_udp mqueue files names owners pipes terminals fsmodel fsstress races abuse meanings filters others tracing aio registers groups forks sysv mappings keys cores newer \
    shell.sh jobs.sh

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
[ -z "$build" ] || runner="$build/runtimes/libos/libos-run --libos $build/libos/libos.elf --cache $work/cache --key $work/key.pem"
root=${compile_only:-${compiled:-$work/root}}
mkdir -p "$root"/{bin,tmp,proc,dev,sys,etc}
chmod 1777 "$root/tmp"

add_libraries() { # of a program: the same paths in the root
    local lib
    for lib in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
        [ -e "$root$lib" ] || { mkdir -p "$root${lib%/*}" && cp -L "$lib" "$root$lib"; }
    done
}

add_tools() { # what the scripts call
    local tool path
    cp -L /bin/dash "$root/bin/sh"
    for tool in dash bash cat sort sed seq xargs wc tr mkfifo rm sleep timeout yes head nohup echo; do
        path=$(type -P "$tool") || continue
        cp -L "$path" "$root/bin/$tool"
        add_libraries "$path"
    done
    add_libraries /bin/dash
}

compile() { # source variant output
    [ -z "$compiled" ] || { [ -e "$3" ]; return; }
    case $2 in
    static) cc -O1 -g -static -pthread -w -o "$3" "$1" ;;
    pie) cc -O1 -g -fPIE -pie -pthread -w -o "$3" "$1" ;;
    nopie) cc -O1 -g -fno-pie -no-pie -pthread -w -o "$3" "$1" ;;
    musl) musl-gcc -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu -O1 -g -static -pthread -w -o "$3" "$1" ;;
    esac
}

passed=0 failed=0 skipped=0
fail() {
    echo "FAILED $1"
    failed=$((failed + 1))
}

# All programs first: one root, converted once.
commands=()
for variant in $variants; do
    if [ "$variant" = musl ] && ! command -v musl-gcc >/dev/null; then
        echo "skipped: musl variants (no musl-gcc; install musl-tools)"
        skipped=$((skipped + 1))
        continue
    fi
    for test; do
        [[ $test != *.sh ]] || continue
        if [ "$variant" = musl ] && [[ $test = files || $test = fsmodel || $test = newer ]]; then
            echo "skipped: $test-musl (this musl has no statx, renameat2, futex_waitv)"
            skipped=$((skipped + 1))
            continue
        fi
        if compile "$here/$test.c" "$variant" "$root/bin/$test-$variant"; then
            add_libraries "$root/bin/$test-$variant"
            commands+=("$root/bin/$test-$variant")
        else
            fail "to compile: $test-$variant"
        fi
    done
done
[ -n "$compiled" ] || libgcc=$(cc -print-file-name=libgcc_s.so.1) # pthread_exit() loads it
[ ! -e "${libgcc:-}" ] || [ ! -d "$root/lib/x86_64-linux-gnu" ] || cp -L "$libgcc" "$root/lib/x86_64-linux-gnu/"
for test; do
    [[ $test == *.sh ]] || continue
    add_tools
    cp "$here/$test" "$root/bin/$test"
    if [ "$test" = jobs.sh ]; then
        commands+=("bash $root/bin/$test")
    else
        commands+=("dash $root/bin/$test" "bash $root/bin/$test")
    fi
done

[ -z "$compile_only" ] || exit $((failed > 0))

# A program says so itself; a script must end.
right_natively() {
    case $name in
    *.sh) [ "$status" -ne 124 ] ;;
    *) grep -q '^passed$' "$work/native.out" ;;
    esac
}

# One program: its lines on stdout, 1 when it failed.
try() { # DIRECTORY COMMAND
    local work=$1 command=$2 name status
    mkdir "$work"
    name=${command//$root\/bin\//}
    # Natively only the machine can be wrong: a kernel thread or a scheduler that is late, bash's job control that missed a child.
    # The LibOS gets one try.
    for _ in 1 2 3; do
        PATH=/usr/bin:/bin "${signals[@]}" timeout "$limit" $command >"$work/native.out" 2>"$work/native.err" </dev/null
        status=$?
        echo "exit $status" >>"$work/native.out"
        right_natively && break
    done
    if ! right_natively; then
        echo "FAILED natively: $name"
        cat "$work/native.out" "$work/native.err"
        return 1
    fi
    if [ -n "$runner" ]; then
        "${signals[@]}" timeout -s KILL "$limit" $runner --rootfs "$root" -- ${command//$root/} >"$work/libos.out" 2>"$work/libos.err" </dev/null
        echo "exit $?" >>"$work/libos.out"
        if ! cmp -s "$work/native.out" "$work/libos.out"; then
            echo "FAILED in the LibOS: $name"
            diff "$work/native.out" "$work/libos.out"
            tail -n 15 "$work/libos.err"
            return 1
        fi
    fi
    echo "ok: $name"
}

tell() { # NUMBER STATUS
    [ "$2" -eq 0 ] && passed=$((passed + 1)) || failed=$((failed + 1))
    cat "$work/$1.log"
    rm -rf "$work/${1:?}" "$work/$1.log"
}

# $jobs at once, told in their order. The first one converts the root for all.
signals=(env) # a background process of a script ignores SIGINT and SIGQUIT, and a program must not inherit that
[ "$jobs" -eq 1 ] || signals=(env "--default-signal=INT,QUIT")
started=0 told=0
pids=()
for command in "${commands[@]}"; do
    if [ "$jobs" -eq 1 ] || [ "$started" -eq 0 ]; then
        try "$work/$started" "$command" >"$work/$started.log" 2>&1
        tell "$started" $?
        told=$((told + 1))
    else
        try "$work/$started" "$command" >"$work/$started.log" 2>&1 &
        pids[started]=$!
        if [ $((started - told)) -ge "$((jobs - 1))" ]; then
            wait "${pids[told]}"
            tell "$told" $?
            told=$((told + 1))
        fi
    fi
    started=$((started + 1))
done
for (( ; told < started; told++)); do
    wait "${pids[told]}"
    tell "$told" $?
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
