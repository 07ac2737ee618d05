/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID of a machine with SGX, where the kernel can make the instruction fault (CPUID faulting):
 * leaf 7 says SGX and flexible launch control, leaf 12H what src/sgx/machine.h has. In an enclave
 * it is #UD (trap.c). Elsewhere programs see the processor's own answers.
 */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "sgx/emulate/emulate.h"
#include "sgx/emulator/machine.h"

#define ARCH_SET_CPUID 0x1012L
#define LEAF_FEATURES  7u
#define LEAF_SGX       0x12u
#define FEATURE_SGX    (1u << 2)  /* EBX */
#define FEATURE_SGX_LC (1u << 30) /* ECX */
#define EPC_BASE       0x40000000ull
#define SIZE_BITS      46u

static bool g_faulting;

static long allow(bool allowed)
{
    return host_syscall(SYS_arch_prctl, ARCH_SET_CPUID, (long)allowed);
}

void host_cpuid_setup(void)
{
    /* Everything that the emulator asks is asked now, once, and kept: of what there is only, for
     * CPUID costs an exit of a virtual machine. */
    (void)emu_xsave_size(sgx_host_xfrm());
    g_faulting = allow(false) == 0 && allow(true) == 0 && emu_trap_setup(EMU_TRAP_CPUID, NULL) == 0;
}

void host_cpuid_thread(void)
{
    if (g_faulting)
        allow(false);
}

static void sgx_leaf(uint32_t subleaf, uint32_t out[4])
{
    const struct sgx_machine *m;

    memset(out, 0, 4 * sizeof(*out));
    if (emu_machine_get(&m, NULL) < 0)
        return;
    if (subleaf == 0) {
        out[0] = 1 | (m->sgx2 ? 2 : 0) | (m->aex_notify ? 1u << 11 : 0);
        out[1] = SGX_MISC_EXINFO;
        out[3] = SIZE_BITS << 8 | 31;
    } else if (subleaf == 1) {
        const uint64_t attributes = SGX_ATTR_INIT | SGX_ATTR_DEBUG | SGX_ATTR_MODE64 |
                                    SGX_ATTR_PROVISION_KEY | SGX_ATTR_EINIT_KEY |
                                    (m->kss ? SGX_ATTR_KSS : 0) |
                                    (m->aex_notify ? SGX_ATTR_AEX_NOTIFY : 0);
        out[0] = (uint32_t)attributes;
        out[1] = (uint32_t)(attributes >> 32);
        out[2] = (uint32_t)sgx_host_xfrm();
    } else if (subleaf == 2) {
        const uint64_t size = m->epc & ~(SGX_PAGE_SIZE - 1);
        out[0] = (uint32_t)EPC_BASE | 1;
        out[2] = (uint32_t)size | 1;
        out[3] = (uint32_t)(size >> 32) & 0xfffff;
    }
}

bool host_cpuid(ucontext_t *uc, const struct host_thread *t)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const uint32_t leaf = (uint32_t)regs[REG_RAX], subleaf = (uint32_t)regs[REG_RCX];
    uint8_t code[2];
    uint32_t out[4];

    if (!g_faulting || regs[REG_TRAPNO] != X86_GP ||
        host_read(t, code, (uint64_t)regs[REG_RIP], sizeof(code)) < 0 || code[0] != 0x0f ||
        code[1] != 0xa2)
        return false;
    if (leaf == LEAF_SGX) {
        sgx_leaf(subleaf, out);
    } else {
        allow(true);
        __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
        allow(false);
        if (leaf == 0 && out[0] < LEAF_SGX)
            out[0] = LEAF_SGX;
        if (leaf == LEAF_FEATURES && subleaf == 0) {
            out[1] |= FEATURE_SGX;
            out[2] |= FEATURE_SGX_LC;
        }
    }
    regs[REG_RAX] = out[0];
    regs[REG_RBX] = out[1];
    regs[REG_RCX] = out[2];
    regs[REG_RDX] = out[3];
    regs[REG_RIP] += sizeof(code);
    return true;
}
