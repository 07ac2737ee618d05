/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events on their way to containerd: one at a time, so that they arrive in order. What is not
 * confirmed is sent again, after a new connection if need be; while containerd is away they wait.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "shim/shim.h"
#include "shim/times.h"

enum {
    QUEUE_MAX = 4096,    /* events; beyond that the oldest ones go */
    ANSWER_LIMIT = 5000, /* milliseconds */
    RETRY_FIRST = 100,
    RETRY_MAX = 10000,
    REFUSALS_MAX = 5, /* then containerd does not want this event */
};

struct event {
    struct timespec at;
    char *topic, *type;
    uint8_t *data;
    size_t size;
    unsigned refusals;
    struct event *next;
};

struct publisher {
    struct shim *shim;
    char *address;
    struct ttrpc_client *client;
    bool lost, sending;
    struct event *first, **last;
    size_t count;
    struct loop_timer retry;
    uint64_t delay;
};

static void send_next(struct publisher *publisher);

static void drop_first(struct publisher *publisher)
{
    struct event *event = publisher->first;
    publisher->first = event->next;
    if (!publisher->first)
        publisher->last = &publisher->first;
    publisher->count--;
    free(event->topic);
    free(event->type);
    free(event->data);
    free(event);
}

static void later(struct publisher *publisher)
{
    loop_timer_set(&publisher->shim->loop, &publisher->retry, publisher->delay);
    publisher->delay = publisher->delay * 2 > RETRY_MAX ? RETRY_MAX : publisher->delay * 2;
}

static void answered(void *ctx, enum ttrpc_code code, const char *message, const uint8_t *payload,
                     size_t size)
{
    struct publisher *publisher = ctx;
    publisher->sending = false;
    if (code == TTRPC_OK) {
        publisher->delay = RETRY_FIRST;
        drop_first(publisher);
        /* The last one may be what a shutdown waits for. */
        if (!publisher->first && publisher->shim->leaving.due != 0)
            publisher->shim->loop.stop = true;
        send_next(publisher);
        return;
    }
    if (code != TTRPC_UNAVAILABLE && code != TTRPC_DEADLINE_EXCEEDED &&
        ++publisher->first->refusals >= REFUSALS_MAX) {
        log_error("containerd refuses event %s: %s", publisher->first->topic, message);
        drop_first(publisher);
    }
    if (code == TTRPC_DEADLINE_EXCEEDED)
        publisher->lost = true;
    if (publisher->first)
        later(publisher);
}

static void closed(void *ctx)
{
    struct publisher *publisher = ctx;
    publisher->lost = true;
}

static bool connected(struct publisher *publisher)
{
    if (publisher->client && publisher->lost) {
        ttrpc_client_free(publisher->client);
        publisher->client = NULL;
    }
    if (publisher->client)
        return true;
    int fd = ttrpc_connect(publisher->address);
    if (fd < 0)
        return false;
    publisher->lost = false;
    return ttrpc_client_new(&publisher->shim->loop, fd, closed, publisher, &publisher->client,
                            NULL) == 0;
}

static void send_next(struct publisher *publisher)
{
    struct event *event = publisher->first;
    if (publisher->sending || publisher->retry.due != 0 || !event)
        return;
    if (!connected(publisher)) {
        later(publisher);
        return;
    }
    Events__ForwardRequest request = EVENTS__FORWARD_REQUEST__INIT;
    Events__Envelope envelope = EVENTS__ENVELOPE__INIT;
    Ttrpc__Any any = TTRPC__ANY__INIT;
    Ttrpc__Timestamp at;
    any.type_url = event->type;
    any.value = (ProtobufCBinaryData){event->size, event->data};
    envelope.timestamp = timestamp(&at, &event->at);
    envelope.namespace_ = (char *)publisher->shim->namespace;
    envelope.topic = event->topic;
    envelope.event = &any;
    request.envelope = &envelope;
    const char *const metadata[] = {"containerd-namespace-ttrpc", publisher->shim->namespace, NULL};
    publisher->sending = true;
    ttrpc_client_call(publisher->client, "containerd.services.events.ttrpc.v1.Events", "Forward",
                      &request.base, metadata, ANSWER_LIMIT, answered, publisher);
}

static void retry(struct loop_timer *timer)
{
    send_next((struct publisher *)((char *)timer - offsetof(struct publisher, retry)));
}

void publisher_wake(struct publisher *publisher)
{
    if (publisher->retry.due == 0)
        return;
    loop_timer_cancel(&publisher->shim->loop, &publisher->retry);
    publisher->delay = RETRY_FIRST;
    send_next(publisher);
}

bool publisher_idle(const struct publisher *publisher)
{
    return !publisher->first;
}

void publish(struct shim *shim, const char *topic, const char *type,
             const ProtobufCMessage *message)
{
    struct publisher *publisher = shim->publisher;
    struct event *event = xcalloc(1, sizeof(*event));
    if (publisher->count == QUEUE_MAX && !publisher->sending) {
        log_error("event %s is lost: containerd is away", publisher->first->topic);
        drop_first(publisher);
    }
    clock_gettime(CLOCK_REALTIME, &event->at);
    event->topic = xstrdup(topic);
    event->type = xstrdup(type);
    event->data = ttrpc_pack(message, &event->size);
    *publisher->last = event;
    publisher->last = &event->next;
    publisher->count++;
    send_next(publisher);
}

int publisher_new(struct shim *shim, const char *address, struct publisher **out, struct error *err)
{
    if (!address || !*address)
        return error_set(err, "TTRPC_ADDRESS is not set: events cannot reach containerd");
    struct publisher *publisher = xcalloc(1, sizeof(*publisher));
    *publisher = (struct publisher){
        .shim = shim, .address = xstrdup(address), .retry.fire = retry, .delay = RETRY_FIRST};
    publisher->last = &publisher->first;
    *out = publisher;
    return 0;
}
