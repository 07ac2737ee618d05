/* SPDX-License-Identifier: Apache-2.0 */
/* poll, select, epoll, eventfd, timerfd and signalfd, across threads, fork and signals. */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/personality.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/time.h>

static volatile sig_atomic_t g_signals;

static void on_signal(int sig)
{
    g_signals++;
}

static void install(int sig, int flags)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = flags};
    CHECK(sigaction(sig, &sa, NULL) == 0);
}

static void poll_pipes(void)
{
    int p[2], n = open("/dev/null", O_RDWR);
    CHECK(pipe(p) == 0);
    struct pollfd f[4] = {
        {p[0], POLLIN, 0}, {p[1], POLLOUT, 0}, {n, POLLIN | POLLOUT, 0}, {-1, POLLIN, 7}};
    CHECK(poll(f, 4, 1000) == 2 && f[0].revents == 0 && f[1].revents == POLLOUT);
    CHECK(f[2].revents == (POLLIN | POLLOUT) && f[3].revents == 0);
    CHECK(write(p[1], "x", 1) == 1 && poll(f, 1, -1) == 1 && f[0].revents == POLLIN);
    close(p[1]);
    char c;
    CHECK(read(p[0], &c, 1) == 1 && poll(f, 1, -1) == 1 && f[0].revents == POLLHUP);
    f[1].fd = 4000;
    CHECK(poll(f, 2, 0) == 2 && f[1].revents == POLLNVAL);
    double start = now();
    CHECK(poll(NULL, 0, 40) == 0 && now() - start >= 0.039);
    close(p[0]);
    close(n);
}

static void *write_later(void *arg)
{
    sleep_ms(30);
    CHECK(write(*(int *)arg, "12345678", 8) == 8);
    return NULL;
}

static void poll_woken(void)
{
    int p[2], e = eventfd(0, 0);
    pthread_t t;
    CHECK(pipe(p) == 0);
    struct pollfd f[2] = {{e, POLLIN, 0}, {p[0], POLLIN, 0}};
    CHECK(pthread_create(&t, NULL, write_later, &p[1]) == 0);
    CHECK(poll(f, 2, -1) == 1 && f[1].revents == POLLIN);
    pthread_join(t, NULL);
    CHECK(pthread_create(&t, NULL, write_later, &e) == 0);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(e, &set);
    CHECK(select(e + 1, &set, NULL, NULL, NULL) == 1 && FD_ISSET(e, &set));
    pthread_join(t, NULL);
    close(e);
    close(p[0]);
    close(p[1]);
}

/* What is left of the time is not told to who does not want to hear it. */
static void sticky_timeouts(void)
{
    struct timeval tv = {0, 2000};
    struct timespec ts = {0, 2000000};
    CHECK(syscall(SYS_select, 0, NULL, NULL, NULL, &tv) == 0 && tv.tv_usec == 0);
    CHECK(personality(STICKY_TIMEOUTS) >= 0);
    tv.tv_usec = 2000;
    CHECK(syscall(SYS_select, 0, NULL, NULL, NULL, &tv) == 0 && tv.tv_usec == 2000);
    CHECK(syscall(SYS_ppoll, NULL, 0, &ts, NULL, 8ul) == 0 && ts.tv_nsec == 2000000);
    CHECK(personality(0) >= 0);
}

static void interrupted(void)
{
    struct itimerval it = {.it_value.tv_usec = 30000}, off = {0};
    struct timespec ts = {5, 0};
    sigset_t block, old, open_mask;
    install(SIGALRM, SA_RESTART);
    setitimer(ITIMER_REAL, &it, NULL);
    CHECK(poll(NULL, 0, 5000) == -1 && errno == EINTR); /* never restarted */
    setitimer(ITIMER_REAL, &it, NULL);
    CHECK(select(0, NULL, NULL, NULL, &(struct timeval){5, 0}) == -1 && errno == EINTR);
    sigemptyset(&block);
    sigaddset(&block, SIGALRM);
    CHECK(sigprocmask(SIG_BLOCK, &block, &old) == 0);
    open_mask = old;
    sigdelset(&open_mask, SIGALRM);
    int before = g_signals;
    setitimer(ITIMER_REAL, &it, NULL);
    sleep_ms(60);
    CHECK(g_signals == before); /* pending, blocked */
    CHECK(ppoll(NULL, 0, &ts, &open_mask) == -1 && errno == EINTR && g_signals == before + 1);
    setitimer(ITIMER_REAL, &it, NULL);
    CHECK(pselect(0, NULL, NULL, NULL, &ts, &open_mask) == -1 && errno == EINTR &&
          g_signals == before + 2);
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev;
    setitimer(ITIMER_REAL, &it, NULL);
    CHECK(epoll_pwait(ep, &ev, 1, 5000, &open_mask) == -1 && errno == EINTR &&
          g_signals == before + 3);
    sigset_t now_mask;
    CHECK(sigprocmask(SIG_SETMASK, &old, &now_mask) == 0 && sigismember(&now_mask, SIGALRM));
    setitimer(ITIMER_REAL, &off, NULL);
    close(ep);
}

