/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that change directories: mkdir, rmdir, unlink, rename, link, symlink, readlink,
 * getdents. */
#include "vfs.h"

static struct mutex g_rename_lock; /* renames between directories, one at a time */
static u32 g_rename_cookie;

static u32 current_umask(void)
{
    struct process *p = fs_process();

    return p && p->fs ? p->fs->umask : 0;
}

/* The dentry of w's last name, whatever it is; w->at is its directory. */
static int last_entry(struct walk *w, struct dentry **out)
{
    return dentry_child(w->at, w->last, w->last_len, out);
}

/* d is the name of an entry to be made; the directory is locked. */
static bool is_free(const struct walk *w, const struct dentry *d)
{
    return !d->inode && dentry_is_current(w->at, d, w->last, w->last_len);
}

static int path_mkdir(int dirfd, const char *path, u32 mode)
{
    struct walk w;
    struct dentry *d;
    struct inode *i, *dir;
    int r = path_parent(dirfd, path, &w, -EEXIST);

    if (r < 0)
        return r;
    r = last_entry(&w, &d);
    if (r < 0) {
        walk_end(&w);
        return r;
    }
    dir = w.at->inode;
    r = d->inode ? -EEXIST : may_create(w.at);
    if (r == 0 && !dir->ops->create)
        r = -EPERM;
    if (r == 0) {
        mutex_lock(&dir->lock);
        r = is_free(&w, d) ? dir->ops->create(dir, w.last, w.last_len,
                                              S_IFDIR | (mode & 01777 & ~current_umask()), 0, &i)
                           : -EEXIST;
        if (r == 0)
            r = dentry_instantiate(w.at, &d, w.last, w.last_len, i);
        mutex_unlock(&dir->lock);
    }
    if (r == 0)
        notify_entry(w.at, w.last, w.last_len, d->inode, IN_CREATE | IN_ISDIR, 0);
    dentry_put(d);
    walk_end(&w);
    return r;
}

/* Of calls that change an entry: by the time the directory was locked the name was another's. */
#define LOOK_AGAIN 1

/* Somebody may change a name again and again; who is killed meanwhile ends (but writes its core
 * file first). */
static bool look_again(int *r)
{
    const struct process *p = fs_process();
    if (*r == LOOK_AGAIN && p && p->group_exit && !p->core)
        *r = -EINTR;
    return *r == LOOK_AGAIN;
}

static int unlink_entry(struct walk *w, struct dentry *d, bool is_dir)
{
    struct inode *dir = w->at->inode;
    int r;

    if (!d->inode)
        return -ENOENT;
    if (!is_dir && w->trailing_slash)
        return S_ISDIR(d->inode->mode) ? -EISDIR : -ENOTDIR;
    r = may_delete(w->at, d, is_dir);
    if (r == 0 && !dir->ops->unlink)
        r = -EPERM;
    if (r < 0)
        return r;
    mutex_lock(&dir->lock);
    if (!dentry_is_current(w->at, d, w->last, w->last_len))
        r = LOOK_AGAIN;
    else if (d->mounts_below) /* the host might say that the directory is empty */
        r = d->mounted ? -EBUSY : -ENOTEMPTY;
    else
        r = dir->ops->unlink(dir, w->last, w->last_len, d->inode, is_dir);
    /* Or it let a full one go, in which something was mounted meanwhile. */
    if (r == 0 && !dcache_remove_free(d, true))
        r = -ENOTEMPTY;
    mutex_unlock(&dir->lock);
    if (r == 0) {
        if (!is_dir)
            notify_links(d->inode);
        notify_entry(w->at, w->last, w->last_len, d->inode, IN_DELETE | (is_dir ? IN_ISDIR : 0), 0);
    }
    return r;
}

