/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes (libos/proc). One lock, g_process_lock (mutex), guards the tree:
 * parent/children/threads lists, process groups, sessions, states, pending process signals, and
 * wait4's conditions. It is a leaf above spinlocks only: nothing blocks under it.
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
    u32 securebits; /* SECBIT_*, but for KEEP_CAPS, which is keepcaps */
};
enum rlimit_index {
    LIMIT_CPU,
    LIMIT_FSIZE,
    LIMIT_DATA,
    LIMIT_STACK,
    LIMIT_CORE,
    LIMIT_RSS,
    LIMIT_NPROC,
    LIMIT_NOFILE,
    LIMIT_MEMLOCK,
    LIMIT_AS,
    LIMIT_LOCKS,
    LIMIT_SIGPENDING,
    LIMIT_MSGQUEUE,
    LIMIT_NICE,
    LIMIT_RTPRIO,
    LIMIT_RTTIME,
};

struct rlimit64 {
    u64 soft, hard;
};

enum process_state { PROCESS_NEW, PROCESS_RUNNING, PROCESS_STOPPED, PROCESS_ZOMBIE };

struct session {
    struct refcount refs;
    i32 sid;
    struct tty *tty; /* controlling terminal, fs/dev/tty.c */
    i32 foreground;  /* its process group */
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
    struct waitq wait_children; /* wait4 of this process */
    struct waitq exit_wait;     /* libenclave, pidfd: this process's end */
    struct waitq signal_wait;   /* signalfd, sigtimedwait */

    char comm[16];
    u64 start_time;                   /* monotonic ns */
    u64 utime, stime, cutime, cstime; /* ns */
    u32 dumpable, personality, keepcaps, child_subreaper, pdeathsig;
    i32 oom_score_adj, nice;
    u32 ioprio;            /* remembered; 0: none was set */
    struct list_head aio;  /* event/aio.c: contexts of Linux AIO; empty until the first */
    struct timers *timers; /* proc/posix_timer.c; NULL until the first */

