/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that are in another state than the one the enclave accepts: a row `accept WHEN STATE=KIND`
 * changes the EPCM just before the first EACCEPT or EACCEPTCOPY of that kind (of a TCS, or a page
 * that is trimmed: each), as a host can by EAUG, EMODPR, EMODT and its page tables. What follows
 * must be a refusal, by the processor, and the end.
 *
 * A rewritten site calls this with the enclave's vector registers live: general registers only, and
 * nothing of libc.
 */
#include "sgx/emulator/emulator.h"
#include "tests/hostile/hostile.h"

#define REG   SGX_SECINFO_TYPE(SGX_PT_REG)
#define TCS   SGX_SECINFO_TYPE(SGX_PT_TCS)
#define TRIM  SGX_SECINFO_TYPE(SGX_PT_TRIM)
#define KNOWN (SGX_SECINFO_TYPE_MASK | SGX_SECINFO_PENDING | SGX_SECINFO_MODIFIED | SGX_SECINFO_PR)

/* What is accepted: the values of a row. */
enum kind { KIND_NEW, KIND_RESTRICTED, KIND_TRIMMED, KIND_TCS, KIND_COPY };

static const uint64_t g_kinds[] = {
    [KIND_NEW] = REG | SGX_SECINFO_PENDING,
    [KIND_RESTRICTED] = REG | SGX_SECINFO_PR,
    [KIND_TRIMMED] = TRIM | SGX_SECINFO_MODIFIED,
    [KIND_TCS] = TCS | SGX_SECINFO_MODIFIED,
};

static const struct lie *g_row; /* found outside of the enclave */
static _Atomic uint64_t g_moved;

int __real_emu_eaccept(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault);
int __wrap_emu_eaccept(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault);
int __real_emu_eacceptcopy(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault);
int __wrap_emu_eacceptcopy(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault);

void epcm_start(void)
{
    g_row = lie_row(PLACE_ACCEPT);
}

static enum kind kind_of(struct sgx_handle *e, const struct emu_leaf_regs *r)
{
    struct emu_fault unreadable;
    uint64_t flags = 0;

    if (emu_get_secinfo(e, r->rbx, &flags, &unreadable) < 0)
        return KIND_COPY;
    for (unsigned i = 0; i < sizeof(g_kinds) / sizeof(g_kinds[0]); i++)
        if ((flags & KNOWN) == g_kinds[i])
            return i;
    return KIND_COPY;
}

/* The bits of the page's entry that are not as the enclave wants them. */
static uint32_t wrong_bits(enum what what, uint32_t entry)
{
    const uint32_t type = entry & EPCM_TYPE_MASK, reg = EPCM_TYPE(SGX_PT_REG);

    switch (what) {
    case W_TYPE:
        return type ^ (type == reg ? EPCM_TYPE(SGX_PT_TRIM) : reg);
    case W_PERMISSIONS:
        return EPCM_X;
    case W_PENDING:
        return EPCM_PENDING;
    case W_MODIFIED:
        return EPCM_MODIFIED;
    case W_RESTRICTED:
        return EPCM_PR;
    default:
        return 0;
    }
}

/* The EPC page at this address is another one: whatever the EPCM says of it, the address is not
 * its own (EPCM.ENCLAVEADDRESS), and each access faults. */
static int moved(uint64_t address, struct emu_fault *fault)
{
    fault->vector = X86_PF;
    fault->error = X86_PF_USER | X86_PF_PRESENT | X86_PF_SGX;
    fault->address = address;
    return -1;
}

/* -1: *fault. */
static int before(struct sgx_handle *e, const struct emu_leaf_regs *r, enum kind kind,
                  struct emu_fault *fault)
{
    if (!g_row || !host_lying())
        return 0;
    if (g_moved == r->rcx)
        return moved(r->rcx, fault);
    if (kind != (enum kind)g_row->value || !emu_inside(e, r->rcx, SGX_PAGE_SIZE))
        return 0;
    /* Without a TCS, or the guard of its stack, a thread is not made, maybe a child's: no end. */
    if (g_host.lies > 0 && kind != KIND_TCS && kind != KIND_TRIMMED)
        return 0;
    const uint64_t page = emu_page(e, r->rcx);
    const uint32_t entry = emu_augment(e, page);
    if (!entry)
        return 0;
    g_host.lies++;
    if (g_row->what == W_ADDRESS) {
        g_moved = r->rcx;
        return moved(r->rcx, fault);
    }
    e->epcm[page] ^= wrong_bits(g_row->what, entry);
    return 0;
}

int __wrap_emu_eaccept(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    return before(e, r, kind_of(e, r), fault) < 0 ? -1 : __real_emu_eaccept(e, r, fault);
}

int __wrap_emu_eacceptcopy(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault)
{
    return before(e, r, KIND_COPY, fault) < 0 ? -1 : __real_emu_eacceptcopy(e, r, fault);
}
