/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the files of UNIX sockets that move data: unix_data.c, unix_stream.c, unix_packet.c */
#pragma once

#include "unix.h"

/* Datagram senders and their pollers wait here when a receiver is full: rare, and receivers come
 * and go. */
extern struct waitq g_unix_datagram_room;

static inline bool unix_has_room(const struct unix_sock *u)
{
    if (unix_is_packet(u))
        return __atomic_load_n(&u->packet_count, __ATOMIC_RELAXED) < UNIX_PACKETS_MAX &&
               __atomic_load_n(&u->packet_bytes, __ATOMIC_RELAXED) < u->ring.limit;
    return ring_has_room(&u->ring);
}

/* Reading would not wait. */
static inline bool unix_has_input(const struct unix_sock *u)
{
    return (unix_is_packet(u) ? __atomic_load_n(&u->packet_count, __ATOMIC_ACQUIRE) > 0
                              : ring_used(&u->ring) > 0) ||
           __atomic_load_n(&u->eof, __ATOMIC_RELAXED) ||
           __atomic_load_n(&u->shut_read, __ATOMIC_RELAXED) ||
           __atomic_load_n(&u->error, __ATOMIC_RELAXED) != 0;
}

/* A connected socket's peer does not listen any more. */
static inline bool unix_peer_dead(const struct unix_sock *peer)
{
    return unix_state(peer) == UNIX_CLOSED || __atomic_load_n(&peer->shut_read, __ATOMIC_RELAXED);
}

/* A connected datagram socket takes from its peer alone. */
static inline bool unix_takes_from(const struct unix_sock *to, const struct unix_sock *from)
{
    return !unix_is_outside(to) && (to->peer == NULL || to->peer == from);
}

static inline int unix_take_error(struct unix_sock *u)
{
    return -__atomic_exchange_n(&u->error, 0, __ATOMIC_RELAXED);
}

/* After something was taken from u: tells its senders when it was full and has room now. */
void unix_room_made(struct unix_sock *u, bool had_room);
/* A datagram receiver has room, or there will be none: whoever waits for it looks again. */
void unix_wake_senders(const struct unix_sock *u);
/* For MSG_PEEK: the same files and credentials once more. */
int unix_scm_copy(struct scm *to, const struct scm *from);

ssize_t unix_stream_send(struct unix_sock *u, struct socket_msg *m);
ssize_t unix_stream_recv(struct unix_sock *u, struct socket_msg *m);

ssize_t unix_packet_send(struct unix_sock *u, struct socket_msg *m);
ssize_t unix_packet_recv(struct unix_sock *u, struct socket_msg *m);
void unix_packet_free(struct unix_packet *p);
