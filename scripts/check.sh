#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run every suite of `make check`; end with one line "N passed, N failed, N skipped". Exit 1 when anything failed.
#   check.sh BUILD [SUITE...]    suites: unit asan libos hostile random integration conformance binary (default: all)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "$1")
shift
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(unit asan binary libos integration conformance hostile random)

logs=$build/check-logs
counts=$logs/counts
failures=$logs/failures
mkdir -p "$logs"
: >"$counts"
: >"$failures"
# So many suites beside each other: most wait for something half of their time.
lanes=${RUNE_CHECK_LANES:-$(nproc)}
export RUNE_STAGE=$build/stage
export PATH=$RUNE_STAGE/usr/bin:$PATH
export RUNE=$RUNE_STAGE/usr/bin/rune
export RUNE_CHECK_IMAGES=${RUNE_CHECK_IMAGES:-$build/images}

# The processor's time of the children that this shell has waited for, in s; less what was told before.
told_cpu=0
new_cpu() {
    local stat
    read -r -a stat <"/proc/$BASHPID/stat"
    new_cpu=$(((stat[15] + stat[16]) / hertz - told_cpu))
    told_cpu=$((told_cpu + new_cpu))
}
hertz=$(getconf CLK_TCK)

# add PASSED FAILED SKIPPED NAME SECONDS: the second time is the processor's, without that of daemons.
add() {
    new_cpu
    echo "$1 $2 $3" >>"$counts"
    printf '== %-34s %4d passed %3d failed %3d skipped  %4ds %4ds cpu\n' "$4" "$1" "$2" "$3" "$5" "$new_cpu"
}

# Their names are told once more at the end, where who reads a cut log looks.
note_failures() { # NAME LOG
    grep -E '^(not ok|FAIL)' "$2" | sed "s|^|$1: |" >>"$failures"
}

# A meson test directory: one case for each test that meson knows, of a suite if one is named.
run_meson() { # NAME BUILDDIR [OPTION...]
    local start=$SECONDS log=$logs/$1.log
    meson test -C "$2" "${@:3}" --no-rebuild --print-errorlogs --num-processes 2 --timeout-multiplier 4 >"$log" 2>&1
    local status=$?
    local ok bad skip
    ok=$(sed -n 's/^Ok: *\([0-9]*\).*/\1/p' "$log") bad=$(sed -n 's/^Fail: *\([0-9]*\).*/\1/p' "$log")
    skip=$(sed -n 's/^Skipped: *\([0-9]*\).*/\1/p' "$log")
    local timeout
    timeout=$(sed -n 's/^Timeout: *\([0-9]*\).*/\1/p' "$log")
    bad=$((${bad:-0} + ${timeout:-0}))
    [ $status -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ "$bad" -eq 0 ] || grep -vE '^ *[0-9]+/[0-9]+ .* OK ' "$log" | tail -80
    sed -nE "s#^ *[0-9]+/[0-9]+ +(.*[^ ]) +(FAIL|TIMEOUT) .*#$1: \1#p" "$log" | sort -u >>"$failures"
    add "${ok:-0}" "$bad" "${skip:-0}" "$1" $((SECONDS - start))
}

