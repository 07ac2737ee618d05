/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of threads and processes. The last thread to leave gives back what the process holds,
 * makes it a zombie, finds new parents for its children and tells the parent, libenclave, or
 * nobody.
 */
#include "tracee.h"
#include "host.h"
#include "pal.h"

/* g_process_lock held: every thread of p leaves at its next way back to user code. */
void process_begin_exit_locked(struct process *p, u32 status)
{
    struct thread *t;
    if (p->group_exit && status == SIGKILL) {
        tracee_let_go_locked(p);
        core_killed_locked(p);
    }
    if (p->group_exit || p->state == PROCESS_ZOMBIE)
        return;
    p->group_exit = true;
    p->exit_status = status;
    list_for_each_entry (t, &p->threads, siblings) {
        thread_notify(t, ATTENTION_EXIT);
        thread_wake(t); /* also out of waits that no signal interrupts: vfork, stop */
    }
    waitq_wake(&p->stop_wait, UINT32_MAX);
    if (p->spawn)
        spawn_start_locked(p); /* it was only created: it leaves before its first instruction */
}

void process_exit_group(u32 status)
{
    struct process *p = current_process();
    mutex_lock(&g_process_lock);
    process_begin_exit_locked(p, status);
    mutex_unlock(&g_process_lock);
    thread_exit(p->exit_status);
}

/* The parent of a vfork() goes on. */
void vfork_release(struct process *p)
{
    if (!p->vfork_pending)
        return;
    __atomic_store_n(&p->vfork_pending, false, __ATOMIC_RELEASE);
    waitq_wake(&p->vfork_wait, UINT32_MAX);
}

static void signal_simple_locked(struct process *p, int sig)
{
    struct siginfo_k info = {.signo = sig, .code = SI_KERNEL};
    signal_send_process_locked(p, &info, false);
}

static void signal_group_locked(i32 pgid, int sig)
{
    struct process *p, *n;
    list_for_each_entry_safe (p, n, &g_processes, all)
        if (p->pgid == pgid)
            signal_simple_locked(p, sig);
}

/* POSIX: a group that becomes orphaned with stopped members gets SIGHUP and SIGCONT. */
static void hang_up_orphans_locked(i32 pgid)
{
    struct process *p;
    bool stopped = false;
    list_for_each_entry (p, &g_processes, all)
        stopped |= p->pgid == pgid && p->state == PROCESS_STOPPED;
    if (!stopped || !process_group_orphaned(pgid))
        return;
    signal_group_locked(pgid, SIGHUP);
    signal_group_locked(pgid, SIGCONT);
}

static bool parent_ignores_children(const struct process *parent)
{
    const struct ksigaction *a = parent->sighand ? &parent->sighand->action[SIGCHLD - 1] : NULL;
    return a && (a->handler == HANDLER_IGN || (a->flags & SA_NOCLDWAIT));
}

/* The zombie p has a parent (or none): who hears of it, and does it stay? */
void process_announce_locked(struct process *p)
{
    struct process *parent = p->parent;
    if (!parent || parent->state == PROCESS_ZOMBIE) {
        process_reap_locked(p);
        return;
    }
    u32 sig = p->exit_status & 0x7f;
    int code = !sig ? CLD_EXITED : (p->exit_status & 0x80) ? CLD_DUMPED : CLD_KILLED;
    bool forget = p->exit_signal == SIGCHLD && parent_ignores_children(parent);
    signal_notify_parent_locked(p, code, sig ? (int)sig : (int)(p->exit_status >> 8 & 0xff));
    if (forget) {
        process_reap_locked(p);
        waitq_wake(&parent->wait_children, UINT32_MAX);
    }
}

static struct process *new_parent_locked(struct process *p)
{
    for (struct process *a = p->parent; a; a = a->parent)
        if (a->child_subreaper && a->state != PROCESS_ZOMBIE && !a->group_exit)
            return a;
    return g_init && g_init != p && g_init->state != PROCESS_ZOMBIE ? g_init : NULL;
}

static void leave_children_locked(struct process *p)
{
    struct process *heir = new_parent_locked(p), *c, *n;
    list_for_each_entry_safe (c, n, &p->children, sibling) {
        list_del(&c->sibling);
        c->parent = heir;
        if (heir)
            list_add_tail(&c->sibling, &heir->children);
        if (c->state == PROCESS_ZOMBIE) {
            c->exit_signal = SIGCHLD;
            if (!c->first_tracee)
                process_announce_locked(c);
            continue;
        }
        c->exit_signal = SIGCHLD;
        if (c->pdeathsig)
            signal_simple_locked(c, (int)c->pdeathsig);
        if (c->pgid != p->pgid)
            hang_up_orphans_locked(c->pgid);
    }
}

