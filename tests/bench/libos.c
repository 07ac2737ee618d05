/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small operations, timed from inside: run natively and in the LibOS by libos.sh. Prints one line
 * for each: NAME NANOSECONDS, the median of several rounds. `libos exit` ends at once: what
 * fork+exec+wait starts.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 7

static const char *g_self;

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void measure(const char *name, void (*once)(void), int count)
{
    double rounds[ROUNDS];
    once();
    for (int r = 0; r < ROUNDS; r++) {
        double start = now();
        for (int i = 0; i < count; i++)
            once();
        rounds[r] = (now() - start) / count;
    }
    qsort(rounds, ROUNDS, sizeof(rounds[0]), compare);
    printf("%s %.0f\n", name, rounds[ROUNDS / 2]);
    fflush(stdout);
}

static int g_zero, g_pair[2], g_pipe[4], g_tcp[2], g_udp[2], g_listener;
static struct sockaddr_in g_listener_name = {.sin_family = AF_INET};

static void getppid_once(void)
{
    syscall(SYS_getppid);
}

static void clock_once(void)
{
    now();
}

static void read_once(void)
{
    char c;
    if (read(g_zero, &c, 1) != 1)
        fail("read");
}

static void exec_once(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execl(g_self, g_self, "exit", (char *)NULL);
        _exit(1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        fail("fork");
}

static void vfork_once(void)
{
    int status;
    pid_t pid = vfork();
    if (pid == 0) {
        execl(g_self, g_self, "exit", (char *)NULL);
        _exit(1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        fail("vfork");
}

static void fork_once(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        fail("fork");
}

static void mmap_once(void)
{
    char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        fail("mmap");
    for (int i = 0; i < 65536; i += 4096)
        p[i] = 1;
    munmap(p, 65536);
}

static void *thread_body(void *arg)
{
    return arg;
}

static void thread_once(void)
{
    pthread_t t;
    if (pthread_create(&t, NULL, thread_body, NULL))
        fail("pthread_create");
    pthread_join(t, NULL);
}

/* The other end of the ping-pongs. */
static void *echo(void *arg)
{
    const int *fds = arg;
    char c;
    while (read(fds[0], &c, 1) == 1)
        if (write(fds[1], &c, 1) != 1)
            break;
    return NULL;
}

static void ping(int out, int in)
{
    char c = 1;
    if (write(out, &c, 1) != 1 || read(in, &c, 1) != 1)
        fail("ping");
}

static void pipe_once(void)
{
    ping(g_pipe[1], g_pipe[2]);
}

static void pair_once(void)
{
    ping(g_pair[0], g_pair[0]);
}

static void tcp_once(void)
{
    ping(g_tcp[0], g_tcp[0]);
}

static void send_once(void)
{
    char c = 1;
    if (send(g_tcp[0], &c, 1, 0) != 1)
        fail("send");
}

/* 64 KiB through a connection that somebody drains. */
static void bulk_once(void)
{
    static char buf[65536];
    for (size_t done = 0; done < sizeof(buf);) {
        ssize_t n = send(g_tcp[0], buf + done, sizeof(buf) - done, 0);
        if (n <= 0)
            fail("send");
        done += (size_t)n;
    }
}

static void udp_once(void)
{
    ping(g_udp[0], g_udp[0]);
}

/* connect, accept, close of both ends */
static void connect_once(void)
{
    socklen_t len = sizeof(g_listener_name);
    int c = socket(AF_INET, SOCK_STREAM, 0), s;
    struct linger abort = {1, 0};
    if (connect(c, (struct sockaddr *)&g_listener_name, len) ||
        (s = accept(g_listener, NULL, NULL)) < 0)
        fail("connect");
    setsockopt(c, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)); /* no TIME_WAIT: ports are few */
    close(c);
    close(s);
}

static void refused_once(void)
{
    struct sockaddr_in a = g_listener_name;
    int c = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 77);
    if (connect(c, (struct sockaddr *)&a, sizeof(a)) == 0)
        fail("connected to a closed port");
    close(c);
}

static void *drain(void *arg)
{
    static char buf[65536];
    while (read(*(int *)arg, buf, sizeof(buf)) > 0)
        continue;
    return NULL;
}

static void start_echo(int in, int out)
{
    static int fds[4][2];
    static int used;
    pthread_t t;
    fds[used][0] = in;
    fds[used][1] = out;
    if (pthread_create(&t, NULL, echo, fds[used++]))
        fail("pthread_create");
    pthread_detach(t);
}

static void connect_tcp(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (bind(l, (struct sockaddr *)&a, sizeof(a)) || listen(l, 1) ||
        getsockname(l, (struct sockaddr *)&a, &len))
        fail("listen");
    g_tcp[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(g_tcp[0], (struct sockaddr *)&a, sizeof(a)) ||
        (g_tcp[1] = accept(l, NULL, NULL)) < 0)
        fail("connect");
    for (int i = 0; i < 2; i++)
        setsockopt(g_tcp[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    close(l);
}

/* Two sockets that are connected to each other. */
static void connect_udp(void)
{
    struct sockaddr_in a[2];
    socklen_t len = sizeof(a[0]);
    for (int i = 0; i < 2; i++) {
        a[i] = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        g_udp[i] = socket(AF_INET, SOCK_DGRAM, 0);
        if (bind(g_udp[i], (struct sockaddr *)&a[i], len) ||
            getsockname(g_udp[i], (struct sockaddr *)&a[i], &len))
            fail("bind");
    }
    for (int i = 0; i < 2; i++)
        if (connect(g_udp[i], (struct sockaddr *)&a[!i], len))
            fail("connect");
}

static void listen_tcp(void)
{
    socklen_t len = sizeof(g_listener_name);
    g_listener_name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    g_listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(g_listener, (struct sockaddr *)&g_listener_name, len) || listen(g_listener, 16) ||
        getsockname(g_listener, (struct sockaddr *)&g_listener_name, &len))
        fail("listen");
}

int main(int argc, char **argv)
{
    pthread_t t;
    if (argc > 1)
        return 0;
    g_self = argv[0];
    g_zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    if (g_zero < 0)
        fail("/dev/zero");
    measure("getppid", getppid_once, 100000);
    measure("clock_gettime", clock_once, 100000);
    measure("read-1-byte-of-dev-zero", read_once, 100000);
    measure("fork-exec-wait", exec_once, 30);
    measure("vfork-exec-wait", vfork_once, 30);
    measure("fork-exit-wait", fork_once, 30);
    measure("mmap-touch-64K-munmap", mmap_once, 200);
    measure("thread-create-join", thread_once, 100);
    if (pipe(g_pipe) || pipe(g_pipe + 2) || socketpair(AF_UNIX, SOCK_STREAM, 0, g_pair))
        fail("pipe");
    start_echo(g_pipe[0], g_pipe[3]);
    measure("pipe-ping-pong", pipe_once, 3000);
    start_echo(g_pair[1], g_pair[1]);
    measure("socketpair-ping-pong", pair_once, 3000);
    connect_tcp();
    start_echo(g_tcp[1], g_tcp[1]);
    measure("tcp-ping-pong", tcp_once, 2000);
    connect_tcp();
    if (pthread_create(&t, NULL, drain, &g_tcp[1]))
        fail("pthread_create");
    measure("tcp-send-1-byte", send_once, 10000);
    measure("tcp-send-64K", bulk_once, 2000);
    connect_udp();
    start_echo(g_udp[1], g_udp[1]);
    measure("udp-ping-pong", udp_once, 2000);
    listen_tcp();
    measure("tcp-connect-accept-close", connect_once, 500);
    measure("tcp-connect-refused", refused_once, 500);
    return 0;
}
