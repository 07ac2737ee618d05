/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of signals. */
#include "proc.h"
#include <linux/capability.h>

static bool valid_signal(long sig)
{
    return sig >= 1 && sig <= NSIG;
}

long sys_rt_sigaction(int signal, uaddr action, uaddr user_old, u64 set_size)
{
    struct process *p = current_process();
    struct ksigaction new, old;
    if (set_size != 8 || !valid_signal(signal))
        return -EINVAL;
    if (action.at && (SIG_BIT(signal) & SIG_UNBLOCKABLE))
        return -EINVAL;
    if (action.at && copy_from_user(&new, action, sizeof(new)) < 0)
        return -EFAULT;
    mutex_lock(&g_process_lock);
    old = p->sighand->action[signal - 1];
    if (action.at) {
        new.mask &= ~SIG_UNBLOCKABLE;
        p->sighand->action[signal - 1] = new;
        /* POSIX: what becomes ignored while it is pending is thrown away. */
        if (new.handler == HANDLER_IGN ||
            (new.handler == HANDLER_DFL &&signal_default_ignored(signal))) {
            struct thread *t;
            signal_flush_queue(&p->sig_queue, &p->sig_pending, SIG_BIT(signal));
            list_for_each_entry (t, &p->threads, siblings)
                signal_flush_queue(&t->sig_queue, &t->sig_pending, SIG_BIT(signal));
        }
    }
    mutex_unlock(&g_process_lock);
    if (user_old.at && copy_to_user(user_old, &old, sizeof(old)) < 0)
        return -EFAULT;
    return 0;
}

long sys_rt_sigprocmask(int how, uaddr user_set, uaddr user_old, u64 set_size)
{
    struct thread *t = current();
    u64 set, old = t->sig_mask;
    if (set_size != 8)
        return -EINVAL;
    if (user_set.at) {
        if (get_user(set, user_set) < 0)
            return -EFAULT;
        switch (how) {
        case SIG_BLOCK:
            set = old | set;
            break;
        case SIG_UNBLOCK:
            set = old & ~set;
            break;
        case SIG_SETMASK:
            break;
        default:
            return -EINVAL;
        }
        mutex_lock(&g_process_lock);
        signal_set_mask_locked(t, set);
        mutex_unlock(&g_process_lock);
    }
    if (user_old.at && put_user(old, user_old) < 0)
        return -EFAULT;
    return 0;
}

long sys_rt_sigpending(uaddr user_set, u64 set_size)
{
    u64 set = signal_pending_set() & current()->sig_mask;
    if (set_size > 8)
        return -EINVAL;
    return copy_to_user(user_set, &set, set_size);
}

long sys_rt_sigsuspend(uaddr user_set, u64 set_size)
{
    u64 set;
    if (set_size != 8)
        return -EINVAL;
    if (get_user(set, user_set) < 0)
        return -EFAULT;
    signal_mask_set_temporary(set);
    while (!signal_pending())
        if (thread_wait(NO_DEADLINE, true, NULL, 0) == -EINTR)
            break;
    return -ERESTARTNOHAND;
}

long sys_pause(void)
{
    while (!signal_pending())
        if (thread_wait(NO_DEADLINE, true, NULL, 0) == -EINTR)
            break;
    return -ERESTARTNOHAND;
}

long sys_rt_sigtimedwait(uaddr user_set, uaddr user_info, uaddr timeout, u64 set_size)
{
    struct process *p = current_process();
    u64 set, ns, deadline = NO_DEADLINE;
    if (set_size != 8)
        return -EINVAL;
    if (get_user(set, user_set) < 0)
        return -EFAULT;
    if (timeout.at) {
        int r = timespec_from_user(timeout, &ns);
        if (r < 0)
            return r;
        deadline = clock_monotonic() + ns;
    }
    struct siginfo_k info;
    struct wait_entry entry;
    int sig, r = 0;
    waitq_add(&p->signal_wait, &entry);
    while (!(sig = signal_dequeue(set, &info)) && r == 0) {
        if (timeout.at && ns == 0)
            r = -ETIMEDOUT;
        else
            r = thread_wait(deadline, true, NULL, 0);
    }
    waitq_remove(&entry);
    if (!sig)
        return r == -ETIMEDOUT ? -EAGAIN : -EINTR;
    if (user_info.at) {
        u8 out[128];
        siginfo_encode(&info, out);
        if (copy_to_user(user_info, out, sizeof(out)) < 0)
            return -EFAULT;
    }
    return sig;
}

/* As Linux: root's CAP_KILL, equal ids, or SIGCONT within the session. */
static bool may_signal(const struct process *p, int sig)
{
    const struct process *me = current_process();
    const struct cred *c = &me->cred, *o = &p->cred;
    if (cred_capable(c, CAP_KILL) || c->euid == o->suid || c->euid == o->uid || c->uid == o->suid ||
        c->uid == o->uid)
        return true;
    return sig == SIGCONT && p->session == me->session;
}

static int send_checked_locked(struct process *p, const struct siginfo_k *info, int sig)
{
    if (!may_signal(p, sig))
        return -EPERM;
    return sig ? signal_send_process_locked(p, info, false) : 0;
}

static struct process *find_locked(i32 pid)
{
    struct process *p;
    list_for_each_entry (p, &g_processes, all)
        if (p->pid == pid)
            return p;
    return NULL;
}

