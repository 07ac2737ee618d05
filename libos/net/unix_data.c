/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX sockets: moving data, and readiness. */
#include "unix.h"

#define RING_MIN 16384u

/* Datagram senders and their pollers wait here when a receiver is full: rare, and receivers come
 * and go. */
static struct waitq g_datagram_room = WAITQ_INIT(g_datagram_room);

static int wait_result(int r, u64 timeout)
{
    if (r == -ETIMEDOUT)
        return -EAGAIN;
    if (r == -EINTR)
        return timeout == NO_DEADLINE ? -ERESTARTSYS : -EINTR;
    return r;
}

/* ---- room: a receiver that was full must get half empty before its sender is told ---- */

static size_t ring_used(const struct unix_sock *u)
{
    return (size_t)(__atomic_load_n(&u->tail, __ATOMIC_ACQUIRE) -
                    __atomic_load_n(&u->head, __ATOMIC_ACQUIRE));
}

static bool has_room(const struct unix_sock *u)
{
    if (unix_is_packet(u))
        return __atomic_load_n(&u->packet_count, __ATOMIC_RELAXED) < UNIX_PACKETS_MAX &&
               __atomic_load_n(&u->packet_bytes, __ATOMIC_RELAXED) < u->limit;
    return ring_used(u) <= u->limit / 2;
}

/* A connected socket's peer does not listen any more. */
static bool peer_dead(const struct unix_sock *peer)
{
    return unix_state(peer) == UNIX_CLOSED || __atomic_load_n(&peer->shut_read, __ATOMIC_RELAXED);
}

static void room_made(struct unix_sock *u, bool had_room)
{
    struct unix_sock *peer = u->peer;

    if (had_room || !has_room(u))
        return;
    if (u->base.type == SOCK_DGRAM)
        waitq_wake(&g_datagram_room, UINT32_MAX);
    else if (peer != NULL)
        waitq_wake(&peer->writable, UINT32_MAX);
}

/* ---- the ring of a stream; lock held ---- */

/* Positions keep their meaning: every byte moves to its position modulo the new size. */
static int ring_grow(struct unix_sock *u, size_t wanted)
{
    u32 size = MAX(u->ring_size, RING_MIN), old = u->ring_size;
    size_t used = (size_t)(u->tail - u->head);
    u8 *ring;

    while (size - used < wanted && size < u->limit)
        size *= 2;
    if (size == old)
        return 0;
    ring = kmalloc(size);
    if (ring == NULL)
        return old > used ? 0 : -ENOBUFS;
    for (u64 at = u->head; at < u->tail;) {
        u64 piece = MIN(u->tail - at, old - (at & (old - 1)));

        piece = MIN(piece, size - (at & (size - 1)));
        memcpy(ring + (at & (size - 1)), u->ring + (at & (old - 1)), piece);
        at += piece;
    }
    kfree(u->ring);
    u->ring = ring;
    u->ring_size = size;
    return 0;
}

/* Moves as much as there is room for; how much, or a negative errno when nothing. */
static ssize_t ring_write(struct unix_sock *u, struct uio *io)
{
    size_t used = (size_t)(u->tail - u->head), want, piece;
    ssize_t done = 0, r;
    int err;

    if (used >= u->limit)
        return 0;
    want = MIN(io->left, u->limit - used);
    if (u->ring_size - used < want) {
        err = ring_grow(u, want);
        if (err < 0)
            return err;
    }
    want = MIN(want, u->ring_size - used);
    while (want > 0) {
        u32 at = (u32)(u->tail & (u->ring_size - 1));

        piece = MIN(want, (size_t)(u->ring_size - at));
        r = uio_from(io, u->ring + at, piece);
        if (r < 0)
            return done > 0 ? done : r;
        __atomic_store_n(&u->tail, u->tail + (u64)r, __ATOMIC_RELEASE);
        done += r;
        if ((size_t)r < piece)
            break;
        want -= piece;
    }
    return done;
}

static ssize_t ring_read(struct unix_sock *u, struct uio *io, size_t want, bool peek)
{
    u64 head = u->head;
    ssize_t done = 0, r;
    size_t piece;

    while (want > 0) {
        u32 at = (u32)(head & (u->ring_size - 1));

        piece = MIN(want, (size_t)(u->ring_size - at));
        r = uio_to(io, u->ring + at, piece);
        if (r < 0) {
            if (done == 0)
                return r;
            break;
        }
        head += (u64)r;
        done += r;
        if ((size_t)r < piece)
            break;
        want -= piece;
    }
    if (!peek)
        __atomic_store_n(&u->head, head, __ATOMIC_RELEASE);
    return done;
}

