/* SPDX-License-Identifier: Apache-2.0 */
/* devpts: a node for each registered terminal, and ptmx. */
#include "tty.h"

#include <linux/magic.h>

struct pts_inode {
    struct inode i;
    u32 index;
    u64 id; /* of the terminal: its number is another's when it is gone */
};

static const struct inode_ops g_pts_ops;

struct tty *tty_of_device(struct inode *i)
{
    struct pts_inode *n = container_of(i, struct pts_inode, i);
    struct tty *t = tty_by_index(i->ops == &g_pts_ops ? n->index : TTY_DEV_MINOR(i->rdev));

    if (t && i->ops == &g_pts_ops && t->id != n->id) {
        tty_put(t);
        t = NULL;
    }
    return t;
}

static int pts_getattr(struct inode *i, struct kstat *st)
{
    struct tty *t = tty_of_device(i);

    inode_stat_plain(i, st);
    if (t) {
        st->mode = S_IFCHR | t->mode;
        st->uid = t->uid;
        st->gid = t->gid;
        tty_put(t);
    }
    return 0;
}

static int pts_setattr(struct inode *i, const struct setattr *a)
{
    struct tty *t = tty_of_device(i);

    if (!t)
        return -EIO;
    tty_setattr(t, a);
    i->mode = S_IFCHR | t->mode;
    i->uid = t->uid;
    i->gid = t->gid;
    tty_put(t);
    return a->valid & SETATTR_SIZE ? -EINVAL : 0;
}

static void pts_destroy(struct inode *i)
{
    kfree(container_of(i, struct pts_inode, i));
}

static const struct inode_ops g_pts_ops = {
    .getattr = pts_getattr, .setattr = pts_setattr, .destroy = pts_destroy};

static struct inode *pts_node(struct super *s, u64 ino, u32 mode, u64 rdev)
{
    struct pts_inode *n = kzalloc(sizeof(*n));

    if (!n)
        return NULL;
    inode_init(&n->i, s, &g_pts_ops, mode);
    n->i.ino = ino;
    n->i.rdev = rdev;
    n->index = UINT32_MAX;
    return &n->i;
}

static int devpts_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    u32 index = 0;
    struct tty *t;

    if (len == 4 && memcmp(name, "ptmx", 4) == 0) {
        *out = pts_node(dir->super, 2, S_IFCHR | 0666, TTY_DEV(5, 2));
        return *out ? 0 : -ENOMEM;
    }
    if (!len || len > 6 || (name[0] == '0' && len > 1))
        return -ENOENT;
    for (size_t k = 0; k < len; k++) {
        if (name[k] < '0' || name[k] > '9')
            return -ENOENT;
        index = index * 10 + (u32)(name[k] - '0');
    }
    t = tty_by_index(index);
    if (!t)
        return -ENOENT;
    *out = pts_node(dir->super, index + 3, S_IFCHR | t->mode, TTY_DEV(TTY_MAJOR_PTS, index));
    if (*out) {
        container_of(*out, struct pts_inode, i)->index = index;
        container_of(*out, struct pts_inode, i)->id = t->id;
        (*out)->uid = t->uid;
        (*out)->gid = t->gid;
        (*out)->atime = (*out)->mtime = (*out)->ctime = t->created;
    }
    tty_put(t);
    return *out ? 0 : -ENOMEM;
}

static int devpts_iterate(struct inode *dir, u64 pos, dirent_fn *fn, void *ctx)
{
    char name[16];

    if (pos == 0 && !fn(ctx, "ptmx", 4, 2, DT_CHR, 1))
        return 0;
    for (u64 k = pos ? pos - 1 : 0; k < 4096; k++) {
        struct tty *t = tty_by_index((u32)k);

        if (!t)
            continue;
        tty_put(t);
        snprintf(name, sizeof(name), "%u", (u32)k);
        if (!fn(ctx, name, strlen(name), k + 3, DT_CHR, k + 2))
            break;
    }
    return 0;
}

static const struct file_ops g_devpts_dir_ops = {.seek = inode_seek};
static int devpts_open(struct inode *i, struct file *f)
{
    f->ops = &g_devpts_dir_ops;
    return 0;
}
static const struct inode_ops g_devpts_dir = {
    .lookup = devpts_lookup, .iterate = devpts_iterate, .open = devpts_open};

static bool devpts_valid(struct dentry *d)
{
    struct tty *t = NULL;
    bool same = d->inode->rdev == TTY_DEV(5, 2) || (t = tty_of_device(d->inode)) != NULL;

    tty_put(t);
    return same;
}

struct super *devpts_create(u32 gid, u32 mode, u32 ptmx_mode)
{
    struct super *s = super_alloc("devpts", DEVPTS_SUPER_MAGIC);

    if (!s)
        return err_ptr(-ENOMEM);
    g_pts_gid = gid;
    g_pts_mode = mode;
    s->revalidate = true;
    s->valid = devpts_valid;
    s->root = kmalloc(sizeof(struct inode));
    if (!s->root) {
        kfree(s);
        return err_ptr(-ENOMEM);
    }
    inode_init(s->root, s, &g_devpts_dir, S_IFDIR | 0755);
    s->root->ino = 1;
    s->root->nlink = 2;
    return s;
}
