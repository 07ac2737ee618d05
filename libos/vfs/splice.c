/* SPDX-License-Identifier: Apache-2.0 */
/* Data from descriptor to descriptor: sendfile, copy_file_range, splice, tee, vmsplice. All go
 * through a buffer of the LibOS. */
#include "vfs.h"

#define CHUNK (64u << 10)

/*
 * Move up to n bytes. Input that has a position can be read again, so what the output does not take
 * is given back; from a stream no more is read than the output took room for before (a pipe's
 * PIPE_BUF, or it blocks).
 */
static ssize_t pump(struct file *in, u64 *in_pos, struct file *out, u64 *out_pos, size_t n)
{
    size_t room = MIN(n, (size_t)CHUNK);
    u8 *buf = kmalloc(room ? room : 1);
    ssize_t done = 0, r = 0, w;

    if (!buf)
        return -ENOMEM;
    while (n) {
        u64 before = in_pos ? *in_pos : 0;

        r = file_read_kernel(in, buf, MIN(n, room), in_pos);
        if (r <= 0)
            break;
        for (w = 0; w < r;) {
            ssize_t k = file_write_kernel(out, buf + w, (size_t)(r - w), out_pos);

            if (k == -EAGAIN && !in->ops->seek) { /* cannot give it back: wait */
                k = file_wait(out, POLL_OUT, NO_DEADLINE);
                if (k == 0)
                    continue;
            }
            if (k <= 0) {
                if (in_pos)
                    *in_pos = before + (u64)w;
                done += w;
                kfree(buf);
                return done ? done : k;
            }
            w += k;
        }
        done += w;
        n -= (size_t)w;
        if (!in->ops->seek)
            break; /* what was there now */
    }
    kfree(buf);
    return done ? done : r;
}

/* An offset argument: NULL means the file's own position (locked while in use). */
struct place {
    struct file *f;
    u64 at;
    uaddr user; /* or NULL */
    bool own;
};

static int place_take(struct place *p, struct file *f, uaddr user)
{
    i64 at = 0;

    *p = (struct place){.f = f, .user = user};
    if (user.at) {
        if (!f->ops->seek)
            return -ESPIPE;
        if (get_user(at, user) < 0)
            return -EFAULT;
        if (at < 0)
            return -EINVAL;
        p->at = (u64)at;
    } else if (f->ops->seek) {
        p->own = true;
        p->at = f->pos;
    }
    return 0;
}

static int place_give(struct place *p)
{
    if (p->own)
        p->f->pos = p->at;
    if (p->user.at)
        return put_user((i64)p->at, p->user);
    return 0;
}

static int check_copy(struct file *in, struct file *out);

static long transfer(int in_fd, uaddr in_off, int out_fd, uaddr out_off, size_t n,
                     int (*check)(struct file *in, struct file *out))
{
    struct file *in = fd_get(in_fd), *out = fd_get(out_fd);
    struct place from = {0}, to = {0};
    long r = in && out && !((in->flags | out->flags) & O_PATH) ? 0 : -EBADF;

    if (r == 0 && ((in->flags & O_ACCMODE) == O_WRONLY || (out->flags & O_ACCMODE) == O_RDONLY))
        r = -EBADF;
    if (r == 0)
        r = check(in, out);
    if (r == 0)
        r = place_take(&from, in, in_off);
    if (r == 0)
        r = place_take(&to, out, out_off);
    if (r == 0 && check == check_copy && in->inode == out->inode && from.at < to.at + n &&
        to.at < from.at + n)
        r = -EINVAL; /* what is read would have been written by this call */
    if (r == 0) {
        r = pump(in, &from.at, out, &to.at, MIN(n, RW_LIMIT));
        if (place_give(&from) < 0 || place_give(&to) < 0)
            r = -EFAULT;
    }
    if (in)
        file_put(in);
    if (out)
        file_put(out);
    return r;
}

/* Linux gives descriptors of events and states (epoll, eventfd, ...) no operations for this. */
static bool is_place(const struct file *f)
{
    return f->inode ||
           (f->kind && (strcmp(f->kind, "pipe") == 0 || strcmp(f->kind, "socket") == 0));
}

static int check_sendfile(struct file *in, struct file *out)
{
    if ((out->flags & O_APPEND) || !is_place(out))
        return -EINVAL;
    return in->inode && S_ISDIR(in->inode->mode) ? -EINVAL : in->ops->seek ? 0 : -EINVAL;
}

