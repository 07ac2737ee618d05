/* SPDX-License-Identifier: Apache-2.0 */
/* Open descriptions: life, position, and reading and writing in general. */
#include "vfs.h"

static u64 g_next_file_id = 0x10000;

u64 file_new_id(void)
{
    return __atomic_fetch_add(&g_next_file_id, 1, __ATOMIC_RELAXED);
}

struct file *file_alloc(const struct file_ops *ops, u32 flags)
{
    struct file *f = kzalloc(sizeof(*f));

    if (!f)
        return NULL;
    ref_init(&f->refs);
    f->ops = ops;
    f->flags = flags & ~(u32)O_CLOEXEC;
    f->host_fd = no_hostfd(-1);
    return f;
}

struct file *file_get(struct file *f)
{
    ref_get(&f->refs);
    return f;
}

static void file_end(struct file *f)
{
    struct inode *i;

    if (unlikely(f->epoll_watch != NULL))
        g_file_unwatch(f);
    if (unlikely(f->async != NULL))
        g_file_async->release(f);
    i = f->inode;
    if (unlikely(i && i->leases))
        leases_release(f);
    if (i && i->locks)
        locks_release_file(f);
    if (unlikely(g_fs_notify) && f->dentry && !(f->flags & O_PATH))
        notify_inode(f->dentry,
                     (f->flags & O_ACCMODE) == O_RDONLY ? IN_CLOSE_NOWRITE : IN_CLOSE_WRITE);
    if (f->ops->release)
        f->ops->release(f);
    file_uncount_writer(f);
    if (f->denies_write)
        inode_allow_write(i);
    if (f->dentry)
        dentry_put(f->dentry);
    if (i)
        inode_put(i);
    kfree(f->owner);
    kfree(f);
}

/*
 * A file may hold others: sockets have files in flight, those are sockets with files in flight. How
 * deep is the program's choice, so what goes while another file goes waits for that one's end.
 */
void file_put(struct file *f)
{
    struct thread *t = current();

    if (!f || !ref_put(&f->refs))
        return;
    if (t->ending_file) {
        f->next_ended = t->ended_files;
        t->ended_files = f;
        return;
    }
    t->ending_file = true;
    while (f) {
        file_end(f);
        f = t->ended_files;
        if (f)
            t->ended_files = f->next_ended;
    }
    t->ending_file = false;
}

const struct file_ops g_path_file_ops = {0};

static struct super g_anon_super = {.type = "anon_inodefs", .dev = 0xe, .magic = 0x09041934};

static int anon_open(struct inode *i, struct file *f)
{
    return -ENXIO;
}
static void anon_destroy(struct inode *i)
{
    kfree(i);
}
static const struct inode_ops g_anon_ops = {.open = anon_open, .destroy = anon_destroy};

struct dentry *file_anon_dentry(struct file *f)
{
    char name[64];
    struct inode *i = f->inode;
    struct dentry *d;
    const char *kind = f->kind ? f->kind : "file"; /* "/dev/tty..." names itself */

    if (strcmp(kind, "pipe") == 0 || strcmp(kind, "socket") == 0)
        snprintf(name, sizeof(name), "%s:[%llu]", kind, (unsigned long long)f->id);
    else
        snprintf(name, sizeof(name), "%s%s%s", kind[0] == '/' ? "" : "anon_inode:[", kind,
                 kind[0] == '/' ? "" : "]");
    if (i) {
        inode_get(i);
    } else {
        i = kmalloc(sizeof(*i));
        if (!i)
            return err_ptr(-ENOMEM);
        inode_init(i, &g_anon_super, &g_anon_ops,
                   strcmp(kind, "socket") == 0 ? S_IFSOCK | 0777 : 0600);
        i->ino = f->id;
    }
    d = dentry_alloc(NULL, NULL, name, strlen(name), i);
    inode_put(i);
    return d ? d : err_ptr(-ENOMEM);
}

/* ---- position ---- */

i64 generic_seek(struct file *f, i64 off, int whence, u64 size)
{
    i64 base;

    switch (whence) {
    case SEEK_SET:
        base = 0;
        break;
    case SEEK_CUR:
        base = (i64)f->pos;
        break;
    case SEEK_END:
        base = (i64)size;
        break;
    case SEEK_DATA:
        if (off < 0 || (u64)off >= size)
            return -ENXIO;
        f->pos = (u64)off;
        return off;
    case SEEK_HOLE:
        if (off < 0 || (u64)off >= size)
            return -ENXIO;
        f->pos = size;
        return (i64)size;
    default:
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, off, &base))
        return -EOVERFLOW;
    if (base < 0)
        return -EINVAL;
    f->pos = (u64)base;
    return base;
}

i64 inode_seek(struct file *f, i64 off, int whence)
{
    return generic_seek(f, off, whence, f->inode->size);
}

/* ---- reading and writing ---- */

ssize_t vfs_read(struct file *f, struct uio *io, u64 *pos)
{
    ssize_t r;

    if (unlikely((f->flags & O_ACCMODE) == O_WRONLY))
        return -EBADF;
    if (unlikely(!f->ops->read))
        return f->inode && S_ISDIR(f->inode->mode) ? -EISDIR : -EINVAL;
    r = f->ops->read(f, io, pos);
    if (unlikely(g_fs_notify) && r > 0 && f->dentry)
        notify_inode(f->dentry, IN_ACCESS);
    return r;
}

ssize_t vfs_write(struct file *f, struct uio *io, u64 *pos)
{
    ssize_t r;

    if (unlikely((f->flags & O_ACCMODE) == O_RDONLY))
        return -EBADF;
    if (unlikely(!f->ops->write))
        return -EINVAL;
    r = f->ops->write(f, io, pos);
    if (unlikely(g_fs_notify) && r > 0 && f->dentry)
        notify_inode(f->dentry, IN_MODIFY);
    return r;
}

ssize_t file_read_kernel(struct file *f, void *buf, size_t n, u64 *pos)
{
    struct uio_segment one;
    struct uio io;

    uio_init(&io, &one, buf, n, false);
    return vfs_read(f, &io, pos ? pos : &f->pos);
}

ssize_t file_write_kernel(struct file *f, const void *buf, size_t n, u64 *pos)
{
    struct uio_segment one;
    struct uio io;

    uio_init(&io, &one, (void *)(uintptr_t)buf, n, false);
    return vfs_write(f, &io, pos ? pos : &f->pos);
}
