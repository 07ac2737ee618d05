/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX sockets: what streams and packets share in moving data, and readiness. */
#include "unix_data.h"

struct waitq g_unix_datagram_room = WAITQ_INIT(g_unix_datagram_room);

void unix_room_made(struct unix_sock *u, bool had_room)
{
    struct unix_sock *peer = u->peer;

    if (had_room || !unix_has_room(u))
        return;
    if (u->base.type == SOCK_DGRAM)
        unix_wake_senders(u);
    else if (peer != NULL)
        waitq_wake(&peer->writable, UINT32_MAX);
}

void unix_wake_senders(const struct unix_sock *u)
{
    if (u->base.type == SOCK_DGRAM)
        waitq_wake(&g_unix_datagram_room, UINT32_MAX);
}

int unix_scm_copy(struct scm *to, const struct scm *from)
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

ssize_t unix_send(struct socket *s, struct socket_msg *m)
{
    struct unix_sock *u = unix_of(s);
    bool named = u->base.type == SOCK_DGRAM && m->name_len > 0;
    struct socket *outer = unix_is_outside(u) && !named ? unix_outer(u) : NULL;

    if (outer != NULL)
        return outer->ops->send(outer, m);
    return unix_is_packet(u) ? unix_packet_send(u, m) : unix_stream_send(u, m);
}

ssize_t unix_recv(struct socket *s, struct socket_msg *m)
{
    struct unix_sock *u = unix_of(s);

    if (unix_is_outside(u) && u->base.type != SOCK_DGRAM)
        return unix_outer_recv(u, m);
    return unix_is_packet(u) ? unix_packet_recv(u, m) : unix_stream_recv(u, m);
}

size_t unix_readable_bytes(struct unix_sock *u)
{
    size_t n;

    mutex_lock(&u->lock);
    if (!unix_is_packet(u))
        n = ring_used(&u->ring);
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
    some = ring_used(&u->ring) > 0 || !list_empty(&u->packets);
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
    ring_reset(&u->ring);
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
        unix_packet_free(p);
    }
    return some;
}

static u32 poll_output(struct unix_sock *u, struct poll_table *pt)
{
    struct unix_sock *peer;
    bool room = true;

    poll_wait(pt, u->base.type == SOCK_DGRAM ? &g_unix_datagram_room : &u->writable);
    mutex_lock(&u->lock);
    peer = u->peer;
    if (peer != NULL)
        room = unix_has_room(peer) || unix_peer_dead(peer);
    mutex_unlock(&u->lock);
    return room ? POLLOUT | POLLWRNORM | POLLWRBAND : 0;
}

u32 unix_poll(struct socket *s, struct poll_table *pt)
{
    struct unix_sock *u = unix_of(s);
    u32 state, ready = 0;
    struct socket *outer;

    poll_wait(pt, &u->readable);
    state = unix_state(u);
    outer = unix_outer(u);
    if (outer != NULL && unix_is_outside(u) && u->base.type != SOCK_DGRAM)
        return outer->ops->poll(outer, pt);
    if (state == UNIX_LISTENING)
        outer = unix_outer_listener(u);
    if (outer != NULL && (state == UNIX_LISTENING || u->base.type == SOCK_DGRAM))
        ready = poll_host(pt, host_socket_fd(outer),
                          unix_is_outside(u) ? POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM
                                             : POLLIN | POLLRDNORM);
    if (state == UNIX_LISTENING) {
        poll_wait(pt, &u->writable);
        return ready |
               (__atomic_load_n(&u->backlog_count, __ATOMIC_ACQUIRE) > 0 ? POLLIN | POLLRDNORM : 0);
    }
    if (outer != NULL && unix_is_outside(u))
        return ready | (unix_has_input(u) ? POLLIN | POLLRDNORM : 0);
    if (pt == NULL || (pt->events & (POLLOUT | POLLWRNORM | POLLWRBAND)) != 0)
        ready |= poll_output(u, pt);
    if (unix_has_input(u))
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
