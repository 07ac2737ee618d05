/* SPDX-License-Identifier: Apache-2.0 */
/* RDTSC for applications, where the processor refuses it inside an enclave; cpuid.c has CPUID. */
#include "cpu.h"
#include "current.h"
#include "host.h"

void exception_rdtsc(struct uregs *regs)
{
    u64 v = clock_monotonic();

    regs->rax = (u32)v;
    regs->rdx = v >> 32;
}
