/* SPDX-License-Identifier: Apache-2.0 */
/* Scattered transfers. */
#include "lib.h"
#include "user.h"

void uio_init(struct uio *io, struct uio_segment *one, void *base, size_t size, bool user)
{
    one->base = base;
    one->size = size;
    *io = (struct uio){.segments = one, .count = 1, .left = size, .user = user};
}

void uio_init_user(struct uio *io, struct uio_segment *one, uaddr base, size_t size)
{
    uio_init(io, one, (void *)base.at, size, true);
}

enum uio_direction { UIO_TO, UIO_FROM, UIO_ZERO };

static int move_piece(const struct uio *io, void *at, void *data, size_t n, enum uio_direction dir)
{
    switch (dir) {
    case UIO_TO:
        if (io->user)
            return copy_to_user(user_at((u64)at), data, n);
        memcpy(at, data, n);
        return 0;
    case UIO_FROM:
        if (io->user)
            return copy_from_user(data, user_at((u64)at), n);
        memcpy(data, at, n);
        return 0;
    default:
        if (io->user)
            return clear_user(user_at((u64)at), n);
        memset(at, 0, n);
        return 0;
    }
}

static ssize_t uio_move(struct uio *io, void *data, size_t n, enum uio_direction dir)
{
    size_t done = 0;

    n = MIN(n, io->left);
    while (done < n) {
        struct uio_segment *s = io->segments;
        size_t piece = MIN(n - done, s->size - io->offset);

        if (piece > 0 && move_piece(io, (u8 *)s->base + io->offset,
                                    data != NULL ? (u8 *)data + done : NULL, piece, dir) < 0)
            return done > 0 ? (ssize_t)done : -EFAULT;
        done += piece;
        io->offset += piece;
        io->left -= piece;
        if (io->offset == s->size && io->count > 1) {
            io->segments++;
            io->count--;
            io->offset = 0;
        } else if (piece == 0) {
            break;
        }
    }
    return (ssize_t)done;
}

ssize_t uio_to(struct uio *io, const void *data, size_t n)
{
    return uio_move(io, (void *)data, n, UIO_TO);
}

ssize_t uio_from(struct uio *io, void *data, size_t n)
{
    return uio_move(io, data, n, UIO_FROM);
}

ssize_t uio_zero(struct uio *io, size_t n)
{
    return uio_move(io, NULL, n, UIO_ZERO);
}
