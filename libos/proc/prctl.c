/* SPDX-License-Identifier: Apache-2.0 */
/* prctl and arch_prctl. */
#include "proc.h"
#include <asm/prctl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>

#define TIMER_SLACK_DEFAULT 50000u /* ns */

static long set_name(u64 where)
{
    struct thread *t = current();
    char name[16] = {0};
    /* Longer names are cut, without an error. */
    if (strncpy_from_user(name, (char *)where, sizeof(name)) == -EFAULT)
        return -EFAULT;
    name[sizeof(name) - 1] = '\0';
    memcpy(t->comm, name, sizeof(name));
    if (t->tid == t->process->pid)
        memcpy(t->process->comm, name, sizeof(name));
    return 0;
}

static long ambient(long op, long cap)
{
    struct cred *c = &current_process()->cred;
    if (op == PR_CAP_AMBIENT_CLEAR_ALL) {
        c->cap_ambient = 0;
        return 0;
    }
    if (cap < 0 || cap > CAP_LAST_CAP)
        return -EINVAL;
    u64 bit = 1ull << cap;
    switch (op) {
    case PR_CAP_AMBIENT_IS_SET:
        return !!(c->cap_ambient & bit);
    case PR_CAP_AMBIENT_RAISE:
        if (!(c->cap_permitted & c->cap_inheritable & bit) ||
            (c->securebits & SECBIT_NO_CAP_AMBIENT_RAISE))
            return -EPERM;
        c->cap_ambient |= bit;
        return 0;
    case PR_CAP_AMBIENT_LOWER:
        c->cap_ambient &= ~bit;
        return 0;
    default:
        return -EINVAL;
    }
}

static long bounding(long op, long cap)
{
    struct cred *c = &current_process()->cred;
    if (cap < 0 || cap > CAP_LAST_CAP)
        return -EINVAL;
    if (op == PR_CAPBSET_READ)
        return c->cap_bounding >> cap & 1;
    if (!capable(CAP_SETPCAP))
        return -EPERM;
    c->cap_bounding &= ~(1ull << cap);
    return 0;
}

static long set_mm(long what, u64 addr)
{
    struct mm *mm = current_process()->mm;
    if (!capable(CAP_SYS_RESOURCE))
        return -EPERM;
    switch (what) {
    case PR_SET_MM_ARG_START:
        mm->arg_start = addr;
        return 0;
    case PR_SET_MM_ARG_END:
        mm->arg_end = addr;
        return 0;
    case PR_SET_MM_ENV_START:
        mm->env_start = addr;
        return 0;
    case PR_SET_MM_ENV_END:
        mm->env_end = addr;
        return 0;
    default:
        return -EINVAL;
    }
}

static u32 securebits(const struct process *p)
{
    return p->cred.securebits | (p->keepcaps ? SECBIT_KEEP_CAPS : 0);
}

/* A bit and the one above it, which locks it. */
static long set_securebits(struct process *p, u64 new)
{
    u32 old = securebits(p), locked = (old & SECURE_ALL_LOCKS) >> 1;
    if ((new & ~(u64)(SECURE_ALL_BITS | SECURE_ALL_LOCKS)) || ((old ^ new) & locked) ||
        (old & SECURE_ALL_LOCKS & ~new) || !capable(CAP_SETPCAP))
        return -EPERM;
    p->cred.securebits = (u32) new & ~(u32)SECBIT_KEEP_CAPS;
    p->keepcaps = !!(new &SECBIT_KEEP_CAPS);
    return 0;
}

long sys_prctl(SYSCALL_ARGS)
{
    struct thread *t = current();
    struct process *p = t->process;
    switch (a) {
    case PR_SET_NAME:
        return set_name((u64)b);
    case PR_GET_NAME:
        return copy_to_user((void *)b, t->comm, sizeof(t->comm));
    case PR_SET_PDEATHSIG:
        if (b < 0 || b > NSIG)
            return -EINVAL;
        p->pdeathsig = (u32)b;
        return 0;
    case PR_GET_PDEATHSIG:
        return put_user((i32)p->pdeathsig, (i32 *)b);
    case PR_SET_DUMPABLE:
        if (b != 0 && b != 1)
            return -EINVAL;
        p->dumpable = (u32)b;
        return 0;
    case PR_GET_DUMPABLE:
        return p->dumpable;
    case PR_SET_KEEPCAPS:
        if (b != 0 && b != 1)
            return -EINVAL;
        p->keepcaps = (u32)b;
        return 0;
    case PR_GET_KEEPCAPS:
        return p->keepcaps;
    case PR_SET_NO_NEW_PRIVS:
        if (b != 1 || c || d || e)
            return -EINVAL;
        p->cred.no_new_privs = true;
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return b || c || d || e ? -EINVAL : p->cred.no_new_privs;
    case PR_SET_CHILD_SUBREAPER:
        p->child_subreaper = !!b;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return put_user((i32)p->child_subreaper, (i32 *)b);
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
        return bounding(a, b);
    case PR_CAP_AMBIENT:
        return d || e || (b == PR_CAP_AMBIENT_CLEAR_ALL && c) ? -EINVAL : ambient(b, c);
    case PR_GET_SECUREBITS:
        return securebits(p);
    case PR_SET_SECUREBITS:
        return set_securebits(p, (u64)b);
    case PR_GET_SECCOMP:
        return t->seccomp_mode;
    case PR_SET_SECCOMP:
        return seccomp_prctl(b, (u64)c);
    case PR_SET_TIMERSLACK: /* remembered: the host decides when a thread wakes */
        t->timer_slack = b > 0 ? (u64)b : t->timer_slack_default;
        return 0;
    case PR_GET_TIMERSLACK:
        return (long)(t->timer_slack ? t->timer_slack : TIMER_SLACK_DEFAULT);
    case PR_GET_TID_ADDRESS:
        return put_user(t->clear_child_tid, (u64 *)b);
    case PR_SET_MM:
        return set_mm(b, (u64)c);
    case PR_GET_TSC:
        return put_user((i32)PR_TSC_ENABLE, (i32 *)b);
    case PR_SET_THP_DISABLE:
        return c || d || e ? -EINVAL : 0;
    case PR_SET_VMA: /* names of anonymous memory: shown nowhere */
        return 0;
    case PR_GET_THP_DISABLE:
        return b || c || d || e ? -EINVAL : 0;
    default:
        log_debug("prctl option %ld is not there", a);
        return -EINVAL;
    }
}

long sys_arch_prctl(SYSCALL_ARGS)
{
    struct thread *t = current();
    switch (a) {
    case ARCH_SET_FS:
        if ((u64)b >> 47)
            return -EPERM;
        t->fs_base = (u64)b;
        return 0;
    case ARCH_GET_FS:
        return put_user(t->fs_base, (u64 *)b);
    case ARCH_SET_GS: /* GS is the LibOS's way to itself */
    case ARCH_GET_GS:
    default:
        return -EINVAL;
    }
}
