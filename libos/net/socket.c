/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of sockets: arguments in, a family's work, results out. */
#include "socket.h"
#include <linux/capability.h>
#include <linux/sockios.h>

#define OPTION_MAX 1024

static const struct file_ops socket_file_ops;

/* ---- objects ---- */

void socket_init(struct socket *s, const struct socket_ops *ops, int domain, int type, int protocol)
{
    s->ops = ops;
    s->file = NULL;
    s->domain = domain;
    s->type = type;
    s->protocol = protocol;
    s->receive_timeout = s->send_timeout = NO_DEADLINE;
    s->pass_cred = false;
    s->uid = current_process()->cred.euid;
    list_init(&s->all);
}

struct file *socket_file(struct socket *s, u32 flags)
{
    struct file *f = file_alloc(&socket_file_ops, O_RDWR | (flags & O_NONBLOCK));

    if (f == NULL)
        return NULL;
    f->private = s;
    f->kind = "socket";
    s->file = f;
    socket_list_add(s);
    return f;
}

int socket_wait(struct socket *s, u16 events, u64 deadline, u64 timeout)
{
    int r = file_wait(s->file, events, deadline);

    if (r == -ETIMEDOUT)
        return -EAGAIN;
    return r == -ERESTARTSYS && timeout != NO_DEADLINE ? -EINTR : r;
}

int socket_wait_result(int r, u64 timeout)
{
    if (r == -ETIMEDOUT)
        return -EAGAIN;
    if (r == -EINTR)
        return timeout == NO_DEADLINE ? -ERESTARTSYS : -EINTR;
    return r;
}

int socket_get(int fd, struct file **out)
{
    struct file *f = fd_get(fd);

    if (f == NULL)
        return -EBADF;
    if (f->ops != &socket_file_ops) {
        int r = f->flags & O_PATH ? -EBADF : -ENOTSOCK;

        file_put(f);
        return r;
    }
    *out = f;
    return 0;
}

static int install(struct socket *s, int flags)
{
    struct file *f = socket_file(s, (u32)flags);

    if (f == NULL) {
        s->ops->release(s);
        return -ENOMEM;
    }
    return fd_install(f, (flags & SOCK_CLOEXEC) != 0);
}

/* ---- addresses ---- */

int socket_name_from_user(u8 *name, uaddr user, int len)
{
    if (len < 0 || len > ADDRESS_MAX)
        return -EINVAL;
    return len == 0 ? 0 : copy_from_user(name, user, (size_t)len);
}

int socket_name_to_user(const u8 *name, u32 len, uaddr user, uaddr user_len)
{
    i32 room;

    if (get_user(room, user_len) < 0)
        return -EFAULT;
    if (room < 0)
        return -EINVAL;
    if (copy_to_user(user, name, MIN((u32)room, len)) < 0)
        return -EFAULT;
    return put_user(len, user_len);
}

/* ---- creation ---- */

static int create(int domain, int type, int protocol, struct socket **out)
{
    switch (domain) {
    case AF_UNIX:
        return unix_create(type, protocol, out);
    case AF_INET:
    case AF_INET6:
        return loop_create(domain, type, protocol, out);
    case AF_NETLINK:
        return host_socket_create(domain, type, protocol, out);
    default:
        return -EAFNOSUPPORT;
    }
}

long sys_socket(int domain, int kind, int protocol)
{
    int type = kind & SOCK_TYPE_MASK, flags = kind & ~SOCK_TYPE_MASK;
    struct socket *s;
    int r;

    if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0)
        return -EINVAL;
    r = create(domain, type, protocol, &s);
    return r < 0 ? r : install(s, flags);
}

