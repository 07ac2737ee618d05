/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seccomp agent (runtime-spec, config-linux "Seccomp", listenerPath): takes the listeners that a
 * runtime sends to SOCKET, writes each message as a line to LOG, and answers system calls:
 *   getppid         returns 4242
 *   mkdir, mkdirat  a path with "refused" fails with ENOMEDIUM (123), all else goes on as it was
 *   everything else goes on as it was
 *
 *   seccomp-agent SOCKET LOG
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { FDS_MAX = 64 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* The text at `address` of a process that waits for our answer. */
static void read_text(pid_t pid, uint64_t address, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, out, size - 1, (off_t)address);
    out[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

static void answer(int listener)
{
    struct seccomp_notif request = {0};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
        return; /* the process died meanwhile */
    struct seccomp_notif_resp response = {.id = request.id,
                                          .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    int nr = request.data.nr;
    if (nr == SYS_getppid) {
        response.flags = 0;
        response.val = 4242;
    } else if (nr == SYS_mkdir || nr == SYS_mkdirat) {
        char path[256];
        read_text((pid_t)request.pid, request.data.args[nr == SYS_mkdirat], path, sizeof(path));
        if (strstr(path, "refused")) {
            response.flags = 0;
            response.error = -ENOMEDIUM;
        }
    }
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) < 0 && errno != ENOENT)
        perror("answer");
}

/* One message with one descriptor; returns the listener. */
static int receive(int connection, FILE *log)
{
    char text[16384];
    union {
        char room[CMSG_SPACE(sizeof(int) * 4)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {text, sizeof(text) - 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (n <= 0 || !header || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(int))) {
        fprintf(log, "bad message\n");
        fflush(log);
        return -1;
    }
    text[n] = '\0';
    fprintf(log, "%s\n", text);
    fflush(log);
    int listener;
    memcpy(&listener, CMSG_DATA(header), sizeof(listener));
    return listener;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
    int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FILE *log = fopen(argv[2], "ae");
    if (!log || socket_fd < 0 ||
        bind(socket_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(socket_fd, 16) < 0)
        die("agent");
    struct pollfd fds[FDS_MAX] = {{.fd = socket_fd, .events = POLLIN}};
    nfds_t count = 1;
    while (poll(fds, count, -1) >= 0 || errno == EINTR) {
        for (nfds_t i = count; i-- > 1;) {
            if (fds[i].revents & POLLIN)
                answer(fds[i].fd);
            else if (fds[i].revents) {
                close(fds[i].fd);
                fds[i] = fds[--count];
            }
        }
        if (!(fds[0].revents & POLLIN))
            continue;
        int connection = accept4(socket_fd, NULL, NULL, SOCK_CLOEXEC);
        int listener = connection < 0 ? -1 : receive(connection, log);
        if (listener >= 0 && count < FDS_MAX)
            fds[count++] = (struct pollfd){.fd = listener, .events = POLLIN};
        if (connection >= 0)
            close(connection);
    }
    return 1;
}
