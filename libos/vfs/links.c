/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program reads from a symbolic link of a pass-through mount. The walk keeps such links in
 * their mount (namei.c); but programs also resolve links themselves, as realpath(3) does, and open
 * what comes out. So readlink(2) says where the walk would go: a target that stays inside is told
 * as it is, any other one as an absolute path below the mount.
 */
#include "vfs.h"

const char *path_behind(const char *path, const char *prefix)
{
    for (;;) {
        while (*prefix == '/')
            prefix++;
        if (!*prefix)
            return path;
        if (*path != '/')
            return NULL;
        while (*path == '/')
            path++;
        while (*prefix && *prefix != '/')
            if (*path++ != *prefix++)
                return NULL;
        if (*path && *path != '/')
            return NULL;
    }
}

struct component {
    const char *at;
    size_t len;
};

/* The next component that is not "."; false at the end. */
static bool component_next(struct component *c)
{
    const char *p = c->at + c->len;

    do {
        while (*p == '/')
            p++;
        c->at = p;
        while (*p && *p != '/')
            p++;
        c->len = (size_t)(p - c->at);
    } while (c->len == 1 && c->at[0] == '.');
    return c->len != 0;
}

static bool component_is_up(const struct component *c)
{
    return c->len == 2 && c->at[0] == '.' && c->at[1] == '.';
}

/* ".." at the beginning, `up` times at the most, and nowhere else: behind a name it might be
 * another link's. */
static bool stays_below(const char *target, size_t up)
{
    struct component c = {target, 0};
    bool named = false;

    while (component_next(&c)) {
        if (!component_is_up(&c))
            named = true;
        else if (named || up-- == 0)
            return false;
    }
    return true;
}

static size_t components_of(const char *path)
{
    struct component c = {path, 0};
    size_t n = 0;

    while (component_next(&c))
        n++;
    return n;
}

/* Where "/" is for links of m, as the current process sees it: "" for its own root in there. */
static char *top_of(struct mount *m, char *buf)
{
    struct process *p = fs_process();
    bool inside = false;
    char *path;

    if (p && p->fs) {
        mutex_lock(&p->fs->lock);
        inside = p->fs->root->mount == m;
        mutex_unlock(&p->fs->lock);
    }
    if (inside) {
        *buf = 0;
        return buf;
    }
    path = dentry_path(m->root, buf, PATH_MAX);
    if (is_err(path))
        return path;
    return *path == '/' ? path + (path[1] == 0) : err_ptr(-EACCES);
}

/* out (PATH_MAX, *n bytes used) gets the components of path; ".." ends at `floor`. */
static int append_clamped(char *out, size_t *n, size_t floor, const char *path)
{
    struct component c = {path, 0};

    while (component_next(&c)) {
        if (component_is_up(&c)) {
            while (*n > floor && out[--*n] != '/')
                ;
            continue;
        }
        if (*n + c.len + 2 > PATH_MAX)
            return -ENAMETOOLONG;
        out[(*n)++] = '/';
        memcpy(out + *n, c.at, c.len);
        *n += c.len;
    }
    return 0;
}

/* target (PATH_MAX bytes) in, what is told out. room: three times PATH_MAX. */
static ssize_t confine_text(struct dentry *link, char *target, char *room)
{
    char *out = room, *top = top_of(link->mount, room + PATH_MAX), *dir;
    const char *from = "", *rest = target; /* rest is relative to from, that to top */
    size_t n, floor;
    int r;

    if (is_err(top))
        return ptr_err(top);
    if (*target == '/') {
        rest = path_behind(target, top);
        if (rest && stays_below(rest, 0))
            return (ssize_t)strlen(target);
        rest = rest ? rest : target;
    } else {
        dir = dentry_path(link->parent, room + 2 * PATH_MAX, PATH_MAX);
        from = is_err(dir) || *dir != '/' ? NULL : path_behind(dir, top);
        if (!from)
            return -EACCES;
        if (stays_below(target, components_of(from)))
            return (ssize_t)strlen(target);
    }
    n = floor = strlcpy(out, top, PATH_MAX);
    r = append_clamped(out, &n, floor, from);
    if (r == 0)
        r = append_clamped(out, &n, floor, rest);
    if (r < 0)
        return r;
    if (n == 0)
        out[n++] = '/';
    memcpy(target, out, n);
    return (ssize_t)n;
}

ssize_t link_text(struct dentry *link, char *buf, size_t size)
{
    struct inode *i = link->inode;
    char *target;
    ssize_t n;

    if (!link->mount || !link->mount->super->confined)
        return i->ops->readlink(i, buf, size);
    target = kmalloc(4 * PATH_MAX);
    if (!target)
        return -ENOMEM;
    n = i->ops->readlink(i, target, PATH_MAX);
    if (n >= PATH_MAX)
        n = -ENAMETOOLONG;
    if (n >= 0) {
        target[n] = 0;
        n = confine_text(link, target, target + PATH_MAX);
    }
    if (n > 0) {
        n = (ssize_t)MIN((size_t)n, size);
        memcpy(buf, target, (size_t)n);
    }
    kfree(target);
    return n;
}

void link_stat(struct dentry *link, struct kstat *st)
{
    char *buf;
    ssize_t n;

    if (!S_ISLNK(st->mode) || !link->mount || !link->mount->super->confined)
        return;
    buf = kmalloc(PATH_MAX);
    n = buf ? link_text(link, buf, PATH_MAX) : -ENOMEM;
    if (n >= 0)
        st->size = (u64)n;
    kfree(buf);
}