static int watch(int ep, int op, int fd, unsigned events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};
    return epoll_ctl(ep, op, fd, &e);
}

static void epoll_modes(void)
{
    int p[2], ep = epoll_create1(0);
    char buf[8];
    struct epoll_event e[4];
    CHECK(pipe2(p, O_NONBLOCK) == 0);
    CHECK(watch(ep, EPOLL_CTL_ADD, p[0], EPOLLIN) == 0);
    CHECK(watch(ep, EPOLL_CTL_ADD, p[0], EPOLLIN) == -1 && errno == EEXIST);
    int dup_fd = dup(p[0]);
    CHECK(watch(ep, EPOLL_CTL_ADD, dup_fd, EPOLLIN | EPOLLET) == 0);
    CHECK(epoll_wait(ep, e, 4, 0) == 0);
    CHECK(write(p[1], "ab", 2) == 2);
    CHECK(epoll_wait(ep, e, 4, 1000) == 2);
    CHECK(epoll_wait(ep, e, 4, 1000) == 1 && e[0].data.fd == p[0]);
    CHECK(watch(ep, EPOLL_CTL_DEL, p[0], 0) == 0);
    CHECK(epoll_wait(ep, e, 4, 0) == 0);
    CHECK(write(p[1], "c", 1) == 1 && epoll_wait(ep, e, 4, 1000) == 1 && e[0].data.fd == dup_fd);
    CHECK(watch(ep, EPOLL_CTL_MOD, dup_fd, EPOLLIN | EPOLLONESHOT) == 0);
    CHECK(epoll_wait(ep, e, 4, 1000) == 1 && epoll_wait(ep, e, 4, 0) == 0);
    CHECK(read(p[0], buf, 8) == 3);
    CHECK(watch(ep, EPOLL_CTL_MOD, dup_fd, EPOLLIN) == 0 && epoll_wait(ep, e, 4, 0) == 0);
    CHECK(close(p[1]) == 0 && epoll_wait(ep, e, 4, 1000) == 1 && e[0].events == EPOLLHUP);
    close(dup_fd); /* p[0] keeps the file: still watched, as on Linux */
    CHECK(epoll_wait(ep, e, 4, 0) == 1);
    close(p[0]);
    CHECK(epoll_wait(ep, e, 4, 0) == 0);
    int file = open("/tmp", O_RDONLY);
    CHECK(watch(ep, EPOLL_CTL_ADD, file, EPOLLIN) == -1 && errno == EPERM);
    CHECK(watch(ep, EPOLL_CTL_ADD, ep, EPOLLIN) == -1 && errno == EINVAL);
    CHECK(epoll_wait(ep, e, 0, 0) == -1 && errno == EINVAL);
    close(file);
    close(ep);
}

/* One call tells of as many as are ready, each once. */
static void epoll_many(void)
{
    int s[200][2], ep = epoll_create1(0), seen[200] = {0};
    struct epoll_event e[300];
    for (int i = 0; i < 200; i++) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s[i]) == 0 && write(s[i][1], "x", 1) == 1);
        struct epoll_event add = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, s[i][0], &add) == 0);
    }
    int n = epoll_wait(ep, e, 300, 1000);
    CHECK(n == 200);
    for (int i = 0; i < n; i++)
        seen[e[i].data.u32]++;
    for (int i = 0; i < 200; i++) {
        CHECK(seen[i] == 1);
        close(s[i][0]);
        close(s[i][1]);
    }
    close(ep);
}

