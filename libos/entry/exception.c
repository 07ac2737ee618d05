/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions. Stage 1 runs at CSSA 1 on a small stack: it takes what it needs out of the SSA frame
 * and makes ERESUME continue at one of entry.S's entries. Stage 2 runs at CSSA 0 like any LibOS
 * code. Only EXITINFO.VALID says that the processor raised something; an entry at CSSA 1 without it
 * is a kick, or an interrupt that the enclave is told of (aex.c).
 */
#include "exception.h"
#include "host.h"
#include "lib.h"
#include "extable.h"
#include "mm.h"
#include "process.h"
#include "start.h"
#include "tcb.h"
#include "user.h"
#include <asm/signal.h>
#include <asm-generic/siginfo.h>

#define RFLAGS_USER \
    0x40dd5ull /* CF PF AF ZF SF DF OF AC; never TF: single steps are not supported */
#define RED_ZONE 128

#define TAKEN_AWAY \
    "memory of the LibOS is gone: the host took it away, or its EPC is used up by other enclaves"
#define AREA_GONE "the host broke the contract of the boundary: the area is gone"

/* Instructions of LibOS code that may fault: distances from the entry's own fields. */
struct exception_entry {
    i32 instruction, fixup;
    u32 kind; /* EX_* of extable.h */
};
extern const struct exception_entry __ex_table_start[], __ex_table_end[];

static const struct exception_entry *entry_of(u64 rip)
{
    for (const struct exception_entry *e = __ex_table_start; e < __ex_table_end; e++) {
        if ((u64)&e->instruction + (i64)e->instruction == rip)
            return e;
    }
    return NULL;
}

void ssa_save(struct uregs *r, const struct ssa_tail *s)
{
    r->r15 = s->gpr.r15;
    r->r14 = s->gpr.r14;
    r->r13 = s->gpr.r13;
    r->r12 = s->gpr.r12;
    r->rbp = s->gpr.rbp;
    r->rbx = s->gpr.rbx;
    r->r11 = s->gpr.r11;
    r->r10 = s->gpr.r10;
    r->r9 = s->gpr.r9;
    r->r8 = s->gpr.r8;
    r->rax = s->gpr.rax;
    r->rcx = s->gpr.rcx;
    r->rdx = s->gpr.rdx;
    r->rsi = s->gpr.rsi;
    r->rdi = s->gpr.rdi;
    r->orig_rax = (u64)-1;
    r->rip = s->gpr.rip;
    r->rflags = s->gpr.rflags;
    r->rsp = s->gpr.rsp;
}

static void redirect(struct ssa_tail *s, const char *entry, u64 rsp)
{
    s->gpr.rip = (u64)entry;
    s->gpr.rsp = rsp;
    s->gpr.rflags = 2;
}

/* Of what was interrupted, and of t->resume where that is what aex.c was about to go back to. */
static void to_panic(struct ssa_tail *s, const struct fault_info *fault, u64 uregs)
{
    struct kernel_frame *frame = (struct kernel_frame *)(uregs - sizeof(*frame));

    ssa_save(&frame->regs, s);
    frame->fault = *fault;
    redirect(s, panic_entry, (u64)frame);
}

/*
 * On the way back to t->resume a page was not there. One of a process may come, or the process
 * hears of it by its own access to it; the LibOS's own are gone.
 */
static void fault_on_the_way(struct tcb *t, struct ssa_tail *s, const struct fault_info *fault,
                             u64 uregs)
{
    if (fault->vector != X86_PF || fault->addr >= (u64)__libos_start ||
        !is_user_code(t->resume.rip)) {
        to_panic(s, fault, uregs);
        return;
    }
    *(struct uregs *)uregs = t->resume;
    t->fault = *fault;
    redirect(s, touch_fault_entry, uregs);
}

/*
 * Where the enclave is told of AEX it hears of the faults that Linux has seen to as well: a page of
 * the LibOS that comes back into the EPC, one of the host that was not mapped yet. So the access is
 * run again; but not for ever, for the page may not be there by the LibOS's own mistake, or the
 * host's will.
 */
#define PATIENCE 64

