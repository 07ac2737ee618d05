/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents of regular files in memory: a radix tree of pages over the pages of the image. User
 * memory is never touched with inode->lock held (a fault there may need it): readers pin the file's
 * pages instead, and pages freed meanwhile wait.
 */
#include "memfs.h"
#include "mm.h"

#define RADIX_BITS  6
#define RADIX_SLOTS (1u << RADIX_BITS)
#define BATCH       16u
#define BOUNCE_MAX  (16u * PAGE_SIZE)

#define SEAL_SHRINK 2u
#define SEAL_GROW   4u
#define SEAL_WRITES (8u | 16u) /* F_SEAL_WRITE, F_SEAL_FUTURE_WRITE */

struct radix_node {
    void *slot[RADIX_SLOTS];
};

u8 g_mem_hole;

/* ---- radix tree ---- */

static bool radix_covers(const struct mem_data *d, u64 index)
{
    return d->root && (d->height * RADIX_BITS >= 64 || index >> (d->height * RADIX_BITS) == 0);
}

void *mem_tree_get(const struct mem_data *d, u64 index)
{
    struct radix_node *n = d->root;

    if (!radix_covers(d, index))
        return NULL;
    for (u32 level = d->height; level > 1 && n; level--)
        n = n->slot[index >> ((level - 1) * RADIX_BITS) & (RADIX_SLOTS - 1)];
    return n ? n->slot[index & (RADIX_SLOTS - 1)] : NULL;
}

static u64 next_below(const struct radix_node *n, u32 level, u64 base, u64 from)
{
    u64 step = 1ull << ((level - 1) * RADIX_BITS);

    for (u32 k = from > base ? (u32)((from - base) / step) : 0; k < RADIX_SLOTS; k++) {
        u64 found = n->slot[k] ? base + k * step : UINT64_MAX;

        if (n->slot[k] && level > 1)
            found = next_below(n->slot[k], level - 1, base + k * step, from);
        if (found != UINT64_MAX)
            return found;
    }
    return UINT64_MAX;
}

u64 mem_tree_next(const struct mem_data *d, u64 index)
{
    return radix_covers(d, index) ? next_below(d->root, d->height, 0, index) : UINT64_MAX;
}

void **mem_tree_slot(struct mem_data *d, u64 index)
{
    struct radix_node *n;

    while (!radix_covers(d, index)) {
        n = kzalloc(sizeof(*n));
        if (!n)
            return NULL;
        n->slot[0] = d->root;
        d->root = n;
        d->height++;
    }
    n = d->root;
    for (u32 level = d->height; level > 1; level--) {
        void **s = &n->slot[index >> ((level - 1) * RADIX_BITS) & (RADIX_SLOTS - 1)];

        if (!*s)
            *s = kzalloc(sizeof(*n));
        if (!*s)
            return NULL;
        n = *s;
    }
    return &n->slot[index & (RADIX_SLOTS - 1)];
}

static void release_page(struct mem_inode *m, void *page)
{
    struct mem_super *s = mem_super_of(&m->i);

    if (page == MEM_HOLE)
        return;
    m->data.pages--;
    __atomic_sub_fetch(&s->pages, 1, __ATOMIC_RELAXED);
    if (m->data.pins) {
        *(void **)page = m->data.deferred;
        m->data.deferred = page;
    } else {
        page_free(page, 1);
    }
}

/* Free the pages of [first, last] (indexes) below node; returns true when the node is empty and was
 * freed. */
static bool radix_prune(struct mem_inode *m, struct radix_node *n, u32 level, u64 base, u64 first,
                        u64 last)
{
    u64 step = 1ull << ((level - 1) * RADIX_BITS);
    bool empty = true;

    for (u32 k = 0; k < RADIX_SLOTS; k++) {
        u64 from = base + k * step;

        if (!n->slot[k])
            continue;
        if (from > last || from + (step - 1) < first) {
            empty = false;
        } else if (level == 1) {
            release_page(m, n->slot[k]);
            n->slot[k] = NULL;
        } else if (radix_prune(m, n->slot[k], level - 1, from, first, last)) {
            n->slot[k] = NULL;
        } else {
            empty = false;
        }
    }
    if (empty)
        kfree(n);
    return empty;
}

void mem_drop_pages(struct mem_inode *m, u64 first, u64 last)
{
    if (m->data.root && first <= last &&
        radix_prune(m, m->data.root, m->data.height, 0, first, last)) {
        m->data.root = NULL;
        m->data.height = 0;
    }
}

