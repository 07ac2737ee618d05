/* SPDX-License-Identifier: Apache-2.0 */
/* read(2), write(2) and their vectored and positioned forms; lseek, truncate, sync. */
#include "vfs.h"

#define IOV_LIMIT       1024
#define IOV_STACK       16
#define SIGXFSZ         25
#define RWF_ALL         0x1f
#define RWF_NOWAIT_FLAG 0x8
#define RWF_APPEND_FLAG 0x10

struct user_iovec {
    u64 base, size;
};

/* Streams have no position, and may block: no lock. */
static inline bool has_position(const struct file *f)
{
    return f->ops->seek != NULL;
}

static ssize_t transfer(struct file *f, struct uio *io, bool write)
{
    ssize_t r;

    if (!has_position(f))
        return write ? vfs_write(f, io, &f->pos) : vfs_read(f, io, &f->pos);
    mutex_lock(&f->pos_lock);
    r = write ? vfs_write(f, io, &f->pos) : vfs_read(f, io, &f->pos);
    mutex_unlock(&f->pos_lock);
    return r;
}

static ssize_t transfer_at(struct file *f, struct uio *io, i64 off, bool write)
{
    u64 pos = (u64)off;

    if (!has_position(f))
        return -ESPIPE;
    return write ? vfs_write(f, io, &pos) : vfs_read(f, io, &pos);
}

static long rw_simple(int fd, uaddr buf, u64 size, bool write, bool at, i64 off)
{
    struct uio_segment one;
    struct uio io;
    struct fdref r = fdref_get(fd);
    ssize_t n;

    if (unlikely(!r.file))
        return -EBADF;
    uio_init_user(&io, &one, buf, MIN(size, RW_LIMIT));
    n = at ? transfer_at(r.file, &io, off, write) : transfer(r.file, &io, write);
    fdref_put(r);
    return n;
}

/* The segments of a user iovec array; *own is to be freed when not NULL. */
static int import_iovec(uaddr iov, u64 count, struct uio *io, struct uio_segment *stack,
                        struct uio_segment **own)
{
    struct uio_segment *segments = stack;
    u64 total = 0;

    _Static_assert(sizeof(struct user_iovec) == sizeof(struct uio_segment),
                   "an iovec is read as segments");
    *own = NULL;
    if (count > IOV_LIMIT)
        return -EINVAL;
    if (count > IOV_STACK) {
        segments = *own = kmalloc(count * sizeof(*segments));
        if (!segments)
            return -ENOMEM;
    }
    if (count && copy_from_user(segments, iov, count * sizeof(*segments)) < 0)
        return -EFAULT;
    for (u64 i = 0; i < count; i++) {
        if (segments[i].size > INT64_MAX)
            return -EINVAL;
        segments[i].size = MIN(segments[i].size, RW_LIMIT - total);
        total += segments[i].size;
    }
    *io = (struct uio){.segments = segments, .count = count, .left = total, .user = true};
    return 0;
}

static long rw_vector(int fd, uaddr iov, u64 count, bool write, bool at, i64 off, int flags)
{
    struct uio_segment stack[IOV_STACK], *own;
    struct uio io;
    struct fdref r;
    ssize_t n;

    if (flags & ~RWF_ALL)
        return -EOPNOTSUPP;
    r = fdref_get(fd);
    if (!r.file)
        return -EBADF;
    n = import_iovec(iov, count, &io, stack, &own);
    if (n == 0 && at && off == -1 && (flags & RWF_APPEND_FLAG) == 0)
        n = transfer(r.file, &io, write);
    else if (n == 0)
        n = at ? transfer_at(r.file, &io,
                             flags & RWF_APPEND_FLAG && r.file->inode ? (i64)r.file->inode->size
                                                                      : off,
                             write)
               : transfer(r.file, &io, write);
    kfree(own);
    fdref_put(r);
    return n;
}

/* ---- system calls ---- */

