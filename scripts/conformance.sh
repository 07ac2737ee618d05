#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The slow suites, each whole: the kernel's SGX selftests, runc's bats files as root and as an ordinary user, crun's tests,
# the load test, the LibOS's tests and those of enclave containers with enclave memory closed to the host, programs of Debian both ways. conformance.sh STAGE
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export RUNE_STAGE=$1 RUNE=$1/usr/bin/rune PATH=$1/usr/bin:$PATH
status=0
for script in tests/conformance/ci-*.sh tests/conformance/full-*.sh; do
    [ -e "$script" ] || continue
    echo "== $(basename "$script")"
    "$script" "$RUNE_STAGE" || status=1
done
echo "== programs of Debian"
RUNE_CHECK_PROGRAMS=1 bats tests/integration/enclave-programs.bats || status=1
exit $status
