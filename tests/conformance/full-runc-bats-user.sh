#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# runc's own integration tests as an ordinary user, with every set of features that rootless.sh of runc's source tries.
# full-runc-bats-user.sh STAGE
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/runc-bats.XXXXXX")
trap 'rm -rf "$work"' EXIT
status=0
for features in none idmap cgroup idmap+cgroup; do
    "$here/runc-bats.sh" -k "$work" -u "$features" "$1" || status=1
done
exit $status
