/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which signal is whose. A thread is in an enclave from EENTER or ERESUME until EEXIT or AEX, all
 * of which happen here; what else it runs is the program. An exception of the enclave becomes what
 * Linux makes of it: a signal at the AEP, or, where the AEP is the vDSO's, a result of the vDSO.
 */
#include <errno.h>
#include <string.h>

#include "sgx/emulate/emulate.h"

#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif
#define ENCLU_SIZE 3

static const struct {
    uint8_t vector;
    int signo, code;
} g_signals[] = {
    {X86_DE, SIGFPE, FPE_INTDIV}, {X86_DB, SIGTRAP, TRAP_BRKPT}, {X86_BR, SIGSEGV, SI_KERNEL},
    {X86_UD, SIGILL, ILL_ILLOPN}, {X86_GP, SIGSEGV, SI_KERNEL},  {X86_PF, SIGSEGV, SEGV_ACCERR},
    {X86_MF, SIGFPE, FPE_FLTINV}, {X86_AC, SIGBUS, BUS_ADRALN},  {X86_XM, SIGFPE, FPE_FLTINV},
    {X86_CP, SIGSEGV, SI_KERNEL},
};

/* The exception at the context, which is one of host code now: at ENCLU, or at the AEP. */
static void raise_exception(struct host_thread *t, ucontext_t *uc, const struct emu_fault *fault)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const uint64_t address = fault->address & ~(SGX_PAGE_SIZE - 1);
    siginfo_t info = {.si_signo = SIGSEGV, .si_code = SI_KERNEL};
    const bool trap = fault->vector == X86_DB && host_handles(t, SIGTRAP);

    if (regs[REG_RIP] == (greg_t)host_vdso_aep && !trap) {
        regs[REG_RIP] = (greg_t)host_vdso_exception;
        regs[REG_RDI] = fault->vector;
        regs[REG_RSI] = fault->error;
        regs[REG_RDX] = (greg_t)address;
        return;
    }
    for (size_t i = 0; i < sizeof(g_signals) / sizeof(g_signals[0]); i++) {
        if (g_signals[i].vector == fault->vector) {
            info.si_signo = g_signals[i].signo;
            info.si_code = g_signals[i].code;
        }
    }
    if (fault->vector == X86_PF) {
        info.si_addr = (void *)address;
        if (!(fault->error & X86_PF_PRESENT))
            info.si_code = SEGV_MAPERR;
    } else if (info.si_code != SI_KERNEL) {
        info.si_addr = (void *)regs[REG_RIP];
    }
    regs[REG_TRAPNO] = fault->vector;
    regs[REG_ERR] = fault->error;
    regs[REG_CR2] = fault->vector == X86_PF ? (greg_t)address : 0;
    host_deliver(t, info.si_signo, &info, uc);
}

/* ---- ENCLU of the program ---- */

static bool at_enclu(const struct host_thread *t, int signo, const siginfo_t *info,
                     const ucontext_t *uc)
{
    static const uint8_t enclu[ENCLU_SIZE] = {0x0f, 0x01, 0xd7};
    const greg_t *regs = uc->uc_mcontext.gregs;
    uint8_t code[ENCLU_SIZE];

    if ((signo != SIGILL && signo != SIGSEGV) || info->si_code <= 0)
        return false;
    /* A processor that has SGX raises #GP, or #PF with the SGX bit. */
    if (signo == SIGSEGV && regs[REG_TRAPNO] != X86_GP &&
        !(regs[REG_TRAPNO] == X86_PF && (regs[REG_ERR] & X86_PF_SGX)))
        return false;
    return host_read(t, code, (uint64_t)regs[REG_RIP], sizeof(code)) == 0 &&
           memcmp(code, enclu, sizeof(code)) == 0;
}

void host_load(greg_t *regs, const struct emu_image *i)
{
    regs[REG_R15] = (greg_t)i->r15;
    regs[REG_R14] = (greg_t)i->r14;
    regs[REG_R13] = (greg_t)i->r13;
    regs[REG_R12] = (greg_t)i->r12;
    regs[REG_R11] = (greg_t)i->r11;
    regs[REG_R10] = (greg_t)i->r10;
    regs[REG_R9] = (greg_t)i->r9;
    regs[REG_R8] = (greg_t)i->r8;
    regs[REG_RDI] = (greg_t)i->rdi;
    regs[REG_RSI] = (greg_t)i->rsi;
    regs[REG_RBP] = (greg_t)i->rbp;
    regs[REG_RBX] = (greg_t)i->rbx;
    regs[REG_RDX] = (greg_t)i->rdx;
    regs[REG_RCX] = (greg_t)i->rcx;
    regs[REG_RAX] = (greg_t)i->rax;
    regs[REG_RSP] = (greg_t)i->rsp;
    regs[REG_RIP] = (greg_t)i->rip;
    regs[REG_EFL] = (greg_t)i->rflags;
}

