/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control data of IP datagrams: where a datagram came in and goes out (PKTINFO), its hop limit and
 * class, time stamps, errors. The application's go to the host and the host's to the application,
 * but only what is in this table: SOL_SOCKET has descriptors, which would be the host's own.
 */
#include "host_name.h"
#include <linux/capability.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#define EXTENSIONS_MAX 256u /* extension headers of IPv6 */
#define OPTIONS_MAX    40u  /* of an IPv4 header */
#define ERROR_SIZE     16u  /* struct sock_extended_err, whose header wants a struct timespec */

struct header { /* struct cmsghdr */
    u64 len;
    i32 level, type;
};
#define ALIGNED(n) (((n) + 7) & ~7ul)

/* Bytes of data of a received one; the host checks what is sent. */
static const struct kind {
    int level, type;
    u32 least, most;
    bool sent;
} g_kinds[] = {
    {SOL_SOCKET, SO_TIMESTAMP_OLD, 16, 16, false},
    {SOL_SOCKET, SO_TIMESTAMPNS_OLD, 16, 16, false},
    {SOL_SOCKET, SO_TIMESTAMP_NEW, 16, 16, false},
    {SOL_SOCKET, SO_TIMESTAMPNS_NEW, 16, 16, false},
    {SOL_SOCKET, SO_RXQ_OVFL, 4, 4, false},
    {IPPROTO_IP, IP_PKTINFO, sizeof(struct in_pktinfo), sizeof(struct in_pktinfo), true},
    {IPPROTO_IP, IP_TTL, 4, 4, true},
    {IPPROTO_IP, IP_TOS, 1, 4, true},
    {IPPROTO_IP, IP_RETOPTS, 0, OPTIONS_MAX, true},
    {IPPROTO_IP, IP_RECVERR, ERROR_SIZE, ERROR_SIZE + sizeof(struct sockaddr_in), false},
    {IPPROTO_IP, IP_ORIGDSTADDR, sizeof(struct sockaddr_in), sizeof(struct sockaddr_in), false},
    {IPPROTO_IPV6, IPV6_PKTINFO, sizeof(struct in6_pktinfo), sizeof(struct in6_pktinfo), true},
    {IPPROTO_IPV6, IPV6_HOPLIMIT, 4, 4, true},
    {IPPROTO_IPV6, IPV6_TCLASS, 4, 4, true},
    {IPPROTO_IPV6, IPV6_DONTFRAG, 4, 4, true},
    {IPPROTO_IPV6, IPV6_FLOWINFO, 4, 4, true},
    {IPPROTO_IPV6, IPV6_HOPOPTS, 0, EXTENSIONS_MAX, true},
    {IPPROTO_IPV6, IPV6_DSTOPTS, 0, EXTENSIONS_MAX, true},
    {IPPROTO_IPV6, IPV6_RTHDRDSTOPTS, 0, EXTENSIONS_MAX, true},
    {IPPROTO_IPV6, IPV6_RTHDR, 0, EXTENSIONS_MAX, true},
    {IPPROTO_IPV6, IPV6_PATHMTU, sizeof(struct ip6_mtuinfo), sizeof(struct ip6_mtuinfo), false},
    {IPPROTO_IPV6, IPV6_RECVERR, ERROR_SIZE, ERROR_SIZE + sizeof(struct sockaddr_in6), false},
    {IPPROTO_IPV6, IPV6_ORIGDSTADDR, sizeof(struct sockaddr_in6), sizeof(struct sockaddr_in6),
     false},
    {IPPROTO_UDP, UDP_SEGMENT, 2, 2, true},
    {IPPROTO_UDP, UDP_GRO, 4, 4, false},
};

static const struct kind *kind_of(const struct header *h)
{
    for (size_t i = 0; i < ARRAY_SIZE(g_kinds); i++) {
        if (g_kinds[i].level == h->level && g_kinds[i].type == h->type)
            return &g_kinds[i];
    }
    return NULL;
}

/* Keeps the message of `size` bytes at `at`: moved to the end of what is kept. */
static u32 keep(u8 *control, u32 kept, u32 at, u32 size)
{
    memmove(control + kept, control + at, size);
    return kept + size;
}

/* As the options of these names: for who may make packets of his own. */
static bool is_privileged(const struct header *h)
{
    return h->level == IPPROTO_IPV6 &&
           (h->type == IPV6_HOPOPTS || h->type == IPV6_DSTOPTS || h->type == IPV6_RTHDRDSTOPTS);
}

