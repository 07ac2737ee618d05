/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "ttrpc/connection.h"
#include "ttrpc/ttrpc.pb-c.h"

struct pending {
    struct ttrpc_client *client;
    uint32_t stream;
    struct loop_timer deadline;
    ttrpc_done *done;
    void *ctx;
    struct pending *next;
};

struct ttrpc_client {
    struct connection connection;
    uint32_t next_stream;
    void (*closed)(void *ctx);
    void *ctx;
    struct pending *pending;
};

/* Out of the list, with whatever memory it had; NULL: there is none of that number. */
static struct pending *take(struct ttrpc_client *client, uint32_t stream)
{
    struct pending **slot = &client->pending;
    while (*slot && (*slot)->stream != stream)
        slot = &(*slot)->next;
    struct pending *pending = *slot;
    if (!pending)
        return NULL;
    *slot = pending->next;
    loop_timer_cancel(client->connection.loop, &pending->deadline);
    return pending;
}

static void end(struct pending *pending, enum ttrpc_code code, const char *message)
{
    pending->done(pending->ctx, code, message, NULL, 0);
    free(pending);
}

static void deadline_over(struct loop_timer *timer)
{
    struct pending *pending = (struct pending *)((char *)timer -
                                                 offsetof(struct pending, deadline));
    end(take(pending->client, pending->stream), TTRPC_DEADLINE_EXCEEDED, "no answer in time");
}

static void frame(struct connection *connection, const struct ttrpc_header *header,
                  const uint8_t *payload)
{
    struct ttrpc_client *client =
        (struct ttrpc_client *)((char *)connection - offsetof(struct ttrpc_client, connection));
    if (header->type != TTRPC_RESPONSE)
        return;
    struct pending *pending = take(client, header->stream);
    if (!pending)
        return; /* it came too late */
    if (!payload) {
        end(pending, TTRPC_RESOURCE_EXHAUSTED, "the answer is larger than a message may be");
        return;
    }
    Ttrpc__Response *response = ttrpc__response__unpack(NULL, header->length, payload);
    if (!response)
        end(pending, TTRPC_INTERNAL, "the answer cannot be decoded");
    else if (response->status && response->status->code != 0)
        end(pending, (enum ttrpc_code)response->status->code, response->status->message);
    else {
        pending->done(pending->ctx, TTRPC_OK, "", response->payload.data, response->payload.len);
        free(pending);
    }
    ttrpc__response__free_unpacked(response, NULL);
}

static void closed(struct connection *connection)
{
    struct ttrpc_client *client =
        (struct ttrpc_client *)((char *)connection - offsetof(struct ttrpc_client, connection));
    connection->lost = true;
    loop_remove(connection->loop, &connection->watch);
    while (client->pending)
        end(take(client, client->pending->stream), TTRPC_UNAVAILABLE, "the connection is lost");
    if (client->closed)
        client->closed(client->ctx);
}

int ttrpc_client_new(struct loop *loop, int socket, void (*closed_callback)(void *ctx), void *ctx,
                     struct ttrpc_client **out, struct error *err)
{
    struct ttrpc_client *client = xcalloc(1, sizeof(*client));
    client->connection.frame = frame;
    client->connection.closed = closed;
    client->next_stream = 1;
    client->closed = closed_callback;
    client->ctx = ctx;
    if (connection_open(&client->connection, loop, socket, err) < 0) {
        free(client);
        return -1;
    }
    *out = client;
    return 0;
}

void ttrpc_client_free(struct ttrpc_client *client)
{
    if (!client)
        return;
    while (client->pending)
        free(take(client, client->pending->stream));
    connection_close(&client->connection);
    free(client);
}

static void add_metadata(Ttrpc__Request *request, Ttrpc__KeyValue *values,
                         Ttrpc__KeyValue **pointers, const char *const *metadata)
{
    for (; metadata && metadata[0]; metadata += 2) {
        size_t n = request->n_metadata++;
        ttrpc__key_value__init(&values[n]);
        values[n].key = (char *)metadata[0];
        values[n].value = (char *)metadata[1];
        pointers[n] = &values[n];
    }
    request->metadata = pointers;
}

void ttrpc_client_call(struct ttrpc_client *client, const char *service, const char *method,
                       const ProtobufCMessage *message, const char *const *metadata,
                       uint64_t timeout, ttrpc_done *done, void *ctx)
{
    enum { METADATA_MAX = 8 };
    Ttrpc__KeyValue values[METADATA_MAX], *pointers[METADATA_MAX];
    size_t size;
    cleanup_free uint8_t *payload = ttrpc_pack(message, &size);
    Ttrpc__Request request = TTRPC__REQUEST__INIT;
    request.service = (char *)service;
    request.method = (char *)method;
    request.payload = (ProtobufCBinaryData){size, payload};
    request.timeout_nano = (int64_t)timeout * 1000000;
    add_metadata(&request, values, pointers, metadata);

    struct pending *pending = xcalloc(1, sizeof(*pending));
    *pending = (struct pending){.client = client,
                                .stream = client->next_stream,
                                .deadline.fire = deadline_over,
                                .done = done,
                                .ctx = ctx,
                                .next = client->pending};
    client->pending = pending;
    client->next_stream += 2;
    if (timeout > 0)
        loop_timer_set(client->connection.loop, &pending->deadline, timeout);
    connection_send(&client->connection, TTRPC_REQUEST, pending->stream, &request.base);
}
