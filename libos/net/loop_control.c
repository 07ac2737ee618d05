/* SPDX-License-Identifier: Apache-2.0 */
/* The enclave's loopback: control data of datagrams that stay inside (ip(7), ipv6(7), udp(7)). */
#include "loop.h"
#include <linux/ipv6.h>
#include <linux/udp.h>

#define LOOPBACK_INDEX 1 /* of the interface lo */

/* <linux/errqueue.h>, which wants a struct timespec, and the numbers of RFC 792 and RFC 4443. */
struct extended_error {
    u32 error;
    u8 origin, type, code, pad;
    u32 info, data;
};
#define ORIGIN_ICMP       2
#define ORIGIN_ICMP6      3
#define ICMP_UNREACHABLE  3
#define ICMP_PORT         3
#define ICMP6_UNREACHABLE 1
#define ICMP6_PORT        4

struct header { /* struct cmsghdr */
    u64 len;
    i32 level, type;
};
#define ALIGNED(n) (((n) + 7) & ~7ul)

/* ---- what the sender gave ---- */

static int read_int(const u8 *data, u64 n)
{
    int x = 0;

    if (n == 1) /* IP_TOS may be a byte */
        return data[0];
    memcpy(&x, data, MIN(n, sizeof(x)));
    return x;
}

static void from_v4(struct loop_name *n, const struct in_addr *a)
{
    *n = g_loop_localhost4;
    memcpy(n->addr + 12, a, 4);
}

static int read_one(const struct header *h, const u8 *data, struct loop_send_control *out)
{
    u64 n = h->len - sizeof(*h);
    struct in6_pktinfo info6;
    struct in_pktinfo info;
    int x = n > 0 ? read_int(data, n) : 0;
    u16 segment;

    if (h->level == IPPROTO_UDP && h->type == UDP_SEGMENT) {
        if (n != sizeof(segment))
            return -EINVAL;
        memcpy(&segment, data, sizeof(segment));
        out->segment = segment;
    } else if ((h->level == IPPROTO_IP && h->type == IP_TTL) ||
               (h->level == IPPROTO_IPV6 && h->type == IPV6_HOPLIMIT)) {
        if (n != sizeof(x) || x < (h->level == IPPROTO_IP ? 1 : -1) || x > 255)
            return -EINVAL;
        out->ttl = x < 0 ? out->ttl : (u8)x;
    } else if (h->level == IPPROTO_IP && h->type == IP_TOS) {
        if ((n != 1 && n != sizeof(x)) || x < 0 || x > 255)
            return -EINVAL;
        out->tos = (u8)x;
    } else if (h->level == IPPROTO_IPV6 && h->type == IPV6_TCLASS) {
        if (n != sizeof(x) || x < -1 || x > 255)
            return -EINVAL;
        out->tos = x < 0 ? out->tos : (u8)x;
    } else if (h->level == IPPROTO_IP && h->type == IP_PKTINFO) {
        if (n != sizeof(info))
            return -EINVAL;
        memcpy(&info, data, sizeof(info));
        from_v4(&out->from, &info.ipi_spec_dst);
    } else if (h->level == IPPROTO_IPV6 && h->type == IPV6_PKTINFO) {
        if (n < sizeof(info6))
            return -EINVAL;
        memcpy(&info6, data, sizeof(info6));
        memcpy(out->from.addr, &info6.ipi6_addr, sizeof(out->from.addr));
    }
    /* An address that is not inside is no source of what stays inside. */
    return loop_is_any(&out->from) || loop_is_inside(&out->from) ? 0 : -EINVAL;
}

/* ip_control_to_send() has checked that it is well formed. */
int loop_control_read(const struct loop_sock *s, const u8 *control, u32 size,
                      struct loop_send_control *out)
{
    struct header h;
    int r = 0;

    *out = (struct loop_send_control){
        .segment = (u32)loop_opt(s, OPT_SEGMENT),
        .ttl = (u8)loop_opt(s, s->base.domain == AF_INET6 ? OPT_HOPS : OPT_TTL),
        .tos = (u8)loop_opt(s, s->base.domain == AF_INET6 ? OPT_TCLASS : OPT_TOS)};
    for (u32 at = 0; r == 0 && size - at >= sizeof(h); at += (u32)ALIGNED(h.len)) {
        memcpy(&h, control + at, sizeof(h));
        if (h.len < sizeof(h) || h.len > size - at)
            return -EINVAL;
        r = read_one(&h, control + at + sizeof(h), out);
        if (ALIGNED(h.len) > size - at)
            break;
    }
    return r;
}

/* ---- what the receiver asked for ---- */

struct writer {
    struct socket_msg *m;
    u32 room, used;
};

