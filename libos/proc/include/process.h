/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes (libos/proc). One lock, g_process_lock (mutex), guards the tree:
 * parent/children/threads lists, process groups, sessions, states, pending process signals, and
 * wait4's conditions. It is a leaf above spinlocks only: nothing blocks under it.
 */
#pragma once

#include "task.h"

struct file;
struct dentry;

struct process *process_find(i32 pid); /* +1 reference or NULL */
struct process *process_get(struct process *p);
void process_put(struct process *p);
i32 pid_allocate(void);
i32 pid_last(void); /* /proc/sys/kernel/ns_last_pid: the next one is after it */
int pid_set_last(i32 pid);
/* R S T Z, as in /proc/PID/stat, of its thread tid, or (0) the first one; g_process_lock held. */
char process_state_char(struct process *p, i32 tid);
u32 cpu_count(void); /* 1..1024 */
/* CPU time so far, ns: the sum, and how it divides; g_process_lock held by the caller. */
u64 process_cpu_time(struct process *p);
struct cpu_times process_cpu_times(struct process *p);
/* Around a system call of the current thread, one in about 64: it stands for those since the last
 * that was timed. What of it the thread slept does not count. */
u32 cpu_sample_begin(void);
void cpu_sample_end(u32 weight);     /* what cpu_sample_begin() returned */
struct thread *thread_find(i32 tid); /* g_process_lock held by the caller */
i32 process_tracer_locked(i32 tid);  /* who traces that thread; 0: nobody */
/* As ptrace(2): may the current process look into p? */
bool process_may_access(const struct process *p);
/* No member has a parent in another group of the same session: a stop would never end
 * (g_process_lock held). */
bool process_group_orphaned(i32 pgid);

/* The filters of t let the system call of regs through; else *result is what it returns. May end
 * the thread. (proc/seccomp.c) */
u32 seccomp_filter_count(const struct thread *t);
bool seccomp_allows(struct thread *t, struct uregs *regs, long *result);

/* ---- a traced thread's system calls and breakpoints (proc/tracee.c, proc/step.c) ---- */
/* Before a call, whose number and arguments the tracer may change; false: it is not made, and
 * regs->rax is its result. */
bool tracee_call_begin(struct thread *t, struct uregs *regs);
void tracee_call_end(struct thread *t);
/* INT3 at rip is that of a single step, of t or of another thread; false: the program's own. */
bool step_hit(struct thread *t, u64 rip);

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

/* ---- keys (proc/keys.c): limits of /proc/sys/kernel/keys, lines of /proc/keys ---- */
struct key_limits {
    u32 maxkeys, maxbytes, root_maxkeys, root_maxbytes;
    u32 gc_delay; /* without effect: what nobody holds goes at once */
};
struct key_limits *key_limits(void);
typedef void key_line(void *ctx, const char *line);
void keys_show(key_line *line, void *ctx);
void key_users_show(key_line *line, void *ctx);

/* ---- core files (proc/core_name.c) ---- */
#define CORE_PATTERN_SIZE 128
void core_pattern(char out[CORE_PATTERN_SIZE]);
int core_set_pattern(const char *text); /* -EINVAL: too long, or the name of a program */

/* ---- signals (proc/signal.c) ---- */
struct siginfo_k {
    i32 signo, err, code;
    i32 pid;
    u32 uid;
    u64 addr, value;
    i32 status;
    u32 timer_id, overrun;
    bool band;   /* of a file: value is si_band, status si_fd */
    bool forced; /* of a fault: process 1 ends of it as well */
    bool timer;  /* of a timer, which keeps the room for it, and goes on when it is taken */
};
/* Queued signals of all processes of p's user, whom RLIMIT_SIGPENDING limits. */
u32 signal_queued_locked(const struct process *p);
int signal_send_process(struct process *p, const struct siginfo_k *info);
int signal_send_thread(struct thread *t, const struct siginfo_k *info);
/* The same with g_process_lock held; forced: PID 1 gets SIGKILL and SIGSTOP too. */
int signal_send_process_locked(struct process *p, const struct siginfo_k *info, bool forced);
int signal_send_thread_locked(struct thread *t, const struct siginfo_k *info, bool forced);
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
/* ppoll, pselect6, epoll_pwait: a temporary signal mask. enter: mask NULL changes nothing; size
 * must be 8. leave: puts the old mask back unless the call was interrupted: then delivery does. */
int sigmask_enter(uaddr mask, size_t size);
void sigmask_leave(bool interrupted);
void process_exit_group(u32 status) __noreturn; /* wait(2) status */
/* Its threads leave on their next way to user code; g_process_lock held. */
void process_begin_exit_locked(struct process *p, u32 status);

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
u64 clock_late(i32 clock, u64 ns); /* how long ago it was ns by the clock; 0: it was not yet */

/* ---- the system's names (proc/misc.c) ---- */
/* As uname(2) gives them; they may be changed meanwhile. */
void uts_names(char hostname[65], char domainname[65]);
/* As sethostname(2), setdomainname(2): -EPERM, -EINVAL. */
int uts_set_name(const char *name, size_t size, bool domain);

/* ---- start and exec ---- */
/* What proc asks of rooms above it. */
struct process_hooks {
    /* stdio of a process: takes host descriptors (already dup'ed) as its files 0, 1, 2. */
    int (*install_stdio)(struct files *files, const hostfd hfds[3], bool terminal);
    /* Its terminal becomes the controlling one of the session that p leads. */
    void (*take_terminal)(struct process *p);
    /* The process whose /proc/PID directory f is, +1; -EBADF: it is none, -ESRCH: it is gone. */
    int (*dir_process)(struct file *f, struct process **out);
    void (*session_end)(struct session *s); /* its leader, who has a terminal, ends */
    void (*exec)(struct process *p);        /* it has a new program */
    void (*exit)(struct process *p);        /* it ends, and has its memory still */
};
extern const struct process_hooks *g_process_hooks;
/* entry/ calls it once before anything else here; hooks stay. */
int process_init(const struct process_hooks *hooks);
struct process_spec { /* from the manifest or from rune exec; strings are LibOS memory */
    const char *path;
    char **argv, **env;
    const char *cwd;
    hostfd hfds[3];
    bool terminal, first;
    bool helper; /* not the host's: its signals do not reach it alone */
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
