/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host memory. The type is never completed: what it points to is reached through the functions here
 * and in no other way, so each byte of the host is read once, into the enclave.
 *
 * All accesses are of whole, aligned 8-byte words (rep movsq, or one load or store):
 *
 *   reads   INTEL-SA-00657: where the host maps the xAPIC's registers, narrower or unaligned loads
 *           return stale data of the processor's buffers.
 *   writes  INTEL-SA-00615 (processor MMIO stale data): stores of less than 8 aligned bytes to
 *           what the host maps for a device propagate stale data; such stores would need VERW
 *           before and MFENCE, LFENCE behind, whole words need neither.
 */
#pragma once

#include "types.h"

struct host_memory; /* for good */

static inline struct host_memory *hostmem_at(const struct host_memory *m, size_t offset)
{
    return (struct host_memory *)((u64)m + offset);
}

/* Copies that may fault: how many bytes were NOT copied. No check of addresses. */
size_t hostmem_read(void *dst, const struct host_memory *src, size_t n);
/* dst 8-aligned; n is rounded up to words, with zeros. */
size_t hostmem_write(struct host_memory *dst, const void *src, size_t n);

/* One word, aligned; a fault ends the enclave. */
static inline u64 hostmem_load(const struct host_memory *m, size_t offset)
{
    return *(const volatile u64 *)hostmem_at(m, offset);
}
static inline void hostmem_store(struct host_memory *m, size_t offset, u64 v)
{
    *(volatile u64 *)hostmem_at(m, offset) = v;
}
