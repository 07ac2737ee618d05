/* SPDX-License-Identifier: Apache-2.0 */
/* TCP on the loopback: names, ports, backlog, half-close, resets, options, readiness. The same as
 * on Linux, where in an enclave no byte of it leaves. */
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <linux/sockios.h>

static struct sockaddr_in v4(unsigned host, int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(host),
                                .sin_port = htons((unsigned short)port)};
}

#define SA(a) ((struct sockaddr *)&(a))

static int port_of(int s)
{
    struct sockaddr_in6 a;
    socklen_t len = sizeof(a);
    CHECK(getsockname(s, SA(a), &len) == 0);
    return ntohs(a.sin6_port); /* at the same place for both families */
}

static int listener(unsigned host, int port, int backlog)
{
    struct sockaddr_in a = v4(host, port);
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(s, SA(a), sizeof(a)) == 0 && listen(s, backlog) == 0);
    return s;
}

static int connected(unsigned host, int port)
{
    struct sockaddr_in a = v4(host, port);
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(s, SA(a), sizeof(a)) == 0);
    return s;
}

static void make_pair(int s[2])
{
    int l = listener(INADDR_LOOPBACK, 0, 5);
    s[0] = connected(INADDR_LOOPBACK, port_of(l));
    s[1] = accept(l, NULL, NULL);
    CHECK(s[1] >= 0);
    close(l);
}

static int get_int(int s, int level, int name)
{
    int x = -12345;
    socklen_t len = sizeof(x);
    CHECK(getsockopt(s, level, name, &x, &len) == 0);
    return x;
}

static int set_int(int s, int level, int name, int x)
{
    return setsockopt(s, level, name, &x, sizeof(x));
}

static short ready(int s, short events, int timeout)
{
    struct pollfd p = {.fd = s, .events = events};
    CHECK(poll(&p, 1, timeout) >= 0);
    return p.revents;
}

static void names(void)
{
    struct sockaddr_in a, b, any = v4(INADDR_ANY, 0);
    socklen_t len = sizeof(a);
    int l = listener(INADDR_LOOPBACK + 4, 0, 5), port = port_of(l);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(getsockname(c, SA(a), &len) == 0 && memcmp(&a, &any, 8) == 0);
    CHECK(getpeername(c, SA(a), &len) == -1 && errno == ENOTCONN);
    close(c);
    c = connected(INADDR_LOOPBACK + 4, port);
    int s = accept4(l, SA(a), &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK(s >= 0 && len == sizeof(a) && a.sin_family == AF_INET);
    CHECK((fcntl(s, F_GETFL) & O_NONBLOCK) && fcntl(s, F_GETFD) == FD_CLOEXEC);
    CHECK(a.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && ntohs(a.sin_port) >= 1024);
    CHECK(getsockname(c, SA(b), &len) == 0 && memcmp(&a, &b, 8) == 0);
    CHECK(getpeername(s, SA(b), &len) == 0 && memcmp(&a, &b, 8) == 0);
    CHECK(getsockname(s, SA(a), &len) == 0 && a.sin_addr.s_addr == htonl(INADDR_LOOPBACK + 4) &&
          a.sin_port == htons((unsigned short)port));
    CHECK(getpeername(c, SA(b), &len) == 0 && memcmp(&a, &b, 8) == 0);
    CHECK(connect(c, SA(a), sizeof(a)) == -1 && errno == EISCONN);
    CHECK(connect(l, SA(a), sizeof(a)) == -1 && errno == EISCONN);
    CHECK(bind(c, SA(any), sizeof(any)) == -1 && errno == EINVAL);
    CHECK(listen(c, 1) == -1 && errno == EINVAL);
    CHECK(accept(c, NULL, NULL) == -1 && errno == EINVAL);
    close(c);
    close(s);
    /* From a name of its own, and to 0.0.0.0, which is this machine. */
    c = socket(AF_INET, SOCK_STREAM, 0);
    a = v4(INADDR_LOOPBACK + 4, 0);
    CHECK(bind(c, SA(a), sizeof(a)) == 0);
    a = v4(INADDR_ANY, port);
    CHECK(connect(c, SA(a), sizeof(a)) == 0);
    s = accept(l, SA(a), &len);
    CHECK(s >= 0 && a.sin_addr.s_addr == htonl(INADDR_LOOPBACK + 4));
    close(c);
    close(s);
    close(l);
    a = v4(INADDR_LOOPBACK, port);
    c = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(c, SA(a), sizeof(a)) == -1 && errno == ECONNREFUSED);
    a.sin_family = 77;
    CHECK(connect(c, SA(a), sizeof(a)) == -1 && errno == EAFNOSUPPORT);
    CHECK(connect(c, SA(a), 4) == -1 && errno == EINVAL);
    close(c);
}

