/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals. While a thread is in the enclave a signal is one of
 *   a fault that the emulator settles itself   a page not yet raised to what it may be; ENCLU from
 *                                              inside
 *   an exception of enclave code               AEX, and emu_enter_enclave returns with
 *                                              run->exception_*
 *   an interrupt                               AEX, then the host's own handler with the context
 *                                              that hardware shows
 * and in host code it goes straight to the host's handler.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sgx/emulator/emulator.h"

#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif
#define KERNEL_SA_RESTORER 0x04000000ul
#define RED_ZONE           128
#define RFLAGS_TF          0x100

/* The kernel's struct sigaction */
struct kernel_sigaction {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

/* The part of a signal frame that rt_sigreturn reads; glibc's ucontext_t has more behind it. */
#define KERNEL_UCONTEXT_SIZE (offsetof(ucontext_t, uc_sigmask) + sizeof(uint64_t))

struct signal_frame {
    void (*restorer)(void);
    uint8_t context[KERNEL_UCONTEXT_SIZE];
    siginfo_t info;
};

/*
 * The host's handlers. One that was published is never changed nor freed, because a handler may be
 * reading it; a list keeps all there ever were, and the next like it is used again.
 */
struct published {
    struct sigaction act;
    struct published *older;
};
static _Atomic(const struct sigaction *) g_actions[NSIG];
static struct published *g_published;
static pthread_mutex_t g_actions_lock = PTHREAD_MUTEX_INITIALIZER;
static bool g_hosted;
static const int g_exceptions[] = {SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGTRAP, SIGSYS};

static bool is_exception_signal(int signo)
{
    for (size_t i = 0; i < sizeof(g_exceptions) / sizeof(g_exceptions[0]); i++)
        if (g_exceptions[i] == signo)
            return true;
    return false;
}

/* Whatever SA_SIGINFO says: Linux looks at the pointer. */
static bool has_handler(const struct sigaction *act)
{
    return act && act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN;
}

/* Everything is blocked in our part of a handler; the host's part runs with the host's mask. */
static int install(int signo, int flags)
{
    struct kernel_sigaction k = {
        .handler = emu_signal_entry,
        .flags = SA_SIGINFO | SA_ONSTACK | KERNEL_SA_RESTORER |
                 (flags & (SA_RESTART | SA_NOCLDSTOP | SA_NOCLDWAIT)),
        .restorer = emu_restorer,
        .mask = ~0ull,
    };

    return syscall(SYS_rt_sigaction, signo, &k, NULL, sizeof(k.mask)) < 0 ? -errno : 0;
}

static int publish(int signo, const struct sigaction *act)
{
    struct published *p = g_published;

    while (p && (p->act.sa_sigaction != act->sa_sigaction || p->act.sa_flags != act->sa_flags ||
                 memcmp(&p->act.sa_mask, &act->sa_mask, sizeof(uint64_t)) != 0))
        p = p->older;
    if (!p) {
        p = malloc(sizeof(*p));
        if (!p)
            return -ENOMEM;
        p->act = *act;
        p->older = g_published;
        g_published = p;
    }
    atomic_store(&g_actions[signo], &p->act);
    return 0;
}

int emu_sigaction(int signo, const struct sigaction *act, struct sigaction *old)
{
    int rc = 0;

    if (signo < 1 || signo >= NSIG)
        return -EINVAL;
    pthread_mutex_lock(&g_actions_lock);
    const struct sigaction *current = atomic_load(&g_actions[signo]);
    struct sigaction previous = {.sa_handler = SIG_DFL};
    if (current)
        previous = *current;
    else if (sigaction(signo, NULL, &previous) < 0)
        rc = -errno;
    if (rc == 0 && act) {
        rc = publish(signo, act);
        if (rc == 0 && (has_handler(act) || is_exception_signal(signo)))
            rc = install(signo, act->sa_flags);
        else if (rc == 0 && sigaction(signo, act, NULL) < 0)
            rc = -errno;
    }
    if (rc == 0 && old)
        *old = previous;
    pthread_mutex_unlock(&g_actions_lock);
    return rc;
}

void emu_hosted(void)
{
    g_hosted = true;
}

bool emu_is_hosted(void)
{
    return g_hosted;
}

/* Take the signals that exceptions arrive as; what the process had for them is called for host
 * code. */
int emu_signal_setup(struct error *err)
{
    static bool done;
    int rc = 0;

    if (g_hosted)
        return 0;
    pthread_mutex_lock(&g_actions_lock);
    for (size_t i = 0; !done && rc == 0 && i < sizeof(g_exceptions) / sizeof(g_exceptions[0]);
         i++) {
        struct sigaction previous;
        if (atomic_load(&g_actions[g_exceptions[i]])) /* taken by emu_sigaction(): it is ours */
            continue;
        if (sigaction(g_exceptions[i], NULL, &previous) < 0)
            rc = -errno;
        if (rc == 0)
            rc = publish(g_exceptions[i], &previous);
        if (rc == 0)
            rc = install(g_exceptions[i], previous.sa_flags);
    }
    done = rc == 0;
    pthread_mutex_unlock(&g_actions_lock);
    return rc < 0 ? error_errno(err, -rc, "SGX emulator: install signal handlers") : 0;
}

/* ---- the host's part ---- */

static uint64_t *context_mask(void *context)
{
    return (uint64_t *)&((ucontext_t *)context)->uc_sigmask;
}

static uint64_t handler_mask(int signo, const struct sigaction *act, void *context)
{
    uint64_t mask;

    memcpy(&mask, &act->sa_mask, sizeof(mask));
    mask |= *context_mask(context);
    return act->sa_flags & SA_NODEFER ? mask : mask | 1ull << (signo - 1);
}

/* The default of an exception signal: let it happen again, without us. */
static void die_of(int signo, const siginfo_t *info)
{
    struct sigaction act = {.sa_handler = SIG_DFL};

    sigaction(signo, &act, NULL);
    if (info->si_code <= 0)
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signo);
}

