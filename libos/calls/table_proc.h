/* SPDX-License-Identifier: Apache-2.0 */
/* CALL(name, status, note, parameters...): see libos/calls/syscall.h. */
/* processes and threads */
CALL(clone, PARTIAL, "no new namespaces (EPERM)", (clone_flags, flags), (address, stack),
     (out, parent_tid, "int"), (out, child_tid, "int"), (address, tls))
CALL(clone3, PARTIAL, "no new namespaces, no set_tid, no CLONE_INTO_CGROUP",
     (in, arguments, "struct clone_args"), (size, size))
CALL(fork, DONE, "")
CALL(vfork, DONE, "")
CALL(execve, DONE, "", (path, path), (in, argv, "char *"), (in, envp, "char *"))
CALL(execveat, DONE, "", (at_fd, dir), (path, path), (in, argv, "char *"), (in, envp, "char *"),
     (at_flags, flags))
CALL(exit, DONE, "", (int, status))
CALL(exit_group, DONE, "", (int, status))
CALL(wait4, DONE, "", (pid, pid), (out, status, "int"), (wait_options, options),
     (out, usage, "struct rusage"))
CALL(waitid, DONE, "", (int, type), (pid, id), (out, info, "siginfo_t"), (wait_options, options),
     (out, usage, "struct rusage"))
CALL(set_tid_address, DONE, "", (out, tid, "int"))
CALL(getpid, DONE, "")
CALL(getppid, DONE, "")
CALL(gettid, DONE, "")
CALL(getpgid, DONE, "", (pid, pid))
CALL(getpgrp, DONE, "")
CALL(setpgid, DONE, "", (pid, pid), (pid, group))
CALL(getsid, DONE, "", (pid, pid))
CALL(setsid, DONE, "")
CALL(pidfd_open, DONE, "", (pid, pid), (uint, flags))
CALL(pidfd_send_signal, DONE, "", (fd, pidfd), (signal, signal), (in, info, "siginfo_t"),
     (uint, flags))
CALL(pidfd_getfd, DONE, "", (fd, pidfd), (fd, fd), (uint, flags))
CALL(prctl, PARTIAL, "no speculation control, names of memory are not kept", (int, option),
     (hex, a2), (hex, a3), (hex, a4), (hex, a5))
CALL(seccomp, PARTIAL, "no SECCOMP_FILTER_FLAG_NEW_LISTENER", (uint, operation), (uint, flags),
     (in, arguments, "void"))
CALL(arch_prctl, PARTIAL, "GS belongs to the LibOS", (int, option), (address, address))
CALL(unshare, PARTIAL, "CLONE_FS and CLONE_FILES; namespaces: EPERM", (hex, flags))
REFUSE(setns, EPERM, "", (fd, fd), (hex32, type))
CALL(ptrace, PARTIAL, "no seccomp events, SYSEMU, debug registers; production: descendants only",
     (long, request), (long, pid), (address, address), (hex, data))
REFUSE(rseq, ENOSYS, "a thread cannot tell when the host moved it", (inout, area, "struct rseq"),
       (uint, size), (int, flags), (hex32, signature))
/* signals */
CALL(rt_sigaction, DONE, "", (signal, signal), (in, action, "struct sigaction"),
     (out, old, "struct sigaction"), (size, set_size))
CALL(rt_sigprocmask, DONE, "", (int, how), (in, set, "sigset_t"), (out, old, "sigset_t"),
     (size, set_size))
CALL(rt_sigpending, DONE, "", (out, set, "sigset_t"), (size, set_size))
CALL(rt_sigsuspend, DONE, "", (in, set, "sigset_t"), (size, set_size))
CALL(rt_sigtimedwait, DONE, "", (in, set, "sigset_t"), (out, info, "siginfo_t"),
     (in, timeout, "struct timespec"), (size, set_size))
CALL(rt_sigqueueinfo, DONE, "", (pid, pid), (signal, signal), (in, info, "siginfo_t"))
CALL(rt_tgsigqueueinfo, DONE, "", (pid, group), (pid, tid), (signal, signal),
     (in, info, "siginfo_t"))
