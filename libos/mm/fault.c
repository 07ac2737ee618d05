/* SPDX-License-Identifier: Apache-2.0 */
/* Page faults: commit pages with the content that their VMA says, a few around the one that was
 * touched. */
#include "internal.h"
#include "fs.h"

#define AROUND      16  /* pages: what one fault commits */
#define AROUND_FILE 8   /* of a file: each is copied, and most of a program is never run */
#define SHARED_MANY 512 /* of shared memory: from here on */
#define AROUND_MANY 64  /* when the pages below are already there: a big range is being filled */

bool vma_clean(const struct vma *v)
{
    return !v->was_writable && (v->file || (v->flags & VMA_TRAMPOLINE));
}

int vma_load_page(struct mm *mm, struct vma *v, u64 addr, void *page)
{
    if (v->flags & VMA_TRAMPOLINE)
        return sites_fill_trampoline(mm, v, addr, page);
    struct inode *inode = v->file->inode;
    if (!inode || !inode->ops->read_page)
        return -EIO;
    u64 off = v->file_offset + (addr - vma_start(v));
    if (off >= PAGE_UP(inode->size))
        return -EIO; /* SIGBUS, as on Linux */
    int r = inode->ops->read_page(inode, off, page);
    if (r == 0 && v->trampolines)
        sites_patch_page(mm, v, addr, page);
    return r;
}

static u32 page_prot(const struct vma *v)
{
    u32 prot = v->prot & PG_PERMS;
    return prot & (PG_W | PG_X) ? prot | PG_R : prot;
}

int vma_fill_page(struct mm *mm, struct vma *v, u64 addr)
{
    if (v->flags & VMA_CANONICAL)
        return shared_fill_page(v, addr);
    int saved = saved_take(mm, addr, page_prot(v));
    if (saved != -ENOENT)
        return saved;
    if (!v->file)
        return page_commit(addr, page_prot(v));
    void *page = page_alloc(1);
    if (!page)
        return -ENOMEM;
    int r = vma_load_page(mm, v, addr, page);
    if (r == 0)
        r = page_commit_copy(addr, page, page_prot(v));
    page_free(page, 1);
    return r;
}

int vma_refill_page(struct mm *mm, struct vma *v, u64 addr)
{
    page_write_begin(addr);
    int r = 0;
    if (v->file)
        r = vma_load_page(mm, v, addr, (void *)addr);
    else
        memset((void *)addr, 0, PAGE_SIZE);
    if (r < 0)
        pages_trim(addr, PAGE_SIZE); /* or the next access would see what another member had */
    else
        page_set_flag(addr, PG_STALE, false);
    return r;
}

static int fault_locked(struct mm *mm, u64 addr, u32 flags)
{
    struct vma *v = vma_find(mm, addr);
    if (!v)
        v = vma_grow_down(mm, addr);
    if (!v)
        return -EFAULT;
    u32 need = flags & FAULT_WRITE ? PROT_WRITE : flags & FAULT_EXEC ? PROT_EXEC : PROT_READ;
    if (!(page_prot(v) & need) || (v->flags & VMA_GUARD))
        return -EACCES;
    addr = PAGE_DOWN(addr);
    u8 s = page_state(addr);
    if (s & PG_ACCEPTED) {
        int r = s & PG_STALE ? vma_refill_page(mm, v, addr) : 0;
        if (r < 0)
            return r;
        if ((s & PG_COW) && (flags & FAULT_WRITE))
            return share_write(mm, v, addr);
        /* Another thread was faster; or the protection in place lags behind the VMA's. */
        return v->flags & VMA_CANONICAL ? shared_protect(addr, PAGE_SIZE, page_prot(v))
                                        : pages_protect(addr, PAGE_SIZE, page_prot(v));
    }
    u64 block = v->file ? AROUND_FILE : AROUND, around = block;
    if (!v->file && addr >= vma_start(v) + AROUND * PAGE_SIZE &&
        (page_state(addr - PAGE_SIZE) & page_state(addr - AROUND * PAGE_SIZE) & PG_ACCEPTED))
        around = AROUND_MANY;
    if (v->flags & MAP_SHARED) /* mincore() tells which pages of a small one were touched */
        around = v->end - vma_start(v) < SHARED_MANY * PAGE_SIZE ? 0 : around;
    u64 first = MAX(addr & ~(block * PAGE_SIZE - 1), vma_start(v));
    u64 last = MIN((addr & ~(block * PAGE_SIZE - 1)) + around * PAGE_SIZE, v->end);
    int r = vma_fill_page(mm, v, addr);
    for (u64 a = first; r == 0 && a < last; a += PAGE_SIZE)
        if (a != addr && !(page_state(a) & PG_ACCEPTED) && vma_fill_page(mm, v, a) < 0)
            break; /* those that nobody asked for may fail */
    if (r == -ENOMEM)
        log_debug("no enclave memory for the page at 0x%lx of process memory", addr);
    return r;
}

int mm_fault(struct mm *mm, u64 addr, u32 flags)
{
    if (!mm)
        return -EFAULT;
    if (mm_lock_live(mm) < 0)
        return -ENOMEM;
    int r = fault_locked(mm, addr, flags);
    mm_unlock(mm);
    return r;
}

bool mm_page_there(u64 addr, bool write)
{
    u8 s = page_state(addr);
    if (!pages_dynamic()) /* with SGX1 every page is, and RWX for good */
        return s & (PG_ACCEPTED | PG_OPEN);
    return (s & PG_ACCEPTED) && (!write || (s & PG_W));
}

int mm_populate(struct mm *mm, u64 addr, u64 size)
{
    u64 end = PAGE_UP(addr + size);
    int r = 0;
    if (mm_lock_live(mm) < 0)
        return -ENOMEM;
    for (u64 a = PAGE_DOWN(addr); r == 0 && a < end; a += PAGE_SIZE) {
        struct vma *v = vma_find(mm, a);
        u8 s = page_state(a);
        if (!v)
            r = -EFAULT;
        else if (v->flags & VMA_GUARD)
            r = -EFAULT;
        else if (!(s & PG_ACCEPTED))
            r = vma_fill_page(mm, v, a);
        else if (s & PG_STALE) {
            r = vma_refill_page(mm, v, a);
            if (r == 0)
                r = pages_protect(a, PAGE_SIZE, v->prot);
        }
    }
    mm_unlock(mm);
    return r;
}
