/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to libos/net: TCP and UDP sockets of a container whose loopback is the enclave's own.
 * loop_name.c: addresses, and which are inside; loop_port.c: who is bound to which port inside;
 * loop.c: life, bind, connect, shutdown; loop_listen.c: listening, accepting; loop_stream.c: data
 * of TCP; loop_datagram.c, loop_control.c: of UDP; loop_option.c: options.
 *
 * A socket has an inner half (memory) and, from the moment that something needs it, an outer one: a
 * socket of the host (host_socket.c). bind(), connect(), listen() and sending decide. Once made,
 * the outer half stays until the socket is released, so nobody needs a lock to use it.
 *
 * Locks: g_loop_ports (loop_port.c) holds names and who is in the table; a socket's own lock its
 * state, its incoming data and its backlog. No two locks of sockets are held at once, but a
 * listener's and then one that it queues; g_loop_ports is the innermost.
 */
#pragma once

#include "ring.h"
#include "socket.h"

#define LOOP_MSS ((size_t)65483) /* of TCP over lo */

/* An address and a port; IPv4 is ::ffff:a.b.c.d. */
struct loop_name {
    u8 addr[16];
    u16 port; /* host byte order */
};

enum loop_state {
    LOOP_IDLE,
    LOOP_LISTENING,
    LOOP_PENDING, /* TCP: a listener's backlog has no room for it yet */
    LOOP_INSIDE,  /* connected inside */
    LOOP_OUTSIDE, /* connected, or on the way, by the outer half */
    LOOP_CLOSED,
};

/* The options that an inner half keeps: loop_option.c tells what they are. */
enum loop_opt {
    OPT_REUSEADDR,
    OPT_REUSEPORT,
    OPT_KEEPALIVE,
    OPT_BROADCAST,
    OPT_SNDBUF,
    OPT_RCVBUF,
    OPT_LINGER, /* seconds, -1: off */
    OPT_OOBINLINE,
    OPT_PRIORITY,
    OPT_RCVLOWAT,
    OPT_DONTROUTE,
    OPT_TIMESTAMP_OLD,
    OPT_TIMESTAMPNS_OLD,
    OPT_TIMESTAMP_NEW,
    OPT_TIMESTAMPNS_NEW,
    OPT_RXQ_OVFL,
    OPT_NODELAY,
    OPT_MAXSEG,
    OPT_CORK,
    OPT_KEEPIDLE,
    OPT_KEEPINTVL,
    OPT_KEEPCNT,
    OPT_SYNCNT,
    OPT_LINGER2,
    OPT_DEFER_ACCEPT,
    OPT_WINDOW_CLAMP,
    OPT_QUICKACK,
    OPT_USER_TIMEOUT,
    OPT_FASTOPEN,
    OPT_FASTOPEN_CONNECT,
    OPT_NOTSENT_LOWAT,
    OPT_SEGMENT,
    OPT_GRO,
    OPT_PKTINFO,
    OPT_RECVTTL,
    OPT_RECVTOS,
    OPT_RECVERR,
    OPT_TOS,
    OPT_TTL,
    OPT_MTU_DISCOVER,
    OPT_FREEBIND,
    OPT_BIND_NO_PORT,
    OPT_V6ONLY,
    OPT_HOPS,
    OPT_TCLASS,
    OPT_MTU_DISCOVER6,
    OPT_RECVERR6,
    OPT_RECVPKTINFO6,
    OPT_RECVHOPLIMIT,
    OPT_RECVTCLASS,
    OPT_COUNT,
};
struct loop_options {
    u64 set; /* bit n: the application gave it */
    int value[OPT_COUNT];
};

struct loop_packet {
    struct list_head link;
    struct loop_name from, to;
    u64 time; /* CLOCK_REALTIME, ns */
    u32 size;
    u8 ttl, tos;
    u8 data[];
};

struct loop_sock {
    struct socket base;
    struct refcount refs;
    struct mutex lock;
    u32 state;            /* enum loop_state; atomic */
    struct socket *outer; /* atomic; NULL: none. Set once. */
    struct loop_options options;

    /* Under g_loop_ports. */
    struct list_head port_link;
    struct loop_name local, remote; /* port 0: not bound, not connected */
    bool bound;                     /* by bind(): the name stays when it disconnects */
    bool listening;

    struct waitq readable; /* data, its end, connections, errors */
    struct waitq writable; /* the peer has room; connected; errors */
    int error;             /* SO_ERROR, positive; atomic */
    bool shut_read, shut_write;
    u32 spin, spin_count; /* loop_spin() */

