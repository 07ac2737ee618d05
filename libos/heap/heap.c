/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The LibOS's own memory: [heap, heap_end) of ELRANGE. The start of it is in the enclave file, the
 * rest is accepted in steps as the bump pointer moves. Freed runs of pages go to free lists by size
 * class, four classes a doubling. Small objects live in 64 KiB slabs; one byte for each 64 KiB unit
 * of the heap tells slabs from page runs, so kfree() needs no size. These bytes lie in pages of
 * their own, made for the 256 MiB in which there is a slab: the heap may be 64 GiB, and most
 * enclaves use a few MiB of it.
 */
#include "heap.h"
#include "layout.h"
#include "pages.h"
#include "sgx.h"

#define UNIT_SHIFT  16
#define UNIT_SIZE   (1ul << UNIT_SHIFT)
#define ACCEPT_STEP 64ul /* pages */

#define UNIT_PAGES (LAYOUT_LIBOS_MAX / UNIT_SIZE / PAGE_SIZE + 1) /* one more: any alignment */

struct free_run {
    struct free_run *next;
};

/* Classes 1..4 pages, then 5,6,7,8,10,12,14,16,20 ... pages. */
#define RUN_CLASSES 96

struct slab {
    struct slab *next; /* with free objects */
    struct slab *prev;
    struct free_run *free;
    u32 used, object_size;
    u32 bump, class_index; /* bytes handed out so far from the start */
    bool listed;
};

static const u16 slab_sizes[] = {16,  32,  48,  64,   96,   128,  192, 256,
                                 384, 512, 768, 1024, 1536, 2048, 4096};
#define SLAB_CLASSES ARRAY_SIZE(slab_sizes)

struct large_header {
    u64 pages;
    u64 size;
};

static struct {
    u64 start, next, accepted, end;
    u64 unmeasured;        /* end of the initial heap */
    u8 *units[UNIT_PAGES]; /* 1: slab; a page is there from its first slab on */
    bool dynamic, end_logged;
    struct spinlock lock;
    struct free_run *runs[RUN_CLASSES];
} g_heap;
static struct {
    struct spinlock lock;
    struct slab *partial;
} g_slabs[SLAB_CLASSES];

static u32 run_class(u64 count, u64 *rounded)
{
    if (count <= 4) {
        *rounded = count;
        return (u32)count;
    }
    u32 order = 63 - __builtin_clzl(count); /* 2^order <= count */
    u64 step = 1ul << (order - 2);
    u64 up = (count + step - 1) / step * step;
    u32 quarter = (u32)((up - (1ul << order)) / step); /* 0..4 */
    *rounded = up;
    return 4 + (order - 2) * 4 + quarter;
}

static bool grow(u64 to)
{
    while (g_heap.accepted < to) {
        u64 step = MIN(ACCEPT_STEP * PAGE_SIZE, g_heap.end - g_heap.accepted);
        if (!g_heap.dynamic) {
            if (!__atomic_exchange_n(&g_heap.end_logged, true, __ATOMIC_RELAXED))
                log_error("the LibOS's share of the enclave's memory is used up: it was added at "
                          "start (SGX1); raise enclave.memory");
            return false;
        }
        if (!step || memory_charge(step >> PAGE_SHIFT) < 0)
            return false;
        for (u64 a = g_heap.accepted; a < g_heap.accepted + step; a += PAGE_SIZE) {
            int r = sgx_eaccept(a, SGX_SECINFO_REG | SGX_SECINFO_R | SGX_SECINFO_W |
                                       SGX_SECINFO_PENDING);
            if (r < 0) { /* what was accepted so far is ours */
                memory_uncharge((g_heap.accepted + step - a) >> PAGE_SHIFT);
                g_heap.accepted = a;
                memory_refused();
                return false;
            }
            if (r)
                panic("EACCEPT of the heap at 0x%lx failed with %d", a, r);
        }
        g_heap.accepted += step;
    }
    return true;
}

