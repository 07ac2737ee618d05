/* SPDX-License-Identifier: Apache-2.0 */
#include "deployment.h"
#include "tests.h"

void sleep_ms(u64 ms)
{
    u64 end = clock_monotonic() + ms * MS;

    while (thread_wait(end, false, NULL, 0) == 0)
        continue; /* left-over wake-ups */
}

short poll_one(int fd, short events, int timeout)
{
    struct pollfd p = {.fd = fd, .events = events};
    long r = CALL(poll, &p, 1, timeout);

    assert_in_range(r, 0, 1);
    assert_int_equal(r, p.revents != 0);
    return p.revents;
}

void pair(int type, int fds[2])
{
    assert_int_equal(CALL(socketpair, AF_UNIX, type, 0, fds), 0);
}

void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(world_close(fds[i]), 0);
    assert_int_equal(world_open_files(), 0);
}

int ep_ctl(int ep, int op, int fd, u32 events, u64 data)
{
    struct epoll_event e = {.events = events, .data = data};

    return (int)CALL(epoll_ctl, ep, op, fd, &e);
}

long ep_wait(int ep, int timeout, u32 *events, u64 *data)
{
    struct epoll_event e[8] = {0};
    long r = CALL(epoll_wait, ep, e, 8, timeout);

    if (r > 0) {
        *events = e[0].events;
        *data = e[0].data;
    }
    return r;
}

void tcp_listen(struct sockaddr_in *a, int *listener)
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

void tcp_pair(int s[2])
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

ssize_t receive_with_info(int fd, struct message *m, struct packet_info *p)
{
    static char buf[8];
    static struct uio_segment in = {buf, sizeof(buf)};

    memset(p, 0, sizeof(*p));
    *m = (struct message){.iov = &in, .iov_len = 1, .control = p, .control_len = sizeof(*p)};
    return CALL(recvmsg, fd, m, 0);
}

void udp_with_info(int fd[2], struct sockaddr_in *a)
{
    u32 len = sizeof(*a), on = 1;

    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f};
    for (int i = 0; i < 2; i++)
        fd[i] = (int)CALL(socket, AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(CALL(bind, fd[0], a, len), 0);
    assert_int_equal(CALL(getsockname, fd[0], a, &len), 0);
    assert_int_equal(CALL(setsockopt, fd[0], IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)), 0);
}

int main(void)
{
    world_init();
    g_deployment.policy.loopback_host =
        true; /* the host's sockets are what most of this is about */
    return unix_tests() + epoll_tests() + host_tests() + events_tests() + loop_tests() +
           hostile_tests();
}