static void versions(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6}, got;
    struct sockaddr_in b;
    socklen_t len = sizeof(got);
    int l = socket(AF_INET6, SOCK_STREAM, 0), on = 1, s, c;
    if (l < 0)
        return; /* no IPv6 */
    CHECK(get_int(l, IPPROTO_IPV6, IPV6_V6ONLY) == 0);
    CHECK(bind(l, SA(a), sizeof(a)) == 0 && listen(l, 5) == 0);
    CHECK(set_int(l, IPPROTO_IPV6, IPV6_V6ONLY, 1) == -1 && errno == EINVAL);
    int port = port_of(l);
    c = connected(INADDR_LOOPBACK, port);
    s = accept(l, SA(got), &len);
    CHECK(s >= 0 && len == sizeof(got) && IN6_IS_ADDR_V4MAPPED(&got.sin6_addr) &&
          got.sin6_addr.s6_addr[12] == 127);
    close(c);
    close(s);
    a.sin6_port = htons((unsigned short)port);
    c = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK(connect(c, SA(a), sizeof(a)) == 0); /* to :: */
    s = accept(l, SA(got), &len);
    CHECK(s >= 0 && IN6_IS_ADDR_LOOPBACK(&got.sin6_addr));
    close(c);
    close(s);
    c = socket(AF_INET, SOCK_STREAM, 0);
    b = v4(INADDR_LOOPBACK, port);
    CHECK(bind(c, SA(b), sizeof(b)) == -1 && errno == EADDRINUSE);
    close(c);
    close(l);
    /* Apart. */
    l = socket(AF_INET6, SOCK_STREAM, 0);
    a.sin6_port = 0;
    CHECK(setsockopt(l, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0);
    CHECK(bind(l, SA(a), sizeof(a)) == 0 && listen(l, 5) == 0);
    port = port_of(l);
    c = socket(AF_INET, SOCK_STREAM, 0);
    b = v4(INADDR_LOOPBACK, port);
    CHECK(connect(c, SA(b), sizeof(b)) == -1 && errno == ECONNREFUSED);
    CHECK(bind(c, SA(b), sizeof(b)) == 0 && listen(c, 5) == 0);
    s = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK(inet_pton(AF_INET6, "::ffff:127.0.0.1", &a.sin6_addr) == 1);
    a.sin6_port = b.sin_port;
    CHECK(connect(s, SA(a), sizeof(a)) == 0);
    int t = accept(c, NULL, NULL);
    CHECK(t >= 0 && getsockname(s, SA(got), &len) == 0 && IN6_IS_ADDR_V4MAPPED(&got.sin6_addr));
    close(t);
    close(s);
    s = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK(setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0);
    CHECK(connect(s, SA(a), sizeof(a)) == -1 && errno == ENETUNREACH);
    close(s);
    close(c);
    close(l);
}

static int try_bind(unsigned host, int port, int reuse, int share)
{
    struct sockaddr_in a = v4(host, port);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(set_int(s, SOL_SOCKET, SO_REUSEADDR, reuse) == 0);
    CHECK(set_int(s, SOL_SOCKET, SO_REUSEPORT, share) == 0);
    if (bind(s, SA(a), sizeof(a)) == 0)
        return s;
    CHECK(errno == EADDRINUSE);
    close(s);
    return -1;
}