void mem_data_free(struct mem_inode *m)
{
    m->data.pins = 0;
    mem_drop_pages(m, 0, UINT64_MAX >> PAGE_SHIFT);
}

/* ---- pages; inode->lock held ---- */

static void pin(struct mem_inode *m)
{
    m->data.pins++;
}

static void unpin(struct mem_inode *m)
{
    if (--m->data.pins)
        return;
    while (m->data.deferred) {
        void *page = m->data.deferred;

        m->data.deferred = *(void **)page;
        page_free(page, 1);
    }
}

/* Page `index` as the image has it, zeros behind its end. */
static int read_backing(struct mem_inode *m, u64 index, void *dst)
{
    u64 off = index << PAGE_SHIFT;
    size_t n = off < m->data.backing_end ? (size_t)MIN(m->data.backing_end - off, PAGE_SIZE) : 0;
    ssize_t got = n ? erofs_pread(mem_super_of(&m->i)->erofs, m->backing, off, dst, n) : 0;

    if (got < 0)
        return (int)got;
    if ((size_t)got != n)
        return -EIO;
    memset((u8 *)dst + n, 0, PAGE_SIZE - n);
    return 0;
}

/* A page of our own for `index`; fill: with what the file has there. */
int mem_own_page(struct mem_inode *m, u64 index, bool fill, void **out)
{
    struct mem_super *s = mem_super_of(&m->i);
    void **slot = mem_tree_slot(&m->data, index), *page;
    int r = 0;

    if (!slot)
        return -ENOMEM;
    if (*slot && *slot != MEM_HOLE) {
        *out = *slot;
        return 0;
    }
    if (__atomic_add_fetch(&s->pages, 1, __ATOMIC_RELAXED) > s->page_limit)
        r = -ENOSPC;
    page = r == 0 ? page_alloc(1) : NULL;
    if (!page) {
        __atomic_sub_fetch(&s->pages, 1, __ATOMIC_RELAXED);
        return r < 0 ? r : -ENOSPC;
    }
    if (*slot == MEM_HOLE || !fill)
        memset(page, 0, PAGE_SIZE);
    else
        r = read_backing(m, index, page);
    if (r < 0) {
        page_free(page, 1);
        __atomic_sub_fetch(&s->pages, 1, __ATOMIC_RELAXED);
        return r;
    }
    m->data.pages++;
    *slot = page;
    *out = page;
    return 0;
}

/* What is true for the page: a page mapped shared, else our own, NULL: image or zeros. */
void *mem_current_page(struct mem_inode *m, u64 index)
{
    if (unlikely(!list_empty(&m->i.shared_maps))) {
        void *page = mm_shared_page(&m->i, index << PAGE_SHIFT);

        if (page)
            return page;
    }
    return mem_tree_get(&m->data, index);
}

int mem_read_page(struct inode *i, u64 off, void *dst)
{
    struct mem_inode *m = mem_of(i);
    void *page;
    int r = 0;

    mutex_lock(&i->lock);
    page = mem_tree_get(&m->data, off >> PAGE_SHIFT);
    if (page == MEM_HOLE)
        memset(dst, 0, PAGE_SIZE);
    else if (page)
        memcpy(dst, page, PAGE_SIZE);
    else
        r = read_backing(m, off >> PAGE_SHIFT, dst);
    mutex_unlock(&i->lock);
    return r;
}

int mem_write_page(struct inode *i, u64 off, const void *src, size_t n)
{
    struct mem_inode *m = mem_of(i);
    void *page;
    int r = 0;

    mutex_lock(&i->lock);
    n = off < i->size ? (size_t)MIN(i->size - off, n) : 0;
    if (n)
        r = mem_own_page(m, off >> PAGE_SHIFT, true, &page);
    if (n && r == 0) {
        memcpy(page, src, n);
        i->nid = 0;
        i->mtime = i->ctime = (i64)clock_realtime();
    }
    mutex_unlock(&i->lock);
    return r;
}

/* ---- read ---- */

/* From the image, in pieces; [off, off+n) has no pages of ours. */
static ssize_t read_image(struct mem_inode *m, struct uio *io, u64 off, size_t n)
{
    u8 small[512], *buf = n <= sizeof(small) ? small : kmalloc(MIN(n, BOUNCE_MAX));
    size_t room = n <= sizeof(small) ? sizeof(small) : MIN(n, BOUNCE_MAX);
    ssize_t done = 0, r = 0;

    if (!buf)
        return -ENOMEM;
    while (n) {
        size_t part = MIN(n, room);

        r = erofs_pread(mem_super_of(&m->i)->erofs, m->backing, off, buf, part);
        if (r == 0)
            r = -EIO;
        if (r > 0)
            r = uio_to(io, buf, (size_t)r);
        if (r <= 0)
            break;
        done += r;
        off += (u64)r;
        n -= (size_t)r;
    }
    if (buf != small)
        kfree(buf);
    return done ? done : r;
}

