/* SPDX-License-Identifier: Apache-2.0 */
/* UDP on the loopback: names, who gets what, refusals, readiness; and what /proc/net says of both
 * protocols. */
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define SA(a) ((struct sockaddr *)&(a))

static struct sockaddr_in v4(unsigned host, int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(host),
                                .sin_port = htons((unsigned short)port)};
}

static int port_of(int s)
{
    struct sockaddr_in6 a;
    socklen_t len = sizeof(a);
    CHECK(getsockname(s, SA(a), &len) == 0);
    return ntohs(a.sin6_port);
}

static int bound(unsigned host, int port, int reuse, int share)
{
    struct sockaddr_in a = v4(host, port);
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) == 0);
    CHECK(setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &share, sizeof(share)) == 0);
    if (bind(s, SA(a), sizeof(a)) == 0)
        return s;
    CHECK(errno == EADDRINUSE);
    close(s);
    return -1;
}

static int get_int(int s, int level, int name)
{
    int x = -12345;
    socklen_t len = sizeof(x);
    CHECK(getsockopt(s, level, name, &x, &len) == 0);
    return x;
}

static short ready(int s, short events, int timeout)
{
    struct pollfd p = {.fd = s, .events = events};
    CHECK(poll(&p, 1, timeout) >= 0);
    return p.revents;
}

static ssize_t to(int s, const char *text, unsigned host, int port)
{
    struct sockaddr_in a = v4(host, port);
    return sendto(s, text, strlen(text), 0, SA(a), sizeof(a));
}

