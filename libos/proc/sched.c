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

static long exists(i32 pid)
{
    if (pid < 0)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    long r = find_locked(pid) ? 0 : -ESRCH;
    mutex_unlock(&g_process_lock);
    return r;
}

long sys_sched_yield(SYSCALL_ARGS)
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

long sys_sched_getaffinity(SYSCALL_ARGS)
{
    u64 mask[16];
    size_t need = (cpu_count() + 63) / 64 * 8;
    if ((u64)b < need || (b & 7))
        return -EINVAL;
    container_cpus(mask);
    mutex_lock(&g_process_lock);
    struct thread *t = find_locked((i32)a);
    if (t)
        restrict_mask(mask, t->affinity);
    mutex_unlock(&g_process_lock);
    if (!t)
        return -ESRCH;
    return copy_to_user((void *)c, mask, need) < 0 ? -EFAULT : (long)need;
}

long sys_sched_setaffinity(SYSCALL_ARGS)
{
    u64 mask[16] = {0}, all[16];
    if (copy_from_user(mask, (void *)c, MIN((size_t)b, sizeof(mask))) < 0)
        return -EFAULT;
    container_cpus(all);
    for (u32 i = 0; i < 16; i++)
        mask[i] &= all[i];
    struct process *me = current_process();
    long r = mask_is_empty(mask) ? -EINVAL : 0;
    mutex_lock(&g_process_lock);
    struct thread *t = find_locked((i32)a);
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

/* The policy of a thread, with SCHED_RESET_ON_FORK, or -errno. */
static long policy_get(i32 pid)
{
    if (pid < 0)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    struct thread *t = find_locked(pid);
    long r = t ? (long)t->policy : -ESRCH;
    mutex_unlock(&g_process_lock);
    return r;
}

static long policy_set(i32 pid, u32 policy)
{
    mutex_lock(&g_process_lock);
    struct thread *t = find_locked(pid);
    if (t)
        t->policy = policy;
    mutex_unlock(&g_process_lock);
    return t ? 0 : -ESRCH;
}

long sys_sched_getscheduler(SYSCALL_ARGS)
{
    return policy_get((i32)a);
}

static long policy_check(long policy, i32 priority)
{
    switch (policy & ~(long)SCHED_RESET_ON_FORK) {
    case SCHED_NORMAL:
    case SCHED_BATCH:
    case SCHED_IDLE:
        return priority == 0 ? 0 : -EINVAL;
    case SCHED_FIFO:
    case SCHED_RR:
        return priority >= 1 && priority <= 99 ? -EPERM : -EINVAL;
    default:
        return -EINVAL;
    }
}

long sys_sched_setscheduler(SYSCALL_ARGS)
{
    i32 priority;
    long r = exists((i32)a);
    if (r < 0)
        return r;
    if (!c)
        return -EINVAL;
    if (get_user(priority, (i32 *)c) < 0)
        return -EFAULT;
    r = policy_check(b, priority);
    return r < 0 ? r : policy_set((i32)a, (u32)b);
}

long sys_sched_getparam(SYSCALL_ARGS)
{
    i32 priority = 0;
    long r = exists((i32)a);
    if (r < 0)
        return r;
    return b ? put_user(priority, (i32 *)b) : -EINVAL;
}

long sys_sched_setparam(SYSCALL_ARGS)
{
    i32 priority;
    long r = exists((i32)a);
    if (r < 0)
        return r;
    if (!b)
        return -EINVAL;
    if (get_user(priority, (i32 *)b) < 0)
        return -EFAULT;
    return priority == 0 ? 0 : -EINVAL;
}

long sys_sched_getattr(SYSCALL_ARGS)
{
    struct sched_attr attr = {0};
    long r = exists((i32)a);
    if (r < 0)
        return r;
    if (!b || (u64)c < SCHED_ATTR_SIZE_VER0 || (u64)c > PAGE_SIZE || d)
        return -EINVAL;
    u32 size = (u32)MIN((u64)c, sizeof(attr));
    attr.size = size;
    r = policy_get((i32)a);
    if (r < 0)
        return r;
    attr.sched_policy = (u32)r & ~(u32)SCHED_RESET_ON_FORK;
    attr.sched_flags = r & SCHED_RESET_ON_FORK ? SCHED_FLAG_RESET_ON_FORK : 0;
    attr.sched_nice = current()->nice;
    return copy_to_user((void *)b, &attr, size);
}

long sys_sched_setattr(SYSCALL_ARGS)
{
    struct sched_attr attr = {0};
    long r = exists((i32)a);
    if (r < 0)
        return r;
    if (!b || c)
        return -EINVAL;
    if (copy_from_user(&attr, (void *)b, SCHED_ATTR_SIZE_VER0) < 0)
        return -EFAULT;
    r = policy_check(attr.sched_policy, (i32)attr.sched_priority);
    u32 reset = attr.sched_flags & SCHED_FLAG_RESET_ON_FORK ? SCHED_RESET_ON_FORK : 0;
    return r < 0 ? r : policy_set((i32)a, attr.sched_policy | reset);
}

long sys_sched_get_priority_max(SYSCALL_ARGS)
{
    if (a == SCHED_FIFO || a == SCHED_RR)
        return 99;
    return a == SCHED_NORMAL || a == SCHED_BATCH || a == SCHED_IDLE || a == SCHED_DEADLINE
               ? 0
               : -EINVAL;
}

long sys_sched_get_priority_min(SYSCALL_ARGS)
{
    if (a == SCHED_FIFO || a == SCHED_RR)
        return 1;
    return sys_sched_get_priority_max(a, 0, 0, 0, 0, 0);
}

long sys_sched_rr_get_interval(SYSCALL_ARGS)
{
    long r = exists((i32)a);
    return r < 0 ? r : timespec_to_user((u64)b, 4000000);
}

long sys_getcpu(SYSCALL_ARGS)
{
    /* Which one is the host's secret, and would be its word only: the first that it may be. */
    u32 cpu = 0, node = 0;
    for (u32 i = 0; i < 1024 && !mask_is_empty(current()->affinity); i++)
        if (current()->affinity[i / 64] >> i % 64 & 1) {
            cpu = i;
            break;
        }
    if ((a && put_user(cpu, (u32 *)a) < 0) || (b && put_user(node, (u32 *)b) < 0))
        return -EFAULT;
    return 0;
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

long sys_getpriority(SYSCALL_ARGS)
{
    struct process *p;
    long best = -ESRCH;
    if (a < PRIO_PROCESS || a > PRIO_USER)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    list_for_each_entry (p, &g_processes, all)
        if (matches(p, a, (i32)b))
            best = MAX(best, (long)(20 - p->nice));
    if (best == -ESRCH && a == PRIO_PROCESS) {
        struct thread *t = find_locked((i32)b);
        if (t)
            best = 20 - t->nice;
    }
    mutex_unlock(&g_process_lock);
    return best;
}

static long set_nice_locked(struct process *p, i32 nice)
{
    u64 limit = p->rlimits[LIMIT_NICE].soft;
    if (nice < p->nice && !capable(CAP_SYS_NICE) && (u64)(20 - nice) > limit)
        return -EACCES;
    p->nice = nice;
    struct thread *t;
    list_for_each_entry (t, &p->threads, siblings)
        t->nice = nice;
    return 0;
}

long sys_setpriority(SYSCALL_ARGS)
{
    struct process *p;
    i32 nice = MIN(MAX((i32)c, -20), 19);
    long r = -ESRCH;
    if (a < PRIO_PROCESS || a > PRIO_USER)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    list_for_each_entry (p, &g_processes, all)
        if (matches(p, a, (i32)b)) {
            long one = set_nice_locked(p, nice);
            r = r == -ESRCH || one < 0 ? one : r;
        }
    if (r == -ESRCH && a == PRIO_PROCESS) {
        struct thread *t = find_locked((i32)b);
        if (t) {
            t->nice = nice;
            r = 0;
        }
    }
    mutex_unlock(&g_process_lock);
    return r;
}

#define IOPRIO_DEFAULT (2 << 13 | 4) /* best effort, 4 */

long sys_ioprio_get(SYSCALL_ARGS)
{
    return a >= 1 && a <= 3 ? IOPRIO_DEFAULT : -EINVAL;
}

long sys_ioprio_set(SYSCALL_ARGS)
{
    return a >= 1 && a <= 3 && c >> 13 <= 3 ? 0 : -EINVAL;
}
