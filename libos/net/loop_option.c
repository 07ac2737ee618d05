/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave's own loopback: options and ioctls. The options of the table are kept here, checked
 * and rounded as Linux does, and given to the outer half when there is one. Others are the host's
 * affair: the first of them makes the outer half, unless the socket is inside for good.
 */
#include "loop.h"
#include <linux/tcp.h>
#include <linux/udp.h>

#define CAP_NET_ADMIN 12
#define BUFFER_MOST   212992 /* net.core.rmem_max, wmem_max */
#define SEND_LEAST    4608
#define RECEIVE_LEAST 2304
#define STREAM_ROOM   262144u

enum kind { BOOL, INT, BUFFER, LINGER };

static const struct entry {
    int level, name;
    enum kind kind;
    int least, most; /* of INT */
    int value;       /* at the start */
} g_entries[OPT_COUNT] = {
    [OPT_REUSEADDR] = {SOL_SOCKET, SO_REUSEADDR, BOOL, 0, 0, 0},
    [OPT_REUSEPORT] = {SOL_SOCKET, SO_REUSEPORT, BOOL, 0, 0, 0},
    [OPT_KEEPALIVE] = {SOL_SOCKET, SO_KEEPALIVE, BOOL, 0, 0, 0},
    [OPT_BROADCAST] = {SOL_SOCKET, SO_BROADCAST, BOOL, 0, 0, 0},
    [OPT_SNDBUF] = {SOL_SOCKET, SO_SNDBUF, BUFFER, SEND_LEAST, 0, 212992},
    [OPT_RCVBUF] = {SOL_SOCKET, SO_RCVBUF, BUFFER, RECEIVE_LEAST, 0, 212992},
    [OPT_LINGER] = {SOL_SOCKET, SO_LINGER, LINGER, 0, 0, -1},
    [OPT_OOBINLINE] = {SOL_SOCKET, SO_OOBINLINE, BOOL, 0, 0, 0},
    [OPT_PRIORITY] = {SOL_SOCKET, SO_PRIORITY, INT, 0, 6, 0},
    [OPT_RCVLOWAT] = {SOL_SOCKET, SO_RCVLOWAT, INT, INT32_MIN, INT32_MAX, 1},
    [OPT_DONTROUTE] = {SOL_SOCKET, SO_DONTROUTE, BOOL, 0, 0, 0},
    [OPT_TIMESTAMP_OLD] = {SOL_SOCKET, SO_TIMESTAMP_OLD, BOOL, 0, 0, 0},
    [OPT_TIMESTAMPNS_OLD] = {SOL_SOCKET, SO_TIMESTAMPNS_OLD, BOOL, 0, 0, 0},
    [OPT_TIMESTAMP_NEW] = {SOL_SOCKET, SO_TIMESTAMP_NEW, BOOL, 0, 0, 0},
    [OPT_TIMESTAMPNS_NEW] = {SOL_SOCKET, SO_TIMESTAMPNS_NEW, BOOL, 0, 0, 0},
    [OPT_RXQ_OVFL] = {SOL_SOCKET, SO_RXQ_OVFL, BOOL, 0, 0, 0},
    [OPT_NODELAY] = {IPPROTO_TCP, TCP_NODELAY, BOOL, 0, 0, 0},
    [OPT_MAXSEG] = {IPPROTO_TCP, TCP_MAXSEG, INT, 0, 32767, 0},
    [OPT_CORK] = {IPPROTO_TCP, TCP_CORK, BOOL, 0, 0, 0},
    [OPT_KEEPIDLE] = {IPPROTO_TCP, TCP_KEEPIDLE, INT, 1, 32767, 7200},
    [OPT_KEEPINTVL] = {IPPROTO_TCP, TCP_KEEPINTVL, INT, 1, 32767, 75},
    [OPT_KEEPCNT] = {IPPROTO_TCP, TCP_KEEPCNT, INT, 1, 127, 9},
    [OPT_SYNCNT] = {IPPROTO_TCP, TCP_SYNCNT, INT, 1, 127, 6},
    [OPT_LINGER2] = {IPPROTO_TCP, TCP_LINGER2, INT, INT32_MIN, INT32_MAX, 60},
    [OPT_DEFER_ACCEPT] = {IPPROTO_TCP, TCP_DEFER_ACCEPT, INT, 0, INT32_MAX, 0},
    [OPT_WINDOW_CLAMP] = {IPPROTO_TCP, TCP_WINDOW_CLAMP, INT, 0, INT32_MAX, 0},
    [OPT_QUICKACK] = {IPPROTO_TCP, TCP_QUICKACK, BOOL, 0, 0, 1},
    [OPT_USER_TIMEOUT] = {IPPROTO_TCP, TCP_USER_TIMEOUT, INT, 0, INT32_MAX, 0},
    [OPT_FASTOPEN] = {IPPROTO_TCP, TCP_FASTOPEN, INT, 0, INT32_MAX, 0},
    [OPT_FASTOPEN_CONNECT] = {IPPROTO_TCP, TCP_FASTOPEN_CONNECT, INT, 0, 1, 0},
    [OPT_NOTSENT_LOWAT] = {IPPROTO_TCP, TCP_NOTSENT_LOWAT, INT, INT32_MIN, INT32_MAX, 0},
    [OPT_SEGMENT] = {IPPROTO_UDP, UDP_SEGMENT, INT, 0, 65535, 0},
    [OPT_GRO] = {IPPROTO_UDP, UDP_GRO, BOOL, 0, 0, 0},
    [OPT_PKTINFO] = {IPPROTO_IP, IP_PKTINFO, BOOL, 0, 0, 0},
    [OPT_RECVTTL] = {IPPROTO_IP, IP_RECVTTL, BOOL, 0, 0, 0},
    [OPT_RECVTOS] = {IPPROTO_IP, IP_RECVTOS, BOOL, 0, 0, 0},
    [OPT_RECVERR] = {IPPROTO_IP, IP_RECVERR, BOOL, 0, 0, 0},
    [OPT_TOS] = {IPPROTO_IP, IP_TOS, INT, INT32_MIN, INT32_MAX, 0},
    [OPT_TTL] = {IPPROTO_IP, IP_TTL, INT, -1, 255, 64},
    [OPT_MTU_DISCOVER] = {IPPROTO_IP, IP_MTU_DISCOVER, INT, 0, 5, 1},
    [OPT_FREEBIND] = {IPPROTO_IP, IP_FREEBIND, BOOL, 0, 0, 0},
    [OPT_BIND_NO_PORT] = {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, BOOL, 0, 0, 0},
    [OPT_V6ONLY] = {IPPROTO_IPV6, IPV6_V6ONLY, BOOL, 0, 0, 0},
    [OPT_HOPS] = {IPPROTO_IPV6, IPV6_UNICAST_HOPS, INT, -1, 255, 64},
    [OPT_TCLASS] = {IPPROTO_IPV6, IPV6_TCLASS, INT, -1, 255, 0},
    [OPT_MTU_DISCOVER6] = {IPPROTO_IPV6, IPV6_MTU_DISCOVER, INT, 0, 5, 1},
    [OPT_RECVERR6] = {IPPROTO_IPV6, IPV6_RECVERR, BOOL, 0, 0, 0},
    [OPT_RECVPKTINFO6] = {IPPROTO_IPV6, IPV6_RECVPKTINFO, BOOL, 0, 0, 0},
    [OPT_RECVHOPLIMIT] = {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, BOOL, 0, 0, 0},
    [OPT_RECVTCLASS] = {IPPROTO_IPV6, IPV6_RECVTCLASS, BOOL, 0, 0, 0},
};

