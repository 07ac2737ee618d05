/* SPDX-License-Identifier: Apache-2.0 */
/* Directories in memory. Every function is called with the directory's lock held. */
#include "memfs.h"

#define DIRENT_SIZE 20 /* what one entry adds to st_size */

static struct mem_dirent *find_entry(struct mem_dir *dir, const char *name, size_t len, u32 hash)
{
    struct mem_dirent *e;

    if (!dir->bucket_count)
        return NULL;
    for (e = dir->buckets[hash & (dir->bucket_count - 1)]; e; e = e->next)
        if (e->hash == hash && e->len == len && memcmp(e->name, name, len) == 0)
            return e;
    return NULL;
}

static int grow_buckets(struct mem_dir *dir)
{
    u32 count = dir->bucket_count ? dir->bucket_count * 2 : 8;
    struct mem_dirent **buckets = kzalloc(count * sizeof(*buckets));

    if (!buckets)
        return -ENOMEM;
    for (u32 b = 0; b < dir->bucket_count; b++) {
        struct mem_dirent *e = dir->buckets[b];

        while (e) {
            struct mem_dirent *next = e->next;

            e->next = buckets[e->hash & (count - 1)];
            buckets[e->hash & (count - 1)] = e;
            e = next;
        }
    }
    kfree(dir->buckets);
    dir->buckets = buckets;
    dir->bucket_count = count;
    return 0;
}

/* inode: its reference is taken over; NULL with a nid. */
static int add_entry(struct mem_inode *m, const char *name, size_t len, struct inode *inode,
                     u64 nid, u8 type)
{
    struct mem_dir *dir = &m->dir;
    struct mem_dirent *e;

    if (len > NAME_LIMIT)
        return -ENAMETOOLONG;
    if (dir->count >= dir->bucket_count && grow_buckets(dir) < 0)
        return -ENOMEM;
    e = kmalloc(sizeof(*e) + len + 1);
    if (!e)
        return -ENOMEM;
    *e = (struct mem_dirent){.inode = inode,
                             .nid = nid,
                             .type = type,
                             .len = (u8)len,
                             .hash = name_hash(NULL, name, len)};
    memcpy(e->name, name, len);
    e->name[len] = 0;
    e->node.key = dir->next_position++;
    rb_insert(&dir->by_position, &e->node);
    e->next = dir->buckets[e->hash & (dir->bucket_count - 1)];
    dir->buckets[e->hash & (dir->bucket_count - 1)] = e;
    dir->count++;
    return 0;
}

static void drop_entry(struct mem_dir *dir, struct mem_dirent *e)
{
    struct mem_dirent **p = &dir->buckets[e->hash & (dir->bucket_count - 1)];

    while (*p != e)
        p = &(*p)->next;
    *p = e->next;
    rb_erase(&dir->by_position, &e->node);
    dir->count--;
    if (e->inode)
        inode_put(e->inode);
    kfree(e);
}

/* Subdirectories that lose their last reference are linked into *todo, for a deep tree would
 * overflow the stack. */
void mem_dir_free(struct mem_dir *dir, struct mem_inode **todo)
{
    for (u32 b = 0; b < dir->bucket_count; b++) {
        while (dir->buckets[b]) {
            struct mem_dirent *e = dir->buckets[b];
            struct inode *i = e->inode;

            dir->buckets[b] = e->next;
            kfree(e);
            if (!i)
                continue;
            if (!S_ISDIR(i->mode)) {
                inode_put(i);
            } else if (ref_put(&i->refs)) {
                mem_of(i)->next_dead = *todo;
                *todo = mem_of(i);
            }
        }
    }
    kfree(dir->buckets);
}

struct load {
    struct mem_inode *m;
    int result;
};

static bool load_one(void *ctx, const char *name, size_t len, u64 nid, u8 d_type, u64 next_pos)
{
    struct load *l = ctx;

    l->result = add_entry(l->m, name, len, NULL, nid, d_type);
    return l->result == 0;
}

static int load_names(struct mem_inode *m)
{
    struct load l = {m, 0};
    int r;

    if (likely(m->dir.loaded))
        return 0;
    r = erofs_iterate(mem_super_of(&m->i)->erofs, m->backing, 0, load_one, &l);
    if (r == 0)
        r = l.result;
    if (r < 0) {                     /* whole or not at all */
        mem_dir_free(&m->dir, NULL); /* no inodes yet */
        memset(&m->dir, 0, sizeof(m->dir));
        return r;
    }
    m->dir.loaded = true;
    return 0;
}

