/* SPDX-License-Identifier: Apache-2.0 */
/* The SGX leaves for libos/mm in a unit test: EPCM permissions by mprotect on ordinary memory. */
#pragma once

#include "types.h"
#include "sgx_arch.h"

int sgx_eaccept(u64 addr, u64 flags);
int sgx_eacceptcopy(u64 addr, const void *from, u64 flags);
void sgx_emodpe(u64 addr, u64 flags);
