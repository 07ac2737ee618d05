/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX sockets: options and ioctls. */
#include "unix.h"

static int get_peer_groups(const struct unix_sock *u, u8 *val, u32 *len)
{
    const struct unix_groups *g = u->peer_groups;
    u32 size = g != NULL ? g->count * (u32)sizeof(u32) : 0, room = *len;

    if (unix_state(u) != UNIX_CONNECTED || u->peer_cred.pid == 0)
        return -ENODATA;
    *len = size;
    if (room < size)
        return -ERANGE;
    if (size > 0)
        memcpy(val, g->ids, size);
    return 0;
}

int unix_getsockopt(struct socket *s, int level, int name, u8 *val, u32 *len)
{
    struct unix_sock *u = unix_of(s);
    struct ucred none = UCRED_OUTSIDE;
    struct socket *outer = unix_is_outside(u) ? unix_outer(u) : NULL;
    int x = 0;

    if (level != SOL_SOCKET)
        return -EOPNOTSUPP;
    if (outer != NULL && name == SO_PEERGROUPS)
        return -ENODATA;
    if (outer != NULL && name != SO_PEERCRED && name != SO_ACCEPTCONN)
        return outer->ops->getsockopt(outer, level, name, val, len);
    switch (name) {
    case SO_ERROR:
        x = __atomic_exchange_n(&u->error, 0, __ATOMIC_RELAXED);
        break;
    case SO_ACCEPTCONN:
        x = unix_state(u) == UNIX_LISTENING;
        break;
    case SO_SNDBUF:
        x = (int)u->send_size;
        break;
    case SO_RCVBUF:
        x = (int)UNIX_BUFFER;
        break;
    case SO_REUSEADDR:
    case SO_REUSEPORT:
    case SO_KEEPALIVE:
    case SO_BROADCAST:
    case SO_PASSSEC:
    case SO_PRIORITY:
    case SO_OOBINLINE:
        break;
    case SO_RCVLOWAT:
        x = 1;
        break;
    case SO_PEERCRED: /* of an outer one nobody inside knows them */
        if (outer != NULL)
            ;
        else if (unix_state(u) == UNIX_CONNECTED && u->base.type != SOCK_DGRAM)
            none = u->peer_cred;
        else if (u->base.type == SOCK_DGRAM && u->peer != NULL)
            none = u->peer_cred;
        *len = MIN(*len, (u32)sizeof(none));
        memcpy(val, &none, *len);
        return 0;
    case SO_PEERGROUPS:
        return get_peer_groups(u, val, len);
    default:
        return -ENOPROTOOPT;
    }
    *len = MIN(*len, (u32)sizeof(x));
    memcpy(val, &x, *len);
    return 0;
}

int unix_setsockopt(struct socket *s, int level, int name, const u8 *val, u32 len)
{
    struct unix_sock *u = unix_of(s);
    struct socket *outer = unix_outer(u);
    int x;

    if (level != SOL_SOCKET)
        return -EOPNOTSUPP;
    if (len < sizeof(x))
        return -EINVAL;
    memcpy(&x, val, sizeof(x));
    if (outer != NULL)
        (void)outer->ops->setsockopt(outer, level, name, val, len);
    switch (name) {
    case SO_SNDBUF:
    case SO_SNDBUFFORCE: /* doubled and bounded as Linux does */
        x = x < 0 || x > (int)UNIX_BUFFER ? (int)UNIX_BUFFER : x;
        u->send_size = (u32)MAX(x * 2, 4608);
        if (u->base.type != SOCK_DGRAM && u->peer != NULL)
            u->peer->ring.limit = MIN(u->send_size, UNIX_BUFFER * 2);
        return 0;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
    case SO_REUSEADDR:
    case SO_REUSEPORT:
    case SO_KEEPALIVE:
    case SO_BROADCAST:
    case SO_LINGER:
    case SO_OOBINLINE:
    case SO_PRIORITY:
    case SO_RCVLOWAT:
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

long unix_ioctl(struct socket *s, u32 cmd, u64 arg)
{
    struct unix_sock *u = unix_of(s);
    struct socket *outer = unix_outer(u);
    i32 x = 0;

    if (outer != NULL && unix_is_outside(u) && (cmd == FIONREAD || cmd == TIOCOUTQ))
        return outer->ops->ioctl(outer, cmd, arg);
    switch (cmd) {
    case FIONREAD:
        x = (i32)unix_readable_bytes(u);
        break;
    case TIOCOUTQ:
        if (u->base.type != SOCK_DGRAM && u->peer != NULL)
            x = (i32)unix_readable_bytes(u->peer);
        break;
    default:
        return socket_interface_ioctl(cmd, arg);
    }
    return put_user(x, user_at(arg));
}
