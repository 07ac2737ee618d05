/* SPDX-License-Identifier: Apache-2.0 */
/* prctl and arch_prctl. */
#include "proc.h"
#include <asm/prctl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>

#define TIMER_SLACK_DEFAULT 50000u /* ns */

static long set_name(uaddr where)
{
    struct thread *t = current();
    char name[16] = {0};
    /* Longer names are cut, without an error. */
    if (strncpy_from_user(name, where, sizeof(name)) == -EFAULT)
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

long sys_prctl(int option, u64 a2, u64 a3, u64 a4, u64 a5)
{
    struct thread *t = current();
    struct process *p = t->process;
    switch (option) {
    case PR_SET_NAME:
        return set_name(user_at(a2));
    case PR_GET_NAME:
        return copy_to_user(user_at(a2), t->comm, sizeof(t->comm));
    case PR_SET_PDEATHSIG:
        if (a2 > NSIG)
            return -EINVAL;
        p->pdeathsig = (u32)a2;
        return 0;
    case PR_GET_PDEATHSIG:
        return put_user((i32)p->pdeathsig, user_at(a2));
    case PR_SET_PTRACER: {
        struct process *by = (i32)a2 > 0 ? process_find((i32)a2) : NULL;
        if ((i32)a2 > 0 && !by)
            return -EINVAL;
        process_put(by);
        p->ptracer = (i32)a2;
        return 0;
    }
    case PR_SET_DUMPABLE:
        if (a2 != 0 && a2 != 1)
            return -EINVAL;
        p->dumpable = (u32)a2;
        return 0;
    case PR_GET_DUMPABLE:
        return p->dumpable;
    case PR_SET_KEEPCAPS:
        if (a2 != 0 && a2 != 1)
            return -EINVAL;
        p->keepcaps = (u32)a2;
        return 0;
    case PR_GET_KEEPCAPS:
        return p->keepcaps;
    case PR_SET_NO_NEW_PRIVS:
        if (a2 != 1 || a3 || a4 || a5)
            return -EINVAL;
        p->cred.no_new_privs = true;
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return a2 || a3 || a4 || a5 ? -EINVAL : p->cred.no_new_privs;
    case PR_SET_CHILD_SUBREAPER:
        p->child_subreaper = !!a2;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return put_user((i32)p->child_subreaper, user_at(a2));
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
        return bounding(option, a2);
    case PR_CAP_AMBIENT:
        return a4 || a5 || (a2 == PR_CAP_AMBIENT_CLEAR_ALL && a3) ? -EINVAL : ambient(a2, a3);
    case PR_GET_SECUREBITS:
        return securebits(p);
    case PR_SET_SECUREBITS:
        return set_securebits(p, a2);
    case PR_GET_SECCOMP:
        return t->seccomp_mode;
    case PR_SET_SECCOMP:
        return seccomp_prctl((long)a2, user_at(a3));
    case PR_SET_TIMERSLACK: /* remembered: the host decides when a thread wakes */
        t->timer_slack = a2 != 0 ? a2 : t->timer_slack_default;
        return 0;
    case PR_GET_TIMERSLACK:
        return (long)(t->timer_slack ? t->timer_slack : TIMER_SLACK_DEFAULT);
    case PR_GET_TID_ADDRESS:
        return put_user(t->clear_child_tid, user_at(a2));
    case PR_SET_MM:
        return set_mm(a2, a3);
    case PR_GET_TSC:
        return put_user((i32)PR_TSC_ENABLE, user_at(a2));
    case PR_SET_THP_DISABLE:
        return a3 || a4 || a5 ? -EINVAL : 0;
    case PR_SET_VMA: /* names of anonymous memory: shown nowhere */
        return 0;
    case PR_GET_THP_DISABLE:
        return a2 || a3 || a4 || a5 ? -EINVAL : 0;
    default:
        log_debug("prctl option %d is not there", option);
        return -EINVAL;
    }
}

long sys_arch_prctl(int option, u64 address)
{
    struct thread *t = current();
    switch (option) {
    case ARCH_SET_FS:
        if (address >> 47)
            return -EPERM;
        t->fs_base = address;
        return 0;
    case ARCH_GET_FS:
        return put_user(t->fs_base, user_at(address));
    case ARCH_SET_GS: /* GS is the LibOS's way to itself */
    case ARCH_GET_GS:
    default:
        return -EINVAL;
    }
}
