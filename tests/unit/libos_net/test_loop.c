/* SPDX-License-Identifier: Apache-2.0 */
/* The enclave's own loopback: what is inside, what the host gets to do, many threads at once. */
#include "deployment.h"
#include "host_name.h"
#include "tests.h"

#define THREADS 4
#define ROUNDS  300

static int inside(void **state)
{
    g_deployment.policy.loopback_host = false;
    return 0;
}

static int outside(void **state)
{
    g_deployment.policy.loopback_host = true;
    return 0;
}

/* A server of a wildcard and its port. */
static int wildcard(int type, struct sockaddr_in *a)
{
    u32 len = sizeof(*a);
    int s = (int)CALL(socket, AF_INET, type, 0);

    *a = (struct sockaddr_in){.sin_family = AF_INET};
    assert_int_equal(CALL(bind, s, a, len), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(CALL(listen, s, 8), 0);
    assert_int_equal(CALL(getsockname, s, a, &len), 0);
    assert_true(a->sin_port != 0);
    a->sin_addr.s_addr = 0x0100007f;
    return s;
}

/* A socket of the host's, as another program of the pod has. */
static int stranger(int type)
{
    int s;

    g_deployment.policy.loopback_host = true;
    s = (int)CALL(socket, AF_INET, type, 0);
    g_deployment.policy.loopback_host = false;
    assert_true(s >= 0);
    return s;
}

static long as_stranger_connect(int s, struct sockaddr_in *a)
{
    long r;

    g_deployment.policy.loopback_host = true;
    r = CALL(connect, s, a, sizeof(*a));
    g_deployment.policy.loopback_host = false;
    return r;
}

static long as_stranger_sendto(int s, const char *text, struct sockaddr_in *a)
{
    long r;

    g_deployment.policy.loopback_host = true;
    r = CALL(sendto, s, text, strlen(text), 0, a, sizeof(*a));
    g_deployment.policy.loopback_host = false;
    return r;
}

/* A server on 127.0.0.1 has no port of the host's: whoever tries there finds nobody. */
static void test_server_is_hidden(void **state)
{
    struct sockaddr_in a;
    int fd[3];

    tcp_listen(&a, &fd[0]);
    fd[1] = stranger(SOCK_STREAM);
    assert_int_equal(as_stranger_connect(fd[1], &a), -ECONNREFUSED);
    fd[2] = (int)CALL(socket, AF_INET, SOCK_STREAM, 0);
    assert_int_equal(CALL(connect, fd[2], &a, sizeof(a)), 0);
    close_all(fd, 3);
}

/* And a client inside finds no server of the host's. */
static void test_host_does_not_answer(void **state)
{
    struct sockaddr_in a;
    int fd[2];

    g_deployment.policy.loopback_host = true;
    tcp_listen(&a, &fd[0]);
    g_deployment.policy.loopback_host = false;
    fd[1] = (int)CALL(socket, AF_INET, SOCK_STREAM, 0);
    assert_int_equal(CALL(connect, fd[1], &a, sizeof(a)), -ECONNREFUSED);
    /* By its other name it does. */
    a.sin_addr.s_addr = 0x080000c0;
    assert_int_equal(CALL(connect, fd[1], &a, sizeof(a)), 0);
    close_all(fd, 2);
}

/* Both come to a wildcard, and who comes from the host's loopback does not look like localhost. */
static void test_both_sides(void **state)
{
    struct sockaddr_in a, peer;
    u32 len = sizeof(peer), ones = 0, strangers = 0;
    int l = wildcard(SOCK_STREAM, &a), fd[5] = {l}, s;

    fd[1] = (int)CALL(socket, AF_INET, SOCK_STREAM, 0);
    fd[2] = stranger(SOCK_STREAM);
    fd[3] = (int)CALL(socket, AF_INET, SOCK_STREAM, 0);
    assert_int_equal(CALL(connect, fd[1], &a, sizeof(a)), 0);
    assert_int_equal(as_stranger_connect(fd[2], &a), 0);
    assert_int_equal(CALL(connect, fd[3], &a, sizeof(a)), 0);
    for (int i = 0; i < 3; i++) {
        s = (int)CALL(accept4, l, &peer, &len, 0);
        assert_true(s >= 0);
        ones += peer.sin_addr.s_addr == 0x0100007f;
        strangers += peer.sin_addr.s_addr == 0x080000c0;
        assert_int_equal(CALL(getsockname, s, &peer, &len), 0);
        assert_int_equal(peer.sin_port, a.sin_port);
        assert_int_equal(world_close(s), 0);
    }
    assert_int_equal(ones, 2);
    assert_int_equal(strangers, 1);
    close_all(fd, 4);
}

static void test_datagrams_of_both(void **state)
{
    struct sockaddr_in a, from;
    u32 len = sizeof(from), ones = 0;
    int fd[3];
    char buf[8];

    fd[0] = wildcard(SOCK_DGRAM, &a);
    fd[1] = (int)CALL(socket, AF_INET, SOCK_DGRAM, 0);
    fd[2] = stranger(SOCK_DGRAM);
    assert_int_equal(as_stranger_sendto(fd[2], "out", &a), 3);
    assert_int_equal(CALL(sendto, fd[1], "in", 2, 0, &a, sizeof(a)), 2);
    assert_int_equal(CALL(sendto, fd[1], "in", 2, 0, &a, sizeof(a)), 2);
    for (int i = 0; i < 3; i++) {
        long r = CALL(recvfrom, fd[0], buf, sizeof(buf), 0, &from, &len);

        assert_int_equal(from.sin_addr.s_addr, r == 2 ? 0x0100007f : 0x080000c0);
        ones += r == 2;
        if (r == 3) /* and gets an answer by the name it came with */
            assert_int_equal(CALL(sendto, fd[0], "back", 4, 0, &from, sizeof(from)), 4);
    }
    assert_int_equal(ones, 2);
    assert_int_equal(world_read(fd[2], buf, 8), 4);
    /* Connected to one inside: the host's do not count, nor wake who polls. */
    assert_int_equal(CALL(getsockname, fd[1], &from, &len), 0);
    from.sin_addr.s_addr = 0x0100007f;
    assert_int_equal(CALL(connect, fd[0], &from, sizeof(from)), 0);
    assert_int_equal(as_stranger_sendto(fd[2], "out", &a), 3);
    assert_int_equal(poll_one(fd[0], POLLIN, 20), 0);
    assert_int_equal(CALL(recvfrom, fd[0], buf, 8, MSG_DONTWAIT), -EAGAIN);
    close_all(fd, 3);
}

/* Edges of both halves of one socket are told. */
static void test_epoll_of_both(void **state)
{
    struct sockaddr_in a;
    int ep = (int)CALL(epoll_create1, 0), fd[4];
    char buf[8];
    u32 events;
    u64 data;

    fd[0] = wildcard(SOCK_DGRAM, &a);
    fd[1] = (int)CALL(socket, AF_INET, SOCK_DGRAM, 0);
    fd[2] = stranger(SOCK_DGRAM);
    fd[3] = ep;
    assert_int_equal(ep_ctl(ep, EPOLL_CTL_ADD, fd[0], EPOLLIN | EPOLLET, 7), 0);
    assert_int_equal(ep_wait(ep, 10, &events, &data), 0);
    assert_int_equal(as_stranger_sendto(fd[2], "out", &a), 3);
    assert_int_equal(CALL(sendto, fd[1], "in", 2, 0, &a, sizeof(a)), 2);
    assert_int_equal(ep_wait(ep, 1000, &events, &data), 1);
    assert_int_equal(data, 7);
    for (int i = 0; i < 2; i++)
        assert_true(world_read(fd[0], buf, 8) > 0);
    assert_int_equal(as_stranger_sendto(fd[2], "out", &a), 3);
    assert_int_equal(ep_wait(ep, 1000, &events, &data), 1);
    assert_int_equal(world_read(fd[0], buf, 8), 3);
    assert_int_equal(ep_wait(ep, 10, &events, &data), 0);
    assert_int_equal(CALL(sendto, fd[1], "in", 2, 0, &a, sizeof(a)), 2);
    assert_int_equal(ep_wait(ep, 1000, &events, &data), 1);
    assert_int_equal(world_read(fd[0], buf, 8), 2);
    close_all(fd, 4);
}

/* Nothing that goes to the host may mean its loopback. */
static void test_edge(void **state)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = 0x0500007f, .sin_port = 0x3500};
    struct sockaddr_in6 b = {.sin6_family = AF_INET6, .sin6_addr.s6_addr = {[15] = 1}};
    bool resolver = false;
    int fd;

    assert_int_equal(host_name_leaving((u8 *)&a, sizeof(a), true, &resolver), -ENETUNREACH);
    assert_int_equal(host_name_leaving((u8 *)&b, sizeof(b), true, &resolver), -ENETUNREACH);
    b.sin6_addr = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 127, [13] = 9}};
    assert_int_equal(host_name_leaving((u8 *)&b, sizeof(b), true, &resolver), -ENETUNREACH);
    b.sin6_addr = (struct in6_addr){0};
    assert_int_equal(host_name_leaving((u8 *)&b, sizeof(b), true, &resolver), -ENETUNREACH);
    assert_int_equal(host_name_leaving((u8 *)&b, sizeof(b), false, &resolver), 0);
    assert_false(resolver);
    a.sin_addr.s_addr = 0x0b00007f; /* Docker's resolver, and only its port */
    assert_int_equal(host_name_leaving((u8 *)&a, sizeof(a), true, &resolver), 0);
    assert_true(resolver);
    host_name_arriving((u8 *)&a, sizeof(a), true);
    assert_int_equal(a.sin_addr.s_addr, 0x0b00007f);
    host_name_arriving((u8 *)&a, sizeof(a), false);
    assert_int_equal(a.sin_addr.s_addr, 0x080000c0);
    a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = 0x0b00007f, .sin_port = 1};
    assert_int_equal(host_name_leaving((u8 *)&a, sizeof(a), true, &resolver), -ENETUNREACH);
    /* Sockets of other protocols are the host's, and get nothing of it either. */
    fd = (int)CALL(socket, AF_INET, SOCK_RAW, 253);
    if (fd >= 0) {
        a.sin_addr.s_addr = 0x0100007f;
        assert_int_equal(CALL(sendto, fd, "x", 1, 0, &a, sizeof(a)), -ENETUNREACH);
        assert_int_equal(CALL(bind, fd, &a, sizeof(a)), -EADDRNOTAVAIL);
        assert_int_equal(world_close(fd), 0);
    }
    assert_int_equal(CALL(socket, AF_INET, SOCK_STREAM, 262), -EPROTONOSUPPORT); /* MPTCP */
}

