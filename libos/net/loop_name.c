/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of TCP and UDP: what programs write, and which are the enclave's own. */
#include "loop.h"

static const u8 g_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

#define SIN6_LEAST 24u /* without the scope, RFC 2133 */

const struct loop_name g_loop_localhost4 = {
    .addr = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}};
const struct loop_name g_loop_localhost6 = {.addr = {[15] = 1}};

bool loop_is_v4(const struct loop_name *n)
{
    return memcmp(n->addr, g_mapped, sizeof(g_mapped)) == 0;
}

bool loop_same_address(const struct loop_name *a, const struct loop_name *b)
{
    return memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

bool loop_is_inside(const struct loop_name *n)
{
    return loop_is_v4(n) ? n->addr[12] == 127 : loop_same_address(n, &g_loop_localhost6);
}

bool loop_is_any(const struct loop_name *n)
{
    static const u8 zero[16];
    size_t head = loop_is_v4(n) ? sizeof(g_mapped) : 0;

    return memcmp(n->addr + head, zero, sizeof(zero) - head) == 0;
}

static void from_v4(struct loop_name *out, const struct sockaddr_in *a)
{
    memcpy(out->addr, g_mapped, sizeof(g_mapped));
    memcpy(out->addr + sizeof(g_mapped), &a->sin_addr, 4);
    out->port = __builtin_bswap16(a->sin_port);
}

int loop_name_parse(const struct loop_sock *s, const u8 *name, u32 len, struct loop_name *out)
{
    struct sockaddr_in6 a6 = {0};
    struct sockaddr_in a4;
    u16 family;

    if (len < sizeof(family))
        return -EINVAL;
    memcpy(&family, name, sizeof(family));
    /* IPv6 datagram sockets take addresses of IPv4 as they are (udpv6_sendmsg of Linux). */
    if (family == AF_INET && (s->base.domain == AF_INET || !loop_is_stream(s))) {
        if (len < sizeof(a4))
            return -EINVAL;
        memcpy(&a4, name, sizeof(a4));
        from_v4(out, &a4);
        return 0;
    }
    if (s->base.domain == AF_INET)
        return len < sizeof(a4) ? -EINVAL : -EAFNOSUPPORT;
    if (len < SIN6_LEAST)
        return -EINVAL;
    if (family != AF_INET6)
        return -EAFNOSUPPORT;
    memcpy(&a6, name, MIN(len, (u32)sizeof(a6)));
    memcpy(out->addr, &a6.sin6_addr, sizeof(out->addr));
    out->port = __builtin_bswap16(a6.sin6_port);
    return 0;
}

void loop_name_put(const struct loop_sock *s, const struct loop_name *n, u8 *name, u32 *len)
{
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = __builtin_bswap16(n->port)};
    struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = a6.sin6_port};

    if (s->base.domain == AF_INET) {
        memcpy(&a4.sin_addr, n->addr + sizeof(g_mapped), 4);
        memcpy(name, &a4, sizeof(a4));
        *len = sizeof(a4);
    } else {
        memcpy(&a6.sin6_addr, n->addr, sizeof(a6.sin6_addr));
        memcpy(name, &a6, sizeof(a6));
        *len = sizeof(a6);
    }
}