static void ports(void)
{
    int a = try_bind(INADDR_LOOPBACK, 0, 0, 0), b, port = port_of(a);
    CHECK(port >= 1024);
    CHECK(try_bind(INADDR_LOOPBACK, port, 0, 0) == -1);
    CHECK(try_bind(INADDR_LOOPBACK, port, 1, 0) == -1);
    CHECK(try_bind(INADDR_ANY, port, 0, 0) == -1);
    b = try_bind(INADDR_LOOPBACK + 1, port, 0, 0);
    CHECK(b >= 0);
    close(a);
    close(b);
    a = try_bind(INADDR_LOOPBACK, port, 1, 0);
    b = try_bind(INADDR_LOOPBACK, port, 1, 0);
    CHECK(a >= 0 && b >= 0 && listen(a, 1) == 0);
    CHECK(listen(b, 1) == -1 && errno == EADDRINUSE);
    CHECK(try_bind(INADDR_LOOPBACK, port, 1, 0) == -1);
    close(a);
    close(b);
    /* Between a wildcard, which is the host's port too, and inside. */
    a = try_bind(INADDR_ANY, 0, 0, 0);
    port = port_of(a);
    CHECK(port != 0 && try_bind(INADDR_LOOPBACK, port, 0, 0) == -1);
    CHECK(try_bind(INADDR_ANY, port, 0, 0) == -1);
    close(a);
    a = try_bind(INADDR_ANY, port, 0, 0);
    CHECK(a >= 0);
    close(a);
    /* An accepted connection keeps the port, but for who says SO_REUSEADDR. */
    a = listener(INADDR_LOOPBACK, 0, 1);
    port = port_of(a);
    int c = connected(INADDR_LOOPBACK, port), s = accept(a, NULL, NULL);
    close(a);
    CHECK(try_bind(INADDR_LOOPBACK, port, 0, 0) == -1);
    close(s);
    close(c);
    /* A socket that listens without a name gets one. */
    s = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listen(s, 1) == 0 && port_of(s) != 0);
    c = connected(INADDR_LOOPBACK, port_of(s));
    close(c);
    close(s);
}

/* Connections are spread over those that share a port. */
static void shared_port(void)
{
    int l[4], took[4] = {0}, port = 0;
    for (int i = 0; i < 4; i++) {
        l[i] = try_bind(INADDR_LOOPBACK, port, 0, 1);
        CHECK(l[i] >= 0 && listen(l[i], 200) == 0);
        port = port_of(l[i]);
        fcntl(l[i], F_SETFL, O_NONBLOCK);
    }
    CHECK(try_bind(INADDR_LOOPBACK, port, 0, 0) == -1);
    for (int n = 0; n < 200; n++)
        close(connected(INADDR_LOOPBACK, port));
    int total = 0;
    for (int i = 0; i < 4; i++) {
        for (int s; (s = accept(l[i], NULL, NULL)) >= 0; took[i]++)
            close(s);
        CHECK(took[i] > 10);
        total += took[i];
        close(l[i]);
    }
    CHECK(total == 200);
}

static void backlog(void)
{
    int l = listener(INADDR_LOOPBACK, 0, 1), port = port_of(l), c[3], s[3];
    struct sockaddr_in a = v4(INADDR_LOOPBACK, port);
    CHECK(ready(l, POLLIN, 0) == 0);
    CHECK(get_int(l, SOL_SOCKET, SO_ACCEPTCONN) == 1);
    c[0] = connected(INADDR_LOOPBACK, port);
    c[1] = connected(INADDR_LOOPBACK, port);
    CHECK(ready(l, POLLIN | POLLOUT, 1000) == POLLIN);
    c[2] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(connect(c[2], SA(a), sizeof(a)) == -1 && errno == EINPROGRESS);
    CHECK(connect(c[2], SA(a), sizeof(a)) == -1 && errno == EALREADY);
    CHECK(ready(c[2], POLLIN | POLLOUT, 20) == 0);
    for (int i = 0; i < 3; i++) { /* Linux sends the SYN again after a second */
        s[i] = accept(l, NULL, NULL);
        CHECK(s[i] >= 0);
    }
    CHECK(ready(c[2], POLLIN | POLLOUT, 5000) == POLLOUT);
    CHECK(get_int(c[2], SOL_SOCKET, SO_ERROR) == 0);
    for (int i = 0; i < 3; i++) {
        close(c[i]);
        close(s[i]);
    }
    /* Those that nobody accepted see a reset. */
    c[0] = connected(INADDR_LOOPBACK, port);
    close(l);
    char b;
    CHECK(recv(c[0], &b, 1, 0) == -1 && errno == ECONNRESET);
    CHECK(recv(c[0], &b, 1, 0) == 0);
    close(c[0]);
}

