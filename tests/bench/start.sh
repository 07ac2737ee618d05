#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Starts of enclave containers over ordinary ones, fifty at once, and the memory of an idle one: start.sh STAGE... Several stages are compared in turns.
# BENCH_ROUNDS and BENCH_ROWS (true python plain many idle) choose how often and what.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" -eq 0 ] || { echo "start.sh: containers need root here" >&2; exit 1; }
stages=()
for stage in "$@"; do stages+=("$(realpath "$stage")"); done
images=${RUNE_CHECK_IMAGES:-$(dirname "${stages[0]}")/images}
"$here/../images/make-image.sh" "$images/debian-python"
work=$(mktemp -d "${TMPDIR:-/tmp}/rune-bench.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
# The overlay is mounted in a namespace that ends with the run.
unshare --mount python3 "$here/start.py" "$work" "$images/debian-python/rootfs" "${BENCH_ROUNDS:-24}" "${stages[@]}"
