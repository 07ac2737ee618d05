/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random system calls, made inside the LibOS (docs/design/random-calls.md). A call is a row of
 * calls.c: its number and the kinds of its arguments. values.c makes a value of a kind, life.c runs
 * processes and threads, supervisor.c rounds of them, and looks at what must not have changed.
 * The running part uses no libc, for a random call may take anything away from it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of arguments. NONE ends a row; from FLAGS on they are sets of values (values.c). */
enum kind {
    NONE,
    FD,
    DIRFD,
    PATH,
    NAME,
    MODE, /* files */
    BUF,
    SIZE,
    OFFSET,
    OFFSETP,
    IOV,
    NIOV, /* data */
    SMALL,
    WORD,
    ZERO, /* numbers */
    PID,
    UID,
    SIG,
    SIGSET,
    SIGSETSIZE,
    SIGACT,
    SIGINFO,
    SIGEVENT,
    SIGSTACK,
    TIME,
    TIMEVAL,
    ITVAL,
    ITSPEC,
    TIMERID, /* times */
    ADDR,
    LEN,
    FUTEX, /* memory */
    SOCKADDR,
    SOCKLEN,
    SOCKLENP,
    MSG,
    OPTVAL, /* sockets */
    POLLFDS,
    NPOLL,
    FDSET,
    NFDS,
    EPEVENT,
    TWOFDS,
    RLIM,
    IDS,
    CAPHEAD,
    CAPDATA,
    ARGV,
    MQNAME,
    MQATTR,
    KEY,
    IPCID,
    SEMOPS,
    HOW,
    SCHED,
    ARGUMENT,
    FLAGS,
    OPEN_FLAGS = FLAGS,
    AT_FLAGS,
    ACCESS,
    PROT,
    MAP,
    REMAP,
    ADVICE,
    MSYNC,
    MLOCK,
    FD_CLOEXEC_FLAGS,
    FCNTL,
    IOCTL,
    WHENCE,
    FALLOC,
    SPLICE,
    RWF,
    LOCK,
    RENAME,
    XATTR,
    XATTR_FLAGS,
    MEMFD,
    SEAL_FD,
    DOMAIN,
    SOCKTYPE,
    PROTOCOL,
    MSG_FLAGS,
    SHUT,
    LEVEL,
    OPTION,
    EPOLL_OP,
    EPOLL_FLAGS,
    EFD,
    TFD,
    SFD,
    INOTIFY_MASK,
    INOTIFY_FLAGS,
    CLOCK,
    CLOCK_FLAGS,
    ITIMER,
    SIG_HOW,
    WAIT_ID,
    WAIT_OPTIONS,
    FUTEX_OP,
    RESOURCE,
    RUSAGE,
    PRIORITY,
    POLICY,
    PRCTL,
    ARCH_PRCTL,
    MEMBARRIER,
    IPC_FLAGS,
    SEM_CMD,
    IPC_CMD,
    SHM_FLAGS,
    MS_FLAGS,
    FSTYPE,
    UMOUNT,
    CLOSE_RANGE,
    STATX_MASK,
    UNSHARE,
    PERSONALITY,
    RANDOM,
    KCMP_TYPE,
    PTRACE,
    KIND_COUNT
};

enum { RARE = 1, PURE = 2 }; /* one in sixteen; the same on Linux for the same past */

struct call {
    const char *name;
    uint16_t number, flags;
    uint8_t kinds[6];
};
extern const struct call g_calls[];
extern const unsigned g_call_count;

/* What one thread carries on. */
struct run {
    uint64_t chance;
    char *arena;       /* ARENA_SIZE bytes, its last pages read-only and without access */
    uint32_t slot;     /* the next free one in it */
    uint32_t depth;    /* of processes and programs */
    uint32_t children; /* that it may still have */
    uint32_t calls;    /* that it still makes */
    bool pure;         /* only PURE calls, and results are printed */
};

#define ARENA_SIZE (64u << 10)
#define AREA_PAGES 256u /* a range in which mappings come and go */
#define DEPTH_MAX  3u
#define TRACE_FD   250
#define PLACE      "/tmp/random"

extern char *g_area;
extern uint64_t g_spared[8]; /* processes that nobody may touch */
extern bool g_trace, g_privileged;

/* values.c */
uint64_t chance(struct run *r);
uint64_t below(struct run *r, uint64_t n);
bool one_in(struct run *r, uint64_t n);
long value(struct run *r, enum kind kind);
long value_of_set(struct run *r, enum kind kind); /* flags.c */

/* life.c */
long raw(long number, const long *a);
void run_calls(struct run *r);
void run_begin(struct run *r, uint64_t seed, unsigned depth, unsigned calls);
void run_process(struct run *r);

/* supervisor.c */
int supervise(int argc, char **argv);
int canary(void);
