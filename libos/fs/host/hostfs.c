/* SPDX-License-Identifier: Apache-2.0 */
#include "hostfs.h"
#include "locks.h"
#include "manifest.h"
#include "mm.h"

#define NS 1000000000ll

static const struct inode_ops g_host_ops;

/* Path below the mount's descriptor into buf (PATH_MAX). */
static int host_path(struct host_inode *h, char *buf)
{
    char *p = buf + PATH_MAX - 1;
    struct host_super *s = host_super_of(&h->i);
    int r = 0;

    *p = 0;
    mutex_lock(&s->lock);
    for (; h->parent; h = h->parent) {
        size_t n = strlen(h->name);

        if ((size_t)(p - buf) < n + 1) {
            r = -ENAMETOOLONG;
            break;
        }
        if (*p)
            *--p = '/';
        p -= n;
        memcpy(p, h->name, n);
    }
    mutex_unlock(&s->lock);
    memmove(buf, p, strlen(p) + 1);
    return r;
}

/* How the host is asked for an inode, until place_end(): by a descriptor of it and no path, or by a
 * path below the mount's. */
struct place {
    struct host_inode *open; /* its opens_lock is held */
    char *path;
    hostfd dir;
};

static int place_begin(struct place *p, struct host_inode *h)
{
    int r;

    *p = (struct place){.path = kmalloc(PATH_MAX), .dir = host_super_of(&h->i)->fd};
    if (!p->path)
        return -ENOMEM;
    mutex_lock(&h->opens_lock);
    if (!list_empty(&h->opens)) {
        p->open = h;
        p->dir = container_of(h->opens.next, struct host_open, link)->fd;
        *p->path = 0;
        return 0;
    }
    mutex_unlock(&h->opens_lock);
    r = host_path(h, p->path);
    if (r < 0)
        kfree(p->path);
    return r;
}

static void place_end(struct place *p)
{
    if (p->open)
        mutex_unlock(&p->open->opens_lock);
    kfree(p->path);
}

static int child_path(struct host_inode *dir, const char *name, size_t len, char *buf)
{
    size_t n;
    int r = host_path(dir, buf);

    if (r < 0)
        return r;
    n = strlen(buf);
    if (n + len + 2 > PATH_MAX)
        return -ENAMETOOLONG;
    if (n)
        buf[n++] = '/';
    memcpy(buf + n, name, len);
    buf[n + len] = 0;
    return 0;
}

/* ---- inodes ---- */

static i64 time_of(i64 sec, u32 nsec)
{
    if (sec > INT64_MAX / NS - 1 || sec < INT64_MIN / NS + 1)
        return 0;
    return sec * NS + (nsec < NS ? nsec : 0);
}

static void take_facts(struct inode *i, const struct host_stat *st)
{
    i->mode = (i->mode & S_IFMT) | (st->mode & 07777);
    if (host_super_of(i)->hosts) /* nobody is kept from it */
        i->mode |= 0444;
    i->uid = st->uid;
    i->gid = st->gid;
    i->nlink = (u32)MIN(st->nlink, UINT32_MAX);
    i->size = MIN(st->size, (u64)INT64_MAX);
    i->rdev = st->rdev;
    i->atime = time_of(st->atime_sec, st->atime_nsec);
    i->mtime = time_of(st->mtime_sec, st->mtime_nsec);
    i->ctime = time_of(st->ctime_sec, st->ctime_nsec);
}

static u64 identity(u64 dev, u64 ino)
{
    return ino * 0x9e3779b97f4a7c15ull ^ dev;
}

static void leave_tree(struct host_inode *h)
{
    if (h->in_tree)
        rb_erase(&host_super_of(&h->i)->inodes, &h->node);
    h->in_tree = false;
}

/* s->lock held. Found again under another name: that name is as good. */
static void set_place(struct host_inode *h, struct host_inode *parent, const char *name, size_t len,
                      struct host_inode **old)
{
    char *copy;

    *old = NULL;
    if (h->parent == parent && h->name && strncmp(h->name, name, len) == 0 && h->name[len] == 0)
        return;
    copy = kstrndup(name, len);
    if (!copy)
        return;
    kfree(h->name);
    h->name = copy;
    *old = h->parent;
    inode_get(&parent->i);
    h->parent = parent;
}

static struct host_inode *inode_make(struct host_super *s, const struct host_stat *st)
{
    struct host_inode *h = kzalloc(sizeof(*h));

