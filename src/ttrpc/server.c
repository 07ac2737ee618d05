/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "ttrpc/connection.h"
#include "ttrpc/ttrpc.pb-c.h"

enum {
    CALLS_MAX = 16384, /* under way on one connection */
    UNSENT_MAX =
        1 << 20,        /* bytes of answers that a client leaves unread before it is read no more */
    ACCEPT_RETRY = 100, /* milliseconds, when there are no descriptors left */
};

struct peer {
    struct connection connection;
    struct ttrpc_server *server;
    struct peer *next, **slot; /* in the server's list */
    struct ttrpc_call *calls;
    size_t call_count;
};

struct ttrpc_call {
    struct peer *peer; /* NULL: nobody waits any more */
    struct loop *loop;
    uint32_t stream;
    struct loop_timer deadline;
    void (*cancelled)(struct ttrpc_call *call, void *ctx);
    void *ctx;
    struct ttrpc_call *next, **slot; /* in the peer's list */
};

struct ttrpc_server {
    struct loop *loop;
    struct loop_watch listener;
    struct loop_timer accept_again;
    const struct ttrpc_service *service;
    void *ctx;
    void (*connections)(void *ctx, size_t count);
    struct peer *peers;
    size_t peer_count;
};

static void send_status(struct peer *peer, uint32_t stream, enum ttrpc_code code, char *text)
{
    Ttrpc__Status status = TTRPC__STATUS__INIT;
    Ttrpc__Response response = TTRPC__RESPONSE__INIT;
    status.code = (int32_t)code;
    status.message = text;
    response.status = &status;
    connection_send(&peer->connection, TTRPC_RESPONSE, stream, &response.base);
}

