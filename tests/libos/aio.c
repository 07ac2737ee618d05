/* SPDX-License-Identifier: Apache-2.0 */
/* Linux AIO by its system calls. */
#include "check.h"
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static int fails(long r, int error)
{
    return r == -1 && errno == error;
}

static long setup(unsigned n, aio_context_t *c)
{
    return syscall(SYS_io_setup, n, c);
}

static long submit(aio_context_t c, long n, struct iocb **list)
{
    return syscall(SYS_io_submit, c, n, list);
}

static long events(aio_context_t c, long least, long most, struct io_event *e, struct timespec *ts)
{
    return syscall(SYS_io_getevents, c, least, most, e, ts);
}

static struct iocb request(int op, int fd, void *buf, size_t n, long long off)
{
    static long long data;
    return (struct iocb){.aio_lio_opcode = op,
                         .aio_fildes = fd,
                         .aio_buf = (unsigned long)buf,
                         .aio_nbytes = n,
                         .aio_offset = off,
                         .aio_data = ++data};
}

static void life(void)
{
    aio_context_t c = 0, bad = 0x1234000;
    CHECK(fails(setup(0, &c), EINVAL) && fails(setup(8, NULL), EFAULT));
    CHECK(setup(8, &c) == 0 && c != 0);
    CHECK(fails(setup(8, &c), EINVAL));
    CHECK(syscall(SYS_io_destroy, c) == 0 && fails(syscall(SYS_io_destroy, c), EINVAL));
    CHECK(fails(syscall(SYS_io_destroy, bad), EINVAL));
    CHECK(fails(submit(bad, 0, NULL), EINVAL) && fails(events(bad, 0, 0, NULL, NULL), EINVAL));
}

static void transfers(void)
{
    aio_context_t c = 0;
    struct io_event e[8];
    char out[] = "hello", in[8] = "", more[4];
    int fd = open("/tmp/aio-file", O_CREAT | O_RDWR | O_TRUNC, 0600), counter = eventfd(0, 0);
    unsigned long long told;
    struct iovec v[2] = {{in, 2}, {more, 2}};
    CHECK(setup(8, &c) == 0);
    struct iocb w = request(IOCB_CMD_PWRITE, fd, out, 5, 100), *one = &w;
    w.aio_flags = IOCB_FLAG_RESFD;
    w.aio_resfd = counter;
    CHECK(submit(c, 1, &one) == 1);
    CHECK(events(c, 1, 8, e, NULL) == 1 && e[0].data == w.aio_data && e[0].res == 5 &&
          e[0].obj == (unsigned long)&w);
    CHECK(read(counter, &told, 8) == 8 && told == 1);
    struct iocb r1 = request(IOCB_CMD_PREAD, fd, in, 5, 100),
                r2 = request(IOCB_CMD_FSYNC, fd, NULL, 0, 0),
                r3 = request(IOCB_CMD_PREAD, fd, more, 4, 5000), *three[] = {&r1, &r2, &r3};
    CHECK(submit(c, 3, three) == 3);
    CHECK(events(c, 3, 3, e, NULL) == 3);
    CHECK(memcmp(in, "hello", 5) == 0 && lseek(fd, 0, SEEK_CUR) == 0);
    struct iocb vec = request(IOCB_CMD_PREADV, fd, v, 2, 101);
    one = &vec;
    CHECK(submit(c, 1, &one) == 1 && events(c, 1, 1, e, NULL) == 1 && e[0].res == 4);
    CHECK(in[0] == 'e' && more[1] == 'o');
    close(counter);
    close(fd);
    unlink("/tmp/aio-file");
    CHECK(syscall(SYS_io_destroy, c) == 0);
}

static void refusals(void)
{
    aio_context_t c = 0;
    struct io_event e[4];
    struct timespec soon = {0, 20000000};
    char buf[4];
    int p[2], null = open("/dev/null", O_WRONLY);
    CHECK(pipe(p) == 0 && setup(1, &c) == 0);
    struct iocb q = request(IOCB_CMD_PREAD, -1, buf, 4, 0), *one = &q, *list[2];
    CHECK(fails(submit(c, 1, &one), EBADF));
    q.aio_fildes = null;
    CHECK(fails(submit(c, 1, &one), EBADF));
    q.aio_lio_opcode = 99;
    CHECK(fails(submit(c, 1, &one), EINVAL));
    q = request(IOCB_CMD_PWRITE, null, buf, 4, 0);
    q.aio_flags = IOCB_FLAG_RESFD;
    q.aio_resfd = null;
    CHECK(fails(submit(c, 1, &one), EINVAL));
    CHECK(fails(submit(c, -1, &one), EINVAL) && submit(c, 0, NULL) == 0);
    one = (struct iocb *)8;
    CHECK(fails(submit(c, 1, &one), EFAULT));
    q = request(IOCB_CMD_PWRITE, null, buf, 4, 0);
    list[0] = &q;
    list[1] = (struct iocb *)8;
    CHECK(submit(c, 2, list) == 1 && events(c, 0, 4, e, &soon) == 1 && e[0].res == 4);
    CHECK(fails(events(c, -1, 4, e, NULL), EINVAL) && fails(events(c, 2, 1, e, NULL), EINVAL));
    CHECK(events(c, 1, 1, e, &soon) == 0);
    CHECK(fails(syscall(SYS_io_cancel, c, NULL, e), EFAULT));
    CHECK(fails(syscall(SYS_io_cancel, c, &q, e), EINVAL));
    CHECK(syscall(SYS_io_destroy, c) == 0);
    close(p[0]);
    close(p[1]);
    close(null);
}