static void put(struct writer *w, int level, int type, const void *data, size_t n)
{
    struct header h = {.len = sizeof(h) + n, .level = level, .type = type};

    if (w->room - w->used < sizeof(h)) {
        w->m->out_flags |= MSG_CTRUNC;
        return;
    }
    if (h.len > w->room - w->used) {
        w->m->out_flags |= MSG_CTRUNC;
        h.len = w->room - w->used;
    }
    memcpy(w->m->control + w->used, &h, sizeof(h));
    memcpy(w->m->control + w->used + sizeof(h), data, h.len - sizeof(h));
    w->used = (u32)MIN(w->used + ALIGNED(h.len), (u64)w->room);
}

static void put_times(struct writer *w, const struct loop_sock *s, u64 time)
{
    i64 ns[2] = {(i64)(time / 1000000000), (i64)(time % 1000000000)}, us[2] = {ns[0], ns[1] / 1000};

    if (loop_opt(s, OPT_TIMESTAMPNS_OLD))
        put(w, SOL_SOCKET, SO_TIMESTAMPNS_OLD, ns, sizeof(ns));
    else if (loop_opt(s, OPT_TIMESTAMPNS_NEW))
        put(w, SOL_SOCKET, SO_TIMESTAMPNS_NEW, ns, sizeof(ns));
    else if (loop_opt(s, OPT_TIMESTAMP_OLD))
        put(w, SOL_SOCKET, SO_TIMESTAMP_OLD, us, sizeof(us));
    else if (loop_opt(s, OPT_TIMESTAMP_NEW))
        put(w, SOL_SOCKET, SO_TIMESTAMP_NEW, us, sizeof(us));
}

static void put_v4(struct writer *w, const struct loop_sock *s, const struct loop_packet *p)
{
    struct in_pktinfo info = {.ipi_ifindex = LOOPBACK_INDEX};
    int ttl = p->ttl;

    memcpy(&info.ipi_addr, p->to.addr + 12, 4);
    info.ipi_spec_dst = info.ipi_addr;
    if (loop_opt(s, OPT_PKTINFO))
        put(w, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    if (loop_opt(s, OPT_RECVTTL))
        put(w, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
    if (loop_opt(s, OPT_RECVTOS))
        put(w, IPPROTO_IP, IP_TOS, &p->tos, sizeof(p->tos));
}

static void put_v6(struct writer *w, const struct loop_sock *s, const struct loop_packet *p)
{
    struct in6_pktinfo info = {.ipi6_ifindex = LOOPBACK_INDEX};
    int ttl = p->ttl, tos = p->tos;

    memcpy(&info.ipi6_addr, p->to.addr, sizeof(info.ipi6_addr));
    if (loop_opt(s, OPT_RECVPKTINFO6))
        put(w, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    if (loop_opt(s, OPT_RECVHOPLIMIT))
        put(w, IPPROTO_IPV6, IPV6_HOPLIMIT, &ttl, sizeof(ttl));
    if (loop_opt(s, OPT_RECVTCLASS))
        put(w, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
}

void loop_control_write(const struct loop_sock *s, const struct loop_packet *p,
                        struct socket_msg *m)
{
    struct writer w = {.m = m, .room = m->control_len};
    u32 dropped = (u32)s->dropped;

    if (m->control == NULL)
        return;
    put_times(&w, s, p->time);
    if (loop_opt(s, OPT_RXQ_OVFL) && dropped != 0)
        put(&w, SOL_SOCKET, SO_RXQ_OVFL, &dropped, sizeof(dropped));
    if (s->base.domain == AF_INET6)
        put_v6(&w, s, p);
    if (loop_is_v4(&p->to)) /* an IPv6 socket may ask for those of IPv4 too */
        put_v4(&w, s, p);
    m->control_len = w.used;
}

void loop_control_error(const struct loop_sock *s, const struct loop_packet *p,
                        struct socket_msg *m)
{
    struct {
        struct extended_error e;
        u8 offender[sizeof(struct sockaddr_in6)];
    } error = {.e = {.error = ECONNREFUSED}};
    struct writer w = {.m = m, .room = m->control_len};
    struct loop_name offender = p->to;
    bool v4 = s->base.domain == AF_INET;
    u32 len;

    if (m->control == NULL)
        return;
    error.e.origin = loop_is_v4(&p->to) ? ORIGIN_ICMP : ORIGIN_ICMP6;
    error.e.type = loop_is_v4(&p->to) ? ICMP_UNREACHABLE : ICMP6_UNREACHABLE;
    error.e.code = loop_is_v4(&p->to) ? ICMP_PORT : ICMP6_PORT;
    offender.port = 0;
    loop_name_put(s, &offender, error.offender, &len);
    put(&w, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, &error,
        sizeof(error.e) + len);
    m->control_len = w.used;
}
