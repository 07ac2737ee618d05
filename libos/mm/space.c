/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use which addresses. The user range is cut into slots; a slot belongs to one space, and a
 * space to one mm, or to the members of a fork group. The low part has small slots, for the many
 * processes that there may be; what is above has large ones, for what programs reserve by the
 * terabyte. Slot 0 (where fixed-address programs live) is only given to who asks for its addresses.
 * A mapping at a fixed address in a slot of another space joins both spaces: their members then
 * take turns.
 */
#include "internal.h"

#define LOW_SIZE       (256ul << 30) /* at most: 4096 slots of 64 MiB */
#define LOW_COUNT      4096u
#define LOW_COUNT_FEW  768u /* of a range of at most 48 GiB */
#define HIGH_COUNT     1024u
#define SLOT_SHIFT_MIN 22
#define NEAR           (1ul << 30) /* what is near may be as far away, in either direction */
#define LOW_ALIGNED    0x1000000ul /* below are programs at fixed addresses: no search */

static struct {
    struct mutex lock;      /* the slot table; leaf below space->lock */
    struct mutex join_lock; /* one join at a time */
    struct space **owner;
    u64 count, end;
    u64 low_count, low_shift, low_end, high_shift;
} g_slots;
static struct space g_shared_space; /* owns the canonical addresses of shared file mappings */

static u64 slot_start(u64 i)
{
    return i <= g_slots.low_count
               ? i << g_slots.low_shift
               : g_slots.low_end + ((i - g_slots.low_count) << g_slots.high_shift);
}

static u64 slot_of(u64 addr)
{
    return addr < g_slots.low_end
               ? addr >> g_slots.low_shift
               : g_slots.low_count + ((addr - g_slots.low_end) >> g_slots.high_shift);
}

void slots_init(u64 user_end)
{
    u64 low = MIN(user_end, LOW_SIZE), few = low <= (48ul << 30) ? LOW_COUNT_FEW : LOW_COUNT;
    g_slots.low_shift = SLOT_SHIFT_MIN;
    while (low >> g_slots.low_shift > few)
        g_slots.low_shift++;
    g_slots.low_count = low >> g_slots.low_shift;
    g_slots.low_end = g_slots.low_count << g_slots.low_shift;
    g_slots.high_shift = g_slots.low_shift;
    u64 high = user_end > LOW_SIZE ? user_end - g_slots.low_end : 0;
    while (high >> g_slots.high_shift > HIGH_COUNT)
        g_slots.high_shift++;
    g_slots.count = g_slots.low_count + (high >> g_slots.high_shift);
    g_slots.end = slot_start(g_slots.count);
    BUG_ON(g_slots.count > SLOTS_MAX);
    g_slots.owner = kzalloc(g_slots.count * sizeof(struct space *));
    if (!g_slots.owner || g_slots.count < 2)
        panic("ELRANGE is too small");
}

/* s NULL: nobody's. */
static void set_owner(u64 i, struct space *s)
{
    struct space *old = g_slots.owner[i];
    if (old)
        old->owned[i / 64] &= ~(1ul << i % 64);
    if (s)
        s->owned[i / 64] |= 1ul << i % 64;
    g_slots.owner[i] = s;
}

/* The first slot of s from i on, or g_slots.count. Most of thousands are not. */
static u64 next_owned(const struct space *s, u64 i)
{
    while (i < g_slots.count) {
        u64 bits = s->owned[i / 64] >> i % 64;
        if (bits)
            return i + (u64)__builtin_ctzl(bits);
        i = (i / 64 + 1) * 64;
    }
    return g_slots.count;
}

/* The last slot of s before i: one more than its number, or 0. */
static u64 last_owned(const struct space *s, u64 i)
{
    while (i > 0) {
        u64 bits = s->owned[(i - 1) / 64] << (63 - (i - 1) % 64);
        if (bits)
            return i - (u64)__builtin_clzl(bits);
        i = (i - 1) / 64 * 64;
    }
    return 0;
}

/*
 * Spaces without members, linked by `queue`. They are used again but never freed: join() may have
 * found one as the owner of a slot just before its last member went, and locks it afterwards; and
 * so may a thread whose mm a join moves.
 */
static struct list_head g_spare = LIST_HEAD_INIT(g_spare);

void space_spare(struct space *s)
{
    mutex_lock(&g_slots.lock);
    list_add(&s->queue, &g_spare);
    mutex_unlock(&g_slots.lock);
}

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
        s->shared = s->wanted = s->to_kill = s->unreleased = false;
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
    if (!last) {
        space_release_unused(s, 0, g_slots.end); /* looks at the members' VMAs: under the lock */
    } else {
        mutex_lock(&g_slots.lock);
        for (u64 i = 0; (i = next_owned(s, i)) < g_slots.count; i++)
            set_owner(i, NULL);
        mutex_unlock(&g_slots.lock);
        space_spare(s);
    }
    mutex_unlock(&s->lock);
    waitq_wake(&s->waiters, UINT32_MAX);
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
    if (hi < lo || hi - lo < size)
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

