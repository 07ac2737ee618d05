/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes and file systems in memory: tmpfs, memfd, and what the sealed root becomes when written
 * to. */
#include "memfs.h"
#include "mm.h"

#include <linux/magic.h>
#include <linux/xattr.h>

#define NEW_INO_START         (1ull << 32) /* above every inode number of an image */
#define INODE_LIMIT_UNLIMITED (1ull << 40)

static const struct inode_ops *ops_of(u32 mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return &g_mem_dir_ops;
    case S_IFREG:
        return &g_mem_file_ops;
    case S_IFLNK:
        return &g_mem_link_ops;
    default:
        return &g_mem_special_ops;
    }
}

static struct mem_inode *inode_raw(struct mem_super *s, u32 mode)
{
    struct mem_inode *m = kzalloc(sizeof(*m));

    if (!m)
        return NULL;
    inode_init(&m->i, &s->s, ops_of(mode), mode);
    __atomic_add_fetch(&s->inodes, 1, __ATOMIC_RELAXED);
    return m;
}

struct mem_inode *mem_inode_new(struct mem_super *s, u32 mode)
{
    struct mem_inode *m;

    if (s->inode_limit && __atomic_load_n(&s->inodes, __ATOMIC_RELAXED) >= s->inode_limit)
        return NULL;
    m = inode_raw(s, mode);
    if (!m)
        return NULL;
    m->i.ino = __atomic_fetch_add(&s->next_ino, 1, __ATOMIC_RELAXED);
    m->xattrs_loaded = true;
    if (S_ISDIR(mode)) {
        m->i.nlink = 2;
        m->i.size = 40;
        m->dir.loaded = true;
    }
    return m;
}

/* ---- the image's inodes ---- */

static struct mem_inode *inode_of_image(struct mem_super *s, const struct erofs_inode *e)
{
    struct mem_inode *m = inode_raw(s, e->mode);