long sys_read(int fd, uaddr buf, u64 size)
{
    return rw_simple(fd, buf, size, false, false, 0);
}

long sys_write(int fd, uaddr buf, u64 size)
{
    return rw_simple(fd, buf, size, true, false, 0);
}

long sys_pread64(int fd, uaddr buf, u64 size, i64 offset)
{
    return offset < 0 ? -EINVAL : rw_simple(fd, buf, size, false, true, offset);
}

long sys_pwrite64(int fd, uaddr buf, u64 size, i64 offset)
{
    return offset < 0 ? -EINVAL : rw_simple(fd, buf, size, true, true, offset);
}

long sys_readv(int fd, uaddr vector, u64 count)
{
    return rw_vector(fd, vector, count, false, false, 0, 0);
}

long sys_writev(int fd, uaddr vector, u64 count)
{
    return rw_vector(fd, vector, count, true, false, 0, 0);
}

long sys_preadv(int fd, uaddr vector, u64 count, i64 low, u64 high)
{
    return low < 0 ? -EINVAL : rw_vector(fd, vector, count, false, true, low, 0);
}

long sys_pwritev(int fd, uaddr vector, u64 count, i64 low, u64 high)
{
    return low < 0 ? -EINVAL : rw_vector(fd, vector, count, true, true, low, 0);
}

long sys_preadv2(int fd, uaddr vector, u64 count, i64 low, u64 high, int flags)
{
    return low < -1 ? -EINVAL : rw_vector(fd, vector, count, false, true, low, flags);
}

long sys_pwritev2(int fd, uaddr vector, u64 count, i64 low, u64 high, int flags)
{
    return low < -1 ? -EINVAL : rw_vector(fd, vector, count, true, true, low, flags);
}

long sys_lseek(int fd, i64 offset, u32 whence)
{
    struct fdref r = fdref_get(fd);
    i64 n;

    if (!r.file)
        return -EBADF;
    if (whence > 4 /* SEEK_HOLE */) {
        n = -EINVAL;
    } else if (!has_position(r.file)) {
        n = -ESPIPE;
    } else {
        mutex_lock(&r.file->pos_lock);
        n = r.file->ops->seek(r.file, offset, (int)whence);
        mutex_unlock(&r.file->pos_lock);
    }
    fdref_put(r);
    return n;
}

/* Growing beyond RLIMIT_FSIZE is a signal. */
static int check_file_size(u64 size)
{
    struct process *p = fs_process();

    if (p && size > p->rlimits[LIMIT_FSIZE].soft) {
        thread_raise(THREAD_SIGXFSZ);
        return -EFBIG;
    }
    return 0;
}

static int truncate_counted(struct inode *i, u64 size)
{
    struct setattr at = {.valid = SETATTR_SIZE | SETATTR_MTIME, .size = size};
    u32 mode = inode_mode_after_write(i);
    int r;

    if ((i->seals & 2 && size < i->size) ||
        (i->seals & 4 && size > i->size)) /* F_SEAL_SHRINK, F_SEAL_GROW */
        return -EPERM;
    r = check_file_size(size);
    at.mtime = (i64)clock_realtime();
    if (unlikely(mode != i->mode)) {
        at.valid |= SETATTR_MODE;
        at.mode = mode & 07777;
    }
    return r < 0 ? r : inode_setattr(i, &at);
}

int inode_truncate(struct inode *i, u64 size)
{
    int r = inode_count_writer(i);

    if (r < 0)
        return r;
    r = truncate_counted(i, size);
    inode_uncount_writer(i);
    return r;
}