static void names(void)
{
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    char buf[64];
    int d = bound(INADDR_LOOPBACK, 0, 0, 0), port = port_of(d), s = socket(AF_INET, SOCK_DGRAM, 0),
        n;
    CHECK(getpeername(s, SA(a), &len) == -1 && errno == ENOTCONN);
    CHECK(send(s, "x", 1, 0) == -1 && errno == EDESTADDRREQ);
    CHECK(to(s, "hello", INADDR_LOOPBACK, port) == 5);
    CHECK(getsockname(s, SA(a), &len) == 0 && a.sin_addr.s_addr == 0 && a.sin_port != 0);
    int mine = ntohs(a.sin_port);
    CHECK(ioctl(d, FIONREAD, &n) == 0 && n == 5);
    CHECK(recvfrom(d, buf, 64, MSG_PEEK, SA(a), &len) == 5 && ntohs(a.sin_port) == mine);
    CHECK(recvfrom(d, buf, 2, MSG_TRUNC, SA(a), &len) == 5 && len == sizeof(a));
    CHECK(a.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    CHECK(sendto(d, "back", 4, 0, SA(a), sizeof(a)) == 4 && recv(s, buf, 64, 0) == 4);
    CHECK(to(s, "any", INADDR_ANY, port) == 3 && recv(d, buf, 64, 0) == 3);
    CHECK(to(s, "", INADDR_LOOPBACK, port) == 0 && recv(d, buf, 64, 0) == 0);
    CHECK(to(s, "x", INADDR_LOOPBACK, 0) == -1 && errno == EINVAL);
    /* Connected: names of both, nothing from others. */
    a = v4(INADDR_LOOPBACK, port);
    int c = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(connect(c, SA(a), sizeof(a)) == 0 && getpeername(c, SA(a), &len) == 0);
    CHECK(ntohs(a.sin_port) == port);
    CHECK(getsockname(c, SA(a), &len) == 0 && a.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    mine = ntohs(a.sin_port);
    CHECK(to(s, "stranger", INADDR_LOOPBACK, mine) == 8 &&
          to(d, "peer", INADDR_LOOPBACK, mine) == 4);
    CHECK(recv(c, buf, 64, 0) == 4 && recv(c, buf, 64, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(write(c, "by write", 8) == 8 && read(d, buf, 64) == 8);
    a.sin_family = AF_UNSPEC;
    CHECK(connect(c, SA(a), sizeof(a)) == 0 && getpeername(c, SA(a), &len) == -1);
    CHECK(getsockname(c, SA(a), &len) == 0 && a.sin_port == 0);
    close(c);
    static char big[70000];
    CHECK(sendto(s, big, sizeof(big), 0, SA(a), sizeof(a)) == -1);
    a = v4(INADDR_LOOPBACK, port);
    CHECK(sendto(s, big, 65508, 0, SA(a), sizeof(a)) == -1 && errno == EMSGSIZE);
    CHECK(sendto(s, big, 65507, 0, SA(a), sizeof(a)) == 65507 && recv(d, big, 70000, 0) == 65507);
    close(s);
    close(d);
}

static void versions(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6}, from;
    socklen_t len = sizeof(from);
    char buf[64];
    int d = socket(AF_INET6, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0);
    if (d < 0)
        return; /* no IPv6 */
    CHECK(bind(d, SA(a), sizeof(a)) == 0);
    int port = port_of(d);
    CHECK(to(s, "four", INADDR_LOOPBACK, port) == 4);
    CHECK(recvfrom(d, buf, 64, 0, SA(from), &len) == 4 && IN6_IS_ADDR_V4MAPPED(&from.sin6_addr));
    CHECK(sendto(d, "back", 4, 0, SA(from), len) == 4 && recv(s, buf, 64, 0) == 4);
    close(s);
    s = socket(AF_INET6, SOCK_DGRAM, 0);
    a.sin6_port = htons((unsigned short)port);
    CHECK(inet_pton(AF_INET6, "::1", &a.sin6_addr) == 1);
    CHECK(sendto(s, "six", 3, 0, SA(a), sizeof(a)) == 3);
    CHECK(recvfrom(d, buf, 64, 0, SA(from), &len) == 3 && IN6_IS_ADDR_LOOPBACK(&from.sin6_addr));
    CHECK(to(s, "mixed", INADDR_LOOPBACK, port) == 5 && recv(d, buf, 64, 0) == 5);
    close(s);
    close(d);
}

static void ports(void)
{
    int a = bound(INADDR_LOOPBACK, 0, 0, 0), port = port_of(a), b;
    CHECK(bound(INADDR_LOOPBACK, port, 1, 0) == -1 && bound(INADDR_ANY, port, 0, 0) == -1);
    b = bound(INADDR_LOOPBACK + 1, port, 0, 0);
    CHECK(b >= 0);
    close(a);
    close(b);
    /* Of those that share a name the newest gets it, of different ones the exact. */
    char buf[8];
    int s = socket(AF_INET, SOCK_DGRAM, 0), any = bound(INADDR_ANY, 0, 1, 0);
    port = port_of(any);
    a = bound(INADDR_LOOPBACK, port, 1, 0);
    CHECK(to(s, "x", INADDR_LOOPBACK, port) == 1 && recv(a, buf, 8, 0) == 1);
    CHECK(to(s, "xx", INADDR_LOOPBACK + 1, port) == 2 && recv(any, buf, 8, 0) == 2);
    close(any);
    b = bound(INADDR_LOOPBACK, port, 1, 0);
    CHECK(to(s, "x", INADDR_LOOPBACK, port) == 1 && recv(b, buf, 8, 0) == 1);
    close(a);
    close(b);
    /* SO_REUSEPORT spreads by names. */
    int l[3], took[3] = {0}, total = 0;
    for (int i = 0; i < 3; i++)
        l[i] = bound(INADDR_LOOPBACK, i ? port_of(l[0]) : 0, 0, 1);
    for (int n = 0; n < 90; n++) {
        int c = socket(AF_INET, SOCK_DGRAM, 0);
        CHECK(to(c, "x", INADDR_LOOPBACK, port_of(l[0])) == 1);
        close(c);
    }
    for (int i = 0; i < 3; i++) {
        while (recv(l[i], buf, 8, MSG_DONTWAIT) == 1)
            took[i]++;
        CHECK(took[i] > 5);
        total += took[i];
        close(l[i]);
    }
    CHECK(total == 90);
    close(s);
}

static void refused(void)
{
    char buf[8];
    int d = bound(INADDR_LOOPBACK, 0, 0, 0), port = port_of(d), s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = v4(INADDR_LOOPBACK, port);
    close(d);
    CHECK(to(s, "x", INADDR_LOOPBACK, port) == 1); /* who is not connected learns nothing */
    CHECK(to(s, "x", INADDR_LOOPBACK, port) == 1);
    CHECK(recv(s, buf, 8, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(connect(s, SA(a), sizeof(a)) == 0 && send(s, "x", 1, 0) == 1);
    CHECK(ready(s, POLLIN | POLLOUT, 1000) & POLLERR);
    CHECK(recv(s, buf, 8, 0) == -1 && errno == ECONNREFUSED);
    CHECK(recv(s, buf, 8, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(send(s, "x", 1, 0) == 1 && send(s, "x", 1, 0) == -1 && errno == ECONNREFUSED);
    CHECK(send(s, "x", 1, 0) == 1 && get_int(s, SOL_SOCKET, SO_ERROR) == ECONNREFUSED);
    close(s);
}

static void *shut_later(void *arg)
{
    sleep_ms(30);
    shutdown(*(int *)arg, SHUT_RD);
    return NULL;
}

static void waiting(void)
{
    int ep = epoll_create1(0), d = bound(INADDR_LOOPBACK, 0, 0, 0), port = port_of(d), n = 0;
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.u64 = 1}, got[4];
    char buf[1000] = {0};
    CHECK(ready(d, POLLIN | POLLOUT, 0) == POLLOUT);
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, d, &e) == 0 && epoll_wait(ep, got, 4, 0) == 0);
    CHECK(to(s, "x", INADDR_LOOPBACK, port) == 1);
    CHECK(epoll_wait(ep, got, 4, 5000) == 1 && got[0].events == EPOLLIN);
    CHECK(epoll_wait(ep, got, 4, 0) == 0);
    CHECK(to(s, "x", INADDR_LOOPBACK, port) == 1 && epoll_wait(ep, got, 4, 5000) == 1);
    CHECK(ready(d, POLLIN | POLLOUT, 0) == (POLLIN | POLLOUT));
    CHECK(recv(d, buf, 8, 0) == 1 && recv(d, buf, 8, 0) == 1);
    struct timeval tv = {0, 50000};
    CHECK(setsockopt(d, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    double start = now();
    CHECK(recv(d, buf, 8, 0) == -1 && errno == EAGAIN && now() - start > 0.04);
    /* A full buffer drops; what came before is kept in order. */
    for (int i = 0; i < 3000; i++) {
        buf[0] = (char)i;
        CHECK(send(s, "", 0, 0) == -1 || 1);
        struct sockaddr_in a = v4(INADDR_LOOPBACK, port);
        CHECK(sendto(s, buf, sizeof(buf), 0, SA(a), sizeof(a)) == sizeof(buf));
    }
    for (; recv(d, buf, sizeof(buf), MSG_DONTWAIT) == sizeof(buf); n++)
        CHECK(buf[0] == (char)n);
    CHECK(n > 20 && n < 3000);
    tv.tv_usec = 0;
    CHECK(setsockopt(d, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    pthread_t t;
    CHECK(pthread_create(&t, NULL, shut_later, &d) == 0);
    CHECK(recv(d, buf, 8, 0) == 0); /* also unconnected: it wakes who waits */
    pthread_join(t, NULL);
    close(s);
    close(d);
    close(ep);
}

/* UDP_SEGMENT: one call, many datagrams. */
static void segments(void)
{
    int d = bound(INADDR_LOOPBACK, 0, 0, 0), s = socket(AF_INET, SOCK_DGRAM, 0), size = 100;
    char buf[350];
    memset(buf, 'x', sizeof(buf));
    struct sockaddr_in a = v4(INADDR_LOOPBACK, port_of(d));
    if (setsockopt(s, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) == 0) {
        CHECK(get_int(s, IPPROTO_UDP, UDP_SEGMENT) == 100);
        CHECK(sendto(s, buf, 350, 0, SA(a), sizeof(a)) == 350);
        for (int i = 0; i < 4; i++)
            CHECK(recv(d, buf, sizeof(buf), 0) == (i < 3 ? 100 : 50));
    }
    close(s);
    close(d);
}

/* How many lines of a file of /proc/net have these names and that state; *inode of the last. */
static int lines(const char *file, unsigned host, int port, int state, unsigned long *inode)
{
    char line[512], want[32], local[64];
    unsigned st;
    int found = 0;
    FILE *f = fopen(file, "r");
    CHECK(f != NULL);
    if (f == NULL)
        return -1;
    CHECK(fgets(line, sizeof(line), f) && strstr(line, "local_address"));
    snprintf(want, sizeof(want), "%08X:%04X", htonl(host), port);
    while (fgets(line, sizeof(line), f)) {
        unsigned long i;
        CHECK(sscanf(line, "%*d: %63s %*s %x %*s %*s %*s %*d %*d %lu", local, &st, &i) == 3);
        if (strcmp(local, want) == 0 && st == (unsigned)state) {
            found++;
            *inode = i;
        }
    }
    fclose(f);
    return found;
}

static void proc_net(void)
{
    struct sockaddr_in a = v4(INADDR_LOOPBACK, 0);
    unsigned long inode = 0;
    int l = socket(AF_INET, SOCK_STREAM, 0), d = bound(INADDR_LOOPBACK + 8, 0, 0, 0);
    CHECK(bind(l, SA(a), sizeof(a)) == 0 && listen(l, 3) == 0);
    int port = port_of(l), c = socket(AF_INET, SOCK_STREAM, 0), w = socket(AF_INET, SOCK_STREAM, 0);
    a = v4(INADDR_LOOPBACK, port);
    CHECK(connect(c, SA(a), sizeof(a)) == 0);
    int s = accept(l, NULL, NULL);
    CHECK(lines("/proc/net/tcp", INADDR_LOOPBACK, port, 0x0a, &inode) == 1);
    struct stat st;
    char path[64], link[64], target[64] = {0};
    CHECK(fstat(l, &st) == 0 && st.st_ino == inode && S_ISSOCK(st.st_mode));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", l);
    snprintf(link, sizeof(link), "socket:[%lu]", inode);
    CHECK(readlink(path, target, sizeof(target) - 1) > 0 && strcmp(target, link) == 0);
    CHECK(lines("/proc/net/tcp", INADDR_LOOPBACK, port, 0x01, &inode) == 1);
    CHECK(lines("/proc/self/net/tcp", INADDR_LOOPBACK, port_of(c), 0x01, &inode) == 1);
    CHECK(lines("/proc/net/udp", INADDR_LOOPBACK + 8, port_of(d), 0x07, &inode) == 1);
    /* A server of a wildcard: it has two halves and one line. */
    a = v4(INADDR_ANY, 0);
    CHECK(bind(w, SA(a), sizeof(a)) == 0 && listen(w, 3) == 0);
    CHECK(lines("/proc/net/tcp", INADDR_ANY, port_of(w), 0x0a, &inode) == 1);
    close(s);
    close(c);
    close(l);
    CHECK(lines("/proc/net/tcp", INADDR_LOOPBACK, port, 0x0a, &inode) == 0);
    CHECK(access("/proc/net/tcp6", R_OK) == 0 && access("/proc/net/udp6", R_OK) == 0);
    close(w);
    close(d);
}

/* No datagram, no control data: not a byte of the buffer changes. */
static void shut_for_reading(void)
{
    char text[8], control[512] = {0}, same[512] = {0};
    struct iovec v = {text, sizeof(text)};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    int s = bound(INADDR_LOOPBACK, 0, 0, 0);
    struct sockaddr_in a = v4(INADDR_LOOPBACK, port_of(s));
    CHECK(connect(s, SA(a), sizeof(a)) == 0 && shutdown(s, SHUT_RD) == 0);
    CHECK(recvmsg(s, &m, 0) == 0 && m.msg_controllen == 0);
    CHECK(memcmp(control, same, sizeof(same)) == 0);
    close(s);
}

/* MSG_MORE makes one datagram of several sends, for where the first one was to. */
static void gathered(void)
{
    int r = bound(INADDR_LOOPBACK, 0, 0, 0), other = bound(INADDR_LOOPBACK, 0, 0, 0);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = v4(INADDR_LOOPBACK, port_of(r)), b = v4(INADDR_LOOPBACK, port_of(other));
    static char big[65000];
    char buf[64];
    CHECK(sendto(s, "abc", 3, MSG_MORE, SA(a), sizeof(a)) == 3);
    CHECK(ready(r, POLLIN, 0) == 0);
    CHECK(sendto(s, "def", 3, 0, SA(b), sizeof(b)) == 3);
    CHECK(recv(r, buf, 64, 0) == 6 && memcmp(buf, "abcdef", 6) == 0);
    CHECK(ready(other, POLLIN, 0) == 0);
    CHECK(connect(s, SA(a), sizeof(a)) == 0 && send(s, "x", 1, MSG_MORE) == 1);
    CHECK(write(s, "y", 1) == 1 && recv(r, buf, 64, 0) == 2);
    /* What gets too long is dropped. */
    CHECK(send(s, big, sizeof(big), MSG_MORE) == sizeof(big));
    CHECK(send(s, big, 1000, 0) == -1 && errno == EMSGSIZE);
    CHECK(send(s, "z", 1, 0) == 1 && recv(r, buf, 64, 0) == 1);
    CHECK(send(s, "unsent", 6, MSG_MORE) == 6);
    close(s);
    CHECK(ready(r, POLLIN, 50) == 0);
    close(r);
    close(other);
}

int main(void)
{
    RUN(names);
    RUN(versions);
    RUN(ports);
    RUN(refused);
    RUN(waiting);
    RUN(segments);
    RUN(gathered);
    RUN(shut_for_reading);
    RUN(proc_net);
    return finish();
}
