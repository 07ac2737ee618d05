/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX sockets across fork, descriptors and credentials in messages, TCP and UDP on the loopback
 * with control data, interface lists. */
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static void pair_across_fork(void)
{
    int s[2];
    char buf[64];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(s[0]);
        ssize_t n;
        while ((n = read(s[1], buf, sizeof(buf))) > 0) {
            for (ssize_t i = 0; i < n; i++)
                buf[i] ^= 0x20;
            if (write(s[1], buf, (size_t)n) != n)
                _exit(1);
        }
        _exit(n == 0 ? 0 : 2);
    }
    close(s[1]);
    for (int i = 0; i < 50; i++) {
        CHECK(write(s[0], "Hello", 5) == 5);
        CHECK(read(s[0], buf, sizeof(buf)) == 5 && memcmp(buf, "hELLO", 5) == 0);
    }
    CHECK(shutdown(s[0], SHUT_WR) == 0);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(read(s[0], buf, 1) == 0);
    close(s[0]);
}

static long try_send_fd(int via, int fd, int flags)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {"f", 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    return sendmsg(via, &m, flags);
}

static void send_fd(int via, int fd)
{
    CHECK(try_send_fd(via, fd, 0) == 1);
}

static int receive_fd(int via, struct ucred *cred)
{
    union {
        struct cmsghdr align;
        char room[256];
    } control;
    char byte;
    int fd = -1;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    CHECK(recvmsg(via, &m, MSG_CMSG_CLOEXEC) == 1 && byte == 'f');
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_type == SCM_RIGHTS)
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        if (c->cmsg_type == SCM_CREDENTIALS)
            memcpy(cred, CMSG_DATA(c), sizeof(*cred));
    }
    return fd;
}

/* A socket in flight holds a socket in flight, and so on: all go when the last one is closed. */
static void a_chain_in_flight_goes_at_once(void)
{
    int s[2], next[2];
    char byte;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    const int first = fcntl(s[0], F_DUPFD_CLOEXEC, 0);
    for (int i = 0; i < 900; i++) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, next) == 0);
        send_fd(next[0], s[1]);
        close(s[0]);
        close(s[1]);
        memcpy(s, next, sizeof(s));
    }
    close(s[0]);
    close(s[1]);
    CHECK(read(first, &byte, 1) == 0);
    close(first);
}

