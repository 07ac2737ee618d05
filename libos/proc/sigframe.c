/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal frames as x86-64 Linux lays them out (struct rt_sigframe, ucontext, XSAVE area with both
 * magic words): glibc, musl, Go and the JVM read and change them. The vector registers are in
 * vector_user_area() while this code runs.
 */
#include "proc.h"
#include <asm/sigcontext.h>
#include <asm/ucontext.h>

struct kernel_ucontext { /* what the kernel writes: an 8-byte mask, not libc's 128 */
    u64 flags, link;
    u64 ss_sp;
    i32 ss_flags;
    u32 ss_pad;
    u64 ss_size;
    struct sigcontext mc;
    u64 sigmask;
};
struct rt_sigframe {
    u64 restorer;
    struct kernel_ucontext uc;
    u8 info[128];
};
_Static_assert(sizeof(struct sigcontext) == 256, "sigcontext layout");
_Static_assert(offsetof(struct rt_sigframe, info) == 8 + 40 + 256 + 8, "frame layout");

#define RED_ZONE             128
#define USER_CS              0x33
#define USER_SS              0x2b
#define XSAVE_LEGACY         512
#define XSAVE_HEADER         64
#define XSAVE_MAX            4096
#define XFEATURES_OURS       0xe7ull /* x87, SSE, AVX, AVX-512: fits an SSA frame of one page */
#define MXCSR_VALID          0xffffu
#define EFLAGS_USER          0x40dd5ull /* AC OF DF TF SF ZF AF PF CF: what sigreturn may change */
#define EFLAGS_HANDLER_CLEAR 0x10500ull /* RF DF TF */
#define SS_ONSTACK           1
#define SS_DISABLE           2
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

struct xsave_area {
    u8 legacy[464];
    struct _fpx_sw_bytes sw;
    u64 xstate_bv, xcomp_bv, reserved[6];
    u8 extended[XSAVE_MAX - 576];
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct xsave_area, xstate_bv) == XSAVE_LEGACY, "xsave layout");

/* Standard-format sizes are architectural in practice: CPUID is not to be had inside. */
static u32 xstate_size(u64 features)
{
    if (features & 0x80)
        return 2688;
    if (features & 0x40)
        return 1664;
    if (features & 0x20)
        return 1152;
    return (features & 4) ? 832 : 576;
}

static u64 xfeatures(void)
{
    return vector_features() & XFEATURES_OURS;
}

size_t signal_frame_max(void)
{
    return RED_ZONE + sizeof(struct rt_sigframe) + xstate_size(xfeatures()) +
           FP_XSTATE_MAGIC2_SIZE + 64 + 16;
}

static bool on_altstack(const struct thread *t, u64 sp)
{
    /* With SS_AUTODISARM the settings are gone while a handler runs, so they never say "on it". */
    if (t->altstack_flags & SS_AUTODISARM)
        return false;
    return t->altstack_size && sp > t->altstack_base && sp - t->altstack_base <= t->altstack_size;
}

static int push_vectors(u64 *sp, u64 *fpstate)
{
    u64 features = xfeatures();
    u32 size = xstate_size(features);
    struct xsave_area *x = page_alloc(1);
    if (!x)
        return -ENOMEM;
    memcpy(x, vector_user_area(), size);
    x->xstate_bv &= features;
    x->xcomp_bv = 0;
    memset(x->reserved, 0, sizeof(x->reserved));
    x->sw = (struct _fpx_sw_bytes){
        .magic1 = FP_XSTATE_MAGIC1,
        .extended_size = size + FP_XSTATE_MAGIC2_SIZE,
        .xfeatures = features,
        .xstate_size = size,
    };
    u32 magic2 = FP_XSTATE_MAGIC2;
    memcpy((u8 *)x + size, &magic2, sizeof(magic2));
    *sp = (*sp - size - FP_XSTATE_MAGIC2_SIZE) & ~63ull;
    *fpstate = *sp;
    int r = copy_to_user(user_at(*sp), x, size + FP_XSTATE_MAGIC2_SIZE);
    page_free(x, 1);
    return r;
}

