/* SPDX-License-Identifier: Apache-2.0 */
/* libos/net on the host, under the sanitizers: the system calls of polling and sockets against real
 * threads and real TCP. */
#include "world.h"
#include <cmocka.h>
#include <linux/sockios.h>
#include <linux/time.h>

#define MS 1000000ull

static void sleep_ms(u64 ms)
{
    u64 end = clock_monotonic() + ms * MS;

    while (thread_wait(end, false, NULL, 0) == 0)
        continue; /* left-over wake-ups */
}

static short poll_one(int fd, short events, int timeout)
{
    struct pollfd p = {.fd = fd, .events = events};
    long r = CALL(poll, &p, 1, timeout);

    assert_in_range(r, 0, 1);
    assert_int_equal(r, p.revents != 0);
    return p.revents;
}

static void pair(int type, int fds[2])
{
    assert_int_equal(CALL(socketpair, AF_UNIX, type, 0, fds), 0);
}

static void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(world_close(fds[i]), 0);
    assert_int_equal(world_open_files(), 0);
}

/* ---- streams ---- */

static void test_stream_basics(void **state)
{
    char buf[16];
    int s[2];

    pair(SOCK_STREAM, s);
    assert_int_equal(poll_one(s[0], POLLIN | POLLOUT, 0), POLLOUT);
    assert_int_equal(world_write(s[0], "hello", 5), 5);
    assert_int_equal(poll_one(s[1], POLLIN, -1), POLLIN);
    assert_int_equal(CALL(recvfrom, s[1], buf, 3, MSG_PEEK), 3);
    assert_int_equal(world_read(s[1], buf, sizeof(buf)), 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(CALL(recvfrom, s[1], buf, 3, MSG_DONTWAIT), -EAGAIN);

    assert_int_equal(world_write(s[1], "x", 1), 1);
    assert_int_equal(CALL(shutdown, s[1], SHUT_WR), 0);
    assert_int_equal(poll_one(s[0], POLLIN | POLLRDHUP, 0), POLLIN | POLLRDHUP);
    assert_int_equal(world_read(s[0], buf, 4), 1);
    assert_int_equal(world_read(s[0], buf, 4), 0);
    assert_int_equal(world_write(s[1], "y", 1), -EPIPE);
    assert_int_equal(g_sigpipes, 1);
    assert_int_equal(world_write(s[0], "z", 1), 1);
    assert_int_equal(world_close(s[1]), 0); /* with unread data */
    assert_int_equal(poll_one(s[0], POLLIN, 0), POLLIN | POLLERR | POLLHUP);
    assert_int_equal(world_read(s[0], buf, 4), -ECONNRESET);
    assert_int_equal(world_read(s[0], buf, 4), 0);
    assert_int_equal(CALL(sendto, s[0], "q", 1, MSG_NOSIGNAL), -EPIPE);
    assert_int_equal(g_sigpipes, 1);
    close_all(s, 1);
}

struct pump {
    int fd;
    u32 seed;
    size_t total;
};

static u32 next_random(u32 *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void pump_writer(void *arg)
{
    struct pump *p = arg;
    static u8 buf[70000];
    u32 seed = p->seed;
    size_t at = 0;

    while (at < p->total) {
        size_t n = 1 + next_random(&seed) % sizeof(buf);
        long r;

        n = MIN(n, p->total - at);
        for (size_t i = 0; i < n; i++)
            buf[i] = (u8)((at + i) * 31 + ((at + i) >> 8));
        r = world_write(p->fd, buf, n);
        if (r != (long)n)
            panic("writer: %ld of %zu", r, n);
        at += n;
    }
    (void)world_close(p->fd);
}

static void test_stream_bulk(void **state)
{
    static u8 buf[50000];
    struct pump p = {.seed = 42, .total = 6u << 20};
    u32 seed = 7;
    size_t at = 0;
    int s[2];
    u64 t;
    long r;

    pair(SOCK_STREAM, s);
    p.fd = s[0];
    t = world_thread(pump_writer, &p);
    while ((r = world_read(s[1], buf, 1 + next_random(&seed) % sizeof(buf))) > 0) {
        for (long i = 0; i < r; i++)
            assert_int_equal(buf[i], (u8)((at + (size_t)i) * 31 + ((at + (size_t)i) >> 8)));
        at += (size_t)r;
    }
    assert_int_equal(r, 0);
    assert_int_equal(at, p.total);
    stub_thread_join(t);
    close_all(s + 1, 1);
}

static void test_stream_full(void **state)
{
    static u8 big[1 << 20];
    int s[2];
    long n;

    pair(SOCK_STREAM | SOCK_NONBLOCK, s);
    n = world_write(s[0], big, sizeof(big));
    assert_in_range(n, 200000, 300000);
    assert_int_equal(world_write(s[0], big, 1), -EAGAIN);
    assert_int_equal(poll_one(s[0], POLLOUT, 0), 0);
    assert_int_equal(world_read(s[1], big, (size_t)n / 2 + 1000), n / 2 + 1000);
    assert_int_equal(poll_one(s[0], POLLOUT, 0), POLLOUT);
    close_all(s, 2);
}

static void test_timeouts(void **state)
{
    i64 tv[2] = {0, 30000};
    u64 start = clock_monotonic();
    char c;
    int s[2];

    pair(SOCK_STREAM, s);
    assert_int_equal(CALL(setsockopt, s[0], SOL_SOCKET, SO_RCVTIMEO_OLD, tv, sizeof(tv)), 0);
    assert_int_equal(world_read(s[0], &c, 1), -EAGAIN);
    assert_true(clock_monotonic() - start >= 30 * MS);
    start = clock_monotonic();
    assert_int_equal(poll_one(s[0], POLLIN, 20), 0);
    assert_true(clock_monotonic() - start >= 20 * MS);
    close_all(s, 2);
}

/* ---- descriptors and credentials in messages ---- */

struct message {
    u8 *name;
    i32 name_len;
    struct uio_segment *iov;
    u64 iov_len;
    void *control;
    u64 control_len;
    u32 flags;
};
struct rights {
    u64 len;
    i32 level, type;
    i32 fds[2];
};

static void test_scm_rights(void **state)
{
    char data[8] = "abcdef", buf[8] = {0};
    struct uio_segment out = {data, 2}, in = {buf, 8};
    int s[2], fd = (int)CALL(eventfd2, 7, 0);
    struct rights r = {.len = 20, .level = SOL_SOCKET, .type = SCM_RIGHTS, .fds = {fd}};
    struct message m = {.iov = &out, .iov_len = 1, .control = &r, .control_len = sizeof(r)};
    u64 value;

    pair(SOCK_STREAM, s);
    assert_int_equal(world_write(s[0], "12", 2), 2);
    assert_int_equal(CALL(sendmsg, s[0], &m, 0), 2);
    assert_int_equal(world_write(s[0], "34", 2), 2);
    assert_int_equal(world_close(fd), 0);
    memset(&r, 0, sizeof(r));
    m = (struct message){.iov = &in, .iov_len = 1, .control = &r, .control_len = sizeof(r)};
    assert_int_equal(CALL(recvmsg, s[1], &m, 0), 2); /* stops before the mark */
    assert_int_equal(m.control_len, 0);
    m.control_len = sizeof(r);
    assert_int_equal(CALL(recvmsg, s[1], &m, MSG_CMSG_CLOEXEC), 4);
    assert_memory_equal(buf, "ab34", 4);
    assert_int_equal(m.control_len, 24);
    assert_int_equal(r.len, 20);
    assert_int_equal(r.type, SCM_RIGHTS);
    assert_int_equal(world_read(r.fds[0], &value, 8), 8);
    assert_int_equal(value, 7);
    /* No room: the descriptor is dropped and said so. */
    r = (struct rights){.len = 20, .level = SOL_SOCKET, .type = SCM_RIGHTS, .fds = {r.fds[0]}};
    m = (struct message){.iov = &out, .iov_len = 1, .control = &r, .control_len = sizeof(r)};
    assert_int_equal(CALL(sendmsg, s[0], &m, 0), 2);
    assert_int_equal(world_close(r.fds[0]), 0);
    m = (struct message){.iov = &in, .iov_len = 1};
    assert_int_equal(CALL(recvmsg, s[1], &m, 0), 2);
    assert_int_equal(m.flags & MSG_CTRUNC, MSG_CTRUNC);
    /* Never received: goes with the socket. */
    fd = (int)CALL(eventfd2, 7, 0);
    r = (struct rights){.len = 20, .level = SOL_SOCKET, .type = SCM_RIGHTS, .fds = {fd}};
    m = (struct message){.iov = &out, .iov_len = 1, .control = &r, .control_len = sizeof(r)};
    assert_int_equal(CALL(sendmsg, s[0], &m, 0), 2);
    assert_int_equal(world_close(fd), 0);
    close_all(s, 2);
}

static void test_scm_bad(void **state)
{
    char data[2] = "a";
    struct uio_segment out = {data, 1};
    struct rights r = {.len = 20, .level = SOL_SOCKET, .type = SCM_RIGHTS, .fds = {99}};
    struct message m = {.iov = &out, .iov_len = 1, .control = &r, .control_len = sizeof(r)};
    int s[2];

    pair(SOCK_STREAM, s);
    assert_int_equal(CALL(sendmsg, s[0], &m, 0), -EBADF);
    r.len = 5000;
    assert_int_equal(CALL(sendmsg, s[0], &m, 0), -EINVAL);
    r.len = 3;
    assert_int_equal(CALL(sendmsg, s[0], &m, 0), -EINVAL);
    m.iov_len = 5000;
    assert_int_equal(CALL(sendmsg, s[0], &m, 0), -EMSGSIZE);
    assert_int_equal(poll_one(s[1], POLLIN, 0), 0);
    close_all(s, 2);
}

/* ---- names ---- */

static u32 abstract(struct sockaddr_un *a, const char *name)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    memcpy(a->sun_path + 1, name, strlen(name));
    return (u32)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static void test_datagrams(void **state)
{
    struct sockaddr_un a, from;
    u32 len = abstract(&a, "sink"), from_len = sizeof(from);
    int fds[3];
    char buf[8];
    int sent = 0;

    fds[0] = (int)CALL(socket, AF_UNIX, SOCK_DGRAM, 0);
    fds[1] = (int)CALL(socket, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    fds[2] = (int)CALL(socket, AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(CALL(sendto, fds[1], "x", 1, 0, &a, len), -ECONNREFUSED);
    assert_int_equal(CALL(bind, fds[0], &a, len), 0);
    assert_int_equal(CALL(bind, fds[2], &a, len), -EADDRINUSE);
    assert_int_equal(CALL(bind, fds[1], &a, 2), 0); /* autobind */
    assert_int_equal(CALL(connect, fds[1], &a, len), 0);
    assert_int_equal(CALL(sendto, fds[1], "first one", 9, 0), 9);
    assert_int_equal(CALL(sendto, fds[1], "", 0, 0), 0);
    assert_int_equal(CALL(recvfrom, fds[0], buf, sizeof(buf), MSG_TRUNC, &from, &from_len), 9);
    assert_memory_equal(buf, "first on", 8);
    assert_int_equal(from_len, offsetof(struct sockaddr_un, sun_path) + 6);
    assert_int_equal(poll_one(fds[0], POLLIN, 0), POLLIN);
    assert_int_equal(CALL(recvfrom, fds[0], buf, sizeof(buf), 0), 0);
    while (CALL(sendto, fds[1], "x", 1, 0) == 1)
        sent++;
    assert_in_range(sent, 10, 1024);
    assert_int_equal(poll_one(fds[1], POLLOUT, 0), 0);
    assert_int_equal(CALL(recvfrom, fds[0], buf, sizeof(buf), 0), 1);
    assert_int_equal(poll_one(fds[1], POLLOUT, 0), POLLOUT);
    assert_int_equal(world_close(fds[0]), 0);
    assert_int_equal(CALL(sendto, fds[1], "x", 1, 0), -ECONNREFUSED);
    close_all(fds + 1, 2);
}

static void accept_late(void *arg)
{
    int fd = *(int *)arg;

    sleep_ms(20);
    *(int *)arg = (int)CALL(accept4, fd, 0, 0, 0);
}

static void test_listen(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/run/server"};
    u32 len = sizeof(a);
    int fds[5], late;
    char buf[4];
    struct ucred cred;
    u32 cred_len = sizeof(cred);
    u64 t;

    fds[0] = (int)CALL(socket, AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(CALL(listen, fds[0], 5), -EINVAL);
    assert_int_equal(CALL(bind, fds[0], &a, len), 0);
    for (int i = 1; i < 4; i++)
        fds[i] = (int)CALL(socket, AF_UNIX, SOCK_STREAM | (i == 2 ? SOCK_NONBLOCK : 0), 0);
    assert_int_equal(CALL(connect, fds[1], &a, len), -ECONNREFUSED);
    assert_int_equal(CALL(listen, fds[0], 0), 0);
    assert_int_equal(poll_one(fds[0], POLLIN, 0), 0);
    assert_int_equal(CALL(connect, fds[1], &a, len), 0);
    assert_int_equal(CALL(connect, fds[1], &a, len), -EISCONN);
    assert_int_equal(poll_one(fds[0], POLLIN, 0), POLLIN);
    assert_int_equal(world_write(fds[1], "hi", 2), 2); /* before accept */
    assert_int_equal(CALL(connect, fds[2], &a, len), -EAGAIN);
    late = fds[0];
    t = world_thread(accept_late, &late);
    assert_int_equal(CALL(connect, fds[3], &a, len), 0); /* waits for room */
    stub_thread_join(t);
    assert_true(late >= 0);
    fds[4] = late;
    assert_int_equal(world_read(late, buf, 4), 2);
    assert_int_equal(CALL(getsockopt, late, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len), 0);
    assert_int_equal(cred.pid, 1);
    len = sizeof(a);
    memset(&a, 0, sizeof(a));
    assert_int_equal(CALL(getsockname, late, &a, &len), 0);
    assert_string_equal(a.sun_path, "/run/server");
    assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + 12);
    assert_int_equal(world_close(fds[0]), 0); /* fds[3] was never accepted */
    assert_int_equal(world_read(fds[3], buf, 4), -ECONNRESET);
    close_all(fds + 1, 4);
}

static void test_seqpacket(void **state)
{
    char buf[4];
    int s[2];

    pair(SOCK_SEQPACKET, s);
    assert_int_equal(world_write(s[0], "abcdef", 6), 6);
    assert_int_equal(world_write(s[0], "gh", 2), 2);
    assert_int_equal(world_read(s[1], buf, 4), 4);
    assert_int_equal(world_read(s[1], buf, 4), 2);
    assert_memory_equal(buf, "gh", 2);
    assert_int_equal(world_close(s[0]), 0);
    assert_int_equal(world_read(s[1], buf, 4), 0);
    close_all(s + 1, 1);
}

/* ---- epoll ---- */

static int ep_ctl(int ep, int op, int fd, u32 events, u64 data)
{
    struct epoll_event e = {.events = events, .data = data};

    return (int)CALL(epoll_ctl, ep, op, fd, &e);
}

/* Events of one wait: how many; the first one's in *events and *data. */
static long ep_wait(int ep, int timeout, u32 *events, u64 *data)
{
    struct epoll_event e[8] = {0};
    long r = CALL(epoll_wait, ep, e, 8, timeout);

    if (r > 0) {
        *events = e[0].events;
        *data = e[0].data;
    }
    return r;
}

/* The same life with UNIX sockets (LibOS queues) and TCP (the host's epoll). */
static void epoll_life(int s[2])
{
    int ep = (int)CALL(epoll_create1, 0);
    char buf[8];
    u32 events = 0;
    u64 data = 0;

    assert_int_equal(ep_ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN, 11), 0);
    assert_int_equal(ep_ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN, 11), -EEXIST);
    assert_int_equal(ep_ctl(ep, EPOLL_CTL_DEL, s[1], 0, 0), -ENOENT);
    assert_int_equal(ep_wait(ep, 0, &events, &data), 0);
    assert_int_equal(world_write(s[1], "abcd", 4), 4);
    for (int i = 0; i < 3; i++) { /* level */
        assert_int_equal(ep_wait(ep, 1000, &events, &data), 1);
        assert_int_equal(events, EPOLLIN);
        assert_int_equal(data, 11);
    }
    assert_int_equal(ep_ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLET, 12), 0);
    assert_int_equal(ep_wait(ep, 1000, &events, &data), 1);
    assert_int_equal(data, 12);
    assert_int_equal(ep_wait(ep, 0, &events, &data), 0); /* edge: told once */
    assert_int_equal(world_write(s[1], "e", 1), 1);
    assert_int_equal(ep_wait(ep, 1000, &events, &data), 1);
    assert_int_equal(ep_ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLONESHOT, 13), 0);
    assert_int_equal(ep_wait(ep, 1000, &events, &data), 1);
    assert_int_equal(world_write(s[1], "f", 1), 1);
    assert_int_equal(ep_wait(ep, 0, &events, &data), 0); /* until armed again */
    assert_int_equal(ep_ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLOUT | EPOLLONESHOT, 14), 0);
    assert_int_equal(ep_wait(ep, 1000, &events, &data), 1);
    assert_int_equal(events, EPOLLIN | EPOLLOUT);
    assert_int_equal(ep_ctl(ep, EPOLL_CTL_DEL, s[0], 0, 0), 0);
    assert_int_equal(ep_wait(ep, 0, &events, &data), 0);
    assert_int_equal(world_read(s[0], buf, 8), 6);
    assert_int_equal(ep_ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN | EPOLLRDHUP, 15), 0);
    assert_int_equal(world_close(s[1]), 0);
    assert_int_equal(ep_wait(ep, 1000, &events, &data), 1);
    assert_int_equal(events & (EPOLLIN | EPOLLRDHUP), EPOLLIN | EPOLLRDHUP);
    assert_int_equal(world_close(s[0]), 0); /* closed while watched */
    assert_int_equal(ep_wait(ep, 0, &events, &data), 0);
    close_all(&ep, 1);
}

