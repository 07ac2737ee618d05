/* SPDX-License-Identifier: Apache-2.0 */
/* Contents of pass-through files and directories. Each open file has a descriptor of the host of
 * its own. */
#include "hostfs.h"
#include "locks.h"
#include "mm.h"

#define CHUNK       (64u << 10)
#define NAMES_LIMIT (1u << 20)

/* The names of a directory, all read when a listing begins. */
struct name_entry {
    u64 ino;
    u32 name; /* offset in text */
    u8 len, type;
};

struct listing {
    struct name_entry *entries;
    u32 count, room;
    char *text;
    size_t used, size;
};

/* ---- regular files ---- */

static ssize_t read_mapped(struct file *f, struct uio *io, u64 pos)
{
    size_t skip = pos & ~PAGE_MASK, n;
    u8 *buf;
    void *page;
    ssize_t r;

    if (pos >= f->inode->size)
        return 0;
    n = MIN(MIN(io->left, PAGE_SIZE - skip), (size_t)(f->inode->size - pos));
    buf = page_alloc(1);
    if (!buf)
        return -ENOMEM;
    mutex_lock(&f->inode->lock);
    page = mm_shared_page(f->inode, pos & PAGE_MASK);
    if (page)
        memcpy(buf, page, PAGE_SIZE);
    mutex_unlock(&f->inode->lock);
    r = page ? (ssize_t)n : host_read(f->host_fd, buf + skip, n, (off_t)pos);
    if (r > 0)
        r = uio_to(io, buf + skip, (size_t)r);
    page_free(buf, 1);
    return r;
}

static ssize_t read_some(struct file *f, void *buf, size_t n, u64 pos)
{
    struct own_change own;
    ssize_t r;

    own_begin(&own, host_of(f->inode), IN_ACCESS);
    r = host_read(f->host_fd, buf, n, (off_t)pos);
    own_end(&own);
    return r;
}

static ssize_t hostfs_read(struct file *f, struct uio *io, u64 *pos)
{
    size_t room = MIN(io->left, (size_t)CHUNK);
    u8 small[1024], *buf = room <= sizeof(small) ? small : kmalloc(room);
    ssize_t done = 0, r = 0;

    if (!buf)
        return -ENOMEM;
    while (io->left) {
        size_t want = MIN(io->left, room);

        if (*pos > INT64_MAX - want)
            break;
        if (unlikely(!list_empty(&f->inode->shared_maps))) {
            want = 0;
            r = read_mapped(f, io, *pos);
        } else {
            r = read_some(f, buf, want, *pos);
            if (r > 0)
                r = uio_to(io, buf, (size_t)r);
        }
        if (r <= 0)
            break;
        done += r;
        *pos += (u64)r;
        if (want && (size_t)r < want)
            break;
    }
    if (buf != small)
        kfree(buf);
    return done ? done : r;
}

/* What a shared mapping shows follows what is written. */
static void update_mapped(struct inode *i, u64 pos, const u8 *data, size_t n)
{
    mutex_lock(&i->lock);
    while (n) {
        size_t skip = pos & ~PAGE_MASK, part = MIN(n, PAGE_SIZE - skip);

        mm_shared_write(i, pos, data, part);
        pos += part;
        data += part;
        n -= part;
    }
    mutex_unlock(&i->lock);
}

/* The descriptor to write with: who appends lets the host say where the end is, for others append
 * as well. */
static hostfd write_fd(struct file *f, bool append)
{
    struct host_inode *h = host_of(f->inode);
    struct host_open *o = f->private;

    if (likely(append == o->append))
        return o->fd;
    mutex_lock(&h->opens_lock);
    if (!hostfd_ok(o->other_fd))
        o->other_fd = host_open(o->fd, "", O_WRONLY | (append ? O_APPEND : 0) | O_CLOEXEC, 0);
    mutex_unlock(&h->opens_lock);
    return o->other_fd;
}

