/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of the host: TCP, UDP, netlink. */
#include "deployment.h"
#include "tests.h"
#include <linux/netlink.h>
#include <linux/sockios.h>

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
    words[4] = 0;  /* family, type */
    words[5] = 2;  /* interface */
    assert_int_equal(netlink_check_request(b, 40), -EPERM);
    assert_int_equal(words[1], 16);
    g_deployment.policy.loopback_host = false;
    current_process()->cred.cap_effective |= 1ull << 12; /* CAP_NET_ADMIN */
    words[0] = 32;                                       /* without attributes: lo is up already */
    words[5] = words[6] = words[7] = 1;
    assert_int_equal(netlink_check_request(b, 32), 0);
    assert_int_equal(words[1], NLMSG_NOOP);
    words[1] = 16;
    words[6] = 0; /* down */
    assert_int_equal(netlink_check_request(b, 32), -EPERM);
    words[6] = 1;
    words[5] = 1;
    g_deployment.policy.loopback_host = true; /* it may be down */
    assert_int_equal(netlink_check_request(b, 32), -EPERM);
    words[0] = 40;
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

static void test_ip_control(void **state)
{
    char data[] = "data";
    struct uio_segment out = {data, 4};
    struct packet_info p = {.len = 28, .level = IPPROTO_IP, .type = IP_PKTINFO};
    struct sockaddr_in a;
    struct message m;
    int fd[2];

    udp_with_info(fd, &a);
    p.info.ipi_spec_dst.s_addr = 0x0200007f;
    m = (struct message){.name = (u8 *)&a,
                         .name_len = sizeof(a),
                         .iov = &out,
                         .iov_len = 1,
                         .control = &p,
                         .control_len = sizeof(p)};
    assert_int_equal(CALL(sendmsg, fd[1], &m, 0), 4);
    /* Descriptors mean nothing here, and would mean the host's own there; the rest is refused. */
    p.level = SOL_SOCKET;
    p.type = SCM_RIGHTS;
    assert_int_equal(CALL(sendmsg, fd[1], &m, 0), 4);
    p.type = SO_TIMESTAMPNS_OLD;
    assert_int_equal(CALL(sendmsg, fd[1], &m, 0), -EINVAL);
    p = (struct packet_info){.len = 28, .level = IPPROTO_IP, .type = 99};
    assert_int_equal(CALL(sendmsg, fd[1], &m, 0), -EINVAL);
    p.len = 200;
    assert_int_equal(CALL(sendmsg, fd[1], &m, 0), -EINVAL);
    m.control_len = 600;
    assert_int_equal(CALL(sendmsg, fd[1], &m, 0), -ENOBUFS);

    assert_int_equal(receive_with_info(fd[0], &m, &p), 4);
    assert_int_equal(m.control_len, sizeof(p));
    assert_int_equal(p.len, 28);
    assert_int_equal(p.type, IP_PKTINFO);
    assert_int_equal(p.info.ipi_addr.s_addr, 0x0100007f);
    m = (struct message){.iov = m.iov, .iov_len = 1, .control = &p, .control_len = 20};
    assert_int_equal(CALL(recvmsg, fd[0], &m, 0), 4);
    assert_int_equal(m.control_len, 20);
    assert_int_equal(m.flags & MSG_CTRUNC, MSG_CTRUNC);
    assert_int_equal(CALL(recvmsg, fd[0], &m, MSG_ERRQUEUE), -EAGAIN);
    close_all(fd, 2);
}

int host_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),        cmocka_unit_test(test_tcp_refused),
        cmocka_unit_test(test_udp),        cmocka_unit_test(test_netlink_replies),
        cmocka_unit_test(test_getifaddrs), cmocka_unit_test(test_ip_control),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
