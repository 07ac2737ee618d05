/* SPDX-License-Identifier: Apache-2.0 */
/* System calls by number. The tables of libos/calls are the only place that says what there is. */
#include "exception.h"
#include "lib.h"
#include "process.h"
#include "start.h"
#include "syscall.h"
#include "syscall_names.h" /* generated: SYSCALL_COUNT, g_syscall_names */
#include "tcb.h"
#include <asm/unistd.h>
#include <asm/signal.h>
#include <asm-generic/siginfo.h>

#define VECTOR_PF 14

static syscall_fn *const g_table[SYSCALL_COUNT] = {
#define S(name, function, status, note) [__NR_##name] = function,
#include "table_proc.h"
#include "table_mm.h"
#include "table_fs.h"
#include "table_net.h"
#undef S
};

static u8 g_logged[SYSCALL_COUNT]; /* missing calls that were logged */

static long missing(u64 number)
{
    if (number < SYSCALL_COUNT && __atomic_exchange_n(&g_logged[number], 1, __ATOMIC_RELAXED) == 0)
        log_warn("system call %s is not there: ENOSYS", g_syscall_names[number]);
    return -ENOSYS;
}

void syscall_dispatch(struct uregs *regs)
{
    struct thread *t = current();
    u64 number = regs->orig_rax;
    syscall_fn *fn = number < SYSCALL_COUNT ? g_table[number] : NULL;
    long r;

    t->regs = regs;
    t->fs_base = read_fs_base();
    if (unlikely(t->seccomp_mode != 0) && !seccomp_allows(t, regs, &r))
        ;
    else if (likely(fn != NULL))
        r = fn((long)regs->rdi, (long)regs->rsi, (long)regs->rdx, (long)regs->r10, (long)regs->r8,
               (long)regs->r9);
    else
        r = missing(number);
    if (unlikely(g_log_level >= LOG_TRACE))
        log_write(LOG_TRACE, "[%d] %s(%lx, %lx, %lx, %lx, %lx, %lx) = %ld", t->tid,
                  number < SYSCALL_COUNT && g_syscall_names[number] != NULL
                      ? g_syscall_names[number]
                      : "?",
                  (unsigned long)regs->rdi, (unsigned long)regs->rsi, (unsigned long)regs->rdx,
                  (unsigned long)regs->r10, (unsigned long)regs->r8, (unsigned long)regs->r9, r);
    regs->rax = (u64)r;
    if (unlikely(r <= -ERESTARTSYS && r >= -ERESTART_RESTARTBLOCK))
        __atomic_fetch_or(&t->attention, ATTENTION_SIGNAL, __ATOMIC_SEQ_CST);
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
            signal_fault(SIGSEGV, SEGV_MAPERR, regs->rip, VECTOR_PF, 0);
        attention_handle(regs);
    }
    vector_restore();
    if (read_fs_base() != t->fs_base)
        write_fs_base(t->fs_base);
}
