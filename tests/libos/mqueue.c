/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX message queues. */
#include "check.h"
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>

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

int main(void)
{
    RUN(queues);
    return finish();
}