static void tcp_listen(struct sockaddr_in *a, int *listener)
{
    u32 len = sizeof(*a);

    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f};
    *listener = (int)CALL(socket, AF_INET, SOCK_STREAM, 0);
    assert_true(*listener >= 0);
    assert_int_equal(CALL(bind, *listener, a, len), 0);
    assert_int_equal(CALL(listen, *listener, 8), 0);
    assert_int_equal(CALL(getsockname, *listener, a, &len), 0);
    assert_int_equal(len, sizeof(*a));
}

static void tcp_pair(int s[2])
{
    struct sockaddr_in a, peer;
    u32 len = sizeof(peer);
    int listener;

    tcp_listen(&a, &listener);
    s[0] = (int)CALL(socket, AF_INET, SOCK_STREAM, 0);
    assert_int_equal(CALL(connect, s[0], &a, sizeof(a)), 0);
    s[1] = (int)CALL(accept4, listener, &peer, &len, 0);
    assert_true(s[1] >= 0);
    assert_int_equal(peer.sin_family, AF_INET);
    assert_int_equal(world_close(listener), 0);
}

static void test_epoll_unix(void **state)
{
    int s[2];

    pair(SOCK_STREAM, s);
    epoll_life(s);
}

static void test_epoll_tcp(void **state)
{
    int s[2];

    tcp_pair(s);
    epoll_life(s);
}

