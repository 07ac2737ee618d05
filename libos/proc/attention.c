/* SPDX-License-Identifier: Apache-2.0 */
/* The way back to user code when somebody wants something of the thread: signals, stop, exit,
 * restart of calls. */
#include "tracee.h"
#include "host.h"
#include "pal.h"

static void leave_if_ending(struct thread *t)
{
    struct process *p = t->process;
    if (p->group_exit || (p->exec_thread && p->exec_thread != t))
        thread_exit(p->exit_status);
}

/* Job control: park until SIGCONT or death. */
static void wait_while_stopped(struct thread *t)
{
    struct process *p = t->process;
    struct wait_entry e;
    waitq_add(&p->stop_wait, &e);
    while (__atomic_load_n(&p->state, __ATOMIC_ACQUIRE) == PROCESS_STOPPED && !p->group_exit &&
           !(p->exec_thread && p->exec_thread != t)) {
        if (t->tracee && tracee_group_stop(t))
            break;
        if (__atomic_load_n(&p->state, __ATOMIC_ACQUIRE) == PROCESS_STOPPED)
            thread_wait(NO_DEADLINE, false, NULL, 0);
    }
    waitq_remove(&e);
}

static void stop_locked(struct thread *t, int sig)
{
    struct process *p = t->process;
    struct thread *o;
    if (p->group_exit)
        return;
    p->state = PROCESS_STOPPED;
    tracee_stopping_locked(p);
    p->wait_event = tracee_of_parent(p) ? 0 : WAIT_EVENT_STOPPED;
    p->wait_status = (u32)sig << 8 | 0x7f;
    p->stop_signal = (u32)sig;
    list_for_each_entry (o, &p->threads, siblings)
        if (o != t)
            thread_notify(o, ATTENTION_STOP);
    if (p->wait_event)
        signal_notify_parent_locked(p, CLD_STOPPED, sig);
    if (p->report_to_host)
        host_event(PAL_EVENT_STOPPED, p->pid, (i32)p->wait_status, NULL);
}

static __noreturn void die_of(struct process *p, const struct siginfo_k *info)
{
    if (signal_default_dumps(info->signo)) {
        log_debug("pid %d (%s) ended by signal %d", p->pid, p->comm, info->signo);
        core_dump(info);
    }
    process_exit_group((u32)info->signo);
}

/*
 * Takes signals until one has a handler: 1 with info and a copy of its action, 0 when there is
 * none. Default actions happen here.
 */
static int next_handled(struct thread *t, struct siginfo_k *info, struct ksigaction *action)
{
    struct process *p = t->process;
    for (;;) {
        leave_if_ending(t);
        if (p->state == PROCESS_STOPPED)
            wait_while_stopped(t);
        if (unlikely(t->tracee != NULL))
            tracee_trap(t);
        leave_if_ending(t);
        mutex_lock(&g_process_lock);
        int sig = signal_dequeue_locked(t, ~t->sig_mask, info);
        if (!sig) {
            mutex_unlock(&g_process_lock);
            return 0;
        }
        bool forced = info->forced;
        if (t->tracee && sig != SIGKILL && (sig = tracee_signal_locked(t, info)) == 0) {
            mutex_unlock(&g_process_lock);
            continue;
        }
        struct ksigaction *a = &p->sighand->action[sig - 1];
        *action = *a;
        if (a->handler > HANDLER_IGN) {
            if (a->flags & SA_RESETHAND)
                a->handler = HANDLER_DFL;
            mutex_unlock(&g_process_lock);
            return 1;
        }
        bool drop = a->handler == HANDLER_IGN || signal_default_ignored(sig) ||
                    (p == g_init && sig != SIGKILL && sig != SIGSTOP && !forced);
        if (!drop && signal_default_stops(sig)) {
            if (sig == SIGSTOP || !process_group_orphaned(p->pgid))
                stop_locked(t, sig);
            drop = true;
        }
        mutex_unlock(&g_process_lock);
        if (!drop)
            die_of(p, info);
    }
}

/* rip - 2 is a `syscall` instruction: where it was executed, or one that a rewritten call site
 * keeps before its return address. */
static bool can_rewind(const struct uregs *regs)
{
    u8 insn[2];
    return copy_from_user(insn, user_at(regs->rip - 2), 2) == 0 && insn[0] == 0x0f &&
           insn[1] == 0x05;
}

static void rewind_call(struct thread *t, struct uregs *regs, u64 number)
{
    if (!can_rewind(regs)) {
        log_warn("pid %d: system call %lld cannot be restarted", t->process->pid,
                 (long long)regs->orig_rax);
        regs->rax = (u64)-EINTR;
        return;
    }
    regs->rax = number;
    regs->rip -= 2;
}

static void restart_with_handler(struct thread *t, struct uregs *regs,
                                 const struct ksigaction *action)
{
    switch (-(i64)regs->rax) {
    case ERESTART_RESTARTBLOCK:
    case ERESTARTNOHAND:
        regs->rax = (u64)-EINTR;
        break;
    case ERESTARTSYS:
        if (!(action->flags & SA_RESTART)) {
            regs->rax = (u64)-EINTR;
            break;
        }
        rewind_call(t, regs, regs->orig_rax);
        break;
    case ERESTARTNOINTR:
        rewind_call(t, regs, regs->orig_rax);
        break;
    default:
        break;
    }
}

