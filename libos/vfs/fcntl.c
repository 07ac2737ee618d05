/* SPDX-License-Identifier: Apache-2.0 */
/* fcntl(2), memfd_create(2). */
#include "vfs.h"

#include <linux/memfd.h>

#define SETTABLE   (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | FASYNC)
#define SEAL_SEAL  1
#define SEALS_ALL  0x1f
#define SEAL_WRITE 8

static long get_cloexec(int fd)
{
    struct files *t = current_process()->files;
    long r = -EBADF;

    mutex_lock(&t->lock);
    if (fd >= 0 && (u32)fd < t->size && t->fds[fd].file)
        r = t->fds[fd].cloexec ? FD_CLOEXEC : 0;
    mutex_unlock(&t->lock);
    return r;
}

static long set_cloexec(int fd, bool on)
{
    struct files *t = current_process()->files;
    long r = -EBADF;

    mutex_lock(&t->lock);
    if (fd >= 0 && (u32)fd < t->size && t->fds[fd].file) {
        t->fds[fd].cloexec = on;
        r = 0;
    }
    mutex_unlock(&t->lock);
    return r;
}

static long dup_fd(struct file *f, long min, bool cloexec)
{
    if (min < 0 || (u64)min >= current_process()->rlimits[LIMIT_NOFILE].soft)
        return -EINVAL;
    return fd_install_min((int)min, file_get(f), cloexec);
}

static long set_flags(struct file *f, int fd, u32 flags)
{
    int r;

    if ((f->flags & O_APPEND) && !(flags & O_APPEND) && f->inode && (f->inode->seals & SEAL_WRITE))
        return -EPERM;
    if ((flags & O_NOATIME) && !(f->flags & O_NOATIME) && f->inode &&
        !inode_owner_or_capable(f->inode))
        return -EPERM;
    if ((f->flags ^ flags) & FASYNC) {
        r = file_set_async(f, fd, (flags & FASYNC) != 0);
        if (r < 0)
            return r;
    }
    f->flags = (f->flags & ~(u32)SETTABLE) | (flags & SETTABLE);
    return 0;
}

static long record_lock(struct file *f, int cmd, uaddr user)
{
    struct flock fl;
    int r;

    if (copy_from_user(&fl, user, sizeof(fl)) < 0)
        return -EFAULT;
    r = lock_fcntl(f, cmd, &fl);
    if (r == 0 && (cmd == F_GETLK || cmd == F_OFD_GETLK) && copy_to_user(user, &fl, sizeof(fl)) < 0)
        r = -EFAULT;
    return r;
}

static long add_seals(struct file *f, u32 seals)
{
    long r = 0;

    if (!f->inode || !inode_is_memory(f->inode))
        return -EINVAL;
    if ((f->flags & O_ACCMODE) == O_RDONLY)
        return -EPERM;
    if (seals & ~(u32)SEALS_ALL)
        return -EINVAL;
    mutex_lock(&f->inode->lock);
    if (f->inode->seals & SEAL_SEAL)
        r = -EPERM;
    else if ((seals & SEAL_WRITE) && !list_empty(&f->inode->shared_maps))
        r = -EBUSY;
    else
        f->inode->seals |= seals;
    mutex_unlock(&f->inode->lock);
    return r;
}

#ifndef F_DUPFD_QUERY /* Linux 6.10 and 6.12 */
#define F_DUPFD_QUERY   (F_LINUX_SPECIFIC_BASE + 3)
#define F_CREATED_QUERY (F_LINUX_SPECIFIC_BASE + 4)
#endif

/* Are the two descriptors of one open file? */
static long same_file(const struct file *f, int other_fd)
{
    struct file *other = fd_get(other_fd);

    if (!other)
        return -EBADF;
    bool same = other == f;
    file_put(other);
    return same;
}

static long fcntl_file(struct file *f, int fd, int cmd, long arg)
{
    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return dup_fd(f, arg, cmd == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return get_cloexec(fd);
    case F_SETFD:
        return set_cloexec(fd, (arg & FD_CLOEXEC) != 0);
    case F_GETFL:
        return f->flags;
    case F_DUPFD_QUERY:
        return same_file(f, (int)arg);
    }
    if (f->flags & O_PATH)
        return -EBADF;
    switch (cmd) {
    case F_SETFL:
        return set_flags(f, fd, (u32)arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return record_lock(f, cmd, user_at(arg));
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
        return pipe_fcntl(f, (u32)cmd, arg);
    case F_GET_SEALS:
        return f->inode && inode_is_memory(f->inode) ? (long)f->inode->seals : -EINVAL;
    case F_ADD_SEALS:
        return add_seals(f, (u32)arg);
    case F_CREATED_QUERY:
        return f->created;
    case F_SETOWN:
    case F_SETOWN_EX:
    case F_SETSIG:
    case F_GETOWN:
    case F_GETOWN_EX:
    case F_GETSIG:
        return owner_fcntl(f, cmd, arg);
    case F_SETLEASE:
        return lease_set(f, fd, arg);
    case F_GETLEASE:
        return lease_get(f);
    case F_GET_RW_HINT:
    case F_GET_FILE_RW_HINT:
        return put_user((u64)0, user_at(arg));
    case F_SET_RW_HINT:
    case F_SET_FILE_RW_HINT:
        return 0;
    case F_NOTIFY:
        if (!f->inode || !S_ISDIR(f->inode->mode))
            return -ENOTDIR;
        return g_file_async->notify(f, fd, (u32)arg);
    default:
        return -EINVAL;
    }
}

long sys_fcntl(int fd, u32 command, u64 argument)
{
    struct file *file = fd_get(fd);
    long r;

    if (!file)
        return -EBADF;
    r = fcntl_file(file, fd, (int)command, argument);
    file_put(file);
    return r;
}
