/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RUNE_SGX_EMULATOR_TRAP: instructions that the processor refuses in an enclave, and that the
 * kernel can make fault for a thread: CPUID (SDM volume 3D, "Illegal instructions") by CPUID
 * faulting, RDTSC, which SGX1 refuses, by CR4.TSD. A thread that has entered has them off for good,
 * because leaving by a rewritten site makes no system call. So host code of that thread faults too,
 * and is given what it asked for; only where it blocks SIGSEGV meanwhile, it dies.
 */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <asm/prctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "sgx/emulator/emulator.h"

#ifndef ARCH_SET_CPUID
#define ARCH_SET_CPUID 0x1012
#endif

static unsigned g_traps; /* EMU_TRAP_* */

static int allow_cpuid(unsigned long allowed)
{
    return (int)syscall(SYS_arch_prctl, ARCH_SET_CPUID, allowed);
}

static void allow(unsigned traps, bool allowed)
{
    if (((traps & EMU_TRAP_CPUID) && allow_cpuid(allowed) < 0) ||
        ((traps & EMU_TRAP_RDTSC) &&
         prctl(PR_SET_TSC, allowed ? PR_TSC_ENABLE : PR_TSC_SIGSEGV, 0, 0, 0) < 0))
        emu_die("the kernel does not make CPUID or RDTSC fault any more");
}

int emu_trap_setup(unsigned traps, struct error *err)
{
    if ((traps & EMU_TRAP_CPUID) && (allow_cpuid(0) < 0 || allow_cpuid(1) < 0))
        return error_errno(err, errno,
                           "RUNE_SGX_EMULATOR_TRAP has cpuid, but this processor or kernel cannot "
                           "make CPUID fault: arch_prctl(ARCH_SET_CPUID)");
    if ((traps & EMU_TRAP_RDTSC) && (prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0) < 0 ||
                                     prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0) < 0))
        return error_errno(err, errno,
                           "RUNE_SGX_EMULATOR_TRAP has rdtsc, but this kernel cannot make RDTSC "
                           "fault: prctl(PR_SET_TSC)");
    g_traps = traps;
    return 0;
}

void emu_trap_thread(struct emu_thread *t)
{
    if (!g_traps || t->traps)
        return;
    t->traps = true;
    allow(g_traps, false);
}

/* What the instruction is, and its size. */
static unsigned trap_of(const uint8_t *code, unsigned *size)
{
    *size = 2;
    if (code[0] == 0x0f && code[1] == 0xa2)
        return EMU_TRAP_CPUID;
    if (code[0] == 0x0f && code[1] == 0x31)
        return EMU_TRAP_RDTSC;
    *size = 3;
    return code[0] == 0x0f && code[1] == 0x01 && code[2] == 0xf9 ? EMU_TRAP_RDTSC : 0; /* RDTSCP */
}

bool emu_trap_is_undefined(struct sgx_handle *e, const greg_t *regs)
{
    const uint64_t rip = (uint64_t)regs[REG_RIP];
    uint8_t code[3] = {0};
    struct emu_fault fault;
    unsigned size;

    if (!g_traps || regs[REG_TRAPNO] != X86_GP || emu_read(e, rip, code, 2, &fault) < 0 ||
        (code[1] == 0x01 && emu_read(e, rip + 2, code + 2, 1, &fault) < 0))
        return false;
    return trap_of(code, &size) & g_traps;
}

bool emu_trap_host(ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    unsigned a = (unsigned)regs[REG_RAX], b = 0, c = (unsigned)regs[REG_RCX], d, size;

    if (!g_traps || regs[REG_TRAPNO] != X86_GP)
        return false;
    const unsigned trap = trap_of((const uint8_t *)regs[REG_RIP], &size) & g_traps;
    if (!trap)
        return false;
    allow(trap, true);
    if (trap == EMU_TRAP_CPUID)
        __cpuid_count(a, c, a, b, c, d);
    else if (size == 3)
        __asm__ volatile("rdtscp" : "=a"(a), "=d"(d), "=c"(c));
    else
        __asm__ volatile("rdtsc" : "=a"(a), "=d"(d));
    allow(trap, false);
    regs[REG_RAX] = (greg_t)a;
    regs[REG_RDX] = (greg_t)d;
    if (trap == EMU_TRAP_CPUID)
        regs[REG_RBX] = (greg_t)b;
    if (trap == EMU_TRAP_CPUID || size == 3)
        regs[REG_RCX] = (greg_t)c;
    regs[REG_RIP] += size;
    return true;
}