/*
 * Call the host's handler for a context that is now one of host code. Without SA_ONSTACK it runs on
 * the stack of that context, as it would had the signal come there: so it may take long, and may
 * enter the enclave again.
 */
static void deliver(int signo, siginfo_t *info, ucontext_t *uc, bool on_signal_stack)
{
    const struct sigaction *act = atomic_load(&g_actions[signo]);

    if (!has_handler(act)) {
        if (!act || act->sa_handler == SIG_DFL || info->si_code > 0)
            die_of(signo, info);
        return;
    }
    uint64_t mask = handler_mask(signo, act, uc);
    if ((act->sa_flags & SA_ONSTACK) || !on_signal_stack) {
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
        act->sa_sigaction(signo, info, uc);
        return;
    }

    uint32_t fp_size = 512;
    memcpy(&fp_size, (uint8_t *)uc->uc_mcontext.fpregs + 468, sizeof(fp_size));
    if (fp_size < 512 || fp_size > 65536)
        fp_size = 512; /* no extended state in the frame */
    uint64_t sp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP] - RED_ZONE;
    sp = (sp - fp_size) & ~63ull;
    void *fp = (void *)sp;
    sp = ((sp - sizeof(struct signal_frame) - sizeof(mask)) & ~15ull) - 8;
    struct signal_frame *frame = (struct signal_frame *)sp;
    memcpy(fp, uc->uc_mcontext.fpregs, fp_size);
    frame->restorer = emu_restorer;
    memcpy(frame->context, uc, sizeof(frame->context));
    frame->info = *info;
    ucontext_t *moved = (ucontext_t *)frame->context;
    moved->uc_mcontext.fpregs = fp;
    uint64_t *kept = (uint64_t *)(frame + 1);
    *kept = mask;
    emu_run_on_stack(frame, act->sa_sigaction, signo, &frame->info, moved, kept);
}

/*
 * Host code that looks into an enclave: on hardware it sees ones, here what is there, as far as the
 * enclave itself may.
 */
