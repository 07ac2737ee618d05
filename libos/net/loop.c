/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of the enclave's own loopback: life, the outer half, bind, connect, names, shutdown. */
#include "deployment.h"
#include "event.h"
#include "host.h"
#include "net.h"
#include "loop.h"

#define CAP_NET_BIND_SERVICE 10
#define BIND_TRIES           32 /* ports of the host's choice that are taken inside */

static const struct socket_ops loop_ops;

/* ---- life ---- */

struct loop_sock *loop_alloc(int domain, int type, int protocol)
{
    struct loop_sock *s = kzalloc(sizeof(*s));

    if (s == NULL)
        return NULL;
    socket_init(&s->base, &loop_ops, domain, type, protocol);
    ref_init(&s->refs);
    list_init(&s->port_link);
    waitq_init(&s->readable);
    waitq_init(&s->writable);
    list_init(&s->backlog);
    list_init(&s->pending);
    list_init(&s->queue_link);
    list_init(&s->packets);
    list_init(&s->errors);
    loop_options_init(s);
    ktimer_init(&s->show_timer, loop_stream_show);
    s->urgent = -1;
    return s;
}

/* Whether the host has IPv6 at all: asked once, since no socket is made when a program asks. */
static bool host_has_ipv6(void)
{
    static u32 known; /* 1: no, 2: yes */
    u32 k = __atomic_load_n(&known, __ATOMIC_RELAXED);
    hostfd hfd;

    if (k == 0) {
        hfd = host_socket(AF_INET6, SOCK_DGRAM, 0);
        k = hfd.n == -EAFNOSUPPORT ? 1 : 2;
        if (hostfd_ok(hfd))
            host_close(hfd);
        __atomic_store_n(&known, k, __ATOMIC_RELAXED);
    }
    return k == 2;
}

int loop_create(int domain, int type, int protocol, struct socket **out)
{
    struct loop_sock *s;

    if (g_deployment.policy.loopback_host)
        return host_socket_create(domain, type, protocol, out);
    if (protocol == 0)
        protocol = type == SOCK_STREAM ? IPPROTO_TCP : type == SOCK_DGRAM ? IPPROTO_UDP : 0;
    /* Raw sockets and ICMP's are the host's, and get nothing of the loopback (host_socket.c). Other
     * streams would be able to leave. */
    if (type == SOCK_STREAM && protocol != IPPROTO_TCP)
        return -EPROTONOSUPPORT;
    if (type != SOCK_STREAM &&
        (type != SOCK_DGRAM || (protocol != IPPROTO_UDP && protocol != IPPROTO_UDPLITE)))
        return host_socket_create(domain, type, protocol, out);
    if (domain == AF_INET6 && !host_has_ipv6())
        return -EAFNOSUPPORT;
    s = loop_alloc(domain, type, protocol);
    if (s == NULL)
        return -ENOMEM;
    *out = &s->base;
    return 0;
}

void loop_get(struct loop_sock *s)
{
    ref_get(&s->refs);
}

void loop_put(struct loop_sock *s)
{
    if (!ref_put(&s->refs))
        return;
    ktimer_cancel_sync(&s->show_timer);
    kfree(s->ring.data);
    kfree(s);
}

void loop_wake(struct loop_sock *s)
{
    waitq_wake(&s->readable, UINT32_MAX);
    waitq_wake(&s->writable, UINT32_MAX);
}

static void loop_release(struct socket *sock)
{
    struct loop_sock *s = loop_of(sock);
    struct socket *outer;
    u32 state;

    loop_port_forget(s);
    mutex_lock(&s->lock);
    state = s->state;
    loop_set_state(s, LOOP_CLOSED);
    outer = s->outer;
    s->outer = NULL;
    mutex_unlock(&s->lock);
    if (state == LOOP_LISTENING)
        loop_queue_close(s);
    if (loop_is_stream(s))
        loop_stream_close(s);
    else
        loop_datagram_drop(s);
    if (outer != NULL)
        outer->ops->release(outer);
    loop_put(s);
}

