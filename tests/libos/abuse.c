/* SPDX-License-Identifier: Apache-2.0 */
/* What any program may try. Once each of these ended the LibOS, hung it, or showed one process the
 * memory of another. */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <ucontext.h>

/* Every call that takes a path, on an object that is in no tree. Only some results are looked at;
 * that the next call comes at all is the test. */
static void path_calls(int fd, int regular)
{
    char path[40], data[512];
    struct stat st;
    struct statfs fs;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK(stat(path, &st) == 0);
    int r = truncate(path, 4096);
    CHECK(regular ? r == 0 : r < 0);
    CHECK(chmod(path, 0600) == 0 || errno);
    CHECK(chown(path, 0, 0) == 0 || errno);
    utimensat(AT_FDCWD, path, NULL, 0);
    setxattr(path, "user.a", "b", 1, 0);
    removexattr(path, "user.a");
    listxattr(path, data, sizeof(data));
    CHECK(access(path, F_OK) == 0);
    access(path, R_OK | W_OK | X_OK);
    CHECK(statfs(path, &fs) == 0);
    syscall(SYS_statx, AT_FDCWD, path, 0, 0xfff, data);
    CHECK(link(path, "/tmp/abuse-link") < 0);
    CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/abuse-link", AT_SYMLINK_FOLLOW) < 0);
    CHECK(rename(path, "/tmp/abuse-new") < 0);
    CHECK(rename("/tmp/abuse", path) < 0);
    CHECK(unlink(path) < 0 && rmdir(path) < 0);
    CHECK(mkdir(path, 0700) < 0 && symlink("x", path) < 0 && mknod(path, S_IFREG | 0600, 0) < 0);
    CHECK(chdir(path) < 0 && chroot(path) < 0);
    CHECK(execl(path, path, (char *)NULL) < 0);
    CHECK(mount("/tmp/abuse", path, NULL, MS_BIND, NULL) < 0);
    CHECK(mount(path, "/tmp/abuse", NULL, MS_BIND, NULL) < 0);
    CHECK(mount("", path, "", MS_REMOUNT, NULL) < 0);
    CHECK(mount("", path, "", MS_PRIVATE, NULL) < 0);
    CHECK(mount("none", path, "tmpfs", 0, NULL) < 0);
    CHECK(umount2(path, 0) < 0);
    int again = open(path, O_RDWR | O_NONBLOCK);
    if (again >= 0)
        close(again);
    again = open(path, O_PATH);
    if (again >= 0)
        close(again);
}

static void objects_without_a_tree(void)
{
    int pair[2], ends[2], fd, tmp = open("/tmp/abuse", O_RDWR | O_CREAT, 0600);
    CHECK(tmp >= 0);
    CHECK((fd = memfd_create("m", 0)) >= 0);
    path_calls(fd, 1);
    close(fd);
    CHECK(pipe(ends) == 0);
    path_calls(ends[0], 0);
    path_calls(ends[1], 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    path_calls(pair[0], 0);
    CHECK((fd = eventfd(0, 0)) >= 0);
    path_calls(fd, 0);
    close(fd);
    CHECK((fd = epoll_create1(0)) >= 0);
    path_calls(fd, 0);
    close(fd);
    CHECK((fd = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0);
    path_calls(fd, 0);
    close(fd);
    close(tmp);
    unlink("/tmp/abuse");
}

/* Names that are another object at each look. */
static void names_that_change(void)
{
    static const char *const names[] = {"/proc/self/fd/0", "/proc/self/status",
                                        "/proc/thread-self/fd/0"};
    alarm(20); /* a hang is a failure */
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        rename(names[i], names[i]);
        syscall(SYS_renameat2, AT_FDCWD, names[i], AT_FDCWD, names[i], 2 /* EXCHANGE */);
        CHECK(unlink(names[i]) < 0);
    }
    CHECK(rename("/proc/self/fd/0", "/proc/self/fd/0") == 0);
    CHECK(rename("/proc/self/fd/0", "/proc/self/fd/1") < 0);
    alarm(0);
}

static volatile int g_timer_id;
static volatile int g_stop;

static void *delete_timers(void *arg)
{
    while (!g_stop) {
        int id = g_timer_id;
        syscall(SYS_timer_delete, id + 1);
        syscall(SYS_timer_delete, id + 2);
    }
    return NULL;
}

/* A timer whose number cannot be told was never there. */
static void timers_with_bad_pointers(void)
{
    pthread_t t;
    g_stop = 0;
    CHECK(pthread_create(&t, NULL, delete_timers, NULL) == 0);
    double end = now() + 0.5;
    while (now() < end) {
        int id = -1;
        CHECK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id) == 0);
        g_timer_id = id;
        for (int i = 0; i < 2; i++)
            CHECK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, (void *)8) < 0 &&
                  errno == EFAULT);
        CHECK(syscall(SYS_timer_delete, id) == 0 || errno == EINVAL);
    }
    g_stop = 1;
    CHECK(pthread_join(t, NULL) == 0);
}

