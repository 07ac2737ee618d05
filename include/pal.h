/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Enclave Runtime PAL API: what a shared library implements so that rune can run containers in
 * it.
 *
 * rune loads the library from the host (dlopen, before pivot_root), calls pal_get_version() (absent
 * means 1), takes the highest version both sides know, and then calls pal_init() once, the process
 * functions any number of times and from several threads, and pal_destroy() once. Versions 1 to 3
 * have the binary layout that Inclavare Containers published; version 4 is this project's own. All
 * functions return 0, or a negative errno value (versions 1 to 3 of older runtimes also return -1
 * and set errno; rune accepts both).
 *
 * Signals: rune's process has every asynchronous signal blocked before it loads the library
 * (threads inherit that) and reads them itself; a runtime hears of them by pal_kill. SIGILL,
 * SIGBUS, SIGFPE, SIGSEGV and SIGSYS are not blocked; a runtime may install handlers for them, and
 * hands what is not its own to the handler it replaced. A runtime that kicks its own threads uses a
 * real-time signal with a handler of its own; on the threads on which rune calls a library of
 * versions 1 to 3 these signals are not blocked.
 *
 * Children that a runtime forks are the runtime's: it waits for them. (rune reaps what becomes a
 * child of its process because a parent has ended: children of its first thread, on which it calls
 * no function of versions 1 to 3. A library of version 4 forks on a thread of its own.)
 *
 * A library exports plain C symbols. pal_init and pal_exec have another prototype in each version,
 * so the prototypes are given as function types; a library defines PAL_VERSION to 1, 2, 3 or 4
 * before including this file to have its own prototypes declared.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PAL_EXPORT __attribute__((visibility("default")))

/* Highest version this header describes. */
#define PAL_VERSION_MAX 4

/* ---- versions 1 to 3 ------------------------------------------------------------------------- */

/* pal_init of versions 1 and 2. Strings are never NULL; what is not set is "". log_level: off,
 * fatal, error, warn, info, debug, trace. */
typedef struct {
    const char *args;
    const char *log_level;
} pal_attr_v1_t;

/* pal_init of version 3: fd and addr name an enclave that is already there (fd -1: none). */
typedef struct {
    pal_attr_v1_t attr_v1;
    int fd;
    uint64_t addr;
} pal_attr_v3_t;

/* Host descriptors for a process, the library's until pal_exec returns: it may use or close them.
 * What it has not closed by then, rune closes. */
typedef struct {
    int stdin_fd, stdout_fd, stderr_fd;
} pal_stdio_fds;

/* Version 2 and 3: path is inside the enclave's file system; *pid receives the process's id. rune
 * calls it when the process is started, right before pal_exec. */
typedef struct {
    char *path;
    char **argv;
    char **env;
    pal_stdio_fds *stdio;
    int *pid;
} pal_create_process_args;

/* Version 2 and 3: start process pid and wait; *exit_value receives 0..255 (128 + signal when
 * killed), or a status as from waitpid(2): rune takes a number above 255 for one, and each number
 * of a library that exports occlum_pal_get_version. */
typedef struct {
    int pid;
    int *exit_value;
} pal_exec_args;

typedef int pal_get_version_fn(void);
typedef int pal_init_v1_fn(pal_attr_v1_t *attr);
typedef int pal_init_v3_fn(pal_attr_v3_t *attr);
typedef int pal_exec_v1_fn(char *path, char *argv[], pal_stdio_fds *stdio, int *exit_code);
typedef int pal_create_process_v2_fn(pal_create_process_args *args);
typedef int pal_exec_v2_fn(pal_exec_args *args);
/* pid -1 means every process of the enclave. */
typedef int pal_kill_fn(int pid, int sig);
/* target_info: TARGETINFO (512 bytes); *report_len: in the room, out the size (REPORT, 432 bytes
 * used). */
typedef int pal_get_local_report_fn(void *target_info, int target_info_len, void *report,
                                    int *report_len);
typedef int pal_destroy_fn(void);

/* ---- version 4 ------------------------------------------------------------------------------- */
/*
 * Every structure begins with its size as the caller knows it, so that both sides can grow: a
 * callee reads no field beyond `size` and takes absent fields as zero. Descriptors passed in are
 * the caller's unless said otherwise. A pid is the runtime's own process id, positive, and 1 for
 * the container's first process.
 */