/* *pos: where it is written, and with append where it was. */
static ssize_t write_some(struct file *f, hostfd fd, const u8 *data, size_t n, bool append,
                          u64 *pos)
{
    struct own_change own;
    ssize_t r;
    off_t end;

    own_begin(&own, host_of(f->inode), IN_MODIFY);
    r = host_write(fd, data, n, append ? -1 : (off_t)*pos);
    own_end(&own);
    end = append && r > 0 ? host_lseek(fd, 0, SEEK_CUR) : -1;

    if (end >= r)
        *pos = (u64)(end - r);
    return r == 0 ? -EIO : r;
}

static ssize_t hostfs_write(struct file *f, struct uio *io, u64 *pos)
{
    bool append = (f->flags & O_APPEND) != 0;
    hostfd fd = write_fd(f, append);
    size_t room = MIN(io->left, (size_t)CHUNK);
    u8 small[1024], *buf = room <= sizeof(small) ? small : kmalloc(room);
    ssize_t done = 0, r = 0;

    if (!buf || !hostfd_ok(fd)) {
        if (buf != small)
            kfree(buf);
        return buf ? fd.n : -ENOMEM;
    }
    while (io->left) {
        size_t taken;

        if (*pos > INT64_MAX - room) {
            r = -EFBIG;
            break;
        }
        r = uio_from(io, buf, MIN(io->left, room));
        if (r <= 0)
            break;
        taken = (size_t)r;
        for (size_t at = 0; at < taken; at += (size_t)r) {
            r = write_some(f, fd, buf + at, taken - at, append, pos);
            if (r < 0)
                break;
            if (unlikely(!list_empty(&f->inode->shared_maps)))
                update_mapped(f->inode, *pos, buf + at, (size_t)r);
            *pos += (u64)r;
            done += r;
        }
        if (r < 0)
            break;
    }
    if (buf != small)
        kfree(buf);
    f->inode->size = MAX(f->inode->size, *pos);
    return done ? done : r;
}

static i64 hostfs_seek(struct file *f, i64 off, int whence)
{
    struct host_stat st;
    off_t r;

    if (whence == SEEK_DATA || whence == SEEK_HOLE) {
        r = host_lseek(f->host_fd, off, whence);
        if (r >= 0)
            f->pos = (u64)r;
        return r;
    }
    if (whence == SEEK_END && host_stat(f->host_fd, "", true, &st) >= 0)
        f->inode->size = MIN(st.size, (u64)INT64_MAX);
    return generic_seek(f, off, whence, f->inode->size);
}

static int hostfs_fsync(struct file *f, bool data_only)
{
    return host_fsync(f->host_fd, data_only);
}

static int hostfs_fallocate(struct file *f, int mode, u64 off, u64 len)
{
    struct own_change own;
    int r;

    own_begin(&own, host_of(f->inode), IN_MODIFY);
    r = host_fallocate(f->host_fd, mode, off, len);
    own_end(&own);
    if (r == 0 && !(mode & 1))
        f->inode->size = MAX(f->inode->size, off + len);
    return r;
}

static void listing_free(struct listing *l)
{
    kfree(l->entries);
    kfree(l->text);
    *l = (struct listing){0};
}

static void hostfs_release(struct file *f)
{
    struct host_inode *h = host_of(f->inode);
    struct host_open *o = f->private;
    struct own_change own;

    mutex_lock(&h->opens_lock);
    list_del(&o->link);
    mutex_unlock(&h->opens_lock);
    own_begin(&own, h, OWN_OPENED);
    host_close(f->host_fd);
    if (hostfd_ok(o->other_fd))
        host_close(o->other_fd);
    own_end(&own);
    if (o->names)
        listing_free(o->names);
    kfree(o->names);
    kfree(o->text);
    kfree(o);
}

static const struct file_ops g_hostfs_file_ops = {
    .read = hostfs_read,
    .write = hostfs_write,
    .seek = hostfs_seek,
    .fsync = hostfs_fsync,
    .fallocate = hostfs_fallocate,
    .lock = host_file_lock,
    .release = hostfs_release,
};