    /* TCP */
    struct loop_sock *peer; /* reference; does not change while LOOP_INSIDE */
    struct ring ring;
    struct ktimer show_timer; /* shows what the ring holds back */
    bool fin;                 /* the peer sends no more */
    bool reset;               /* the connection is gone: RFC 9293, 3.5.2 */
    int urgent;  /* the byte out of band, -1: none; with SO_OOBINLINE it is in the ring */
    bool marked; /* where it was or is: */
    u64 mark;
    bool connecting; /* connect() said EINPROGRESS, and has not said since that it is done */
    struct list_head backlog, pending, queue_link;
    u32 backlog_count, backlog_max;
    bool outer_turn; /* who was served last: the other half is first */

    /* UDP */
    struct list_head packets, errors;
    u32 packet_count, error_count;
    u64 packet_bytes, dropped;
    struct loop_packet *corked; /* what MSG_MORE gathered, until a send without it */
};

static inline struct loop_sock *loop_of(struct socket *s)
{
    return container_of(s, struct loop_sock, base);
}
static inline u32 loop_state(const struct loop_sock *s)
{
    return __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);
}
static inline void loop_set_state(struct loop_sock *s, enum loop_state state)
{
    __atomic_store_n(&s->state, state, __ATOMIC_RELEASE);
}
static inline bool loop_is_stream(const struct loop_sock *s)
{
    return s->base.type == SOCK_STREAM;
}
static inline int loop_opt(const struct loop_sock *s, enum loop_opt option)
{
    return __atomic_load_n(&s->options.value[option], __ATOMIC_RELAXED);
}
static inline int loop_take_error(struct loop_sock *s)
{
    return -__atomic_exchange_n(&s->error, 0, __ATOMIC_ACQ_REL);
}

/* ---- loop_name.c ---- */

extern const struct loop_name g_loop_localhost4, g_loop_localhost6;
/* What a program gave: -EINVAL, -EAFNOSUPPORT. */
int loop_name_parse(const struct loop_sock *s, const u8 *name, u32 len, struct loop_name *out);
/* As the socket's family writes it. */
void loop_name_put(const struct loop_sock *s, const struct loop_name *n, u8 *name, u32 *len);
bool loop_is_inside(const struct loop_name *n); /* 127.0.0.0/8, ::1, ::ffff:127.0.0.0/104 */
bool loop_is_any(const struct loop_name *n);    /* 0.0.0.0, :: */
bool loop_is_v4(const struct loop_name *n);
bool loop_same_address(const struct loop_name *a, const struct loop_name *b);
static inline bool loop_same_name(const struct loop_name *a, const struct loop_name *b)
{
    return a->port == b->port && loop_same_address(a, b);
}

/* ---- loop_port.c ---- */

extern struct mutex g_loop_ports;
/* bind() inside, port 0: any. -EADDRINUSE. */
int loop_port_bind(struct loop_sock *s, const struct loop_name *name);
/* A port for one that connects or sends without one; `from` is the address it has then. TCP: the
 * pair of names is nobody else's: -EADDRNOTAVAIL. */
int loop_port_connect(struct loop_sock *s, const struct loop_name *from,
                      const struct loop_name *to);
/* The names of a connection that a listener got. */
void loop_port_accept(struct loop_sock *child, const struct loop_name *local,
                      const struct loop_name *remote);
int loop_port_listen(struct loop_sock *s); /* -EADDRINUSE: another listens */
void loop_port_unlisten(struct loop_sock *s);
/* The name goes, or what of it was not given by bind(). */
void loop_port_forget(struct loop_sock *s);
void loop_port_disconnect(struct loop_sock *s);
/* Who gets what is sent there, +1 reference, or NULL. */
struct loop_sock *loop_port_listener(const struct loop_name *to, const struct loop_name *from);
/* Of the protocol of s, UDP or UDP-Lite. */
struct loop_sock *loop_port_receiver(const struct loop_sock *s, const struct loop_name *to,
                                     const struct loop_name *from);
void loop_port_names(struct loop_sock *s, struct loop_name *local, struct loop_name *remote);

/* ---- loop.c ---- */

