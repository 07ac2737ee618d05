/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals: queues, who gets one, default actions. g_process_lock guards queues, masks and actions.
 * A signal becomes visible to its thread through thread_notify(); the thread takes it in
 * attention.c on its way back to user code.
 */
#include "tracee.h"
#include "host.h"
#include "pal.h"

#define SIG_IGNORE_SET (SIG_BIT(SIGCHLD) | SIG_BIT(SIGCONT) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH))
#define SIG_DUMP_SET                                                                              \
    (SIG_BIT(SIGQUIT) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGABRT) | SIG_BIT(SIGFPE) | \
     SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGSYS) | SIG_BIT(SIGXCPU) | SIG_BIT(SIGXFSZ))
/* Raised by the thread itself: taken before any other. */
#define SIG_SYNCHRONOUS                                                                          \
    (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGFPE) | \
     SIG_BIT(SIGSYS))
#define SIGNAL_REALTIME 32
#define QUEUE_MAX \
    65536u /* queued signals of the whole container, when RLIMIT_SIGPENDING does not say less */

static u32 g_queued;

bool signal_default_ignored(int sig)
{
    return SIG_IGNORE_SET & SIG_BIT(sig);
}

bool signal_default_stops(int sig)
{
    return SIG_STOP_SET & SIG_BIT(sig);
}

bool signal_default_dumps(int sig)
{
    return SIG_DUMP_SET & SIG_BIT(sig);
}

static void queue_free(struct sigqueue *q)
{
    q->owner->sig_queued--;
    __atomic_sub_fetch(&g_queued, 1, __ATOMIC_RELAXED);
    list_del(&q->link);
    kfree(q);
}

void signal_flush_queue(struct list_head *queue, u64 *pending, u64 set)
{
    struct sigqueue *q, *n;
    list_for_each_entry_safe (q, n, queue, link) {
        if (!(set & SIG_BIT(q->info.signo)))
            continue;
        if (q->info.timer)
            timers_signal_taken_locked(q->owner, &q->info);
        queue_free(q);
    }
    *pending &= ~set;
}

u32 signal_queued_locked(const struct process *p)
{
    const struct process *o;
    u32 n = 0;
    list_for_each_entry (o, &g_processes, all)
        if (o->cred.uid == p->cred.uid)
            n += o->sig_queued;
    return n;
}

/* As Linux: no limit for timers, whose room is taken when they are made, and for ordinary signals
 * of the kernel and of kill(). */
static bool room_locked(const struct process *p, const struct siginfo_k *info)
{
    u64 limit = p->rlimits[LIMIT_SIGPENDING].soft;
    u32 all = __atomic_load_n(&g_queued, __ATOMIC_RELAXED);
    if (all >= QUEUE_MAX)
        return false;
    if (all < limit || info->timer || (info->signo < SIGNAL_REALTIME && info->code >= 0))
        return true;
    return signal_queued_locked(p) < limit;
}

static void flush_everywhere_locked(struct process *p, u64 set)
{
    struct thread *t;
    signal_flush_queue(&p->sig_queue, &p->sig_pending, set);
    list_for_each_entry (t, &p->threads, siblings)
        signal_flush_queue(&t->sig_queue, &t->sig_pending, set);
}

/* Whether sig sent now would do nothing, so that it is not even queued. */
static bool ignored_locked(struct process *p, struct thread *t, int sig, bool forced)
{
    u64 handler = p->sighand ? p->sighand->action[sig - 1].handler : HANDLER_DFL;
    if (t && (t->sig_mask & SIG_BIT(sig)))
        return false; /* it may be caught by the time it is unblocked */
    if (t && t->tracee && sig != SIGKILL)
        return false; /* its tracer hears of all */
    /* PID 1 gets only what it has a handler for; the host may kill and stop it. */
    if (p == g_init && handler == HANDLER_DFL && !(forced && (SIG_BIT(sig) & SIG_UNBLOCKABLE)))
        return true;
    return handler == HANDLER_IGN || (handler == HANDLER_DFL && signal_default_ignored(sig));
}