int path_unlink(int dirfd, const char *path, bool is_dir)
{
    struct walk w;
    struct dentry *d;
    int r = walk_begin(&w, dirfd, path, 0);

    if (r == 0)
        r = walk_parent(&w);
    if (r == 0 && w.last_len == 0)
        r = is_dir ? -EBUSY : -EISDIR;
    else if (r == 0 && w.last[0] == '.' && w.last_len == 1)
        r = is_dir ? -EINVAL : -EISDIR;
    else if (r == 0 && w.last[0] == '.' && w.last[1] == '.' && w.last_len == 2)
        r = is_dir ? -ENOTEMPTY : -EISDIR;
    else if (r == 0)
        r = LOOK_AGAIN;
    while (look_again(&r)) {
        r = last_entry(&w, &d);
        if (r == 0) {
            r = unlink_entry(&w, d, is_dir);
            dentry_put(d);
        }
    }
    walk_end(&w);
    return r;
}

static int path_symlink(const char *target, int dirfd, const char *path)
{
    struct walk w;
    struct dentry *d;
    struct inode *i, *dir;
    int r = path_parent(dirfd, path, &w, -EEXIST);

    if (r < 0)
        return r;
    r = last_entry(&w, &d);
    if (r < 0) {
        walk_end(&w);
        return r;
    }
    dir = w.at->inode;
    r = d->inode ? -EEXIST : w.trailing_slash ? -ENOENT : may_create(w.at);
    if (r == 0 && !dir->ops->symlink)
        r = -EPERM;
    if (r == 0) {
        mutex_lock(&dir->lock);
        r = is_free(&w, d) ? dir->ops->symlink(dir, w.last, w.last_len, target, &i) : -EEXIST;
        if (r == 0)
            r = dentry_instantiate(w.at, &d, w.last, w.last_len, i);
        mutex_unlock(&dir->lock);
    }
    if (r == 0)
        notify_entry(w.at, w.last, w.last_len, d->inode, IN_CREATE, 0);
    dentry_put(d);
    walk_end(&w);
    return r;
}

static int path_link(struct dentry *old, int dirfd, const char *path)
{
    struct walk w;
    struct dentry *d;
    struct inode *dir;
    int r = path_parent(dirfd, path, &w, -EEXIST);

    if (r < 0)
        return r;
    r = last_entry(&w, &d);
    if (r < 0) {
        walk_end(&w);
        return r;
    }
    dir = w.at->inode;
    if (d->inode)
        r = -EEXIST;
    else if (w.trailing_slash)
        r = -ENOENT;
    else if (old->mount != w.at->mount)
        r = -EXDEV;
    else
        r = may_create(w.at);
    if (r == 0 && S_ISDIR(old->inode->mode))
        r = -EPERM;
    if (r == 0 && !dir->ops->link)
        r = -EPERM;
    if (r == 0) {
        mutex_lock(&dir->lock);
        r = is_free(&w, d) ? dir->ops->link(dir, w.last, w.last_len, old->inode) : -EEXIST;
        if (r == 0)
            r = dentry_instantiate(w.at, &d, w.last, w.last_len, inode_get(old->inode));
        mutex_unlock(&dir->lock);
    }
    if (r == 0) {
        notify_links(old->inode);
        notify_entry(w.at, w.last, w.last_len, d->inode, IN_CREATE, 0);
    }
    dentry_put(d);
    walk_end(&w);
    return r;
}

/* ---- rename ---- */

#define RENAME_NOREPLACE_FLAG 1u
#define RENAME_EXCHANGE_FLAG  2u

/* The upper one first, as rmdir does, which holds a directory and wants the one to be removed. No
 * directory moves meanwhile: g_rename_lock is held. */
static void lock_two(struct dentry *x, struct dentry *y)
{
    bool below = dentry_is_below(x, y);

    mutex_lock(below ? &y->inode->lock : &x->inode->lock);
    if (x->inode != y->inode)
        mutex_lock(below ? &x->inode->lock : &y->inode->lock);
}

static void unlock_two(struct dentry *x, struct dentry *y)
{
    mutex_unlock(&x->inode->lock);
    if (x->inode != y->inode)
        mutex_unlock(&y->inode->lock);
}

