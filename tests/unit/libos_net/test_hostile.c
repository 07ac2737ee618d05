/* SPDX-License-Identifier: Apache-2.0 */
/* A host that lies. */
#include "tests.h"

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

static void test_hostile_control(void **state)
{
    struct packet_info p[2], one = {.len = 28, .level = IPPROTO_IP, .type = IP_PKTINFO};
    struct sockaddr_in a;
    struct message m;
    int fd[2];

    udp_with_info(fd, &a);
    for (int i = 0; i < 3; i++)
        assert_int_equal(CALL(sendto, fd[1], "data", 4, 0, &a, sizeof(a)), 4);
    g_hostile.control_data = 4; /* too short for its kind */
    ASSERT_PANICS(receive_with_info(fd[0], &m, p));
    g_hostile.control_data = 13; /* too long */
    ASSERT_PANICS(receive_with_info(fd[0], &m, p));
    g_hostile.control_data = 1000; /* past the end */
    ASSERT_PANICS(receive_with_info(fd[0], &m, p));

    /* What has no place there does not get to the application. */
    p[0] = (struct packet_info){.len = 20, .level = SOL_SOCKET, .type = SCM_RIGHTS};
    memcpy((u8 *)p + 24, &one, sizeof(one));
    assert_int_equal(ip_control_received((u8 *)p, 24 + sizeof(one), false), sizeof(one));
    assert_memory_equal(p, &one, sizeof(one));
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

int hostile_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_control),
        cmocka_unit_test(test_hostile_address),
        cmocka_unit_test(test_hostile_epoll),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
