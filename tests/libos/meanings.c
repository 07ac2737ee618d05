/* SPDX-License-Identifier: Apache-2.0 */
/* What single calls mean where it is easily got wrong: rights that go, errors that must come. */
#include "check.h"
#include "remove.h"
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/securebits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/epoll.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

static char g_dir[] = "/tmp/meaningsXXXXXX";

static int fails(long r, int error)
{
    return r == -1 && errno == error;
}

static void as_other_fsuid(void)
{
    CHECK(setfsuid(1000) == 0 && setfsuid(-1) == 1000);
    CHECK(fails(open("roots", O_RDWR), EACCES));
    CHECK(fails(mkdir("/meanings-not", 0700), EACCES));
    CHECK(fails(chown("roots", 1, 1), EPERM));
    CHECK(setfsuid(0) == 1000);
    int fd = open("roots", O_RDWR);
    CHECK(fd >= 0);
    close(fd);
}

/* The capabilities of file access follow setfsuid(). */
static void file_system_ids(void)
{
    close(open("roots", O_CREAT | O_RDWR, 0644));
    CHECK(in_child(as_other_fsuid) == 0);
}

static void as_stranger(void)
{
    struct stat st;
    CHECK(setgid(1000) == 0 && setuid(1000) == 0);
    int fd = open("shared/program", O_CREAT | O_WRONLY, 02777);
    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    CHECK((st.st_mode & 07777) == 0777 && st.st_gid == 50);
    close(fd);
    CHECK(fails(syscall(SYS_close_range, 0, 1, 64), EINVAL));
}

/* Who is not in a directory's group makes no set-group-ID programs of it. */
static void new_files_of_a_group(void)
{
    struct stat st;
    umask(0);
    CHECK(mkdir("shared", 0777) == 0 && chown("shared", 0, 50) == 0 && chmod("shared", 02777) == 0);

    CHECK(in_child(as_stranger) == 0);
    CHECK(mkdir("shared/sub", 0755) == 0 && stat("shared/sub", &st) == 0 &&
          (st.st_mode & 07777) == 02755);
    umask(022);
}

static int open_as(const char *name, int flags)
{
    int fd = open(name, flags);
    CHECK(fd >= 0);
    return fd;
}

/* Each way to change what is in a set-id file, by who may not make such files. */
static void as_writer(void)
{
    struct stat st;
    char name[16];
    int fd;
    CHECK(setgroups(0, NULL) == 0 && setgid(1000) == 0 && setuid(1000) == 0);
    fd = open_as("set0", O_WRONLY);
    CHECK(write(fd, "x", 1) == 1);
    close(fd);
    fd = open_as("set1", O_WRONLY);
    CHECK(ftruncate(fd, 1) == 0);
    close(fd);
    CHECK(truncate("set2", 0) == 0);
    fd = open_as("set3", O_WRONLY);
    CHECK(fallocate(fd, 0, 0, 8192) == 0);
    close(fd);
    close(open_as("set4", O_WRONLY | O_TRUNC));
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "set%d", i);
        CHECK(stat(name, &st) == 0 && (st.st_mode & 07777) == 0777);
    }
    _exit(g_failed);
}

static void written_set_ids(void)
{
    static const int modes[] = {06777, 04777, 02777, 06777, 06777};
    char name[16];
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "set%d", i);
        int fd = open(name, O_CREAT | O_RDWR, 0600);
        CHECK(write(fd, "data", 4) == 4 && fchown(fd, 0, 50) == 0 &&
              fchmod(fd, (mode_t)modes[i]) == 0);
        close(fd);
    }
    CHECK(in_child(as_writer) == 0);
}

