/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's signals: its handlers, its mask, its alternate stack, which the kernel is not told
 * of. A handler begins as if the kernel had called it: the frame is on the program's own stack, and
 * our frame goes on at the handler.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "sgx/emulate/emulate.h"

#define KERNEL_SA_RESTORER 0x04000000ull
#define RED_ZONE           128
#define SIGSET_SIZE        8ull
#define FP_SOFTWARE_AT     464
#define FP_MAGIC           0x46505853u
#define FP_LEGACY          512u
#define FP_LIMIT           16384u
#define XSAVE_HEADER_AT    512
#define MXCSR_AT           24
#define RFLAGS_HANDLER     (~(greg_t)(0x400 | 0x100 | 0x10000)) /* without DF, TF, RF */
#define KERNEL_UCONTEXT    (offsetof(ucontext_t, uc_sigmask) + sizeof(uint64_t))
#define AUTODISARM         (1u << 31)
#define UNBLOCKABLE        (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))

struct frame {
    uint64_t restorer;
    uint8_t context[KERNEL_UCONTEXT];
    siginfo_t info;
};

static uint64_t *host_mask(ucontext_t *uc)
{
    return (uint64_t *)&uc->uc_sigmask;
}

static uint32_t fp_size(const uint8_t *fp)
{
    uint32_t words[2];

    memcpy(words, fp + FP_SOFTWARE_AT, sizeof(words));
    return words[0] == FP_MAGIC && words[1] > FP_LEGACY && words[1] <= FP_LIMIT ? words[1]
                                                                                : FP_LEGACY;
}

/* Initial vector state, as a handler begins with. */
static void fp_reset(uint8_t *fp)
{
    static const uint8_t none[sizeof(uint64_t)];
    const uint32_t mxcsr = 0x1f80;

    memcpy(fp + MXCSR_AT, &mxcsr, sizeof(mxcsr));
    if (fp_size(fp) > FP_LEGACY)
        memcpy(fp + XSAVE_HEADER_AT, none, sizeof(none));
}

void host_xsave_store(ucontext_t *uc, const uint8_t *xsave, uint64_t xfrm)
{
    uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
    uint8_t software[FP_LEGACY - FP_SOFTWARE_AT];
    uint64_t there, saved;

    memcpy(software, fp + FP_SOFTWARE_AT, sizeof(software));
    if (fp_size(fp) == FP_LEGACY) {
        memcpy(fp, xsave, FP_SOFTWARE_AT);
        return;
    }
    memcpy(&there, fp + XSAVE_HEADER_AT, sizeof(there));
    memcpy(&saved, xsave + XSAVE_HEADER_AT, sizeof(saved));
    memcpy(fp, xsave, emu_xsave_size(xfrm));
    memcpy(fp + FP_SOFTWARE_AT, software, sizeof(software));
    there = (there & ~xfrm) | saved;
    memcpy(fp + XSAVE_HEADER_AT, &there, sizeof(there));
}

static struct host_action action_of(const struct host_thread *t, int signo)
{
    emu_word_lock(&g_host_lock);
    const struct host_action act = t->actions->of[signo];
    emu_word_unlock(&g_host_lock);
    return act;
}

bool host_handles(const struct host_thread *t, int signo)
{
    const struct host_action act = action_of(t, signo);

    return act.handler != (uint64_t)SIG_DFL && act.handler != (uint64_t)SIG_IGN;
}

static long kernel_action(int signo, const struct host_action *act)
{
    return host_syscall(SYS_rt_sigaction, (long)signo, act, 0L, (long)SIGSET_SIZE);
}

static long take_signal(int signo, uint64_t flags)
{
    const struct host_action ours = {
        .handler = (uint64_t)host_signal_entry,
        .flags = SA_SIGINFO | SA_ONSTACK | KERNEL_SA_RESTORER |
                 (flags & (SA_RESTART | SA_NOCLDSTOP | SA_NOCLDWAIT)),
        .restorer = (uint64_t)host_restorer,
        .mask = ~0ull,
    };

    return kernel_action(signo, &ours);
}

int host_signals_setup(void)
{
    for (int signo = 1; signo <= 64; signo++) {
        host_syscall(SYS_rt_sigaction, (long)signo, 0L, &g_host_actions.of[signo],
                     (long)SIGSET_SIZE);
        if (HOST_SYNCHRONOUS & SIGNAL_BIT(signo)) {
            const long rc = take_signal(signo, 0);
            if (rc < 0)
                return (int)rc;
        }
    }
    return 0;
}

/* End as the kernel would end it. */
static void die_of(struct host_thread *t, int signo, ucontext_t *uc)
{
    const struct host_action plain = {.restorer = (uint64_t)host_restorer,
                                      .flags = KERNEL_SA_RESTORER};

    kernel_action(signo, &plain);
    *host_mask(uc) &= ~SIGNAL_BIT(signo);
    host_syscall(SYS_tgkill, host_syscall(SYS_getpid), host_syscall(SYS_gettid), (long)signo);
}

