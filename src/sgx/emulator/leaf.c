/* SPDX-License-Identifier: Apache-2.0 */
/* ENCLU leaves executed in the enclave: EACCEPT, EACCEPTCOPY, EMODPE, and the way to those of keys.c. */
#include <string.h>

#include "sgx/emulator/emulator.h"

#define FLAG_ZF     0x40u
#define FLAGS_ARITH 0x8d5u /* CF PF AF ZF SF OF */

static int gp(struct emu_fault *fault)
{
    *fault = (struct emu_fault){.vector = X86_GP};
    return -1;
}

/* SECINFO operand: in the enclave, aligned, readable, nothing reserved in it. */
static int get_secinfo(struct sgx_handle *e, uint64_t address, uint64_t *flags,
                       struct emu_fault *fault)
{
    struct sgx_secinfo secinfo;

    if ((address & 63) || !emu_inside(e, address, sizeof(secinfo)))
        return gp(fault);
    if (emu_access(e, address, EPCM_R, fault) < 0)
        return -1;
    memcpy(&secinfo, (const void *)address, sizeof(secinfo));
    for (size_t i = 0; i < sizeof(secinfo.reserved) / sizeof(secinfo.reserved[0]); i++)
        if (secinfo.reserved[i])
            return gp(fault);
    if ((secinfo.flags & ~(uint64_t)EPCM_SECINFO_MASK_SDM) ||
        (secinfo.flags & (SGX_SECINFO_R | SGX_SECINFO_W)) == SGX_SECINFO_W)
        return gp(fault);
    *flags = secinfo.flags;
    return 0;
}

static int check_target(const struct sgx_handle *e, uint64_t address, struct emu_fault *fault)
{
    if ((address & (SGX_PAGE_SIZE - 1)) || !emu_inside(e, address, SGX_PAGE_SIZE))
        return gp(fault);
    return 0;
}

static int page_fault(uint64_t address, uint32_t error, struct emu_fault *fault)
{
    *fault = (struct emu_fault){.vector = X86_PF, .error = X86_PF_USER | error, .address = address};
    return -1;
}

static void result(struct emu_leaf_regs *r, uint32_t code)
{
    r->rax = code;
    r->rflags = (r->rflags & ~(uint64_t)FLAGS_ARITH) | (code ? FLAG_ZF : 0);
}

/* The states that a page may be accepted in (SDM, EACCEPT). */
static bool acceptable(uint64_t flags)
{
    const uint64_t state = flags & (SGX_SECINFO_PENDING | SGX_SECINFO_MODIFIED | SGX_SECINFO_PR);

    switch ((flags & SGX_SECINFO_TYPE_MASK) >> SGX_SECINFO_TYPE_SHIFT) {
    case SGX_PT_REG:
        return state == SGX_SECINFO_PENDING || state == SGX_SECINFO_PR;
    case SGX_PT_TCS:
    case SGX_PT_TRIM:
        return state == SGX_SECINFO_MODIFIED;
    default:
        return false;
    }
}

static uint32_t epcm_of(uint64_t flags)
{
    uint32_t type = (flags & SGX_SECINFO_TYPE_MASK) >> SGX_SECINFO_TYPE_SHIFT;

    return (flags & SGX_SECINFO_PERM_MASK) | EPCM_TYPE(type) |
           (flags & SGX_SECINFO_PENDING ? EPCM_PENDING : 0) |
           (flags & SGX_SECINFO_MODIFIED ? EPCM_MODIFIED : 0) |
           (flags & SGX_SECINFO_PR ? EPCM_PR : 0);
}

static int eaccept(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    uint64_t flags;

    if (get_secinfo(e, r->rbx, &flags, fault) < 0 || check_target(e, r->rcx, fault) < 0)
        return -1;
    if (!acceptable(flags))
        return gp(fault);
    const uint64_t page = emu_page(e, r->rcx);
    uint32_t entry = emu_augment(e, page);
    if (!entry)
        return page_fault(r->rcx, 0, fault);
    const uint32_t wanted = epcm_of(flags);
    do {
        if ((entry & EPCM_SECINFO_MASK) != wanted) {
            result(r, SGX_PAGE_ATTRIBUTES_MISMATCH);
            return 0;
        }
    } while (!atomic_compare_exchange_weak(&e->epcm[page], &entry,
                                           entry & ~(EPCM_PENDING | EPCM_MODIFIED | EPCM_PR)));
    result(r, SGX_SUCCESS);
    return 0;
}

static int emodpe(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    const uint32_t want = EPCM_VALID | EPCM_TYPE(SGX_PT_REG);
    uint64_t flags;

    if (get_secinfo(e, r->rbx, &flags, fault) < 0 || check_target(e, r->rcx, fault) < 0)
        return -1;
    const uint64_t page = emu_page(e, r->rcx);
    uint32_t entry = atomic_load(&e->epcm[page]);
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

static int eacceptcopy(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    const uint32_t pending = EPCM_VALID | EPCM_PENDING | EPCM_R | EPCM_W | EPCM_TYPE(SGX_PT_REG);
    uint64_t flags;

    if (get_secinfo(e, r->rbx, &flags, fault) < 0 || check_target(e, r->rcx, fault) < 0 ||
        check_target(e, r->rdx, fault) < 0)
        return -1;
    if ((flags & ~SGX_SECINFO_PERM_MASK) != SGX_SECINFO_TYPE(SGX_PT_REG))
        return gp(fault);
    if (emu_access(e, r->rdx, EPCM_R, fault) < 0)
        return -1;
    const uint64_t page = emu_page(e, r->rcx);
    uint32_t entry = emu_augment(e, page);
    if (!entry)
        return page_fault(r->rcx, 0, fault);

    emu_lock(e);
    entry = atomic_load(&e->epcm[page]);
    if ((entry & (EPCM_VALID | EPCM_SECINFO_MASK)) != pending) {
        emu_unlock(e);
        result(r, SGX_PAGE_ATTRIBUTES_MISMATCH);
        return 0;
    }
    /* Nobody else can use the page until the EPCM says that it is accepted. */
    if (emu_protect(e, page, page + 1, EPCM_R | EPCM_W) < 0)
        emu_die("mprotect failed");
    memcpy((void *)r->rcx, (const void *)r->rdx, SGX_PAGE_SIZE);
    emu_epcm_set(e, page,
                 (entry & EPCM_MAX_MASK) | EPCM_VALID | EPCM_TYPE(SGX_PT_REG) |
                     (flags & SGX_SECINFO_PERM_MASK));
    if (emu_apply(e, page, page + 1) < 0)
        emu_die("mprotect failed");
    emu_unlock(e);
    result(r, SGX_SUCCESS);
    return 0;
}

int emu_leaf(struct emu_thread *t, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    switch ((uint32_t)r->rax) {
    case SGX_EREPORT:
        return emu_ereport(t->enclave, r, fault);
    case SGX_EGETKEY:
        return emu_egetkey(t->enclave, r, fault);
    case SGX_EACCEPT:
        return eaccept(t->enclave, r, fault);
    case SGX_EMODPE:
        return emodpe(t->enclave, r, fault);
    case SGX_EACCEPTCOPY:
        return eacceptcopy(t->enclave, r, fault);
    default:
        return gp(fault); /* EENTER and ERESUME inside, and leaves that there are not */
    }
}
