/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes and FIFOs. */
#include "check.h"
#include "remove.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static volatile sig_atomic_t g_sigpipe, g_alarm;
static void on_sigpipe(int sig)
{
    g_sigpipe++;
}
static void on_alarm(int sig)
{
    g_alarm++;
}

static int fails(long r, int error)
{
    return r == -1 && errno == error;
}

static void basics(void)
{
    int p[2], n;
    char buf[70000];
    struct stat st;
    CHECK(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0 && fcntl(p[0], F_GETFD) == FD_CLOEXEC &&
          (fcntl(p[1], F_GETFL) & O_NONBLOCK));
    CHECK(fails(read(p[0], buf, 1), EAGAIN) && fails(pipe2(p, 0x80000000), EINVAL));
    CHECK(fstat(p[0], &st) == 0 && S_ISFIFO(st.st_mode) &&
          fails(lseek(p[0], 0, SEEK_CUR), ESPIPE) && fails(pread(p[0], buf, 1, 0), ESPIPE));
    CHECK(fails(write(p[0], "x", 1), EBADF) && fails(read(p[1], buf, 1), EBADF));
    CHECK(fcntl(p[0], F_GETPIPE_SZ) == 65536);
    memset(buf, 'p', sizeof(buf));
    CHECK(write(p[1], buf, sizeof(buf)) == 65536 && fails(write(p[1], buf, 1), EAGAIN));
    CHECK(ioctl(p[0], FIONREAD, &n) == 0 && n == 65536);
    CHECK(fcntl(p[1], F_SETPIPE_SZ, 100000) == 131072 && write(p[1], buf, 4096) == 4096);
    CHECK(fails(fcntl(p[1], F_SETPIPE_SZ, 4096), EBUSY));
    while (read(p[0], buf, sizeof(buf)) > 0)
        ;
    CHECK(fcntl(p[1], F_SETPIPE_SZ, 1) == 4096);
    CHECK(write(p[1], buf, 4000) == 4000 &&
          fails(write(p[1], buf, 200), EAGAIN)); /* all or nothing up to PIPE_BUF */
    close(p[0]);
    close(p[1]);
}

static void broken(void)
{
    int p[2];
    char c;
    CHECK(pipe(p) == 0 && write(p[1], "q", 1) == 1 && close(p[1]) == 0);
    CHECK(read(p[0], &c, 1) == 1 && c == 'q' && read(p[0], &c, 1) == 0 && close(p[0]) == 0);
    CHECK(pipe(p) == 0 && close(p[0]) == 0);
    signal(SIGPIPE, on_sigpipe);
    CHECK(fails(write(p[1], "x", 1), EPIPE) && g_sigpipe == 1);
    signal(SIGPIPE, SIG_IGN);
    CHECK(fails(write(p[1], "x", 1), EPIPE) && g_sigpipe == 1);
    close(p[1]);
}

static int g_pipe[2];
static void *writer(void *letter)
{
    char buf[3000];
    memset(buf, *(char *)letter, sizeof(buf));
    for (int i = 0; i < 200; i++)
        CHECK(write(g_pipe[1], buf, sizeof(buf)) == sizeof(buf));
    return NULL;
}

/* Writes of up to PIPE_BUF bytes never mix. */
static void atomic(void)
{
    static char letters[] = "abcd";
    pthread_t t[4];
    char buf[3000];
    size_t got = 0;
    CHECK(pipe(g_pipe) == 0);
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, writer, &letters[i]);
    for (int i = 0; i < 800; i++) {
        size_t have = 0;
        while (have < sizeof(buf)) {
            ssize_t n = read(g_pipe[0], buf + have, sizeof(buf) - have);
            CHECK(n > 0);
            if (n <= 0)
                return;
            have += (size_t)n;
        }
        got += have;
        for (size_t k = 1; k < sizeof(buf); k++)
            if (buf[k] != buf[0]) {
                CHECK(!"mixed");
                return;
            }
    }
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK(got == 800 * 3000);
    close(g_pipe[0]);
    close(g_pipe[1]);
}

static void copy_child(void)
{
    char buf[10000];
    unsigned sum = 0;
    size_t total = 0;
    ssize_t n;
    close(g_pipe[1]);
    while ((n = read(g_pipe[0], buf, sizeof(buf))) > 0)
        for (ssize_t i = 0; i < n; i++, total++)
            sum = sum * 31 + (unsigned char)buf[i];
    CHECK(total == 1000000);
    _exit(sum == 31415 || g_failed);
}