static void test_epoll_nested(void **state)
{
    int ep[7], s[2], t[2];
    u32 events = 0;
    u64 data = 0;

    for (int i = 0; i < 7; i++)
        ep[i] = (int)CALL(epoll_create1, 0);
    pair(SOCK_STREAM, s);
    tcp_pair(t);
    assert_int_equal(ep_ctl(ep[0], EPOLL_CTL_ADD, ep[0], EPOLLIN, 0), -EINVAL);
    assert_int_equal(ep_ctl(ep[0], EPOLL_CTL_ADD, ep[1], EPOLLIN, 1), 0);
    assert_int_equal(ep_ctl(ep[1], EPOLL_CTL_ADD, ep[2], EPOLLIN, 2), 0);
    assert_int_equal(ep_ctl(ep[2], EPOLL_CTL_ADD, ep[0], EPOLLIN, 0), -ELOOP);
    assert_int_equal(ep_ctl(ep[2], EPOLL_CTL_ADD, s[0], EPOLLIN, 3), 0);
    assert_int_equal(ep_wait(ep[0], 0, &events, &data), 0);
    assert_int_equal(poll_one(ep[0], POLLIN, 0), 0);
    assert_int_equal(world_write(s[1], "a", 1), 1);
    assert_int_equal(poll_one(ep[0], POLLIN, 1000), POLLIN);
    assert_int_equal(ep_wait(ep[0], 1000, &events, &data), 1);
    assert_int_equal(data, 1);
    assert_int_equal(ep_wait(ep[2], 1000, &events, &data), 1);
    assert_int_equal(data, 3);
    assert_int_equal(ep_ctl(ep[2], EPOLL_CTL_DEL, s[0], 0, 0), 0);
    assert_int_equal(ep_wait(ep[0], 0, &events, &data), 0);
    /* A host descriptor deep inside. */
    assert_int_equal(ep_ctl(ep[2], EPOLL_CTL_ADD, t[0], EPOLLIN, 4), 0);
    assert_int_equal(ep_wait(ep[0], 0, &events, &data), 0);
    assert_int_equal(world_write(t[1], "a", 1), 1);
    assert_int_equal(ep_wait(ep[0], 1000, &events, &data), 1);
    assert_int_equal(poll_one(ep[0], POLLIN, 1000), POLLIN);
    /* Not too deep, from above and from below. */
    assert_int_equal(ep_ctl(ep[3], EPOLL_CTL_ADD, ep[0], EPOLLIN, 5), 0);
    assert_int_equal(ep_ctl(ep[4], EPOLL_CTL_ADD, ep[3], EPOLLIN, 5), 0);
    assert_int_equal(ep_ctl(ep[5], EPOLL_CTL_ADD, ep[4], EPOLLIN, 5), -ELOOP);
    assert_int_equal(ep_ctl(ep[2], EPOLL_CTL_ADD, ep[6], EPOLLIN, 5), -ELOOP);
    close_all((int[]){s[0], s[1], t[0], t[1], ep[1], ep[0], ep[2], ep[6], ep[5], ep[4], ep[3]}, 11);
}

