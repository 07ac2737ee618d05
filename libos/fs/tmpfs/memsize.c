/* SPDX-License-Identifier: Apache-2.0 */
/* The size of files in memory, their holes, and where their data is. */
#include "memfs.h"
#include "mm.h"

#define SEAL_GROW   4u
#define SEAL_WRITES (8u | 16u) /* F_SEAL_WRITE, F_SEAL_FUTURE_WRITE */

/* Zero [from, to) inside one page; inode->lock held. */
static int zero_part(struct mem_inode *m, u64 from, u64 to)
{
    u64 index = from >> PAGE_SHIFT;
    void *page = mem_tree_get(&m->data, index);

    if (from >= to)
        return 0;
    if (!list_empty(&m->i.shared_maps))
        mm_shared_write(&m->i, from, NULL, to - from);
    if (!page && from < m->data.backing_end) {
        int r = mem_own_page(m, index, true, &page);

        if (r < 0)
            return r;
    }
    if (page && page != MEM_HOLE)
        memset((u8 *)page + (from & ~PAGE_MASK), 0, to - from);
    return 0;
}

/* Mapped pages behind the new end: the file may grow again, and then has zeros there. */
static void zero_mapped(struct inode *i, u64 from, u64 end)
{
    for (u64 p = from; p < end && !list_empty(&i->shared_maps); p += PAGE_SIZE)
        mm_shared_write(i, p, NULL, PAGE_SIZE);
}

int mem_resize(struct mem_inode *m, u64 size)
{
    struct inode *i = &m->i;
    bool cut;

    if (size > INT64_MAX)
        return -EFBIG;
    mutex_lock(&m->data.write_lock);
    mutex_lock(&i->lock);
    cut = size < i->size;
    if (cut) {
        void *page = mem_tree_get(&m->data, size >> PAGE_SHIFT);

        m->data.backing_end = MIN(m->data.backing_end, size);
        if (size & ~PAGE_MASK) {
            if (page && page != MEM_HOLE)
                memset((u8 *)page + (size & ~PAGE_MASK), 0, PAGE_SIZE - (size & ~PAGE_MASK));
            if (!list_empty(&i->shared_maps))
                mm_shared_write(i, size, NULL, PAGE_SIZE - (size & ~PAGE_MASK));
        }
        zero_mapped(i, PAGE_UP(size), i->size);
        mem_drop_pages(m, PAGE_UP(size) >> PAGE_SHIFT, UINT64_MAX >> PAGE_SHIFT);
    }
    if (size != i->size)
        i->nid = 0;
    i->size = size;
    mutex_unlock(&i->lock);
    if (cut)
        mm_cut_file(i, size);
    mutex_unlock(&m->data.write_lock);
    return 0;
}

#define FALLOC_KEEP_SIZE  1
#define FALLOC_PUNCH_HOLE 2
#define FALLOC_ZERO_RANGE 16

static int punch(struct mem_inode *m, u64 off, u64 end)
{
    u64 first = PAGE_UP(off), last = PAGE_DOWN(end);
    int r = 0;

    if (first > last) /* inside one page */
        return zero_part(m, off, end);
    r = zero_part(m, off, first);
    if (r == 0)
        r = zero_part(m, last, end);
    if (r == 0 && first < last) {
        mem_drop_pages(m, first >> PAGE_SHIFT, (last >> PAGE_SHIFT) - 1);
        for (u64 p = first; p < last; p += PAGE_SIZE) {
            void **slot;

            if (!list_empty(&m->i.shared_maps))
                mm_shared_write(&m->i, p, NULL, PAGE_SIZE);
            if (p >= m->data.backing_end) {
                if (list_empty(&m->i.shared_maps))
                    break;
                continue;
            }
            slot = mem_tree_slot(&m->data, p >> PAGE_SHIFT);
            if (!slot)
                return -ENOMEM;
            *slot = MEM_HOLE;
        }
    }
    return r;
}

/* Pages that the file system and the enclave can still give. */
static u64 pages_left(const struct mem_inode *m)
{
    const struct mem_super *s = mem_super_of(&m->i);
    u64 used = __atomic_load_n(&s->pages, __ATOMIC_RELAXED);
    struct mm_totals t;

    mm_totals(&t);
    return MIN(t.free >> PAGE_SHIFT, s->page_limit - MIN(used, s->page_limit));
}

