/* SPDX-License-Identifier: Apache-2.0 */
/* open(2) and its family. */
#include "vfs.h"

#include <linux/openat2.h>

#define OPEN_FLAGS_KNOWN                                                                           \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC |         \
     FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_SYNC | \
     O_PATH | O_TMPFILE)

/* What stays in f->flags. */
#define OPEN_FLAGS_KEPT                                                                            \
    (O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | \
     O_NOFOLLOW | O_NOATIME | O_SYNC | O_PATH)

static int open_by_type(struct inode *i, struct dentry *d, struct file *f)
{
    switch (i->mode & S_IFMT) {
    case S_IFIFO:
        return i->ops->open ? i->ops->open(i, f) : fifo_open(i, f);
    case S_IFCHR:
    case S_IFBLK:
        if (i->ops->open)
            return i->ops->open(i, f);
        if (dentry_mount_flags(d) & MS_NODEV)
            return -EACCES;
        return g_file_systems->open_device(i, f);
    case S_IFLNK:
        return -ELOOP;
    case S_IFSOCK:
        return -ENXIO;
    default:
        return i->ops->open ? i->ops->open(i, f) : -ENXIO;
    }
}

int inode_count_writer(struct inode *i)
{
    int r = 0;

    mutex_lock(&i->lock);
    if (i->writers < 0)
        r = -ETXTBSY;
    else
        i->writers++;
    mutex_unlock(&i->lock);
    return r;
}

void inode_uncount_writer(struct inode *i)
{
    mutex_lock(&i->lock);
    i->writers--;
    mutex_unlock(&i->lock);
}

void file_uncount_writer(struct file *f)
{
    if (f->counts_writer)
        inode_uncount_writer(f->inode);
    if (f->counts_reader)
        __atomic_sub_fetch(&f->inode->readers, 1, __ATOMIC_ACQ_REL);
    f->counts_writer = f->counts_reader = false;
}

int dentry_open_flags(struct dentry *d, u32 flags, struct file **out)
{
    struct inode *i = d->inode;
    struct file *f = file_alloc(&g_path_file_ops,
                                flags & (OPEN_FLAGS_KEPT | O_NOCTTY)); /* a terminal looks at it */
    int r = 0;

    if (!f)
        return -ENOMEM;
    f->dentry = dentry_get(d);
    if (!(flags & O_PATH) && S_ISREG(i->mode) && (flags & O_ACCMODE) != O_RDONLY) {
        r = inode_count_writer(i);
        f->counts_writer = r == 0;
    } else if (!(flags & O_PATH) && S_ISREG(i->mode)) {
        __atomic_add_fetch(&i->readers, 1, __ATOMIC_ACQ_REL);
        f->counts_reader = true;
    }
    f->inode = inode_get(i);
    if (r == 0 && !(flags & O_PATH))
        r = lease_break(i, (flags & (O_ACCMODE | O_TRUNC)) != 0, (flags & O_NONBLOCK) != 0);
    if (r == 0 && !(flags & O_PATH))
        r = open_by_type(i, d, f);
    f->flags &= ~(u32)O_NOCTTY;
    if (r < 0) {
        file_uncount_writer(f);
        f->ops = &g_path_file_ops;
        f->flags = O_PATH;
        file_put(f);
        return r;
    }
    if (unlikely(g_fs_notify) && !(flags & O_PATH))
        notify_inode(d, IN_OPEN);
    *out = f;
    return 0;
}

int dentry_open(struct dentry *d, u32 flags, struct file **out)
{
    return dentry_open_flags(d, flags, out);
}

static int access_of(u32 flags)
{
    int mask = 0;

    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        mask = MAY_READ;
        break;
    case O_WRONLY:
        mask = MAY_WRITE;
        break;
    case O_RDWR:
        mask = MAY_READ | MAY_WRITE;
    }
    return flags & O_TRUNC ? mask | MAY_WRITE : mask;
}

