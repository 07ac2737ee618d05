/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENCLU sites rewritten into calls, and what a signal on the way means (sites.S has the
 * instructions). The bytes in memory then differ from those that were measured, as a debugger's
 * breakpoint would make them; MRENCLAVE was final before.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../../abi/enclave_file.h"
#include "sgx/emulator/emulator.h"

_Static_assert(offsetof(struct emu_thread, tcs) == T_TCS, "layout.h");
_Static_assert(offsetof(struct emu_thread, in_leaf) == T_LEAF, "layout.h");
_Static_assert(offsetof(struct emu_thread, deferred) == T_DEFER, "layout.h");
_Static_assert(offsetof(struct emu_thread, leaf.rflags) == T_L_FLAGS, "layout.h");
_Static_assert(offsetof(struct emu_thread, leaf_saved) == T_L_RDI, "layout.h");
_Static_assert(offsetof(struct emu_thread, leaf_gs) == T_L_GS, "layout.h");
_Static_assert(offsetof(struct emu_tcs, thread) == C_THREAD, "layout.h");
_Static_assert(offsetof(struct emu_tcs, aep) == C_AEP, "layout.h");
_Static_assert(offsetof(struct emu_tcs, busy) == C_BUSY, "layout.h");

extern const char emu_site_return[], emu_site_eexit[], emu_site_eexit_pushed[],
    emu_site_eexit_leave[], emu_site_eexit_popped[], emu_site_eexit_left[], emu_site_eexit_last[],
    emu_site_eexit_end[], emu_site_body[], emu_site_tail[], emu_site_tail_end[], emu_site_fault[],
    emu_site_held[];
extern const uint64_t g_emu_site_pushes[][2];

#define CALL_SIZE 5

/* ---- the table ---- */

struct site_entry {
    _Atomic uint64_t gsbase; /* 0: free, and the end of a chain; 1: not used any more */
    _Atomic(struct emu_tcs *) tcs;
};
_Static_assert(sizeof(struct site_entry) == 16, "sites.S");

extern struct site_entry g_emu_sites[EMU_SITE_COUNT];
struct site_entry g_emu_sites[EMU_SITE_COUNT];
static pthread_mutex_t g_sites_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned g_sites_used;

#define DEAD 1

static size_t slot_of(uint64_t gsbase)
{
    return (gsbase >> 12) & (EMU_SITE_COUNT - 1);
}

static struct site_entry *find(uint64_t gsbase)
{
    for (size_t i = slot_of(gsbase);; i = (i + 1) & (EMU_SITE_COUNT - 1)) {
        uint64_t key = atomic_load(&g_emu_sites[i].gsbase);
        if (key == gsbase)
            return &g_emu_sites[i];
        if (key == 0)
            return NULL;
    }
}

/* Two TCS with one GS base: none can be told from the others, so all use ENCLU itself. The entry
 * says so to later ones by a bit that no GS base has; code that looks for one finds nothing. */
static uint64_t shared(uint64_t gsbase)
{
    return gsbase | 1;
}

void emu_site_add(struct emu_tcs *tcs)
{
    pthread_mutex_lock(&g_sites_lock);
    const bool known = tcs->gsbase <= DEAD || find(shared(tcs->gsbase));
    struct site_entry *twin = known ? NULL : find(tcs->gsbase);
    if (twin)
        atomic_store(&twin->gsbase, shared(tcs->gsbase));
    else if (!known && g_sites_used < EMU_SITE_COUNT / 2) {
        size_t i = slot_of(tcs->gsbase);
        while (atomic_load(&g_emu_sites[i].gsbase) > DEAD)
            i = (i + 1) & (EMU_SITE_COUNT - 1);
        g_sites_used += atomic_load(&g_emu_sites[i].gsbase) == 0;
        atomic_store(&g_emu_sites[i].tcs, tcs);
        atomic_store(&g_emu_sites[i].gsbase, tcs->gsbase);
    }
    pthread_mutex_unlock(&g_sites_lock);
}