# A program that prints TAP.
run_tap() { # NAME COMMAND...
    local name=$1 start=$SECONDS log=$logs/${1//\//_}.tap
    shift
    "$@" >"$log" 2>&1 </dev/null
    local status=$?
    local ok bad skip
    skip=$(grep -cE '^ok .*# (skip|SKIP)' "$log")
    ok=$(($(grep -cE '^ok ' "$log") - skip))
    bad=$(grep -cE '^not ok ' "$log")
    [ $status -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    if [ "$bad" -gt 0 ]; then
        grep -E -A 25 '^not ok ' "$log" | head -120 || true
        grep -qE '^not ok ' "$log" || tail -30 "$log"
        note_failures "$name" "$log"
    fi
    grep -E '^ok .*# (skip|SKIP)' "$log" | sed 's/^/   /'
    add "$ok" "$bad" "$skip" "$name" $((SECONDS - start))
}

# A program whose last line is "N passed, N failed, N skipped".
run_plain() { # NAME COMMAND...
    local name=$1 start=$SECONDS log=$logs/$1.log ok=0 bad=0 skip=0
    shift
    "$@" >"$log" 2>&1 </dev/null
    local status=$?
    read -r ok bad skip < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$log" | tail -1)
    [ $status -eq 0 ] || [ "${bad:-0}" -gt 0 ] || bad=1
    [ "${bad:-0}" -eq 0 ] || { tail -60 "$log"; note_failures "$name" "$log"; }
    add "${ok:-0}" "${bad:-0}" "${skip:-0}" "$name" $((SECONDS - start))
}

# beside FUNCTION ARGS...: in a lane of its own when one is free. What it prints comes in one piece, at its end.
beside() {
    while [ "$(jobs -pr | wc -l)" -ge "$lanes" ]; do
        wait -n
    done
    { text=$(told_cpu=0; "$@") || text=$(add 0 1 0 "$2: its lane was ended" 0); echo "$text"; } &
}

run_bats() { # FILE...: one after the other
    local file
    for file in "$@"; do
        run_tap "$(basename "$file")" timeout 1200 bats --tap "$file"
    done
}

run_libos() {
    local scratch runner
    scratch=$(mktemp -d)
    runner="--libos $build/libos/libos.elf --cache $scratch/cache --key $scratch/key.pem"
    run_plain libos tests/libos/run.sh --jobs 2 --variants 'static pie nopie musl' --runner "$build/runtimes/libos/libos-run $runner"
    # The same where nothing can be added to a running enclave, and RDTSC is refused: SGX1 without KSS.
    RUNE_SGX_EMULATOR_FEATURES=sgx1 RUNE_SGX_EMULATOR_TRAP=rdtsc run_plain libos-sgx1 tests/libos/run.sh --variants pie \
        --runner "$build/runtimes/libos/libos-run $runner --memory 1G --threads 200" \
        process signals threads exec files groups shell.sh
    # And on a host that takes pages of the programs away by its page tables: nobody may notice. (Who needs new pages all the time, as exec
    # does, meets a host that gives none, and is killed: docs/design/entry.md.)
    run_plain libos-unmap tests/libos/run.sh --variants pie --runner "$build/runtimes/libos/libos-run-unmap $runner" \
        process signals files pipes sysv
    rm -rf "$scratch"
    # Some of them while the host must not touch enclave memory; make conformance runs all.
    run_plain libos-isolated tests/conformance/full-libos-isolated.sh "$RUNE_STAGE" process signals threads files sockets shell.sh
}

for suite in "${suites[@]}"; do
    case $suite in
    unit) run_meson unit "$build" --suite unsanitized ;; # asan runs the others
    asan)
        start=$SECONDS
        asan=$(dirname "$build")/build-asan
        if { [ -e "$asan/build.ninja" ] || meson setup "$asan" --optimization=1 -Dc_args=-g1 -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=false; } \
            >"$logs/asan-build.log" 2>&1 && ninja -C "$asan" meson-test-prereq >>"$logs/asan-build.log" 2>&1; then
            run_meson asan "$asan"
        else
            tail -30 "$logs/asan-build.log"
            add 0 1 0 "asan build" $((SECONDS - start))
        fi
        ;;
    binary) run_tap binary tests/binary.sh "$build" ;;
    libos) beside run_libos ;;
    random) beside run_plain random tests/random/calls.py --build "$build" fixed ;;
    hostile) beside run_plain hostile tests/hostile/hostile.py --build "$build" fixed ;;
    conformance)
        for script in tests/conformance/ci-*.sh; do
            [ -e "$script" ] || continue
            case $(grep -c 'runc-bats' <<<"$script") in
            0) beside run_tap "$(basename "$script" .sh)" "$script" "$RUNE_STAGE" ;;
            *) beside run_plain "$(basename "$script" .sh)" "$script" "$RUNE_STAGE" ;;
            esac
        done
        ;;
    integration)
        # Engines share bridges and images of the machine: one at a time.
        mapfile -t engines < <(grep -lE '^load (clients|shim)' tests/integration/*.bats)
        mapfile -t others < <(grep -LE '^load (clients|shim)' tests/integration/*.bats)
        beside run_bats "${engines[@]}"
        for file in "${others[@]}"; do
            beside run_bats "$file"
        done
        ;;
    *) echo "check.sh: no suite $suite" >&2; exit 2 ;;
    esac
done
wait

sed 's/^/failed: /' "$failures"
read -r passed failed skipped < <(awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }' "$counts")
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