int ip_control_to_send(u8 *control, u32 size)
{
    u32 kept = 0, step;
    struct header h;

    for (u32 at = 0; size - at >= sizeof(h); at += step) {
        const struct kind *k;

        memcpy(&h, control + at, sizeof(h));
        if (h.len < sizeof(h) || h.len > size - at)
            return -EINVAL;
        step = (u32)MIN(ALIGNED(h.len), (u64)(size - at));
        k = kind_of(&h);
        if (is_privileged(&h) && !capable(CAP_NET_RAW))
            return -EPERM;
        if (k != NULL && k->sent)
            kept = keep(control, kept, at, step);
        else if (h.level == SOL_SOCKET && (h.type == SCM_RIGHTS || h.type == SCM_CREDENTIALS))
            continue; /* these mean something to UNIX sockets only */
        else if (h.level == SOL_SOCKET || h.level == IPPROTO_IP || h.level == IPPROTO_IPV6)
            return -EINVAL;
    }
    return (int)kept;
}

int ip_control_leaving(u8 *control, u32 size)
{
    struct header h;
    int r = 0;

    for (u32 at = 0; r == 0 && size - at >= sizeof(h); at += (u32)ALIGNED(h.len)) {
        u8 *data = control + at + sizeof(h);

        memcpy(&h, control + at, sizeof(h));
        if (h.len < sizeof(h) || h.len > size - at)
            return -EINVAL;
        if (h.level == IPPROTO_IP && h.type == IP_PKTINFO &&
            h.len - sizeof(h) >= sizeof(struct in_pktinfo))
            r = host_address_leaving(data + offsetof(struct in_pktinfo, ipi_spec_dst), 4);
        else if (h.level == IPPROTO_IPV6 && h.type == IPV6_PKTINFO &&
                 h.len - sizeof(h) >= sizeof(struct in6_pktinfo))
            r = host_address_leaving(data + offsetof(struct in6_pktinfo, ipi6_addr), 16);
        if (ALIGNED(h.len) > size - at)
            break;
    }
    return r;
}

/* Addresses of the host's own loopback get their names inside; what was cut short has none. */
static void rename(const struct header *h, u8 *data)
{
    u64 n = h->len - sizeof(*h);

    if (h->level == IPPROTO_IP && h->type == IP_PKTINFO && n == sizeof(struct in_pktinfo)) {
        host_address_arriving(data + offsetof(struct in_pktinfo, ipi_spec_dst), 4);
        host_address_arriving(data + offsetof(struct in_pktinfo, ipi_addr), 4);
    } else if (h->level == IPPROTO_IPV6 && h->type == IPV6_PKTINFO &&
               n == sizeof(struct in6_pktinfo)) {
        host_address_arriving(data + offsetof(struct in6_pktinfo, ipi6_addr), 16);
    } else if (((h->level == IPPROTO_IP && h->type == IP_RECVERR) ||
                (h->level == IPPROTO_IPV6 && h->type == IPV6_RECVERR)) &&
               n > ERROR_SIZE) {
        host_name_arriving(data + ERROR_SIZE, (u32)(n - ERROR_SIZE), false);
    } else if ((h->level == IPPROTO_IP && h->type == IP_ORIGDSTADDR) ||
               (h->level == IPPROTO_IPV6 && h->type == IPV6_ORIGDSTADDR)) {
        host_name_arriving(data, (u32)n, false);
    }
}

/* cut: there was more than room for it, so that the last one may be short. */
u32 ip_control_received(u8 *control, u32 size, bool cut)
{
    u32 kept = 0, step;
    struct header h;

    for (u32 at = 0; size - at >= sizeof(h); at += step) {
        const struct kind *k;
        u64 n;

        memcpy(&h, control + at, sizeof(h));
        if (h.len < sizeof(h) || h.len > size - at)
            panic("the host gave control data of %lu bytes where there are %u", h.len, size - at);
        step = (u32)MIN(ALIGNED(h.len), (u64)(size - at));
        k = kind_of(&h);
        if (k == NULL)
            continue;
        n = h.len - sizeof(h);
        if (n > k->most || (n < k->least && !(cut && step == size - at)))
            panic("the host gave %lu bytes of control data of level %d, type %d", n, h.level,
                  h.type);
        speculation_barrier(); /* the host's length chooses what is moved, and the next step */
        rename(&h, control + at + sizeof(h));
        kept = keep(control, kept, at, step);
    }
    return kept;
}
