/* SPDX-License-Identifier: Apache-2.0 */
#include "ttrpc/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"

enum { READ_SIZE = 16 << 10 };

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

void ttrpc_header_encode(const struct ttrpc_header *header, uint8_t out[TTRPC_HEADER_SIZE])
{
    put_u32(out, header->length);
    put_u32(out + 4, header->stream);
    out[8] = header->type;
    out[9] = header->flags;
}

void ttrpc_header_decode(const uint8_t in[TTRPC_HEADER_SIZE], struct ttrpc_header *out)
{
    *out = (struct ttrpc_header){get_u32(in), get_u32(in + 4), in[8], in[9]};
}

uint8_t *ttrpc_pack(const ProtobufCMessage *message, size_t *size)
{
    *size = protobuf_c_message_get_packed_size(message);
    uint8_t *out = xmalloc(*size + 1);
    protobuf_c_message_pack(message, out);
    return out;
}

static void set_events(struct connection *connection)
{
    bool full = connection->limit != 0 && connection->out.size > connection->limit;
    loop_change(connection->loop, &connection->watch,
                (full ? 0 : EPOLLIN) | (connection->out.size > 0 ? EPOLLOUT : 0));
}

static void flush(struct connection *connection)
{
    while (connection->out.size > 0 && !connection->lost) {
        ssize_t sent = send(connection->watch.fd, connection->out.data, connection->out.size,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0)
            buffer_consume(&connection->out, (size_t)sent);
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            connection->lost = true; /* its end is read soon */
    }
    if (connection->out.size == 0 || connection->lost)
        buffer_release(&connection->out);
    set_events(connection);
}

void connection_send(struct connection *connection, enum ttrpc_type type, uint32_t stream,
                     const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    struct ttrpc_header header = {(uint32_t)size, stream, (uint8_t)type, 0};
    if (connection->lost)
        return;
    uint8_t *at = (uint8_t *)buffer_reserve(&connection->out, TTRPC_HEADER_SIZE + size);
    ttrpc_header_encode(&header, at);
    protobuf_c_message_pack(message, at + TTRPC_HEADER_SIZE);
    connection->out.size += TTRPC_HEADER_SIZE + size;
    flush(connection);
}

/* Bytes used from the front of what was read; 0: more are needed. */
static size_t take_frame(struct connection *connection, const uint8_t *data, size_t size)
{
    struct ttrpc_header header;
    if (connection->skip > 0) {
        size_t skipped = size < connection->skip ? size : connection->skip;
        connection->skip -= skipped;
        return skipped;
    }
    if (size < TTRPC_HEADER_SIZE)
        return 0;
    ttrpc_header_decode(data, &header);
    if (header.length > TTRPC_MESSAGE_MAX) {
        connection->skip = header.length;
        connection->frame(connection, &header, NULL);
        return TTRPC_HEADER_SIZE;
    }
    if (size - TTRPC_HEADER_SIZE < header.length)
        return 0;
    connection->frame(connection, &header, data + TTRPC_HEADER_SIZE);
    return TTRPC_HEADER_SIZE + header.length;
}

static void take_frames(struct connection *connection)
{
    size_t used = 0;
    while (used < connection->in.size && !connection->broken) {
        size_t step = take_frame(connection, (const uint8_t *)connection->in.data + used,
                                 connection->in.size - used);
        if (step == 0)
            break;
        used += step;
    }
    if (used == connection->in.size)
        buffer_release(&connection->in); /* an idle connection costs nothing */
    else
        buffer_consume(&connection->in, used);
}

static void ready(struct loop_watch *watch, uint32_t events)
{
    struct connection *connection = (struct connection *)((char *)watch -
                                                          offsetof(struct connection, watch));
    if (events & EPOLLOUT)
        flush(connection);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t got = recv(watch->fd, buffer_reserve(&connection->in, READ_SIZE), READ_SIZE,
                       MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        connection->closed(connection);
        return;
    }
    connection->in.size += (size_t)got;
    take_frames(connection);
    if (connection->broken)
        connection->closed(connection);
}

int connection_open(struct connection *connection, struct loop *loop, int socket, struct error *err)
{
    connection->loop = loop;
    connection->watch.fd = -1;
    connection->watch.ready = ready;
    if (loop_add(loop, &connection->watch, socket, EPOLLIN, err) == 0)
        return 0;
    close(socket);
    return -1;
}

void connection_close(struct connection *connection)
{
    int fd = connection->watch.fd;
    if (fd >= 0) {
        loop_remove(connection->loop, &connection->watch);
        close(fd);
    }
    buffer_release(&connection->in);
    buffer_release(&connection->out);
}

int ttrpc_connect(const char *address)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    bool path = true;
    if (strncmp(address, "unix://", 7) == 0)
        address += 7;
    else
        path = address[0] == '/';
    size_t size = strlen(address);
    if (size == 0 || size >= sizeof(name.sun_path) - 1)
        return -ENAMETOOLONG;
    memcpy(name.sun_path + (path ? 0 : 1), address, size);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    size_t length = offsetof(struct sockaddr_un, sun_path) + size + 1;
    if (connect(fd, (struct sockaddr *)&name, (socklen_t)length) < 0)
        return -errno;
    return take_fd(fd);
}
