/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave's own loopback: listening and accepting. A listener has a backlog of connections
 * from inside and, when it is bound to a wildcard, its outer half's; accept() takes them in turn.
 *
 * Who connects while the backlog is full waits in the listener's list of pending ones, already
 * joined with the socket that accept() will give, as a SYN that Linux drops waits to be sent again.
 */
#include "loop.h"
#include "net.h"

#define BACKLOG_MAX 65535u

static bool backlog_full(const struct loop_sock *l)
{
    return __atomic_load_n(&l->backlog_count, __ATOMIC_ACQUIRE) > l->backlog_max;
}

int loop_listen(struct socket *sock, int backlog)
{
    struct loop_sock *s = loop_of(sock);
    u32 most[1] = {4096}, old = loop_state(s);
    struct socket *outer;
    u8 name[ADDRESS_MAX] = {(u8)sock->domain};
    int r = 0;

    if (!loop_is_stream(s))
        return -EOPNOTSUPP;
    if (old != LOOP_IDLE && old != LOOP_LISTENING)
        return -EINVAL;
    if (s->local.port == 0) /* to a port of any address, as Linux */
        r = sock->ops->bind(sock, name,
                            sock->domain == AF_INET ? sizeof(struct sockaddr_in)
                                                    : sizeof(struct sockaddr_in6));
    if (r == 0 && old == LOOP_IDLE)
        r = loop_port_listen(s);
    outer = loop_outer(s);
    if (r == 0 && outer != NULL && !loop_is_inside(&s->local)) {
        r = outer->ops->listen(outer, backlog);
        if (r < 0)
            loop_port_unlisten(s);
    }
    if (r < 0)
        return r;
    sysctl_numbers("somaxconn", most, 1);
    mutex_lock(&s->lock);
    s->backlog_max = MIN(MIN(backlog < 0 ? BACKLOG_MAX : (u32)backlog, most[0]), BACKLOG_MAX);
    if (s->state == LOOP_IDLE)
        loop_set_state(s, LOOP_LISTENING);
    mutex_unlock(&s->lock);
    waitq_wake(&s->readable, UINT32_MAX);
    return 0;
}

/* ---- connections come ---- */

/* Each holds a reference to the other. */
static void join(struct loop_sock *s, struct loop_sock *child)
{
    loop_get(s);
    loop_get(child);
    s->peer = child;
    child->peer = s;
    s->ring.limit = loop_stream_room(child, s);
    child->ring.limit = loop_stream_room(s, child);
}

int loop_queue_connect(struct loop_sock *l, struct loop_sock *s, const struct loop_name *local,
                       const struct loop_name *remote)
{
    struct loop_sock *child = loop_alloc(l->base.domain, SOCK_STREAM, IPPROTO_TCP);
    int r = 0;

    if (child == NULL)
        return -ENOBUFS;
    child->options = l->options;
    child->base.uid = l->base.uid;
    child->base.receive_timeout = l->base.receive_timeout;
    child->base.send_timeout = l->base.send_timeout;
    loop_port_accept(child, local, remote);
    mutex_lock(&l->lock);
    if (l->state != LOOP_LISTENING) {
        r = -ECONNREFUSED;
    } else {
        join(s, child);
        if (backlog_full(l) || !list_empty(&l->pending)) {
            loop_set_state(child, LOOP_PENDING);
            list_add_tail(&child->queue_link, &l->pending);
            r = -EINPROGRESS;
        } else {
            loop_set_state(child, LOOP_INSIDE);
            loop_set_state(s, LOOP_INSIDE);
            list_add_tail(&child->queue_link, &l->backlog);
            __atomic_add_fetch(&l->backlog_count, 1, __ATOMIC_RELEASE);
        }
    }
    mutex_unlock(&l->lock);
    if (r == -ECONNREFUSED) {
        loop_port_forget(child);
        loop_put(child);
    } else {
        waitq_wake_data(&l->readable);
    }
    return r;
}

/* The next that waits has room now. l->lock is held. Who connected, +1 reference: to be woken. */
static struct loop_sock *promote(struct loop_sock *l)
{
    struct loop_sock *child, *s;

    if (backlog_full(l) || list_empty(&l->pending))
        return NULL;
    child = list_first_entry(&l->pending, struct loop_sock, queue_link);
    list_del(&child->queue_link);
    list_add_tail(&child->queue_link, &l->backlog);
    __atomic_add_fetch(&l->backlog_count, 1, __ATOMIC_RELEASE);
    s = child->peer;
    loop_get(s);
    mutex_lock(&s->lock);
    loop_set_state(child, LOOP_INSIDE);
    if (s->state == LOOP_PENDING)
        loop_set_state(s, LOOP_INSIDE);
    mutex_unlock(&s->lock);
    return s;
}

static struct loop_sock *backlog_pop(struct loop_sock *l)
{
    struct loop_sock *child = NULL, *waiting = NULL;