CALL(rt_sigreturn, DONE, "")
CALL(sigaltstack, DONE, "", (in, stack, "stack_t"), (out, old, "stack_t"))
CALL(kill, DONE, "", (pid, pid), (signal, signal))
CALL(tkill, DONE, "", (pid, tid), (signal, signal))
CALL(tgkill, DONE, "", (pid, group), (pid, tid), (signal, signal))
CALL(pause, DONE, "")
CALL(restart_syscall, DONE, "")
/* futexes */
CALL(futex, PARTIAL, "no FUTEX_WAIT_REQUEUE_PI; PI locks hand over ownership, not priority",
     (inout, word, "u32"), (futex_op, operation), (uint, value), (hex, timeout),
     (inout, word2, "u32"), (uint, value3))
CALL(futex_waitv, DONE, "", (in, waiters, "struct futex_waitv"), (uint, count), (uint, flags),
     (in, timeout, "struct timespec"), (clock, clock))
CALL(set_robust_list, DONE, "", (in, head, "struct robust_list_head"), (size, size))
CALL(get_robust_list, DONE, "", (pid, pid), (out, head, "struct robust_list_head *"),
     (out, size, "size_t"))
/* time */
CALL(nanosleep, DONE, "", (in, time, "struct timespec"), (out, left, "struct timespec"))
CALL(clock_nanosleep, PARTIAL,
     "CPU clocks pass like wall time; changes of the realtime clock do not wake", (clock, clock),
     (int, flags), (in, time, "struct timespec"), (out, left, "struct timespec"))
CALL(clock_gettime, PARTIAL, "CPU times are the host's; of other threads as of their last look",
     (clock, clock), (out, time, "struct timespec"))
CALL(clock_getres, DONE, "", (clock, clock), (out, time, "struct timespec"))
CALL(clock_settime, PARTIAL, "EPERM", (clock, clock), (in, time, "struct timespec"))
CALL(clock_adjtime, PARTIAL, "reading only", (clock, clock), (inout, values, "struct timex"))
CALL(adjtimex, PARTIAL, "reading only", (inout, values, "struct timex"))
CALL(gettimeofday, DONE, "", (out, time, "struct timeval"), (out, zone, "struct timezone"))
CALL(settimeofday, PARTIAL, "EPERM", (in, time, "struct timeval"), (in, zone, "struct timezone"))
CALL(time, DONE, "", (out, time, "time_t"))
CALL(alarm, DONE, "", (uint, seconds))
CALL(setitimer, PARTIAL, "ITIMER_VIRTUAL counts system time as well", (int, which),
     (in, value, "struct itimerval"), (out, old, "struct itimerval"))
CALL(getitimer, DONE, "", (int, which), (out, value, "struct itimerval"))
CALL(timer_create, PARTIAL, "CPU clocks of other processes pass like wall time", (clock, clock),
     (in, event, "struct sigevent"), (out, id, "timer_t"))
CALL(timer_settime, DONE, "", (int, id), (int, flags), (in, value, "struct itimerspec"),
     (out, old, "struct itimerspec"))
CALL(timer_gettime, DONE, "", (int, id), (out, value, "struct itimerspec"))
CALL(timer_getoverrun, DONE, "", (int, id))
CALL(timer_delete, DONE, "", (int, id))
CALL(times, DONE, "", (out, times, "struct tms"))
/* identity */
CALL(getuid, DONE, "")
CALL(geteuid, DONE, "")
CALL(getgid, DONE, "")
CALL(getegid, DONE, "")
CALL(getresuid, DONE, "", (out, real, "uid_t"), (out, effective, "uid_t"), (out, saved, "uid_t"))
CALL(getresgid, DONE, "", (out, real, "gid_t"), (out, effective, "gid_t"), (out, saved, "gid_t"))
CALL(setuid, PARTIAL, "of the process, not of one thread", (id, uid))
CALL(setgid, PARTIAL, "of the process, not of one thread", (id, gid))
CALL(setreuid, PARTIAL, "of the process, not of one thread", (id, real), (id, effective))
CALL(setregid, PARTIAL, "of the process, not of one thread", (id, real), (id, effective))
CALL(setresuid, PARTIAL, "of the process, not of one thread", (id, real), (id, effective),
     (id, saved))
