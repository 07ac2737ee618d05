/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "enclave/agent.h"

/* A socket, and the address of the agent's in the state directory. The directory's own path may be
 * longer than sun_path. */
static int agent_socket(int state_dir, struct sockaddr_un *address, struct error *err)
{
    struct fd_path dir;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int size = snprintf(address->sun_path, sizeof(address->sun_path), "%s/%s",
                        fd_path_of(&dir, state_dir), AGENT_SOCKET);
    if (size < 0 || (size_t)size >= sizeof(address->sun_path))
        return error_set(err, "agent: socket path is too long");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? error_errno(err, errno, "agent: socket") : fd;
}

int agent_listen(int state_dir, struct error *err)
{
    struct sockaddr_un address;
    cleanup_close int fd = agent_socket(state_dir, &address, err);
    if (fd < 0)
        return fd;
    if (unlinkat(state_dir, AGENT_SOCKET, 0) < 0 && errno != ENOENT)
        return error_errno(err, errno, "agent: remove an old %s", AGENT_SOCKET);
    mode_t old_umask = umask(0177);
    int result = bind(fd, (struct sockaddr *)&address, sizeof(address));
    int code = errno;
    umask(old_umask);
    if (result < 0)
        return error_errno(err, code, "agent: bind %s", AGENT_SOCKET);
    if (listen(fd, 64) < 0)
        return error_errno(err, errno, "agent: listen");

    return take_fd(fd);
}

int agent_connect(int state_dir, int *socket_out, struct error *err)
{
    struct sockaddr_un address;
    cleanup_close int fd = agent_socket(state_dir, &address, err);
    if (fd < 0)
        return fd;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno == ECONNREFUSED || errno == ENOENT)
            return error_set(err, "the container's agent does not answer: its init has ended");
        return error_errno(err, errno, "agent: connect");
    }
    *socket_out = take_fd(fd);
    return 0;
}

int agent_ask(int socket, enum agent_type type, const json_t *json, const void *blob,
              size_t blob_size, struct agent_frame *answer, struct error *err)
{
    int result = agent_send(socket, type, json, blob, blob_size, NULL, 0);
    if (result < 0)
        return error_errno(err, -result, "agent: send");
    result = agent_recv(socket, answer, err);
    if (result == 0)
        return error_set(err, "the container's agent closed the connection: its init has ended");
    if (result < 0)
        return result;
    if (answer->type == AGENT_ERROR) {
        const char *message = "no reason given";
        int64_t code = 0;
        json_get_string(answer->json, "", "message", &message, NULL);
        json_get_int64(answer->json, "", "code", &code, NULL);
        return error_code(err, (int)code, "%s", message);
    }
    return 0;
}