static void copies_onto_itself(void)
{
    loff_t in = 0, out = 5;
    int p[2], fd = open("own", O_CREAT | O_RDWR, 0600);
    CHECK(write(fd, "0123456789", 10) == 10);
    CHECK(fails(copy_file_range(fd, &in, fd, &out, 6, 0), EINVAL));
    CHECK(copy_file_range(fd, &in, fd, &out, 5, 0) == 5);
    close(fd);
    CHECK(pipe(p) == 0);
    CHECK(fails(splice(p[0], NULL, p[1], NULL, 10, 0), EINVAL));
    char page[4096] = "";
    struct iovec v = {page, sizeof(page)};
    CHECK(fcntl(p[1], F_SETPIPE_SZ, 4096) == 4096);
    CHECK(write(p[1], page, sizeof(page)) == sizeof(page));
    CHECK(fails(vmsplice(p[1], &v, 1, SPLICE_F_NONBLOCK), EAGAIN));
    static char more[8192]; /* it takes what there is room for, and does not wait for the rest */
    struct iovec two[2] = {{more, 100}, {more, sizeof(more)}};
    CHECK(read(p[0], page, sizeof(page)) == sizeof(page));
    CHECK(vmsplice(p[1], two, 2, 0) <= 4096 && read(p[0], page, sizeof(page)) >= 100);
    int dir = open(".", O_RDONLY);
    CHECK(fails(splice(dir, NULL, p[1], NULL, 10, 0), EINVAL));
    close(dir);
    close(p[0]);
    close(p[1]);
}

static void mapped_ranges(void)
{
    char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open(".", O_PATH);
    CHECK(p != MAP_FAILED && munmap(p + 4096, 4096) == 0);
    CHECK(fails(madvise(p, 3 * 4096, MADV_DONTNEED), ENOMEM));
    CHECK(fails(madvise(p, 3 * 4096, MADV_WILLNEED), ENOMEM));
    CHECK(madvise(p, 4096, MADV_WILLNEED) == 0 && fails(madvise(p, 4096, 99), EINVAL));
    CHECK(fails(madvise(p + 1, 4096, MADV_NORMAL), EINVAL));
    CHECK(fails(mlock(p, 3 * 4096), ENOMEM) && fails(munlock(p, 3 * 4096), ENOMEM));
    CHECK(mlock(p, 4096) == 0 && munlock(p, 4096) == 0);
    CHECK(fails(msync(p, 4096, MS_ASYNC | MS_SYNC), EINVAL));
    CHECK(fails(mprotect(p, 4096, PROT_READ | PROT_GROWSDOWN), EINVAL));
    CHECK(fails((long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0), EBADF));
    close(fd);
    fd = open("roots", O_RDWR);
    CHECK(ftruncate(fd, 4096) == 0);
    CHECK(fails(
        (long)mmap(NULL, 4096, PROT_READ, MAP_SHARED_VALIDATE | 0x80000 /* MAP_SYNC */, fd, 0),
        EOPNOTSUPP));
    close(fd);
    munmap(p, 3 * 4096);
}

/* Advice that has a meaning is done or refused. */
static void advice_on_fork(void)
{
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *p = 's';
    if (madvise(p, 4096, MADV_WIPEONFORK) == 0) {
        fflush(stdout);
        pid_t pid = fork();
        int status;
        if (pid == 0)
            _exit(*p);
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    CHECK(*p == 's');
    munmap(p, 4096);
}

static void signals_through_descriptors(void)
{
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE, .si_pid = getpid()};
    int status, fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    CHECK(fd >= 0);
    CHECK(fails(syscall(SYS_pidfd_send_signal, fd, SIGUSR2, &info, 0), EINVAL));
    CHECK(fails(syscall(SYS_pidfd_send_signal, fd, SIGUSR2, (void *)8, 0), EFAULT));
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(1);
    }
    fd = (int)syscall(SYS_pidfd_open, pid, O_NONBLOCK);
    CHECK(fd >= 0 && fails(waitid(3 /* P_PIDFD */, (id_t)fd, &info, WEXITED), EAGAIN));
    CHECK(waitid(3, (id_t)fd, &info, WEXITED | WNOHANG) == 0);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    close(fd);
}

static void lock_three(void)
{
    int fd = open("locked", O_RDWR);
    for (int i = 0; i < 3; i++) {
        struct flock l = {.l_type = F_WRLCK, .l_start = (i + 2) % 3 * 20 + 10, .l_len = 5};
        CHECK(fcntl(fd, F_SETLK, &l) == 0);
    }
    kill(getppid(), SIGUSR1);
    pause();
}

static void nothing(int sig)
{
}

static void lowest_lock(void)
{
    struct flock l = {.l_type = F_WRLCK};
    sigset_t mask;
    int status, fd = open("locked", O_CREAT | O_RDWR, 0600);
    signal(SIGUSR1, nothing);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        lock_three();
        _exit(0);
    }
    int sig;
    sigwait(&mask, &sig);
    CHECK(fcntl(fd, F_GETLK, &l) == 0 && l.l_type == F_WRLCK && l.l_start == 10 && l.l_len == 5 &&
          l.l_pid == pid);
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, &status, 0) == pid);
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
    close(fd);
}

