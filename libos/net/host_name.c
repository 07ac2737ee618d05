/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses at the edge to the host's sockets. 127.0.0.0/8 and ::1 are the enclave's own: nothing
 * that goes out may mean the host's loopback by them, and nothing that comes in may bear them, or a
 * program that trusts "from localhost" would trust the host.
 *
 * The host's loopback (of the pod) has other names inside: 192.0.0.8, the IPv4 dummy address (RFC
 * 7600), and 100::1, of the discard-only block (RFC 6666). What comes from it bears them, and a
 * program that knows what it does reaches it by them.
 *
 * One address is left as it is: 127.0.0.11, port 53, where Docker has its resolver. Names are the
 * host's word anyway. Only who asked there sees it as a sender.
 */
#include "deployment.h"
#include "host_name.h"

static const u8 g_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const u8 g_localhost4[4] = {127, 0, 0, 1}, g_stranger4[4] = {192, 0, 0, 8};
static const u8 g_localhost6[16] = {[15] = 1}, g_stranger6[16] = {1, [15] = 1};
static const u8 g_resolver[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 11};

#define RESOLVER_PORT 53

bool host_name_is_resolver(const u8 addr[16], u16 port)
{
    return port == RESOLVER_PORT && memcmp(addr, g_resolver, sizeof(g_resolver)) == 0;
}

static bool is_mapped(const u8 addr[16])
{
    return memcmp(addr, g_mapped, sizeof(g_mapped)) == 0;
}

static bool is_loopback(const u8 *addr, size_t n)
{
    if (n == 4)
        return addr[0] == 127;
    return is_mapped(addr) ? addr[12] == 127 : memcmp(addr, g_localhost6, n) == 0;
}

void host_address_arriving(u8 *addr, size_t n)
{
    if (g_deployment.policy.loopback_host || !is_loopback(addr, n))
        return;
    if (n == 4)
        memcpy(addr, g_stranger4, n);
    else if (is_mapped(addr))
        memcpy(addr + sizeof(g_mapped), g_stranger4, sizeof(g_stranger4));
    else
        memcpy(addr, g_stranger6, n);
}

int host_address_leaving(u8 *addr, size_t n)
{
    if (g_deployment.policy.loopback_host)
        return 0;
    if (is_loopback(addr, n))
        return -ENETUNREACH;
    if (n == 16 && is_mapped(addr))
        return host_address_leaving(addr + sizeof(g_mapped), 4);
    if (n == 4 && memcmp(addr, g_stranger4, n) == 0)
        memcpy(addr, g_localhost4, n);
    else if (n == 16 && memcmp(addr, g_stranger6, n) == 0)
        memcpy(addr, g_localhost6, n);
    return 0;
}

/* Where the address of a sockaddr is, and its port; false: no IP. */
static bool locate(u8 *name, u32 len, u8 **addr, size_t *n, u16 *port)
{
    u16 family;

    if (len < offsetof(struct sockaddr_in, sin_addr) + 4)
        return false;
    memcpy(&family, name, sizeof(family));
    memcpy(port, name + offsetof(struct sockaddr_in, sin_port), sizeof(*port));
    *port = __builtin_bswap16(*port);
    if (family == AF_INET) {
        *addr = name + offsetof(struct sockaddr_in, sin_addr);
        *n = 4;
        return true;
    }
    *addr = name + offsetof(struct sockaddr_in6, sin6_addr);
    *n = 16;
    return family == AF_INET6 && len >= offsetof(struct sockaddr_in6, sin6_addr) + 16;
}

static bool resolver_at(const u8 *addr, size_t n, u16 port)
{
    u8 full[16];

    memcpy(full, g_mapped, sizeof(g_mapped));
    memcpy(full + 16 - n, addr, n);
    return host_name_is_resolver(full, port);
}

static bool is_zero(const u8 *addr, size_t n)
{
    size_t head = n == 16 && is_mapped(addr) ? sizeof(g_mapped) : 0;

    return memory_is_zero(addr + head, n - head);
}

int host_name_leaving(u8 *name, u32 len, bool destination, bool *resolver)
{
    size_t n;
    u8 *addr;
    u16 port;

    if (g_deployment.policy.loopback_host || !locate(name, len, &addr, &n, &port))
        return 0;
    if (destination && resolver_at(addr, n, port)) {
        *resolver = true;
        return 0;
    }
    if (destination && is_zero(addr, n)) /* which would be the host's loopback */
        return -ENETUNREACH;
    return host_address_leaving(addr, n);
}

void host_name_arriving(u8 *name, u32 len, bool resolver)
{
    size_t n;
    u8 *addr;
    u16 port;

    if (!locate(name, len, &addr, &n, &port) || (resolver && resolver_at(addr, n, port)))
        return;
    host_address_arriving(addr, n);
}