static int rename_check(struct walk *o, struct walk *n, struct dentry *od, struct dentry *nd,
                        u32 flags)
{
    bool is_dir;
    int r;

    if (!od->inode)
        return -ENOENT;
    is_dir = S_ISDIR(od->inode->mode);
    if (nd->inode && (flags & RENAME_NOREPLACE_FLAG))
        return -EEXIST;
    if (flags & RENAME_EXCHANGE_FLAG) {
        if (!nd->inode)
            return -ENOENT;
        if (!S_ISDIR(nd->inode->mode) && n->trailing_slash)
            return -ENOTDIR;
    }
    if (!is_dir && (o->trailing_slash || (n->trailing_slash && !(flags & RENAME_EXCHANGE_FLAG))))
        return -ENOTDIR;
    if (dentry_is_below(n->at, od))
        return -EINVAL;
    if (nd->inode && dentry_is_below(o->at, nd))
        return flags & RENAME_EXCHANGE_FLAG ? -EINVAL : -ENOTEMPTY;
    if (od->inode == nd->inode) /* two links of one file: nothing happens */
        return 0;
    r = may_delete(o->at, od, is_dir);
    if (r < 0)
        return r;
    if (!nd->inode)
        r = may_create(n->at);
    else if (flags & RENAME_EXCHANGE_FLAG)
        r = may_delete(n->at, nd, S_ISDIR(nd->inode->mode));
    else
        r = may_delete(n->at, nd, is_dir);
    /* The host might say that it is empty, and put one of its own in place of what is mounted. */
    if (r == 0 && nd->inode && !(flags & RENAME_EXCHANGE_FLAG) && nd->mounts_below)
        r = -ENOTEMPTY;
    if (r == 0 && is_dir && o->at != n->at)
        r = inode_permission(od->inode, MAY_WRITE);
    if (r == 0 && !o->at->inode->ops->rename)
        r = -EPERM;
    return r;
}

/* The names that the cache will have: what the file system did cannot be taken back for want of
 * memory. */
struct new_names {
    char *moved, *exchanged;
};

static int allocate_names(struct new_names *names, const struct walk *o, const struct walk *n,
                          u32 flags)
{
    names->moved = kstrndup(n->last, n->last_len);
    names->exchanged = flags & RENAME_EXCHANGE_FLAG ? kstrndup(o->last, o->last_len) : NULL;
    return names->moved && (names->exchanged || !(flags & RENAME_EXCHANGE_FLAG)) ? 0 : -ENOMEM;
}

/* The cache follows what the file system did, unless a host let a full directory be replaced in which
 * something was mounted meanwhile. Both directories are locked. */
static int rename_dentries(struct walk *o, struct walk *n, struct dentry *od, struct dentry *nd,
                           struct new_names *names)
{
    if (names->exchanged)
        dcache_remove(nd);
    else if (!dcache_remove_free(nd, nd->inode))
        return -ENOTEMPTY;
    dcache_move(od, n->at, names->moved);
    if (names->exchanged)
        dcache_move(nd, o->at, names->exchanged);
    *names = (struct new_names){0};
    return 0;
}

/* replaced: whose name was taken, or NULL */
static void rename_notify(struct walk *o, struct walk *n, struct inode *i, struct inode *replaced)
{
    u32 cookie, dir = S_ISDIR(i->mode) ? IN_ISDIR : 0;

    if (likely(!g_fs_notify))
        return;
    cookie = __atomic_add_fetch(&g_rename_cookie, 1, __ATOMIC_RELAXED);
    notify_entry(o->at, o->last, o->last_len, i,
                 IN_MOVED_FROM | dir | (o->at->inode == n->at->inode ? NOTIFY_RENAMED : 0), cookie);
    notify_entry(n->at, n->last, n->last_len, i, IN_MOVED_TO | dir, cookie);
    if (replaced)
        notify_links(replaced);
    g_fs_notify(i, NULL, NULL, 0, IN_MOVE_SELF, 0);
}