bool emu_host_reads_enclave(const ucontext_t *uc)
{
    const greg_t *regs = uc->uc_mcontext.gregs;
    const uint64_t address = (uint64_t)regs[REG_CR2];
    struct sgx_handle *e = regs[REG_TRAPNO] == X86_PF ? emu_find(address) : NULL;
    struct emu_fault fault;

    return e && e->created && (atomic_load(&e->epcm[emu_page(e, address)]) & EPCM_VALID) &&
           emu_access(e, address, regs[REG_ERR] & X86_PF_WRITE ? EPCM_W : EPCM_R, &fault) == 0;
}

void emu_signal_host(int signo, siginfo_t *info, ucontext_t *uc)
{
    struct emu_thread *t = emu_thread_current();
    const uint64_t here = (uint64_t)__builtin_frame_address(0);
    const uint64_t there = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
    const uint64_t block = (uint64_t)t;
    int saved = errno;
    struct emu_fault fault;

    if (t && t->in_leaf && emu_site_signal(t, signo, info, uc, &fault) == EMU_SITE_DEFERRED) {
        errno = saved;
        return;
    }
    if (signo == SIGSEGV && info->si_code > 0 && emu_trap_host(uc)) {
        errno = saved;
        return;
    }
    if (signo == SIGSEGV && info->si_code > 0)
        emu_isolate_check(uc);
    if (signo == SIGSEGV && info->si_code > 0 && emu_host_reads_enclave(uc)) {
        errno = saved;
        return;
    }
    /* On the signal stack, and the interrupted code is not? */
    bool on_signal_stack = t && here - block < EMU_STACK_BLOCK && there - block >= EMU_STACK_BLOCK;
    deliver(signo, info, uc, on_signal_stack);
    errno = saved;
}

/* ---- the enclave's part ---- */

/* What was about to be loaded by enter.S counts as loaded. */
static void roll_forward(struct emu_thread *t, greg_t *regs)
{
    const struct emu_image *i = t->crit;

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
    regs[REG_RIP] = (greg_t)i->rip;
    regs[REG_EFL] = (greg_t)i->rflags;
    regs[REG_RSP] = (greg_t)i->rsp;
    t->enc_fs = i->fsbase;
    t->enc_gs = i->gsbase;
}

static bool is_enclu(struct sgx_handle *e, uint64_t rip)
{
    static const uint8_t enclu[3] = {0x0f, 0x01, 0xd7};
    uint8_t code[sizeof(enclu)];
    struct emu_fault fault;

    return emu_inside(e, rip, sizeof(enclu)) && emu_read(e, rip, code, sizeof(code), &fault) == 0 &&
           memcmp(code, enclu, sizeof(enclu)) == 0;
}

static bool is_opcode(struct sgx_handle *e, uint64_t rip, uint8_t opcode)
{
    struct emu_fault fault;
    uint8_t code;

    return emu_inside(e, rip, 1) && emu_read(e, rip, &code, 1, &fault) == 0 && code == opcode;
}

/*
 * ENCLU outside of a real enclave is #UD on a processor without SGX. One that has it raises #GP, or
 * for EENTER and ERESUME, whose TCS is not in a real EPC, #PF with the SGX bit; also in a virtual
 * machine that is not shown SGX.
 */
static bool is_fault_of_enclu(int signo, const siginfo_t *info, struct emu_thread *t,
                              const greg_t *regs)
{
    const uint64_t rip = (uint64_t)regs[REG_RIP];

    if (signo != SIGSEGV || info->si_code <= 0)
        return false;
    if (regs[REG_TRAPNO] == X86_PF ? !(regs[REG_ERR] & X86_PF_SGX) : regs[REG_TRAPNO] != X86_GP)
        return false;
    return rip == (uint64_t)emu_site_enclu || is_enclu(t->enclave, rip);
}