struct ping {
    int fd, ep;
    u32 rounds;
};

static void ping_epoll(void *arg)
{
    struct ping *p = arg;
    u8 c;
    u32 events = 0;
    u64 data = 0;

    for (u32 i = 0; i < p->rounds; i++) {
        while (world_read(p->fd, &c, 1) != 1) {
            if (ep_wait(p->ep, 5000, &events, &data) != 1)
                panic("ping: lost a wake-up at %u", i);
        }
        c++;
        (void)world_write(p->fd, &c, 1);
    }
}

static void ping_pong(int s[2], u32 rounds)
{
    struct ping p = {.fd = s[1], .ep = (int)CALL(epoll_create1, 0), .rounds = rounds};
    u8 c = 0;
    u64 t;

    world_nonblock(s[1]);
    assert_int_equal(ep_ctl(p.ep, EPOLL_CTL_ADD, s[1], EPOLLIN | EPOLLET, 0), 0);
    t = world_thread(ping_epoll, &p);
    for (u32 i = 0; i < rounds; i++) {
        assert_int_equal(world_write(s[0], &c, 1), 1);
        if (i % 2 == 0)
            assert_int_equal(poll_one(s[0], POLLIN, 5000), POLLIN);
        assert_int_equal(world_read(s[0], &c, 1), 1);
        assert_int_equal(c, (u8)(i + 1));
    }
    stub_thread_join(t);
    close_all((int[]){s[0], s[1], p.ep}, 3);
}

