#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ci-sgx-selftests.sh STAGE: the kernel's SGX selftests with the sgx-emulate of that stage.
here=$(dirname "$0")
exec "$here/sgx-selftests.sh" "$1/usr/bin/sgx-emulate" "$here/sgx-selftests"
