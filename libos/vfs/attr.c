/* SPDX-License-Identifier: Apache-2.0 */
/* chmod, chown, utimes, extended attributes, working directory and root. */
#include "vfs.h"

#include <linux/xattr.h>

#define NS           1000000000ll
#define UTIME_NOW_V  0x3fffffff
#define UTIME_OMIT_V 0x3ffffffe

struct user_timespec {
    i64 sec, nsec;
};

/* Target of an *at call by path, or by descriptor with AT_EMPTY_PATH. */
static int target_at(int dirfd, uaddr upath, u32 at_flags, struct dentry **out)
{
    char path[PATH_MAX];
    ssize_t n = strncpy_from_user(path, upath, PATH_MAX);

    if (n < 0)
        return (int)n;
    return path_lookup(dirfd, path,
                       (at_flags & AT_SYMLINK_NOFOLLOW ? LOOKUP_NOFOLLOW : 0) |
                           (at_flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0),
                       out);
}

/* Target of an f* call; anonymous files get a dentry of their own. */
static int target_fd(int fd, bool path_ok, struct dentry **out)
{
    struct file *f = fd_get(fd);
    int r = 0;

    if (!f)
        return -EBADF;
    if ((f->flags & O_PATH) && !path_ok) {
        r = -EBADF;
    } else {
        *out = f->dentry ? dentry_get(f->dentry) : file_anon_dentry(f);
        r = is_err(*out) ? ptr_err(*out) : 0;
    }
    file_put(f);
    return r;
}

static int change(struct dentry *d, const struct setattr *at)
{
    int r;

    if (dentry_readonly(d))
        return -EROFS;
    r = inode_setattr(d->inode, at);
    if (r == 0)
        notify_inode(d, IN_ATTRIB);
    return r;
}

static int do_chmod(struct dentry *d, u32 mode)
{
    struct setattr at = {.valid = SETATTR_MODE, .mode = mode & 07777};

    if (dentry_readonly(d))
        return -EROFS;
    if (!inode_owner_or_capable(d->inode))
        return -EPERM;
    if (S_ISLNK(d->inode->mode))
        return -EOPNOTSUPP;
    if (!fs_in_group(d->inode->gid) && !fs_capable(CAP_FSETID))
        at.mode &= ~(u32)S_ISGID;
    return change(d, &at);
}

static int do_chown(struct dentry *d, u32 uid, u32 gid)
{
    struct inode *i = d->inode;
    struct setattr at = {0};

    if (dentry_readonly(d))
        return -EROFS;
    if (uid != (u32)-1) {
        at.valid |= SETATTR_UID;
        at.uid = uid;
        if (!fs_capable(CAP_CHOWN) && (fs_uid() != i->uid || uid != i->uid))
            return -EPERM;
    }
    if (gid != (u32)-1) {
        at.valid |= SETATTR_GID;
        at.gid = gid;
        if (!fs_capable(CAP_CHOWN) && (fs_uid() != i->uid || (gid != i->gid && !fs_in_group(gid))))
            return -EPERM;
    }
    if (!S_ISDIR(i->mode) && (i->mode & (S_ISUID | S_ISGID)) && at.valid) {
        at.valid |= SETATTR_MODE;
        at.mode = i->mode & 07777 & ~(u32)S_ISUID;
        if (i->mode & 010)
            at.mode &= ~(u32)S_ISGID;
    }
    return change(d, &at);
}

static int time_of(const struct user_timespec *t, i64 now, u32 bit, struct setattr *at, i64 *out)
{
    if (t->nsec == UTIME_OMIT_V)
        return 0;
    at->valid |= bit;
    if (t->nsec == UTIME_NOW_V) {
        *out = now;
        return 0;
    }
    if (t->nsec < 0 || t->nsec >= NS)
        return -EINVAL;
    *out = t->sec > INT64_MAX / NS   ? INT64_MAX
           : t->sec < INT64_MIN / NS ? INT64_MIN
                                     : t->sec * NS + t->nsec;
    return 0;
}

/* times NULL: both now. */
static int do_utimes(struct dentry *d, const struct user_timespec *times)
{
    static const struct user_timespec both_now[2] = {{0, UTIME_NOW_V}, {0, UTIME_NOW_V}};
    struct setattr at = {0};
    i64 now = (i64)clock_realtime();
    bool to_now;
    int r;

    if (dentry_readonly(d))
        return -EROFS;
    if (!times)
        times = both_now;
    r = time_of(&times[0], now, SETATTR_ATIME, &at, &at.atime);
    if (r == 0)
        r = time_of(&times[1], now, SETATTR_MTIME, &at, &at.mtime);
    if (r < 0 || !at.valid)
        return r;
    to_now = times[0].nsec == UTIME_NOW_V && times[1].nsec == UTIME_NOW_V;
    if (!inode_owner_or_capable(d->inode)) {
        if (!to_now)
            return -EPERM;
        r = inode_permission(d->inode, MAY_WRITE);
        if (r < 0)
            return r;
    }
    return change(d, &at);
}

/* ---- system calls ---- */

static long chmod_at(int dir, uaddr path, u32 mode, int flags)
{
    struct dentry *target;
    int r;

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    r = target_at(dir, path, (u32)flags, &target);
    if (r < 0)
        return r;
    r = do_chmod(target, mode);
    dentry_put(target);
    return r;
}

long sys_fchmodat(int dir, uaddr path, u32 mode)
{
    return chmod_at(dir, path, mode, 0);
}

