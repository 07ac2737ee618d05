/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX sockets: streams, a ring with marks where descriptors or credentials travel. */
#include "unix_data.h"

#define RING_MIN 16384u

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

/* ---- marks ---- */

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

/* ---- sending and receiving ---- */

/* One go under the receiver's lock. */
static ssize_t stream_push(struct unix_sock *u, struct unix_sock *peer, struct socket_msg *m)
{
    struct unix_mark *k;
    ssize_t r;
    int err;

    mutex_lock(&peer->lock);
    if (unix_peer_dead(peer) || u->shut_write) {
        r = -EPIPE;
    } else if (m->io->left == 0) {
        r = 0;
    } else if (unix_ring_used(peer) >= peer->limit) {
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
            return done > 0 ? done : unix_wait_result((int)r, timeout);
    }
}

/* Takes what is there, up to the next mark; 0: end of data; -EAGAIN: nothing. Lock held. */
static ssize_t stream_pull(struct unix_sock *u, struct socket_msg *m, bool first)
{
    size_t want = MIN(m->io->left, unix_ring_used(u));
    bool peek = (m->flags & MSG_PEEK) != 0;
    struct unix_mark *k = list_empty(&u->marks)
                              ? NULL
                              : list_first_entry(&u->marks, struct unix_mark, link);
    int err = 0;

    if (unix_ring_used(u) == 0) {
        err = unix_take_error(u);
        if (err < 0)
            return err;
        return u->eof || u->shut_read ? 0 : -EAGAIN;
    }
    if (k != NULL && k->at == u->head && want > 0) {
        if (!first)
            return 0; /* belongs to the next call */
        if (peek) {
            err = unix_scm_copy(&m->scm, &k->scm);
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
                return done > 0 ? done : unix_wait_result((int)r, timeout);
        }
    }
}
