/* SPDX-License-Identifier: Apache-2.0 */
/* Process, group and session numbers. */
#include "proc.h"

long sys_getpid(void)
{
    return current_process()->pid;
}

long sys_gettid(void)
{
    return current()->tid;
}

long sys_getppid(void)
{
    mutex_lock(&g_process_lock);
    struct process *parent = current_process()->parent;
    i32 pid = parent ? parent->pid : 0;
    mutex_unlock(&g_process_lock);
    return pid;
}

static struct process *find_locked(i32 pid)
{
    struct process *p;
    if (pid == 0)
        return current_process();
    list_for_each_entry (p, &g_processes, all)
        if (p->pid == pid)
            return p;
    return NULL;
}

long sys_getpgid(int pid)
{
    mutex_lock(&g_process_lock);
    struct process *p = find_locked(pid);
    long r = p ? p->pgid : -ESRCH;
    mutex_unlock(&g_process_lock);
    return r;
}

long sys_getpgrp(void)
{
    return current_process()->pgid;
}

long sys_getsid(int pid)
{
    mutex_lock(&g_process_lock);
    struct process *p = find_locked(pid);
    long r = p && p->session ? p->session->sid : -ESRCH;
    mutex_unlock(&g_process_lock);
    return r;
}

static bool group_in_session_locked(i32 pgid, const struct session *s)
{
    struct process *p;
    list_for_each_entry (p, &g_processes, all)
        if (p->pgid == pgid && p->session == s)
            return true;
    return false;
}

static long setpgid_locked(i32 pid, i32 pgid)
{
    struct process *me = current_process(), *p = find_locked(pid);
    if (!p)
        return -ESRCH;
    if (pgid == 0)
        pgid = p->pid;
    if (p != me) {
        if (p->parent != me)
            return -ESRCH;
        if (p->session != me->session)
            return -EPERM;
        if (p->exec_done)
            return -EACCES;
    }
    if (p->session && p->session->sid == p->pid)
        return -EPERM;
    if (pgid != p->pid && !group_in_session_locked(pgid, me->session))
        return -EPERM;
    p->pgid = pgid;
    return 0;
}

long sys_setpgid(int pid, int group)
{
    if (group < 0 || pid < 0)
        return group < 0 ? -EINVAL : -ESRCH;
    mutex_lock(&g_process_lock);
    long r = setpgid_locked(pid, group);
    mutex_unlock(&g_process_lock);
    return r;
}

long sys_setsid(void)
{
    struct process *me = current_process(), *p;
    struct session *new = session_create(me->pid), *old = NULL;
    long r = me->pid;
    if (!new)
        return -ENOMEM;
    new->foreground = 0;
    mutex_lock(&g_process_lock);
    if (me->session && me->session->sid == me->pid)
        r = -EPERM;
    list_for_each_entry (p, &g_processes, all)
        if (p->pgid == me->pid)
            r = -EPERM;
    if (r > 0) {
        old = me->session;
        me->session = new;
        me->pgid = me->pid;
    }
    mutex_unlock(&g_process_lock);
    if (r < 0)
        session_put(new);
    else if (old)
        session_put(old);
    return r;
}