/* ---- the outer half ---- */

struct socket *loop_outer(struct loop_sock *s)
{
    struct socket *outer = __atomic_load_n(&s->outer, __ATOMIC_ACQUIRE);

    if (outer != NULL) {
        outer->file = s->base.file;
        outer->receive_timeout = s->base.receive_timeout;
        outer->send_timeout = s->base.send_timeout;
    }
    return outer;
}

static int outer_create(struct loop_sock *s, struct socket **out)
{
    int r = host_socket_create(s->base.domain, s->base.type, s->base.protocol, out);

    if (r < 0)
        return r;
    r = loop_options_replay(s, *out);
    if (r < 0)
        (*out)->ops->release(*out);
    return r;
}

static void outer_publish(struct loop_sock *s, struct socket *outer)
{
    __atomic_store_n(&s->outer, outer, __ATOMIC_RELEASE);
}

int loop_outer_make(struct loop_sock *s, struct socket **out)
{
    struct socket *outer;
    int r = 0;

    mutex_lock(&s->lock);
    if (s->outer == NULL) {
        r = outer_create(s, &outer);
        if (r == 0)
            outer_publish(s, outer);
    }
    mutex_unlock(&s->lock);
    if (r == 0) {
        *out = loop_outer(s);
        waitq_wake(&s->readable, UINT32_MAX); /* who polls asks the host from now on */
    }
    return r;
}

/* Its port as the host tells, 0: none. */
static u16 loop_outer_port(struct socket *outer)
{
    u8 name[ADDRESS_MAX];
    u32 len = 0;
    u16 port;

    if (outer->ops->getname(outer, false, name, &len) < 0 || len < sizeof(struct sockaddr_in))
        return 0;
    memcpy(&port, name + offsetof(struct sockaddr_in, sin_port), sizeof(port)); /* as of IPv6 */
    return __builtin_bswap16(port);
}

void loop_leave_outer(struct loop_sock *s)
{
    if (__atomic_load_n(&s->outer, __ATOMIC_ACQUIRE) != NULL && s->base.file != NULL)
        epoll_file_host_gone(s->base.file);
}

/* ---- bind ---- */

static int may_bind(const struct loop_name *n)
{
    u32 start = 1024;

    sysctl_numbers("ip_unprivileged_port_start", &start, 1);
    return n->port != 0 && n->port < start && !capable(CAP_NET_BIND_SERVICE) ? -EACCES : 0;
}

u16 loop_chosen_port(struct socket *outer)
{
    const struct loop_name n = {.port = loop_outer_port(outer)};

    return may_bind(&n) == 0 ? n.port : 0;
}

/* A wildcard: the host's port and the one inside are the same, so either may refuse. With port 0
 * the host chooses. s->lock is held. */
static int bind_both(struct loop_sock *s, struct loop_name n)
{
    bool any_port = n.port == 0;
    u8 name[ADDRESS_MAX];
    struct socket *outer = s->outer;
    int r = -EADDRINUSE;
    u32 len;

    for (int i = 0; r == -EADDRINUSE && i < (any_port && s->outer == NULL ? BIND_TRIES : 1); i++) {
        if (!any_port && (r = loop_port_bind(s, &n)) < 0)
            return r;
        if (s->outer == NULL && (r = outer_create(s, &outer)) < 0)
            break;
        loop_name_put(s, &n, name, &len);
        r = outer->ops->bind(outer, name, len);
        if (r == 0 && any_port) {
            struct loop_name chosen = n;

            chosen.port = loop_chosen_port(outer);
            r = chosen.port == 0 ? -EADDRNOTAVAIL : loop_port_bind(s, &chosen);
        }
        if (r < 0 && s->outer == NULL)
            outer->ops->release(outer);
    }
    if (r < 0)
        loop_port_forget(s);
    else
        outer_publish(s, outer);
    return r;
}