static int may_open(struct dentry *d, u32 flags)
{
    struct inode *i = d->inode;
    int mask = access_of(flags), r;

    if (S_ISLNK(i->mode))
        return -ELOOP;
    if (S_ISDIR(i->mode) && (mask & MAY_WRITE))
        return -EISDIR;
    if (mask & MAY_WRITE && dentry_readonly(d) && (S_ISREG(i->mode) || S_ISDIR(i->mode)))
        return -EROFS;
    r = inode_permission(i, mask);
    if (r == 0 && (flags & O_NOATIME) && !inode_owner_or_capable(i))
        r = -EPERM;
    return r;
}

static int open_existing(struct dentry *d, u32 flags, bool created, struct file **out)
{
    int r;

    if ((flags & O_DIRECTORY) && !S_ISDIR(d->inode->mode))
        return -ENOTDIR;
    if (flags & O_PATH)
        return dentry_open_flags(d, flags, out);
    if (!created) {
        r = may_open(d, flags);
        if (r < 0)
            return r;
    }
    r = dentry_open_flags(d, flags, out);
    if (r == 0 && (flags & O_TRUNC) && !created && S_ISREG(d->inode->mode)) {
        r = inode_truncate(d->inode, 0);
        if (r < 0)
            file_put(*out);
        else
            notify_inode(d, IN_MODIFY);
    }
    return r;
}

int dentry_open_checked(struct dentry *d, u32 flags, struct file **out)
{
    flags &= OPEN_FLAGS_KNOWN & ~(u32)(O_CREAT | O_EXCL);
    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    return open_existing(d, flags, false, out);
}

/* dir's entry becomes a new regular file, unless somebody was faster. */
static int create_entry(struct dentry *dir, const char *name, size_t len, u32 mode, u64 rdev,
                        struct socket_binding *b, struct dentry **d)
{
    const struct inode_ops *ops = dir->inode->ops;
    struct inode *i = NULL;
    int r = may_create(dir);

    if (r < 0)
        return r;
    if (!ops->create)
        return -EACCES;
    mutex_lock(&dir->inode->lock);
    r = -EEXIST;
    if (!(*d)->inode && dentry_is_current(dir, *d, name, len))
        r = b && ops->bind ? ops->bind(dir->inode, name, len, mode, b, &i)
                           : ops->create(dir->inode, name, len, mode, rdev, &i);
    if (r == 0)
        r = dentry_instantiate(dir, d, name, len, i);
    mutex_unlock(&dir->inode->lock);
    if (r == 0)
        notify_entry(dir, name, len, (*d)->inode, IN_CREATE, 0);
    return r;
}

static u32 current_umask(void)
{
    struct process *p = fs_process();

    return p && p->fs ? p->fs->umask : 0;
}

static bool is_dots(const struct walk *w)
{
    return w->last[0] == '.' && (w->last_len == 1 || (w->last_len == 2 && w->last[1] == '.'));
}

/* The last component: what is there, or, with O_CREAT, a new file. */
static int last_or_new(struct walk *w, u32 flags, u32 mode, struct dentry **d, bool *created)
{
    int r, tries = 0;

    *created = false;
    do {
        r = dentry_child(w->at, w->last, w->last_len, d);
        if (r < 0)
            return r;
        if ((*d)->inode && (flags & O_CREAT) && (flags & O_EXCL)) {
            r = -EEXIST;
        } else if (!(*d)->inode && (flags & O_CREAT)) {
            r = create_entry(w->at, w->last, w->last_len,
                             S_IFREG | (mode & 07777 & ~current_umask()), 0, NULL, d);
            *created = r == 0;
        } else if (!(*d)->inode) {
            r = -ENOENT;
        }
        if (r < 0)
            dentry_put(*d);
        /* Somebody was faster: that one, then. Or the host says both, for ever. */
    } while (r == -EEXIST && !(flags & O_EXCL) && ++tries < 16);
    return r == -EEXIST && !(flags & O_EXCL) ? -EIO : r;
}

