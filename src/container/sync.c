/* SPDX-License-Identifier: Apache-2.0 */
/* The messages between rune and a container's init; docs/design/engine.md has who sends what
 * when. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "container/private.h"

static size_t fill(struct sync_message *message, enum sync_type type, int code, const char *text)
{
    size_t length = text ? strnlen(text, SYNC_TEXT_MAX - 1) : 0;
    message->type = type;
    message->code = code;
    if (length)
        memcpy(message->text, text, length);
    message->text[length] = '\0';
    return offsetof(struct sync_message, text) + length + 1;
}

int sync_send(int socket, enum sync_type type, int code, const char *text, int fd)
{
    struct sync_message message;
    size_t size = fill(&message, type, code, text);
    return fd_send(socket, &message, size, &fd, fd >= 0 ? 1 : 0);
}

int sync_recv(int socket, struct sync_message *out, int *fd)
{
    int received = -1;
    size_t count = 1;
    ssize_t n = fd_recv(socket, out, sizeof(*out), &received, &count);
    if (n == -ECONNRESET)
        n = 0;
    if (n < 0)
        return (int)n;
    if (n == 0)
        return 0;
    if (fd)
        *fd = count ? received : -1;
    else if (count)
        close(received);
    if ((size_t)n <= offsetof(struct sync_message, text)) {
        if (fd && count)
            close(received);
        return -EPROTO;
    }
    ((char *)out)[n - 1] = '\0';
    return 1;
}

int sync_write(int socket, enum sync_type type, int code, const char *text)
{
    struct sync_message message;
    size_t size = fill(&message, type, code, text);
    ssize_t n;
    do {
        n = write_no_sigpipe(socket, &message, size);
    } while (n == -EINTR);
    if (n < 0)
        return (int)n;
    return (size_t)n == size ? 0 : -EIO;
}

int sync_wait(struct container_init *init, enum sync_type other, int *fd, struct error *err)
{
    struct sync_message message;
    int ret = sync_recv(init->sync_fd, &message, fd);
    if (ret < 0)
        return error_errno(err, -ret, "wait for rune");
    if (ret == 0)
        return error_set(err, "rune is gone");
    if (message.type == SYNC_ERROR)
        return error_code(err, message.code, "%s", message.text);
    if (message.type != SYNC_GO && message.type != other)
        return error_set(err, "unexpected message %u from rune", message.type);
    return (int)message.type;
}

int sync_wait_go(struct container_init *init, int *fd, struct error *err)
{
    int ret = sync_wait(init, SYNC_GO, fd, err);
    return ret < 0 ? ret : 0;
}