static void test_ping_pong(void **state)
{
    int s[2];

    pair(SOCK_STREAM, s);
    ping_pong(s, 3000);
    tcp_pair(s);
    ping_pong(s, 500);
}

/* Several threads in epoll_wait on one instance; every datagram is taken once. */
struct crowd {
    int ep, fd;
    u32 taken;
};

static void crowd_member(void *arg)
{
    struct crowd *w = arg;
    u32 events = 0;
    u64 data = 0;
    u8 c;

    for (;;) {
        if (ep_wait(w->ep, -1, &events, &data) != 1)
            panic("crowd: no event");
        while (world_read(w->fd, &c, 1) == 1) {
            if (c == 'q') {
                (void)world_write(w->fd + 1, "q", 1);
                return;
            }
            __atomic_add_fetch(&w->taken, 1, __ATOMIC_SEQ_CST);
        }
    }
}

static void test_epoll_crowd(void **state)
{
    struct crowd w = {.ep = (int)CALL(epoll_create1, 0)};
    u64 t[4];
    int s[2];

    pair(SOCK_DGRAM | SOCK_NONBLOCK, s);
    assert_int_equal(s[1], s[0] + 1);
    w.fd = s[0];
    assert_int_equal(ep_ctl(w.ep, EPOLL_CTL_ADD, s[0], EPOLLIN, 0), 0);
    for (int i = 0; i < 4; i++)
        t[i] = world_thread(crowd_member, &w);
    for (int i = 0; i < 2000;) {
        if (world_write(s[1], "x", 1) == 1)
            i++;
        else
            assert_int_equal(poll_one(s[1], POLLOUT, 5000), POLLOUT);
    }
    while (world_write(s[1], "q", 1) != 1)
        assert_int_equal(poll_one(s[1], POLLOUT, 5000), POLLOUT);
    for (int i = 0; i < 4; i++)
        stub_thread_join(t[i]);
    assert_int_equal(w.taken, 2000);
    close_all((int[]){s[0], s[1], w.ep}, 3);
}

