/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave's own loopback: UDP. A socket takes datagrams of both halves, unless it is connected
 * to one side. What finds no room is dropped, as on any network.
 */
#include "loop.h"

#define DATAGRAM_MAX4 65507u
#define DATAGRAM_MAX6 65487u /* as Linux lets ::1 have them */
#define OVERHEAD      512u   /* of a packet, against the receiver's buffer */
#define ERRORS_MAX    64u
#define SEGMENTS_MAX  64u /* UDP_MAX_SEGMENTS of Linux */

/* The outer half, when this socket uses it now. */
static struct socket *outer_of(struct loop_sock *s)
{
    return loop_state(s) == LOOP_INSIDE ? NULL : loop_outer(s);
}

/* ---- sending ---- */

static struct loop_packet *packet_make(const struct loop_sock *s, size_t size)
{
    struct loop_packet *p = kmalloc(sizeof(*p) + size);

    if (p == NULL)
        return NULL;
    memset(p, 0, sizeof(*p));
    p->size = (u32)size;
    p->time = clock_realtime();
    return p;
}

static void deliver(struct loop_sock *to, struct loop_packet *p)
{
    bool fits;

    mutex_lock(&to->lock);
    fits = to->state != LOOP_CLOSED && !to->shut_read &&
           to->packet_bytes + p->size + OVERHEAD <= loop_datagram_room(to);
    if (fits) {
        list_add_tail(&p->link, &to->packets);
        to->packet_bytes += p->size + OVERHEAD;
        __atomic_add_fetch(&to->packet_count, 1, __ATOMIC_RELEASE);
    } else {
        to->dropped++;
    }
    mutex_unlock(&to->lock);
    if (fits)
        waitq_wake_data(&to->readable);
    else
        kfree(p);
}

/* Nobody is there: what ICMP's port unreachable does (udp_err of Linux). Takes p. */
static void unreachable(struct loop_sock *s, struct loop_packet *p)
{
    bool queue = loop_is_v4(&p->to) && s->base.domain == AF_INET ? loop_opt(s, OPT_RECVERR)
                                                                 : loop_opt(s, OPT_RECVERR6);
    bool connected = loop_state(s) == LOOP_INSIDE;

    if (queue) {
        mutex_lock(&s->lock);
        if (s->error_count < ERRORS_MAX) {
            list_add_tail(&p->link, &s->errors);
            __atomic_add_fetch(&s->error_count, 1, __ATOMIC_RELEASE);
            p = NULL;
        }
        mutex_unlock(&s->lock);
    }
    kfree(p);
    if (queue || connected) {
        __atomic_store_n(&s->error, ECONNREFUSED, __ATOMIC_RELEASE);
        loop_wake(s);
    }
}

/* On its way; takes p. */
static void post(struct loop_sock *s, struct loop_packet *p)
{
    struct loop_sock *there = loop_port_receiver(s, &p->to, &p->from);

    if (there == NULL) {
        unreachable(s, p);
        return;
    }
    deliver(there, p);
    loop_put(there);
}

static int send_packet(struct loop_sock *s, struct socket_msg *m, const struct loop_name *from,
                       const struct loop_name *to, const struct loop_send_control *c, size_t size)
{
    struct loop_packet *p = packet_make(s, size);
    ssize_t r;

    if (p == NULL)
        return -ENOBUFS;
    r = size > 0 ? uio_from(m->io, p->data, size) : 0;
    if (r < 0 || (size_t)r != size) {
        kfree(p);
        return -EFAULT;
    }
    p->from = *from;
    p->to = *to;
    p->ttl = c->ttl;
    p->tos = c->tos;
    post(s, p);
    return 0;
}

/* The packet with what m adds to it; s->lock held. An error ends what was gathered, as in Linux. */
static int cork(struct loop_sock *s, struct socket_msg *m, size_t limit, struct loop_packet **out)
{
    struct loop_packet *old = s->corked, *p = NULL;
    size_t used = old->size, size = m->io->left;
    int r = size > limit - MIN(limit, used) ? -EMSGSIZE : 0;

    if (r == 0) {
        p = packet_make(s, used + size);
        r = p == NULL ? -ENOBUFS : 0;
    }
    if (r == 0 && size > 0 && uio_from(m->io, p->data + used, size) != (ssize_t)size)
        r = -EFAULT;
    s->corked = NULL;
    if (r == 0) {
        memcpy(p->data, old->data, used);
        p->from = old->from;
        p->to = old->to;
        p->ttl = old->ttl;
        p->tos = old->tos;
        *out = p;
    } else {
        kfree(p);
    }
    kfree(old);
    return r;
}

