#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Build the libFuzzer targets with clang, ASan and UBSan, and run each for SECONDS_EACH (default 30) from its seeds. Then run the
# hostile host (docs/design/hostile-host.md) with new seeds for HOSTILE_SECONDS (default 300), and random system calls (docs/design/random-calls.md)
# for RANDOM_CALLS_SECONDS (default 300), from the ordinary build in BUILD (default build).
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-30}
build="build-fuzz"
[ -e $build/build.ninja ] || CC=clang meson setup $build -Dfuzz=true -Dwerror=false -Db_sanitize=address,undefined -Db_lundef=false
# Only the targets and what they need: not everything builds with this compiler and these sanitizers.
mapfile -t targets < <(ninja -C $build -t targets all | grep -oE '^tests/fuzz/fuzz-[a-z-]+' | sort -u)
ninja -C $build "${targets[@]}"
status=0
for target in $build/tests/fuzz/fuzz-*; do
    [ -f "$target" ] && [ -x "$target" ] || continue
    name=$(basename "$target")
    corpus=$build/corpus/$name
    mkdir -p "$corpus"
    inputs=("$corpus")
    [ ! -d "tests/fuzz/seeds/${name#fuzz-}" ] || inputs+=("tests/fuzz/seeds/${name#fuzz-}")
    echo "== $name, $seconds s"
    "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/crash-$name-" \
        "${inputs[@]}" 2>&1 | grep -E 'stat::number_of_executed|SUMMARY|ERROR' || true
    if compgen -G "$build/crash-$name-*" >/dev/null; then
        echo "$name: crashed, see $build/crash-$name-*"
        status=1
    fi
done
hostile=${BUILD:-build}
[ -e "$hostile/build.ninja" ] || meson setup "$hostile"
ninja -C "$hostile"
echo "== hostile host, ${HOSTILE_SECONDS:-300} s"
tests/hostile/hostile.py --build "$hostile" random "${HOSTILE_SECONDS:-300}" || status=1
echo "== random calls, ${RANDOM_CALLS_SECONDS:-300} s"
tests/random/calls.py --build "$hostile" random "${RANDOM_CALLS_SECONDS:-300}" || status=1
exit $status