/* What socketpair() says of a kind that exists, and has no pairs, and of others. */
static int inet_pair_error(int type, int protocol)
{
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_RAW)
        return -ESOCKTNOSUPPORT;
    if (type == SOCK_RAW) /* as inet_create(): the protocol has to be named */
        return protocol == 0 ? -EPROTONOSUPPORT : !capable(13) ? -EPERM : -EOPNOTSUPP;
    return protocol == 0 || (type == SOCK_STREAM && protocol == IPPROTO_TCP) ||
                   (type == SOCK_DGRAM && protocol == IPPROTO_UDP)
               ? -EOPNOTSUPP
               : -EPROTONOSUPPORT;
}

long sys_socketpair(int domain, int kind, int protocol, uaddr user_fds)
{
    int type = kind & SOCK_TYPE_MASK, flags = kind & ~SOCK_TYPE_MASK, r;
    struct socket *pair[2];
    i32 fds[2];

    if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0)
        return -EINVAL;
    if (domain != AF_UNIX)
        return domain != AF_INET && domain != AF_INET6 ? -EAFNOSUPPORT
                                                       : inet_pair_error(type, protocol);
    r = unix_pair(type, protocol, pair);
    if (r < 0)
        return r;
    fds[0] = install(pair[0], flags);
    fds[1] = fds[0] < 0 ? fds[0] : install(pair[1], flags);
    if (fds[0] < 0) {
        pair[1]->ops->release(pair[1]);
        return fds[0];
    }
    if (fds[1] < 0 || copy_to_user(user_fds, fds, sizeof(fds)) < 0) {
        fd_close(fds[0]);
        if (fds[1] < 0)
            return fds[1];
        fd_close(fds[1]);
        return -EFAULT;
    }
    return 0;
}

static long accept_file(struct file *lf, uaddr user, uaddr user_len, int flags)
{
    struct socket *s = lf->private, *peer;
    u8 name[ADDRESS_MAX];
    u32 len = 0;
    struct file *f;
    int r;

    if (s->ops->accept == NULL)
        return -EOPNOTSUPP;
    r = s->ops->accept(s, (lf->flags & O_NONBLOCK) != 0, &peer, name, &len);
    if (r < 0)
        return r;
    f = socket_file(peer, (u32)flags);
    if (f == NULL) {
        peer->ops->release(peer);
        return -ENOMEM;
    }
    if (user.at) {
        r = socket_name_to_user(name, len, user, user_len);
        if (r < 0) {
            file_put(f);
            return r;
        }
    }
    return fd_install(f, (flags & SOCK_CLOEXEC) != 0);
}

static long accept_fd(int fd, uaddr user, uaddr user_len, int flags)
{
    struct file *f;
    long r;

    if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0)
        return -EINVAL;
    r = socket_get(fd, &f);
    if (r < 0)
        return r;
    r = accept_file(f, user, user_len, flags);
    file_put(f);
    return r;
}

long sys_accept(int fd, uaddr address, uaddr size)
{
    return accept_fd(fd, address, size, 0);
}

long sys_accept4(int fd, uaddr address, uaddr size, int flags)
{
    return accept_fd(fd, address, size, flags);
}

long sys_bind(int fd, uaddr address, int size)
{
    u8 name[ADDRESS_MAX] = {0};
    struct file *file;
    struct socket *s;
    long r = socket_get(fd, &file);

    if (r < 0)
        return r;
    s = file->private;
    r = socket_name_from_user(name, address, size);
    if (r == 0)
        r = (u32)size < sizeof(u16) ? -EINVAL : s->ops->bind(s, name, (u32)size);
    file_put(file);
    return r;
}

long sys_connect(int fd, uaddr address, int size)
{
    u8 name[ADDRESS_MAX] = {0};
    struct file *file;
    struct socket *s;
    long r = socket_get(fd, &file);

    if (r < 0)
        return r;
    s = file->private;
    r = socket_name_from_user(name, address, size);
    if (r == 0)
        r = (u32)size < sizeof(u16)
                ? -EINVAL
                : s->ops->connect(s, name, (u32)size, (file->flags & O_NONBLOCK) != 0);
    file_put(file);
    return r;
}