/* *moved: what has a new name, if anything. */
static int rename_entries(struct walk *o, struct walk *n, struct dentry *od, struct dentry *nd,
                          u32 flags, struct inode **moved)
{
    struct new_names names = {0};
    int r = LOOK_AGAIN;

    mutex_lock(&g_rename_lock);
    lock_two(o->at, n->at);
    if (dentry_is_current(o->at, od, o->last, o->last_len) &&
        dentry_is_current(n->at, nd, n->last, n->last_len))
        r = rename_check(o, n, od, nd, flags);
    if (r == 0 && od->inode != nd->inode)
        r = allocate_names(&names, o, n, flags);
    if (names.moved && r == 0) {
        r = o->at->inode->ops->rename(o->at->inode, o->last, o->last_len, n->at->inode, n->last,
                                      n->last_len, flags);
        if (r == 0)
            r = rename_dentries(o, n, od, nd, &names);
        if (r == 0)
            *moved = od->inode;
    }
    unlock_two(o->at, n->at);
    mutex_unlock(&g_rename_lock);
    kfree(names.moved);
    kfree(names.exchanged);
    return r;
}

static int rename_walked(struct walk *o, struct walk *n, u32 flags)
{
    struct dentry *od, *nd;
    struct inode *moved = NULL;
    int r;

    do {
        r = last_entry(o, &od);
        if (r < 0)
            return r;
        /* Looked up once: a name of /proc may be another object each time. */
        if (o->at == n->at && o->last_len == n->last_len &&
            memcmp(o->last, n->last, o->last_len) == 0)
            nd = dentry_get(od);
        else
            r = last_entry(n, &nd);
        if (r < 0) {
            dentry_put(od);
            return r;
        }
        r = rename_entries(o, n, od, nd, flags, &moved);
        if (moved && (flags & RENAME_EXCHANGE_FLAG)) {
            rename_notify(o, n, moved, NULL);
            rename_notify(n, o, nd->inode, NULL);
        } else if (moved) {
            rename_notify(o, n, moved, nd->inode);
        }
        dentry_put(nd);
        dentry_put(od);
    } while (look_again(&r));
    return r;
}

static bool plain_name(const struct walk *w)
{
    return w->last_len &&
           !(w->last[0] == '.' && (w->last_len == 1 || (w->last_len == 2 && w->last[1] == '.')));
}

static int parent_of(struct walk *w, int dirfd, const char *path)
{
    int r = walk_begin(w, dirfd, path, 0);

    if (r == 0)
        r = walk_parent(w);
    if (r < 0)
        walk_end(w);
    return r;
}

/* Both parents are walked before anything is said about the last names, as Linux does. new_error:
 * of fetching the new path. */
static int path_rename(int old_dir, const char *old, int new_dir, const char *new, int new_error,
                       u32 flags)
{
    struct walk o, n;
    int r = parent_of(&o, old_dir, old);

    if (r < 0)
        return r;
    r = new_error < 0 ? new_error : parent_of(&n, new_dir, new);
    if (r == 0) {
        if (o.at->mount != n.at->mount)
            r = -EXDEV;
        else if (!plain_name(&o))
            r = -EBUSY;
        else if (!plain_name(&n))
            r = flags & RENAME_NOREPLACE_FLAG ? -EEXIST : -EBUSY;
        else if (o.last_len > NAME_LIMIT || n.last_len > NAME_LIMIT)
            r = -ENAMETOOLONG;
        else
            r = rename_walked(&o, &n, flags);
        walk_end(&n);
    }
    walk_end(&o);
    return r;
}

/* ---- system calls ---- */

long sys_mkdirat(int dir, uaddr user_path, u32 mode)
{
    char path[PATH_MAX];
    ssize_t n = path_from_user(path, user_path);

    return n < 0 ? n : path_mkdir(dir, path, mode);
}

long sys_mkdir(uaddr path, u32 mode)
{
    return sys_mkdirat(AT_FDCWD, path, mode);
}

long sys_unlinkat(int dir, uaddr user_path, int flags)
{
    char path[PATH_MAX];
    ssize_t n;

    if (flags & ~AT_REMOVEDIR)
        return -EINVAL;
    n = path_from_user(path, user_path);
    return n < 0 ? n : path_unlink(dir, path, (flags & AT_REMOVEDIR) != 0);
}

long sys_unlink(uaddr path)
{
    return sys_unlinkat(AT_FDCWD, path, 0);
}

