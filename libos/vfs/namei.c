/* SPDX-License-Identifier: Apache-2.0 */
/* From a path to a dentry. */
#include "vfs.h"

#include <linux/openat2.h>

ssize_t path_from_user(char *buf, uaddr path)
{
    ssize_t n = strncpy_from_user(buf, path, PATH_MAX);

    return n == 0 ? -ENOENT : n;
}

int path_lookup_user(uaddr path, u32 flags, struct dentry **out)
{
    char buf[PATH_MAX];
    ssize_t n = path_from_user(buf, path);

    return n < 0 ? (int)n : path_lookup(AT_FDCWD, buf, flags, out);
}

/* ---- contexts ---- */

struct fs_context *fs_context_create(void)
{
    struct fs_context *c = kzalloc(sizeof(*c));

    if (!c)
        return NULL;
    ref_init(&c->refs);
    c->root = initial_root();
    c->cwd = initial_root();
    c->umask = 022;
    return c;
}

struct fs_context *fs_context_copy(struct fs_context *old)
{
    struct fs_context *c = kzalloc(sizeof(*c));

    if (!c)
        return NULL;
    ref_init(&c->refs);
    mutex_lock(&old->lock);
    c->root = dentry_get(old->root);
    c->cwd = dentry_get(old->cwd);
    c->umask = old->umask;
    mutex_unlock(&old->lock);
    return c;
}

void fs_context_put(struct fs_context *c)
{
    if (!c || !ref_put(&c->refs))
        return;
    dentry_put(c->root);
    dentry_put(c->cwd);
    kfree(c);
}

/* ---- the walk ---- */

static int walk_start_at(struct walk *w, int dirfd)
{
    struct file *f;

    if (dirfd == AT_FDCWD) {
        if (w->fs) {
            mutex_lock(&w->fs->lock);
            w->at = dentry_get(w->fs->cwd);
            mutex_unlock(&w->fs->lock);
        } else {
            w->at = initial_root();
        }
        return 0;
    }
    f = fd_get(dirfd);
    if (!f)
        return -EBADF;
    if (f->dentry)
        w->at = dentry_get(f->dentry);
    else
        w->at = file_anon_dentry(f);
    file_put(f);
    return is_err(w->at) ? ptr_err(w->at) : 0;
}

static int walk_begin_in(struct walk *w, struct fs_context *fs, int dirfd, const char *path,
                         u64 resolve)
{
    int r;

    memset(w, 0, sizeof(*w));
    w->fs = fs;
    w->rest = path;
    w->resolve = resolve;
    if (*path != '/' || (resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT))) {
        r = walk_start_at(w, dirfd);
        if (r < 0) {
            w->at = NULL;
            return r;
        }
    }
    if (*path == '/' && (resolve & RESOLVE_BENEATH)) {
        dentry_put(w->at);
        w->at = NULL;
        return -EXDEV;
    }
    if (resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) {
        w->root = dentry_get(w->at);
    } else if (fs) {
        mutex_lock(&fs->lock);
        w->root = dentry_get(fs->root);
        mutex_unlock(&fs->lock);
    } else {
        w->root = initial_root();
    }
    if (!w->at)
        w->at = dentry_get(w->root);
    w->start = dentry_get(w->at);
    return 0;
}

int walk_begin(struct walk *w, int dirfd, const char *path, u64 resolve)
{
    struct process *p = fs_process();

    return walk_begin_in(w, p ? p->fs : NULL, dirfd, path, resolve);
}

void walk_end(struct walk *w)
{
    if (w->at)
        dentry_put(w->at);
    if (w->root)
        dentry_put(w->root);
    if (w->start)
        dentry_put(w->start);
    if (w->jail)
        dentry_put(w->jail);
    if (w->owned)
        kfree(w->owned);
    w->at = w->root = w->start = w->jail = NULL;
    w->owned = NULL;
}

static void walk_to(struct walk *w, struct dentry *d) /* takes the reference */
{
    dentry_put(w->at);
    w->at = d;
}

int walk_into_mount(struct walk *w, struct dentry **d)
{
    if (w->resolve & RESOLVE_NO_XDEV)
        return -EXDEV;
    *d = dentry_follow_mounts(*d);
    /* A file system of the enclave below a pass-through mount is out of reach of its links. */
    return w->jail && !(*d)->mount->super->untrusted ? -EXDEV : 0;
}

static int walk_dotdot(struct walk *w)
{
    struct dentry *d = w->at, *up;
    int r;

    if (d == w->root)
        return w->resolve & RESOLVE_BENEATH ? -EXDEV : 0;
    mutex_lock(&g_tree_lock);
    while (d->parent == d && d->mount && d->mount->mountpoint && d != w->root && d != w->jail) {
        if (w->resolve & RESOLVE_NO_XDEV) {
            mutex_unlock(&g_tree_lock);
            return -EXDEV;
        }
        d = d->mount->mountpoint;
    }
    up = dentry_get(d == w->root || d == w->jail ? d : d->parent);
    mutex_unlock(&g_tree_lock);
    r = walk_cross(w, &up);
    if (r == 0)
        walk_to(w, up);
    else
        dentry_put(up);
    return r;
}