static bool is_again(struct tcb *t, const struct ssa_tail *s, const struct fault_info *fault)
{
    u64 page = fault->addr & ~(PAGE_SIZE - 1);
    const struct exception_entry *e;

    if (fault->vector != X86_PF || fault->addr < (u64)__libos_start ||
        (is_user_code(s->gpr.rip) && page != (u64)t)) /* a rewritten call site reads that */
        return false;
    e = entry_of(s->gpr.rip);
    if (e != NULL && e->kind == EX_KIND_ENCLU && page == s->gpr.rcx)
        return false; /* it may never have been there */
    if (page != t->away_page)
        t->patience = 0;
    t->away_page = page;
    return t->patience++ < PATIENCE;
}

/* What ERESUME is to continue with. */
static void judge(struct tcb *t, struct ssa_tail *s)
{
    bool real = (s->gpr.exitinfo & SGX_EXITINFO_VALID) != 0;
    struct fault_info fault = {s->gpr.exitinfo & 0xff, 0, 0};
    u64 uregs = t->head.stack_top - UREGS_FRAME;
    struct kernel_frame *frame;

    if (fault.vector == X86_PF || fault.vector == X86_GP) {
        fault.error_code = s->exinfo.errcd;
        fault.addr = s->exinfo.maddr;
    }
    s->gpr.exitinfo = 0; /* a second entry on this frame must not see it again */
    t->aex++;
    if (t->current == NULL && !real)
        return;
    if (real && is_told(s) && is_again(t, s, &fault))
        return;
    t->patience = 0;
    if (is_aex_code(s->gpr.rip)) {
        if (real)
            fault_on_the_way(t, s, &fault, uregs);
        return;
    }
    if (is_user_code(s->gpr.rip)) {
        if (!real && is_told(s)) /* aex_touch() looks whether it is a kick */
            return;
        ssa_save((struct uregs *)uregs, s);
        t->fault = fault;
        t->careful = is_told(s);
        t->bare = false;
        redirect(s, real ? fault_entry : attention_entry, uregs);
        return;
    }
    if (!real) {
        if (s->gpr.rip >= (u64)user_window_start && s->gpr.rip < (u64)user_window_end)
            redirect(s, user_window_restart, uregs);
        return;
    }
    frame = (struct kernel_frame *)((s->gpr.rsp - RED_ZONE - sizeof(*frame)) & ~15ul);
    if ((u64)frame < t->head.stack_top - LAYOUT_STACK_SIZE || (u64)frame >= t->head.stack_top) {
        /* of entry.S, where RSP is the host's or the application's, or it overflowed */
        to_panic(s, &fault, uregs);
        return;
    }
    ssa_save(&frame->regs, s);
    frame->fault = fault;
    redirect(s, kernel_fault_entry, (u64)frame);
}

/* True: it is resumed inside (aex_resume of entry.S), false: by the host's ERESUME. */
bool exception_stage1(void)
{
    struct tcb *t = tcb();

    judge(t, ssa_tail(t));
    return aex_take(t);
}

/*
 * Who can have made a page fault is decided by the LibOS's own tables alone, for the host makes one
 * at any address by its page tables:
 *   of a process   mm says: the page may be there, and the access goes on; or it may not be, and
 *                  the process hears of it; or it cannot be had (no memory, a host that refuses),
 *                  and the process is killed, for a call that fails in place of that is the
 *                  host's to choose
 *   outside        host memory that went away: the copy ends, as its callers expect
 *   of a process, from LibOS code without an entry in the exception table: that page is there
 *   of the LibOS   nothing there ever faults; only the host can take it away: the enclave ends
 */
static int process_page(struct thread *t, const struct fault_info *f)
{
    u32 flags = ((f->error_code & X86_PF_WRITE) != 0 ? FAULT_WRITE : 0) |
                ((f->error_code & X86_PF_INSTR) != 0 ? FAULT_EXEC : 0);
    int r = mm_fault(t->mm, f->addr, flags);

    return r == 0 || r == -EFAULT || r == -EACCES || r == -EIO ? r : -ENOMEM;
}

/* Code that mm may be running itself. */
static bool is_of_mm(const struct exception_entry *e)
{
    return e == NULL || e->kind == EX_KIND_ENCLU || e->kind == EX_KIND_HOST;
}