/* PID 1 takes everything with it, as in a PID namespace. */
static void end_everything(struct process *init)
{
    struct process *p, *n;
    struct wait_entry e;
    waitq_add(&init->wait_children, &e);
    for (;;) {
        u32 others = 0;
        mutex_lock(&g_process_lock);
        list_for_each_entry_safe (p, n, &g_processes, all) {
            if (p == init || p->state == PROCESS_ZOMBIE)
                continue;
            process_begin_exit_locked(p, SIGKILL);
            others++;
        }
        mutex_unlock(&g_process_lock);
        if (!others)
            break;
        /* Those without a parent wake nobody: look again soon. */
        thread_wait(clock_monotonic() + 10000000, false, NULL, 0);
    }
    waitq_remove(&e);
}

static void give_back(struct process *p)
{
    struct files *files = p->files;
    struct fs_context *fs = p->fs;
    struct mm *mm = p->mm;
    timers_destroy(p);
    keys_drop(p, true);
    g_process_hooks->exit(p);
    mutex_lock(&g_process_lock);
    p->files = NULL;
    mutex_unlock(&g_process_lock);
    if (files)
        files_put(files);
    if (mm) {
        process_note_rss(p);
        mm_leave(mm);
        mutex_lock(&g_process_lock);
        p->mm = NULL;
        mutex_unlock(&g_process_lock);
        mm_put(mm);
    }
    vfork_release(p);
    mutex_lock(&g_process_lock);
    p->fs = NULL;
    mutex_unlock(&g_process_lock);
    if (fs)
        fs_context_put(fs);
}

static void process_end(struct process *p)
{
    acct_process(p);
    give_back(p);
    if (p == g_init)
        end_everything(p);
    if (p->session && p->session->sid == p->pid && p->session->tty)
        g_process_hooks->session_end(p->session);
    mutex_lock(&g_process_lock);
    tracer_end_locked(p);
    leave_children_locked(p);
    p->state = PROCESS_ZOMBIE;
    signal_flush_queue(&p->sig_queue, &p->sig_pending, ~0ull);
    if (p->parent && p->parent->pgid != p->pgid)
        hang_up_orphans_locked(p->pgid);
    waitq_wake(&p->exit_wait, UINT32_MAX);
    i32 pid = p->pid;
    u32 status = p->exit_status;
    bool report = p->report_to_host;
    if (p == g_init)
        g_init = NULL;
    if (!tracee_process_end_locked(p))
        process_announce_locked(p);
    mutex_unlock(&g_process_lock);
    if (report)
        host_event(PAL_EVENT_EXITED, pid, (i32)status, NULL);
}

/* set_tid_address(): the word is cleared and its waiter woken, if somebody else can still see
 * it. */
static void clear_child_tid(struct thread *t, bool last)
{
    struct mm *mm = t->process->mm;
    u64 where = t->clear_child_tid;
    t->clear_child_tid = 0;
    if (!where || !mm || (last && mm->refs.n <= 1))
        return;
    if (put_user((u32)0, user_at(where)) == 0)
        futex_wake_address(mm, where, 1);
}

void thread_exit(u32 status)
{
    struct thread *t = current();
    struct process *p = t->process;
    core_wait();
    tracee_event(PTRACE_EVENT_EXIT, p->group_exit ? p->exit_status : status);
    if (p->mm) {
        step_disarm(t);
        bool last = p->thread_count == 1;
        futex_robust_exit(t);
        clear_child_tid(t, last);
    }
    mutex_lock(&g_process_lock);
    /* While this thread still counts the mm stays: the last one to be counted gives it back. That
     * one leaves later, when its end is near: whoever waits for its turn waits for its end as well,
     * and would only sleep again. */
    if (p->thread_count > 1)
        mm_leave(p->mm);
    u64 blocked_work = p->sig_pending & ~t->sig_mask;
    t->exited = 1;
    tracee_thread_end_locked(t, status);
    if (blocked_work)
        signal_retarget_locked(t, blocked_work);
    p->ended_cpu += thread_cpu_time(t);
    p->ended_system += t->system_time;
    t->utime_last = 0;
    list_del(&t->siblings);
    signal_flush_queue(&t->sig_queue, &t->sig_pending, ~0ull);
    bool last = --p->thread_count == 0;
    if (last && !p->group_exit) {
        p->group_exit = true;
        p->exit_status = status;
    }
    if (p->exec_thread && p->thread_count == 1)
        thread_wake(p->exec_thread);
    core_thread_gone_locked(p);
    mutex_unlock(&g_process_lock);
    keys_thread_drop(t);
    seccomp_put(t->seccomp);
    t->seccomp = NULL;
    if (last)
        process_end(p);
    t->process = &g_kernel_process;
    process_put(p);
    thread_finish();
}

long sys_exit(int status)
{
    thread_exit(((u32)status & 0xff) << 8);
}

long sys_exit_group(int status)
{
    process_exit_group(((u32)status & 0xff) << 8);
}
