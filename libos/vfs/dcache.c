/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of names. A hashed dentry holds one reference of its own, so a dentry that reaches zero
 * is always unhashed. Children hold their parent: a dentry with the cache's reference alone has
 * none and may be evicted. Bucket locks are spinlocks; g_tree_lock guards what a rename changes
 * (name, parent) and mount points.
 */
#include "vfs.h"

#define BUCKET_BITS  14
#define BUCKETS      (1u << BUCKET_BITS)
#define SHARDS       64u
#define DENTRY_LIMIT 100000u /* beyond it unused ones are evicted, some at each allocation */

struct mutex g_tree_lock;
static struct dentry **g_buckets;
static struct spinlock g_shards[SHARDS];
static u32 g_dentry_count, g_evict_hand;

void dcache_init(void)
{
    size_t pages = BUCKETS * sizeof(struct dentry *) / PAGE_SIZE;

    if (g_buckets)
        return;
    g_buckets = page_alloc(pages);
    BUG_ON(!g_buckets);
    memset(g_buckets, 0, pages * PAGE_SIZE);
}

u32 name_hash(const struct dentry *dir, const char *name, size_t len)
{
    u64 h = (uintptr_t)dir >> 4;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (u8)name[i]) * 0x100000001b3ull;
    h ^= h >> 29;
    h *= 0x9e3779b97f4a7c15ull;
    return (u32)(h >> 32);
}

static struct spinlock *shard_of(u32 hash)
{
    return &g_shards[hash % SHARDS];
}

static struct dentry **bucket_of(u32 hash)
{
    return &g_buckets[hash % BUCKETS];
}

static void bucket_unlink(struct dentry *d)
{
    struct dentry **p = bucket_of(d->hash);

    while (*p != d)
        p = &(*p)->hash_next;
    *p = d->hash_next;
    d->hash_next = NULL;
    d->hashed = false;
}

static void dentry_free(struct dentry *d)
{
    struct mount *m = d->mount;

    if (d->inode)
        inode_put(d->inode);
    if (m && __atomic_sub_fetch(&m->dentries, 1, __ATOMIC_ACQ_REL) == 0)
        mount_free(m);
    if (d->name)
        kfree(d->name);
    kfree(d);
    __atomic_sub_fetch(&g_dentry_count, 1, __ATOMIC_RELAXED);
}

void dentry_put(struct dentry *d)
{
    while (d && ref_put(&d->refs)) {
        struct dentry *parent = d->parent == d ? NULL : d->parent;

        if (unlikely(g_fs_notify) && d->unlinked && d->inode && d->inode->nlink == 0)
            g_fs_notify(d->inode, NULL, NULL, 0, IN_DELETE_SELF, 0);
        dentry_free(d);
        d = parent;
    }
}

struct dentry *dentry_get(struct dentry *d)
{
    ref_get(&d->refs);
    return d;
}

/*
 * d, whose references are gone, goes; with m also each parent in it that only the cache holds then:
 * a deep tree would take a pass over all buckets for each of its levels.
 */
static void evict(struct dentry *d, const struct mount *m)
{
    for (;;) {
        struct dentry *parent = d->parent;
        struct spinlock *lock;
        u32 two = 2; /* the cache's, and d's */
        bool unused;

        dentry_free(d);
        if (parent == d)
            return;
        lock = shard_of(parent->hash);
        spin_lock(lock);
        unused = m && parent->mount == m && parent->hashed &&
                 __atomic_compare_exchange_n(&parent->refs.n, &two, 0, false, __ATOMIC_ACQ_REL,
                                             __ATOMIC_RELAXED);
        if (unused)
            bucket_unlink(parent);
        spin_unlock(lock);
        if (!unused) {
            dentry_put(parent);
            return;
        }
        d = parent;
    }
}