static int enqueue_locked(struct process *p, struct list_head *queue, u64 *pending,
                          const struct siginfo_k *info)
{
    int sig = info->signo;
    /* Each timer has its own entry, or it would wait for a signal that never comes. */
    if (sig < SIGNAL_REALTIME && (*pending & SIG_BIT(sig)) && !info->timer)
        return 0;
    struct sigqueue *q = room_locked(p, info) ? kmalloc(sizeof(*q)) : NULL;
    if (!q) {
        /* Without room the signal still arrives, only what came with it is lost; sigqueue() is
         * told. */
        if (sig >= SIGNAL_REALTIME && info->code != SI_USER)
            return -EAGAIN;
    } else {
        q->owner = p;
        q->info = *info;
        p->sig_queued++;
        __atomic_add_fetch(&g_queued, 1, __ATOMIC_RELAXED);
        list_add_tail(&q->link, queue);
    }
    *pending |= SIG_BIT(sig);
    return 0;
}

u64 signal_pending_locked(const struct thread *t)
{
    return (t->sig_pending | t->process->sig_pending) & ~t->sig_mask;
}

static bool wants(struct thread *t, int sig)
{
    if (t->exited)
        return false;
    return sig == SIGKILL || !(t->sig_mask & SIG_BIT(sig));
}

static void choose_and_notify_locked(struct process *p, int sig)
{
    struct thread *t, *chosen = NULL;
    list_for_each_entry (t, &p->threads, siblings) {
        if (!wants(t, sig))
            continue;
        if (t->tid == p->pid) {
            chosen = t; /* the main thread first, as Linux does */
            break;
        }
        if (!chosen || (chosen->attention && !t->attention))
            chosen = t;
    }
    if (chosen)
        thread_notify(chosen, ATTENTION_SIGNAL);
}

/* SIGCONT undoes stops and stops undo SIGCONT, even when blocked or ignored. */
static void job_control_locked(struct process *p, int sig)
{
    if (sig == SIGCONT) {
        flush_everywhere_locked(p, SIG_STOP_SET);
        process_continue_locked(p);
    } else if (SIG_STOP_SET & SIG_BIT(sig)) {
        flush_everywhere_locked(p, SIG_BIT(SIGCONT));
    }
}

void process_continue_locked(struct process *p)
{
    if (p->state != PROCESS_STOPPED)
        return;
    p->state = PROCESS_RUNNING;
    p->wait_event = WAIT_EVENT_CONTINUED;
    tracee_continued_locked(p);
    waitq_wake(&p->stop_wait, UINT32_MAX);
    signal_notify_parent_locked(p, CLD_CONTINUED, SIGCONT);
    if (p->report_to_host)
        host_event(PAL_EVENT_CONTINUED, p->pid, 0xffff, NULL);
}

int signal_send_process_locked(struct process *p, const struct siginfo_k *info, bool forced)
{
    int sig = info->signo;
    if (p->state == PROCESS_ZOMBIE)
        return 0;
    if (p->group_exit) {
        if (sig == SIGKILL)
            process_begin_exit_locked(p, SIGKILL);
        return 0;
    }
    job_control_locked(p, sig);
    struct thread *main = NULL;
    if (!list_empty(&p->threads))
        main = list_first_entry(&p->threads, struct thread, siblings);
    if (ignored_locked(p, main, sig, forced))
        return 0;
    if (sig == SIGKILL) {
        process_begin_exit_locked(p, SIGKILL);
        return 0;
    }
    int r = enqueue_locked(p, &p->sig_queue, &p->sig_pending, info);
    if (r < 0)
        return r;
    choose_and_notify_locked(p, sig);
    waitq_wake(&p->signal_wait, UINT32_MAX);
    return 0;
}