/* One round at the last component: 0 opened, 1 continue behind a link. */
static int open_last(struct walk *w, u32 flags, u32 mode, struct file **out)
{
    struct dentry *d;
    bool created;
    int r;

    if (w->magic || w->last_len == 0 || is_dots(w)) {
        if (!w->magic && w->last_len) {
            r = walk_step(w, true);
            if (r < 0)
                return r;
        }
        if (!w->magic && (flags & O_CREAT))
            return flags & O_EXCL ? -EEXIST : -EISDIR;
        return open_existing(w->at, flags, false, out);
    }
    if ((flags & O_CREAT) && w->trailing_slash)
        return -EISDIR;
    r = last_or_new(w, flags, mode, &d, &created);
    if (r < 0)
        return r;
    r = walk_cross(w, &d);
    if (r < 0) {
        dentry_put(d);
        return r;
    }
    if (S_ISLNK(d->inode->mode) && (!(flags & O_NOFOLLOW) || w->trailing_slash)) {
        r = walk_link(w, d);
        dentry_put(d);
        return r < 0 ? r : 1;
    }
    if (w->trailing_slash && !S_ISDIR(d->inode->mode))
        r = -ENOTDIR;
    else if ((flags & O_CREAT) && S_ISDIR(d->inode->mode))
        r = -EISDIR;
    else
        r = open_existing(d, flags, created, out);
    if (r == 0)
        (*out)->created = created;
    dentry_put(d);
    return r;
}

static int open_tmpfile(struct walk *w, u32 flags, u32 mode, struct file **out)
{
    struct inode *i;
    struct dentry *d;
    char name[32];
    int r = walk_full(w, LOOKUP_DIRECTORY);

    if (r < 0)
        return r;
    if ((flags & O_ACCMODE) == O_RDONLY)
        return -EINVAL;
    r = may_create(w->at);
    if (r == 0)
        r = w->at->inode->ops->tmpfile
                ? w->at->inode->ops->tmpfile(w->at->inode,
                                             S_IFREG | (mode & 07777 & ~current_umask()), &i)
                : -EOPNOTSUPP;
    if (r < 0)
        return r;
    snprintf(name, sizeof(name), "#%llu", (unsigned long long)i->ino);
    d = dentry_alloc(w->at, w->at->mount, name, strlen(name), i);
    inode_put(i);
    if (!d)
        return -ENOMEM;
    d->unlinked = true;
    r = dentry_open_flags(d, flags & ~(u32)(O_TMPFILE & ~O_DIRECTORY), out);
    dentry_put(d);
    return r;
}

static int open_once(int dirfd, const char *path, u32 flags, u32 mode, u64 resolve,
                     struct file **out)
{
    struct walk w;
    int r;

    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    r = walk_begin(&w, dirfd, path, resolve);
    if (r == 0 && (flags & O_TMPFILE & ~O_DIRECTORY)) {
        r = flags & O_DIRECTORY ? open_tmpfile(&w, flags, mode, out) : -EINVAL;
    } else if (r == 0) {
        do {
            r = w.magic ? 0 : walk_parent(&w);
            if (r == 0)
                r = open_last(&w, flags, mode, out);
        } while (r == 1);
    }
    walk_end(&w);
    return r;
}

/* A file of the host that was replaced between its look-up and its opening is looked up again; a
 * host that goes on with it gets the caller no further. */
static int do_open(int dirfd, const char *path, u32 flags, u32 mode, u64 resolve, struct file **out)
{
    int r = -ESTALE;

    for (int tries = 0; r == -ESTALE && tries < 16; tries++)
        r = open_once(dirfd, path, flags, mode, resolve, out);
    return r;
}

int path_open(int dirfd, const char *path, u32 flags, u32 mode, struct file **out)
{
    return *path ? do_open(dirfd, path, flags, mode, 0, out) : -ENOENT;
}

static int make_node(int dirfd, const char *path, u32 mode, u64 rdev, struct socket_binding *b,
                     struct dentry **out)
{
    struct walk w;
    struct dentry *d = NULL;
    int r = path_parent(dirfd, path, &w, -EEXIST);

