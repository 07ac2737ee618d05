/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host of the libos/net tests, on libc: descriptors and sockets are real ones, waiting is
 * ppoll() with an eventfd for each thread. It includes no LibOS header, for their names clash; the
 * prototypes are repeated here.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "host_stub.h"

#define RESULT(x)             \
    ({                        \
        __auto_type r_ = (x); \
        r_ < 0 ? -errno : r_; \
    })

struct host_pollfd {
    int32_t hfd;
    uint16_t events, revents;
};
struct host_epoll_event {
    uint32_t events, data;
};
struct host_message {
    void *addr;
    uint32_t addr_len;
    void *control;
    uint32_t control_len;
    int flags;
    bool to_file;
    int file;
};

struct host_hostile g_hostile;
static __thread int t_wakefd = -1;

/* ---- threads ---- */

struct start {
    void *tcb;
    void (*fn)(void *);
    void *arg;
    int wakefd;
};

void *stub_thread_enter(void *tcb, int wakefd)
{
    t_wakefd = wakefd;
    syscall(SYS_arch_prctl, ARCH_SET_GS, tcb);
    return (void *)(intptr_t)(wakefd + 1);
}

static void *thread_main(void *p)
{
    struct start s = *(struct start *)p;

    free(p);
    stub_thread_enter(s.tcb, s.wakefd);
    s.fn(s.arg);
    close(s.wakefd);
    return NULL;
}