static const struct file_ops g_hosts_file_ops = {
    .read = hosts_read,
    .write = hostfs_write,
    .seek = hosts_seek,
    .fsync = hostfs_fsync,
    .fallocate = hostfs_fallocate,
    .lock = host_file_lock,
    .release = hostfs_release,
};

/* ---- directories ---- */

static int listing_add(struct listing *l, const char *name, size_t len, u64 ino, u8 type)
{
    if (l->count >= NAMES_LIMIT || len > NAME_LIMIT)
        return -EIO;
    if (l->count == l->room) {
        u32 room = l->room ? l->room * 2 : 64;
        struct name_entry *e = krealloc(l->entries, room * sizeof(*e));

        if (!e)
            return -ENOMEM;
        l->entries = e;
        l->room = room;
    }
    if (l->used + len > l->size) {
        size_t size = MAX(l->size * 2, (size_t)2048);
        char *t = krealloc(l->text, size);

        if (!t)
            return -ENOMEM;
        l->text = t;
        l->size = size;
    }
    memcpy(l->text + l->used, name, len);
    l->entries[l->count++] = (struct name_entry){
        .ino = ino, .name = (u32)l->used, .len = (u8)len, .type = type};
    l->used += len;
    return 0;
}

static int listing_load(struct listing *l, hostfd hfd)
{
    u8 *buf = kmalloc(CHUNK);
    ssize_t n = 0;
    int r = buf ? (int)MIN(host_lseek(hfd, 0, SEEK_SET), 0) : -ENOMEM;

    while (r == 0 && (n = host_getdents(hfd, buf, CHUNK)) > 0) {
        for (ssize_t at = 0; at < n && r == 0;) {
            /* struct linux_dirent64; host_getdents() has checked lengths and names */
            const char *name = (char *)buf + at + 19;
            u64 ino;
            u16 reclen;

            memcpy(&ino, buf + at, sizeof(ino));
            memcpy(&reclen, buf + at + 16, sizeof(reclen));
            if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
                r = listing_add(l, name, strlen(name), ino, buf[at + 18]);
            at += reclen;
        }
    }
    kfree(buf);
    return r < 0 ? r : n < 0 ? (int)n : 0;
}

static u64 parent_ino(struct file *f)
{
    struct kstat st = {0};

    inode_stat(f->dentry->parent->inode, &st);
    return st.ino;
}

static int hostfs_iterate(struct file *f, u64 *pos, dirent_fn *fn, void *ctx)
{
    struct listing *l = ((struct host_open *)f->private)->names;
    struct own_change own;
    int r;

    if (*pos == 0) {
        listing_free(l);
        own_begin(&own, host_of(f->inode), IN_ACCESS);
        r = listing_load(l, f->host_fd);
        own_end(&own);
        if (r < 0)
            return r;
        if (!fn(ctx, ".", 1, f->inode->ino, DT_DIR, 1))
            return 0;
        *pos = 1;
    }
    if (*pos == 1) {
        if (!fn(ctx, "..", 2, parent_ino(f), DT_DIR, 2))
            return 0;
        *pos = 2;
    }
    for (; *pos - 2 < l->count; ++*pos) {
        const struct name_entry *e = &l->entries[*pos - 2];

        if (!fn(ctx, l->text + e->name, e->len, e->ino, e->type, *pos + 1))
            break;
    }
    return 0;
}

static const struct file_ops g_hostfs_dir_ops = {
    .seek = inode_seek,
    .iterate = hostfs_iterate,
    .lock = host_file_lock,
    .fsync = hostfs_fsync,
    .release = hostfs_release,
};

/* What the host says when the name is another file's by now, or nobody's: to be looked up again. */
static bool not_that_file(int error)
{
    return error == -ENOENT || error == -ENOTDIR || error == -EISDIR || error == -ELOOP ||
           error == -ENXIO;
}

/* Descriptors of the mount are often opened for reading alone: a directory, or a file, that is
 * read-only on the host. */