void loop_options_init(struct loop_sock *s)
{
    for (size_t i = 0; i < OPT_COUNT; i++)
        s->options.value[i] = g_entries[i].value;
    if (loop_is_stream(s)) { /* net.ipv4.tcp_wmem, tcp_rmem */
        s->options.value[OPT_SNDBUF] = 16384;
        s->options.value[OPT_RCVBUF] = 131072;
    }
}

/* The entry of an option of this kind of socket, or -1. */
static int find(const struct loop_sock *s, int level, int name)
{
    if (level == SOL_SOCKET && name == SO_SNDBUFFORCE)
        name = SO_SNDBUF;
    if (level == SOL_SOCKET && name == SO_RCVBUFFORCE)
        name = SO_RCVBUF;
    if ((level == IPPROTO_IPV6 && s->base.domain != AF_INET6) ||
        (level == IPPROTO_TCP && !loop_is_stream(s)) || (level == IPPROTO_UDP && loop_is_stream(s)))
        return -1;
    for (int i = 0; i < OPT_COUNT; i++) {
        if (g_entries[i].level == level && g_entries[i].name == name)
            return i;
    }
    return -1;
}

/* Inside for good: nothing of it is the host's affair. */
static bool inside_only(const struct loop_sock *s)
{
    return s->outer == NULL && (loop_state(s) == LOOP_INSIDE || loop_state(s) == LOOP_PENDING ||
                                (s->local.port != 0 && loop_is_inside(&s->local)));
}