void emu_site_drop(const struct emu_tcs *tcs, bool enclave)
{
    pthread_mutex_lock(&g_sites_lock);
    struct site_entry *entry = tcs->gsbase > DEAD ? find(tcs->gsbase) : NULL;
    if (entry && atomic_load(&entry->tcs) == tcs)
        atomic_store(&entry->gsbase, DEAD);
    if (enclave && tcs->gsbase > DEAD && (entry = find(shared(tcs->gsbase))))
        atomic_store(&entry->gsbase, DEAD);
    pthread_mutex_unlock(&g_sites_lock);
}

/* ---- rewriting ---- */

/* jmp *8(%rip) over six bytes to the address behind it */
static int write_trampoline(struct sgx_handle *e, uint64_t page)
{
    const uint64_t target = (uint64_t)emu_site_entry;
    uint8_t code[16] = {0xff, 0x25, 0x02, 0x00, 0x00, 0x00};
    uint8_t *at = emu_address(e, page);

    memcpy(code + 8, &target, sizeof(target));
    if (mprotect(at, SGX_PAGE_SIZE, PROT_READ | PROT_WRITE) < 0)
        return -errno;
    memcpy(at, code, sizeof(code));
    return mprotect(at, SGX_PAGE_SIZE, PROT_READ | PROT_EXEC) < 0 ? -errno : 0;
}

static int rewrite(struct sgx_handle *e, uint64_t site)
{
    static const uint8_t expected[ENCLAVE_FILE_SITE_SIZE] = ENCLAVE_FILE_SITE_BYTES;
    uint8_t code[ENCLAVE_FILE_SITE_SIZE] = {0xe8, 0, 0, 0, 0, 0x0f, 0x1f, 0x00};
    const uint64_t first = site >> SGX_PAGE_SHIFT;
    const uint64_t last = (site + sizeof(code) - 1) >> SGX_PAGE_SHIFT;
    uint8_t found[sizeof(code)];
    uint8_t *at = (uint8_t *)(e->base + site);
    int32_t displacement = (int32_t)(int64_t)(e->trampoline - (uint64_t)at - CALL_SIZE);

    memcpy(code + 1, &displacement, sizeof(displacement));
    int rc = emu_epc_load(e, last);
    e->keep = last;
    if (rc == 0)
        rc = emu_epc_load(e, first);
    e->keep = EMU_KEEP_NONE;
    if (rc < 0)
        return rc;
    if (e->memory_fd >= 0 &&
        pread(e->memory_fd, found, sizeof(found), (off_t)at) == (ssize_t)sizeof(found)) {
        if (memcmp(found, expected, sizeof(found)) != 0)
            return -EINVAL;
        if (emu_store(e, (uint64_t)at, code, sizeof(code)) == 0)
            return 0;
    }
    rc = emu_protect(e, first, last + 1, EPCM_R | EPCM_W);
    if (rc < 0)
        return rc;
    if (memcmp(at, expected, sizeof(expected)) != 0)
        rc = -EINVAL;
    else
        memcpy(at, code, sizeof(code));
    int applied = emu_apply(e, first, last + 1);
    return rc < 0 ? rc : applied;
}

static void add_all_tcs(struct sgx_handle *e)
{
    for (uint64_t page = 0; (page = emu_used_from(e, page, e->pages)) < e->pages; page++) {
        struct emu_tcs *tcs = atomic_load(&e->tcs[page]);
        if (tcs)
            emu_site_add(tcs);
    }
}

int emu_use_sites(struct sgx_handle *e, const uint64_t *sites, uint32_t count, uint64_t trampoline,
                  struct error *err)
{
    const uint64_t page = trampoline >> SGX_PAGE_SHIFT;
    struct emu_guard guard;
    uint64_t done = 0;