/*
 * Pages that are used for the first time: those that came by EACCEPT are zero, those of the enclave
 * file hold what the host chose, for they are not measured.
 */
static void first_use(u64 from, u64 to)
{
    to = MIN(to, g_heap.unmeasured);
    if (from < to)
        memset((void *)from, 0, to - from);
}

/* *fresh: nobody has had the pages, so they are zero. Only when there are any. */
static void *run_alloc(u64 count, u64 align, bool *fresh)
{
    u64 rounded;
    u32 class = run_class(count, &rounded);
    void *p = NULL;
    spin_lock(&g_heap.lock);
    if (align <= PAGE_SIZE && class < RUN_CLASSES && g_heap.runs[class]) {
        struct free_run *r = g_heap.runs[class];
        g_heap.runs[class] = r->next;
        p = r;
        *fresh = false;
    } else {
        u64 a = (g_heap.next + align - 1) & ~(align - 1);
        u64 e = a + rounded * PAGE_SIZE;
        if (e > a && (e <= g_heap.end || !g_heap.dynamic) && (e <= g_heap.accepted || grow(e))) {
            first_use(g_heap.next, e);
            /* What alignment skips is not lost. */
            for (u64 s = g_heap.next; s < a; s += PAGE_SIZE) {
                struct free_run *r = (struct free_run *)s;
                r->next = g_heap.runs[1];
                g_heap.runs[1] = r;
            }
            g_heap.next = e;
            p = (void *)a;
            *fresh = true;
        }
    }
    spin_unlock(&g_heap.lock);
    return p;
}

static void *pages_of(size_t count, bool *fresh)
{
    if (count == 0 || count > (g_heap.end - g_heap.start) >> PAGE_SHIFT)
        return NULL;
    return run_alloc(count, PAGE_SIZE, fresh);
}

void *page_alloc(size_t count)
{
    bool fresh;
    return pages_of(count, &fresh);
}

/* The same, all zero. Pages that are used for the first time are, and are not touched. */
static void *page_zalloc(size_t count)
{
    bool fresh;
    void *p = pages_of(count, &fresh);
    if (p && !fresh)
        memset(p, 0, count * PAGE_SIZE);
    return p;
}

void page_free(void *p, size_t count)
{
    if (!p)
        return;
    u64 rounded;
    u32 class = run_class(count, &rounded);
    BUG_ON(class >= RUN_CLASSES);
    struct free_run *r = p;
    spin_lock(&g_heap.lock);
    r->next = g_heap.runs[class];
    g_heap.runs[class] = r;
    spin_unlock(&g_heap.lock);
}

void heap_init(const struct enclave_layout *layout)
{
    g_heap.start = layout->heap;
    g_heap.end = layout->heap_end;
    g_heap.accepted = g_heap.unmeasured = layout->heap + layout->heap_initial;
    g_heap.dynamic = layout->flags & LAYOUT_FLAG_SGX2;
    g_heap.next = g_heap.start;
    if (g_heap.end - g_heap.start > LAYOUT_LIBOS_MAX)
        panic("the heap of %lu GiB is larger than any layout has", g_heap.end >> 30);
    if (!g_heap.dynamic)
        g_heap.end = g_heap.accepted;
}

static u64 unit_of(const void *p)
{
    return ((u64)p - (g_heap.start & ~(UNIT_SIZE - 1))) >> UNIT_SHIFT;
}

static bool is_slab(const void *p)
{
    u64 unit = unit_of(p);
    const u8 *units = __atomic_load_n(&g_heap.units[unit / PAGE_SIZE], __ATOMIC_ACQUIRE);
    return units && units[unit % PAGE_SIZE] == 1;
}