static int entry_inode(struct mem_inode *m, struct mem_dirent *e, struct inode **out)
{
    if (!e->inode) {
        int r = mem_inode_from_image(mem_super_of(&m->i), e->nid, &e->inode);

        if (r < 0)
            return r;
    }
    *out = inode_get(e->inode);
    return 0;
}

static int mem_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct mem_inode *m = mem_of(dir);
    struct mem_dirent *e;
    int r = load_names(m);

    if (r < 0)
        return r;
    e = find_entry(&m->dir, name, len, name_hash(NULL, name, len));
    return e ? entry_inode(m, e, out) : -ENOENT;
}

static void touch_dir(struct inode *dir, i64 size_change)
{
    dir->mtime = dir->ctime = (i64)clock_realtime();
    dir->size = (u64)MAX((i64)dir->size + size_change, 0);
}

static int add_new(struct inode *dir, const char *name, size_t len, struct mem_inode *n,
                   struct inode **out)
{
    int r = load_names(mem_of(dir));

    inode_init_owner(&n->i, dir);
    if (r == 0)
        r = add_entry(mem_of(dir), name, len, inode_get(&n->i), 0, MODE_TO_DT(n->i.mode));
    if (r < 0) {
        n->i.refs.n = 1;
        inode_put(&n->i);
        return r;
    }
    if (S_ISDIR(n->i.mode))
        dir->nlink++;
    touch_dir(dir, DIRENT_SIZE);
    *out = &n->i;
    return 0;
}

static int mem_create(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev,
                      struct inode **out)
{
    struct mem_inode *n;

    if (dir->nlink == 0)
        return -ENOENT;
    n = mem_inode_new(mem_super_of(dir), mode);
    if (!n)
        return -ENOSPC;
    n->i.rdev = rdev;
    return add_new(dir, name, len, n, out);
}

static int mem_symlink(struct inode *dir, const char *name, size_t len, const char *target,
                       struct inode **out)
{
    struct mem_inode *n;

    if (dir->nlink == 0)
        return -ENOENT;
    n = mem_inode_new(mem_super_of(dir), S_IFLNK | 0777);
    if (!n)
        return -ENOSPC;
    n->link = kstrdup(target);
    if (!n->link) {
        inode_put(&n->i);
        return -ENOMEM;
    }
    n->i.size = strlen(target);
    return add_new(dir, name, len, n, out);
}

static int mem_link(struct inode *dir, const char *name, size_t len, struct inode *target)
{
    int r = load_names(mem_of(dir));

    if (r < 0)
        return r;
    if (dir->nlink == 0)
        return -ENOENT;
    mutex_lock(&target->lock);
    r = add_entry(mem_of(dir), name, len, inode_get(target), 0, MODE_TO_DT(target->mode));
    if (r == 0) {
        target->nlink++;
        target->ctime = (i64)clock_realtime();
    }
    mutex_unlock(&target->lock);
    if (r < 0)
        inode_put(target);
    else
        touch_dir(dir, DIRENT_SIZE);
    return r;
}

/* Is the directory empty? Then nothing can be added any more: its link count is zero from now
 * on. */
static int retire_dir(struct inode *victim)
{
    struct mem_inode *m = mem_of(victim);
    int r;

    mutex_lock(&victim->lock);
    r = load_names(m);
    if (r == 0 && m->dir.count)
        r = -ENOTEMPTY;
    if (r == 0) {
        victim->nlink = 0;
        victim->ctime = (i64)clock_realtime();
    }
    mutex_unlock(&victim->lock);
    return r;
}

static void drop_link(struct inode *victim)
{
    mutex_lock(&victim->lock);
    victim->nlink--;
    victim->ctime = (i64)clock_realtime();
    mutex_unlock(&victim->lock);
}

