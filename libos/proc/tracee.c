/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The traced side of ptrace(2): a thread that stops for its tracer waits in here, without its mm,
 * as in any other wait. It stops only itself; the tracer looks at it while `stopped` is set, and
 * takes that away to let it run.
 */
#include "tracee.h"
#include <linux/capability.h>
#include <linux/sched.h>

static bool dying(const struct thread *t, bool at_end)
{
    const struct process *p = t->process;
    if (at_end)
        return p->group_exit && (p->exit_status & 0x7f) == SIGKILL;
    return p->group_exit || (p->exec_thread && p->exec_thread != t);
}

static void tell_tracer_locked(struct tracee *e, int code, int status)
{
    struct process *tracer = e->tracer;
    const struct ksigaction *a = tracer->sighand ? &tracer->sighand->action[SIGCHLD - 1] : NULL;
    if (a && (e->ended || (a->handler != HANDLER_IGN && !(a->flags & SA_NOCLDSTOP)))) {
        struct siginfo_k info = {.signo = SIGCHLD,
                                 .code = code,
                                 .pid = e->tid,
                                 .uid = e->process->cred.uid,
                                 .status = status};
        signal_send_process_locked(tracer, &info, false);
    }
    waitq_wake(&tracer->wait_children, UINT32_MAX);
}

/* The current thread waits for its tracer; returns the signal that it is to go on with. */
static int stop_locked(struct thread *t, u32 code, const struct siginfo_k *info, bool at_end)
{
    struct process *p = t->process;
    struct tracee *e = t->tracee;
    struct wait_entry w;
    if (!e || dying(t, at_end))
        return 0;
    e->status = code << 8 | 0x7f;
    e->event = e->stopped = true;
    e->listening = false;
    e->has_info = info != NULL;
    if (info)
        e->info = *info;
    t->resume_signal = 0;
    tell_tracer_locked(e, CLD_TRAPPED, (int)(code & 0x7f));
    waitq_add(&p->stop_wait, &w);
    while (t->tracee && t->tracee->stopped && !dying(t, at_end)) {
        mutex_unlock(&g_process_lock);
        thread_wait(NO_DEADLINE, false, NULL, 0);
        mutex_lock(&g_process_lock);
    }
    waitq_remove(&w);
    if (t->tracee) {
        t->tracee->stopped = t->tracee->event = false;
        t->tracee->call = PTRACE_SYSCALL_INFO_NONE;
    }
    int sig = dying(t, at_end) ? 0 : t->resume_signal;
    t->resume_signal = 0;
    return sig;
}

/* Before a stop: nothing of a step is left, and the tracer finds the vector state in t->xsave. */
static void prepare(struct thread *t)
{
    step_disarm(t);
    vector_user_area();
}

static int stop_with(u32 code, u8 call)
{
    struct thread *t = current();
    struct siginfo_k info = {
        .signo = SIGTRAP, .code = (i32)code, .pid = t->tid, .uid = t->process->cred.uid};
    prepare(t);
    mutex_lock(&g_process_lock);
    if (t->tracee)
        t->tracee->call = call;
    int sig = stop_locked(t, code, &info, code == TRACE_EVENT(PTRACE_EVENT_EXIT));
    mutex_unlock(&g_process_lock);
    return sig;
}

static void send_to_self(int sig)
{
    struct thread *t = current();
    if (sig)
        signal_send_thread(t, &(struct siginfo_k){.signo = sig, .pid = t->process->pid});
}

/* ---- the link ---- */

