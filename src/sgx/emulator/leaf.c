/* SPDX-License-Identifier: Apache-2.0 */
/* ENCLU leaves executed in the enclave. */
#include "sgx/emulator/emulator.h"

static int gp(struct emu_fault *fault)
{
    *fault = (struct emu_fault){.vector = X86_GP};
    return -1;
}

int emu_leaf(struct emu_thread *t, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    const uint32_t leaf = (uint32_t)r->rax;

    if (leaf >= SGX_EACCEPT && leaf <= SGX_EACCEPTCOPY && !t->enclave->sgx2)
        return gp(fault);
    switch (leaf) {
    case SGX_EREPORT:
        return emu_ereport(t->enclave, r, fault);
    case SGX_EGETKEY:
        return emu_egetkey(t->enclave, r, fault);
    case SGX_EACCEPT:
        return emu_eaccept(t->enclave, r, fault);
    case SGX_EMODPE:
        return emu_emodpe(t->enclave, r, fault);
    case SGX_EACCEPTCOPY:
        return emu_eacceptcopy(t->enclave, r, fault);
    case SGX_EDECCSSA:
        return t->enclave->machine->aex_notify ? emu_edeccssa(t, fault) : gp(fault);
    default:
        return gp(fault); /* EENTER and ERESUME inside, and leaves that there are not */
    }
}