    if (!h)
        return NULL;
    inode_init(&h->i, &s->s, &g_host_ops, st->mode);
    h->host_dev = st->dev;
    h->host_ino = st->ino;
    h->i.ino = st->ino;
    h->map_fd = no_hostfd(-1);
    list_init(&h->opens);
    return h;
}

static int inode_for(struct host_inode *dir, const char *name, size_t len,
                     const struct host_stat *st, struct inode **out)
{
    struct host_super *s = host_super_of(&dir->i);
    struct host_inode *h = NULL, *old;
    struct rb_node *n;

    mutex_lock(&s->lock);
    n = rb_find(&s->inodes, identity(st->dev, st->ino));
    if (n) {
        struct host_inode *k = container_of(n, struct host_inode, node);

        if (k->host_dev == st->dev && k->host_ino == st->ino &&
            (k->i.mode & S_IFMT) == (st->mode & S_IFMT) && ref_get_live(&k->i.refs))
            h = k;
        else
            leave_tree(k); /* another file by now */
    }
    if (!h) {
        h = inode_make(s, st);
        if (!h) {
            mutex_unlock(&s->lock);
            return -ENOMEM;
        }
        h->node.key = identity(st->dev, st->ino);
        h->in_tree = rb_insert(&s->inodes, &h->node) == 0;
    }
    for (struct host_inode *up = dir; up; up = up->parent) {
        if (up == h) { /* a host that says that a directory is in itself */
            mutex_unlock(&s->lock);
            inode_put(&h->i);
            return -EIO;
        }
    }
    set_place(h, dir, name, len, &old);
    take_facts(&h->i, st);
    mutex_unlock(&s->lock);
    if (old)
        inode_put(&old->i);
    *out = &h->i;
    return 0;
}

static void host_destroy_one(struct host_inode *h)
{
    if (hostfd_ok(h->map_fd))
        host_close(h->map_fd);
    host_drop_locks(&h->i, NULL);
    kfree(h->name);
    kfree(h);
}

/* An inode holds its parent. How deep they lie is the host's word: a loop, not one call in the
 * other. */
static void host_destroy(struct inode *i)
{
    struct host_super *s = host_super_of(i);

    while (i) {
        struct host_inode *h = host_of(i);

        mutex_lock(&s->lock);
        leave_tree(h);
        i = h->parent ? &h->parent->i : NULL;
        mutex_unlock(&s->lock);
        host_destroy_one(h);
        if (i && !ref_put(&i->refs))
            i = NULL;
        if (i)
            inode_forget(i);
    }
}

int host_refresh(struct host_inode *h, struct host_stat *st)
{
    struct place p;
    int r = place_begin(&p, h);

    if (r < 0)
        return r;
    r = host_stat(p.dir, p.path, false, st);
    place_end(&p);
    if (r == 0 && (st->dev != h->host_dev || st->ino != h->host_ino))
        r = -ESTALE;
    if (r == 0)
        take_facts(&h->i, st);
    return r;
}

hostfd host_open_inode(struct host_inode *h, int flags, struct host_stat *st)
{
    struct host_stat opened;
    struct place p;
    int r = place_begin(&p, h);

    if (r < 0)
        return no_hostfd(r);
    hostfd fd = host_open(p.dir, p.path, flags | (*p.path ? O_NOFOLLOW : 0) | O_CLOEXEC, 0);
    place_end(&p);
    if (!hostfd_ok(fd))
        return fd;
    r = host_stat(fd, "", true, &opened);
    if (r >= 0 && ((opened.mode & S_IFMT) != (h->i.mode & S_IFMT) || opened.dev != h->host_dev ||
                   opened.ino != h->host_ino))
        r = -ESTALE;
    if (r < 0) {
        host_close(fd);
        return no_hostfd(r);
    }
    if (st)
        *st = opened;
    return fd;
}

/* ---- attributes ---- */