/* A page in a shared mapping lies in user memory: through a buffer, under the lock. */
static ssize_t read_shared(struct mem_inode *m, struct uio *io, u64 off, size_t n)
{
    u8 *buf = page_alloc(1);
    void *page;
    ssize_t r = 0;

    if (!buf)
        return -ENOMEM;
    mutex_lock(&m->i.lock);
    page = mem_current_page(m, off >> PAGE_SHIFT);
    if (page && page != MEM_HOLE)
        memcpy(buf, page, PAGE_SIZE);
    else if (page)
        memset(buf, 0, PAGE_SIZE);
    else
        r = read_backing(m, off >> PAGE_SHIFT, buf);
    mutex_unlock(&m->i.lock);
    if (r == 0)
        r = uio_to(io, buf + (off & ~PAGE_MASK), n);
    page_free(buf, 1);
    return r;
}

/* As much as one look at the tree allows: a run of our pages, of holes, or of the image. 0 at the
 * end of the file. */
static ssize_t read_run(struct mem_inode *m, struct uio *io, u64 off)
{
    void *pages[BATCH];
    u64 index = off >> PAGE_SHIFT, size, backing_end;
    u32 count = 0, kind; /* 0 image or zero, 1 pages */
    size_t n, skip = off & ~PAGE_MASK;
    ssize_t done = 0, r;

    mutex_lock(&m->i.lock);
    size = m->i.size;
    backing_end = m->data.backing_end;
    if (off >= size) {
        mutex_unlock(&m->i.lock);
        return 0;
    }
    n = MIN(io->left, (size_t)(size - off));
    if (unlikely(!list_empty(&m->i.shared_maps))) {
        mutex_unlock(&m->i.lock);
        return read_shared(m, io, off, MIN(n, PAGE_SIZE - skip));
    }
    do {
        pages[count] = mem_tree_get(&m->data, index + count);
        kind = pages[0] != NULL;
        count++;
    } while (count < BATCH && ((u64)count << PAGE_SHIFT) - skip < n &&
             (mem_tree_get(&m->data, index + count) != NULL) == kind);
    n = MIN(n, ((size_t)count << PAGE_SHIFT) - skip);
    if (kind)
        pin(m);
    mutex_unlock(&m->i.lock);

    if (!kind) {
        if (off < backing_end)
            return read_image(m, io, off, MIN(n, (size_t)(backing_end - off)));
        return uio_zero(io, n);
    }
    r = 0;
    for (u32 k = 0; k < count && n; k++) {
        size_t part = MIN(n, PAGE_SIZE - skip);

        r = pages[k] == MEM_HOLE ? uio_zero(io, part) : uio_to(io, (u8 *)pages[k] + skip, part);
        if (r <= 0)
            break;
        done += r;
        n -= (size_t)r;
        if ((size_t)r < part)
            break;
        skip = 0;
    }
    mutex_lock(&m->i.lock);
    unpin(m);
    mutex_unlock(&m->i.lock);
    return done ? done : r;
}

static ssize_t mem_read(struct file *f, struct uio *io, u64 *pos)
{
    struct mem_inode *m = mem_of(f->inode);
    ssize_t done = 0, r = 0;

    while (io->left) {
        r = read_run(m, io, *pos);
        if (r <= 0)
            break;
        done += r;
        *pos += (u64)r;
    }
    return done ? done : r;
}

/* ---- write ---- */

/* Into pages mapped shared: from a buffer, under the lock. */
static ssize_t write_shared(struct mem_inode *m, struct uio *io, u64 off, size_t n)
{
    u8 *buf = page_alloc(1);
    ssize_t r;

    if (!buf)
        return -ENOMEM;
    r = uio_from(io, buf, n);
    if (r > 0) {
        void *page;
        int e;

        mutex_lock(&m->i.lock);
        e = mem_own_page(m, off >> PAGE_SHIFT, true, &page);
        if (e == 0) {
            memcpy((u8 *)page + (off & ~PAGE_MASK), buf, (size_t)r);
            mm_shared_write(&m->i, off, buf, (size_t)r);
            m->i.size = MAX(m->i.size, off + (u64)r);
        }
        mutex_unlock(&m->i.lock);
        r = e < 0 ? e : r;
    }
    page_free(buf, 1);
    return r;
}