int stub_wakefd(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

uint64_t stub_thread_start(void *tcb, int wakefd, void (*fn)(void *), void *arg)
{
    struct start *s = malloc(sizeof(*s));
    pthread_t t;

    *s = (struct start){tcb, fn, arg, wakefd};
    if (pthread_create(&t, NULL, thread_main, s) != 0)
        abort();
    return (uint64_t)t;
}

void stub_thread_join(uint64_t t)
{
    pthread_join((pthread_t)t, NULL);
}

int64_t host_thread_wait(uint64_t timeout, struct host_pollfd *fds, size_t count)
{
    struct pollfd *p = calloc(count + 1, sizeof(*p));
    struct timespec ts = {(time_t)(timeout / 1000000000), (long)(timeout % 1000000000)};
    uint64_t drain;
    int r;

    p[0] = (struct pollfd){.fd = t_wakefd, .events = POLLIN};
    for (size_t i = 0; i < count; i++)
        p[i + 1] = (struct pollfd){.fd = fds[i].hfd, .events = (short)fds[i].events};
    r = ppoll(p, count + 1, timeout == UINT64_MAX ? NULL : &ts, NULL);
    for (size_t i = 0; i < count; i++)
        fds[i].revents = (uint16_t)p[i + 1].revents;
    if (p[0].revents != 0) {
        (void)!read(t_wakefd, &drain, sizeof(drain));
        r--;
    } else if (r == 0) {
        r = -ETIMEDOUT;
    }
    free(p);
    return r < 0 && r != -ETIMEDOUT ? 0 : r;
}

void host_thread_wake(void *host)
{
    uint64_t one = 1;

    (void)!write((int)(intptr_t)host - 1, &one, sizeof(one));
}

void host_thread_kick(void *host)
{
    host_thread_wake(host);
}

void host_yield(void)
{
    sched_yield();
}

uint64_t clock_monotonic(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- memory, log, random ---- */

void *kmalloc(size_t n)
{
    return malloc(n);
}

void *kzalloc(size_t n)
{
    return calloc(1, n);
}

void kfree(void *p)
{
    free(p);
}

int g_log_level = 2;

void log_write(int level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

void random_bytes(void *p, size_t n)
{
    if (getrandom(p, n, 0) != (ssize_t)n)
        abort();
}

void stub_abort(const char *fmt, va_list ap)
{
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    abort();
}

/* ---- descriptors ---- */

int host_close(int hfd)
{
    return (int)RESULT(close(hfd));
}

int host_dup(int hfd)
{
    return (int)RESULT(fcntl(hfd, F_DUPFD_CLOEXEC, 0));
}

int host_poll(struct host_pollfd *fds, size_t count)
{
    struct pollfd *p = calloc(count + 1, sizeof(*p));
    int r;

    for (size_t i = 0; i < count; i++)
        p[i] = (struct pollfd){.fd = fds[i].hfd, .events = (short)fds[i].events};
    r = poll(p, count, 0);
    for (size_t i = 0; i < count; i++)
        fds[i].revents = (uint16_t)p[i].revents;
    free(p);
    return r;
}

int host_ioctl(int hfd, uint32_t cmd, void *arg, size_t size)
{
    (void)size;
    return (int)RESULT(ioctl(hfd, cmd, arg));
}

int host_epoll_create(void)
{
    return (int)RESULT(epoll_create1(EPOLL_CLOEXEC));
}

int host_epoll_ctl(int epfd, int op, int hfd, uint32_t events, uint32_t data)
{
    struct epoll_event e = {.events = events, .data.u64 = data};

    return (int)RESULT(epoll_ctl(epfd, op, hfd, &e));
}

int host_epoll_wait(int epfd, struct host_epoll_event *events, size_t count)
{
    struct epoll_event e[64];
    int n = epoll_wait(epfd, e, count < 64 ? (int)count : 64, 0);

    for (int i = 0; i < n; i++)
        events[i] = (struct host_epoll_event){e[i].events | g_hostile.epoll_events,
                                              e[i].data.u32 + g_hostile.epoll_data};
    return (int)RESULT(n);
}

/* ---- sockets ---- */

int host_socket(int domain, int type, int protocol)
{
    return (int)RESULT(socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
}

int host_bind(int hfd, const void *addr, uint32_t len)
{
    return (int)RESULT(bind(hfd, addr, len));
}

int host_connect(int hfd, const void *addr, uint32_t len)
{
    return (int)RESULT(connect(hfd, addr, len));
}

static struct sockaddr_un unix_address(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    return a;
}

static struct sockaddr_un file_address(int file)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    return unix_address(path);
}

int host_bind_path(int hfd, int dir, const char *path, const char *text)
{
    struct sockaddr_un a = unix_address(path);

    return (int)RESULT(bind(hfd, (struct sockaddr *)&a, sizeof(a)));
}

int host_connect_file(int hfd, int file, uint32_t uid, uint32_t gid)
{
    struct sockaddr_un a = file_address(file);

    return (int)RESULT(connect(hfd, (struct sockaddr *)&a, sizeof(a)));
}

int stub_open_path(const char *path)
{
    return (int)RESULT(open(path, O_PATH | O_CLOEXEC));
}

int stub_unlink(const char *path)
{
    return (int)RESULT(unlink(path));
}

int host_listen(int hfd, int backlog, uint32_t uid, uint32_t gid)
{
    return (int)RESULT(listen(hfd, backlog));
}

static void bend(void *addr, uint32_t *len)
{
    if (g_hostile.family != 0 && len != NULL)
        memcpy(addr, &g_hostile.family, sizeof(g_hostile.family));
    if (g_hostile.addr_len != 0 && len != NULL)
        *len = g_hostile.addr_len;
}

int host_accept(int hfd, void *addr, uint32_t *len)
{
    int r = accept4(hfd, addr, len, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (r >= 0)
        bend(addr, len);
    return (int)RESULT(r);
}

static struct msghdr msghdr_of(const struct host_message *m, struct iovec *iov)
{
    return (struct msghdr){.msg_iov = iov,
                           .msg_iovlen = 1,
                           .msg_name = m->addr,
                           .msg_namelen = m->addr_len,
                           .msg_control = m->control,
                           .msg_controllen = m->control_len};
}

ssize_t host_send(int hfd, const void *buf, size_t n, int flags, const struct host_message *m)
{
    struct iovec iov = {(void *)(uintptr_t)buf, n};
    struct msghdr h = msghdr_of(m, &iov);
    struct sockaddr_un a = m->to_file ? file_address(m->file) : unix_address("");
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);

    if (m->to_file) {
        h.msg_name = &a;
        h.msg_namelen = sizeof(a);
    }
    if (c != NULL && c->cmsg_level == SOL_SOCKET) /* credentials: of another world's ids */
        h.msg_controllen = 0;

    return RESULT(sendmsg(hfd, &h, flags));
}

ssize_t host_recv(int hfd, void *buf, size_t n, int flags, struct host_message *m)
{
    struct iovec iov = {buf, n};
    struct msghdr h = msghdr_of(m, &iov);
    ssize_t r = recvmsg(hfd, &h, flags);

    if (r < 0)
        return -errno;
    m->addr_len = h.msg_namelen;
    m->control_len = (uint32_t)h.msg_controllen;
    m->flags = h.msg_flags;
    if (g_hostile.control_data != 0 && m->control_len >= sizeof(uint64_t)) {
        uint64_t len = 16 + g_hostile.control_data;

        memcpy(m->control, &len, sizeof(len));
    }
    return r;
}

int host_shutdown(int hfd, int how)
{
    return (int)RESULT(shutdown(hfd, how));
}

int host_getsockopt(int hfd, int level, int name, void *val, uint32_t *len)
{
    int r = getsockopt(hfd, level, name, val, len);

    if (r == 0 && level == SOL_SOCKET && name == SO_ERROR && g_hostile.so_error != 0)
        memcpy(val, &g_hostile.so_error, sizeof(g_hostile.so_error));
    return (int)RESULT(r);
}

int host_setsockopt(int hfd, int level, int name, const void *val, uint32_t len)
{
    return (int)RESULT(setsockopt(hfd, level, name, val, len));
}

int host_getsockname(int hfd, void *addr, uint32_t *len, int peer)
{
    int r = (peer ? getpeername : getsockname)(hfd, addr, len);
    void (*late)(void) = g_hostile.late;

    g_hostile.late = NULL;
    if (late != NULL)
        late();
    if (r == 0)
        bend(addr, len);
    if (r == 0 && g_hostile.port != 0)
        memcpy((char *)addr + 2, &g_hostile.port, sizeof(g_hostile.port));
    return (int)RESULT(r);
}