/* pid of another thread of a process works too, as in Linux. */
static struct process *find_any_locked(i32 pid)
{
    struct process *p = find_locked(pid);
    if (!p) {
        struct thread *t = thread_find(pid);
        p = t ? t->process : NULL;
    }
    return p;
}

static int kill_many_locked(i32 pid, const struct siginfo_k *info, int sig)
{
    struct process *p, *n;
    struct process *me = current_process();
    i32 pgid = pid == 0 ? me->pgid : -pid;
    int r = -ESRCH, done = 0;
    list_for_each_entry_safe (p, n, &g_processes, all) {
        if (pid == -1 ? (p == me || p->pid == 1) : p->pgid != pgid)
            continue;
        int one = send_checked_locked(p, info, sig);
        if (one == 0)
            done++;
        else if (one != -EPERM || r == -ESRCH)
            r = one;
    }
    return done ? 0 : r;
}

static struct siginfo_k info_of_me(int sig, int code)
{
    struct process *me = current_process();
    return (struct siginfo_k){.signo = sig, .code = code, .pid = me->pid, .uid = me->cred.uid};
}

long sys_kill(int pid, int signal)
{
    int sig = signal, r;
    if (sig != 0 && !valid_signal(sig))
        return -EINVAL;
    if (pid == INT32_MIN)
        return -ESRCH;
    struct siginfo_k info = info_of_me(sig, SI_USER);
    mutex_lock(&g_process_lock);
    if (pid > 0) {
        struct process *p = find_any_locked(pid);
        r = p ? send_checked_locked(p, &info, sig) : -ESRCH;
    } else {
        r = kill_many_locked(pid, &info, sig);
    }
    mutex_unlock(&g_process_lock);
    return r;
}

static long send_to_thread(i32 tgid, i32 tid, int sig, const struct siginfo_k *info)
{
    if (tid <= 0 || (sig != 0 && !valid_signal(sig)))
        return -EINVAL;
    mutex_lock(&g_process_lock);
    struct thread *t = thread_find(tid);
    long r = 0;
    if (!t || (tgid > 0 && t->process->pid != tgid)) {
        /* A main thread that has ended, or a zombie, still has its number. */
        struct process *p = find_locked(tid);
        r = p && (tgid <= 0 || tgid == tid) ? 0 : -ESRCH;
    } else if (!may_signal(t->process, sig)) {
        r = -EPERM;
    } else if (sig) {
        r = signal_send_thread_locked(t, info, false);
    }
    mutex_unlock(&g_process_lock);
    return r;
}

long sys_tkill(int tid, int signal)
{
    struct siginfo_k info = info_of_me(signal, SI_TKILL);
    return send_to_thread(0, tid, signal, &info);
}

long sys_tgkill(int group, int tid, int signal)
{
    struct siginfo_k info = info_of_me(signal, SI_TKILL);
    if (group <= 0)
        return -EINVAL;
    return send_to_thread(group, tid, signal, &info);
}

static int siginfo_decode(struct siginfo_k *info, int sig, uaddr user)
{
    u8 raw[128];
    if (copy_from_user(raw, user, sizeof(raw)) < 0)
        return -EFAULT;
    *info = (struct siginfo_k){.signo = sig};
    memcpy(&info->err, raw + 4, 4);
    memcpy(&info->code, raw + 8, 4);
    memcpy(&info->pid, raw + 16, 4);
    memcpy(&info->uid, raw + 20, 4);
    memcpy(&info->value, raw + 24, 8);
    return 0;
}

/* Only the kernel may say that it was the kernel, or kill(). */
static bool may_say(const struct siginfo_k *info, i32 pid)
{
    return (info->code < 0 && info->code != SI_TKILL) || pid == current_process()->pid;
}

long sys_rt_sigqueueinfo(int pid, int signal, uaddr user_info)
{
    struct siginfo_k info;
    int sig = signal;
    int r = siginfo_decode(&info, sig, user_info);
    if (r < 0)
        return r;
    if (!may_say(&info, pid))
        return -EPERM;
    if (sig != 0 && !valid_signal(sig))
        return -EINVAL;
    mutex_lock(&g_process_lock);
    struct process *p = find_any_locked(pid);
    r = p ? send_checked_locked(p, &info, sig) : -ESRCH;
    mutex_unlock(&g_process_lock);
    return r;
}

long process_signal(struct process *p, int sig, uaddr user_info)
{
    struct siginfo_k info = info_of_me(sig, SI_USER);
    long r = user_info.at ? siginfo_decode(&info, sig, user_info) : 0;
    if (r < 0)
        return r;
    if (user_info.at && !may_say(&info, p->pid))
        return -EPERM;
    if (sig != 0 && !valid_signal(sig))
        return -EINVAL;
    mutex_lock(&g_process_lock);
    /* Not yet in the tree, or no more: its number is nobody's, or another's. */
    r = list_empty(&p->all) ? -ESRCH : send_checked_locked(p, &info, sig);
    mutex_unlock(&g_process_lock);
    return r;
}

long sys_rt_tgsigqueueinfo(int group, int tid, int signal, uaddr user_info)
{
    struct siginfo_k info;
    int r = siginfo_decode(&info, signal, user_info);
    if (r < 0)
        return r;
    if (!may_say(&info, group))
        return -EPERM;
    if (group <= 0)
        return -EINVAL;
    return send_to_thread(group, tid, signal, &info);
}
