/* SPDX-License-Identifier: Apache-2.0 */
/* clone, clone3, fork, vfork: new threads and processes from the calling one. */
#include "tracee.h"
#include <linux/sched.h>

#define CLONE_NAMESPACES                                                                          \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET)

struct clone_request {
    u64 flags;
    u64 stack; /* 0: the parent's */
    u64 parent_tid, child_tid, tls, pidfd;
    i32 exit_signal;
};

static int check(const struct clone_request *r)
{
    u64 f = r->flags;
    if ((f & CLONE_FS) && (f & (CLONE_NEWNS | CLONE_NEWUSER)))
        return -EINVAL;
    if (f & CLONE_NAMESPACES)
        return -EPERM;
    if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND))
        return -EINVAL;
    if ((f & CLONE_SIGHAND) && !(f & CLONE_VM))
        return -EINVAL;
    if ((f & CLONE_SIGHAND) && (f & CLONE_CLEAR_SIGHAND))
        return -EINVAL;
    if ((f & CLONE_SETTLS) && r->tls >> 47)
        return -EPERM;
    /* Nobody makes children for the parent of process 1. */
    if ((f & CLONE_PARENT) && current_process() == g_init)
        return -EINVAL;
    if ((f & CLONE_PIDFD) && (f & (CLONE_THREAD | CLONE_DETACHED)))
        return -EINVAL;
    if (r->exit_signal < 0 || r->exit_signal > NSIG)
        return -EINVAL;
    return 0;
}

static int share_or_copy_sighand(struct process *child, struct process *parent, u64 flags)
{
    if (flags & CLONE_SIGHAND) {
        child->sighand = parent->sighand;
        ref_get(&child->sighand->refs);
        return 0;
    }
    child->sighand = kmalloc(sizeof(*child->sighand));
    if (!child->sighand)
        return -ENOMEM;
    mutex_lock(&g_process_lock);
    *child->sighand = *parent->sighand;
    mutex_unlock(&g_process_lock);
    ref_init(&child->sighand->refs);
    if (flags & CLONE_CLEAR_SIGHAND)
        for (int i = 0; i < NSIG; i++)
            if (child->sighand->action[i].handler != HANDLER_IGN)
                memset(&child->sighand->action[i], 0, sizeof(struct ksigaction));
    return 0;
}

static int share_or_copy(struct process *child, struct process *parent, u64 flags)
{
    int r = process_groups_copy(&child->cred, &parent->cred);
    if (r == 0)
        r = share_or_copy_sighand(child, parent, flags);
    if (r < 0)
        return r;
    keys_copy(child, parent);
    if (flags & CLONE_FILES)
        ref_get(&parent->files->refs);
    child->files = (flags & CLONE_FILES) ? parent->files : files_copy(parent->files);
    if (flags & CLONE_FS)
        ref_get(&parent->fs->refs);
    child->fs = (flags & CLONE_FS) ? parent->fs : fs_context_copy(parent->fs);
    if (!child->files || !child->fs)
        return -ENOMEM;
    memcpy(child->rlimits, parent->rlimits, sizeof(child->rlimits));
    memcpy(child->comm, current()->comm, sizeof(child->comm));
    child->dumpable = parent->dumpable;
    child->personality = parent->personality;
    child->oom_score_adj = parent->oom_score_adj;
    child->nice = parent->nice;
    child->ioprio = parent->ioprio;
    return 0;
}

static u32 process_count_of(u32 uid)
{
    struct process *p;
    u32 n = 0;
    list_for_each_entry (p, &g_processes, all)
        if (p->cred.uid == uid)
            n += MAX(p->thread_count, 1u);
    return n;
}

static bool process_limit_reached(struct process *p)
{
    u64 limit = p->rlimits[LIMIT_NPROC].soft;
    if (limit == RLIMIT_INFINITE || p->cred.uid == 0)
        return false;
    mutex_lock(&g_process_lock);
    bool reached = process_count_of(p->cred.uid) >= limit;
    mutex_unlock(&g_process_lock);
    return reached && !capable(24 /* CAP_SYS_RESOURCE */) && !capable(21 /* CAP_SYS_ADMIN */);
}