/* As much as the buffers say that the application asked for; without that, a ring of the size that
 * is fastest. */
u32 loop_stream_room(const struct loop_sock *from, const struct loop_sock *to)
{
    u64 sent = from->options.set & 1ull << OPT_SNDBUF, got = to->options.set & 1ull << OPT_RCVBUF;
    u32 room = STREAM_ROOM;

    if (sent || got)
        room = (sent ? (u32)loop_opt(from, OPT_SNDBUF) : STREAM_ROOM / 2) +
               (got ? (u32)loop_opt(to, OPT_RCVBUF) : STREAM_ROOM / 2);
    return room;
}

u32 loop_datagram_room(const struct loop_sock *to)
{
    return (u32)loop_opt(to, OPT_RCVBUF);
}

/* ---- setting ---- */

static int buffer_size(const struct entry *e, int x, bool force)
{
    if (force && !capable(CAP_NET_ADMIN))
        return -EPERM;
    if (x < 0 || x > BUFFER_MOST)
        x = BUFFER_MOST;
    return MAX(x * 2, e->least);
}

static int linger_value(const u8 *val, u32 len)
{
    int x[2];

    if (len < sizeof(x))
        return -EINVAL;
    memcpy(x, val, sizeof(x));
    return x[0] == 0 ? -1 : MAX(x[1], 0);
}

/* The value as it is kept. */
static int parse(const struct entry *e, int name, const u8 *val, u32 len, int *value)
{
    int x = 0;

    if (e->kind == LINGER) {
        *value = linger_value(val, len);
        return *value == -EINVAL ? -EINVAL : 0;
    }
    if (len < sizeof(x) && (e->level != IPPROTO_IP || len < 1)) /* IPv4's take a byte */
        return -EINVAL;
    if (len < sizeof(x))
        x = val[0];
    else
        memcpy(&x, val, sizeof(x));
    if (e->kind == BOOL) {
        x = x != 0;
    } else if (e->kind == BUFFER) {
        x = buffer_size(e, x, name != e->name);
        if (x < 0)
            return x;
    } else if (x < e->least || x > e->most) {
        return e->level == SOL_SOCKET ? -EPERM : -EINVAL;
    }
    *value = x;
    return 0;
}

static int normal(enum loop_opt i, int x)
{
    switch (i) {
    case OPT_RCVLOWAT:
        return x < 0 ? INT32_MAX : MAX(x, 1);
    case OPT_TTL:
    case OPT_HOPS:
        return x < 0 ? 64 : x;
    case OPT_TCLASS:
        return x < 0 ? 0 : x;
    case OPT_TOS:
        return x & 0xff;
    default:
        return x;
    }
}

static void store(struct loop_sock *s, enum loop_opt i, int x)
{
    if (i >= OPT_TIMESTAMP_OLD && i <= OPT_TIMESTAMPNS_NEW && x != 0) {
        for (enum loop_opt k = OPT_TIMESTAMP_OLD; k <= OPT_TIMESTAMPNS_NEW; k++)
            __atomic_store_n(&s->options.value[k], 0, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&s->options.value[i], normal(i, x), __ATOMIC_RELAXED);
    __atomic_or_fetch(&s->options.set, 1ull << i, __ATOMIC_RELAXED);
}

static int forward(struct loop_sock *s, struct socket *outer, enum loop_opt i)
{
    const struct entry *e = &g_entries[i];
    int x[2] = {s->options.value[i], 0};

    (void)s;
    if (e->kind == LINGER) {
        x[1] = MAX(x[0], 0);
        x[0] = x[0] >= 0;
        return outer->ops->setsockopt(outer, e->level, e->name, (const u8 *)x, sizeof(x));
    }
    if (e->kind == BUFFER) /* the host doubles it */
        x[0] /= 2;
    return outer->ops->setsockopt(outer, e->level, e->name, (const u8 *)x, sizeof(x[0]));
}

int loop_options_replay(struct loop_sock *s, struct socket *outer)
{
    int r = 0;

    for (enum loop_opt i = 0; r == 0 && i < OPT_COUNT; i++) {
        if ((s->options.set >> i & 1) != 0)
            r = forward(s, outer, i);
        if (r == -ENOPROTOOPT) /* an older kernel: as if only the inside knew it */
            r = 0;
    }
    return r;
}

static int set_congestion(const u8 *val, u32 len)
{
    static const char *const names[] = {"cubic", "reno", "bbr"};
    size_t n = strnlen((const char *)val, len);

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strlen(names[i]) == n && memcmp(names[i], val, n) == 0)
            return 0;
    }
    return -ENOENT;
}

