/* SPDX-License-Identifier: Apache-2.0 */
/* The process tree: objects, identifiers, look-up. Life and death are in clone.c, exec.c and
 * exit.c. */
#include "tracee.h"
#include <linux/capability.h>

struct process *g_init;

static i32 g_last_pid;
static bool g_pids_chosen; /* the next number may be in use: after a round, or a program chose */

static void process_set_up(struct process *p)
{
    ref_init(&p->refs);
    list_init(&p->children);
    list_init(&p->sibling);
    list_init(&p->all);
    list_init(&p->threads);
    list_init(&p->sig_queue);
    list_init(&p->tracees);
    waitq_init(&p->wait_children);
    waitq_init(&p->exit_wait);
    waitq_init(&p->signal_wait);
    waitq_init(&p->vfork_wait);
    waitq_init(&p->stop_wait);
    p->dumpable = 1;
    p->start_time = clock_monotonic();
}

const struct process_hooks *g_process_hooks;

int process_init(const struct process_hooks *hooks)
{
    g_process_hooks = hooks;
    g_mm_kill_locked = process_begin_exit_locked;
    process_set_up(&g_kernel_process);
    g_kernel_process.state = PROCESS_RUNNING;
    g_kernel_process.rlimits[LIMIT_FSIZE] = (struct rlimit64){RLIMIT_INFINITE, RLIMIT_INFINITE};
    strlcpy(g_kernel_process.comm, "libos", sizeof(g_kernel_process.comm));
    return 0;
}

struct process *process_alloc(void)
{
    struct process *p = kzalloc(sizeof(*p));
    if (p)
        process_set_up(p);
    return p;
}

struct process *process_get(struct process *p)
{
    ref_get(&p->refs);
    return p;
}

void process_put(struct process *p)
{
    if (!p || p == &g_kernel_process || !ref_put(&p->refs))
        return;
    /* Whatever a process holds was given back when it ended, except when it was never started. */
    if (p->files)
        files_put(p->files);
    if (p->fs)
        fs_context_put(p->fs);
    if (p->mm)
        mm_put(p->mm);
    if (p->sighand && ref_put(&p->sighand->refs))
        kfree(p->sighand);
    signal_flush_queue(&p->sig_queue, &p->sig_pending, ~0ull);
    keys_drop(p, true);
    if (p->session)
        session_put(p->session);
    kfree(p->cred.groups);
    kfree(p);
}

struct session *session_create(i32 sid)
{
    struct session *s = kzalloc(sizeof(*s));
    if (!s)
        return NULL;
    ref_init(&s->refs);
    s->sid = sid;
    s->foreground = sid;
    return s;
}

void session_put(struct session *s)
{
    if (ref_put(&s->refs))
        kfree(s);
}

/* A number is taken while a process, thread, group or session has it. */
static bool pid_used_locked(i32 pid)
{
    struct process *p;
    list_for_each_entry (p, &g_processes, all) {
        if (p->pid == pid || p->pgid == pid || (p->session && p->session->sid == pid))
            return true;
        struct thread *t;
        list_for_each_entry (t, &p->threads, siblings)
            if (t->tid == pid)
                return true;
    }
    return false;
}

i32 pid_allocate(void)
{
    mutex_lock(&g_process_lock);
    i32 pid = g_last_pid;
    do {
        if (++pid >= PID_MAX) {
            pid = 300; /* as Linux: low numbers stay with long-lived daemons */
            g_pids_chosen = true;
        }
    } while (g_pids_chosen && pid_used_locked(pid));
    g_last_pid = pid;
    mutex_unlock(&g_process_lock);
    return pid;
}

i32 pid_last(void)
{
    mutex_lock(&g_process_lock);
    i32 pid = g_last_pid;
    mutex_unlock(&g_process_lock);
    return pid;
}

