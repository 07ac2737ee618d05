/* SPDX-License-Identifier: Apache-2.0 */
/* Passing bytes on. Between two pipes the kernel does it (splice(2)), without a copy. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "shim/shim.h"

enum {
    CHUNK = 64 << 10,
    COPY = 16 << 10,
    ROUNDS = 16, /* then others have their turn */
};

enum step {
    STEP_MORE,
    STEP_READ,  /* wait for bytes */
    STEP_WRITE, /* wait for room */
    STEP_END,
};

static bool ready_now(int fd, short events)
{
    struct pollfd poller = {.fd = fd, .events = events};
    return poll(&poller, 1, 0) > 0;
}

static enum step step_splice(struct relay *relay)
{
    ssize_t moved = splice(relay->from_fd, NULL, relay->to_fd, NULL, CHUNK, SPLICE_F_NONBLOCK);
    if (moved > 0 || (moved < 0 && errno == EINTR))
        return STEP_MORE;
    if (moved == 0 || errno != EAGAIN)
        return STEP_END;
    return ready_now(relay->from_fd, POLLIN) ? STEP_WRITE : STEP_READ;
}

static enum step step_copy(struct relay *relay)
{
    if (relay->pending.size == 0) {
        ssize_t got = read(relay->from_fd, buffer_reserve(&relay->pending, COPY), COPY);
        if (got < 0 && errno == EINTR)
            return STEP_MORE;
        if (got < 0 && errno == EAGAIN)
            return STEP_READ;
        if (got <= 0)
            return STEP_END; /* EIO: nobody has the terminal open any more */
        relay->pending.size = (size_t)got;
    }
    ssize_t put = write(relay->to_fd, relay->pending.data, relay->pending.size);
    if (put > 0)
        buffer_consume(&relay->pending, (size_t)put);
    else if (put < 0 && errno == EAGAIN)
        return STEP_WRITE;
    else if (put == 0 || errno != EINTR)
        return STEP_END;
    return STEP_MORE;
}

void relay_init(struct relay *relay)
{
    *relay = (struct relay){.from_fd = -1, .to_fd = -1, .from.fd = -1, .to.fd = -1};
}

void relay_stop(struct relay *relay)
{
    if (relay->loop) {
        loop_remove(relay->loop, &relay->from);
        loop_remove(relay->loop, &relay->to);
    }
    close_and_reset(&relay->from_fd);
    close_and_reset(&relay->to_fd);
    buffer_release(&relay->pending);
    relay->running = false;
}

/* Watch the one descriptor that is waited for: a hang-up of the other would wake us for nothing. */
static void wait_for(struct relay *relay, struct loop_watch *watch, int fd, uint32_t events)
{
    struct loop_watch *other = watch == &relay->from ? &relay->to : &relay->from;
    loop_remove(relay->loop, other);
    if (watch->fd < 0)
        (void)loop_add(relay->loop, watch, fd, events, NULL);
}

static void run(struct relay *relay)
{
    enum step step = STEP_MORE;
    for (int i = 0; i < ROUNDS && step == STEP_MORE; i++)
        step = relay->spliced ? step_splice(relay) : step_copy(relay);
    if (step == STEP_READ && relay->draining)
        step = STEP_END;
    if (step == STEP_END) {
        relay_stop(relay);
        relay->ended(relay, relay->ctx);
    } else if (step == STEP_WRITE && !relay->plain) {
        wait_for(relay, &relay->to, relay->to_fd, EPOLLOUT);
    } else {
        if (step == STEP_READ)
            buffer_release(&relay->pending);
        wait_for(relay, &relay->from, relay->from_fd, EPOLLIN);
    }
}

static void from_ready(struct loop_watch *watch, uint32_t events)
{
    run((struct relay *)((char *)watch - offsetof(struct relay, from)));
}

static void to_ready(struct loop_watch *watch, uint32_t events)
{
    run((struct relay *)((char *)watch - offsetof(struct relay, to)));
}

int relay_start(struct relay *relay, struct loop *loop, int from, int to,
                void (*ended)(struct relay *relay, void *ctx), void *ctx, struct error *err)
{
    struct stat source, target;
    relay->loop = loop;
    relay->from_fd = from;
    relay->to_fd = to;
    relay->ended = ended;
    relay->ctx = ctx;
    relay->from.ready = from_ready;
    relay->to.ready = to_ready;
    if (fstat(from, &source) < 0 || fstat(to, &target) < 0)
        return error_errno(err, errno, "look at a stream");
    relay->spliced = S_ISFIFO(source.st_mode) && S_ISFIFO(target.st_mode);
    relay->plain = S_ISREG(target.st_mode);
    if (loop_add(loop, &relay->from, from, EPOLLIN, err) < 0)
        return -1;
    relay->running = true;
    return 0;
}

void relay_drain(struct relay *relay)
{
    if (!relay->running)
        return;
    relay->draining = true;
    run(relay);
}