long sys_listen(int fd, int backlog)
{
    struct file *file;
    struct socket *s;
    long r = socket_get(fd, &file);

    if (r < 0)
        return r;
    s = file->private;
    r = s->ops->listen == NULL ? -EOPNOTSUPP : s->ops->listen(s, backlog);
    file_put(file);
    return r;
}

long sys_shutdown(int fd, int how)
{
    struct file *file;
    struct socket *s;
    long r = socket_get(fd, &file);

    if (r < 0)
        return r;
    s = file->private;
    r = how < SHUT_RD || how > SHUT_RDWR ? -EINVAL
        : s->ops->shutdown == NULL       ? -EOPNOTSUPP
                                         : s->ops->shutdown(s, how);
    file_put(file);
    return r;
}

static long getname(int fd, bool peer, uaddr user, uaddr user_len)
{
    u8 name[ADDRESS_MAX];
    u32 len = 0;
    struct file *f;
    struct socket *s;
    long r = socket_get(fd, &f);

    if (r < 0)
        return r;
    s = f->private;
    r = s->ops->getname(s, peer, name, &len);
    file_put(f);
    return r < 0 ? r : socket_name_to_user(name, len, user, user_len);
}

long sys_getsockname(int fd, uaddr address, uaddr size)
{
    return getname(fd, false, address, size);
}

long sys_getpeername(int fd, uaddr address, uaddr size)
{
    return getname(fd, true, address, size);
}

/* ---- options ---- */

static int put_int(u8 *val, u32 *len, int x)
{
    *len = MIN(*len, (u32)sizeof(x));
    memcpy(val, &x, *len);
    return 0;
}

static int get_timeout(u64 ns, u8 *val, u32 *len)
{
    i64 tv[2] = {0, 0};

    if (ns != NO_DEADLINE) {
        tv[0] = (i64)(ns / 1000000000);
        tv[1] = (i64)(ns % 1000000000 / 1000);
    }
    *len = MIN(*len, (u32)sizeof(tv));
    memcpy(val, tv, *len);
    return 0;
}

static int set_timeout(u64 *ns, const u8 *val, u32 len)
{
    i64 tv[2];

    if (len < sizeof(tv))
        return -EINVAL;
    memcpy(tv, val, sizeof(tv));
    if (tv[1] < 0 || tv[1] >= 1000000)
        return -EDOM;
    if (tv[0] < 0)
        *ns = 0;
    else if ((tv[0] == 0 && tv[1] == 0) || tv[0] >= INT64_MAX / 1000000000)
        *ns = NO_DEADLINE;
    else
        *ns = (u64)tv[0] * 1000000000 + (u64)tv[1] * 1000;
    return 0;
}

/* 1: not one of these. */
static int common_getsockopt(struct socket *s, int name, u8 *val, u32 *len)
{
    switch (name) {
    case SO_TYPE:
        return put_int(val, len, s->type);
    case SO_DOMAIN:
        return put_int(val, len, s->domain);
    case SO_PROTOCOL:
        return put_int(val, len, s->protocol);
    case SO_PASSCRED:
        return put_int(val, len, s->pass_cred);
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
        return get_timeout(s->receive_timeout, val, len);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
        return get_timeout(s->send_timeout, val, len);
    default:
        return 1;
    }
}

static int common_setsockopt(struct socket *s, int name, const u8 *val, u32 len)
{
    int x;

    switch (name) {
    case SO_TYPE:
    case SO_DOMAIN:
    case SO_PROTOCOL:
    case SO_ERROR:
    case SO_ACCEPTCONN:
        return -ENOPROTOOPT;
    case SO_PASSCRED:
        if (len < sizeof(x))
            return -EINVAL;
        memcpy(&x, val, sizeof(x));
        if (s->domain == AF_UNIX || s->domain == AF_NETLINK)
            s->pass_cred = x != 0;
        return 0;
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
        return set_timeout(&s->receive_timeout, val, len);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
        return set_timeout(&s->send_timeout, val, len);
    default:
        return 1;
    }
}