static void removed_directory(void)
{
    char data[512];
    CHECK(mkdir("gone", 0700) == 0);
    int fd = open("gone", O_RDONLY | O_DIRECTORY);
    CHECK(rmdir("gone") == 0);
    CHECK(fails(syscall(SYS_getdents64, fd, data, sizeof(data)), ENOENT));
    close(fd);
}

static void *wait_for_end(void *arg)
{
    char c;
    CHECK(read(*(int *)arg, &c, 1) == 0);
    return NULL;
}

static void threads_are_listed(void)
{
    enum { COUNT = 300 };
    static pthread_t t[COUNT];
    int p[2], seen = 0;
    pthread_attr_t small;
    CHECK(pipe(p) == 0 && pthread_attr_init(&small) == 0 &&
          pthread_attr_setstacksize(&small, 64 << 10) == 0);
    for (int i = 0; i < COUNT; i++)
        CHECK(pthread_create(&t[i], &small, wait_for_end, &p[0]) == 0);
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; (e = readdir(d));)
        seen += e->d_name[0] != '.';
    closedir(d);
    CHECK(seen == COUNT + 1);
    close(p[1]);
    for (int i = 0; i < COUNT; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    close(p[0]);
}

static void slack(void)
{
    CHECK(prctl(PR_GET_TIMERSLACK) == 50000);
    CHECK(prctl(PR_SET_TIMERSLACK, 70000) == 0 && prctl(PR_GET_TIMERSLACK) == 70000);
    CHECK(prctl(PR_SET_TIMERSLACK, 0) == 0 && prctl(PR_GET_TIMERSLACK) == 50000);
}

/* Two things are wrong: which of them is said. */
static void first_errors(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    int p[2], file = open("roots", O_RDONLY);
    CHECK(pipe(p) == 0 && file >= 0);
    CHECK(fails(lseek(p[0], 0, 9), EINVAL) && fails(lseek(p[0], 0, SEEK_SET), ESPIPE));
    CHECK(fails(epoll_ctl(p[0], EPOLL_CTL_ADD, file, &e), EPERM));
    CHECK(fails(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &e), EINVAL));
    close(p[0]);
    close(p[1]);
    close(file);
}

/* A file that must not change is not emptied by being opened, whatever for. */
static void emptied_by_opening(void)
{
    char path[40];
    struct stat st;
    CHECK(fails(open("/proc/self/exe", O_RDONLY | O_TRUNC), ETXTBSY));
    CHECK(fails(truncate("/proc/self/exe", 4096), ETXTBSY));
    CHECK(stat("/proc/self/exe", &st) == 0 && st.st_size > 4096);
    int fd = memfd_create("m", MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, 100) == 0);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK(fails(open(path, O_RDWR | O_TRUNC), EPERM));
    CHECK(fails(truncate(path, 10), EPERM));
    CHECK(fstat(fd, &st) == 0 && st.st_size == 100);
    close(fd);
}

static void child_for_parent(void)
{
    if (syscall(SYS_clone, CLONE_PARENT | SIGUSR1, 0, 0, 0, 0) == 0)
        _exit(0);
}

/* What a child's end is told with is its parent's choice, not that of a child of the same. */
static void children_of_ones_parent(void)
{
    sigset_t mask;
    const struct timespec none = {0, 0};
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    CHECK(in_child(child_for_parent) == 0);
    CHECK(wait(NULL) > 0 && fails(wait(NULL), ECHILD));
    CHECK(sigtimedwait(&mask, NULL, &none) < 0);
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
}

static long futex(void *at, int op, long value, long value2, void *at2)
{
    return syscall(SYS_futex, at, op, value, value2, at2, 0);
}

static void futex_words(void)
{
    char *p = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mprotect(p, 4096, PROT_NONE) == 0);
    CHECK(fails(futex(p, FUTEX_WAKE, 1, 0, NULL), EFAULT));
    CHECK(fails(futex(p + 4096, FUTEX_CMP_REQUEUE, 1, 1, p), EFAULT));
    CHECK(fails(futex(p + 4096, FUTEX_CMP_REQUEUE, -1, 1, p + 4100), EINVAL));
    CHECK(fails(futex(p + 4096, FUTEX_CMP_REQUEUE, 1, -1, p + 4100), EINVAL));
    CHECK(munmap(p, 4096) == 0 && fails(futex(p, FUTEX_WAKE, 1, 0, NULL), EFAULT));
    CHECK(futex(p + 4096, FUTEX_WAKE, 1, 0, NULL) == 0);
    munmap(p + 4096, 4096);
}

