#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The LibOS's own tests while host code that touches enclave memory ends the process (RUNE_SGX_EMULATOR_ISOLATE).
#   full-libos-isolated.sh STAGE [TEST...]      STAGE is in the build directory
set -euo pipefail
build=$(realpath "$1/..")
cd "$(dirname "$0")/../.."
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
runner="$build/runtimes/libos/libos-run --libos $build/libos/libos.elf --cache $work/cache --key $work/key.pem"

# A host that looks does not get away with it: else the rest shows nothing.
cc -O1 -shared -fPIC -o "$work/peek.so" tests/libos/peek.c
tests/libos/run.sh --variants pie --compile "$work/root" process
export RUNE_SGX_EMULATOR_ISOLATE=auto
status=0
LD_PRELOAD=$work/peek.so $runner --rootfs "$work/root" -- /bin/process-pie >"$work/peek.out" 2>&1 || status=$?
if [ $status -ne 134 ] || ! grep -q 'host code touched enclave memory: a read of 0x.*peek.so+0x' "$work/peek.out"; then
    cat "$work/peek.out"
    echo "full-libos-isolated.sh: a host that reads the LibOS's memory was not found (exit code $status)" >&2
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
tests/libos/run.sh --variants pie --runner "$runner" "$@"