/* A program that has alignment checked, and faults meanwhile: that is its own affair. */
static void alignment_checks(void)
{
    const size_t size = 1024 * 4096;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    for (int i = 0; i < 8; i++) {
        CHECK(madvise(p, size, MADV_DONTNEED) == 0);
        __asm__ volatile("pushfq; orq $0x40000, (%%rsp); popfq\n"
                         "1: movq $1, (%0); add $4096, %0; cmp %1, %0; jb 1b\n"
                         "pushfq; andq $~0x40000, (%%rsp); popfq"
                         : "+r"(p)
                         : "r"(p + size)
                         : "memory", "cc");
        p -= size;
    }
    munmap(p, size);
}

/* Ranges where no program has anything, some of them outside of every enclave. */
static void ranges_that_are_nowhere(void)
{
    static const unsigned long wild[] = {0x600000000000, 0x7ffffffff000, 0x800000000000,
                                         0xffff800000000000, 0xfffffffffffff000};
    alarm(20); /* a hang is a failure */
    for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
        void *p = (void *)wild[i];
        CHECK(munmap(p, 4096) == (i == 0 ? 0 : -1) && (i == 0 || errno == EINVAL));
        CHECK(munmap(p, 0x7ffffffff000) < 0 && errno == EINVAL);
        CHECK(mprotect(p, 4096, PROT_NONE) < 0 && errno == ENOMEM);
        CHECK(mremap(p, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED);
        CHECK(madvise(p, 4096, MADV_DONTNEED) < 0);
        CHECK(msync(p, 4096, MS_SYNC) < 0);
        CHECK(mlock(p, 4096) < 0);
    }
    alarm(0);
}

static void to_nowhere(int signo, siginfo_t *info, void *context)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = 0x800000000000;
}

static void handler_nowhere(void)
{
    signal(SIGUSR1, (void (*)(int))0x800000000000);
    raise(SIGUSR1);
}

static void handlers_nowhere(void)
{
    struct sigaction a = {.sa_sigaction = to_nowhere, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, NULL);
    signal(SIGSEGV, (void (*)(int))0xffff800000000000);
    raise(SIGUSR1);
}

/* A handler, or an interrupted program, at an address that no program has. */
static void addresses_that_are_none(void)
{
    CHECK(WTERMSIG(in_child(handler_nowhere)) == SIGSEGV);
    CHECK(WTERMSIG(in_child(handlers_nowhere)) == SIGSEGV);
    CHECK(syscall(SYS_clone, CLONE_SETTLS | SIGCHLD, 0, 0, 0, 0x800000000000) < 0 &&
          errno == EPERM);
}

static struct sockaddr_un g_address = {AF_UNIX, "/tmp/abuse-dgram"};
static int g_connected;

static void send_until_refused(void)
{
    char data[100] = "";
    ssize_t r;
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (g_connected)
        CHECK(connect(s, (struct sockaddr *)&g_address, sizeof(g_address)) == 0);
    do
        r = g_connected ? send(s, data, sizeof(data), 0)
                        : sendto(s, data, sizeof(data), 0, (struct sockaddr *)&g_address,
                                 sizeof(g_address));
    while (r >= 0);
    _exit(errno == ECONNREFUSED ? 0 : 1);
}

/* Senders that wait for room hear that there will be none. */
static void datagram_receivers_that_leave(void)
{
    for (g_connected = 0; g_connected < 2; g_connected++) {
        int status = -1, s = socket(AF_UNIX, SOCK_DGRAM, 0);
        unlink(g_address.sun_path);
        CHECK(bind(s, (struct sockaddr *)&g_address, sizeof(g_address)) == 0);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            close(s);
            alarm(20);
            send_until_refused();
        }
        sleep_ms(200); /* long enough to fill the queue */
        close(s);
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    unlink(g_address.sun_path);
}

static volatile int g_owner;

static void *look_at_owner(void *arg)
{
    while (!g_stop)
        if (g_owner != (int)(intptr_t)arg)
            _exit(77);
    syscall(SYS_exit, 0);
    return NULL;
}

static void threads_end_at_once(void)
{
    pthread_t t;
    g_owner = getpid();
    for (int i = 0; i < 4; i++)
        pthread_create(&t, NULL, look_at_owner, (void *)(intptr_t)getpid());
    sleep_ms(1);
    g_stop = 1;
    syscall(SYS_exit, 0);
}

/* The children of a fork take turns on one range; one that ends with all its threads at once gives
 * its turn up exactly once. */
static void memory_stays_ones_own(void)
{
    g_stop = 0;
    g_owner = getpid();
    alarm(120);
    for (int i = 0; i < 150; i++) {
        CHECK(in_child(threads_end_at_once) == 0);
        CHECK(g_owner == getpid() && !g_stop);
    }
    alarm(0);
}

int main(void)
{
    RUN(objects_without_a_tree);
    RUN(names_that_change);
    RUN(addresses_that_are_none);
    RUN(alignment_checks);
    RUN(ranges_that_are_nowhere);
    RUN(timers_with_bad_pointers);
    RUN(datagram_receivers_that_leave);
    RUN(memory_stays_ones_own);
    return finish();
}
