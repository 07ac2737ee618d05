/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that runs here: what GS leads to. The door saves its registers and its vector state;
 * the rest of struct thread belongs to the rooms that the comments name.
 */
#pragma once

#include "lib.h"

struct process;
struct seccomp_filter;
struct tracee;
struct mm;
struct host_memory;

/* The application's registers at the system call, fault or preemption; layout is used by
 * libos/host/entry.S. */
struct uregs {
    u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    u64 orig_rax; /* system call number, or -1 */
    u64 rip, rflags, rsp;
};

struct thread {
    struct process *process;
    struct mm *mm; /* what this thread holds residency of, NULL none: set by mm_enter, cleared by
                      mm_leave */
    i32 tid;
    u32 attention;              /* atomic */
    u64 barrier_seen;           /* atomic; proc/membarrier.c: the last barrier that it passed */
    struct uregs *regs;         /* valid in KERNEL state while serving the application */
    u64 fs_base;                /* the application's */
    void *xsave;                /* the application's vector state while it is saved */
    u32 park;                   /* enclave-side wake token, see wait.c */
    u32 raised;                 /* THREAD_*: signals that its own call raised */
    bool asleep;                /* parked in a wait that a signal ends: S in /proc */
    struct host_memory *host;   /* the host thread's shared area */
    u32 wake_depth, wake_count; /* wake_begin(): wake-ups that wait for wake_end() */
    struct thread *wakes[8];
    struct file *ended_files; /* file_put(): without a reference, to be closed after this one */
    bool ending_file;
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
    u64 system_time;             /* of it in the LibOS, ns, as the calls that were timed say */
    u64 sample_begin;            /* of the call that is timed, monotonic ns; 0: none is */
    u64 sample_waited;           /* ns of it that the thread slept */
    u64 sample_cost;             /* ns that a look at the clock takes */
    u32 untimed, sample_weight;  /* calls until the next is timed, and how many that stands for */
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
    u32 mempolicy;    /* set_mempolicy(2), as libos/mm/mempolicy.c puts it there */
    u32 seccomp_mode; /* SECCOMP_MODE_* */
    struct seccomp_filter *seccomp;
    struct tracee *tracee; /* proc/tracee.c; NULL: nobody traces it */
    bool step_armed;       /* proc/step.c: a breakpoint is at step_at, where step_byte was */
    bool step_call;        /* the step is a system call */
    u8 step_byte;
    u64 step_at;
    int resume_signal;       /* what its tracer lets it go on with */
    struct key *thread_keys; /* proc/keyring.c; NULL: none yet */
    i32 request_keyring;     /* KEY_REQKEY_DEFL_* */
    char comm[16];
    void (*kernel_fn)(void *arg); /* LibOS thread without user code */
    void *kernel_arg;
};

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