    if (!e->initialized || !trampoline || trampoline >= e->size)
        return error_code(err, EINVAL, "rewrite ENCLU sites: bad trampoline page");
    if (emu_isolated())
        return 0;
    emu_lock_host(e, &guard);
    e->trampoline = e->base + trampoline;
    /* The enclave has no use of that page, in particular it is never added. */
    int rc = atomic_load(&e->epcm[page]) ? -EBUSY : emu_mapping_set(e, page, page + 1, 0);
    if (rc == 0)
        rc = write_trampoline(e, page);
    for (; rc == 0 && done < count; done++)
        rc = sites[done] < e->size - ENCLAVE_FILE_SITE_SIZE ? rewrite(e, sites[done]) : -EINVAL;
    if (rc == 0)
        add_all_tcs(e);
    emu_unlock_host(e, &guard);
    return rc < 0 ? error_errno(err, -rc, "rewrite ENCLU site %llu", (unsigned long long)done) : 0;
}

/* ---- signals ---- */

static bool within(uint64_t rip, const char *start, const char *end)
{
    return rip >= (uint64_t)start && rip < (uint64_t)end;
}

/*
 * The next word of the stack that the site's code was using, the enclave's. ENCLU has no use of a
 * stack, so that its page is out of reach meanwhile must not matter.
 */
static uint64_t pop(uint64_t *rsp)
{
    struct sgx_handle *e = emu_find(*rsp);
    uint64_t value = 0;

    if (!e)
        value = *(const uint64_t *)*rsp;
    else if (emu_peek(e, *rsp, &value) < 0)
        emu_die("the stack of a thread at an ENCLU site is not there any more");
    *rsp += sizeof(value);
    return value;
}

void emu_site_rewind(ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    uint64_t rsp = (uint64_t)regs[REG_RSP];

    regs[REG_RIP] = (greg_t)(pop(&rsp) - CALL_SIZE);
    regs[REG_RSP] = (greg_t)rsp;
}

/* In the head: nothing but pushes has happened. */
static void undo_head(ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const uint64_t rip = (uint64_t)regs[REG_RIP];
    uint64_t rsp = (uint64_t)regs[REG_RSP];
    uint64_t pushes = 0;

    for (unsigned i = 0; g_emu_site_pushes[i][0] <= rip; i++)
        pushes = g_emu_site_pushes[i][1];
    if (pushes > 2)
        regs[REG_RAX] = (greg_t)pop(&rsp);
    if (pushes > 1)
        regs[REG_RDX] = (greg_t)pop(&rsp);
    if (pushes > 0)
        regs[REG_RCX] = (greg_t)pop(&rsp);
    regs[REG_RSP] = (greg_t)rsp;
    emu_site_rewind(uc);
}

static void finish_eexit(struct emu_thread *t, ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const uint64_t rip = (uint64_t)regs[REG_RIP];
    const bool leaving = rip >= (uint64_t)emu_site_eexit_leave;
    uint64_t rsp = (uint64_t)regs[REG_RSP];
    struct emu_tcs *tcs = leaving ? (struct emu_tcs *)regs[REG_RAX] : t->tcs;

    if (within(rip, emu_site_eexit_pushed, emu_site_eexit_popped))
        regs[REG_RDX] = (greg_t)pop(&rsp);
    if (rip < (uint64_t)emu_site_eexit_last)
        rsp += sizeof(uint64_t);
    regs[REG_RSP] = (greg_t)rsp;
    if (rip < (uint64_t)emu_site_eexit_left) {
        regs[REG_RCX] = (greg_t)tcs->aep;
        t->tcs = NULL;
        tcs->thread = NULL;
        atomic_store(&tcs->busy, 0);
    }
    regs[REG_RAX] = SGX_EEXIT;
    regs[REG_RIP] = regs[REG_RBX];
}