enum pal_event_type {
    PAL_EVENT_EXITED = 1,    /* pid ended; status as from waitpid(2) */
    PAL_EVENT_STOPPED = 2,   /* pid stopped by a job control signal; status as from waitpid(2) */
    PAL_EVENT_CONTINUED = 3, /* pid continued */
    PAL_EVENT_FATAL =
        4, /* the enclave died or was ended by the runtime; message says why; pid is 0 */
    PAL_EVENT_OUT_OF_MEMORY =
        5, /* pid is being killed, because memory ran out; status is one of PAL_OOM_* */
};

/* What was short, in PAL_EVENT_OUT_OF_MEMORY. */
#define PAL_OOM_LIMIT   0 /* the container's limit: memory_limit of pal_init */
#define PAL_OOM_SETTING 1 /* what the enclave was built with: enclave.memory */
#define PAL_OOM_HOST    2 /* the host gives no more enclave memory */

struct pal_event {
    size_t size;
    uint32_t type; /* enum pal_event_type */
    int32_t pid;
    int32_t status;
    const char *message; /* may be NULL */
};

/*
 * Called on a thread of the runtime, at most one call at a time. Must not call back into the PAL
 * and must not block for long (write to a pipe and return).
 */
typedef void pal_event_fn(void *context, const struct pal_event *event);

/* Log sink: level 0 (fatal) to 5 (trace); message is one line without a newline. */
typedef void pal_log_fn(void *context, int level, const char *message);

#define PAL_FLAG_DEBUG_ENCLAVE (1u << 0) /* the ATTRIBUTES.DEBUG bit is wanted */
#define PAL_FLAG_SIMULATION    (1u << 1) /* out, pal_info: nothing is protected from the host */
#define PAL_FLAG_NO_KSS        (1u << 2) /* the ATTRIBUTES.KSS bit is not wanted */

/* Descriptors are -1 when absent; they may be closed after pal_init returns. */
struct pal_init_args_v4 {
    size_t size;
    const char *args;         /* enclave.runtime.args */
    const char *log_level;    /* enclave.runtime.loglevel */
    const char *enclave_type; /* "intelSgx" or "simulatedSgx": what "auto" came to */
    uint32_t flags;           /* PAL_FLAG_* */
    int enclave_fd;    /* the enclave file (signed layout and contents), abi/enclave_file.h */
    int sigstruct_fd;  /* SIGSTRUCT, 1808 bytes */
    int image_fd;      /* sealed root: EROFS image followed by its dm-verity tree */
    int patches_fd;    /* system-call site table of that image, or -1 */
    int deployment_fd; /* deployment half of the manifest; its SHA-256 is the CONFIGID */
    int root_fd; /* O_PATH of the container's root on the host, for pass-through mounts, or -1 */
    const int *mount_fds; /* one O_PATH descriptor for each pass-through mount, in manifest order */
    uint32_t mount_count;
    uint64_t memory_limit; /* bytes the container may use, 0 for no limit */
    uint32_t thread_limit; /* 0 for no limit */
    pal_event_fn *event;
    pal_log_fn *log;
    void *context;                  /* for both callbacks */
    uint64_t cpu_quota, cpu_period; /* microseconds of processor time a period; quota 0: no limit */
    const void *given; /* what the host fills in of the deployment, not measured; NULL: nothing */
    size_t given_size; /* bytes; read before pal_init returns */
    const char *trace; /* enclave.trace: system calls to log; NULL: none. Debug enclaves only */
};

/* The container's limits after a change (rune update); 0 as in pal_init_args_v4. Which processors
 * there are is what the calling thread may run on. */
struct pal_limits_v4 {
    size_t size;
    uint64_t memory_limit;
    uint32_t thread_limit;
    uint64_t cpu_quota, cpu_period;
};

#define PAL_RLIMIT_COUNT 16

struct pal_rlimit {
    uint64_t soft, hard;
};

#define PAL_PROCESS_TERMINAL \
    (1u << 0) /* stdio is a terminal: new session with it as controlling terminal */
#define PAL_PROCESS_HAS_LIMITS \
    (1u << 1) /* rlimits is filled; otherwise the manifest's or the parent's hold */
#define PAL_PROCESS_FIRST \
    (1u << 2) /* the container's entrypoint: argv and env must be the manifest's */

struct pal_process_args_v4 {
    size_t size;
    const char *path; /* NULL: look argv[0] up in PATH of env */
    const char *const *argv;
    const char *const *env;
    const char *cwd; /* NULL: "/" */
    int stdio[3];    /* host descriptors; duplicated by the runtime */
    uint32_t flags;  /* PAL_PROCESS_* */
    uint32_t uid, gid;
    const uint32_t *groups;
    uint32_t group_count;
    uint32_t umask;
    struct pal_rlimit rlimits[PAL_RLIMIT_COUNT]; /* indexed by RLIMIT_* */
    uint64_t capabilities;                       /* permitted set, bit n is CAP_n */
};

