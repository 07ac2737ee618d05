/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instruction that is shorter than a jump is made one nevertheless: `syscall` has two bytes and
 * ENCLU three. The jump begins in them and takes the bytes behind them for the rest of its
 * displacement, as they are. So no other instruction changes, whoever may jump to it or return
 * to it; but the jump goes where those bytes say:
 *
 *     0f 05       48 3d 01 f0      syscall; cmp ...
 *     e9 xx       48 3d 01         jmp to one of 256 addresses
 *     48 e9       48 3d 01 f0      or to a single one: the prefix means nothing
 *     0f 01 d7    0f 0b 90         enclu; ud2; ...
 *     e9 xx xx    0f 0b            65536 addresses
 *
 * If there is no memory in that place yet, a page is mapped there, and a slot of it goes on to the
 * gate. Where something is mapped already nothing is changed. Such a page stays for good: see
 * around_sites() in calls.c.
 *
 * Other threads may run the instruction meanwhile. Its first byte becomes INT3 first, all
 * processors are told, then the others follow, and the first byte is last. Whoever meets the INT3
 * tries again.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <linux/membarrier.h>

#include "sgx/emulate/emulate.h"

#define PAGES        128
#define SLOTS        64 /* of a page */
#define SLOT_SIZE    14
#define SLOT_TARGET  6
#define SITES        2048
#define JUMP         0xe9
#define INT3         0xcc
#define LOWEST       0x100000ull
#define HIGHEST      (1ull << 47)
#define HEAP_ROOM    (64ull << 20) /* not in the way of brk(), */
#define STACK_ROOM   (1ull << 30)  /* nor of the first thread's stack */
#define STACK_ABOVE  (1ull << 20)
#define TRAP_OF_INT3 3

struct page {
    uint64_t at;
    atomic_uint count;
    uint16_t starts[SLOTS];
};

/* Appended to with the gates' lock, read without. */
static struct page g_pages[PAGES];
static atomic_uint g_page_count;
static _Atomic uint64_t g_sites[SITES];
static atomic_uint g_site_count;
static _Atomic uint64_t g_patching;

/* ---- slots ---- */

static uint64_t slot_target(uint64_t slot)
{
    uint64_t target;

    memcpy(&target, (const void *)(slot + SLOT_TARGET), sizeof(target));
    return target;
}

uint64_t host_site_target(uint64_t rip)
{
    const unsigned pages = atomic_load(&g_page_count);

    for (unsigned i = 0; i < pages; i++) {
        const struct page *p = &g_pages[i];
        if (rip - p->at >= SGX_PAGE_SIZE)
            continue;
        const unsigned count = atomic_load(&p->count);
        for (unsigned k = 0; k < count; k++)
            if (p->at + p->starts[k] == rip)
                return slot_target(rip);
    }
    return rip;
}

uint64_t host_sites_next(uint64_t start, uint64_t end)
{
    const unsigned pages = atomic_load(&g_page_count);
    uint64_t next = end;

    for (unsigned i = 0; i < pages; i++)
        if (g_pages[i].at < next && g_pages[i].at + SGX_PAGE_SIZE > start)
            next = g_pages[i].at > start ? g_pages[i].at : start;
    return next;
}

static bool may_map(uint64_t page)
{
    const uint64_t heap = (uint64_t)host_syscall(SYS_brk, 0L);
    const uint64_t stack = (uint64_t)g_host_handover->auxv;

    return page >= LOWEST && page < HIGHEST - SGX_PAGE_SIZE && page - heap >= HEAP_ROOM &&
           page - (stack - STACK_ROOM) >= STACK_ROOM + STACK_ABOVE;
}

static struct page *new_page(uint64_t at)
{
    const unsigned n = atomic_load(&g_page_count);

    if (n == PAGES || !may_map(at))
        return NULL;
    const long p = host_syscall(SYS_mmap, (long)at, (long)SGX_PAGE_SIZE,
                                (long)(PROT_READ | PROT_EXEC),
                                (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE), -1L, 0L);
    if (p != (long)at) { /* a kernel that does not know the flag: somewhere else */
        if (p >= 0)
            host_syscall(SYS_munmap, p, (long)SGX_PAGE_SIZE);
        return NULL;
    }
    g_pages[n] = (struct page){.at = at};
    atomic_store(&g_page_count, n + 1);
    return &g_pages[n];
}

/* A free place in the page for a slot that starts in [low, high]; 0: none. */
static uint64_t free_in(const struct page *p, uint64_t low, uint64_t high)
{
    const unsigned count = atomic_load(&p->count);
    const uint64_t last = p->at + SGX_PAGE_SIZE - SLOT_SIZE;

    if (count == SLOTS)
        return 0;
    for (uint64_t at = low > p->at ? low : p->at; at <= high && at <= last; at++) {
        bool taken = false;
        for (unsigned k = 0; k < count && !taken; k++) {
            const uint64_t other = p->at + p->starts[k];
            taken = at < other + SLOT_SIZE && other < at + SLOT_SIZE;
            if (taken)
                at = other + SLOT_SIZE - 1;
        }
        if (!taken)
            return at;
    }
    return 0;
}

static bool store(int memory, uint64_t at, const void *data, size_t size)
{
    return host_syscall(SYS_pwrite64, (long)memory, data, (long)size, (long)at) == (long)size;
}