static void fill_context(struct sigcontext *mc, const struct uregs *r, const struct thread *t,
                         u64 mask, u64 fpstate)
{
    mc->r8 = r->r8;
    mc->r9 = r->r9;
    mc->r10 = r->r10;
    mc->r11 = r->r11;
    mc->r12 = r->r12;
    mc->r13 = r->r13;
    mc->r14 = r->r14;
    mc->r15 = r->r15;
    mc->rdi = r->rdi;
    mc->rsi = r->rsi;
    mc->rbp = r->rbp;
    mc->rbx = r->rbx;
    mc->rdx = r->rdx;
    mc->rax = r->rax;
    mc->rcx = r->rcx;
    mc->rsp = r->rsp;
    mc->rip = r->rip;
    mc->eflags = r->rflags;
    mc->cs = USER_CS;
    mc->ss = USER_SS;
    mc->err = t->fault_error;
    mc->trapno = t->fault_trap;
    mc->oldmask = mask;
    mc->cr2 = t->fault_addr;
    mc->fpstate = (void *)fpstate;
}

int signal_frame_push(struct thread *t, struct uregs *regs, const struct siginfo_k *info,
                      const struct ksigaction *action)
{
    struct rt_sigframe f = {0};
    u64 sp = regs->rsp - RED_ZONE;
    bool switching = (action->flags & SA_ONSTACK) && t->altstack_size && !on_altstack(t, regs->rsp);
    if (!(action->flags & SA_RESTORER))
        return -EFAULT; /* x86-64 has no other way back */
    if (switching)
        sp = t->altstack_base + t->altstack_size;
    bool nested = !switching && on_altstack(t, regs->rsp);

    u64 fpstate = 0;
    int r = push_vectors(&sp, &fpstate);
    if (r < 0)
        return r;
    sp = ((sp - sizeof(f)) & ~15ull) - 8;
    if ((switching || nested) && sp < t->altstack_base)
        return -EFAULT; /* the alternate stack is too small */

    f.restorer = action->restorer;
    f.uc.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    f.uc.ss_sp = t->altstack_base;
    f.uc.ss_size = t->altstack_size;
    f.uc.ss_flags = (i32)(t->altstack_size
                              ? t->altstack_flags | (on_altstack(t, regs->rsp) ? SS_ONSTACK : 0)
                              : SS_DISABLE);
    f.uc.sigmask = t->restore_mask ? t->saved_mask : t->sig_mask;
    fill_context(&f.uc.mc, regs, t, f.uc.sigmask, fpstate);
    siginfo_encode(info, f.info);
    r = copy_to_user(user_at(sp), &f, sizeof(f));
    if (r < 0)
        return r;
    if (t->altstack_flags & SS_AUTODISARM)
        t->altstack_base = t->altstack_size = t->altstack_flags = 0;

    regs->rdi = (u64)info->signo;
    regs->rsi = sp + offsetof(struct rt_sigframe, info);
    regs->rdx = sp + offsetof(struct rt_sigframe, uc);
    regs->rax = 0;
    regs->rip = action->handler;
    regs->rsp = sp;
    regs->rflags &= ~EFLAGS_HANDLER_CLEAR;
    return 0;
}

/* Nothing of what the application wrote may make XRSTOR fault inside the LibOS. */
static void sanitize_vectors(struct xsave_area *x, u64 features, bool extended)
{
    u32 mxcsr;
    memcpy(&mxcsr, x->legacy + 24, sizeof(mxcsr));
    mxcsr &= MXCSR_VALID;
    memcpy(x->legacy + 24, &mxcsr, sizeof(mxcsr));
    x->xstate_bv = extended ? x->xstate_bv & features : 3;
    x->xcomp_bv = 0;
    memset(x->reserved, 0, sizeof(x->reserved));
}