/* Drop unused dentries of one bucket (of mount m alone when given). */
static void evict_bucket(u32 index, const struct mount *m)
{
    struct spinlock *lock = &g_shards[index % SHARDS];
    struct dentry *dead = NULL, **p;

    spin_lock(lock);
    p = &g_buckets[index];
    while (*p) {
        struct dentry *d = *p;
        u32 one = 1;

        if ((m && d->mount != m) ||
            !__atomic_compare_exchange_n(&d->refs.n, &one, 0, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED)) {
            p = &d->hash_next;
            continue;
        }
        *p = d->hash_next;
        d->hashed = false;
        d->hash_next = dead;
        dead = d;
    }
    spin_unlock(lock);
    while (dead) {
        struct dentry *d = dead;

        dead = d->hash_next;
        evict(d, m);
    }
}

void dcache_prune_mount(struct mount *m)
{
    u32 before;

    /* Leaves first, and their parents with them; what somebody else held meanwhile comes later. */
    do {
        before = __atomic_load_n(&m->dentries, __ATOMIC_RELAXED);
        for (u32 i = 0; i < BUCKETS; i++)
            if (g_buckets[i])
                evict_bucket(i, m);
    } while (__atomic_load_n(&m->dentries, __ATOMIC_RELAXED) < before);
}

struct dentry *dentry_alloc(struct dentry *parent, struct mount *mount, const char *name,
                            size_t len, struct inode *inode)
{
    struct dentry *d;

    if (__atomic_load_n(&g_dentry_count, __ATOMIC_RELAXED) > DENTRY_LIMIT)
        for (u32 i = 0; i < 16; i++)
            evict_bucket(__atomic_fetch_add(&g_evict_hand, 1, __ATOMIC_RELAXED) % BUCKETS, NULL);
    d = kzalloc(sizeof(*d));
    if (!d)
        return NULL;
    d->name = kstrndup(name, len);
    if (!d->name) {
        kfree(d);
        return NULL;
    }
    ref_init(&d->refs);
    d->name_len = (u16)len;
    d->parent = parent ? dentry_get(parent) : d;
    d->mount = mount;
    if (mount)
        __atomic_add_fetch(&mount->dentries, 1, __ATOMIC_RELAXED);
    d->inode = inode ? inode_get(inode) : NULL;
    __atomic_add_fetch(&g_dentry_count, 1, __ATOMIC_RELAXED);
    return d;
}

struct dentry *dcache_find(struct dentry *dir, const char *name, size_t len, u32 hash)
{
    struct spinlock *lock = shard_of(hash);
    struct dentry *d;

    spin_lock(lock);
    for (d = *bucket_of(hash); d; d = d->hash_next) {
        if (d->hash == hash && d->parent == dir && d->name_len == len &&
            memcmp(d->name, name, len) == 0) {
            ref_get(&d->refs);
            break;
        }
    }
    spin_unlock(lock);
    return d;
}

struct dentry *dcache_find_inode(const struct mount *m, const struct inode *i)
{
    struct dentry *found = NULL;

    for (u32 b = 0; !found && b < BUCKETS; b++) {
        struct spinlock *lock = &g_shards[b % SHARDS];

        if (!__atomic_load_n(&g_buckets[b], __ATOMIC_RELAXED))
            continue;
        spin_lock(lock);
        for (struct dentry *d = g_buckets[b]; d && !found; d = d->hash_next)
            if (d->inode == i && d->mount == m)
                found = dentry_get(d);
        spin_unlock(lock);
    }
    return found;
}

/* The name belongs to d alone from now on: one that was looked up meanwhile (negative, then)
 * goes. */
void dcache_insert(struct dentry *d)
{
    struct spinlock *lock;
    struct dentry *old;

    d->hash = name_hash(d->parent, d->name, d->name_len);
    lock = shard_of(d->hash);
    spin_lock(lock);
    for (old = *bucket_of(d->hash); old; old = old->hash_next)
        if (old->hash == d->hash && old->parent == d->parent && old->name_len == d->name_len &&
            memcmp(old->name, d->name, d->name_len) == 0)
            break;
    if (old)
        bucket_unlink(old);
    d->hash_next = *bucket_of(d->hash);
    *bucket_of(d->hash) = d;
    d->hashed = true;
    ref_get(&d->refs);
    spin_unlock(lock);
    if (old)
        dentry_put(old);
}

