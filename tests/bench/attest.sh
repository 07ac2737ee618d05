#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Verifications of a quote on one core, beside the limit: openssl's ECDSA over P-256. attest.sh STAGE
# With ATTEST_DATA (or ../shared/attest) on a genuine quote, else on one of the software SGX.
set -euo pipefail
build=$(dirname "$1")
RUNE_SGX_EMULATOR_ROOT=$(mktemp -d)
export RUNE_SGX_EMULATOR_ROOT
trap 'rm -rf "$RUNE_SGX_EMULATOR_ROOT"' EXIT
ninja -C "$build" tests/unit/attest/bench-attest >/dev/null
data=${ATTEST_DATA:-$(dirname "$0")/../../../shared/attest}

one() { # NAME [DIRECTORY TIME]
    local name=$1
    shift
    # The limit right before, for a machine may be busy now and idle then.
    limit=$(openssl speed -seconds 2 ecdsap256 2>/dev/null | awk 'END {print $NF}')
    "$build/tests/unit/attest/bench-attest" "$@" | awk -v name="$name" -v limit="$limit" '
        {rate[$1] = $2}
        END {printf "%-10s cold %6d/s (%.1f signatures of openssl each), kept %6d/s (%.1f); openssl ecdsap256 verify %d/s\n",
             name, rate["cold"], limit / rate["cold"], rate["kept"], limit / rate["kept"], limit}'
}

one simulated
[ ! -d "$data/sgx/quote-v3-l-occlum" ] || one "SGX v3" "$data/sgx/quote-v3-l-occlum" 1750416906
[ ! -d "$data/tdx/quote-v4-a" ] || one "TDX v4" "$data/tdx/quote-v4-a" 1751624191