/*
 * MSG_MORE makes one datagram of several sends, for where the first one was to (ip_append_data() of
 * Linux); first: it, without data. false: nothing is gathered.
 */
static bool send_corked(struct loop_sock *s, struct socket_msg *m, struct loop_packet *first,
                        ssize_t *result)
{
    struct loop_packet *p = NULL;
    size_t size = m->io->left;
    bool more = (m->flags & MSG_MORE) != 0;
    int r;

    mutex_lock(&s->lock);
    if (s->corked == NULL)
        s->corked = first;
    else
        kfree(first);
    if (s->corked == NULL) {
        mutex_unlock(&s->lock);
        return false;
    }
    r = cork(s, m, loop_is_v4(&s->corked->to) ? DATAGRAM_MAX4 : DATAGRAM_MAX6, &p);
    if (r == 0 && more) {
        s->corked = p;
        p = NULL;
    }
    mutex_unlock(&s->lock);
    if (p != NULL)
        post(s, p);
    *result = r < 0 ? r : (ssize_t)size;
    return true;
}

/* A port for one that sends without: the one that it has outside, if that is free here. */
static int autobind(struct loop_sock *s)
{
    struct loop_name any = {0};
    struct socket *outer = loop_outer(s);
    int r = 0;

    if (s->base.domain == AF_INET)
        any.addr[10] = any.addr[11] = 0xff;
    mutex_lock(&s->lock);
    if (s->local.port == 0) {
        any.port = outer != NULL ? loop_chosen_port(outer) : 0;
        r = any.port != 0 ? loop_port_bind(s, &any) : -EADDRINUSE;
        any.port = 0;
        if (r < 0)
            r = loop_port_connect(s, &any, NULL);
    }
    mutex_unlock(&s->lock);
    return r;
}

static ssize_t send_first(struct loop_sock *s, struct socket_msg *m, const struct loop_name *from,
                          const struct loop_name *to, const struct loop_send_control *c)
{
    struct loop_packet *p = packet_make(s, 0);
    ssize_t r = -ENOBUFS;

    if (p == NULL)
        return r;
    p->from = *from;
    p->to = *to;
    p->ttl = c->ttl;
    p->tos = c->tos;
    (void)send_corked(s, m, p, &r);
    return r;
}

static ssize_t send_inside(struct loop_sock *s, struct socket_msg *m, const struct loop_name *to)
{
    size_t size = m->io->left, n;
    struct loop_send_control c;
    struct loop_name from;
    int r = loop_control_read(s, m->control, m->control_len, &c);

    if (r < 0)
        return r;
    if (size > (loop_is_v4(to) ? DATAGRAM_MAX4 : DATAGRAM_MAX6))
        return -EMSGSIZE;
    if (c.segment != 0 && size > (size_t)c.segment * SEGMENTS_MAX)
        return -EINVAL;
    r = autobind(s);
    if (r < 0)
        return r;
    from = loop_source_for(s, to);
    if (!loop_is_any(&c.from)) {
        memcpy(from.addr, c.from.addr, sizeof(from.addr));
        if (loop_is_v4(&from) != loop_is_v4(to))
            return -EINVAL;
    }
    if ((m->flags & MSG_MORE) != 0 && c.segment == 0)
        return send_first(s, m, &from, to, &c);
    do {
        n = c.segment != 0 ? MIN(m->io->left, (size_t)c.segment) : size;
        r = send_packet(s, m, &from, to, &c, n);
    } while (r == 0 && m->io->left > 0);
    return r < 0 ? r : (ssize_t)size;
}

