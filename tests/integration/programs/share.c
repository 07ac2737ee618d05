/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both sides of what two containers share in a directory, for enclave-shared.bats; the same program
 * runs in the enclave and outside.
 *
 *   share serve TYPE PATH COUNT     answer COUNT messages (of as many connections) in capitals,
 *                                   and say who the other side is and what was its name
 *   share ask TYPE PATH TEXT [OWN]  send TEXT, print the answer; OWN: bound to that name
 *   share descriptor PATH           send a descriptor: the errno
 *   share poll PATH COUNT           as serve stream, one thread with epoll, sockets non-blocking
 *   share watch SECONDS PATH...     print inotify's events of each path, one a line
 *
 *   share as UID GID ...            any of these as another user
 *
 * TYPE: stream, packet or datagram.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static int type_of(const char *name)
{
    return strcmp(name, "stream") == 0   ? SOCK_STREAM
           : strcmp(name, "packet") == 0 ? SOCK_SEQPACKET
                                         : SOCK_DGRAM;
}

static struct sockaddr_un address(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    return a;
}

static int bound(int type, const char *path)
{
    struct sockaddr_un a = address(path), name;
    socklen_t size = sizeof(name);
    struct stat st;
    int s = socket(AF_UNIX, type, 0);
    if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) < 0)
        fail("bind");
    if (stat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        fail("no socket");
    if (getsockname(s, (struct sockaddr *)&name, &size) < 0 || strcmp(name.sun_path, path) != 0)
        fail("another name");
    if (bind(socket(AF_UNIX, type, 0), (struct sockaddr *)&a, sizeof(a)) == 0 ||
        errno != EADDRINUSE)
        fail("bound twice");
    if (chmod(path, 0666) < 0)
        fail("chmod");
    return s;
}

static void say_peer(int s, const char *how)
{
    struct ucred c;
    socklen_t size = sizeof(c);
    if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &c, &size) < 0)
        fail("SO_PEERCRED");
    printf("%s pid %s uid %d gid %d\n", how, c.pid ? "some" : "none", (int)c.uid, (int)c.gid);
}

static void capitals(char *text, ssize_t n)
{
    for (ssize_t i = 0; i < n; i++)
        text[i] = (char)toupper(text[i]);
}

/* One message with who sent it, and back. */
static void answer(int s)
{
    char text[256], control[256];
    struct sockaddr_un from = {0};
    struct iovec io = {text, sizeof(text)};
    struct msghdr m = {.msg_name = &from,
                       .msg_namelen = sizeof(from),
                       .msg_iov = &io,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(s, &m, 0);
    if (n <= 0)
        fail("recvmsg");
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        struct ucred u;
        if (c->cmsg_type != SCM_CREDENTIALS)
            fail("control data");
        memcpy(&u, CMSG_DATA(c), sizeof(u));
        printf("sender pid %s uid %d gid %d\n", u.pid ? "some" : "none", (int)u.uid, (int)u.gid);
    }
    if (m.msg_namelen > offsetof(struct sockaddr_un, sun_path) && from.sun_path[0])
        printf("from %s\n", from.sun_path);
    printf("got %.*s\n", (int)n, text);
    capitals(text, n);
    if (sendto(s, text, (size_t)n, MSG_NOSIGNAL, m.msg_namelen ? (struct sockaddr *)&from : NULL,
               m.msg_namelen) != n)
        fail("sendto");
}