static void sealed_memory(void)
{
    int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
    CHECK(ftruncate(fd, 4096) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    CHECK(fails((long)mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), EPERM));
    char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED && fails(mprotect(p, 4096, PROT_READ | PROT_WRITE), EACCES));
    char *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(own != MAP_FAILED);
    own[0] = 1;
    munmap(p, 4096);
    munmap(own, 4096);
    close(fd);
}

static void as_secure_root(void)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2];
    CHECK(syscall(SYS_capget, &h, d) == 0);
    d[0].inheritable |= 1 << CAP_CHOWN;
    CHECK(syscall(SYS_capset, &h, d) == 0);
    CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == 0);
    CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0);
    CHECK(fails(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 1, 0), EINVAL));
    CHECK(prctl(PR_SET_SECUREBITS, SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_SETUID_FIXUP |
                                       SECBIT_NO_SETUID_FIXUP_LOCKED) == 0);
    CHECK(fails(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), EPERM));
    CHECK(fails(prctl(PR_SET_SECUREBITS, SECBIT_NO_CAP_AMBIENT_RAISE), EPERM));
    CHECK(fails(prctl(PR_SET_SECUREBITS, 1 << 20), EPERM));
    CHECK(setresuid(1000, 1000, 1000) == 0 && syscall(SYS_capget, &h, d) == 0 &&
          (d[0].effective & 1 << CAP_CHOWN));
}

static void secure_bits(void)
{
    CHECK(in_child(as_secure_root) == 0);
}

/* A file that becomes readable is for one of those who asked so; its end is for all. */
static void one_of_many(void)
{
    enum { COUNT = 5 };
    int p[2], told[2], woken = 0, status;
    char c;
    pid_t pids[COUNT];
    CHECK(pipe(p) == 0 && pipe(told) == 0);
    fflush(stdout);
    for (int i = 0; i < COUNT; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE};
            int ep = epoll_create1(0);
            close(p[1]);
            epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e);
            write(told[1], "r", 1);
            _exit(epoll_wait(ep, &e, 1, 20000) == 1 && !(e.events & EPOLLHUP) ? 1 : 0);
        }
    }
    for (int i = 0; i < COUNT; i++)
        CHECK(read(told[0], &c, 1) == 1);
    sleep_ms(100); /* until they wait, or it would be told to who looks later, too */
    CHECK(write(p[1], "x", 1) == 1);
    CHECK(wait(&status) > 0 && WEXITSTATUS(status) == 1);
    sleep_ms(100);
    while (waitpid(-1, &status, WNOHANG) > 0)
        woken++;
    CHECK(woken == 0);
    CHECK(read(p[0], &c, 1) == 1);
    close(p[1]);
    for (int i = 1; i < COUNT; i++)
        CHECK(wait(&status) > 0 && WEXITSTATUS(status) == 0);
    close(p[0]);
    close(told[0]);
    close(told[1]);
}

/* Reading is no edge for who waits to read. */
static void edges(void)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    unsigned long long v;
    int fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK), ep = epoll_create1(0);
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    CHECK(epoll_wait(ep, &e, 1, 0) == 1);
    CHECK(read(fd, &v, 8) == 8 && epoll_wait(ep, &e, 1, 0) == 0);
    v = 1;
    CHECK(write(fd, &v, 8) == 8 && epoll_wait(ep, &e, 1, 0) == 1);
    close(ep);
    close(fd);
}

static pid_t g_another; /* a thread of the parent */
static int g_hold[2];

static void *another(void *to)
{
    pid_t tid = gettid();
    char c;
    CHECK(write(*(int *)to, &tid, sizeof(tid)) == sizeof(tid));
    return read(g_hold[0], &c, 1) == 0 ? NULL : to;
}

/* Opening or reading says so. */
static int is_hidden(const char *name)
{
    char path[64], c;
    snprintf(path, sizeof(path), "/proc/%d/%s", getppid(), name);
    int fd = open(path, O_RDONLY),
        hidden = fd < 0 ? errno == EACCES : fails(read(fd, &c, 1), EACCES);
    close(fd);
    return hidden;
}