/* The mark stays: a slab is never given back. */
static bool mark_slab(const struct slab *s)
{
    u64 unit = unit_of(s);
    u8 **slot = &g_heap.units[unit / PAGE_SIZE];
    u8 *units = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    if (!units) {
        u8 *fresh = page_zalloc(1);
        if (!fresh)
            return false;
        if (__atomic_compare_exchange_n(slot, &units, fresh, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            units = fresh;
        else /* another class was faster */
            page_free(fresh, 1);
    }
    units[unit % PAGE_SIZE] = 1;
    return true;
}

static int slab_class(size_t size)
{
    for (u32 i = 0; i < SLAB_CLASSES; i++)
        if (size <= slab_sizes[i])
            return (int)i;
    return -1;
}

static void slab_unlist(struct slab *s)
{
    if (s->prev)
        s->prev->next = s->next;
    else
        g_slabs[s->class_index].partial = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->next = s->prev = NULL;
    s->listed = false;
}

static void slab_list(struct slab *s)
{
    s->prev = NULL;
    s->next = g_slabs[s->class_index].partial;
    if (s->next)
        s->next->prev = s;
    g_slabs[s->class_index].partial = s;
    s->listed = true;
}

static void *slab_alloc(int class)
{
    spin_lock(&g_slabs[class].lock);
    struct slab *s = g_slabs[class].partial;
    if (!s) {
        bool fresh;
        s = run_alloc(UNIT_SIZE >> PAGE_SHIFT, UNIT_SIZE, &fresh);
        if (s && !mark_slab(s)) {
            page_free(s, UNIT_SIZE >> PAGE_SHIFT);
            s = NULL;
        }
        if (!s) {
            spin_unlock(&g_slabs[class].lock);
            return NULL;
        }
        *s = (struct slab){
            .object_size = slab_sizes[class], .class_index = (u32) class, .bump = 128};
        slab_list(s);
    }
    void *p;
    if (s->free) {
        p = s->free;
        s->free = s->free->next;
    } else {
        p = (char *)s + s->bump;
        s->bump += s->object_size;
    }
    s->used++;
    if (!s->free && s->bump + s->object_size > UNIT_SIZE)
        slab_unlist(s);
    spin_unlock(&g_slabs[class].lock);
    return p;
}

static void *alloc(size_t size, bool zero)
{
    int class = slab_class(size ? size : 1);
    if (class >= 0) {
        void *p = slab_alloc(class);
        if (p && zero)
            memset(p, 0, size);
        return p;
    }
    if (size > (1ul << 40))
        return NULL;
    u64 pages = PAGE_UP(size + sizeof(struct large_header)) >> PAGE_SHIFT;
    struct large_header *h = zero ? page_zalloc(pages) : page_alloc(pages);
    if (!h)
        return NULL;
    h->pages = pages;
    h->size = size;
    return h + 1;
}

void *kmalloc(size_t size)
{
    return alloc(size, false);
}

void *kzalloc(size_t size)
{
    return alloc(size, true);
}

static size_t usable_size(const void *p)
{
    if (is_slab(p))
        return ((const struct slab *)((u64)p & ~(UNIT_SIZE - 1)))->object_size;
    return ((const struct large_header *)p - 1)->size;
}

void *krealloc(void *p, size_t size)
{
    if (!p)
        return kmalloc(size);
    size_t old = usable_size(p);
    if (size <= old && size * 2 >= old)
        return p;
    void *n = kmalloc(size);
    if (!n)
        return NULL;
    memcpy(n, p, MIN(old, size));
    kfree(p);
    return n;
}

void kfree(void *p)
{
    if (!p)
        return;
    if (!is_slab(p)) {
        struct large_header *h = (struct large_header *)p - 1;
        page_free(h, h->pages);
        return;
    }
    struct slab *s = (struct slab *)((u64)p & ~(UNIT_SIZE - 1));
    spin_lock(&g_slabs[s->class_index].lock);
    struct free_run *r = p;
    r->next = s->free;
    s->free = r;
    s->used--;
    if (!s->listed)
        slab_list(s);
    spin_unlock(&g_slabs[s->class_index].lock);
}

void kfree_sensitive(void *p)
{
    if (p)
        memzero_explicit(p, usable_size(p));
    kfree(p);
}
