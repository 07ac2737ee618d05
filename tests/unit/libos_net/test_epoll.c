/* SPDX-License-Identifier: Apache-2.0 */
/* epoll with UNIX and TCP sockets, alone, nested and crowded; select. */
#include "tests.h"

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

int epoll_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epoll_unix),   cmocka_unit_test(test_epoll_tcp),
        cmocka_unit_test(test_epoll_nested), cmocka_unit_test(test_ping_pong),
        cmocka_unit_test(test_epoll_crowd),  cmocka_unit_test(test_select),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