/* The process that has the socket outside may be one; who asks for them is none. */
static void options_of_administrators(void)
{
    static const struct {
        int domain, level, name, value;
    } options[] = {
        {AF_INET, SOL_SOCKET, SO_SNDBUFFORCE, 1 << 20},
        {AF_INET, SOL_SOCKET, SO_PRIORITY, 7},
        {AF_INET, SOL_SOCKET, SO_MARK, 1},
        {AF_INET, IPPROTO_IP, IP_TRANSPARENT, 1},
        {AF_UNIX, SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20},
        {AF_UNIX, SOL_SOCKET, SO_SNDBUFFORCE, 1},
        {AF_UNIX, SOL_SOCKET, SO_PRIORITY, 7},
    };
    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
        int fd = socket(options[i].domain, SOCK_DGRAM, 0);
        CHECK(fails(setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                               sizeof(options[i].value)),
                    EPERM));
        close(fd);
    }
}

/* The same of one packet, as control data. */
static void extension_header(void)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = 9};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(8)];
    } control = {
        .head = {.cmsg_len = CMSG_LEN(8), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_HOPOPTS}};
    struct msghdr m = {.msg_name = &to,
                       .msg_namelen = sizeof(to),
                       .msg_iov = &(struct iovec){"x", 1},
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    to.sin6_addr = in6addr_loopback;
    CHECK(fd < 0 || fails(sendmsg(fd, &m, 0), EPERM));
    close(fd);
}

static void without_rights(void)
{
    static const char *const hidden[] = {"maps",    "smaps", "smaps_rollup", "auxv",
                                         "environ", "exe",   "cwd"};
    char path[64];
    struct {
        unsigned size, policy;
        unsigned long long flags;
        int nice;
        unsigned priority;
        unsigned long long deadline[3];
    } better = {.size = 48, .nice = -5};
    struct sched_param p = {.sched_priority = 1};
    CHECK(setgid(1000) == 0 && setuid(1000) == 0);
    CHECK(fails(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &p), EPERM));
    p.sched_priority = 0;
    CHECK(syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &p) == 0 &&
          syscall(SYS_sched_getscheduler, 0) == SCHED_BATCH);
    CHECK(fails(syscall(SYS_sched_setparam, getppid(), &p), EPERM));
    CHECK(fails(setpriority(PRIO_PROCESS, getppid(), 5), EPERM));
    CHECK(fails(setpriority(PRIO_PROCESS, g_another, 5), EPERM));
    CHECK(fails(syscall(SYS_sched_setattr, 0, &better, 0), EPERM));
    for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
        CHECK(is_hidden(hidden[i]));
    options_of_administrators();
    extension_header();
    snprintf(path, sizeof(path), "/proc/%d/exe", getppid());
    CHECK(fails(readlink(path, path, sizeof(path)), EACCES));
}

static void scheduling(void)
{
    struct sched_param p = {.sched_priority = 3}, q;
    pthread_t t;
    int told[2];
    CHECK(pipe(g_hold) == 0 && pipe(told) == 0);
    CHECK(pthread_create(&t, NULL, another, &told[1]) == 0);
    CHECK(read(told[0], &g_another, sizeof(g_another)) == sizeof(g_another));
    CHECK(in_child(without_rights) == 0);
    close(g_hold[1]);
    CHECK(pthread_join(t, NULL) == 0);
    close(g_hold[0]);
    close(told[0]);
    close(told[1]);
    CHECK(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6) == 0 &&
          syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 6));
    p.sched_priority = 0;
    CHECK(fails(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &p), EINVAL));
    CHECK(syscall(SYS_sched_getparam, 0, &q) == 0 && q.sched_priority == 0);
}

static void single_errors(void)
{
    int sv[2], fd = open("roots", O_PATH), ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN};
    CHECK(fails(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), EBADF));
    CHECK(fails(accept(fd, NULL, NULL), EBADF));
    CHECK(fails(socketpair(AF_INET, SOCK_DGRAM, 0, sv), EOPNOTSUPP));
    CHECK(fails(socketpair(AF_INET, SOCK_DGRAM, 6, sv), EPROTONOSUPPORT));
    CHECK(fails((long)mmap(NULL, 0, PROT_READ, MAP_SHARED, 999, 0), EBADF));
    CHECK(fails(unshare(-1), EINVAL));
    CHECK(fails(syscall(SYS_clone, 0x20200 /* NEWNS and FS */, 0, 0, 0, 0), EINVAL));
    close(fd);
    close(ep);
}

