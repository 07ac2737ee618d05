/* SPDX-License-Identifier: Apache-2.0 */
/* The calls, and the kinds of their arguments. */
#include "random.h"
#include <sys/syscall.h>

#define C(name, ...) {#name, SYS_##name, 0, {__VA_ARGS__}},
#define P(name, ...) {#name, SYS_##name, PURE, {__VA_ARGS__}},
#define R(name, ...) {#name, SYS_##name, RARE, {__VA_ARGS__}},

/* clang-format off: a row for each call */
const struct call g_calls[] = {
    /* reading and writing */
    C(read, FD, BUF, SIZE) C(write, FD, BUF, SIZE) C(pread64, FD, BUF, SIZE, OFFSET)
        C(pwrite64, FD, BUF, SIZE, OFFSET) C(readv, FD, IOV, NIOV) C(writev, FD, IOV, NIOV) C(
            preadv2, FD, IOV, NIOV, OFFSET, ZERO, RWF) C(pwritev2, FD, IOV, NIOV, OFFSET, ZERO, RWF)
            P(lseek, FD, OFFSET, WHENCE) C(sendfile, FD, FD, OFFSETP, SIZE)
                C(copy_file_range, FD, OFFSETP, FD, OFFSETP, SIZE, ZERO)
                    C(splice, FD, OFFSETP, FD, OFFSETP, SIZE, SPLICE) C(tee, FD, FD, SIZE, SPLICE)
                        C(vmsplice, FD, IOV, NIOV, SPLICE) P(truncate, PATH, OFFSET)
                            P(ftruncate, FD, OFFSET) C(fallocate, FD, FALLOC, OFFSET, OFFSET)
                                C(fsync, FD) C(fdatasync, FD) R(sync) R(syncfs, FD)
                                    C(sync_file_range, FD, OFFSET, OFFSET, SMALL)
                                        C(fadvise64, FD, OFFSET, OFFSET, SMALL)
                                            C(readahead, FD, OFFSET, SIZE) C(ioctl, FD, IOCTL, BUF)
    /* descriptors */
    P(open, PATH, OPEN_FLAGS, MODE) P(openat, DIRFD, PATH, OPEN_FLAGS, MODE)
        P(openat2, DIRFD, PATH, HOW, SIZE) P(creat, PATH, MODE) P(close, FD)
            R(close_range, FD, FD, CLOSE_RANGE) P(dup, FD) P(dup2, FD, FD)
                P(dup3, FD, FD, FD_CLOEXEC_FLAGS) P(fcntl, FD, FCNTL, ARGUMENT) C(flock, FD, LOCK)
                    P(pipe, TWOFDS) P(pipe2, TWOFDS, FD_CLOEXEC_FLAGS) P(memfd_create, NAME, MEMFD)
    /* files */
    P(stat, PATH, BUF) P(lstat, PATH, BUF) P(fstat, FD, BUF)
        P(newfstatat, DIRFD, PATH, BUF, AT_FLAGS) P(statx, DIRFD, PATH, AT_FLAGS, STATX_MASK, BUF)
            P(statfs, PATH, BUF) P(fstatfs, FD, BUF) P(access, PATH, ACCESS) P(
                faccessat, DIRFD, PATH, ACCESS) P(faccessat2, DIRFD, PATH, ACCESS,
                                                  AT_FLAGS) P(chmod, PATH, MODE) P(fchmod, FD, MODE)
                P(fchmodat, DIRFD, PATH, MODE) P(chown, PATH, UID, UID) P(lchown, PATH, UID, UID)
                    P(fchown, FD, UID, UID) P(fchownat, DIRFD, PATH, UID, UID, AT_FLAGS) P(
                        utime, PATH, TIME) P(utimes, PATH,
                                             TIMEVAL) P(utimensat, DIRFD, PATH, ITSPEC, AT_FLAGS)
                        C(getxattr, PATH, XATTR, BUF, SIZE) C(lgetxattr, PATH, XATTR, BUF, SIZE) C(
                            fgetxattr, FD, XATTR,
                            BUF, SIZE) C(setxattr, PATH, XATTR, BUF, SIZE, XATTR_FLAGS)
                            C(lsetxattr, PATH, XATTR, BUF, SIZE,
                              XATTR_FLAGS) C(fsetxattr, FD, XATTR, BUF, SIZE, XATTR_FLAGS)
                                C(listxattr, PATH, BUF, SIZE) C(flistxattr, FD, BUF, SIZE) C(
                                    removexattr, PATH,
                                    XATTR) C(fremovexattr, FD,
                                             XATTR) P(mkdir, PATH, MODE)
                                    P(mkdirat, DIRFD, PATH, MODE) P(rmdir, PATH) P(unlink, PATH)
                                        P(unlinkat, DIRFD, PATH, AT_FLAGS) P(rename, PATH, PATH)
                                            P(renameat, DIRFD, PATH,
                                              DIRFD, PATH) P(renameat2, DIRFD, PATH, DIRFD, PATH,
                                                             RENAME) P(link, PATH, PATH)
                                                P(linkat, DIRFD, PATH, DIRFD, PATH, AT_FLAGS) P(
                                                    symlink, PATH,
                                                    PATH) P(symlinkat, PATH, DIRFD, PATH)
                                                    P(readlink, PATH, BUF,
                                                      SIZE) P(readlinkat, DIRFD, PATH, BUF, SIZE)
                                                        C(mknod, PATH, MODE,
                                                          SMALL) C(mknodat, DIRFD, PATH, MODE,
                                                                   SMALL) C(getdents, FD, BUF, SIZE)
                                                            C(getdents64, FD, BUF,
                                                              SIZE) P(chdir, PATH) P(fchdir, FD)
                                                                C(getcwd, BUF, SIZE) R(chroot, PATH)
                                                                    R(mount, PATH, PATH, FSTYPE,
                                                                      MS_FLAGS,
                                                                      NAME) R(umount2, PATH, UMOUNT)
                                                                        R(pivot_root, PATH, PATH)
    /* memory */
    C(mmap, ADDR, LEN, PROT, MAP, FD, LEN) C(mmap, ADDR, LEN, PROT, MAP, FD, LEN)
        C(munmap, ADDR, LEN) C(mprotect, ADDR, LEN, PROT) C(mremap, ADDR, LEN, LEN, REMAP, ADDR)
            C(brk, ADDR) C(msync, ADDR, LEN, MSYNC) C(madvise, ADDR, LEN, ADVICE)
                C(mincore, ADDR, LEN, BUF) C(mlock, ADDR, LEN) C(mlock2, ADDR, LEN, MLOCK)
                    C(munlock, ADDR, LEN) R(mlockall, MLOCK) R(munlockall)
                        R(mbind, ADDR, LEN, SMALL, BUF, SMALL, SMALL)
                            R(set_mempolicy, SMALL, BUF, SMALL)
                                R(get_mempolicy, BUF, BUF, SMALL, ADDR, SMALL)
                                    R(migrate_pages, PID, SMALL, BUF, BUF)
                                        C(process_vm_readv, PID, IOV, NIOV, IOV, NIOV, ZERO)
                                            C(process_vm_writev, PID, IOV, NIOV, IOV, NIOV, ZERO)
    /* waiting for descriptors */
    P(poll, POLLFDS, NPOLL, SMALL) C(ppoll, POLLFDS, NPOLL, TIME, SIGSET, SIGSETSIZE)
        C(select, NFDS, FDSET, FDSET, FDSET, TIMEVAL) C(pselect6, NFDS, FDSET, FDSET, FDSET, TIME,
                                                        BUF) P(epoll_create1, EPOLL_FLAGS)
            P(epoll_ctl, FD, EPOLL_OP, FD, EPEVENT) C(epoll_wait, FD, BUF, SMALL, SMALL)
                C(epoll_pwait, FD, BUF, SMALL, SMALL, SIGSET, SIGSETSIZE) C(
                    epoll_pwait2, FD, BUF, SMALL, TIME, SIGSET, SIGSETSIZE) P(eventfd2, SMALL, EFD)
                    P(timerfd_create, CLOCK, TFD) C(timerfd_settime, FD, CLOCK_FLAGS, ITSPEC, BUF)
                        C(timerfd_gettime, FD, BUF) C(signalfd4, FD, SIGSET, SIGSETSIZE, SFD)
                            P(inotify_init1, INOTIFY_FLAGS)
                                C(inotify_add_watch, FD, PATH, INOTIFY_MASK)
                                    C(inotify_rm_watch, FD, SMALL)
    /* sockets */
    C(socket, DOMAIN, SOCKTYPE, PROTOCOL) C(socketpair, DOMAIN, SOCKTYPE, PROTOCOL, TWOFDS)
        C(bind, FD, SOCKADDR, SOCKLEN) C(connect, FD, SOCKADDR, SOCKLEN) C(listen, FD, SMALL)
            C(accept, FD, BUF, SOCKLENP) C(accept4, FD, BUF, SOCKLENP, FD_CLOEXEC_FLAGS)
                C(getsockname, FD, BUF, SOCKLENP) C(getpeername, FD, BUF, SOCKLENP)
                    C(sendto, FD, BUF, SIZE, MSG_FLAGS, SOCKADDR,
                      SOCKLEN) C(recvfrom, FD, BUF, SIZE, MSG_FLAGS, BUF, SOCKLENP)
                        C(sendmsg, FD, MSG, MSG_FLAGS) C(recvmsg, FD, MSG, MSG_FLAGS)
                            C(sendmmsg, FD, MSG, SMALL, MSG_FLAGS)
                                C(recvmmsg, FD, MSG, SMALL, MSG_FLAGS, TIME) C(shutdown, FD, SHUT)
                                    C(getsockopt, FD, LEVEL, OPTION, BUF, SOCKLENP)
                                        C(setsockopt, FD, LEVEL, OPTION, OPTVAL, SOCKLEN)
    /* processes; fork, clone, exec and exit are life.c's */
    C(wait4, PID, BUF, WAIT_OPTIONS, BUF) C(waitid, WAIT_ID, PID, BUF, WAIT_OPTIONS, BUF)
        R(set_tid_address, FUTEX) C(getpgid, PID) C(setpgid, PID, PID) C(getsid, PID) R(setsid)
            C(pidfd_open, PID, EFD) C(pidfd_send_signal, FD, SIG, SIGINFO, ZERO)
                C(pidfd_getfd, FD, FD, ZERO) C(prctl, PRCTL, WORD, WORD, WORD, WORD)
                    R(arch_prctl, ARCH_PRCTL, BUF) R(unshare, UNSHARE) R(setns, FD, UNSHARE)
                        R(ptrace, PTRACE, PID, ADDR, BUF) R(rseq, BUF, SIZE, SMALL, WORD)
                            R(kcmp, PID, PID, KCMP_TYPE, FD, FD) R(seccomp, SMALL, SMALL, BUF)
                                R(io_setup, SMALL, BUF)
    /* signals */
    C(rt_sigaction, SIG, SIGACT, BUF, SIGSETSIZE)
        C(rt_sigprocmask, SIG_HOW, SIGSET, BUF, SIGSETSIZE) C(rt_sigpending, BUF, SIGSETSIZE)
            C(rt_sigsuspend, SIGSET, SIGSETSIZE) C(rt_sigtimedwait, SIGSET, BUF, TIME, SIGSETSIZE)
                C(rt_sigqueueinfo, PID, SIG, SIGINFO) C(rt_tgsigqueueinfo, PID, PID, SIG, SIGINFO)
                    R(rt_sigreturn) C(sigaltstack, SIGSTACK, BUF) C(kill, PID, SIG)
                        C(tkill, PID, SIG) C(tgkill, PID, PID, SIG) R(pause) R(restart_syscall)
    /* futexes and time */
    C(futex, FUTEX, FUTEX_OP, SMALL, TIME, FUTEX, SMALL)
        C(futex, FUTEX, FUTEX_OP, SMALL, TIME, FUTEX, SMALL)
            C(futex_waitv, BUF, SMALL, ZERO, TIME, SMALL) C(set_robust_list, BUF, SIZE)
                C(get_robust_list, PID, BUF, BUF) C(nanosleep, TIME, BUF)
                    C(clock_nanosleep, CLOCK, CLOCK_FLAGS, TIME, BUF) C(clock_gettime, CLOCK, BUF)
                        C(clock_getres, CLOCK, BUF) R(clock_settime, CLOCK, TIME)
                            R(clock_adjtime, CLOCK, BUF) C(setitimer, ITIMER, ITVAL, BUF)
                                C(getitimer, ITIMER, BUF) R(alarm, SMALL) C(timer_create, CLOCK,
                                                                            SIGEVENT, BUF)
                                    C(timer_settime, TIMERID, CLOCK_FLAGS, ITSPEC, BUF)
                                        C(timer_gettime, TIMERID, BUF) C(timer_getoverrun, TIMERID)
                                            C(timer_delete, TIMERID) C(times, BUF)
    /* who one is, and limits */
    R(setuid, UID) R(setgid, UID) R(setreuid, UID, UID) R(setregid, UID, UID)
        R(setresuid, UID, UID, UID) R(setresgid, UID, UID, UID) R(setfsuid, UID) R(setfsgid, UID)
            C(getresuid, BUF, BUF, BUF) C(getgroups, SMALL, BUF) R(setgroups, SMALL, IDS)
                C(capget, CAPHEAD, BUF) R(capset, CAPHEAD, CAPDATA) C(getrlimit, RESOURCE, BUF)
                    R(setrlimit, RESOURCE, RLIM) R(prlimit64, PID, RESOURCE, RLIM, BUF)
                        C(getrusage, RUSAGE, BUF) C(getpriority, PRIORITY, PID)
                            C(setpriority, PRIORITY, PID, SMALL) C(sched_yield)
                                C(sched_getaffinity, PID, SIZE, BUF)
                                    C(sched_setaffinity, PID, SIZE, BUF) C(sched_getscheduler, PID)
                                        C(sched_setscheduler, PID, POLICY, BUF)
                                            C(sched_getparam, PID, BUF) C(sched_setparam, PID, BUF)
                                                C(sched_getattr, PID, BUF, SIZE, ZERO)
                                                    C(sched_setattr, PID, SCHED, ZERO)
                                                        C(sched_get_priority_max, POLICY)
                                                            C(sched_rr_get_interval, PID, BUF)
                                                                C(ioprio_get, SMALL, PID)
                                                                    C(ioprio_set, SMALL, PID, SMALL)
                                                                        C(getcpu, BUF, BUF)
    /* System V and POSIX queues */
    C(semget, KEY, SMALL, IPC_FLAGS) C(semop, IPCID, SEMOPS, SMALL)
        C(semtimedop, IPCID, SEMOPS, SMALL, TIME) C(semctl, IPCID, SMALL, SEM_CMD, BUF)
            C(msgget, KEY, IPC_FLAGS) C(msgsnd, IPCID, BUF, SIZE, IPC_FLAGS)
                C(msgrcv, IPCID, BUF, SIZE, SMALL, IPC_FLAGS) C(msgctl, IPCID, IPC_CMD, BUF)
                    C(shmget, KEY, LEN, IPC_FLAGS) C(shmat, IPCID, ADDR, SHM_FLAGS) C(shmdt, ADDR)
                        C(shmctl, IPCID, IPC_CMD, BUF) C(mq_open, MQNAME, OPEN_FLAGS, MODE, MQATTR)
                            C(mq_unlink, MQNAME) C(mq_timedsend, FD, BUF, SIZE, SMALL, TIME)
                                C(mq_timedreceive, FD, BUF, SIZE, BUF, TIME)
                                    C(mq_notify, FD, SIGEVENT) C(mq_getsetattr, FD, MQATTR, BUF)
    /* the rest */
    R(uname, BUF) R(sethostname, BUF, SMALL) R(setdomainname, BUF, SMALL) C(sysinfo, BUF)
        C(getrandom, BUF, SIZE, RANDOM) R(personality, PERSONALITY) P(umask, MODE)
            C(membarrier, MEMBARRIER, SMALL) R(vhangup) R(syslog, SMALL, BUF, SIZE)
                R(swapon, PATH, SMALL) R(swapoff, PATH) R(iopl, SMALL) R(ioperm, WORD, WORD, SMALL)
                    R(bpf, SMALL, BUF, SIZE) R(acct, PATH) R(pkey_alloc, ZERO, SMALL)
                        R(pkey_free, SMALL)};
/* clang-format on */
const unsigned g_call_count = sizeof(g_calls) / sizeof(g_calls[0]);
