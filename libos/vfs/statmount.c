/* SPDX-License-Identifier: Apache-2.0 */
/* listmount and statmount: the mounts by number. A unique number is the old one and an offset. */
#include "vfs.h"

#include <linux/mount.h>

#define UNIQUE_OFFSET (1ull << 31) /* MNT_UNIQUE_ID_OFFSET: unique numbers are above it */
#define LIST_ROOT     UINT64_MAX   /* LSMT_ROOT */
#define LIST_REVERSE  1u
#define LIST_MAX      1000000u

/* struct mnt_id_req of Linux 6.8, its first version; the number of a namespace came later. */
struct mnt_id_req {
    u32 size, namespace_fd;
    u64 mnt_id, param;
};

struct statmount { /* of Linux 6.8; strings are offsets into what follows it */
    u32 size, options;
    u64 mask;
    u32 dev_major, dev_minor;
    u64 magic;
    u32 super_flags, fs_type;
    u64 mnt_id, parent_id;
    u32 mnt_id_old, parent_id_old;
    u64 attributes, propagation, peer_group, master, propagate_from;
    u32 root, point;
    u64 spare[50];
};
_Static_assert(sizeof(struct statmount) == 512, "Linux's size");

#define STAT_SUPER     0x01u
#define STAT_MOUNT     0x02u
#define STAT_PROPAGATE 0x04u
#define STAT_ROOT      0x08u
#define STAT_POINT     0x10u
#define STAT_TYPE      0x20u

u64 mount_unique_id(const struct mount *m)
{
    return UNIQUE_OFFSET + 1 + m->id;
}

static long request_from_user(struct mnt_id_req *q, uaddr user)
{
    u32 size;

    if (get_user(size, user) < 0)
        return -EFAULT;
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (size < sizeof(*q))
        return -EINVAL;
    if (get_user(*q, user) < 0)
        return -EFAULT;
    for (u64 at = sizeof(*q); at < size; at += sizeof(u32)) {
        u32 more;

        if (get_user(more, user_plus(user, at)) < 0)
            return -EFAULT;
        if (more)
            return -E2BIG; /* another namespace, or what no Linux knows yet */
    }
    if (q->namespace_fd) {
        struct file *f = fd_get((int)q->namespace_fd);

        if (!f)
            return -EBADF;
        file_put(f);
        return -EINVAL;
    }
    return q->mnt_id <= UNIQUE_OFFSET ? -EINVAL : 0;
}

static struct mount *find_locked(u64 id)
{
    struct mount *m;

    list_for_each_entry (m, &g_mounts, link)
        if (mount_unique_id(m) == id)
            return m;
    return NULL;
}

static bool reachable_locked(const struct mount *m, const struct dentry *top)
{
    const struct dentry *d = m->root;

    while (d != top) {
        if (d->parent != d)
            d = d->parent;
        else if (d->mount && d->mount->mountpoint)
            d = d->mount->mountpoint;
        else
            return false;
    }
    return true;
}

/* Those below the mount, of which the caller sees the root: after or, in reverse, before `last`. */
static long list_locked(const struct mnt_id_req *q, bool reverse, u64 *ids, u64 room)
{
    struct dentry *root = fs_process()->fs->root, *top = root;
    struct mount *m = q->mnt_id == LIST_ROOT ? NULL : find_locked(q->mnt_id);
    u64 n = 0;

    if (q->mnt_id != LIST_ROOT) {
        if (!m)
            return -ENOENT;
        if (!reachable_locked(m, root) && !fs_capable(CAP_SYS_ADMIN))
            return -EPERM;
        top = m->root;
    }
    /* The list is in the order of the numbers. */
    for (struct list_head *at = reverse ? g_mounts.prev : g_mounts.next;
         at != &g_mounts && n < room; at = reverse ? at->prev : at->next) {
        struct mount *one = container_of(at, struct mount, link);
        u64 id = mount_unique_id(one);

        bool before = q->param && (reverse ? id >= q->param : id <= q->param);

        if (id == q->mnt_id || before)
            continue;
        if (reachable_locked(one, top))
            ids[n++] = id;
    }
    return (long)n;
}