static int mem_unlink(struct inode *dir, const char *name, size_t len, struct inode *victim,
                      bool is_dir)
{
    struct mem_inode *m = mem_of(dir);
    struct mem_dirent *e = find_entry(&m->dir, name, len, name_hash(NULL, name, len));
    int r;

    if (!e || e->inode != victim)
        return -ENOENT;
    if (is_dir) {
        r = retire_dir(victim);
        if (r < 0)
            return r;
        dir->nlink--;
    } else {
        drop_link(victim);
    }
    drop_entry(&m->dir, e);
    touch_dir(dir, -DIRENT_SIZE);
    return 0;
}

/* Entries x and y trade their inodes. */
static void exchange(struct inode *old_dir, struct mem_dirent *x, struct inode *new_dir,
                     struct mem_dirent *y)
{
    struct inode *i = x->inode;
    u8 type = x->type;

    if (S_ISDIR(i->mode) && !S_ISDIR(y->inode->mode)) {
        old_dir->nlink--;
        new_dir->nlink++;
    } else if (!S_ISDIR(i->mode) && S_ISDIR(y->inode->mode)) {
        old_dir->nlink++;
        new_dir->nlink--;
    }
    x->inode = y->inode;
    x->type = y->type;
    y->inode = i;
    y->type = type;
    touch_dir(old_dir, 0);
    touch_dir(new_dir, 0);
}

static int mem_rename(struct inode *old_dir, const char *old_name, size_t old_len,
                      struct inode *new_dir, const char *new_name, size_t new_len, u32 flags)
{
    struct mem_inode *om = mem_of(old_dir), *nm = mem_of(new_dir);
    struct mem_dirent *x = find_entry(&om->dir, old_name, old_len,
                                      name_hash(NULL, old_name, old_len)),
                      *y;
    struct inode *moved;
    bool is_dir;
    int r = load_names(nm);

    if (r < 0)
        return r;
    y = find_entry(&nm->dir, new_name, new_len, name_hash(NULL, new_name, new_len));
    if (!x || !x->inode || new_dir->nlink == 0)
        return -ENOENT;
    if (y && !y->inode)
        return -ENOENT; /* the VFS looked it up: cannot be */
    if (flags & 2) {
        if (!y)
            return -ENOENT;
        exchange(old_dir, x, new_dir, y);
        return 0;
    }
    is_dir = S_ISDIR(x->inode->mode);
    if (y && S_ISDIR(y->inode->mode)) {
        r = retire_dir(y->inode);
        if (r < 0)
            return r;
    }
    moved = inode_get(x->inode);
    if (y) { /* in place: nothing can fail any more */
        struct inode *victim = y->inode;

        y->inode = moved;
        y->type = x->type;
        if (S_ISDIR(victim->mode))
            new_dir->nlink--;
        else
            drop_link(victim);
        inode_put(victim);
    } else {
        r = add_entry(nm, new_name, new_len, moved, 0, x->type);
        if (r < 0) {
            inode_put(moved);
            return r;
        }
        touch_dir(new_dir, DIRENT_SIZE);
    }
    drop_entry(&om->dir, x);
    if (is_dir) {
        old_dir->nlink--;
        new_dir->nlink++;
    }
    touch_dir(old_dir, -DIRENT_SIZE);
    touch_dir(new_dir, 0);
    moved->ctime = (i64)clock_realtime();
    return 0;
}

static int mem_iterate(struct inode *dir, u64 pos, dirent_fn *fn, void *ctx)
{
    struct mem_inode *m = mem_of(dir);
    int r = load_names(m);

    if (r < 0)
        return r;
    for (struct rb_node *n = rb_find_ge(&m->dir.by_position, pos); n; n = rb_next(n)) {
        struct mem_dirent *e = container_of(n, struct mem_dirent, node);

        if (!fn(ctx, e->name, e->len, e->inode ? e->inode->ino : e->nid, e->type, n->key + 1))
            break;
    }
    return 0;
}

static const struct file_ops g_mem_dir_file_ops = {.seek = inode_seek};

static int mem_dir_open(struct inode *i, struct file *f)
{
    f->ops = &g_mem_dir_file_ops;
    return 0;
}

const struct inode_ops g_mem_dir_ops = {
    MEM_COMMON_OPS,       .lookup = mem_lookup,   .create = mem_create, .symlink = mem_symlink,
    .link = mem_link,     .unlink = mem_unlink,   .rename = mem_rename, .iterate = mem_iterate,
    .open = mem_dir_open, .tmpfile = mem_tmpfile,
};