static void descriptors(void)
{
    int s[2], p[2], one = 1;
    char buf[8];
    struct ucred cred = {0};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && pipe(p) == 0);
    CHECK(setsockopt(s[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        send_fd(s[1], p[1]);
        _exit(g_failed);
    }
    close(p[1]);
    int fd = receive_fd(s[0], &cred);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK(cred.pid == pid && cred.uid == getuid());
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(write(fd, "through", 7) == 7 && close(fd) == 0);
    CHECK(read(p[0], buf, 8) == 7 && memcmp(buf, "through", 7) == 0);
    CHECK(read(p[0], buf, 8) == 0);
    close(p[0]);
    close(s[0]);
    close(s[1]);
}

/* Reads n bytes; who is said to have written them: 0, all, is told to be nobody. */
static struct ucred who_wrote(int fd, size_t n)
{
    char text[16], room[CMSG_SPACE(sizeof(struct ucred))];
    struct ucred cred = {0};
    struct iovec v = {text, n};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
    struct cmsghdr *c;
    CHECK(recvmsg(fd, &m, 0) == (ssize_t)n);
    c = CMSG_FIRSTHDR(&m);
    CHECK(c && c->cmsg_type == SCM_CREDENTIALS);
    if (c)
        memcpy(&cred, CMSG_DATA(c), sizeof(cred));
    return cred;
}

static void pass_credentials(int fd, int on)
{
    CHECK(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
}

static pid_t written_by_child(int fd, const char *text)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(write(fd, text, strlen(text)) != (ssize_t)strlen(text));
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    return pid;
}

/* Bytes are never said to be of somebody who did not write them. */
static void credentials_go_with_bytes(void)
{
    struct ucred c;
    char text[8];
    int s[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    CHECK(write(s[0], "ab", 2) == 2);
    pass_credentials(s[1], 1);
    c = who_wrote(s[1], 1);
    CHECK(c.pid == 0 && c.uid == 65534 && c.gid == 65534); /* nobody was asked then */
    pid_t child = written_by_child(s[0], "cd");
    CHECK(write(s[0], "ef", 2) == 2);
    c = who_wrote(s[1], 1);
    CHECK(c.pid == 0 && c.uid == 65534);
    CHECK(who_wrote(s[1], 1).pid == child && who_wrote(s[1], 1).pid == child);
    CHECK(who_wrote(s[1], 1).pid == getpid());
    pass_credentials(s[1], 0);
    CHECK(written_by_child(s[0], "gh") > 0);
    CHECK(read(s[1], text, 2) == 2 && memcmp(text, "fg", 2) == 0); /* no end of a read */
    pass_credentials(s[1], 1);
    CHECK(who_wrote(s[1], 1).uid == 65534);
    close(s[0]);
    close(s[1]);
}

/* Whoever connects is known, though it writes before it is accepted. */
static void credentials_before_accept(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0credentials"};
    int l = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(l, (void *)&a, sizeof(a)) == 0 && listen(l, 1) == 0);
    CHECK(connect(fd, (void *)&a, sizeof(a)) == 0);
    pid_t child = written_by_child(fd, "early");
    int s = accept(l, NULL, NULL);
    pass_credentials(s, 1);
    CHECK(who_wrote(s, 5).pid == child);
    close(l);
    close(fd);
    close(s);
}

/* Descriptors in messages count for who sent them, until they are received. */
static void in_flight(void)
{
    struct rlimit few = {40, 40};
    int s[2], sent = 0, status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0 && setuid(54321) == 0);
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
        while (sent < 200 && try_send_fd(s[0], s[0], MSG_DONTWAIT) == 1)
            sent++;
        CHECK(sent > 0 && sent <= 42 && errno == ETOOMANYREFS);
        for (int i = 0; i < sent; i++) {
            struct ucred cred;
            int fd = receive_fd(s[1], &cred);
            CHECK(fd >= 0 && close(fd) == 0);
        }
        CHECK(try_send_fd(s[0], s[0], MSG_DONTWAIT) == 1);
        _exit(g_failed);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* SO_PEERGROUPS tells of the peer, not of who asks. */
static void groups_of_the_peer(void)
{
    gid_t groups[4] = {11, 22, 33}, got[8] = {0};
    socklen_t size = sizeof(got);
    int s[2], status, other = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(getsockopt(other, SOL_SOCKET, SO_PEERGROUPS, got, &size) < 0 && errno == ENODATA);
    close(other);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(setgroups(3, groups) == 0);
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && setgroups(0, NULL) == 0);
        size = sizeof(got);
        CHECK(getsockopt(s[0], SOL_SOCKET, SO_PEERGROUPS, got, &size) == 0);
        CHECK(size == 3 * sizeof(gid_t) && memcmp(got, groups, size) == 0);
        _exit(g_failed);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void *accept_and_answer(void *arg)
{
    int fd = accept4(*(int *)arg, NULL, NULL, SOCK_CLOEXEC);
    char buf[32];
    ssize_t n = read(fd, buf, sizeof(buf));
    CHECK(n > 0 && write(fd, buf, (size_t)n) == n);
    close(fd);
    return NULL;
}

static void path_names(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX}, got;
    socklen_t len = sizeof(got);
    struct stat st;
    char buf[8];
    pthread_t t;
    snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/libos-socket.%d", getpid());
    int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(connect(c, (struct sockaddr *)&a, sizeof(a)) == -1 && errno == ENOENT);
    CHECK(bind(l, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(stat(a.sun_path, &st) == 0 && S_ISSOCK(st.st_mode));
    CHECK(open(a.sun_path, O_RDWR) == -1 && errno == ENXIO);
    CHECK(connect(c, (struct sockaddr *)&a, sizeof(a)) == -1 && errno == ECONNREFUSED);
    CHECK(listen(l, 4) == 0);
    CHECK(pthread_create(&t, NULL, accept_and_answer, &l) == 0);
    CHECK(connect(c, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(getpeername(c, (struct sockaddr *)&got, &len) == 0 &&
          strcmp(got.sun_path, a.sun_path) == 0);
    CHECK(write(c, "ping", 4) == 4 && read(c, buf, 8) == 4 && memcmp(buf, "ping", 4) == 0);
    pthread_join(t, NULL);
    int again = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(again, (struct sockaddr *)&a, sizeof(a)) == -1 && errno == EADDRINUSE);
    CHECK(unlink(a.sun_path) == 0);
    CHECK(connect(again, (struct sockaddr *)&a, sizeof(a)) == -1 && errno == ENOENT);
    close(again);
    close(c);
    close(l);
}

static void datagrams(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX}, from;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1),
              from_len = sizeof(from);
    char buf[16];
    len += (socklen_t)snprintf(a.sun_path + 1, 60, "libos-datagrams-%d", getpid());
    int d = socket(AF_UNIX, SOCK_DGRAM, 0), s = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(bind(d, (struct sockaddr *)&a, len) == 0);
    CHECK(sendto(s, "one", 3, 0, (struct sockaddr *)&a, len) == 3);
    CHECK(connect(s, (struct sockaddr *)&a, len) == 0 && send(s, "second", 6, 0) == 6);
    CHECK(recvfrom(d, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len) == 3);
    CHECK(from_len == 0); /* the sender has no name */
    CHECK(recv(d, buf, 2, MSG_TRUNC) == 6);
    CHECK(recv(d, buf, 2, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    close(s);
    close(d);
}

static void *serve_one(void *arg)
{
    static char buf[100000];
    int fd = accept(*(int *)arg, NULL, NULL);
    ssize_t n;
    CHECK(fd >= 0);
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (ssize_t done = 0, r; done < n; done += r) {
            r = write(fd, buf + done, (size_t)(n - done));
            if (r <= 0) {
                CHECK(r > 0);
                break;
            }
        }
    }
    CHECK(n == 0);
    close(fd);
    return NULL;
}

static void tcp(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer;
    socklen_t len = sizeof(a);
    int one = 1, value = 0, type = 0;
    static char out[200000], in[200000];
    pthread_t t;
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
    CHECK(bind(l, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(l, 5) == 0);
    CHECK(getsockname(l, (struct sockaddr *)&a, &len) == 0 && a.sin_port != 0);
    CHECK(pthread_create(&t, NULL, serve_one, &l) == 0);
    int c = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    CHECK(connect(c, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(getpeername(c, (struct sockaddr *)&peer, &len) == 0 && peer.sin_port == a.sin_port);
    CHECK(setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
    len = sizeof(value);
    CHECK(getsockopt(c, IPPROTO_TCP, TCP_NODELAY, &value, &len) == 0 && value != 0);
    CHECK(getsockopt(c, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM);
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (char)(i * 7 + (i >> 9));
    size_t sent = 0, got = 0;
    while (got < sizeof(in)) {
        if (sent < sizeof(out)) {
            ssize_t r = send(c, out + sent, sizeof(out) - sent > 30000 ? 30000 : sizeof(out) - sent,
                             MSG_DONTWAIT);
            CHECK(r > 0 || errno == EAGAIN);
            sent += r > 0 ? (size_t)r : 0;
        }
        ssize_t r = recv(c, in + got, sizeof(in) - got, sent < sizeof(out) ? MSG_DONTWAIT : 0);
        CHECK(r > 0 || errno == EAGAIN);
        got += r > 0 ? (size_t)r : 0;
        if (g_failed)
            break;
    }
    CHECK(memcmp(in, out, sizeof(in)) == 0);
    CHECK(shutdown(c, SHUT_WR) == 0 && read(c, in, 1) == 0);
    pthread_join(t, NULL);
    close(c);
    close(l);
    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(connect(c, (struct sockaddr *)&a, sizeof(a)) == -1 &&
          (errno == EINPROGRESS || errno == ECONNREFUSED));
    close(c);
}

static void udp(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in b = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
    socklen_t len = sizeof(b);
    char buf[64];
    int d = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(d, (struct sockaddr *)&b, sizeof(b)) == 0 &&
          getsockname(d, (struct sockaddr *)&b, &len) == 0);
    CHECK(connect(s, (struct sockaddr *)&b, sizeof(b)) == 0);
    struct iovec iov[2] = {{"data", 4}, {"gram", 4}};
    struct mmsghdr mm[2] = {{{.msg_iov = iov, .msg_iovlen = 2}, 0},
                            {{.msg_iov = iov, .msg_iovlen = 1}, 0}};
    CHECK(sendmmsg(s, mm, 2, 0) == 2 && mm[0].msg_len == 8 && mm[1].msg_len == 4);
    len = sizeof(from);
    CHECK(recvfrom(d, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len) == 8 &&
          memcmp(buf, "datagram", 8) == 0);
    CHECK(len == sizeof(from) && from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    struct timeval tv = {0, 50000};
    CHECK(recv(d, buf, sizeof(buf), 0) == 4);
    CHECK(setsockopt(d, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    double start = now();
    CHECK(recv(d, buf, sizeof(buf), 0) == -1 && errno == EAGAIN && now() - start > 0.04);
    close(s);
    close(d);
    s = socket(AF_INET6, SOCK_DGRAM, 0);
    if (s >= 0) {
        if (bind(s, (struct sockaddr *)&a, sizeof(a)) == 0) {
            len = sizeof(a);
            CHECK(getsockname(s, (struct sockaddr *)&a, &len) == 0 && len == sizeof(a) &&
                  a.sin6_port != 0);
        }
        close(s);
    }
}

/* What a datagram on s says of itself, as text; -1 when there is no such message. */
static int beside(int s, int flags, int level, int type, void *out, size_t size)
{
    union {
        struct cmsghdr align;
        char room[256];
    } control = {0};
    char buf[64];
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    if (recvmsg(s, &m, flags) < 0)
        return -1;
    CHECK((m.msg_flags & MSG_CTRUNC) == 0);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != level || c->cmsg_type != type)
            continue;
        CHECK(c->cmsg_len >= CMSG_LEN(size));
        memcpy(out, CMSG_DATA(c), size);
        return 0;
    }
    return -1;
}

static ssize_t send_beside(int s, const void *to, socklen_t to_len, int level, int type,
                           const void *data, size_t size)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(64)];
    } control = {0};
    struct iovec iov = {"data", 4};
    struct msghdr m = {.msg_name = (void *)to,
                       .msg_namelen = to_len,
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = CMSG_SPACE(size)};
    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(size), .cmsg_level = level, .cmsg_type = type};
    memcpy(CMSG_DATA(&control.header), data, size);
    return sendmsg(s, &m, 0);
}

/* Where a datagram came in, its hops and class, what happened to one: control data of IPv4. */
static void control_ipv4(void)
{
    struct sockaddr_in b = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)}, from;
    socklen_t len = sizeof(b);
    int d = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0), on = 1, ttl = 7;
    struct in_pktinfo info = {0};
    CHECK(bind(d, (struct sockaddr *)&b, sizeof(b)) == 0 &&
          getsockname(d, (struct sockaddr *)&b, &len) == 0);
    CHECK(setsockopt(d, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) == 0);
    CHECK(setsockopt(d, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)) == 0);
    CHECK(setsockopt(d, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)) == 0);
    CHECK(setsockopt(d, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) == 0);

    b.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 4);
    info.ipi_spec_dst.s_addr = htonl(INADDR_LOOPBACK + 2);
    CHECK(send_beside(s, &b, sizeof(b), IPPROTO_IP, IP_PKTINFO, &info, sizeof(info)) == 4);
    memset(&info, 0, sizeof(info));
    CHECK(beside(d, MSG_PEEK, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info)) == 0);
    CHECK(info.ipi_addr.s_addr == b.sin_addr.s_addr && info.ipi_ifindex > 0);
    len = sizeof(from);
    char buf[8];
    CHECK(recvfrom(d, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len) == 4);
    CHECK(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK + 2));

    CHECK(send_beside(s, &b, sizeof(b), IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)) == 4);
    ttl = 0;
    CHECK(beside(d, 0, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)) == 0 && ttl == 7);
    unsigned char tos = 0x10;
    CHECK(send_beside(s, &b, sizeof(b), IPPROTO_IP, IP_TOS, &tos, sizeof(tos)) == 4);
    tos = 0;
    struct timespec stamp = {0};
    CHECK(beside(d, MSG_PEEK, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)) == 0 && tos == 0x10);
    CHECK(beside(d, 0, SOL_SOCKET, SO_TIMESTAMPNS, &stamp, sizeof(stamp)) == 0 && stamp.tv_sec > 0);
    CHECK(send_beside(s, &b, sizeof(b), IPPROTO_IP, 99, &ttl, sizeof(ttl)) == -1 &&
          errno == EINVAL);
    /* Not for IP: passed over. */
    CHECK(send_beside(s, &b, sizeof(b), SOL_SOCKET, SCM_RIGHTS, &s, sizeof(s)) == 4);
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    CHECK(recvmsg(d, &m, 0) == 4 && (m.msg_flags & MSG_CTRUNC) && m.msg_controllen == 0);

    /* Nobody there any more: the error queue has whom and why. */
    close(d);
    struct {
        unsigned err;
        unsigned char origin, type, code, pad;
        unsigned info, data;
    } error = {0};
    CHECK(setsockopt(s, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)) == 0);
    CHECK(beside(s, MSG_ERRQUEUE, IPPROTO_IP, IP_RECVERR, &error, sizeof(error)) == -1 &&
          errno == EAGAIN);
    CHECK(sendto(s, "data", 4, 0, (struct sockaddr *)&b, sizeof(b)) == 4);
    struct pollfd p = {.fd = s};
    CHECK(poll(&p, 1, 5000) == 1 && p.revents == POLLERR);
    CHECK(beside(s, MSG_ERRQUEUE, IPPROTO_IP, IP_RECVERR, &error, sizeof(error)) == 0);
    CHECK(error.err == ECONNREFUSED && error.origin == 2 && error.type == 3);
    close(s);
}

