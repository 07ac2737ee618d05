/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX sockets: streams, messages with descriptors, names, packets. */
#include "fs.h"
#include "tests.h"
#include "unix.h"

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

/* What could not be sent leaves nothing behind, neither descriptors nor an end of data. */
static void test_scm_of_nothing(void **state)
{
    char buf[8];
    struct uio_segment gone = {NULL, 2};
    int s[2], fd = (int)CALL(eventfd2, 0, 0);
    struct rights r = {.len = 20, .level = SOL_SOCKET, .type = SCM_RIGHTS, .fds = {fd}};
    struct message m = {.iov = &gone, .iov_len = 1, .control = &r, .control_len = sizeof(r)};

    pair(SOCK_STREAM, s);
    for (int i = 0; i < 2; i++)
        assert_int_equal(CALL(sendmsg, s[0], &m, 0), -EFAULT);
    assert_int_equal(world_write(s[0], "12", 2), 2);
    assert_int_equal(world_write(s[0], "34", 2), 2);
    assert_int_equal(world_read(s[1], buf, sizeof(buf)), 4);
    assert_memory_equal(buf, "1234", 4);
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

/* ---- names of the host ---- */

static void outside_name(struct sockaddr_un *a, const char *before, const char *what)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(a->sun_path, sizeof(a->sun_path), "%s/tmp/libos-net-%s-%lx", before, what,
                   (unsigned long)clock_monotonic());
}