CALL(setresgid, PARTIAL, "of the process, not of one thread", (id, real), (id, effective),
     (id, saved))
CALL(setfsuid, PARTIAL, "of the process, not of one thread", (id, uid))
CALL(setfsgid, PARTIAL, "of the process, not of one thread", (id, gid))
CALL(getgroups, DONE, "", (int, count), (out, groups, "gid_t"))
CALL(setgroups, DONE, "", (int, count), (in, groups, "gid_t"))
CALL(capget, DONE, "", (inout, header, "struct __user_cap_header_struct"),
     (out, data, "struct __user_cap_data_struct"))
CALL(capset, DONE, "", (inout, header, "struct __user_cap_header_struct"),
     (in, data, "struct __user_cap_data_struct"))
/* limits and scheduling */
CALL(getrlimit, DONE, "", (uint, resource), (out, limit, "struct rlimit"))
CALL(setrlimit, PARTIAL, "kept and reported; enforced: NOFILE, NPROC, STACK, NICE",
     (uint, resource), (in, limit, "struct rlimit"))
CALL(prlimit64, PARTIAL, "kept and reported; enforced: NOFILE, NPROC, STACK, NICE", (pid, pid),
     (uint, resource), (in, limit, "struct rlimit64"), (out, old, "struct rlimit64"))
CALL(getrusage, PARTIAL, "CPU time and resident size", (int, who), (out, usage, "struct rusage"))
CALL(getpriority, DONE, "", (int, which), (int, who))
CALL(setpriority, PARTIAL, "remembered, without effect", (int, which), (int, who), (int, priority))
CALL(sched_yield, DONE, "")
CALL(sched_getaffinity, DONE, "", (pid, pid), (uint, size), (out, mask, "unsigned long"))
CALL(sched_setaffinity, PARTIAL, "remembered; the host decides", (pid, pid), (uint, size),
     (in, mask, "unsigned long"))
CALL(sched_getscheduler, DONE, "", (pid, pid))
CALL(sched_setscheduler, PARTIAL, "remembered, without effect", (pid, pid), (int, policy),
     (in, parameters, "struct sched_param"))
CALL(sched_getparam, DONE, "", (pid, pid), (out, parameters, "struct sched_param"))
CALL(sched_setparam, PARTIAL, "remembered, without effect", (pid, pid),
     (in, parameters, "struct sched_param"))
CALL(sched_getattr, DONE, "", (pid, pid), (out, attributes, "struct sched_attr"), (uint, size),
     (uint, flags))
CALL(sched_setattr, PARTIAL, "remembered, without effect", (pid, pid),
     (inout, attributes, "struct sched_attr"), (uint, flags))
CALL(sched_get_priority_max, DONE, "", (int, policy))
CALL(sched_get_priority_min, DONE, "", (int, policy))
CALL(sched_rr_get_interval, DONE, "", (pid, pid), (out, interval, "struct timespec"))
CALL(ioprio_get, DONE, "", (int, which), (int, who))
CALL(ioprio_set, PARTIAL, "remembered, without effect", (int, which), (int, who), (int, priority))
CALL(getcpu, PARTIAL, "the first that the thread may run on: the real one is the host's word",
     (out, cpu, "unsigned int"), (out, node, "unsigned int"), (out, cache, "void"))
/* keys */
CALL(add_key, PARTIAL, "keyring, user, logon, big_key", (text, type), (text, description),
     (in, payload, "void"), (size, size), (int, keyring))
CALL(request_key, PARTIAL, "nobody answers requests: as without /sbin/request-key", (text, type),
     (text, description), (text, callout), (int, keyring))
CALL(keyctl, PARTIAL, "no answers to requests, no persistent and no public keys", (int, command),
     (ulong, arg1), (ulong, arg2), (ulong, arg3), (ulong, arg4))
