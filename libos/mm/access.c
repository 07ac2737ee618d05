/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of a process for others: its command line, process_vm_readv, /proc/PID/mem. The process
 * need not be resident: a page may be in place, saved, shared with the members of its group, or not
 * there at all (group.c says when which).
 */
#include "internal.h"
#include "fs.h"

/* Where the content of mm's page is now, for reading; NULL: in no memory yet. */
static const void *content_of(struct mm *mm, struct vma *v, u64 page)
{
    const void *saved = saved_content(mm, page);
    u8 state = page_state(page);
    if (saved)
        return saved;
    bool in_place = !mm->space->shared || (v->flags & VMA_CANONICAL) ||
                    group_has_in_place(mm, v, page);
    bool there = (state & PG_ACCEPTED) && (state & PG_R) && !(state & PG_STALE);
    return in_place && there ? (const void *)page : NULL;
}

/* The content that a page of v which is not there has, into a LibOS page. */
static int first_content(struct mm *mm, struct vma *v, u64 page, void *to)
{
    if (v->file)
        return vma_load_page(mm, v, page, to);
    memset(to, 0, PAGE_SIZE);
    return 0;
}

static int read_page(struct mm *mm, struct vma *v, u64 addr, void *buf, size_t n)
{
    u64 page = PAGE_DOWN(addr);
    const char *src = content_of(mm, v, page);
    void *fresh = NULL;
    int r = 0;
    if (!src) {
        src = fresh = page_alloc(1);
        r = fresh ? first_content(mm, v, page, fresh) : -ENOMEM;
    }
    if (r == 0)
        memcpy(buf, src + (addr - page), n);
    if (fresh)
        page_free(fresh, 1);
    return r;
}

/* A page of nobody else's content: mm's own in place, where it may be written. */
static int write_in_place(u64 addr, const void *buf, size_t n)
{
    u64 page = PAGE_DOWN(addr);
    u32 perms = page_write_begin(page);
    memcpy((void *)addr, buf, n);
    page_write_end(page, perms);
    return 0;
}

/* mm is not resident, or its page has no place: the page becomes a saved copy of its own. */
static int write_saved(struct mm *mm, struct vma *v, u64 addr, const void *buf, size_t n)
{
    u64 page = PAGE_DOWN(addr);
    const void *now = content_of(mm, v, page);
    char *copy = page_alloc(1);
    int r = copy ? 0 : -ENOMEM;
    if (r == 0 && now)
        memcpy(copy, now, PAGE_SIZE);
    else if (r == 0)
        r = first_content(mm, v, page, copy);
    if (r == 0) {
        memcpy(copy + (addr - page), buf, n);
        r = saved_replace(mm, page, copy);
    }
    if (copy)
        page_free(copy, 1);
    return r;
}

static int write_private(struct mm *mm, struct vma *v, u64 addr, const void *buf, size_t n)
{
    u64 page = PAGE_DOWN(addr);
    bool resident = !mm->space->shared || mm->space->resident == mm;
    if (vma_clean(v)) {
        /* As mprotect(PROT_WRITE): who sees the file's page in place as well gets it anew. */
        v->was_writable = true;
    }
    if (!resident || !(v->prot & PG_PERMS))
        return write_saved(mm, v, addr, buf, n);
    int r = 0;
    if (!(page_state(page) & PG_ACCEPTED))
        r = vma_fill_page(mm, v, page);
    else if (page_state(page) & PG_STALE)
        r = vma_refill_page(mm, v, page);
    if (r == 0)
        r = group_own(mm, page, PAGE_SIZE);
    return r < 0 ? r : write_in_place(addr, buf, n);
}

static int write_shared(struct mm *mm, struct vma *v, u64 addr, const void *buf, size_t n)
{
    u64 page = PAGE_DOWN(addr);
    if (saved_content(mm, page) || !(v->prot & PG_PERMS))
        return -EFAULT; /* its one place is somebody else's for now */
    int r = 0;
    if (!(page_state(page) & PG_ACCEPTED))
        r = vma_fill_page(mm, v, page);
    return r < 0 ? r : write_in_place(addr, buf, n);
}

static int access_page(struct mm *mm, u64 addr, void *buf, size_t n, bool write, bool force)
{
    struct vma *v = mm->doomed ? NULL : vma_find(mm, addr);
    if (!v || (v->flags & VMA_TRAMPOLINE))
        return -EFAULT;
    bool shared = v->flags & (MAP_SHARED | VMA_CANONICAL);
    if (v->flags & VMA_GUARD)
        return -EFAULT;
    if (!(v->prot & (write ? PROT_WRITE : PROT_READ | PROT_EXEC)) && !(force && !(write && shared)))
        return -EFAULT;
    if (!write)
        return read_page(mm, v, addr, buf, n);
    return shared ? write_shared(mm, v, addr, buf, n) : write_private(mm, v, addr, buf, n);
}

size_t mm_access(struct mm *mm, u64 addr, void *buf, size_t size, bool write, bool force)
{
    size_t done = 0;
    mm_lock(mm);
    while (done < size && addr + done >= addr) {
        size_t n = MIN(size - done, PAGE_SIZE - ((addr + done) & ~PAGE_MASK));
        if (access_page(mm, addr + done, (char *)buf + done, n, write, force) < 0)
            break;
        done += n;
    }
    mm_unlock(mm);
    return done;
}

size_t mm_peek(struct mm *mm, u64 addr, void *buf, size_t size)
{
    return mm_access(mm, addr, buf, size, false, true);
}