static bool on_stack(const struct host_thread *t, uint64_t sp)
{
    return !(t->stack.flags & (SS_DISABLE | AUTODISARM)) && sp > t->stack.sp &&
           sp - t->stack.sp <= t->stack.size;
}

static uint64_t stack_top(const struct host_thread *t, const struct host_action *act, uint64_t sp)
{
    if ((act->flags & SA_ONSTACK) && !(t->stack.flags & SS_DISABLE) && !on_stack(t, sp))
        return t->stack.sp + t->stack.size;
    return sp - RED_ZONE;
}

static int push_frame(struct host_thread *t, const struct host_action *act, const siginfo_t *info,
                      ucontext_t *uc, uint64_t *at)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
    const uint32_t size = fp_size(fp);
    struct frame frame = {.restorer = act->restorer, .info = *info};
    uint64_t sp = stack_top(t, act, (uint64_t)regs[REG_RSP]);
    ucontext_t moved;

    sp = (sp - size) & ~63ull;
    memcpy(&moved, uc, KERNEL_UCONTEXT);
    moved.uc_mcontext.fpregs = (void *)sp;
    moved.uc_stack.ss_sp = (void *)t->stack.sp;
    moved.uc_stack.ss_flags = (int)t->stack.flags;
    moved.uc_stack.ss_size = t->stack.size;
    *host_mask(&moved) |= t->blocked;
    memcpy(frame.context, &moved, KERNEL_UCONTEXT);
    if (host_write(t, sp, fp, size) < 0)
        return -EFAULT;
    *at = ((sp - sizeof(frame)) & ~15ull) - 8;
    return host_write(t, *at, &frame, sizeof(frame));
}

static void set_mask(struct host_thread *t, ucontext_t *uc, uint64_t mask)
{
    const uint64_t open = t->pending & ~mask;

    mask &= ~UNBLOCKABLE;
    *host_mask(uc) = mask & ~HOST_SYNCHRONOUS;
    t->blocked = mask & HOST_SYNCHRONOUS;
    for (int signo = 1; open && signo <= 64; signo++)
        if (open & SIGNAL_BIT(signo))
            host_syscall(SYS_tgkill, host_syscall(SYS_getpid), host_syscall(SYS_gettid),
                         (long)signo);
    t->pending &= ~open;
}

void host_deliver(struct host_thread *t, int signo, const siginfo_t *info, ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const bool forced = info->si_code > 0 && (HOST_SYNCHRONOUS & SIGNAL_BIT(signo));
    const struct host_action act = action_of(t, signo);
    uint64_t at;

    if (t->blocked & SIGNAL_BIT(signo)) {
        if (forced)
            die_of(t, signo, uc);
        else
            t->pending |= SIGNAL_BIT(signo);
        return;
    }
    if (act.handler == (uint64_t)SIG_IGN && !forced)
        return;
    if (act.handler == (uint64_t)SIG_DFL || act.handler == (uint64_t)SIG_IGN) {
        die_of(t, signo, uc);
        return;
    }
    if (!(act.flags & KERNEL_SA_RESTORER) || push_frame(t, &act, info, uc, &at) < 0) {
        die_of(t, SIGSEGV, uc);
        return;
    }
    const uint64_t mask = *host_mask(uc) | t->blocked | act.mask |
                          (act.flags & SA_NODEFER ? 0 : SIGNAL_BIT(signo));
    if (t->stack.flags & AUTODISARM)
        t->stack.flags = SS_DISABLE;
    if (act.flags & SA_RESETHAND) {
        emu_word_lock(&g_host_lock);
        t->actions->of[signo].handler = (uint64_t)SIG_DFL;
        emu_word_unlock(&g_host_lock);
    }
    set_mask(t, uc, mask);
    regs[REG_RIP] = (greg_t)act.handler;
    regs[REG_RSP] = (greg_t)at;
    regs[REG_RDI] = signo;
    regs[REG_RSI] = (greg_t)(at + offsetof(struct frame, info));
    regs[REG_RDX] = (greg_t)(at + offsetof(struct frame, context));
    regs[REG_RAX] = 0;
    regs[REG_EFL] &= RFLAGS_HANDLER;
    fp_reset((uint8_t *)uc->uc_mcontext.fpregs);
}

/* ---- the program's calls ---- */