/* The outer half gets the port that the inner one has, when the host has it free. */
static int outer_with_port(struct loop_sock *s, struct socket **outer)
{
    struct loop_name any = {0};
    u8 name[ADDRESS_MAX];
    u32 len;
    int r;

    *outer = loop_outer(s);
    if (*outer != NULL)
        return 0;
    if (s->local.port != 0 && loop_is_inside(&s->local) && s->bound)
        return -EINVAL; /* as Linux says where 127.0.0.1 has no way to */
    r = loop_outer_make(s, outer);
    if (r == 0 && s->local.port != 0) {
        any.port = s->local.port;
        loop_name_put(s, &any, name, &len);
        (void)(*outer)->ops->bind(*outer, name, len);
    }
    return r;
}

ssize_t loop_datagram_send(struct loop_sock *s, struct socket_msg *m)
{
    struct socket *outer;
    struct loop_name to;
    ssize_t sent;
    int r = loop_take_error(s);

    if (r < 0)
        return r;
    if (s->shut_write)
        return -EPIPE;
    if ((m->flags & MSG_OOB) != 0)
        return -EOPNOTSUPP;
    if (__atomic_load_n(&s->corked, __ATOMIC_RELAXED) != NULL && send_corked(s, m, NULL, &sent))
        return sent;
    if (m->name_len > 0) {
        r = loop_name_parse(s, m->name, m->name_len, &to);
        if (r < 0)
            return r;
        if (to.port == 0)
            return -EINVAL;
        if (loop_is_v4(&to) && s->base.domain == AF_INET6 && loop_opt(s, OPT_V6ONLY))
            return -ENETUNREACH;
        loop_resolve_any(s, &to);
    } else if (loop_state(s) == LOOP_INSIDE) {
        to = s->remote;
    } else {
        outer = loop_outer(s);
        if (loop_state(s) != LOOP_OUTSIDE || outer == NULL)
            return -EDESTADDRREQ;
        return outer->ops->send(outer, m);
    }
    if (loop_goes_inside(s, &to))
        return send_inside(s, m, &to);
    r = outer_with_port(s, &outer);
    return r < 0 ? r : outer->ops->send(outer, m);
}

/* ---- receiving ---- */

static ssize_t hand_over(struct loop_sock *s, struct loop_packet *p, struct socket_msg *m)
{
    size_t n = MIN((size_t)p->size, m->io->left);
    ssize_t r = n > 0 ? uio_to(m->io, p->data, n) : 0;

    if (r < 0)
        return r;
    m->out_flags = n < p->size ? MSG_TRUNC : 0;
    return (m->flags & MSG_TRUNC) != 0 ? (ssize_t)p->size : r;
}

static ssize_t pull_error(struct loop_sock *s, struct socket_msg *m)
{
    struct loop_packet *p = NULL;
    ssize_t r;

    mutex_lock(&s->lock);
    if (!list_empty(&s->errors)) {
        p = list_first_entry(&s->errors, struct loop_packet, link);
        list_del(&p->link);
        if (__atomic_sub_fetch(&s->error_count, 1, __ATOMIC_RELEASE) == 0)
            (void)loop_take_error(s);
    }
    mutex_unlock(&s->lock);
    if (p == NULL)
        return -EAGAIN;
    r = hand_over(s, p, m);
    if (r >= 0) {
        m->out_flags |= MSG_ERRQUEUE;
        if (m->name != NULL) /* whom it was for */
            loop_name_put(s, &p->to, m->name, &m->name_len);
        loop_control_error(s, p, m);
    }
    kfree(p);
    return r;
}

static ssize_t pull(struct loop_sock *s, struct socket_msg *m)
{
    bool peek = (m->flags & MSG_PEEK) != 0;
    struct loop_packet *p = NULL;
    ssize_t r = -EAGAIN;

    if (__atomic_load_n(&s->packet_count, __ATOMIC_ACQUIRE) == 0)
        return r;
    mutex_lock(&s->lock);
    if (!list_empty(&s->packets)) {
        p = list_first_entry(&s->packets, struct loop_packet, link);
        if (!peek) {
            list_del(&p->link);
            s->packet_bytes -= p->size + OVERHEAD;
            __atomic_sub_fetch(&s->packet_count, 1, __ATOMIC_RELEASE);
            mutex_unlock(&s->lock);
        }
        r = hand_over(s, p, m);
        if (r >= 0) {
            if (m->name != NULL)
                loop_name_put(s, &p->from, m->name, &m->name_len);
            loop_control_write(s, p, m);
        }
        if (!peek) {
            kfree(p);
            return r;
        }
    }
    mutex_unlock(&s->lock);
    return r;
}

