/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address and undefined-behaviour sanitizers inside the enclave: linked into a LibOS whose C
 * code the compiler has instrumented (tests/hostile/meson.build). One shadow byte for eight bytes
 * of the LibOS, in host memory that hostile-run maps: this LibOS is for tests on the software SGX.
 * Code that the compiler makes marks the stacks. The heap's functions are wrapped: each object has
 * a header and red zones, and a freed one stays poisoned until QUARANTINE others were freed.
 *
 * For tests of what happens without memory (tests/random): of a process's objects one in the soft
 * RLIMIT_RSS cannot be had, of its pages one in the hard one; these limits mean nothing else.
 */
#include "layout.h"
#include "lib.h"
#include "process.h"
#include "tcb.h"
#include "tests/hostile/shadow.h"

#define HEADER     16u
#define TAIL       16u
#define QUARANTINE 512u
#define BIG        (64u << 10) /* too large to be kept for nothing */
#define LIVE       0x6c697665206f626aull
#define FREED      0x6672656564206f62ull
#define POISON_END 0xfau /* shadow bytes: beside an object, and of a freed one */
#define POISON_OLD 0xfdu

struct header {
    u64 magic, size;
};
_Static_assert(sizeof(struct header) == HEADER, "header");

/* ---- the shadow ---- */

static bool is_watched(u64 address)
{
    return address - SHADOW_OF < SHADOW_SIZE * 8;
}

static u8 *shadow(u64 address)
{
    return (u8 *)(SHADOW_START + ((address - SHADOW_OF) >> 3));
}

/* From start, a multiple of eight; a last granule that is not full is marked so. */
static void mark(u64 start, size_t size, u8 value)
{
    size_t i;

    if (!is_watched(start))
        return;
    for (i = 0; i < size / 8; i++)
        shadow(start)[i] = value;
    if (size % 8 != 0)
        shadow(start)[i] = value != 0 ? value : (u8)(size % 8);
}

__noreturn static void report(const char *what, u64 address, size_t size, u64 from)
{
    g_panic_details = true;
    panic("sanitizer: %s of %lu bytes at %lx, shadow %x, from +%lx", what, (unsigned long)size,
          (unsigned long)address, is_watched(address) ? *shadow(address) : 0,
          (unsigned long)(from - (u64)__libos_start));
}

static bool is_bad(u64 address)
{
    u8 s = *shadow(address);

    return s != 0 && (s >= 8 || (address & 7) >= s);
}

static void check(u64 address, size_t size, const char *what, u64 from)
{
    if (size == 0 || !is_watched(address) || !is_watched(address + size - 1))
        return;
    for (u64 at = address; at < address + size; at = (at & ~7ull) + 8) {
        u64 last = MIN(at | 7, address + size - 1);

        if (is_bad(last))
            report(what, at, size, from);
    }
}

#define HERE ((u64)__builtin_return_address(0))

#define ACCESS(n)                                \
    void __asan_load##n##_noabort(u64 address);  \
    void __asan_load##n##_noabort(u64 address)   \
    {                                            \
        check(address, n, "read", HERE);         \
    }                                            \
    void __asan_store##n##_noabort(u64 address); \
    void __asan_store##n##_noabort(u64 address)  \
    {                                            \
        check(address, n, "write", HERE);        \
    }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __asan_loadN_noabort(u64 address, size_t size);
void __asan_loadN_noabort(u64 address, size_t size)
{
    check(address, size, "read", HERE);
}

void __asan_storeN_noabort(u64 address, size_t size);
void __asan_storeN_noabort(u64 address, size_t size)
{
    check(address, size, "write", HERE);
}

/* The frames up to the top of the stack are left for good. */
void __asan_handle_no_return(void);
void __asan_handle_no_return(void)
{
    u64 here = (u64)__builtin_frame_address(0), top = tcb()->head.stack_top;

    if (here < top && top - here <= LAYOUT_STACK_SIZE)
        mark(here, top - here, 0);
}

/* ---- what is written in assembly ---- */

void *__real_memcpy(void *d, const void *s, size_t n);
void *__wrap_memcpy(void *d, const void *s, size_t n);
void *__wrap_memcpy(void *d, const void *s, size_t n)
{
    check((u64)s, n, "copy from", HERE);
    check((u64)d, n, "copy to", HERE);
    return __real_memcpy(d, s, n);
}

void *__real_memmove(void *d, const void *s, size_t n);
void *__wrap_memmove(void *d, const void *s, size_t n);
void *__wrap_memmove(void *d, const void *s, size_t n)
{
    check((u64)s, n, "move from", HERE);
    check((u64)d, n, "move to", HERE);
    return __real_memmove(d, s, n);
}

void *__real_memset(void *d, int c, size_t n);
void *__wrap_memset(void *d, int c, size_t n);
void *__wrap_memset(void *d, int c, size_t n)
{
    check((u64)d, n, "set", HERE);
    return __real_memset(d, c, n);
}

