/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of libos/proc share. Functions named *_locked want g_process_lock held. */
#pragma once

#include "cpu.h"
#include "fs.h"
#include "mm.h"
#include "pages.h"
#include "process.h"
#include "syscall.h"
#include "thread.h"
#include "user.h"
#include "vector.h"
#include <asm/signal.h>
#include <asm/siginfo.h>

#undef NSIG /* the old header's is 32 */
#define NSIG 64

#define SIG_BIT(n)      (1ull << ((n)-1))
#define SIG_UNBLOCKABLE (SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP))
#define SIG_STOP_SET    (SIG_BIT(SIGSTOP) | SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | SIG_BIT(SIGTTOU))
#define HANDLER_DFL     0ull
#define HANDLER_IGN     1ull
#define RLIMIT_INFINITE UINT64_MAX
#define PID_MAX         4194304

extern struct process *g_init; /* PID 1 while it lives */

/* ---- process.c ---- */
struct process *process_alloc(void); /* refs 1, in no list */
int process_groups_copy(struct cred *to, const struct cred *from);
void process_publish_locked(struct process *p, struct process *parent);
struct thread *process_thread_add(struct process *p, i32 tid); /* NULL: no thread to be had */
void process_thread_remove(struct thread *t);                  /* one that never started */
void process_reap_locked(struct process *p); /* out of the tree; drops the tree's reference */
void session_put(struct session *s);
struct session *session_create(i32 sid);

/* ---- exit.c ---- */
/* The calling thread only; status as wait(2) if it is the last. */
__noreturn void thread_exit(u32 status);
void vfork_release(struct process *p);
struct rusage;
void process_note_rss(struct process *p);
void rusage_fill(struct process *p, bool children, struct rusage *out);
void rusage_set_cpu(struct rusage *out, struct cpu_times cpu);

/* ---- core.c ---- */
/* The current process, which a signal ends: all of it stands still, and what RLIMIT_CORE asks for
 * is written. True: it is ending, with a core file. */
bool core_dump(const struct siginfo_k *info);
void core_wait(void); /* a thread that ends, while another one writes */
void core_thread_gone_locked(struct process *p);
void core_killed_locked(struct process *p);

/* ---- core_name.c ---- */
void core_name(char *name, int sig); /* PATH_MAX */
bool core_place_is_ours(const char *name);

/* ---- pidfd.c, sigcalls.c ---- */
int pidfd_create(struct process *p, u32 flags);
struct process *pidfd_process(int fd, bool *nonblock); /* +1; NULL: fd is none */
/* To this process, whoever has its number meanwhile: as kill(), or as sigqueue() with an info. */
long process_signal(struct process *p, int sig, uaddr user_info);

/* ---- membarrier.c ---- */
void membarrier_pass(struct thread *t); /* it took ATTENTION_BARRIER */

/* ---- seccomp.c ---- */
struct seccomp_filter;
void seccomp_put(struct seccomp_filter *f);
void seccomp_copy(struct thread *to, const struct thread *from); /* a new thread has its maker's */
long seccomp_prctl(long mode, uaddr filter);

/* ---- keyring.c ---- */
void keys_copy(struct process *child, struct process *parent);
void keys_thread_drop(struct thread *t);
void keys_drop(struct process *p, bool session); /* its own keyring; the session's as well */

/* ---- signal.c ---- */
struct sigqueue {
    struct list_head link;
    struct process *owner; /* whose queue it is on, or whose thread's */
    struct siginfo_k info;
};
bool signal_default_ignored(int sig);
bool signal_default_stops(int sig);
bool signal_default_dumps(int sig);
void signal_flush_queue(struct list_head *queue, u64 *pending, u64 set);
void signal_set_mask_locked(struct thread *t, u64 mask);
void signal_recalculate(struct thread *t);
int signal_dequeue_locked(struct thread *t, u64 set, struct siginfo_k *info);
void signal_notify_parent_locked(struct process *p, int code, int status);
void signal_retarget_locked(struct thread *t, u64 set);
u64 signal_pending_locked(const struct thread *t); /* deliverable now */
void signal_exec_reset(struct process *p);
void process_continue_locked(struct process *p);

/* ---- sigframe.c ---- */
int signal_frame_push(struct thread *t, struct uregs *regs, const struct siginfo_k *info,
                      const struct ksigaction *action);
size_t signal_frame_max(void); /* AT_MINSIGSTKSZ */

/* ---- acct.c ---- */
void acct_process(struct process *p); /* a record of its end, where they are kept */

/* ---- futex.c ---- */
void futex_wake_address(struct mm *mm, u64 addr, u32 count);
void futex_robust_exit(struct thread *t);
bool futex_robust_held(const struct thread *t); /* robust futexes that exit would have to release */

/* ---- timer.c, posix_timer.c ---- */
void timers_destroy(struct process *p);
void timers_exec(struct process *p);
void timers_cpu_limit_locked(struct process *p); /* rlimits[LIMIT_CPU] is new */
void timers_signal_taken_locked(struct process *p, struct siginfo_k *info);
u64 thread_cpu_time(struct thread *t);
struct cpu_times thread_cpu_times(struct thread *t);
struct timespec64 {
    i64 sec, nsec;
};
int timespec_from_user(uaddr addr, u64 *ns); /* -EFAULT, -EINVAL */
int timespec_to_user(uaddr addr, u64 ns);

/* ---- exec.c, elf.c, stack.c, script.c ---- */
#define EXEC_HEAD_SIZE 256
#define EXEC_DEPTH_MAX 5
struct script_line {
    char interpreter[EXEC_HEAD_SIZE];
    char argument[EXEC_HEAD_SIZE]; /* empty: none */
};
int script_parse(const char *head, size_t size, struct script_line *out); /* -ENOEXEC */

struct elf_image {
    u64 base; /* added to addresses of the file */
    u64 entry, phdr, start, end, brk;
    u32 phnum;
    bool exec_stack, fixed;
    char interpreter[256]; /* empty: static */
};
int elf_load(struct mm *mm, struct file *f, const char *name, bool is_interpreter,
             struct elf_image *out);

struct stack_spec {
    char **argv, **env;
    const char *execfn;
    const u64 *auxv; /* type, value pairs without AT_NULL; AT_RANDOM, AT_PLATFORM, AT_EXECFN are
                        filled in */
    u32 auxv_words;
    u8 random[16];
    /* out, addresses */
    u64 sp, arg_start, arg_end, env_start, env_end;
    u64 auxv_final[64];
    u32 auxv_final_words;
};
/* Builds the initial stack that ends at address `top` into buf, whose last byte is the one below
 * top. -E2BIG. */
int stack_build(struct stack_spec *spec, u64 top, u8 *buf, size_t size);
size_t stack_size_needed(const struct stack_spec *spec);

void strings_free(char **v);
u64 vdso_address(void); /* of the LibOS's vDSO; 0: none */

/* ---- spawn.c ---- */
/* A created process's thread, if it has not been started. */
int spawn_start_locked(struct process *p);