int pid_set_last(i32 pid)
{
    if (!capable(CAP_SYS_ADMIN) && !capable(CAP_CHECKPOINT_RESTORE))
        return -EPERM;
    if (pid < 0 || pid >= PID_MAX)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    g_last_pid = pid;
    g_pids_chosen = true;
    mutex_unlock(&g_process_lock);
    return 0;
}

struct process *process_find(i32 pid)
{
    struct process *p, *found = NULL;
    mutex_lock(&g_process_lock);
    list_for_each_entry (p, &g_processes, all)
        if (p->pid == pid) {
            found = process_get(p);
            break;
        }
    mutex_unlock(&g_process_lock);
    return found;
}

struct thread *thread_find(i32 tid)
{
    struct process *p;
    list_for_each_entry (p, &g_processes, all) {
        struct thread *t;
        list_for_each_entry (t, &p->threads, siblings)
            if (t->tid == tid)
                return t;
    }
    return NULL;
}

void process_publish_locked(struct process *p, struct process *parent)
{
    p->parent = parent;
    if (parent)
        list_add_tail(&p->sibling, &parent->children);
    list_add_tail(&p->all, &g_processes);
    if (p->pid == 1)
        g_init = p;
    timers_cpu_limit_locked(p);
}

void process_reap_locked(struct process *p)
{
    if (p->reaped)
        return;
    p->reaped = true;
    list_del(&p->sibling);
    list_del(&p->all);
    p->parent = NULL;
    process_put(p);
}

struct thread *process_thread_add(struct process *p, i32 tid)
{
    struct thread *t = thread_alloc(p);
    if (!t)
        return NULL;
    t->process = process_get(p);
    t->tid = tid;
    list_init(&t->sig_queue);
    mutex_lock(&g_process_lock);
    list_init(&t->siblings);
    list_add_tail(&t->siblings, &p->threads);
    p->thread_count++;
    mutex_unlock(&g_process_lock);
    return t;
}

char process_state_char(struct process *p, i32 tid)
{
    const struct thread *t, *main = NULL;
    list_for_each_entry (t, &p->threads, siblings)
        if (t->tid == (tid ? tid : p->pid) && t->tracee && t->tracee->stopped)
            return 't';
    if (p->state == PROCESS_STOPPED || p->state == PROCESS_ZOMBIE)
        return p->state == PROCESS_STOPPED ? 'T' : 'Z';
    list_for_each_entry (t, &p->threads, siblings)
        if (!main || t->tid == (tid ? tid : p->pid))
            main = t;
    return main && (p->state == PROCESS_NEW || __atomic_load_n(&main->asleep, __ATOMIC_ACQUIRE))
               ? 'S'
               : 'R';
}

int process_groups_copy(struct cred *to, const struct cred *from)
{
    u32 count = cred_groups(from, NULL, 0), room;
    *to = *from;
    to->groups = NULL;
    to->group_count = 0;
    do { /* another thread's setgroups() may make them more */
        room = count;
        kfree(to->groups);
        to->groups = room ? kmalloc(room * sizeof(u32)) : NULL;
        if (room && !to->groups)
            return -ENOMEM;
        count = cred_groups(from, to->groups, room);
    } while (count > room);
    to->group_count = count;
    return 0;
}

bool process_group_orphaned(i32 pgid)
{
    struct process *p;
    list_for_each_entry (p, &g_processes, all) {
        if (p->pgid != pgid || p->state == PROCESS_ZOMBIE || !p->parent || p->pid == 1)
            continue;
        if (p->parent->pgid != pgid && p->parent->session == p->session)
            return false;
    }
    return true;
}

void process_thread_remove(struct thread *t)
{
    struct process *p = t->process;
    mutex_lock(&g_process_lock);
    list_del(&t->siblings);
    p->thread_count--;
    if (t->tracee)
        tracee_forget_locked(t->tracee);
    mutex_unlock(&g_process_lock);
    seccomp_put(t->seccomp);
    t->seccomp = NULL;
    thread_release(t);
    process_put(p);
}