    u32 wait_status; /* of the last stop, for wait_event */
    u32 stop_signal;
    bool vfork_pending; /* the parent waits until this process execs or ends */
    bool reaped;        /* out of the tree */
    struct waitq vfork_wait;
    struct waitq stop_wait;     /* threads of a stopped process */
    struct thread *exec_thread; /* ends all others and goes on alone */
    struct spawn *spawn;        /* proc/spawn.c: while created but not started */
    u64 min_flt;
    u64 max_rss, child_max_rss; /* pages at the last look and at the end; of children waited for */
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
struct process *process_find(i32 pid); /* +1 reference or NULL */
struct process *process_get(struct process *p);
void process_put(struct process *p);
i32 pid_allocate(void);
/* Calls fn for each process, g_process_lock held; stops at a non-zero result and returns it. */
int process_for_each(int (*fn)(struct process *p, void *ctx), void *ctx);
/* R S T Z, as in /proc/PID/stat, of its thread tid, or (0) the first one; g_process_lock held. */
char process_state_char(struct process *p, i32 tid);
void thread_cpu_begin(struct thread *t); /* on its host thread, which may have served others */
u32 cpu_count(void);                     /* 1..1024 */
u64 process_cpu_time(struct process *p); /* ns, user and system, so far */
struct thread *thread_find(i32 tid);     /* g_process_lock held by the caller */
bool cred_capable(const struct cred *c, int cap);
bool capable(int cap); /* of the current process */
bool cred_in_group(const struct cred *c, u32 gid);
/* The supplementary groups: how many; ids has them when room is enough. */
u32 cred_groups(const struct cred *c, u32 *ids, u32 room);
/* As ptrace(2): may the current process look into p? */
bool process_may_access(const struct process *p);
/* No member has a parent in another group of the same session: a stop would never end
 * (g_process_lock held). */
bool process_group_orphaned(i32 pgid);

/* The filters of t let the system call of regs through; else *result is what it returns. May end
 * the thread. (proc/seccomp.c) */
u32 seccomp_filter_count(const struct thread *t);
bool seccomp_allows(struct thread *t, struct uregs *regs, long *result);

/* ---- what the host says of the container (proc/container.c) ---- */
struct boundary_limits;
void container_set_limits(const struct boundary_limits *limits);
int container_set_id_maps(const char *uid, const char *gid); /* NULL: none; copied */
void container_set_oom_score_adj(i32 score);
void container_cpus(u64 mask[16]);                 /* those that may be used: one at least */
void container_cpu_quota(u64 *quota, u64 *period); /* microseconds; quota 0: none */
u64 container_thread_limit(void);                  /* 0: none */
const char *container_id_map(bool gid);            /* as /proc/self/uid_map shows it */
i32 container_oom_score_adj(void);

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
/* A fault of the current thread's application code: forces sig (SIGSEGV, SIGILL, SIGFPE, SIGTRAP,
 * SIGBUS). */
void signal_fault(int sig, int code, u64 addr, u32 trap, u64 error_code);
/* The same for any cause: cannot be blocked, ignored or survived by PID 1: a handler takes it, or
 * the process ends. */
void signal_force(const struct siginfo_k *info);
bool signal_pending(void); /* something deliverable for the current thread */
/* The current thread ignores sig or blocks it: what a terminal asks before it sends SIGTTIN,
 * SIGTTOU. */
bool signal_ignored_or_blocked(int sig);
/* For signalfd: take one pending signal of set (bit n-1 is signal n), thread's first; 0 when there
 * is none. */
int signal_dequeue(u64 set, struct siginfo_k *info);
u64 signal_pending_set(void); /* of the current thread and process, blocked or not */
/* The kernel's 128 bytes of siginfo_t. */
void siginfo_encode(const struct siginfo_k *info, u8 out[128]);
/* ppoll, pselect, epoll_pwait: block `mask` until the call is over. Call with the mask already
 * copied in; when the call ends with -EINTR (or ERESTARTNOHAND) the old mask comes back after
 * delivery, else call signal_mask_restore(). */
void signal_mask_set_temporary(u64 mask);
void signal_mask_restore(void);
void process_exit_group(u32 status) __noreturn; /* wait(2) status */
/* Its threads leave on their next way to user code; g_process_lock held. */
void process_begin_exit_locked(struct process *p, u32 status);

void aio_process_exit(struct process *p); /* event/aio.c: also when it execs */
u32 aio_event_count(void);                /* /proc/sys/fs/aio-nr */

/* ---- timers (proc/timer.c): one LibOS thread serves them all ---- */
struct ktimer {
    struct rb_node node;         /* key: deadline */
    void (*fn)(struct ktimer *); /* on the timer thread, no lock held; may arm again */
    bool armed;
};
void ktimer_init(struct ktimer *t, void (*fn)(struct ktimer *));
/* deadline: CLOCK_MONOTONIC ns; replaces an earlier one; -EAGAIN: no thread to be had. */
int ktimer_arm(struct ktimer *t, u64 deadline);
bool ktimer_cancel(struct ktimer *t); /* was armed; fn may still be running */
/* fn is not running afterwards; hold no lock that fn takes. */
void ktimer_cancel_sync(struct ktimer *t);
/* The time of `clock` (CLOCK_*), or -EINVAL; deadline in CLOCK_MONOTONIC ns of an absolute time on
 * a settable or CPU clock. */
int clock_read(i32 clock, u64 *ns);
int clock_deadline(i32 clock, bool absolute, u64 ns, u64 *deadline);

/* ---- the system's names (proc/misc.c) ---- */
/* As uname(2) gives them; they may be changed meanwhile. */
void uts_names(char hostname[65], char domainname[65]);

/* ---- start and exec ---- */
int process_init(void); /* entry/ calls it once before anything else here */
struct process_spec {   /* from the manifest or from rune exec; strings are LibOS memory */
    const char *path;
    char **argv, **env;
    const char *cwd;
    int hfds[3];
    bool terminal, first;
    u32 uid, gid, umask, group_count;
    u32 *groups;
    u64 capabilities; /* permitted and effective */
    u64 bounding, inheritable, ambient;
    const struct rlimit64 *rlimits; /* 16, or NULL */
};
int process_spawn(const struct process_spec *spec, i32 *pid); /* created, not started */
int process_start(i32 pid);
/* Replace mm's program: loads path (scripts too) into a fresh mm; on success does not return to the
 * old program. */
int process_exec(struct dentry *program, const char *path, char **argv, char **env);
/* From the host, as far as the policy lets it (proc/hostsignal.c). pid -1: everything; 0: PID 1's
 * foreground group. */
int process_kill_from_host(i32 pid, int sig);
/* The foreground group of the terminal of pid's session. */
int process_kill_foreground(i32 pid, int sig);