/* ENCLU at RIP. 1: done, go on in the enclave or, after EEXIT, outside (0); -1: *fault. */
static int run_leaf(struct emu_thread *t, ucontext_t *uc, struct emu_fault *fault)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    struct emu_leaf_regs r = {(uint64_t)regs[REG_RAX], (uint64_t)regs[REG_RBX],
                              (uint64_t)regs[REG_RCX], (uint64_t)regs[REG_RDX],
                              (uint64_t)regs[REG_EFL]};

    if ((uint32_t)r.rax == SGX_EEXIT) {
        if ((int64_t)(r.rbx << 16) >> 16 != (int64_t)r.rbx) {
            *fault = (struct emu_fault){.vector = X86_GP};
            return -1;
        }
        emu_eexit(t, uc);
        return 0;
    }
    if (emu_leaf(t, &r, fault) < 0)
        return -1;
    regs[REG_RAX] = (greg_t)r.rax;
    regs[REG_RBX] = (greg_t)r.rbx;
    regs[REG_RCX] = (greg_t)r.rcx;
    regs[REG_RDX] = (greg_t)r.rdx;
    regs[REG_EFL] = (greg_t)r.rflags;
    regs[REG_RIP] += 3;
    return 1;
}

static enum emu_verdict page_fault(struct emu_thread *t, const greg_t *regs,
                                   struct emu_fault *fault)
{
    const uint32_t error = (uint32_t)regs[REG_ERR];
    const uint64_t address = (uint64_t)regs[REG_CR2];
    uint8_t want = error & X86_PF_WRITE ? EPCM_W : error & X86_PF_INSTR ? EPCM_X : EPCM_R;

    *fault = (struct emu_fault){.vector = X86_PF, .error = error & 0xffff, .address = address};
    if (!emu_inside(t->enclave, address, 1))
        return EMU_EXCEPTION;
    return emu_access(t->enclave, address, want, fault) == 0 ? EMU_SETTLED : EMU_EXCEPTION;
}

static enum emu_verdict judge(int signo, const siginfo_t *info, struct emu_thread *t,
                              ucontext_t *uc, struct emu_fault *fault)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const int trap = (int)regs[REG_TRAPNO];

    if (!is_exception_signal(signo) || info->si_code <= 0)
        return EMU_INTERRUPT;
    *fault = (struct emu_fault){.vector = (uint8_t)trap};
    switch (signo) {
    case SIGSEGV:
    case SIGBUS:
        if (trap == X86_PF)
            return page_fault(t, regs, fault);
        fault->error = (uint32_t)regs[REG_ERR] & 0xffff;
        if (emu_trap_is_undefined(t->enclave, regs))
            *fault = (struct emu_fault){.vector = X86_UD};
        return EMU_EXCEPTION;
    case SIGILL:
        if ((uint64_t)regs[REG_RIP] == t->rewritten ||
            is_enclu(t->enclave, (uint64_t)regs[REG_RIP])) {
            int rc = run_leaf(t, uc, fault);
            return rc < 0 ? EMU_EXCEPTION : rc ? EMU_SETTLED : EMU_LEFT;
        }
        fault->vector = X86_UD;
        return EMU_EXCEPTION;
    case SIGTRAP: /* INT3 is a fault, and after an opt-out entry #UD (SDM volume 3D, "INT3") */
        if (trap != X86_BP)
            return EMU_EXCEPTION;
        regs[REG_RIP] -= is_opcode(t->enclave, (uint64_t)regs[REG_RIP] - 1, 0xcc) ? 1 : 2;
        fault->vector = X86_UD;
        return EMU_EXCEPTION;
    case SIGSYS:
        if (info->si_code != SYS_USER_DISPATCH)
            return EMU_INTERRUPT;
        regs[REG_RIP] -= 2; /* #UD is a fault: RIP is at the instruction */
        fault->vector = X86_UD;
        return EMU_EXCEPTION;
    default:
        return EMU_EXCEPTION;
    }
}

/* ENCLU in sites.S, for a leaf that is not done there. */
static enum emu_verdict site_leaf(struct emu_thread *t, ucontext_t *uc, struct emu_fault *fault)
{
    greg_t *regs = uc->uc_mcontext.gregs;