static uint64_t fill(struct page *p, uint64_t slot, uint64_t target, int memory)
{
    uint8_t code[SLOT_SIZE] = {0xff, 0x25};
    const unsigned n = atomic_load(&p->count);

    memcpy(code + SLOT_TARGET, &target, sizeof(target));
    if (!store(memory, slot, code, sizeof(code)))
        return 0;
    p->starts[n] = (uint16_t)(slot - p->at);
    atomic_store(&p->count, n + 1);
    return slot;
}

/* A slot in [low, high] that jumps to `target`: one that is there, or a new one; 0: no room. */
static uint64_t slot_for(uint64_t low, uint64_t high, uint64_t target, int memory)
{
    const unsigned pages = atomic_load(&g_page_count);
    uint64_t at;

    for (unsigned i = 0; i < pages; i++)
        for (unsigned k = 0; k < atomic_load(&g_pages[i].count); k++) {
            at = g_pages[i].at + g_pages[i].starts[k];
            if (at >= low && at <= high && slot_target(at) == target)
                return at;
        }
    for (unsigned i = 0; i < pages; i++)
        if ((at = free_in(&g_pages[i], low, high)))
            return fill(&g_pages[i], at, target, memory);
    for (uint64_t page = low & ~(SGX_PAGE_SIZE - 1); page <= high; page += SGX_PAGE_SIZE) {
        const uint64_t from = low > page ? low : page;
        struct page *p = from <= page + SGX_PAGE_SIZE - SLOT_SIZE ? new_page(page) : NULL;
        if (p && (at = free_in(p, low, high)))
            return fill(p, at, target, memory);
    }
    return 0;
}

/* ---- the instruction ---- */

/*
 * What the instruction at `at` of `size` bytes becomes; 1 when some slot can be reached. code: it
 * and what is behind it.
 */
static bool choose(uint64_t at, uint8_t *code, unsigned size, uint64_t target, int memory)
{
    for (unsigned prefix = 0; prefix < size; prefix++) {
        const unsigned fixed = 5 + prefix - size; /* bytes of the displacement that are there */
        const uint64_t end = at + prefix + 5;
        uint32_t bits = 0;

        if (fixed > HOST_SITE_FOLLOWING || prefix > 1)
            break;
        for (unsigned i = 0; i < fixed; i++)
            bits |= (uint32_t)code[size + i] << (8 * (4 - fixed + i));
        const uint64_t low = end + (uint64_t)(int64_t)(int32_t)bits;
        const uint64_t slot = slot_for(low, low + ((1ull << (8 * (4 - fixed))) - 1), target,
                                       memory);
        if (!slot)
            continue;
        bits = (uint32_t)(slot - end);
        uint8_t jump[6] = {0x48, JUMP};
        memcpy(jump + 2, &bits, sizeof(bits));
        memcpy(code, jump + 1 - prefix, size);
        return true;
    }
    return false;
}

static bool tell_processors(void)
{
    return host_syscall(SYS_membarrier, (long)MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0L, 0L) ==
           0;
}

static bool exchange(int memory, uint64_t at, const uint8_t *old, const uint8_t *fresh,
                     unsigned size)
{
    const uint8_t trap = INT3;

    if (!store(memory, at, &trap, 1))
        return false;
    bool ok = tell_processors() && store(memory, at + 1, fresh + 1, size - 1) && tell_processors();
    if (!ok) {
        store(memory, at + 1, old + 1, size - 1);
        tell_processors();
    }
    /* If not even this can be written any more, the next one here dies by the INT3. */
    ok = store(memory, at, ok ? fresh : old, 1) && ok;
    tell_processors();
    return ok;
}

bool host_site_patch(uint64_t at, const uint8_t *expected, unsigned size, uint64_t target,
                     int memory)
{
    const unsigned n = atomic_load(&g_site_count);
    uint8_t old[8], code[8];
    bool known = false;

    for (unsigned i = 0; i < n; i++)
        known |= atomic_load(&g_sites[i]) == at;
    if ((!known && n == SITES) ||
        host_syscall(SYS_pread64, (long)memory, old, (long)(size + HOST_SITE_FOLLOWING),
                     (long)at) != (long)(size + HOST_SITE_FOLLOWING) ||
        memcmp(old, expected, size) != 0 ||
        host_syscall(SYS_membarrier, (long)MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0L,
                     0L) != 0)
        return false;
    memcpy(code, old, sizeof(code));
    if (!choose(at, code, size, target, memory))
        return false;
    if (!known) {
        atomic_store(&g_sites[n], at);
        atomic_store(&g_site_count, n + 1);
    }
    atomic_store(&g_patching, at);
    const bool ok = exchange(memory, at, old, code, size);
    atomic_store(&g_patching, 0);
    return ok;
}

bool host_site_trap(const struct host_thread *t, ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const uint64_t at = (uint64_t)regs[REG_RIP] - 1;
    const unsigned n = atomic_load(&g_site_count);
    uint8_t now = INT3;
    bool known = false;

    if (regs[REG_TRAPNO] != TRAP_OF_INT3)
        return false;
    for (unsigned i = 0; i < n && !known; i++)
        known = atomic_load(&g_sites[i]) == at;
    if (!known ||
        (atomic_load(&g_patching) != at && (host_read(t, &now, at, 1) < 0 || now == INT3)))
        return false;
    regs[REG_RIP] = (greg_t)at;
    return true;
}