struct run {
    u64 first, count; /* slots; first 0: none */
};

static void own_run(struct space *s, const struct run *r)
{
    for (u64 i = 0; i < r->count; i++)
        set_owner(r->first + i, s);
}

/* Free slots in [first, last) for size bytes: the highest, or with `near` the nearest. Slot 0 is
 * never given so. Sizes may be of files, and so the host's word: none is more than there is. */
static struct run free_run(u64 first, u64 last, u64 shift, u64 size, u64 near)
{
    struct run best = {0};
    u64 best_distance = UINT64_MAX;
    if (size == 0 || size > g_slots.end)
        return best;
    best.count = (size + (1ul << shift) - 1) >> shift;
    for (u64 i = last, run = 0; i-- > MAX(first, 1ul);) {
        run = g_slots.owner[i] ? 0 : run + 1;
        if (run < best.count)
            continue;
        u64 a = slot_start(i);
        u64 distance = near ? (a > near ? a - near : near - a) : 0;
        if (distance < best_distance) {
            best.first = i;
            best_distance = distance;
        }
        if (!near)
            break;
    }
    return best;
}

/* Free slots for size bytes become s's: of the size that fits, else of the other. Sets where they
 * end. 0: there are none. */
static u64 take_slots(struct space *s, u64 size, u64 near, u64 *end)
{
    bool large_first = size > g_slots.low_end / 8;
    /* The last small one is left for who grows into it (brk), instead of into a large one. */
    u64 last_low = g_slots.low_count - (g_slots.count > g_slots.low_count);
    for (int k = 0; k < 2; k++) {
        struct run r = (k == 1) != large_first
                           ? free_run(g_slots.low_count, g_slots.count, g_slots.high_shift, size,
                                      near)
                           : free_run(0, last_low, g_slots.low_shift, size, near);
        if (r.first) {
            own_run(s, &r);
            *end = slot_start(r.first + r.count);
            return slot_start(r.first);
        }
    }
    return 0;
}

/*
 * Where a search may begin. For each class of sizes [2^k, 2^(k+1)) pages: above `top` mm has no
 * hole of `size` bytes or more. Without that a search would pass every mapping that there is.
 */
static u32 class_of(u64 size)
{
    u32 k = 63 - (u32)__builtin_clzl(size >> PAGE_SHIFT | 1);
    return MIN(k, MM_SEARCH_CLASSES - 1);
}

static u64 search_from(const struct mm *mm, u64 size)
{
    u32 class = class_of(size);
    u64 top = g_slots.end;
    for (u32 k = 0; k <= class; k++)
        if (mm->search[k].top && size >= mm->search[k].size)
            top = MIN(top, mm->search[k].top);
    return top;
}

static void search_note(struct mm *mm, u64 size, u64 found)
{
    mm->search[class_of(size)] = (struct mm_search){.size = size, .top = found};
}

void space_search_freed(struct mm *mm, u64 end)
{
    const struct vma *v = vma_next_from(mm, end);
    u64 top = v ? vma_start(v) : g_slots.end;
    for (u32 k = 0; k < MM_SEARCH_CLASSES; k++)
        if (mm->search[k].top && mm->search[k].top < top)
            mm->search[k].top = top;
}

/* In slots that are the space's already, below `top`. */
static u64 find_owned(struct mm *mm, u64 size, u64 align, u64 near, u64 top)
{
    const struct space *s = mm->space;
    u64 found = 0;
    for (u64 i = MIN(slot_of(top - 1) + 1, g_slots.count); !found && (i = last_owned(s, i)) > 0;) {
        i--;
        u64 hi = MIN(slot_start(i + 1), top);
        while (i > 0 && g_slots.owner[i - 1] == s)
            i--;
        u64 lo = MAX(slot_start(i), i == 0 ? LOW_ALIGNED : 0ul);
        if (near) {
            hi = MIN(hi, near + NEAR);
            lo = MAX(lo, near > NEAR ? near - NEAR : 0ul);
        }
        found = find_in_run(mm, lo, hi, size, align);
    }
    return found;
}

u64 space_find(struct mm *mm, u64 size, u64 align, u64 near)
{
    struct space *s = mm->space;
    mutex_lock(&g_slots.lock);
    u64 top = near ? g_slots.end : search_from(mm, size);
    u64 found = find_owned(mm, size, align, near, top);
    if (!found && top != g_slots.end) /* other members may have left holes above */
        found = find_owned(mm, size, align, near, g_slots.end);
    if (!found) {
        u64 end, a = take_slots(s, size, near, &end); /* slots are aligned for every align */
        if (a && near) {
            end = MIN(end, near + NEAR);
            a = MAX(a, near > NEAR ? near - NEAR : 0ul);
        }
        if (a)
            found = find_in_run(mm, a, end, size, align);
    }
    if (found && !near)
        search_note(mm, size, found);
    mutex_unlock(&g_slots.lock);
    if (!found && !near && !mm->told_full) {
        mm->told_full = true;
        log_error("a process found no free range of %lu MiB: raise %s", size >> 20,
                  pages_dynamic() ? "enclave.size"
                                  : "enclave.memory (all memory was added at start: SGX1)");
    }
    return found;
}

