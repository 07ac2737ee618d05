/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EACCEPT, EACCEPTCOPY and EMODPE. A rewritten site calls them with the enclave's vector registers
 * live, so that this file, and epcm.c below it, are compiled to use general registers only, and
 * call nothing of libc that might not.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "sgx/emulator/emulator.h"

#define FLAG_ZF     0x40u
#define FLAGS_ARITH 0x8d5u /* CF PF AF ZF SF OF */

static int gp(struct emu_fault *fault)
{
    fault->vector = X86_GP;
    fault->error = 0;
    fault->address = 0;
    return -1;
}

static int page_fault(uint64_t address, uint32_t error, struct emu_fault *fault)
{
    fault->vector = X86_PF;
    fault->error = X86_PF_USER | error;
    fault->address = address;
    return -1;
}

/* SECINFO operand: in the enclave, aligned, readable, nothing reserved in it. */
int emu_get_secinfo(struct sgx_handle *e, uint64_t address, uint64_t *flags,
                    struct emu_fault *fault)
{
    if ((address & 63) || !emu_inside(e, address, sizeof(struct sgx_secinfo)))
        return gp(fault);
    uint64_t secinfo[sizeof(struct sgx_secinfo) / sizeof(uint64_t)];
    if (emu_read(e, address, secinfo, sizeof(secinfo), fault) < 0)
        return -1;
    for (unsigned i = 1; i < sizeof(secinfo) / sizeof(secinfo[0]); i++)
        if (secinfo[i])
            return gp(fault);
    *flags = secinfo[0];
    if ((*flags & ~(uint64_t)EPCM_SECINFO_MASK_SDM) ||
        (*flags & (SGX_SECINFO_R | SGX_SECINFO_W)) == SGX_SECINFO_W)
        return gp(fault);
    return 0;
}

static int emu_check_target(const struct sgx_handle *e, uint64_t address, struct emu_fault *fault)
{
    if ((address & (SGX_PAGE_SIZE - 1)) || !emu_inside(e, address, SGX_PAGE_SIZE))
        return gp(fault);
    return 0;
}

static void emu_leaf_result(struct emu_leaf_regs *r, uint32_t code)
{
    r->rax = code;
    r->rflags = (r->rflags & ~(uint64_t)FLAGS_ARITH) | (code ? FLAG_ZF : 0);
}

/* The states that a page may be accepted in (SDM, EACCEPT). */
static bool acceptable(uint64_t flags)
{
    const uint64_t state = flags & (SGX_SECINFO_PENDING | SGX_SECINFO_MODIFIED | SGX_SECINFO_PR);
    const uint64_t type = (flags & SGX_SECINFO_TYPE_MASK) >> SGX_SECINFO_TYPE_SHIFT;

    if (type == SGX_PT_REG)
        return state && !(state & SGX_SECINFO_MODIFIED);
    return (type == SGX_PT_TCS || type == SGX_PT_TRIM) && state == SGX_SECINFO_MODIFIED;
}

static uint32_t epcm_of(uint64_t flags)
{
    uint32_t type = (flags & SGX_SECINFO_TYPE_MASK) >> SGX_SECINFO_TYPE_SHIFT;

    return (flags & SGX_SECINFO_PERM_MASK) | EPCM_TYPE(type) |
           (flags & SGX_SECINFO_PENDING ? EPCM_PENDING : 0) |
           (flags & SGX_SECINFO_MODIFIED ? EPCM_MODIFIED : 0) |
           (flags & SGX_SECINFO_PR ? EPCM_PR : 0);
}

int emu_eaccept(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    uint64_t flags;

    if (emu_get_secinfo(e, r->rbx, &flags, fault) < 0 || emu_check_target(e, r->rcx, fault) < 0)
        return -1;
    if (!acceptable(flags))
        return gp(fault);
    const uint64_t page = emu_page(e, r->rcx);
    uint32_t entry = emu_augment(e, page);
    if (!entry)
        return page_fault(r->rcx, 0, fault);
    /* PR is not compared (SDM, EACCEPT): that permissions were restricted shows by themselves. */
    const uint32_t compared = EPCM_SECINFO_MASK & ~EPCM_PR, wanted = epcm_of(flags) & compared;
    const struct emu_tcs *tcs = atomic_load(&e->tcs[page]);
    do {
        if ((entry & compared) != wanted) {
            emu_leaf_result(r, SGX_PAGE_ATTRIBUTES_MISMATCH);
            return 0;
        }
        if ((entry & EPCM_TYPE_MASK) == EPCM_TYPE(SGX_PT_TCS) && (!tcs || tcs->unacceptable))
            return gp(fault);
    } while (!atomic_compare_exchange_weak(&e->epcm[page], &entry,
                                           entry & ~(EPCM_PENDING | EPCM_MODIFIED | EPCM_PR)));
    emu_leaf_result(r, SGX_SUCCESS);
    return 0;
}