static void restart_without_handler(struct thread *t, struct uregs *regs)
{
    switch (-(i64)regs->rax) {
    case ERESTARTNOHAND:
    case ERESTARTSYS:
    case ERESTARTNOINTR:
        rewind_call(t, regs, regs->orig_rax);
        break;
    case ERESTART_RESTARTBLOCK:
        rewind_call(t, regs, 219 /* restart_syscall */);
        break;
    default:
        break;
    }
}

static void deliver(struct thread *t, struct uregs *regs, const struct siginfo_k *info,
                    const struct ksigaction *action)
{
    if ((i64)regs->orig_rax >= 0) {
        restart_with_handler(t, regs, action);
        regs->orig_rax = (u64)-1; /* a second frame on top must not look at it again */
    }
    if (signal_frame_push(t, regs, info, action) < 0) {
        /* As Linux: SIGSEGV takes its place, which a handler on an alternate stack may still
         * catch. */
        log_info("pid %d: no room for the frame of signal %d at %llx", t->process->pid, info->signo,
                 (unsigned long long)regs->rsp);
        if (info->signo == SIGSEGV)
            die_of(t->process, &(struct siginfo_k){.signo = SIGSEGV, .code = SI_KERNEL});
        signal_fault(SIGSEGV, SI_KERNEL, 0, 0, 0);
        return;
    }
    mutex_lock(&g_process_lock);
    t->restore_mask = false;
    u64 mask = t->sig_mask | action->mask;
    if (!(action->flags & SA_NODEFER))
        mask |= SIG_BIT(info->signo);
    signal_set_mask_locked(t, mask);
    mutex_unlock(&g_process_lock);
}

static void send_raised(struct thread *t)
{
    u32 raised = t->raised;
    t->raised = 0;
    if (raised & THREAD_SIGPIPE)
        signal_send_thread(t, &(struct siginfo_k){.signo = SIGPIPE,
                                                  .pid = t->process->pid,
                                                  .uid = t->process->cred.fsuid});
    if (raised & THREAD_SIGXFSZ)
        signal_send_thread(t, &(struct siginfo_k){.signo = SIGXFSZ, .code = SI_KERNEL});
}

void attention_handle(struct uregs *regs)
{
    struct thread *t = current();
    struct siginfo_k info;
    struct ksigaction action;
    bool delivered = false;

    if (__atomic_load_n(&t->attention, __ATOMIC_ACQUIRE) & ATTENTION_RAISED)
        send_raised(t);
    u32 flags = __atomic_exchange_n(&t->attention, 0, __ATOMIC_ACQ_REL);
    if (flags & ATTENTION_MEMORY) { /* as Linux's OOM killer; mm has logged what ran out */
        memory_tell_killed(t->process->pid);
        process_exit_group(SIGKILL);
    }
    if (flags & ATTENTION_BARRIER)
        membarrier_pass(t);
    if ((flags & ATTENTION_GROUP) && t->process->mm) {
        mm_leave(t->process->mm);
        mm_enter(t->process->mm);
    }
    if (t->set_child_tid) {
        /* The first way to user code of a clone()d thread: this write belongs into the child's
         * memory. */
        u64 where = t->set_child_tid;
        t->set_child_tid = 0;
        (void)put_user(t->tid, user_at(where));
    }
    while (next_handled(t, &info, &action)) {
        deliver(t, regs, &info, &action);
        delivered = true;
        if (step_wanted(t)) /* a step into the handler */
            signal_fault(SIGTRAP, TRAP_TRACE, regs->rip, 1, 0);
    }
    if (!delivered) {
        if ((i64)regs->orig_rax >= 0)
            restart_without_handler(t, regs);
        signal_mask_restore();
    }
    if (unlikely(t->tracee != NULL || t->step_armed))
        step_prepare(t, regs);
}

void signal_force(const struct siginfo_k *info)
{
    struct thread *t = current();
    struct process *p = t->process;
    int sig = info->signo;
    mutex_lock(&g_process_lock);
    u64 handler = p->sighand->action[sig - 1].handler;
    bool caught = handler > HANDLER_IGN && !(t->sig_mask & SIG_BIT(sig));
    if (!caught && t->tracee) { /* as Linux: its tracer may still let it live */
        p->sighand->action[sig - 1].handler = HANDLER_DFL;
        t->sig_mask &= ~SIG_BIT(sig);
        caught = true;
    }
    if (caught) {
        signal_flush_queue(&t->sig_queue, &t->sig_pending, SIG_BIT(sig));
        struct siginfo_k forced = *info;
        forced.forced = true;
        caught = signal_send_thread_locked(t, &forced, true) == 0;
    }
    mutex_unlock(&g_process_lock);
    if (caught)
        return;
    log_info("pid %d (%s): signal %d at ip %llx address %llx error %llx", p->pid, p->comm, sig,
             (unsigned long long)(t->regs ? t->regs->rip : 0), (unsigned long long)info->addr,
             (unsigned long long)t->fault_error);
    die_of(p, info);
}

void signal_fault(int sig, int code, u64 addr, u32 trap, u64 error_code)
{
    struct thread *t = current();
    struct siginfo_k info = {.signo = sig, .code = code, .addr = addr};
    t->fault_addr = addr;
    t->fault_error = error_code;
    t->fault_trap = trap;
    signal_force(&info);
}
