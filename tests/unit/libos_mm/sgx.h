/* SPDX-License-Identifier: Apache-2.0 */
/* The SGX leaves for libos/mm in a unit test: EPCM permissions by mprotect on ordinary memory. */
#pragma once

#include "types.h"

#define SGX_SECINFO_R        (1ull << 0)
#define SGX_SECINFO_W        (1ull << 1)
#define SGX_SECINFO_X        (1ull << 2)
#define SGX_SECINFO_PENDING  (1ull << 3)
#define SGX_SECINFO_MODIFIED (1ull << 4)
#define SGX_SECINFO_PR       (1ull << 5)
#define SGX_SECINFO_REG      (2ull << 8)
#define SGX_SECINFO_TRIM     (4ull << 8)
#define SGX_SECINFO_TCS      (1ull << 8)
#define SGX_PAGE_TYPE_TCS    1u
#define SGX_PAGE_TYPE_TRIM   4u

int sgx_eaccept(u64 addr, u64 flags);
int sgx_eacceptcopy(u64 addr, const void *from, u64 flags);
void sgx_emodpe(u64 addr, u64 flags);
