#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The emulated driver: entry, exit, exceptions, EACCEPT, over getppid. sgx-enter.sh STAGE
set -euo pipefail
build=$(dirname "$1")
RUNE_SGX_EMULATOR_ROOT=$(mktemp -d)
export RUNE_SGX_EMULATOR_ROOT
trap 'rm -rf "$RUNE_SGX_EMULATOR_ROOT"' EXIT
ninja -C "$build" tests/unit/sgx/bench-sgx-enter >/dev/null
"$build/tests/unit/sgx/bench-sgx-enter"