static void assert_nobody(int fd)
{
    struct ucred cred = {1, 2, 3};
    u32 len = sizeof(cred);

    assert_int_equal(CALL(getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
    assert_int_equal(cred.pid, 0);
    assert_int_equal(cred.uid, UINT32_MAX);
    assert_int_equal(cred.gid, UINT32_MAX);
}

static void test_outside_stream(void **state)
{
    struct sockaddr_un a, alias, name = {0};
    char buf[8], data[4] = "fd";
    struct uio_segment out = {data, 2};
    struct rights rights = {.len = 20, .level = SOL_SOCKET, .type = SCM_RIGHTS};
    struct message m = {
        .iov = &out, .iov_len = 1, .control = &rights, .control_len = sizeof(rights)};
    u32 len = sizeof(name);
    int fds[5];

    outside_name(&a, "", "stream");
    alias = a;
    (void)snprintf(alias.sun_path, sizeof(alias.sun_path), "/%s", a.sun_path);
    for (int i = 0; i < 3; i++)
        fds[i] = (int)CALL(socket, AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(CALL(bind, fds[0], &a, sizeof(a)), 0);
    assert_int_equal(CALL(connect, fds[1], &alias, sizeof(a)), -ECONNREFUSED);
    assert_int_equal(CALL(listen, fds[0], 4), 0);
    /* One from outside and one from inside, by the same name. */
    assert_int_equal(CALL(connect, fds[1], &alias, sizeof(a)), 0);
    assert_int_equal(CALL(connect, fds[1], &alias, sizeof(a)), -EISCONN);
    assert_int_equal(poll_one(fds[0], POLLIN, -1), POLLIN);
    assert_int_equal(CALL(connect, fds[2], &a, sizeof(a)), 0);
    for (int i = 3; i < 5; i++)
        fds[i] = (int)CALL(accept, fds[0], NULL, NULL);
    assert_int_equal(world_write(fds[1], "out", 3), 3);
    assert_int_equal(world_write(fds[2], "inside", 6), 6);
    if (poll_one(fds[3], POLLIN, -1) == POLLIN && world_read(fds[3], buf, 8) == 6) {
        int other = fds[3];

        fds[3] = fds[4];
        fds[4] = other;
        assert_int_equal(world_read(fds[3], buf, 8), 3);
    } else {
        assert_int_equal(world_read(fds[4], buf, 8), 6);
    }
    assert_nobody(fds[1]);
    assert_nobody(fds[3]);
    assert_int_equal(CALL(getpeername, fds[1], &name, &len), 0);
    assert_string_equal(name.sun_path, alias.sun_path);
    len = sizeof(name);
    assert_int_equal(CALL(getpeername, fds[3], &name, &len), 0);
    assert_int_equal(len, offsetof(struct sockaddr_un, sun_path));
    /* Descriptors stay. */
    rights.fds[0] = fds[0];
    assert_int_equal(CALL(sendmsg, fds[1], &m, 0), -EPERM);
    assert_int_equal(CALL(sendmsg, fds[2], &m, 0), 2);
    assert_int_equal(CALL(sendto, fds[3], "x", 1, MSG_OOB), -EOPNOTSUPP);
    assert_int_equal(CALL(shutdown, fds[1], SHUT_WR), 0);
    assert_int_equal(poll_one(fds[3], POLLIN | POLLRDHUP, -1), POLLIN | POLLRDHUP);
    assert_int_equal(world_read(fds[3], buf, 8), 0);
    assert_int_equal(world_close(fds[3]), 0);
    assert_int_equal(CALL(sendto, fds[1], "q", 1, MSG_NOSIGNAL), -EPIPE);
    assert_int_equal(world_close(fds[1]), 0);
    assert_int_equal(world_close(fds[2]), 0);
    assert_int_equal(world_close(fds[4]), 0);
    close_all(fds, 1);
    assert_int_equal(stub_unlink(a.sun_path), 0);
}

/* A listener whose name is inside alone takes no connection from its outer half. */
static void test_inside_listener(void **state)
{
    struct sockaddr_un a, nobody;
    u32 len = abstract(&a, "inside");
    int fds[4];

    outside_name(&nobody, "/", "nobody");
    fds[0] = (int)CALL(socket, AF_UNIX, SOCK_STREAM, 0);
    assert_true(CALL(connect, fds[0], &nobody, sizeof(nobody)) < 0); /* makes the outer half */
    assert_int_equal(CALL(bind, fds[0], &a, len), 0);
    assert_int_equal(CALL(listen, fds[0], 1), 0);
    fds[1] = (int)CALL(socket, AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(poll_one(fds[0], POLLIN, 0), 0);
    assert_int_equal(CALL(connect, fds[1], &a, len), 0);
    assert_int_equal(poll_one(fds[0], POLLIN, 0), POLLIN);
    fds[2] = (int)CALL(accept, fds[0], NULL, NULL);
    assert_true(fds[2] >= 0);
    close_all(fds, 3);
}

static void test_outside_datagrams(void **state)
{
    struct sockaddr_un a, alias, own, from;
    char buf[8];
    u32 len = sizeof(from);
    int s[2];

    outside_name(&a, "", "to");
    outside_name(&own, "", "from");
    alias = a;
    (void)snprintf(alias.sun_path, sizeof(alias.sun_path), "/%s", a.sun_path);
    s[0] = (int)CALL(socket, AF_UNIX, SOCK_DGRAM, 0);
    s[1] = (int)CALL(socket, AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(CALL(bind, s[0], &a, sizeof(a)), 0);
    assert_int_equal(CALL(bind, s[1], &own, sizeof(own)), 0);
    assert_int_equal(CALL(sendto, s[1], "outside", 7, 0, &alias, sizeof(alias)), 7);
    assert_int_equal(CALL(sendto, s[1], "in", 2, 0, &a, sizeof(a)), 2);
    for (int i = 0, sum = 0; i < 2; i++) {
        int r = (int)CALL(recvfrom, s[0], buf, 8, 0, &from, &len);

        sum += r;
        assert_string_equal(from.sun_path, own.sun_path);
        assert_true(i == 0 || sum == 9);
    }
    assert_int_equal(CALL(recvfrom, s[0], buf, 8, MSG_DONTWAIT), -EAGAIN);
    /* Connected outside: nobody inside gets through, and the other way round. */
    assert_int_equal(CALL(connect, s[1], &alias, sizeof(alias)), 0);
    assert_int_equal(CALL(sendto, s[0], "x", 1, 0, &own, sizeof(own)), -EPERM);
    assert_int_equal(world_write(s[1], "three", 5), 5);
    assert_int_equal(poll_one(s[0], POLLIN, -1), POLLIN);
    assert_int_equal(world_read(s[0], buf, 8), 5);
    from = (struct sockaddr_un){.sun_family = AF_UNSPEC};
    assert_int_equal(CALL(connect, s[1], &from, sizeof(u16)), 0);
    assert_int_equal(world_write(s[1], "none", 4), -ENOTCONN);
    close_all(s, 2);
    assert_int_equal(stub_unlink(a.sun_path), 0);
    assert_int_equal(stub_unlink(own.sun_path), 0);
}

/* A name that the host gives is looked up only when that tells the host nothing. */
static void test_names_arriving(void **state)
{
    static const char *const shy[] = {"/tmp/held/../../tmp/s", "../tmp/s", "tmp/s", "/..", "s/.."};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    u32 len, asked = g_lookups;

    for (size_t i = 0; i < ARRAY_SIZE(shy); i++) {
        (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", shy[i]);
        len = sizeof(a);
        unix_name_arriving((u8 *)&a, &len);
        assert_int_equal(len, offsetof(struct sockaddr_un, sun_path));
    }
    assert_int_equal(g_lookups, asked);
    (void)snprintf(a.sun_path, sizeof(a.sun_path), "//tmp/arriving..");
    len = sizeof(a);
    unix_name_arriving((u8 *)&a, &len);
    assert_int_equal(len, sizeof(a));
    assert_int_equal(g_lookups, asked + 1);
    assert_int_equal(g_lookup_flags, LOOKUP_NO_MAGIC);
}

int unix_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_basics),
        cmocka_unit_test(test_stream_bulk),
        cmocka_unit_test(test_stream_full),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_scm_rights),
        cmocka_unit_test(test_scm_bad),
        cmocka_unit_test(test_scm_of_nothing),
        cmocka_unit_test(test_datagrams),
        cmocka_unit_test(test_listen),
        cmocka_unit_test(test_seqpacket),
        cmocka_unit_test(test_outside_stream),
        cmocka_unit_test(test_inside_listener),
        cmocka_unit_test(test_outside_datagrams),
        cmocka_unit_test(test_names_arriving),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
