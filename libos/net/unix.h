/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to libos/net: UNIX sockets. They never leave the enclave but by a name in a pass-through
 * mount. unix.c: life, connecting; unix_name.c: names; unix_options.c: options; unix_data.c,
 * unix_stream.c, unix_packet.c: data; unix_host.c: the outer half, a socket of the host.
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

#define UNIX_GROUPS_MAX 256u /* more do not fit into an option */

/* The supplementary groups that somebody had when a socket was made, listened or connected. */
struct unix_groups {
    struct refcount refs;
    u32 count; /* beyond UNIX_GROUPS_MAX: of ids there are none */
    u32 ids[UNIX_GROUPS_MAX];
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
    struct unix_groups *groups, *peer_groups; /* references; NULL: none. peer's: set once */

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
    /* Of the bytes last written, and of those that are read next: UCRED_NOBODY where none were
     * passed with them. */
    struct ucred stream_cred, head_cred;

    struct list_head packets;
    u32 packet_count;
    size_t packet_bytes;

    struct list_head backlog, backlog_link;
    u32 backlog_count, backlog_max;

    /* The outer half: made once it is needed, there until the socket is released. */
    struct socket *outer;
    bool outside;    /* what is sent without a name goes there: its peer is the host's; atomic */
    bool outer_turn; /* a receiver's or listener's next look is at the outer half */
    u32 outer_peer_len;
    struct sockaddr_un outer_peer; /* while outside */
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
struct unix_sock *unix_alloc(int type);
struct ucred unix_current_cred(void);
/* Whom Linux shows when nobody said who wrote: the overflow ids of user_namespaces(7). */
#define UCRED_NOBODY ((struct ucred){0, 65534, 65534})
static inline bool inode_is_outside(const struct inode *i)
{
    return i->super != NULL && i->super->untrusted;
}
/* Find the socket that an address names, +1 reference: -ECONNREFUSED, -ENOENT, -EACCES, ... 1: it
 * is the host's, and *outside its name, +1 reference. */
int unix_find(const u8 *name, u32 len, int type, struct unix_sock **out, struct dentry **outside);
int unix_bind(struct socket *s, const u8 *name, u32 len);
int unix_autobind(struct unix_sock *u);
int unix_getname(struct socket *s, bool peer, u8 *name, u32 *len);
void unix_name_put(struct unix_name *n);
/* u is closed: nobody finds it by its name any more. */
void unix_name_forget(struct unix_sock *u);

/* ---- the outer half (unix_host.c) ---- */
/* With the file's settings of now; NULL: there is none. */
struct socket *unix_outer(struct unix_sock *u);
static inline bool unix_is_outside(const struct unix_sock *u)
{
    return __atomic_load_n(&u->outside, __ATOMIC_ACQUIRE);
}
/* A name is made for u; in a pass-through mount the outer half is bound to it. */
int unix_bind_path(struct unix_sock *u, const char *path, struct dentry **out);
/* The outer half of a listener; NULL: there is none, or its name is inside alone, so that no
 * connection from outside is one to it. */
struct socket *unix_outer_listener(struct unix_sock *u);
int unix_outer_listen(struct unix_sock *u, int backlog);
/* A connection of the outer half, as a socket of its own; -EAGAIN: none. */
int unix_outer_accept(struct unix_sock *u, struct unix_sock **out);
int unix_outer_connect(struct unix_sock *u, struct dentry *to, const u8 *name, u32 len,
                       bool nonblock);
/* A datagram socket is connected inside from now on, or not at all. */
void unix_outer_disconnect(struct unix_sock *u);
ssize_t unix_outer_send_to(struct unix_sock *u, struct dentry *to, struct socket_msg *m);
ssize_t unix_outer_recv(struct unix_sock *u, struct socket_msg *m);
/* What the host says of somebody's name: kept when it leads to a socket in a pass-through mount. */
void unix_name_arriving(u8 *name, u32 *len);

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
