/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc (github.com/containerd/ttrpc, PROTOCOL.md): requests and responses in protobuf over a UNIX
 * stream socket, many at once. A frame is 10 bytes, numbers in network order,
 *
 *     | 4 bytes | length of what follows, at most TTRPC_MESSAGE_MAX             |
 *     | 4 bytes | stream: the request's number, odd, chosen by the client       |
 *     | 1 byte  | type: 1 request, 2 response, 3 data (of streams: refused here) |
 *     | 1 byte  | flags (for streams)                                           |
 *
 * and then a ttrpc.Request or ttrpc.Response. Everything runs in the caller's event loop; no call
 * blocks. A peer that dies: a server's calls are cancelled, a client's calls end with UNAVAILABLE.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define TTRPC_HEADER_SIZE 10
#define TTRPC_MESSAGE_MAX (4u << 20)

/* The codes of gRPC (google/rpc/code.proto). */
enum ttrpc_code {
    TTRPC_OK = 0,
    TTRPC_CANCELLED = 1,
    TTRPC_UNKNOWN = 2,
    TTRPC_INVALID_ARGUMENT = 3,
    TTRPC_DEADLINE_EXCEEDED = 4,
    TTRPC_NOT_FOUND = 5,
    TTRPC_ALREADY_EXISTS = 6,
    TTRPC_RESOURCE_EXHAUSTED = 8,
    TTRPC_FAILED_PRECONDITION = 9,
    TTRPC_UNIMPLEMENTED = 12,
    TTRPC_INTERNAL = 13,
    TTRPC_UNAVAILABLE = 14,
};

enum ttrpc_type {
    TTRPC_REQUEST = 1,
    TTRPC_RESPONSE = 2,
    TTRPC_DATA = 3,
};

struct ttrpc_header {
    uint32_t length;
    uint32_t stream;
    uint8_t type, flags;
};

void ttrpc_header_encode(const struct ttrpc_header *header, uint8_t out[TTRPC_HEADER_SIZE]);
void ttrpc_header_decode(const uint8_t in[TTRPC_HEADER_SIZE], struct ttrpc_header *out);

/* --- server ----------------------------------------------------------------------------------- */

/*
 * One request that waits for its answer. Its handler owns it, and answers exactly once, now or
 * later, by ttrpc_reply() or ttrpc_fail(), which free it. That holds for a cancelled call, too.
 */
struct ttrpc_call;

struct ttrpc_method {
    const char *name;
    const ProtobufCMessageDescriptor *request;
    /* The request is the server's: it is gone when the handler returns. `ctx` is the server's. */
    void (*handle)(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *request);
};

/* A table of methods, with the names it is served under ("containerd.task.v2.Task", ...). */
struct ttrpc_service {
    const char *const *names; /* NULL-terminated */
    const struct ttrpc_method *methods;
    size_t method_count;
};

struct ttrpc_server;

/*
 * Serve the connections that come to a listening socket (taken). `connections` is told how many
 * there are when one comes or goes; NULL: nobody is.
 */
int ttrpc_server_new(struct loop *loop, int listener, const struct ttrpc_service *service,
                     void *ctx, void (*connections)(void *ctx, size_t count),
                     struct ttrpc_server **out, struct error *err);
/* Cancels what is under way. Answers that are not sent yet are tried once more. */
void ttrpc_server_free(struct ttrpc_server *server);
/* Serve one connection (taken) without a listener: for tests. */
int ttrpc_server_adopt(struct ttrpc_server *server, int socket, struct error *err);

void ttrpc_reply(struct ttrpc_call *call, const ProtobufCMessage *response);
void ttrpc_fail(struct ttrpc_call *call, enum ttrpc_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/*
 * Tell when nobody waits for the answer any more: the client has gone, or its time is over. The
 * callback may answer (nobody will read it).
 */
void ttrpc_call_on_cancel(struct ttrpc_call *call,
                          void (*cancelled)(struct ttrpc_call *call, void *ctx), void *ctx);

/* --- client ----------------------------------------------------------------------------------- */

struct ttrpc_client;

/* How a call ended: TTRPC_OK and the response's bytes, or a code and text. */
typedef void ttrpc_done(void *ctx, enum ttrpc_code code, const char *message,
                        const uint8_t *payload, size_t size);

/*
 * Use a connected socket (taken). `closed` is told once when the connection is lost; calls under
 * way have ended by then. The client may be freed there.
 */
int ttrpc_client_new(struct loop *loop, int socket, void (*closed)(void *ctx), void *ctx,
                     struct ttrpc_client **out, struct error *err);
/* No callback is called any more. */
void ttrpc_client_free(struct ttrpc_client *client);
/*
 * `timeout` in milliseconds, 0: none. `metadata`: key and value in turns, NULL-terminated, or NULL.
 */
void ttrpc_client_call(struct ttrpc_client *client, const char *service, const char *method,
                       const ProtobufCMessage *request, const char *const *metadata,
                       uint64_t timeout, ttrpc_done *done, void *ctx);
/*
 * Connect to "unix:///path", "/path", or the abstract socket of any other text. A descriptor or
 * -errno.
 */
int ttrpc_connect(const char *address);

/* A message's bytes, malloc'd. */
uint8_t *ttrpc_pack(const ProtobufCMessage *message, size_t *size);