/* Is there room for the pages of the range that are not there? Asked before anything is taken, for
 * the answer to terabytes must not be to fill the memory first. */
static bool has_room(struct mem_inode *m, u64 first, u64 end)
{
    u64 left = pages_left(m), need = first < end ? end - first : 0;

    for (u64 p = first; need > left && (p = mem_tree_next(&m->data, p)) < end; p++)
        need--;
    return need <= left;
}

static int preallocate(struct mem_inode *m, u64 off, u64 end)
{
    u64 first = off >> PAGE_SHIFT, last = PAGE_UP(end) >> PAGE_SHIFT, p = first;
    int r = has_room(m, MAX(first, m->data.backing_end >> PAGE_SHIFT), last) ? 0 : -ENOSPC;

    for (; r == 0 && p < last; p++) {
        void *page;

        if (p << PAGE_SHIFT < m->data.backing_end && !mem_tree_get(&m->data, p))
            continue; /* the image's space */
        r = fs_process() && fs_process()->group_exit ? -EINTR : mem_own_page(m, p, true, &page);
    }
    /* What was taken behind the end of the file belongs to nobody. */
    if (r < 0 && p > PAGE_UP(m->i.size) >> PAGE_SHIFT)
        mem_drop_pages(m, MAX(first, PAGE_UP(m->i.size) >> PAGE_SHIFT), p);
    return r == -ENOMEM ? -ENOSPC : r;
}

int mem_fallocate(struct file *f, int mode, u64 off, u64 len)
{
    struct mem_inode *m = mem_of(f->inode);
    struct inode *i = f->inode;
    u64 end = off + len;
    int r;

    if (mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE))
        return -EOPNOTSUPP;
    if ((mode & FALLOC_PUNCH_HOLE) && (!(mode & FALLOC_KEEP_SIZE) || (mode & FALLOC_ZERO_RANGE)))
        return -EOPNOTSUPP;
    if ((i->seals & SEAL_WRITES && mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) ||
        (i->seals & SEAL_GROW && !(mode & FALLOC_KEEP_SIZE) && end > i->size))
        return -EPERM;
    mutex_lock(&m->data.write_lock);
    mutex_lock(&i->lock);
    if (mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE))
        r = punch(m, off, MIN(end, PAGE_UP(i->size)) > off ? MIN(end, PAGE_UP(i->size)) : off);
    else
        r = preallocate(m, off, end);
    if (r == 0) {
        if (!(mode & FALLOC_KEEP_SIZE) && end > i->size)
            i->size = end;
        i->nid = 0;
        i->mode = inode_mode_after_write(i);
        i->mtime = i->ctime = (i64)clock_realtime();
    }
    mutex_unlock(&i->lock);
    mutex_unlock(&m->data.write_lock);
    return r;
}

/* SEEK_DATA, SEEK_HOLE page by page. */
i64 mem_seek_data_hole(struct file *f, i64 off, bool data)
{
    struct mem_inode *m = mem_of(f->inode);
    i64 r = -ENXIO;

    mutex_lock(&f->inode->lock);
    if (off >= 0 && (u64)off < f->inode->size) {
        u64 p = (u64)off;

        while (p < f->inode->size) {
            void *page = mem_current_page(m, p >> PAGE_SHIFT);
            bool is_data = page ? page != MEM_HOLE : p < m->data.backing_end;

            if (is_data == data)
                break;
            p = PAGE_DOWN(p) + PAGE_SIZE;
            /* Over a gap in one step: it may be terabytes. */
            if (!page && !is_data && list_empty(&m->i.shared_maps)) {
                u64 next = mem_tree_next(&m->data, p >> PAGE_SHIFT);

                p = next > f->inode->size >> PAGE_SHIFT ? f->inode->size
                                                        : MAX(p, next << PAGE_SHIFT);
            }
        }
        if (p < f->inode->size)
            r = (i64)p;
        else if (!data)
            r = (i64)f->inode->size;
        if (r >= 0)
            f->pos = (u64)r;
    }
    mutex_unlock(&f->inode->lock);
    return r;
}
