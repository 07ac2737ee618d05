/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of every page of the user range, and the SGX2 instructions that change it. One byte a
 * page in chunks of 2 MiB of address space, their pointers in directories of 1 GiB, and theirs in
 * regions of 512 GiB: an untouched ELRANGE of 64 TiB costs 1 KiB.
 *
 * With SGX1 (no LAYOUT_FLAG_SGX2) all pages are there from the start, with RWX in the EPCM for
 * good. What the application may do is then the host's page tables, which it is asked to set:
 * enough to find bugs and to drive what lives from faults, but no protection. So nothing relies on
 * it: mm_fill() gives every page its content when it is mapped, not at the first access.
 */
#include "pages.h"
#include "heap.h"
#include "layout.h"
#include "host.h"
#include "pal.h"
#include "sgx.h"

#define CHUNK_SHIFT 21
#define CHUNK_PAGES (1u << (CHUNK_SHIFT - PAGE_SHIFT))
#define DIR_SHIFT   30
#define DIR_CHUNKS  (1u << (DIR_SHIFT - CHUNK_SHIFT))

#define REGION_SHIFT 39
#define REGION_DIRS  (1u << (REGION_SHIFT - DIR_SHIFT))

#define DIR_OF(addr)   ((addr) >> DIR_SHIFT & (REGION_DIRS - 1))
#define CHUNK_OF(addr) ((addr) >> CHUNK_SHIFT & (DIR_CHUNKS - 1))
#define PAGE_OF(addr)  ((addr) >> PAGE_SHIFT & (CHUNK_PAGES - 1))

typedef u64 __attribute__((may_alias)) u64_alias;

static struct {
    u8 ****regions;
    u64 count;     /* regions */
    u64 end;       /* of the user range */
    u64 measured;  /* pages of enclave.memory, 0: none */
    u64 limit;     /* pages, 0: none; atomic */
    u64 committed; /* pages, atomic */
    u64 peak;
    bool dynamic; /* SGX2 */
    struct spinlock lock;
    bool limit_logged, refusal_logged;
    u32 ran_out; /* PAL_OOM_*: what was short last; atomic */
} g_pages;

int memory_limit_changed(u64 wanted)
{
    u64 pages = wanted >> PAGE_SHIFT;
    bool more = g_pages.measured && g_pages.measured < pages;
    if (!pages || more)
        pages = g_pages.measured;
    __atomic_store_n(&g_pages.limit, pages, __ATOMIC_RELAXED);
    __atomic_store_n(&g_pages.limit_logged, false, __ATOMIC_RELAXED);
    return more ? -ERANGE : 0;
}

void memory_tell_killed(i32 pid)
{
    u32 reason = __atomic_load_n(&g_pages.ran_out, __ATOMIC_RELAXED);
    host_event(PAL_EVENT_OUT_OF_MEMORY, pid, (i32)reason, NULL);
}

void pages_init(const struct enclave_layout *layout, u64 measured, u64 wanted)
{
    g_pages.end = layout->user_end;
    g_pages.count = (layout->user_end + (1ul << REGION_SHIFT) - 1) >> REGION_SHIFT;
    g_pages.regions = kzalloc(g_pages.count * sizeof(u8 ***));
    if (!g_pages.regions)
        panic("no memory for the page table of ELRANGE");
    g_pages.measured = measured >> PAGE_SHIFT;
    memory_limit_changed(wanted);
    g_pages.dynamic = layout->flags & LAYOUT_FLAG_SGX2;
    if (!g_pages.dynamic)
        host_sgx_protect(layout->user_start, layout->user_end - layout->user_start, 0);
}

bool pages_dynamic(void)
{
    return g_pages.dynamic;
}

int memory_charge(u64 count)
{
    u64 now = __atomic_add_fetch(&g_pages.committed, count, __ATOMIC_RELAXED);
    u64 limit = __atomic_load_n(&g_pages.limit, __ATOMIC_RELAXED);
    if (limit && now > limit) {
        __atomic_sub_fetch(&g_pages.committed, count, __ATOMIC_RELAXED);
        __atomic_store_n(&g_pages.ran_out,
                         limit == g_pages.measured ? PAL_OOM_SETTING : PAL_OOM_LIMIT,
                         __ATOMIC_RELAXED);
        if (!__atomic_exchange_n(&g_pages.limit_logged, true, __ATOMIC_RELAXED))
            log_error("out of enclave memory: the limit of %lu MiB is used up; raise the "
                      "container's memory limit (linux.resources.memory.limit) or enclave.memory",
                      limit >> (20 - PAGE_SHIFT));
        return -ENOMEM;
    }
    if (now > g_pages.peak)
        g_pages.peak = now; /* statistics: a lost update does no harm */
    return 0;
}