void dcache_remove(struct dentry *d)
{
    struct spinlock *lock = shard_of(d->hash);
    bool was;

    spin_lock(lock);
    was = d->hashed;
    if (was)
        bucket_unlink(d);
    spin_unlock(lock);
    if (was)
        dentry_put(d);
}

bool dcache_remove_free(struct dentry *d, bool unlinked)
{
    bool is_free;

    mutex_lock(&g_tree_lock);
    is_free = !__atomic_load_n(&d->mounts_below, __ATOMIC_ACQUIRE);
    if (is_free) {
        d->unlinked |= unlinked;
        dcache_remove(d);
    }
    mutex_unlock(&g_tree_lock);
    return is_free;
}

void dcache_move(struct dentry *d, struct dentry *new_dir, char *name)
{
    struct dentry *old_parent;
    char *old_name;

    mutex_lock(&g_tree_lock);
    dcache_remove(d);
    old_name = d->name;
    old_parent = d->parent;
    d->name = name;
    d->name_len = (u16)strlen(name);
    d->parent = dentry_get(new_dir);
    if (d->mounts_below) {
        dentry_count_mounts(old_parent, -(i32)d->mounts_below);
        dentry_count_mounts(new_dir, (i32)d->mounts_below);
    }
    dcache_insert(d);
    mutex_unlock(&g_tree_lock);
    kfree(old_name);
    dentry_put(old_parent);
}

void dentry_count_mounts(struct dentry *d, i32 more)
{
    for (;; d = d->parent) {
        __atomic_add_fetch(&d->mounts_below, (u32)more, __ATOMIC_RELEASE);
        if (d->parent == d)
            break;
    }
}

bool dentry_is_below(struct dentry *d, struct dentry *ancestor)
{
    bool found = false;

    mutex_lock(&g_tree_lock);
    for (;;) {
        if (d == ancestor) {
            found = true;
            break;
        }
        if (d->parent != d) {
            d = d->parent;
        } else if (d->mount && d->mount->mountpoint) {
            d = d->mount->mountpoint;
        } else {
            break;
        }
    }
    mutex_unlock(&g_tree_lock);
    return found;
}

static bool still_valid(struct dentry *dir, struct dentry *d)
{
    struct inode *now = NULL;
    bool same;

    /* Not even the host takes a name away that a mount point is reached by: what is mounted there
     * would give way to the host's files. */
    if (__atomic_load_n(&d->mounts_below, __ATOMIC_ACQUIRE))
        return true;
    if (dir->inode->super->valid)
        return d->inode && dir->inode->super->valid(d);
    mutex_lock(&dir->inode->lock);
    if (dir->inode->ops->lookup(dir->inode, d->name, d->name_len, &now) < 0)
        now = NULL;
    mutex_unlock(&dir->inode->lock);
    same = now && now == d->inode;
    if (now)
        inode_put(now);
    return same;
}

static int lookup_slow(struct dentry *dir, const char *name, size_t len, u32 hash,
                       struct dentry **out)
{
    struct inode *inode = NULL;
    struct dentry *d;
    int r;

    if (!dir->inode->ops->lookup)
        return -ENOTDIR;
    mutex_lock(&dir->inode->lock);
    d = dcache_find(dir, name, len, hash);
    if (d)
        goto found;
    r = dir->inode->ops->lookup(dir->inode, name, len, &inode);
    if (r < 0 && r != -ENOENT) {
        mutex_unlock(&dir->inode->lock);
        return r;
    }
    d = dentry_alloc(dir, dir->mount, name, len, r < 0 ? NULL : inode);
    if (r == 0)
        inode_put(inode);
    if (!d) {
        mutex_unlock(&dir->inode->lock);
        return -ENOMEM;
    }
    /* Names of a removed directory are not cached: nothing would ever take them out. */
    if ((d->inode || !dir->inode->super->revalidate) && !dir->unlinked)
        dcache_insert(d);
    else
        d->hash = hash;
found:
    mutex_unlock(&dir->inode->lock);
    *out = d;
    return 0;
}