/* The registers as the leaf leaves them, behind the site. */
static void finish_leaf(struct emu_thread *t, ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    uint64_t rsp = t->leaf_rsp + 3 * sizeof(uint64_t);

    regs[REG_RAX] = (greg_t)t->leaf.rax;
    regs[REG_RBX] = (greg_t)t->leaf.rbx;
    regs[REG_RCX] = (greg_t)t->leaf.rcx;
    regs[REG_RDX] = (greg_t)t->leaf.rdx;
    regs[REG_EFL] = (greg_t)t->leaf.rflags;
    regs[REG_RDI] = (greg_t)t->leaf_saved[0];
    regs[REG_RSI] = (greg_t)t->leaf_saved[1];
    regs[REG_R8] = (greg_t)t->leaf_saved[2];
    regs[REG_R9] = (greg_t)t->leaf_saved[3];
    regs[REG_R10] = (greg_t)t->leaf_saved[4];
    regs[REG_R11] = (greg_t)t->leaf_saved[5];
    regs[REG_RIP] = (greg_t)pop(&rsp);
    regs[REG_RSP] = (greg_t)rsp;
    t->enc_fs = t->leaf_fs;
    t->enc_gs = t->leaf_gs;
    t->in_leaf = 0;
    if (t->deferred) {
        memcpy(&uc->uc_sigmask, &t->deferred_mask, sizeof(t->deferred_mask));
        t->deferred = 0;
    }
}

/* Queue the signal once more, and hold everything back until emu_site_held lets it go. */
static void defer(struct emu_thread *t, int signo, siginfo_t *info, ucontext_t *uc)
{
    /* but not what an exception comes as: emu_site_held is one */
    const uint64_t all = ~(1ull << (SIGSEGV - 1) | 1ull << (SIGILL - 1) | 1ull << (SIGBUS - 1) |
                           1ull << (SIGFPE - 1) | 1ull << (SIGTRAP - 1) | 1ull << (SIGSYS - 1));

    if (!t->deferred)
        memcpy(&t->deferred_mask, &uc->uc_sigmask, sizeof(t->deferred_mask));
    t->deferred = 1;
    memcpy(&uc->uc_sigmask, &all, sizeof(all));
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), signo, info) < 0)
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signo);
}

enum emu_site_verdict emu_site_signal(struct emu_thread *t, int signo, siginfo_t *info,
                                      ucontext_t *uc, struct emu_fault *fault)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const uint64_t rip = (uint64_t)regs[REG_RIP];
    const bool own = signo == SIGILL && info->si_code > 0;

    if (t->in_leaf && rip == (uint64_t)emu_site_fault && own) {
        finish_leaf(t, uc);
        regs[REG_RIP] -= CALL_SIZE;
        *fault = t->leaf_fault;
        return EMU_SITE_FAULT;
    }
    if (t->in_leaf && rip == (uint64_t)emu_site_held && own) {
        finish_leaf(t, uc);
        return EMU_SITE_RESUMED;
    }
    if (within(rip, emu_site_tail, emu_site_tail_end)) {
        finish_leaf(t, uc);
        return EMU_SITE_ENCLAVE;
    }
    if (t->in_leaf) {
        if (info->si_code > 0 && (signo == SIGSEGV || signo == SIGBUS || signo == SIGILL))
            emu_die("a fault in the emulation of a leaf");
        defer(t, signo, info, uc);
        return EMU_SITE_DEFERRED;
    }
    if (within(rip, emu_site_eexit, emu_site_eexit_end)) {
        finish_eexit(t, uc);
        return EMU_SITE_HOST;
    }
    if (rip == (uint64_t)emu_site_enclu && own)
        return EMU_SITE_LEAF;
    if (rip == (uint64_t)emu_site_return) {
        emu_site_rewind(uc);
        regs[REG_RIP] += CALL_SIZE;
        return EMU_SITE_ENCLAVE;
    }
    if (within(rip, emu_site_entry, emu_site_end)) {
        undo_head(uc);
        return EMU_SITE_ENCLAVE;
    }
    if (t->enclave && t->enclave->trampoline && rip - t->enclave->trampoline < SGX_PAGE_SIZE) {
        emu_site_rewind(uc);
        return EMU_SITE_ENCLAVE;
    }
    return EMU_SITE_NONE;
}
