/* SPDX-License-Identifier: Apache-2.0 */
/* Scheduling: the host decides, so policies and priorities are remembered and reported, not
 * enforced. */
#include "proc.h"
#include "host.h"
#include <linux/capability.h>
#include "resource.h"
#include <linux/sched.h>
#include <linux/sched/types.h>

static struct thread *find_locked(i32 pid)
{
    return pid == 0 ? current() : thread_find(pid);
}

long sys_sched_yield(void)
{
    mm_yield();
    host_yield();
    return 0;
}

/* Logical processors as CPUID counts them: the host's word, and only a program's pool sizes hang on
 * it. */
u32 cpu_count(void)
{
    static u32 cached;
    if (!cached) {
        struct uregs r = {.rax = 0xb, .rcx = 1};
        exception_cpuid(&r);
        u32 n = (u32)r.rbx & 0xffff;
        if (n == 0) {
            r = (struct uregs){.rax = 1};
            exception_cpuid(&r);
            n = (u32)r.rbx >> 16 & 0xff;
        }
        cached = MIN(MAX(n, 1u), 1024u);
    }
    return cached;
}

static bool mask_is_empty(const u64 *mask)
{
    for (u32 i = 0; i < 16; i++)
        if (mask[i])
            return false;
    return true;
}

/* As Linux: of what a thread asked for, what the container still has, or all of that. */
static void restrict_mask(u64 *mask, const u64 *wanted)
{
    u64 both[16];
    for (u32 i = 0; i < 16; i++)
        both[i] = mask[i] & wanted[i];
    if (!mask_is_empty(both))
        memcpy(mask, both, sizeof(both));
}

long sys_sched_getaffinity(int pid, u32 size, uaddr user_mask)
{
    u64 mask[16];
    size_t need = (cpu_count() + 63) / 64 * 8;
    if ((u64)size < need || (size & 7))
        return -EINVAL;
    container_cpus(mask);
    mutex_lock(&g_process_lock);
    struct thread *t = find_locked(pid);
    if (t)
        restrict_mask(mask, t->affinity);
    mutex_unlock(&g_process_lock);
    if (!t)
        return -ESRCH;
    return copy_to_user(user_mask, mask, need) < 0 ? -EFAULT : (long)need;
}

long sys_sched_setaffinity(int pid, u32 size, uaddr user_mask)
{
    u64 mask[16] = {0}, all[16];
    if (copy_from_user(mask, user_mask, MIN((size_t)size, sizeof(mask))) < 0)
        return -EFAULT;
    container_cpus(all);
    for (u32 i = 0; i < 16; i++)
        mask[i] &= all[i];
    struct process *me = current_process();
    long r = mask_is_empty(mask) ? -EINVAL : 0;
    mutex_lock(&g_process_lock);
    struct thread *t = find_locked(pid);
    const struct cred *cred = t ? &t->process->cred : NULL;
    if (!t)
        r = -ESRCH;
    else if (me->cred.euid != cred->euid && me->cred.euid != cred->uid && !capable(CAP_SYS_NICE))
        r = -EPERM;
    if (r == 0)
        memcpy(t->affinity, mask, sizeof(mask));
    mutex_unlock(&g_process_lock);
    return r;
}

/* ---- policies: remembered, with the rights that Linux asks for ---- */

