/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID and RDTSC for applications, where the processor refuses them inside an enclave. What the
 * host says of CPUID is a hint: it can make a program slow or stop with SIGILL, and features that
 * the enclave's XFRM lacks are taken away.
 */
#include "exception.h"
#include "host.h"
#include "lib.h"
#include "start.h"

#define CACHE_SIZE 64

static struct cpuid_entry {
    u32 leaf, subleaf, out[4];
    bool valid;
} g_cache[CACHE_SIZE];
static struct spinlock g_cache_lock;

static bool cached(u32 leaf, u32 subleaf, u32 out[4], u32 slot)
{
    bool hit;

    spin_lock(&g_cache_lock);
    hit = g_cache[slot].valid && g_cache[slot].leaf == leaf && g_cache[slot].subleaf == subleaf;
    if (hit)
        memcpy(out, g_cache[slot].out, 16);
    spin_unlock(&g_cache_lock);
    return hit;
}

static void filter(u32 leaf, u32 subleaf, u32 out[4])
{
    u64 xfrm = vector_features();

    if (leaf == 1 && (xfrm & 4) == 0)
        out[2] &= ~((1u << 28) | (1u << 12) | (1u << 29)); /* AVX, FMA, F16C */
    if (leaf == 7 && subleaf == 0) {
        if ((xfrm & 4) == 0)
            out[1] &= ~(1u << 5);
        if ((xfrm & 0xe0) != 0xe0)
            out[1] &= ~0xdc230000u; /* AVX512* */
        if ((xfrm & (3ull << 17)) == 0)
            out[3] &= ~((1u << 22) | (1u << 24) | (1u << 25)); /* AMX */
    }
    if (leaf == 0xd && subleaf == 0) {
        out[0] &= (u32)xfrm;
        out[3] &= (u32)(xfrm >> 32);
    }
}

void exception_cpuid(struct uregs *regs)
{
    u32 leaf = (u32)regs->rax, subleaf = (u32)regs->rcx, out[4] = {0};
    u32 slot;

    /* Leaves without subleaves would only spoil the cache. */
    if (leaf != 4 && leaf != 7 && leaf != 0xb && leaf != 0xd && leaf != 0x12 && leaf != 0x14 &&
        leaf != 0x1f && leaf != 0x8000001d)
        subleaf = 0;
    slot = (leaf ^ leaf >> 24 ^ subleaf * 7) % CACHE_SIZE;
    if (!cached(leaf, subleaf, out, slot)) {
        if (host_cpuid(leaf, subleaf, out) < 0)
            memset(out, 0, sizeof(out));
        filter(leaf, subleaf, out);
        spin_lock(&g_cache_lock);
        g_cache[slot] = (struct cpuid_entry){leaf, subleaf, {out[0], out[1], out[2], out[3]}, true};
        spin_unlock(&g_cache_lock);
    }
    regs->rax = out[0];
    regs->rbx = out[1];
    regs->rcx = out[2];
    regs->rdx = out[3];
}

void exception_rdtsc(struct uregs *regs)
{
    u64 v = clock_monotonic();

    regs->rax = (u32)v;
    regs->rdx = v >> 32;
}
