#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ci-sgx-selftests.sh STAGE: the kernel's SGX selftests with what the build of that stage made.
here=$(dirname "$0")
exec "$here/sgx-selftests.sh" "$(dirname "$1")/tests/conformance/libsgx-interpose.so" "$here/sgx-selftests"