static bool is_realtime(u32 policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

/* Does the policy exist, and fit these numbers? */
static long sched_check(const struct sched_attr *a)
{
    switch (a->sched_policy) {
    case SCHED_NORMAL:
    case SCHED_BATCH:
    case SCHED_IDLE:
        return a->sched_priority == 0 ? 0 : -EINVAL;
    case SCHED_FIFO:
    case SCHED_RR:
        return a->sched_priority >= 1 && a->sched_priority <= 99 ? 0 : -EINVAL;
    case SCHED_DEADLINE:
        return a->sched_runtime >= 1024 && a->sched_runtime <= a->sched_deadline &&
                       (!a->sched_period || a->sched_deadline <= a->sched_period) &&
                       !(a->sched_deadline >> 63)
                   ? 0
                   : -EINVAL;
    default:
        return -EINVAL;
    }
}

static long sched_may_locked(const struct thread *t, const struct sched_attr *a)
{
    const struct cred *me = &current_process()->cred, *c = &t->process->cred;
    u64 limit = t->process->rlimits[LIMIT_RTPRIO].soft;
    u32 policy = t->policy & ~(u32)SCHED_RESET_ON_FORK;
    if (capable(CAP_SYS_NICE))
        return 0;
    if (me->euid != c->uid && me->euid != c->euid)
        return -EPERM;
    if (a->sched_policy == SCHED_DEADLINE)
        return -EPERM;
    if (is_realtime(a->sched_policy) &&
        ((a->sched_policy != policy && !limit) ||
         (a->sched_priority > t->priority && a->sched_priority > limit)))
        return -EPERM;
    bool resets = a->sched_flags & SCHED_FLAG_RESET_ON_FORK;
    return (t->policy & SCHED_RESET_ON_FORK) && !resets ? -EPERM : 0;
}

/* The same for nice values, of the process or of a thread of it. */
static long may_nice_locked(const struct process *p, i32 old, i32 nice)
{
    const struct cred *me = &current_process()->cred;
    if (capable(CAP_SYS_NICE))
        return 0;
    if (me->euid != p->cred.uid && me->euid != p->cred.euid)
        return -EPERM;
    return nice < old && (u64)(20 - nice) > p->rlimits[LIMIT_NICE].soft ? -EACCES : 0;
}

static long sched_set(i32 pid, struct sched_attr *a)
{
    long r = sched_check(a);
    mutex_lock(&g_process_lock);
    struct thread *t = find_locked(pid);
    if (!t)
        r = -ESRCH;
    else if (r == 0)
        r = sched_may_locked(t, a);
    if (r == 0) {
        t->policy = a->sched_policy |
                    (a->sched_flags & SCHED_FLAG_RESET_ON_FORK ? SCHED_RESET_ON_FORK : 0);
        t->priority = a->sched_priority;
        t->deadline[0] = a->sched_runtime;
        t->deadline[1] = a->sched_deadline;
        t->deadline[2] = a->sched_period ? a->sched_period : a->sched_deadline;
    }
    mutex_unlock(&g_process_lock);
    return r;
}

static long sched_get(i32 pid, struct sched_attr *a)
{
    long r = -ESRCH;
    if (pid < 0)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    struct thread *t = find_locked(pid);
    if (t) {
        a->sched_policy = t->policy & ~(u32)SCHED_RESET_ON_FORK;
        a->sched_flags = t->policy & SCHED_RESET_ON_FORK ? SCHED_FLAG_RESET_ON_FORK : 0;
        a->sched_nice = t->nice;
        a->sched_priority = t->priority;
        if (a->sched_policy == SCHED_DEADLINE) {
            a->sched_runtime = t->deadline[0];
            a->sched_deadline = t->deadline[1];
            a->sched_period = t->deadline[2];
        }
        r = 0;
    }
    mutex_unlock(&g_process_lock);
    return r;
}

long sys_sched_getscheduler(int pid)
{
    struct sched_attr attr;
    long r = sched_get(pid, &attr);
    return r < 0 ? r
                 : (long)(attr.sched_policy |
                          (attr.sched_flags & SCHED_FLAG_RESET_ON_FORK ? SCHED_RESET_ON_FORK : 0));
}

long sys_sched_setscheduler(int pid, int policy, uaddr parameters)
{
    struct sched_attr attr = {.sched_policy = (u32)policy & ~(u32)SCHED_RESET_ON_FORK,
                              .sched_flags = policy & SCHED_RESET_ON_FORK ? SCHED_FLAG_RESET_ON_FORK
                                                                          : 0};
    i32 priority;
    if (pid < 0 || !parameters.at || policy < 0 || attr.sched_policy == SCHED_DEADLINE)
        return -EINVAL;
    if (get_user(priority, parameters) < 0)
        return -EFAULT;
    attr.sched_priority = (u32)priority;
    return sched_set(pid, &attr);
}

long sys_sched_getparam(int pid, uaddr parameters)
{
    struct sched_attr attr;
    long r = parameters.at ? sched_get(pid, &attr) : -EINVAL;
    i32 priority = r < 0 || !is_realtime(attr.sched_policy) ? 0 : (i32)attr.sched_priority;
    return r < 0 ? r : put_user(priority, parameters);
}

long sys_sched_setparam(int pid, uaddr parameters)
{
    struct sched_attr attr;
    i32 priority;
    if (!parameters.at || pid < 0)
        return -EINVAL;
    if (get_user(priority, parameters) < 0)
        return -EFAULT;
    long r = sched_get(pid, &attr);
    attr.sched_priority = (u32)priority;
    return r < 0 ? r : sched_set(pid, &attr);
}

long sys_sched_getattr(int pid, uaddr attributes, u32 size, u32 flags)
{
    struct sched_attr attr = {0};
    if (!attributes.at || pid < 0 || (u64)size < SCHED_ATTR_SIZE_VER0 || (u64)size > PAGE_SIZE ||
        flags)
        return -EINVAL;
    attr.size = (u32)MIN((u64)size, sizeof(attr));
    long r = sched_get(pid, &attr);
    return r < 0 ? r : copy_to_user(attributes, &attr, attr.size);
}

long sys_sched_setattr(int pid, uaddr attributes, u32 flags)
{
    struct sched_attr attr = {0};
    u32 size;
    if (!attributes.at || flags || pid < 0)
        return -EINVAL;
    if (get_user(size, attributes) < 0)
        return -EFAULT;
    if (!size)
        size = SCHED_ATTR_SIZE_VER0;
    if (size < SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE) {
        u32 known = sizeof(attr);
        return put_user(known, attributes) < 0 ? -EFAULT : -E2BIG;
    }
    if (copy_from_user(&attr, attributes, MIN(size, sizeof(attr))) < 0)
        return -EFAULT;
    if ((i32)attr.sched_policy < 0 || (attr.sched_flags & ~0x7full))
        return -EINVAL;
    bool fair = !is_realtime(attr.sched_policy) && attr.sched_policy != SCHED_DEADLINE;
    i32 nice = MIN(MAX(attr.sched_nice, -20), 19);
    if (pid == 0 && fair && may_nice_locked(current_process(), current()->nice, nice) < 0)
        return -EPERM;
    long r = sched_set(pid, &attr);
    if (r == 0 && fair && pid == 0)
        current()->nice = nice;
    return r;
}

long sys_sched_get_priority_max(int policy)
{
    if (policy == SCHED_FIFO || policy == SCHED_RR)
        return 99;
    return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE ||
                   policy == SCHED_DEADLINE
               ? 0
               : -EINVAL;
}

long sys_sched_get_priority_min(int policy)
{
    if (policy == SCHED_FIFO || policy == SCHED_RR)
        return 1;
    return sys_sched_get_priority_max(policy);
}

long sys_sched_rr_get_interval(int pid, uaddr interval)
{
    struct sched_attr attr;
    long r = sched_get(pid, &attr);
    u64 ns = attr.sched_policy == SCHED_RR     ? 100000000
             : attr.sched_policy == SCHED_FIFO ? 0
                                               : 4000000;
    return r < 0 ? r : timespec_to_user(interval, ns);
}

long sys_getcpu(uaddr user_cpu, uaddr user_node, uaddr cache)
{
    /* Which one is the host's secret, and would be its word only: the first that it may be. */
    u32 cpu = 0, node = 0;
    for (u32 i = 0; i < 1024 && !mask_is_empty(current()->affinity); i++)
        if (current()->affinity[i / 64] >> i % 64 & 1) {
            cpu = i;
            break;
        }
    if ((user_cpu.at && put_user(cpu, user_cpu) < 0) ||
        (user_node.at && put_user(node, user_node) < 0))
        return -EFAULT;
    return 0;
}

/* All memory is of one node, so there is nothing to move; the arguments are checked. */
long sys_migrate_pages(int pid, u64 node_count, uaddr from, uaddr to)
{
    bool node, wanted;
    long r = mempolicy_nodes(from, node_count, &node);
    if (r == 0)
        r = mempolicy_nodes(to, node_count, &wanted);
    if (r < 0)
        return r;
    mutex_lock(&g_process_lock);
    struct thread *t = find_locked(pid);
    if (!t)
        r = -ESRCH;
    else if (!process_may_access(t->process))
        r = -EPERM;
    else if (!wanted)
        r = -EINVAL;
    mutex_unlock(&g_process_lock);
    return r;
}

static bool matches(const struct process *p, long which, i32 who)
{
    switch (which) {
    case PRIO_PROCESS:
        return p->pid == (who ? who : current_process()->pid);
    case PRIO_PGRP:
        return p->pgid == (who ? who : current_process()->pgid);
    default:
        return p->cred.uid == (who ? (u32)who : current_process()->cred.uid);
    }
}

long sys_getpriority(int which, int who)
{
    struct process *p;
    long best = -ESRCH;
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    list_for_each_entry (p, &g_processes, all)
        if (matches(p, which, who))
            best = MAX(best, (long)(20 - p->nice));
    if (best == -ESRCH && which == PRIO_PROCESS) {
        struct thread *t = find_locked(who);
        if (t)
            best = 20 - t->nice;
    }
    mutex_unlock(&g_process_lock);
    return best;
}

static long set_nice_locked(struct process *p, i32 nice)
{
    long r = may_nice_locked(p, p->nice, nice);
    if (r < 0)
        return r;
    p->nice = nice;
    struct thread *t;
    list_for_each_entry (t, &p->threads, siblings)
        t->nice = nice;
    return 0;
}

long sys_setpriority(int which, int who, int priority)
{
    struct process *p;
    i32 nice = MIN(MAX(priority, -20), 19);
    long r = -ESRCH;
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    list_for_each_entry (p, &g_processes, all)
        if (matches(p, which, who)) {
            long one = set_nice_locked(p, nice);
            r = r == -ESRCH || one < 0 ? one : r;
        }
    if (r == -ESRCH && which == PRIO_PROCESS) {
        struct thread *t = find_locked(who);
        if (t)
            r = may_nice_locked(t->process, t->nice, nice);
        if (r == 0)
            t->nice = nice;
    }
    mutex_unlock(&g_process_lock);
    return r;
}

/* ---- I/O priorities: of processes, remembered ---- */

#define IOPRIO_CLASS(v) ((v) >> 13)
#define IOPRIO_BE       2
#define IOPRIO_RT       1
#define IOPRIO_IDLE     3
#define IOPRIO_NORM     4

long sys_ioprio_get(int which, int who)
{
    struct process *p;
    long r = -ESRCH;
    if (which < 1 || which > 3)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    list_for_each_entry (p, &g_processes, all)
        if (matches(p, which - 1, who)) { /* the best: the lowest class that is one, then level */
            long one = p->ioprio ? (long)p->ioprio : IOPRIO_BE << 13 | IOPRIO_NORM;
            r = r < 0 ? (which == 1 ? (long)p->ioprio : one) : MIN(r, one);
        }
    mutex_unlock(&g_process_lock);
    return r;
}

long sys_ioprio_set(int which, int who, int priority)
{
    u32 class = (u32)priority >> 13, level = (u32)priority & 7;
    struct process *p, *me = current_process();
    long r = -ESRCH;
    if (which < 1 || which > 3 || class > IOPRIO_IDLE || ((u32)priority & 0x1fff) > 7 ||
        (!class && level))
        return -EINVAL;
    if (class == IOPRIO_RT && !capable(CAP_SYS_NICE) && !capable(CAP_SYS_ADMIN))
        return -EPERM;
    mutex_lock(&g_process_lock);
    list_for_each_entry (p, &g_processes, all) {
        if (!matches(p, which - 1, who))
            continue;
        bool mine = p->cred.uid == me->cred.euid || p->cred.uid == me->cred.uid;
        r = mine || capable(CAP_SYS_NICE) ? 0 : -EPERM;
        if (r < 0)
            break;
        p->ioprio = (u32)priority & 0xffff;
    }
    mutex_unlock(&g_process_lock);
    return r;
}
