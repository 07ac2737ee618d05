/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID for applications (docs/design/processors.md). Every answer is fixed at boot. Features are
 * what probe.c found; leaf 0xD follows from XFRM; caches, address sizes and the like are constants.
 * Of the host's word only what can make nothing wrong is used: the model's number, how many
 * processors there are, and which string instructions are fast.
 */
#include "cpu.h"
#include "current.h"
#include "host.h"
#include "log.h"
#include "vector.h"
#include <asm/errno.h>

#define LEAF_MAX     0x1fu
#define LEAF_EXT_MAX 0x80000008u
#define XSAVE_LEGACY 576u /* legacy region and header */

/* EAX of leaf 1 but for type and reserved bits. */
#define VERSION_MASK 0x0fff0fffu
/* Words of hints: ERMS; FSRM; FZRM, FSRS, FSRC. */
#define HINTS_7_EBX   (1u << 9)
#define HINTS_7_EDX   (1u << 4)
#define HINTS_7_1_EAX (7u << 10)
/* What every processor with 64-bit mode has: FPU TSC MSR CX8 CMOV CLFSH MMX FXSR SSE SSE2. */
#define BASE_1_EDX     0x07888131u
#define EXT_1_EDX      ((1u << 11) | (1u << 20) | (1u << 29)) /* SYSCALL NX LM */
#define EXT_1_ECX      (1u << 8)                              /* PREFETCHW */
#define PROCESSORS_MAX 1024u

struct answer {
    u32 eax, ebx, ecx, edx;
};

static u32 g_words[CPU_WORDS];
static u32 g_version, g_processors = 1;

/* ---- leaf 0xD: XSAVE ---- */

/* SDM volume 1, 13.5: where Intel's processors keep each component in the standard format. */
static const struct component {
    u32 bit, size, offset;
} g_components[] = {{2, 256, 576}, {5, 64, 1088}, {6, 512, 1152}, {7, 1024, 1664}};

static u32 xsave_size(bool compact)
{
    u32 size = XSAVE_LEGACY;

    for (size_t i = 0; i < ARRAY_SIZE(g_components); i++) {
        const struct component *c = &g_components[i];

        if ((vector_features() & 1ull << c->bit) != 0)
            size = compact ? size + c->size : c->offset + c->size;
    }
    return size;
}

static struct answer xsave_leaf(u32 subleaf)
{
    u64 xfrm = vector_features();

    if (subleaf == 0)
        return (struct answer){(u32)xfrm, xsave_size(false), xsave_size(false), (u32)(xfrm >> 32)};
    if (subleaf == 1)
        return (struct answer){.eax = g_words[CPU_D_1_EAX], .ebx = xsave_size(true)};
    for (size_t i = 0; i < ARRAY_SIZE(g_components); i++) {
        const struct component *c = &g_components[i];

        if (c->bit == subleaf && (xfrm & 1ull << c->bit) != 0)
            return (struct answer){.eax = c->size, .ebx = c->offset};
    }
    return (struct answer){0};
}

/* ---- the others ---- */

/* EAX: type, level << 5, self-initialising; EBX: line - 1, ways - 1 << 22; ECX: sets - 1. */
static const struct answer g_caches[] = {
    {0x121, 63 | 7u << 22, 63, 0},     /* L1 data 32 KiB */
    {0x122, 63 | 7u << 22, 63, 0},     /* L1 code 32 KiB */
    {0x143, 63 | 15u << 22, 1023, 0},  /* L2 1 MiB */
    {0x163, 63 | 15u << 22, 16383, 4}, /* L3 16 MiB, complex indexing */
};

static struct answer topology_leaf(u32 subleaf)
{
    u32 shift = 0;

    while ((1u << shift) < g_processors)
        shift++;
    switch (subleaf) {
    case 0: /* one thread in a core */
        return (struct answer){0, 1, 0x100, 0};
    case 1:
        return (struct answer){shift, g_processors, 0x201, 0};
    default:
        return (struct answer){.ecx = subleaf & 0xff};
    }
}

