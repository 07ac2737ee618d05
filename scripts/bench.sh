#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every benchmark of tests/bench, one after the other. They print ratios against a peer in the same run and gate nothing. bench.sh STAGE
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
RUNE_STAGE=$(realpath "$1")
export RUNE_STAGE RUNE=$RUNE_STAGE/usr/bin/rune PATH=$RUNE_STAGE/usr/bin:$PATH
for script in tests/bench/*.sh; do
    [ -e "$script" ] || continue
    echo "== $(basename "$script" .sh)"
    "$script" "$RUNE_STAGE" || echo "$script failed"
done