/* The frame that the program returns from becomes ours, whose mask and stack stay. */
void host_sigreturn(struct host_thread *t, ucontext_t *uc)
{
    uint8_t legacy[FP_LEGACY];
    ucontext_t theirs;
    uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
    greg_t *to = uc->uc_mcontext.gregs;

    if (host_read(t, &theirs, (uint64_t)to[REG_RSP], KERNEL_UCONTEXT) < 0) {
        die_of(t, SIGSEGV, uc);
        return;
    }
    const greg_t *from = theirs.uc_mcontext.gregs;
    for (unsigned i = REG_R8; i <= REG_EFL; i++)
        to[i] = from[i];
    const uint64_t their_fp = (uint64_t)theirs.uc_mcontext.fpregs;
    if (!their_fp) {
        fp_reset(fp);
    } else if (host_read(t, legacy, their_fp, sizeof(legacy)) < 0) {
        die_of(t, SIGSEGV, uc);
    } else if (fp_size(legacy) == fp_size(fp)) {
        if (host_read(t, fp, their_fp, fp_size(fp)) < 0)
            die_of(t, SIGSEGV, uc);
    } else {
        memcpy(fp, legacy, FP_SOFTWARE_AT);
    }
    t->stack.sp = (uint64_t)theirs.uc_stack.ss_sp;
    t->stack.flags = (uint64_t)(unsigned)theirs.uc_stack.ss_flags;
    t->stack.size = theirs.uc_stack.ss_size;
    set_mask(t, uc, *host_mask(&theirs));
}

long host_sigaction(struct host_thread *t, int signo, uint64_t act, uint64_t old, uint64_t size)
{
    struct host_action fresh, previous;
    long rc = 0;

    if (size != SIGSET_SIZE || signo < 1 || signo > 64 ||
        (act && (signo == SIGKILL || signo == SIGSTOP)))
        return -EINVAL;
    if (act && host_read(t, &fresh, act, sizeof(fresh)) < 0)
        return -EFAULT;
    emu_word_lock(&g_host_lock);
    previous = t->actions->of[signo];
    if (act) {
        const bool plain = fresh.handler == (uint64_t)SIG_DFL || fresh.handler == (uint64_t)SIG_IGN;
        if (!plain || (HOST_SYNCHRONOUS & SIGNAL_BIT(signo))) {
            rc = take_signal(signo, fresh.flags);
        } else {
            const struct host_action kernel = {.handler = fresh.handler,
                                               .flags = fresh.flags | KERNEL_SA_RESTORER,
                                               .restorer = (uint64_t)host_restorer,
                                               .mask = fresh.mask};
            rc = kernel_action(signo, &kernel);
        }
        if (rc == 0) {
            fresh.mask &= ~UNBLOCKABLE;
            t->actions->of[signo] = fresh;
        }
    }
    emu_word_unlock(&g_host_lock);
    if (rc == 0 && old)
        rc = host_write(t, old, &previous, sizeof(previous));
    return rc;
}

long host_sigprocmask(struct host_thread *t, ucontext_t *uc, int how, uint64_t set, uint64_t old,
                      uint64_t size)
{
    const uint64_t now = *host_mask(uc) | t->blocked;
    uint64_t mask = 0;

    if (size != SIGSET_SIZE)
        return -EINVAL;
    if (set && host_read(t, &mask, set, sizeof(mask)) < 0)
        return -EFAULT;
    if (set) {
        if (how == SIG_BLOCK)
            mask |= now;
        else if (how == SIG_UNBLOCK)
            mask = now & ~mask;
        else if (how != SIG_SETMASK)
            return -EINVAL;
        set_mask(t, uc, mask);
    }
    return old ? host_write(t, old, &now, sizeof(now)) : 0;
}

long host_sigaltstack(struct host_thread *t, const ucontext_t *uc, uint64_t ss, uint64_t old)
{
    const uint64_t sp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
    stack_t fresh, now;

    memset(&now, 0, sizeof(now));
    now.ss_sp = (void *)t->stack.sp;
    now.ss_size = t->stack.size;
    now.ss_flags = (int)(t->stack.flags | (on_stack(t, sp) ? SS_ONSTACK : 0));
    if (ss) {
        if (host_read(t, &fresh, ss, sizeof(fresh)) < 0)
            return -EFAULT;
        const unsigned flags = (unsigned)fresh.ss_flags;
        const unsigned mode = flags & ~AUTODISARM;
        if (on_stack(t, sp))
            return -EPERM;
        if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
            return -EINVAL;
        if (mode != SS_DISABLE && fresh.ss_size < MINSIGSTKSZ)
            return -ENOMEM;
        t->stack.sp = mode == SS_DISABLE ? 0 : (uint64_t)fresh.ss_sp;
        t->stack.size = mode == SS_DISABLE ? 0 : fresh.ss_size;
        t->stack.flags = mode == SS_DISABLE ? SS_DISABLE : flags & AUTODISARM;
    }
    return old ? host_write(t, old, &now, sizeof(now)) : 0;
}