/* Some pages' worth at off; write_lock held. */
static ssize_t write_run(struct mem_inode *m, struct uio *io, u64 off)
{
    void *pages[BATCH];
    u32 count = 0;
    size_t n, skip = off & ~PAGE_MASK, room;
    ssize_t done = 0, r = 0;

    n = MIN(io->left, BATCH * PAGE_SIZE - skip);
    if (unlikely(!list_empty(&m->i.shared_maps)))
        return write_shared(m, io, off, MIN(n, PAGE_SIZE - skip));
    mutex_lock(&m->i.lock);
    while (((size_t)count << PAGE_SHIFT) < n + skip) {
        /* A page overwritten as a whole needs no copy of the image's, unless the copy from the user
         * stops midway. */
        r = mem_own_page(m, (off >> PAGE_SHIFT) + count, true, &pages[count]);
        if (r < 0)
            break;
        count++;
    }
    pin(m);
    mutex_unlock(&m->i.lock);
    room = (size_t)count << PAGE_SHIFT;
    n = room > skip ? MIN(n, room - skip) : 0;
    for (u32 k = 0; k < count && n; k++) {
        size_t part = MIN(n, PAGE_SIZE - skip);

        r = uio_from(io, (u8 *)pages[k] + skip, part);
        if (r <= 0)
            break;
        done += r;
        n -= (size_t)r;
        if ((size_t)r < part)
            break;
        skip = 0;
    }
    mutex_lock(&m->i.lock);
    if (done)
        m->i.size = MAX(m->i.size, off + (u64)done);
    unpin(m);
    mutex_unlock(&m->i.lock);
    return done ? done : r;
}

static u64 size_limit(void)
{
    struct process *p = fs_process();
    u64 soft = p ? p->rlimits[LIMIT_FSIZE].soft : UINT64_MAX;

    return MIN(soft, (u64)INT64_MAX);
}

static ssize_t write_limited(struct mem_inode *m, struct uio *io, u64 *pos)
{
    ssize_t done = 0, r = 0;
    u64 limit = size_limit();

    if (io->left && *pos >= limit) {
        if (limit < INT64_MAX)
            signal_send_thread(current(), &(struct siginfo_k){.signo = 25, .code = 0x80});
        return -EFBIG;
    }
    io->left = (size_t)MIN((u64)io->left, limit - *pos);
    while (io->left) {
        r = write_run(m, io, *pos);
        if (r <= 0)
            break;
        done += r;
        *pos += (u64)r;
    }
    return done ? done : r;
}

static ssize_t mem_write(struct file *f, struct uio *io, u64 *pos)
{
    struct mem_inode *m = mem_of(f->inode);
    struct inode *i = f->inode;
    ssize_t r;

    mutex_lock(&m->data.write_lock);
    if (f->flags & O_APPEND)
        *pos = i->size;
    if (unlikely(i->seals) && io->left) {
        if (i->seals & SEAL_WRITES) {
            mutex_unlock(&m->data.write_lock);
            return -EPERM;
        }
        if ((i->seals & SEAL_GROW) &&
            *pos + io->left > i->size) { /* pages that end within the file can be written */
            if (PAGE_DOWN(i->size) <= *pos) {
                mutex_unlock(&m->data.write_lock);
                return -EPERM;
            }
            io->left = (size_t)(PAGE_DOWN(i->size) - *pos);
        }
    }
    r = write_limited(m, io, pos);
    if (r > 0) {
        i->nid = 0;
        i->mtime = i->ctime = (i64)clock_realtime();
        i->mode = inode_mode_after_write(i);
    }
    mutex_unlock(&m->data.write_lock);
    return r;
}

static i64 mem_seek(struct file *f, i64 off, int whence)
{
    if (whence == SEEK_DATA || whence == SEEK_HOLE)
        return mem_seek_data_hole(f, off, whence == SEEK_DATA);
    return generic_seek(f, off, whence, f->inode->size);
}

static const struct file_ops g_mem_regular_ops = {
    .read = mem_read,
    .write = mem_write,
    .seek = mem_seek,
    .fallocate = mem_fallocate,
};

int mem_open(struct inode *i, struct file *f)
{
    f->ops = &g_mem_regular_ops;
    return 0;
}

const struct inode_ops g_mem_file_ops = {
    MEM_COMMON_OPS,
    .open = mem_open,
    .read_page = mem_read_page,
    .write_page = mem_write_page,
};
