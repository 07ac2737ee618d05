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

long sys_prlimit64(int pid, u32 resource, uaddr limit, uaddr user_old)
{
    struct rlimit64 new, old;
    if (limit.at && get_user(new, limit) < 0)
        return -EFAULT;
    long r = limit_change(pid, resource, limit.at ? &new : NULL, &old);
    if (r == 0 && user_old.at && copy_to_user(user_old, &old, sizeof(old)) < 0)
        r = -EFAULT;
    return r;
}

long sys_getrlimit(u32 resource, uaddr limit)
{
    return sys_prlimit64(0, resource, user_at(0), limit);
}

long sys_setrlimit(u32 resource, uaddr limit)
{
    return limit.at ? sys_prlimit64(0, resource, limit, user_at(0)) : -EFAULT;
}

long sys_getrusage(int who, uaddr usage)
{
    struct rusage u;
    if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD)
        return -EINVAL;
    process_note_rss(current_process());
    mutex_lock(&g_process_lock);
    rusage_fill(current_process(), who == RUSAGE_CHILDREN, &u);
    if (who == RUSAGE_THREAD)
        rusage_set_cpu(&u, thread_cpu_times(current()));
    mutex_unlock(&g_process_lock);
    return copy_to_user(usage, &u, sizeof(u));
}

#define TICK_NS 10000000

long sys_times(uaddr times)
{
    struct process *p = current_process();
    mutex_lock(&g_process_lock);
    struct cpu_times cpu = process_cpu_times(p);
    struct tms t = {
        .tms_utime = (long)(cpu.user / TICK_NS),
        .tms_stime = (long)(cpu.system / TICK_NS),
        .tms_cutime = (long)(p->children_cpu.user / TICK_NS),
        .tms_cstime = (long)(p->children_cpu.system / TICK_NS),
    };
    mutex_unlock(&g_process_lock);
    if (times.at && copy_to_user(times, &t, sizeof(t)) < 0)
        return -EFAULT;
    return (long)(clock_monotonic() / TICK_NS);
}
