/* SPDX-License-Identifier: Apache-2.0 */
/* wait4 and waitid: children that ended, stopped or went on. */
#include "tracee.h"
#include "resource.h"
#include <linux/wait.h>

struct wait_request {
    int kind; /* P_ALL, P_PID, P_PGID, P_PIDFD */
    i32 id;
    const struct process *process; /* P_PIDFD */
    u32 options;
};
struct wait_result {
    i32 pid;
    u32 uid, status; /* as wait(2) */
    int code;        /* CLD_* */
    struct rusage usage;
};

static struct __kernel_old_timeval timeval_of(u64 ns)
{
    return (struct __kernel_old_timeval){(long)(ns / 1000000000), (long)(ns % 1000000000 / 1000)};
}

void rusage_set_cpu(struct rusage *out, struct cpu_times cpu)
{
    out->ru_utime = timeval_of(cpu.user);
    out->ru_stime = timeval_of(cpu.system);
}

/*
 * What the process uses now may be its most so far. Takes its mm's lock: call it without
 * g_process_lock.
 */
void process_note_rss(struct process *p)
{
    struct mm_usage u;
    if (!p->mm)
        return;
    mm_usage(p->mm, &u);
    p->max_rss = MAX(p->max_rss, mm_usage_resident(&u));
}

void rusage_fill(struct process *p, bool children, struct rusage *out)
{
    memset(out, 0, sizeof(*out));
    rusage_set_cpu(out, children ? p->children_cpu : process_cpu_times(p));
    out->ru_maxrss = (long)((children ? p->child_max_rss : p->max_rss) << (PAGE_SHIFT - 10));
    if (!children)
        out->ru_minflt = (long)p->min_flt;
}

static bool matches(const struct process *c, const struct wait_request *r)
{
    if (r->kind == P_PID && c->pid != r->id)
        return false;
    if (r->kind == P_PGID && c->pgid != r->id)
        return false;
    if (r->kind == P_PIDFD && c != r->process)
        return false;
    bool clone_child = c->exit_signal != SIGCHLD;
    return (r->options & __WALL) || clone_child == !!(r->options & __WCLONE);
}

static void describe(struct process *c, u32 status, struct wait_result *out)
{
    out->pid = c->pid;
    out->uid = c->cred.uid;
    out->status = status;
    rusage_fill(c, false, &out->usage);
}

/* 1: found and filled, 0: nothing to tell yet. */
static int check_child_locked(struct process *me, struct process *c, u32 options,
                              struct wait_result *out)
{
    bool keep = options & WNOWAIT;
    if (c->state == PROCESS_ZOMBIE) {
        if (!(options & WEXITED) || c->first_tracee) /* its tracer comes first */
            return 0;
        describe(c, c->exit_status, out);
        u32 sig = c->exit_status & 0x7f;
        out->code = !sig ? CLD_EXITED : (c->exit_status & 0x80) ? CLD_DUMPED : CLD_KILLED;
        if (!keep) {
            struct cpu_times cpu = process_cpu_times(c);
            me->children_cpu.user += cpu.user + c->children_cpu.user;
            me->children_cpu.system += cpu.system + c->children_cpu.system;
            me->child_max_rss = MAX(me->child_max_rss, MAX(c->max_rss, c->child_max_rss));
            process_reap_locked(c);
        }
        return 1;
    }
    if (c->wait_event == WAIT_EVENT_STOPPED && (options & WSTOPPED)) {
        describe(c, c->wait_status, out);
        out->code = CLD_STOPPED;
    } else if (c->wait_event == WAIT_EVENT_CONTINUED && (options & WCONTINUED)) {
        describe(c, 0xffff, out);
        out->code = CLD_CONTINUED;
    } else {
        return 0;
    }
    if (!keep)
        c->wait_event = 0;
    return 1;
}

/* Of a thread that me traces; as above. Its stops are told whatever the options. */
static int check_tracee_locked(struct tracee *e, u32 options, struct wait_result *out)
{
    bool keep = options & WNOWAIT;
    if (!e->event || (e->ended && !(options & WEXITED)))
        return 0;
    describe(e->process, e->status, out);
    out->pid = e->tid;
    u32 sig = e->status & 0x7f;
    if (!e->ended)
        out->code = CLD_TRAPPED;
    else
        out->code = sig ? CLD_KILLED : CLD_EXITED;
    if (keep)
        return 1;
    e->event = false;
    if (e->ended)
        tracee_forget_locked(e);
    return 1;
}

static bool tracee_matches(const struct tracee *e, const struct wait_request *r)
{
    return r->kind == P_ALL || (r->kind == P_PID && e->tid == r->id) ||
           (r->kind == P_PGID && e->process->pgid == r->id) ||
           (r->kind == P_PIDFD && e->process == r->process && e->tid == e->process->pid);
}