static bool is_outside_elrange(u64 addr)
{
    return addr >= ((const struct enclave_layout *)tcb()->head.layout)->size;
}

/* Does LibOS code go on after this fault, at its instruction or (*fixup) at the fix-up of e? e is
 * NULL for an instruction without entry. */
static bool repairable(const struct exception_entry *e, const struct kernel_frame *frame,
                       bool *fixup)
{
    const struct fault_info *f = &frame->fault;
    struct thread *t = current();
    int r;

    *fixup = false;
    /* The LibOS's own access to a page of a process, which it put there; so too what EACCEPTCOPY
     * reads, and what is copied from a file of the host. */
    if (is_of_mm(e) && f->vector == X86_PF && f->addr < (u64)__libos_start &&
        mm_page_there(f->addr, (f->error_code & X86_PF_WRITE) != 0))
        return true;
    if (e == NULL)
        return false;
    *fixup = true;
    if (e->kind == EX_KIND_PROBE)
        return f->vector == X86_UD;
    if (e->kind == EX_KIND_ENCLU) /* the page that it is about; #GP: the processor's own conflict */
        return f->vector == X86_GP ||
               (f->vector == X86_PF && (f->addr & ~(PAGE_SIZE - 1)) == frame->regs.rcx);
    if (f->vector != X86_PF)
        return false;
    if (is_outside_elrange(f->addr))
        return true;
    if (f->addr >= (u64)__libos_start || t == NULL || t->mm == NULL)
        return false;
    r = process_page(t, f);
    if (r == -ENOMEM)
        __atomic_fetch_or(&t->attention, ATTENTION_MEMORY, __ATOMIC_SEQ_CST);
    *fixup = r != 0;
    return true;
}

/* A fault of LibOS code on its own stack. */
void kernel_fault(struct kernel_frame *frame)
{
    const struct exception_entry *e = entry_of(frame->regs.rip);
    bool fixup;

    if (!repairable(e, frame, &fixup))
        panic_fault(frame);
    if (fixup)
        frame->regs.rip = (u64)&e->fixup + (i64)e->fixup;
}

/* Pages that only the host can take away: the LibOS's, and those where calls meet the host. All
 * else is the LibOS's own fault. */
static const char *cause(const struct fault_info *f)
{
    if (f->vector == X86_PF && f->addr >= (u64)__libos_start && !is_outside_elrange(f->addr))
        return TAKEN_AWAY;
    if (f->vector == X86_PF && f->addr - (u64)tcb()->area < sizeof(struct boundary_area))
        return AREA_GONE;
    return "LibOS fault";
}

void panic_fault(struct kernel_frame *frame)
{
    static u32 looked;
    const char *what = cause(&frame->fault);
    const struct uregs *r = &frame->regs;
    const u64 *fp = (const u64 *)r->rbp;
    u64 top = tcb()->head.stack_top, base = (u64)__libos_start;
    char trace[160] = "";
    size_t n = 0;

    /* The stack itself may be what is wrong. */
    if (!g_panic_details || __atomic_exchange_n(&looked, 1, __ATOMIC_SEQ_CST) != 0)
        panic("%s", what);
    for (int i = 0; i < 8 && (u64)fp >= top - LAYOUT_STACK_SIZE && (u64)fp < top - 16; i++) {
        n += (size_t)snprintf(trace + n, sizeof(trace) - n, " %lx", (unsigned long)(fp[1] - base));
        if (fp[0] <= (u64)fp || n >= sizeof(trace))
            break;
        fp = (const u64 *)fp[0];
    }
    panic("%s: vector %u error %x addr %lx at +%lx; called from%s; rsp %lx rax %lx rbx %lx rcx %lx "
          "rdx %lx rsi %lx rdi %lx",
          what, frame->fault.vector, frame->fault.error_code, (unsigned long)frame->fault.addr,
          (unsigned long)(r->rip - base), trace, (unsigned long)r->rsp, (unsigned long)r->rax,
          (unsigned long)r->rbx, (unsigned long)r->rcx, (unsigned long)r->rdx,
          (unsigned long)r->rsi, (unsigned long)r->rdi);
}

