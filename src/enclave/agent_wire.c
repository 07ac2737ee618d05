/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/agent_wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"

void agent_frame_release(struct agent_frame *frame)
{
    json_decref(frame->json);
    free(frame->blob);
    for (int i = 0; i < AGENT_FDS_MAX; i++)
        close_and_reset(&frame->fds[i]);
    frame->json = NULL;
    frame->blob = NULL;
}

/* write_all() for a socket whose peer may be gone: EPIPE, and no SIGPIPE. */
static int send_all(int socket, const void *data, size_t size)
{
    const char *next = data;
    while (size > 0) {
        ssize_t sent = send(socket, next, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        next += sent;
        size -= (size_t)sent;
    }
    return 0;
}

int agent_send(int socket, enum agent_type type, const json_t *json, const void *blob,
               size_t blob_size, const int *fds, size_t fd_count)
{
    cleanup_free char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    if (json != NULL && text == NULL)
        return -EINVAL;
    struct agent_header header = {.magic = AGENT_MAGIC,
                                  .version = AGENT_VERSION,
                                  .type = (uint16_t)type,
                                  .json_size = text != NULL ? (uint32_t)strlen(text) : 0,
                                  .blob_size = (uint32_t)blob_size};
    if (header.json_size > AGENT_JSON_MAX || blob_size > AGENT_BLOB_MAX)
        return -E2BIG;
    int result = fd_count > 0 ? fd_send(socket, &header, sizeof(header), fds, fd_count)
                              : send_all(socket, &header, sizeof(header));
    if (result == 0 && text != NULL)
        result = send_all(socket, text, header.json_size);
    if (result == 0 && blob_size > 0)
        result = send_all(socket, blob, blob_size);
    return result;
}

static int read_header(int socket, struct agent_header *header, struct agent_frame *frame)
{
    size_t fd_count = AGENT_FDS_MAX;
    ssize_t got = fd_recv(socket, header, sizeof(*header), frame->fds, &fd_count);
    if (got <= 0)
        return (int)got;
    if ((size_t)got < sizeof(*header)) {
        int result = read_exact(socket, (char *)header + got, sizeof(*header) - (size_t)got);
        if (result < 0)
            return result;
    }
    return 1;
}

int agent_recv(int socket, struct agent_frame *frame, struct error *err)
{
    struct agent_header header;
    memset(frame, 0, sizeof(*frame));
    for (int i = 0; i < AGENT_FDS_MAX; i++)
        frame->fds[i] = -1;

    int result = read_header(socket, &header, frame);
    if (result == 0 || result == -ECONNRESET)
        return 0;
    if (result < 0)
        return error_errno(err, -result, "agent: read a frame");
    if (header.magic != AGENT_MAGIC || header.version != AGENT_VERSION)
        return error_set(err,
                         "agent: protocol version %u, this program speaks %u: the container was "
                         "made by another version of rune",
                         header.magic == AGENT_MAGIC ? header.version : 0, AGENT_VERSION);
    if (header.json_size > AGENT_JSON_MAX || header.blob_size > AGENT_BLOB_MAX)
        return error_set(err, "agent: frame of %u + %u bytes is too large", header.json_size,
                         header.blob_size);

    cleanup_free char *text = xmalloc((size_t)header.json_size + 1);
    frame->type = (enum agent_type)header.type;
    frame->blob = xcalloc(1, (size_t)header.blob_size + 1);
    frame->blob_size = header.blob_size;
    result = read_exact(socket, text, header.json_size);
    if (result == 0)
        result = read_exact(socket, frame->blob, header.blob_size);
    if (result < 0)
        return error_errno(err, -result, "agent: read a frame");
    if (header.json_size > 0) {
        frame->json = json_parse(text, header.json_size, "agent frame", err);
        if (frame->json == NULL)
            return -1;
    }
    return 1;
}
