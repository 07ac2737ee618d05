/* SPDX-License-Identifier: Apache-2.0 */
/* Private to src/sgx: names of Linux's SGX interface, and the vDSO. */
#pragma once

#define SGX_DEVICE           "/dev/sgx_enclave"
#define SGX_PROVISION_DEVICE "/dev/sgx_provision"

/* Address of a function of the vDSO, or NULL. */
void *sgx_vdso_symbol(const char *name);