void memory_uncharge(u64 count)
{
    __atomic_sub_fetch(&g_pages.committed, count, __ATOMIC_RELAXED);
}

void mm_totals(struct mm_totals *out)
{
    out->elrange_user = g_pages.end - LAYOUT_USER_START;
    out->committed = g_pages.committed << PAGE_SHIFT;
    out->peak = g_pages.peak << PAGE_SHIFT;
    out->limit = g_pages.limit << PAGE_SHIFT;
    out->total = out->limit ? MIN(out->limit, out->elrange_user) : out->elrange_user;
    out->free = out->total - MIN(out->total, out->committed);
}

/* What *slot points to, made when it is not there yet; NULL: no memory. */
static void *table_at(void **slot, size_t size)
{
    void *table = __atomic_load_n(slot, __ATOMIC_ACQUIRE), *expected = NULL;
    if (table)
        return table;
    void *fresh = kzalloc(size);
    if (!fresh || __atomic_compare_exchange_n(slot, &expected, fresh, false, __ATOMIC_ACQ_REL,
                                              __ATOMIC_ACQUIRE))
        return fresh;
    kfree(fresh); /* another thread was faster */
    return expected;
}

/* The chunk of addr; NULL: no memory, or the address is outside. */
static u8 *chunk_make(u64 addr)
{
    if (addr >> REGION_SHIFT >= g_pages.count)
        return NULL;
    u8 ***region = table_at((void **)&g_pages.regions[addr >> REGION_SHIFT],
                            REGION_DIRS * sizeof(u8 **));
    u8 **dir = region ? table_at((void **)&region[DIR_OF(addr)], DIR_CHUNKS * sizeof(u8 *)) : NULL;
    return dir ? table_at((void **)&dir[CHUNK_OF(addr)], CHUNK_PAGES) : NULL;
}

/* What is there of the tables on the way to addr. Where one is missing, *next is the first address
 * that another one would serve. */
static inline u8 *chunk_find(u64 addr, u64 *next)
{
    if (addr >> REGION_SHIFT >= g_pages.count) {
        *next = UINT64_MAX;
        return NULL;
    }
    u8 ***region = __atomic_load_n(&g_pages.regions[addr >> REGION_SHIFT], __ATOMIC_ACQUIRE);
    if (!region) {
        *next = ((addr >> REGION_SHIFT) + 1) << REGION_SHIFT;
        return NULL;
    }
    u8 **dir = __atomic_load_n(&region[DIR_OF(addr)], __ATOMIC_ACQUIRE);
    if (!dir) {
        *next = ((addr >> DIR_SHIFT) + 1) << DIR_SHIFT;
        return NULL;
    }
    *next = ((addr >> CHUNK_SHIFT) + 1) << CHUNK_SHIFT;
    return __atomic_load_n(&dir[CHUNK_OF(addr)], __ATOMIC_ACQUIRE);
}

static u8 *state_of(u64 addr, bool create)
{
    u64 next;
    u8 *chunk = chunk_find(addr, &next);
    if (!chunk && create)
        chunk = chunk_make(addr);
    return chunk ? &chunk[PAGE_OF(addr)] : NULL;
}

u8 page_state(u64 addr)
{
    u8 *s = state_of(addr, false);
    return s ? *s : 0;
}

void page_set_flag(u64 addr, u8 flag, bool on)
{
    u8 *s = state_of(addr, false);
    if (s)
        *s = on ? *s | flag : *s & ~flag;
}

/* First page in [addr, end) that is_it(), which a page that is not there never is; or end. */
static inline __attribute__((always_inline)) u64 next_where(u64 addr, u64 end,
                                                            bool (*is_it)(u8 state, u32 what),
                                                            u32 what)
{
    while (addr < end) {
        u64 chunk_end;
        const u8 *chunk = chunk_find(addr, &chunk_end);
        while (chunk && addr < MIN(chunk_end, end)) {
            const u8 *s = &chunk[PAGE_OF(addr)];
            if (PAGE_OF(addr) % 8 == 0 && *(const u64_alias *)s == 0) {
                addr += 8 * PAGE_SIZE; /* eight pages that are not there */
                continue;
            }
            if (is_it(*s, what))
                return addr;
            addr += PAGE_SIZE;
        }
        addr = chunk_end;
    }
    return end;
}

static bool has_all(u8 state, u32 flags)
{
    return (state & flags) == flags;
}

u64 page_next_accepted(u64 addr, u64 end)
{
    return next_where(addr, end, has_all, PG_ACCEPTED);
}

