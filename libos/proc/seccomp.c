/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp: filters that programs give themselves. Each thread has a chain of them, newest first, of
 * which children get references; a chain is never changed, so who runs it needs no lock. The most
 * severe answer of the chain counts. Source: seccomp(2).
 *
 * They protect a program from itself, as on Linux; what protects the enclave is elsewhere.
 */
#include "proc.h"
#include "bpf.h"
#include <asm/unistd.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/prctl.h>

#define CHAIN_MAX   32768u /* instructions of a chain; each filter counts 4 more */
#define SYS_SECCOMP 1      /* si_code */
#define FLAGS_KNOWN                                                                         \
    (SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW | \
     SECCOMP_FILTER_FLAG_TSYNC_ESRCH)

struct seccomp_filter {
    struct refcount refs;
    struct seccomp_filter *next; /* older: one reference */
    u32 count, total;            /* instructions here, and in the chain */
    struct sock_filter code[];
};

void seccomp_put(struct seccomp_filter *f)
{
    while (f && ref_put(&f->refs)) {
        struct seccomp_filter *next = f->next;
        kfree(f);
        f = next;
    }
}

void seccomp_copy(struct thread *to, const struct thread *from)
{
    mutex_lock(&g_process_lock);
    struct seccomp_filter *old = to->seccomp; /* of SECCOMP_FILTER_FLAG_TSYNC just now */
    to->seccomp = from->seccomp;
    to->seccomp_mode = from->seccomp_mode;
    if (to->seccomp)
        ref_get(&to->seccomp->refs);
    mutex_unlock(&g_process_lock);
    seccomp_put(old);
}

u32 seccomp_filter_count(const struct thread *t)
{
    u32 n = 0;
    for (const struct seccomp_filter *f = t->seccomp; f; f = f->next)
        n++;
    return n;
}

/* ---- a system call ---- */

static const u32 g_severe[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,
                               SECCOMP_RET_ERRNO,        SECCOMP_RET_USER_NOTIF,  SECCOMP_RET_TRACE,
                               SECCOMP_RET_LOG,          SECCOMP_RET_ALLOW};

/* Actions nobody knows are the most severe: 0. */
static u32 rank(u32 answer)
{
    for (u32 i = 0; i < ARRAY_SIZE(g_severe); i++)
        if ((answer & SECCOMP_RET_ACTION_FULL) == g_severe[i])
            return i;
    return 0;
}

static u32 ask(struct seccomp_filter *chain, const struct seccomp_data *data)
{
    u32 answer = SECCOMP_RET_ALLOW;
    for (struct seccomp_filter *f = chain; f; f = f->next) {
        u32 one = bpf_run(f->code, data);
        if (rank(one) < rank(answer))
            answer = one;
    }
    return answer;
}

static bool strict_allows(u64 number)
{
    return number == __NR_read || number == __NR_write || number == __NR_exit ||
           number == __NR_rt_sigreturn;
}

/* SIGSYS, which the thread cannot block or ignore. */
static void trap(struct uregs *regs, u32 data)
{
    struct siginfo_k info = {.signo = SIGSYS,
                             .code = SYS_SECCOMP,
                             .err = (i32)(data & SECCOMP_RET_DATA),
                             .addr = regs->rip,
                             .status = (i32)regs->orig_rax,
                             .overrun = AUDIT_ARCH_X86_64};
    signal_force(&info);
}

static __noreturn void end_thread(struct process *p, int sig, bool whole)
{
    log_debug("pid %d (%s): a seccomp filter ended it", p->pid, p->comm);
    if (whole || p->thread_count == 1)
        process_exit_group((u32)sig);
    thread_exit((u32)sig);
}

bool seccomp_allows(struct thread *t, struct uregs *regs, long *result)
{
    struct process *p = t->process;
    if (t->seccomp_mode == SECCOMP_MODE_STRICT) {
        if (!strict_allows(regs->orig_rax))
            end_thread(p, SIGKILL, false);
        return true;
    }
    struct seccomp_data data = {
        .nr = (int)regs->orig_rax,
        .arch = AUDIT_ARCH_X86_64,
        .instruction_pointer = regs->rip,
        .args = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9}};
    u32 answer = ask(t->seccomp, &data), low = answer & SECCOMP_RET_DATA;
    switch (answer & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
        return true;
    case SECCOMP_RET_LOG:
        log_debug("pid %d (%s): system call %d by a seccomp filter's SECCOMP_RET_LOG", p->pid,
                  p->comm, data.nr);
        return true;
    case SECCOMP_RET_ERRNO:
        *result = -(long)MIN(low, 4095u);
        return false;
    case SECCOMP_RET_TRAP:
        trap(regs, low);
        *result = (long)regs->orig_rax;
        return false;
    case SECCOMP_RET_TRACE: /* nobody traces, nobody listens */
    case SECCOMP_RET_USER_NOTIF:
        *result = -ENOSYS;
        return false;
    case SECCOMP_RET_KILL_THREAD:
        end_thread(p, SIGSYS, false);
    default:
        end_thread(p, SIGSYS, true);
    }
}

/* ---- setting ---- */