/* An address of the pod's: the host's alone. s->lock is held. */
static int bind_outside(struct loop_sock *s, const struct loop_name *n, const u8 *name, u32 len)
{
    struct socket *outer = s->outer;
    struct loop_name chosen = *n;
    int r = outer == NULL ? outer_create(s, &outer) : 0;

    if (r < 0)
        return r;
    r = outer->ops->bind(outer, name, len);
    if (r < 0) {
        if (s->outer == NULL)
            outer->ops->release(outer);
        return r;
    }
    outer_publish(s, outer);
    chosen.port = loop_outer_port(outer);
    mutex_lock(&g_loop_ports);
    if (list_empty(&s->port_link)) { /* else it was connected meanwhile */
        s->local = chosen;
        s->bound = true;
    } else {
        r = -EINVAL;
    }
    mutex_unlock(&g_loop_ports);
    return r;
}

static int loop_bind(struct socket *sock, const u8 *name, u32 len)
{
    struct loop_sock *s = loop_of(sock);
    struct loop_name n;
    int r = loop_name_parse(s, name, len, &n);
    u16 family;

    memcpy(&family, name, sizeof(family));
    if (r == -EAFNOSUPPORT && family == AF_UNSPEC && sock->domain == AF_INET) {
        u8 v4[sizeof(struct sockaddr_in)]; /* as Linux: 0.0.0.0 of no family is meant */

        memcpy(v4, name, sizeof(v4));
        v4[0] = AF_INET;
        r = loop_name_parse(s, v4, len, &n);
        if (r == 0 && !loop_is_any(&n))
            r = -EAFNOSUPPORT;
    } else if (r == 0 && family != sock->domain) {
        r = -EAFNOSUPPORT;
    }
    if (r == 0 && loop_is_v4(&n) && sock->domain == AF_INET6 && loop_opt(s, OPT_V6ONLY))
        r = -EINVAL;
    if (r == 0)
        r = may_bind(&n);
    if (r < 0)
        return r;
    mutex_lock(&s->lock);
    if (s->state != LOOP_IDLE || s->local.port != 0 ||
        (s->outer != NULL && loop_outer_port(s->outer) != 0))
        r = -EINVAL;
    else if (loop_is_inside(&n))
        r = loop_port_bind(s, &n);
    else
        r = loop_is_any(&n) ? bind_both(s, n) : bind_outside(s, &n, name, len);
    mutex_unlock(&s->lock);
    if (r == 0)
        waitq_wake(&s->readable, UINT32_MAX);
    return r;
}

/* ---- connect ---- */

/* The address that s has towards an inner one. */
struct loop_name loop_source_for(const struct loop_sock *s, const struct loop_name *to)
{
    struct loop_name n = s->local;

    if (n.port == 0 || loop_is_any(&n)) {
        n = loop_is_v4(to) ? g_loop_localhost4 : g_loop_localhost6;
        n.port = s->local.port;
    }
    return n;
}

/* A connection to a wildcard is one to this machine: tcp_v4_connect(), tcp_v6_connect(). */
void loop_resolve_any(const struct loop_sock *s, struct loop_name *to)
{
    u16 port = to->port;

    if (!loop_is_any(to))
        return;
    if (s->local.port != 0 && loop_is_inside(&s->local) && loop_is_v4(&s->local) == loop_is_v4(to))
        *to = s->local;
    else
        *to = loop_is_v4(to) || (s->local.port != 0 && loop_is_v4(&s->local)) ? g_loop_localhost4
                                                                              : g_loop_localhost6;
    to->port = port;
}

