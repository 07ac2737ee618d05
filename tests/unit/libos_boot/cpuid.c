/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID inside an enclave under a host that lies about all of it: the answers follow from XFRM and
 * from what the processor executes; glibc's reserve for lazy binding is enough for XSAVE, whatever
 * the host says. Then the probe itself, against the CPUID of the machine that runs the test.
 */
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "cpu_test.h"

#define LEAVES   0x40
#define SUBLEAFS 70

static uint64_t g_xfrm;
static unsigned g_bad;
static uint32_t g_have[TEST_WORDS];
static bool g_real_probe;

#define CHECK(cond)                                                              \
    do {                                                                         \
        if (!(cond)) {                                                           \
            printf("%s:%d: %s (XFRM %lx)\n", __FILE__, __LINE__, #cond, g_xfrm); \
            g_bad++;                                                             \
        }                                                                        \
    } while (0)

/* ---- what cpuid.c asks ---- */

uint64_t test_xfrm(void)
{
    return g_xfrm;
}

/* All bits, none, or any: of every leaf. */
static enum { HOST_ONES, HOST_ZEROS, HOST_RANDOM, HOST_REFUSES } g_host;

static unsigned g_asked;

int test_host_cpuid(uint32_t out[4])
{
    g_asked++;
    for (int i = 0; i < 4; i++)
        out[i] = g_host == HOST_ONES    ? UINT32_MAX
                 : g_host == HOST_ZEROS ? 0
                                        : (uint32_t)random() * 5;
    return g_host == HOST_REFUSES ? -1 : 0;
}

bool test_probe(uint32_t *words)
{
    if (g_real_probe)
        return false;
    memcpy(words, g_have, sizeof(g_have));
    return true;
}

/* ---- glibc ---- */

/* Of sysdeps/x86/cpu-features.c of glibc 2.36, update_active(): what _dl_runtime_resolve_xsave and
 * _dl_runtime_resolve_xsavec reserve below the stack pointer for the vector registers. */
static uint32_t glibc_reserve(bool *xsavec)
{
    const uint32_t mask = (1u << 1) | (1u << 2) | (1u << 3) | (1u << 5) | (1u << 6) | (1u << 7);
    const uint32_t offset = 8 * 7 + 8; /* STATE_SAVE_OFFSET */
    struct test_regs r = test_cpuid(0xd, 0);
    uint32_t full = r.ebx, size = 0, at = 576;

    full = (full + offset + 63) & ~63u;
    *xsavec = (test_cpuid(0xd, 1).eax & (1u << 1)) != 0;
    if (!*xsavec)
        return full;
    for (uint32_t i = 2; i < 32; i++) {
        if ((mask & (1u << i)) == 0)
            continue;
        r = test_cpuid(0xd, i);
        if (r.ecx & (1u << 1))
            at = (at + 63) & ~63u;
        at += r.eax;
        size = at;
    }
    return size != 0 ? (size + offset + 63) & ~63u : full;
}

/* How far XSAVE with these components writes on Intel's processors (SDM volume 1, 13.4.3). */
static uint32_t xsave_end(uint64_t xfrm, bool compact)
{
    if (compact)
        return 576 + (xfrm & 4 ? 256 : 0) + (xfrm & 0xe0 ? 64 + 512 + 1024 : 0);
    return xfrm & 0xe0 ? 2688 : xfrm & 4 ? 832 : 576;
}

static void check_leaf_d(void)
{
    bool compact;
    uint32_t reserve = glibc_reserve(&compact);
    struct test_regs r = test_cpuid(0xd, 0);

    CHECK(reserve >= 64 + xsave_end(g_xfrm, compact));
    CHECK(r.eax == (uint32_t)g_xfrm && r.edx == 0 && r.ebx == xsave_end(g_xfrm, false) &&
          r.ecx == r.ebx);
    r = test_cpuid(0xd, 1);
    CHECK((r.eax & ~7u) == 0 && r.ecx == 0 && r.edx == 0 && r.ebx == xsave_end(g_xfrm, true));
    for (uint32_t i = 2; i < SUBLEAFS; i++) {
        bool there = i < 64 && (g_xfrm & ~3ull & 1ull << i) != 0;

        r = test_cpuid(0xd, i);
        CHECK(there == (r.eax != 0) && r.ecx == 0 && r.edx == 0);
        CHECK(!there || (r.ebx >= 576 && r.ebx + r.eax <= xsave_end(g_xfrm, false)));
    }
}

/* ---- all leaves ---- */

static const struct {
    uint32_t leaf, ebx, ecx, edx;
} g_avx_bits[] = {
    {1, 0, 1u << 28 | 1u << 12 | 1u << 29, 0}, /* AVX FMA F16C */
    {7, 1u << 5, 1u << 9 | 1u << 10, 0},       /* AVX2 VAES VPCLMULQDQ */
};

static void check_features(void)
{
    const uint32_t avx512_ebx = 0xd0230000;
    struct test_regs one = test_cpuid(1, 0), seven = test_cpuid(7, 0);

    if ((g_xfrm & 4) == 0) {
        CHECK((one.ecx & g_avx_bits[0].ecx) == 0);
        CHECK((seven.ebx & g_avx_bits[1].ebx) == 0 && (seven.ecx & g_avx_bits[1].ecx) == 0);
    }
    if ((g_xfrm & 0xe0) != 0xe0)
        CHECK((seven.ebx & avx512_ebx) == 0 && (seven.ecx & 0x5842) == 0 &&
              (seven.edx & (1u << 23)) == 0);
    CHECK((seven.edx & (7u << 22 & ~(1u << 23))) == 0);        /* AMX */
    CHECK((seven.ebx & (1u << 4 | 1u << 11 | 1u << 14)) == 0); /* HLE RTM MPX */
    CHECK((seven.ecx & (1u << 3 | 1u << 4 | 1u << 7)) == 0);   /* PKU OSPKE SHSTK */
    CHECK((one.ecx & TEST_NEEDED_1_ECX) == TEST_NEEDED_1_ECX); /* whatever the host hides */
    CHECK((one.ecx & (1u << 3 | 1u << 5 | 1u << 21 | 1u << 31)) == 0);
    CHECK((one.edx & 0x07808111) == 0x07808111);
    CHECK((seven.ebx & 1) == 1);
}

static void check_bounds(void)
{
    uint32_t levels = 0;

    CHECK(test_cpuid(0, 0).eax == 0x1f && test_cpuid(0x80000000, 0).eax == 0x80000008);
    CHECK((test_cpuid(2, 0).eax & 0xff) == 1);
    while (levels < SUBLEAFS && (test_cpuid(4, levels).eax & 0x1f) != 0)
        levels++;
    CHECK(levels == 4);
    for (uint32_t i = 0; i < levels; i++) {
        struct test_regs r = test_cpuid(4, i);
        uint64_t size = (uint64_t)((r.ebx >> 22) + 1) * ((r.ebx & 0xfff) + 1) * (r.ecx + 1);

        CHECK((r.ebx & 0xfff) == 63 && size >= 32768 && size <= (64u << 20));
    }
    CHECK(test_cpuid(0xb, 2).ebx == 0 && test_cpuid(0x1f, 2).ebx == 0); /* loops over it end */
    CHECK((test_cpuid(0xb, 1).ebx & 0xffff) >= 1 && (test_cpuid(0xb, 1).ebx & 0xffff) <= 1024);
    CHECK((test_cpuid(0x80000008, 0).eax & 0xff) == 46);
    CHECK((test_cpuid(1, 0).ebx & 0xff00) == 0x800);
    for (uint32_t leaf = 0; leaf < LEAVES; leaf++) {
        bool known = leaf <= 2 || leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd ||
                     leaf == 0x1f;

        for (uint32_t sub = 0; !known && sub < SUBLEAFS; sub++)
            CHECK(test_is_zero(test_cpuid(leaf, sub)) &&
                  test_is_zero(test_cpuid(0x40000000 + leaf, sub)) &&
                  test_is_zero(test_cpuid(0x80000009 + leaf, sub)) &&
                  test_is_zero(test_cpuid(0xc0000000 + leaf, sub)));
    }
}

/* Only the model, the number of processors and the fast strings are the host's. */
static void check_same(const struct test_regs *want, const struct test_regs *got, uint32_t leaf,
                       uint32_t sub)
{
    struct test_regs hints = {0};

    if (leaf == 1)
        hints = (struct test_regs){0x0fff0fff, 0xff0000, 0, 1u << 28};
    else if (leaf == 7)
        hints = sub == 0   ? (struct test_regs){0, 1u << 9, 0, 1u << 4}
                : sub == 1 ? (struct test_regs){7u << 10, 0, 0, 0}
                           : hints;
    else if ((leaf == 0xb || leaf == 0x1f) && sub == 1)
        hints = (struct test_regs){0xf, 0x7ff, 0, 0};
    CHECK(((want->eax ^ got->eax) & ~hints.eax) == 0 &&
          ((want->ebx ^ got->ebx) & ~hints.ebx) == 0 &&
          ((want->ecx ^ got->ecx) & ~hints.ecx) == 0 && ((want->edx ^ got->edx) & ~hints.edx) == 0);
}

static void lying_host(void)
{
    static struct test_regs plain[2][LEAVES][SUBLEAFS];

    memset(g_have, 0xff, sizeof(g_have)); /* the processor has everything: XFRM decides */
    g_host = HOST_REFUSES;
    for (int round = 0; round < 40; round++) {
        unsigned asked;

        CHECK(test_cpuid_init() == 0);
        asked = g_asked;
        check_leaf_d();
        check_features();
        check_bounds();
        for (uint32_t leaf = 0; leaf < LEAVES; leaf++) {
            for (uint32_t sub = 0; sub < SUBLEAFS; sub++) {
                for (uint32_t high = 0; high < 2; high++) {
                    struct test_regs r = test_cpuid(leaf | high << 31, sub);

                    if (round == 0)
                        plain[high][leaf][sub] = r;
                    else
                        check_same(&plain[high][leaf][sub], &r, high ? 0 : leaf, sub);
                }
            }
        }
        CHECK(asked == g_asked); /* the same answers for life */
        g_host = round == 0 ? HOST_ONES : round == 1 ? HOST_ZEROS : HOST_RANDOM;
    }
}

/* A processor without one of the needed features: no enclave, whatever the host claims. */
static void needed_features(void)
{
    g_host = HOST_ONES;
    for (uint32_t bit = 0; bit < 32; bit++) {
        memset(g_have, 0xff, sizeof(g_have));
        g_have[TEST_WORD_1_ECX] &= ~(1u << bit);
        /* (r < 0) == (mask != 0) in one expression is miscompiled by gcc 12.2 */
        if ((TEST_NEEDED_1_ECX & 1u << bit) != 0)
            CHECK(test_cpuid_init() < 0);
        else
            CHECK(test_cpuid_init() == 0);
    }
    memset(g_have, 0xff, sizeof(g_have));
}

/* ---- the probe ---- */

struct fixup {
    int32_t instruction, fixup;
    uint32_t kind;
};
extern const struct fixup __start_ex_test[], __stop_ex_test[];

static void undefined(int signo, siginfo_t *info, void *context)
{
    greg_t *rip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

    for (const struct fixup *f = __start_ex_test; f < __stop_ex_test; f++) {
        if ((intptr_t)&f->instruction + f->instruction == *rip) {
            *rip = (intptr_t)&f->fixup + f->fixup;
            return;
        }
    }
    abort();
}

static void probe_here(void)
{
    struct sigaction act = {.sa_sigaction = undefined, .sa_flags = SA_SIGINFO};
    uint32_t words[TEST_WORDS], real[TEST_WORDS] = {0}, a, b, c, d, lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    g_xfrm = (lo & 0xe0) == 0xe0 ? 0xe7 : lo & 7;
    sigaction(SIGILL, &act, NULL);
    g_real_probe = true;
    test_cpu_probe(g_xfrm, words);
    g_real_probe = false;
    __get_cpuid_count(1, 0, &a, &b, &real[TEST_WORD_1_ECX], &d);
    __get_cpuid_count(7, 0, &a, &real[TEST_WORD_7_EBX], &real[TEST_WORD_7_ECX], &d);
    __get_cpuid_count(0xd, 1, &real[TEST_WORD_D_1_EAX], &b, &c, &d);
    for (uint32_t i = 0; i < TEST_WORDS; i++) {
        uint32_t hidden = words[i] & ~real[i], missed = real[i] & test_probed(i) & ~words[i];

        if (real[i] != 0 && hidden != 0)
            printf("# word %u: executes %x that this machine's CPUID hides\n", i, hidden);
        if (missed != 0) {
            printf("word %u: the probe misses %x\n", i, missed);
            g_bad++;
        }
    }
    /* With less in XFRM nothing of it is tried. */
    test_cpu_probe(3, words);
    CHECK((words[TEST_WORD_1_ECX] & g_avx_bits[0].ecx) == 0);
    CHECK((words[TEST_WORD_7_EBX] & (0xd0230000 | 1u << 5)) == 0);
}

int main(void)
{
    static const uint64_t xfrms[] = {3, 7, 0xe7};

    srandom(20260918);
    for (size_t i = 0; i < sizeof(xfrms) / sizeof(xfrms[0]); i++) {
        g_xfrm = xfrms[i];
        lying_host();
        needed_features();
    }
    probe_here();
    return g_bad != 0;
}
