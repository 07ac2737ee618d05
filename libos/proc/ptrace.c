/* SPDX-License-Identifier: Apache-2.0 */
/* ptrace(2): what a tracer asks of a thread that stands still. */
#include "tracee.h"
#include "measured.h"
#include "manifest.h"
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/elf.h>

#define USER_CS        0x33
#define USER_SS        0x2b
#define FLAGS_SETTABLE 0x40cd5ull /* as sigreturn, without TF: step.c steps */
#define OPTIONS        (0x7full | PTRACE_O_EXITKILL)
#define XCR0_OFFSET    464 /* where debuggers look for XCR0 */
#define MXCSR_OFFSET   24
#define MXCSR_VALID    0xffffu
#define DEBUGREG       848 /* offsetof(struct user, u_debugreg) */
#define USER_SIZE      912

_Static_assert(offsetof(struct user_regs, orig_rax) == offsetof(struct uregs, orig_rax), "order");
_Static_assert(offsetof(struct user_regs, rip) == offsetof(struct uregs, rip), "order");

/* ---- registers; the thread is stopped ---- */

void registers_of(const struct thread *t, struct user_regs *out)
{
    const struct uregs *r = t->regs;
    memset(out, 0, sizeof(*out));
    memcpy(out, r, offsetof(struct uregs, rflags));
    out->cs = USER_CS;
    out->flags = r->rflags;
    out->rsp = r->rsp;
    out->ss = USER_SS;
    out->fs_base = t->fs_base;
}

static int set_registers(struct thread *t, const struct user_regs *in)
{
    struct uregs *r = t->regs;
    if (in->cs != USER_CS || in->ss != USER_SS || in->fs_base >> 47 || in->gs_base)
        return -EIO;
    memcpy(r, in, offsetof(struct uregs, rflags));
    r->rflags = (r->rflags & ~FLAGS_SETTABLE) | (in->flags & FLAGS_SETTABLE) | 0x202;
    r->rsp = in->rsp;
    t->fs_base = in->fs_base;
    return 0;
}

u32 xstate_size(void)
{
    return vector_area_size() & ~63u;
}

void vectors_of(const struct thread *t, u8 *out)
{
    u64 features = vector_features();
    memcpy(out, t->xsave, xstate_size());
    memcpy(out + XCR0_OFFSET, &features, sizeof(features));
}

