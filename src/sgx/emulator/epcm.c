/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page permissions. What enclave code may do with a page is EPCM ∩ mapping, as EPCM ∩ page table on
 * hardware. The host page never allows more than that; it may allow less until the first access,
 * whose fault then raises it for the whole run of pages around that are alike, so that accepting
 * pages one by one costs no system call. Taking away is immediate.
 *
 * Pages that differ from their neighbours are mappings of their own to the host, and it has a limit
 * (vm.max_map_count). When that is reached, all pages that the emulator does not need are made
 * inaccessible, which is one mapping, and are raised again by their next access.
 *
 * The EPCM word of a page is changed by compare-and-exchange. Its host bits and all mprotect calls
 * are under the lock.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sgx/emulator/emulator.h"

#define LOWER_CUTS 64
#define RUN_PAGES  512 /* how far a fault looks around, in pages, to either side */

/* ---- lock: a futex, because fault handlers take it ---- */

void emu_word_lock(atomic_uint *lock)
{
    unsigned expected = 0;

    if (atomic_compare_exchange_strong(lock, &expected, 1))
        return;
    while (atomic_exchange(lock, 2) != 0)
        syscall(SYS_futex, lock, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

void emu_word_unlock(atomic_uint *lock)
{
    if (atomic_exchange(lock, 0) == 2)
        syscall(SYS_futex, lock, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void emu_lock(struct sgx_handle *e)
{
    emu_word_lock(&e->lock);
}

void emu_unlock(struct sgx_handle *e)
{
    emu_word_unlock(&e->lock);
}

void emu_lock_host(struct sgx_handle *e, struct emu_guard *guard)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &guard->old);
    emu_lock(e);
    emu_processor_begin();
}

void emu_unlock_host(struct sgx_handle *e, struct emu_guard *guard)
{
    emu_processor_end();
    emu_unlock(e);
    pthread_sigmask(SIG_SETMASK, &guard->old, NULL);
}

/* ---- mappings: sorted, disjoint, few ---- */

/* First mapping that ends after `page`. */
static size_t mapping_at(const struct sgx_handle *e, uint64_t page)
{
    size_t low = 0, high = e->mapping_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (e->mappings[middle].end <= page)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint8_t emu_mapping_prot(const struct sgx_handle *e, uint64_t page, uint64_t *start, uint64_t *end)
{
    size_t i = mapping_at(e, page);

    if (i < e->mapping_count && e->mappings[i].start <= page) {
        *start = e->mappings[i].start;
        *end = e->mappings[i].end;
        return e->mappings[i].prot;
    }
    *start = i ? e->mappings[i - 1].end : 0;
    *end = i < e->mapping_count ? e->mappings[i].start : e->pages;
    return 0;
}

static int mapping_room(struct sgx_handle *e, size_t count)
{
    if (count <= e->mapping_room)
        return 0;
    size_t room = e->mapping_room ? e->mapping_room * 2 : 32;
    struct emu_mapping *grown = reallocarray(e->mappings, room, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    e->mappings = grown;
    e->mapping_room = room;
    return 0;
}

/* Cut a hole, put the new one into it, and join it with equal neighbours. */
int emu_mapping_set(struct sgx_handle *e, uint64_t start, uint64_t end, uint8_t prot)
{
    if (mapping_room(e, e->mapping_count + 2) < 0)
        return -ENOMEM;
    size_t first = mapping_at(e, start), last = first;
    struct emu_mapping before = {0}, after = {0}, middle = {start, end, prot};

    for (; last < e->mapping_count && e->mappings[last].start < end; last++) {
        struct emu_mapping *m = &e->mappings[last];
        if (m->start < start)
            before = (struct emu_mapping){m->start, start, m->prot};
        if (m->end > end)
            after = (struct emu_mapping){end, m->end, m->prot};
    }
    if (!before.end && first > 0 && e->mappings[first - 1].end == start)
        before = e->mappings[--first];
    if (!after.end && last < e->mapping_count && e->mappings[last].start == end)
        after = e->mappings[last++];
    if (before.end && before.prot == prot) {
        middle.start = before.start;
        before.end = 0;
    }
    if (after.end && after.prot == prot) {
        middle.end = after.end;
        after.end = 0;
    }
    struct emu_mapping fresh[3];
    size_t count = 0;
    if (before.end)
        fresh[count++] = before;
    if (prot)
        fresh[count++] = middle;
    if (after.end)
        fresh[count++] = after;
    memmove(&e->mappings[first + count], &e->mappings[last],
            (e->mapping_count - last) * sizeof(*e->mappings));
    memcpy(&e->mappings[first], fresh, count * sizeof(*fresh));
    e->mapping_count = e->mapping_count - (last - first) + count;
    return 0;
}

/* ---- EPCM to host ---- */

void emu_epcm_set(struct sgx_handle *e, uint64_t page, uint32_t value)
{
    emu_use_chunk(e, page);
    uint32_t old = atomic_load(&e->epcm[page]);
    while (!atomic_compare_exchange_weak(&e->epcm[page], &old,
                                         value | (old & (EPCM_HOST_MASK | EPCM_PINNED))))
        ;
}

/* What enclave code may do with a page, by the EPCM alone */
static uint8_t allowed(uint32_t entry)
{
    const uint32_t care = EPCM_VALID | EPCM_PENDING | EPCM_MODIFIED | EPCM_TYPE_MASK | EPCM_EVICTED;

    return (entry & care) == (EPCM_VALID | EPCM_TYPE(SGX_PT_REG)) ? entry & EPCM_PERM : 0;
}

static uint8_t host_of(uint32_t entry)
{
    return (entry & EPCM_HOST_MASK) >> EPCM_HOST_SHIFT;
}

/*
 * All pages of the chunk may be made inaccessible: none is pinned for the emulation of EENTER and
 * AEX, nor `keep`; all else that the emulator reads or writes it does with the lock, after
 * emu_access_locked().
 */
static bool chunk_may_go(const struct sgx_handle *e, uint64_t chunk)
{
    const uint64_t start = chunk << EMU_CHUNK_SHIFT;
    uint64_t end = start + (1u << EMU_CHUNK_SHIFT);

    if (!atomic_load(&e->chunks[chunk]))
        return true;
    if (end > e->pages)
        end = e->pages;
    for (uint64_t page = start; page < end; page++)
        if (page == e->keep || (atomic_load(&e->epcm[page]) & EPCM_PINNED))
            return false;
    return true;
}

static bool lower_chunks(struct sgx_handle *e, uint64_t first, uint64_t last)
{
    const uint64_t lowest = e->base ? 0 : EMU_MIN_ADDRESS >> SGX_PAGE_SHIFT;
    uint64_t start = first << EMU_CHUNK_SHIFT, end = last << EMU_CHUNK_SHIFT;

    if (start < lowest)
        start = lowest;
    if (end > e->pages)
        end = e->pages;
    if (start >= end ||
        mprotect(emu_address(e, start), (end - start) << SGX_PAGE_SHIFT, PROT_NONE) < 0)
        return false;
    for (uint64_t page = start; (page = emu_used_from(e, page, end)) < end; page++)
        if (host_of(atomic_load(&e->epcm[page])))
            atomic_fetch_and(&e->epcm[page], ~EPCM_HOST_MASK);
    return true;
}

/*
 * At the limit the host cannot split a mapping either, which a range that starts or ends inside of
 * one needs: then without the outer chunks first.
 */
static bool lower_run(struct sgx_handle *e, uint64_t first, uint64_t last)
{
    for (uint64_t cut = 0; cut < LOWER_CUTS && first + cut < last - cut; cut++) {
        if (!lower_chunks(e, first + cut, last - cut))
            continue;
        if (cut > 0)
            (void)lower_chunks(e, first, last);
        return true;
    }
    return false;
}

/* Give mappings back to the host: see the head of this file. With the lock. */
static bool lower_all(struct sgx_handle *e)
{
    const uint64_t count = (e->pages + (1u << EMU_CHUNK_SHIFT) - 1) >> EMU_CHUNK_SHIFT;
    uint64_t first = 0;
    bool any = false;

    if (!e->initialized)
        return false;
    for (uint64_t chunk = 0; chunk <= count; chunk++) {
        if (chunk < count && chunk_may_go(e, chunk))
            continue;
        if (first < chunk)
            any |= lower_run(e, first, chunk);
        first = chunk + 1;
    }
    return any;
}

void emu_lower_everything(struct sgx_handle *e)
{
    (void)lower_chunks(e, 0, (e->pages + (1u << EMU_CHUNK_SHIFT) - 1) >> EMU_CHUNK_SHIFT);
}

int emu_protect(struct sgx_handle *e, uint64_t start, uint64_t end, uint8_t prot)
{
    int host = (prot & EPCM_R ? PROT_READ : 0) | (prot & EPCM_W ? PROT_READ | PROT_WRITE : 0) |
               (prot & EPCM_X ? PROT_READ | PROT_EXEC : 0);

    if (mprotect(emu_address(e, start), (end - start) << SGX_PAGE_SHIFT, host) < 0 &&
        (errno != ENOMEM || !lower_all(e) ||
         mprotect(emu_address(e, start), (end - start) << SGX_PAGE_SHIFT, host) < 0))
        return -errno;
    for (uint64_t page = start; page < end; page++) {
        uint32_t old = atomic_load(&e->epcm[page]);
        while (!atomic_compare_exchange_weak(
            &e->epcm[page], &old, (old & ~EPCM_HOST_MASK) | (uint32_t)prot << EPCM_HOST_SHIFT))
            ;
    }
    return 0;
}

/* Has the host page more than it may? */
static bool excess(uint32_t entry, uint8_t mapped)
{
    return host_of(entry) & ~(allowed(entry) & mapped);
}

/* One mprotect for each run of pages that has too much and may have the same. */
int emu_apply(struct sgx_handle *e, uint64_t start, uint64_t end)
{
    uint64_t page = start;

    while ((page = emu_used_from(e, page, end)) < end) {
        uint64_t first, last, run = page + 1;
        const uint8_t mapped = emu_mapping_prot(e, page, &first, &last);
        const uint32_t entry = atomic_load(&e->epcm[page]);
        const uint8_t want = allowed(entry) & mapped;
        if (last > end)
            last = end;
        if (!excess(entry, mapped)) {
            page++;
            continue;
        }
        for (; run < last && atomic_load(&e->chunks[run >> EMU_CHUNK_SHIFT]); run++) {
            const uint32_t next = atomic_load(&e->epcm[run]);
            if (!excess(next, mapped) || (allowed(next) & mapped) != want)
                break;
        }
        int rc = emu_protect(e, page, run, want);
        if (rc < 0)
            return rc;
        page = run;
    }
    return 0;
}

int emu_store(struct sgx_handle *e, uint64_t address, const void *data, uint64_t size)
{
    if (e->memory_fd < 0 || syscall(SYS_pwrite64, e->memory_fd, data, size, address) != (long)size)
        return -EIO;
    return 0;
}

/* Raise the host's protection of the run around `page`. With the lock. */
static void raise_run(struct sgx_handle *e, uint64_t page, uint8_t want, uint64_t first,
                      uint64_t last, uint8_t mapped)
{
    uint64_t start = page, end = page + 1;

    if (page - first > RUN_PAGES)
        first = page - RUN_PAGES;
    if (last - page > RUN_PAGES)
        last = page + RUN_PAGES;
    while (start > first && (allowed(atomic_load(&e->epcm[start - 1])) & mapped) == want)
        start--;
    while (end < last && (allowed(atomic_load(&e->epcm[end])) & mapped) == want)
        end++;
    if (emu_protect(e, start, end, want) < 0)
        emu_die("mprotect of enclave pages failed: out of memory, or of mappings "
                "(sysctl vm.max_map_count)");
}

/* EAUG, as Linux does it for a fault in a hole of a mapping. With the lock. */
static uint32_t augment_locked(struct sgx_handle *e, uint64_t page)
{
    uint32_t old = atomic_load(&e->epcm[page]);
    uint64_t first, last;

    if (old & EPCM_VALID)
        return emu_epc_load(e, page) < 0 ? 0 : atomic_load(&e->epcm[page]);
    if (!e->sgx2 || !e->initialized || !emu_mapping_prot(e, page, &first, &last) ||
        emu_epc_take(e) < 0)
        return 0;
    emu_epcm_set(e, page,
                 EPCM_VALID | EPCM_PENDING | EPCM_R | EPCM_W | EPCM_TYPE(SGX_PT_REG) |
                     EPCM_MAX_MASK);
    return atomic_load(&e->epcm[page]);
}

uint32_t emu_augment(struct sgx_handle *e, uint64_t page)
{
    uint32_t entry = atomic_load(&e->epcm[page]);

    if ((entry & (EPCM_VALID | EPCM_EVICTED)) == EPCM_VALID)
        return entry;
    emu_lock(e);
    entry = augment_locked(e, page);
    emu_unlock(e);
    return entry;
}

int emu_access_locked(struct sgx_handle *e, uint64_t address, uint8_t want, struct emu_fault *fault)
{
    const uint32_t access = X86_PF_USER | (want & EPCM_W ? X86_PF_WRITE : 0) |
                            (want & EPCM_X ? X86_PF_INSTR : 0);
    const uint64_t page = emu_page(e, address);
    uint64_t first, last;
    uint32_t entry = atomic_load(&e->epcm[page]);

    if ((host_of(entry) & want) == want)
        return 0;
    const uint8_t mapped = emu_mapping_prot(e, page, &first, &last);
    *fault = (struct emu_fault){.vector = X86_PF, .error = access, .address = address};
    if ((mapped & want) != want) {
        /* the page table says no, before the EPCM is asked */
        fault->error |= entry & EPCM_VALID && mapped ? X86_PF_PRESENT : 0;
        return -1;
    }
    entry = augment_locked(e, page);
    if (!entry)
        return -1;
    const uint8_t can = allowed(entry) & mapped;
    if ((can & want) != want) {
        fault->error |= X86_PF_PRESENT | X86_PF_SGX;
        return -1;
    }
    raise_run(e, page, can, first, last, mapped);
    return 0;
}

int emu_access(struct sgx_handle *e, uint64_t address, uint8_t want, struct emu_fault *fault)
{
    if ((host_of(atomic_load(&e->epcm[emu_page(e, address)])) & want) == want)
        return 0;
    emu_lock(e);
    int rc = emu_access_locked(e, address, want, fault);
    emu_unlock(e);
    return rc;
}

/* The part of [at, at + size) that lies in the page of `at`. */
static uint64_t in_page(uint64_t at, uint64_t size)
{
    const uint64_t rest = SGX_PAGE_SIZE - (at & (SGX_PAGE_SIZE - 1));

    return size < rest ? size : rest;
}

int emu_read(struct sgx_handle *e, uint64_t address, void *out, uint64_t size,
             struct emu_fault *fault)
{
    volatile uint8_t *to = out;
    int rc = 0;

    while (rc == 0 && size) {
        const uint64_t part = in_page(address, size);
        emu_lock(e);
        rc = emu_access_locked(e, address, EPCM_R, fault);
        for (uint64_t i = 0; rc == 0 && i < part; i++)
            to[i] = ((const volatile uint8_t *)address)[i];
        emu_unlock(e);
        address += part;
        to += part;
        size -= part;
    }
    return rc;
}

int emu_write(struct sgx_handle *e, uint64_t address, const void *data, uint64_t size,
              struct emu_fault *fault)
{
    const volatile uint8_t *from = data;
    int rc = 0;

    while (rc == 0 && size) {
        const uint64_t part = in_page(address, size);
        emu_lock(e);
        rc = emu_access_locked(e, address, EPCM_W, fault);
        for (uint64_t i = 0; rc == 0 && i < part; i++)
            ((volatile uint8_t *)address)[i] = from[i];
        emu_unlock(e);
        address += part;
        from += part;
        size -= part;
    }
    return rc;
}

int emu_peek(struct sgx_handle *e, uint64_t address, uint64_t *value)
{
    const long size = sizeof(*value);
    const uint64_t page = emu_page(e, address);
    struct emu_fault fault;

    if (emu_read(e, address, value, sizeof(*value), &fault) == 0)
        return 0;
    emu_lock(e);
    bool there = (atomic_load(&e->epcm[page]) & EPCM_VALID) && emu_epc_load(e, page) == 0 &&
                 e->memory_fd >= 0 &&
                 syscall(SYS_pread64, e->memory_fd, value, size, address) == size;
    emu_unlock(e);
    return there ? 0 : -EIO;
}