long sys_getsockopt(int fd, int level, int name, uaddr value, uaddr size)
{
    u8 val[OPTION_MAX] = {0};
    struct file *file;
    struct socket *s;
    i32 room;
    u32 len;
    long r = socket_get(fd, &file);

    if (r < 0)
        return r;
    s = file->private;
    r = get_user(room, size);
    if (r == 0 && room < 0)
        r = -EINVAL;
    if (r == 0) {
        len = MIN((u32)room, (u32)sizeof(val));
        r = level == SOL_SOCKET ? common_getsockopt(s, name, val, &len) : 1;
        if (r == 1)
            r = s->ops->getsockopt(s, level, name, val, &len);
    }
    file_put(file);
    if (r == 0 && (copy_to_user(value, val, len) < 0 || put_user(len, size) < 0))
        r = -EFAULT;
    return r;
}

/* Options that Linux keeps for who may administer the network. The process of the host that sets
 * them may do so; the caller has to as well. */
static const struct privileged {
    int level, name;
    i32 free_from, free_to; /* values that all may set */
    bool admin;             /* CAP_NET_ADMIN alone; else CAP_NET_RAW is enough */
} g_privileged[] = {
    {SOL_SOCKET, SO_SNDBUFFORCE, 1, 0, true},  {SOL_SOCKET, SO_RCVBUFFORCE, 1, 0, true},
    {SOL_SOCKET, SO_BUSY_POLL, 0, 0, true},    {SOL_SOCKET, SO_PRIORITY, 0, 6, false},
    {SOL_SOCKET, SO_MARK, 1, 0, false},        {IPPROTO_IP, IP_TRANSPARENT, 0, 0, false},
    {IPPROTO_IPV6, IPV6_HOPOPTS, 1, 0, false}, {IPPROTO_IPV6, IPV6_RTHDRDSTOPTS, 1, 0, false},
    {IPPROTO_IPV6, IPV6_DSTOPTS, 1, 0, false},
};

static bool may_set_option(int level, int name, const u8 *val)
{
    i32 v;

    memcpy(&v, val, sizeof(v));
    for (size_t i = 0; i < ARRAY_SIZE(g_privileged); i++) {
        const struct privileged *p = &g_privileged[i];

        if (p->level == level && p->name == name && !(v >= p->free_from && v <= p->free_to))
            return capable(CAP_NET_ADMIN) || (!p->admin && capable(CAP_NET_RAW));
    }
    return true;
}

long sys_setsockopt(int fd, int level, int name, uaddr value, int size)
{
    u8 val[OPTION_MAX] = {0};
    u32 len = (u32)size;
    struct file *file;
    struct socket *s;
    long r = socket_get(fd, &file);

    if (r < 0)
        return r;
    s = file->private;
    if (size < 0 || len > sizeof(val))
        r = -EINVAL;
    else
        r = copy_from_user(val, value, len);
    if (r == 0 && !may_set_option(level, name, val))
        r = -EPERM;
    if (r == 0)
        r = level == SOL_SOCKET ? common_setsockopt(s, name, val, len) : 1;
    if (r == 1)
        r = s->ops->setsockopt(s, level, name, val, len);
    file_put(file);
    return r;
}

/* ---- the file ---- */

static long socket_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct socket *s = f->private;

    if (cmd == SIOCETHTOOL) /* as a driver that has no such operations */
        return -EOPNOTSUPP;
    return s->ops->ioctl(s, cmd, arg);
}

static u32 socket_poll(struct file *f, struct poll_table *pt)
{
    struct socket *s = f->private;

    return s->ops->poll(s, pt);
}

static void socket_release(struct file *f)
{
    struct socket *s = f->private;

    socket_list_remove(s);
    s->ops->release(s);
}

static const struct file_ops socket_file_ops = {
    .read = socket_read,
    .write = socket_write,
    .ioctl = socket_ioctl,
    .poll = socket_poll,
    .release = socket_release,
};
