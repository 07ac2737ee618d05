/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX sockets: streams, a ring with marks where descriptors or credentials travel. */
#include "unix_data.h"

/* ---- marks ---- */

static bool cred_same(const struct ucred *a, const struct ucred *b)
{
    return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

/* The mark for a send, or NULL when none is needed; *err on no memory. The descriptors stay the
 * message's until mark_put(). Bytes that nobody's credentials go with are not passed for those of
 * who wrote before. */
static struct unix_mark *mark_for(struct unix_sock *self, struct unix_sock *peer, struct scm *scm,
                                  int *err)
{
    /* Who is not accepted yet may ask for credentials once it is. */
    bool pass = self->base.pass_cred || peer->base.pass_cred || peer->base.file == NULL;
    struct ucred cred;
    struct unix_mark *k;

    *err = 0;
    cred = scm->has_cred ? scm->cred : pass || scm->count > 0 ? unix_current_cred() : UCRED_NOBODY;
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

/* k travels with the byte at `at`, which is there. */
static void mark_put(struct unix_sock *peer, struct unix_mark *k, struct scm *scm, u64 at)
{
    k->scm.files = scm->files;
    k->scm.count = scm->count;
    k->scm.in_flight = scm->in_flight;
    scm->files = NULL;
    scm->in_flight = NULL;
    scm->count = 0;
    scm->has_cred = false;
    k->at = at;
    peer->stream_cred = k->scm.cred;
    list_add_tail(&k->link, &peer->marks);
}

/* ---- sending and receiving ---- */

/* One go under the receiver's lock. */
static ssize_t stream_push(struct unix_sock *u, struct unix_sock *peer, struct socket_msg *m)
{
    struct unix_mark *k = NULL;
    ssize_t r;
    u64 at;
    int err;

    mutex_lock(&peer->lock);
    if (unix_peer_dead(peer) || u->shut_write) {
        r = -EPIPE;
    } else if (m->io->left == 0) {
        r = 0;
    } else if (ring_used(&peer->ring) >= peer->ring.limit) {
        r = -EAGAIN;
    } else {
        k = mark_for(u, peer, &m->scm, &err);
        at = peer->ring.tail;
        r = err < 0 ? err : ring_write(&peer->ring, m->io, false);
        if (k != NULL && r > 0)
            mark_put(peer, k, &m->scm, at);
        else
            kfree(k);
    }
    mutex_unlock(&peer->lock);
    if (r > 0)
        waitq_wake_data(&peer->readable);
    return r;
}

ssize_t unix_stream_send(struct unix_sock *u, struct socket_msg *m)
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
        r = wait_event(&u->writable, unix_has_room(peer) || unix_peer_dead(peer) || u->shut_write,
                       deadline);
        if (r < 0)
            return done > 0 ? done : socket_wait_result((int)r, timeout);
    }
}

/* Does a read end where k is? */
static bool mark_stops(const struct unix_sock *u, const struct unix_mark *k)
{
    return k->scm.count > 0 || u->base.pass_cred;
}

/* The first mark from the head of the ring on, once those are gone that no read stops at; NULL. */
static struct unix_mark *mark_first(struct unix_sock *u)
{
    while (!list_empty(&u->marks)) {
        struct unix_mark *k = list_first_entry(&u->marks, struct unix_mark, link);

        if (k->at > u->ring.head || (k->at == u->ring.head && mark_stops(u, k)))
            return k;
        u->head_cred = k->scm.cred;
        list_del(&k->link);
        kfree(k);
    }
    return NULL;
}

/* Bytes up to the next stop behind the first byte, at most `want`. */
static size_t until_mark(const struct unix_sock *u, size_t want)
{
    const struct unix_mark *k;

    list_for_each_entry (k, &u->marks, link) {
        if (k->at > u->ring.head && mark_stops(u, k))
            return MIN(want, (size_t)(k->at - u->ring.head));
    }
    return want;
}

/* Takes what is there, up to the next mark; 0: end of data; -EAGAIN: nothing. Lock held. */
static ssize_t stream_pull(struct unix_sock *u, struct socket_msg *m, bool first)
{
    size_t want = MIN(m->io->left, ring_used(&u->ring));
    bool peek = (m->flags & MSG_PEEK) != 0;
    struct unix_mark *k = mark_first(u);
    int err = 0;

    if (ring_used(&u->ring) == 0) {
        err = unix_take_error(u);
        if (err < 0)
            return err;
        return u->eof || u->shut_read ? 0 : -EAGAIN;
    }
    if (k != NULL && k->at == u->ring.head && want > 0) {
        if (!first)
            return 0; /* belongs to the next call */
        if (peek) {
            err = unix_scm_copy(&m->scm, &k->scm);
            if (err < 0)
                return err;
        } else {
            m->scm = k->scm;
            u->head_cred = k->scm.cred;
            list_del(&k->link);
            kfree(k);
        }
    } else if (first && u->base.pass_cred) {
        m->scm.has_cred = true;
        m->scm.cred = u->head_cred;
    }
    want = until_mark(u, want);
    return ring_read(&u->ring, m->io, want, peek);
}

ssize_t unix_stream_recv(struct unix_sock *u, struct socket_msg *m)
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
        had_room = unix_has_room(u);
        r = stream_pull(u, m, done == 0);
        mutex_unlock(&u->lock);
        if (r > 0) {
            unix_room_made(u, had_room);
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
            r = wait_event(&u->readable, unix_has_input(u), deadline);
            if (r < 0)
                return done > 0 ? done : socket_wait_result((int)r, timeout);
        }
    }
}
