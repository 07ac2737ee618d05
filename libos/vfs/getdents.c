/* SPDX-License-Identifier: Apache-2.0 */
/* getdents(2): the entries of a directory, "." and ".." made here. */
#include "vfs.h"

struct dirent64 {
    u64 ino;
    i64 off;
    u16 reclen;
    u8 type;
    char name[];
};
struct dirent_old { /* type is the last byte of the record */
    u64 ino, off;
    u16 reclen;
    char name[];
};

struct dirent_fill {
    u8 *buf;
    size_t used, size;
    bool old_format, full;
};

static bool fill_dirent(void *ctx, const char *name, size_t len, u64 ino, u8 d_type, u64 next_pos)
{
    struct dirent_fill *x = ctx;
    size_t head = x->old_format ? offsetof(struct dirent_old, name)
                                : offsetof(struct dirent64, name);
    size_t reclen = (head + len + 1 + (x->old_format ? 1 : 0) + 7) & ~7ul;

    if (x->used + reclen > x->size) {
        x->full = true;
        return false;
    }
    memset(x->buf + x->used, 0, reclen);
    if (x->old_format) {
        struct dirent_old *d = (struct dirent_old *)(x->buf + x->used);

        d->ino = ino;
        d->off = next_pos;
        d->reclen = (u16)reclen;
        memcpy(d->name, name, len);
        x->buf[x->used + reclen - 1] = d_type;
    } else {
        struct dirent64 *d = (struct dirent64 *)(x->buf + x->used);

        d->ino = ino;
        d->off = (i64)next_pos;
        d->reclen = (u16)reclen;
        d->type = d_type;
        memcpy(d->name, name, len);
    }
    x->used += reclen;
    return true;
}

struct shifted {
    dirent_fn *fn;
    void *ctx;
    u64 last;
};

/* Positions 0 and 1 are "." and "..". */
static bool fill_shifted(void *ctx, const char *name, size_t len, u64 ino, u8 d_type, u64 next_pos)
{
    struct shifted *s = ctx;

    if (!s->fn(s->ctx, name, len, ino, d_type, next_pos + 2))
        return false;
    s->last = next_pos + 2;
    return true;
}

static u64 parent_ino(struct dentry *d)
{
    struct kstat st = {0};
    struct dentry *up;

    mutex_lock(&g_tree_lock);
    while (d->parent == d && d->mount && d->mount->mountpoint)
        d = d->mount->mountpoint;
    up = dentry_get(d->parent);
    mutex_unlock(&g_tree_lock);
    inode_stat(up->inode, &st);
    dentry_put(up);
    return st.ino;
}

static int iterate_all(struct file *f, struct dirent_fill *x)
{
    struct shifted s = {fill_dirent, x, 0};
    struct kstat st = {0};
    u64 pos;
    int r;

    if (f->ops->iterate) {
        pos = f->pos;
        r = f->ops->iterate(f, &pos, fill_dirent, x);
        f->pos = pos;
        return r;
    }
    if (f->pos == 0) {
        inode_stat(f->inode, &st);
        if (!fill_dirent(x, ".", 1, st.ino, DT_DIR, 1))
            return 0;
        f->pos = 1;
    }
    if (f->pos == 1) {
        if (!fill_dirent(x, "..", 2, parent_ino(f->dentry), DT_DIR, 2))
            return 0;
        f->pos = 2;
    }
    s.last = f->pos;
    mutex_lock(&f->inode->lock);
    r = f->inode->ops->iterate(f->inode, f->pos - 2, fill_shifted, &s);
    mutex_unlock(&f->inode->lock);
    f->pos = s.last;
    return r;
}

static long do_getdents(int fd, uaddr buf, u32 size, bool old_format)
{
    struct dirent_fill x = {.size = MIN(size, 32768u), .old_format = old_format};
    struct fdref ref = fdref_get(fd);
    struct file *f = ref.file;
    u64 before;
    long r;

    if (!f)
        return -EBADF;
    if (!f->inode || !S_ISDIR(f->inode->mode) || (!f->ops->iterate && !f->inode->ops->iterate)) {
        fdref_put(ref);
        return -ENOTDIR;
    }
    x.buf = kmalloc(x.size ? x.size : 1);
    if (!x.buf) {
        fdref_put(ref);
        return -ENOMEM;
    }
    mutex_lock(&f->pos_lock);
    before = f->pos;
    r = f->dentry->unlinked ? -ENOENT : iterate_all(f, &x);
    if (r >= 0 || x.used) {
        r = x.used ? (long)x.used : x.full ? -EINVAL : 0;
        if (x.used && copy_to_user(buf, x.buf, x.used) < 0) {
            f->pos = before;
            r = -EFAULT;
        }
    }
    mutex_unlock(&f->pos_lock);
    if (r >= 0)
        notify_inode(f->dentry, IN_ACCESS);
    kfree(x.buf);
    fdref_put(ref);
    return r;
}

long sys_getdents64(int fd, uaddr entries, u32 size)
{
    return do_getdents(fd, entries, size, false);
}

long sys_getdents(int fd, uaddr entries, u32 size)
{
    return do_getdents(fd, entries, size, true);
}
