#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Enclave containers over ordinary ones, and operations in the LibOS over the same natively, as ratios in one run.
#   libos.sh STAGE [--write]      --write puts the table into docs/performance.md
# The native side runs in an ordinary container of the same rune, from the same bundle.
set -euo pipefail
repo=$(cd "$(dirname "$0")/../.." && pwd)
stage=$(realpath "$1")
write=${2:-}
rune=$stage/usr/bin/rune
[ "$(id -u)" -eq 0 ] || { echo "libos.sh: containers need root here" >&2; exit 1; }
runs=${BENCH_RUNS:-9}
work=$(mktemp -d)
table=$work/table
state=$work/state
cleanup() {
    for container in "$state"/*/; do
        "$rune" --root "$state" delete --force "$(basename "$container")" >/dev/null 2>&1 || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
export RUNE_CACHE_DIR=$work/cache RUNE_SIGNING_KEY=$work/key.pem
mkdir -p "$RUNE_CACHE_DIR"

bundle() { # NAME ROOT ARGUMENTS...
    mkdir -p "$work/$1"
    (cd "$work/$1" && rm -f config.json && "$rune" spec)
    CONFIG=$work/$1/config.json ROOTFS=$2 python3 - "${@:3}" <<'PY'
import json, os, sys
path = os.environ["CONFIG"]
c = json.load(open(path))
c["root"] = {"path": os.environ["ROOTFS"], "readonly": True}
c["process"]["terminal"] = False
c["process"]["args"] = sys.argv[1:]
c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "network"]
json.dump(c, open(path, "w"), indent=2)
PY
}

counter=0
start() { # FLAG BUNDLE: one run of a container
    counter=$((counter + 1))
    "$rune" --root "$state" $1 run --bundle "$work/$2" "bench-$$-$counter" </dev/null 2>"$work/err" || {
        cat "$work/err" >&2
        return 1
    }
}

elapsed() { # COMMAND...: milliseconds, two decimals
    local begin end
    begin=$(date +%s%N)
    "$@" >/dev/null
    end=$(date +%s%N)
    awk "BEGIN { printf \"%.2f\", ($end - $begin) / 1e6 }"
}

median() {
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

time_row() { # WHAT NATIVE ENCLAVE: nanoseconds, shown in what fits the first
    if [ "$2" -ge 20000 ]; then
        row "$1" us "$(awk "BEGIN { printf \"%.1f\", $2 / 1000 }")" "$(awk "BEGIN { printf \"%.1f\", $3 / 1000 }")"
    else
        row "$1" ns "$2" "$3"
    fi
}

row() { # WHAT UNIT NATIVE ENCLAVE
    awk -v what="$1" -v unit="$2" -v a="$3" -v b="$4" \
        'BEGIN { printf "| %-46s | %12s | %12s | %7.2f |\n", what, a " " unit, b " " unit, b / a }' | tee -a "$table"
}

echo "image and bundles ..." >&2
images=${RUNE_CHECK_IMAGES:-$(dirname "$stage")/images}
"$repo/tests/images/make-image.sh" "$images/debian-python"
root=$images/debian-python/rootfs
small=$work/small
mkdir -p "$small"/{bin,dev,proc,sys,tmp}
cc -O2 -static -pthread -o "$small/bin/libos" "$repo/tests/bench/libos.c"
bundle true "$root" /bin/true
bundle python "$root" python3 -c pass
bundle small "$small" /bin/libos

printf '| %-46s | %12s | %12s | %7s |\n' "what (median of $runs runs)" ordinary enclave ratio | tee "$table"
printf '|%s|%s:|%s:|%s:|\n' ------------------------------------------------ ------------- ------------- -------- | tee -a "$table"

first=$(elapsed start --enclave true)
for name in true python; do
    elapsed start "" $name >/dev/null
    elapsed start --enclave $name >/dev/null
    for ((i = 0; i < runs; i++)); do
        elapsed start "" $name; echo
        elapsed start --enclave $name >>"$work/enclave-$name"
        echo >>"$work/enclave-$name"
    done >"$work/plain-$name"
    what="rune run /bin/true"
    [ $name = true ] || what="rune run python3 -c pass"
    row "$what" ms "$(median <"$work/plain-$name")" "$(median <"$work/enclave-$name")"
done

start "" small >"$work/native"
start --enclave small >"$work/libos"
while read -r name value; do
    other=$(awk -v n="$name" '$1 == n { print $2 }' "$work/libos")
    time_row "${name//-/ }" "$value" "$other"
done <"$work/native"

# Redis and its clients in one container: time for a request.
redis_root() { # DIRECTORY
    local program path lib
    mkdir -p "$1"/{bin,dev,proc,sys,tmp,etc}
    for program in sh redis-server redis-benchmark redis-cli; do
        path=$(command -v "$program") || { echo "$program is not installed"; return 1; }
        cp -L "$path" "$1/bin/$program"
        for lib in $(ldd "$path" | grep -o '/[^ ]*'); do
            mkdir -p "$1${lib%/*}"
            cp -Lu "$lib" "$1$lib"
        done
    done
}
redis_figures() { # TEST NANOSECONDS, from --csv
    awk -F '"' '$2 ~ /^(SET|GET)$/ { printf "redis-%s-50-clients %d\n", tolower($2), 1e9 / $4 }' "$1"
}
if why=$(redis_root "$work/redis-root"); then
    # shellcheck disable=SC2016
    bundle redis "$work/redis-root" /bin/sh -c 'redis-server --port 16379 --bind 127.0.0.1 --save "" --daemonize no >/dev/null 2>&1 &
        server=$!
        until redis-cli -p 16379 ping >/dev/null 2>&1; do :; done
        redis-benchmark -p 16379 -t set,get -n 100000 --csv
        kill $server; wait'
    start "" redis >"$work/redis-native"
    start --enclave redis >"$work/redis-libos"
    redis_figures "$work/redis-libos" >"$work/redis-enclave"
    redis_figures "$work/redis-native" | while read -r name value; do
        time_row "${name//-/ }" "$value" "$(awk -v n="$name" '$1 == n { print $2 }' "$work/redis-enclave")"
    done
else
    echo "redis rows: skipped, $why" >&2
fi

cached=$(median <"$work/enclave-true")
size=$(du -sm "$root" | cut -f1)
conversion=$(awk "BEGIN { printf \"%.1f\", ($first - $cached) / 1000 }")
echo "Conversion of the $size MB image (first start less a cached one): $conversion s" | tee "$work/conversion"

if [ "$write" = --write ]; then
    {
        echo "# Performance"
        echo
        echo "Written by \`tests/bench/libos.sh STAGE --write\` (\`make bench\` prints the same) on $(nproc) processors,"
        if [ -e /dev/sgx_enclave ]; then
            echo "with SGX hardware. Ratios are times, enclave over ordinary in one run: 0.12 is eight times as fast."
        else
            echo "with the SGX emulator. Ratios are times, enclave over ordinary in one run: 0.12 is eight times as fast. Nothing here is a bar yet."
        fi
        echo
        cat "$table"
        echo
        cat "$work/conversion"
        echo
        echo "The container rows are whole runs of \`rune run\` with the image cached. The other rows are one program"
        echo "(tests/bench/libos.c) in an ordinary container and in an enclave container of the same bundle."
    } >"$repo/docs/performance.md"
    echo "written: docs/performance.md" >&2
fi