static int host_getattr(struct inode *i, struct kstat *st)
{
    struct host_stat hs;
    int r = host_refresh(host_of(i), &hs);

    /* Removed meanwhile: what was known, as for an open file without a name. */
    if (r < 0 && r != -ENOENT && r != -ESTALE && !host_super_of(i)->hosts)
        return r;
    *st = (struct kstat){
        .dev = i->super->dev,
        .ino = i->ino,
        .rdev = S_ISCHR(i->mode) || S_ISBLK(i->mode) ? i->rdev : 0,
        .size = i->size,
        .blocks = r == 0 ? hs.blocks : 0,
        .mode = i->mode,
        .nlink = r == 0 ? i->nlink : 0,
        .uid = i->uid,
        .gid = i->gid,
        .blksize = r == 0 && hs.blksize <= (1u << 24) ? (u32)hs.blksize : PAGE_SIZE,
        .atime = i->atime,
        .mtime = i->mtime,
        .ctime = i->ctime,
        .btime = i->ctime,
    };
    if (host_super_of(i)->hosts)
        st->size = hosts_size(host_of(i));
    return 0;
}

static void split_time(i64 t, i64 *sec, i64 *nsec)
{
    *sec = t >= 0 ? t / NS : -((-t + NS - 1) / NS);
    *nsec = t - *sec * NS;
}

static int set_size(struct inode *i, u64 size)
{
    hostfd fd = host_open_inode(host_of(i), O_WRONLY, NULL);

    if (!hostfd_ok(fd))
        return fd.n;
    int r = host_ftruncate(fd, size);
    host_close(fd);
    if (r == 0)
        i->size = size;
    return r;
}

static int set_attributes(struct inode *i, const struct setattr *a)
{
    struct place p;
    int r = a->valid & SETATTR_SIZE ? set_size(i, a->size) : 0;

    if (r < 0)
        return r;
    r = place_begin(&p, host_of(i));
    if (r < 0)
        return r;
    if (a->valid & (SETATTR_UID | SETATTR_GID))
        r = host_chown(p.dir, p.path, a->valid & SETATTR_UID ? a->uid : (u32)-1,
                       a->valid & SETATTR_GID ? a->gid : (u32)-1, false);
    if (r == 0 && (a->valid & SETATTR_MODE))
        r = host_chmod(p.dir, p.path, a->mode);
    if (r == 0 && (a->valid & (SETATTR_ATIME | SETATTR_MTIME)) && !(a->valid & SETATTR_SIZE)) {
        i64 times[4] = {0, 0x3ffffffe, 0, 0x3ffffffe}; /* UTIME_OMIT */

        if (a->valid & SETATTR_ATIME)
            split_time(a->atime, &times[0], &times[1]);
        if (a->valid & SETATTR_MTIME)
            split_time(a->mtime, &times[2], &times[3]);
        r = host_utimens(p.dir, p.path, times, false);
    }
    place_end(&p);
    if (r == 0)
        setattr_copy(i, a);
    return r;
}

static int host_setattr(struct inode *i, const struct setattr *a)
{
    u64 before = i->size;
    struct own_change own;
    int r;

    own_begin(&own, host_of(i), OWN_OPENED | IN_ATTRIB | IN_MODIFY);
    r = set_attributes(i, a);
    own_end(&own);
    /* Not within: who has a page of the file come holds its memory, and waits for its own change to
     * begin. */
    if ((a->valid & SETATTR_SIZE) && i->size < before)
        mm_cut_file(i, i->size);
    return r;
}

/* ---- names; the directory's lock is held ---- */

static int host_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct host_stat st;
    char *path = kmalloc(PATH_MAX);
    int r;

    if (!path)
        return -ENOMEM;
    r = child_path(host_of(dir), name, len, path);
    if (r == 0)
        r = host_stat(host_super_of(dir)->fd, path, false, &st);
    if (r >= 0)
        r = inode_for(host_of(dir), name, len, &st, out);
    kfree(path);
    return r;
}

/* A new file belongs to whom the creating process is; the host made it as our runtime's user. */
static void give_to_caller(struct inode *dir, const char *path, u32 mode)
{
    struct inode owner = {.mode = mode};

    inode_init_owner(&owner, dir);
    if (host_chown(host_super_of(dir)->fd, path, owner.uid, owner.gid, false) < 0)
        log_debug("pass-through: the host refuses to change an owner");
}

static int host_create(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev,
                       struct inode **out)
{
    struct own_change own;
    hostfd fd = host_super_of(dir)->fd;
    int r;
    char *path = kmalloc(PATH_MAX);

