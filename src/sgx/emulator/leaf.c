/* SPDX-License-Identifier: Apache-2.0 */
/* ENCLU leaves executed in the enclave: EACCEPTCOPY, and the way to all others. */
#include <string.h>

#include "sgx/emulator/emulator.h"

static int gp(struct emu_fault *fault)
{
    *fault = (struct emu_fault){.vector = X86_GP};
    return -1;
}

static int eacceptcopy(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    const uint32_t pending = EPCM_VALID | EPCM_PENDING | EPCM_R | EPCM_W | EPCM_TYPE(SGX_PT_REG);
    uint64_t flags;

    if (emu_get_secinfo(e, r->rbx, &flags, fault) < 0 || emu_check_target(e, r->rcx, fault) < 0 ||
        emu_check_target(e, r->rdx, fault) < 0)
        return -1;
    if ((flags & ~SGX_SECINFO_PERM_MASK) != SGX_SECINFO_TYPE(SGX_PT_REG))
        return gp(fault);
    if (emu_access(e, r->rdx, EPCM_R, fault) < 0)
        return -1;
    const uint64_t page = emu_page(e, r->rcx);
    uint32_t entry = emu_augment(e, page);
    if (!entry) {
        *fault = (struct emu_fault){.vector = X86_PF, .error = X86_PF_USER, .address = r->rcx};
        return -1;
    }

    emu_lock(e);
    entry = atomic_load(&e->epcm[page]);
    if ((entry & (EPCM_VALID | EPCM_SECINFO_MASK)) != pending) {
        emu_unlock(e);
        emu_leaf_result(r, SGX_PAGE_ATTRIBUTES_MISMATCH);
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
    emu_leaf_result(r, SGX_SUCCESS);
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
        return emu_eaccept(t->enclave, r, fault);
    case SGX_EMODPE:
        return emu_emodpe(t->enclave, r, fault);
    case SGX_EACCEPTCOPY:
        return eacceptcopy(t->enclave, r, fault);
    default:
        return gp(fault); /* EENTER and ERESUME inside, and leaves that there are not */
    }
}