/* ---- what travels beside the data ---- */

static bool cred_same(const struct ucred *a, const struct ucred *b)
{
    return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

/* The mark for a send, or NULL when none is needed; *err on no memory. */
static struct unix_mark *mark_for(struct unix_sock *self, struct unix_sock *peer, struct scm *scm,
                                  int *err)
{
    bool pass = self->base.pass_cred || peer->base.pass_cred;
    struct ucred cred;
    struct unix_mark *k;

    *err = 0;
    if (scm->count == 0 && !scm->has_cred && !pass)
        return NULL;
    cred = scm->has_cred ? scm->cred : unix_current_cred();
    if (scm->count == 0 && cred_same(&cred, &peer->stream_cred))
        return NULL;
    k = kzalloc(sizeof(*k));
    if (k == NULL) {
        *err = -ENOBUFS;
        return NULL;
    }
    k->scm.has_cred = true;
    k->scm.cred = cred;
    return k;
}

static void mark_put(struct unix_sock *peer, struct unix_mark *k, struct scm *scm)
{
    k->scm.files = scm->files;
    k->scm.count = scm->count;
    scm->files = NULL;
    scm->count = 0;
    scm->has_cred = false;
    k->at = peer->tail;
    peer->stream_cred = k->scm.cred;
    list_add_tail(&k->link, &peer->marks);
}

static int scm_copy(struct scm *to, const struct scm *from)
{
    to->has_cred = from->has_cred;
    to->cred = from->cred;
    if (from->count == 0)
        return 0;
    to->files = kmalloc(from->count * sizeof(*to->files));
    if (to->files == NULL)
        return -ENOMEM;
    for (u32 i = 0; i < from->count; i++)
        to->files[i] = file_get(from->files[i]);
    to->count = from->count;
    return 0;
}

/* ---- streams ---- */

/* One go under the receiver's lock. */
static ssize_t stream_push(struct unix_sock *u, struct unix_sock *peer, struct socket_msg *m)
{
    struct unix_mark *k;
    ssize_t r;
    int err;

    mutex_lock(&peer->lock);
    if (peer_dead(peer) || u->shut_write) {
        r = -EPIPE;
    } else if (m->io->left == 0) {
        r = 0;
    } else if (ring_used(peer) >= peer->limit) {
        r = -EAGAIN;
    } else {
        k = mark_for(u, peer, &m->scm, &err);
        r = err;
        if (k != NULL)
            mark_put(peer, k, &m->scm);
        if (err == 0)
            r = ring_write(peer, m->io);
    }
    mutex_unlock(&peer->lock);
    if (r > 0)
        waitq_wake(&peer->readable, UINT32_MAX);
    return r;
}

static ssize_t stream_send(struct unix_sock *u, struct socket_msg *m)
{
    struct unix_sock *peer = u->peer;
    u64 deadline = 0, timeout = u->base.send_timeout;
    ssize_t done = 0, r;

    if (m->name_len > 0)
        return unix_state(u) == UNIX_CONNECTED ? -EISCONN : -EOPNOTSUPP;
    if ((m->flags & MSG_OOB) != 0)
        return -EOPNOTSUPP;
    if (unix_state(u) != UNIX_CONNECTED)
        return u->shut_write ? -EPIPE : -ENOTCONN;
    for (;;) {
        r = stream_push(u, peer, m);
        if (r < 0 && r != -EAGAIN)
            return done > 0 ? done : r;
        done += r > 0 ? r : 0;
        if (m->io->left == 0)
            return done;
        if ((m->flags & MSG_DONTWAIT) != 0)
            return done > 0 ? done : -EAGAIN;
        if (deadline == 0)
            deadline = socket_deadline(timeout);
        r = wait_event(&u->writable, has_room(peer) || peer_dead(peer) || u->shut_write, deadline);
        if (r < 0)
            return done > 0 ? done : wait_result((int)r, timeout);
    }
}

static bool stream_ready(const struct unix_sock *u)
{
    return ring_used(u) > 0 || __atomic_load_n(&u->eof, __ATOMIC_RELAXED) ||
           __atomic_load_n(&u->shut_read, __ATOMIC_RELAXED) ||
           __atomic_load_n(&u->error, __ATOMIC_RELAXED) != 0;
}

static int take_error(struct unix_sock *u)
{
    return -__atomic_exchange_n(&u->error, 0, __ATOMIC_RELAXED);
}

/* Takes what is there, up to the next mark; 0: end of data; -EAGAIN: nothing. Lock held. */
static ssize_t stream_pull(struct unix_sock *u, struct socket_msg *m, bool first)
{
    size_t want = MIN(m->io->left, ring_used(u));
    bool peek = (m->flags & MSG_PEEK) != 0;
    struct unix_mark *k = list_empty(&u->marks)
                              ? NULL
                              : list_first_entry(&u->marks, struct unix_mark, link);
    int err = 0;

    if (ring_used(u) == 0) {
        err = take_error(u);
        if (err < 0)
            return err;
        return u->eof || u->shut_read ? 0 : -EAGAIN;
    }
    if (k != NULL && k->at == u->head && want > 0) {
        if (!first)
            return 0; /* belongs to the next call */
        if (peek) {
            err = scm_copy(&m->scm, &k->scm);
            if (err < 0)
                return err;
            k = k->link.next == &u->marks ? NULL : list_entry(k->link.next, struct unix_mark, link);
        } else {
            list_del(&k->link);
            m->scm = k->scm;
            kfree(k);
            k = list_empty(&u->marks) ? NULL : list_first_entry(&u->marks, struct unix_mark, link);
        }
    } else if (first && u->base.pass_cred) {
        m->scm.has_cred = true;
        m->scm.cred = u->stream_cred;
    }
    if (k != NULL)
        want = MIN(want, (size_t)(k->at - u->head));
    return ring_read(u, m->io, want, peek);
}

static ssize_t stream_recv(struct unix_sock *u, struct socket_msg *m)
{
    bool all = (m->flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL, had_room;
    u64 deadline = 0, timeout = u->base.receive_timeout;
    ssize_t done = 0, r;

    if ((m->flags & MSG_OOB) != 0)
        return -EOPNOTSUPP;
    if (unix_state(u) != UNIX_CONNECTED)
        return -EINVAL;
    m->name_len = 0;
    for (;;) {
        mutex_lock(&u->lock);
        had_room = has_room(u);
        r = stream_pull(u, m, done == 0);
        mutex_unlock(&u->lock);
        if (r > 0) {
            room_made(u, had_room);
            done += r;
            if (!all || m->io->left == 0)
                return done;
        } else if (r != -EAGAIN) {
            return done > 0 ? done : r;
        }
        if (r == -EAGAIN) {
            if ((m->flags & MSG_DONTWAIT) != 0)
                return done > 0 ? done : r;
            if (deadline == 0)
                deadline = socket_deadline(timeout);
            r = wait_event(&u->readable, stream_ready(u), deadline);
            if (r < 0)
                return done > 0 ? done : wait_result((int)r, timeout);
        }
    }
}

/* ---- packets ---- */

static struct unix_packet *packet_make(struct unix_sock *u, struct socket_msg *m, int *err)
{
    size_t n = m->io->left;
    struct unix_packet *p = kmalloc(sizeof(*p) + n);
    ssize_t r;

    *err = -ENOBUFS;
    if (p == NULL)
        return NULL;
    memset(p, 0, sizeof(*p));
    p->size = n;
    r = n > 0 ? uio_from(m->io, p->data, n) : 0;
    if (r < 0 || (size_t)r != n) {
        *err = -EFAULT;
        kfree(p);
        return NULL;
    }
    p->scm = m->scm;
    if (!p->scm.has_cred)
        p->scm.cred = unix_current_cred();
    p->scm.has_cred = true;
    m->scm = (struct scm){0};
    if (u->name != NULL && u->base.type == SOCK_DGRAM) {
        p->from = u->name;
        ref_get(&p->from->refs);
    }
    return p;
}

static void packet_free(struct unix_packet *p)
{
    scm_release(&p->scm);
    if (p->from != NULL)
        unix_name_put(p->from);
    kfree(p);
}

/* Where a datagram goes, +1 reference. */
static int packet_target(struct unix_sock *u, struct socket_msg *m, struct unix_sock **out)
{
    int r = 0;

    if (u->base.type == SOCK_DGRAM && m->name_len > 0)
        return unix_find(m->name, m->name_len, SOCK_DGRAM, out);
    mutex_lock(&u->lock);
    *out = u->peer;
    if (*out == NULL || (u->base.type != SOCK_DGRAM && unix_state(u) != UNIX_CONNECTED))
        r = -ENOTCONN;
    else
        unix_get(*out);
    mutex_unlock(&u->lock);
    return r;
}

static int packet_push(struct unix_sock *u, struct unix_sock *to, struct unix_packet *p)
{
    bool datagram = u->base.type == SOCK_DGRAM;
    int r = 0;

    mutex_lock(&to->lock);
    if (unix_state(to) == UNIX_CLOSED) {
        r = datagram ? -ECONNREFUSED : -EPIPE;
    } else if (to->shut_read || u->shut_write) {
        r = -EPIPE;
    } else if (datagram && to->peer != NULL && to->peer != u) {
        r = -EPERM;
    } else if (!has_room(to)) {
        r = -EAGAIN;
    } else {
        list_add_tail(&p->link, &to->packets);
        to->packet_bytes += p->size;
        __atomic_add_fetch(&to->packet_count, 1, __ATOMIC_RELEASE);
    }
    mutex_unlock(&to->lock);
    if (r == 0)
        waitq_wake(&to->readable, UINT32_MAX);
    return r;
}

static int packet_wait_room(struct unix_sock *u, struct unix_sock *to, u64 deadline)
{
    struct waitq *q = u->base.type == SOCK_DGRAM ? &g_datagram_room : &u->writable;

    return wait_event(q, has_room(to) || peer_dead(to) || u->shut_write, deadline);
}

static ssize_t packet_send(struct unix_sock *u, struct socket_msg *m)
{
    u64 deadline = 0, timeout = u->base.send_timeout;
    size_t n = m->io->left;
    struct unix_packet *p;
    struct unix_sock *to;
    int r, err;

    if ((m->flags & MSG_OOB) != 0)
        return -EOPNOTSUPP;
    if (u->shut_write)
        return -EPIPE;
    if (n > u->send_size - 32)
        return -EMSGSIZE;
    if (u->base.pass_cred && u->name == NULL) {
        r = unix_autobind(u);
        if (r < 0)
            return r;
    }
    r = packet_target(u, m, &to);
    if (r < 0)
        return r;
    p = packet_make(u, m, &err);
    r = err;
    while (p != NULL) {
        r = packet_push(u, to, p);
        if (r == 0)
            p = NULL;
        if (r != -EAGAIN || (m->flags & MSG_DONTWAIT) != 0)
            break;
        if (deadline == 0)
            deadline = socket_deadline(timeout);
        r = packet_wait_room(u, to, deadline);
        if (r < 0) {
            r = wait_result(r, timeout);
            break;
        }
    }
    if (p != NULL)
        packet_free(p);
    unix_put(to);
    return r < 0 ? r : (ssize_t)n;
}

static bool packet_ready(const struct unix_sock *u)
{
    return __atomic_load_n(&u->packet_count, __ATOMIC_ACQUIRE) > 0 ||
           __atomic_load_n(&u->eof, __ATOMIC_RELAXED) ||
           __atomic_load_n(&u->shut_read, __ATOMIC_RELAXED) ||
           __atomic_load_n(&u->error, __ATOMIC_RELAXED) != 0;
}

static ssize_t packet_deliver(struct unix_packet *p, struct socket_msg *m)
{
    size_t n = MIN(p->size, m->io->left);
    ssize_t r = n > 0 ? uio_to(m->io, p->data, n) : 0;

    if (r < 0)
        return r;
    m->out_flags = (n < p->size ? MSG_TRUNC : 0);
    m->name_len = 0;
    if (m->name != NULL && p->from != NULL) {
        m->name_len = p->from->len;
        memcpy(m->name, &p->from->addr, p->from->len);
    }
    return (m->flags & MSG_TRUNC) != 0 ? (ssize_t)p->size : r;
}

/* The first packet, taken or looked at; -EAGAIN: none. */
static ssize_t packet_pull(struct unix_sock *u, struct socket_msg *m)
{
    struct unix_packet *p = NULL;
    bool had_room, end;
    ssize_t r = 0;

    mutex_lock(&u->lock);
    had_room = has_room(u);
    end = u->eof || u->shut_read;
    if (!list_empty(&u->packets)) {
        p = list_first_entry(&u->packets, struct unix_packet, link);
        if ((m->flags & MSG_PEEK) != 0) {
            r = scm_copy(&m->scm, &p->scm);
            if (r == 0)
                r = packet_deliver(p, m);
        } else {
            list_del(&p->link);
            u->packet_bytes -= p->size;
            __atomic_sub_fetch(&u->packet_count, 1, __ATOMIC_RELEASE);
        }
    }
    mutex_unlock(&u->lock);
    if (p == NULL) {
        r = take_error(u);
        return r < 0 ? r : end ? 0 : -EAGAIN;
    }
    if ((m->flags & MSG_PEEK) != 0)
        return r;
    room_made(u, had_room);
    m->scm = p->scm;
    p->scm = (struct scm){0};
    r = packet_deliver(p, m);
    packet_free(p);
    return r;
}

static ssize_t packet_recv(struct unix_sock *u, struct socket_msg *m)
{
    u64 deadline = 0, timeout = u->base.receive_timeout;
    ssize_t r;

    if ((m->flags & MSG_OOB) != 0)
        return -EOPNOTSUPP;
    if (u->base.type == SOCK_SEQPACKET && unix_state(u) != UNIX_CONNECTED)
        return -ENOTCONN;
    for (;;) {
        r = packet_pull(u, m);
        if (r != -EAGAIN || (m->flags & MSG_DONTWAIT) != 0)
            return r;
        if (deadline == 0)
            deadline = socket_deadline(timeout);
        r = wait_event(&u->readable, packet_ready(u), deadline);
        if (r < 0)
            return wait_result((int)r, timeout);
    }
}

/* ---- both ---- */

ssize_t unix_send(struct socket *s, struct socket_msg *m)
{
    struct unix_sock *u = unix_of(s);

    return unix_is_packet(u) ? packet_send(u, m) : stream_send(u, m);
}

ssize_t unix_recv(struct socket *s, struct socket_msg *m)
{
    struct unix_sock *u = unix_of(s);

    return unix_is_packet(u) ? packet_recv(u, m) : stream_recv(u, m);
}

size_t unix_readable_bytes(struct unix_sock *u)
{
    size_t n;

    mutex_lock(&u->lock);
    if (!unix_is_packet(u))
        n = ring_used(u);
    else
        n = list_empty(&u->packets) ? 0
                                    : list_first_entry(&u->packets, struct unix_packet, link)->size;
    mutex_unlock(&u->lock);
    return n;
}

bool unix_drop_data(struct unix_sock *u)
{
    struct list_head marks, packets;
    bool some;

    list_init(&marks);
    list_init(&packets);
    mutex_lock(&u->lock);
    some = ring_used(u) > 0 || !list_empty(&u->packets);
    while (!list_empty(&u->marks)) {
        struct list_head *l = u->marks.next;

        list_del(l);
        list_add_tail(l, &marks);
    }
    while (!list_empty(&u->packets)) {
        struct list_head *l = u->packets.next;

        list_del(l);
        list_add_tail(l, &packets);
    }
    u->packet_count = 0;
    u->packet_bytes = 0;
    u->head = u->tail;
    kfree(u->ring);
    u->ring = NULL;
    u->ring_size = 0;
    mutex_unlock(&u->lock);
    while (!list_empty(&marks)) {
        struct unix_mark *k = list_first_entry(&marks, struct unix_mark, link);

        list_del(&k->link);
        scm_release(&k->scm);
        kfree(k);
    }
    while (!list_empty(&packets)) {
        struct unix_packet *p = list_first_entry(&packets, struct unix_packet, link);

        list_del(&p->link);
        packet_free(p);
    }
    return some;
}

static u32 poll_output(struct unix_sock *u, struct poll_table *pt)
{
    struct unix_sock *peer;
    bool room = true;

    poll_wait(pt, u->base.type == SOCK_DGRAM ? &g_datagram_room : &u->writable);
    mutex_lock(&u->lock);
    peer = u->peer;
    if (peer != NULL)
        room = has_room(peer) || peer_dead(peer);
    mutex_unlock(&u->lock);
    return room ? POLLOUT | POLLWRNORM | POLLWRBAND : 0;
}

u32 unix_poll(struct socket *s, struct poll_table *pt)
{
    struct unix_sock *u = unix_of(s);
    u32 state, ready = 0;

    poll_wait(pt, &u->readable);
    state = unix_state(u);
    if (state == UNIX_LISTENING) {
        poll_wait(pt, &u->writable);
        return __atomic_load_n(&u->backlog_count, __ATOMIC_ACQUIRE) > 0 ? POLLIN | POLLRDNORM : 0;
    }
    if (pt == NULL || (pt->events & (POLLOUT | POLLWRNORM | POLLWRBAND)) != 0)
        ready |= poll_output(u, pt);
    if (unix_is_packet(u) ? packet_ready(u) : stream_ready(u))
        ready |= POLLIN | POLLRDNORM;
    if (u->error != 0)
        ready |= POLLERR;
    if (u->eof || u->shut_read)
        ready |= POLLRDHUP;
    if ((u->eof || u->shut_read) && (u->shut_write || u->peer_gone))
        ready |= POLLHUP;
    if (u->base.type != SOCK_DGRAM && state != UNIX_CONNECTED)
        ready |= POLLHUP;
    return ready;
}
