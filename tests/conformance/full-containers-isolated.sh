#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Enclave containers while host code that touches enclave memory ends the process (RUNE_SGX_EMULATOR_ISOLATE): init-runelet, its
# agent and the runtime's threads, which full-libos-isolated.sh does not have.
#   full-containers-isolated.sh STAGE [FILE...]      the stage of a build directory; files of tests/integration
set -uo pipefail
[ $# -gt 0 ] || set -- .
RUNE_STAGE=$(realpath "$1")
# The tests' runtimes and helpers are beside it.
for file in usr/bin/rune ../tests/pal ../build.ninja; do
    [ -e "$RUNE_STAGE/$file" ] && continue
    echo "full-containers-isolated.sh: $RUNE_STAGE is no stage in its build directory ($file is missing): make stage" >&2
    exit 2
done
export RUNE_STAGE RUNE=$RUNE_STAGE/usr/bin/rune PATH=$RUNE_STAGE/usr/bin:$PATH
cd "$(dirname "$0")/../integration" || exit 1
shift
files=("$@")
[ ${#files[@]} -gt 0 ] || files=(enclave-{policy,mounts,exec,lifecycle,terminal,identity,network,shared,bound}.bats)

# The mode reaches containers: else the rest shows nothing.
if RUNE_SGX_EMULATOR_ISOLATE=nonsense bats -f "signals: a list of its own" enclave-policy.bats >/dev/null 2>&1; then
    echo "full-containers-isolated.sh: containers do not look at RUNE_SGX_EMULATOR_ISOLATE" >&2
    exit 1
fi
export RUNE_SGX_EMULATOR_ISOLATE=auto
bats "${files[@]}"