long sys_truncate(uaddr path, i64 size)
{
    struct dentry *target;
    int r;

    if (size < 0)
        return -EINVAL;
    r = path_lookup_user(path, 0, &target);
    if (r < 0)
        return r;
    if (S_ISDIR(target->inode->mode))
        r = -EISDIR;
    else if (!S_ISREG(target->inode->mode))
        r = -EINVAL;
    else if (dentry_readonly(target))
        r = -EROFS;
    else
        r = inode_permission(target->inode, MAY_WRITE);
    if (r == 0)
        r = lease_break(target->inode, true, false);
    if (r == 0)
        r = inode_truncate(target->inode, (u64)size);
    if (r == 0)
        notify_inode(target, IN_MODIFY);
    dentry_put(target);
    return r;
}

long sys_ftruncate(int fd, i64 size)
{
    struct fdref r = fdref_get(fd);
    long n;

    if (!r.file)
        return -EBADF;
    if (size < 0 || (r.file->flags & O_ACCMODE) == O_RDONLY || !r.file->inode ||
        !S_ISREG(r.file->inode->mode))
        n = -EINVAL;
    else
        n = truncate_counted(r.file->inode, (u64)size);
    if (n == 0)
        notify_inode(r.file->dentry, IN_MODIFY);
    fdref_put(r);
    return n;
}

long sys_fallocate(int fd, int mode, i64 offset, i64 size)
{
    struct fdref r = fdref_get(fd);
    long n;

    if (!r.file)
        return -EBADF;
    if (offset < 0 || size <= 0)
        n = -EINVAL;
    else if (offset > INT64_MAX - size)
        n = -EFBIG;
    else if ((r.file->flags & O_ACCMODE) == O_RDONLY)
        n = -EBADF;
    else if (!r.file->inode || S_ISFIFO(r.file->inode->mode))
        n = -ESPIPE;
    else if (S_ISDIR(r.file->inode->mode))
        n = -EISDIR;
    else if (!r.file->ops->fallocate)
        n = S_ISREG(r.file->inode->mode) ? -EOPNOTSUPP : -ENODEV;
    else
        n = mode & 1 ? 0 : check_file_size((u64)(offset + size));
    if (n == 0 && r.file->ops->fallocate && offset >= 0 && size > 0)
        n = r.file->ops->fallocate(r.file, mode, (u64)offset, (u64)size);
    if (n == 0)
        notify_inode(r.file->dentry, IN_MODIFY);
    fdref_put(r);
    return n;
}

static long do_fsync(int fd, bool data_only)
{
    struct fdref r = fdref_get(fd);
    long n;

    if (!r.file)
        return -EBADF;
    if (r.file->ops->fsync)
        n = r.file->ops->fsync(r.file, data_only);
    else /* memory: nothing to do; streams and devices refuse */
        n = r.file->inode && (S_ISREG(r.file->inode->mode) || S_ISDIR(r.file->inode->mode))
                ? 0
                : -EINVAL;
    fdref_put(r);
    return n;
}

long sys_fsync(int fd)
{
    return do_fsync(fd, false);
}

long sys_fdatasync(int fd)
{
    return do_fsync(fd, true);
}

long sys_sync(void)
{
    return 0; /* pass-through files are written at once; the rest lives in memory */
}

long sys_syncfs(int fd)
{
    struct fdref r = fdref_get(fd);

    if (!r.file)
        return -EBADF;
    if (r.file->ops->fsync)
        r.file->ops->fsync(r.file, false);
    fdref_put(r);
    return 0;
}

long sys_sync_file_range(int fd, i64 offset, i64 size, u32 flags)
{
    struct fdref r = fdref_get(fd);
    long n = 0, end;

    if (!r.file)
        return -EBADF;
    if (offset < 0 || size < 0 || __builtin_add_overflow(offset, size, &end) || (flags & ~7u))
        n = -EINVAL;
    else if (!r.file->inode || S_ISCHR(r.file->inode->mode) || !has_position(r.file))
        n = -ESPIPE;
    else if (r.file->ops->fsync)
        n = r.file->ops->fsync(r.file, true);
    fdref_put(r);
    return n;
}