static int set_other(struct loop_sock *s, int level, int name, const u8 *val, u32 len)
{
    struct socket *outer;
    int r;

    if (!host_option_is_safe(&s->base, level, name))
        return -ENOPROTOOPT;
    if (inside_only(s))
        return level == IPPROTO_TCP && name == TCP_CONGESTION ? set_congestion(val, len) : 0;
    r = loop_outer_make(s, &outer);
    return r < 0 ? r : outer->ops->setsockopt(outer, level, name, val, len);
}

int loop_setsockopt(struct socket *sock, int level, int name, const u8 *val, u32 len)
{
    struct loop_sock *s = loop_of(sock);
    struct socket *outer = loop_outer(s);
    int i = find(s, level, name), x, r;

    if (i < 0)
        return set_other(s, level, name, val, len);
    r = parse(&g_entries[i], name, val, len, &x);
    if (r < 0)
        return r;
    if (i == OPT_V6ONLY && s->local.port != 0)
        return -EINVAL;
    if (i == OPT_TTL && x == 0)
        return -EINVAL;
    if (outer != NULL && !inside_only(s)) {
        r = outer->ops->setsockopt(outer, level, name, val, len);
        if (r < 0)
            return r;
    }
    store(s, (enum loop_opt)i, x);
    if (loop_state(s) == LOOP_INSIDE && loop_is_stream(s)) {
        if (i == OPT_SNDBUF)
            __atomic_store_n(&s->peer->ring.limit, loop_stream_room(s, s->peer), __ATOMIC_RELAXED);
        else if (i == OPT_RCVBUF)
            __atomic_store_n(&s->ring.limit, loop_stream_room(s->peer, s), __ATOMIC_RELAXED);
    }
    return 0;
}

/* ---- getting ---- */

static int put(u8 *val, u32 *len, const void *data, size_t n)
{
    *len = (u32)MIN((size_t)*len, n);
    memcpy(val, data, *len);
    return 0;
}

static int get_entry(const struct loop_sock *s, enum loop_opt i, u8 *val, u32 *len)
{
    int x[2] = {loop_opt(s, i), 0};

    if (g_entries[i].kind == LINGER) {
        x[1] = MAX(x[0], 0);
        x[0] = x[0] >= 0;
        return put(val, len, x, sizeof(x));
    }
    if (i == OPT_MAXSEG)
        x[0] = loop_state(s) == LOOP_INSIDE ? LOOP_MSS : x[0] != 0 ? x[0] : 536;
    if (g_entries[i].level == IPPROTO_IP && *len > 0 && *len < sizeof(int) && x[0] >= 0 &&
        x[0] <= 255) {
        *len = 1; /* as Linux: a byte where there is room for one */
        val[0] = (u8)x[0];
        return 0;
    }
    return put(val, len, x, sizeof(x[0]));
}

static int get_tcp_info(struct loop_sock *s, u8 *val, u32 *len)
{
    struct tcp_info t = {.tcpi_rto = 200000,
                         .tcpi_ato = 40000,
                         .tcpi_snd_mss = LOOP_MSS,
                         .tcpi_rcv_mss = LOOP_MSS,
                         .tcpi_pmtu = 65535,
                         .tcpi_rcv_ssthresh = 65483,
                         .tcpi_rtt = 20,
                         .tcpi_rttvar = 10,
                         .tcpi_snd_ssthresh = 0x7fffffff,
                         .tcpi_snd_cwnd = 10,
                         .tcpi_advmss = LOOP_MSS,
                         .tcpi_reordering = 3,
                         .tcpi_rcv_space = 65495};

    t.tcpi_state = (u8)loop_tcp_state(s);
    if (t.tcpi_state == LOOP_TCP_LISTEN) { /* inet_csk_listen: the queue and its length */
        t.tcpi_unacked = s->backlog_count;
        t.tcpi_sacked = s->backlog_max;
    }
    return put(val, len, &t, sizeof(t));
}

static int get_inside(struct loop_sock *s, int level, int name, u8 *val, u32 *len)
{
    static const u32 nobody[3] = {0, UINT32_MAX, UINT32_MAX};
    int x;

    if (level == SOL_SOCKET && name == SO_ACCEPTCONN) {
        x = loop_state(s) == LOOP_LISTENING;
        return put(val, len, &x, sizeof(x));
    }
    if (level == SOL_SOCKET && name == SO_PEERCRED) /* as Linux for what has none */
        return put(val, len, nobody, sizeof(nobody));
    if (level == IPPROTO_TCP && name == TCP_INFO && loop_is_stream(s))
        return get_tcp_info(s, val, len);
    return 1;
}

