/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use which addresses. The user range is cut into slots of equal size; a slot belongs to
 * one space, and a space to one mm, or to the members of a fork group. Slot 0 (where fixed-address
 * programs live) is only given to who asks for its addresses. A mapping at a fixed address in a
 * slot of another space joins both spaces: their members then take turns.
 */
#include "internal.h"

#define SLOT_COUNT_WANTED 768

static struct {
    struct mutex lock;      /* the slot table; leaf below space->lock */
    struct mutex join_lock; /* one join at a time */
    struct space **owner;
    u64 count, shift, end;
} g_slots;
static struct space g_shared_space; /* owns the canonical addresses of shared file mappings */

void slots_init(u64 user_end)
{
    g_slots.shift = 22;
    while ((user_end >> g_slots.shift) > SLOT_COUNT_WANTED)
        g_slots.shift++;
    g_slots.count = user_end >> g_slots.shift;
    g_slots.end = g_slots.count << g_slots.shift;
    g_slots.owner = kzalloc(g_slots.count * sizeof(struct space *));
    if (!g_slots.owner || g_slots.count < 2)
        panic("ELRANGE is too small");
}

/*
 * Spaces without members, linked by `queue`. They are used again but never freed: join() may have
 * found one as the owner of a slot just before its last member went, and locks it afterwards.
 */
static struct list_head g_spare = LIST_HEAD_INIT(g_spare);

struct space *space_create(void)
{
    struct space *s = NULL;
    mutex_lock(&g_slots.lock);
    if (!list_empty(&g_spare)) {
        s = list_first_entry(&g_spare, struct space, queue);
        list_del(&s->queue);
    }
    mutex_unlock(&g_slots.lock);
    if (s) {
        mutex_lock(&s->lock);
        s->shared = s->wanted = s->to_kill = false;
        s->resident = NULL;
        mutex_unlock(&s->lock);
        return s;
    }
    s = kzalloc(sizeof(*s));
    if (s) {
        list_init(&s->members);
        list_init(&s->queue);
        waitq_init(&s->waiters);
    }
    return s;
}

void space_add(struct space *s, struct mm *mm)
{
    mm->space = s;
    list_add_tail(&mm->member, &s->members);
    s->member_count++;
}

void space_remove(struct mm *mm)
{
    struct space *s;
    for (;;) { /* join() may move it meanwhile */
        s = mm->space;
        mutex_lock(&s->lock);
        if (s == mm->space)
            break;
        mutex_unlock(&s->lock);
    }
    list_del(&mm->member);
    bool last = --s->member_count == 0;
    if (s->resident == mm)
        s->resident = NULL;
    if (!last)
        space_release_unused(s, 0, g_slots.end); /* looks at the members' VMAs: under the lock */
    mutex_unlock(&s->lock);
    waitq_wake(&s->waiters, UINT32_MAX);
    if (!last)
        return;
    mutex_lock(&g_slots.lock);
    for (u64 i = 0; i < g_slots.count; i++)
        if (g_slots.owner[i] == s)
            g_slots.owner[i] = NULL;
    list_add(&s->queue, &g_spare);
    mutex_unlock(&g_slots.lock);
}

/* Start of a VMA or brk reserve of mm that overlaps [lo, hi); hi when there is none. */
static u64 overlap_in(struct mm *mm, u64 lo, u64 hi)
{
    u64 found = hi;
    struct rb_node *n = rb_find_le(&mm->vmas, hi - 1);
    if (n && container_of(n, struct vma, node)->end > lo)
        found = n->key;
    if (mm->brk_max && mm->brk_start < hi && mm->brk_max > lo)
        found = MIN(found, mm->brk_start);
    return found;
}

static u64 find_in_run(struct mm *mm, u64 lo, u64 hi, u64 size, u64 align)
{
    if (hi - lo < size)
        return 0;
    u64 a = (hi - size) & ~(align - 1);
    while (a >= lo && a + size <= hi) {
        u64 o = overlap_in(mm, a, a + size);
        struct mm *m;
        if (mm->space->shared)
            list_for_each_entry (m, &mm->space->members, member)
                if (m != mm)
                    o = MIN(o, overlap_in(m, a, a + size));
        if (o == a + size)
            return a;
        if (o < size)
            return 0;
        a = (o - size) & ~(align - 1);
    }
    return 0;
}