/* after: the address behind it */
static void do_enclu(struct host_thread *t, ucontext_t *uc, uint64_t after)
{
    uint8_t xsave[EMU_XSAVE_SIZE] __attribute__((aligned(64)));
    greg_t *r = uc->uc_mcontext.gregs;
    struct emu_image image = {(uint64_t)r[REG_R15],
                              (uint64_t)r[REG_R14],
                              (uint64_t)r[REG_R13],
                              (uint64_t)r[REG_R12],
                              (uint64_t)r[REG_R11],
                              (uint64_t)r[REG_R10],
                              (uint64_t)r[REG_R9],
                              (uint64_t)r[REG_R8],
                              (uint64_t)r[REG_RDI],
                              (uint64_t)r[REG_RSI],
                              (uint64_t)r[REG_RBP],
                              (uint64_t)r[REG_RBX],
                              (uint64_t)r[REG_RDX],
                              (uint64_t)r[REG_RCX],
                              (uint64_t)r[REG_RAX],
                              (uint64_t)r[REG_RIP],
                              .rflags = (uint64_t)r[REG_EFL],
                              .rsp = (uint64_t)r[REG_RSP]};

    if (!emu_enclu(&image, xsave)) {
        const struct emu_fault fault = {(uint8_t)image.rdi, (uint32_t)image.rsi, image.rdx};
        raise_exception(t, uc, &fault);
        return;
    }
    t->host_fs = t->now_fs;
    t->host_gs = t->now_gs;
    t->now_fs = image.fsbase;
    t->now_gs = image.gsbase;
    if (image.rcx == (uint64_t)emu_exit) /* EENTER: where to EEXIT to, as the processor says */
        image.rcx = after;
    host_load(r, &image);
    if (image.xfrm)
        host_xsave_store(uc, xsave, image.xfrm);
}

/* ---- the enclave ---- */

static void leave(struct host_thread *t)
{
    t->now_fs = t->host_fs;
    t->now_gs = t->host_gs;
}

/* Where an ENCLU was made a jump, RIP may be on its way. */
static void settle_rip(struct host_thread *t, int signo, ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const uint64_t rip = (uint64_t)regs[REG_RIP], origin = host_gate_origin(rip);

    t->core.rewritten = 0;
    if (host_enclu_committed(rip))
        regs[REG_RIP] = (greg_t)emu_crit_start;
    if (origin == rip)
        return;
    regs[REG_RIP] = (greg_t)origin;
    if (signo == SIGILL) /* not EEXIT, or not at once */
        t->core.rewritten = origin;
}

static void in_enclave(struct host_thread *t, int signo, siginfo_t *info, ucontext_t *uc)
{
    if (host_eexit_finish(t, uc)) {
        if (signo != SIGILL || info->si_code <= 0)
            host_deliver(t, signo, info, uc);
        return;
    }
    settle_rip(t, info->si_code > 0 ? signo : 0, uc);
    const uint32_t leaf = (uint32_t)uc->uc_mcontext.gregs[REG_RAX];
    const uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
    /* These allocate: see g_host_lock. */
    const bool locks = info->si_code > 0 && (leaf == SGX_EREPORT || leaf == SGX_EGETKEY);
    struct emu_fault fault;

    t->core.enc_fs = t->now_fs;
    t->core.enc_gs = t->now_gs;
    if (locks)
        emu_word_lock(&g_host_lock);
    const enum emu_verdict v = emu_signal_judge(signo, info, uc, &t->core, &fault);
    if (locks)
        emu_word_unlock(&g_host_lock);
    switch (v) {
    case EMU_SETTLED:
        t->now_fs = t->core.enc_fs;
        t->now_gs = t->core.enc_gs;
        return;
    case EMU_LEFT:
        leave(t);
        host_gate_enclu_hit(rip, t->core.enclave);
        return;
    default:
        emu_aex(&t->core, uc, v == EMU_EXCEPTION ? &fault : NULL, false);
        leave(t);
        if (v == EMU_EXCEPTION)
            raise_exception(t, uc, &fault);
        else
            host_deliver(t, signo, info, uc);
    }
}

void host_signal(int signo, siginfo_t *info, ucontext_t *uc, struct host_thread *t)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const bool fault = info->si_code > 0;
    uint64_t after;

    if (t->core.magic != EMU_THREAD_MAGIC)
        emu_die("a signal on a stack that is none of sgx-emulate's");
    if (signo == SIGTRAP && fault && host_site_trap(t, uc))
        return;
    if (t->core.tcs) {
        in_enclave(t, signo, info, uc);
        return;
    }
    (void)host_eexit_finish(t, uc);
    if ((after = host_enclu_rewind(t, uc)) && fault && (HOST_SYNCHRONOUS & SIGNAL_BIT(signo))) {
        do_enclu(t, uc, after); /* it is for us, or its stack is not there */
        return;
    }
    if (signo == SIGSYS && info->si_code == SYS_USER_DISPATCH) {
        host_call(t, uc);
        return;
    }
    if (signo == SIGILL && fault && (after = host_gate_seen((uint64_t)regs[REG_RIP]))) {
        regs[REG_RIP] = (greg_t)after;
        host_call(t, uc);
        return;
    }
    if (at_enclu(t, signo, info, uc)) {
        after = (uint64_t)regs[REG_RIP] + ENCLU_SIZE;
        do_enclu(t, uc, after);
        if (t->core.tcs)
            host_gate_enclu_hit(after - ENCLU_SIZE, NULL);
        return;
    }
    if (signo == SIGSEGV && fault && (host_cpuid(uc, t) || emu_host_reads_enclave(uc)))
        return;
    if (signo == SIGILL && fault && host_process_exec_failed(t, uc))
        return;
    regs[REG_RIP] = (greg_t)host_gate_origin((uint64_t)regs[REG_RIP]);
    host_deliver(t, signo, info, uc);
}
