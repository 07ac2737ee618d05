/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX sockets: life, connecting. */
#include "unix_data.h"

#define BACKLOG_MAX 4096

static const struct socket_ops unix_ops;

/* ---- life ---- */

void unix_get(struct unix_sock *u)
{
    ref_get(&u->refs);
}

static void groups_put(struct unix_groups *g)
{
    if (g != NULL && ref_put(&g->refs))
        kfree(g);
}

static struct unix_groups *groups_get(struct unix_groups *g)
{
    if (g != NULL)
        ref_get(&g->refs);
    return g;
}

void unix_put(struct unix_sock *u)
{
    if (!ref_put(&u->refs))
        return;
    groups_put(u->groups);
    groups_put(u->peer_groups);
    if (u->name != NULL)
        unix_name_put(u->name);
    kfree(u->ring.data);
    kfree(u);
}

struct ucred unix_current_cred(void)
{
    struct process *p = current_process();

    return (struct ucred){p->pid, p->cred.euid, p->cred.egid};
}

/* Who the caller is becomes what u's peers see: -ENOMEM. */
static int take_cred(struct unix_sock *u)
{
    const struct cred *c = &current_process()->cred;
    struct unix_groups *g = NULL;

    if (c->group_count > 0) {
        g = kmalloc(sizeof(*g));
        if (g == NULL)
            return -ENOMEM;
        ref_init(&g->refs);
        g->count = cred_groups(c, g->ids, UNIX_GROUPS_MAX);
    }
    groups_put(u->groups);
    u->groups = g;
    u->cred = unix_current_cred();
    return 0;
}

struct unix_sock *unix_alloc(int type)
{
    struct unix_sock *u = kzalloc(sizeof(*u));

    if (u == NULL)
        return NULL;
    socket_init(&u->base, &unix_ops, AF_UNIX, type, 0);
    ref_init(&u->refs);
    waitq_init(&u->readable);
    waitq_init(&u->writable);
    list_init(&u->marks);
    list_init(&u->packets);
    list_init(&u->backlog);
    list_init(&u->backlog_link);
    u->ring.limit = u->send_size = UNIX_BUFFER;
    u->peer_cred = UCRED_OUTSIDE; /* until there is a peer that has some */
    u->stream_cred = u->head_cred = UCRED_NOBODY;
    if (take_cred(u) < 0) {
        kfree(u);
        return NULL;
    }
    return u;
}

int unix_create(int type, int protocol, struct socket **out)
{
    struct unix_sock *u;

    if (protocol != 0 && protocol != AF_UNIX)
        return -EPROTONOSUPPORT;
    if (type == SOCK_RAW) /* as Linux: the same as datagrams */
        type = SOCK_DGRAM;
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return -ESOCKTNOSUPPORT;
    u = unix_alloc(type);
    if (u == NULL)
        return -ENOMEM;
    *out = &u->base;
    return 0;
}

/* Each holds a reference to the other. Nobody else may know them yet, or a's and b's locks are
 * held. */
