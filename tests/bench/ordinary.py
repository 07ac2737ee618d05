#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures container runtimes in turns: wall time (median), CPU time of all processes (mean), peak memory."""
import ctypes
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

work, rune, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
null = open("/dev/null", "r+")
runtimes = {"rune": rune, "crun": shutil.which("crun"), "runc": shutil.which("runc")}


def make_bundle(name, change):
    bundle = f"{work}/{name}"
    for directory in ("bin", "proc", "dev", "sys", "tmp", "etc"):
        os.makedirs(f"{bundle}/rootfs/{directory}")
    shutil.copy(shutil.which("busybox"), f"{bundle}/rootfs/bin/busybox")
    for applet in ("true", "sleep"):
        os.link(f"{bundle}/rootfs/bin/busybox", f"{bundle}/rootfs/bin/{applet}")
    subprocess.run([runtimes["runc"], "spec"], cwd=bundle, check=True)
    with open(f"{bundle}/config.json") as file:
        config = json.load(file)
    config["ociVersion"] = "1.0.2"
    config["process"]["terminal"] = False
    config["process"]["args"] = ["/bin/true"]
    change(config)
    with open(f"{bundle}/config.json", "w") as file:
        json.dump(config, file)
    return bundle


# The shape of what Docker gives its runtime: seccomp with several hundred names, some twenty mounts, limits.
NAMES = """accept accept4 access adjtimex alarm bind brk capget capset chdir chmod chown clock_adjtime clock_getres
clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
fallocate fanotify_mark fchdir fchmod fchmodat fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork
fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futimesat getcpu getcwd getdents getdents64 getegid geteuid
getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid
getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents ioprio_get ioprio_set io_setup io_submit
io_uring_enter io_uring_register io_uring_setup kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
lchown lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat madvise membarrier
memfd_create mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedsend mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at
nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect
poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pwrite64 pwritev pwritev2 read readahead
readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2
restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max
sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto setfsgid
setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit set_robust_list
setsid setsockopt set_tid_address setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
socket socketpair splice stat statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime
times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork vmsplice wait4 waitid write writev
arch_prctl modify_ldt clone chroot ptrace process_vm_readv process_vm_writev""".split()


def like_docker(config):
    config["hostname"] = "bench"
    linux = config["linux"]
    linux["namespaces"].append({"type": "cgroup"})
    linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": NAMES, "action": "SCMP_ACT_ALLOW"}] + [
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]}
            for value in (0, 8, 131072, 131080, 4294967295)],
    }
    linux["resources"].update({
        "memory": {"limit": 512 << 20}, "cpu": {"shares": 512}, "pids": {"limit": 200},
        "devices": [{"allow": False, "access": "rwm"}] + [
            {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
            for major, minor in ((1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1))],
    })
    sources = f"{work}/sources"
    os.makedirs(sources, exist_ok=True)
    for i in range(13):
        open(f"{sources}/{i}", "w").close()
        config["mounts"].append({"destination": f"/etc/file{i}", "type": "bind", "source": f"{sources}/{i}",
                                 "options": ["rbind", "rprivate"]})
    capabilities = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
                    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
                    "CAP_AUDIT_WRITE"]
    config["process"]["capabilities"] = {k: capabilities for k in ("bounding", "effective", "permitted")}
    config["process"]["noNewPrivileges"] = False


def call(name, *arguments, cwd=None):
    # A file, not a pipe: a detached container keeps its stderr open.
    with open(f"{work}/stderr", "w+") as stderr:
        result = subprocess.run([runtimes[name], "--root", f"{work}/state/{name}", *arguments], cwd=cwd, stdin=null,
                                stdout=null, stderr=stderr, check=False)
        if result.returncode:
            stderr.seek(0)
            sys.exit(f"{name} {arguments}: {stderr.read()}")


def reap():
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                return
        except ChildProcessError:
            return


def run(name, bundle, tag):
    call(name, "run", tag, cwd=bundle)


def life(name, bundle, tag):
    call(name, "create", tag, cwd=bundle)
    call(name, "start", tag)
    pid_end = time.monotonic() + 5
    while time.monotonic() < pid_end:
        reap()
        result = subprocess.run([runtimes[name], "--root", f"{work}/state/{name}", "delete", tag], stdin=null, stdout=null,
                                stderr=null, check=False)
        if result.returncode == 0:
            return
        time.sleep(0.0005)
    sys.exit(f"{name}: {tag} does not end")


def execute(name, bundle, tag):
    call(name, "exec", f"long-{name}", "/bin/true")


def measure(title, bundle, action):
    wall = {name: [] for name in runtimes}
    cpu = {name: 0.0 for name in runtimes}
    for i in range(rounds + 2):
        for name in runtimes:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.perf_counter()
            action(name, bundle, f"b{os.getpid()}-{name}-{i}")
            took = time.perf_counter() - start
            reap()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if i < 2:
                continue  # caches are warm from here on
            wall[name].append(took)
            cpu[name] += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(title)
    for name in runtimes:
        median, mean = statistics.median(wall[name]) * 1000, cpu[name] / rounds * 1000
        line = f"  {name}: wall {median:7.2f} ms   cpu {mean:7.2f} ms"
        if name != "rune":
            line += "   rune is at %.2f of its wall time, %.2f of its CPU time" % (
                statistics.median(wall["rune"]) / statistics.median(wall[name]), cpu["rune"] / cpu[name])
        print(line, flush=True)


def peak_memory(bundle):
    print("peak memory of `run`, configuration like Docker's")
    for name in runtimes:
        out = subprocess.run([f"{work}/peak", runtimes[name], "--root", f"{work}/state/{name}", "run",
                              f"m{os.getpid()}-{name}"], cwd=bundle, stdin=null, stdout=subprocess.PIPE, check=True)
        print(f"  {name}: {int(out.stdout.split()[-1])} KiB")


plain = make_bundle("plain", lambda config: None)
docker = make_bundle("docker", like_docker)
measure("run /bin/true, configuration of `spec`", plain, run)
measure("run /bin/true, configuration like Docker's", docker, run)
measure("create, start, delete, configuration like Docker's", docker, life)
peak_memory(docker)
with open(f"{docker}/config.json") as source:
    sleeping = json.load(source)
sleeping["process"]["args"] = ["/bin/sleep", "1000"]
with open(f"{docker}/config.json", "w") as target:
    json.dump(sleeping, target)
for runtime in runtimes:
    call(runtime, "run", "--detach", f"long-{runtime}", cwd=docker)
try:
    measure("exec /bin/true, configuration like Docker's", docker, execute)
finally:
    for runtime in runtimes:
        call(runtime, "delete", "--force", f"long-{runtime}")
