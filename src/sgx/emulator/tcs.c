/* SPDX-License-Identifier: Apache-2.0 */
/* Who is on a TCS: what EENTER and ERESUME both check (SDM volume 3D). */
#include "sgx/emulator/emulator.h"

struct emu_tcs *emu_tcs_take(struct sgx_handle *e, const struct emu_image *image,
                             struct emu_fault *fault)
{
    const uint32_t usable = EPCM_VALID | EPCM_TYPE(SGX_PT_TCS);

    *fault = (struct emu_fault){.vector = X86_GP};
    if (image->rbx & (SGX_PAGE_SIZE - 1))
        return NULL;
    if (!e) {
        *fault = (struct emu_fault){.vector = X86_PF,
                                    .error = X86_PF_USER | X86_PF_PRESENT | X86_PF_SGX,
                                    .address = image->rbx};
        return NULL;
    }
    if (!emu_canonical(image->rcx) || !e->created)
        return NULL;
    const uint64_t page = emu_page(e, image->rbx);
    struct emu_tcs *tcs = atomic_load(&e->tcs[page]);
    uint32_t entry = atomic_load(&e->epcm[page]);
    if (!tcs || (entry & (usable | EPCM_TYPE_MASK | EPCM_PENDING | EPCM_MODIFIED)) != usable) {
        fault->vector = X86_PF;
        fault->address = image->rbx;
        fault->error = X86_PF_USER | (entry & EPCM_VALID ? X86_PF_PRESENT | X86_PF_SGX : 0);
        return NULL;
    }
    if (tcs->malformed || !e->initialized ||
        tcs->notify != !!(e->secs.attributes.flags & SGX_ATTR_AEX_NOTIFY))
        return NULL;
    unsigned idle = 0;
    return atomic_compare_exchange_strong(&tcs->busy, &idle, 1) ? tcs : NULL;
}