u64 page_next_with(u64 addr, u64 end, u8 flag)
{
    return next_where(addr, end, has_all, PG_ACCEPTED | flag);
}

static bool is_owned(u8 state, u32 unused)
{
    (void)unused;
    return (state & (PG_ACCEPTED | PG_STALE | PG_COW)) == PG_ACCEPTED;
}

u64 page_next_owned(u64 addr, u64 end)
{
    return next_where(addr, end, is_owned, 0);
}

void memory_refused(void)
{
    __atomic_store_n(&g_pages.ran_out, PAL_OOM_HOST, __ATOMIC_RELAXED);
    if (!__atomic_exchange_n(&g_pages.refusal_logged, true, __ATOMIC_RELAXED))
        log_error("the host gives no more enclave memory: the EPC of the machine is used up by its "
                  "enclaves (the emulator's size is RUNE_SGX_EMULATOR_EPC)");
}

static int no_page(void)
{
    memory_uncharge(1);
    memory_refused();
    return -ENOMEM;
}

/* ---- SGX1 ---- */

/* Pages without PG_ACCEPTED are closed on the host, those with PG_OPEN not. */
int pages_open(u64 addr, u64 end)
{
    int r = 0;
    for (u64 a = addr; r == 0 && a < end;) {
        u64 run = a;
        u8 *s;
        for (; a < end && (s = state_of(a, true)) && !(*s & (PG_ACCEPTED | PG_OPEN));
             a += PAGE_SIZE)
            *s |= PG_OPEN;
        if (a > run)
            r = host_sgx_protect(run, a - run, PG_PERMS);
        if (a < end && !s)
            r = -ENOMEM;
        a += a == run ? PAGE_SIZE : 0;
    }
    return r;
}

void pages_close(u64 addr, u64 end)
{
    for (u64 a = addr; a < end;) {
        u64 run = a;
        for (; a < end && (page_state(a) & (PG_ACCEPTED | PG_OPEN)) == PG_OPEN; a += PAGE_SIZE)
            *state_of(a, false) = 0;
        if (a > run)
            host_sgx_protect(run, a - run, 0);
        a += a == run ? PAGE_SIZE : 0;
    }
}

/* src NULL: a page of zeros. Who opened the page first sees to its protection afterwards. */
static int commit_static(u64 addr, u8 *s, const void *src, u32 prot)
{
    bool batch = *s & PG_OPEN;
    int r = batch ? 0 : pages_open(addr, addr + PAGE_SIZE);
    if (r < 0) {
        memory_uncharge(1);
        return r;
    }
    if (src)
        memcpy((void *)addr, src, PAGE_SIZE);
    else
        memset((void *)addr, 0, PAGE_SIZE);
    *s = PG_ACCEPTED | PG_PERMS;
    return batch ? 0 : pages_protect(addr, PAGE_SIZE, prot);
}

static void protect_static(u64 addr, u64 end, u32 prot)
{
    for (u64 a = page_next_accepted(addr, end); a < end; a = page_next_accepted(a, end)) {
        u64 run = a;
        for (u8 *s;
             a < end && (s = state_of(a, false)) && (*s & PG_ACCEPTED) && (*s & PG_PERMS) != prot;
             a += PAGE_SIZE)
            *s = (*s & ~PG_PERMS) | prot;
        if (a > run)
            host_sgx_protect(run, a - run, prot);
        else
            a += PAGE_SIZE;
    }
}

static void trim_static(u64 addr, u64 end)
{
    for (u64 a = addr; a < end; a += PAGE_SIZE)
        *state_of(a, false) = 0;
    host_sgx_protect(addr, end - addr, 0);
    memory_uncharge((end - addr) >> PAGE_SHIFT);
}

/* ---- pages ---- */

int page_commit(u64 addr, u32 prot)
{
    u8 *s = state_of(addr, true);
    if (!s || memory_charge(1) < 0)
        return -ENOMEM;
    if (!g_pages.dynamic)
        return commit_static(addr, s, NULL, prot);
    int r = sgx_eaccept(addr,
                        SGX_SECINFO_REG | SGX_SECINFO_R | SGX_SECINFO_W | SGX_SECINFO_PENDING);
    if (r < 0)
        return no_page();
    if (r)
        panic("EACCEPT of 0x%lx failed with %d", addr, r);
    *s = PG_ACCEPTED | PG_R | PG_W;
    if ((prot & PG_PERMS) != (PG_R | PG_W))
        return pages_protect(addr, PAGE_SIZE, prot);
    return 0;
}