static int serve(const char *kind, const char *path, int count)
{
    int type = type_of(kind), s = bound(type, path), one = 1;
    setsockopt(s, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
    if (type != SOCK_DGRAM && listen(s, 1) < 0)
        fail("listen");
    printf("ready\n");
    for (int i = 0; i < count; i++) {
        int c = type == SOCK_DGRAM ? s : accept(s, NULL, NULL);
        if (c < 0)
            fail("accept");
        if (c != s)
            say_peer(c, "client");
        answer(c);
        if (c != s) {
            char rest;
            if (read(c, &rest, 1) != 0)
                fail("no end");
            close(c);
        }
    }
    unlink(path);
    return 0;
}

static int ask(const char *kind, const char *path, const char *text, const char *own)
{
    struct sockaddr_un a = address(path);
    int type = type_of(kind), s = own ? bound(type, own) : socket(AF_UNIX, type, 0);
    char back[256];
    if (connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
        fail("connect");
    struct sockaddr_un name = {0};
    socklen_t size = sizeof(name);
    if (getpeername(s, (struct sockaddr *)&name, &size) < 0 || strcmp(name.sun_path, path) != 0)
        fail("peer's name");
    say_peer(s, "server");
    if (send(s, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
        fail("send");
    ssize_t n = recv(s, back, sizeof(back), 0);
    if (n <= 0)
        fail("recv");
    printf("back %.*s\n", (int)n, back);
    if (type != SOCK_DGRAM && shutdown(s, SHUT_WR) < 0)
        fail("shutdown");
    if (type != SOCK_DGRAM && recv(s, back, sizeof(back), 0) != 0)
        fail("no end");
    if (own)
        unlink(own);
    return 0;
}

static int descriptor(const char *path)
{
    struct sockaddr_un a = address(path);
    int s = socket(AF_UNIX, SOCK_STREAM, 0), fd = 0;
    char control[CMSG_SPACE(sizeof(fd))] = {0};
    struct iovec io = {"x", 1};
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    if (connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
        fail("connect");
    if (sendmsg(s, &m, 0) >= 0)
        printf("descriptor sent\n");
    else
        printf("descriptor: %s\n", strerror(errno));
    return send(s, "text", 4, 0) == 4 && recv(s, control, 4, 0) == 4 ? 0 : 1;
}

static int poll_server(const char *path, int count)
{
    int s = bound(SOCK_STREAM, path), ep = epoll_create1(0), served = 0;
    struct epoll_event e = {.events = EPOLLIN, .data.fd = s};
    if (fcntl(s, F_SETFL, O_NONBLOCK) < 0 || listen(s, 64) < 0 ||
        epoll_ctl(ep, EPOLL_CTL_ADD, s, &e) < 0)
        fail("epoll");
    printf("ready\n");
    while (served < count) {
        struct epoll_event got[8];
        int n = epoll_wait(ep, got, 8, -1);
        for (int i = 0; i < n; i++) {
            char text[256];
            if (got[i].data.fd == s) {
                int c;
                while ((c = accept4(s, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    e = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.fd = c};
                    if (epoll_ctl(ep, EPOLL_CTL_ADD, c, &e) < 0)
                        fail("add");
                }
                if (errno != EAGAIN)
                    fail("accept4");
                continue;
            }
            ssize_t r;
            while ((r = read(got[i].data.fd, text, sizeof(text))) > 0) {
                capitals(text, r);
                if (write(got[i].data.fd, text, (size_t)r) != r)
                    fail("write");
            }
            if (r == 0) {
                close(got[i].data.fd);
                served++;
            } else if (errno != EAGAIN) {
                fail("read");
            }
        }
    }
    printf("served %d\n", served);
    return 0;
}

static const char *events(uint32_t mask, char *out, size_t size)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {{IN_MODIFY, "modify"},
                 {IN_ATTRIB, "attrib"},
                 {IN_CLOSE_WRITE, "close_write"},
                 {IN_MOVED_FROM, "moved_from"},
                 {IN_MOVED_TO, "moved_to"},
                 {IN_CREATE, "create"},
                 {IN_DELETE, "delete"},
                 {IN_DELETE_SELF, "delete_self"},
                 {IN_MOVE_SELF, "move_self"},
                 {IN_IGNORED, "ignored"},
                 {IN_Q_OVERFLOW, "overflow"},
                 {IN_OPEN, "open"},
                 {IN_CLOSE_NOWRITE, "close"},
                 {IN_ACCESS, "access"},
                 {IN_ISDIR, "dir"}};
    size_t n = 0;
    *out = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (mask & names[i].bit)
            n += (size_t)snprintf(out + n, size - n, "%s%s", n ? "|" : "", names[i].name);
    return out;
}

static int watch(int seconds, char **paths)
{
    int fd = inotify_init1(IN_NONBLOCK);
    time_t end = time(NULL) + seconds;
    for (int i = 0; paths[i]; i++)
        if (inotify_add_watch(fd, paths[i],
                              IN_ALL_EVENTS &
                                  ~(uint32_t)(IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE)) != i + 1)
            fail("inotify_add_watch");
    printf("ready\n");
    while (time(NULL) < end) {
        char buf[4096] __attribute__((aligned(8))), text[256];
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 200) <= 0)
            continue;
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n < 0 && errno != EAGAIN)
            fail("read");
        for (ssize_t at = 0; at < n;) {
            struct inotify_event *e = (struct inotify_event *)(buf + at);
            printf("%d %s %s\n", e->wd, events(e->mask, text, sizeof(text)),
                   e->len ? e->name : "-");
            at += (ssize_t)sizeof(*e) + e->len;
            if (e->len && strcmp(e->name, "stop") == 0)
                end = 0;
        }
    }
    return 0;
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

/* Process 1 of a container does not end by a signal that it has no handler for. */
static void too_long(int signal)
{
    _exit(128 + signal);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGALRM, too_long);
    alarm(100);
    if (argc > 4 && strcmp(argv[1], "as") == 0) {
        if (setgid((gid_t)number(argv[3])) < 0 || setuid((uid_t)number(argv[2])) < 0)
            fail("setuid");
        argc -= 3;
        argv += 3;
    }
    if (argc >= 5 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2], argv[3], number(argv[4]));
    if (argc >= 5 && strcmp(argv[1], "ask") == 0)
        return ask(argv[2], argv[3], argv[4], argv[5]);
    if (argc == 3 && strcmp(argv[1], "descriptor") == 0)
        return descriptor(argv[2]);
    if (argc == 4 && strcmp(argv[1], "poll") == 0)
        return poll_server(argv[2], number(argv[3]));
    if (argc >= 4 && strcmp(argv[1], "watch") == 0)
        return watch(number(argv[2]), argv + 3);
    return 2;
}