static int pop_vectors(u64 fpstate)
{
    u64 features = xfeatures();
    u32 size = xstate_size(features);
    struct xsave_area *x = page_alloc(1);
    if (!x)
        return -ENOMEM;
    memset(x, 0, sizeof(*x));
    int r = 0;
    if (fpstate == 0) {
        /* As Linux: no state means the initial one. */
        u16 fcw = 0x37f;
        u32 mxcsr = 0x1f80;
        memcpy(x->legacy, &fcw, sizeof(fcw));
        memcpy(x->legacy + 24, &mxcsr, sizeof(mxcsr));
    } else {
        u32 magic2 = 0;
        r = copy_from_user(x, user_at(fpstate), XSAVE_LEGACY);
        bool extended = r == 0 && x->sw.magic1 == FP_XSTATE_MAGIC1 && x->sw.xstate_size == size &&
                        get_user(magic2, user_at(fpstate + size)) == 0 &&
                        magic2 == FP_XSTATE_MAGIC2;
        if (extended)
            r = copy_from_user((u8 *)x + XSAVE_LEGACY, user_at(fpstate + XSAVE_LEGACY),
                               size - XSAVE_LEGACY);
        if (r == 0)
            sanitize_vectors(x, features, extended);
    }
    if (r == 0)
        memcpy(vector_user_area(), x, size);
    page_free(x, 1);
    return r;
}

static void pop_context(struct uregs *r, const struct sigcontext *mc)
{
    r->r8 = mc->r8;
    r->r9 = mc->r9;
    r->r10 = mc->r10;
    r->r11 = mc->r11;
    r->r12 = mc->r12;
    r->r13 = mc->r13;
    r->r14 = mc->r14;
    r->r15 = mc->r15;
    r->rdi = mc->rdi;
    r->rsi = mc->rsi;
    r->rbp = mc->rbp;
    r->rbx = mc->rbx;
    r->rdx = mc->rdx;
    r->rax = mc->rax;
    r->rcx = mc->rcx;
    r->rsp = mc->rsp;
    r->rip = mc->rip;
    r->rflags = (r->rflags & ~EFLAGS_USER) | (mc->eflags & EFLAGS_USER) | 0x202;
    r->orig_rax = (u64)-1;
}

long sys_rt_sigreturn(void)
{
    struct thread *t = current();
    struct uregs *regs = t->regs;
    struct rt_sigframe frame;
    if (copy_from_user(&frame, user_at(regs->rsp - 8), sizeof(frame)) < 0 ||
        pop_vectors((u64)frame.uc.mc.fpstate) < 0) {
        signal_fault(SIGSEGV, SI_KERNEL, 0, 0, 0);
        thread_return_to_user();
    }
    pop_context(regs, &frame.uc.mc);
    mutex_lock(&g_process_lock);
    signal_set_mask_locked(t, frame.uc.sigmask);
    mutex_unlock(&g_process_lock);
    if (!on_altstack(t, regs->rsp)) {
        /* As Linux: what the frame says about the alternate stack is restored, silently when it is
         * nonsense. */
        u32 flags = (u32)frame.uc.ss_flags & ~(u32)SS_ONSTACK;
        bool disable = flags & SS_DISABLE;
        t->altstack_base = disable ? 0 : frame.uc.ss_sp;
        t->altstack_size = disable ? 0 : frame.uc.ss_size;
        t->altstack_flags = disable ? 0 : flags & SS_AUTODISARM;
    }
    if (unlikely(t->tracee != NULL))
        tracee_call_end(t);
    thread_return_to_user();
}

long sys_sigaltstack(uaddr stack, uaddr user_old)
{
    struct thread *t = current();
    stack_t new, old = {0};
    bool active = on_altstack(t, t->regs->rsp);
    old.ss_sp = (void *)t->altstack_base;
    old.ss_size = t->altstack_size;
    old.ss_flags = (int)(t->altstack_size ? t->altstack_flags | (active ? SS_ONSTACK : 0)
                                          : SS_DISABLE);
    if (stack.at) {
        if (get_user(new, stack) < 0)
            return -EFAULT;
        u32 mode = (u32) new.ss_flags & ~SS_AUTODISARM;
        if (active)
            return -EPERM;
        if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE)
            return -EINVAL;
        if (mode == SS_DISABLE) {
            t->altstack_base = t->altstack_size = t->altstack_flags = 0;
        } else {
            if (new.ss_size < MINSIGSTKSZ)
                return -ENOMEM;
            t->altstack_base = (u64) new.ss_sp;
            t->altstack_size = new.ss_size;
            t->altstack_flags = (u32) new.ss_flags &SS_AUTODISARM;
        }
    }
    if (user_old.at && copy_to_user(user_old, &old, sizeof(old)) < 0)
        return -EFAULT;
    return 0;
}