/* ---- the heap ---- */

#define LIMIT_RSS   5
#define RARELY_EVER (1u << 30) /* the limit is none */

static bool is_denied(bool pages)
{
    static u64 count;
    const struct thread *t = current();
    const struct rlimit64 *limit = t != NULL && t->process != NULL ? &t->process->rlimits[LIMIT_RSS]
                                                                   : NULL;
    const u64 rate = limit == NULL ? 0 : pages ? limit->hard : limit->soft;

    if (rate == 0 || rate > RARELY_EVER)
        return false;
    return (__atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) * 0x9e3779b97f4a7c15ull >> 32) % rate ==
           0;
}

static struct {
    struct spinlock lock;
    struct header *ring[QUARANTINE];
    u32 next;
} g_quarantine;

void *__real_kmalloc(size_t size);
void __real_kfree(void *p);
void *__wrap_kmalloc(size_t size);
void *__wrap_kzalloc(size_t size);
void *__wrap_krealloc(void *p, size_t size);
void __wrap_kfree(void *p);
void __wrap_kfree_sensitive(void *p);

void *__wrap_kmalloc(size_t size)
{
    struct header *h;
    u64 start;

    if (size > 1ul << 40 || is_denied(false))
        return NULL;
    h = __real_kmalloc(HEADER + size + TAIL);
    if (h == NULL)
        return NULL;
    *h = (struct header){LIVE, size};
    start = (u64)(h + 1);
    mark((u64)h, HEADER, POISON_END);
    mark(start + (size & ~7ul), size % 8 + TAIL, POISON_END);
    mark(start, size, 0);
    return h + 1;
}

void *__wrap_kzalloc(size_t size)
{
    void *p = __wrap_kmalloc(size);

    if (p != NULL)
        __real_memset(p, 0, size);
    return p;
}

static void release(struct header *h)
{
    h->magic = 0;
    __real_kfree(h);
}

void __wrap_kfree(void *p)
{
    struct header *h, *old;

    if (p == NULL)
        return;
    h = (struct header *)p - 1;
    if (h->magic != LIVE)
        report(h->magic == FREED ? "second free" : "free of no object", (u64)p, 0, HERE);
    h->magic = FREED;
    mark((u64)p, h->size, POISON_OLD);
    if (h->size > BIG) {
        release(h);
        return;
    }
    spin_lock(&g_quarantine.lock);
    old = g_quarantine.ring[g_quarantine.next];
    g_quarantine.ring[g_quarantine.next] = h;
    g_quarantine.next = (g_quarantine.next + 1) % QUARANTINE;
    spin_unlock(&g_quarantine.lock);
    if (old != NULL)
        release(old);
}

void __wrap_kfree_sensitive(void *p)
{
    if (p != NULL)
        __real_memset(p, 0, ((struct header *)p - 1)->size);
    __wrap_kfree(p);
}

void *__wrap_krealloc(void *p, size_t size)
{
    void *n = __wrap_kmalloc(size);

    if (p == NULL || n == NULL)
        return n;
    __wrap_memcpy(n, p, MIN(size, ((struct header *)p - 1)->size));
    __wrap_kfree(p);
    return n;
}

void *__real_page_alloc(size_t count);
void __real_page_free(void *p, size_t count);
void *__wrap_page_alloc(size_t count);
void __wrap_page_free(void *p, size_t count);

void *__wrap_page_alloc(size_t count)
{
    void *p = is_denied(true) ? NULL : __real_page_alloc(count);

    if (p != NULL)
        mark((u64)p, count * PAGE_SIZE, 0);
    return p;
}

void __wrap_page_free(void *p, size_t count)
{
    if (p != NULL) {
        check((u64)p, count * PAGE_SIZE, "free", HERE);
        mark((u64)p, count * PAGE_SIZE, POISON_OLD);
    }
    __real_page_free(p, count);
}

/* ---- undefined behaviour ---- */

struct place {
    const char *file;
    u32 line, column;
};

#define HANDLER(name)                                                              \
    __noreturn void __ubsan_handle_##name(const struct place *at);                 \
    void __ubsan_handle_##name(const struct place *at)                             \
    {                                                                              \
        g_panic_details = true;                                                    \
        panic("sanitizer: " #name " at %s:%u:%u", at->file, at->line, at->column); \
    }
HANDLER(type_mismatch_v1)
HANDLER(pointer_overflow)
HANDLER(out_of_bounds)
HANDLER(shift_out_of_bounds)
HANDLER(add_overflow)
HANDLER(sub_overflow)
HANDLER(mul_overflow)
HANDLER(negate_overflow)
HANDLER(divrem_overflow)
HANDLER(load_invalid_value)
HANDLER(builtin_unreachable)
HANDLER(missing_return)
HANDLER(vla_bound_not_positive)
HANDLER(invalid_builtin)
HANDLER(nonnull_arg)
HANDLER(nonnull_return_v1)
