/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fork groups: several mms at the same addresses. One of them is resident: its private pages are in
 * place.
 *
 * What is true of a page P in a shared space, under space->lock:
 *   - the resident covers P with a VMA: what is in place is the resident's, alone or (PG_COW) in
 *     common with the members that share it (saved.c);
 *   - otherwise a PG_COW page is that of its sharers, and any other belongs to the one mm that was
 *     resident last and covers P, unless it is STALE (nobody's);
 *   - a page that a non-resident mm touched and that another member covers too is in mm->saved,
 *     except pages that it shares in place, and clean pages of one file, which all members that map
 *     them there see in place;
 *   - a page of shared memory is in place for all who map it, or all of them have one saved frame
 *     of it: when somebody who has something else at P was resident after them.
 * VMAs of a non-resident mm do not change, for only its own threads change them, and they need
 * residency for that.
 *
 * When no memory is left for a switch, the member that has the most is doomed, as by Linux's OOM
 * killer: it owns nothing any more, is never resident again, and its processes are killed. Threads
 * of a doomed mm go on without residency (current()->mm is NULL) to their end: they reach no user
 * memory (usercopy.c) and change no mapping (mm_lock_live()).
 */
#include "internal.h"
#include "fs.h"

/* ---- who covers what ---- */

/* Two opens of one file of the sealed image are one content, which nobody can change. */
static bool same_file(const struct file *a, const struct file *b)
{
    return a == b ||
           (a && b && a->inode && b->inode && a->inode->nid && a->inode->nid == b->inode->nid);
}

static bool same_pages(const struct vma *a, const struct vma *b, u64 addr)
{
    if (a->flags & b->flags & MAP_SHARED)
        return true;
    if (!vma_clean(a) || !vma_clean(b) ||
        (a->flags & VMA_TRAMPOLINE) != (b->flags & VMA_TRAMPOLINE) || !same_file(a->file, b->file))
        return false;
    if (a->flags & VMA_TRAMPOLINE)
        return vma_start(a) == vma_start(b) && a->file_offset == b->file_offset &&
               a->first_site == b->first_site;
    return a->trampolines == b->trampolines &&
           a->file_offset + (addr - vma_start(a)) == b->file_offset + (addr - vma_start(b));
}

static void doom(struct mm *mm, bool in_place);

enum cover { COVER_NONE, COVER_SAME, COVER_OTHER };

/* What another member than mm has at addr. */
static struct vma *vma_of_other(const struct mm *mm, struct mm *m, u64 addr)
{
    return m == mm || m->doomed ? NULL : vma_find(m, addr);
}

/* How the other members of the space cover the page at addr of v. */
static enum cover covered(struct mm *mm, const struct vma *v, u64 addr)
{
    enum cover c = COVER_NONE;
    struct mm *m;
    list_for_each_entry (m, &mm->space->members, member) {
        struct vma *w = vma_of_other(mm, m, addr);
        if (w && same_pages(v, w, addr))
            c = MAX(c, COVER_SAME);
        else if (w)
            return COVER_OTHER;
    }
    return c;
}

/* All that others have in the range is as w has it. */
static bool all_as(struct mm *mm, const struct vma *w)
{
    struct mm *m;
    list_for_each_entry (m, &mm->space->members, member)
        for (struct vma *o = m == mm || m->doomed ? NULL : vma_next_from(m, vma_start(w));
             o && vma_start(o) < w->end; o = vma_after(o))
            if (!same_pages(o, w, MAX(vma_start(o), vma_start(w))))
                return false;
    return true;
}

/* ---- switching ---- */

/* Pages of the file or of nobody stay as they are; shared ones belong to those who share them. */
static bool leaves_with(struct mm *r, const struct vma *v, u64 addr)
{
    return !(page_state(addr) & (PG_STALE | PG_COW)) && covered(r, v, addr) == COVER_OTHER;
}

bool group_fresh(const struct vma *v, u64 addr)
{
    return !v->file && memory_is_zero((const void *)addr, PAGE_SIZE);
}

/* The private page of zeros in place, which r leaves, is all that next has there as well. */
static bool fresh_for(struct mm *next, const struct vma *w, u64 addr)
{
    return w && !w->file && !(w->flags & MAP_SHARED) && !vma_clean(w) &&
           (vma_access(w) & PG_PERMS) && !saved_content(next, addr);
}

/* The private page at addr of r, which next has otherwise: 0 when it is saved. */
static int save_private(struct mm *r, const struct vma *v, struct mm *next, u64 addr)
{
    struct vma *w = next ? vma_find(next, addr) : NULL;
    if (group_fresh(v, addr)) {
        page_set_flag(addr, PG_STALE, !fresh_for(next, w, addr));
        return 0;
    }
    if (w && (w->prot & PG_PERMS) && saved_exchange(r, next, addr))
        return 0; /* without an allocation; in place now: next's */
    if (saved_add(r, addr, (void *)addr) < 0)
        return -ENOMEM;
    page_set_flag(addr, PG_STALE, true);
    return 0;
}

int group_save_out(struct mm *r, struct mm *next)
{
    for (struct vma *v = vma_next_from(r, 0); v; v = vma_after(v)) {
        if ((v->flags & VMA_CANONICAL) || (vma_clean(v) && all_as(r, v)))
            continue;
        for (u64 a = page_next_owned(vma_start(v), v->end); a < v->end;
             a = page_next_owned(a + PAGE_SIZE, v->end)) {
            if (!leaves_with(r, v, a))
                continue;
            if (!(v->flags & MAP_SHARED) && !vma_clean(v)) {
                if (save_private(r, v, next, a) < 0)
                    return -ENOMEM;
                continue;
            }
            if ((v->flags & MAP_SHARED) && saved_add_shared(r->space, a, NULL) < 0)
                return -ENOMEM;
            page_set_flag(a, PG_STALE, true);
        }
    }
    return 0;
}

/* What others share where mm has a page of its own, or none yet, makes room. */
static int shares_give_way(struct mm *mm, struct vma *v)
{
    for (u64 a = page_next_with(vma_start(v), v->end, PG_COW); a < v->end;
         a = page_next_with(a + PAGE_SIZE, v->end, PG_COW)) {
        if (share_test(mm, a))
            continue;
        if (share_break(mm->space, a, NULL) < 0)
            return -ENOMEM;
        page_set_flag(a, PG_STALE, true);
    }
    return 0;
}

/* The pages of v that are in place and nobody's become what a page never touched is. */
static void refill_stale(struct mm *mm, struct vma *v)
{
    for (u64 a = page_next_with(vma_start(v), v->end, PG_STALE); a < v->end;
         a = page_next_with(a + PAGE_SIZE, v->end, PG_STALE)) {
        if (vma_access(v) & PG_PERMS)
            vma_refill_page(mm, v, a);
        else
            pages_trim(a, PAGE_SIZE);
    }
}

/* The saved pages of v whose place is there, or can be had. */
static int take_saved(struct mm *mm, struct vma *v)
{
    /* Pages of a PROT_NONE range stay saved, and the place empty. */
    if (!(vma_access(v) & PG_PERMS))
        return 0;
    for (u64 a = saved_next(mm, vma_start(v)); a < v->end; a = saved_next(mm, a + PAGE_SIZE))
        if (saved_take(mm, a, v->prot) < 0 && !pages_dynamic())
            return -ENOMEM; /* else the fault that wants it tries again, and may end the process */
    return 0;
}

static int load_in(struct mm *mm)
{
    for (struct vma *v = vma_next_from(mm, 0); v; v = vma_after(v)) {
        if (!(v->flags & VMA_CANONICAL)) {
            int r = shares_give_way(mm, v);
            if (r == 0)
                r = take_saved(mm, v);
            if (r < 0)
                return r;
            refill_stale(mm, v);
        }
        pages_protect(vma_start(v), v->end - vma_start(v), vma_access(v));
    }
    return mm_fill(mm, 0, UINT64_MAX);
}

/* ---- when memory ends ---- */

/* About how many pages m has for itself, while old is the resident or was it just now. */
static u64 weight(struct mm *m, const struct mm *old)
{
    u64 n = 0;
    for (u64 a = saved_next(m, 0); a != UINT64_MAX; a = saved_next(m, a + PAGE_SIZE))
        n++;
    for (struct vma *v = vma_next_from(m, 0); v; v = vma_after(v)) {
        if ((v->flags & (MAP_SHARED | VMA_CANONICAL)) || vma_clean(v))
            continue;
        for (u64 a = page_next_accepted(vma_start(v), v->end); a < v->end;
             a = page_next_accepted(a + PAGE_SIZE, v->end))
            n += page_state(a) & PG_COW
                     ? share_test(m, a)
                     : m == old && !(page_state(a) & PG_STALE) && !group_fresh(v, a);
    }
    return n;
}

/* The shared page in place stays for those who map it but mm; without memory for that they end. */
static void leave_shared(struct mm *mm, u64 addr)
{
    struct mm *m;
    if (saved_add_shared(mm->space, addr, mm) == 0)
        return;
    list_for_each_entry (m, &mm->space->members, member) {
        struct vma *w = vma_of_other(mm, m, addr);
        if (w && (w->flags & MAP_SHARED))
            doom(m, false);
    }
}

/* mm owns nothing any more. in_place: what is there where others map something is nobody's. */
static void doom(struct mm *mm, bool in_place)
{
    for (struct vma *v = in_place ? vma_next_from(mm, 0) : NULL; v; v = vma_after(v)) {
        if (v->flags & VMA_CANONICAL)
            continue;
        for (u64 a = page_next_accepted(vma_start(v), v->end); a < v->end;
             a = page_next_accepted(a + PAGE_SIZE, v->end))
            if (leaves_with(mm, v, a)) {
                if (v->flags & MAP_SHARED)
                    leave_shared(mm, a);
                page_set_flag(a, PG_STALE, true);
            }
    }
    mm->doomed = mm->space->to_kill = true;
    saved_free_range(mm, 0, UINT64_MAX);
    if (mm->space->resident == mm)
        mm->space->resident = NULL;
}

static struct mm *choose_victim(struct space *s, struct mm *mm)
{
    struct mm *m, *victim = mm;
    u64 most = 0;
    list_for_each_entry (m, &s->members, member) {
        u64 n = m->doomed ? 0 : weight(m, s->resident);
        if (n > most) {
            victim = m;
            most = n;
        }
    }
    return victim;
}

void group_undo_save_out(struct mm *r, struct mm *next)
{
    for (u64 a = saved_next(r, 0); next && a != UINT64_MAX; a = saved_next(r, a + PAGE_SIZE))
        if ((page_state(a) & (PG_ACCEPTED | PG_STALE)) == PG_ACCEPTED)
            saved_exchange(next, r, a);
    /* All places are there: this wants no memory, but for r's files with SGX1. */
    if (load_in(r) < 0)
        doom(r, true);
}

static int make_way(struct space *s, struct mm *mm)
{
    while (s->resident && group_save_out(s->resident, mm) < 0) {
        struct mm *old = s->resident;
        group_undo_save_out(old, mm);
        if (!s->resident)
            break;
        struct mm *victim = choose_victim(s, mm);
        doom(victim, victim == old);
        if (mm->doomed) /* with the victim perhaps, as it shares memory with it */
            return -ENOMEM;
    }
    return 0;
}

int group_switch(struct space *s, struct mm *mm)
{
    if (s->resident == mm)
        return 0;
    if (make_way(s, mm) < 0)
        return -ENOMEM;
    while (load_in(mm) < 0) {
        struct mm *victim = choose_victim(s, mm);
        doom(victim, victim == mm);
        if (!mm->doomed)
            continue;
        if (victim != mm)
            doom(mm, true);
        if (s->resident)
            group_undo_save_out(s->resident, NULL);
        return -ENOMEM;
    }
    s->resident = mm;
    return 0;
}

/* ---- pages that go ---- */

/* The page in place, which mm leaves, is also somebody else's place, or his page: it stays. */
static bool stays(struct mm *mm, u64 addr, bool resident)
{
    bool shares = share_test(mm, addr);
    share_clear(mm, addr);
    if (page_state(addr) & PG_COW) {
        if (!shares || share_any(mm->space, addr))
            return true;
        page_set_flag(addr, PG_COW, false);
    }
    struct vma *v = vma_find(mm, addr);
    enum cover c = v ? covered(mm, v, addr) : COVER_SAME;
    if (c == COVER_OTHER && resident && (v->flags & MAP_SHARED) && !(page_state(addr) & PG_STALE))
        leave_shared(mm, addr);
    if (c == COVER_OTHER && (resident || shares))
        page_set_flag(addr, PG_STALE, true);
    return c != COVER_NONE;
}

void group_drop_pages(struct mm *mm, u64 addr, u64 size)
{
    saved_free_range(mm, addr, size);
    u64 end = addr + size,
        from = addr; /* neighbours go at once: giving pages back costs by the run */
    bool resident = mm->space->resident == mm;
    for (u64 a = page_next_accepted(addr, end); mm->space->shared && a < end;
         a = page_next_accepted(a + PAGE_SIZE, end)) {
        if (!stays(mm, a, resident))
            continue;
        pages_trim(from, a - from);
        from = a + PAGE_SIZE;
    }
    pages_trim(from, end - from);
}

bool group_has_in_place(struct mm *mm, const struct vma *v, u64 addr)
{
    struct mm *r = mm->space->resident;
    const struct vma *w = !r || r == mm ? NULL : vma_find(r, addr);
    if (page_state(addr) & PG_COW)
        return share_test(mm, addr);
    return !w || (page_state(addr) & PG_STALE) || same_pages(v, w, addr);
}

void group_cut(struct mm *mm, struct vma *v, u64 addr)
{
    u64 from = addr; /* neighbours go at once */
    struct mm *m;
    saved_free_range(mm, addr, v->end - addr);
    for (u64 a = page_next_accepted(addr, v->end); mm->space->shared && a < v->end;
         a = page_next_accepted(a + PAGE_SIZE, v->end)) {
        if (!group_has_in_place(mm, v, a)) {
            pages_trim(from, a - from);
            from = a + PAGE_SIZE;
            continue;
        }
        /* Who shares the page has it from the same file, which is cut for him as well. */
        list_for_each_entry (m, &mm->space->members, member)
            share_clear(m, a);
    }
    pages_trim(from, v->end - from);
}

int group_own(struct mm *mm, u64 addr, u64 size)
{
    u64 end = addr + size;
    int r = 0;
    for (u64 a = page_next_with(addr, end, PG_COW); r == 0 && a < end;
         a = page_next_with(a + PAGE_SIZE, end, PG_COW))
        if (share_test(mm, a))
            r = share_break(mm->space, a, mm);
    return r;
}

/* Whoever has the page at addr in place gets it saved. mm itself maps nothing there. */
static int save_for_owner(struct mm *mm, u64 addr)
{
    u8 state = page_state(addr);
    if (state & PG_COW)
        return share_break(mm->space, addr, NULL);
    if (state & PG_STALE)
        return 0;
    struct mm *m;
    list_for_each_entry (m, &mm->space->members, member) {
        struct vma *w = vma_of_other(mm, m, addr);
        if (!w || vma_clean(w) || saved_content(m, addr))
            continue;
        if (w->flags & MAP_SHARED)
            return saved_add_shared(mm->space, addr, mm);
        if (saved_add(m, addr, (void *)addr) < 0)
            return -ENOMEM;
    }
    return 0;
}

bool group_alike(struct mm *mm, u64 addr, u64 size)
{
    struct mm *m;
    list_for_each_entry (m, &mm->space->members, member) {
        const struct vma *w = vma_of_other(mm, m, addr);
        if (w && (w->flags & VMA_TRAMPOLINE) && vma_start(w) == addr && w->end == addr + size)
            return all_as(mm, w);
    }
    return false;
}

const struct vma *group_twin(struct mm *mm, u64 addr, u64 size, u32 prot, struct file *file,
                             u64 off)
{
    struct mm *m;
    if (!mm->space->shared || !file || (prot & PROT_WRITE))
        return NULL;
    list_for_each_entry (m, &mm->space->members, member) {
        const struct vma *w = vma_of_other(mm, m, addr);
        if (!w || vma_start(w) != addr || w->end != addr + size || w->prot != prot ||
            w->file_offset != off || (w->flags & (MAP_SHARED | VMA_TRAMPOLINE)) || !vma_clean(w) ||
            !same_file(w->file, file))
            continue;
        return all_as(mm, w) ? w : NULL;
    }
    return NULL;
}

bool group_shares_at(struct mm *mm, u64 addr, u64 size)
{
    struct mm *m;
    list_for_each_entry (m, &mm->space->members, member)
        for (struct vma *w = m == mm || m->doomed ? NULL : vma_next_from(m, addr);
             w && vma_start(w) < addr + size; w = vma_after(w))
            if (w->flags & MAP_SHARED)
                return true;
    return false;
}

void group_keep(struct mm *mm, u64 addr, u64 size)
{
    u64 end = addr + size;
    for (u64 a = page_next_with(addr, end, PG_STALE); a < end;
         a = page_next_with(a + PAGE_SIZE, end, PG_STALE))
        pages_trim(a, PAGE_SIZE);
}

int group_evict(struct mm *mm, u64 addr, u64 size)
{
    u64 end = addr + size, a = addr;
    int r = 0;
    if (mm->space->shared)
        for (a = page_next_accepted(addr, end); a < end;
             a = page_next_accepted(a + PAGE_SIZE, end)) {
            r = save_for_owner(mm, a);
            if (r < 0)
                break;
        }
    else
        a = end; /* nothing is there, but for pages added at load time */
    pages_trim(addr, MIN(a, end) - addr);
    return r;
}

void group_forget(struct mm *mm)
{
    u64 start = 0, end = 0; /* neighbouring VMAs go at once, too */
    for (struct vma *v = vma_next_from(mm, 0); v; v = vma_next_from(mm, 0)) {
        if (v->flags & VMA_CANONICAL) {
            shared_unmap(v);
        } else if (mm->space->shared) {
            group_drop_pages(mm, vma_start(v), v->end - vma_start(v));
        } else {
            if (vma_start(v) != end) {
                pages_trim(start, end - start);
                start = vma_start(v);
            }
            end = v->end;
        }
        vma_destroy(mm, v);
    }
    pages_trim(start, end - start);
    saved_free_range(mm, 0, UINT64_MAX);
    share_free_all(mm);
}