static void epoll_across_fork(void)
{
    int s[2], ep = epoll_create1(0);
    struct epoll_event e;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 &&
          watch(ep, EPOLL_CTL_ADD, s[0], EPOLLIN) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (epoll_wait(ep, &e, 1, 5000) != 1 || e.data.fd != s[0])
            _exit(1);
        _exit(write(s[0], "seen", 4) == 4 ? 0 : 2);
    }
    sleep_ms(20);
    CHECK(write(s[1], "x", 1) == 1);
    char buf[8];
    CHECK(read(s[1], buf, 8) == 4);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    close(s[0]);
    close(s[1]);
    close(ep);
}

static void timers(void)
{
    int t = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), ep = epoll_create1(0);
    struct itimerspec it = {{0, 20000000}, {0, 20000000}}, got;
    struct epoll_event e;
    uint64_t n;
    CHECK(watch(ep, EPOLL_CTL_ADD, t, EPOLLIN) == 0);
    CHECK(read(t, &n, 8) == -1 && errno == EAGAIN);
    double start = now();
    CHECK(timerfd_settime(t, 0, &it, NULL) == 0);
    CHECK(epoll_wait(ep, &e, 1, 5000) == 1 && now() - start >= 0.019);
    CHECK(read(t, &n, 8) == 8 && n >= 1);
    sleep_ms(70);
    CHECK(read(t, &n, 8) == 8 && n >= 3);
    CHECK(timerfd_gettime(t, &got) == 0 && got.it_interval.tv_nsec == 20000000);
    struct timespec real;
    clock_gettime(CLOCK_REALTIME, &real);
    int r = timerfd_create(CLOCK_REALTIME, 0);
    it = (struct itimerspec){.it_value = {real.tv_sec, real.tv_nsec}};
    it.it_value.tv_nsec += 30000000;
    it.it_value.tv_sec += it.it_value.tv_nsec / 1000000000;
    it.it_value.tv_nsec %= 1000000000;
    CHECK(timerfd_settime(r, TFD_TIMER_ABSTIME, &it, NULL) == 0);
    CHECK(read(r, &n, 8) == 8 && n == 1);
    close(r);
    close(t);
    close(ep);
}

static void signals(void)
{
    sigset_t set, old;
    struct signalfd_siginfo info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    int s = signalfd(-1, &set, SFD_CLOEXEC), ep = epoll_create1(0);
    struct epoll_event e;
    CHECK(s >= 0 && watch(ep, EPOLL_CTL_ADD, s, EPOLLIN) == 0);
    CHECK(epoll_wait(ep, &e, 1, 0) == 0);
    CHECK(kill(getpid(), SIGUSR1) == 0 && epoll_wait(ep, &e, 1, 1000) == 1);
    CHECK(read(s, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGUSR1);
    CHECK(info.ssi_pid == (unsigned)getpid());
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    CHECK(read(s, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGCHLD);
    CHECK(info.ssi_pid == (unsigned)pid && info.ssi_status == 3);
    CHECK(waitpid(pid, NULL, 0) == pid);
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(s);
    close(ep);
}

static void *count_up(void *arg)
{
    for (int i = 0; i < 1000; i++)
        CHECK(eventfd_write(*(int *)arg, 1) == 0);
    return NULL;
}

static void events(void)
{
    int e = eventfd(0, EFD_CLOEXEC);
    pthread_t t[3];
    uint64_t total = 0, n;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, count_up, &e) == 0);
    while (total < 3000 && eventfd_read(e, &n) == 0)
        total += n;
    CHECK(total == 3000);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    int s = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    CHECK(eventfd_read(s, &n) == 0 && n == 1 && eventfd_read(s, &n) == 0 && n == 1);
    CHECK(eventfd_read(s, &n) == -1 && errno == EAGAIN);
    close(s);
    close(e);
}

static const char *event_text(const struct inotify_event *e)
{
    static char text[128];
    snprintf(text, sizeof(text), "%x %s", e->mask, e->len ? e->name : "-");
    return text;
}

/* What there is to read now. */
static void print_events(int n, const char *title)
{
    char buf[4096] __attribute__((aligned(8)));
    ssize_t size = read(n, buf, sizeof(buf));
    printf("  %s\n", title);
    for (ssize_t at = 0; at < size;) {
        struct inotify_event *e = (struct inotify_event *)(buf + at);
        printf("  %d: %s\n", e->wd, event_text(e));
        at += (ssize_t)(sizeof(*e) + e->len);
    }
}

