/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boundary between the LibOS (libos/host, libos/entry) and its host half (runtimes/libos):
 * who may call what, and how values cross. docs/design/boundary.md tells the story.
 *
 *   EENTER  RDI = ecall number, RSI = address of the calling host thread's struct boundary_area
 *           (outside of the enclave), RDX = argument of the ecall. On a TCS that is inside an ocall
 *           all three are ignored: the ocall returns. At CSSA 1 they are ignored too.
 *   EEXIT   RDI = BOUNDARY_EXIT_*, RSI = ocall number or the ecall's result. All other registers
 *           are zero.
 *
 * An ocall's arguments and answer are in the area: args[] and data[] (the only memory that host
 * functions read and write for the enclave; "offset" arguments count from data[0]); ret and out[]
 * back.
 */
#pragma once

#include <stdint.h>

#define BOUNDARY_EXIT_OCALL  1u
#define BOUNDARY_EXIT_RETURN 2u
#define BOUNDARY_EXIT_RESUME 3u /* leave CSSA 1: ERESUME */
#define BOUNDARY_EXIT_DEAD   4u /* this enclave runs nothing (any more): entered in vain */

#define BOUNDARY_DATA_SIZE (128u << 10)
#define BOUNDARY_ARGS      8u
#define BOUNDARY_OUT       4u

/* One for each host thread, page aligned, never freed while the enclave lives. */
struct boundary_area {
    /* host only: the enclave never reads them */
    uint32_t park;      /* futex word: 1: a wake-up is there */
    uint32_t wait_kind; /* BOUNDARY_WAIT_* */
    int32_t event_fd;
    int32_t tid;
    uint64_t host_private[4];
    /* of the ocall under way */
    uint64_t args[BOUNDARY_ARGS];
    int64_t ret;
    uint64_t out[BOUNDARY_OUT];
    uint8_t reserved[4096 - 16 - 32 - 8 * BOUNDARY_ARGS - 8 - 8 * BOUNDARY_OUT];
    uint8_t data[BOUNDARY_DATA_SIZE];
};
_Static_assert(sizeof(struct boundary_area) == 4096 + BOUNDARY_DATA_SIZE, "area layout");

/* ---- ecalls: E(name, number, argument in RDX) ---- */
#define BOUNDARY_ECALLS(E)                                                                  \
    E(BOOT, 1, "address of struct boundary_boot; once, before all others")                  \
    E(THREAD, 2, "none: a host thread that THREAD_CREATE asked for")                        \
    E(CREATE_PROCESS, 3, "address of struct boundary_process; result: pid or -errno")       \
    E(START_PROCESS, 4, "pid")                                                              \
    E(KILL, 5, "pid (-1 all, 0 foreground) in the low, signal in the high 32 bits")         \
    E(RESIZE, 6, "pid, rows << 32, columns << 48")                                          \
    E(REPORT, 7, "none; data: TARGETINFO; answer REPORT at data[0]")                        \
    E(STATS, 8, "none; answer struct boundary_stats at data[0]")                            \
    E(KILL_FOREGROUND, 9, "as KILL: the foreground group of the terminal of pid's session") \
    E(LIMITS, 10, "address of struct boundary_limits: the container's limits were changed")

enum boundary_ecall {
#define E(name, number, argument) ECALL_##name = number,
    BOUNDARY_ECALLS(E)
#undef E
};