int tracee_attach_locked(struct thread *t, struct process *tracer, u32 options, bool seized)
{
    struct tracee *e = kzalloc(sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->tracer = tracer;
    e->process = process_get(t->process);
    e->thread = t;
    e->tid = t->tid;
    e->options = options;
    e->seized = seized;
    e->resume = PTRACE_CONT;
    list_add_tail(&e->link, &tracer->tracees);
    __atomic_store_n(&t->tracee, e, __ATOMIC_RELEASE);
    return 0;
}

void tracee_forget_locked(struct tracee *e)
{
    struct process *p = e->process;
    bool tell = e->held_back;
    list_del(&e->link);
    if (p->first_tracee == e)
        p->first_tracee = NULL;
    if (e->thread)
        __atomic_store_n(&e->thread->tracee, NULL, __ATOMIC_RELEASE);
    kfree(e);
    if (tell)
        process_announce_locked(p);
    process_put(p);
}

static void wake_locked(struct process *p)
{
    waitq_wake(&p->stop_wait, UINT32_MAX);
}

void tracee_detach_locked(struct tracee *e, int signal)
{
    struct process *p = process_get(e->process);
    if (e->thread) {
        e->thread->resume_signal = signal;
        thread_notify(e->thread, ATTENTION_SIGNAL); /* takes a step's breakpoint away */
    }
    tracee_forget_locked(e);
    wake_locked(p);
    process_put(p);
}

void tracee_resume_locked(struct tracee *e, u32 how, int signal)
{
    e->stopped = e->event = false;
    e->listening = how == PTRACE_LISTEN;
    if (how != PTRACE_LISTEN)
        e->resume = how;
    e->thread->resume_signal = signal;
    wake_locked(e->process);
}

void tracer_end_locked(struct process *p)
{
    struct tracee *e, *n;
    list_for_each_entry_safe (e, n, &p->tracees, link) {
        if (e->options & PTRACE_O_EXITKILL)
            process_begin_exit_locked(e->process, SIGKILL);
        tracee_detach_locked(e, 0);
    }
}

bool tracee_of_parent(const struct process *p)
{
    struct thread *t;
    if (p->first_tracee)
        return p->first_tracee->tracer == p->parent;
    list_for_each_entry (t, &p->threads, siblings)
        if (t->tid == p->pid)
            return t->tracee && t->tracee->tracer == p->parent;
    return false;
}

i32 process_tracer_locked(i32 tid)
{
    const struct thread *t = thread_find(tid);
    return t && t->tracee ? t->tracee->tracer->pid : 0;
}

/* ---- events ---- */

static u32 option_of(u32 event)
{
    return 1u << event; /* PTRACE_O_TRACE* are made so */
}

void tracee_inherit(struct thread *child, u64 clone_flags, u32 event)
{
    struct thread *t = current();
    if (!t->tracee || (clone_flags & CLONE_UNTRACED))
        return;
    mutex_lock(&g_process_lock);
    struct tracee *e = t->tracee;
    if (e && ((e->options & option_of(event)) || (clone_flags & CLONE_PTRACE)) &&
        tracee_attach_locked(child, e->tracer, e->options, e->seized) == 0) {
        child->tracee->interrupt = e->seized;
        if (e->seized)
            child->attention |= ATTENTION_STOP;
        else
            signal_send_thread_locked(child, &(struct siginfo_k){.signo = SIGSTOP}, true);
    }
    mutex_unlock(&g_process_lock);
}

void tracee_event(u32 event, u64 message)
{
    struct thread *t = current();
    if (!t->tracee)
        return;
    mutex_lock(&g_process_lock);
    bool wanted = t->tracee && (t->tracee->options & option_of(event));
    if (wanted)
        t->tracee->message = message;
    mutex_unlock(&g_process_lock);
    if (wanted)
        send_to_self(stop_with(TRACE_EVENT(event), PTRACE_SYSCALL_INFO_NONE));
}

void tracee_exec(i32 old_tid)
{
    struct thread *t = current();
    if (!t->tracee)
        return;
    mutex_lock(&g_process_lock);
    struct tracee *e = t->tracee;
    bool plain = e && !e->seized && !(e->options & PTRACE_O_TRACEEXEC);
    mutex_unlock(&g_process_lock);
    if (plain)
        signal_send_thread(t, &(struct siginfo_k){.signo = SIGTRAP, .pid = t->process->pid});
    tracee_event(PTRACE_EVENT_EXEC, (u64)old_tid);
}

bool tracee_unsafe(const struct thread *t)
{
    if (!t->tracee)
        return false;
    mutex_lock(&g_process_lock);
    bool unsafe = t->tracee && !cred_capable(&t->tracee->tracer->cred, CAP_SYS_PTRACE);
    mutex_unlock(&g_process_lock);
    return unsafe;
}

/* ---- system calls ---- */

static bool follows_calls(const struct thread *t)
{
    const struct tracee *e = t->tracee;
    return e && e->resume == PTRACE_SYSCALL;
}

static u32 call_code(const struct thread *t)
{
    mutex_lock(&g_process_lock);
    u32 code = t->tracee && (t->tracee->options & PTRACE_O_TRACESYSGOOD) ? SIGTRAP | 0x80 : SIGTRAP;
    mutex_unlock(&g_process_lock);
    return code;
}

static bool wants_calls(struct thread *t)
{
    mutex_lock(&g_process_lock);
    bool wants = follows_calls(t);
    mutex_unlock(&g_process_lock);
    return wants;
}

bool tracee_call_begin(struct thread *t, struct uregs *regs)
{
    if (!wants_calls(t))
        return true;
    regs->rax = (u64)-ENOSYS;
    send_to_self(stop_with(call_code(t), PTRACE_SYSCALL_INFO_ENTRY));
    return !dying(t, false) && (u32)regs->orig_rax != UINT32_MAX;
}

void tracee_call_end(struct thread *t)
{
    if (wants_calls(t))
        send_to_self(stop_with(call_code(t), PTRACE_SYSCALL_INFO_EXIT));
    bool step = t->step_call && t->tracee;
    t->step_call = false;
    if (step)
        signal_fault(SIGTRAP, TRAP_TRACE, t->regs->rip, 1, 0);
}

/* ---- stops of signals, of the process, and those that were asked for ---- */

int tracee_signal_locked(struct thread *t, struct siginfo_k *info)
{
    mutex_unlock(&g_process_lock);
    prepare(t);
    mutex_lock(&g_process_lock);
    if (!t->tracee)
        return info->signo;
    int sig = stop_locked(t, (u32)info->signo, info, false);
    if (t->tracee && sig && t->tracee->has_info)
        *info = t->tracee->info; /* PTRACE_SETSIGINFO */
    if (sig && sig != info->signo)
        *info = (struct siginfo_k){.signo = sig,
                                   .pid = t->tracee ? t->tracee->tracer->pid : 0,
                                   .uid = t->tracee ? t->tracee->tracer->cred.uid : 0};
    if (sig && sig != SIGKILL && (t->sig_mask & SIG_BIT(sig))) {
        signal_send_thread_locked(t, info, true);
        return 0;
    }
    return sig;
}

bool tracee_group_stop(struct thread *t)
{
    prepare(t);
    mutex_lock(&g_process_lock);
    struct tracee *e = t->tracee;
    u32 sig = t->process->stop_signal;
    if (e && !e->told_group && t->process->state == PROCESS_STOPPED) {
        struct siginfo_k info = {
            .signo = (i32)sig, .code = (i32)(PTRACE_EVENT_STOP << 8 | sig), .pid = t->tid};
        e->told_group = true;
        e->interrupt = false;
        stop_locked(t, e->seized ? (u32)PTRACE_EVENT_STOP << 8 | sig : sig,
                    e->seized ? &info : NULL, false);
    }
    bool runs = t->tracee && !t->tracee->listening;
    mutex_unlock(&g_process_lock);
    return runs;
}

void tracee_trap(struct thread *t)
{
    mutex_lock(&g_process_lock);
    bool wanted = t->tracee && t->tracee->interrupt;
    if (wanted)
        t->tracee->interrupt = false;
    mutex_unlock(&g_process_lock);
    if (wanted)
        stop_with(TRACE_EVENT(PTRACE_EVENT_STOP), PTRACE_SYSCALL_INFO_NONE);
}

void tracee_stopping_locked(struct process *p)
{
    struct thread *t;
    list_for_each_entry (t, &p->threads, siblings)
        if (t->tracee)
            t->tracee->told_group = false;
}

void tracee_continued_locked(struct process *p)
{
    struct thread *t;
    list_for_each_entry (t, &p->threads, siblings) {
        struct tracee *e = t->tracee;
        if (!e)
            continue;
        if (e->seized && e->told_group) {
            e->interrupt = true;
            thread_notify(t, ATTENTION_STOP);
        }
        e->told_group = e->listening = false;
    }
}

void tracee_let_go_locked(struct process *p)
{
    struct thread *t;
    list_for_each_entry (t, &p->threads, siblings)
        if (t->tracee)
            t->tracee->stopped = false;
    wake_locked(p);
}

/* ---- ends ---- */

static void end_locked(struct tracee *e, u32 status)
{
    u32 sig = status & 0x7f;
    e->status = status;
    e->stopped = false;
    e->ended = e->event = true;
    tell_tracer_locked(e, sig ? CLD_KILLED : CLD_EXITED, (int)(sig ? sig : status >> 8 & 0xff));
}

void tracee_thread_end_locked(struct thread *t, u32 status)
{
    struct tracee *e = t->tracee;
    struct process *p = t->process;
    if (!e)
        return;
    __atomic_store_n(&t->tracee, NULL, __ATOMIC_RELEASE);
    e->thread = NULL;
    e->stopped = e->event = false;
    const struct ksigaction *a = e->tracer->sighand ? &e->tracer->sighand->action[SIGCHLD - 1]
                                                    : NULL;
    if (t->tid == p->pid) /* its end is the process's */
        p->first_tracee = e;
    else if (a && (a->handler == HANDLER_IGN || (a->flags & SA_NOCLDWAIT)))
        tracee_forget_locked(e);
    else
        end_locked(e, p->group_exit ? p->exit_status : status);
}

bool tracee_process_end_locked(struct process *p)
{
    struct tracee *e = p->first_tracee;
    if (!e)
        return false;
    if (e->tracer == p->parent) {
        tracee_forget_locked(e);
        return false;
    }
    e->held_back = true;
    end_locked(e, p->exit_status);
    return true;
}