long sys_fchmodat2(int dir, uaddr path, u32 mode, u32 flags)
{
    return chmod_at(dir, path, mode, (int)flags);
}

long sys_chmod(uaddr path, u32 mode)
{
    return chmod_at(AT_FDCWD, path, mode, 0);
}

long sys_fchmod(int fd, u32 mode)
{
    struct dentry *target;
    int r = target_fd(fd, false, &target);

    if (r < 0)
        return r;
    r = do_chmod(target, mode);
    dentry_put(target);
    return r;
}

long sys_fchownat(int dir, uaddr path, u32 uid, u32 gid, int flags)
{
    struct dentry *target;
    int r;

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    r = target_at(dir, path, (u32)flags, &target);
    if (r < 0)
        return r;
    r = do_chown(target, uid, gid);
    dentry_put(target);
    return r;
}

long sys_chown(uaddr path, u32 uid, u32 gid)
{
    return sys_fchownat(AT_FDCWD, path, uid, gid, 0);
}

long sys_lchown(uaddr path, u32 uid, u32 gid)
{
    return sys_fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

long sys_fchown(int fd, u32 uid, u32 gid)
{
    struct dentry *target;
    int r = target_fd(fd, false, &target);

    if (r < 0)
        return r;
    r = do_chown(target, uid, gid);
    dentry_put(target);
    return r;
}

static long utimes_at(int dirfd, uaddr path, u32 flags, const struct user_timespec *times)
{
    struct dentry *target;
    int r;

    r = !path.at ? dirfd == AT_FDCWD ? -EFAULT : target_fd(dirfd, false, &target)
                 : target_at(dirfd, path, flags, &target);
    if (r < 0)
        return r;
    r = do_utimes(target, times);
    dentry_put(target);
    return r;
}

long sys_utimensat(int dir, uaddr path, uaddr user_times, int flags)
{
    struct user_timespec times[2];

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (user_times.at && copy_from_user(times, user_times, sizeof(times)) < 0)
        return -EFAULT;
    return utimes_at(dir, path, (u32)flags, user_times.at ? times : NULL);
}

long sys_futimesat(int dir, uaddr path, uaddr user_times)
{
    struct user_timespec times[2];

    if (user_times.at) {
        if (copy_from_user(times, user_times, sizeof(times)) < 0)
            return -EFAULT;
        for (int i = 0; i < 2; i++) {
            if (times[i].nsec < 0 || times[i].nsec >= 1000000)
                return -EINVAL;
            times[i].nsec *= 1000;
        }
    }
    return utimes_at(dir, path, 0, user_times.at ? times : NULL);
}

long sys_utimes(uaddr path, uaddr times)
{
    return sys_futimesat(AT_FDCWD, path, times);
}

long sys_utime(uaddr path, uaddr user_times)
{
    struct user_timespec times[2] = {{0, 0}, {0, 0}};
    i64 seconds[2];

    if (user_times.at) {
        if (copy_from_user(seconds, user_times, sizeof(seconds)) < 0)
            return -EFAULT;
        times[0].sec = seconds[0];
        times[1].sec = seconds[1];
    }
    return utimes_at(AT_FDCWD, path, 0, user_times.at ? times : NULL);
}

/* Takes the reference of d. root: chroot. */
static void set_place(struct dentry *d, bool root)
{
    struct fs_context *fs = current_process()->fs;
    struct dentry *old;

    mutex_lock(&fs->lock);
    mutex_lock(&g_tree_lock); /* dentry_path() looks at the root */
    old = root ? fs->root : fs->cwd;
    if (root)
        fs->root = d;
    else
        fs->cwd = d;
    mutex_unlock(&g_tree_lock);
    mutex_unlock(&fs->lock);
    dentry_put(old);
}

/* Makes it the working directory or the root, if it may be that; takes the reference. */
static long enter(struct dentry *d, bool root)
{
    int r = S_ISDIR(d->inode->mode) ? inode_permission(d->inode, MAY_EXEC) : -ENOTDIR;

    if (r == 0 && root && !fs_capable(CAP_SYS_CHROOT))
        r = -EPERM;
    if (r < 0)
        dentry_put(d);
    else
        set_place(d, root);
    return r;
}

static long enter_path(uaddr path, bool root)
{
    struct dentry *target;
    int r = path_lookup_user(path, LOOKUP_DIRECTORY, &target);

    return r < 0 ? r : enter(target, root);
}

long sys_chdir(uaddr path)
{
    return enter_path(path, false);
}

long sys_fchdir(int fd)
{
    struct dentry *target;
    int r = target_fd(fd, true, &target);

    return r < 0 ? r : enter(target, false);
}

long sys_chroot(uaddr path)
{
    return enter_path(path, true);
}

long sys_getcwd(uaddr user_buf, u64 room)
{
    struct fs_context *fs = current_process()->fs;
    char buf[PATH_MAX], *path;
    struct dentry *cwd;
    size_t size;

    mutex_lock(&fs->lock);
    cwd = dentry_get(fs->cwd);
    mutex_unlock(&fs->lock);
    path = cwd->unlinked ? err_ptr(-ENOENT) : dentry_path(cwd, buf, sizeof(buf));
    dentry_put(cwd);
    if (is_err(path))
        return ptr_err(path);
    size = strlen(path) + 1;
    if (size > room)
        return -ERANGE;
    return copy_to_user(user_buf, path, size) < 0 ? -EFAULT : (long)size;
}