static int check_copy(struct file *in, struct file *out)
{
    if (!in->inode || !out->inode)
        return -EINVAL;
    if (S_ISDIR(in->inode->mode) || S_ISDIR(out->inode->mode))
        return -EISDIR;
    if (!S_ISREG(in->inode->mode) || !S_ISREG(out->inode->mode))
        return -EINVAL;
    if (out->flags & O_APPEND)
        return -EBADF;
    /* Files whose text is made up say their size is 0: programs fall back to read. */
    return in->inode->super == out->inode->super ||
                   (inode_is_memory(in->inode) && inode_is_memory(out->inode))
               ? 0
               : -EXDEV;
}

static int check_splice(struct file *in, struct file *out)
{
    if ((in->inode && S_ISDIR(in->inode->mode)) || (out->inode && S_ISDIR(out->inode->mode)))
        return -EINVAL;
    if ((!file_is_pipe(in) && !file_is_pipe(out)) || !is_place(in) || !is_place(out))
        return -EINVAL;
    if ((in->inode && in->inode == out->inode) || pipe_is_same(in, out))
        return -EINVAL;
    return out->flags & O_APPEND ? -EINVAL : 0;
}

long sys_sendfile(int to, int from, uaddr offset, u64 size)
{
    return transfer(from, offset, to, user_at(0), size, check_sendfile);
}

long sys_copy_file_range(int from, uaddr from_offset, int to, uaddr to_offset, u64 size, u32 flags)
{
    return flags ? -EINVAL : transfer(from, from_offset, to, to_offset, size, check_copy);
}

#define SPLICE_NONBLOCK 2
#define IOV_MAX_COUNT   1024
#define SPLICE_ALL      15u

long sys_splice(int from, uaddr from_offset, int to, uaddr to_offset, u64 size, u32 flags)
{
    struct file *in;

    if (flags & ~SPLICE_ALL)
        return -EINVAL;
    if (size == 0)
        return 0;
    if (flags & SPLICE_NONBLOCK) { /* only the pipe side must not block */
        in = fd_get(from);
        if (in && file_is_pipe(in) && in->ops->poll &&
            !(in->ops->poll(in, NULL) & (POLL_IN | POLL_HUP))) {
            file_put(in);
            return -EAGAIN;
        }
        if (in)
            file_put(in);
    }
    return transfer(from, from_offset, to, to_offset, size, check_splice);
}

long sys_tee(int from, int to, u64 size, u32 flags)
{
    struct file *in, *out;
    long r = -EBADF;

    if (flags & ~SPLICE_ALL)
        return -EINVAL;
    in = fd_get(from);
    out = fd_get(to);
    if (in && out)
        r = file_is_pipe(in) && file_is_pipe(out) && in->inode != out->inode
                ? pipe_tee(in, out, size, (flags & SPLICE_NONBLOCK) != 0)
                : -EINVAL;
    if (in)
        file_put(in);
    if (out)
        file_put(out);
    return r;
}

/* vmsplice waits for room, and then gives no more than there is. */
static long fill_pipe(int fd, struct file *file, uaddr iov, u64 count)
{
    long done = 0, r;
    struct {
        u64 base, size;
    } v;

    if (count > IOV_MAX_COUNT)
        return -EINVAL;
    r = file_wait(file, POLL_OUT, UINT64_MAX);
    for (size_t room = pipe_room(file); r == 0 && count > 0; count--, iov.at += sizeof(v)) {
        if (copy_from_user(&v, iov, sizeof(v)) < 0)
            r = -EFAULT;
        else if (v.size)
            r = sys_write(fd, user_at(v.base), MIN(v.size, room));
        else
            continue;
        if (r < 0)
            break;
        done += r;
        room -= MIN((size_t)r, room);
        if ((u64)r < v.size || !room)
            break;
        r = 0;
    }
    return done ? done : r == -EINTR ? -ERESTARTSYS : r;
}

long sys_vmsplice(int fd, uaddr vector, u64 count, u32 flags)
{
    struct file *file;
    bool reads;

    if (flags & ~SPLICE_ALL)
        return -EINVAL;
    file = fd_get(fd);
    if (!file)
        return -EBADF;
    reads = (file->flags & O_ACCMODE) == O_RDONLY;
    if (!file_is_pipe(file)) {
        file_put(file);
        return -EBADF;
    }
    if ((flags & SPLICE_NONBLOCK) &&
        !(file->ops->poll(file, NULL) & (POLL_IN | POLL_OUT | POLL_HUP))) {
        file_put(file);
        return -EAGAIN;
    }
    long r = reads ? sys_readv(fd, vector, count) : fill_pipe(fd, file, vector, count);
    file_put(file);
    return r;
}