int dentry_child(struct dentry *dir, const char *name, size_t len, struct dentry **out)
{
    u32 hash;
    struct dentry *d;

    if (unlikely(len > NAME_LIMIT))
        return -ENAMETOOLONG;
    hash = name_hash(dir, name, len);
    d = dcache_find(dir, name, len, hash);
    if (d && unlikely(dir->inode->super->revalidate) && !still_valid(dir, d) &&
        dcache_remove_free(d, false)) {
        dentry_put(d);
        d = NULL;
    }
    if (likely(d)) {
        *out = d;
        return 0;
    }
    return lookup_slow(dir, name, len, hash, out);
}

bool dentry_is_current(const struct dentry *dir, const struct dentry *d, const char *name,
                       size_t len)
{
    if (dir->unlinked)
        return true; /* nothing is there, or comes */
    if (!d->hashed)  /* another one took its place, but for names that are never cached */
        return !d->inode && dir->inode->super->revalidate;
    return d->parent == dir && d->name_len == len && memcmp(d->name, name, len) == 0;
}

int dentry_instantiate(struct dentry *dir, struct dentry **d, const char *name, size_t len,
                       struct inode *i)
{
    struct dentry *fresh;

    if ((*d)->hashed) {
        __atomic_store_n(&(*d)->inode, i, __ATOMIC_RELEASE);
        return 0;
    }
    fresh = dentry_alloc(dir, dir->mount, name, len, i);
    inode_put(i);
    if (!fresh)
        return -ENOMEM;
    dcache_insert(fresh);
    dentry_put(*d);
    *d = fresh;
    return 0;
}

struct dentry *dentry_follow_mounts(struct dentry *d)
{
    while (unlikely(__atomic_load_n(&d->mounted, __ATOMIC_ACQUIRE))) {
        struct dentry *up;

        mutex_lock(&g_tree_lock);
        up = d->mounted ? dentry_get(d->mounted->root) : NULL;
        mutex_unlock(&g_tree_lock);
        if (!up)
            break;
        dentry_put(d);
        d = up;
    }
    return d;
}

static bool path_prepend(char **p, char *start, const char *s, size_t len)
{
    if ((size_t)(*p - start) < len)
        return false;
    *p -= len;
    memcpy(*p, s, len);
    return true;
}

/* root NULL: the current process's; strict: it has to be above d. */
static char *path_from(struct dentry *d, struct dentry *root, bool strict, char *buf, size_t size)
{
    struct process *proc = fs_process();
    struct fs_context *fs = proc ? proc->fs : NULL;
    char *p = buf + size - 1;
    bool ok = true, any = false;

    *p = 0;
    if (d->unlinked)
        ok = path_prepend(&p, buf, " (deleted)", 10);
    mutex_lock(&g_tree_lock);
    if (!root) /* changed under g_tree_lock only (chroot) */
        root = fs ? fs->root : g_root_mount->root;
    while (ok && d != root) {
        if (d->parent != d) {
            ok = path_prepend(&p, buf, d->name, d->name_len) && path_prepend(&p, buf, "/", 1);
            any = true;
            d = d->parent;
        } else if (!d->mount) { /* anonymous: its name is the whole path */
            ok = path_prepend(&p, buf, d->name, d->name_len);
            any = true;
            break;
        } else if (d->mount->mountpoint) {
            d = d->mount->mountpoint;
        } else if (strict) {
            mutex_unlock(&g_tree_lock);
            return err_ptr(-ENOENT);
        } else {
            if (root != g_root_mount->root || d->mount != g_root_mount)
                ok = path_prepend(&p, buf, "(unreachable)", 13);
            break;
        }
    }
    mutex_unlock(&g_tree_lock);
    if (ok && !any)
        ok = path_prepend(&p, buf, "/", 1);
    return ok ? p : err_ptr(-ENAMETOOLONG);
}

char *dentry_path(struct dentry *d, char *buf, size_t size)
{
    return path_from(d, NULL, false, buf, size);
}

char *dentry_path_below(struct dentry *d, struct dentry *root, char *buf, size_t size)
{
    return path_from(d, root, true, buf, size);
}