long sys_fadvise64(int fd, i64 offset, i64 size, int advice)
{
    struct fdref r = fdref_get(fd);
    long n = 0;

    if (!r.file)
        return -EBADF;
    if (!has_position(r.file))
        n = -ESPIPE;
    else if (size < 0 || advice < 0 || advice > 5)
        n = -EINVAL;
    fdref_put(r);
    return n;
}

long sys_readahead(int fd, i64 offset, u64 size)
{
    struct fdref r = fdref_get(fd);
    long n = 0;

    if (!r.file)
        return -EBADF;
    if ((r.file->flags & O_ACCMODE) == O_WRONLY)
        n = -EBADF;
    else if (!r.file->inode || !S_ISREG(r.file->inode->mode))
        n = -EINVAL;
    fdref_put(r);
    return n;
}

#define FIOCLEX_CMD  0x5451
#define FIONCLEX_CMD 0x5450
#define FIONBIO_CMD  0x5421
#define FIOASYNC_CMD 0x5452
#define FIONREAD_CMD 0x541b
#define FIOQSIZE_CMD 0x5460
#define FIGETBSZ_CMD 2

static long ioctl_generic(struct file *f, int fd, u32 cmd, u64 arg, bool *done)
{
    struct files *t = current_process()->files;
    i32 on;

    *done = true;
    switch (cmd) {
    case FIOCLEX_CMD:
    case FIONCLEX_CMD:
        mutex_lock(&t->lock);
        if ((u32)fd < t->size && t->fds[fd].file)
            t->fds[fd].cloexec = cmd == FIOCLEX_CMD;
        mutex_unlock(&t->lock);
        return 0;
    case FIONBIO_CMD:
        if (get_user(on, user_at(arg)) < 0)
            return -EFAULT;
        if (on)
            __atomic_or_fetch(&f->flags, O_NONBLOCK, __ATOMIC_RELAXED);
        else
            __atomic_and_fetch(&f->flags, ~(u32)O_NONBLOCK, __ATOMIC_RELAXED);
        *done = f->ops->ioctl == NULL || S_ISREG(f->inode ? f->inode->mode : 0);
        return 0;
    case FIOASYNC_CMD:
        if (get_user(on, user_at(arg)) < 0)
            return -EFAULT;
        if ((on != 0) != ((f->flags & FASYNC) != 0) && file_set_async(f, fd, on != 0) < 0)
            return -ENOMEM;
        if (on)
            __atomic_or_fetch(&f->flags, FASYNC, __ATOMIC_RELAXED);
        else
            __atomic_and_fetch(&f->flags, ~(u32)FASYNC, __ATOMIC_RELAXED);
        return 0;
    case FIGETBSZ_CMD:
        if (f->inode && (S_ISREG(f->inode->mode) || S_ISDIR(f->inode->mode)))
            return put_user((i32)PAGE_SIZE, user_at(arg));
        break;
    case FIONREAD_CMD:
        if (f->inode && S_ISREG(f->inode->mode))
            return put_user(
                (i32)MIN(f->inode->size > f->pos ? f->inode->size - f->pos : 0, INT32_MAX),
                user_at(arg));
        break;
    case FIOQSIZE_CMD:
        if (f->inode && (S_ISREG(f->inode->mode) || S_ISDIR(f->inode->mode)))
            return put_user((i64)f->inode->size, user_at(arg));
        break;
    }
    *done = false;
    return 0;
}

long sys_ioctl(int fd, u32 command, u64 argument)
{
    struct fdref r = fdref_get(fd);
    bool done;
    long n;

    if (!r.file)
        return -EBADF;
    n = ioctl_generic(r.file, fd, command, argument, &done);
    if (!done) {
        long own = r.file->ops->ioctl ? r.file->ops->ioctl(r.file, command, argument) : -ENOTTY;

        n = command == FIONBIO_CMD ? 0 : own;
    }
    fdref_put(r);
    return n;
}
