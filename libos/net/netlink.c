/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routing netlink: read-only questions about interfaces, addresses, routes and neighbours go to the
 * host. Programs parse replies as if a kernel they trust had made them, so only what is well formed
 * is handed on. SIOCGIFCONF is answered from the same source.
 */
#include "deployment.h"
#include "host.h"
#include "socket.h"
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#define LOOPBACK_INDEX 1 /* of lo, in every network namespace */
#define IFF_UP_FLAG    1u
#define CAP_NET_ADMIN  12

bool netlink_may_set_up(u32 flags)
{
    return (flags & IFF_UP_FLAG) && capable(CAP_NET_ADMIN) && !g_deployment.policy.loopback_host;
}

/* "ip link set lo up", which start scripts of containers say; and the message to no interface by
 * which ip asks whether there are such messages. */
static bool changes_nothing(const u8 *message, const struct nlmsghdr *h)
{
    struct ifinfomsg i;

    if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len != NLMSG_LENGTH(sizeof(i)))
        return false;
    memcpy(&i, message + NLMSG_HDRLEN, sizeof(i));
    if (i.ifi_index == 0)
        return (h->nlmsg_flags & NLM_F_CREATE) == 0;
    return i.ifi_index == LOOPBACK_INDEX && i.ifi_change == IFF_UP_FLAG &&
           netlink_may_set_up(i.ifi_flags);
}

int netlink_check_request(u8 *data, size_t n)
{
    struct nlmsghdr h;

    for (size_t at = 0; at < n; at += NLMSG_ALIGN(h.nlmsg_len)) {
        if (n - at < sizeof(h))
            return -EINVAL;
        memcpy(&h, data + at, sizeof(h));
        if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > n - at)
            return -EINVAL;
        /* RTM_GETxxx are 4n+2; everything else would change the network. */
        if (changes_nothing(data + at, &h)) { /* the host acknowledges, and does nothing */
            h.nlmsg_type = NLMSG_NOOP;
            memcpy(data + at, &h, sizeof(h));
        } else if (h.nlmsg_type >= RTM_BASE && (h.nlmsg_type & 3) != 2) {
            return -EPERM;
        }
        if (NLMSG_ALIGN(h.nlmsg_len) > n - at)
            break;
    }
    return 0;
}

/* Fixed header of a message type before its attributes; 0: no attributes are looked at. */
static size_t fixed_size(u16 type)
{
    switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        return sizeof(struct ifinfomsg);
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return sizeof(struct ifaddrmsg);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return sizeof(struct rtmsg);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
        return 12; /* struct ndmsg */
    case RTM_NEWRULE:
    case RTM_DELRULE:
        return 12; /* struct fib_rule_hdr */
    default:
        return 0;
    }
}

static bool attributes_ok(const u8 *data, size_t n)
{
    struct rtattr a;

    for (size_t at = 0; n - at >= sizeof(a); at += RTA_ALIGN(a.rta_len)) {
        memcpy(&a, data + at, sizeof(a));
        if (a.rta_len < sizeof(a) || a.rta_len > n - at)
            return false;
        if (RTA_ALIGN(a.rta_len) > n - at)
            break;
    }
    return true;
}

static bool message_ok(const u8 *data, const struct nlmsghdr *h)
{
    size_t payload = h->nlmsg_len - NLMSG_HDRLEN, fixed = fixed_size(h->nlmsg_type);

    if (h->nlmsg_type == NLMSG_ERROR)
        return payload >= sizeof(struct nlmsgerr);
    if (fixed == 0)
        return true;
    return payload >= fixed &&
           (payload <= NLMSG_ALIGN(fixed) ||
            attributes_ok(data + NLMSG_HDRLEN + NLMSG_ALIGN(fixed), payload - NLMSG_ALIGN(fixed)));
}

size_t netlink_check_reply(u8 *data, size_t n)
{
    struct nlmsghdr h;
    size_t at = 0;

    while (n - at >= sizeof(h)) {
        memcpy(&h, data + at, sizeof(h));
        if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > n - at || !message_ok(data + at, &h))
            break;
        if (NLMSG_ALIGN(h.nlmsg_len) > n - at)
            return n;
        at += NLMSG_ALIGN(h.nlmsg_len);
    }
    if (at < n)
        log_warn("netlink: the host gave a malformed reply; %zu bytes dropped", n - at);
    return at;
}