static ssize_t pull_outer(struct socket *outer, struct socket_msg *m)
{
    int flags = m->flags;
    ssize_t r;

    m->flags |= MSG_DONTWAIT;
    r = outer->ops->recv(outer, m);
    m->flags = flags;
    return r;
}

static ssize_t pull_either(struct loop_sock *s, struct socket *outer, struct socket_msg *m)
{
    ssize_t r = -EAGAIN;

    if (outer == NULL || !s->outer_turn)
        r = pull(s, m);
    if (outer != NULL) {
        s->outer_turn = !s->outer_turn;
        if (r == -EAGAIN)
            r = pull_outer(outer, m);
        if (r == -EAGAIN)
            r = pull(s, m);
    }
    return r;
}

static bool has_input(const struct loop_sock *s)
{
    return __atomic_load_n(&s->packet_count, __ATOMIC_ACQUIRE) > 0 ||
           __atomic_load_n(&s->error, __ATOMIC_RELAXED) != 0 ||
           __atomic_load_n(&s->shut_read, __ATOMIC_RELAXED);
}

ssize_t loop_datagram_recv(struct loop_sock *s, struct socket_msg *m)
{
    u64 timeout = s->base.receive_timeout, deadline = socket_deadline(timeout);
    struct socket *outer;
    ssize_t r;

    if ((m->flags & MSG_OOB) != 0)
        return -EOPNOTSUPP;
    for (;;) {
        outer = outer_of(s);
        if ((m->flags & MSG_ERRQUEUE) != 0) {
            r = pull_error(s, m);
            return r == -EAGAIN && outer != NULL ? pull_outer(outer, m) : r;
        }
        r = loop_take_error(s);
        if (r < 0)
            return r;
        r = pull_either(s, outer, m);
        if (r == -EAGAIN && s->shut_read) {
            m->control_len = 0;
            return 0;
        }
        if (r != -EAGAIN || (m->flags & MSG_DONTWAIT) != 0)
            return r;
        if (outer != NULL) {
            r = socket_wait(&s->base, POLLIN, deadline, timeout);
        } else {
            loop_spin(s, has_input);
            r = wait_event(&s->readable, has_input(s) || outer_of(s) != NULL, deadline);
        }
        if (r < 0)
            return outer != NULL ? r : socket_wait_result((int)r, timeout);
    }
}

u32 loop_datagram_poll(struct loop_sock *s, struct poll_table *pt)
{
    struct socket *outer = outer_of(s);
    u32 ready = 0;

    if (__atomic_load_n(&s->packet_count, __ATOMIC_ACQUIRE) > 0)
        ready |= POLLIN | POLLRDNORM;
    if (__atomic_load_n(&s->error, __ATOMIC_RELAXED) != 0 ||
        __atomic_load_n(&s->error_count, __ATOMIC_ACQUIRE) > 0)
        ready |= POLLERR;
    if (s->shut_read)
        ready |= POLLIN | POLLRDNORM | POLLRDHUP;
    if (s->shut_read && s->shut_write)
        ready |= POLLHUP;
    return ready |
           (outer != NULL ? outer->ops->poll(outer, pt) : POLLOUT | POLLWRNORM | POLLWRBAND);
}

size_t loop_datagram_first(struct loop_sock *s)
{
    size_t n = 0;

    mutex_lock(&s->lock);
    if (!list_empty(&s->packets))
        n = list_first_entry(&s->packets, struct loop_packet, link)->size;
    mutex_unlock(&s->lock);
    return n;
}

void loop_datagram_drop(struct loop_sock *s)
{
    struct list_head *lists[] = {&s->packets, &s->errors};

    mutex_lock(&s->lock);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        while (!list_empty(lists[i])) {
            struct loop_packet *p = list_first_entry(lists[i], struct loop_packet, link);

            list_del(&p->link);
            kfree(p);
        }
    }
    kfree(s->corked);
    s->corked = NULL;
    mutex_unlock(&s->lock);
}