/* Of an int, Linux takes the lower half of the register: what is in the upper one does not count.
 * Of a long it counts. */
static void upper_halves(void)
{
    const long high = 1l << 32;
    char byte, *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec v = {&byte, 1};
    struct timespec zero = {0, 0};
    struct itimerval it;
    int fds[2], fd = syscall(SYS_openat, 0xffffff9cl /* AT_FDCWD */, "halves",
                             O_RDWR | O_CREAT | high, 0600 | high);
    CHECK(p != MAP_FAILED && fd >= 0);
    CHECK(syscall(SYS_fallocate, fd | high, high, 0, 1) == 0);
    CHECK(syscall(SYS_preadv2, fd, &v, 1, 0, 0, high) == 1);
    CHECK(syscall(SYS_sync_file_range, fd, 0, 0, high) == 0);
    CHECK(syscall(SYS_fadvise64, fd, 0, 0, high) == 0);
    CHECK(syscall(SYS_copy_file_range, fd, NULL, fd, NULL, 0, high) == 0);
    CHECK(syscall(SYS_faccessat2, AT_FDCWD, "halves", high | R_OK, high) == 0);
    CHECK(syscall(SYS_pipe2, fds, high) == 0);
    CHECK(syscall(SYS_dup3, fds[0], fds[1], high | O_CLOEXEC) == fds[1]);
    close(fds[0]);
    close(fds[1]);
    CHECK((fds[0] = syscall(SYS_memfd_create, "halves", high)) >= 0 && close(fds[0]) == 0);
    CHECK((fds[0] = syscall(SYS_eventfd2, high, high)) >= 0 && close(fds[0]) == 0);
    CHECK((fds[0] = syscall(SYS_pidfd_open, getpid() | high, high)) >= 0 && close(fds[0]) == 0);
    CHECK(syscall(SYS_kill, getpid() | high, high) == 0);
    CHECK(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC | high, high, &zero, NULL) == 0);
    CHECK(syscall(SYS_getitimer, high | ITIMER_REAL, &it) == 0);
    CHECK(syscall(SYS_prctl, high | PR_GET_DUMPABLE, 0, 0, 0, 0) >= 0);
    CHECK(syscall(SYS_madvise, p, 4096, high | MADV_NORMAL) == 0);
    CHECK(syscall(SYS_mlock2, p, 4096, high) == 0);
    CHECK(fails(syscall(SYS_mprotect, p, 4096, high | PROT_READ), EINVAL));
    CHECK(fails(syscall(SYS_mremap, p, 4096, 4096, high), EINVAL));
    CHECK(syscall(SYS_unlinkat, AT_FDCWD, "halves", high) == 0);
    CHECK(munmap(p, 4096) == 0 && close(fd) == 0);
}

static void as_reader_of_the_log(void)
{
    char c;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
        _exit(77);
    CHECK(syscall(SYS_syslog, 2, &c, 0) == -1 && errno == EPERM);
    _exit(g_failed);
}

static void kernel_log(void)
{
    CHECK(WEXITSTATUS(in_child(as_reader_of_the_log)) == 0);
    if (geteuid() != 0)
        return;
    char c;
    CHECK(syscall(SYS_syslog, 100, &c, 0) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_syslog, 3, &c, -1) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_syslog, 3, NULL, 1) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_syslog, 10, NULL, 0) > 0);
}

int main(void)
{
    CHECK(mkdtemp(g_dir) && chdir(g_dir) == 0 && chmod(".", 0755) == 0);
    RUN(file_system_ids);
    RUN(new_files_of_a_group);
    RUN(written_set_ids);
    RUN(copies_onto_itself);
    RUN(mapped_ranges);
    RUN(advice_on_fork);
    RUN(signals_through_descriptors);
    RUN(lowest_lock);
    RUN(removed_directory);
    RUN(threads_are_listed);
    RUN(slack);
    RUN(first_errors);
    RUN(emptied_by_opening);
    RUN(children_of_ones_parent);
    RUN(futex_words);
    RUN(sealed_memory);
    RUN(secure_bits);
    RUN(one_of_many);
    RUN(edges);
    RUN(scheduling);
    RUN(single_errors);
    RUN(upper_halves);
    CHECK(chdir("/") == 0 && remove_tree(g_dir) == 0);
    RUN(kernel_log);
    return finish();
}
