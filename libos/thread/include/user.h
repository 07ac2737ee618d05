/* SPDX-License-Identifier: Apache-2.0 */
/* Access to application memory. A fault inside is repaired (page committed, range saved by a fork
 * group) or becomes -EFAULT. */
#pragma once

#include "types.h"

int copy_from_user(void *dst, uaddr src, size_t n); /* 0 or -EFAULT */
int copy_to_user(uaddr dst, const void *src, size_t n);
int clear_user(uaddr dst, size_t n);
/* Length without NUL, -EFAULT, or -ENAMETOOLONG when no NUL within size. dst is terminated. */
ssize_t strncpy_from_user(char *dst, uaddr src, size_t size);
#define get_user(x, p) copy_from_user(&(x), p, sizeof(x))
#define put_user(x, p)                      \
    ({                                      \
        typeof(x) pu_ = (x);                \
        copy_to_user(p, &pu_, sizeof(pu_)); \
    })
/* Atomic u32 operations on user memory, for futex and robust lists. 0 or -EFAULT. */
int user_load_u32(u32 *value, uaddr p);
int user_cmpxchg_u32(uaddr p, u32 expected, u32 desired, u32 *old);

/*
 * A scattered transfer, user or LibOS memory: what read, readv, pread, recvmsg... hand to a file.
 * uio_to/uio_from move at most n bytes and advance; they return the bytes moved, or -EFAULT when
 * nothing could be.
 */
struct uio_segment {
    void *base; /* of user memory: no pointer, only uio_to() and its kin know what it is */
    size_t size;
};
struct uio {
    struct uio_segment *segments;
    size_t count;
    size_t offset; /* in segments[0] */
    size_t left;   /* bytes in all */
    bool user;
};
ssize_t uio_to(struct uio *io, const void *data, size_t n); /* into the io (read) */
ssize_t uio_from(struct uio *io, void *data, size_t n);     /* out of the io (write) */
ssize_t uio_zero(struct uio *io, size_t n);
void uio_init(struct uio *io, struct uio_segment *one, void *base, size_t size, bool user);
void uio_init_user(struct uio *io, struct uio_segment *one, uaddr base, size_t size);