int signal_send_thread_locked(struct thread *t, const struct siginfo_k *info, bool forced)
{
    struct process *p = t->process;
    int sig = info->signo;
    if (p->state == PROCESS_ZOMBIE || t->exited)
        return 0;
    if (p->group_exit) {
        if (sig == SIGKILL)
            process_begin_exit_locked(p, SIGKILL);
        return 0;
    }
    job_control_locked(p, sig);
    if (ignored_locked(p, t, sig, forced))
        return 0;
    if (sig == SIGKILL) {
        process_begin_exit_locked(p, SIGKILL);
        return 0;
    }
    int r = enqueue_locked(p, &t->sig_queue, &t->sig_pending, info);
    if (r < 0)
        return r;
    if (wants(t, sig))
        thread_notify(t, ATTENTION_SIGNAL);
    waitq_wake(&p->signal_wait, UINT32_MAX);
    return 0;
}

int signal_send_process(struct process *p, const struct siginfo_k *info)
{
    mutex_lock(&g_process_lock);
    int r = signal_send_process_locked(p, info, false);
    mutex_unlock(&g_process_lock);
    return r;
}

int signal_send_thread(struct thread *t, const struct siginfo_k *info)
{
    mutex_lock(&g_process_lock);
    int r = signal_send_thread_locked(t, info, false);
    mutex_unlock(&g_process_lock);
    return r;
}

int signal_send_group(i32 pgid, const struct siginfo_k *info)
{
    struct process *p, *n;
    int r = -ESRCH;
    mutex_lock(&g_process_lock);
    list_for_each_entry_safe (p, n, &g_processes, all)
        if (p->pgid == pgid) {
            signal_send_process_locked(p, info, false);
            r = 0;
        }
    mutex_unlock(&g_process_lock);
    return r;
}

void signal_notify_parent_locked(struct process *p, int code, int status)
{
    struct process *parent = p->parent;
    if (!parent)
        return;
    bool ended = code == CLD_EXITED || code == CLD_KILLED || code == CLD_DUMPED;
    const struct ksigaction *a = parent->sighand ? &parent->sighand->action[SIGCHLD - 1] : NULL;
    int sig = ended ? p->exit_signal : SIGCHLD;
    if (sig && (ended || !a || !(a->flags & SA_NOCLDSTOP))) {
        struct siginfo_k info = {
            .signo = sig, .code = code, .pid = p->pid, .uid = p->cred.uid, .status = status};
        signal_send_process_locked(parent, &info, false);
    }
    waitq_wake(&parent->wait_children, UINT32_MAX);
}

static int lowest(u64 set)
{
    return __builtin_ctzll(set) + 1;
}

static bool take_locked(struct list_head *queue, u64 *pending, u64 set, struct siginfo_k *info)
{
    u64 ready = *pending & set;
    if (!ready)
        return false;
    int sig = lowest((ready & SIG_SYNCHRONOUS) ? ready & SIG_SYNCHRONOUS : ready);
    struct sigqueue *q, *found = NULL;
    bool more = false;
    list_for_each_entry (q, queue, link) {
        if (q->info.signo != sig)
            continue;
        if (found) {
            more = true;
            break;
        }
        found = q;
    }
    if (!more)
        *pending &= ~SIG_BIT(sig);
    if (!found) {
        *info = (struct siginfo_k){.signo = sig, .code = SI_USER};
        return true;
    }
    *info = found->info;
    queue_free(found);
    return true;
}

int signal_dequeue_locked(struct thread *t, u64 set, struct siginfo_k *info)
{
    struct process *p = t->process;
    if (!take_locked(&t->sig_queue, &t->sig_pending, set, info) &&
        !take_locked(&p->sig_queue, &p->sig_pending, set, info))
        return 0;
    if (info->timer)
        timers_signal_taken_locked(p, info);
    return info->signo;
}

int signal_dequeue(u64 set, struct siginfo_k *info)
{
    mutex_lock(&g_process_lock);
    int sig = signal_dequeue_locked(current(), set & ~SIG_UNBLOCKABLE, info);
    mutex_unlock(&g_process_lock);
    return sig;
}

u64 signal_pending_set(void)
{
    return __atomic_load_n(&current()->sig_pending, __ATOMIC_ACQUIRE) |
           __atomic_load_n(&current_process()->sig_pending, __ATOMIC_ACQUIRE);
}

