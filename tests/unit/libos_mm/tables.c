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
    printf("1..5\n");
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
    return g_failed != 0;
}
