/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who traces whom (docs/design/processes.md, "ptrace"). tracee.c: the link, stops and ends;
 * ptrace.c: what a tracer asks; step.c: single steps. g_process_lock guards all of it.
 */
#pragma once

#include "proc.h"
#include <linux/ptrace.h>

#define TRACE_EVENT(event) ((u32)(event) << 8 | SIGTRAP) /* code of a stop */

struct tracee {
    struct list_head link;   /* of the tracer's tracees */
    struct process *tracer;  /* no reference: its end takes this away */
    struct process *process; /* +1 */
    struct thread *thread;   /* NULL: it has ended */
    i32 tid;
    u32 options; /* PTRACE_O_* */
    bool seized;
    bool stopped;    /* its thread waits for the tracer */
    bool listening;  /* PTRACE_LISTEN */
    bool told_group; /* the tracer knows of the process's stop */
    bool interrupt;  /* a trap is wanted */
    bool ended;      /* status is of its end, and nothing else will come */
    bool event;      /* the tracer has not heard of status */
    bool held_back;  /* the process's end is told to its parent when the tracer has heard of it */
    u32 status;      /* as wait(2) */
    u32 resume;      /* PTRACE_CONT, PTRACE_SYSCALL or PTRACE_SINGLESTEP: how it runs */
    u8 call;         /* PTRACE_SYSCALL_INFO_* of the stop it is in */
    u64 message;     /* PTRACE_GETEVENTMSG */
    struct siginfo_k info;
    bool has_info;
};

/* ---- tracee.c ---- */
int tracee_attach_locked(struct thread *t, struct process *tracer, u32 options, bool seized);
/* The link goes, the thread runs on, with a signal of the tracer's or 0. */
void tracee_detach_locked(struct tracee *e, int signal);
void tracee_resume_locked(struct tracee *e, u32 how, int signal);
/* A new thread or process of the current one, which is not started; the event it belongs to. */
void tracee_inherit(struct thread *child, u64 clone_flags, u32 event);
/* The current thread stops with an event, if its tracer wants to hear of it. */
void tracee_event(u32 event, u64 message);
void tracee_exec(i32 old_tid);
bool tracee_unsafe(const struct thread *t); /* exec must not give it more rights */
/* The thread waits in a stop of its process; true: its tracer lets it run all the same. */
bool tracee_group_stop(struct thread *t);
void tracee_trap(struct thread *t); /* PTRACE_INTERRUPT and the like */
/* A signal that is about to be taken: what is taken in its place, 0 for none. The lock is given
 * up meanwhile. */
int tracee_signal_locked(struct thread *t, struct siginfo_k *info);
void tracee_stopping_locked(struct process *p);
void tracee_continued_locked(struct process *p);
void tracee_let_go_locked(struct process *p); /* SIGKILL: also from a stop at its end */
void tracee_thread_end_locked(struct thread *t, u32 status);
/* The zombie p; true: its parent hears of it later. */
bool tracee_process_end_locked(struct process *p);
void tracer_end_locked(struct process *p);
bool tracee_of_parent(const struct process *p); /* its first thread's tracer is its parent */
/* The tracer has heard of e's end: e is gone. */
void tracee_forget_locked(struct tracee *e);
/* ---- exit.c ---- */
void process_announce_locked(struct process *p);

/* ---- step.c ---- */
/* On the way to user code: what the tracer wants of a step is in place, and nothing else. */
void step_prepare(struct thread *t, const struct uregs *regs);
void step_disarm(struct thread *t);
bool step_wanted(const struct thread *t);

/* ---- ptrace.c: registers of a thread that stands still, its vector state in xsave ---- */
/* As struct user_regs_struct. */
struct user_regs {
    u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs,
        flags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
};
#define XSAVE_LEGACY 512
void registers_of(const struct thread *t, struct user_regs *out);
u32 xstate_size(void);
void vectors_of(const struct thread *t, u8 *out); /* xstate_size() bytes: NT_X86_XSTATE */