int emu_emodpe(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    const uint32_t want = EPCM_VALID | EPCM_TYPE(SGX_PT_REG);
    uint64_t flags;

    if (emu_get_secinfo(e, r->rbx, &flags, fault) < 0 || emu_check_target(e, r->rcx, fault) < 0)
        return -1;
    const uint64_t page = emu_page(e, r->rcx);
    uint32_t entry = atomic_load(&e->epcm[page]);
    if (entry & EPCM_EVICTED)
        entry = emu_augment(e, page);
    do {
        if (!(entry & EPCM_VALID))
            return page_fault(r->rcx, 0, fault);
        if ((entry & (EPCM_VALID | EPCM_TYPE_MASK | EPCM_PENDING | EPCM_MODIFIED)) != want)
            return page_fault(r->rcx, X86_PF_PRESENT | X86_PF_SGX, fault);
        if (!(entry & EPCM_R) && !(flags & SGX_SECINFO_R) && (flags & SGX_SECINFO_W))
            return gp(fault);
    } while (!atomic_compare_exchange_weak(&e->epcm[page], &entry,
                                           entry | (flags & SGX_SECINFO_PERM_MASK)));
    return 0;
}

/*
 * Contents come in through /proc/self/mem, which the host page's protection does not stop, so that
 * pages accepted one by one need no mprotect each; their protection is raised together at the first
 * access. 1: the host page had to be made writable.
 */
static int copy_page(struct sgx_handle *e, uint64_t page, uint64_t source)
{
    const uint64_t target = (uint64_t)emu_address(e, page);

    if (e->memory_fd >= 0 &&
        syscall(SYS_pwrite64, e->memory_fd, source, SGX_PAGE_SIZE, target) == (long)SGX_PAGE_SIZE)
        return 0;
    if (emu_protect(e, page, page + 1, EPCM_R | EPCM_W) < 0)
        return -1;
    const volatile uint64_t *from = (const volatile uint64_t *)source;
    volatile uint64_t *to = (volatile uint64_t *)target;
    for (unsigned i = 0; i < SGX_PAGE_SIZE / sizeof(*to); i++)
        to[i] = from[i];
    return 1;
}

int emu_eacceptcopy(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    const uint32_t pending = EPCM_VALID | EPCM_PENDING | EPCM_R | EPCM_W | EPCM_TYPE(SGX_PT_REG);
    uint64_t flags;

    if (emu_get_secinfo(e, r->rbx, &flags, fault) < 0 || emu_check_target(e, r->rcx, fault) < 0 ||
        emu_check_target(e, r->rdx, fault) < 0)
        return -1;
    if ((flags & SGX_SECINFO_TYPE_MASK) != SGX_SECINFO_TYPE(SGX_PT_REG))
        return gp(fault);
    const uint64_t page = emu_page(e, r->rcx);
    if (!emu_augment(e, page))
        return page_fault(r->rcx, 0, fault);

    emu_lock(e);
    e->keep = page; /* the source must not push the target out, nor the other way round */
    int found = emu_epc_load(e, page);
    if (found == 0)
        found = emu_access_locked(e, r->rdx, EPCM_R, fault);
    else
        page_fault(r->rcx, 0, fault);
    e->keep = EMU_KEEP_NONE;
    if (found < 0) {
        emu_unlock(e);
        return -1;
    }
    uint32_t entry = atomic_load(&e->epcm[page]);
    if ((entry & (EPCM_VALID | EPCM_SECINFO_MASK)) != pending) {
        emu_unlock(e);
        emu_leaf_result(r, SGX_PAGE_ATTRIBUTES_MISMATCH);
        return 0;
    }
    /* Nobody else can use the page until the EPCM says that it is accepted. */
    int copied = copy_page(e, page, r->rdx);
    if (copied < 0)
        emu_die("mprotect failed");
    emu_epcm_set(e, page,
                 (entry & EPCM_MAX_MASK) | EPCM_VALID | EPCM_TYPE(SGX_PT_REG) |
                     (uint32_t)(flags & SGX_SECINFO_PERM_MASK));
    if (copied > 0 && emu_apply(e, page, page + 1) < 0)
        emu_die("mprotect failed");
    emu_unlock(e);
    emu_leaf_result(r, SGX_SUCCESS);
    return 0;
}

/* Called by sites.S on the thread's leaf stack, with the host's FS and GS. */
int emu_site_leaf(struct emu_thread *t);
int emu_site_leaf(struct emu_thread *t)
{
    return emu_leaf(t, &t->leaf, &t->leaf_fault);
}
