#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run every suite of `make check`; end with one line "N passed, N failed, N skipped". Exit 1 when anything failed.
#   check.sh BUILD [SUITE...]    suites: unit asan libos hostile random integration conformance binary (default: all)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "$1")
shift
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(unit asan binary conformance libos hostile random integration)

passed=0 failed=0 skipped=0
logs=$build/check-logs
mkdir -p "$logs"
export RUNE_STAGE=$build/stage
export PATH=$RUNE_STAGE/usr/bin:$PATH
export RUNE=$RUNE_STAGE/usr/bin/rune
export RUNE_CHECK_IMAGES=${RUNE_CHECK_IMAGES:-$build/images}

# add PASSED FAILED SKIPPED NAME SECONDS
add() {
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
    printf '== %-34s %4d passed %3d failed %3d skipped  %4ds\n' "$4" "$1" "$2" "$3" "$5"
}

# A meson test directory: one case for each test that meson knows.
run_meson() { # NAME BUILDDIR
    local start=$SECONDS log=$logs/$1.log
    meson test -C "$2" --no-rebuild --print-errorlogs --num-processes 2 >"$log" 2>&1
    local status=$?
    local ok bad skip
    ok=$(sed -n 's/^Ok: *\([0-9]*\).*/\1/p' "$log") bad=$(sed -n 's/^Fail: *\([0-9]*\).*/\1/p' "$log")
    skip=$(sed -n 's/^Skipped: *\([0-9]*\).*/\1/p' "$log")
    local timeout
    timeout=$(sed -n 's/^Timeout: *\([0-9]*\).*/\1/p' "$log")
    bad=$((${bad:-0} + ${timeout:-0}))
    [ $status -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ "$bad" -eq 0 ] || grep -vE '^ *[0-9]+/[0-9]+ .* OK ' "$log" | tail -80
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
    [ "${bad:-0}" -eq 0 ] || tail -60 "$log"
    add "${ok:-0}" "${bad:-0}" "${skip:-0}" "$name" $((SECONDS - start))
}

for suite in "${suites[@]}"; do
    case $suite in
    unit) run_meson unit "$build" ;;
    asan)
        start=$SECONDS
        asan=$(dirname "$build")/build-asan
        if { [ -e "$asan/build.ninja" ] || meson setup "$asan" -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=false; } \
            >"$logs/asan-build.log" 2>&1 && ninja -C "$asan" >>"$logs/asan-build.log" 2>&1; then
            run_meson asan "$asan"
        else
            tail -30 "$logs/asan-build.log"
            add 0 1 0 "asan build" $((SECONDS - start))
        fi
        ;;
    binary) run_tap binary tests/binary.sh "$build" ;;
    libos)
        scratch=$(mktemp -d)
        run_plain libos tests/libos/run.sh --jobs 2 --variants 'static pie nopie musl' \
            --runner "$build/runtimes/libos/libos-run --libos $build/libos/libos.elf --cache $scratch/cache --key $scratch/key.pem"
        # The same where nothing can be added to a running enclave, and RDTSC is refused: SGX1 without KSS.
        RUNE_SGX_EMULATOR_FEATURES=sgx1 RUNE_SGX_EMULATOR_TRAP=rdtsc run_plain libos-sgx1 tests/libos/run.sh --variants pie \
            --runner "$build/runtimes/libos/libos-run --libos $build/libos/libos.elf --cache $scratch/cache \
                --key $scratch/key.pem --memory 1G --threads 200" process signals threads exec files groups shell.sh
        # And on a host that takes pages of the programs away by its page tables: nobody may notice. (Who needs new pages all the time, as exec
        # does, meets a host that gives none, and is killed: docs/design/entry.md.)
        run_plain libos-unmap tests/libos/run.sh --variants pie \
            --runner "$build/runtimes/libos/libos-run-unmap --libos $build/libos/libos.elf --cache $scratch/cache --key $scratch/key.pem" \
            process signals files pipes sysv
        rm -rf "$scratch"
        # Some of them while the host must not touch enclave memory; make conformance runs all.
        run_plain libos-isolated tests/conformance/full-libos-isolated.sh "$RUNE_STAGE" process signals threads files sockets shell.sh
        ;;
    random) run_plain random tests/random/calls.py --build "$build" fixed ;;
    hostile) run_plain hostile tests/hostile/hostile.py --build "$build" fixed ;;
    conformance)
        for script in tests/conformance/ci-*.sh; do
            [ -e "$script" ] || continue
            case $(grep -c 'runc-bats' <<<"$script") in
            0) run_tap "$(basename "$script" .sh)" "$script" "$RUNE_STAGE" ;;
            *) run_plain "$(basename "$script" .sh)" "$script" "$RUNE_STAGE" ;;
            esac
        done
        ;;
    integration)
        for file in tests/integration/*.bats; do
            [ -e "$file" ] && run_tap "$(basename "$file")" timeout 600 bats --tap "$file"
        done
        ;;
    *) echo "check.sh: no suite $suite" >&2; exit 2 ;;
    esac
done

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