static int wait_connected(struct loop_sock *s)
{
    u64 timeout = s->base.send_timeout;
    int r = wait_event(&s->writable, loop_state(s) != LOOP_PENDING, socket_deadline(timeout));

    if (r < 0) {
        r = socket_wait_result(r, timeout);
        return r == -EAGAIN ? -EINPROGRESS : r; /* a restarted connect() waits on */
    }
    r = loop_take_error(s);
    return loop_state(s) == LOOP_INSIDE ? 0 : r < 0 ? r : -ECONNREFUSED;
}

/* s is LOOP_PENDING and this thread's. */
static int stream_connect_inside(struct loop_sock *s, const struct loop_name *to, bool nonblock)
{
    struct loop_name from = loop_source_for(s, to);
    struct loop_sock *listener;
    int r = loop_port_connect(s, &from, to);

    if (r == 0) {
        from.port = s->local.port;
        listener = loop_port_listener(to, &from);
        if (listener == NULL) {
            r = -ECONNREFUSED;
        } else {
            r = loop_queue_connect(listener, s, to, &from);
            loop_put(listener);
        }
    }
    if (r < 0 && r != -EINPROGRESS) {
        loop_port_disconnect(s);
        loop_set_state(s, LOOP_IDLE);
        return r;
    }
    loop_leave_outer(s);
    if (r == 0)
        loop_wake(s);
    if (nonblock) { /* as Linux, which is never done at once: programs expect it so */
        __atomic_store_n(&s->connecting, true, __ATOMIC_RELEASE);
        return -EINPROGRESS;
    }
    return r == 0 ? r : wait_connected(s);
}

static int stream_connect_outside(struct loop_sock *s, const u8 *name, u32 len, bool nonblock)
{
    struct socket *outer = NULL;
    int r;

    if (s->local.port != 0 && loop_is_inside(&s->local))
        r = -EINVAL; /* as Linux says where 127.0.0.1 has no way to */
    else
        r = loop_outer_make(s, &outer);
    if (r < 0) {
        loop_set_state(s, LOOP_IDLE);
        return r;
    }
    loop_set_state(s, LOOP_OUTSIDE);
    waitq_wake(&s->readable, UINT32_MAX);
    r = outer->ops->connect(outer, name, len, nonblock);
    if (r < 0 && r != -EINPROGRESS && r != -EALREADY && r != -EINTR && r != -ERESTARTSYS)
        loop_set_state(s, LOOP_IDLE);
    return r;
}

bool loop_goes_inside(struct loop_sock *s, const struct loop_name *to)
{
    struct loop_sock *there;

    if (!loop_is_inside(to))
        return false;
    if (!host_name_is_resolver(to->addr, to->port))
        return true;
    there = loop_is_stream(s) ? loop_port_listener(to, to) : loop_port_receiver(s, to, to);
    if (there != NULL)
        loop_put(there);
    return there != NULL;
}

