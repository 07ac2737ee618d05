/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fork groups: several mms at the same addresses. One of them is resident: its private pages are in
 * place.
 *
 * What is true of a page P in a shared space, under space->lock:
 *   - the resident covers P with a VMA: what is in place is the resident's;
 *   - otherwise what is in place belongs to the one mm that was resident last and covers P, unless
 *     it is STALE (nobody's);
 *   - a page that a non-resident mm touched and that another member covers too is in mm->saved,
 *     except clean pages of one file, which all members that map them there see in place.
 * VMAs of a non-resident mm do not change, for only its own threads change them, and they need
 * residency for that.
 *
 * Who waits: a thread in mm_enter() of a mm that is not resident. It queues; when the resident's
 * last thread leaves (blocks, ends, execs) the first of the queue goes next. A waiter that sees no
 * progress for a slice asks the resident's threads to give the range up on their next way back to
 * user code.
 */
#include "internal.h"
#include "fs.h"
#include "process.h"

#define SLICE_NS 10000000ul

/* ---- saved pages: mm->saved maps the page address to a copy ---- */
struct saved_page {
    struct rb_node node;
    void *frame;
};

static int saved_add(struct mm *mm, u64 addr, const void *content)
{
    struct saved_page *s = kmalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->frame = page_alloc(1);
    if (!s->frame) {
        kfree(s);
        return -ENOMEM;
    }
    memcpy(s->frame, content, PAGE_SIZE);
    s->node.key = addr;
    rb_insert(&mm->saved, &s->node);
    return 0;
}

static struct saved_page *saved_find(struct mm *mm, u64 addr)
{
    struct rb_node *n = rb_find(&mm->saved, addr);
    return n ? container_of(n, struct saved_page, node) : NULL;
}

static void saved_drop(struct mm *mm, struct saved_page *s)
{
    rb_erase(&mm->saved, &s->node);
    page_free(s->frame, 1);
    kfree(s);
}

int saved_take(struct mm *mm, u64 addr, u32 prot)
{
    struct saved_page *s = saved_find(mm, addr);
    if (!s)
        return -ENOENT;
    int r = page_commit_copy(addr, s->frame, prot);
    if (r == 0)
        saved_drop(mm, s);
    return r;
}

int saved_put(struct mm *mm, u64 addr)
{
    int r = saved_add(mm, addr, (void *)addr);
    if (r == 0)
        pages_trim(addr, PAGE_SIZE);
    return r;
}

void saved_move(struct mm *mm, u64 from, u64 to, u64 size)
{
    struct rb_node *n;
    for (u64 a = from; (n = rb_find_ge(&mm->saved, a)) && n->key < from + size; a += PAGE_SIZE) {
        a = n->key;
        rb_erase(&mm->saved, n);
        n->key = to + (a - from);
        rb_insert(&mm->saved, n);
    }
}

void saved_free_range(struct mm *mm, u64 addr, u64 size)
{
    struct rb_node *n;
    while ((n = rb_find_ge(&mm->saved, addr)) && n->key < addr + size)
        saved_drop(mm, container_of(n, struct saved_page, node));
}

/* ---- who covers what ---- */
static bool same_pages(const struct vma *a, const struct vma *b, u64 addr)
{
    if (a->flags & b->flags & MAP_SHARED)
        return true;
    if (!vma_clean(a) || !vma_clean(b) ||
        (a->flags & VMA_TRAMPOLINE) != (b->flags & VMA_TRAMPOLINE))
        return false;
    if (a->flags & VMA_TRAMPOLINE)
        return a->file == b->file && vma_start(a) == vma_start(b) &&
               a->file_offset == b->file_offset;
    return a->file == b->file && a->trampolines == b->trampolines &&
           a->file_offset + (addr - vma_start(a)) == b->file_offset + (addr - vma_start(b));
}

enum cover { COVER_NONE, COVER_SAME, COVER_OTHER };

/* How the other members of the space cover the page at addr of v. */
static enum cover covered(struct mm *mm, const struct vma *v, u64 addr)
{
    enum cover c = COVER_NONE;
    struct mm *m;
    list_for_each_entry (m, &mm->space->members, member) {
        struct vma *w = m == mm ? NULL : vma_find(m, addr);
        if (w && same_pages(v, w, addr))
            c = MAX(c, COVER_SAME);
        else if (w)
            return COVER_OTHER;
    }
    return c;
}

/* ---- switching ---- */
void group_save_out(struct mm *r, struct mm *next)
{
    for (struct vma *v = vma_next_from(r, 0); v; v = vma_after(v)) {
        if (v->flags & (MAP_SHARED | VMA_CANONICAL))
            continue;
        u64 start = vma_start(v);
        for (u64 a = page_next_accepted(start, v->end); a < v->end;
             a = page_next_accepted(a + PAGE_SIZE, v->end)) {
            if (page_state(a) & PG_STALE)
                continue;
            enum cover c = covered(r, v, a);
            if (c != COVER_OTHER)
                continue;
            if (!vma_clean(v)) {
                struct saved_page *n = next ? saved_find(next, a) : NULL;
                if (n && (vma_find(next, a)->prot & PG_PERMS)) {
                    /* Exchange with what comes in: no allocation. */
                    u32 perms = page_write_begin(a);
                    u64 *x = (u64 *)a, *y = n->frame;
                    for (u32 i = 0; i < PAGE_SIZE / 8; i++) {
                        u64 t = x[i];
                        x[i] = y[i];
                        y[i] = t;
                    }
                    page_write_end(a, perms);
                    rb_erase(&next->saved, &n->node);
                    rb_insert(&r->saved, &n->node);
                    continue; /* in place now: next's */
                }
                if (saved_add(r, a, (void *)a) < 0)
                    panic(
                        "out of enclave memory while switching between forked processes: raise the "
                        "container's memory limit");
            }
            page_set_flag(a, PG_STALE, true);
        }
    }
}

static void load_in(struct mm *mm)
{
    struct rb_node *next;
    for (struct rb_node *n = rb_first(&mm->saved); n; n = next) {
        struct saved_page *s = container_of(n, struct saved_page, node);
        u64 a = n->key;
        next = rb_next(n);
        if (!(vma_find(mm, a)->prot & PG_PERMS)) {
            /* PROT_NONE: it stays where it is, and the place stays empty. */
            if (page_state(a) & PG_ACCEPTED)
                pages_trim(a, PAGE_SIZE);
            continue;
        }
        if (page_state(a) & PG_ACCEPTED) {
            u32 perms = page_write_begin(a);
            memcpy((void *)a, s->frame, PAGE_SIZE);
            page_write_end(a, perms);
            page_set_flag(a, PG_STALE, false);
        } else if (page_commit_copy(a, s->frame, PROT_READ | PROT_WRITE) < 0) {
            panic("out of enclave memory while switching between forked processes: raise the "
                  "container's memory "
                  "limit");
        }
        saved_drop(mm, s);
    }
    for (struct vma *v = vma_next_from(mm, 0); v; v = vma_after(v)) {
        u64 start = vma_start(v);
        if (!(v->flags & (MAP_SHARED | VMA_CANONICAL)))
            for (u64 a = page_next_accepted(start, v->end); a < v->end;
                 a = page_next_accepted(a + PAGE_SIZE, v->end))
                if (page_state(a) & PG_STALE) {
                    if (v->prot & PG_PERMS)
                        vma_refill_page(mm, v, a);
                    else
                        pages_trim(a, PAGE_SIZE);
                }
        pages_protect(start, v->end - start, v->prot);
    }
    if (mm_fill(mm, 0, UINT64_MAX) < 0)
        panic("out of enclave memory while switching between forked processes: raise "
              "enclave.memory");
}

static void switch_to(struct space *s, struct mm *mm)
{
    if (s->resident == mm)
        return;
    if (s->resident)
        group_save_out(s->resident, mm);
    load_in(mm);
    s->resident = mm;
    s->wanted = false;
}

void group_preempt(struct mm *r)
{
    struct process *p;
    struct thread *t;
    mutex_lock(&g_process_lock);
    list_for_each_entry (p, &g_processes, all) {
        if (p->mm != r)
            continue;
        list_for_each_entry (t, &p->threads, siblings)
            if (t->mm == r)
                thread_notify(t, ATTENTION_GROUP);
    }
    mutex_unlock(&g_process_lock);
}

struct queued {
    struct list_head link;
    struct mm *mm;
};

/* Under s->lock: make mm resident if it is its turn. q NULL: it has not queued. */
static bool try_enter(struct space *s, struct mm *mm, const struct queued *q)
{
    if (s->resident == mm && !s->wanted)
        return true;
    bool idle = !s->resident || s->resident == mm ||
                !__atomic_load_n(&s->resident->active, __ATOMIC_SEQ_CST);
    bool turn = q ? s->queue.next == &q->link : list_empty(&s->queue);
    if (!idle || !turn)
        return false;
    switch_to(s, mm);
    s->wanted = false;
    return true;
}

static void enter_shared(struct mm *mm)
{
    struct queued q = {.mm = mm};
    struct wait_entry e;
    struct space *queued_in = NULL;
    for (;;) {
        struct space *s = mm->space;
        mutex_lock(&s->lock);
        if (queued_in && queued_in != s) { /* a join moved our mm: queue there */
            mutex_unlock(&s->lock);
            mutex_lock(&queued_in->lock);
            list_del(&q.link);
            mutex_unlock(&queued_in->lock);
            waitq_remove(&e);
            queued_in = NULL;
            continue;
        }
        if (mm->space != s) {
            mutex_unlock(&s->lock);
            continue;
        }
        if (try_enter(s, mm, queued_in ? &q : NULL)) {
            __atomic_add_fetch(&mm->active, 1, __ATOMIC_SEQ_CST);
            if (queued_in)
                list_del(&q.link);
            mutex_unlock(&s->lock);
            if (queued_in) {
                waitq_remove(&e);
                waitq_wake(&s->waiters, UINT32_MAX);
            }
            return;
        }
        if (!queued_in) {
            list_add_tail(&q.link, &s->queue);
            waitq_add(&s->waiters, &e);
            queued_in = s;
        }
        mutex_unlock(&s->lock);
        if (thread_wait(clock_monotonic() + SLICE_NS, false, NULL, 0) == -ETIMEDOUT) {
            mutex_lock(&s->lock);
            struct mm *r = s->resident;
            s->wanted = r != NULL;
            if (r && !ref_get_live(&r->refs))
                r = NULL; /* it is being destroyed, and then is no resident any more */
            mutex_unlock(&s->lock);
            if (r) {
                group_preempt(r);
                mm_put(r);
            }
        }
    }
}

void mm_enter(struct mm *mm)
{
    struct thread *t = current();
    if (!mm || t->mm == mm)
        return;
    BUG_ON(t->mm);
    __atomic_add_fetch(&mm->active, 1, __ATOMIC_SEQ_CST);
    if (unlikely(__atomic_load_n(&mm->space->shared, __ATOMIC_SEQ_CST))) {
        __atomic_sub_fetch(&mm->active, 1, __ATOMIC_SEQ_CST);
        enter_shared(mm);
    }
    t->mm = mm;
}

void mm_leave(struct mm *mm)
{
    struct thread *t = current();
    if (!mm || t->mm != mm)
        return;
    t->mm = NULL;
    struct space *s = mm->space;
    if (__atomic_sub_fetch(&mm->active, 1, __ATOMIC_SEQ_CST) == 0 && s->shared)
        waitq_wake(&s->waiters, UINT32_MAX);
}

void mm_yield(void)
{
    struct mm *mm = current()->mm;
    if (!mm || !mm->space->shared)
        return;
    mm_leave(mm);
    mm_enter(mm);
}

/* ---- fork ---- */
static int clone_vmas(struct mm *parent, struct mm *child)
{
    for (struct vma *v = vma_next_from(parent, 0); v; v = vma_after(v)) {
        struct vma *n = kmalloc(sizeof(*n));
        if (!n)
            return -ENOMEM;
        *n = *v;
        if (n->file)
            file_get(n->file);
        if (n->flags & VMA_CANONICAL)
            shared_get(vma_start(n));
        rb_insert(&child->vmas, &n->node);
    }
    child->total = parent->total;
    return 0;
}

/* Copies of from's private pages: those in place go to `to`, those of PROT_NONE ranges to the
 * child. */
static int copy_private(struct mm *from, struct mm *to, struct mm *child)
{
    for (struct rb_node *n = rb_first(&from->saved); n; n = rb_next(n))
        if (saved_add(child, n->key, container_of(n, struct saved_page, node)->frame) < 0)
            return -ENOMEM;
    for (struct vma *v = vma_next_from(from, 0); v; v = vma_after(v)) {
        if ((v->flags & (MAP_SHARED | VMA_CANONICAL)) || vma_clean(v))
            continue;
        u64 start = vma_start(v);
        for (u64 a = page_next_accepted(start, v->end); a < v->end;
             a = page_next_accepted(a + PAGE_SIZE, v->end)) {
            if (saved_add(to, a, (void *)a) < 0)
                return -ENOMEM;
        }
    }
    return 0;
}

/* A fork that failed: what was copied of pages that are in place. */
static void drop_copies(struct mm *mm)
{
    struct rb_node *next;
    for (struct rb_node *n = rb_first(&mm->saved); n; n = next) {
        next = rb_next(n);
        if (page_state(n->key) & PG_ACCEPTED)
            saved_drop(mm, container_of(n, struct saved_page, node));
    }
}

int mm_fork(struct mm *parent, struct mm **out)
{
    struct mm *child = kzalloc(sizeof(*child));
    if (!child)
        return -ENOMEM;
    ref_init(&child->refs);
    child->brk_start = parent->brk_start;
    child->brk = parent->brk;
    child->brk_max = parent->brk_max;
    child->stack_top = parent->stack_top;
    child->arg_start = parent->arg_start;
    child->arg_end = parent->arg_end;
    child->env_start = parent->env_start;
    child->env_end = parent->env_end;
    memcpy(child->auxv, parent->auxv, sizeof(child->auxv));
    child->auxv_count = parent->auxv_count;
    child->exe = parent->exe ? file_get(parent->exe) : NULL;

    mm_lock(parent);
    struct space *s = parent->space;
    s->resident = parent;
    __atomic_store_n(&s->shared, true, __ATOMIC_SEQ_CST);
    space_add(s, child);
    /* Alone in it, the caller hands the range to the child, which runs first; else the child gets
     * the copies. */
    bool alone = __atomic_load_n(&parent->active, __ATOMIC_SEQ_CST) == 1;
    int r = clone_vmas(parent, child);
    if (r == 0)
        r = copy_private(parent, alone ? parent : child, child);
    if (r == 0 && alone)
        s->resident = child;
    mm_unlock(parent);
    if (r < 0) {
        drop_copies(parent);
        mm_put(child);
        return r;
    }
    mm_leave(parent);
    *out = child;
    return 0;
}

/* ---- pages that go ---- */
void group_drop_pages(struct mm *mm, u64 addr, u64 size)
{
    saved_free_range(mm, addr, size);
    if (!mm->space->shared) {
        pages_trim(addr, size);
        return;
    }
    bool resident = mm->space->resident == mm;
    u64 end = addr + size;
    for (u64 a = page_next_accepted(addr, end); a < end;
         a = page_next_accepted(a + PAGE_SIZE, end)) {
        struct vma *v = vma_find(mm, a);
        enum cover c = v ? covered(mm, v, a) : COVER_SAME;
        if (c == COVER_NONE)
            pages_trim(a, PAGE_SIZE);
        else if (c == COVER_OTHER && resident)
            page_set_flag(a, PG_STALE, true);
    }
}

int group_evict(struct mm *mm, u64 addr, u64 size)
{
    u64 end = addr + size;
    if (!mm->space->shared) {
        pages_trim(addr, size); /* nothing is there, but for pages added at load time */
        return 0;
    }
    for (u64 a = page_next_accepted(addr, end); a < end;
         a = page_next_accepted(a + PAGE_SIZE, end)) {
        struct mm *m;
        if (!(page_state(a) & PG_STALE)) {
            list_for_each_entry (m, &mm->space->members, member) {
                struct vma *w = m == mm ? NULL : vma_find(m, a);
                if (!w || vma_clean(w) || saved_find(m, a))
                    continue;
                if (w->flags & MAP_SHARED)
                    return -ENOMEM; /* cannot be moved: another member shares it with us */
                if (saved_add(m, a, (void *)a) < 0)
                    return -ENOMEM;
            }
        }
        pages_trim(a, PAGE_SIZE);
    }
    return 0;
}

void group_forget(struct mm *mm)
{
    u64 start = 0, end = 0; /* neighbours go at once: giving pages back costs by the run */
    for (struct vma *v = vma_next_from(mm, 0); v; v = vma_next_from(mm, 0)) {
        if (v->flags & VMA_CANONICAL) {
            shared_unmap(v, vma_start(v), v->end - vma_start(v));
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
}

/* ---- looking into others ---- */
static size_t peek_page(struct mm *mm, u64 addr, void *buf, size_t n)
{
    u64 page = PAGE_DOWN(addr);
    struct vma *v = vma_find(mm, page);
    if (!v)
        return 0;
    struct saved_page *s = saved_find(mm, page);
    const char *src = s ? s->frame : NULL;
    bool in_place = !mm->space->shared || mm->space->resident == mm || !mm->space->resident ||
                    !vma_find(mm->space->resident, page);
    u8 state = page_state(page);
    if (!src && in_place && (state & PG_ACCEPTED) && (state & PG_R) && !(state & PG_STALE))
        src = (const char *)page;
    if (src)
        memcpy(buf, src + (addr - page), n);
    else
        memset(buf, 0, n);
    return n;
}

size_t mm_peek(struct mm *mm, u64 addr, void *buf, size_t size)
{
    size_t done = 0;
    mm_lock(mm);
    while (done < size) {
        size_t n = MIN(size - done, PAGE_SIZE - ((addr + done) & ~PAGE_MASK));
        if (!peek_page(mm, addr + done, (char *)buf + done, n))
            break;
        done += n;
    }
    mm_unlock(mm);
    return done;
}
