/* SPDX-License-Identifier: Apache-2.0 */
/* What MRENCLAVE covers (libos/host/measured.c): set once, at start, before anything else. */
#pragma once

#include "layout.h"
#include "types.h"

struct host_memory;
struct manifest_image;

extern const struct enclave_layout *g_layout;

/* True when [p, p+n) lies wholly outside of ELRANGE, in user space. */
static inline bool is_outside(const struct host_memory *p, size_t n)
{
    u64 a = (u64)p;

    return a >= g_layout->size && n < (1ull << 46) && a < (1ull << 47) - n;
}

extern const struct manifest_image *g_manifest;
