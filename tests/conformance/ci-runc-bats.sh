#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The quick half of runc's own integration tests. ci-runc-bats.sh STAGE
exec "$(dirname "$0")/runc-bats.sh" -f "create delete exec kill list mask mounts ps start state umask version" "$1"
