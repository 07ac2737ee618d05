/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RUNE_SGX_EMULATOR_ISOLATE, for tests: an access of host code to enclave memory, which hardware
 * would answer with ones and drop writes of, ends the process and says where it was.
 *
 *   keys    One protection key for all of ELRANGE (pkeys(7)). It is open where enclave code runs,
 *           and in the code here that plays the processor: emu_enclu until the IRETQ, the handlers
 *           of a thread in the enclave, driver calls with the lock. The kernel closes it for every
 *           signal handler, and takes it from the frame when the handler returns.
 *   pages   For machines without protection keys: while no thread is in the enclave all its pages
 *           are inaccessible. What a host thread does while another one is inside goes unnoticed.
 *
 * A system call of the host on enclave memory fails with EFAULT. ENCLU sites are not rewritten:
 * what they call runs neither in the enclave nor here.
 */
#include <cpuid.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "sgx/emulator/emulator.h"

#define XFEATURE_PKRU    9
#define XSAVE_HEADER_AT  512
#define LOWER_CHEAP      200000 /* ns */
#define PKRU_KEY_MASK(k) (3u << (2 * (k)))

static enum emu_isolation g_mode;
static int g_key = -1;
static uint32_t g_pkru; /* with the key closed */
static unsigned g_pkru_at;

bool emu_isolated(void)
{
    return g_mode != EMU_ISOLATE_NONE;
}

static int take_key(struct error *err)
{
    unsigned eax, ebx, ecx, edx;
    const int key = pkey_alloc(0, PKEY_DISABLE_ACCESS);

    if (key < 0)
        return error_code(err, ENOTSUP,
                          "RUNE_SGX_EMULATOR_ISOLATE is keys, but processor or kernel offer no "
                          "protection keys: \"pages\" needs none, and finds less");
    if (!__get_cpuid_count(0xd, XFEATURE_PKRU, &eax, &ebx, &ecx, &edx) || eax == 0)
        return error_code(err, ENOTSUP, "RUNE_SGX_EMULATOR_ISOLATE: XSAVE has no PKRU here");
    __asm__ volatile("rdpkru" : "=a"(g_pkru), "=d"(edx) : "c"(0));
    g_pkru_at = ebx;
    g_key = key;
    return 0;
}

int emu_isolate_setup(enum emu_isolation wanted, struct error *err)
{
    if (wanted == EMU_ISOLATE_KEYS && take_key(err) < 0)
        return -ENOTSUP;
    if (wanted == EMU_ISOLATE_AUTO)
        wanted = take_key(NULL) == 0 ? EMU_ISOLATE_KEYS : EMU_ISOLATE_PAGES;
    g_mode = wanted;
    return 0;
}

/* mprotect() later keeps the key. */
int emu_isolate_range(void *start, uint64_t size)
{
    return g_key >= 0 && pkey_mprotect(start, size, PROT_NONE, g_key) < 0 ? -errno : 0;
}

void emu_processor_begin(void)
{
    if (g_key >= 0)
        pkey_set(g_key, 0);
}

void emu_processor_end(void)
{
    if (g_key >= 0)
        pkey_set(g_key, PKEY_DISABLE_ACCESS);
}

/* What the context goes on with. A component in its initial state is 0: all keys open. */
void emu_isolate_context(ucontext_t *uc, bool inside)
{
    uint8_t *frame = (uint8_t *)uc->uc_mcontext.fpregs;
    const uint32_t pkru = inside ? g_pkru & ~PKRU_KEY_MASK(g_key) : g_pkru;
    uint64_t components;

    if (g_key < 0)
        return;
    memcpy(&components, frame + XSAVE_HEADER_AT, sizeof(components));
    components |= 1ull << XFEATURE_PKRU;
    memcpy(frame + XSAVE_HEADER_AT, &components, sizeof(components));
    memcpy(frame + g_pkru_at, &pkru, sizeof(pkru));
}

/* ---- pages ---- */

void emu_isolate_enter(struct sgx_handle *e)
{
    if (g_mode != EMU_ISOLATE_PAGES)
        return;
    emu_lock(e);
    e->inside++;
    emu_unlock(e);
}

static uint64_t now(clockid_t clock)
{
    struct timespec t = {0};

    syscall(SYS_clock_gettime, clock, &t); /* no RDTSC, which may fault (trap.c) */
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Each time; but where it is dear, for an enclave of many mappings, for a part of the time only.
 * The processor's time counts: on a busy machine little takes long. */
static void lower(struct sgx_handle *e)
{
    if (now(CLOCK_MONOTONIC) < e->next_lower)
        return;
    const uint64_t start = now(CLOCK_THREAD_CPUTIME_ID);
    emu_lower_everything(e);
    const uint64_t cost = now(CLOCK_THREAD_CPUTIME_ID) - start;
    e->next_lower = cost < LOWER_CHEAP ? 0 : now(CLOCK_MONOTONIC) + 10 * cost;
}

void emu_isolate_leave(struct sgx_handle *e)
{
    if (g_mode != EMU_ISOLATE_PAGES)
        return;
    emu_lock(e);
    if (--e->inside == 0)
        lower(e);
    emu_unlock(e);
}

/* ---- what was found ---- */

void emu_isolate_check(const ucontext_t *uc)
{
    const greg_t *regs = uc->uc_mcontext.gregs;
    const uint64_t address = (uint64_t)regs[REG_CR2];
    const bool write = regs[REG_ERR] & X86_PF_WRITE;
    const void *rip = (const void *)regs[REG_RIP];
    char text[512];
    Dl_info where;

    if (!emu_isolated() || regs[REG_TRAPNO] != X86_PF || !emu_find(address))
        return;
    if (dladdr(rip, &where) == 0 || !where.dli_fname)
        where = (Dl_info){.dli_fname = "code at"};
    snprintf(text, sizeof(text),
             "host code touched enclave memory: %s of %#llx by %s+%#llx "
             "(RUNE_SGX_EMULATOR_ISOLATE)",
             write ? "a write" : "a read", (unsigned long long)address, where.dli_fname,
             (unsigned long long)rip - (unsigned long long)where.dli_fbase);
    emu_die(text);
}