    if (r < 0)
        return r;
    r = dentry_child(w.at, w.last, w.last_len, &d);
    if (r == 0)
        r = d->inode ? -EEXIST : w.trailing_slash ? -ENOENT : 0;
    if (r == 0) {
        if (!(mode & S_IFMT))
            mode |= S_IFREG;
        r = create_entry(w.at, w.last, w.last_len,
                         (mode & S_IFMT) | (mode & 07777 & ~current_umask()), rdev, b, &d);
    }
    if (r == 0 && out)
        *out = d;
    else if (d)
        dentry_put(d);
    walk_end(&w);
    return r;
}

int path_mknod(int dirfd, const char *path, u32 mode, u64 rdev, struct dentry **out)
{
    return make_node(dirfd, path, mode, rdev, NULL, out);
}

int path_bind(const char *path, u32 mode, struct socket_binding *b, struct dentry **out)
{
    return make_node(AT_FDCWD, path, S_IFSOCK | mode, 0, b, out);
}

/* ---- system calls ---- */

static long open_and_install(int dirfd, uaddr upath, u32 flags, u32 mode, u64 resolve)
{
    char path[PATH_MAX];
    struct file *f;
    ssize_t n = path_from_user(path, upath);
    int r;

    if (n < 0)
        return n;
    r = do_open(dirfd, path, flags, mode, resolve, &f);
    return r < 0 ? r : fd_install(f, (flags & O_CLOEXEC) != 0);
}

long sys_openat(int dir, uaddr path, int flags, u32 mode)
{
    return open_and_install(dir, path, (u32)flags & OPEN_FLAGS_KNOWN, mode, 0);
}

long sys_open(uaddr path, int flags, u32 mode)
{
    return open_and_install(AT_FDCWD, path, (u32)flags & OPEN_FLAGS_KNOWN, mode, 0);
}

long sys_creat(uaddr path, u32 mode)
{
    return open_and_install(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode, 0);
}

long sys_openat2(int dir, uaddr path, uaddr user_how, u64 size)
{
    struct open_how how = {0};
    u8 extra[64];

    if (size < sizeof(how))
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (get_user(how, user_how) < 0)
        return -EFAULT;
    for (size_t at = sizeof(how); at < size;) {
        size_t n = MIN(sizeof(extra), size - at);

        if (copy_from_user(extra, user_plus(user_how, at), n) < 0)
            return -EFAULT;
        for (size_t i = 0; i < n; i++)
            if (extra[i])
                return -E2BIG;
        at += n;
    }
    if ((how.flags & ~(u64)OPEN_FLAGS_KNOWN) || (how.mode & ~07777ull) ||
        (how.resolve & ~(u64)(RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS |
                              RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED)))
        return -EINVAL;
    if (how.mode && !(how.flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))))
        return -EINVAL;
    if ((how.resolve & RESOLVE_BENEATH) && (how.resolve & RESOLVE_IN_ROOT))
        return -EINVAL;
    if (how.resolve & RESOLVE_CACHED)
        return -EAGAIN;
    return open_and_install(dir, path, (u32)how.flags, (u32)how.mode, how.resolve);
}

long sys_mknodat(int dir, uaddr user_path, u32 mode, u32 dev)
{
    char path[PATH_MAX];
    u32 type = mode & S_IFMT;
    ssize_t n = path_from_user(path, user_path);

    if (n < 0)
        return n;
    if (type == S_IFDIR)
        return -EPERM;
    if (type && type != S_IFREG && type != S_IFIFO && type != S_IFSOCK && type != S_IFCHR &&
        type != S_IFBLK)
        return -EINVAL;
    if ((type == S_IFCHR || type == S_IFBLK) && !fs_capable(CAP_MKNOD))
        return -EPERM;
    return path_mknod(dir, path, mode, type == S_IFCHR || type == S_IFBLK ? dev : 0, NULL);
}

long sys_mknod(uaddr path, u32 mode, u32 dev)
{
    return sys_mknodat(AT_FDCWD, path, mode, dev);
}