    if (!path)
        return -ENOMEM;
    own_begin_names(&own, OWN_MADE, NULL, dir, name, len, NULL, NULL, 0);
    r = child_path(host_of(dir), name, len, path);
    if (r == 0 && (S_ISCHR(mode) || S_ISBLK(mode)))
        r = -EPERM; /* none works here */
    if (r == 0 && S_ISDIR(mode)) {
        r = host_mkdir(fd, path, mode & 07777);
    } else if (r == 0 && S_ISREG(mode)) {
        hostfd made = host_open(fd, path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
                                mode & 07777);
        r = hostfd_ok(made) ? host_close(made) : made.n;
    } else if (r == 0) {
        r = host_mknod(fd, path, mode, rdev);
    }
    if (r >= 0) {
        give_to_caller(dir, path, mode);
        host_chmod(fd, path, mode & 07777); /* the runtime's own umask cut it */
        r = host_lookup(dir, name, len, out);
    }
    own_end(&own);
    kfree(path);
    return r;
}

/* A socket's name: what binds it is the socket of the host that the caller makes for it. */
static int host_bind_in(struct inode *dir, const char *name, size_t len, u32 mode,
                        struct socket_binding *b, struct inode **out)
{
    struct own_change own;
    hostfd fd = host_super_of(dir)->fd, outer = no_hostfd(-1);
    int r;
    char *path = kmalloc(PATH_MAX);

    if (!path)
        return -ENOMEM;
    r = child_path(host_of(dir), name, len, path);
    if (r == 0) {
        outer = b->make(b);
        r = MIN(outer.n, 0);
    }
    own_begin_names(&own, OWN_MADE, NULL, dir, name, len, NULL, NULL, 0);
    if (r >= 0)
        r = host_bind_path(outer, fd, path, b->text);
    if (r >= 0) {
        give_to_caller(dir, path, mode);
        host_chmod(fd, path, mode & 07777);
        r = host_lookup(dir, name, len, out);
    }
    own_end(&own);
    kfree(path);
    return r;
}

static int host_symlink_in(struct inode *dir, const char *name, size_t len, const char *target,
                           struct inode **out)
{
    struct own_change own;
    char *path = kmalloc(PATH_MAX);
    int r;

    if (!path)
        return -ENOMEM;
    own_begin_names(&own, OWN_MADE, NULL, dir, name, len, NULL, NULL, 0);
    r = child_path(host_of(dir), name, len, path);
    if (r == 0)
        r = host_symlink(target, host_super_of(dir)->fd, path);
    if (r >= 0) {
        give_to_caller(dir, path, S_IFLNK);
        r = host_lookup(dir, name, len, out);
    }
    own_end(&own);
    kfree(path);
    return r;
}

static int two_paths(struct host_inode *a, const char *a_name, size_t a_len, struct host_inode *b,
                     const char *b_name, size_t b_len, char **pa, char **pb)
{
    int r = -ENOMEM;

    *pa = kmalloc(PATH_MAX);
    *pb = kmalloc(PATH_MAX);
    if (*pa && *pb)
        r = a_name ? child_path(a, a_name, a_len, *pa) : host_path(a, *pa);
    if (r == 0)
        r = child_path(b, b_name, b_len, *pb);
    return r;
}

static int host_link_in(struct inode *dir, const char *name, size_t len, struct inode *target)
{
    hostfd fd = host_super_of(dir)->fd;
    int r;
    struct own_change own;
    char *old, *new;

    own_begin_names(&own, OWN_MADE, target, dir, name, len, NULL, NULL, 0);
    r = two_paths(host_of(target), NULL, 0, host_of(dir), name, len, &old, &new);
    if (r == 0)
        r = host_link(fd, old, fd, new);
    own_end(&own);
    kfree(old);
    kfree(new);
    return r < 0 ? r : 0;
}

static int host_unlink_in(struct inode *dir, const char *name, size_t len, struct inode *victim,
                          bool is_dir)
{
    struct own_change own;
    char *path = kmalloc(PATH_MAX);
    int r;

    if (!path)
        return -ENOMEM;
    own_begin_names(&own, IN_DELETE | IN_ATTRIB, victim, dir, name, len, NULL, NULL, 0);
    r = child_path(host_of(dir), name, len, path);
    if (r == 0)
        r = host_unlink(host_super_of(dir)->fd, path, is_dir);
    own_end(&own);
    kfree(path);
    if (r == 0)
        victim->nlink = is_dir || victim->nlink == 0 ? 0 : victim->nlink - 1;
    return r < 0 ? r : 0;
}

static int host_rename_in(struct inode *old_dir, const char *old_name, size_t old_len,
                          struct inode *new_dir, const char *new_name, size_t new_len, u32 flags)
{
    struct host_super *s = host_super_of(old_dir);
    struct own_change own;
    struct inode *moved;
    char *old, *new;
    int r;