static aio_context_t g_context;

static void *wait_for_event(void *arg)
{
    struct io_event e;
    return (void *)events(g_context, 1, 1, &e, NULL);
}

static void on_alarm(int sig)
{
}

static void waiting(void)
{
    pthread_t t;
    void *got;
    char buf[4];
    struct io_event e;
    int null = open("/dev/null", O_WRONLY);
    CHECK(setup(4, &g_context) == 0);
    CHECK(pthread_create(&t, NULL, wait_for_event, NULL) == 0);
    sleep_ms(20);
    struct iocb q = request(IOCB_CMD_PWRITE, null, buf, 4, 0), *one = &q;
    CHECK(submit(g_context, 1, &one) == 1);
    CHECK(pthread_join(t, &got) == 0 && got == (void *)1);
    struct sigaction sa = {.sa_handler = on_alarm};
    sigset_t none;
    struct {
        sigset_t *mask;
        size_t size;
    } arg = {&none, 8};
    sigset_t alarm_only;
    sigemptyset(&none);
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    sigaction(SIGALRM, &sa, NULL);
    sigprocmask(SIG_BLOCK, &alarm_only, NULL);
    raise(SIGALRM);
    CHECK(fails(syscall(SYS_io_pgetevents, g_context, 1, 1, &e, NULL, &arg), EINTR));
    pid_t pid = fork();
    int status;
    if (pid == 0)
        _exit(!fails(events(g_context, 0, 1, &e, NULL), EINVAL));
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    close(null); /* the context ends with the process */
}

/* The events of all contexts together are limited; what could not be had counts for nothing. */
static void limit(void)
{
    aio_context_t c = 0, more = 0;
    int first = setup(60000, &c), second = setup(60000, &more);
    CHECK(first < 0 || fails(second, EAGAIN));
    if (first == 0)
        CHECK(syscall(SYS_io_destroy, c) == 0);
    for (int i = 0; i < 20; i++) {
        more = 0;
        CHECK(fails(setup(8, (void *)8), EFAULT) && fails(setup(1 << 20, &more), EAGAIN));
    }
}

static void *submits(void *iocb)
{
    struct iocb *one = iocb;
    return (void *)submit(g_context, 1, &one);
}

/* While one that was submitted is under way, others do not take its event's place. */
static void no_event_is_lost(void)
{
    char byte = 'x', got;
    int p[2], null = open("/dev/null", O_WRONLY);
    struct timespec none = {0, 0};
    struct io_event e[4];
    long submitted, came = 0;
    pthread_t t;
    void *done;
    g_context = 0;
    CHECK(pipe(p) == 0 && setup(1, &g_context) == 0);
    struct iocb in = request(IOCB_CMD_PREAD, p[0], &got, 1, 0);
    struct iocb out = request(IOCB_CMD_PWRITE, null, &byte, 1, 0), *one = &out;
    CHECK(pthread_create(&t, NULL, submits, &in) == 0);
    sleep_ms(50); /* it waits for the byte, most likely */
    submitted = submit(g_context, 1, &one) == 1;
    CHECK(write(p[1], &byte, 1) == 1 && pthread_join(t, &done) == 0);
    submitted += done == (void *)1;
    for (long n; (n = events(g_context, 0, 4, e, &none)) > 0; came += n)
        ;
    CHECK(submitted > 0 && came == submitted);
    CHECK(syscall(SYS_io_destroy, g_context) == 0);
    close(p[0]);
    close(p[1]);
    close(null);
}

int main(void)
{
    RUN(life);
    RUN(transfers);
    RUN(refusals);
    RUN(waiting);
    RUN(limit);
    RUN(no_event_is_lost);
    return finish();
}
