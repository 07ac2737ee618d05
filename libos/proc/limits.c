/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits and usage. */
#include "proc.h"
#include <linux/capability.h>
#include "resource.h"
#include <linux/times.h>

static int limit_set_locked(struct process *p, u32 resource, const struct rlimit64 *new)
{
    struct rlimit64 *old = &p->rlimits[resource];
    if (new->soft > new->hard)
        return -EINVAL;
    if (new->hard > old->hard && !capable(CAP_SYS_RESOURCE))
        return -EPERM;
    if (resource == LIMIT_NOFILE && new->hard > 1048576)
        return -EPERM; /* fs.nr_open */
    *old = *new;
    if (resource == LIMIT_CPU)
        timers_cpu_limit_locked(p);
    return 0;
}

static long limit_change(i32 pid, u32 resource, const struct rlimit64 *new, struct rlimit64 *old)
{
    struct process *me = current_process();
    long r = 0;
    if (resource >= RLIM_NLIMITS)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    struct thread *t = pid == 0 ? current() : thread_find(pid);
    struct process *p = t ? t->process : NULL;
    if (!p) {
        r = -ESRCH;
    } else if (p != me && !capable(CAP_SYS_RESOURCE) &&
               (me->cred.uid != p->cred.euid || me->cred.uid != p->cred.uid ||
                me->cred.uid != p->cred.suid)) {
        r = -EPERM;
    } else {
        *old = p->rlimits[resource];
        if (new)
            r = limit_set_locked(p, resource, new);
    }
    mutex_unlock(&g_process_lock);
    return r;
}

long sys_prlimit64(SYSCALL_ARGS)
{
    struct rlimit64 new, old;
    if (c && get_user(new, (void *)c) < 0)
        return -EFAULT;
    long r = limit_change((i32)a, (u32)b, c ? &new : NULL, &old);
    if (r == 0 && d && copy_to_user((void *)d, &old, sizeof(old)) < 0)
        r = -EFAULT;
    return r;
}

long sys_getrlimit(SYSCALL_ARGS)
{
    return sys_prlimit64(0, a, 0, b, 0, 0);
}

long sys_setrlimit(SYSCALL_ARGS)
{
    return b ? sys_prlimit64(0, a, b, 0, 0, 0) : -EFAULT;
}

long sys_getrusage(SYSCALL_ARGS)
{
    struct rusage u;
    int who = (int)a;
    if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD)
        return -EINVAL;
    process_note_rss(current_process());
    mutex_lock(&g_process_lock);
    rusage_fill(current_process(), who == RUSAGE_CHILDREN, &u);
    if (who == RUSAGE_THREAD) {
        u64 ns = thread_cpu_time(current());
        u.ru_utime.tv_sec = (long)(ns / 1000000000);
        u.ru_utime.tv_usec = (long)(ns % 1000000000 / 1000);
    }
    mutex_unlock(&g_process_lock);
    return copy_to_user((void *)b, &u, sizeof(u));
}

#define TICK_NS 10000000

long sys_times(SYSCALL_ARGS)
{
    struct process *p = current_process();
    mutex_lock(&g_process_lock);
    struct tms t = {
        .tms_utime = (long)(process_cpu_time(p) / TICK_NS),
        .tms_cutime = (long)(p->cutime / TICK_NS),
        .tms_cstime = (long)(p->cstime / TICK_NS),
    };
    mutex_unlock(&g_process_lock);
    if (a && copy_to_user((void *)a, &t, sizeof(t)) < 0)
        return -EFAULT;
    return (long)(clock_monotonic() / TICK_NS);
}
