/* SPDX-License-Identifier: Apache-2.0 */
/* rune's side of the sync socket: what the process that sets itself up asks for. Runs in rune. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "container/private.h"

static char *server_state(const struct sync_server *server)
{
    return state_document(server->config->version, server->id, server->container_status,
                          server->container_pid, server->bundle,
                          json_object_get(server->config->json, "annotations"));
}

static int answer(int socket, enum sync_type type, int code, int fd, struct error *err)
{
    int ret = sync_send(socket, type, code, NULL, fd);
    return ret < 0 ? error_errno(err, -ret, "answer the container's init") : 0;
}

static int serve_hooks(const struct sync_server *server, int socket, struct error *err)
{
    cleanup_free char *state = server_state(server);
    if (hooks_run(server->config, OCI_HOOK_PRESTART, state, server->bundle, err) < 0 ||
        hooks_run(server->config, OCI_HOOK_CREATE_RUNTIME, state, server->bundle, err) < 0)
        return -1;
    return answer(socket, SYNC_GO, 0, -1, err);
}

/*
 * The init names the descriptor (code) by a plain write(2), the one system call that a profile may
 * not hand to the agent: anything else could wait for an agent that has no descriptor yet. Where we
 * may not take it out of the process, the init is asked to send it.
 */
static int serve_seccomp(const struct sync_server *server, int socket, int number, int sent_fd,
                         struct error *err)
{
    cleanup_close int taken = -1;
    if (sent_fd < 0) {
        cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, server->pid, 0);
        if (pidfd < 0)
            return error_errno(err, errno, "open the container's process");
        taken = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
        if (taken < 0 && errno == EPERM)
            return answer(socket, SYNC_SECCOMP, 0, -1, err);
        if (taken < 0)
            return error_errno(err, errno, "get the seccomp descriptor");
    }
    cleanup_free char *state = server_state(server);
    if (seccomp_send_listener(server->config->seccomp, sent_fd < 0 ? taken : sent_fd, state,
                              server->pid, err) < 0)
        return -1;
    return answer(socket, SYNC_GO, 0, -1, err);
}

/* ---- sources of mounts ---- */

/* In a process of its own, which may enter the container's mount namespace: answers the init. */
static _Noreturn void source_main(const struct sync_server *server, int socket,
                                  const struct oci_mount *mount)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, server->pid, 0);
    cleanup_close int tree = -1;
    /* There, so that what the host has locked (read-only, nosuid) stays locked in the copy. */
    if (pidfd < 0 || setns(pidfd, CLONE_NEWNS) < 0)
        error_errno(&err, errno, "enter the container's mount namespace");
    else
        tree = mount_open_source(server->config, server->bundle, mount, &err);
    int ret = tree < 0 ? sync_send(socket, SYNC_ERROR, err.code, error_text(&err), -1)
                       : sync_send(socket, SYNC_GO, 0, NULL, tree);
    _exit(ret < 0);
}

/* A source that only rune can open or map: the init of a user namespace has no right to. */
static int serve_mount(const struct sync_server *server, int socket, int index, struct error *err)
{
    if (index < 0 || (size_t)index >= server->config->mount_count)
        return error_set(err, "the init asked for mount %d, which is not in the configuration",
                         index);
    pid_t child = fork();
    if (child < 0)
        return error_errno(err, errno, "fork");
    if (child == 0)
        source_main(server, socket, &server->config->mounts[index]);
    int status = child_wait(child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_set(err, "the helper that opens mount sources failed");
    return 0;
}

static int serve_terminal(const struct sync_server *server, int *fd, struct error *err)
{
    if (!server->fg || *fd < 0)
        return error_set(err, "the init sent a terminal that nobody asked for");
    return foreground_tty(server->fg, take_fd(*fd), err);
}

int sync_serve(const struct sync_server *server, int socket, struct error *err)
{
    for (;;) {
        struct sync_message message;
        int fd_slot = -1;
        int ret = sync_recv(socket, &message, &fd_slot);
        cleanup_close int fd = fd_slot;
        if (ret < 0)
            return error_errno(err, -ret, "read from the container's init");
        if (ret == 0)
            return 0;
        switch (message.type) {
        case SYNC_READY:
            return 1;
        case SYNC_ERROR:
            return error_code(err, message.code, "%s", message.text);
        case SYNC_LOG:
            log_message((enum log_level)message.code, "%s", message.text);
            break;
        case SYNC_HOOKS:
            ret = serve_hooks(server, socket, err);
            break;
        case SYNC_MOUNT:
            ret = serve_mount(server, socket, message.code, err);
            break;
        case SYNC_SECCOMP:
            ret = serve_seccomp(server, socket, message.code, fd, err);
            break;
        case SYNC_TTY:
            ret = serve_terminal(server, &fd, err);
            break;
        default:
            return error_set(err, "unexpected message %u from the container's init", message.type);
        }
        if (ret < 0)
            return -1;
    }
}
