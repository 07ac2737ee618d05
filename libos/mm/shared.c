/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MAP_SHARED. A page of an enclave has one address, so a file that several processes map shared is
 * at the same, canonical, address in all of them: a range that belongs to the shared space. What is
 * in place there is the truth for the file while it is mapped (files ask mm_shared_page()); when
 * the last mapping goes, pages go back to the file.
 *
 * Anonymous shared memory needs none of this: the members of a fork group see it in place.
 */
#include "internal.h"
#include "fs.h"

struct shared_range {
    struct list_head in_inode; /* inode->shared_maps, under inode->lock */
    struct list_head all;
    struct inode *inode;
    u64 base, size, offset; /* offset: in the file, of base */
    u32 mappings;           /* VMAs */
    bool writable;
};

static struct mutex g_lock;
static struct list_head g_ranges = LIST_HEAD_INIT(g_ranges);

static struct shared_range *range_at(u64 addr)
{
    struct shared_range *r;
    list_for_each_entry (r, &g_ranges, all)
        if (addr >= r->base && addr < r->base + r->size)
            return r;
    return NULL;
}

void shared_get(u64 addr)
{
    mutex_lock(&g_lock);
    struct shared_range *r = range_at(addr);
    if (r)
        r->mappings++;
    mutex_unlock(&g_lock);
}

static struct shared_range *range_for(struct inode *inode, u64 off, u64 size)
{
    struct shared_range *r;
    list_for_each_entry (r, &g_ranges, all)
        if (r->inode == inode && off >= r->offset && off + size <= r->offset + r->size)
            return r;
    /* From the file's start, with room to grow, so that later mappings of other parts find
     * themselves here. */
    u64 want = PAGE_UP(MAX(off + size, inode->size));
    u64 base = space_find_shared(want);
    r = base ? kzalloc(sizeof(*r)) : NULL;
    if (!r)
        return NULL;
    r->inode = inode_get(inode);
    r->base = base;
    r->size = want;
    mutex_lock(&inode->lock);
    if (!inode->shared_maps.next)
        list_init(&inode->shared_maps);
    list_add(&r->in_inode, &inode->shared_maps);
    mutex_unlock(&inode->lock);
    list_add(&r->all, &g_ranges);
    return r;
}

i64 shared_map(struct mm *mm, u64 addr, u64 size, u32 prot, u32 flags, struct file *file, u64 off)
{
    struct inode *inode = file->inode;
    if (!inode || !inode->ops->read_page)
        return -ENODEV;
    if ((prot & PROT_WRITE) && (file->flags & 3) != 2)
        return -EACCES;
    if ((file->flags & 3) == 1)
        return -EACCES;
    mutex_lock(&g_lock);
    struct shared_range *r = range_for(inode, off, size);
    i64 at = r ? (i64)(r->base + (off - r->offset)) : -ENOMEM;
    if (r && addr && addr != (u64)at) {
        log_warn("a shared file mapping at a fixed address other than the enclave's one for that "
                 "file is not possible");
        at = -ENOMEM;
    }
    if (at >= 0) {
        r->mappings++;
        r->writable |= prot & PROT_WRITE;
    }
    mutex_unlock(&g_lock);
    if (at < 0)
        return at;
    mm_lock(mm);
    /* The same part twice in one process is one mapping here. */
    struct vma *old = vma_next_from(mm, (u64)at);
    int e = 0;
    if (old && vma_start(old) < (u64)at + size)
        e = unmap_locked(mm, (u64)at, size);
    if (e == 0)
        e = vma_insert(mm, (u64)at, size, prot, MAP_SHARED | VMA_CANONICAL, file, off, true);
    if (e == 0)
        pages_protect((u64)at, size, prot);
    if (e == 0 && (e = mm_fill(mm, (u64)at, (u64)at + size)) < 0)
        unmap_locked(mm, (u64)at, size);
    mm_unlock(mm);
    return e < 0 ? e : at;
}

int shared_fill_page(struct vma *v, u64 addr)
{
    mutex_lock(&g_lock);
    struct shared_range *r = range_at(addr);
    mutex_unlock(&g_lock);
    if (!r)
        return -EIO;
    u64 off = r->offset + (addr - r->base);
    if (off >= PAGE_UP(r->inode->size))
        return -EIO;
    void *page = page_alloc(1);
    if (!page)
        return -ENOMEM;
    int e = r->inode->ops->read_page(r->inode, off, page);
    if (e == 0)
        e = page_commit_copy(addr, page, v->prot | PROT_READ);
    page_free(page, 1);
    return e;
}

static void write_back(struct shared_range *r, u64 addr, u64 end)
{
    if (!r->writable || !r->inode->ops->write_page)
        return;
    for (u64 a = page_next_accepted(addr, end); a < end;
         a = page_next_accepted(a + PAGE_SIZE, end)) {
        u64 off = r->offset + (a - r->base);
        if (off < r->inode->size)
            r->inode->ops->write_page(r->inode, off, (void *)a,
                                      MIN(PAGE_SIZE, r->inode->size - off));
    }
}

void shared_unmap(struct vma *v, u64 addr, u64 size)
{
    mutex_lock(&g_lock);
    struct shared_range *r = range_at(addr);
    if (!r) {
        mutex_unlock(&g_lock);
        return;
    }
    bool last = --r->mappings == 0;
    if (last)
        list_del(&r->all);
    mutex_unlock(&g_lock);
    if (!last)
        return;
    write_back(r, r->base, r->base + r->size);
    mutex_lock(&r->inode->lock);
    list_del(&r->in_inode);
    mutex_unlock(&r->inode->lock);
    pages_trim(r->base, r->size);
    space_free_shared(r->base, r->size);
    inode_put(r->inode);
    kfree(r);
}

int mm_sync(struct mm *mm, u64 addr, u64 size)
{
    int e = 0;
    mm_lock(mm);
    for (u64 a = addr; e == 0 && a < addr + size;) {
        struct vma *v = vma_find(mm, a);
        if (!v) {
            e = -ENOMEM;
            break;
        }
        if (v->flags & VMA_CANONICAL) {
            mutex_lock(&g_lock);
            struct shared_range *r = range_at(a);
            mutex_unlock(&g_lock);
            if (r)
                write_back(r, a, MIN(v->end, addr + size));
        }
        a = v->end;
    }
    mm_unlock(mm);
    return e;
}

void *mm_shared_page(struct inode *inode, u64 off)
{
    struct shared_range *r;
    if (!inode->shared_maps.next)
        return NULL;
    list_for_each_entry (r, &inode->shared_maps, in_inode) {
        if (off < r->offset || off >= r->offset + r->size)
            continue;
        u64 a = r->base + (PAGE_DOWN(off) - r->offset);
        u8 s = page_state(a);
        if ((s & PG_ACCEPTED) && (s & PG_R))
            return (void *)a;
    }
    return NULL;
}
