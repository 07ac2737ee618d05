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

#include "current.h"
#include "heap.h"
#include "host.h"
#include "log.h"
#include "mutex.h"

struct process;
struct mm;
struct host_pollfd;
struct host_memory;
struct tcb;
struct boundary_stats;

#define ATTENTION_SIGNAL  (1u << 0) /* signals may be pending: look */
#define ATTENTION_EXIT    (1u << 1) /* the process is ending: leave */
#define ATTENTION_GROUP   (1u << 2) /* give up the fork group's range */
#define ATTENTION_STOP    (1u << 3) /* job control stop */
#define ATTENTION_RAISED  (1u << 5) /* a call raised a signal of its own thread */
#define ATTENTION_MEMORY  (1u << 4) /* a page of the process cannot be had: SIGKILL */
#define ATTENTION_BARRIER (1u << 6) /* membarrier(2) of another thread */

#define NO_DEADLINE UINT64_MAX

/* Restart codes as inside Linux: never reach the application. */
#define ERESTARTSYS           512
#define ERESTARTNOINTR        513
#define ERESTARTNOHAND        514
#define ERESTART_RESTARTBLOCK 516

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

/* What mm does when a thread begins or ends using its mm; set by mm_init(), before there is one. */
struct residency_ops {
    void (*enter)(struct mm *mm);
    void (*leave)(struct mm *mm);
};
extern const struct residency_ops *g_residency;

/* ---- attention ---- */
/* Set flags and make sure that the thread notices: interrupts its wait, or kicks it out of user
 * code. */
void thread_notify(struct thread *t, u32 flags);
/* Called on every way back to user code when attention != 0 (entry/ calls it; proc/signal.c
 * implements it): deliver signals, stop, exit. result: of the system call, to be restarted or not;
 * -1 orig_rax: no call. */
void attention_handle(struct uregs *regs);
/* The current call failed in a way that is a signal as well, which the thread gets on its way back
 * to user code. It interrupts no wait of the call. */
#define THREAD_SIGPIPE 1u
#define THREAD_SIGXFSZ 2u
void thread_raise(u32 signals);

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

/* ---- deadlines (libos/thread/deadline.c) ---- */
/* A relative time to a deadline, saturating. */
u64 deadline_after(u64 ns);
/* Reads a timespec argument; NULL: NO_DEADLINE. A time of zero gives 0: do not wait. -EFAULT,
 * -EINVAL. */
int deadline_from_timespec(uaddr ts, u64 *deadline);
int ns_from_timespec(uaddr ts, u64 *ns);
/* What is left until the deadline, for the calls that write it back. Failure to write is ignored,
 * as Linux does. */
void put_remaining_time(uaddr ts, u64 deadline, bool timeval);

/* ---- for entry (libos/thread/thread.c) ---- */
/* Limits of threads, 0: none: measured (enclave.threads), and what the host wants. */
void threads_init(u32 static_tcs, u64 measured, u64 wanted);
void threads_limit_changed(u64 wanted); /* never above the measured one */
struct thread *thread_bind_control(struct tcb *t, struct host_memory *area);
void thread_unbind_control(struct tcb *t);
void thread_run_next(struct tcb *t, struct host_memory *area);
void threads_stats(struct boundary_stats *stats);
