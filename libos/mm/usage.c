/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory a process uses: counted when somebody asks, so that faults need not count. */
#include "internal.h"

/*
 * In a fork group the pages in place are the resident member's. Those of the others at the same
 * addresses are saved copies of about the same number, so what is in place is told for all of them.
 */
u64 mm_resident(const struct vma *v)
{
    u64 count = 0;
    for (u64 a = page_next_accepted(vma_start(v), v->end); a < v->end;
         a = page_next_accepted(a + PAGE_SIZE, v->end))
        count++;
    return count;
}

struct usage_walk {
    struct mm *mm;
    struct mm_usage *out;
};

static int count_vma(const struct vma *v, void *ctx)
{
    struct usage_walk *w = ctx;
    u64 pages = (v->end - vma_start(v)) >> PAGE_SHIFT, there = mm_resident(v);
    bool shared = v->flags & MAP_SHARED;
    w->out->total += pages;
    if (v->flags & VMA_LOCKED)
        w->out->locked += pages;
    if (shared)
        w->out->shared += there;
    else if (v->file)
        w->out->file += there;
    else
        w->out->anon += there;
    if (vma_start(v) < w->mm->stack_top && w->mm->stack_top <= v->end)
        w->out->stack += pages;
    else if (v->prot & PROT_EXEC)
        w->out->code += pages;
    else if (!shared && (v->prot & PROT_WRITE))
        w->out->data += pages;
    return 0;
}

void mm_usage(struct mm *mm, struct mm_usage *out)
{
    struct usage_walk w = {mm, out};
    memset(out, 0, sizeof(*out));
    mm_for_each(mm, count_vma, &w);
}