    mutex_lock(&l->lock);
    if (!list_empty(&l->backlog)) {
        child = list_first_entry(&l->backlog, struct loop_sock, queue_link);
        list_del(&child->queue_link);
        __atomic_sub_fetch(&l->backlog_count, 1, __ATOMIC_RELEASE);
        waiting = promote(l);
    }
    mutex_unlock(&l->lock);
    if (waiting != NULL) {
        loop_wake(waiting);
        loop_put(waiting);
    }
    return child;
}

/* ---- accept ---- */

static int accept_inside(struct loop_sock *l, struct socket **out, u8 *name, u32 *len)
{
    struct loop_sock *child = backlog_pop(l);
    struct loop_name local, remote;

    if (child == NULL)
        return -EAGAIN;
    loop_port_names(child, &local, &remote);
    loop_name_put(child, &remote, name, len);
    *out = &child->base;
    return 0;
}

/* One connection of either half, taken in turn; -EAGAIN: none. */
static int accept_once(struct loop_sock *l, struct socket *outer, struct socket **out, u8 *name,
                       u32 *len)
{
    int r = -EAGAIN;

    if (outer == NULL || !l->outer_turn)
        r = accept_inside(l, out, name, len);
    l->outer_turn = !l->outer_turn;
    if (r != -EAGAIN || outer == NULL)
        return r;
    r = outer->ops->accept(outer, true, out, name, len);
    if (r == -EAGAIN)
        r = accept_inside(l, out, name, len);
    return r;
}

int loop_accept(struct socket *sock, bool nonblock, struct socket **out, u8 *name, u32 *len)
{
    struct loop_sock *l = loop_of(sock);
    u64 timeout = sock->receive_timeout, deadline = socket_deadline(timeout);
    struct socket *outer;
    int r;

    if (!loop_is_stream(l))
        return -EOPNOTSUPP;
    for (;;) {
        if (loop_state(l) != LOOP_LISTENING)
            return -EINVAL;
        outer = loop_is_inside(&l->local) ? NULL : loop_outer(l);
        r = accept_once(l, outer, out, name, len);
        if (r != -EAGAIN || nonblock)
            return r;
        if (outer != NULL)
            r = socket_wait(sock, POLLIN, deadline, timeout);
        else
            r = wait_event(&l->readable,
                           __atomic_load_n(&l->backlog_count, __ATOMIC_ACQUIRE) > 0 ||
                               loop_state(l) != LOOP_LISTENING,
                           deadline);
        if (r < 0)
            return outer != NULL ? r : socket_wait_result(r, timeout);
    }
}

u32 loop_listen_poll(struct loop_sock *s, struct poll_table *pt)
{
    struct socket *outer = loop_is_inside(&s->local) ? NULL : loop_outer(s);
    u32 ready = 0;

    if (__atomic_load_n(&s->backlog_count, __ATOMIC_ACQUIRE) > 0)
        ready |= POLLIN | POLLRDNORM;
    if (outer != NULL)
        ready |= outer->ops->poll(outer, pt);
    return ready;
}

/* ---- the end ---- */

/* Who waits for room is refused. */
static void refuse(struct loop_sock *child)
{
    struct loop_sock *s = child->peer;
    bool waits;

    mutex_lock(&s->lock);
    waits = s->state == LOOP_PENDING && s->peer == child;
    if (waits) {
        s->peer = NULL;
        __atomic_store_n(&s->error, ECONNREFUSED, __ATOMIC_RELEASE);
        loop_set_state(s, LOOP_IDLE);
    }
    mutex_unlock(&s->lock);
    if (waits) {
        loop_port_disconnect(s);
        loop_put(child); /* s's */
        child->peer = NULL;
        loop_wake(s);
        loop_put(s);
    }
}

void loop_queue_close(struct loop_sock *l)
{
    struct list_head backlog, pending;
    struct loop_sock *child;

    list_init(&backlog);
    list_init(&pending);
    mutex_lock(&l->lock);
    while (!list_empty(&l->backlog)) {
        struct list_head *e = l->backlog.next;

        list_del(e);
        list_add_tail(e, &backlog);
    }
    while (!list_empty(&l->pending)) {
        struct list_head *e = l->pending.next;

        list_del(e);
        list_add_tail(e, &pending);
    }
    __atomic_store_n(&l->backlog_count, 0, __ATOMIC_RELEASE);
    mutex_unlock(&l->lock);
    while (!list_empty(&pending)) {
        child = list_first_entry(&pending, struct loop_sock, queue_link);
        list_del(&child->queue_link);
        refuse(child);
        child->base.ops->release(&child->base);
    }
    while (!list_empty(&backlog)) {
        child = list_first_entry(&backlog, struct loop_sock, queue_link);
        list_del(&child->queue_link);
        child->options.value[OPT_LINGER] = 0; /* ends by a reset */
        child->base.ops->release(&child->base);
    }
}
