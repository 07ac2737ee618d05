/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork: an mm at the same addresses with the same content. Few pages, and those that are written at
 * once anyway, are copied; the rest of a big process stays in place, for both, until one of them
 * writes (docs/design/memory.md has what each costs).
 */
#include "internal.h"
#include "fs.h"

#define COPY_PAGES        128 /* a process with fewer private pages than this is copied */
#define COPY_PAGES_OF_VMA 32  /* and small parts of bigger ones: .data, the stack in use */
#define BREAK_AROUND      16  /* pages that are written one after the other */

static int clone_vmas(struct mm *parent, struct mm *child)
{
    for (struct vma *v = vma_next_from(parent, 0); v; v = vma_after(v)) {
        if (v->flags & VMA_DONTFORK)
            continue;
        struct vma *n = kmalloc(sizeof(*n));
        if (!n)
            return -ENOMEM;
        *n = *v;
        n->flags &= ~VMA_LOCKED;
        child->total += (v->end - vma_start(v)) >> PAGE_SHIFT;
        child->vma_count++;
        if (n->file)
            file_get(n->file);
        if (n->flags & VMA_CANONICAL)
            shared_get(vma_start(n));
        rb_insert(&child->vmas, &n->node);
    }
    return 0;
}

static bool is_private(const struct vma *v)
{
    return !(v->flags & (MAP_SHARED | VMA_CANONICAL)) && !vma_clean(v);
}

/* Up to max. */
static u64 count_pages(const struct vma *v, u64 max)
{
    u64 n = 0;
    for (u64 a = page_next_accepted(vma_start(v), v->end); a < v->end && n < max;
         a = page_next_accepted(a + PAGE_SIZE, v->end))
        n++;
    return n;
}

static bool is_big(struct mm *mm)
{
    u64 n = 0;
    for (struct vma *v = vma_next_from(mm, 0); v && n < COPY_PAGES; v = vma_after(v))
        if (is_private(v))
            n += count_pages(v, COPY_PAGES);
    return n >= COPY_PAGES;
}

static int share_one(struct mm *parent, struct mm *child, u64 addr)
{
    int r = share_set(child, addr);
    if (r < 0)
        return r;
    r = share_set(parent, addr);
    if (r == 0)
        page_set_flag(addr, PG_COW, true);
    else
        share_clear(child,
                    addr); /* or its end would take the parent's page for a place of its own */
    return r;
}

/* The pages of v: those that are not shared stay for the child, and the parent gets copies. */
static int fork_vma(struct mm *parent, struct mm *child, struct vma *v, bool share)
{
    u64 start = vma_start(v);
    int r = 0;
    for (u64 a = page_next_accepted(start, v->end); r == 0 && a < v->end;
         a = page_next_accepted(a + PAGE_SIZE, v->end))
        if (page_state(a) & PG_COW)
            r = share_one(parent, child, a);
        else if (!group_fresh(v, a))
            r = share ? share_one(parent, child, a) : saved_add(parent, a, (void *)a);
    /* W goes in few calls to the host, whatever became of the loop: PG_COW never has it. */
    int p = pages_protect(start, v->end - start, v->prot);
    return r < 0 ? r : p;
}

/* MADV_WIPEONFORK: the parent's pages are kept for it, and the child has fresh ones. */
static int fork_wiped(struct mm *parent, struct mm *child, struct vma *v)
{
    u64 start = vma_start(v);
    int r = group_own(parent, start, v->end - start);
    saved_free_range(child, start, v->end - start);
    for (u64 a = page_next_accepted(start, v->end); r == 0 && a < v->end;
         a = page_next_accepted(a + PAGE_SIZE, v->end)) {
        if (group_fresh(v, a))
            continue;
        r = saved_add(parent, a, (void *)a);
        if (r == 0)
            r = vma_refill_page(child, v, a);
    }
    int p = pages_protect(start, v->end - start, v->prot);
    return r < 0 ? r : p;
}