bool signal_pending(void)
{
    struct thread *t = current();
    return __atomic_load_n(&t->attention, __ATOMIC_ACQUIRE) & (ATTENTION_EXIT | ATTENTION_STOP) ||
           (signal_pending_set() & ~t->sig_mask) || t->process->group_exit;
}

bool signal_ignored_or_blocked(int sig)
{
    struct thread *t = current();
    return (t->sig_mask & SIG_BIT(sig)) ||
           t->process->sighand->action[sig - 1].handler == HANDLER_IGN;
}

void signal_recalculate(struct thread *t)
{
    if (signal_pending_locked(t))
        __atomic_or_fetch(&t->attention, ATTENTION_SIGNAL, __ATOMIC_RELEASE);
}

/* t no longer takes the signals of set: those pending for the process go to other threads. */
void signal_retarget_locked(struct thread *t, u64 set)
{
    struct process *p = t->process;
    u64 left = p->sig_pending & set;
    struct thread *o;
    list_for_each_entry (o, &p->threads, siblings) {
        if (!left)
            return;
        if (o == t || o->exited || !(left & ~o->sig_mask))
            continue;
        left &= o->sig_mask;
        thread_notify(o, ATTENTION_SIGNAL);
    }
}

void signal_set_mask_locked(struct thread *t, u64 mask)
{
    u64 newly = mask & ~t->sig_mask;
    t->sig_mask = mask & ~SIG_UNBLOCKABLE;
    if (newly & t->process->sig_pending)
        signal_retarget_locked(t, newly);
    signal_recalculate(t);
}

void signal_mask_set_temporary(u64 mask)
{
    struct thread *t = current();
    mutex_lock(&g_process_lock);
    t->saved_mask = t->sig_mask;
    t->restore_mask = true;
    signal_set_mask_locked(t, mask);
    mutex_unlock(&g_process_lock);
}

void signal_mask_restore(void)
{
    struct thread *t = current();
    if (!t->restore_mask)
        return;
    mutex_lock(&g_process_lock);
    t->restore_mask = false;
    signal_set_mask_locked(t, t->saved_mask);
    mutex_unlock(&g_process_lock);
}

/* exec: handlers go back to default, ignored ones stay, pending signals and masks stay. */
void signal_exec_reset(struct process *p)
{
    mutex_lock(&g_process_lock);
    for (int i = 0; i < NSIG; i++) {
        struct ksigaction *a = &p->sighand->action[i];
        if (a->handler != HANDLER_IGN)
            a->handler = HANDLER_DFL;
        a->flags = a->restorer = a->mask = 0;
    }
    mutex_unlock(&g_process_lock);
}

static void put32(u8 *out, size_t off, u32 v)
{
    memcpy(out + off, &v, 4);
}

static void put64(u8 *out, size_t off, u64 v)
{
    memcpy(out + off, &v, 8);
}

void siginfo_encode(const struct siginfo_k *i, u8 out[128])
{
    bool user = i->code <= 0 || i->code == SI_KERNEL;
    memset(out, 0, 128);
    put32(out, 0, (u32)i->signo);
    put32(out, 4, (u32)i->err);
    put32(out, 8, (u32)i->code);
    if (i->code == SI_TIMER) {
        put32(out, 16, i->timer_id);
        put32(out, 20, i->overrun);
        put64(out, 24, i->value);
    } else if (!user && (SIG_SYNCHRONOUS & SIG_BIT(i->signo))) {
        put64(out, 16, i->addr);
        if (i->signo == SIGSYS) { /* number and architecture of the call */
            put32(out, 24, (u32)i->status);
            put32(out, 28, i->overrun);
        }
    } else if (i->band || (!user && i->signo == SIGIO)) {
        put64(out, 16, i->value); /* band */
        put32(out, 24, (u32)i->status);
    } else {
        put32(out, 16, (u32)i->pid);
        put32(out, 20, i->uid);
        if (!user && i->signo == SIGCHLD)
            put32(out, 24, (u32)i->status);
        else
            put64(out, 24, i->value);
    }
}
