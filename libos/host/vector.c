/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application's vector state. It stays in the registers while the LibOS, whose C code uses
 * none, works; the first ocall in a system call saves it, the return to user code puts it back.
 * Only components in use are saved (XGETBV 1), so a program without AVX-512 does not pay for it.
 */
#include "lib.h"
#include "tcb.h"
#include "vector.h"

#define XSTATE_BV     512
#define LEGACY_STATE  3ull /* x87 and SSE: with FCW and MXCSR, always saved */
#define MXCSR_DEFAULT 0x1f80
#define FCW_DEFAULT   0x37f

struct xsave_head {
    u16 fcw, fsw;
    u8 pad[20];
    u32 mxcsr, mxcsr_mask;
    u8 regs[480];
    u64 xstate_bv, xcomp_bv, reserved[6];
    u8 rest[512];
} __attribute__((aligned(64)));

static const struct xsave_head g_initial = {.fcw = FCW_DEFAULT, .mxcsr = MXCSR_DEFAULT};
static u64 g_xfrm = LEGACY_STATE;

void vector_init(u64 xfrm)
{
    g_xfrm = xfrm;
}

u64 vector_features(void)
{
    return g_xfrm;
}

u32 vector_area_size(void)
{
    /* The standard format's offsets differ between processors and CPUID is not ours to ask: the
     * larger of the known ones. */
    return (g_xfrm & ~7ull) != 0 ? 2696 : (g_xfrm & 4) != 0 ? 832 : 576;
}

static u64 in_use(void)
{
    u32 lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(1));
    return (((u64)hi << 32 | lo) | LEGACY_STATE) & g_xfrm;
}

static void xrstor(const void *area, u64 mask)
{
    __asm__ volatile("xrstor64 (%0)"
                     :
                     : "r"(area), "a"((u32)mask), "d"((u32)(mask >> 32))
                     : "memory");
}

static void save(struct tcb *t)
{
    struct xsave_head *x = t->current->xsave;
    u64 mask = in_use();

    x->xstate_bv = 0;
    __asm__ volatile("xsave64 (%0)" : : "r"(x), "a"((u32)mask), "d"((u32)(mask >> 32)) : "memory");
    t->vector_saved = VECTOR_SAVED;
}

void vector_leave(void)
{
    struct tcb *t = tcb();

    if (t->vector_saved == VECTOR_SCRUBBED)
        return;
    if (t->vector_saved == VECTOR_LIVE)
        save(t);
    xrstor(&g_initial, g_xfrm);
    t->vector_saved = VECTOR_SCRUBBED;
}

void vector_load(const void *area)
{
    xrstor(area, g_xfrm);
}

void vector_scrub(void)
{
    xrstor(&g_initial, g_xfrm);
}

void vector_restore(void)
{
    struct tcb *t = tcb();

    if (t->vector_saved == VECTOR_LIVE)
        return;
    xrstor(t->current->xsave, g_xfrm);
    t->vector_saved = VECTOR_LIVE;
}

void *vector_user_area(void)
{
    struct tcb *t = tcb();

    if (t->vector_saved == VECTOR_LIVE)
        save(t);
    return t->current->xsave;
}

void vector_copy_to(struct thread *to)
{
    memcpy(to->xsave, vector_user_area(), vector_area_size());
}

/* The state of a new program, in a page. */
void vector_initial(void *xsave)
{
    memset(xsave, 0, PAGE_SIZE);
    memcpy(xsave, &g_initial, sizeof(g_initial));
}

void vector_reset(void)
{
    struct tcb *t = tcb();

    vector_initial(t->current->xsave);
    if (t->vector_saved == VECTOR_LIVE)
        t->vector_saved = VECTOR_SAVED;
}