/* ---- many at once ---- */

struct shared {
    struct sockaddr_in a;
    int listener;
    u32 failed;
};

static void connect_often(void *arg)
{
    struct shared *sh = arg;
    char buf[512];

    for (int i = 0; i < ROUNDS; i++) {
        int s = (int)CALL(socket, AF_INET, SOCK_STREAM, 0);
        long r = CALL(connect, s, &sh->a, sizeof(sh->a));

        if (r == 0 && i % 3 != 0) {
            memset(buf, i, sizeof(buf));
            r = world_write(s, buf, sizeof(buf)) == sizeof(buf) ? 0 : -EIO;
            if (r == 0 && i % 3 == 1)
                r = CALL(recvfrom, s, buf, sizeof(buf), MSG_WAITALL) == sizeof(buf) ? 0 : -EIO;
        }
        if (r < 0)
            __atomic_add_fetch(&sh->failed, 1, __ATOMIC_SEQ_CST);
        world_close(s);
    }
}

static void serve_often(void *arg)
{
    struct shared *sh = arg;
    char buf[512];
    long r;

    for (;;) {
        int s = (int)CALL(accept4, sh->listener, NULL, NULL, 0);

        if (s < 0)
            return; /* shut down */
        while ((r = world_read(s, buf, sizeof(buf))) > 0)
            (void)CALL(sendto, s, buf, r, MSG_NOSIGNAL);
        world_close(s);
    }
}