/* ---- ocalls: O(name, argument count, what the arguments are) ---- */
#define BOUNDARY_OCALLS(O)                                                                      \
    O(WAIT, 2, "timeout ns or UINT64_MAX, count of struct boundary_pollfd in data")             \
    O(WAKE, 1, "area of the thread to wake")                                                    \
    O(KICK, 1, "area of the thread to interrupt")                                               \
    O(YIELD, 0, "")                                                                             \
    O(THREAD_CREATE, 0, "")                                                                     \
    O(TCS_ADD, 1, "address of a new TCS page")                                                  \
    O(LOG, 2, "level, size; data: line")                                                        \
    O(ABORT, 1, "size; data: message; does not return")                                         \
    O(EVENT, 4, "type, pid, status, size; data: message")                                       \
    O(CLOCK, 2, "clock id, area of the thread (0: own); ret ns; out: TSC, its frequency in Hz") \
    O(CPUID, 2, "leaf, subleaf; out: eax, ebx, ecx, edx")                                       \
    O(SGX_RESTRICT, 3, "address, size, permissions")                                            \
    O(SGX_MODIFY_TYPE, 3, "address, size, type")                                                \
    O(SGX_REMOVE, 2, "address, size")                                                           \
    O(SGX_PROTECT, 3, "address, size, protection of the mapping: pages there from the start")   \
    O(TARGET_INFO, 0, "data: TARGETINFO back")                                                  \
    O(QUOTE, 2, "report size, room; data: report, quote back")                                  \
    O(READ, 3, "fd, size, offset or -1; data back")                                             \
    O(WRITE, 3, "fd, size, offset or -1; data")                                                 \
    O(CLOSE, 1, "fd")                                                                           \
    O(DUP, 1, "fd")                                                                             \
    O(LSEEK, 3, "fd, offset, whence")                                                           \
    O(IOCTL, 3, "fd, command, size; data both ways")                                            \
    O(POLL, 1, "count; data: struct boundary_pollfd both ways")                                 \
    O(EPOLL_CREATE, 0, "")                                                                      \
    O(EPOLL_CTL, 5, "epoll fd, op, fd, events, data")                                           \
    O(EPOLL_WAIT, 2, "epoll fd, count; data: struct boundary_epoll_event back")                 \
    O(FSYNC, 2, "fd, data only")                                                                \
    O(FTRUNCATE, 2, "fd, size")                                                                 \
    O(FALLOCATE, 4, "fd, mode, offset, size")                                                   \
    O(LOCK, 5,                                                                                  \
      "fd, BOUNDARY_LOCK_*, F_*LCK, start, length or 0; out of TEST: type, start, "             \
      "length")                                                                                 \
    O(OPEN, 3, "dir fd, flags, mode; data: path")                                               \
    O(STAT, 2, "dir fd, follow; data: path, struct boundary_stat back")                         \
    O(STATFS, 1, "fd; data: struct boundary_statfs back")                                       \
    O(GETDENTS, 2, "fd, size; data: struct linux_dirent64 back")                                \
    O(MKDIR, 2, "dir fd, mode; data: path")                                                     \
    O(UNLINK, 2, "dir fd, is directory; data: path")                                            \
    O(RENAME, 4, "old dir fd, new dir fd, flags, offset of the new path; data: two paths")      \
    O(LINK, 3, "old dir fd, new dir fd, offset of the new path; data: two paths")               \
    O(SYMLINK, 2, "dir fd, offset of the path; data: target, path")                             \
    O(READLINK, 2, "dir fd, room; data: path, target back")                                     \
    O(CHMOD, 2, "dir fd, mode; data: path")                                                     \
    O(CHOWN, 4, "dir fd, uid, gid, follow; data: path")                                         \
    O(UTIMENS, 6, "dir fd, follow, atime s, ns, mtime s, ns; data: path")                       \
    O(MKNOD, 3, "dir fd, mode, device; data: path")                                             \
    O(INOTIFY, 4, "BOUNDARY_INOTIFY_*, fd, fd of a file or number of a watch, events")          \
    O(SOCKET, 3, "domain, type, protocol")                                                      \
    O(BIND, 2, "fd, address size; data: address")                                               \
    O(BIND_PATH, 3, "fd, dir fd, offset of the program's name for it; data: path, name")        \
    O(CONNECT, 2, "fd, address size; data: address")                                            \
    O(CONNECT_FILE, 4, "fd, fd of a UNIX socket's file, uid, gid: who others see")              \
    O(LISTEN, 4, "fd, backlog, uid, gid: who others see of a UNIX socket")                      \
    O(ACCEPT, 2, "fd, address room; out[0] its size; data: address back")                       \
    O(SEND, 6,                                                                                  \
      "fd, size, flags, address size, control size, fd of a UNIX socket's file or -1; data: "   \
      "address (128 bytes), control (512), bytes")                                              \
    O(RECV, 5,                                                                                  \
      "fd, size, flags, address room, control room; out[0] address size, out[1] msg_flags, "    \
      "out[2] control size; as SEND")                                                           \
    O(SHUTDOWN, 2, "fd, how")                                                                   \
    O(GETSOCKOPT, 4, "fd, level, name, room; out[0] size; data back")                           \
    O(SETSOCKOPT, 4, "fd, level, name, size; data")                                             \
    O(GETSOCKNAME, 3, "fd, address room, peer; out[0] its size; data: address back")

enum boundary_ocall {
#define O(name, count, what) OCALL_##name,
    BOUNDARY_OCALLS(O)
#undef O
        OCALL_COUNT
};
_Static_assert(OCALL_COUNT <= 60, "the boundary stays small");

/* LOCK, which never waits */
#define BOUNDARY_LOCK_FILE  0u /* flock(2) */
#define BOUNDARY_LOCK_RANGE 1u /* fcntl(2), F_OFD_SETLK */
#define BOUNDARY_LOCK_TEST  2u /* fcntl(2), F_OFD_GETLK */

/* INOTIFY; its events are what READ gives of it */
#define BOUNDARY_INOTIFY_CREATE 0u
#define BOUNDARY_INOTIFY_ADD    1u
#define BOUNDARY_INOTIFY_REMOVE 2u

