/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to libos/net: UNIX sockets, which never leave the enclave. unix.c: life, connecting;
 * unix_name.c: names; unix_options.c: options; unix_data.c, unix_stream.c, unix_packet.c: data.
 *
 * Incoming data belong to the receiver and its lock. A stream keeps them in one ring that grows on
 * demand; marks in it tell where descriptors or credentials travel with a byte. Datagrams and
 * sequenced packets are a list.
 *
 * The peer of a connected stream or seqpacket socket is set once and stays (referenced) until the
 * socket is released, so that sending takes only the receiver's lock. A datagram socket's peer may
 * change, under its own lock. No two socket locks are held at once, but for connect(): the
 * listener's, then nobody else knows the others yet.
 */
#pragma once

#include "ring.h"
#include "socket.h"

#define UNIX_BUFFER      212992u
#define UNIX_PACKETS_MAX 512u

enum unix_state { UNIX_IDLE, UNIX_CONNECTING, UNIX_LISTENING, UNIX_CONNECTED, UNIX_CLOSED };

struct unix_name {
    struct refcount refs;
    struct list_head link;   /* in its bucket, under the table's lock */
    struct unix_sock *owner; /* not a reference; NULL once closed */
    struct dentry *dentry;   /* of a path name */
    u32 len;                 /* of addr */
    struct sockaddr_un addr;
};

struct unix_mark {
    struct list_head link;
    u64 at; /* ring position of the byte it travels with */
    struct scm scm;
};

struct unix_packet {
    struct list_head link;
    struct scm scm;
    struct unix_name *from; /* reference or NULL */
    size_t size;
    u8 data[];
};

struct unix_sock {
    struct socket base;
    struct refcount refs;
    struct mutex lock;
    u32 state;              /* enum unix_state; atomic */
    struct unix_sock *peer; /* reference */
    struct unix_name *name; /* reference; set once */
    struct ucred cred, peer_cred;

    struct waitq readable; /* data, end of data, connections */
    /* Of this socket: its peer has room again; of a listener: its backlog has. */
    struct waitq writable;
    bool shut_read, shut_write;
    bool eof; /* the peer will send no more */
    bool peer_gone;
    int error; /* SO_ERROR, positive */
    u32 send_size;

    struct ring ring; /* its limit is the packets', too */
    struct list_head marks;
    struct ucred stream_cred; /* of the bytes last written, while credentials are passed */

    struct list_head packets;
    u32 packet_count;
    size_t packet_bytes;

    struct list_head backlog, backlog_link;
    u32 backlog_count, backlog_max;
};

static inline struct unix_sock *unix_of(struct socket *s)
{
    return container_of(s, struct unix_sock, base);
}
static inline u32 unix_state(const struct unix_sock *u)
{
    return __atomic_load_n(&u->state, __ATOMIC_ACQUIRE);
}
static inline bool unix_is_packet(const struct unix_sock *u)
{
    return u->base.type != SOCK_STREAM;
}

void unix_get(struct unix_sock *u);
void unix_put(struct unix_sock *u);
struct ucred unix_current_cred(void);
/* Find the socket that an address names, +1 reference: -ECONNREFUSED, -ENOENT, -EACCES, ... */
int unix_find(const u8 *name, u32 len, int type, struct unix_sock **out);
int unix_bind(struct socket *s, const u8 *name, u32 len);
int unix_autobind(struct unix_sock *u);
int unix_getname(struct socket *s, bool peer, u8 *name, u32 *len);
void unix_name_put(struct unix_name *n);
/* u is closed: nobody finds it by its name any more. */
void unix_name_forget(struct unix_sock *u);

int unix_getsockopt(struct socket *s, int level, int name, u8 *val, u32 *len);
int unix_setsockopt(struct socket *s, int level, int name, const u8 *val, u32 len);
long unix_ioctl(struct socket *s, u32 cmd, u64 arg);

ssize_t unix_send(struct socket *s, struct socket_msg *m);
ssize_t unix_recv(struct socket *s, struct socket_msg *m);
u32 unix_poll(struct socket *s, struct poll_table *pt);
/* Bytes that could be read: all of a stream, the first packet. */
size_t unix_readable_bytes(struct unix_sock *u);
/* Drops what has not been read; true when there was something. */
bool unix_drop_data(struct unix_sock *u);
