/* SPDX-License-Identifier: Apache-2.0 */
/* System calls by number. The tables of libos/calls are the only place that says what there is. */
#include "exception.h"
#include "lib.h"
#include "newer.h"
#include "process.h"
#include "start.h"
#include "decode.h"
#include "syscall_names.h" /* generated: SYSCALL_COUNT, g_syscall_names */
#include "tcb.h"
#include "trace.h"
#include <asm/signal.h>
#include <asm-generic/siginfo.h>

static long (*const g_table[SYSCALL_COUNT])(const struct uregs *regs) = {
#define CALL(name, status, note, ...)  [__NR_##name] = decode_##name,
#define REFUSE(name, error, note, ...) [__NR_##name] = decode_##name,
#include "calls.h"
#undef CALL
#undef REFUSE
};

static u8 g_logged[SYSCALL_COUNT]; /* missing calls that were logged */

static long missing(u64 number)
{
    if (number < SYSCALL_COUNT && __atomic_exchange_n(&g_logged[number], 1, __ATOMIC_RELAXED) == 0)
        log_warn("system call %s is not there: ENOSYS", g_syscall_names[number]);
    return -ENOSYS;
}

static inline long run(struct thread *t, struct uregs *regs)
{
    u64 number;
    long r;

    if (unlikely(t->tracee != NULL) && !tracee_call_begin(t, regs))
        return (long)regs->rax;
    number = regs->orig_rax;
    if (unlikely(t->seccomp_mode != 0) && !seccomp_allows(t, regs, &r))
        return r;
    if (unlikely(number >= SYSCALL_COUNT || g_table[number] == NULL))
        return missing(number);
    return g_table[number](regs);
}

/* Not inlined: others need no room on the stack for a line. */
static __attribute__((noinline)) long run_traced(struct thread *t, struct uregs *regs)
{
    u64 number = regs->orig_rax;
    struct trace_line line;
    long r;

    if (!trace_wants(number))
        return run(t, regs);
    trace_begin(&line, number, regs);
    r = run(t, regs);
    trace_end(&line, r);
    return r;
}

static __attribute__((noinline)) long run_slowly(struct thread *t, struct uregs *regs, bool timed)
{
    u32 weight = timed ? cpu_sample_begin() : 0;
    long r = g_tracing ? run_traced(t, regs) : run(t, regs);

    if (timed)
        cpu_sample_end(weight);
    return r;
}

void syscall_dispatch(struct uregs *regs)
{
    struct thread *t = current();
    bool timed;
    long r;

    t->regs = regs;
    t->fs_base = read_fs_base();
    timed = t->untimed-- == 0;
    r = unlikely(timed || g_tracing) ? run_slowly(t, regs, timed) : run(t, regs);
    regs->rax = (u64)r;
    if (unlikely(r <= -ERESTARTSYS && r >= -ERESTART_RESTARTBLOCK))
        __atomic_fetch_or(&t->attention, ATTENTION_SIGNAL, __ATOMIC_SEQ_CST);
    if (unlikely(t->tracee != NULL))
        tracee_call_end(t);
}

/* A handler's or a signal frame's address that no program has: the jump there would be ours. */
static bool is_nowhere(u64 rip)
{
    return rip - g_layout->user_start >= g_layout->user_end - g_layout->user_start;
}

/* Everything that must hold before user code runs, but the registers themselves. */
void return_prepare(struct uregs *regs)
{
    struct thread *t = current();

    while (
        unlikely(__atomic_load_n(&t->attention, __ATOMIC_SEQ_CST) != 0 || is_nowhere(regs->rip))) {
        t->regs = regs;
        if (t->attention == 0)
            signal_fault(SIGSEGV, SEGV_MAPERR, regs->rip, X86_PF, 0);
        attention_handle(regs);
    }
    vector_restore();
    if (read_fs_base() != t->fs_base)
        write_fs_base(t->fs_base);
}
