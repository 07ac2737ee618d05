/* SPDX-License-Identifier: Apache-2.0 */
/* All sockets that are files, for /proc/net. */
#include "loop.h"
#include "net.h"
#include <linux/tcp.h>

static struct mutex g_sockets_lock;
static struct list_head g_sockets = LIST_HEAD_INIT(g_sockets);

void socket_list_add(struct socket *s)
{
    mutex_lock(&g_sockets_lock);
    list_add_tail(&s->all, &g_sockets);
    mutex_unlock(&g_sockets_lock);
}

void socket_list_remove(struct socket *s)
{
    mutex_lock(&g_sockets_lock);
    list_del(&s->all);
    mutex_unlock(&g_sockets_lock);
}

static bool get_name(struct socket *s, bool peer, u8 addr[16], u16 *port)
{
    struct sockaddr_in6 a6;
    struct sockaddr_in a4;
    u8 name[ADDRESS_MAX];
    u32 len = 0;

    memset(addr, 0, 16);
    *port = 0;
    if (s->ops->getname(s, peer, name, &len) < 0)
        return false;
    if (s->domain == AF_INET && len >= sizeof(a4)) {
        memcpy(&a4, name, sizeof(a4));
        memcpy(addr, &a4.sin_addr, 4);
        *port = __builtin_bswap16(a4.sin_port);
    } else if (s->domain == AF_INET6 && len >= sizeof(a6)) {
        memcpy(&a6, name, sizeof(a6));
        memcpy(addr, &a6.sin6_addr, 16);
        *port = __builtin_bswap16(a6.sin6_port);
    }
    return true;
}

static void tcp_state(struct socket *s, struct socket_line *line)
{
    struct tcp_info info = {0};
    u32 len = sizeof(info);

    if (s->ops->getsockopt(s, IPPROTO_TCP, TCP_INFO, (u8 *)&info, &len) < 0)
        return;
    line->state = info.tcpi_state;
    if (info.tcpi_state == LOOP_TCP_LISTEN)
        line->received = info.tcpi_unacked;
}

void socket_list_walk(int domain, int type, void (*fn)(void *ctx, const struct socket_line *line),
                      void *ctx)
{
    struct socket *s;

    mutex_lock(&g_sockets_lock);
    list_for_each_entry (s, &g_sockets, all) {
        struct socket_line line = {.uid = s->uid, .inode = s->file->id, .state = 7 /* CLOSE */};
        bool connected;

        if (s->domain != domain || s->type != type ||
            (type == SOCK_DGRAM && s->protocol != IPPROTO_UDP))
            continue;
        (void)get_name(s, false, line.local, &line.local_port);
        connected = get_name(s, true, line.remote, &line.remote_port);
        if (line.local_port == 0) /* neither has Linux those that are not bound */
            continue;
        line.received = loop_received(s, &line.dropped);
        if (type == SOCK_STREAM)
            tcp_state(s, &line);
        else if (connected)
            line.state = 1; /* ESTABLISHED */
        fn(ctx, &line);
    }
    mutex_unlock(&g_sockets_lock);
}