/* Nothing of it may make XRSTOR fault. */
static void set_vectors(struct thread *t, u8 *in, size_t size)
{
    u64 head[8] = {0};
    u32 mxcsr;
    memcpy(&mxcsr, in + MXCSR_OFFSET, sizeof(mxcsr));
    mxcsr &= MXCSR_VALID;
    memcpy(in + MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
    memcpy(&head[0], size > XSAVE_LEGACY ? in + XSAVE_LEGACY : (u8 *)t->xsave + XSAVE_LEGACY, 8);
    head[0] = (head[0] | 3) & vector_features();
    memcpy(t->xsave, in, size);
    memcpy((u8 *)t->xsave + XSAVE_LEGACY, head, sizeof(head));
}

static long get_set(u32 type, bool set, u8 *room, size_t *size, struct thread *t)
{
    switch (type) {
    case NT_PRSTATUS:
        *size = MIN(*size, sizeof(struct user_regs));
        if (set) {
            struct user_regs all;
            registers_of(t, &all);
            memcpy(&all, room, *size);
            return set_registers(t, &all);
        }
        registers_of(t, (struct user_regs *)room);
        return 0;
    case NT_PRFPREG:
    case NT_X86_XSTATE: {
        size_t whole = type == NT_PRFPREG ? XSAVE_LEGACY : xstate_size();
        if (set && *size < whole)
            return -EFAULT;
        *size = MIN(*size, whole);
        if (set)
            set_vectors(t, room, whole);
        else
            vectors_of(t, room);
        return 0;
    }
    default:
        return -EINVAL;
    }
}

/* ---- who may ---- */

static bool descends(const struct process *p, const struct process *from)
{
    while (p && p != from)
        p = p->parent;
    return p != NULL;
}

/* Yama's scope 1. Without debug mode no capability widens it: who runs a program in an enclave for
 * its operator looks into nothing but what that program started. */
static bool may_attach_locked(const struct process *me, const struct process *p)
{
    bool debug = g_manifest->flags & MANIFEST_DEBUG;
    if (!process_may_access(p) || p == me)
        return false;
    return descends(p, me) || (debug && capable(CAP_SYS_PTRACE)) || p->ptracer == -1 ||
           (p->ptracer > 0 && p->ptracer == me->pid);
}

static long attach(i32 tid, bool seize, u64 address, u64 options)
{
    if (seize && (address || (options & ~OPTIONS)))
        return -EIO;
    mutex_lock(&g_process_lock);
    struct thread *t = thread_find(tid);
    long r = -ESRCH;
    if (t && !t->exited && t->process->state != PROCESS_NEW) {
        r = !t->tracee && may_attach_locked(current_process(), t->process) ? 0 : -EPERM;
        if (r == 0)
            r = tracee_attach_locked(t, current_process(), seize ? (u32)options : 0, seize);
        if (r == 0 && !seize)
            signal_send_thread_locked(t, &(struct siginfo_k){.signo = SIGSTOP}, true);
        if (r == 0)
            waitq_wake(&t->process->stop_wait, UINT32_MAX);
    }
    mutex_unlock(&g_process_lock);
    return r;
}

static long trace_me(void)
{
    struct thread *t = current();
    struct process *parent;
    long r = -EPERM;
    mutex_lock(&g_process_lock);
    parent = t->process->parent;
    if (!t->tracee && parent && parent->state != PROCESS_ZOMBIE &&
        (!(t->process->cred.cap_permitted & ~parent->cred.cap_permitted) ||
         cred_capable(&parent->cred, CAP_SYS_PTRACE)))
        r = tracee_attach_locked(t, parent, 0, false);
    mutex_unlock(&g_process_lock);
    return r;
}

/* ---- a request ---- */

/* The caller's tracee of that number, or NULL. */
static struct tracee *mine_locked(i32 tid)
{
    struct tracee *e;
    list_for_each_entry (e, &current_process()->tracees, link)
        if (e->tid == tid && e->thread)
            return e;
    return NULL;
}

struct call {
    long request;
    i32 tid;
    u64 address, data;
    u8 *room; /* a page, for what comes from the caller or goes to it */
    size_t size;
    bool out; /* room goes to the caller, at data or into its iovec */
};

static long memory(struct call *c, struct mm *mm, bool write)
{
    u64 word = c->data;
    if (mm_access(mm, c->address, &word, sizeof(word), write, true) != sizeof(word))
        return -EIO;
    return write ? 0 : put_user(word, user_at(c->data));
}

static long user_area(struct call *c, struct thread *t, bool set)
{
    struct user_regs all;
    u64 at = c->address;
    if ((at & 7) || at >= USER_SIZE)
        return -EIO;
    registers_of(t, &all);
    if (set && at >= DEBUGREG)
        return c->data ? -EINVAL : 0; /* there are none */
    if (set && at >= sizeof(all))
        return -EIO;
    if (set) {
        memcpy((u8 *)&all + at, &c->data, 8);
        return set_registers(t, &all);
    }
    memset(c->room, 0, 8);
    if (at < sizeof(all))
        memcpy(c->room, (u8 *)&all + at, 8);
    c->size = 8;
    c->out = true;
    return 0;
}

static long call_info(struct call *c, const struct tracee *e)
{
    const struct uregs *r = e->thread->regs;
    struct ptrace_syscall_info info = {.op = e->call,
                                       .arch = AUDIT_ARCH_X86_64,
                                       .instruction_pointer = r->rip,
                                       .stack_pointer = r->rsp};
    size_t size = offsetof(struct ptrace_syscall_info, entry);
    if (e->call == PTRACE_SYSCALL_INFO_ENTRY) {
        const u64 args[] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
        info.entry.nr = r->orig_rax;
        memcpy(info.entry.args, args, sizeof(args));
        size = offsetof(struct ptrace_syscall_info, entry) + sizeof(info.entry);
    } else if (e->call == PTRACE_SYSCALL_INFO_EXIT) {
        info.exit.rval = (i64)r->rax;
        info.exit.is_error = r->rax >= (u64)-4095;
        size = offsetof(struct ptrace_syscall_info, exit.is_error) + 1;
    }
    memcpy(c->room, &info, size);
    c->size = MIN(size, c->address);
    c->out = true;
    return (long)size;
}

static long set_info(struct call *c, struct tracee *e)
{
    u32 *w = (u32 *)c->room;
    if (!e->has_info)
        return -EINVAL;
    e->info = (struct siginfo_k){
        .signo = (i32)w[0], .err = (i32)w[1], .code = (i32)w[2], .pid = (i32)w[4], .uid = w[5]};
    memcpy(&e->info.addr, c->room + 16, 8);
    memcpy(&e->info.value, c->room + 24, 8);
    e->info.status = (i32)e->info.value;
    return 0;
}

static long resume(struct call *c, struct tracee *e)
{
    if (c->data > NSIG)
        return -EIO;
    if (c->request == PTRACE_DETACH)
        tracee_detach_locked(e, (int)c->data);
    else
        tracee_resume_locked(e, (u32)c->request, (int)c->data);
    return 0;
}

static long stopped_request(struct call *c, struct tracee *e)
{
    struct thread *t = e->thread;
    long r;
    switch (c->request) {
    case PTRACE_CONT:
    case PTRACE_SYSCALL:
    case PTRACE_SINGLESTEP:
    case PTRACE_DETACH:
        return resume(c, e);
    case PTRACE_LISTEN:
        if (!e->seized || e->status >> 16 != PTRACE_EVENT_STOP)
            return -EIO;
        tracee_resume_locked(e, PTRACE_LISTEN, 0);
        return 0;
    case PTRACE_PEEKUSR:
    case PTRACE_POKEUSR:
        return user_area(c, t, c->request == PTRACE_POKEUSR);
    case PTRACE_GETREGS:
    case PTRACE_GETFPREGS:
        c->size = c->request == PTRACE_GETREGS ? sizeof(struct user_regs) : XSAVE_LEGACY;
        c->out = true;
        return get_set(c->request == PTRACE_GETREGS ? NT_PRSTATUS : NT_PRFPREG, false, c->room,
                       &c->size, t);
    case PTRACE_SETREGS:
    case PTRACE_SETFPREGS:
        return get_set(c->request == PTRACE_SETREGS ? NT_PRSTATUS : NT_PRFPREG, true, c->room,
                       &c->size, t);
    case PTRACE_GETREGSET:
    case PTRACE_SETREGSET:
        c->out = c->request == PTRACE_GETREGSET;
        return get_set((u32)c->address, !c->out, c->room, &c->size, t);
    case PTRACE_GETSIGINFO:
        if (!e->has_info)
            return -EINVAL;
        siginfo_encode(&e->info, c->room);
        c->size = 128;
        c->out = true;
        return 0;
    case PTRACE_SETSIGINFO:
        return set_info(c, e);
    case PTRACE_GETSIGMASK:
        if (c->address != 8)
            return -EINVAL;
        memcpy(c->room, &t->sig_mask, 8);
        c->size = 8;
        c->out = true;
        return 0;
    case PTRACE_SETSIGMASK:
        if (c->address != 8)
            return -EINVAL;
        memcpy(&t->sig_mask, c->room, 8);
        t->sig_mask &= ~SIG_UNBLOCKABLE;
        return 0;
    case PTRACE_GETEVENTMSG:
        memcpy(c->room, &e->message, 8);
        c->size = 8;
        c->out = true;
        return 0;
    case PTRACE_SETOPTIONS:
        r = c->data & ~OPTIONS ? -EINVAL : 0;
        if (r == 0)
            e->options = (u32)c->data;
        return r;
    case PTRACE_GET_SYSCALL_INFO:
        return call_info(c, e);
    default:
        return -EIO;
    }
}

/* What the request reads from the caller's memory, before the lock. */
static int fetch(struct call *c, u64 vector[2])
{
    static const struct {
        u32 request, size;
    } in[] = {{PTRACE_SETREGS, sizeof(struct user_regs)},
              {PTRACE_SETFPREGS, XSAVE_LEGACY},
              {PTRACE_SETSIGINFO, 48},
              {PTRACE_SETSIGMASK, 8}};
    memset(c->room, 0, PAGE_SIZE);
    for (size_t k = 0; k < ARRAY_SIZE(in); k++)
        if (in[k].request == c->request) {
            c->size = in[k].size;
            return copy_from_user(c->room, user_at(c->data), c->size);
        }
    if (c->request != PTRACE_GETREGSET && c->request != PTRACE_SETREGSET)
        return 0;
    if (copy_from_user(vector, user_at(c->data), 16) < 0)
        return -EFAULT;
    c->size = MIN(vector[1], PAGE_SIZE);
    return c->request == PTRACE_SETREGSET ? copy_from_user(c->room, user_at(vector[0]), c->size)
                                          : 0;
}

static long answer(struct call *c, u64 vector[2], long r)
{
    bool set = c->request == PTRACE_GETREGSET || c->request == PTRACE_SETREGSET;
    if (r < 0)
        return r;
    if (c->out && copy_to_user(user_at(set ? vector[0] : c->data), c->room, c->size) < 0)
        return -EFAULT;
    if (set && put_user((u64)c->size, user_at(c->data + 8)) < 0)
        return -EFAULT;
    return r;
}

static long ask(struct call *c)
{
    u64 vector[2] = {0};
    struct mm *mm = NULL;
    long r = fetch(c, vector);
    if (r < 0)
        return r;
    mutex_lock(&g_process_lock);
    struct tracee *e = mine_locked(c->tid);
    bool peek = c->request == PTRACE_PEEKTEXT || c->request == PTRACE_PEEKDATA;
    bool poke = c->request == PTRACE_POKETEXT || c->request == PTRACE_POKEDATA;
    if (!e) {
        r = -ESRCH;
    } else if (c->request == PTRACE_KILL) {
        process_begin_exit_locked(e->process, SIGKILL);
    } else if (c->request == PTRACE_INTERRUPT) {
        r = e->seized ? 0 : -EIO;
        if (r == 0 && !e->stopped) {
            e->interrupt = true;
            e->told_group = e->told_group && !e->listening;
            thread_notify(e->thread, ATTENTION_STOP);
            waitq_wake(&e->process->stop_wait, UINT32_MAX);
        }
    } else if (!e->stopped) {
        r = -ESRCH;
    } else if (peek || poke) {
        if (e->process->mm)
            mm = mm_get(e->process->mm);
        r = mm ? 0 : -EIO;
    } else {
        r = stopped_request(c, e);
    }
    mutex_unlock(&g_process_lock);
    if (mm)
        r = memory(c, mm, poke);
    mm_put(mm);
    return answer(c, vector, r);
}

long sys_ptrace(long request, long pid, u64 address, u64 data)
{
    struct call c = {.request = request, .tid = (i32)pid, .address = address, .data = data};
    if (request == PTRACE_TRACEME)
        return trace_me();
    if (request == PTRACE_ATTACH || request == PTRACE_SEIZE)
        return attach((i32)pid, request == PTRACE_SEIZE, address, data);
    c.room = page_alloc(1);
    if (!c.room)
        return -ENOMEM;
    long r = ask(&c);
    page_free(c.room, 1);
    return r;
}
