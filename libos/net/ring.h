/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to libos/net: the bytes on their way in a stream, kept at the receiver and under its
 * lock. The ring grows on demand up to its limit. Positions run freely; how much is there may
 * be read without the lock.
 */
#pragma once

#include "fs.h"

struct ring {
    u8 *data;
    u32 size;       /* a power of two, or 0 */
    u32 limit;      /* bytes that may wait here */
    u64 head, tail; /* read at head, up to tail */
    u32 held;       /* bytes behind tail that a reader does not see yet */
};

static inline size_t ring_used(const struct ring *r)
{
    return (size_t)(__atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) -
                    __atomic_load_n(&r->head, __ATOMIC_ACQUIRE));
}
/* A ring that was full must get half empty before its writer is told. */
static inline bool ring_has_room(const struct ring *r)
{
    return ring_used(r) <= __atomic_load_n(&r->limit, __ATOMIC_RELAXED) / 2;
}

/* Moves as much as there is room for; how much, or a negative errno when nothing. hold: not seen
 * before ring_show(), or the next one that does not hold. */
ssize_t ring_write(struct ring *r, struct uio *io, bool hold);
/* What is held can be read. */
static inline void ring_show(struct ring *r)
{
    __atomic_store_n(&r->tail, r->tail + r->held, __ATOMIC_RELEASE);
    r->held = 0;
}
/* Moves `want` bytes, which are there; with peek they stay. io NULL: they are thrown away. */
ssize_t ring_read(struct ring *r, struct uio *io, size_t want, bool peek);
/* Drops what is there and the memory. */
void ring_reset(struct ring *r);
