#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All of runc's own integration tests. full-runc-bats.sh STAGE
exec "$(dirname "$0")/runc-bats.sh" "$1"
