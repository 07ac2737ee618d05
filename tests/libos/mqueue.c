/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX message queues. */
#include "check.h"
#include <fcntl.h>
#include <linux/netlink.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static volatile sig_atomic_t g_told, g_value, g_code;

static void on_message(int sig, siginfo_t *info, void *context)
{
    g_told++;
    g_value = info->si_value.sival_int;
    g_code = info->si_code;
}

static void queues(void)
{
    char name[64], buf[64];
    struct mq_attr attr = {.mq_maxmsg = 3, .mq_msgsize = 32}, got;
    unsigned prio;
    int status;
    snprintf(name, sizeof(name), "/libos-%d", getpid());
    CHECK(mq_open(name, O_RDWR) == -1 && errno == ENOENT);
    mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attr);
    CHECK(q >= 0 && mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr) == -1 && errno == EEXIST);
    CHECK(mq_receive(q, buf, sizeof(buf), NULL) == -1 && errno == EAGAIN);
    CHECK(mq_receive(q, buf, 10, NULL) == -1 && errno == EMSGSIZE);
    CHECK(mq_send(q, "low", 4, 1) == 0 && mq_send(q, "high", 5, 9) == 0 &&
          mq_send(q, "low2", 5, 1) == 0);
    CHECK(mq_send(q, "full", 5, 1) == -1 && errno == EAGAIN);
    CHECK(mq_getattr(q, &got) == 0 && got.mq_curmsgs == 3 && got.mq_maxmsg == 3 &&
          got.mq_flags == O_NONBLOCK);
    struct pollfd p = {q, POLLIN | POLLOUT, 0};
    CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLIN);
    CHECK(mq_receive(q, buf, sizeof(buf), &prio) == 5 && prio == 9 && strcmp(buf, "high") == 0);
    CHECK(mq_receive(q, buf, sizeof(buf), &prio) == 4 && strcmp(buf, "low") == 0);
    CHECK(mq_receive(q, buf, sizeof(buf), &prio) == 5 && strcmp(buf, "low2") == 0);

    struct sigaction sa = {.sa_flags = SA_SIGINFO, .sa_sigaction = on_message};
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
    CHECK(sigaction(SIGUSR1, &sa, NULL) == 0 && mq_notify(q, &event) == 0);
    CHECK(mq_notify(q, &event) == -1 && errno == EBUSY);
    CHECK(mq_send(q, "x", 1, 0) == 0 && g_told == 1 && g_value == 77 && g_code == SI_MESGQ);
    CHECK(mq_send(q, "x", 1, 0) == 0 && g_told == 1);
    CHECK(mq_receive(q, buf, sizeof(buf), NULL) == 1 && mq_receive(q, buf, sizeof(buf), NULL) == 1);

    struct timespec ts;
    CHECK(mq_setattr(q, &(struct mq_attr){0}, NULL) == 0);
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 30000000;
    ts.tv_sec += ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    CHECK(mq_timedreceive(q, buf, sizeof(buf), NULL, &ts) == -1 && errno == ETIMEDOUT);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        for (char c = 0; c < 100; c++)
            if (mq_send(q, &c, 1, 0))
                _exit(1);
        _exit(0);
    }
    for (char c = 0; c < 100; c++)
        CHECK(mq_receive(q, buf, sizeof(buf), NULL) == 1 && buf[0] == c);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(mq_unlink(name) == 0 && mq_unlink(name) == -1 && errno == ENOENT);
    CHECK(mq_send(q, "still", 5, 0) == 0 && mq_close(q) == 0);
}

/* ---- SIGEV_THREAD: the C library's thread waits on a netlink socket ---- */

static volatile int g_called;

static void on_thread(union sigval v)
{
    g_called += v.sival_int;
}

static void wait_for_calls(int n)
{
    for (int i = 0; i < 500 && g_called < n; i++)
        sleep_ms(10);
    CHECK(g_called == n);
}

static void notified_by_a_thread(void)
{
    char name[64], buf[64];
    struct mq_attr attr = {.mq_maxmsg = 3, .mq_msgsize = 32};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD,
                             .sigev_notify_function = on_thread,
                             .sigev_value.sival_int = 1};
    snprintf(name, sizeof(name), "/libos-thread-%d", getpid());
    mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attr);
    CHECK(q >= 0 && mq_unlink(name) == 0);
    CHECK(mq_notify(q, &event) == 0 && mq_notify(q, &event) == -1 && errno == EBUSY);
    CHECK(mq_send(q, "x", 1, 0) == 0);
    wait_for_calls(1);
    CHECK(mq_send(q, "x", 1, 0) == 0);
    CHECK(mq_receive(q, buf, sizeof(buf), NULL) == 1 && mq_receive(q, buf, sizeof(buf), NULL) == 1);
    CHECK(mq_notify(q, &event) == 0 && mq_notify(q, NULL) == 0); /* the thread hears of it too */
    CHECK(mq_notify(q, &event) == 0 && mq_send(q, "x", 1, 0) == 0);
    wait_for_calls(2);
    CHECK(mq_close(q) == 0);
}

/* The same without the C library. */
static void notes_in_a_netlink_socket(void)
{
    char name[64], cookie[32] = "a cookie", got[64];
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_ptr = cookie};
    struct sockaddr_nl from = {0};
    socklen_t len = sizeof(from);
    int s = socket(AF_NETLINK, SOCK_RAW, 0), file = open("/dev/null", O_RDONLY);
    snprintf(name, sizeof(name), "/libos-note-%d", getpid());
    mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0600, NULL), other = mq_open(name, O_RDWR);
    mq_unlink(name);
    event.sigev_signo = file;
    CHECK(syscall(SYS_mq_notify, q, &event) < 0 && errno == ENOTSOCK);
    event.sigev_signo = 999;
    CHECK(syscall(SYS_mq_notify, q, &event) < 0 && errno == EBADF);
    event.sigev_signo = s;
    event.sigev_value.sival_ptr = (void *)1;
    CHECK(syscall(SYS_mq_notify, q, &event) < 0 && errno == EFAULT);
    event.sigev_value.sival_ptr = cookie;
    CHECK(syscall(SYS_mq_notify, q, &event) == 0);
    struct pollfd p = {s, POLLIN, 0};
    CHECK(poll(&p, 1, 0) == 0);
    CHECK(mq_send(q, "x", 1, 0) == 0);
    CHECK(poll(&p, 1, 1000) == 1 && p.revents == POLLIN);
    CHECK(recv(s, got, sizeof(got), MSG_PEEK) == 32 && got[31] == 1);
    CHECK(recvfrom(s, got, 16, MSG_TRUNC, (struct sockaddr *)&from, &len) == 32 &&
          from.nl_family == AF_NETLINK && from.nl_pid == 0 && !memcmp(got, cookie, 16));
    CHECK(recv(s, got, sizeof(got), MSG_DONTWAIT) < 0 && errno == EAGAIN);
    CHECK(syscall(SYS_mq_notify, q, &event) == 0);
    CHECK(mq_close(other) == 0); /* ends what the process has registered */
    CHECK(recv(s, got, sizeof(got), 0) == 32 && got[31] == 2);
    close(s);
    close(file);
    mq_close(q);
}

int main(void)
{
    RUN(queues);
    RUN(notified_by_a_thread);
    RUN(notes_in_a_netlink_socket);
    return finish();
}
