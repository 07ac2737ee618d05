/* SPDX-License-Identifier: Apache-2.0 */
#include "sets.h"
#include <asm/fcntl.h>
#include <asm/mman.h>
#include <asm/signal.h>
#include <linux/fcntl.h>
#include <linux/eventpoll.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <linux/mman.h>
#include <linux/time.h>
#include <linux/wait.h>

#define V(name)     \
    {               \
        name, #name \
    }
/* Of libc's headers, which trusted code does not use. */
#define L(name, value) \
    {                  \
        value, #name   \
    }
#define SET(field_, ...)                                                                        \
    {                                                                                           \
        .values = (const struct named_value[]){__VA_ARGS__}, .field = (field_),                 \
        .count = sizeof((const struct named_value[]){__VA_ARGS__}) / sizeof(struct named_value) \
    }
#define ONE_OF ~0ull

const struct value_set g_value_sets[KINDS] = {
    [KIND_open_flags] = SET(O_ACCMODE, V(O_RDONLY), V(O_WRONLY), V(O_RDWR), V(O_CREAT), V(O_EXCL),
                            V(O_NOCTTY), V(O_TRUNC), V(O_APPEND), V(O_NONBLOCK), V(O_SYNC),
                            V(O_DSYNC), V(O_DIRECT), V(O_LARGEFILE), L(O_TMPFILE, O_TMPFILE),
                            V(O_DIRECTORY), V(O_NOFOLLOW), V(O_NOATIME), V(O_CLOEXEC), V(O_PATH)),
    [KIND_fd_flags] = SET(0, V(O_CLOEXEC), V(O_NONBLOCK), V(O_DIRECT)),
    [KIND_at_flags] = SET(0, V(AT_SYMLINK_NOFOLLOW), V(AT_REMOVEDIR), V(AT_SYMLINK_FOLLOW),
                          V(AT_NO_AUTOMOUNT), V(AT_EMPTY_PATH)),
    [KIND_access_mode] = SET(0, L(R_OK, 4), L(W_OK, 2), L(X_OK, 1)),
    [KIND_whence] = SET(ONE_OF, L(SEEK_SET, 0), L(SEEK_CUR, 1), L(SEEK_END, 2), L(SEEK_DATA, 3),
                        L(SEEK_HOLE, 4)),
    [KIND_prot] = SET(0, V(PROT_READ), V(PROT_WRITE), V(PROT_EXEC), V(PROT_GROWSDOWN)),
    [KIND_map_flags] = SET(0xf, V(MAP_SHARED), V(MAP_PRIVATE), V(MAP_SHARED_VALIDATE), V(MAP_FIXED),
                           V(MAP_ANONYMOUS), V(MAP_GROWSDOWN), V(MAP_DENYWRITE), V(MAP_LOCKED),
                           V(MAP_NORESERVE), V(MAP_POPULATE), V(MAP_STACK), V(MAP_HUGETLB),
                           V(MAP_FIXED_NOREPLACE)),
    [KIND_clone_flags] = SET(0xff, L(SIGCHLD, SIGCHLD), V(CLONE_VM), V(CLONE_FS), V(CLONE_FILES),
                             V(CLONE_SIGHAND), V(CLONE_PIDFD), V(CLONE_VFORK), V(CLONE_PARENT),
                             V(CLONE_THREAD), V(CLONE_NEWNS), V(CLONE_SYSVSEM), V(CLONE_SETTLS),
                             V(CLONE_PARENT_SETTID), V(CLONE_CHILD_CLEARTID), V(CLONE_CHILD_SETTID),
                             V(CLONE_NEWUSER), V(CLONE_NEWPID), V(CLONE_NEWNET)),
    [KIND_signal] = SET(ONE_OF, V(SIGHUP), V(SIGINT), V(SIGQUIT), V(SIGILL), V(SIGTRAP), V(SIGABRT),
                        V(SIGBUS), V(SIGFPE), V(SIGKILL), V(SIGUSR1), V(SIGSEGV), V(SIGUSR2),
                        V(SIGPIPE), V(SIGALRM), V(SIGTERM), V(SIGSTKFLT), V(SIGCHLD), V(SIGCONT),
                        V(SIGSTOP), V(SIGTSTP), V(SIGTTIN), V(SIGTTOU), V(SIGURG), V(SIGXCPU),
                        V(SIGXFSZ), V(SIGVTALRM), V(SIGPROF), V(SIGWINCH), V(SIGIO), V(SIGPWR),
                        V(SIGSYS)),
    [KIND_domain] = SET(ONE_OF, L(AF_UNSPEC, 0), L(AF_UNIX, 1), L(AF_INET, 2), L(AF_INET6, 10),
                        L(AF_NETLINK, 16), L(AF_PACKET, 17)),
    [KIND_socket_type] = SET(0xf, L(SOCK_STREAM, 1), L(SOCK_DGRAM, 2), L(SOCK_RAW, 3),
                             L(SOCK_SEQPACKET, 5), L(SOCK_CLOEXEC, O_CLOEXEC),
                             L(SOCK_NONBLOCK, O_NONBLOCK)),
    [KIND_message_flags] = SET(0, L(MSG_OOB, 1), L(MSG_PEEK, 2), L(MSG_DONTROUTE, 4),
                               L(MSG_TRUNC, 0x20), L(MSG_DONTWAIT, 0x40), L(MSG_WAITALL, 0x100),
                               L(MSG_ERRQUEUE, 0x2000), L(MSG_NOSIGNAL, 0x4000),
                               L(MSG_MORE, 0x8000), L(MSG_CMSG_CLOEXEC, 0x40000000)),
    [KIND_shutdown_how] = SET(ONE_OF, L(SHUT_RD, 0), L(SHUT_WR, 1), L(SHUT_RDWR, 2)),
    [KIND_epoll_op] = SET(ONE_OF, V(EPOLL_CTL_ADD), V(EPOLL_CTL_DEL), V(EPOLL_CTL_MOD)),
    [KIND_futex_op] = SET(0x7f, V(FUTEX_WAIT), V(FUTEX_WAKE), V(FUTEX_REQUEUE),
                          V(FUTEX_CMP_REQUEUE), V(FUTEX_WAKE_OP), V(FUTEX_LOCK_PI),
                          V(FUTEX_UNLOCK_PI), V(FUTEX_TRYLOCK_PI), V(FUTEX_WAIT_BITSET),
                          V(FUTEX_WAKE_BITSET), V(FUTEX_PRIVATE_FLAG), V(FUTEX_CLOCK_REALTIME)),
    [KIND_wait_options] = SET(0, V(WNOHANG), V(WUNTRACED), V(WEXITED), V(WCONTINUED), V(WNOWAIT)),
    [KIND_clock] = SET(ONE_OF, V(CLOCK_REALTIME), V(CLOCK_MONOTONIC), V(CLOCK_PROCESS_CPUTIME_ID),
                       V(CLOCK_THREAD_CPUTIME_ID), V(CLOCK_MONOTONIC_RAW), V(CLOCK_REALTIME_COARSE),
                       V(CLOCK_MONOTONIC_COARSE), V(CLOCK_BOOTTIME), V(CLOCK_TAI)),
    [KIND_fcntl_command] = SET(ONE_OF, V(F_DUPFD), V(F_GETFD), V(F_SETFD), V(F_GETFL), V(F_SETFL),
                               V(F_GETLK), V(F_SETLK), V(F_SETLKW), V(F_SETOWN), V(F_GETOWN),
                               V(F_DUPFD_CLOEXEC), V(F_SETPIPE_SZ), V(F_GETPIPE_SZ), V(F_ADD_SEALS),
                               V(F_GET_SEALS), V(F_OFD_GETLK), V(F_OFD_SETLK), V(F_OFD_SETLKW)),
};
