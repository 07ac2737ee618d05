#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Predicted identities beside what Docker and Podman make, option by option, and of 50 containers of one deployment by Docker, Podman, containerd
# (with runc's shim and with ours) and Kubernetes' CRI. full-identity.sh STAGE
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
stage=$(realpath "$1")
export RUNE_STAGE=$stage RUNE=$stage/usr/bin/rune PATH=$stage/usr/bin:$PATH
status=0
RUNE_CHECK_ENGINES=1 bats --tap tests/integration/engine-lines.bats || status=1
RUNE_IDENTITY_RUNS=50 bats --tap --filter 'identity that rune-image measure predicts' tests/integration/{docker,podman,containerd,shim-enclave,shim-cri}.bats || status=1
exit $status