    if ((uint32_t)regs[REG_RAX] == SGX_EEXIT) {
        regs[REG_RSP] += 8;
        emu_eexit(t, uc);
        return EMU_LEFT;
    }
    if (run_leaf(t, uc, fault) > 0)
        return EMU_SETTLED;
    emu_site_rewind(uc);
    return EMU_EXCEPTION;
}

static enum emu_verdict judge_all(int signo, siginfo_t *info, struct emu_thread *t, ucontext_t *uc,
                                  struct emu_fault *fault)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const uint64_t rip = (uint64_t)regs[REG_RIP];
    const bool own = is_exception_signal(signo) && info->si_code > 0;

    if (rip - (uint64_t)emu_crit_start < (uint64_t)emu_crit_end - (uint64_t)emu_crit_start)
        roll_forward(t, regs);
    switch (emu_site_signal(t, signo, info, uc, fault)) {
    case EMU_SITE_ENCLAVE: /* its own faults: a page of the enclave's stack */
        return own && regs[REG_TRAPNO] == X86_PF ? page_fault(t, regs, fault) : EMU_INTERRUPT;
    case EMU_SITE_HOST:
        return own ? EMU_LEFT : EMU_OUTSIDE;
    case EMU_SITE_DEFERRED:
    case EMU_SITE_RESUMED:
        return EMU_SETTLED;
    case EMU_SITE_FAULT:
        return EMU_EXCEPTION;
    case EMU_SITE_LEAF:
        return site_leaf(t, uc, fault);
    default:
        return judge(signo, info, t, uc, fault);
    }
}

enum emu_verdict emu_signal_judge(int signo, siginfo_t *info, ucontext_t *uc, struct emu_thread *t,
                                  struct emu_fault *fault)
{
    /* After an opt-out entry POPF cannot set TF (SDM volume 3D, "Restriction on Setting of TF"). */
    if (signo == SIGTRAP && info->si_code == TRAP_TRACE) {
        uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)RFLAGS_TF;
        return EMU_SETTLED;
    }
    if (is_fault_of_enclu(signo, info, t, uc->uc_mcontext.gregs))
        signo = SIGILL; /* as if without SGX */
    return judge_all(signo, info, t, uc, fault);
}

/* emu_signal_entry goes by RIP where GS base is 0. But a host can jump anywhere, to NULL say. */
static bool is_jump_of_host(const struct emu_thread *t, const ucontext_t *uc)
{
    return !t->tcs && t->enc_gs == 0 && emu_find((uint64_t)uc->uc_mcontext.gregs[REG_RIP]);
}

/* 1: go on in the enclave, 0: the context is now one of host code. */
int emu_signal_enclave(int signo, siginfo_t *info, ucontext_t *uc, struct emu_thread *t)
{
    struct emu_fault fault;
    int saved = errno;

    if (is_jump_of_host(t, uc)) {
        emu_signal_host(signo, info, uc);
        return 0;
    }
    emu_processor_begin();
    enum emu_verdict v = emu_signal_judge(signo, info, uc, t, &fault);

    if (v == EMU_EXCEPTION || v == EMU_INTERRUPT) {
        /* Linux hands #DB and #BP to the host as SIGTRAP; with nobody there it is more use to the
         * enclave's runtime. */
        bool trap = v == EMU_EXCEPTION && (fault.vector == X86_BP || fault.vector == X86_DB);
        bool reported = v == EMU_EXCEPTION &&
                        !(trap && has_handler(atomic_load(&g_actions[SIGTRAP])));
        emu_aex(t, uc, v == EMU_EXCEPTION ? &fault : NULL, reported);
        if (!reported)
            v = EMU_OUTSIDE;
    }
    emu_processor_end();
    emu_isolate_context(uc, v == EMU_SETTLED);
    if (v == EMU_OUTSIDE)
        deliver(signo, info, uc, true);
    errno = saved;
    return v == EMU_SETTLED;
}
