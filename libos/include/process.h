/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes (libos/proc). One lock, g_process_lock (mutex), guards the tree: parent/children/threads lists, process groups,
 * sessions, states, pending process signals, and wait4's conditions. It is a leaf above spinlocks only: nothing blocks under it.
 */
#pragma once

#include "lib.h"
#include "thread.h"

#define NSIG 64

struct mm;
struct files;
struct fs_context;
struct file;
struct dentry;

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
};
struct rlimit64 {
    u64 soft, hard;
};

enum process_state { PROCESS_NEW, PROCESS_RUNNING, PROCESS_STOPPED, PROCESS_ZOMBIE };

struct session {
    struct refcount refs;
    i32 sid;
    struct tty *tty;      /* controlling terminal, fs/tty.c */
    i32 foreground;       /* its process group */
};

struct process {
    struct refcount refs;
    i32 pid, pgid;
    struct session *session;
    struct process *parent;
    struct list_head children, sibling, all, threads;
    u32 thread_count;
    enum process_state state;
    u32 exit_status;      /* as wait(2) */
    bool group_exit, exec_done, report_to_host;
    i32 exit_signal;      /* SIGCHLD, 0 none */
    u32 wait_event;       /* stopped/continued not yet reported */

    struct mm *mm;
    struct files *files;
    struct fs_context *fs;
    struct sighand *sighand;
    struct cred cred;
    struct rlimit64 rlimits[16];

    u64 sig_pending;
    struct list_head sig_queue;
    struct waitq wait_children; /* wait4 of this process */
    struct waitq exit_wait;     /* libenclave, pidfd: this process's end */
    struct waitq signal_wait;   /* signalfd, sigtimedwait */

    char comm[16];
    u64 start_time;       /* monotonic ns */
    u64 utime, stime, cutime, cstime; /* ns */
    u32 dumpable, personality, keepcaps, child_subreaper, pdeathsig;
    i32 oom_score_adj, nice;
    struct timers *timers;
};

extern struct mutex g_process_lock;
extern struct list_head g_processes;
static inline struct process *current_process(void)
{
    return current()->process;
}
struct process *process_find(i32 pid); /* +1 reference or NULL */
struct process *process_get(struct process *p);
void process_put(struct process *p);
i32 pid_allocate(void);

/* ---- signals (proc/signal.c) ---- */
struct siginfo_k {
    i32 signo, err, code;
    i32 pid;
    u32 uid;
    u64 addr, value;
    i32 status;
    u32 timer_id, overrun;
};
int signal_send_process(struct process *p, const struct siginfo_k *info);
int signal_send_thread(struct thread *t, const struct siginfo_k *info);
int signal_send_group(i32 pgid, const struct siginfo_k *info);
/* A fault of the current thread's application code: forces sig (SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS). */
void signal_fault(int sig, int code, u64 addr, u32 trap, u64 error_code);
bool signal_pending(void); /* something deliverable for the current thread */
void process_exit_group(u32 status) __noreturn; /* wait(2) status */

/* ---- start and exec ---- */
struct process_spec { /* from the manifest or from rune exec; strings are LibOS memory */
    const char *path;
    char **argv, **env;
    const char *cwd;
    int hfds[3];
    bool terminal, first;
    u32 uid, gid, umask, group_count;
    u32 *groups;
    u64 capabilities;
    const struct rlimit64 *rlimits; /* 16, or NULL */
};
int process_spawn(const struct process_spec *spec, i32 *pid); /* created, not started */
int process_start(i32 pid);
/* Replace mm's program: loads path (scripts too) into a fresh mm; on success does not return to the old program. */
int process_exec(struct dentry *program, const char *path, char **argv, char **env);
int process_kill_from_host(i32 pid, int sig); /* pid -1: everything; 0: the terminal's foreground group */