/* ---- select ---- */

static void test_select(void **state)
{
    u64 in[8] = {0}, out[8] = {0};
    i64 tv[2] = {0, 0};
    int s[2];

    pair(SOCK_STREAM, s);
    in[0] = 1ull << s[0] | 1ull << s[1];
    out[0] = 1ull << s[1];
    assert_int_equal(world_write(s[1], "x", 1), 1);
    assert_int_equal(CALL(select, 64, in, out, 0, tv), 2);
    assert_int_equal(in[0], 1ull << s[0]);
    assert_int_equal(out[0], 1ull << s[1]);
    in[0] = 1ull << s[1];
    assert_int_equal(CALL(select, s[1] + 1, in, 0, 0, tv), 0);
    assert_int_equal(in[0], 0);
    in[7] = 1ull << 60;
    assert_int_equal(CALL(select, 512, in, 0, 0, tv), -EBADF);
    assert_int_equal(CALL(select, -1, in, 0, 0, tv), -EINVAL);
    close_all(s, 2);
}

/* ---- TCP and UDP ---- */

static void echo_all(void *arg)
{
    static u8 buf[100000];
    int fd = *(int *)arg;
    long r;

    while ((r = world_read(fd, buf, sizeof(buf))) > 0) {
        if (world_write(fd, buf, (size_t)r) != r)
            panic("echo: short write");
    }
    (void)CALL(shutdown, fd, SHUT_WR);
}

static void test_tcp(void **state)
{
    static u8 out[300000], in[300000];
    int s[2], one = 1;
    u32 len = sizeof(one);
    u64 t;

    tcp_pair(s);
    assert_int_equal(CALL(setsockopt, s[0], IPPROTO_TCP, 1, &one, sizeof(one)), 0);
    assert_int_equal(CALL(setsockopt, s[0], SOL_SOCKET, SO_ATTACH_FILTER, &one, sizeof(one)),
                     -ENOPROTOOPT);
    assert_int_equal(CALL(getsockopt, s[0], SOL_SOCKET, SO_ERROR, &one, &len), 0);
    assert_int_equal(one, 0);
    random_bytes(out, sizeof(out));
    t = world_thread(echo_all, &s[1]);
    assert_int_equal(world_write(s[0], out, 150000), 150000);
    assert_int_equal(world_write(s[0], out + 150000, 150000), 150000);
    assert_int_equal(CALL(recvfrom, s[0], in, 1, MSG_PEEK), 1);
    assert_int_equal(CALL(recvfrom, s[0], in, sizeof(in), MSG_WAITALL), sizeof(in));
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(CALL(shutdown, s[0], SHUT_WR), 0);
    assert_int_equal(world_read(s[0], in, 1), 0);
    stub_thread_join(t);
    close_all(s, 2);
}

