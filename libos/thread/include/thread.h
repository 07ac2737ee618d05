/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads, waiting and user context (libos/thread, libos/proc).
 *
 * One LibOS thread = one host thread = one TCS. The tcb page (GS base) belongs to the TCS, `struct
 * thread` to the LibOS thread. A thread is always in one of: USER (application code), KERNEL (LibOS
 * code), WAITING (in thread_wait, outside the enclave). Anything that another thread wants of it
 * (signal, kill, stop, give up the fork group's range) is a flag in `attention` plus thread_kick();
 * the thread looks at it each time before it returns to user code and when a wait ends.
 */
#pragma once

#include "lib.h"

struct process;
struct seccomp_filter;
struct mm;
struct host_pollfd;
struct host_memory;

/* The application's registers at the system call, fault or preemption; layout is used by
 * libos/host/entry.S. */
struct uregs {
    u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    u64 orig_rax; /* system call number, or -1 */
    u64 rip, rflags, rsp;
};

#define ATTENTION_SIGNAL (1u << 0) /* signals may be pending: look */
#define ATTENTION_EXIT   (1u << 1) /* the process is ending: leave */
#define ATTENTION_GROUP  (1u << 2) /* give up the fork group's range */
#define ATTENTION_STOP   (1u << 3) /* job control stop */
#define ATTENTION_MEMORY (1u << 4) /* a page of the process cannot be had: SIGKILL */

#define NO_DEADLINE UINT64_MAX

struct thread {
    struct process *process;
    struct mm *mm; /* what this thread holds residency of, NULL none: set by mm_enter, cleared by
                      mm_leave */
    i32 tid;
    u32 attention;              /* atomic */
    struct uregs *regs;         /* valid in KERNEL state while serving the application */
    u64 fs_base;                /* the application's */
    void *xsave;                /* the application's vector state while it is saved */
    u32 park;                   /* enclave-side wake token, see wait.c */
    bool asleep;                /* parked in a wait that a signal ends: S in /proc */
    struct host_memory *host;   /* the host thread's shared area */
    u32 wake_depth, wake_count; /* wake_begin(): wake-ups that wait for wake_end() */
    struct thread *wakes[8];
    struct list_head siblings; /* in process->threads, under process lock */

    /* signals (proc/signal.c) */
    u64 sig_mask, sig_pending, saved_mask;
    bool restore_mask; /* sigsuspend, ppoll, pselect: put saved_mask back after delivery */
    struct list_head sig_queue;
    u64 altstack_base, altstack_size;
    u32 altstack_flags;
    /* restart of interrupted calls (-ERESTARTSYS and friends, Linux's internal numbers) */
    long (*restart)(struct thread *);
    u64 restart_args[4];

    /* proc/ */
    u64 clear_child_tid, set_child_tid, robust_list;
    u32 exit_code;
    i32 vfork_parent;            /* tid to release, 0 none */
    void *futex;                 /* proc/futex.c while waiting */
    u64 utime_start;             /* of the host thread's CPU clock when this thread began */
    u64 utime_last;              /* CPU time at the last look, ns */
    u64 fault_addr, fault_error; /* for the next signal frame */
    u32 fault_trap;
    i32 nice;
    u32 policy; /* SCHED_*, remembered, and of its real-time priority, and deadlines */
    u32 priority;
    u64 deadline[3];         /* runtime, deadline, period, ns */
    u64 timer_slack;         /* ns, 0: the first thread's 50000 */
    u64 timer_slack_default; /* what the maker of the thread had */
    u64 exited;              /* left its process */
    /* sched_setaffinity(): remembered, the host decides; all 0: every processor. */
    u64 affinity[16];
    u32 seccomp_mode; /* SECCOMP_MODE_* */
    struct seccomp_filter *seccomp;
    char comm[16];
    void (*kernel_fn)(void *arg); /* LibOS thread without user code */
    void *kernel_arg;
};

/* Restart codes as inside Linux: never reach the application. */
#define ERESTARTSYS           512
#define ERESTARTNOINTR        513
#define ERESTARTNOHAND        514
#define ERESTART_RESTARTBLOCK 516

/* Fields of the tcb page behind struct layout_tcb (64 bytes) whose offsets are fixed: trampolines
 * use the second. */
#define TCB_CURRENT 64 /* struct thread * */
#define TCB_SYSCALL_ENTRY \
    72 /* where rewritten call sites jump to: jmp *%gs:72, RCX = address to return to */

static inline struct thread *current(void)
{
    struct thread *t;
    __asm__("movq %%gs:%c1, %0" : "=r"(t) : "i"(TCB_CURRENT));
    return t;
}

/* ---- life (libos/thread/thread.c) ---- */
/* A thread of process p that is not running yet; NULL when memory or TCS are exhausted (logged with
 * the setting's name). */
struct thread *thread_alloc(struct process *p);
/* Start it: in user mode with *regs (and t->fs_base), or, with kernel_fn set, in LibOS code. 0 or
 * -EAGAIN. */
int thread_start(struct thread *t, const struct uregs *regs);
/* Give back a thread of thread_alloc() that was not started. */
void thread_release(struct thread *t);
struct thread *kthread_start(void (*fn)(void *), void *arg);
/* The calling thread ends: frees its LibOS thread and leaves the enclave for good. Call with no
 * lock held. */
__noreturn void thread_finish(void);
/* Leave for user code with regs now (exec, sigreturn); looks at attention first. */
__noreturn void thread_return_to_user(void);

/* ---- attention ---- */
/* Set flags and make sure that the thread notices: interrupts its wait, or kicks it out of user
 * code. */
void thread_notify(struct thread *t, u32 flags);
/* Called on every way back to user code when attention != 0 (entry/ calls it; proc/signal.c
 * implements it): deliver signals, stop, exit. result: of the system call, to be restarted or not;
 * -1 orig_rax: no call. */
void attention_handle(struct uregs *regs);

/* ---- waiting ---- */
struct waitq {
    struct spinlock lock;
    struct list_head entries;
};
struct wait_entry {
    struct list_head link;
    struct thread *thread;
    struct waitq *queue;
    u32 woken;
    void *tag; /* for waitq_wake_if */
    /* Called by waitq_wake() instead of waking a thread (thread is NULL then), with the queue's
     * lock held: only spinlocks and waitq_wake() of other queues inside. Such entries are all
     * called, and do not count against waitq_wake()'s count. */
    void (*fn)(struct wait_entry *e);
    bool exclusive; /* with fn: waitq_wake_data() calls only one such */
};
#define WAITQ_INIT(q)                    \
    {                                    \
        {0}, LIST_HEAD_INIT((q).entries) \
    }
void waitq_init(struct waitq *q);
void waitq_add(struct waitq *q, struct wait_entry *e); /* e->thread = current */
void waitq_add_fn(struct waitq *q, struct wait_entry *e, void (*fn)(struct wait_entry *e));
/* Once it returned, fn is not running and will not be called. */
void waitq_remove(struct wait_entry *e);
void waitq_wake(struct waitq *q, u32 count); /* UINT32_MAX: all */
/* All, but only one of those with fn that are exclusive: there is something for one of them. */
void waitq_wake_data(struct waitq *q);

/*
 * Park until someone wakes this thread through a queue it is in, a host descriptor of fds is ready
 * (revents filled, untrusted), the deadline (CLOCK_MONOTONIC ns) passes, or attention is raised.
 * Spurious returns are allowed: re-check the condition. Returns 0, -ETIMEDOUT, or -EINTR
 * (attention but for ATTENTION_GROUP; only when interruptible). A deadline holds whatever the host
 * says: called after it, -ETIMEDOUT comes back also when descriptors are ready. When
 * current()->mm is set it does mm_leave() before and mm_enter() of the same mm after, so the fork
 * group's range is free while it waits. Hold no lock. Pattern:
 *   waitq_add(); while (!condition) { r = thread_wait(); if (r) break; } waitq_remove();
 */
int thread_wait(u64 deadline, bool interruptible, struct host_pollfd *fds, size_t count);
void thread_wake(struct thread *t);
/* Between these, wake-ups of the calling thread are gathered: put them around a lock under which
 * threads are woken that want the same lock next, or they would spin while the waker is outside the
 * enclave waking them. Nest; no waiting in between. */
void wake_begin(void);
void wake_end(void);
/* For mutex_lock() only: the same with a token of its own, so that no wake-up of a queue is lost;
 * may return spuriously. */
void thread_park_lock(void);
void thread_unpark_lock(struct thread *t);

/* ---- vector state (libos/host/vector.c) ---- */
/* The application's vector registers stay live while the LibOS works for it, until an ocall saves
 * them; they are back when it runs again. Cryptography puts back what it uses. */
/* For signal frames: the application's state in XSAVE standard format (its header's XSTATE_BV says
 * which parts are there) and its size; changes are taken over at the return to user code. */
void *vector_user_area(void);
u32 vector_area_size(void);
u64 vector_features(void); /* XFRM */
/* Give thread t (not started) a copy of the current thread's vector state (clone), or the initial
 * one (exec: t = current). */
void vector_copy_to(struct thread *t);
void vector_reset(void);

#define wait_event(q, cond, deadline)                   \
    ({                                                  \
        struct wait_entry we_;                          \
        int wr_ = 0;                                    \
        waitq_add(q, &we_);                             \
        while (!(cond)) {                               \
            wr_ = thread_wait(deadline, true, NULL, 0); \
            if (wr_ < 0) {                              \
                if (cond)                               \
                    wr_ = 0;                            \
                break;                                  \
            }                                           \
        }                                               \
        waitq_remove(&we_);                             \
        wr_;                                            \
    })

/* ---- time (libos/host/clock.c): never goes backwards for monotonic clocks ---- */
u64 clock_monotonic(void); /* ns */
u64 clock_realtime(void);  /* ns */
