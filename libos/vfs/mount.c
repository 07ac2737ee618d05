/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount tree. There is one mount namespace. A bind mount is a new tree of dentries over the
 * same inodes; as names may then change through the other tree, the file system is marked
 * `revalidate`.
 */
#include "vfs.h"

const struct file_systems *g_file_systems;
struct mount *g_root_mount;
struct list_head g_mounts = LIST_HEAD_INIT(g_mounts);
static u32 g_next_mount_id = 20;
struct waitq g_mounts_wait = WAITQ_INIT(g_mounts_wait);
static u64 g_mount_changes = 1;

#define MOUNT_FLAGS (MS_RDONLY | MS_NOEXEC | MS_NOSUID | MS_NODEV | MS_NOSYMFOLLOW)

u64 mount_changes(void)
{
    return __atomic_load_n(&g_mount_changes, __ATOMIC_ACQUIRE);
}

static void mounts_changed(void)
{
    __atomic_add_fetch(&g_mount_changes, 1, __ATOMIC_RELEASE);
    waitq_wake(&g_mounts_wait, UINT32_MAX);
}

static void mount_drop_strings(struct mount *m)
{
    kfree(m->source);
    kfree(m->options);
    kfree(m->bind_path);
    kfree(m);
}

static void super_put(struct super *s)
{
    if (__atomic_sub_fetch(&s->mounts, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    inode_put(s->root);
    if (s->destroy)
        s->destroy(s);
    else
        kfree(s);
}

void mount_free(struct mount *m)
{
    super_put(m->super);
    mount_drop_strings(m);
}

/* Locks the directory that has the name, so that nobody takes the name away meanwhile; +1. */
static struct dentry *lock_directory_of(struct dentry *d)
{
    for (;;) {
        struct dentry *dir;

        mutex_lock(&g_tree_lock);
        dir = dentry_get(d->parent);
        mutex_unlock(&g_tree_lock);
        mutex_lock(&dir->inode->lock);
        if (__atomic_load_n(&d->parent, __ATOMIC_RELAXED) == dir)
            return dir;
        mutex_unlock(&dir->inode->lock);
        dentry_put(dir);
    }
}

/* What no path leads to any more, or in a tree that is gone, nobody could find to unmount it. With
 * g_tree_lock, under which names with mounts below them stay in the cache. */
static bool may_cover(const struct dentry *target)
{
    for (const struct dentry *d = target; d->parent != d; d = d->parent)
        if (!d->hashed)
            return false;
    return target->mount == g_root_mount || target->mount->mountpoint;
}

/* Puts the mount where no walk has seen it yet. */
static int mount_cover(struct mount *m, struct dentry *target)
{
    struct dentry *dir = lock_directory_of(target);
    bool may;

    mutex_lock(&g_tree_lock);
    may = may_cover(target);
    if (may) {
        while (target->mounted) /* someone else was faster: mount on top of that */
            target = target->mounted->root;
        m->parent = target->mount;
        m->mountpoint = dentry_get(target);
        dentry_count_mounts(target, 1);
        __atomic_store_n(&target->mounted, m, __ATOMIC_RELEASE);
        m->id = g_next_mount_id++;
        list_add_tail(&m->link, &g_mounts);
    }
    mutex_unlock(&g_tree_lock);
    mutex_unlock(&dir->inode->lock);
    dentry_put(dir);
    return may ? 0 : -ENOENT;
}

int mount_attach(struct super *super, struct inode *root, struct dentry *target, u32 flags,
                 const char *source, const char *options, const char *bind_path)
{
    struct mount *m = kzalloc(sizeof(*m));
    int r = 0;

    if (!m)
        return -ENOMEM;
    m->super = super;
    m->flags = flags & MOUNT_FLAGS;
    m->source = kstrdup(source ? source : super->type);
    m->options = kstrdup(options ? options : "");
    m->bind_path = kstrdup(bind_path ? bind_path : "/");
    m->root = m->source && m->options && m->bind_path ? dentry_alloc(NULL, m, "/", 1, root) : NULL;
    if (!m->root) {
        mount_drop_strings(m);
        return -ENOMEM;
    }
    __atomic_add_fetch(&super->mounts, 1, __ATOMIC_RELAXED);
    if (target) {
        r = mount_cover(m, target);
    } else {
        mutex_lock(&g_tree_lock);
        m->id = g_next_mount_id++;
        g_root_mount = m;
        list_add_tail(&m->link, &g_mounts);
        mutex_unlock(&g_tree_lock);
    }
    if (r < 0) {
        dentry_put(m->root); /* and with it the mount */
        return r;
    }
    mounts_changed();
    return 0;
}

int mount_bind(struct dentry *source, struct dentry *target, u32 flags)
{
    char *buf = kmalloc(PATH_MAX), *path;
    int r;

    if (!buf)
        return -ENOMEM;
    path = dentry_path(source, buf, PATH_MAX);
    source->inode->super->revalidate = true;
    r = mount_attach(source->mount->super, source->inode, target, flags | source->mount->flags,
                     source->mount->source, source->mount->options, is_err(path) ? "/" : path);
    kfree(buf);
    return r;
}

struct dentry *initial_root(void)
{
    return dentry_get(g_root_mount->root);
}

bool dentry_noexec(const struct dentry *d)
{
    return (dentry_mount_flags(d) & MS_NOEXEC) != 0;
}

bool dentry_nosuid(const struct dentry *d)
{
    return (dentry_mount_flags(d) & MS_NOSUID) != 0;
}

bool dentry_untrusted(const struct dentry *d)
{
    return d->mount && d->mount->super->untrusted;
}

static bool mount_has_children(const struct mount *m)
{
    struct mount *other;

    list_for_each_entry (other, &g_mounts, link)
        if (other->parent == m)
            return true;
    return false;
}

static int mount_detach(struct mount *m, bool lazy)
{
    struct dentry *root = m->root, *point;

    if (m == g_root_mount)
        return -EBUSY;
    if (!lazy)
        dcache_prune_mount(m);
    mutex_lock(&g_tree_lock);
    if (!m->mountpoint) {
        mutex_unlock(&g_tree_lock);
        return -EINVAL;
    }
    /* The walk that led here holds one more reference of the root. */
    if (mount_has_children(m) ||
        (!lazy && (__atomic_load_n(&m->dentries, __ATOMIC_RELAXED) > 1 ||
                   __atomic_load_n(&root->refs.n, __ATOMIC_RELAXED) > 2))) {
        mutex_unlock(&g_tree_lock);
        return -EBUSY;
    }
    point = m->mountpoint;
    __atomic_store_n(&point->mounted, NULL, __ATOMIC_RELEASE);
    dentry_count_mounts(point, -1);
    m->mountpoint = NULL;
    list_del(&m->link);
    mutex_unlock(&g_tree_lock);
    mounts_changed();
    dentry_put(point);
    dentry_put(root);
    return 0;
}

/* ---- system calls ---- */

struct mount_request {
    char *source, *target, *type, *data;
    u64 flags;
};

static int remount(struct dentry *target, u64 flags)
{
    if (target != target->mount->root)
        return -EINVAL;
    target->mount->flags = (u32)flags & MOUNT_FLAGS;
    mounts_changed();
    return 0;
}

static int do_mount(const struct mount_request *q)
{
    struct dentry *target, *source;
    struct super *s;
    int r;

    r = path_lookup(AT_FDCWD, q->target, 0, &target);
    if (r < 0)
        return r;
    if (!target->mount) {
        r = -EINVAL; /* in no tree: /proc/PID/fd led to it */
    } else if (target->inode->ops->follow) {
        r = -ENOENT; /* a name that is new at each look: nothing could be found on it */
    } else if (q->flags & MS_REMOUNT) {
        r = remount(target, q->flags);
    } else if (q->flags & (MS_PRIVATE | MS_SHARED | MS_SLAVE | MS_UNBINDABLE)) {
        r = target == target->mount->root
                ? 0
                : -EINVAL; /* one namespace: propagation changes nothing */
    } else if (q->flags & MS_BIND) {
        r = path_lookup(AT_FDCWD, q->source, 0, &source);
        if (r == 0) {
            r = !source->mount ? -EINVAL
                : S_ISDIR(source->inode->mode) == S_ISDIR(target->inode->mode)
                    ? mount_bind(source, target, (u32)q->flags)
                    : -ENOTDIR;
            dentry_put(source);
        }
    } else if (q->flags & MS_MOVE) {
        r = -EPERM;
    } else if (!S_ISDIR(target->inode->mode)) {
        r = -ENOTDIR;
    } else {
        s = g_file_systems->make(q->type, q->data);
        r = is_err(s) ? ptr_err(s)
                      : mount_attach(s, s->root, target, (u32)q->flags, q->source, q->data, NULL);
    }
    dentry_put(target);
    return r;
}

static int copy_string(char **out, uaddr address, bool may_be_null)
{
    char *s;
    ssize_t n;

    *out = NULL;
    if (!address.at)
        return may_be_null ? 0 : -EFAULT;
    s = kmalloc(PATH_MAX);
    if (!s)
        return -ENOMEM;
    n = strncpy_from_user(s, address, PATH_MAX);
    if (n < 0) {
        kfree(s);
        return (int)n;
    }
    *out = s;
    return 0;
}

long sys_mount(uaddr source, uaddr target, uaddr type, u64 flags, uaddr data)
{
    struct mount_request q = {.flags = flags};
    int r;

    if (!fs_capable(CAP_SYS_ADMIN))
        return -EPERM;
    if ((q.flags & MS_MGC_MSK) == MS_MGC_VAL)
        q.flags &= ~(u64)MS_MGC_MSK;
    r = copy_string(&q.source, source, true);
    r = r < 0 ? r : copy_string(&q.target, target, false);
    r = r < 0 ? r : copy_string(&q.type, type, true);
    r = r < 0 ? r : copy_string(&q.data, data, true);
    if (r == 0 && !q.type &&
        !(q.flags &
          (MS_BIND | MS_REMOUNT | MS_MOVE | MS_PRIVATE | MS_SHARED | MS_SLAVE | MS_UNBINDABLE)))
        r = -EINVAL;
    if (r == 0 && (q.flags & MS_BIND) && !(q.flags & MS_REMOUNT) && !q.source)
        r = -EINVAL;
    if (r == 0)
        r = do_mount(&q);
    kfree(q.source);
    kfree(q.target);
    kfree(q.type);
    kfree(q.data);
    return r;
}

#define UMOUNT_FORCE    1
#define UMOUNT_DETACH   2
#define UMOUNT_EXPIRE   4
#define UMOUNT_NOFOLLOW 8

long sys_umount2(uaddr user_target, int flags)
{
    struct dentry *target;
    struct mount *m;
    int r;

    if ((flags & ~15) || ((flags & UMOUNT_EXPIRE) && (flags & (UMOUNT_FORCE | UMOUNT_DETACH))))
        return -EINVAL;
    if (!fs_capable(CAP_SYS_ADMIN))
        return -EPERM;
    r = path_lookup_user(user_target, flags & UMOUNT_NOFOLLOW ? LOOKUP_NOFOLLOW : 0, &target);
    if (r < 0)
        return r;
    m = target->mount;
    r = m && target == m->root ? mount_detach(m, (flags & UMOUNT_DETACH) != 0) : -EINVAL;
    dentry_put(target);
    return r;
}

long sys_pivot_root(uaddr root, uaddr old)
{
    return -EPERM;
}

static long fs_type_index(uaddr name)
{
    char buf[64];
    ssize_t n = strncpy_from_user(buf, name, sizeof(buf));
    const char *type;

    if (n < 0)
        return n == -EFAULT ? n : -EINVAL;
    for (u32 i = 0; (type = g_file_systems->name(i)) != NULL; i++)
        if (strcmp(type, buf) == 0)
            return i;
    return -EINVAL;
}

/* The kinds of file systems, by number. */
long sys_sysfs(int option, u64 a1, u64 a2)
{
    const char *type;
    long count = 0;

    switch (option) {
    case 1:
        return fs_type_index(user_at(a1));
    case 2:
        type = a1 < UINT32_MAX ? g_file_systems->name((u32)a1) : NULL;
        return type ? copy_to_user(user_at(a2), type, strlen(type) + 1) : -EINVAL;
    case 3:
        while (g_file_systems->name((u32)count))
            count++;
        return count;
    default:
        return -EINVAL;
    }
}
