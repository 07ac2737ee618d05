/* SPDX-License-Identifier: Apache-2.0 */
#include "rune/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"

/* In the state directory, and where the container sees it. */
static const char directory[] = "notify", socket_name[] = "notify.sock";
static const char in_container[] = "/run/notify";

void notify_prepare(struct notify *notify, const char *root, const char *id,
                    struct oci_config *config)
{
    const char *host = getenv("NOTIFY_SOCKET");
    if (!host || !*host)
        return;
    if (config->namespaces[OCI_NS_USER].present && geteuid() == 0) {
        log_warning("NOTIFY_SOCKET is not passed on: the state directory cannot be reached from a "
                    "user namespace");
        return;
    }
    notify->host = host;
    static const char *const options[] = {"bind", "nosuid", "noexec", "nodev", "ro"};
    struct oci_mount *mounts = oci_config_alloc(config, config->mount_count + 1, sizeof(*mounts));
    if (config->mount_count)
        memcpy(mounts, config->mounts, config->mount_count * sizeof(*mounts));
    struct oci_mount *mount = &mounts[config->mount_count++];
    mount->destination = in_container;
    mount->source = oci_config_format(config, "%s/%s/%s", root, id, directory);
    mount->options.items = oci_config_alloc(config, array_count(options), sizeof(char *));
    memcpy(mount->options.items, options, sizeof(options));
    mount->options.count = array_count(options);
    config->mounts = mounts;

    struct oci_strings *env = &config->process.env;
    const char **items = oci_config_alloc(config, env->count + 2, sizeof(*items));
    if (env->count)
        memcpy(items, env->items, env->count * sizeof(*items));
    items[env->count++] = oci_config_format(config, "NOTIFY_SOCKET=%s/%s", in_container,
                                            socket_name);
    env->items = items;
}

static int bind_socket(struct notify *notify, int dir, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_errno(err, errno, "create the notify socket");
    /* By descriptor: the path of the state directory may be too long for an address. */
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir, socket_name);
    if (unlinkat(dir, socket_name, 0) < 0 && errno != ENOENT)
        return error_errno(err, errno, "remove the old notify socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_errno(err, errno, "bind the notify socket");
    /* For every user of the container. */
    if (fchmodat(dir, socket_name, 0777, 0) < 0)
        return error_errno(err, errno, "open the notify socket to all");
    notify->socket = take_fd(fd);
    return 0;
}

int notify_state_dir(void *ctx, int dir, struct error *err)
{
    struct notify *notify = ctx;
    if (!notify->host)
        return 0;
    if (mkdirat(dir, directory, 0755) < 0 || fchmodat(dir, directory, 0755, 0) < 0)
        return error_errno(err, errno, "create the notify directory");
    cleanup_close int inner = openat(dir, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (inner < 0)
        return error_errno(err, errno, "open the notify directory");
    return notify->bind ? bind_socket(notify, inner, err) : 0;
}

int notify_open(struct notify *notify, const struct container *container, struct error *err)
{
    const char *host = getenv("NOTIFY_SOCKET");
    cleanup_close int inner = openat(container->dir, directory,
                                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (!host || !*host || inner < 0)
        return 0;
    notify->host = host;
    return bind_socket(notify, inner, err);
}

static void tell(const struct notify *notify, const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(notify->host);
    if (length >= sizeof(address.sun_path)) {
        log_warning("NOTIFY_SOCKET is too long for an address");
        return;
    }
    memcpy(address.sun_path, notify->host, length + 1);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (address.sun_path[0] == '@') /* the abstract name space */
        address.sun_path[0] = '\0';
    else
        size++;
    cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0)
        log_warning("pass READY= on to %s: %s", notify->host, strerror(errno));
}

bool notify_forward(struct notify *notify, pid_t main_pid)
{
    char text[4096];
    for (;;) {
        ssize_t n = recv(notify->socket, text, sizeof(text) - 1, 0);
        if (n < 0)
            return errno != EAGAIN && errno != EINTR;
        text[n] = '\0';
        char *rest = text;
        for (char *line; (line = strsep(&rest, "\n"));) {
            if (strncmp(line, "READY=", 6) != 0)
                continue;
            /* No more than that: what else the container says is not the service manager's. */
            cleanup_free char *ready = xasprintf("%s\n", line);
            cleanup_free char *main = xasprintf("MAINPID=%d\n", (int)main_pid);
            tell(notify, ready);
            tell(notify, main);
            return true;
        }
    }
}

void notify_wait(struct notify *notify, pid_t pid)
{
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (notify->socket < 0 || pidfd < 0)
        return;
    for (;;) {
        struct pollfd fds[] = {{.fd = notify->socket, .events = POLLIN},
                               {.fd = pidfd, .events = POLLIN}};
        if (poll(fds, array_count(fds), -1) < 0 && errno != EINTR)
            return;
        if (fds[0].revents && notify_forward(notify, pid))
            return;
        if (fds[1].revents)
            return;
    }
}

void notify_close(struct notify *notify)
{
    if (notify->socket >= 0)
        close_and_reset(&notify->socket);
}
