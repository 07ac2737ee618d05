/* SPDX-License-Identifier: Apache-2.0 */
/* A part of the workload: sockets, FIFOs and inotify in the host's directory. Nobody outside is
 * anybody inside, and events are what Linux would give. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "workload.h"

/* Nobody whom the host lets in is anybody inside. */
static void peer_is_nobody(int s)
{
    struct ucred c = {1, 0, 0};
    socklen_t size = sizeof(c);
    if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &c, &size) == 0)
        INSIDE(c.pid == getpid() || (c.pid == 0 && c.uid == (uid_t)-1 && c.gid == (gid_t)-1));
}

static void watch(void)
{
    int instance = inotify_init1(IN_NONBLOCK);
    char events[1024] __attribute__((aligned(8)));
    for (int round = 0; round < 8; round++) {
        int wd = inotify_add_watch(instance, "/host", IN_ALL_EVENTS);
        int fd = open("/host/watched", O_CREAT | O_WRONLY, 0600);
        close(fd);
        unlink("/host/watched");
        ssize_t n = read(instance, events, sizeof(events));
        for (ssize_t at = 0; at < n;) {
            struct inotify_event *e = (struct inotify_event *)(events + at);
            INSIDE(n - at >= (ssize_t)sizeof(*e) && (e->wd == wd || e->wd == -1 || round > 0));
            INSIDE(e->len == 0 || (memchr(e->name, 0, e->len) && !strchr(e->name, '/')));
            at += (ssize_t)sizeof(*e) + e->len;
        }
        if (round % 3 == 2)
            inotify_rm_watch(instance, wd);
    }
    close(instance);
}

/* Sockets and FIFOs in the host's directory. */
void shared_part(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX}, from;
    char buf[64];
    for (int round = 0; round < 8; round++) {
        int type = round % 2 ? SOCK_DGRAM : SOCK_STREAM, s, c, peer, fifo;
        socklen_t size = sizeof(from);
        snprintf(at.sun_path, sizeof(at.sun_path), "/host/s%d", round % 4);
        unlink(at.sun_path);
        s = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
        c = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
        if (s < 0 || c < 0)
            break;
        bind(s, (struct sockaddr *)&at, sizeof(at));
        listen(s, 4);
        if (connect(c, (struct sockaddr *)&at, sizeof(at)) == 0)
            peer_is_nobody(c);
        send(c, "text", 4, MSG_NOSIGNAL);
        peer = type == SOCK_STREAM ? accept4(s, NULL, NULL, SOCK_NONBLOCK) : dup(s);
        if (peer >= 0 && type == SOCK_STREAM)
            peer_is_nobody(peer);
        recvfrom(peer, buf, sizeof(buf), 0, (struct sockaddr *)&from, &size);
        size = sizeof(from);
        getpeername(c, (struct sockaddr *)&from, &size);
        sendto(s, "back", 4, MSG_NOSIGNAL, (struct sockaddr *)&at, sizeof(at));
        close(peer);
        close(c);
        close(s);
        mkfifo("/host/fifo", 0600);
        fifo = open("/host/fifo", O_RDWR | O_NONBLOCK);
        if (fifo >= 0 && write(fifo, "x", 1) == 1 && read(fifo, buf, sizeof(buf)) > 0)
            buf[0] = 0;
        close(fifo);
    }
    watch();
}