struct pal_info_v4 {
    size_t size;
    uint32_t flags; /* PAL_FLAG_* that hold */
    uint8_t mrenclave[32];
    uint8_t mrsigner[32];
    uint64_t attributes; /* ATTRIBUTES.FLAGS */
    uint64_t xfrm;
    uint16_t isv_prod_id, isv_svn;
    uint8_t config_id[64];
    char tee[32]; /* "Intel SGX", "Intel SGX (emulated)" */
};

struct pal_stats_v4 {
    size_t size;
    uint64_t memory_committed; /* bytes of enclave memory in use */
    uint64_t memory_peak;
    uint64_t memory_reserved; /* bytes of ELRANGE that are spoken for */
    uint32_t processes, threads, tcs_total;
    uint64_t ocalls, aex, syscalls_direct, syscalls_trapped;
};

typedef int pal_init_v4_fn(const struct pal_init_args_v4 *args);
/*
 * Create a process (state: created, nothing of it has run); *pid receives its id. -ENOENT and
 * -EACCES are those of execve(2) for the program.
 */
typedef int pal_create_process_v4_fn(const struct pal_process_args_v4 *args, int *pid);
/* Let a created process run; its end is reported by PAL_EVENT_EXITED. Does not block. */
typedef int pal_start_process_fn(int pid);
/* The terminal of pid's session has a new size (SIGWINCH); rows and columns in characters. */
typedef int pal_resize_fn(int pid, uint16_t rows, uint16_t columns);
typedef int pal_get_info_fn(struct pal_info_v4 *info);
typedef int pal_get_stats_fn(struct pal_stats_v4 *stats);
/* A quote over report_data; *quote_size: in the room, out the size. -ENOTSUP when there is no
 * quoting, -EPERM when the enclave vouches for no data from outside and they are not all zero. */
typedef int pal_get_quote_fn(const uint8_t report_data[64], uint8_t *quote, size_t *quote_size);
/* pal_kill, pal_get_local_report and pal_destroy are as in version 3. pal_kill(-1, SIGKILL) ends
 * everything. */
/*
 * Optional: a signal that the terminal raised (SIGINT, SIGQUIT, SIGTSTP) goes to the foreground
 * process group of the terminal of pid's session. Without it rune calls pal_kill(pid, sig).
 */
typedef int pal_kill_foreground_fn(int pid, int sig);
/*
 * Optional: limits of the running container have changed. -ERANGE: all of them hold but memory, of
 * which the enclave was built with less. Without it rune says that a change has no effect inside.
 */
typedef int pal_set_limits_fn(const struct pal_limits_v4 *limits);

#if defined(PAL_VERSION)
#if PAL_VERSION > 1
PAL_EXPORT int pal_get_version(void);
PAL_EXPORT int pal_kill(int pid, int sig);
#endif
#if PAL_VERSION <= 2
PAL_EXPORT int pal_init(pal_attr_v1_t *attr);
#elif PAL_VERSION == 3
PAL_EXPORT int pal_init(pal_attr_v3_t *attr);
#else
PAL_EXPORT int pal_init(const struct pal_init_args_v4 *args);
#endif
#if PAL_VERSION == 1
PAL_EXPORT int pal_exec(char *path, char *argv[], pal_stdio_fds *stdio, int *exit_code);
#elif PAL_VERSION <= 3
PAL_EXPORT int pal_create_process(pal_create_process_args *args);
PAL_EXPORT int pal_exec(pal_exec_args *args);
#else
PAL_EXPORT int pal_create_process(const struct pal_process_args_v4 *args, int *pid);
PAL_EXPORT int pal_start_process(int pid);
PAL_EXPORT int pal_resize(int pid, uint16_t rows, uint16_t columns);
PAL_EXPORT int pal_get_info(struct pal_info_v4 *info);
PAL_EXPORT int pal_get_stats(struct pal_stats_v4 *stats);
PAL_EXPORT int pal_get_quote(const uint8_t report_data[64], uint8_t *quote, size_t *quote_size);
PAL_EXPORT int pal_kill_foreground(int pid, int sig);
PAL_EXPORT int pal_set_limits(const struct pal_limits_v4 *limits);
#endif
#if PAL_VERSION >= 3
PAL_EXPORT int pal_get_local_report(void *target_info, int target_info_len, void *report,
                                    int *report_len);
#endif
PAL_EXPORT int pal_destroy(void);
#endif /* PAL_VERSION */

#ifdef __cplusplus
}
#endif