static struct answer basic_leaf(u32 leaf, u32 subleaf)
{
    switch (leaf) {
    case 0: /* GenuineIntel */
        return (struct answer){LEAF_MAX, 0x756e6547, 0x6c65746e, 0x49656e69};
    case 1: /* CLFLUSH lines of 64 bytes */
        return (struct answer){g_version, 8u << 8 | MIN(g_processors, 255u) << 16,
                               g_words[CPU_1_ECX], BASE_1_EDX | (g_processors > 1 ? 1u << 28 : 0)};
    case 2: /* see leaf 4; prefetch 64 bytes */
        return (struct answer){0x0000ff01, 0xf0, 0, 0};
    case 4:
        return subleaf < ARRAY_SIZE(g_caches) ? g_caches[subleaf] : (struct answer){0};
    case 7:
        if (subleaf == 0)
            return (struct answer){1, g_words[CPU_7_EBX], g_words[CPU_7_ECX], g_words[CPU_7_EDX]};
        return (struct answer){.eax = subleaf == 1 ? g_words[CPU_7_1_EAX] : 0};
    case 0xb:
    case 0x1f:
        return topology_leaf(subleaf);
    case 0xd:
        return xsave_leaf(subleaf);
    default:
        return (struct answer){0};
    }
}

static struct answer extended_leaf(u32 leaf)
{
    static const char brand[48] = "Intel(R) processor with SGX";
    struct answer a = {0};

    switch (leaf) {
    case 0x80000000:
        a.eax = LEAF_EXT_MAX;
        break;
    case 0x80000001:
        a.ecx = g_words[CPU_EXT_1_ECX] | EXT_1_ECX;
        a.edx = g_words[CPU_EXT_1_EDX] | EXT_1_EDX;
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        memcpy(&a, brand + (leaf - 0x80000002) * sizeof(a), sizeof(a));
        break;
    case 0x80000006:
        a.ecx = 1024u << 16 | 8u << 12 | 64; /* L2 as in leaf 4 */
        break;
    case 0x80000007:
        a.edx = 1u << 8; /* invariant TSC */
        break;
    case 0x80000008:
        a.eax = 48u << 8 | 46;
        break;
    }
    return a;
}

void exception_cpuid(struct uregs *regs)
{
    u32 leaf = (u32)regs->rax;
    struct answer a = leaf >= 0x80000000u ? extended_leaf(leaf) : basic_leaf(leaf, (u32)regs->rcx);

    regs->rax = a.eax;
    regs->rbx = a.ebx;
    regs->rcx = a.ecx;
    regs->rdx = a.edx;
}

bool cpuid_has_sha(void)
{
    return (g_words[CPU_7_EBX] & 1u << 29) != 0;
}

/* ---- start ---- */

static void take_hints(void)
{
    u32 leaf1[4] = {0}, leaf7[4] = {0}, leaf7_1[4] = {0}, leafb[4] = {0};
    u32 n;

    if (host_cpuid(1, 0, leaf1) < 0 || host_cpuid(7, 0, leaf7) < 0 ||
        host_cpuid(7, 1, leaf7_1) < 0 || host_cpuid(0xb, 1, leafb) < 0)
        return;
    g_version = leaf1[0] & VERSION_MASK;
    g_words[CPU_7_EBX] |= leaf7[1] & HINTS_7_EBX;
    g_words[CPU_7_EDX] |= leaf7[3] & HINTS_7_EDX;
    g_words[CPU_7_1_EAX] |= leaf7_1[0] & HINTS_7_1_EAX;
    n = (leafb[1] & 0xffff) != 0 ? leafb[1] & 0xffff : leaf1[1] >> 16 & 0xff;
    g_processors = MIN(MAX(n, 1u), PROCESSORS_MAX);
}

int cpuid_init(void)
{
    static const struct {
        const char *name;
        u8 word, bit;
    } needed[] = {
#define NEED(name, word, bit, xfrm, needed, before, instruction, after) \
    {(needed) ? #name : NULL, word, bit},
        CPU_FEATURES(NEED)
#undef NEED
    };

    cpu_probe(vector_features(), g_words);
    vector_scrub();
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        if (needed[i].name != NULL && (g_words[needed[i].word] & 1u << needed[i].bit) == 0) {
            log_error("the processor lacks %s, without which the LibOS does not run: use one that "
                      "has it (docs/design/processors.md)",
                      needed[i].name);
            return -ENODEV;
        }
    }
    take_hints();
    return 0;
}