/* A page that the way back to user code needed (fault_on_the_way). */
void touch_fault(struct uregs *regs)
{
    struct thread *t = current();
    int r;

    t->regs = regs;
    t->fs_base = read_fs_base();
    r = process_page(t, &tcb()->fault);
    tcb()->careful = true;
    tcb()->bare = r != 0;
    if (r == -ENOMEM)
        __atomic_fetch_or(&t->attention, ATTENTION_MEMORY, __ATOMIC_SEQ_CST);
}

static void page_fault(const struct fault_info *f)
{
    struct thread *t = current();
    int r = -EFAULT;

    if (f->addr < (u64)__libos_start)
        r = process_page(t, f);
    else if ((f->addr & ~(PAGE_SIZE - 1)) == (u64)tcb()) /* a rewritten call site reads it */
        panic(TAKEN_AWAY);
    if (r == 0)
        return;
    log_debug("page fault at %lx error %x: %d, rip %lx", (unsigned long)f->addr, f->error_code, r,
              (unsigned long)tcb_uregs()->rip);
    if (r == -ENOMEM)
        __atomic_fetch_or(&t->attention, ATTENTION_MEMORY, __ATOMIC_SEQ_CST);
    else if (r == -EIO)
        signal_fault(SIGBUS, BUS_ADRERR, f->addr, X86_PF, f->error_code);
    else
        signal_fault(SIGSEGV, r == -EACCES ? SEGV_ACCERR : SEGV_MAPERR, f->addr, X86_PF,
                     f->error_code);
}

/* #UD: a system call instruction, an instruction that enclaves may not use, or a real one. */
static void undefined_instruction(struct uregs *regs)
{
    u8 code[2] = {0, 0};

    /* Not #BP: an enclave that is not being debugged raises #UD for INT3 (SDM volume 3D). */
    if (copy_from_user(code, user_at(regs->rip), 1) == 0 && code[0] == 0xcc) {
        if (step_hit(current(), regs->rip))
            return;
        regs->rip++;
        signal_fault(SIGTRAP, SI_KERNEL, 0, X86_BP, 0);
        return;
    }
    if (copy_from_user(code, user_at(regs->rip), 2) == 0 && code[0] == 0x0f) {
        switch (code[1]) {
        case 0x05: /* syscall */
            regs->rip += 2;
            regs->rcx = regs->rip;
            regs->r11 = regs->rflags;
            regs->orig_rax = regs->rax;
            tcb()->syscalls_trapped++;
            syscall_dispatch(regs);
            return;
        case 0xa2: /* cpuid */
            exception_cpuid(regs);
            regs->rip += 2;
            return;
        case 0x31: /* rdtsc */
            exception_rdtsc(regs);
            regs->rip += 2;
            return;
        }
    }
    signal_fault(SIGILL, ILL_ILLOPN, regs->rip, X86_UD, 0);
}

void fault_user(struct uregs *regs)
{
    static const struct {
        u8 vector, signal, code;
    } map[] = {
        {X86_DE, SIGFPE, FPE_INTDIV}, {X86_DB, SIGTRAP, TRAP_TRACE}, {X86_BP, SIGTRAP, SI_KERNEL},
        {X86_BR, SIGSEGV, SI_KERNEL}, {X86_GP, SIGSEGV, SI_KERNEL},  {X86_MF, SIGFPE, FPE_FLTINV},
        {X86_AC, SIGBUS, BUS_ADRALN}, {X86_XM, SIGFPE, FPE_FLTINV},
    };
    struct thread *t = current();
    struct fault_info f = tcb()->fault;

    t->regs = regs;
    t->fs_base = read_fs_base();
    regs->rflags &= RFLAGS_USER;
    if (f.vector == X86_PF) {
        page_fault(&f);
        return;
    }
    if (f.vector == X86_UD) {
        undefined_instruction(regs);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
        if (map[i].vector == f.vector) {
            bool at = f.vector != X86_GP && f.vector != X86_BP;

            signal_fault(map[i].signal, map[i].code, at ? regs->rip : 0, f.vector, f.error_code);
            return;
        }
    }
    signal_fault(SIGSEGV, SI_KERNEL, 0, f.vector, f.error_code);
}
