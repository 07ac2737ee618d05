/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

int write_all(int fd, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

/*
 * SIG_IGN for the moment of the write would not do: a process that blocks its signals (the one that
 * stays in the foreground does) gets the signal as a pending one, and dies of it once the old
 * action and the old mask are back.
 */
ssize_t write_no_sigpipe(int fd, const void *data, size_t size)
{
    sigset_t pipe, before, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigprocmask(SIG_BLOCK, &pipe, &before);
    sigpending(&pending);
    ssize_t n = write(fd, data, size);
    int error = errno;
    if (n < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE)) {
        const struct timespec now = {0};
        while (sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR)
            ;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return n < 0 ? -error : n;
}

int read_exact(int fd, void *data, size_t size)
{
    char *p = data;
    while (size > 0) {
        ssize_t n = read(fd, p, size);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (n == 0)
            return -ENODATA;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

int read_all(int fd, struct buffer *out, size_t limit)
{
    size_t start = out->size;
    size_t step = 4096;
    for (;;) {
        char *end = buffer_reserve(out, step);
        ssize_t n = read(fd, end, step);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (n == 0)
            return 0;
        out->size += (size_t)n;
        out->data[out->size] = '\0';
        if (out->size - start > limit)
            return -EFBIG;
        if ((size_t)n == step && step < (1u << 20))
            step *= 4;
    }
}

int read_file_at(int dirfd, const char *path, struct buffer *out, size_t limit, struct error *err)
{
    cleanup_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_errno(err, errno, "open %s", path);
    /* One read instead of several for a regular file whose size is known. */
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && (size_t)st.st_size <= limit)
        buffer_reserve(out, (size_t)st.st_size + 4096);
    int ret = read_all(fd, out, limit);
    if (ret < 0)
        return error_errno(err, -ret, "read %s", path);
    return 0;
}

int write_file_at(int dirfd, const char *path, const char *data, size_t size, struct error *err)
{
    cleanup_close int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_errno(err, errno, "open %s", path);
    ssize_t n;
    do {
        n = write(fd, data, size);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(err, errno, "write %.*s to %s", (int)(size < 200 ? size : 200), data,
                           path);
    if ((size_t)n != size)
        return error_errno(err, EIO, "write %s: short write", path);
    return 0;
}

int replace_file_at(int dirfd, const char *name, const void *data, size_t size, mode_t mode,
                    bool durable, struct error *err)
{
    cleanup_free char *temporary = xasprintf("%s.tmp.%d", name, (int)getpid());
    cleanup_close int fd = openat(dirfd, temporary,
                                  O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return error_errno(err, errno, "create %s", temporary);

    int ret = write_all(fd, data, size);
    if (ret == 0 && durable && fsync(fd) < 0)
        ret = -errno;
    if (ret == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
        ret = -errno;
    if (ret < 0) {
        unlinkat(dirfd, temporary, 0);
        return error_errno(err, -ret, "write %s", name);
    }
    if (durable) {
        const char *slash = strrchr(name, '/');
        cleanup_free char *parent = slash
                                        ? xstrndup(name, slash == name ? 1 : (size_t)(slash - name))
                                        : xstrdup(".");
        cleanup_close int dir = openat(dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || fsync(dir) < 0)
            return error_errno(err, errno, "sync directory of %s", name);
    }
    return 0;
}

int fd_send(int socket, const void *data, size_t size, const int *fds, size_t fd_count)
{
    if (fd_count > FD_PASS_MAX || size == 0)
        return -EINVAL;
    union {
        char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd_count > 0) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = control.space;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * fd_count);
    }
    ssize_t n;
    do {
        n = sendmsg(socket, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    /* The descriptors went with the first byte; the rest of a stream message is plain data. */
    if ((size_t)n < size) {
        const char *rest = (const char *)data + n;
        return write_all(socket, rest, size - (size_t)n);
    }
    return 0;
}

ssize_t fd_recv(int socket, void *data, size_t size, int *fds, size_t *fd_count)
{
    union {
        char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space)};
    size_t room = fd_count ? *fd_count : 0;
    size_t count = 0;
    bool overflow = false;
    ssize_t n;
    do {
        n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t received = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < received; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (count < room) {
                fds[count++] = fd;
            } else {
                close(fd);
                overflow = true;
            }
        }
    }
    if (overflow || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        while (count > 0)
            close(fds[--count]);
        if (fd_count)
            *fd_count = 0;
        return -EMSGSIZE;
    }
    if (fd_count)
        *fd_count = count;
    return n;
}

static int change_flag(int fd, int get, int set, int flag, bool on)
{
    int flags = fcntl(fd, get);
    if (flags < 0)
        return -errno;
    int wanted = on ? flags | flag : flags & ~flag;
    if (wanted != flags && fcntl(fd, set, wanted) < 0)
        return -errno;
    return 0;
}

int fd_set_cloexec(int fd, bool on)
{
    return change_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int fd_set_nonblock(int fd, bool on)
{
    return change_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_close_from(int first, bool cloexec)
{
    if (syscall(SYS_close_range, first, ~0u, cloexec ? CLOSE_RANGE_CLOEXEC : 0) == 0)
        return 0;
    if (errno != ENOSYS && errno != EINVAL && errno != EPERM)
        return -errno;

    cleanup_dir DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return -errno;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);
        if (*end || end == entry->d_name || fd < first || fd == dirfd(dir))
            continue;
        if (cloexec)
            fd_set_cloexec((int)fd, true);
        else
            close((int)fd);
    }
    return 0;
}

static bool listed(int fd, const int *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == fd)
            return true;
    return false;
}

/* The lowest of the list that is not below `first`, or -1. */
static int next_listed(int first, const int *list, size_t count)
{
    int next = -1;
    for (size_t i = 0; i < count; i++)
        if (list[i] >= first && (next < 0 || list[i] < next))
            next = list[i];
    return next;
}

int fd_close_except(int first, const int *keep, size_t count)
{
    while (listed(first, keep, count))
        first++;
    for (int stop; (stop = next_listed(first, keep, count)) >= 0;) {
        if (stop > first && syscall(SYS_close_range, first, stop - 1, 0) < 0)
            return -errno;
        first = stop + 1;
    }
    return fd_close_from(first, false);
}