static void write_to_child(char *data)
{
    CHECK(pipe(g_pipe) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        copy_child();
    close(g_pipe[0]);
    for (int i = 0; i < 1000000; i++)
        data[i] = (char)(i * 7);
    CHECK(write(g_pipe[1], data, 1000000) == 1000000); /* blocks many times, comes back whole */
    close(g_pipe[1]);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void between_processes(void)
{
    char *data = malloc(1000000);
    for (int round = 0; round < 25;
         round++) /* a turn of the other one is no reason to write less */
        write_to_child(data);
    free(data);
}

static void interrupted(void)
{
    struct sigaction sa = {.sa_handler = on_alarm};
    int p[2];
    char c;
    CHECK(pipe(p) == 0 && sigaction(SIGALRM, &sa, NULL) == 0);
    ualarm(50000, 0);
    CHECK(fails(read(p[0], &c, 1), EINTR) && g_alarm == 1);
    sa.sa_flags = SA_RESTART;
    CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        sleep_ms(200);
        write(p[1], "r", 1);
        _exit(0);
    }
    ualarm(50000, 0);
    CHECK(read(p[0], &c, 1) == 1 && c == 'r' && g_alarm == 2);
    CHECK(waitpid(pid, NULL, 0) == pid);
    close(p[0]);
    close(p[1]);
}

static void fifos(void)
{
    char dir[] = "/tmp/pipesXXXXXX", c;
    int r, w;
    CHECK(mkdtemp(dir) && chdir(dir) == 0 && mkfifo("f", 0600) == 0);
    CHECK(fails(open("f", O_WRONLY | O_NONBLOCK), ENXIO) &&
          (r = open("f", O_RDONLY | O_NONBLOCK)) >= 0);
    CHECK(read(r, &c, 1) == 0); /* no writer yet: end of file, not EAGAIN */
    struct pollfd f = {r, POLLIN, 0};
    CHECK(poll(&f, 1, 0) == 0 && (w = open("f", O_WRONLY | O_NONBLOCK)) >= 0 &&
          fails(read(r, &c, 1), EAGAIN));
    CHECK(write(w, "1", 1) == 1 && poll(&f, 1, 0) == 1 && f.revents == POLLIN && close(w) == 0);
    CHECK(poll(&f, 1, 0) == 1 && f.revents == (POLLIN | POLLHUP) && read(r, &c, 1) == 1 &&
          read(r, &c, 1) == 0 && close(r) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        w = open("f", O_WRONLY); /* waits for the reader */
        _exit(write(w, "child", 5) != 5);
    }
    char buf[10];
    r = open("f", O_RDONLY);
    CHECK(read(r, buf, 10) == 5);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    close(r);
    r = open("f", O_RDWR);
    CHECK(r >= 0 && write(r, "ab", 2) == 2 && read(r, buf, 1) == 1);
    close(r);
    r = open("f", O_RDONLY | O_NONBLOCK);
    CHECK(read(r, buf, 1) == 0); /* what was left is gone with the last descriptor */
    close(r);
    CHECK(chdir("/") == 0 && remove_tree(dir) == 0);
}

static void reopened(void)
{
    char path[64], c;
    int p[2], n;
    CHECK(pipe(p) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", p[1]);
    n = open(path, O_WRONLY);
    CHECK(n >= 0 && write(n, "z", 1) == 1 && read(p[0], &c, 1) == 1 && c == 'z');
    close(p[1]);
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    CHECK(fails(read(p[0], &c, 1), EAGAIN) && close(n) == 0 && read(p[0], &c, 1) == 0);
    close(p[0]);
}

/* tee() copies without taking; unknown flags are refused by all of the family. */
static void copied(void)
{
    int p[2], q[2];
    char buf[8] = "";
    CHECK(pipe(p) == 0 && pipe(q) == 0 && write(p[1], "abc", 3) == 3);
    CHECK(fails(tee(p[0], q[1], 3, ~0u), EINVAL));
    CHECK(fails(splice(p[0], NULL, q[1], NULL, 3, ~0u), EINVAL));
    CHECK(fails(vmsplice(q[1], &(struct iovec){buf, 1}, 1, ~0u), EINVAL));
    CHECK(tee(p[0], q[1], 3, 0) == 3);
    CHECK(read(q[0], buf, 8) == 3 && read(p[0], buf, 8) == 3 && memcmp(buf, "abc", 3) == 0);
    for (int i = 0; i < 2; i++) {
        close(p[i]);
        close(q[i]);
    }
}

/* pipe2(O_DIRECT): each write is a packet, which one read takes. */
static void packets(void)
{
    static char big[9000];
    char buf[9000];
    int p[2];
    CHECK(pipe2(p, O_DIRECT | O_NONBLOCK) == 0);
    CHECK(write(p[1], "abc", 3) == 3 && write(p[1], "defgh", 5) == 5);
    CHECK(read(p[0], buf, sizeof(buf)) == 3 && read(p[0], buf, 2) == 2 && buf[1] == 'e');
    CHECK(read(p[0], buf, sizeof(buf)) == -1 && errno == EAGAIN); /* the rest of it is lost */
    CHECK(write(p[1], big, sizeof(big)) == sizeof(big));
    CHECK(read(p[0], buf, sizeof(buf)) == 4096 && read(p[0], buf, sizeof(buf)) == 4096);
    CHECK(read(p[0], buf, sizeof(buf)) == sizeof(big) - 8192);
    CHECK((fcntl(p[1], F_GETFL) & O_DIRECT) && !(fcntl(p[0], F_GETFL) & O_DIRECT));
    /* A stream again, behind a packet. */
    CHECK(write(p[1], "12", 2) == 2 && fcntl(p[1], F_SETFL, O_NONBLOCK) == 0);
    CHECK(write(p[1], "34", 2) == 2 && write(p[1], "56", 2) == 2);
    CHECK(read(p[0], buf, 8) == 2 && read(p[0], buf, 8) == 4);
    CHECK(fcntl(p[0], F_SETPIPE_SZ, 0) == 4096 && fcntl(p[1], F_GETPIPE_SZ) == 4096);
    close(p[0]);
    close(p[1]);
}

static int g_changing = 1;

static void *change_kind(void *fd)
{
    while (__atomic_load_n(&g_changing, __ATOMIC_RELAXED)) {
        fcntl(*(int *)fd, F_SETFL, O_NONBLOCK | O_DIRECT);
        fcntl(*(int *)fd, F_SETFL, O_NONBLOCK);
    }
    return NULL;
}

static void *fill_up(void *fd)
{
    static char big[9999];
    while (__atomic_load_n(&g_changing, __ATOMIC_RELAXED))
        if (write(*(int *)fd, big, sizeof(big)) < 0)
            CHECK(errno == EAGAIN);
    return NULL;
}

/* A pipe holds what it has room for, also when another thread makes it one of packets meanwhile. */
static void packets_by_another(void)
{
    char buf[777];
    int p[2], n = 0, most = 0;
    pthread_t t[2];
    CHECK(pipe2(p, O_NONBLOCK) == 0);
    CHECK(pthread_create(&t[0], NULL, change_kind, &p[1]) == 0);
    CHECK(pthread_create(&t[1], NULL, fill_up, &p[1]) == 0);
    for (double end = now() + 0.5; now() < end && most <= 65536;) {
        CHECK(ioctl(p[0], FIONREAD, &n) == 0);
        most = n > most ? n : most;
        CHECK(read(p[0], buf, sizeof(buf)) > 0 || errno == EAGAIN);
    }
    __atomic_store_n(&g_changing, 0, __ATOMIC_RELAXED);
    CHECK(pthread_join(t[0], NULL) == 0 && pthread_join(t[1], NULL) == 0);
    CHECK(most <= 65536);
    close(p[0]);
    close(p[1]);
}

/* What is no place for data is refused before anybody waits for some. */
static void spliced_to_events(void)
{
    int p[2], fds[] = {epoll_create1(0), eventfd(0, 0), timerfd_create(CLOCK_MONOTONIC, 0)};
    int zero = open("/dev/null", O_RDONLY);
    CHECK(pipe(p) == 0);
    alarm(5);
    for (int i = 0; i < 3; i++) {
        CHECK(fails(splice(p[0], NULL, fds[i], NULL, 1, 0), EINVAL));
        CHECK(fails(splice(fds[i], NULL, p[1], NULL, 1, 0), EINVAL));
        CHECK(fails(sendfile(fds[i], zero, NULL, 1), EINVAL));
        close(fds[i]);
    }
    alarm(0);
    close(zero);
    close(p[0]);
    close(p[1]);
}

int main(void)
{
    RUN(basics);
    RUN(broken);
    RUN(atomic);
    RUN(between_processes);
    RUN(interrupted);
    RUN(fifos);
    RUN(reopened);
    RUN(copied);
    RUN(spliced_to_events);
    RUN(packets);
    RUN(packets_by_another);
    return finish();
}