    if (!m)
        return NULL;
    m->backing = kmalloc(sizeof(*e));
    if (!m->backing) {
        kfree(m);
        __atomic_sub_fetch(&s->inodes, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    *m->backing = *e;
    m->i.ino = e->nid;
    m->i.nid = e->nid;
    m->i.rdev = e->rdev;
    m->i.size = e->size;
    m->i.nlink = e->nlink;
    m->i.uid = e->uid;
    m->i.gid = e->gid;
    m->i.atime = m->i.mtime = m->i.ctime = e->mtime;
    if (S_ISREG(e->mode))
        m->data.backing_end = e->size;
    return m;
}

int mem_inode_from_image(struct mem_super *s, u64 nid, struct inode **out)
{
    struct erofs_inode e;
    struct mem_inode *m;
    struct rb_node *n;
    int r;

    mutex_lock(&s->lock);
    n = rb_find(&s->by_nid, nid);
    if (n && ref_get_live(&container_of(n, struct mem_inode, by_nid)->i.refs)) {
        *out = &container_of(n, struct mem_inode, by_nid)->i;
        mutex_unlock(&s->lock);
        return 0;
    }
    r = erofs_inode_read(s->erofs, nid, &e);
    m = r == 0 ? inode_of_image(s, &e) : NULL;
    if (m && !n && e.nlink > 1 && !S_ISDIR(e.mode)) { /* other names lead here */
        m->by_nid.key = nid;
        m->shared_nid = rb_insert(&s->by_nid, &m->by_nid) == 0;
    }
    mutex_unlock(&s->lock);
    if (!m)
        return r < 0 ? r : -ENOMEM;
    *out = &m->i;
    return 0;
}

static void destroy_one(struct mem_inode *m, struct mem_inode **todo)
{
    struct inode *i = &m->i;
    struct mem_super *s = mem_super_of(i);

    if (m->shared_nid) {
        mutex_lock(&s->lock);
        rb_erase(&s->by_nid, &m->by_nid);
        mutex_unlock(&s->lock);
    }
    switch (i->mode & S_IFMT) {
    case S_IFDIR:
        mem_dir_free(&m->dir, todo);
        break;
    case S_IFREG:
        mem_data_free(m);
        break;
    case S_IFLNK:
        kfree(m->link);
        break;
    case S_IFIFO:
        fifo_destroy(i);
    }
    inode_forget(i);
    mem_xattrs_free(m);
    kfree(m->backing);
    kfree(m);
    __atomic_sub_fetch(&s->inodes, 1, __ATOMIC_RELAXED);
}

void mem_destroy(struct inode *i)
{
    struct mem_inode *todo = mem_of(i);

    todo->next_dead = NULL;
    while (todo) {
        struct mem_inode *m = todo;

        todo = m->next_dead;
        destroy_one(m, &todo);
    }
}

/* ---- attributes ---- */

int mem_getattr(struct inode *i, struct kstat *st)
{
    struct mem_inode *m = mem_of(i);

    inode_stat_plain(i, st);
    if (S_ISREG(i->mode))
        st->blocks = m->backing
                         ? MAX(m->data.pages * 8, (MIN(m->data.backing_end, i->size) + 511) / 512)
                         : m->data.pages * 8;
    else if (S_ISDIR(i->mode) && m->backing)
        st->blocks = (i->size + PAGE_SIZE - 1) / PAGE_SIZE * 8;
    return 0;
}

int mem_setattr(struct inode *i, const struct setattr *a)
{
    int r = 0;

    if (a->valid & SETATTR_SIZE) {
        if (!S_ISREG(i->mode))
            return S_ISDIR(i->mode) ? -EISDIR : -EINVAL;
        r = mem_resize(mem_of(i), a->size);
    }
    if (r == 0) {
        mutex_lock(&i->lock);
        setattr_copy(i, a);
        mutex_unlock(&i->lock);
    }
    return r;
}

/* ---- extended attributes ---- */

void mem_xattrs_free(struct mem_inode *m)
{
    while (m->xattrs) {
        struct mem_xattr *x = m->xattrs;

        m->xattrs = x->next;
        kfree(x->name);
        kfree(x);
    }
}

static int xattr_add(struct mem_inode *m, const char *name, const void *value, size_t size)
{
    struct mem_xattr *x = kmalloc(sizeof(*x) + size);

    if (!x)
        return -ENOMEM;
    x->name = kstrdup(name);
    if (!x->name) {
        kfree(x);
        return -ENOMEM;
    }
    x->size = size;
    memcpy(x->value, value, size);
    x->next = m->xattrs;
    m->xattrs = x;
    return 0;
}

/* Before the first change: all of the image's attributes into the list. */
static int xattrs_load(struct mem_inode *m)
{
    struct erofs *fs = mem_super_of(&m->i)->erofs;
    ssize_t total, size;
    char *names, *value;
    int r = 0;

    if (m->xattrs_loaded)
        return 0;
    total = erofs_listxattr(fs, m->backing, NULL, 0);
    if (total < 0)
        return total == -ENODATA || total == -EOPNOTSUPP ? (m->xattrs_loaded = true, 0)
                                                         : (int)total;
    names = kmalloc((size_t)total + 1);
    value = kmalloc(XATTR_SIZE_MAX);
    if (!names || !value)
        r = -ENOMEM;
    total = r == 0 ? erofs_listxattr(fs, m->backing, names, (size_t)total) : 0;
    for (char *p = names; r == 0 && p < names + total; p += strlen(p) + 1) {
        size = erofs_getxattr(fs, m->backing, p, value, XATTR_SIZE_MAX);
        r = size < 0 ? (int)size : xattr_add(m, p, value, (size_t)size);
    }
    kfree(names);
    kfree(value);
    if (r < 0)
        mem_xattrs_free(m);
    else
        m->xattrs_loaded = true;
    return r;
}

static struct mem_xattr **xattr_find(struct mem_inode *m, const char *name)
{
    struct mem_xattr **p = &m->xattrs;

    while (*p && strcmp((*p)->name, name) != 0)
        p = &(*p)->next;
    return p;
}

static bool xattr_supported(const char *name)
{
    return strncmp(name, XATTR_SYSTEM_PREFIX, XATTR_SYSTEM_PREFIX_LEN) != 0;
}

ssize_t mem_getxattr(struct inode *i, const char *name, void *buf, size_t size)
{
    struct mem_inode *m = mem_of(i);
    struct mem_xattr *x;
    ssize_t r;

    if (!xattr_supported(name))
        return -EOPNOTSUPP;
    mutex_lock(&i->lock);
    if (!m->xattrs_loaded) {
        r = erofs_getxattr(mem_super_of(i)->erofs, m->backing, name, buf, size);
    } else {
        x = *xattr_find(m, name);
        r = !x ? -ENODATA : size && x->size > size ? -ERANGE : (ssize_t)x->size;
        if (r > 0 && size)
            memcpy(buf, x->value, x->size);
    }
    mutex_unlock(&i->lock);
    return r;
}

int mem_setxattr(struct inode *i, const char *name, const void *buf, size_t size, int flags)
{
    struct mem_inode *m = mem_of(i);
    struct mem_xattr **p, *old = NULL;
    int r;

    if (!xattr_supported(name))
        return -EOPNOTSUPP;
    mutex_lock(&i->lock);
    r = xattrs_load(m);
    if (r == 0) {
        p = xattr_find(m, name);
        old = *p;
        if (old && (flags & XATTR_CREATE))
            r = -EEXIST;
        else if (!old && (flags & XATTR_REPLACE))
            r = -ENODATA;
        else if (old)
            *p = old->next;
    }
    if (r == 0) {
        r = xattr_add(m, name, buf, size);
        if (old && r == 0) {
            kfree(old->name);
            kfree(old);
        } else if (old) {
            old->next = m->xattrs;
            m->xattrs = old;
        }
        i->ctime = (i64)clock_realtime();
    }
    mutex_unlock(&i->lock);
    return r;
}

ssize_t mem_listxattr(struct inode *i, char *buf, size_t size)
{
    struct mem_inode *m = mem_of(i);
    size_t total = 0;
    ssize_t r = 0;

    mutex_lock(&i->lock);
    if (!m->xattrs_loaded) {
        r = erofs_listxattr(mem_super_of(i)->erofs, m->backing, buf, size);
        mutex_unlock(&i->lock);
        return r == -ENODATA ? 0 : r;
    }
    for (struct mem_xattr *x = m->xattrs; x; x = x->next) {
        size_t n = strlen(x->name) + 1;

        if (size && total + n > size) {
            r = -ERANGE;
            break;
        }
        if (size)
            memcpy(buf + total, x->name, n);
        total += n;
    }
    mutex_unlock(&i->lock);
    return r < 0 ? r : (ssize_t)total;
}

int mem_removexattr(struct inode *i, const char *name)
{
    struct mem_inode *m = mem_of(i);
    struct mem_xattr **p, *x;
    int r;

    mutex_lock(&i->lock);
    r = xattrs_load(m);
    if (r == 0) {
        p = xattr_find(m, name);
        x = *p;
        if (x) {
            *p = x->next;
            kfree(x->name);
            kfree(x);
            i->ctime = (i64)clock_realtime();
        } else {
            r = -ENODATA;
        }
    }
    mutex_unlock(&i->lock);
    return r;
}

/* ---- links, devices, fifos, sockets ---- */

static ssize_t mem_readlink(struct inode *i, char *buf, size_t size)
{
    struct mem_inode *m = mem_of(i);
    size_t n;

    if (!m->link)
        return erofs_readlink(mem_super_of(i)->erofs, m->backing, buf, size);
    n = MIN(size, (size_t)i->size);
    memcpy(buf, m->link, n);
    return (ssize_t)n;
}

const struct inode_ops g_mem_link_ops = {MEM_COMMON_OPS, .readlink = mem_readlink};
const struct inode_ops g_mem_special_ops = {MEM_COMMON_OPS};

/* ---- supers ---- */

/* Without a limit of its own a file system may fill what memory is left. */
static int mem_statfs(struct super *super, struct host_statfs *out)
{
    struct mem_super *s = container_of(super, struct mem_super, s);
    struct mm_totals m;
    u64 total, left;

    mm_totals(&m);
    total = m.total >> PAGE_SHIFT;
    left = m.free >> PAGE_SHIFT;
    if (s->page_limit != UINT64_MAX) {
        total = s->page_limit;
        left = MIN(left, total > s->pages ? total - s->pages : 0);
    }
    out->blocks = s->image_blocks + total;
    out->bfree = out->bavail = left;
    out->files = s->inode_limit ? s->inode_limit : s->image_inodes + total;
    out->ffree = s->inode_limit ? s->inode_limit - MIN(s->inodes, s->inode_limit) : left;
    return 0;
}

struct mem_super *mem_super_new(const char *type, u64 magic)
{
    struct mem_super *s = kzalloc(sizeof(*s));

    if (!s)
        return NULL;
    s->s.type = type;
    s->s.magic = magic;
    s->s.dev = super_new_dev();
    s->s.memory = true;
    s->s.statfs = mem_statfs;
    s->page_limit = UINT64_MAX;
    s->next_ino = 1;
    return s;
}

struct super *memfs_create(const char *type, u64 limit, u32 mode, u32 uid, u32 gid)
{
    struct mem_super *s = mem_super_new(type,
                                        strcmp(type, "mqueue") == 0 ? 0x19800202 : TMPFS_MAGIC);
    struct mem_inode *root = s ? mem_inode_new(s, S_IFDIR | (mode & 07777)) : NULL;

    if (!root) {
        kfree(s);
        return err_ptr(-ENOMEM);
    }
    if (limit)
        s->page_limit = PAGE_UP(limit) >> PAGE_SHIFT;
    root->i.uid = uid;
    root->i.gid = gid;
    s->s.root = &root->i;
    return &s->s;
}

void memfs_limit_inodes(struct super *super, u64 limit)
{
    container_of(super, struct mem_super, s)->inode_limit = limit;
}

struct super *memfs_mount(const char *type, const char *options)
{
    const char *size = mount_option(options, "size"), *mode = mount_option(options, "mode");
    const char *uid = mount_option(options, "uid"), *gid = mount_option(options, "gid");
    struct super *s;

    if (strcmp(type, "mqueue") == 0)
        return memfs_create("mqueue", 0, 01777, 0, 0);
    s = memfs_create(strcmp(type, "ramfs") == 0 ? "ramfs" : "tmpfs",
                     size ? mount_parse_size(size) : 0, mode ? mount_parse_octal(mode) : 01777,
                     uid ? (u32)mount_parse_size(uid) : fs_uid(),
                     gid ? (u32)mount_parse_size(gid) : fs_gid());
    if (!is_err(s))
        memfs_limit_inodes(s, mount_option_number(options, "nr_inodes"));
    return s;
}

struct super *memfs_over_image(struct erofs *fs)
{
    struct mem_super *s = mem_super_new("erofs", OVERLAYFS_SUPER_MAGIC);
    int r;

    if (!s)
        return err_ptr(-ENOMEM);
    s->s.type = "overlay"; /* what a writable root of a container is called elsewhere */
    s->erofs = fs;
    s->next_ino = NEW_INO_START;
    s->image_inodes = fs->inode_count;
    s->image_blocks = fs->blocks;
    r = mem_inode_from_image(s, fs->root_nid, &s->s.root);
    if (r < 0) {
        kfree(s);
        return err_ptr(r);
    }
    return &s->s;
}

int mem_tmpfile(struct inode *dir, u32 mode, struct inode **out)
{
    struct mem_inode *m = mem_inode_new(mem_super_of(dir), mode);

    if (!m)
        return -ENOSPC;
    inode_init_owner(&m->i, dir);
    m->i.nlink = 0;
    *out = &m->i;
    return 0;
}