static void test_many(void **state)
{
    struct shared sh = {0};
    u64 clients[THREADS], servers[THREADS];

    tcp_listen(&sh.a, &sh.listener);
    for (int i = 0; i < THREADS; i++)
        servers[i] = world_thread(serve_often, &sh);
    for (int i = 0; i < THREADS; i++)
        clients[i] = world_thread(connect_often, &sh);
    for (int i = 0; i < THREADS; i++)
        stub_thread_join(clients[i]);
    assert_int_equal(CALL(shutdown, sh.listener, SHUT_RD), 0);
    for (int i = 0; i < THREADS; i++)
        stub_thread_join(servers[i]);
    assert_int_equal(sh.failed, 0);
    close_all(&sh.listener, 1);
}

/* Who waits is told when the other end goes while it waits, and when a listener does. */
static void close_later(void *arg)
{
    sleep_ms(20);
    world_close(*(int *)arg);
}

static void test_end_while_waiting(void **state)
{
    static u8 big[400000];
    struct sockaddr_in a;
    int s[2], l, c[2];
    u64 t;

    tcp_pair(s);
    t = world_thread(close_later, &s[1]);
    assert_int_equal(world_read(s[0], big, 1), 0);
    stub_thread_join(t);
    close_all(s, 1);
    tcp_pair(s);
    t = world_thread(close_later, &s[1]);
    assert_true(world_write(s[0], big, sizeof(big)) > 0); /* what fitted; the reset comes next */
    assert_true(CALL(sendto, s[0], big, 1, MSG_NOSIGNAL) < 0);
    stub_thread_join(t);
    close_all(s, 1);
    /* A connection that waits for the backlog. */
    l = (int)CALL(socket, AF_INET, SOCK_STREAM, 0);
    a = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f, .sin_port = 0x5555};
    assert_int_equal(CALL(bind, l, &a, sizeof(a)), 0);
    assert_int_equal(CALL(listen, l, 0), 0);
    for (int i = 0; i < 2; i++)
        c[i] = (int)CALL(socket, AF_INET, SOCK_STREAM, 0);
    assert_int_equal(CALL(connect, c[0], &a, sizeof(a)), 0);
    t = world_thread(close_later, &l);
    assert_int_equal(CALL(connect, c[1], &a, sizeof(a)), -ECONNREFUSED);
    stub_thread_join(t);
    close_all(c, 2);
}