long sys_listmount(uaddr request, uaddr user_ids, u64 count, u32 flags)
{
    struct mnt_id_req q;
    u64 room = MIN(count, 65536u), *ids;
    long r;

    if (flags & ~LIST_REVERSE)
        return -EINVAL;
    if (count > LIST_MAX)
        return -EOVERFLOW;
    r = request_from_user(&q, request);
    if (r < 0)
        return r;
    if (q.param && q.param <= UNIQUE_OFFSET)
        return -EINVAL;
    ids = kmalloc(MAX(room, 1u) * sizeof(*ids));
    if (!ids)
        return -ENOMEM;
    mutex_lock(&g_tree_lock);
    r = list_locked(&q, flags & LIST_REVERSE, ids, room);
    mutex_unlock(&g_tree_lock);
    if (r > 0 && copy_to_user(user_ids, ids, (size_t)r * sizeof(*ids)) < 0)
        r = -EFAULT;
    kfree(ids);
    return r;
}

/* ---- statmount ---- */

struct answer {
    struct statmount s;
    char *text; /* two pages */
    u32 used;
};

static u32 add_text(struct answer *a, const char *text)
{
    u32 at = a->used, n = (u32)strlen(text) + 1;

    memcpy(a->text + at, text, n);
    a->used += n;
    return at;
}

static u64 attributes_of(const struct mount *m)
{
    u32 flags = m->flags | m->super->flags;

    return (flags & MS_RDONLY ? MOUNT_ATTR_RDONLY : 0) |
           (flags & MS_NOSUID ? MOUNT_ATTR_NOSUID : 0) | (flags & MS_NODEV ? MOUNT_ATTR_NODEV : 0) |
           (flags & MS_NOEXEC ? MOUNT_ATTR_NOEXEC : 0) |
           (flags & MS_NOSYMFOLLOW ? MOUNT_ATTR_NOSYMFOLLOW : 0);
}

/* All but the mount point, whose path takes the lock itself. */
static void fill_locked(struct answer *a, const struct mount *m, u64 wanted)
{
    const struct mount *up = m->parent ? m->parent : m;

    a->s.mask = wanted & (STAT_SUPER | STAT_MOUNT | STAT_PROPAGATE | STAT_ROOT | STAT_TYPE);
    if (wanted & STAT_SUPER) {
        a->s.dev_minor = (u32)m->super->dev;
        a->s.magic = m->super->magic;
        a->s.super_flags = m->super->flags & MS_RDONLY;
    }
    if (wanted & STAT_MOUNT) {
        a->s.mnt_id = mount_unique_id(m);
        a->s.parent_id = mount_unique_id(up);
        a->s.mnt_id_old = m->id;
        a->s.parent_id_old = up->id;
        a->s.attributes = attributes_of(m);
        a->s.propagation = MS_PRIVATE;
    }
    if (wanted & STAT_ROOT)
        a->s.root = add_text(a, m->bind_path);
    if (wanted & STAT_TYPE)
        a->s.fs_type = add_text(a, m->super->type);
}

static long answer_fill(struct answer *a, u64 id, u64 wanted)
{
    struct dentry *root = NULL;
    long r = 0;

    mutex_lock(&g_tree_lock);
    struct mount *m = find_locked(id);
    bool seen = m && reachable_locked(m, fs_process()->fs->root);
    if (!m)
        r = -ENOENT;
    else if (!seen && !fs_capable(CAP_SYS_ADMIN))
        r = -EPERM;
    if (r == 0) {
        fill_locked(a, m, wanted);
        root = dentry_get(m->root);
    }
    mutex_unlock(&g_tree_lock);
    if (r < 0)
        return r;
    if ((wanted & STAT_POINT) && seen) {
        char *buf = kmalloc(PATH_MAX), *path = buf ? dentry_path(root, buf, PATH_MAX) : NULL;

        if (!buf)
            r = -ENOMEM;
        else if (!is_err(path)) {
            a->s.point = add_text(a, path);
            a->s.mask |= STAT_POINT;
        }
        kfree(buf);
    }
    dentry_put(root);
    return r;
}

long sys_statmount(uaddr request, uaddr user_buf, u64 size, u32 flags)
{
    struct answer a = {0};
    struct mnt_id_req q;
    long r;

    if (flags)
        return -EINVAL;
    r = request_from_user(&q, request);
    if (r < 0)
        return r;
    a.text = kmalloc(3 * PATH_MAX); /* two paths and a type */
    if (!a.text)
        return -ENOMEM;
    r = answer_fill(&a, q.mnt_id, q.param);
    size_t head = MIN(size, sizeof(a.s));
    a.s.size = (u32)head + a.used;
    if (r == 0 && a.used && size < sizeof(a.s) + a.used)
        r = -EOVERFLOW;
    if (r == 0 && (copy_to_user(user_buf, &a.s, head) < 0 ||
                   (a.used && copy_to_user(user_plus(user_buf, head), a.text, a.used) < 0)))
        r = -EFAULT;
    kfree(a.text);
    return r;
}