static void control_ipv6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof(a);
    int d = socket(AF_INET6, SOCK_DGRAM, 0), s = socket(AF_INET6, SOCK_DGRAM, 0), on = 1, hops = 9;
    if (d < 0 || bind(d, (struct sockaddr *)&a, sizeof(a)) < 0)
        return; /* no IPv6 on this machine */
    CHECK(getsockname(d, (struct sockaddr *)&a, &len) == 0);
    struct in6_pktinfo info = {0};
    CHECK(setsockopt(d, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) == 0);
    CHECK(setsockopt(d, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on)) == 0);
    CHECK(setsockopt(d, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof(on)) == 0);
    CHECK(send_beside(s, &a, sizeof(a), IPPROTO_IPV6, IPV6_HOPLIMIT, &hops, sizeof(hops)) == 4);
    hops = 0;
    CHECK(beside(d, MSG_PEEK, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info)) == 0);
    CHECK(memcmp(&info.ipi6_addr, &a.sin6_addr, sizeof(a.sin6_addr)) == 0);
    CHECK(beside(d, 0, IPPROTO_IPV6, IPV6_HOPLIMIT, &hops, sizeof(hops)) == 0 && hops == 9);
    int class = 3;
    CHECK(send_beside(s, &a, sizeof(a), IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof(class)) == 4);
    class = 0;
    CHECK(beside(d, 0, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof(class)) == 0 && class == 3);
    close(s);
    close(d);
}