static void thread_set_up(struct thread *t, const struct clone_request *r)
{
    struct thread *me = current();
    t->fs_base = (r->flags & CLONE_SETTLS) ? r->tls : me->fs_base;
    t->sig_mask = me->sig_mask;
    t->nice = me->nice;
    t->timer_slack = t->timer_slack_default = me->timer_slack;
    memcpy(t->affinity, me->affinity, sizeof(t->affinity));
    t->mempolicy = me->mempolicy;
    bool resets = me->policy & SCHED_RESET_ON_FORK;
    t->policy = resets ? SCHED_NORMAL : me->policy;
    t->priority = resets ? 0 : me->priority;
    if (resets)
        t->nice = MAX(t->nice, 0);
    memcpy(t->deadline, me->deadline, sizeof(t->deadline));
    memcpy(t->comm, me->comm, sizeof(t->comm));
    if (r->flags & CLONE_CHILD_CLEARTID)
        t->clear_child_tid = r->child_tid;
    if (r->flags & CLONE_CHILD_SETTID) {
        t->set_child_tid = r->child_tid; /* written by attention_handle(), in the child */
        t->attention = ATTENTION_SIGNAL;
    }
    /* Linux: a new thread, or one that shares memory without vfork, has no alternate stack. */
    if (!(r->flags & CLONE_VM) || (r->flags & CLONE_VFORK)) {
        t->altstack_base = me->altstack_base;
        t->altstack_size = me->altstack_size;
        t->altstack_flags = me->altstack_flags;
    }
    seccomp_copy(t, me);
    t->request_keyring = me->request_keyring;
    vector_copy_to(t);
}

static void child_regs(struct uregs *regs, const struct clone_request *r)
{
    *regs = *current()->regs;
    regs->rax = 0;
    regs->orig_rax = (u64)-1;
    if (r->stack)
        regs->rsp = r->stack;
}

static long clone_thread(const struct clone_request *r)
{
    struct process *p = current_process();
    struct uregs regs;
    if (process_limit_reached(p))
        return -EAGAIN;
    i32 tid = pid_allocate();
    struct thread *t = process_thread_add(p, tid);
    if (!t)
        return -EAGAIN;
    thread_set_up(t, r);
    child_regs(&regs, r);
    if ((r->flags & CLONE_PARENT_SETTID) && put_user(tid, user_at(r->parent_tid)) < 0) {
        process_thread_remove(t);
        return -EFAULT;
    }
    mutex_lock(&g_process_lock);
    /* A process that is ending, or about to exec, takes no new members. */
    bool ending = p->group_exit || p->exec_thread;
    if (p->state == PROCESS_STOPPED)
        t->attention |= ATTENTION_STOP;
    mutex_unlock(&g_process_lock);
    tracee_inherit(t, r->flags, PTRACE_EVENT_CLONE);
    int started = ending ? -EAGAIN : thread_start(t, &regs);
    if (started < 0) {
        process_thread_remove(t);
        return -EAGAIN;
    }
    tracee_event(PTRACE_EVENT_CLONE, (u64)tid);
    return tid;
}

/* Until the child execs or ends. Only death interrupts it. */
static void vfork_wait(struct process *child)
{
    struct wait_entry e;
    struct process *me = current_process();
    waitq_add(&child->vfork_wait, &e);
    while (__atomic_load_n(&child->vfork_pending, __ATOMIC_ACQUIRE) && !me->group_exit &&
           !(me->exec_thread && me->exec_thread != current()))
        thread_wait(NO_DEADLINE, false, NULL, 0);
    waitq_remove(&e);
}

static struct process *tree_parent(struct process *me, u64 flags)
{
    return (flags & CLONE_PARENT) && me->parent ? me->parent : me;
}

static int prepare_process(struct process *child, const struct clone_request *r)
{
    struct process *me = current_process();
    int r2 = share_or_copy(child, me, r->flags);
    if (r2 < 0)
        return r2;
    child->pid = pid_allocate();
    /* A signal for somebody else's parent is not the caller's to choose. */
    child->exit_signal = r->flags & CLONE_PARENT ? me->exit_signal : r->exit_signal;
    child->vfork_pending = r->flags & CLONE_VFORK;
    child->state = PROCESS_RUNNING;
    if (r->flags & CLONE_PIDFD) {
        int fd = pidfd_create(child, 0);
        if (fd < 0)
            return fd;
        if (put_user((i32)fd, user_at(r->pidfd)) < 0) {
            fd_close(fd);
            return -EFAULT;
        }
    }
    if ((r->flags & CLONE_PARENT_SETTID) && put_user(child->pid, user_at(r->parent_tid)) < 0)
        return -EFAULT;
    return 0;
}

static void publish(struct process *child, u64 flags)
{
    struct process *me = current_process();
    mutex_lock(&g_process_lock);
    child->pgid = me->pgid;
    child->session = me->session;
    if (child->session)
        ref_get(&child->session->refs);
    process_publish_locked(child, tree_parent(me, flags));
    process_get(child); /* the tree's */
    mutex_unlock(&g_process_lock);
}