/*
 * Links in a pass-through mount are the host's: whoever may write the directory there chooses what
 * a program in the enclave opens. So a link leads to nothing that the host does not have anyway:
 * from it to the end of the path the walk stays in its mount, and in pass-through mounts below,
 * as with RESOLVE_IN_ROOT at the mount's root, the caller's own ".." behind it included.
 */
static void walk_confine(struct walk *w, const struct dentry *link)
{
    struct mount *m = link->mount;

    if (likely(!m || !m->super->confined) || (w->jail && w->jail->mount == m))
        return;
    if (w->jail)
        dentry_put(w->jail);
    w->jail = dentry_get(m->root);
}

/* Where "/" of a link's target is: a root inside the mount is nearer than the mount's. */
static struct dentry *walk_top(struct walk *w)
{
    return w->jail && w->root->mount != w->jail->mount ? w->jail : w->root;
}

/*
 * A confined link's absolute target that begins with the mount's own path means what it says, so
 * that links which programs make in their own volumes work: the rest of it, beginning with a slash.
 */
static const char *walk_target(struct walk *w, const char *target)
{
    const char *rest = NULL, *own;
    char *buf;

    if (*target != '/' || walk_top(w) == w->root)
        return target;
    buf = kmalloc(PATH_MAX);
    if (!buf)
        return target;
    own = dentry_path_below(w->jail, w->root, buf, PATH_MAX);
    if (!is_err(own))
        rest = path_behind(target, own);
    kfree(buf);
    return !rest ? target : *rest ? rest : "/";
}

/* Put a link's target in front of what is left. */
static int walk_push(struct walk *w, const char *target, size_t len)
{
    size_t rest_len = strlen(w->rest);
    char *joined;

    if (len == 0)
        return -ENOENT;
    joined = kmalloc(len + rest_len + 2);
    if (!joined)
        return -ENOMEM;
    memcpy(joined, target, len);
    joined[len] = '/';
    memcpy(joined + len + (rest_len || w->trailing_slash), w->rest, rest_len + 1);
    if (w->owned)
        kfree(w->owned);
    w->owned = joined;
    w->rest = joined;
    if (*joined == '/') {
        if (w->resolve & RESOLVE_BENEATH)
            return -EXDEV;
        walk_to(w, dentry_get(walk_top(w)));
    }
    return 0;
}

/* Follow link, an entry of w->at; w->rest is behind it. */
int walk_link(struct walk *w, struct dentry *link)
{
    struct inode *i = link->inode;
    const char *inside;
    char *target;
    ssize_t n;
    int r;

    if (++w->links > LINK_LIMIT || (w->resolve & RESOLVE_NO_SYMLINKS))
        return -ELOOP;
    if (dentry_mount_flags(link) & MS_NOSYMFOLLOW)
        return -ELOOP;
    if (w->no_host_links && link->mount && link->mount->super->untrusted)
        return -ELOOP;
    if (i->ops->follow) {
        struct dentry *d;

        if (w->resolve & RESOLVE_NO_MAGICLINKS)
            return -ELOOP;
        r = i->ops->follow(i, &d);
        if (r < 0)
            return r;
        if (w->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) {
            dentry_put(d);
            return -EXDEV;
        }
        w->magic = true;
        walk_to(w, d);
        return 0;
    }
    if (!i->ops->readlink)
        return -EINVAL;
    target = kmalloc(PATH_MAX);
    if (!target)
        return -ENOMEM;
    n = i->ops->readlink(i, target, PATH_MAX);
    r = n < 0 ? (int)n : n >= PATH_MAX ? -ENAMETOOLONG : 0;
    if (r == 0) {
        target[n] = 0;
        walk_confine(w, link);
        inside = walk_target(w, target);
        r = walk_push(w, inside, strlen(inside));
    }
    kfree(target);
    return r;
}

/* The next component: false at the end. Leaves w->rest at the slashes behind it or, when nothing
 * but slashes follows, at the end. */
static bool next_component(struct walk *w)
{
    const char *p = w->rest, *end;

    while (*p == '/')
        p++;
    for (end = p; *end && *end != '/'; end++)
        ;
    w->last = p;
    w->last_len = (size_t)(end - p);
    w->trailing_slash = *end == '/';
    while (*end == '/')
        end++;
    w->rest = end;
    return w->last_len != 0;
}

static inline bool is_dot(const struct walk *w)
{
    return w->last_len == 1 && w->last[0] == '.';
}
static inline bool is_dotdot(const struct walk *w)
{
    return w->last_len == 2 && w->last[0] == '.' && w->last[1] == '.';
}

