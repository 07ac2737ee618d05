#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 200 containers in parallel batches, then deleted, ten times (LOAD_COUNT, LOAD_ROUNDS). TAP. full-load.sh STAGE
here=$(cd "$(dirname "$0")" && pwd)
export RUNE_STAGE=${RUNE_STAGE:-$(realpath "$1")} LOAD_ROUNDS=${LOAD_ROUNDS:-10} LOAD_COUNT=${LOAD_COUNT:-200}
exec bats --tap "$here/../integration/ordinary-load.bats"