int page_commit_copy(u64 addr, const void *src, u32 prot)
{
    u8 *s = state_of(addr, true);
    if (!s)
        return -ENOMEM;
    u32 perms = (prot & PG_PERMS) | PG_R;
    if (memory_charge(1) < 0)
        return -ENOMEM;
    if (!g_pages.dynamic)
        return commit_static(addr, s, src, prot);
    int r = sgx_eacceptcopy(addr, src, SGX_SECINFO_REG | perms);
    if (r < 0)
        return no_page();
    if (r)
        panic("EACCEPTCOPY to 0x%lx failed with %d", addr, r);
    *s = PG_ACCEPTED | perms;
    return 0;
}

/* Restrict a run of pages that now have more than prot. */
static void restrict_run(u64 addr, u64 end, u32 prot)
{
    if (addr == end)
        return;
    /* A page that stays writable may be another process's as well (PG_COW): not to be gone on
     * with, as with a page that cannot be trimmed. */
    int r = host_sgx_restrict(addr, end - addr, prot);
    if (r < 0)
        panic("the host refuses to restrict the permissions of enclave pages: error %d", -r);
    for (u64 a = addr; a < end; a += PAGE_SIZE) {
        int e = sgx_eaccept(a, SGX_SECINFO_REG | prot | SGX_SECINFO_PR);
        if (e)
            panic("EACCEPT of restricted 0x%lx failed with %d", a, e);
        u8 *s = state_of(a, false);
        *s = (*s & ~PG_PERMS) | prot;
    }
}

/* What an accepted page in this state gets when its VMA says prot. */
static u32 wanted(u8 state, u32 prot)
{
    return state & PG_COW ? prot & ~PG_W : prot;
}

static bool differs(u8 state, u32 prot)
{
    return (state & PG_ACCEPTED) && (state & PG_PERMS) != wanted(state, prot);
}

int pages_protect(u64 addr, u64 size, u32 prot)
{
    u64 end = addr + size;
    prot = (prot & PG_PERMS) |
           PG_R; /* EMODPR and EACCEPT want R: who means PROT_NONE takes the page away */
    if (!g_pages.dynamic) {
        protect_static(addr, end, prot);
        return 0;
    }
    u64 run = 0, run_end = 0; /* pages that have more than run_prot */
    u32 run_prot = 0;
    for (u64 a = next_where(addr, end, differs, prot); a < end;
         a = next_where(a + PAGE_SIZE, end, differs, prot)) {
        u8 *s = state_of(a, false);
        u32 have = *s & PG_PERMS, want = wanted(*s, prot);
        if (want & ~have) {
            sgx_emodpe(a, SGX_SECINFO_REG | have | want);
            have |= want;
            *s = (*s & ~PG_PERMS) | have;
        }
        if (!(have & ~want))
            continue;
        if (a != run_end || want != run_prot) {
            restrict_run(run, run_end, run_prot);
            run = a;
            run_prot = want;
        }
        run_end = a + PAGE_SIZE;
    }
    restrict_run(run, run_end, run_prot);
    return 0;
}

static void trim_run(u64 addr, u64 end)
{
    u64 size = end - addr;
    if (host_sgx_modify_type(addr, size, SGX_PT_TRIM) < 0)
        panic("the host refuses to trim enclave pages");
    for (u64 a = addr; a < end; a += PAGE_SIZE) {
        int e = sgx_eaccept(a, SGX_SECINFO_TRIM | SGX_SECINFO_MODIFIED);
        if (e)
            panic("EACCEPT of trimmed 0x%lx failed with %d", a, e);
        *state_of(a, false) = 0;
    }
    if (host_sgx_remove(addr, size) < 0)
        panic("the host refuses to remove enclave pages");
    memory_uncharge(size >> PAGE_SHIFT);
}

void pages_trim(u64 addr, u64 size)
{
    u64 end = addr + size;
    for (u64 a = page_next_accepted(addr, end); a < end;) {
        u64 run = a;
        while (a < end && (page_state(a) & PG_ACCEPTED))
            a += PAGE_SIZE;
        if (g_pages.dynamic)
            trim_run(run, a);
        else
            trim_static(run, a);
        a = page_next_accepted(a, end);
    }
}

u32 page_write_begin(u64 addr)
{
    u8 *s = state_of(addr, false);
    u32 perms = *s & PG_PERMS;
    if (!(perms & PG_W)) {
        if (g_pages.dynamic)
            sgx_emodpe(addr, SGX_SECINFO_REG | perms | PG_R | PG_W);
        else
            host_sgx_protect(addr, PAGE_SIZE, perms | PG_R | PG_W);
        *s |= PG_R | PG_W;
    }
    return perms;
}

void page_write_end(u64 addr, u32 perms)
{
    if ((page_state(addr) & PG_PERMS) != perms)
        pages_protect(addr, PAGE_SIZE, perms);
}