static int may_search(struct dentry *d)
{
    if (unlikely(!d->inode))
        return -ENOENT;
    if (unlikely(!S_ISDIR(d->inode->mode)))
        return -ENOTDIR;
    return inode_permission(d->inode, MAY_EXEC);
}

/* One step to w->last; follow: also when it is a link. */
int walk_step(struct walk *w, bool follow)
{
    struct dentry *child;
    int r = may_search(w->at);

    if (unlikely(r < 0))
        return r;
    if (unlikely(is_dot(w)))
        return 0;
    if (unlikely(is_dotdot(w)))
        return walk_dotdot(w);
    r = dentry_child(w->at, w->last, w->last_len, &child);
    if (unlikely(r < 0))
        return r;
    if (unlikely(!child->inode)) {
        dentry_put(child);
        return -ENOENT;
    }
    r = walk_cross(w, &child);
    if (unlikely(r < 0)) {
        dentry_put(child);
        return r;
    }
    if (S_ISLNK(child->inode->mode) && follow) {
        r = walk_link(w, child);
        dentry_put(child);
        return r < 0 ? r : 1;
    }
    walk_to(w, child);
    return 0;
}

int walk_full(struct walk *w, u32 flags)
{
    bool slash = false;
    int r;

    while (next_component(w)) {
        bool final = *w->rest == 0;

        if (final)
            slash = w->trailing_slash;
        r = walk_step(w, !final || slash || !(flags & LOOKUP_NOFOLLOW));
        if (r < 0)
            return r;
    }
    if ((slash || (flags & LOOKUP_DIRECTORY)) && !S_ISDIR(w->at->inode->mode))
        return -ENOTDIR;
    return 0;
}

int walk_parent(struct walk *w)
{
    int r;

    w->magic = false;
    while (next_component(w)) {
        if (*w->rest == 0)
            return may_search(w->at);
        r = walk_step(w, true);
        if (r < 0)
            return r;
    }
    return 0; /* "/" alone: last_len is 0 */
}

int path_parent(int dirfd, const char *path, struct walk *w, int dot_error)
{
    int r = walk_begin(w, dirfd, path, 0);

    if (r == 0)
        r = walk_parent(w);
    if (r == 0 && (w->last_len == 0 || is_dot(w) || is_dotdot(w)))
        r = dot_error;
    if (r == 0 && w->last_len > NAME_LIMIT)
        r = -ENAMETOOLONG;
    if (r < 0)
        walk_end(w);
    return r;
}

static int lookup_in(struct fs_context *fs, int dirfd, const char *path, u32 flags,
                     struct dentry **out)
{
    struct walk w;
    int r;

    if (*path == 0 && !(flags & LOOKUP_EMPTY))
        return -ENOENT;
    r = walk_begin_in(&w, fs, dirfd, path, flags & LOOKUP_NO_MAGIC ? RESOLVE_NO_MAGICLINKS : 0);
    w.no_host_links = (flags & LOOKUP_NO_HOST_LINKS) != 0;
    if (r == 0)
        r = walk_full(&w, flags);
    if (r == 0) {
        *out = w.at;
        w.at = NULL;
    }
    walk_end(&w);
    return r;
}

int path_lookup(int dirfd, const char *path, u32 flags, struct dentry **out)
{
    struct process *p = fs_process();

    return lookup_in(p ? p->fs : NULL, dirfd, path, flags, out);
}

int fs_context_chdir(struct fs_context *c, const char *path)
{
    struct dentry *d, *old;
    int r = lookup_in(c, AT_FDCWD, path, LOOKUP_DIRECTORY, &d);

    if (r < 0)
        return r;
    mutex_lock(&c->lock);
    old = c->cwd;
    c->cwd = d;
    mutex_unlock(&c->lock);
    dentry_put(old);
    return 0;
}

/* ---- who may change a directory ---- */

int may_create(struct dentry *dir)
{
    if (dentry_readonly(dir))
        return -EROFS;
    if (dir->unlinked)
        return -ENOENT;
    return inode_permission(dir->inode, MAY_WRITE | MAY_EXEC);
}

int may_delete(struct dentry *dir, struct dentry *victim, bool is_dir)
{
    int r = may_create(dir);

    if (r < 0)
        return r;
    if ((dir->inode->mode & S_ISVTX) && victim->inode->uid != fs_uid() &&
        dir->inode->uid != fs_uid() && !fs_capable(CAP_FOWNER))
        return -EPERM;
    if (is_dir && !S_ISDIR(victim->inode->mode))
        return -ENOTDIR;
    if (!is_dir && S_ISDIR(victim->inode->mode))
        return -EISDIR;
    if (victim->mounted)
        return -EBUSY;
    return 0;
}
