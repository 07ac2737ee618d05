/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MAP_SHARED. A page of an enclave has one address, so a file that several processes map shared is
 * at the same, canonical, address in all of them: a range that belongs to the shared space. What is
 * in place there is the truth for the file while it is mapped (files ask mm_shared_page()); when
 * the last mapping goes, pages go back to the file. A process that maps a part again gets the same
 * addresses, and the VMA counts how often it must be unmapped.
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
/*
 * States of pages at canonical addresses: several processes, each with its own mm->lock, fault on
 * them, protect them, and write to them as a file. Innermost but for spinlocks.
 */
static struct mutex g_page_lock;
static struct list_head g_ranges = LIST_HEAD_INIT(g_ranges);

int shared_protect(u64 addr, u64 size, u32 prot)
{
    mutex_lock(&g_page_lock);
    int e = pages_protect(addr, size, prot);
    mutex_unlock(&g_page_lock);
    return e;
}

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

/*
 * The addresses of a file have room for it to grow: who maps a part that is not covered needs them
 * in one piece. What is mapped now must do for a file that is larger than that: one that is mostly
 * holes, or of which the host says so.
 */
static u64 take_range(u64 mapped, u64 file_size, u64 *size)
{
    const u64 wishes[] = {MAX(mapped, file_size), mapped};
    for (u32 i = 0; i < 2; i++) {
        for (u64 times = 2; times > 0; times--) {
            if (wishes[i] > space_size() / times)
                continue;
            *size = space_shared_round(wishes[i] * times);
            u64 base = space_find_shared(*size);
            if (base)
                return base;
        }
    }
    return 0;
}

static struct shared_range *range_for(struct inode *inode, u64 off, u64 size)
{
    struct shared_range *r;
    bool known = false;
    list_for_each_entry (r, &g_ranges, all) {
        if (r->inode != inode)
            continue;
        if (off >= r->offset && off + size <= r->offset + r->size)
            return r;
        known = true;
    }
    if (known) {
        /* Pages of it are at other addresses, and would be there twice. */
        log_warn("a shared file mapping of %lu MiB outgrew the addresses kept for the file",
                 size >> 20);
        return NULL;
    }
    u64 room;
    u64 base = take_range(off + size, PAGE_UP(inode->size), &room);
    r = base ? kzalloc(sizeof(*r)) : NULL;
    if (!r) {
        if (base)
            space_free_shared(base, room);
        return NULL;
    }
    r->inode = inode_get(inode);
    r->base = base;
    r->size = room;
    mutex_lock(&inode->lock);
    if (!inode->shared_maps.next)
        list_init(&inode->shared_maps);
    list_add(&r->in_inode, &inode->shared_maps);
    mutex_unlock(&inode->lock);
    list_add(&r->all, &g_ranges);
    return r;
}

static void shared_put(u64 addr);

/* One more mapping of what v maps already: it has the permissions of both. */
static void map_again(struct vma *v, u32 prot, u32 locked, struct file *file)
{
    v->copies++;
    v->flags |= locked;
    if ((prot & PROT_WRITE) && (v->file->flags & 3) != 2) {
        file_get(file);
        file_put(v->file);
        v->file = file;
    }
    if (prot & ~v->prot) {
        v->prot |= prot;
        shared_protect(vma_start(v), v->end - vma_start(v), v->prot);
    }
}

/* mm->lock held: VMAs for [addr, addr + size), where some may be already. */
static int map_range_locked(struct mm *mm, u64 addr, u64 size, u32 prot, u32 locked,
                            struct file *file, u64 off)
{
    u64 end = addr + size;
    int e = vma_split(mm, addr);
    if (e == 0)
        e = vma_split(mm, end);
    for (u64 a = addr; e == 0 && a < end;) {
        struct vma *v = vma_next_from(mm, a);
        u64 next = v ? MIN(vma_start(v), end) : end;
        if (next > a) {
            shared_get(a);
            e = vma_insert(mm, a, next - a, prot, MAP_SHARED | VMA_CANONICAL | locked, file,
                           off + (a - addr), true);
            if (e < 0)
                shared_put(a);
            else
                shared_protect(a, next - a, prot);
        }
        if (e == 0 && next < end) {
            map_again(v, prot, locked, file);
            next = v->end;
        }
        a = next;
    }
    return e;
}

i64 shared_map(struct mm *mm, u64 addr, u64 size, u32 prot, u32 locked, struct file *file, u64 off)
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
    if (r) {
        r->mappings++; /* ours, while the VMAs are made */
        r->writable |= at >= 0 && (prot & PROT_WRITE);
    }
    mutex_unlock(&g_lock);
    if (at >= 0) {
        int e = mm_lock_live(mm);
        if (e == 0) {
            e = map_range_locked(mm, (u64)at, size, prot, locked, file, off);
            if (e == 0 && (e = mm_fill(mm, (u64)at, (u64)at + size)) < 0)
                unmap_locked(mm, (u64)at, size);
            mm_unlock(mm);
        }
        if (e < 0)
            at = e;
    }
    if (r)
        shared_put(r->base);
    return at;
}

int shared_grow_locked(struct mm *mm, struct vma *v, u64 new_end)
{
    u64 addr = v->end;
    mutex_lock(&g_lock);
    struct shared_range *r = range_at(addr - 1);
    bool room = r && new_end <= r->base + r->size;
    mutex_unlock(&g_lock);
    struct vma *next = vma_after(v);
    if (!room || (next && vma_start(next) < new_end))
        return -ENOMEM;
    v->end = new_end;
    mm->total += (new_end - addr) >> PAGE_SHIFT;
    return mm_fill(mm, addr, new_end);
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
    mutex_lock(&g_page_lock);
    if (e == 0 && !(page_state(addr) & PG_ACCEPTED)) /* another process may have been faster */
        e = page_commit_copy(addr, page, v->prot | PROT_READ);
    mutex_unlock(&g_page_lock);
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

static void shared_put(u64 addr)
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

void shared_unmap(struct vma *v)
{
    shared_put(vma_start(v));
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

void mm_shared_write(struct inode *inode, u64 off, const void *data, size_t n)
{
    u8 *page = mm_shared_page(inode, off & PAGE_MASK);
    if (!page)
        return;
    u8 *at = page + (off & ~PAGE_MASK);
    mutex_lock(&g_page_lock);
    u32 perms = page_write_begin((u64)page);
    if (data)
        memcpy(at, data, n);
    else
        memset(at, 0, n);
    page_write_end((u64)page, perms);
    mutex_unlock(&g_page_lock);
}