static int g_early;
static struct sockaddr_in g_peer;

static void send_early(void)
{
    assert_int_equal(CALL(sendto, g_early, "early", 5, 0, &g_peer, sizeof(g_peer)), 5);
}

/* While the host is asked for the port that connect() takes inside as well, another thread sends,
 * and the socket has one already. */
static void test_late_port(void **state)
{
    struct sockaddr_in out, own, again = {.sin_family = AF_INET};
    u32 len = sizeof(own);
    char buf[8];
    int fd[3], more;

    fd[0] = wildcard(SOCK_DGRAM, &g_peer);
    fd[1] = g_early = (int)CALL(socket, AF_INET, SOCK_DGRAM, 0);
    fd[2] = wildcard(SOCK_DGRAM, &out);
    out.sin_addr.s_addr = 0x080000c0;
    assert_int_equal(CALL(sendto, fd[1], "out", 3, 0, &out, sizeof(out)), 3);
    g_hostile.late = send_early;
    assert_int_equal(CALL(connect, fd[1], &g_peer, sizeof(g_peer)), 0);
    assert_null(g_hostile.late);
    assert_int_equal(world_read(fd[0], buf, sizeof(buf)), 5);
    assert_int_equal(CALL(getsockname, fd[1], &own, &len), 0);
    assert_int_equal(world_close(fd[1]), 0);
    /* Its port is nobody's now. */
    more = (int)CALL(socket, AF_INET, SOCK_DGRAM, 0);
    again.sin_addr.s_addr = 0x0100007f;
    again.sin_port = own.sin_port;
    assert_int_equal(CALL(bind, more, &again, sizeof(again)), 0);
    fd[1] = more;
    close_all(fd, 3);
}

int loop_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_is_hidden),
        cmocka_unit_test(test_host_does_not_answer),
        cmocka_unit_test(test_both_sides),
        cmocka_unit_test(test_datagrams_of_both),
        cmocka_unit_test(test_epoll_of_both),
        cmocka_unit_test(test_edge),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_end_while_waiting),
        cmocka_unit_test(test_late_port),
    };

    return cmocka_run_group_tests(tests, inside, outside);
}
