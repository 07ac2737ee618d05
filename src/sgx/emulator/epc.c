/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave page cache. Its pages are counted for all enclaves of the process. When it is full,
 * pages are written back to a file in memory, as Linux does with EWB to shared memory, and come
 * back at the next access; when that has no room either, there is no page to be had.
 *
 * Which page goes: a hand walks over the enclave (first in, first out, for nothing tells here what
 * was used lately). An enclave that needs a page gives its own first. TCS and the pages of their
 * SSA frames stay: the emulation of EENTER, ERESUME and AEX writes to them. What is written back is
 * neither encrypted nor versioned: whoever could read or replace it can do that with the enclave
 * itself here.
 *
 * All but emu_epc_setup() is called with the enclave's lock, also by leaves of rewritten sites: so
 * general registers only, and no libc but system calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sgx/emulator/emulator.h"

#define BATCH 16 /* pages written back at once: Linux's SGX_NR_TO_SCAN */

static struct {
    uint64_t size, backing; /* pages */
    _Atomic uint64_t used, backed;
    _Atomic uint64_t written, loaded; /* pages, ever */
    atomic_uint lock;                 /* which enclaves there are, for who takes pages of others */
} g_epc = {.size = UINT64_MAX, .backing = UINT64_MAX >> 1};

void emu_epc_setup(uint64_t size, uint64_t backing)
{
    g_epc.size = size >> SGX_PAGE_SHIFT;
    g_epc.backing = backing >> SGX_PAGE_SHIFT; /* so that a batch more does not overflow */
}

void emu_epc_stats(struct emu_epc_stats *out)
{
    *out = (struct emu_epc_stats){.size = g_epc.size,
                                  .used = atomic_load(&g_epc.used),
                                  .backed = atomic_load(&g_epc.backed),
                                  .written = atomic_load(&g_epc.written),
                                  .loaded = atomic_load(&g_epc.loaded)};
}

/* ---- the file in memory ---- */