/* System V IPC */
CALL(semget, DONE, "", (int, key), (int, count), (hex32, flags))
CALL(semop, DONE, "", (int, id), (in, operations, "struct sembuf"), (uint, count))
CALL(semtimedop, DONE, "", (int, id), (in, operations, "struct sembuf"), (uint, count),
     (in, timeout, "struct timespec"))
CALL(semctl, DONE, "", (int, id), (int, number), (int, command), (hex, argument))
CALL(msgget, DONE, "", (int, key), (hex32, flags))
CALL(msgsnd, DONE, "", (int, id), (in, message, "struct msgbuf"), (size, size), (int, flags))
CALL(msgrcv, DONE, "", (int, id), (out, message, "struct msgbuf"), (size, size), (long, type),
     (int, flags))
CALL(msgctl, DONE, "", (int, id), (int, command), (inout, data, "struct msqid_ds"))
CALL(shmget, PARTIAL, "no huge pages", (int, key), (size, size), (hex32, flags))
CALL(shmat, PARTIAL, "at an address of the LibOS's choice; twice in a process is one mapping",
     (int, id), (address, at), (int, flags))
CALL(shmdt, DONE, "", (address, at))
CALL(shmctl, DONE, "", (int, id), (int, command), (inout, data, "struct shmid_ds"))
/* the rest */
CALL(pkey_alloc, PARTIAL, "ENOSPC: no protection keys in the enclave", (ulong, flags),
     (ulong, rights))
CALL(pkey_free, PARTIAL, "EINVAL: there are none", (int, key))
CALL(uname, DONE, "", (out, names, "struct new_utsname"))
CALL(sethostname, DONE, "", (in, name, "char"), (int, size))
CALL(setdomainname, DONE, "", (in, name, "char"), (int, size))
CALL(sysinfo, DONE, "", (out, info, "struct sysinfo"))
CALL(getrandom, DONE, "from the processor, never from the host", (out, buf, "void"), (size, size),
     (uint, flags))
CALL(personality, PARTIAL, "remembered; only STICKY_TIMEOUTS has an effect", (uint, persona))
CALL(lsm_list_modules, DONE, "capability", (out, ids, "u64"), (inout, size, "u32"), (uint, flags))
CALL(umask, DONE, "", (mode, mask))
CALL(membarrier, PARTIAL, "no SYNC_CORE and no RSEQ commands", (int, command), (uint, flags),
     (int, cpu))
CALL(vhangup, PARTIAL, "without effect")
REFUSE(init_module, EPERM, "", (in, image, "void"), (ulong, size), (text, parameters))
REFUSE(finit_module, EPERM, "", (fd, fd), (text, parameters), (int, flags))
REFUSE(delete_module, EPERM, "", (text, name), (uint, flags))
REFUSE(kexec_load, EPERM, "", (hex, entry), (ulong, count), (in, segments, "struct kexec_segment"),
       (hex, flags))
REFUSE(kexec_file_load, EPERM, "", (fd, kernel), (fd, initrd), (ulong, size), (text, command),
       (hex, flags))
REFUSE(reboot, EPERM, "", (int, magic), (int, magic2), (uint, command), (in, argument, "void"))
CALL(syslog, PARTIAL, "an empty log: the LibOS writes to the host's", (int, type),
     (out, buf, "char"), (int, size))
REFUSE(swapon, EPERM, "", (text, path), (int, flags))
REFUSE(swapoff, EPERM, "", (text, path))
REFUSE(iopl, EPERM, "", (uint, level))
REFUSE(ioperm, EPERM, "", (ulong, from), (ulong, count), (int, on))
REFUSE(bpf, EPERM, "", (int, command), (inout, attributes, "union bpf_attr"), (uint, size))
REFUSE(perf_event_open, EPERM, "", (inout, attributes, "struct perf_event_attr"), (pid, pid),
       (int, cpu), (fd, group), (hex, flags))
CALL(acct, PARTIAL, "does not pause when the file system is full", (path, path))
CALL(kcmp, PARTIAL, "no KCMP_EPOLL_TFD", (pid, pid1), (pid, pid2), (int, type), (ulong, index1),
     (ulong, index2))