u64 space_find_below(struct mm *mm, u64 size, u64 align, u64 limit)
{
    mutex_lock(&g_slots.lock);
    u64 found = find_owned(mm, size, align, 0, limit);
    struct run r = {0};
    if (!found)
        r = free_run(0, MIN(slot_of(limit), g_slots.low_count), g_slots.low_shift, size, 0);
    if (r.first) {
        own_run(mm->space, &r);
        found = find_in_run(mm, slot_start(r.first), slot_start(r.first + r.count), size, align);
    } else if (!found && !g_slots.owner[0]) { /* the last one there is */
        found = find_in_run(mm, LOW_ALIGNED, slot_start(1), size, align);
        if (found)
            set_owner(0, mm->space);
    }
    mutex_unlock(&g_slots.lock);
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
            s->unreleased = true;
            mutex_unlock(&g_slots.lock);
            return;
        }
    }
    /* Also those that the range only touched: what else was in them may have gone before. */
    u64 end = addr + size < addr ? g_slots.end : MIN(addr + size, g_slots.end);
    for (u64 i = addr < end ? slot_of(addr) : g_slots.count;
         (i = next_owned(s, i)) < g_slots.count && slot_start(i) < end; i++) {
        u64 lo = slot_start(i), hi = slot_start(i + 1);
        bool used = false;
        list_for_each_entry (m, &s->members, member)
            used |= overlap_in(m, lo, hi) != hi;
        if (!used)
            set_owner(i, NULL);
    }
    mutex_unlock(&g_slots.lock);
}

u64 space_find_shared(u64 size)
{
    u64 end;
    mutex_lock(&g_slots.lock);
    u64 a = take_slots(&g_shared_space, size, 0, &end);
    mutex_unlock(&g_slots.lock);
    return a;
}

u64 space_size(void)
{
    return g_slots.end;
}

u64 space_shared_round(u64 size)
{
    u64 slot = 1ul << (size <= g_slots.low_end / 8 ? g_slots.low_shift : g_slots.high_shift);
    return (size + slot - 1) & ~(slot - 1);
}

void space_free_shared(u64 addr, u64 size)
{
    mutex_lock(&g_slots.lock);
    for (u64 i = slot_of(addr); i <= slot_of(addr + size - 1); i++)
        if (g_slots.owner[i] == &g_shared_space)
            set_owner(i, NULL);
    mutex_unlock(&g_slots.lock);
}

/* The space in the range that is neither ours nor free; free slots become ours. */
static struct space *claim_free(struct space *s, u64 addr, u64 size)
{
    struct space *other = NULL;
    mutex_lock(&g_slots.lock);
    for (u64 i = slot_of(addr); i <= slot_of(addr + size - 1); i++) {
        if (!g_slots.owner[i])
            set_owner(i, s);
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
    for (;;) {
        mutex_lock(&from->lock);
        if (!from->member_count) { /* they went meanwhile */
            mutex_unlock(&from->lock);
            return 0;
        }
        /* From here on nobody enters without asking. Under the lock, and each time: the space may
         * be somebody else's by now. */
        __atomic_store_n(&from->shared, true, __ATOMIC_SEQ_CST);
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
    to->unreleased |= from->unreleased;
    while (!list_empty(&from->members)) {
        struct mm *m = list_first_entry(&from->members, struct mm, member);
        list_del(&m->member);
        space_add(to, m);
    }
    mutex_lock(&g_slots.lock);
    for (u64 i = 0; (i = next_owned(from, i)) < g_slots.count; i++)
        set_owner(i, to);
    mutex_unlock(&g_slots.lock);
    mutex_unlock(&to->lock);
    from->member_count = 0;
    from->resident = NULL;
    /* Threads that wait in `from` wake, see that their mm moved, and queue here; the last of them
     * makes it spare. */
    if (list_empty(&from->queue))
        space_spare(from);
    mutex_unlock(&from->lock);
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
    u64 first = slot_of(addr), last = slot_of(addr + size - 1);
    bool ok = true;
    mutex_lock(&g_slots.lock);
    for (u64 i = first; i <= last && ok; i++)
        ok = !g_slots.owner[i] || g_slots.owner[i] == mm->space;
    for (u64 i = first; i <= last && ok; i++)
        set_owner(i, mm->space);
    mutex_unlock(&g_slots.lock);
    return ok;
}