static volatile sig_atomic_t g_sigpipe;

static void on_sigpipe(int sig)
{
    g_sigpipe++;
}

static void broken(void)
{
    int s[2];
    signal(SIGPIPE, on_sigpipe);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && close(s[1]) == 0);
    CHECK(write(s[0], "x", 1) == -1 && errno == EPIPE && g_sigpipe == 1);
    CHECK(send(s[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE && g_sigpipe == 1);
    close(s[0]);
    signal(SIGPIPE, SIG_DFL);
}

static void interfaces(void)
{
    struct ifaddrs *list = NULL;
    int loopback = 0;
    CHECK(getifaddrs(&list) == 0);
    for (struct ifaddrs *i = list; i; i = i->ifa_next)
        loopback |= i->ifa_addr && i->ifa_addr->sa_family == AF_INET &&
                    (i->ifa_flags & IFF_LOOPBACK) &&
                    ((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
    CHECK(loopback);
    freeifaddrs(list);
    CHECK(if_nametoindex("lo") == 1);
    char buf[4096];
    struct ifconf conf = {.ifc_len = sizeof(buf), .ifc_buf = buf};
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(ioctl(s, SIOCGIFCONF, &conf) == 0 && conf.ifc_len >= (int)sizeof(struct ifreq));
    conf = (struct ifconf){.ifc_len = -5, .ifc_buf = NULL}; /* only how much there is */
    CHECK(ioctl(s, SIOCGIFCONF, &conf) == 0 && conf.ifc_len >= (int)sizeof(struct ifreq));
    struct ifreq req = {.ifr_name = "lo"};
    CHECK(ioctl(s, SIOCGIFFLAGS, &req) == 0 && (req.ifr_flags & IFF_LOOPBACK));
    CHECK(ioctl(s, SIOCSIFFLAGS, &req) == 0); /* it is up */
    CHECK(ioctl(s, SIOCSIFFLAGS, NULL) == -1 && errno == EFAULT);
    close(s);
}

/* "ip link set lo up" in the netlink's words, without its attributes. */
static void loopback_is_up(void)
{
    struct {
        struct nlmsghdr h;
        struct ifinfomsg i;
    } ask = {{sizeof(ask), RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 7, 0},
             {.ifi_index = 1, .ifi_flags = IFF_UP, .ifi_change = IFF_UP}};
    struct {
        struct nlmsghdr h;
        struct nlmsgerr e;
    } said = {0};
    int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    CHECK(send(s, &ask, sizeof(ask), 0) == sizeof(ask));
    CHECK(recv(s, &said, sizeof(said), 0) >= (ssize_t)sizeof(said));
    CHECK(said.h.nlmsg_type == NLMSG_ERROR && said.h.nlmsg_seq == 7 && said.e.error == 0);
    close(s);
}

static int fails(long r, int error)
{
    return r == -1 && errno == error;
}

/* Each level and kind of socket has its own error. */
static void errors_of_kinds(void)
{
    int tcp = socket(AF_INET, SOCK_STREAM, 0), tcp6 = socket(AF_INET6, SOCK_STREAM, 0), x, p[2];
    int local = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t n = sizeof(x);
    CHECK(fails(getsockopt(tcp, 500, 1, &x, &n), EOPNOTSUPP));
    CHECK(fails(getsockopt(tcp, IPPROTO_UDP, 1, &x, &n), EOPNOTSUPP));
    CHECK(fails(getsockopt(tcp, IPPROTO_IP, 999, &x, &n), ENOPROTOOPT));
    CHECK(fails(setsockopt(tcp, 500, 1, &x, n), ENOPROTOOPT));
    CHECK(fails(getsockopt(local, 500, 1, &x, &n), EOPNOTSUPP));
    CHECK(tcp6 < 0 || fails(getsockopt(tcp6, 500, 1, &x, &n), ENOPROTOOPT));
    CHECK(fails(socketpair(AF_INET, SOCK_RAW, 0, p), EPROTONOSUPPORT));
    CHECK(fails(socketpair(AF_INET, SOCK_RAW, IPPROTO_ICMP, p), EOPNOTSUPP));
    CHECK(fails(socketpair(AF_INET, SOCK_SEQPACKET, 0, p), ESOCKTNOSUPPORT));
    CHECK(fails(socketpair(AF_INET, SOCK_STREAM, IPPROTO_ICMP, p), EPROTONOSUPPORT));
    close(tcp);
    close(tcp6);
    close(local);
}

static void refusals(void)
{
    int p[2];
    char c;
    CHECK(socket(AF_PACKET, SOCK_DGRAM, 0) == -1 || 1);
    CHECK(socket(47, SOCK_STREAM, 0) == -1 && errno == EAFNOSUPPORT);
    CHECK(socket(AF_UNIX, SOCK_STREAM, 99) == -1 && errno == EPROTONOSUPPORT);
    CHECK(socket(AF_UNIX, 15, 0) == -1);
    CHECK(pipe(p) == 0 && recv(p[0], &c, 1, 0) == -1 && errno == ENOTSOCK);
    CHECK(recv(999, &c, 1, 0) == -1 && errno == EBADF);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(send(s, "x", 1, MSG_NOSIGNAL) == -1 && errno == ENOTCONN);
    CHECK(recv(s, &c, 1, 0) == -1 && errno == EINVAL);
    CHECK(accept(s, NULL, NULL) == -1 && errno == EINVAL);
    struct pollfd pf = {.fd = s, .events = POLLIN | POLLOUT};
    CHECK(poll(&pf, 1, 0) == 1 && pf.revents == (POLLOUT | POLLHUP));
    close(s);
    close(p[0]);
    close(p[1]);
}

int main(void)
{
    RUN(pair_across_fork);
    RUN(descriptors);
    RUN(a_chain_in_flight_goes_at_once);
    RUN(credentials_go_with_bytes);
    RUN(credentials_before_accept);
    RUN(groups_of_the_peer);
    RUN(in_flight);
    RUN(path_names);
    RUN(datagrams);
    RUN(tcp);
    RUN(udp);
    RUN(control_ipv4);
    RUN(control_ipv6);
    RUN(broken);
    RUN(interfaces);
    RUN(loopback_is_up);
    RUN(errors_of_kinds);
    RUN(refusals);
    return finish();
}
