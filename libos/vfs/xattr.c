/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes: who may touch which name space; the file systems keep the values. */
#include "vfs.h"

#include <linux/xattr.h>

static bool has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static int xattr_allowed(struct dentry *d, const char *name, bool write)
{
    struct inode *i = d->inode;

    if (write && dentry_readonly(d))
        return -EROFS;
    if (has_prefix(name, XATTR_TRUSTED_PREFIX))
        return fs_capable(CAP_SYS_ADMIN) ? 0 : write ? -EPERM : -ENODATA;
    if (has_prefix(name, XATTR_SECURITY_PREFIX))
        return !write || fs_capable(CAP_SYS_ADMIN) ||
                       (strcmp(name, "security.capability") == 0 && fs_capable(CAP_SETFCAP))
                   ? 0
                   : -EPERM;
    if (has_prefix(name, XATTR_SYSTEM_PREFIX))
        return write && !inode_owner_or_capable(i) ? -EPERM : 0;
    if (!has_prefix(name, XATTR_USER_PREFIX))
        return -EOPNOTSUPP;
    if (!S_ISREG(i->mode) && !S_ISDIR(i->mode))
        return write ? -EPERM : -ENODATA;
    if (write && S_ISDIR(i->mode) && (i->mode & S_ISVTX) && !inode_owner_or_capable(i))
        return -EPERM;
    return inode_permission(i, write ? MAY_WRITE : MAY_READ);
}

static int name_from_user(char *name, uaddr address)
{
    ssize_t n = strncpy_from_user(name, address, XATTR_NAME_MAX + 1);

    if (n == -ENAMETOOLONG || n == 0)
        return -ERANGE;
    return n < 0 ? (int)n : 0;
}

static long get_one(struct dentry *d, uaddr uname, uaddr value, size_t size)
{
    char name[XATTR_NAME_MAX + 1];
    void *buf = NULL;
    ssize_t r = name_from_user(name, uname);

    if (r == 0)
        r = xattr_allowed(d, name, false);
    if (r < 0)
        return r;
    if (!d->inode->ops->getxattr)
        return -EOPNOTSUPP;
    size = MIN(size, XATTR_SIZE_MAX);
    if (size) {
        buf = kmalloc(size);
        if (!buf)
            return -ENOMEM;
    }
    r = d->inode->ops->getxattr(d->inode, name, buf, size);
    if (r > 0 && size && copy_to_user(value, buf, (size_t)r) < 0)
        r = -EFAULT;
    kfree(buf);
    return r;
}

static long set_one(struct dentry *d, uaddr uname, uaddr value, size_t size, int flags)
{
    char name[XATTR_NAME_MAX + 1];
    void *buf;
    int r;

    if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    if (size > XATTR_SIZE_MAX)
        return -E2BIG;
    r = name_from_user(name, uname);
    if (r == 0)
        r = xattr_allowed(d, name, true);
    if (r < 0)
        return r;
    if (!d->inode->ops->setxattr)
        return -EOPNOTSUPP;
    buf = kmalloc(size ? size : 1);
    if (!buf)
        return -ENOMEM;
    r = copy_from_user(buf, value, size);
    if (r == 0)
        r = d->inode->ops->setxattr(d->inode, name, buf, size, flags);
    kfree(buf);
    if (r == 0)
        notify_inode(d, IN_ATTRIB);
    return r;
}

static long list_all(struct dentry *d, uaddr list, size_t size)
{
    char *buf = NULL;
    ssize_t r;

    if (!d->inode->ops->listxattr)
        return 0;
    size = MIN(size, XATTR_LIST_MAX);
    if (size) {
        buf = kmalloc(size);
        if (!buf)
            return -ENOMEM;
    }
    r = d->inode->ops->listxattr(d->inode, buf, size);
    if (r > 0 && size && copy_to_user(list, buf, (size_t)r) < 0)
        r = -EFAULT;
    kfree(buf);
    return r;
}

static long remove_one(struct dentry *d, uaddr uname)
{
    char name[XATTR_NAME_MAX + 1];
    int r = name_from_user(name, uname);

    if (r == 0)
        r = xattr_allowed(d, name, true);
    if (r < 0)
        return r;
    if (!d->inode->ops->removexattr)
        return -EOPNOTSUPP;
    r = d->inode->ops->removexattr(d->inode, name);
    if (r == 0)
        notify_inode(d, IN_ATTRIB);
    return r;
}

static int by_fd(int fd, struct dentry **out)
{
    struct fdref r = fdref_get(fd);

    if (!r.file)
        return -EBADF;
    *out = r.file->dentry ? dentry_get(r.file->dentry) : file_anon_dentry(r.file);
    fdref_put(r);
    return is_err(*out) ? ptr_err(*out) : 0;
}

#define XATTR_CALL(call, by, find, expression, ...) \
    long sys_##call(by, __VA_ARGS__)                \
    {                                               \
        struct dentry *t;                           \
        long r = find;                              \
        if (r < 0)                                  \
            return r;                               \
        r = expression;                             \
        dentry_put(t);                              \
        return r;                                   \
    }
/* The three forms of each call differ in how the target is found. */
#define XATTR_CALLS(call, expression, ...)                                                   \
    XATTR_CALL(call, uaddr path, path_lookup_user(path, 0, &t), expression, __VA_ARGS__)     \
    XATTR_CALL(l##call, uaddr path, path_lookup_user(path, LOOKUP_NOFOLLOW, &t), expression, \
               __VA_ARGS__)                                                                  \
    XATTR_CALL(f##call, int fd, by_fd(fd, &t), expression, __VA_ARGS__)

XATTR_CALLS(getxattr, get_one(t, name, value, size), uaddr name, uaddr value, u64 size)
XATTR_CALLS(setxattr, set_one(t, name, value, size, flags), uaddr name, uaddr value, u64 size,
            int flags)
XATTR_CALLS(listxattr, list_all(t, list, size), uaddr list, u64 size)
XATTR_CALLS(removexattr, remove_one(t, name), uaddr name)