static void file_events(void)
{
    char top[64], path[128], other[128], buf[4096] __attribute__((aligned(8)));
    int n = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    snprintf(top, sizeof(top), "/tmp/libos-inotify.%d", getpid());
    snprintf(path, sizeof(path), "%s/file", top);
    snprintf(other, sizeof(other), "%s/other", top);
    CHECK(mkdir(top, 0755) == 0);
    int wd = inotify_add_watch(
        n, top, IN_CREATE | IN_DELETE | IN_MOVE | IN_CLOSE_WRITE | IN_MODIFY | IN_DELETE_SELF);
    CHECK(wd == 1 && inotify_add_watch(n, "/no/such", IN_CREATE) == -1 && errno == ENOENT);
    CHECK(read(n, buf, sizeof(buf)) == -1 && errno == EAGAIN);
    int fd = open(path, O_CREAT | O_RDWR, 0644);
    CHECK(write(fd, "x", 1) == 1 && write(fd, "y", 1) == 1 && close(fd) == 0);
    CHECK(rename(path, other) == 0 && unlink(other) == 0 && mkdir(path, 0755) == 0 &&
          rmdir(path) == 0);
    struct pollfd p = {n, POLLIN, 0};
    CHECK(poll(&p, 1, 1000) == 1);
    CHECK(rmdir(top) == 0);
    print_events(n, "");
    CHECK(inotify_rm_watch(n, wd) == -1 && errno == EINVAL);
    close(n);
}

/* Every event there is, of a directory's entries and of one file in it. */
static void all_file_events(void)
{
    char top[64], path[128], other[128], buf[8];
    int n = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    snprintf(top, sizeof(top), "/tmp/libos-inotify.%d", getpid());
    snprintf(path, sizeof(path), "%s/file", top);
    snprintf(other, sizeof(other), "%s/other", top);
    CHECK(mkdir(top, 0755) == 0 && inotify_add_watch(n, top, IN_ALL_EVENTS) == 1);
    int fd = open(path, O_CREAT | O_RDWR, 0644);
    CHECK(inotify_add_watch(n, path, IN_ALL_EVENTS) == 2);
    print_events(n, "create");
    CHECK(write(fd, "four", 4) == 4 && pread(fd, buf, 4, 0) == 4);
    print_events(n, "write, read");
    CHECK(read(fd, buf, 4) == 0 && read(fd, buf, 0) == 0);
    print_events(n, "read nothing");
    struct iovec iov = {buf, 2};
    CHECK(preadv(fd, &iov, 1, 0) == 2 && pwritev(fd, &iov, 1, 0) == 2);
    print_events(n, "preadv, pwritev");
    int p[2];
    off_t at = 0;
    CHECK(pipe(p) == 0 && sendfile(p[1], fd, &at, 4) == 4);
    print_events(n, "sendfile");
    CHECK(ftruncate(fd, 1) == 0 && truncate(path, 2) == 0 && fallocate(fd, 0, 0, 9) == 0);
    print_events(n, "sizes");
    CHECK(fchmod(fd, 0600) == 0 && chown(path, getuid(), getgid()) == 0);
    CHECK(utimensat(AT_FDCWD, path, NULL, 0) == 0);
    print_events(n, "attributes");
    DIR *d = opendir(top);
    while (readdir(d))
        ;
    closedir(d);
    print_events(n, "list");
    CHECK(link(path, other) == 0 && symlink("x", other) == -1);
    print_events(n, "link");
    CHECK(unlink(other) == 0 && symlink("x", other) == 0 && rename(path, other) == 0);
    print_events(n, "unlink, rename");
    close(open(path, O_CREAT | O_WRONLY, 0644));
    CHECK(inotify_add_watch(n, path, IN_ALL_EVENTS) == 3);
    print_events(n, "another");
    CHECK(syscall(SYS_renameat2, AT_FDCWD, other, AT_FDCWD, path, 2u) == 0); /* exchange */
    print_events(n, "exchange");
    CHECK(rename(path, other) == 0);
    print_events(n, "replace");
    CHECK(unlink(other) == 0);
    print_events(n, "unlink");
    CHECK(close(fd) == 0);
    print_events(n, "close");
    CHECK(rmdir(top) == 0);
    print_events(n, "rmdir");
    close(p[0]);
    close(p[1]);
    close(n);
}

int main(void)
{
    RUN(poll_pipes);
    RUN(poll_woken);
    RUN(sticky_timeouts);
    RUN(interrupted);
    RUN(epoll_modes);
    RUN(epoll_many);
    RUN(epoll_across_fork);
    RUN(timers);
    RUN(signals);
    RUN(events);
    RUN(file_events);
    RUN(all_file_events);
    return finish();
}