#define BOUNDARY_ADDRESS_MAX 128u /* sockaddr */
#define BOUNDARY_CONTROL_MAX 512u /* struct cmsghdr and data, one after the other */
#define BOUNDARY_BYTES       (BOUNDARY_ADDRESS_MAX + BOUNDARY_CONTROL_MAX) /* of SEND and RECV */

struct boundary_pollfd {
    int32_t fd;
    uint16_t events, revents;
};
struct boundary_epoll_event {
    uint32_t events, data;
};
struct boundary_stat {
    uint64_t dev, ino, nlink, rdev, size, blocks, blksize;
    uint32_t mode, uid, gid, reserved;
    int64_t atime_sec, mtime_sec, ctime_sec;
    uint32_t atime_nsec, mtime_nsec, ctime_nsec, reserved2;
};
struct boundary_statfs {
    uint64_t type, bsize, blocks, bfree, bavail, files, ffree, namelen, flags;
};

/* LIMITS, and of BOOT: what the host says of the container's cgroup. Programs size themselves by
 * it. */
struct boundary_limits {
    uint64_t memory, threads;       /* bytes, count; 0: none */
    uint64_t cpu_quota, cpu_period; /* microseconds; quota 0: none */
    uint64_t cpus[16];              /* bit n: processor n may be used; all zero: every one */
};

#define BOUNDARY_NAME_SIZE 72u /* with the NUL, if it is shorter */

/* BOOT: host addresses stay mapped, read-only, for the enclave's life. */
struct boundary_boot {
    uint64_t image, image_size; /* the sealed image; what the manifest has besides is behind it */
    uint64_t sites, sites_size; /* the site table, 0 0: none */
    uint64_t deployment, deployment_size;
    uint32_t mount_count;
    uint32_t log_level; /* wanted; the manifest's bounds it */
    uint64_t mount_fds; /* address of mount_count int32_t */
    struct boundary_limits limits;
    /* The container's user namespace: text, as in /proc/self/uid_map and gid_map, that is shown. */
    uint64_t uid_map, uid_map_size, gid_map, gid_map_size;
    int32_t oom_score_adj; /* of process 1 */
    uint32_t reserved0;
    uint64_t given, given_size; /* what the host fills in (manifest.h); 0 0: nothing */
    uint64_t trace, trace_size; /* text: system calls to trace, "all"; 0 0: none. Debugging only */
    /* Of the container's UTS namespace, for a deployment that leaves them to the host. */
    char hostname[BOUNDARY_NAME_SIZE], domainname[BOUNDARY_NAME_SIZE];
};
#define BOUNDARY_MOUNT_MAX  65536u
#define BOUNDARY_ID_MAP_MAX 16384u

/* CREATE_PROCESS: header, groups, then strings, each with its NUL: path (empty: look argv[0] up),
 * cwd, argv, env. */
#define BOUNDARY_PROCESS_MAX (8u << 20)
struct boundary_process {
    uint64_t size; /* all of it */
    uint32_t argc, envc;
    uint32_t flags; /* PAL_PROCESS_* */
    uint32_t uid, gid, umask, group_count;
    int32_t stdio[3]; /* duplicates: the enclave's to close */
    uint64_t capabilities;
    uint64_t rlimits[32]; /* soft, hard */
};

/*
 * What the deployment's policy refuses (abi/manifest.h), CREATE_PROCESS answers with -(4096 + one
 * of these): no errno, so that the host half can say which setting would allow it.
 */
#define BOUNDARY_REFUSED 4096
enum boundary_refusal {
    REFUSED_EXEC = 1,     /* exec is `none` */
    REFUSED_COMMAND,      /* no entry of the list has these arguments */
    REFUSED_USER,         /* another user or group than the container's */
    REFUSED_CAPABILITIES, /* capabilities that the container has not */
    REFUSED_ENVIRONMENT,  /* a variable that neither the container nor the entry has */
    REFUSED_DIRECTORY,    /* another working directory */
    REFUSED_TERMINAL,     /* a terminal, where none is allowed */
};

/*
 * REPORTDATA of what ECALL_REPORT answers, 64 bytes with the zeros: the host asked, and no program
 * of the enclave has chosen anything of it. Programs cannot have it (/dev/attestation refuses data
 * that begins so): a verifier that sees it knows that the report proves which enclave runs on the
 * machine, and binds no key or message to it.
 */
#define BOUNDARY_HOST_REPORT "rune: asked for by the host, bound to nothing in the enclave"

struct boundary_stats {
    uint64_t memory_committed, memory_peak, memory_reserved;
    uint64_t processes, threads, tcs_total;
    uint64_t ocalls, aex, syscalls_direct, syscalls_trapped;
};