/* The fork failed: what was kept for the parent comes back into place. */
static void unwipe(struct mm *parent)
{
    for (struct vma *v = vma_next_from(parent, 0); v; v = vma_after(v)) {
        if (!(v->flags & VMA_WIPE) || !(v->prot & PG_PERMS))
            continue;
        for (u64 a = saved_next(parent, vma_start(v)); a < v->end;
             a = saved_next(parent, a + PAGE_SIZE))
            saved_take(parent, a, v->prot); /* the place is there: it cannot fail */
        pages_protect(vma_start(v), v->end - vma_start(v), v->prot);
    }
}

/* What is not writable costs nothing to share: there is no W to take away. */
static bool shares(const struct vma *v, bool big)
{
    if (!pages_dynamic())
        return false;
    return !(v->prot & PG_W) || (big && count_pages(v, COPY_PAGES_OF_VMA) == COPY_PAGES_OF_VMA);
}

static int fork_pages(struct mm *parent, struct mm *child)
{
    int r = saved_copy_all(parent, child); /* of PROT_NONE ranges */
    bool big = is_big(parent);
    for (struct vma *v = vma_next_from(parent, 0); v && r == 0; v = vma_after(v))
        if (v->flags & VMA_DONTFORK)
            continue;
        else if (v->flags & VMA_WIPE)
            r = fork_wiped(parent, child, v);
        else if (is_private(v))
            r = fork_vma(parent, child, v, shares(v, big));
    return r;
}

static struct mm *child_of(struct mm *parent)
{
    struct mm *child = kzalloc(sizeof(*child));
    if (!child)
        return NULL;
    ref_init(&child->refs);
    child->brk_start = parent->brk_start;
    child->brk = parent->brk;
    child->brk_max = parent->brk_max;
    child->stack_top = parent->stack_top;
    child->membarrier = __atomic_load_n(&parent->membarrier, __ATOMIC_SEQ_CST);
    child->arg_start = parent->arg_start;
    child->arg_end = parent->arg_end;
    child->env_start = parent->env_start;
    child->env_end = parent->env_end;
    memcpy(child->auxv, parent->auxv, sizeof(child->auxv));
    child->auxv_count = parent->auxv_count;
    child->exe = parent->exe ? file_get(parent->exe) : NULL;
    return child;
}

int mm_fork(struct mm *parent, struct mm **out)
{
    /* As with Linux's fork, no write of another thread may be in the child without those before
     * it. */
    int r = residency_alone(parent);
    if (r < 0)
        return r;
    struct mm *child = child_of(parent);
    if (!child) {
        residency_alone_end(parent);
        return -ENOMEM;
    }
    mm_lock(parent);
    struct space *s = parent->space;
    space_add(s, child);
    mm_list_add(child);
    r = clone_vmas(parent, child);
    if (r == 0)
        r = fork_pages(parent, child);
    if (r == 0) {
        s->resident = child; /* it runs first */
    } else {
        unwipe(parent);
        saved_drop_in_place(parent);
    }
    mm_unlock(parent);
    residency_alone_end(parent);
    if (r < 0) {
        mm_put(child);
        return r;
    }
    *out = child;
    return 0;
}

/* Its neighbours are the caller's own and written already: a range is being filled. */
static bool fills(const struct vma *v, u64 addr)
{
    u64 before = addr - PAGE_SIZE;
    return before >= vma_start(v) &&
           (page_state(before) & (PG_ACCEPTED | PG_COW | PG_W)) == (PG_ACCEPTED | PG_W);
}

int share_write(struct mm *mm, struct vma *v, u64 addr)
{
    u64 end = fills(v, addr) ? MIN(addr + BREAK_AROUND * PAGE_SIZE, v->end) : addr + PAGE_SIZE;
    int r = group_own(mm, addr, PAGE_SIZE);
    if (r == 0 && end > addr + PAGE_SIZE)
        group_own(mm, addr + PAGE_SIZE, end - addr - PAGE_SIZE); /* may fail: nobody asked */
    return r < 0 ? r : pages_protect(addr, end - addr, v->prot);
}
