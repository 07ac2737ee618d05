/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the LibOS keeps about the heap and about ELRANGE costs what is used of them: an enclave of
 * the default size begins with a few pages.
 */
#include "internal.h"
#include "heap.h"
#include "host.h"
#include "layout.h"
#include "log.h"

#define CHUNK (256ul << 20)

int printf(const char *fmt, ...);
__noreturn void abort(void);
int main(void);
void stub_reserve(u64 addr, u64 size);
void stub_set_gs(void *gs);
int model_refuses_page(void);

static struct thread g_thread;
static u64 g_tcb[512];
static int g_number, g_failed;

int model_refuses_page(void)
{
    return 0;
}

int g_log_level = LOG_WARN;
void log_write(enum log_level level, const char *fmt, ...)
{
    printf("# log: %s\n", fmt);
}
void panic(const char *fmt, ...)
{
    printf("Bail out! panic: %s\n", fmt);
    abort();
}
void spin_lock(struct spinlock *l)
{
    BUG_ON(l->v);
    l->v = 1;
}
void spin_unlock(struct spinlock *l)
{
    l->v = 0;
}
void host_event(u32 type, i32 pid, i32 status, const char *message)
{
}

static void check(bool good, const char *what)
{
    g_number++;
    g_failed += !good;
    printf("%s %d - %s\n", good ? "ok" : "not ok", g_number, what);
}

static u64 committed_pages(void)
{
    struct mm_totals totals;

    mm_totals(&totals);
    return totals.committed >> PAGE_SHIFT;
}

/* Pages across the ends of a chunk and of a directory, some there, in all states: what a search
 * finds is what a look at each page would. */
static void searches(void)
{
    const u64 start = (1ul << 30) - (4ul << 20), end = start + (8ul << 20);
    u32 seed = 1;
    bool good = true;

    stub_reserve(start, end - start);
    for (u64 a = start; a < end; a += PAGE_SIZE) {
        seed = seed * 1664525 + 1013904223;
        if ((seed >> 12) % 16 || (a & (1ul << 18))) /* runs of 64 that are not there */
            continue;
        good &= page_commit(a, PG_R | PG_W) == 0;
        page_set_flag(a, PG_STALE, seed & 1ul << 24);
        page_set_flag(a, PG_COW, seed & 1ul << 25);
    }
    for (u64 a = start, accepted = start, stale = start, owned = start; a < end; a += PAGE_SIZE) {
        u8 s = page_state(a);

        accepted = MAX(accepted, page_next_accepted(a, end));
        stale = MAX(stale, page_next_with(a, end, PG_STALE));
        owned = MAX(owned, page_next_owned(a, end));
        good &= (accepted == a) == ((s & PG_ACCEPTED) != 0);
        good &= (stale == a) == ((s & PG_STALE) != 0);
        good &= (owned == a) == ((s & (PG_ACCEPTED | PG_STALE | PG_COW)) == PG_ACCEPTED);
        good &= page_next_accepted(a, a + PAGE_SIZE) == ((s & PG_ACCEPTED) ? a : a + PAGE_SIZE);
    }
    check(good, "searches for pages by their state find the next one");
    pages_trim(start, end - start);
    check(page_next_accepted(start, end) == end, "none is left");
}

/* A freed block still begins with the link of its free list, and no more. */
static bool is_wiped_when_freed(size_t size)
{
    u8 *p = kmalloc(size);
    size_t left = 0;

    if (!p)
        return false;
    memset(p, 0xa5, size);
    kfree_sensitive(p);
    for (size_t i = sizeof(void *); i < size; i++)
        left += p[i] != 0;
    return left == 0;
}

int main(void)
{
    const u64 base = LAYOUT_LIBOS_BASE(LAYOUT_SIZE_DEFAULT);
    struct enclave_layout layout = {.size = LAYOUT_SIZE_DEFAULT,
                                    .heap = base,
                                    .heap_end = LAYOUT_SIZE_DEFAULT,
                                    .user_start = LAYOUT_USER_START,
                                    .user_end = base,
                                    .flags = LAYOUT_FLAG_SGX2};

    g_tcb[TCB_CURRENT / 8] = (u64)&g_thread;
    stub_set_gs(g_tcb);
    stub_reserve(base, LAYOUT_SIZE_DEFAULT - base);
    printf("1..9\n");
    heap_init(&layout);
    pages_init(&layout, 0, 0);
    /* The first slab and its mark, in steps of 64 pages. */
    check(committed_pages() <= 128, "64 TiB of addresses and 64 GiB of heap begin with 128 pages");
    page_set_flag(base - PAGE_SIZE, 0, false);
    check(page_state(base - PAGE_SIZE) == 0 && page_next_accepted(LAYOUT_USER_START, base) == base,
          "none of them is in use");

    char *small = kmalloc(100), *large = kmalloc(100000);
    void *run = page_alloc(CHUNK >> PAGE_SHIFT);
    char *far = kmalloc(3000), *far_large = kmalloc(100000);
    check(small && large && run && far && far_large, "objects on both sides of a chunk's end");
    check((u64)far - (u64)small > CHUNK, "one lies beyond");
    kfree(small);
    kfree(large);
    kfree(far);
    kfree(far_large);
    check(kmalloc(3000) == far && kmalloc(100) == small && kmalloc(100000) == far_large,
          "each was given back to where it came from");
    searches();
    check(is_wiped_when_freed(16) && is_wiped_when_freed(100) && is_wiped_when_freed(3000),
          "kfree_sensitive() leaves nothing of a small object");
    check(is_wiped_when_freed(100000), "nor of a large one");
    return g_failed != 0;
}