static u64 take_slots(struct space *s, u64 size, u64 near)
{
    u64 want = (size + (1ul << g_slots.shift) - 1) >> g_slots.shift;
    u64 best = 0, best_distance = UINT64_MAX;
    for (u64 i = g_slots.count; i-- > 1;) {
        u64 run = 0;
        while (run < want && i - run >= 1 && !g_slots.owner[i - run])
            run++;
        if (run < want) {
            i -= run; /* the slot at i - run is taken */
            if (i == 0)
                break;
            continue;
        }
        u64 first = i - want + 1;
        u64 a = first << g_slots.shift;
        u64 distance = near ? (a > near ? a - near : near - a) : 0;
        if (distance < best_distance) {
            best = first;
            best_distance = distance;
        }
        if (!near)
            break;
    }
    if (!best)
        return 0;
    for (u64 i = 0; i < want; i++)
        g_slots.owner[best + i] = s;
    return best << g_slots.shift;
}

u64 space_find(struct mm *mm, u64 size, u64 align, u64 near)
{
    struct space *s = mm->space;
    u64 slot = 1ul << g_slots.shift;
    u64 found = 0;
    mutex_lock(&g_slots.lock);
    for (u64 i = g_slots.count; i-- > 0 && !found;) {
        if (g_slots.owner[i] != s)
            continue;
        u64 hi = (i + 1) << g_slots.shift;
        while (i > 0 && g_slots.owner[i - 1] == s)
            i--;
        u64 lo = MAX(i << g_slots.shift, i == 0 ? 0x1000000ul : 0ul);
        if (near && (lo > near + (1ul << 30) || near > hi + (1ul << 30)))
            continue;
        if (hi > lo)
            found = find_in_run(mm, lo, hi, size, align);
    }
    if (!found) {
        u64 room = (size + (align > PAGE_SIZE ? align : 0) + slot - 1) & ~(slot - 1);
        u64 a = take_slots(s, room, near);
        if (a)
            found = find_in_run(mm, a, a + room, size, align);
        if (a && !found)
            found = (a + align - 1) & ~(align - 1);
        if (a && near && (found > near + (1ul << 31) - slot || near > found + (1ul << 31) - slot))
            found = 0;
    }
    mutex_unlock(&g_slots.lock);
    if (!found && !near)
        log_warn("no free range of %lu MiB in ELRANGE: raise %s", size >> 20,
                 pages_dynamic() ? "enclave.size"
                                 : "enclave.memory (all memory was added at start: SGX1)");
    return found;
}

/* s->lock is held: it guards the members and their VMAs. */
void space_release_unused(struct space *s, u64 addr, u64 size)
{
    struct mm *m;
    mutex_lock(&g_slots.lock);
    /* A slot that was claimed for a mapping which is not there yet looks unused: later, then. */
    list_for_each_entry (m, &s->members, member) {
        if (__atomic_load_n(&m->claims, __ATOMIC_SEQ_CST) != 0) {
            mutex_unlock(&g_slots.lock);
            return;
        }
    }
    u64 first = (addr + (1ul << g_slots.shift) - 1) >> g_slots.shift;
    u64 last = MIN((addr + size) >> g_slots.shift, g_slots.count);
    for (u64 i = first; i < last; i++) {
        if (g_slots.owner[i] != s)
            continue;
        u64 lo = i << g_slots.shift, hi = lo + (1ul << g_slots.shift);
        bool used = false;
        list_for_each_entry (m, &s->members, member)
            used |= overlap_in(m, lo, hi) != hi;
        if (!used)
            g_slots.owner[i] = NULL;
    }
    mutex_unlock(&g_slots.lock);
}

u64 space_find_shared(u64 size)
{
    mutex_lock(&g_slots.lock);
    u64 a = take_slots(&g_shared_space, size, 0);
    mutex_unlock(&g_slots.lock);
    return a;
}

u64 space_shared_round(u64 size)
{
    u64 slot = 1ul << g_slots.shift;
    return (size + slot - 1) & ~(slot - 1);
}

void space_free_shared(u64 addr, u64 size)
{
    mutex_lock(&g_slots.lock);
    for (u64 i = addr >> g_slots.shift;
         i < (addr + size + (1ul << g_slots.shift) - 1) >> g_slots.shift; i++)
        if (g_slots.owner[i] == &g_shared_space)
            g_slots.owner[i] = NULL;
    mutex_unlock(&g_slots.lock);
}