/* ---- SIOCGIFCONF: the IPv4 addresses of all interfaces ---- */

#define REPLY_ROOM 32768u
#define IFREQ_SIZE 40u
#define IFNAME     16u

struct ifconf_out {
    uaddr user;
    u32 room, used; /* user NULL: only count */
    int err;
};

static void ifconf_add(struct ifconf_out *o, const u8 *m, size_t n)
{
    u8 req[IFREQ_SIZE] = {0};
    u16 family = AF_INET;
    bool named = false;

    memcpy(req + IFNAME, &family, sizeof(family));
    for (size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct ifaddrmsg));
         at + sizeof(struct rtattr) <= n;) {
        struct rtattr a;
        size_t size;

        memcpy(&a, m + at, sizeof(a));
        if (a.rta_len < sizeof(a) || a.rta_len > n - at)
            return;
        size = a.rta_len - sizeof(a);
        if (a.rta_type == IFA_LABEL && size > 0) {
            memcpy(req, m + at + sizeof(a), MIN(size, (size_t)IFNAME - 1));
            named = true;
        } else if (a.rta_type == IFA_LOCAL && size == 4) {
            memcpy(req + IFNAME + 4, m + at + sizeof(a), 4);
        }
        at += RTA_ALIGN(a.rta_len);
    }
    if (!named)
        return;
    if (o->user.at) {
        if (o->room - o->used < sizeof(req))
            return;
        if (copy_to_user(user_plus(o->user, o->used), req, sizeof(req)) < 0)
            o->err = -EFAULT;
    }
    o->used += sizeof(req);
}

/* One datagram of the dump; true at its end. */
static bool ifconf_reply(struct ifconf_out *o, u8 *buf, size_t n)
{
    struct nlmsghdr h;

    n = netlink_check_reply(buf, n);
    for (size_t at = 0; n - at >= sizeof(h); at += NLMSG_ALIGN(h.nlmsg_len)) {
        memcpy(&h, buf + at, sizeof(h));
        if (h.nlmsg_type == NLMSG_DONE || h.nlmsg_type == NLMSG_ERROR)
            return true;
        if (h.nlmsg_type == RTM_NEWADDR)
            ifconf_add(o, buf + at, h.nlmsg_len);
        if (NLMSG_ALIGN(h.nlmsg_len) > n - at)
            break;
    }
    return n == 0;
}

static int ifconf_dump(struct ifconf_out *o, hostfd hfd, u8 *buf)
{
    struct {
        struct nlmsghdr h;
        struct ifaddrmsg m;
    } request = {{sizeof(request), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
                 {.ifa_family = AF_INET}};
    u64 deadline = deadline_after(5000000000ull);
    struct host_message nothing = {0};
    ssize_t r = host_send(hfd, &request, sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL, &nothing);

    while (r >= 0 && clock_monotonic() < deadline) {
        struct host_pollfd p = {.hfd = hfd, .events = POLLIN};

        r = host_recv(hfd, buf, REPLY_ROOM, MSG_DONTWAIT, &nothing);
        if (r >= 0 && ifconf_reply(o, buf, (size_t)r))
            return o->err;
        if (r == -EAGAIN)
            r = thread_wait(deadline, true, &p, 1);
    }
    return r == -EINTR ? -ERESTARTSYS : r < 0 ? (int)r : -ETIMEDOUT;
}

long netlink_ifconf(u64 arg)
{
    struct {
        i32 len, pad;
        uaddr buf;
    } conf;
    struct ifconf_out o = {0};
    u8 *buf;
    hostfd hfd;
    int r;

    if (copy_from_user(&conf, user_at(arg), sizeof(conf)) < 0)
        return -EFAULT;
    o.user = conf.buf;
    o.room = conf.len > 0 ? (u32)conf.len : 0; /* without a buffer the length may be anything */
    hfd = host_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    if (!hostfd_ok(hfd))
        return hfd.n;
    buf = kmalloc(REPLY_ROOM);
    r = buf == NULL ? -ENOMEM : ifconf_dump(&o, hfd, buf);
    kfree(buf);
    host_close(hfd);
    if (r < 0)
        return r;
    conf.len = (i32)o.used;
    return copy_to_user(user_at(arg), &conf, sizeof(conf));
}
