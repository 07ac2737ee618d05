/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for runc's recvtty in its integration tests: listens on a socket, takes every terminal
 * that is sent there and reads it empty. The tests connect right after starting it, so it has to be
 * quick.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TERMINALS_MAX = 64 };

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, TERMINALS_MAX) < 0)
        return -1;
    return fd;
}

static int receive(int listener)
{
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0)
        return -1;
    char text[4096];
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {text, sizeof(text)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    int fd = -1;
    if (recvmsg(connection, &msg, MSG_CMSG_CLOEXEC) > 0) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        if (c && c->cmsg_type == SCM_RIGHTS)
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    }
    close(connection);
    return fd;
}

int main(int argc, char **argv)
{
    const char *pid_file = NULL, *path = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--pid-file") == 0 && i + 1 < argc)
            pid_file = argv[++i];
        else if (strcmp(argv[i], "--mode") == 0 && i + 1 < argc)
            i++;
        else if (argv[i][0] != '-')
            path = argv[i];
    }
    struct pollfd fds[TERMINALS_MAX + 1];
    int count = 1;
    fds[0] = (struct pollfd){path ? listen_at(path) : -1, POLLIN, 0};
    if (fds[0].fd < 0)
        return 1;
    FILE *out = pid_file ? fopen(pid_file, "we") : NULL;
    if (out) {
        fprintf(out, "%d", (int)getpid());
        fclose(out);
    }
    for (;;) {
        if (poll(fds, (nfds_t)count, -1) < 0)
            return 1;
        for (int i = count - 1; i > 0; i--) {
            char block[65536];
            if (fds[i].revents && read(fds[i].fd, block, sizeof(block)) <= 0) {
                close(fds[i].fd);
                fds[i] = fds[--count];
            }
        }
        if (fds[0].revents && count <= TERMINALS_MAX) {
            int fd = receive(fds[0].fd);
            if (fd >= 0)
                fds[count++] = (struct pollfd){fd, POLLIN, 0};
        }
    }
}