static long set_strict(void)
{
    struct thread *t = current();
    mutex_lock(&g_process_lock); /* another thread's SECCOMP_FILTER_FLAG_TSYNC */
    bool may = t->seccomp_mode == SECCOMP_MODE_DISABLED || t->seccomp_mode == SECCOMP_MODE_STRICT;
    if (may)
        t->seccomp_mode = SECCOMP_MODE_STRICT;
    mutex_unlock(&g_process_lock);
    return may ? 0 : -EINVAL;
}

static int filter_from_user(uaddr from, struct seccomp_filter **out)
{
    struct sock_fprog prog;
    if (get_user(prog, from) < 0)
        return -EFAULT;
    if (prog.len == 0 || prog.len > BPF_MAXINSNS || !prog.filter)
        return -EINVAL;
    if (!current_process()->cred.no_new_privs && !capable(CAP_SYS_ADMIN))
        return -EACCES;
    struct seccomp_filter *f = kzalloc(sizeof(*f) + prog.len * sizeof(f->code[0]));
    if (!f)
        return -ENOMEM;
    ref_init(&f->refs);
    f->count = prog.len;
    int r = copy_from_user(f->code, user_at((u64)prog.filter), prog.len * sizeof(f->code[0]));
    if (r == 0)
        r = bpf_check(f->code, f->count);
    if (r < 0)
        kfree(f);
    else
        *out = f;
    return r;
}

static bool chain_has(const struct seccomp_filter *chain, const struct seccomp_filter *one)
{
    while (chain && chain != one)
        chain = chain->next;
    return chain == one;
}

/* The first thread of the process that has filters which the caller has not: 0, none. */
static i32 who_differs_locked(struct thread *me)
{
    struct thread *t;
    list_for_each_entry (t, &me->process->threads, siblings)
        if (t != me && !t->exited &&
            (t->seccomp_mode == SECCOMP_MODE_STRICT || !chain_has(me->seccomp, t->seccomp)))
            return t->tid;
    return 0;
}

/* Their chains are ends of the caller's new one, which keeps what they may be running just now. */
static void give_to_all_locked(struct thread *me)
{
    struct thread *t;
    list_for_each_entry (t, &me->process->threads, siblings) {
        if (t == me || t->exited)
            continue;
        struct seccomp_filter *old = t->seccomp;
        ref_get(&me->seccomp->refs);
        __atomic_store_n(&t->seccomp, me->seccomp, __ATOMIC_RELEASE);
        __atomic_store_n(&t->seccomp_mode, SECCOMP_MODE_FILTER, __ATOMIC_RELEASE);
        seccomp_put(old);
    }
}

static long set_filter(u32 flags, uaddr from)
{
    struct thread *t = current();
    struct seccomp_filter *f;
    if (flags & ~(u32)FLAGS_KNOWN)
        return -EINVAL; /* no SECCOMP_FILTER_FLAG_NEW_LISTENER */
    int r = filter_from_user(from, &f);
    if (r < 0)
        return r;
    i32 other = 0;
    mutex_lock(&g_process_lock);
    f->total = f->count + 4 + (t->seccomp ? t->seccomp->total : 0);
    if (t->seccomp_mode == SECCOMP_MODE_STRICT)
        r = -EINVAL;
    else if (f->total > CHAIN_MAX)
        r = -ENOMEM;
    else if (flags & SECCOMP_FILTER_FLAG_TSYNC)
        other = who_differs_locked(t);
    if (r == 0 && !other) {
        f->next = t->seccomp;
        t->seccomp = f;
        t->seccomp_mode = SECCOMP_MODE_FILTER;
        if (flags & SECCOMP_FILTER_FLAG_TSYNC)
            give_to_all_locked(t);
    }
    mutex_unlock(&g_process_lock);
    if (r < 0 || other)
        kfree(f);
    if (other)
        return flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH ? -ESRCH : other;
    return r;
}

long seccomp_prctl(long mode, uaddr filter)
{
    if (mode == SECCOMP_MODE_STRICT)
        return set_strict();
    return mode == SECCOMP_MODE_FILTER ? set_filter(0, filter) : -EINVAL;
}

static long action_available(u32 flags, uaddr from)
{
    u32 action;
    if (flags)
        return -EINVAL;
    if (get_user(action, from) < 0)
        return -EFAULT;
    for (u32 i = 0; i < ARRAY_SIZE(g_severe); i++)
        if (action == g_severe[i] && action != SECCOMP_RET_USER_NOTIF)
            return 0;
    return -EOPNOTSUPP;
}

long sys_seccomp(u32 operation, u32 flags, uaddr arguments)
{
    switch (operation) {
    case SECCOMP_SET_MODE_STRICT:
        return flags || arguments.at ? -EINVAL : set_strict();
    case SECCOMP_SET_MODE_FILTER:
        return set_filter(flags, arguments);
    case SECCOMP_GET_ACTION_AVAIL:
        return action_available(flags, arguments);
    case SECCOMP_GET_NOTIF_SIZES: {
        struct seccomp_notif_sizes sizes = {sizeof(struct seccomp_notif),
                                            sizeof(struct seccomp_notif_resp),
                                            sizeof(struct seccomp_data)};
        return flags ? -EINVAL : copy_to_user(arguments, &sizes, sizeof(sizes));
    }
    default:
        return -EINVAL;
    }
}