static void test_tcp_refused(void **state)
{
    struct sockaddr_in a;
    int listener, fd[2];
    u32 len = 4;
    int err;

    tcp_listen(&a, &listener);
    assert_int_equal(world_close(listener), 0);
    fd[0] = (int)CALL(socket, AF_INET, SOCK_STREAM, 0);
    assert_int_equal(CALL(connect, fd[0], &a, sizeof(a)), -ECONNREFUSED);
    fd[1] = (int)CALL(socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (CALL(connect, fd[1], &a, sizeof(a)) == -EINPROGRESS) {
        assert_true(poll_one(fd[1], POLLOUT, 5000) & POLLOUT);
        assert_int_equal(CALL(getsockopt, fd[1], SOL_SOCKET, SO_ERROR, &err, &len), 0);
        assert_int_equal(err, ECONNREFUSED);
    }
    close_all(fd, 2);
}

static void test_udp(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f}, from;
    u32 len = sizeof(a), from_len = sizeof(from);
    char buf[4];
    int fd[2];

    for (int i = 0; i < 2; i++)
        fd[i] = (int)CALL(socket, AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(CALL(bind, fd[0], &a, len), 0);
    assert_int_equal(CALL(getsockname, fd[0], &a, &len), 0);
    assert_int_equal(CALL(sendto, fd[1], "datagram", 8, 0, &a, len), 8);
    assert_int_equal(CALL(sendto, fd[1], "", 0, 0, &a, len), 0);
    assert_int_equal(CALL(recvfrom, fd[0], buf, 4, MSG_PEEK | MSG_TRUNC, &from, &from_len), 8);
    assert_int_equal(from_len, sizeof(from));
    assert_int_equal(CALL(recvfrom, fd[0], buf, 4, 0), 4);
    assert_memory_equal(buf, "data", 4);
    assert_int_equal(CALL(recvfrom, fd[0], buf, 4, 0), 0);
    close_all(fd, 2);
}

/* ---- a host that lies ---- */

/* volatile: lives across longjmp(). */
#define ASSERT_PANICS(call)                       \
    do {                                          \
        jmp_buf env;                              \
        volatile bool panicked = true;            \
        g_expect_panic = &env;                    \
        if (setjmp(env) == 0) {                   \
            (void)(call);                         \
            panicked = false;                     \
        }                                         \
        g_expect_panic = NULL;                    \
        memset(&g_hostile, 0, sizeof(g_hostile)); \
        assert_true(panicked);                    \
    } while (0)

static void test_hostile_address(void **state)
{
    struct sockaddr_in a;
    u32 len = sizeof(a);
    int listener, err;

    tcp_listen(&a, &listener);
    g_hostile.family = AF_INET6;
    ASSERT_PANICS(CALL(getsockname, listener, &a, &len));
    g_hostile.addr_len = 100;
    ASSERT_PANICS(CALL(getsockname, listener, &a, &len));
    g_hostile.so_error = -5;
    len = 4;
    ASSERT_PANICS(CALL(getsockopt, listener, SOL_SOCKET, SO_ERROR, &err, &len));
    g_hostile.so_error = 70000;
    ASSERT_PANICS(CALL(getsockopt, listener, SOL_SOCKET, SO_ERROR, &err, &len));
}

static void test_hostile_epoll(void **state)
{
    int ep = (int)CALL(epoll_create1, 0), s[2];
    u32 events = 0;
    u64 data = 0;

    tcp_pair(s);
    assert_int_equal(ep_ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN, 5), 0);
    assert_int_equal(world_write(s[1], "a", 1), 1);
    g_hostile.epoll_data = 77; /* a token that was never given */
    assert_int_equal(ep_wait(ep, 20, &events, &data), 0);
    g_hostile = (struct host_hostile){.epoll_events = 0xffffffff};
    assert_int_equal(ep_wait(ep, 1000, &events, &data), 1);
    assert_int_equal(events & ~(u32)(EPOLLIN | EPOLLERR | EPOLLHUP), 0);
    g_hostile = (struct host_hostile){0};
    (void)world_close(ep);
    (void)world_close(s[0]);
    (void)world_close(s[1]);
}

static void test_netlink_replies(void **state)
{
    u32 words[16] = {0};
    u8 *b = (u8 *)words;

    words[0] = 16 + 16 + 8; /* nlmsg_len */
    words[1] = 16;          /* RTM_NEWLINK */
    words[8] = 8 | 3 << 16; /* an attribute of 8 bytes */
    assert_int_equal(netlink_check_reply(b, 40), 40);
    words[8] = 9 | 3 << 16; /* beyond the message */
    assert_int_equal(netlink_check_reply(b, 40), 0);
    words[8] = 2 | 3 << 16; /* shorter than its header */
    assert_int_equal(netlink_check_reply(b, 40), 0);
    words[0] = 100; /* beyond the datagram */
    assert_int_equal(netlink_check_reply(b, 40), 0);
    words[0] = 16 + 8; /* shorter than its fixed part */
    assert_int_equal(netlink_check_reply(b, 40), 0);
    words[0] = 40;
    words[1] = 16; /* RTM_NEWLINK as a request */
    assert_int_equal(netlink_check_request(b, 40), -EPERM);
    words[1] = 18; /* RTM_GETLINK */
    assert_int_equal(netlink_check_request(b, 40), 0);
    assert_int_equal(netlink_check_request(b, 10), -EINVAL);
}

static void test_getifaddrs(void **state)
{
    struct {
        struct {
            u32 len;
            u16 type, flags;
            u32 seq, pid;
        } h;
        u8 family, pad[15];
    } req = {{32, 18, 0x301, 1, 0}, 0, {0}}; /* RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP */
    static u8 buf[32768];
    struct {
        i32 len, pad;
        void *buf;
    } conf = {.len = sizeof(buf), .buf = buf};
    int fd = (int)CALL(socket, AF_NETLINK, SOCK_RAW, 0), in;
    u16 type;

    assert_true(fd >= 0);
    assert_int_equal(CALL(sendto, fd, &req, sizeof(req), 0), sizeof(req));
    assert_true(CALL(recvfrom, fd, buf, sizeof(buf), 0) > 32);
    memcpy(&type, buf + 4, 2);
    assert_int_equal(type, 16);
    in = (int)CALL(socket, AF_INET, SOCK_DGRAM, 0);
    {
        struct file *f = fd_get(in);

        memset(buf, 0, sizeof(buf));
        assert_int_equal(f->ops->ioctl(f, SIOCGIFCONF, (u64)&conf), 0);
        file_put(f);
    }
    assert_true(conf.len >= 40);
    assert_string_equal((char *)buf, "lo");
    close_all((int[]){fd, in}, 2);
}

