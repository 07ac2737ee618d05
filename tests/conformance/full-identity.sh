#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Predicted identities beside what Docker and Podman make, option by option, and of 50 containers of one deployment. full-identity.sh STAGE
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
stage=$(realpath "$1")
export RUNE_STAGE=$stage RUNE=$stage/usr/bin/rune PATH=$stage/usr/bin:$PATH
RUNE_CHECK_ENGINES=1 exec bats --tap tests/integration/engine-lines.bats