static void join(struct unix_sock *a, struct unix_sock *b)
{
    unix_get(a);
    unix_get(b);
    a->peer = b;
    b->peer = a;
    a->peer_cred = b->cred;
    b->peer_cred = a->cred;
    a->peer_groups = groups_get(b->groups);
    b->peer_groups = groups_get(a->groups);
    __atomic_store_n(&b->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
    __atomic_store_n(&a->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
}

int unix_pair(int type, int protocol, struct socket *out[2])
{
    int r = unix_create(type, protocol, &out[0]);

    if (r < 0)
        return r;
    r = unix_create(type, protocol, &out[1]);
    if (r < 0) {
        unix_put(unix_of(out[0]));
        return r;
    }
    join(unix_of(out[0]), unix_of(out[1]));
    return 0;
}

/* u's other end: nothing comes from u any more. */
static void tell_peer_gone(struct unix_sock *u, bool unread)
{
    struct unix_sock *peer = u->peer;

    mutex_lock(&peer->lock);
    peer->eof = peer->peer_gone = true;
    if (unread)
        peer->error = ECONNRESET;
    mutex_unlock(&peer->lock);
    waitq_wake(&peer->readable, UINT32_MAX);
    waitq_wake(&peer->writable, UINT32_MAX);
}

static void sock_close(struct unix_sock *u)
{
    struct unix_sock *peer;
    struct list_head backlog;
    bool unread;

    if (u->name != NULL)
        unix_name_forget(u);
    list_init(&backlog);
    mutex_lock(&u->lock);
    __atomic_store_n(&u->state, UNIX_CLOSED, __ATOMIC_RELEASE);
    while (!list_empty(&u->backlog)) {
        struct list_head *l = u->backlog.next;

        list_del(l);
        list_add_tail(l, &backlog);
    }
    mutex_unlock(&u->lock);
    unread = unix_drop_data(u);
    waitq_wake(&u->writable, UINT32_MAX); /* connect() waiting for the backlog */
    unix_wake_senders(u);
    if (u->peer != NULL && u->base.type != SOCK_DGRAM)
        tell_peer_gone(u, unread);
    while (!list_empty(&backlog)) {
        struct unix_sock *e = list_first_entry(&backlog, struct unix_sock, backlog_link);

        list_del(&e->backlog_link);
        mutex_lock(&e->lock);
        __atomic_store_n(&e->state, UNIX_CLOSED, __ATOMIC_RELEASE);
        mutex_unlock(&e->lock);
        (void)unix_drop_data(e);
        tell_peer_gone(e, true);
        unix_put(e->peer);
        unix_put(e);
    }
    mutex_lock(&u->lock);
    peer = u->peer;
    u->peer = NULL;
    mutex_unlock(&u->lock);
    if (peer != NULL)
        unix_put(peer);
}

/* ---- connecting ---- */

static int unix_listen(struct socket *s, int backlog)
{
    struct unix_sock *u = unix_of(s);
    int r = 0;

    if (u->base.type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    if (u->name == NULL)
        return -EINVAL;
    mutex_lock(&u->lock);
    if (u->state != UNIX_IDLE && u->state != UNIX_LISTENING) {
        r = -EINVAL;
    } else {
        u->backlog_max = backlog < 0 || backlog > BACKLOG_MAX ? BACKLOG_MAX : (u32)backlog;
        r = take_cred(u);
        if (r == 0)
            r = unix_outer_listen(u, backlog);
        if (r == 0)
            __atomic_store_n(&u->state, UNIX_LISTENING, __ATOMIC_RELEASE);
    }
    mutex_unlock(&u->lock);
    if (r < 0)
        return r;
    waitq_wake(&u->writable, UINT32_MAX); /* the backlog may have grown */
    waitq_wake(&u->readable, UINT32_MAX);
    return 0;
}

static bool backlog_open(const struct unix_sock *l)
{
    return unix_state(l) != UNIX_LISTENING ||
           __atomic_load_n(&l->backlog_count, __ATOMIC_ACQUIRE) <= l->backlog_max;
}

/* Puts e, joined with u, on the listener's backlog. -EAGAIN: full. */
static int backlog_push(struct unix_sock *l, struct unix_sock *u, struct unix_sock *e)
{
    int r = 0;

    mutex_lock(&l->lock);
    if (unix_state(l) != UNIX_LISTENING || l->shut_read) {
        r = -ECONNREFUSED;
    } else if (!backlog_open(l)) {
        r = -EAGAIN;
    } else {
        e->cred = l->cred;
        groups_put(e->groups);
        e->groups = groups_get(l->groups);
        e->base.pass_cred = l->base.pass_cred;
        e->name = l->name;
        ref_get(&l->name->refs);
        u->ring.limit = e->send_size;
        e->ring.limit = u->send_size;
        join(u, e);
        list_add_tail(&e->backlog_link, &l->backlog);
        __atomic_add_fetch(&l->backlog_count, 1, __ATOMIC_RELEASE);
    }
    mutex_unlock(&l->lock);
    if (r == 0)
        waitq_wake_data(&l->readable);
    return r;
}

static int stream_connect_to(struct unix_sock *u, struct unix_sock *l, bool nonblock)
{
    u64 timeout = u->base.send_timeout, deadline = socket_deadline(timeout);
    struct unix_sock *e = unix_alloc(u->base.type);
    int r;

    if (e == NULL)
        return -ENOMEM;
    for (;;) {
        r = backlog_push(l, u, e);
        if (r != -EAGAIN || nonblock)
            break;
        r = wait_event(&l->writable, backlog_open(l), deadline);
        if (r < 0) {
            r = socket_wait_result(r, timeout);
            break;
        }
    }
    if (r < 0)
        unix_put(e);
    return r;
}

static int stream_connect(struct unix_sock *u, const u8 *name, u32 len, bool nonblock)
{
    struct unix_sock *l = NULL;
    struct dentry *outside = NULL;
    u32 idle = UNIX_IDLE;
    int r = unix_find(name, len, u->base.type, &l, &outside);

    if (r < 0)
        return r;
    r = u->base.pass_cred && u->name == NULL ? unix_autobind(u) : 0;
    if (r == 0 && !__atomic_compare_exchange_n(&u->state, &idle, UNIX_CONNECTING, false,
                                               __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        r = idle == UNIX_CONNECTED ? -EISCONN : idle == UNIX_CONNECTING ? -EALREADY : -EINVAL;
    if (r == 0) {
        r = take_cred(u);
        if (r == 0)
            r = l != NULL ? stream_connect_to(u, l, nonblock)
                          : unix_outer_connect(u, outside, name, len, nonblock);
        if (r < 0)
            __atomic_store_n(&u->state, UNIX_IDLE, __ATOMIC_RELEASE);
        else
            waitq_wake(&u->writable, UINT32_MAX);
    }
    if (l != NULL)
        unix_put(l);
    if (outside != NULL)
        dentry_put(outside);
    return r;
}

/* Where a datagram socket is to be connected to: *to, or *outside. */
static int datagram_find(struct unix_sock *u, const u8 *name, u32 len, struct unix_sock **to,
                         struct dentry **outside)
{
    int r = unix_find(name, len, SOCK_DGRAM, to, outside);

    if (r >= 0 && u->base.pass_cred && u->name == NULL)
        r = unix_autobind(u);
    if (r >= 0 && *to != NULL && !unix_takes_from(*to, u))
        r = -EPERM;
    return MIN(r, 0);
}

static int datagram_connect(struct unix_sock *u, const u8 *name, u32 len)
{
    struct unix_sock *to = NULL, *old;
    struct dentry *outside = NULL;
    u16 family;
    int r = 0;

    memcpy(&family, name, sizeof(family));
    if (family != AF_UNSPEC)
        r = datagram_find(u, name, len, &to, &outside);
    if (r == 0 && outside != NULL)
        r = unix_outer_connect(u, outside, name, len, true);
    else if (r == 0)
        unix_outer_disconnect(u);
    if (r < 0 && to != NULL)
        unix_put(to);
    if (outside != NULL)
        dentry_put(outside);
    if (r < 0)
        return r;
    mutex_lock(&u->lock);
    old = u->peer;
    u->peer = to;
    __atomic_store_n(&u->state, to != NULL || u->outside ? UNIX_CONNECTED : UNIX_IDLE,
                     __ATOMIC_RELEASE);
    mutex_unlock(&u->lock);
    if (old != NULL)
        unix_put(old);
    return 0;
}

static int unix_connect(struct socket *s, const u8 *name, u32 len, bool nonblock)
{
    struct unix_sock *u = unix_of(s);

    return u->base.type == SOCK_DGRAM ? datagram_connect(u, name, len)
                                      : stream_connect(u, name, len, nonblock);
}

static struct unix_sock *backlog_pop(struct unix_sock *u)
{
    struct unix_sock *e = NULL;
    bool was_full;

    mutex_lock(&u->lock);
    was_full = !backlog_open(u);
    if (!list_empty(&u->backlog)) {
        e = list_first_entry(&u->backlog, struct unix_sock, backlog_link);
        list_del(&e->backlog_link);
        __atomic_sub_fetch(&u->backlog_count, 1, __ATOMIC_RELEASE);
    }
    mutex_unlock(&u->lock);
    if (e != NULL && was_full)
        waitq_wake(&u->writable, UINT32_MAX);
    return e;
}

/* One connection of either half, taken in turn; -EAGAIN: none. */
static int accept_once(struct unix_sock *u, struct unix_sock **out)
{
    int r = -EAGAIN;

    u->outer_turn = !u->outer_turn;
    if (u->outer_turn)
        r = unix_outer_accept(u, out);
    if (r != -EAGAIN)
        return r;
    *out = backlog_pop(u);
    if (*out != NULL)
        return 0;
    return u->outer_turn ? -EAGAIN : unix_outer_accept(u, out);
}

static int unix_accept(struct socket *s, bool nonblock, struct socket **out, u8 *name, u32 *len)
{
    struct unix_sock *u = unix_of(s), *e = NULL;
    u64 timeout = s->receive_timeout, deadline = socket_deadline(timeout);
    int r;

    if (s->type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    for (;;) {
        if (unix_state(u) != UNIX_LISTENING || u->shut_read)
            return -EINVAL;
        r = accept_once(u, &e);
        if (r == 0)
            break;
        if (r != -EAGAIN || nonblock)
            return r;
        if (unix_outer_listener(u) != NULL)
            r = socket_wait(s, POLLIN, deadline, timeout);
        else
            r = socket_wait_result(
                wait_event(&u->readable,
                           __atomic_load_n(&u->backlog_count, __ATOMIC_ACQUIRE) > 0 ||
                               u->shut_read || unix_state(u) != UNIX_LISTENING,
                           deadline),
                timeout);
        if (r < 0)
            return r;
    }
    *out = &e->base;
    return unix_getname(&e->base, true, name, len);
}

static int unix_shutdown(struct socket *s, int how)
{
    struct unix_sock *u = unix_of(s), *peer;
    bool rd = how != SHUT_WR, wr = how != SHUT_RD;

    mutex_lock(&u->lock);
    if (u->state != UNIX_CONNECTED && u->state != UNIX_LISTENING) {
        mutex_unlock(&u->lock);
        return -ENOTCONN;
    }
    u->shut_read |= rd;
    u->shut_write |= wr;
    if (u->outer != NULL &&
        (u->outside || (u->state == UNIX_LISTENING && unix_outer_listener(u) != NULL)))
        (void)u->outer->ops->shutdown(u->outer, how);
    peer = u->base.type != SOCK_DGRAM ? u->peer : NULL;
    mutex_unlock(&u->lock);
    if (peer != NULL) {
        mutex_lock(&peer->lock);
        peer->eof |= wr;
        peer->shut_write |= rd;
        mutex_unlock(&peer->lock);
        waitq_wake(&peer->readable, UINT32_MAX);
        waitq_wake(&peer->writable, UINT32_MAX);
    }
    waitq_wake(&u->readable, UINT32_MAX);
    waitq_wake(&u->writable, UINT32_MAX);
    unix_wake_senders(u);
    return 0;
}

static void unix_release(struct socket *s)
{
    struct unix_sock *u = unix_of(s);
    struct socket *outer;

    sock_close(u);
    mutex_lock(&u->lock);
    outer = u->outer;
    u->outer = NULL;
    u->outside = false;
    mutex_unlock(&u->lock);
    if (outer != NULL)
        outer->ops->release(outer);
    unix_put(u);
}

static const struct socket_ops unix_ops = {
    .bind = unix_bind,
    .connect = unix_connect,
    .listen = unix_listen,
    .accept = unix_accept,
    .getname = unix_getname,
    .send = unix_send,
    .recv = unix_recv,
    .shutdown = unix_shutdown,
    .getsockopt = unix_getsockopt,
    .setsockopt = unix_setsockopt,
    .ioctl = unix_ioctl,
    .poll = unix_poll,
    .release = unix_release,
};