long sys_rmdir(uaddr path)
{
    return sys_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

long sys_renameat2(int from_dir, uaddr from, int to_dir, uaddr to, u32 flags)
{
    char old[PATH_MAX], new[PATH_MAX];
    ssize_t n;

    if ((flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG)) ||
        (flags & (RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG)) ==
            (RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG))
        return -EINVAL;
    n = path_from_user(old, from);
    return n < 0 ? n : path_rename(from_dir, old, to_dir, new, (int)path_from_user(new, to), flags);
}

long sys_renameat(int from_dir, uaddr from, int to_dir, uaddr to)
{
    return sys_renameat2(from_dir, from, to_dir, to, 0);
}

long sys_rename(uaddr from, uaddr to)
{
    return sys_renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

long sys_linkat(int from_dir, uaddr from, int to_dir, uaddr to, int flags)
{
    char old[PATH_MAX], new[PATH_MAX];
    struct dentry *target;
    ssize_t n;
    int r;

    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if ((flags & AT_EMPTY_PATH) && !fs_capable(CAP_DAC_READ_SEARCH))
        return -ENOENT;
    n = strncpy_from_user(old, from, PATH_MAX);
    if (n < 0)
        return n;
    r = path_lookup(from_dir, old,
                    (flags & AT_SYMLINK_FOLLOW ? 0 : LOOKUP_NOFOLLOW) |
                        (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0),
                    &target);
    if (r < 0)
        return r;
    n = path_from_user(new, to);
    r = n < 0 ? (int)n : path_link(target, to_dir, new);
    dentry_put(target);
    return r;
}

long sys_link(uaddr from, uaddr to)
{
    return sys_linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

long sys_symlinkat(uaddr user_target, int dir, uaddr user_path)
{
    char target[PATH_MAX], path[PATH_MAX];
    ssize_t n = path_from_user(target, user_target);

    if (n >= 0)
        n = path_from_user(path, user_path);
    return n < 0 ? n : path_symlink(target, dir, path);
}

long sys_symlink(uaddr target, uaddr path)
{
    return sys_symlinkat(target, AT_FDCWD, path);
}

/* What a magic link shows: the path of what it leads to. */
static ssize_t readlink_any(struct dentry *link, char *buf, size_t size)
{
    struct inode *i = link->inode;
    struct dentry *target;
    char *path, *text;
    ssize_t n;
    int r;

    if (i->ops->readlink)
        return link_text(link, buf, size);
    if (!i->ops->follow)
        return -EINVAL;
    r = i->ops->follow(i, &target);
    if (r < 0)
        return r;
    path = kmalloc(PATH_MAX);
    text = path ? dentry_path(target, path, PATH_MAX) : err_ptr(-ENOMEM);
    dentry_put(target);
    if (is_err(text)) {
        n = ptr_err(text);
    } else {
        n = (ssize_t)MIN(strlen(text), size);
        memcpy(buf, text, (size_t)n);
    }
    kfree(path);
    return n;
}

long sys_readlinkat(int dir, uaddr user_path, uaddr buf, int size)
{
    char path[PATH_MAX], out[PATH_MAX];
    struct dentry *link;
    ssize_t n = strncpy_from_user(path, user_path, PATH_MAX);
    int r;

    if (n < 0)
        return n;
    if (size <= 0)
        return -EINVAL;
    r = path_lookup(dir, path, LOOKUP_NOFOLLOW | (dir != AT_FDCWD ? LOOKUP_EMPTY : 0), &link);
    if (r < 0)
        return r;
    n = S_ISLNK(link->inode->mode) ? readlink_any(link, out, MIN((size_t)size, sizeof(out)))
        : n == 0                   ? -ENOENT
                                   : -EINVAL;
    dentry_put(link);
    if (n > 0 && copy_to_user(buf, out, (size_t)n) < 0)
        return -EFAULT;
    return n;
}

long sys_readlink(uaddr path, uaddr buf, int size)
{
    return sys_readlinkat(AT_FDCWD, path, buf, size);
}