/* The space in the range that is neither ours nor free; free slots become ours. */
static struct space *claim_free(struct space *s, u64 addr, u64 size)
{
    struct space *other = NULL;
    mutex_lock(&g_slots.lock);
    for (u64 i = addr >> g_slots.shift; i <= (addr + size - 1) >> g_slots.shift; i++) {
        if (!g_slots.owner[i])
            g_slots.owner[i] = s;
        else if (g_slots.owner[i] != s && !other)
            other = g_slots.owner[i];
    }
    mutex_unlock(&g_slots.lock);
    return other;
}

/* Move the members of `from` to mm's space, once nobody of them runs. The calling thread is
 * resident in mm's space. */
static int join(struct mm *mm, struct space *from)
{
    struct space *to = mm->space;
    from->shared = true;
    for (;;) {
        mutex_lock(&from->lock);
        struct mm *r = from->resident;
        if (!r && from->member_count == 1)
            r = list_first_entry(&from->members, struct mm, member);
        if (!r || __atomic_load_n(&r->active, __ATOMIC_SEQ_CST) == 0)
            break;
        from->wanted = true;
        struct wait_entry e; /* the last one who leaves wakes us */
        waitq_add(&from->waiters, &e);
        mutex_unlock(&from->lock);
        group_preempt(r);
        thread_wait(clock_monotonic() + 2000000, false, NULL, 0);
        waitq_remove(&e);
    }
    /* What is in place is the last resident's; after the join nobody could tell which of the
     * members that was. */
    struct mm *last = from->resident;
    if (last && group_save_out(last, NULL) < 0) {
        group_undo_save_out(last, NULL);
        mutex_unlock(&from->lock);
        waitq_wake(&from->waiters, UINT32_MAX);
        return -ENOMEM;
    }
    mutex_lock(&to->lock);
    to->resident = mm;
    to->shared = true;
    while (!list_empty(&from->members)) {
        struct mm *m = list_first_entry(&from->members, struct mm, member);
        list_del(&m->member);
        space_add(to, m);
    }
    mutex_lock(&g_slots.lock);
    for (u64 i = 0; i < g_slots.count; i++)
        if (g_slots.owner[i] == from)
            g_slots.owner[i] = to;
    mutex_unlock(&g_slots.lock);
    mutex_unlock(&to->lock);
    from->member_count = 0;
    from->resident = NULL;
    mutex_unlock(&from->lock);
    /* Threads that wait in `from` wake, see that their mm moved, and queue here. It stays allocated
     * for them: a join is rare and a space is small. */
    waitq_wake(&from->waiters, UINT32_MAX);
    return 0;
}

int space_claim(struct mm *mm, u64 addr, u64 size)
{
    if (addr < LAYOUT_USER_START || addr + size > g_slots.end || addr + size < addr)
        return -ENOMEM;
    if (!claim_free(mm->space, addr, size))
        return 0;
    /* Whoever holds the lock waits in join() until this thread's range is given up, perhaps: so
     * never sleep on the lock itself. */
    while (!mutex_trylock(&g_slots.join_lock))
        thread_wait(clock_monotonic() + 1000000, false, NULL, 0);
    int r = 0;
    struct space *other;
    while (r == 0 && (other = claim_free(mm->space, addr, size)) != NULL) {
        if (other == &g_shared_space) {
            r = -ENOMEM;
            break;
        }
        /* exec builds a fresh mm, in which nobody runs yet: hold it from now on, so that it is
         * resident. */
        if (current()->mm && current()->mm != mm)
            mm_leave(current()->mm);
        r = join(mm, other);
        if (current()->mm != mm)
            mm_enter(mm);
    }
    mutex_unlock(&g_slots.join_lock);
    return r;
}

bool space_try_claim(struct mm *mm, u64 addr, u64 size)
{
    if (addr < LAYOUT_USER_START || addr + size > g_slots.end || addr + size < addr)
        return false;
    u64 first = addr >> g_slots.shift, last = (addr + size - 1) >> g_slots.shift;
    bool ok = true;
    mutex_lock(&g_slots.lock);
    for (u64 i = first; i <= last && ok; i++)
        ok = !g_slots.owner[i] || g_slots.owner[i] == mm->space;
    for (u64 i = first; i <= last && ok; i++)
        g_slots.owner[i] = mm->space;
    mutex_unlock(&g_slots.lock);
    return ok;
}
