/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd, timerfd and signalfd. */
#include "tests.h"

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

int events_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eventfd),
        cmocka_unit_test(test_timerfd),
        cmocka_unit_test(test_signalfd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
