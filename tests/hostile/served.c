/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of the workload about what the host serves: its files, sockets and clocks are used, and not
 * believed. What the LibOS promises of them is checked: sealed bytes are right or an error, nobody
 * from outside is localhost, no descriptor comes from there, time does not go back.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

void host_part(void)
{
    char buf[4096], path[64];
    for (int round = 0; round < 30; round++) {
        snprintf(path, sizeof(path), "/host/f%d", round % 4);
        int fd = open(path, O_RDWR | O_CREAT, 0600);
        if (fd < 0)
            continue;
        memset(buf, round, sizeof(buf));
        ssize_t ignored = write(fd, buf, sizeof(buf));
        ignored = pread(fd, buf, sizeof(buf), 0);
        ignored = readlink("/host/link", buf, sizeof(buf));
        (void)ignored;
        struct stat st;
        if (fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size < 1 << 20) {
            void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
            if (p != MAP_FAILED)
                munmap(p, (size_t)st.st_size);
        }
        ftruncate(fd, 10);
        close(fd);
        DIR *dir = opendir("/host");
        for (int n = 0; dir && n < 1000 && readdir(dir) != NULL; n++)
            ;
        if (dir)
            closedir(dir);
        symlink("f1", "/host/link");
        rename(path, "/host/other");
        unlink("/host/link");
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
    }
}

/* What the tenant masks is empty, whatever the host has on /dev. */
void masked_part(void)
{
    char buf[64];
    int fd = open("/masked", O_RDWR);
    INSIDE(fd >= 0);
    INSIDE(read(fd, buf, sizeof(buf)) == 0);
    INSIDE(write(fd, "x", 1) == 1 && pread(fd, buf, sizeof(buf), 0) == 0);
    close(fd);
}

/* ---- sockets to the outside ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

/* The host's own loopback, by the name that it has inside (libos/net/host_name.c). */
static union address outside(bool six, in_port_t port, bool wildcard)
{
    union address a = {0};
    if (six) {
        a.six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
        inet_pton(AF_INET6, wildcard ? "::" : "100::1", &a.six.sin6_addr);
    } else {
        a.four = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        inet_pton(AF_INET, wildcard ? "0.0.0.0" : "192.0.0.8", &a.four.sin_addr);
    }
    return a;
}

/* Whoever trusts localhost would trust the host. */
static void no_localhost(const union address *a, socklen_t size)
{
    const struct in6_addr *six = &a->six.sin6_addr;
    if (a->any.sa_family == AF_INET && size >= sizeof(a->four))
        INSIDE(ntohl(a->four.sin_addr.s_addr) >> 24 != 127);
    if (a->any.sa_family == AF_INET6 && size >= sizeof(a->six))
        INSIDE(!IN6_IS_ADDR_LOOPBACK(six) &&
               !(IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127));
}

static void peer_is_outside(int fd)
{
    union address a = {0};
    socklen_t size = sizeof(a);
    if (getpeername(fd, &a.any, &size) == 0)
        no_localhost(&a, size);
}

static in_port_t port_of(int fd)
{
    union address a = {0};
    socklen_t size = sizeof(a);
    return getsockname(fd, &a.any, &size) == 0 ? a.four.sin_port : 0;
}

static int bound(bool six, int type)
{
    const union address at = outside(six, 0, true);
    int fd = socket(six ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, &at.any, six ? sizeof(at.six) : sizeof(at.four)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* One message, with all that may come along. */
static void receive(int fd)
{
    char buf[512], control[256];
    union address from = {0};
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr m = {.msg_name = &from,
                       .msg_namelen = sizeof(from),
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
    if (n < 0)
        return;
    INSIDE(n <= (ssize_t)sizeof(buf) && m.msg_controllen <= sizeof(control));
    no_localhost(&from, m.msg_namelen);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c))
        INSIDE(c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS);
}

/* A listener of the host and an event of the enclave's own in one set. */
static void ready(int listener)
{
    const uint64_t theirs = pattern((uint64_t)listener, 7), ours = pattern((uint64_t)listener, 8);
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = theirs}, out[4];
    int ep = epoll_create1(EPOLL_CLOEXEC), event = eventfd(1, EFD_CLOEXEC);
    bool seen = false;

    INSIDE(event >= 0 || host_may(errno));
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    e.data.u64 = ours;
    const bool added = epoll_ctl(ep, EPOLL_CTL_ADD, event, &e) == 0;
    int n = epoll_wait(ep, out, 4, 1000);
    INSIDE(n <= 2);
    for (int i = 0; i < n; i++) {
        INSIDE(out[i].data.u64 == theirs || (added && out[i].data.u64 == ours));
        INSIDE((out[i].events & ~(uint32_t)(EPOLLIN | EPOLLERR | EPOLLHUP)) == 0);
        seen |= out[i].data.u64 == ours;
    }
    INSIDE(!added || n < 0 || seen);
    close(event);
    close(ep);
    struct pollfd p = {.fd = listener, .events = POLLIN};
    if (poll(&p, 1, 100) > 0)
        INSIDE((p.revents & ~(POLLIN | POLLERR | POLLHUP | POLLNVAL)) == 0);
}

static void stream_outside(bool six)
{
    char buf[512] = "hello";
    int l = bound(six, SOCK_STREAM), on = 1, s = -1;
    if (l < 0 || listen(l, 4) < 0) {
        close(l);
        return;
    }
    const union address to = outside(six, port_of(l), false);
    int c = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(c, &to.any, six ? sizeof(to.six) : sizeof(to.four));
    ready(l);
    union address peer = {0};
    socklen_t size = sizeof(peer);
    struct pollfd p = {.fd = l, .events = POLLIN};
    if (poll(&p, 1, 100) > 0 && (p.revents & POLLIN))
        s = accept4(l, &peer.any, &size, SOCK_NONBLOCK);
    if (s >= 0) {
        no_localhost(&peer, size);
        peer_is_outside(s);
    }
    setsockopt(c, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on));
    send(c, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
    receive(s);
    shutdown(c, SHUT_RDWR);
    close(c);
    close(s);
    close(l);
}