struct loop_sock *loop_alloc(int domain, int type, int protocol);
void loop_get(struct loop_sock *s);
void loop_put(struct loop_sock *s);
/* The outer half, made when there is none. */
int loop_outer_make(struct loop_sock *s, struct socket **out);
/* The outer half or NULL, ready for a call of its operations on behalf of s. */
struct socket *loop_outer(struct loop_sock *s);
/* The port that the host gave it, for one inside that has none yet: none that a program had to be
 * allowed to have. 0: none. */
u16 loop_chosen_port(struct socket *outer);
/* The address that s has towards an inner one. */
struct loop_name loop_source_for(const struct loop_sock *s, const struct loop_name *to);
/* A wildcard as destination is this machine. */
void loop_resolve_any(const struct loop_sock *s, struct loop_name *to);
/* What is sent there stays in the enclave. */
bool loop_goes_inside(struct loop_sock *s, const struct loop_name *to);
/* Who polls s does not ask the outer half any more, or does so again. */
void loop_leave_outer(struct loop_sock *s);
void loop_wake(struct loop_sock *s);

/* ---- loop_listen.c ---- */

int loop_listen(struct socket *s, int backlog);
int loop_accept(struct socket *s, bool nonblock, struct socket **out, u8 *name, u32 *len);
/* Queues a connection of s: 0: connected; -EINPROGRESS: it waits for room; -ECONNREFUSED. */
int loop_queue_connect(struct loop_sock *listener, struct loop_sock *s,
                       const struct loop_name *local, const struct loop_name *remote);
/* Those that wait are refused, those not accepted reset. */
void loop_queue_close(struct loop_sock *listener);
u32 loop_listen_poll(struct loop_sock *s, struct poll_table *pt);

/* ---- loop_stream.c ---- */

ssize_t loop_stream_send(struct loop_sock *s, struct socket_msg *m);
ssize_t loop_stream_recv(struct loop_sock *s, struct socket_msg *m);
u32 loop_stream_poll(struct loop_sock *s, struct poll_table *pt);
/* The next byte to be read is urgent, or would be. */
bool loop_at_mark(struct loop_sock *s);
/* Before waiting inside the enclave: looks for a moment whether it is needed. */
void loop_spin(struct loop_sock *s, bool (*ready)(const struct loop_sock *s));
/* show_timer's: what the ring of its socket holds can be read. */
void loop_stream_show(struct ktimer *t);
/* s ends: its peer sees the end of data, or a reset. */
void loop_stream_close(struct loop_sock *s);
int loop_stream_shutdown(struct loop_sock *s, int how);
/* enum of linux/tcp.h, for TCP_INFO and /proc/net. */
#define LOOP_TCP_LISTEN 10
int loop_tcp_state(const struct loop_sock *s);
/* Both directions have ended, or a reset came. */
bool loop_stream_done(const struct loop_sock *s);

/* ---- loop_datagram.c, loop_control.c ---- */

ssize_t loop_datagram_send(struct loop_sock *s, struct socket_msg *m);
ssize_t loop_datagram_recv(struct loop_sock *s, struct socket_msg *m);
u32 loop_datagram_poll(struct loop_sock *s, struct poll_table *pt);
void loop_datagram_drop(struct loop_sock *s);
size_t loop_datagram_first(struct loop_sock *s);

/* What control data say to a datagram that stays inside. */
struct loop_send_control {
    struct loop_name from; /* port 0; address any: not given */
    u32 segment;           /* UDP_SEGMENT: 0 none */
    u8 ttl, tos;
};
int loop_control_read(const struct loop_sock *s, const u8 *control, u32 size,
                      struct loop_send_control *out);
/* Fills m->control with what the receiver asked for. */
void loop_control_write(const struct loop_sock *s, const struct loop_packet *p,
                        struct socket_msg *m);
/* The message of an error queue. */
void loop_control_error(const struct loop_sock *s, const struct loop_packet *p,
                        struct socket_msg *m);

/* ---- loop_option.c ---- */

void loop_options_init(struct loop_sock *s);
int loop_getsockopt(struct socket *s, int level, int name, u8 *val, u32 *len);
int loop_setsockopt(struct socket *s, int level, int name, const u8 *val, u32 len);
long loop_ioctl(struct socket *s, u32 cmd, u64 arg);
/* What was given before the outer half was there. */
int loop_options_replay(struct loop_sock *s, struct socket *outer);
/* Bytes that may wait at `to` when `from` sends. */
u32 loop_stream_room(const struct loop_sock *from, const struct loop_sock *to);
u32 loop_datagram_room(const struct loop_sock *to);