int hostfs_open(struct inode *i, struct file *f)
{
    struct host_inode *h = host_of(i);
    struct own_change own;
    struct host_open *o;
    struct host_stat st;
    hostfd fd;

    switch (i->mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
        break;
    case S_IFIFO:
        return host_fifo_open(i, f);
    case S_IFCHR:
    case S_IFBLK: /* by its number it would be one of the enclave's, a terminal of others even */
        return -EACCES;
    default:
        return -ENXIO;
    }
    o = kzalloc(sizeof(*o));
    if (o && S_ISDIR(i->mode))
        o->names = kzalloc(sizeof(*o->names));
    own_begin(&own, h, OWN_OPENED);
    fd = o && (o->names || !S_ISDIR(i->mode))
             ? host_open_inode(h, (int)(f->flags & (O_ACCMODE | O_APPEND | O_DSYNC | O_SYNC)), &st)
             : no_hostfd(-ENOMEM);
    own_end(&own);
    if (!hostfd_ok(fd)) {
        if (o)
            kfree(o->names);
        kfree(o);
        return not_that_file(fd.n) ? -ESTALE : fd.n;
    }
    i->size = MIN(st.size, (u64)INT64_MAX);
    f->host_fd = o->fd = fd;
    o->append = (f->flags & O_APPEND) != 0;
    o->other_fd = no_hostfd(-1);
    f->private = o;
    f->ops = host_super_of(i)->hosts ? &g_hosts_file_ops : &g_hostfs_file_ops;
    if (S_ISDIR(i->mode))
        f->ops = &g_hostfs_dir_ops;
    mutex_lock(&h->opens_lock);
    list_add(&o->link, &h->opens);
    mutex_unlock(&h->opens_lock);
    return 0;
}

/* ---- mapping ---- */

static hostfd map_fd(struct host_inode *h, bool write)
{
    hostfd fd;

    if (hostfd_ok(h->map_fd) && (h->map_writable || !write))
        return h->map_fd;
    fd = host_open_inode(h, write ? O_RDWR : O_RDONLY, NULL);
    if (!hostfd_ok(fd))
        return fd;
    if (hostfd_ok(h->map_fd))
        host_close(h->map_fd);
    h->map_fd = fd;
    h->map_writable = write;
    return fd;
}

int hostfs_read_page(struct inode *i, u64 off, void *dst)
{
    struct own_change own;
    u8 *p = dst;
    size_t have = 0;
    hostfd fd;

    mutex_lock(&i->lock);
    own_begin(&own, host_of(i), OWN_OPENED);
    fd = map_fd(host_of(i), false);
    while (hostfd_ok(fd) && have < PAGE_SIZE) {
        ssize_t r = host_read(fd, p + have, PAGE_SIZE - have, (off_t)(off + have));

        if (r < 0)
            fd = no_hostfd((int)r);
        if (r <= 0)
            break;
        have += (size_t)r;
    }
    own_end(&own);
    mutex_unlock(&i->lock);
    memset(p + have, 0, PAGE_SIZE - have);
    /* A page that cannot be read is a SIGBUS: which error it was is the host's word, and must not
     * pass for what the LibOS's own errors mean. */
    if (hostfd_ok(fd))
        return 0;
    return fd.n == -ENOMEM ? -ENOMEM : -EIO;
}

int hostfs_write_page(struct inode *i, u64 off, const void *src, size_t n)
{
    struct own_change own;
    const u8 *p = src;
    hostfd fd;
    int r = 0;

    mutex_lock(&i->lock);
    own_begin(&own, host_of(i), OWN_OPENED | IN_MODIFY);
    n = off < i->size ? (size_t)MIN(i->size - off, n) : 0;
    fd = map_fd(host_of(i), true);
    for (size_t at = 0; hostfd_ok(fd) && at < n;) {
        ssize_t w = host_write(fd, p + at, n - at, (off_t)(off + at));

        if (w <= 0) {
            r = w < 0 ? (int)w : -EIO;
            break;
        }
        at += (size_t)w;
    }
    own_end(&own);
    mutex_unlock(&i->lock);
    return hostfd_ok(fd) ? r : fd.n;
}
