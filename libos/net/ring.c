/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of a stream: UNIX ones and those of the enclave's own TCP. */
#include "ring.h"

#define RING_MIN 16384u

/* Positions keep their meaning: every byte moves to its position modulo the new size. */
static int ring_grow(struct ring *r, size_t wanted)
{
    u32 size = MAX(r->size, RING_MIN), old = r->size;
    u64 end = r->tail + r->held;
    size_t used = (size_t)(end - r->head);
    u8 *data;

    while (size - used < wanted && size < r->limit)
        size *= 2;
    if (size == old)
        return 0;
    data = kmalloc(size);
    if (data == NULL)
        return old > used ? 0 : -ENOBUFS;
    for (u64 at = r->head; at < end;) {
        u64 piece = MIN(end - at, old - (at & (old - 1)));

        piece = MIN(piece, size - (at & (size - 1)));
        memcpy(data + (at & (size - 1)), r->data + (at & (old - 1)), piece);
        at += piece;
    }
    kfree(r->data);
    r->data = data;
    r->size = size;
    return 0;
}

ssize_t ring_write(struct ring *r, struct uio *io, bool hold)
{
    size_t used = (size_t)(r->tail + r->held - r->head), want, piece;
    ssize_t done = 0, n;
    int err;

    if (used >= r->limit)
        return 0;
    want = MIN(io->left, r->limit - used);
    if (r->size - used < want) {
        err = ring_grow(r, want);
        if (err < 0)
            return err;
    }
    want = MIN(want, r->size - used);
    while (want > 0) {
        u32 at = (u32)((r->tail + r->held) & (r->size - 1));

        piece = MIN(want, (size_t)(r->size - at));
        n = uio_from(io, r->data + at, piece);
        if (n < 0) {
            if (done == 0)
                return n;
            break;
        }
        r->held += (u32)n;
        done += n;
        if ((size_t)n < piece)
            break;
        want -= piece;
    }
    if (!hold)
        ring_show(r);
    return done;
}

ssize_t ring_read(struct ring *r, struct uio *io, size_t want, bool peek)
{
    u64 head = r->head;
    ssize_t done = 0, n;
    size_t piece;

    while (want > 0) {
        u32 at = (u32)(head & (r->size - 1));

        piece = MIN(want, (size_t)(r->size - at));
        n = io != NULL ? uio_to(io, r->data + at, piece) : (ssize_t)piece;
        if (n < 0) {
            if (done == 0)
                return n;
            break;
        }
        head += (u64)n;
        done += n;
        if ((size_t)n < piece)
            break;
        want -= piece;
    }
    if (!peek)
        __atomic_store_n(&r->head, head, __ATOMIC_RELEASE);
    return done;
}

void ring_reset(struct ring *r)
{
    r->head = r->tail;
    r->held = 0;
    kfree(r->data);
    r->data = NULL;
    r->size = 0;
}