/* ---- eventfd, timerfd, signalfd ---- */

static void test_eventfd(void **state)
{
    int fd = (int)CALL(eventfd2, 3, O_NONBLOCK | 1);
    u64 v = 0;

    assert_int_equal(poll_one(fd, POLLIN | POLLOUT, 0), POLLIN | POLLOUT);
    assert_int_equal(world_read(fd, &v, 8), 8);
    assert_int_equal(v, 1);
    v = UINT64_MAX;
    assert_int_equal(world_write(fd, &v, 8), -EINVAL);
    v = UINT64_MAX - 3;
    assert_int_equal(world_write(fd, &v, 8), 8);
    v = 2;
    assert_int_equal(world_write(fd, &v, 8), -EAGAIN);
    assert_int_equal(world_read(fd, &v, 4), -EINVAL);
    close_all(&fd, 1);
}

static void test_timerfd(void **state)
{
    i64 set[4] = {0, 10000000, 0, 15000000}, got[4]; /* every 10 ms, first after 15 */
    int fd = (int)CALL(timerfd_create, 1, 0), ep = (int)CALL(epoll_create1, 0);
    u64 start = clock_monotonic(), v, data;
    u32 events = 0;

    assert_int_equal(ep_ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN, 9), 0);
    assert_int_equal(CALL(timerfd_settime, fd, 0, set, 0), 0);
    assert_int_equal(CALL(timerfd_gettime, fd, got), 0);
    assert_in_range(got[3], 1, 15000000);
    assert_int_equal(poll_one(fd, POLLIN, 0), 0);
    assert_int_equal(ep_wait(ep, 5000, &events, &data), 1);
    assert_in_range(clock_monotonic() - start, 15 * MS, 500 * MS);
    assert_int_equal(poll_one(ep, POLLIN, 5000), POLLIN);
    assert_int_equal(world_read(fd, &v, 8), 8);
    assert_true(v >= 1);
    sleep_ms(35);
    assert_int_equal(world_read(fd, &v, 8), 8);
    assert_true(v >= 3);
    memset(set, 0, sizeof(set));
    assert_int_equal(CALL(timerfd_settime, fd, 0, set, got), 0);
    assert_int_equal(got[1], 10000000);
    assert_int_equal(poll_one(fd, POLLIN, 30), 0);
    set[3] = 1000000000;
    assert_int_equal(CALL(timerfd_settime, fd, 0, set, 0), -EINVAL);
    close_all((int[]){fd, ep}, 2);
}

static void test_signalfd(void **state)
{
    u64 mask = 1ull << (10 - 1);
    u32 info[32];
    int fd = (int)CALL(signalfd4, -1, &mask, 8, O_NONBLOCK);

    g_signals_pending = 1ull << (10 - 1) | 1ull << (12 - 1);
    assert_int_equal(poll_one(fd, POLLIN, 0), POLLIN);
    assert_int_equal(world_read(fd, info, sizeof(info)), 128);
    assert_int_equal(info[0], 10);
    assert_int_equal(world_read(fd, info, sizeof(info)), -EAGAIN);
    mask = 1ull << (12 - 1);
    assert_int_equal(CALL(signalfd4, fd, &mask, 8, 0), fd);
    assert_int_equal(world_read(fd, info, sizeof(info)), 128);
    assert_int_equal(info[0], 12);
    close_all(&fd, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_basics),   cmocka_unit_test(test_stream_bulk),
        cmocka_unit_test(test_stream_full),     cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_scm_rights),      cmocka_unit_test(test_scm_bad),
        cmocka_unit_test(test_datagrams),       cmocka_unit_test(test_listen),
        cmocka_unit_test(test_seqpacket),       cmocka_unit_test(test_epoll_unix),
        cmocka_unit_test(test_epoll_tcp),       cmocka_unit_test(test_epoll_nested),
        cmocka_unit_test(test_ping_pong),       cmocka_unit_test(test_epoll_crowd),
        cmocka_unit_test(test_select),          cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_tcp_refused),     cmocka_unit_test(test_udp),
        cmocka_unit_test(test_netlink_replies), cmocka_unit_test(test_getifaddrs),
        cmocka_unit_test(test_eventfd),         cmocka_unit_test(test_timerfd),
        cmocka_unit_test(test_signalfd),        cmocka_unit_test(test_hostile_epoll),
        cmocka_unit_test(test_hostile_address),
    };

    world_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