static int get_decided(struct loop_sock *s, int level, int name, u8 *val, u32 *len)
{
    int x = 0;

    if (level == IPPROTO_TCP && name == TCP_CONGESTION && loop_is_stream(s))
        return put(val, len, "cubic\0\0\0\0\0\0\0\0\0\0", 16);
    if ((level == IPPROTO_IP && name == IP_MTU) || (level == IPPROTO_IPV6 && name == IPV6_MTU)) {
        x = level == IPPROTO_IP ? 65535 : 65536;
        return loop_state(s) == LOOP_INSIDE ? put(val, len, &x, sizeof(x)) : -ENOTCONN;
    }
    if (level == SOL_SOCKET && (name == SO_MARK || name == SO_INCOMING_CPU || name == SO_BUSY_POLL))
        return put(val, len, &x, sizeof(x));
    if (level == SOL_SOCKET && name == SO_BINDTODEVICE) {
        *len = 0;
        return 0;
    }
    return -ENOPROTOOPT;
}

static int get_error(struct loop_sock *s, struct socket *outer, u8 *val, u32 *len)
{
    int x = -loop_take_error(s), r;

    if (x == 0 && outer != NULL && loop_state(s) != LOOP_INSIDE) {
        r = outer->ops->getsockopt(outer, SOL_SOCKET, SO_ERROR, val, len);
        return r;
    }
    return put(val, len, &x, sizeof(x));
}

/* Options of that level can be asked of the socket. */
static bool level_fits(const struct loop_sock *s, int level)
{
    switch (level) {
    case SOL_SOCKET:
    case IPPROTO_IP:
        return true;
    case IPPROTO_IPV6:
        return s->base.domain == AF_INET6;
    case IPPROTO_TCP:
        return loop_is_stream(s);
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
        return !loop_is_stream(s);
    default:
        return false;
    }
}

int loop_getsockopt(struct socket *sock, int level, int name, u8 *val, u32 *len)
{
    struct loop_sock *s = loop_of(sock);
    struct socket *outer = loop_outer(s);
    int i, r;

    if (!level_fits(s, level)) /* each family says it in its own way */
        return s->base.domain == AF_INET ? -EOPNOTSUPP : -ENOPROTOOPT;
    if (level == SOL_SOCKET && name == SO_ERROR)
        return get_error(s, outer, val, len);
    if (level == SOL_SOCKET && name == SO_PEERCRED)
        return get_inside(s, level, name, val, len);
    if (loop_state(s) == LOOP_OUTSIDE && outer != NULL)
        return outer->ops->getsockopt(outer, level, name, val, len);
    i = find(s, level, name);
    if (i >= 0)
        return get_entry(s, (enum loop_opt)i, val, len);
    r = get_inside(s, level, name, val, len);
    if (r <= 0)
        return r;
    if (!host_option_is_safe(sock, level, name))
        return -ENOPROTOOPT;
    if (outer == NULL || loop_state(s) == LOOP_INSIDE)
        return get_decided(s, level, name, val, len);
    return outer->ops->getsockopt(outer, level, name, val, len);
}

/* ---- ioctl ---- */

long loop_ioctl(struct socket *sock, u32 cmd, u64 arg)
{
    struct loop_sock *s = loop_of(sock);
    struct socket *outer = loop_outer(s);
    u32 state = loop_state(s);
    i32 x = 0;

    if (cmd != FIONREAD && cmd != TIOCOUTQ && cmd != SIOCATMARK)
        return socket_interface_ioctl(cmd, arg);
    if (loop_is_stream(s) && state == LOOP_LISTENING)
        return -EINVAL;
    if (!loop_is_stream(s) && cmd == FIONREAD)
        x = (i32)loop_datagram_first(s);
    if (x == 0 && outer != NULL && state != LOOP_INSIDE &&
        (state == LOOP_OUTSIDE || !loop_is_stream(s)))
        return outer->ops->ioctl(outer, cmd, arg);
    if (loop_is_stream(s) && cmd == FIONREAD)
        x = (i32)ring_used(&s->ring);
    else if (loop_is_stream(s) && cmd == SIOCATMARK)
        x = loop_at_mark(s);
    return put_user(x, user_at(arg)); /* what was sent is received: TIOCOUTQ is 0 */
}
