/* SPDX-License-Identifier: Apache-2.0 */
/* The libc side of clock.c: a TSC that is behind that of another processor. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <ucontext.h>

int test_tsc_behind(uint64_t ticks);

static uint64_t g_behind;

/* RDTSC is a fault of this thread now: its answer comes from here. */
static void on_rdtsc(int signo, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

    prctl(PR_SET_TSC, PR_TSC_ENABLE);
    const uint64_t now = __builtin_ia32_rdtsc() - g_behind;
    prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
    regs[REG_RAX] = (greg_t)(now & UINT32_MAX);
    regs[REG_RDX] = (greg_t)(now >> 32);
    regs[REG_RIP] += 2;
}

/* From now on; 0: as it is. -1: this kernel cannot. */
int test_tsc_behind(uint64_t ticks)
{
    const struct sigaction act = {.sa_sigaction = on_rdtsc, .sa_flags = SA_SIGINFO};

    g_behind = ticks;
    return sigaction(SIGSEGV, &act, NULL) < 0
               ? -1
               : prctl(PR_SET_TSC, ticks ? PR_TSC_SIGSEGV : PR_TSC_ENABLE);
}