static int scan_tracees_locked(struct process *me, const struct wait_request *r,
                               struct wait_result *out)
{
    struct tracee *e, *n;
    int found = -ECHILD;
    list_for_each_entry_safe (e, n, &me->tracees, link) {
        if (!tracee_matches(e, r))
            continue;
        found = check_tracee_locked(e, r->options, out);
        if (found == 1)
            break;
    }
    return found;
}

static int scan(const struct wait_request *r, struct wait_result *out)
{
    struct process *me = current_process(), *c, *n;
    int found = -ECHILD;
    mutex_lock(&g_process_lock);
    list_for_each_entry_safe (c, n, &me->children, sibling) {
        if (!matches(c, r))
            continue;
        found = check_child_locked(me, c, r->options, out);
        if (found == 1)
            break;
    }
    if (found != 1) {
        int traced = scan_tracees_locked(me, r, out);
        found = traced == -ECHILD ? found : traced;
    }
    mutex_unlock(&g_process_lock);
    return found;
}

static int do_wait(const struct wait_request *r, struct wait_result *out)
{
    struct process *me = current_process();
    struct wait_entry e;
    int result;
    waitq_add(&me->wait_children, &e);
    while ((result = scan(r, out)) == 0 && !(r->options & WNOHANG)) {
        int w = thread_wait(NO_DEADLINE, true, NULL, 0);
        if (w < 0) {
            result = scan(r, out);
            if (result == 0)
                result = -ERESTARTSYS;
            break;
        }
    }
    waitq_remove(&e);
    return result;
}

long sys_wait4(int pid, uaddr status, int options, uaddr usage)
{
    struct wait_request r = {.options = options | WEXITED};
    struct wait_result out;
    if (options & ~(u32)(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
        return -EINVAL;
    if (pid == INT32_MIN)
        return -ESRCH;
    if (pid == -1)
        r.kind = P_ALL;
    else if (pid > 0)
        r.kind = P_PID, r.id = pid;
    else
        r.kind = P_PGID, r.id = pid == 0 ? current_process()->pgid : -pid;
    int found = do_wait(&r, &out);
    if (found <= 0)
        return found;
    if (status.at && put_user(out.status, status) < 0)
        return -EFAULT;
    if (usage.at && copy_to_user(usage, &out.usage, sizeof(out.usage)) < 0)
        return -EFAULT;
    return out.pid;
}

static u32 siginfo_status(const struct wait_result *w)
{
    switch (w->code) {
    case CLD_EXITED:
        return w->status >> 8 & 0xff;
    case CLD_STOPPED:
        return w->status >> 8 & 0xff;
    case CLD_TRAPPED:
        return w->status >> 8;
    case CLD_CONTINUED:
        return SIGCONT;
    default:
        return w->status & 0x7f;
    }
}

long sys_waitid(int type, int id, uaddr user_info, int options, uaddr usage)
{
    struct wait_request r = {.kind = type, .id = id, .options = options};
    struct wait_result out;
    struct process *pidfd = NULL;
    u8 info[128] = {0};
    bool nonblock = false;
    if (options & ~(u32)(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD |
                         __WCLONE | __WALL))
        return -EINVAL;
    if (!(options & (WEXITED | WSTOPPED | WCONTINUED)))
        return -EINVAL;
    switch (type) {
    case P_ALL:
        break;
    case P_PID:
        if (r.id <= 0)
            return -EINVAL;
        break;
    case P_PGID:
        if (r.id < 0)
            return -EINVAL;
        if (r.id == 0)
            r.id = current_process()->pgid;
        break;
    case P_PIDFD:
        pidfd = pidfd_process(id, &nonblock);
        if (!pidfd)
            return -EBADF;
        r.process = pidfd;
        if (nonblock)
            r.options |= WNOHANG;
        break;
    default:
        return -EINVAL;
    }
    int found = do_wait(&r, &out);
    if (pidfd)
        process_put(pidfd);
    if (found < 0)
        return found;
    if (found == 0 && nonblock && !(options & WNOHANG))
        return -EAGAIN;
    if (found == 1) {
        struct siginfo_k k = {.signo = SIGCHLD,
                              .code = out.code,
                              .pid = out.pid,
                              .uid = out.uid,
                              .status = (i32)siginfo_status(&out)};
        siginfo_encode(&k, info);
        if (usage.at && copy_to_user(usage, &out.usage, sizeof(out.usage)) < 0)
            return -EFAULT;
    }
    /* Linux writes only these fields, and zeroes when there was nothing. */
    if (user_info.at && copy_to_user(user_info, info, 32) < 0)
        return -EFAULT;
    return 0;
}