static void datagram_outside(bool six)
{
    int fd = bound(six, SOCK_DGRAM), on = 1;
    if (fd < 0)
        return;
    setsockopt(fd, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_RECVPKTINFO : IP_PKTINFO, &on,
               sizeof(on));
    const union address to = outside(six, port_of(fd), false);
    for (int i = 0; i < 4; i++)
        sendto(fd, "hello", 5, MSG_DONTWAIT, &to.any, six ? sizeof(to.six) : sizeof(to.four));
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (int i = 0; i < 4 && poll(&p, 1, 50) > 0; i++)
        receive(fd);
    close(fd);
}

#define RAW_PROTOCOL 253 /* for experiments (RFC 3692) */

/* A raw socket reaches the host's loopback by its name of the outside only, and hears of it so. */
static void raw_outside(bool six)
{
    union address to = outside(six, 0, false), own = to;
    const socklen_t size = six ? sizeof(to.six) : sizeof(to.four);
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, RAW_PROTOCOL);
    if (fd < 0)
        return;
    if (six)
        own.six.sin6_addr = in6addr_loopback;
    else
        own.four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    INSIDE(sendto(fd, "hello", 5, MSG_DONTWAIT, &own.any, size) < 0);
    own.any.sa_family = AF_UNSPEC;
    INSIDE(sendto(fd, "hello", 5, MSG_DONTWAIT, &own.any, size) < 0);
    for (int i = 0; i < 4; i++)
        sendto(fd, "hello", 5, MSG_DONTWAIT, &to.any, size);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (int i = 0; i < 4 && poll(&p, 1, 50) > 0; i++)
        receive(fd);
    close(fd);
}

/* Who may not have a port below 1024 gets none by asking the host for any. */
static void any_port(bool six)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};

    INSIDE(syscall(SYS_capset, &header, none) == 0);
    for (int i = 0; i < 16; i++) {
        int fd = bound(six, i % 2 ? SOCK_STREAM : SOCK_DGRAM);
        const in_port_t port = ntohs(port_of(fd));
        INSIDE(port == 0 || port >= 1024);
        close(fd);
    }
    _exit(0);
}

void network_part(void)
{
    for (int round = 0; round < 8; round++) {
        stream_outside(round % 2);
        datagram_outside(round % 2);
        raw_outside(round % 2);
    }
    for (int six = 0; six < 2; six++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0)
            any_port(six);
        if (pid > 0 && waitpid(pid, &status, 0) == pid)
            INSIDE(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    }
}

/* ---- the image ---- */

void sealed_part(void)
{
    uint64_t words[512];
    int fd = open("/pattern", O_RDONLY | O_CLOEXEC);
    struct stat st;
    INSIDE(fd >= 0 || errno == EIO || host_may(errno));
    if (fd < 0 || fstat(fd, &st) < 0) {
        refused("the sealed file: %d", errno);
        return;
    }
    const uint64_t pages = (uint64_t)st.st_size / sizeof(words);
    INSIDE(pages > 0);
    for (uint64_t round = 0; round < 2 * pages; round++) {
        const uint64_t page = pattern(round, 3) % pages;
        ssize_t n = pread(fd, words, sizeof(words), (off_t)(page * sizeof(words)));
        INSIDE(n == (ssize_t)sizeof(words) || (n < 0 && (errno == EIO || host_may(errno))));
        for (uint64_t i = 0; n > 0 && i < 512; i++)
            INSIDE(words[i] == pattern(page * 512 + i, SEALED_KEY));
        if (n < 0)
            refused("sealed bytes: %d", errno);
    }
    close(fd);
}

/* ---- clocks ---- */

static uint64_t now_of(clockid_t id)
{
    struct timespec t;
    INSIDE(clock_gettime(id, &t) == 0 && t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void clock_part(void)
{
    uint64_t mono = 0, real = 0;
    for (int round = 0; round < 2000; round++) {
        const uint64_t m = now_of(CLOCK_MONOTONIC), r = now_of(CLOCK_REALTIME);
        INSIDE(m >= mono && r >= real);
        mono = m;
        real = r;
        if (round % 100 != 0)
            continue;
        const struct timespec ms = {0, 1000000};
        if (nanosleep(&ms, NULL) == 0)
            INSIDE(now_of(CLOCK_MONOTONIC) - m >= 1000000);
    }
}

/* ---- terminals that come and go with the processes that the host starts ---- */

static void look_at_terminal(const char *name)
{
    int fd = open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct termios t;
    struct stat st;
    pid_t group;

    if (fd < 0)
        return;
    INSIDE(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode));
    ioctl(fd, TCGETS, &t);
    ioctl(fd, TIOCGPGRP, &group);
    ioctl(fd, TIOCSCTTY, 1);
    close(fd);
}

void terminals_part(void)
{
    static const char *const names[] = {"/dev/console", "/dev/pts/0", "/dev/pts/1", "/dev/tty"};

    const bool started = isatty(0);

    if (started) /* as daemons do; the session has it still */
        for (int fd = 0; fd < 3; fd++)
            close(fd);
    for (int round = started ? 76 : 0; round < 80; round++) {
        look_at_terminal(names[round % 4]);
        usleep(started ? 0 : 1000);
    }
}
