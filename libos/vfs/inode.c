/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes: life, attributes, and who may do what with them. */
#include "vfs.h"

void (*g_fs_notify)(struct inode *i, struct inode *dir, const char *name, size_t name_len, u32 mask,
                    u32 cookie);
static u64 g_next_dev = 0x20;

u64 super_new_dev(void)
{
    return __atomic_fetch_add(&g_next_dev, 1, __ATOMIC_RELAXED);
}

struct super *super_alloc(const char *type, u64 magic)
{
    struct super *s = kzalloc(sizeof(*s));

    if (s) {
        s->type = type;
        s->magic = magic;
        s->dev = super_new_dev();
    }
    return s;
}

void inode_init(struct inode *i, struct super *super, const struct inode_ops *ops, u32 mode)
{
    memset(i, 0, sizeof(*i));
    ref_init(&i->refs);
    i->super = super;
    i->ops = ops;
    i->mode = mode;
    i->nlink = 1;
    i->atime = i->mtime = i->ctime = (i64)clock_realtime();
    list_init(&i->shared_maps);
}

struct inode *inode_get(struct inode *i)
{
    ref_get(&i->refs);
    return i;
}

void inode_forget(struct inode *i)
{
    if (i->locks)
        locks_free(i);
    if (i->handle)
        handle_forget(i);
}

void inode_put(struct inode *i)
{
    if (i && ref_put(&i->refs)) {
        inode_forget(i);
        if (i->ops->destroy)
            i->ops->destroy(i);
        else
            kfree(i);
    }
}

/* ---- credentials ---- */

static const struct cred *cred_now(void)
{
    struct process *p = fs_process();

    return p ? &p->cred : NULL; /* NULL: the LibOS itself */
}

u32 fs_uid(void)
{
    const struct cred *c = cred_now();

    return c ? c->fsuid : 0;
}

u32 fs_gid(void)
{
    const struct cred *c = cred_now();

    return c ? c->fsgid : 0;
}

static bool has_capability(const struct cred *c, int cap)
{
    return !c || cred_capable(c, cap);
}

static bool has_group(const struct cred *c, u32 gid)
{
    return !c || cred_in_group(c, gid);
}

bool fs_capable(int cap)
{
    return has_capability(cred_now(), cap);
}

bool fs_in_group(u32 gid)
{
    return has_group(cred_now(), gid);
}

bool inode_owner_or_capable(struct inode *i)
{
    return fs_uid() == i->uid || fs_capable(CAP_FOWNER);
}

int inode_permission_as(const struct cred *c, struct inode *i, int mask)
{
    u32 mode = i->mode, bits;

    if (!c || c->fsuid == i->uid)
        bits = mode >> 6;
    else if (has_group(c, i->gid))
        bits = mode >> 3;
    else
        bits = mode;
    if (likely((mask & ~bits & 7) == 0))
        return 0;
    if (S_ISDIR(mode)) {
        if (has_capability(c, CAP_DAC_OVERRIDE))
            return 0;
        if (!(mask & MAY_WRITE) && has_capability(c, CAP_DAC_READ_SEARCH))
            return 0;
        return -EACCES;
    }
    if (mask == MAY_READ && has_capability(c, CAP_DAC_READ_SEARCH))
        return 0;
    if ((!(mask & MAY_EXEC) || (mode & 0111)) && has_capability(c, CAP_DAC_OVERRIDE))
        return 0;
    return -EACCES;
}

int inode_permission(struct inode *i, int mask)
{
    return inode_permission_as(cred_now(), i, mask);
}

u32 inode_mode_after_write(const struct inode *i)
{
    u32 mode = i->mode;

    if (likely((mode & (S_ISUID | S_ISGID)) == 0) || fs_capable(CAP_FSETID))
        return mode;
    if ((mode & 010) || !fs_in_group(i->gid))
        mode &= ~(u32)S_ISGID;
    return mode & ~(u32)S_ISUID;
}

