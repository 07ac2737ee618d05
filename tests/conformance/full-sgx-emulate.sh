#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The test of sgx-emulate again and again, eight at a time, for EMULATE_MINUTES (60): none may fail or hang. full-sgx-emulate.sh STAGE
set -uo pipefail
stage=$(realpath "${1:?usage: full-sgx-emulate.sh STAGE}")
program=$stage/../tests/conformance/test-sgx-emulate
[ -x "$program" ] || { echo "sgx-emulate: $program is not built"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RUNE_SGX_EMULATOR_ROOT=$work/root
end=$(($(date +%s) + 60 * ${EMULATE_MINUTES:-60}))

one() { # NUMBER
    local runs=0
    while [ "$(date +%s)" -lt "$end" ]; do
        timeout 600 "$stage/usr/bin/sgx-emulate" "$program" >"$work/out.$1" 2>&1 || { echo "run $runs of $1: status $?"; cat "$work/out.$1"; return 1; }
        runs=$((runs + 1))
        echo "$runs" >"$work/runs.$1"
    done
}

jobs=()
for i in 1 2 3 4 5 6 7 8; do
    one "$i" &
    jobs+=($!)
done
failed=0
for job in "${jobs[@]}"; do
    wait "$job" || failed=$((failed + 1))
done
echo "# $(cat "$work"/runs.* 2>/dev/null | awk '{ n += $1 } END { print n + 0 }') runs"
[ "$failed" = 0 ] && echo "1 passed, 0 failed, 0 skipped" || echo "0 passed, 1 failed, 0 skipped"
[ "$failed" = 0 ]
