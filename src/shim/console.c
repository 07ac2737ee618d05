/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/console.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"

struct console {
    struct shim *shim;
    char *path;
    struct loop_watch listener, peer;
    void (*received)(void *ctx, int master);
    void *ctx;
};

static void close_watch(struct console *console, struct loop_watch *watch)
{
    int fd = watch->fd;
    loop_remove(&console->shim->loop, watch);
    if (fd >= 0)
        close(fd);
}

static void peer_ready(struct loop_watch *watch, uint32_t events)
{
    struct console *console = (struct console *)((char *)watch - offsetof(struct console, peer));
    char name[4096];
    int master = -1;
    size_t count = 1;
    ssize_t got = fd_recv(watch->fd, name, sizeof(name), &master, &count);
    if (got == -EAGAIN)
        return;
    close_watch(console, watch);
    if (got < 0 || count != 1) {
        log_warning("no terminal came over %s", console->path);
        return;
    }
    close_watch(console, &console->listener);
    console->received(console->ctx, master);
}

static void listener_ready(struct loop_watch *watch, uint32_t events)
{
    struct console *console = (struct console *)((char *)watch -
                                                 offsetof(struct console, listener));
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    close_watch(console, &console->peer);
    if (loop_add(&console->shim->loop, &console->peer, fd, EPOLLIN, NULL) < 0)
        close(fd);
}

struct console *console_listen(struct shim *shim, void (*received)(void *ctx, int master),
                               void *ctx, struct error *err)
{
    static unsigned counter;
    /* Beside the shim's own socket: a bundle's path may be longer than a socket's name. */
    cleanup_free char *directory = xstrdup(shim->socket_path);
    char *slash = strrchr(directory, '/');
    if (slash)
        *slash = '\0';
    struct console *console = xcalloc(1, sizeof(*console));
    *console = (struct console){
        .shim = shim,
        .path = xasprintf("%s/pty-%d-%u", directory, (int)getpid(), counter++),
        .listener = {.fd = -1, .ready = listener_ready},
        .peer = {.fd = -1, .ready = peer_ready},
        .received = received,
        .ctx = ctx,
    };
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t size = strlen(console->path);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (size >= sizeof(name.sun_path)) {
        error_set(err, "the path %s is too long for a socket", console->path);
        goto fail;
    }
    memcpy(name.sun_path, console->path, size + 1);
    (void)unlink(console->path); /* of a shim that had this process id before */
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ||
        chmod(console->path, 0600) < 0 || listen(fd, 1) < 0 ||
        loop_add(&shim->loop, &console->listener, fd, EPOLLIN, err) < 0) {
        error_errno(err, errno, "create OCI runtime console socket %s", console->path);
        goto fail;
    }
    (void)take_fd(fd);
    return console;
fail:
    console_free(console);
    return NULL;
}

const char *console_path(const struct console *console)
{
    return console->path;
}

void console_free(struct console *console)
{
    if (!console)
        return;
    close_watch(console, &console->listener);
    close_watch(console, &console->peer);
    (void)unlink(console->path);
    free(console->path);
    free(console);
}