static u32 event_of(const struct clone_request *r)
{
    if (r->flags & CLONE_VFORK)
        return PTRACE_EVENT_VFORK;
    return r->exit_signal == SIGCHLD ? PTRACE_EVENT_FORK : PTRACE_EVENT_CLONE;
}

static long clone_process(const struct clone_request *r)
{
    struct process *me = current_process();
    struct uregs regs;
    if (process_limit_reached(me))
        return -EAGAIN;
    struct process *child = process_alloc();
    if (!child)
        return -ENOMEM;
    int e = prepare_process(child, r);
    i32 pid = child->pid;
    struct thread *t = e < 0 ? NULL : process_thread_add(child, pid);
    if (!t) {
        process_put(child);
        return e < 0 ? e : -EAGAIN;
    }
    thread_set_up(t, r);
    child_regs(&regs, r);
    struct mm *mm = me->mm;
    if (r->flags & CLONE_VM)
        child->mm = mm_get(mm);
    else
        e = mm_fork(mm, &child->mm); /* gives up residency: no user memory from here on */
    u32 event = event_of(r);
    if (e == 0) {
        publish(child, r->flags);
        tracee_inherit(t, r->flags, event);
    }
    if (e == 0 && thread_start(t, &regs) < 0) {
        e = -EAGAIN;
        mutex_lock(&g_process_lock);
        process_reap_locked(child);
        mutex_unlock(&g_process_lock);
    }
    if (e < 0) {
        process_thread_remove(t);
        process_put(child);
        mm_enter(mm);
        return e;
    }
    if (!(r->flags & CLONE_UNTRACED))
        tracee_event(event, (u64)pid);
    if (r->flags & CLONE_VFORK) {
        vfork_wait(child);
        tracee_event(PTRACE_EVENT_VFORK_DONE, (u64)pid);
    }
    process_put(child);
    mm_enter(mm);
    return pid;
}

static long do_clone(const struct clone_request *r)
{
    int e = check(r);
    if (e < 0)
        return e;
    return (r->flags & CLONE_THREAD) ? clone_thread(r) : clone_process(r);
}

long sys_clone(u64 flags, u64 stack, uaddr parent_tid, uaddr child_tid, u64 tls)
{
    struct clone_request r = {
        .flags = flags & 0xffffffffu & ~(u64)CSIGNAL,
        .exit_signal = (i32)(flags & CSIGNAL),
        .stack = stack,
        .parent_tid = parent_tid.at,
        .pidfd = parent_tid.at,
        .child_tid = child_tid.at,
        .tls = tls,
    };
    if ((r.flags & CLONE_PIDFD) && (r.flags & CLONE_PARENT_SETTID))
        return -EINVAL;
    return do_clone(&r);
}

long sys_clone3(uaddr arguments, u64 size)
{
    struct clone_args args = {0};
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    if (copy_from_user(&args, arguments, MIN(size, sizeof(args))) < 0)
        return -EFAULT;
    for (u64 i = sizeof(args); i < size; i++) {
        u8 extra;
        if (get_user(extra, user_plus(arguments, i)) < 0)
            return -EFAULT;
        if (extra)
            return -E2BIG;
    }
    if (args.set_tid_size || args.cgroup || (args.flags & CLONE_INTO_CGROUP))
        return args.set_tid_size ? -EPERM : -EOPNOTSUPP;
    if ((args.flags & (CSIGNAL | CLONE_DETACHED)) || args.exit_signal > NSIG)
        return -EINVAL;
    if (!args.stack != !args.stack_size)
        return -EINVAL;
    if ((args.flags & (CLONE_THREAD | CLONE_PARENT)) && args.exit_signal)
        return -EINVAL;
    struct clone_request r = {
        .flags = args.flags,
        .exit_signal = (i32)args.exit_signal,
        .stack = args.stack ? args.stack + args.stack_size : 0,
        .parent_tid = args.parent_tid,
        .pidfd = args.pidfd,
        .child_tid = args.child_tid,
        .tls = args.tls,
    };
    return do_clone(&r);
}

long sys_fork(void)
{
    struct clone_request r = {.exit_signal = SIGCHLD};
    return do_clone(&r);
}

long sys_vfork(void)
{
    struct clone_request r = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};
    return do_clone(&r);
}

long sys_set_tid_address(uaddr tid)
{
    current()->clear_child_tid = tid.at;
    return current()->tid;
}
