/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX sockets: datagrams and sequenced packets. */
#include "unix_data.h"

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

void unix_packet_free(struct unix_packet *p)
{
    scm_release(&p->scm);
    if (p->from != NULL)
        unix_name_put(p->from);
    kfree(p);
}

/* Where a datagram goes, +1 reference. 1: to a socket of the host. */
static int packet_target(struct unix_sock *u, struct socket_msg *m, struct unix_sock **out,
                         struct dentry **outside)
{
    int r = 0;

    if (u->base.type == SOCK_DGRAM && m->name_len > 0)
        return unix_find(m->name, m->name_len, SOCK_DGRAM, out, outside);
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
    } else if (datagram && !unix_takes_from(to, u)) {
        r = -EPERM;
    } else if (!unix_has_room(to)) {
        r = -EAGAIN;
    } else {
        list_add_tail(&p->link, &to->packets);
        to->packet_bytes += p->size;
        __atomic_add_fetch(&to->packet_count, 1, __ATOMIC_RELEASE);
    }
    mutex_unlock(&to->lock);
    if (r == 0)
        waitq_wake_data(&to->readable);
    return r;
}

static int packet_wait_room(struct unix_sock *u, struct unix_sock *to, u64 deadline)
{
    struct waitq *q = u->base.type == SOCK_DGRAM ? &g_unix_datagram_room : &u->writable;

    return wait_event(q, unix_has_room(to) || unix_peer_dead(to) || u->shut_write, deadline);
}

ssize_t unix_packet_send(struct unix_sock *u, struct socket_msg *m)
{
    u64 deadline = 0, timeout = u->base.send_timeout;
    size_t n = m->io->left;
    struct unix_packet *p;
    struct dentry *outside = NULL;
    struct unix_sock *to;
    ssize_t sent;
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
    r = packet_target(u, m, &to, &outside);
    if (r < 0)
        return r;
    if (outside != NULL) {
        sent = unix_outer_send_to(u, outside, m);
        dentry_put(outside);
        return sent;
    }
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
            r = socket_wait_result(r, timeout);
            break;
        }
    }
    if (p != NULL)
        unix_packet_free(p);
    unix_put(to);
    return r < 0 ? r : (ssize_t)n;
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
    had_room = unix_has_room(u);
    end = u->eof || u->shut_read;
    if (!list_empty(&u->packets)) {
        p = list_first_entry(&u->packets, struct unix_packet, link);
        if ((m->flags & MSG_PEEK) != 0) {
            r = unix_scm_copy(&m->scm, &p->scm);
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
        r = unix_take_error(u);
        return r < 0 ? r : end ? 0 : -EAGAIN;
    }
    if ((m->flags & MSG_PEEK) != 0)
        return r;
    unix_room_made(u, had_room);
    m->scm = p->scm;
    p->scm = (struct scm){0};
    r = packet_deliver(p, m);
    unix_packet_free(p);
    return r;
}

/* One packet of either half, taken in turn; -EAGAIN: none. */
static ssize_t packet_once(struct unix_sock *u, struct socket_msg *m)
{
    int flags = m->flags;
    bool outer_first;
    ssize_t r = -EAGAIN;

    if (unix_outer(u) == NULL)
        return packet_pull(u, m);
    u->outer_turn = !u->outer_turn;
    outer_first = u->outer_turn;
    for (int i = 0; r == -EAGAIN && i < 2; i++) {
        if ((i == 0) == outer_first) {
            m->flags |= MSG_DONTWAIT;
            r = unix_outer_recv(u, m);
            m->flags = flags;
        } else {
            r = packet_pull(u, m);
        }
    }
    return r;
}

ssize_t unix_packet_recv(struct unix_sock *u, struct socket_msg *m)
{
    u64 deadline = 0, timeout = u->base.receive_timeout;
    ssize_t r;

    if ((m->flags & MSG_OOB) != 0)
        return -EOPNOTSUPP;
    if (u->base.type == SOCK_SEQPACKET && unix_state(u) != UNIX_CONNECTED)
        return -ENOTCONN;
    for (;;) {
        r = packet_once(u, m);
        if (r != -EAGAIN || (m->flags & MSG_DONTWAIT) != 0)
            return r;
        if (deadline == 0)
            deadline = socket_deadline(timeout);
        if (unix_outer(u) != NULL)
            r = socket_wait(&u->base, POLLIN, deadline, timeout);
        else
            r = socket_wait_result(
                wait_event(&u->readable, unix_has_input(u) || unix_outer(u) != NULL, deadline),
                timeout);
        if (r < 0)
            return r;
    }
}