static volatile sig_atomic_t g_pipes;

static void on_pipe(int sig)
{
    g_pipes++;
}

static void closing(void)
{
    int s[2];
    char buf[64];
    signal(SIGPIPE, on_pipe);
    make_pair(s);
    CHECK(ready(s[0], POLLIN | POLLOUT | POLLRDHUP, 0) == POLLOUT);
    CHECK(write(s[1], "last", 4) == 4 && shutdown(s[1], SHUT_WR) == 0);
    CHECK(ready(s[0], POLLIN | POLLOUT | POLLRDHUP, 1000) == (POLLIN | POLLOUT | POLLRDHUP));
    CHECK(write(s[1], "x", 1) == -1 && errno == EPIPE && g_pipes == 1);
    CHECK(send(s[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE && g_pipes == 1);
    CHECK(read(s[0], buf, 64) == 4 && read(s[0], buf, 64) == 0);
    CHECK(write(s[0], "answer", 6) == 6);
    CHECK(recv(s[1], buf, 6, MSG_WAITALL) == 6);
    CHECK(shutdown(s[0], SHUT_WR) == 0);
    CHECK(ready(s[0], POLLIN | POLLRDHUP, 1000) == (POLLIN | POLLRDHUP | POLLHUP));
    CHECK(shutdown(s[0], SHUT_WR) == -1 && errno == ENOTCONN);
    close(s[0]);
    close(s[1]);
    /* Closed in order: what is written then is answered by a reset. */
    make_pair(s);
    close(s[1]);
    CHECK(ready(s[0], POLLIN | POLLOUT, 1000) == (POLLIN | POLLOUT));
    CHECK(write(s[0], "x", 1) == 1);
    CHECK(ready(s[0], POLLIN | POLLOUT, 1000) & POLLHUP);
    CHECK(send(s[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    CHECK(read(s[0], buf, 1) == 0);
    close(s[0]);
    /* Bytes left unread: a reset, behind the bytes that came. */
    make_pair(s);
    CHECK(write(s[0], "unread", 6) == 6 && write(s[1], "before", 6) == 6);
    CHECK(ready(s[1], POLLIN, 1000) == POLLIN);
    close(s[1]);
    CHECK(ready(s[0], POLLIN | POLLOUT | POLLRDHUP, 1000) ==
          (POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP));
    CHECK(get_int(s[0], SOL_SOCKET, SO_ERROR) == ECONNRESET);
    CHECK(read(s[0], buf, 64) == 6 && read(s[0], buf, 64) == 0);
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    CHECK(getpeername(s[0], SA(a), &len) == -1 && errno == ENOTCONN);
    close(s[0]);
    /* SO_LINGER of no time: the same without any bytes. */
    make_pair(s);
    struct linger linger = {1, 0}, got;
    CHECK(setsockopt(s[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
    len = sizeof(got);
    CHECK(getsockopt(s[1], SOL_SOCKET, SO_LINGER, &got, &len) == 0 && got.l_onoff == 1);
    close(s[1]);
    CHECK(read(s[0], buf, 1) == -1 && errno == ECONNRESET);
    CHECK(send(s[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    close(s[0]);
    /* Not to read any more stops nobody else. */
    make_pair(s);
    CHECK(shutdown(s[0], SHUT_RD) == 0 && read(s[0], buf, 1) == 0);
    CHECK(write(s[1], "late", 4) == 4);
    sleep_ms(20);
    CHECK(read(s[0], buf, 64) == 4 && read(s[0], buf, 64) == 0);
    CHECK(write(s[0], "still", 5) == 5 && read(s[1], buf, 64) == 5);
    close(s[0]);
    close(s[1]);
    /* A listener that is shut down accepts no more. */
    int l = listener(INADDR_LOOPBACK, 0, 5);
    a = v4(INADDR_LOOPBACK, port_of(l));
    CHECK(shutdown(l, SHUT_RD) == 0 && accept(l, NULL, NULL) == -1 && errno == EINVAL);
    s[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(s[0], SA(a), sizeof(a)) == -1 && errno == ECONNREFUSED);
    close(s[0]);
    close(l);
    signal(SIGPIPE, SIG_DFL);
}

static void flags(void)
{
    static char big[3000000];
    char buf[64];
    int s[2], n = 0;
    make_pair(s);
    CHECK(recv(s[0], buf, 8, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(write(s[1], "0123456789", 10) == 10);
    CHECK(recv(s[0], buf, 4, MSG_PEEK) == 4 && memcmp(buf, "0123", 4) == 0);
    CHECK(ioctl(s[0], FIONREAD, &n) == 0 && n == 10);
    CHECK(ioctl(s[1], SIOCOUTQ, &n) == 0 && n == 0);
    CHECK(recv(s[0], NULL, 3, MSG_TRUNC) == 3); /* thrown away */
    CHECK(recv(s[0], buf, 64, 0) == 7 && memcmp(buf, "3456789", 7) == 0);
    struct timeval tv = {0, 60000};
    CHECK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    double start = now();
    CHECK(recv(s[0], buf, 8, 0) == -1 && errno == EAGAIN && now() - start > 0.05);
    CHECK(write(s[1], "abc", 3) == 3);
    CHECK(recv(s[0], buf, 8, MSG_WAITALL) == 3);
    CHECK(set_int(s[0], SOL_SOCKET, SO_RCVLOWAT, 4) == 0);
    CHECK(write(s[1], "abc", 3) == 3);
    CHECK(ready(s[0], POLLIN, 30) == 0);
    CHECK(write(s[1], "d", 1) == 1 && ready(s[0], POLLIN, 1000) == POLLIN);
    CHECK(recv(s[0], buf, 64, 0) == 4);
    CHECK(set_int(s[0], SOL_SOCKET, SO_RCVLOWAT, 1) == 0);
    CHECK(recv(s[0], buf, 1, MSG_OOB) == -1 && errno == EINVAL);
    /* Out of band: a byte beside the stream, or a mark in it. */
    CHECK(send(s[1], "ab!", 3, MSG_OOB) == 3 && write(s[1], "cd", 2) == 2);
    CHECK(ready(s[0], POLLPRI, 1000) == POLLPRI);
    CHECK(read(s[0], buf, 64) == 2 && ioctl(s[0], SIOCATMARK, &n) == 0 && n == 1);
    CHECK(recv(s[0], buf, 8, MSG_OOB) == 1 && buf[0] == '!');
    CHECK(recv(s[0], buf, 8, MSG_OOB) == -1 && errno == EINVAL);
    CHECK(read(s[0], buf, 64) == 2 && memcmp(buf, "cd", 2) == 0 && ready(s[0], POLLPRI, 0) == 0);
    CHECK(set_int(s[0], SOL_SOCKET, SO_OOBINLINE, 1) == 0);
    CHECK(send(s[1], "ab!", 3, MSG_OOB) == 3 && ready(s[0], POLLPRI, 1000) == POLLPRI);
    CHECK(read(s[0], buf, 64) == 2 && read(s[0], buf, 64) == 1 && buf[0] == '!');
    /* Full: it takes what fits; SO_SNDTIMEO ends the wait. */
    ssize_t sent = send(s[1], big, sizeof(big), MSG_DONTWAIT), more;
    CHECK(sent > 16384);
    while ((more = send(s[1], big, sizeof(big), MSG_DONTWAIT)) > 0 && sent < 60000000)
        sent += more;
    CHECK(more == -1 && errno == EAGAIN && ready(s[1], POLLOUT, 0) == 0);
    CHECK(setsockopt(s[1], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == 0);
    CHECK(send(s[1], big, 100000, 0) == -1 && errno == EAGAIN);
    while (sent > 0 && (more = recv(s[0], big, sizeof(big), 0)) > 0)
        sent -= more;
    CHECK(sent == 0 && ready(s[1], POLLOUT, 1000) == POLLOUT);
    close(s[0]);
    close(s[1]);
}

static void options(void)
{
    static const struct {
        int level, name, value, want;
    } list[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 5, 1},      {SOL_SOCKET, SO_REUSEADDR, 1, 1},
        {SOL_SOCKET, SO_OOBINLINE, 1, 1},      {SOL_SOCKET, SO_PRIORITY, 3, 3},
        {SOL_SOCKET, SO_SNDBUF, 20000, 40000}, {SOL_SOCKET, SO_RCVBUF, 30000, 60000},
        {SOL_SOCKET, SO_RCVLOWAT, 0, 1},       {IPPROTO_TCP, TCP_NODELAY, 1, 1},
        {IPPROTO_TCP, TCP_CORK, 1, 1},         {IPPROTO_TCP, TCP_KEEPIDLE, 60, 60},
        {IPPROTO_TCP, TCP_KEEPINTVL, 10, 10},  {IPPROTO_TCP, TCP_KEEPCNT, 5, 5},
        {IPPROTO_TCP, TCP_SYNCNT, 3, 3},       {IPPROTO_TCP, TCP_USER_TIMEOUT, 9000, 9000},
        {IPPROTO_IP, IP_TOS, 0x10, 0x10},      {IPPROTO_IP, IP_TTL, 33, 33},
    };
    int s[3], n;
    make_pair(s);
    s[2] = socket(AF_INET, SOCK_STREAM, 0);
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
            CHECK(set_int(s[k], list[i].level, list[i].name, list[i].value) == 0);
            n = get_int(s[k], list[i].level, list[i].name);
            if (n != list[i].want)
                printf("option %d, %d: %d\n", list[i].level, list[i].name, n);
            CHECK(n == list[i].want);
        }
        CHECK(set_int(s[k], IPPROTO_TCP, TCP_KEEPIDLE, 0) == -1 && errno == EINVAL);
        CHECK(set_int(s[k], IPPROTO_TCP, 9999, 1) == -1 && errno == ENOPROTOOPT);
        CHECK(setsockopt(s[k], SOL_SOCKET, SO_KEEPALIVE, &n, 2) == -1 && errno == EINVAL);
        CHECK(set_int(s[k], IPPROTO_TCP, TCP_QUICKACK, 1) == 0);
        CHECK(get_int(s[k], SOL_SOCKET, SO_TYPE) == SOCK_STREAM);
        CHECK(get_int(s[k], SOL_SOCKET, SO_DOMAIN) == AF_INET);
        CHECK(get_int(s[k], SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP);
        CHECK(get_int(s[k], SOL_SOCKET, SO_ACCEPTCONN) == 0);
        CHECK(set_int(s[k], SOL_SOCKET, SO_TYPE, 1) == -1 && errno == ENOPROTOOPT);
        struct ucred cred = {1, 1, 1};
        socklen_t len = sizeof(cred);
        CHECK(getsockopt(s[k], SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0);
        CHECK(cred.pid == 0 && cred.uid == (uid_t)-1);
        struct tcp_info info;
        len = sizeof(info);
        CHECK(getsockopt(s[k], IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
        CHECK(info.tcpi_state == (k < 2 ? TCP_ESTABLISHED : TCP_CLOSE));
        CHECK(k == 2 || (info.tcpi_snd_mss > 1000 && info.tcpi_rtt > 0));
    }
    for (int k = 0; k < 3; k++)
        close(s[k]);
}

static void *accept_later(void *arg)
{
    sleep_ms(30);
    int c = connected(INADDR_LOOPBACK, *(int *)arg);
    sleep_ms(30);
    CHECK(write(c, "late", 4) == 4);
    return (void *)(long)c;
}

static void readiness(void)
{
    int ep = epoll_create1(0), l = listener(INADDR_LOOPBACK, 0, 5), port = port_of(l), s, c, n;
    struct sockaddr_in a = v4(INADDR_LOOPBACK, port);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.u64 = 1}, got[4];
    pthread_t t;
    void *result;
    char buf[8];
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, l, &e) == 0 && epoll_wait(ep, got, 4, 0) == 0);
    CHECK(pthread_create(&t, NULL, accept_later, &port) == 0);
    CHECK(epoll_wait(ep, got, 4, 5000) == 1 && got[0].data.u64 == 1 && got[0].events == EPOLLIN);
    CHECK(epoll_wait(ep, got, 4, 0) == 0); /* an edge is told once */
    s = accept(l, NULL, NULL);
    e = (struct epoll_event){.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u64 = 2};
    CHECK(s >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, s, &e) == 0);
    CHECK(epoll_wait(ep, got, 4, 5000) == 1 && got[0].data.u64 == 2 && got[0].events == EPOLLIN);
    CHECK(epoll_wait(ep, got, 4, 10) == 0 && read(s, buf, 8) == 4);
    pthread_join(t, &result);
    c = (int)(long)result;
    CHECK(shutdown(c, SHUT_WR) == 0);
    CHECK(epoll_wait(ep, got, 4, 5000) == 1 && got[0].events == (EPOLLIN | EPOLLRDHUP));
    close(c);
    close(s);
    /* Watched before it is known where it goes. */
    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    e = (struct epoll_event){.events = EPOLLOUT | EPOLLET, .data.u64 = 3};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, c, &e) == 0);
    n = epoll_wait(ep, got, 4, 0);
    CHECK(n == 1 && got[0].events == (EPOLLOUT | EPOLLHUP));
    CHECK(connect(c, SA(a), sizeof(a)) == -1 && errno == EINPROGRESS);
    CHECK(epoll_wait(ep, got, 4, 5000) >= 1);
    CHECK(ready(c, POLLOUT, 5000) == POLLOUT && get_int(c, SOL_SOCKET, SO_ERROR) == 0);
    CHECK(connect(c, SA(a), sizeof(a)) == 0); /* says once that it is done */
    CHECK(connect(c, SA(a), sizeof(a)) == -1 && errno == EISCONN);
    close(c);
    /* Nobody there. */
    close(l);
    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    n = connect(c, SA(a), sizeof(a));
    if (n == -1 && errno == EINPROGRESS) {
        CHECK(ready(c, POLLOUT, 5000) & POLLERR);
        CHECK(get_int(c, SOL_SOCKET, SO_ERROR) == ECONNREFUSED);
    } else {
        CHECK(n == -1 && errno == ECONNREFUSED);
    }
    close(c);
    close(ep);
}

/* A connection whose ends are in two processes, given by fork and by a message. */
static void across_processes(void)
{
    int s[2], u[2], status, l = listener(INADDR_LOOPBACK, 0, 5), port = port_of(l);
    char buf[64];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, u) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        s[0] = connected(INADDR_LOOPBACK, port);
        union {
            struct cmsghdr align;
            char room[CMSG_SPACE(sizeof(int))];
        } control = {.align = {.cmsg_len = CMSG_LEN(sizeof(int)),
                               .cmsg_level = SOL_SOCKET,
                               .cmsg_type = SCM_RIGHTS}};
        memcpy(CMSG_DATA(&control.align), &s[0], sizeof(int));
        struct iovec iov = {"f", 1};
        struct msghdr m = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control.room,
                           .msg_controllen = sizeof(control.room)};
        CHECK(write(s[0], "from the child", 14) == 14 && sendmsg(u[0], &m, 0) == 1);
        _exit(g_failed);
    }
    s[1] = accept(l, NULL, NULL);
    CHECK(s[1] >= 0 && waitpid(pid, &status, 0) == pid && status == 0);
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {buf, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    CHECK(recvmsg(u[1], &m, 0) == 1);
    memcpy(&s[0], CMSG_DATA(&control.align), sizeof(int));
    CHECK(read(s[1], buf, 64) == 14);
    int copy = dup(s[0]);
    CHECK(close(s[0]) == 0 && write(copy, "still open", 10) == 10 && read(s[1], buf, 64) == 10);
    int file = open("/tmp", O_TMPFILE | O_RDWR, 0600), p[2];
    if (file >= 0) {
        CHECK(write(file, "sent as a file", 14) == 14 && lseek(file, 0, SEEK_SET) == 0);
        CHECK(sendfile(copy, file, NULL, 14) == 14 && read(s[1], buf, 64) == 14);
        close(file);
    }
    CHECK(pipe(p) == 0 && write(p[1], "spliced", 7) == 7);
    CHECK(splice(p[0], NULL, copy, NULL, 7, 0) == 7);
    CHECK(splice(s[1], NULL, p[1], NULL, 7, 0) == 7 && read(p[0], buf, 64) == 7 &&
          memcmp(buf, "spliced", 7) == 0);
    close(p[0]);
    close(p[1]);
    close(copy);
    CHECK(read(s[1], buf, 64) == 0);
    close(s[1]);
    close(u[0]);
    close(u[1]);
    close(l);
}

/* ---- many processes and threads at once ---- */

#define CHILDREN 4
#define WORKERS  3
#define TIMES    40

static int g_port;

/* Echoes until the end; sometimes closes with bytes unread. */
static void *echo_server(void *arg)
{
    int l = *(int *)arg, s;
    char buf[700];
    for (int k = 0; (s = accept(l, NULL, NULL)) >= 0; k++) {
        ssize_t n;
        while ((n = read(s, buf, sizeof(buf))) > 0)
            if (send(s, buf, (size_t)n, MSG_NOSIGNAL) != n || k % 7 == 6)
                break;
        close(s);
    }
    return NULL;
}

static void *closer(void *arg)
{
    sleep_ms(1);
    shutdown(*(int *)arg, SHUT_RDWR);
    return NULL;
}

static void *client(void *arg)
{
    long bad = 0;
    char buf[700], back[700];
    for (int k = 0; k < TIMES; k++) {
        int c = connected(INADDR_LOOPBACK, g_port), ep = epoll_create1(0);
        struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP}, got;
        memset(buf, k, sizeof(buf));
        bad += epoll_ctl(ep, EPOLL_CTL_ADD, c, &e) != 0;
        bad += send(c, buf, sizeof(buf), MSG_NOSIGNAL) != sizeof(buf);
        bad += epoll_wait(ep, &got, 1, 10000) != 1;
        ssize_t n = recv(c, back, sizeof(back), k % 2 ? MSG_WAITALL : 0);
        bad += n > 0 && memcmp(buf, back, (size_t)n) != 0;
        if (k % 5 == 4) { /* somebody else ends what this one waits for */
            pthread_t t;
            bad += pthread_create(&t, NULL, closer, &c) != 0;
            while (recv(c, back, sizeof(back), 0) > 0)
                continue;
            pthread_join(t, NULL);
        }
        if (k % 3)
            close(ep);
        close(c);
        if (k % 3 == 0)
            close(ep);
    }
    return (void *)bad;
}

static void many(void)
{
    int l = listener(INADDR_LOOPBACK, 0, 2), status;
    pthread_t server[3], t[WORKERS];
    pid_t pid[CHILDREN];
    g_port = port_of(l);
    fflush(stdout);
    for (int i = 0; i < CHILDREN; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            long bad = 0;
            void *r;
            close(l);
            for (int k = 0; k < WORKERS; k++)
                bad += pthread_create(&t[k], NULL, client, NULL) != 0;
            for (int k = 0; k < WORKERS; k++) {
                pthread_join(t[k], &r);
                bad += (long)r;
            }
            _exit(bad || g_failed ? 1 : 0);
        }
    }
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&server[i], NULL, echo_server, &l) == 0);
    for (int i = 0; i < CHILDREN; i++)
        CHECK(waitpid(pid[i], &status, 0) == pid[i] && status == 0);
    CHECK(shutdown(l, SHUT_RD) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(server[i], NULL);
    close(l);
}

/* MSG_MORE keeps a part back until the rest comes, or for a fifth of a second. */
static void more_to_come(void)
{
    char buf[64];
    int s[2];
    make_pair(s);
    CHECK(send(s[1], "abc", 3, MSG_MORE) == 3 && send(s[1], "def", 3, MSG_MORE) == 3);
    CHECK(recv(s[0], buf, 64, MSG_DONTWAIT) == -1 && errno == EAGAIN &&
          ready(s[0], POLLIN, 0) == 0);
    CHECK(send(s[1], "!", 1, 0) == 1);
    CHECK(recv(s[0], buf, 64, 0) == 7 && memcmp(buf, "abcdef!", 7) == 0);
    CHECK(send(s[1], "late", 4, MSG_MORE) == 4);
    CHECK(ready(s[0], POLLIN, 5000) == POLLIN && recv(s[0], buf, 64, 0) == 4);
    CHECK(send(s[1], "last", 4, MSG_MORE) == 4 && shutdown(s[1], SHUT_WR) == 0);
    CHECK(recv(s[0], buf, 64, MSG_WAITALL) == 4 && recv(s[0], buf, 64, 0) == 0);
    close(s[0]);
    close(s[1]);
}

int main(void)
{
    RUN(names);
    RUN(versions);
    RUN(ports);
    RUN(shared_port);
    RUN(backlog);
    RUN(closing);
    RUN(flags);
    RUN(more_to_come);
    RUN(options);
    RUN(readiness);
    RUN(across_processes);
    RUN(many);
    return finish();
}