void inode_init_owner(struct inode *i, const struct inode *dir)
{
    i->uid = fs_uid();
    i->gid = fs_gid();
    if (dir && (dir->mode & S_ISGID)) {
        i->gid = dir->gid;
        if (S_ISDIR(i->mode))
            i->mode |= S_ISGID;
        else if ((i->mode & (S_ISGID | 010)) == (S_ISGID | 010) && !fs_in_group(i->gid) &&
                 !fs_capable(CAP_FSETID))
            i->mode &= ~(u32)S_ISGID; /* no program of a group for who is not in it */
    }
}

/* ---- running programs ---- */

int inode_deny_write(struct inode *i)
{
    int r = 0;

    mutex_lock(&i->lock);
    if (i->writers > 0)
        r = -ETXTBSY;
    else
        i->writers--;
    mutex_unlock(&i->lock);
    return r;
}

void inode_allow_write(struct inode *i)
{
    mutex_lock(&i->lock);
    i->writers++;
    mutex_unlock(&i->lock);
}

/* ---- attributes ---- */

void inode_stat_plain(const struct inode *i, struct kstat *st)
{
    *st = (struct kstat){
        .dev = i->super ? i->super->dev : 0,
        .ino = i->ino,
        .rdev = i->rdev,
        .size = i->size,
        .mode = i->mode,
        .nlink = i->nlink,
        .uid = i->uid,
        .gid = i->gid,
        .blksize = PAGE_SIZE,
        .atime = i->atime,
        .mtime = i->mtime,
        .ctime = i->ctime,
        .btime = i->ctime,
    };
}

int inode_stat(struct inode *i, struct kstat *st)
{
    if (i->ops->getattr)
        return i->ops->getattr(i, st);
    inode_stat_plain(i, st);
    return 0;
}

void setattr_copy(struct inode *i, const struct setattr *a)
{
    if (a->valid & SETATTR_MODE)
        i->mode = (i->mode & S_IFMT) | (a->mode & 07777);
    if (a->valid & SETATTR_UID)
        i->uid = a->uid;
    if (a->valid & SETATTR_GID)
        i->gid = a->gid;
    if (a->valid & SETATTR_ATIME)
        i->atime = a->atime;
    if (a->valid & SETATTR_MTIME)
        i->mtime = a->mtime;
    i->ctime = (i64)clock_realtime();
}

int inode_setattr(struct inode *i, const struct setattr *a)
{
    if (i->ops->setattr)
        return i->ops->setattr(i, a);
    if (a->valid & SETATTR_SIZE)
        return -EINVAL;
    mutex_lock(&i->lock);
    setattr_copy(i, a);
    mutex_unlock(&i->lock);
    return 0;
}

/* ---- inotify ---- */

void notify_inode(struct dentry *d, u32 mask)
{
    struct dentry *parent;
    char name[NAME_LIMIT + 1];
    size_t len;

    if (likely(!g_fs_notify) || !d || !d->inode)
        return;
    if (d->unlinked)
        mask |= IN_EXCL_UNLINK;
    mutex_lock(&g_tree_lock);
    parent = d->parent == d ? NULL : dentry_get(d->parent);
    len = MIN(d->name_len, NAME_LIMIT);
    memcpy(name, d->name, len);
    mutex_unlock(&g_tree_lock);
    if (parent) {
        if (parent->inode)
            g_fs_notify(d->inode, parent->inode, name, len, mask, 0);
        dentry_put(parent);
    }
    g_fs_notify(d->inode, NULL, NULL, 0, mask, 0);
}

void notify_links(struct inode *i)
{
    if (unlikely(g_fs_notify))
        g_fs_notify(i, NULL, NULL, 0, IN_ATTRIB, 0);
}

void notify_entry(struct dentry *dir, const char *name, size_t len, struct inode *i, u32 mask,
                  u32 cookie)
{
    if (unlikely(g_fs_notify))
        g_fs_notify(i, dir->inode, name, len, mask, cookie);
}