static void refuse(struct peer *peer, uint32_t stream, enum ttrpc_code code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void refuse(struct peer *peer, uint32_t stream, enum ttrpc_code code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    cleanup_free char *text = xvasprintf(fmt, args);
    va_end(args);
    send_status(peer, stream, code, text);
}

/* Nobody waits for it any more. */
static void detach(struct ttrpc_call *call)
{
    if (!call->peer)
        return;
    loop_timer_cancel(call->loop, &call->deadline);
    *call->slot = call->next;
    if (call->next)
        call->next->slot = call->slot;
    call->peer->call_count--;
    call->peer = NULL;
}

static void cancel(struct ttrpc_call *call)
{
    detach(call);
    if (call->cancelled)
        call->cancelled(call, call->ctx);
}

static void deadline_over(struct loop_timer *timer)
{
    struct ttrpc_call *call = (struct ttrpc_call *)((char *)timer -
                                                    offsetof(struct ttrpc_call, deadline));
    refuse(call->peer, call->stream, TTRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
    cancel(call);
}

void ttrpc_call_on_cancel(struct ttrpc_call *call,
                          void (*cancelled)(struct ttrpc_call *call, void *ctx), void *ctx)
{
    call->cancelled = cancelled;
    call->ctx = ctx;
}

void ttrpc_reply(struct ttrpc_call *call, const ProtobufCMessage *message)
{
    if (call->peer) {
        size_t size;
        cleanup_free uint8_t *payload = ttrpc_pack(message, &size);
        Ttrpc__Status status = TTRPC__STATUS__INIT;
        Ttrpc__Response response = TTRPC__RESPONSE__INIT;
        response.status = &status;
        response.payload = (ProtobufCBinaryData){size, payload};
        struct peer *peer = call->peer;
        detach(call);
        if (size > TTRPC_MESSAGE_MAX - 64)
            refuse(peer, call->stream, TTRPC_RESOURCE_EXHAUSTED,
                   "the answer of %zu bytes is larger than a message may be", size);
        else
            connection_send(&peer->connection, TTRPC_RESPONSE, call->stream, &response.base);
    }
    free(call);
}

void ttrpc_fail(struct ttrpc_call *call, enum ttrpc_code code, const char *fmt, ...)
{
    if (call->peer) {
        va_list args;
        va_start(args, fmt);
        cleanup_free char *text = xvasprintf(fmt, args);
        va_end(args);
        struct peer *peer = call->peer;
        detach(call);
        send_status(peer, call->stream, code, text);
    }
    free(call);
}

static bool names_service(const struct ttrpc_service *service, const char *name)
{
    for (const char *const *known = service->names; *known; known++)
        if (strcmp(*known, name) == 0)
            return true;
    return false;
}

static struct ttrpc_call *call_new(struct peer *peer, uint32_t stream, int64_t timeout)
{
    struct ttrpc_call *call = xcalloc(1, sizeof(*call));
    call->peer = peer;
    call->loop = peer->server->loop;
    call->stream = stream;
    call->deadline.fire = deadline_over;
    call->next = peer->calls;
    call->slot = &peer->calls;
    if (call->next)
        call->next->slot = &call->next;
    peer->calls = call;
    peer->call_count++;
    if (timeout > 0)
        loop_timer_set(call->loop, &call->deadline, (uint64_t)timeout / 1000000 + 1);
    return call;
}

static void dispatch(struct peer *peer, uint32_t stream, const Ttrpc__Request *request)
{
    const struct ttrpc_service *service = peer->server->service;
    const struct ttrpc_method *method = NULL;
    if (!names_service(service, request->service)) {
        refuse(peer, stream, TTRPC_UNIMPLEMENTED, "service %s", request->service);
        return;
    }
    for (size_t i = 0; i < service->method_count && !method; i++)
        if (strcmp(service->methods[i].name, request->method) == 0)
            method = &service->methods[i];
    if (!method) {
        refuse(peer, stream, TTRPC_UNIMPLEMENTED, "method %s", request->method);
        return;
    }
    ProtobufCMessage *message = protobuf_c_message_unpack(
        method->request, NULL, request->payload.len, request->payload.data);
    if (!message) {
        refuse(peer, stream, TTRPC_INVALID_ARGUMENT, "the request of %s cannot be decoded",
               method->name);
        return;
    }
    method->handle(peer->server->ctx, call_new(peer, stream, request->timeout_nano), message);
    protobuf_c_message_free_unpacked(message, NULL);
}

static bool in_use(const struct peer *peer, uint32_t stream)
{
    for (const struct ttrpc_call *call = peer->calls; call; call = call->next)
        if (call->stream == stream)
            return true;
    return false;
}

static void frame(struct connection *connection, const struct ttrpc_header *header,
                  const uint8_t *payload)
{
    struct peer *peer = (struct peer *)((char *)connection - offsetof(struct peer, connection));
    uint32_t stream = header->stream;
    if (header->type != TTRPC_REQUEST)
        refuse(peer, stream, TTRPC_INVALID_ARGUMENT, "message type %u is no request", header->type);
    else if (!payload)
        refuse(peer, stream, TTRPC_RESOURCE_EXHAUSTED,
               "message length %u exceed maximum message size of %u", header->length,
               TTRPC_MESSAGE_MAX);
    else if (stream % 2 == 0)
        refuse(peer, stream, TTRPC_INVALID_ARGUMENT,
               "StreamID must be odd for client initiated streams");
    else if (peer->call_count >= CALLS_MAX)
        refuse(peer, stream, TTRPC_RESOURCE_EXHAUSTED, "%d calls are under way already", CALLS_MAX);
    else if (in_use(peer, stream))
        refuse(peer, stream, TTRPC_INVALID_ARGUMENT, "stream %u is in use", stream);
    else {
        Ttrpc__Request *request = ttrpc__request__unpack(NULL, header->length, payload);
        if (request)
            dispatch(peer, stream, request);
        else
            refuse(peer, stream, TTRPC_INVALID_ARGUMENT, "the request cannot be decoded");
        ttrpc__request__free_unpacked(request, NULL);
    }
}

static void tell_connections(const struct ttrpc_server *server)
{
    if (server->connections)
        server->connections(server->ctx, server->peer_count);
}

static void peer_free(struct peer *peer)
{
    while (peer->calls)
        cancel(peer->calls);
    connection_close(&peer->connection);
    *peer->slot = peer->next;
    if (peer->next)
        peer->next->slot = peer->slot;
    peer->server->peer_count--;
    tell_connections(peer->server);
    free(peer);
}

static void closed(struct connection *connection)
{
    peer_free((struct peer *)((char *)connection - offsetof(struct peer, connection)));
}

int ttrpc_server_adopt(struct ttrpc_server *server, int socket, struct error *err)
{
    struct peer *peer = xcalloc(1, sizeof(*peer));
    peer->connection.frame = frame;
    peer->connection.closed = closed;
    peer->connection.limit = UNSENT_MAX;
    peer->server = server;
    if (connection_open(&peer->connection, server->loop, socket, err) < 0) {
        free(peer);
        return -1;
    }
    peer->next = server->peers;
    peer->slot = &server->peers;
    if (peer->next)
        peer->next->slot = &peer->next;
    server->peers = peer;
    server->peer_count++;
    tell_connections(server);
    return 0;
}

static void accept_again(struct loop_timer *timer)
{
    struct ttrpc_server *server =
        (struct ttrpc_server *)((char *)timer - offsetof(struct ttrpc_server, accept_again));
    loop_change(server->loop, &server->listener, EPOLLIN);
}

static void accept_ready(struct loop_watch *watch, uint32_t events)
{
    struct ttrpc_server *server = (struct ttrpc_server *)((char *)watch -
                                                          offsetof(struct ttrpc_server, listener));
    cleanup_error struct error err = ERROR_INIT;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        log_warning("accept a connection: %s", strerror(errno));
        loop_change(server->loop, watch, 0);
        loop_timer_set(server->loop, &server->accept_again, ACCEPT_RETRY);
        return;
    }
    if (ttrpc_server_adopt(server, fd, &err) < 0)
        log_warning("accept a connection: %s", error_text(&err));
}

int ttrpc_server_new(struct loop *loop, int listener, const struct ttrpc_service *service,
                     void *ctx, void (*connections)(void *ctx, size_t count),
                     struct ttrpc_server **out, struct error *err)
{
    struct ttrpc_server *server = xcalloc(1, sizeof(*server));
    server->loop = loop;
    server->listener = (struct loop_watch){.fd = -1, .ready = accept_ready};
    server->accept_again.fire = accept_again;
    server->service = service;
    server->ctx = ctx;
    server->connections = connections;
    if (listener >= 0 && loop_add(loop, &server->listener, listener, EPOLLIN, err) < 0) {
        close(listener);
        free(server);
        return -1;
    }
    *out = server;
    return 0;
}

void ttrpc_server_free(struct ttrpc_server *server)
{
    if (!server)
        return;
    while (server->peers)
        peer_free(server->peers);
    loop_timer_cancel(server->loop, &server->accept_again);
    int fd = server->listener.fd;
    loop_remove(server->loop, &server->listener);
    if (fd >= 0)
        close(fd);
    free(server);
}