static int prepare(struct sgx_handle *e)
{
    if (!e->bounce) {
        void *p = mmap(NULL, BATCH * SGX_PAGE_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return -ENOMEM;
        e->bounce = p;
    }
    if (e->backing_fd < 0)
        e->backing_fd = (int)syscall(SYS_memfd_create, "sgx-emulator-epc", MFD_CLOEXEC);
    return e->backing_fd < 0 ? -ENOMEM : 0;
}

/* Pages of the enclave, whatever the host's protection of them is. */
static int copy_out(struct sgx_handle *e, uint64_t page, uint64_t count)
{
    const long size = (long)(count << SGX_PAGE_SHIFT);

    return syscall(SYS_pread64, e->memory_fd, e->bounce, size, emu_address(e, page)) == size &&
                   syscall(SYS_pwrite64, e->backing_fd, e->bounce, size, page << SGX_PAGE_SHIFT) ==
                       size
               ? 0
               : -ENOMEM;
}

static int copy_in(struct sgx_handle *e, uint64_t page)
{
    const long size = (long)SGX_PAGE_SIZE;

    return syscall(SYS_pread64, e->backing_fd, e->bounce, size, page << SGX_PAGE_SHIFT) == size &&
                   syscall(SYS_pwrite64, e->memory_fd, e->bounce, size, emu_address(e, page)) ==
                       size
               ? 0
               : -ENOMEM;
}

static void punch(struct sgx_handle *e, uint64_t page)
{
    syscall(SYS_fallocate, e->backing_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
            page << SGX_PAGE_SHIFT, SGX_PAGE_SIZE);
    e->epc_backed--;
    atomic_fetch_sub(&g_epc.backed, 1);
}

static void change(struct sgx_handle *e, uint64_t page, uint32_t clear, uint32_t set)
{
    uint32_t old = atomic_load(&e->epcm[page]);

    while (!atomic_compare_exchange_weak(&e->epcm[page], &old, (old & ~clear) | set))
        ;
}

/* ---- writing back ---- */

static bool evictable(const struct sgx_handle *e, uint64_t page)
{
    const uint32_t entry = atomic_load(&e->epcm[page]);

    return page != e->keep && (entry & (EPCM_VALID | EPCM_EVICTED | EPCM_PINNED)) == EPCM_VALID &&
           (entry & EPCM_TYPE_MASK) != EPCM_TYPE(SGX_PT_TCS);
}

/* From the hand on, the next pages in a row that may go; 0 when there is none in all the
 * enclave. */
static uint64_t choose(struct sgx_handle *e, uint64_t *first)
{
    uint64_t page = e->hand < e->pages ? e->hand : 0;
    uint64_t count = 0;

    for (uint64_t looked = 0; looked <= e->pages; looked++, page++) {
        if (page >= e->pages)
            page = 0;
        const uint64_t used = emu_used_from(e, page, e->pages);
        if (used != page) {
            looked += used - page - 1;
            page = used - 1;
            continue;
        }
        if (evictable(e, page))
            break;
    }
    if (page >= e->pages)
        return 0;
    *first = page;
    while (count < BATCH && page + count < e->pages && evictable(e, page + count))
        count++;
    return count;
}

/* First nobody may touch the pages any more, then they are copied. */
static int write_back(struct sgx_handle *e, uint64_t backing)
{
    const uint64_t backed = atomic_load(&g_epc.backed);
    uint64_t first = 0, count = backed < backing ? choose(e, &first) : 0;

    if (count > backing - backed)
        count = backing - backed;
    if (!count || prepare(e) < 0 || emu_protect(e, first, first + count, 0) < 0)
        return -ENOMEM;
    if (copy_out(e, first, count) < 0)
        return -ENOMEM; /* the next access raises the protection again */
    for (uint64_t i = 0; i < count; i++)
        change(e, first + i, 0, EPCM_EVICTED);
    syscall(SYS_madvise, emu_address(e, first), count << SGX_PAGE_SHIFT, MADV_DONTNEED);
    e->hand = first + count;
    e->epc_resident -= count;
    e->epc_backed += count;
    atomic_fetch_add(&g_epc.backed, count);
    atomic_fetch_add(&g_epc.written, count);
    atomic_fetch_sub(&g_epc.used, count);
    return 0;
}

static int write_back_others(const struct sgx_handle *e, uint64_t backing)
{
    int rc = -ENOMEM;

    emu_word_lock(&g_epc.lock);
    for (unsigned i = 0; rc < 0 && i < EMU_RANGE_COUNT; i++) {
        struct sgx_handle *o = atomic_load(&g_emu_enclaves[i]);
        unsigned idle = 0;
        if (!o || o == e || !atomic_compare_exchange_strong(&o->lock, &idle, 1))
            continue;
        rc = write_back(o, backing);
        emu_unlock(o);
    }
    emu_word_unlock(&g_epc.lock);
    return rc;
}

/* ---- what the rest of the emulator calls ---- */

static int take(struct sgx_handle *e, uint64_t backing)
{
    for (;;) {
        uint64_t used = atomic_load(&g_epc.used);
        while (used < g_epc.size)
            if (atomic_compare_exchange_weak(&g_epc.used, &used, used + 1)) {
                e->epc_resident++;
                return 0;
            }
        if (write_back(e, backing) < 0 && write_back_others(e, backing) < 0)
            return -ENOMEM;
    }
}

int emu_epc_take(struct sgx_handle *e)
{
    return take(e, g_epc.backing);
}

int emu_epc_load(struct sgx_handle *e, uint64_t page)
{
    if (!(atomic_load(&e->epcm[page]) & EPCM_EVICTED))
        return 0;
    /* It changes places with others: their copies come before its own goes. */
    if (take(e, g_epc.backing + BATCH) < 0)
        return -ENOMEM;
    if (copy_in(e, page) < 0) {
        e->epc_resident--;
        atomic_fetch_sub(&g_epc.used, 1);
        return -ENOMEM;
    }
    punch(e, page);
    change(e, page, EPCM_EVICTED, 0);
    atomic_fetch_add(&g_epc.loaded, 1);
    return 0;
}

void emu_epc_give(struct sgx_handle *e, uint64_t page)
{
    const uint32_t entry = atomic_load(&e->epcm[page]);

    if (entry & EPCM_EVICTED) {
        punch(e, page);
        change(e, page, EPCM_EVICTED, 0);
    } else if (entry & EPCM_VALID) {
        e->epc_resident--;
        atomic_fetch_sub(&g_epc.used, 1);
    }
}

void emu_epc_unlink(struct sgx_handle *e)
{
    emu_word_lock(&g_epc.lock);
    atomic_store(&g_emu_enclaves[e->slot], NULL);
    emu_word_unlock(&g_epc.lock);
}

void emu_epc_lock(void)
{
    emu_word_lock(&g_epc.lock);
}

void emu_epc_unlock(void)
{
    emu_word_unlock(&g_epc.lock);
}

void emu_epc_close(struct sgx_handle *e)
{
    atomic_fetch_sub(&g_epc.used, e->epc_resident);
    atomic_fetch_sub(&g_epc.backed, e->epc_backed);
    if (e->backing_fd >= 0)
        close(e->backing_fd);
    if (e->bounce)
        munmap(e->bounce, BATCH * SGX_PAGE_SIZE);
}
