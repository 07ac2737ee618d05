/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page tables in the host's hands: a page of the running enclave loses its mapping, and has it back
 * after the fault, with or without the enclave being told. On hardware that is a PTE that the
 * kernel clears; here it is the driver's mapping, which the emulator asks before it lets an access
 * happen.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sgx/emulator/emulator.h"
#include "tests/hostile/hostile.h"

#define HIDDEN      64
#define CPUID_STEPS 20000

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hidden {
    uint64_t address; /* 0: free */
    int prot;         /* what the page gets back */
} g_hidden[HIDDEN];
static const struct lie *g_lie; /* what is done at a fault */

static int map(uint64_t address, int prot)
{
    return g_host.real->map(g_host.handle, address, SGX_PAGE_SIZE, prot, NULL);
}

static struct hidden *find(uint64_t address)
{
    for (unsigned i = 0; i < HIDDEN; i++)
        if (g_hidden[i].address == address)
            return &g_hidden[i];
    return NULL;
}

/* What SSA frames and TCS are on is the processor's own to reach: without it nothing runs. */
static bool may_hide(uint64_t address)
{
    const uint64_t page = emu_page(g_host.handle, address);
    const uint32_t entry = atomic_load(&g_host.handle->epcm[page]);
    if (!(entry & EPCM_VALID) || (entry & EPCM_TYPE_MASK) != EPCM_TYPE(SGX_PT_REG))
        return false;
    for (uint64_t before = 1; before <= 3 && before <= page; before++)
        if (atomic_load(&g_host.handle->tcs[page - before]) != NULL)
            return false;
    return true;
}

bool page_hide(uint64_t address)
{
    struct emu_guard guard;
    uint64_t start, end;

    address &= ~(SGX_PAGE_SIZE - 1ull);
    pthread_mutex_lock(&g_lock);
    struct hidden *h = find(address) == NULL && may_hide(address) ? find(0) : NULL;
    if (h != NULL) {
        emu_lock_host(g_host.handle, &guard);
        uint8_t prot = emu_mapping_prot(g_host.handle, emu_page(g_host.handle, address), &start,
                                        &end);
        emu_unlock_host(g_host.handle, &guard);
        h->prot = (prot & EPCM_R ? PROT_READ : 0) | (prot & EPCM_W ? PROT_WRITE : 0) |
                  (prot & EPCM_X ? PROT_EXEC : 0);
        h->address = h->prot != 0 && map(address, PROT_NONE) == 0 ? address : 0;
    }
    bool done = h != NULL && h->address != 0;
    pthread_mutex_unlock(&g_lock);
    return done;
}

static void back(struct hidden *h)
{
    map(h->address, h->prot);
    h->address = 0;
}

void page_back(uint64_t address)
{
    pthread_mutex_lock(&g_lock);
    struct hidden *h = find(address & ~(SGX_PAGE_SIZE - 1ull));
    if (h != NULL && h->address != 0)
        back(h);
    pthread_mutex_unlock(&g_lock);
}

void pages_all_back(void)
{
    pthread_mutex_lock(&g_lock);
    for (unsigned i = 0; i < HIDDEN; i++)
        if (g_hidden[i].address != 0)
            back(&g_hidden[i]);
    pthread_mutex_unlock(&g_lock);
}

void page_mapped(uint64_t address, uint64_t length, int prot)
{
    pthread_mutex_lock(&g_lock);
    for (unsigned i = 0; i < HIDDEN; i++)
        if (g_hidden[i].address - address < length && g_hidden[i].address != 0)
            g_hidden[i].address = 0;
    pthread_mutex_unlock(&g_lock);
}

/* EREMOVE and EAUG. The processor does the first only while no thread is inside, so nobody may see
 * the page half way: it is out of reach before it is empty. */
static void renew(uint64_t address)
{
    static const uint8_t zeros[SGX_PAGE_SIZE];
    struct sgx_handle *e = g_host.handle;
    const uint64_t page = emu_page(e, address);
    struct emu_guard guard;

    if (address == 0 || !may_hide(address))
        return;
    emu_lock_host(e, &guard);
    emu_epcm_set(e, page,
                 EPCM_VALID | EPCM_PENDING | EPCM_R | EPCM_W | EPCM_TYPE(SGX_PT_REG) |
                     EPCM_MAX_MASK);
    if (emu_apply(e, page, page + 1) == 0)
        (void)emu_store(e, (uint64_t)emu_address(e, page), zeros, sizeof(zeros));
    emu_unlock_host(e, &guard);
}