    own_begin_names(&own, IN_MOVE | IN_MOVE_SELF, NULL, old_dir, old_name, old_len, new_dir,
                    new_name, new_len);
    r = two_paths(host_of(old_dir), old_name, old_len, host_of(new_dir), new_name, new_len, &old,
                  &new);
    if (r == 0)
        r = host_rename(s->fd, old, s->fd, new, flags);
    own_end(&own);
    kfree(old);
    kfree(new);
    if (r < 0)
        return r;
    /* What was moved finds its new place by a lookup of its new name. */
    if (host_lookup(new_dir, new_name, new_len, &moved) == 0)
        inode_put(moved);
    if ((flags & 2) && host_lookup(old_dir, old_name, old_len, &moved) == 0)
        inode_put(moved);
    return 0;
}

static ssize_t host_readlink_of(struct inode *i, char *buf, size_t size)
{
    char *path = kmalloc(PATH_MAX);
    ssize_t r;

    if (!path)
        return -ENOMEM;
    r = host_path(host_of(i), path);
    if (r == 0)
        r = host_readlink(host_super_of(i)->fd, path, buf, size);
    kfree(path);
    return r;
}

static const struct inode_ops g_host_ops = {
    .lookup = host_lookup,
    .create = host_create,
    .bind = host_bind_in,
    .symlink = host_symlink_in,
    .link = host_link_in,
    .unlink = host_unlink_in,
    .rename = host_rename_in,
    .readlink = host_readlink_of,
    .getattr = host_getattr,
    .setattr = host_setattr,
    .open = hostfs_open,
    .read_page = hostfs_read_page,
    .write_page = hostfs_write_page,
    .destroy = host_destroy,
};

/* /etc/hosts: no pages to map. */
static const struct inode_ops g_hosts_ops = {
    .getattr = host_getattr,
    .setattr = host_setattr,
    .open = hosts_open,
    .destroy = host_destroy,
};

/* ---- mounting ---- */

static int host_statfs_of(struct super *super, struct host_statfs *out)
{
    struct host_super *s = container_of(super, struct host_super, s);

    return host_statfs(s->fd, out);
}

static void host_super_destroy(struct super *super)
{
    struct host_super *s = container_of(super, struct host_super, s);

    host_close(s->fd);
    kfree(s);
}

struct super *hostfs_create(hostfd hfd, u32 flags)
{
    bool is_file = (flags & MANIFEST_MOUNT_IS_FILE) != 0;
    struct host_super *s = kzalloc(sizeof(*s));
    struct host_inode *root;
    struct host_stat st;
    int r;

    if (!s)
        return err_ptr(-ENOMEM);
    r = host_stat(hfd, "", false, &st);
    if (r >= 0 && S_ISDIR(st.mode) == is_file)
        r = is_file ? -EISDIR : -ENOTDIR;
    if (r >= 0 && S_ISLNK(st.mode)) /* a descriptor is none: a link would name a place outside */
        r = -ELOOP;
    root = r >= 0 ? inode_make(s, &st) : NULL;
    if (!root) {
        kfree(s);
        return err_ptr(r < 0 ? r : -ENOMEM);
    }
    s->s.type = "hostfs"; /* untrusted: programs that look at /proc/mounts can see it */
    s->s.magic = 0x00c0ffee;
    s->s.dev = super_new_dev();
    /* Files of the host give nobody rights, and none of its devices is one of the enclave's. */
    s->s.flags = MS_NOSUID | MS_NODEV | (flags & MANIFEST_MOUNT_READONLY ? MS_RDONLY : 0) |
                 (flags & MANIFEST_MOUNT_INSECURE_EXEC ? 0 : MS_NOEXEC);
    s->s.revalidate = true;
    s->s.untrusted = true;
    s->s.confined = !(flags & MANIFEST_MOUNT_INSECURE_LINKS);
    s->s.statfs = host_statfs_of;
    s->s.destroy = host_super_destroy;
    s->fd = hfd;
    take_facts(&root->i, &st);
    s->s.root = &root->i;
    return &s->s;
}

int hostfs_keep_localhost(struct super *super)
{
    struct host_super *s = container_of(super, struct host_super, s);

    if (!S_ISREG(super->root->mode))
        return -EINVAL;
    s->hosts = true;
    super->root->ops = &g_hosts_ops;
    super->root->mode |= 0444;
    return 0;
}
