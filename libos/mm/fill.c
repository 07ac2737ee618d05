/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines with SGX1. The pages of the user range are there from the start, and the host decides by
 * its page tables whether an access to one faults. It must not decide by that what an application
 * reads: so a page has its content as soon as it is mapped. (An honest host's faults still work:
 * fault.c repairs what may have been missed.)
 */
#include "internal.h"

static int fill_vma(struct mm *mm, struct vma *v, u64 start, u64 end)
{
    u32 prot = v->prot & PG_PERMS;
    int r;
    if (!prot)
        return 0;
    r = pages_open(start, end);
    for (u64 a = start; r == 0 && a < end; a += PAGE_SIZE) {
        u8 s = page_state(a);
        if (!(s & PG_ACCEPTED))
            r = vma_fill_page(mm, v, a);
        else if (s & PG_STALE)
            r = vma_refill_page(mm, v, a);
        if (r == -EIO)
            r = 0; /* behind the end of the file, or damaged: SIGBUS at the access */
    }
    int p = pages_protect(start, end - start, prot & (PG_W | PG_X) ? prot | PG_R : prot);
    pages_close(start, end);
    return r < 0 ? r : p;
}

int mm_fill(struct mm *mm, u64 addr, u64 end)
{
    if (pages_dynamic())
        return 0;
    int r = 0;
    for (struct vma *v = vma_next_from(mm, addr); r == 0 && v && vma_start(v) < end;
         v = vma_after(v)) {
        r = fill_vma(mm, v, MAX(addr, vma_start(v)), MIN(end, v->end));
        /* Its trampolines were made with it, but are elsewhere. */
        struct vma *t = r == 0 && v->trampolines ? vma_find(mm, v->trampolines) : NULL;
        if (t && (vma_start(t) < addr || vma_start(t) >= end))
            r = fill_vma(mm, t, vma_start(t), t->end);
    }
    return r;
}