uint64_t page_some(void)
{
    const struct sgx_handle *e = g_host.handle;
    const uint64_t chunk = 1u << EMU_CHUNK_SHIFT;
    uint64_t chosen = 0, seen = 0;

    for (uint64_t page = 0; page < e->pages; page += chunk) {
        if (!atomic_load(&e->chunks[page >> EMU_CHUNK_SHIFT]))
            continue;
        /* One of the chunk's pages, in place of the choice so far with falling chance. */
        for (unsigned try = 0; try < 8; try++) {
            uint64_t candidate = page + chance_below(chunk);
            if (candidate < e->pages && (atomic_load(&e->epcm[candidate]) & EPCM_VALID)) {
                if (chance_below(++seen) == 0)
                    chosen = e->base + (candidate << SGX_PAGE_SHIFT);
                break;
            }
        }
    }
    return chosen;
}

/* At the fault of one page another one goes, and only of the second fault the enclave hears. */
static enum page_verdict then(uint64_t address, uint64_t next)
{
    if (((address ^ next) & ~(SGX_PAGE_SIZE - 1ull)) == 0)
        return PAGE_TELL;
    page_hide(next);
    return PAGE_RESUME;
}

static enum page_verdict by_row(const struct lie *lie, uint64_t address, uint64_t tcs)
{
    switch (lie->what) {
    case W_TELL:
    case W_USER:
        return PAGE_TELL;
    case W_SWAP:
        page_hide(page_some());
        return PAGE_RESUME;
    case W_STACK: /* it lies below its TCS */
        return then(address, tcs - SGX_PAGE_SIZE);
    case W_CPUID:
        step_for(CPUID_STEPS);
        return PAGE_RESUME;
    case W_ENTRY:
        return then(address, (uint64_t)lie->value);
    default:
        return PAGE_RESUME;
    }
}

/* The page is back meanwhile, for another thread's sake. */
static bool is_there(uint64_t address, uint32_t error)
{
    struct emu_fault unused;
    return emu_inside(g_host.handle, address, 1) && emu_access(g_host.handle, address,
                                                               error & X86_PF_WRITE   ? EPCM_W
                                                               : error & X86_PF_INSTR ? EPCM_X
                                                                                      : EPCM_R,
                                                               &unused) == 0;
}

enum page_verdict page_fault(uint64_t address, uint32_t error, uint64_t tcs, bool in_handler)
{
    enum page_verdict verdict = PAGE_NOT_OURS;

    pthread_mutex_lock(&g_lock);
    struct hidden *h = find(address & ~(SGX_PAGE_SIZE - 1ull));
    bool ours = h != NULL && h->address != 0;
    if (ours)
        back(h);
    pthread_mutex_unlock(&g_lock);
    if (ours) {
        verdict = PAGE_RESUME;
        if (in_handler) /* the handler at CSSA 1 can only go on */
            pages_all_back();
        else if (g_lie != NULL)
            verdict = by_row(g_lie, address, tcs);
    } else if (g_lie != NULL && g_lie->what != W_USER && is_there(address, error)) {
        verdict = PAGE_RESUME; /* as an honest host would */
    }
    return verdict;
}

void pages_ongoing(const struct lie *lie)
{
    const bool programs = lie->what == W_ENTRY || lie->what == W_USER;
    g_lie = lie;
    if (lie->what == W_RENEW) {
        renew(page_some());
        return;
    }
    if (lie->has_value && lie->what != W_ENTRY) {
        page_hide((uint64_t)lie->value);
        return;
    }
    if (chance_below(8) == 0)
        pages_all_back();
    for (uint64_t n = 1 + chance_below(8); n > 0; n--) {
        uint64_t address = page_some();
        if (address != 0 && (!programs || address < g_host.libos_base))
            page_hide(address);
    }
}
