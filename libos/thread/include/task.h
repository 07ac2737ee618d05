/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes as data: each room above looks at its part of struct process, and none but proc makes
 * or ends one. One lock guards the tree.
 */
#pragma once

#include "rlimit.h"
#include "thread.h"

#define NSIG 64

struct mm;
struct files;
struct fs_context;

/* As the kernel's sigaction for x86-64. */
struct ksigaction {
    u64 handler, flags, restorer, mask;
};
struct sighand {
    struct refcount refs;
    struct ksigaction action[NSIG];
};
struct cred { /* by value in the process; threads share it */
    u32 uid, euid, suid, fsuid, gid, egid, sgid, fsgid;
    u32 group_count;
    u32 *groups;
    u64 cap_permitted, cap_effective, cap_inheritable, cap_bounding, cap_ambient;
    bool no_new_privs;
    u32 securebits; /* SECBIT_*, but for KEEP_CAPS, which is keepcaps */
};
enum process_state { PROCESS_NEW, PROCESS_RUNNING, PROCESS_STOPPED, PROCESS_ZOMBIE };

struct session {
    struct refcount refs;
    i32 sid;
    struct tty *tty; /* controlling terminal, fs/dev/tty.c */
    i32 foreground;  /* its process group */
    bool host_keys;  /* the terminal is the host's, and the tenant lets it press keys there */
};

struct cpu_times {
    u64 user, system; /* ns */
};

struct process {
    struct refcount refs;
    i32 pid, pgid;
    struct session *session;
    struct process *parent;
    struct list_head children, sibling, all, threads;
    u32 thread_count;
    enum process_state state;
    u32 exit_status; /* as wait(2) */
    bool group_exit, exec_done, report_to_host;
    bool helper;     /* the LibOS started it: not one that the host may signal alone */
    i32 exit_signal; /* SIGCHLD, 0 none */
    u32 wait_event;  /* stopped/continued not yet reported */

    struct mm *mm;
    struct files *files;
    struct fs_context *fs;
    struct sighand *sighand;
    struct cred cred;
    struct rlimit64 rlimits[16];

    u64 sig_pending;
    struct list_head sig_queue;
    u32 sig_queued;             /* entries of it and of its threads' queues */
    struct waitq wait_children; /* wait4 of this process */
    struct waitq exit_wait;     /* libenclave, pidfd: this process's end */
    struct waitq signal_wait;   /* signalfd, sigtimedwait */

    char comm[16];
    u64 start_time;                /* monotonic ns */
    u64 ended_cpu, ended_system;   /* of threads that ended, ns */
    struct cpu_times told_cpu;     /* the last time */
    struct cpu_times children_cpu; /* of those that were waited for */
    u32 dumpable, personality, keepcaps, child_subreaper, pdeathsig;
    i32 oom_score_adj, nice;
    u32 ioprio;            /* remembered; 0: none was set */
    bool sem_undo;         /* it called semop() with SEM_UNDO */
    struct list_head aio;  /* event/aio.c: contexts of Linux AIO; empty until the first */
    struct timers *timers; /* proc/posix_timer.c; NULL until the first */

    u32 wait_status; /* of the last stop, for wait_event */
    u32 stop_signal;
    bool vfork_pending; /* the parent waits until this process execs or ends */
    bool reaped;        /* out of the tree */
    struct waitq vfork_wait;
    struct waitq stop_wait;                  /* threads of a stopped process */
    struct thread *exec_thread;              /* ends all others and goes on alone */
    struct core *core;                       /* proc/core.c: while its core file is written */
    struct spawn *spawn;                     /* proc/spawn.c: while created but not started */
    struct key *process_keys, *session_keys; /* proc/keyring.c; NULL: none yet */
    u64 min_flt;
    struct list_head tracees;    /* proc/tracee.c: threads that it traces */
    struct tracee *first_tracee; /* of its first thread, which has ended */
    i32 ptracer;                 /* PR_SET_PTRACER: a process, -1 any */
    u64 max_rss, child_max_rss;  /* pages at the last look and at the end; of children waited for */
};

#define WAIT_EVENT_STOPPED   1u
#define WAIT_EVENT_CONTINUED 2u

extern struct mutex g_process_lock;
extern struct list_head g_processes;
extern struct process g_kernel_process; /* of LibOS threads: pid 0, no mm, not in g_processes */
static inline struct process *current_process(void)
{
    return current()->process;
}
/* Calls fn for each process, g_process_lock held; stops at a non-zero result and returns it. */
int process_for_each(int (*fn)(struct process *p, void *ctx), void *ctx);
bool cred_capable(const struct cred *c, int cap);
bool capable(int cap); /* of the current process */
bool cred_in_group(const struct cred *c, u32 gid);
/* The supplementary groups: how many; ids has them when room is enough. */
u32 cred_groups(const struct cred *c, u32 *ids, u32 room);
void process_groups_set(struct process *p, u32 *groups, u32 count); /* takes the list */