static int stream_connect(struct loop_sock *s, struct loop_name *to, const u8 *name, u32 len,
                          bool nonblock)
{
    u32 idle = LOOP_IDLE;
    struct socket *outer;

    if (!__atomic_compare_exchange_n(&s->state, &idle, LOOP_PENDING, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        if (idle == LOOP_OUTSIDE) {
            outer = loop_outer(s);
            return outer->ops->connect(outer, name, len, nonblock);
        }
        if (idle == LOOP_PENDING)
            return nonblock ? -EALREADY : wait_connected(s);
        return idle == LOOP_INSIDE && __atomic_exchange_n(&s->connecting, false, __ATOMIC_ACQ_REL)
                   ? 0
                   : -EISCONN;
    }
    (void)loop_take_error(s);
    return loop_goes_inside(s, to) ? stream_connect_inside(s, to, nonblock)
                                   : stream_connect_outside(s, name, len, nonblock);
}

/* connect() to no address: what is connected inside stays so. */
static int stream_disconnect(struct loop_sock *s, const u8 *name, u32 len)
{
    struct socket *outer = loop_outer(s);
    u32 state = loop_state(s);
    int r;

    if (state != LOOP_OUTSIDE)
        return state == LOOP_IDLE ? 0 : -EOPNOTSUPP;
    r = outer->ops->connect(outer, name, len, true);
    if (r == 0)
        loop_set_state(s, LOOP_IDLE);
    return r;
}

static int datagram_disconnect(struct loop_sock *s, const u8 *name, u32 len)
{
    struct socket *outer = loop_outer(s);

    if (loop_state(s) == LOOP_OUTSIDE && outer != NULL)
        (void)outer->ops->connect(outer, name, len, true);
    loop_port_disconnect(s);
    loop_set_state(s, LOOP_IDLE);
    waitq_wake(&s->readable, UINT32_MAX);
    return 0;
}

static int datagram_connect(struct loop_sock *s, struct loop_name *to, const u8 *name, u32 len)
{
    struct loop_name from;
    struct socket *outer;
    int r;

    (void)loop_take_error(s);
    if (loop_goes_inside(s, to)) {
        outer = loop_outer(s);
        if (outer != NULL && s->local.port == 0) { /* the port it has outside, if nobody has it */
            from = loop_is_v4(to) ? g_loop_localhost4 : g_loop_localhost6;
            from.port = loop_chosen_port(outer);
            if (from.port != 0)
                (void)loop_port_bind(s, &from);
        }
        from = loop_source_for(s, to);
        r = loop_port_connect(s, &from, to);
        if (r < 0)
            return r;
        loop_set_state(s, LOOP_INSIDE);
        loop_leave_outer(s);
        return 0;
    }
    if (s->local.port != 0 && loop_is_inside(&s->local))
        return -EINVAL;
    r = loop_outer_make(s, &outer);
    if (r == 0)
        r = outer->ops->connect(outer, name, len, true);
    if (r < 0)
        return r;
    mutex_lock(&g_loop_ports);
    s->remote = *to; /* nothing from inside any more */
    mutex_unlock(&g_loop_ports);
    loop_set_state(s, LOOP_OUTSIDE);
    waitq_wake(&s->readable, UINT32_MAX);
    return 0;
}

static int loop_connect(struct socket *sock, const u8 *name, u32 len, bool nonblock)
{
    struct loop_sock *s = loop_of(sock);
    struct loop_name to;
    u16 family;
    int r;

    memcpy(&family, name, sizeof(family));
    if (family == AF_UNSPEC)
        return loop_is_stream(s) ? stream_disconnect(s, name, len)
                                 : datagram_disconnect(s, name, len);
    r = loop_name_parse(s, name, len, &to);
    if (r < 0)
        return r;
    if (loop_is_v4(&to) && sock->domain == AF_INET6 && loop_opt(s, OPT_V6ONLY))
        return -ENETUNREACH;
    loop_resolve_any(s, &to);
    return loop_is_stream(s) ? stream_connect(s, &to, name, len, nonblock)
                             : datagram_connect(s, &to, name, len);
}

/* ---- names ---- */

static int loop_getname(struct socket *sock, bool peer, u8 *name, u32 *len)
{
    struct loop_sock *s = loop_of(sock);
    struct socket *outer = loop_outer(s);
    struct loop_name local, remote;
    u32 state = loop_state(s);

    loop_port_names(s, &local, &remote);
    if (outer != NULL && (state == LOOP_OUTSIDE || (!peer && local.port == 0)))
        return outer->ops->getname(outer, peer, name, len);
    if (peer && (state != LOOP_INSIDE || (loop_is_stream(s) && loop_stream_done(s))))
        return -ENOTCONN;
    if (!peer && state == LOOP_INSIDE && loop_is_any(&local)) { /* a bound datagram socket */
        u16 port = local.port;

        local = loop_is_v4(&remote) ? g_loop_localhost4 : g_loop_localhost6;
        local.port = port;
    }
    loop_name_put(s, peer ? &remote : &local, name, len);
    return 0;
}

/* ---- shutdown ---- */

static int listener_shutdown(struct loop_sock *s, int how)
{
    struct socket *outer = loop_outer(s);

    if (how == SHUT_WR)
        return 0;
    loop_port_unlisten(s);
    mutex_lock(&s->lock);
    if (s->state == LOOP_LISTENING)
        loop_set_state(s, LOOP_IDLE);
    mutex_unlock(&s->lock);
    loop_queue_close(s);
    if (outer != NULL)
        (void)outer->ops->shutdown(outer, how);
    loop_wake(s);
    return 0;
}

static int datagram_shutdown(struct loop_sock *s, int how)
{
    struct socket *outer = loop_outer(s);

    /* Also when not connected: it wakes who waits. */
    s->shut_read |= how != SHUT_WR;
    s->shut_write |= how != SHUT_RD;
    if (outer != NULL)
        (void)outer->ops->shutdown(outer, how);
    loop_wake(s);
    return loop_state(s) == LOOP_IDLE ? -ENOTCONN : 0;
}

static int loop_shutdown(struct socket *sock, int how)
{
    struct loop_sock *s = loop_of(sock);
    struct socket *outer;

    if (!loop_is_stream(s))
        return datagram_shutdown(s, how);
    switch (loop_state(s)) {
    case LOOP_LISTENING:
        return listener_shutdown(s, how);
    case LOOP_INSIDE:
        return loop_stream_shutdown(s, how);
    case LOOP_OUTSIDE:
        outer = loop_outer(s);
        return outer->ops->shutdown(outer, how);
    default:
        return -ENOTCONN;
    }
}

/* ---- the rest ---- */

static ssize_t loop_send(struct socket *sock, struct socket_msg *m)
{
    struct loop_sock *s = loop_of(sock);
    struct socket *outer;

    if (!loop_is_stream(s))
        return loop_datagram_send(s, m);
    if (loop_state(s) != LOOP_OUTSIDE)
        return loop_stream_send(s, m);
    outer = loop_outer(s);
    return outer->ops->send(outer, m);
}

static ssize_t loop_recv(struct socket *sock, struct socket_msg *m)
{
    struct loop_sock *s = loop_of(sock);
    struct socket *outer;

    if (!loop_is_stream(s))
        return loop_datagram_recv(s, m);
    if (loop_state(s) != LOOP_OUTSIDE)
        return loop_stream_recv(s, m);
    outer = loop_outer(s);
    return outer->ops->recv(outer, m);
}

static u32 loop_poll(struct socket *sock, struct poll_table *pt)
{
    struct loop_sock *s = loop_of(sock);
    struct socket *outer;

    poll_wait(pt, &s->readable);
    if (!loop_is_stream(s))
        return loop_datagram_poll(s, pt);
    switch (loop_state(s)) {
    case LOOP_LISTENING:
        return loop_listen_poll(s, pt);
    case LOOP_OUTSIDE:
        outer = loop_outer(s);
        return outer->ops->poll(outer, pt);
    default:
        return loop_stream_poll(s, pt);
    }
}

u32 loop_received(struct socket *sock, u64 *dropped)
{
    struct loop_sock *s = loop_of(sock);

    if (sock->ops != &loop_ops)
        return 0;
    *dropped = s->dropped;
    return (u32)(loop_is_stream(s) ? ring_used(&s->ring)
                                   : __atomic_load_n(&s->packet_bytes, __ATOMIC_RELAXED));
}

static const struct socket_ops loop_ops = {
    .bind = loop_bind,
    .connect = loop_connect,
    .listen = loop_listen,
    .accept = loop_accept,
    .getname = loop_getname,
    .send = loop_send,
    .recv = loop_recv,
    .shutdown = loop_shutdown,
    .getsockopt = loop_getsockopt,
    .setsockopt = loop_setsockopt,
    .ioctl = loop_ioctl,
    .poll = loop_poll,
    .release = loop_release,
};
