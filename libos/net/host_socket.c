/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP, UDP and routing netlink sockets of the host. The host's socket is always non-blocking;
 * blocking is done here by socket_wait(). Nothing that the host says is more than data from the
 * network: lengths are bounded by host.h, addresses must be of the socket's family, errors must be
 * errors.
 */
#include "host.h"
#include "host_name.h"
#include "unix.h"
#include <linux/netlink.h>
#include <linux/sockios.h>

#define SMALL    4096         /* on the stack */
#define CHUNK    (128u << 10) /* of a stream */
#define DATAGRAM 65536u
#define POLL_HOST \
    (POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLRDBAND | POLLWRBAND)

struct host_socket {
    struct socket base;
    hostfd hfd;
    bool connecting;     /* connect() was started and its result not yet told */
    bool asked_resolver; /* Docker's, see host_name.c */
    struct netlink_notes notes;
};

static const struct socket_ops host_socket_ops;

static struct host_socket *host_of(struct socket *s)
{
    return container_of(s, struct host_socket, base);
}

static int wrap(hostfd hfd, int domain, int type, int protocol, struct socket **out)
{
    struct host_socket *h = kzalloc(sizeof(*h));

    if (h == NULL) {
        host_close(hfd);
        return -ENOMEM;
    }
    socket_init(&h->base, &host_socket_ops, domain, type, protocol);
    h->hfd = hfd;
    netlink_notes_init(&h->notes);
    *out = &h->base;
    return 0;
}

int host_socket_create(int domain, int type, int protocol, struct socket **out)
{
    hostfd hfd;

    if (domain == AF_NETLINK) {
        if (type != SOCK_RAW && type != SOCK_DGRAM)
            return -ESOCKTNOSUPPORT;
        if (protocol != NETLINK_ROUTE)
            return -EPROTONOSUPPORT;
    } else if (domain == AF_UNIX) {
        ; /* unix_host.c */
    } else if (type == SOCK_RAW) {
        if (!capable(13)) /* CAP_NET_RAW */
            return -EPERM;
    } else if (type != SOCK_STREAM && type != SOCK_DGRAM) {
        return -ESOCKTNOSUPPORT;
    }
    hfd = host_socket(domain, type, protocol);
    if (!hostfd_ok(hfd))
        return hfd.n;
    if (protocol == 0 && type == SOCK_STREAM)
        protocol = IPPROTO_TCP;
    else if (protocol == 0 && type == SOCK_DGRAM && domain != AF_NETLINK)
        protocol = IPPROTO_UDP;
    if (domain == AF_UNIX)
        protocol = 0;
    return wrap(hfd, domain, type, protocol, out);
}

hostfd host_socket_fd(const struct socket *s)
{
    return container_of(s, struct host_socket, base)->hfd;
}

struct netlink_notes *host_socket_notes(struct socket *s)
{
    return s->ops == &host_socket_ops && s->domain == AF_NETLINK ? &host_of(s)->notes : NULL;
}

static void check_unix_name(u8 *name, u32 *len)
{
    u16 family;

    if (*len == 0)
        return;
    memcpy(&family, name, sizeof(family));
    if (*len < sizeof(family) || *len > sizeof(struct sockaddr_un) + 1 || family != AF_UNIX)
        panic("the host gave a socket address of family %u and %u bytes for a UNIX socket", family,
              *len);
    speculation_barrier();
    *len = MIN(*len, (u32)sizeof(struct sockaddr_un));
    unix_name_arriving(name, len);
}

/* An address that the host gave: none, or one of the socket's family and size. */
static void check_name(struct socket *s, u8 *name, u32 *len)
{
    u32 expected = s->domain == AF_INET    ? sizeof(struct sockaddr_in)
                   : s->domain == AF_INET6 ? sizeof(struct sockaddr_in6)
                                           : sizeof(struct sockaddr_nl);
    u16 family;

    if (s->domain == AF_UNIX)
        return check_unix_name(name, len);
    if (*len == 0)
        return;
    memcpy(&family, name, sizeof(family));
    if (*len != expected || family != s->domain)
        panic("the host gave a socket address of family %u and %u bytes for a socket of family %d",
              family, *len, s->domain);
    host_name_arriving(name, *len, host_of(s)->asked_resolver);
}

static int host_error(struct host_socket *h)
{
    int err = 0;
    u32 len = sizeof(err);
    int r = host_getsockopt(h->hfd, SOL_SOCKET, SO_ERROR, &err, &len);

    if (r < 0)
        return r;
    if (len != sizeof(err) || err < 0 || err > 4095)
        panic("the host gave the socket error %d", err);
    return -err;
}

static int hs_bind(struct socket *s, const u8 *name, u32 len)
{
    struct host_socket *h = host_of(s);
    u8 there[ADDRESS_MAX];
    int r;

    memcpy(there, name, len);
    r = host_name_leaving(there, len, false, &h->asked_resolver);
    return r < 0 ? -EADDRNOTAVAIL : host_bind(h->hfd, there, len);
}

static int hs_connect(struct socket *s, const u8 *name, u32 len, bool nonblock)
{
    struct host_socket *h = host_of(s);
    u8 there[ADDRESS_MAX];
    int r;

    memcpy(there, name, len);
    r = host_name_leaving(there, len, true, &h->asked_resolver);
    if (r < 0)
        return r;
    if (!h->connecting || nonblock) {
        r = host_connect(h->hfd, there, len);
        if (r != -EINPROGRESS) {
            h->connecting = h->connecting && r == -EALREADY;
            return r;
        }
        h->connecting = true;
        if (nonblock)
            return r;
    }
    r = socket_wait(s, POLLOUT, socket_deadline(s->send_timeout), s->send_timeout);
    if (r == -EAGAIN)
        return -EINPROGRESS;
    if (r < 0)
        return r; /* a restarted connect() waits on */
    h->connecting = false;
    return host_error(h);
}

static int hs_listen(struct socket *s, int backlog)
{
    return host_listen(host_of(s)->hfd, backlog, UINT32_MAX, UINT32_MAX);
}

static int hs_accept(struct socket *s, bool nonblock, struct socket **out, u8 *name, u32 *len)
{
    u64 deadline = nonblock ? 0 : socket_deadline(s->receive_timeout);
    hostfd hfd;
    int r;

    for (;;) {
        *len = ADDRESS_MAX;
        hfd = host_accept(host_of(s)->hfd, name, len);
        if (hostfd_ok(hfd))
            break;
        if (hfd.n != -EAGAIN || nonblock)
            return hfd.n;
        r = socket_wait(s, POLLIN, deadline, s->receive_timeout);
        if (r < 0)
            return r;
    }
    check_name(s, name, len);
    return wrap(hfd, s->domain, s->type, s->protocol, out);
}

static int hs_getname(struct socket *s, bool peer, u8 *name, u32 *len)
{
    int r;

    *len = ADDRESS_MAX;
    r = host_getsockname(host_of(s)->hfd, name, len, peer);
    if (r == 0)
        check_name(s, name, len);
    return r;
}

static int hs_shutdown(struct socket *s, int how)
{
    return host_shutdown(host_of(s)->hfd, how);
}

/* ---- data ---- */

#define SEND_FLAGS (MSG_OOB | MSG_DONTROUTE | MSG_EOR | MSG_CONFIRM | MSG_MORE)
#define RECV_FLAGS (MSG_OOB | MSG_PEEK | MSG_ERRQUEUE)

/*
 * Who a program of the enclave is, beside what it sends over a UNIX socket: the host half adds the
 * process. A user that it may be inside, the LibOS has made sure of.
 */
struct sender {
    u64 len;
    i32 level, type;
    struct ucred cred;
    u32 padding;
};

static struct sender sender_of(const struct socket_msg *m)
{
    struct ucred c = m->scm.has_cred ? m->scm.cred : unix_current_cred();

    return (struct sender){.len = offsetof(struct sender, padding),
                           .level = SOL_SOCKET,
                           .type = SCM_CREDENTIALS,
                           .cred = {0, c.uid, c.gid}};
}

/* One piece, waiting as the flags say. */
static ssize_t send_piece(struct socket *s, const u8 *data, size_t n, struct socket_msg *m,
                          u64 *deadline)
{
    int flags = (m->flags & SEND_FLAGS) | MSG_DONTWAIT | MSG_NOSIGNAL;
    struct host_message beside = {.addr = m->name_len > 0 ? m->name : NULL,
                                  .addr_len = m->name_len,
                                  .control = m->control,
                                  .control_len = m->control_len,
                                  .to_file = m->to_file,
                                  .file = m->file};
    struct sender sender;
    ssize_t r;

    if (s->domain == AF_UNIX) {
        sender = sender_of(m);
        beside.addr = NULL; /* the file, or whom it is connected with */
        beside.addr_len = 0;
        beside.control = &sender;
        beside.control_len = sizeof(sender);
    }

    for (;;) {
        r = host_send(host_of(s)->hfd, data, n, flags, &beside);
        if (r != -EAGAIN || (m->flags & MSG_DONTWAIT) != 0)
            return r;
        if (*deadline == 0)
            *deadline = socket_deadline(s->send_timeout);
        r = socket_wait(s, POLLOUT, *deadline, s->send_timeout);
        if (r < 0)
            return r;
    }
}

static ssize_t send_stream(struct socket *s, struct socket_msg *m, u8 *buf, size_t room)
{
    u64 deadline = 0;
    ssize_t done = 0, n, r;

    for (;;) {
        n = uio_from(m->io, buf, MIN(room, m->io->left));
        if (n < 0)
            return done > 0 ? done : n;
        for (ssize_t sent = 0; sent < n || n == 0; sent += r) {
            r = send_piece(s, buf + sent, (size_t)(n - sent), m, &deadline);
            if (r < 0)
                return done > 0 ? done : r;
            done += r;
            if (n == 0)
                return done;
        }
        if (m->io->left == 0)
            return done;
    }
}

static ssize_t send_datagram(struct socket *s, struct socket_msg *m, u8 *buf)
{
    size_t n = m->io->left;
    u64 deadline = 0;
    ssize_t r = n > 0 ? uio_from(m->io, buf, n) : 0;

    if (r < 0)
        return r;
    if ((size_t)r != n)
        return -EFAULT;
    if (s->domain == AF_NETLINK) {
        r = netlink_check_request(buf, n);
        if (r < 0)
            return r;
    }
    return send_piece(s, buf, n, m, &deadline);
}

static ssize_t hs_send(struct socket *s, struct socket_msg *m)
{
    u8 small[SMALL], *buf = small;
    size_t room = MIN(m->io->left, (size_t)CHUNK);
    u16 family = (u16)s->domain;
    ssize_t r;

    if (s->type != SOCK_STREAM && m->io->left > DATAGRAM)
        return -EMSGSIZE;
    /* raw(7) takes an address of no family for one of its own, as UDP does for IPv4: it has to be
     * seen for what it is. */
    if ((s->domain == AF_INET || (s->domain == AF_INET6 && s->type == SOCK_RAW)) &&
        m->name_len >= sizeof(family) && m->name[0] == AF_UNSPEC && m->name[1] == 0)
        memcpy(m->name, &family, sizeof(family));
    r = m->name_len > 0 && s->domain != AF_UNIX
            ? host_name_leaving(m->name, m->name_len, true, &host_of(s)->asked_resolver)
            : 0;
    if (m->scm.count > 0) /* descriptors stay in the enclave */
        r = -EPERM;
    if (s->domain == AF_UNIX && (m->flags & MSG_OOB) != 0)
        r = -EOPNOTSUPP;
    if (r == 0 && m->control != NULL)
        r = ip_control_leaving(m->control, m->control_len);
    if (r < 0)
        return r;
    if (room > sizeof(small)) {
        buf = kmalloc(room);
        if (buf == NULL)
            return -ENOBUFS;
    }
    if (s->type == SOCK_STREAM)
        r = send_stream(s, m, buf, MAX(room, sizeof(small)));
    else
        r = send_datagram(s, m, buf);
    if (buf != small)
        kfree(buf);
    return r;
}

ssize_t host_socket_send_to(struct socket *s, hostfd file, struct socket_msg *m)
{
    ssize_t r;

    m->to_file = true;
    m->file = file;
    r = hs_send(s, m);
    m->to_file = false;
    return r;
}

/* A note of the LibOS, which comes from number 0 as the kernel's own messages do. */
static ssize_t recv_note(struct socket *s, u8 *buf, size_t n, struct socket_msg *m)
{
    struct sockaddr_nl from = {.nl_family = AF_NETLINK};
    ssize_t r = netlink_notes_take(&host_of(s)->notes, buf, n, (m->flags & MSG_PEEK) != 0);

    if (r < 0)
        return r;
    m->out_flags = 0;
    m->control_len = 0;
    if (m->name != NULL) {
        memcpy(m->name, &from, sizeof(from));
        m->name_len = sizeof(from);
    }
    return r;
}

/* One piece from the host, waiting as the flags say; *note: it is the LibOS's. */
static ssize_t recv_piece(struct socket *s, u8 *buf, size_t n, struct socket_msg *m, u64 *deadline,
                          bool *note)
{
    int flags = (m->flags & RECV_FLAGS) | MSG_DONTWAIT;
    ssize_t r;

    for (;;) {
        struct host_message beside = {.addr = m->name,
                                      .addr_len = m->name != NULL ? ADDRESS_MAX : 0,
                                      .control = m->control,
                                      .control_len = m->control_len};

        *note = s->domain == AF_NETLINK && (r = recv_note(s, buf, n, m)) >= 0;
        if (*note)
            return r;
        r = host_recv(host_of(s)->hfd, buf, n, flags, &beside);
        if (r >= 0) {
            m->out_flags = beside.flags &
                           (MSG_TRUNC | MSG_OOB | MSG_EOR | MSG_CTRUNC | MSG_ERRQUEUE);
            if (m->name != NULL) {
                check_name(s, m->name, &beside.addr_len);
                m->name_len = beside.addr_len;
            }
            if (m->control != NULL)
                m->control_len = ip_control_received(m->control, beside.control_len,
                                                     (beside.flags & MSG_CTRUNC) != 0);
            return r;
        }
        if (r != -EAGAIN || (m->flags & MSG_DONTWAIT) != 0)
            return r;
        if (*deadline == 0)
            *deadline = socket_deadline(s->receive_timeout);
        r = socket_wait(s, (m->flags & MSG_OOB) != 0 ? POLLPRI : POLLIN, *deadline,
                        s->receive_timeout);
        if (r < 0)
            return r;
    }
}

static ssize_t recv_stream(struct socket *s, struct socket_msg *m, u8 *buf, size_t room)
{
    bool all = (m->flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL;
    ssize_t done = 0, r, moved;
    u64 deadline = 0;
    size_t want;
    bool note;

    while ((want = MIN(room, m->io->left)) > 0) {
        r = recv_piece(s, buf, want, m, &deadline, &note);
        if (r <= 0)
            return done > 0 ? done : r;
        if ((m->flags & MSG_TRUNC) != 0) { /* TCP: thrown away instead of copied */
            moved = r;
            m->io->left -= (size_t)r;
        } else {
            moved = uio_to(m->io, buf, (size_t)r);
        }
        if (moved < 0)
            return done > 0 ? done : moved;
        done += moved;
        if (!all)
            break;
    }
    return done;
}

/* With MSG_TRUNC the true length is wanted: receive into enough room to know it without asking the
 * host. */
static ssize_t recv_datagram(struct socket *s, struct socket_msg *m, u8 *buf, size_t room)
{
    size_t left = m->io->left;
    u64 deadline = 0;
    bool note;
    ssize_t r = recv_piece(s, buf, room, m, &deadline, &note), moved;

    if (r < 0)
        return r;
    if (s->domain == AF_NETLINK && !note && (m->out_flags & MSG_TRUNC) == 0)
        r = (ssize_t)netlink_check_reply(buf, (size_t)r);
    moved = r > 0 && left > 0 ? uio_to(m->io, buf, MIN((size_t)r, left)) : 0;
    if (moved < 0)
        return moved;
    if ((size_t)r > left)
        m->out_flags |= MSG_TRUNC;
    return (m->flags & MSG_TRUNC) != 0 ? r : moved;
}

static ssize_t hs_recv(struct socket *s, struct socket_msg *m)
{
    u8 small[SMALL], *buf = small;
    size_t room = MIN(m->io->left, (size_t)CHUNK);
    ssize_t r;

    if (s->domain == AF_UNIX) {
        if ((m->flags & MSG_OOB) != 0)
            return -EOPNOTSUPP;
        if (s->type == SOCK_STREAM)
            m->flags &= ~MSG_TRUNC;
        m->scm.has_cred = true;
        m->scm.cred = UCRED_OUTSIDE;
    }
    if (s->type != SOCK_STREAM)
        room = (m->flags & MSG_TRUNC) != 0 || s->domain == AF_NETLINK ? DATAGRAM
                                                                      : MIN(room, (size_t)DATAGRAM);
    if (room > sizeof(small)) {
        buf = kmalloc(room);
        if (buf == NULL)
            return -ENOBUFS;
    }
    if (s->type == SOCK_STREAM)
        r = recv_stream(s, m, buf, room);
    else
        r = recv_datagram(s, m, buf, room);
    if (buf != small)
        kfree(buf);
    return r;
}

/* ---- options ---- */

static int hs_getsockopt(struct socket *s, int level, int name, u8 *val, u32 *len)
{
    struct host_socket *h = host_of(s);

    if (level == SOL_SOCKET && name == SO_ERROR) {
        int err = host_error(h);

        if (err < 0)
            h->connecting = false;
        err = -err;
        *len = MIN(*len, (u32)sizeof(err));
        memcpy(val, &err, *len);
        return 0;
    }
    if (!host_option_is_safe(s, level, name))
        return -ENOPROTOOPT;
    return host_getsockopt(h->hfd, level, name, val, len);
}

static int hs_setsockopt(struct socket *s, int level, int name, const u8 *val, u32 len)
{
    if (!host_option_is_safe(s, level, name))
        return -ENOPROTOOPT;
    return host_setsockopt(host_of(s)->hfd, level, name, val, len);
}

/* ---- ioctl ---- */

#define IFREQ_SIZE 40
#define IFNAMSIZ   16

static long ioctl_int(struct host_socket *h, u32 cmd, u64 arg)
{
    i32 x = 0;
    int r = host_ioctl(h->hfd, cmd, &x, sizeof(x));

    if (r < 0)
        return r;
    return put_user(x, user_at(arg));
}

static long ioctl_ifreq(hostfd hfd, u32 cmd, u64 arg)
{
    u8 req[IFREQ_SIZE];
    int r = copy_from_user(req, user_at(arg), sizeof(req));

    if (r == 0)
        r = host_ioctl(hfd, cmd, req, sizeof(req));
    if (r < 0)
        return r;
    return copy_to_user(user_at(arg), req, sizeof(req));
}

/* The enclave's own loopback is up: who makes it so changes nothing. */
static long set_interface_flags(u64 arg)
{
    u8 req[IFREQ_SIZE];
    u16 flags;

    if (copy_from_user(req, user_at(arg), sizeof(req)) < 0)
        return -EFAULT;
    memcpy(&flags, req + IFNAMSIZ, sizeof(flags));
    return memcmp(req, "lo", 3) == 0 && netlink_may_set_up(flags) ? 0 : -EPERM;
}

long socket_interface_ioctl(u32 cmd, u64 arg)
{
    u8 req[IFREQ_SIZE];
    hostfd hfd;
    long r;

    switch (cmd) {
    case SIOCGIFCONF:
        return netlink_ifconf(arg);
    case SIOCGIFNAME:
    case SIOCGIFFLAGS:
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFMETRIC:
    case SIOCGIFMTU:
    case SIOCGIFHWADDR:
    case SIOCGIFINDEX:
    case SIOCGIFTXQLEN:
        break;
    case SIOCSIFFLAGS:
        return set_interface_flags(arg);
    case SIOCSIFADDR:
    case SIOCSIFDSTADDR:
    case SIOCSIFBRDADDR:
    case SIOCSIFNETMASK:
    case SIOCSIFMETRIC:
    case SIOCSIFMTU:
    case SIOCSIFHWADDR:
    case SIOCSIFTXQLEN:
    case SIOCSIFNAME:
        return copy_from_user(req, user_at(arg), sizeof(req)) < 0 ? -EFAULT : -EPERM;
    default:
        return -ENOTTY;
    }
    hfd = host_socket(AF_INET, SOCK_DGRAM, 0);
    if (!hostfd_ok(hfd))
        return hfd.n;
    r = ioctl_ifreq(hfd, cmd, arg);
    host_close(hfd);
    return r;
}

static long hs_ioctl(struct socket *s, u32 cmd, u64 arg)
{
    struct host_socket *h = host_of(s);

    switch (cmd) {
    case FIONREAD:
    case TIOCOUTQ:
    case SIOCATMARK:
        return ioctl_int(h, cmd, arg);
    default:
        return socket_interface_ioctl(cmd, arg);
    }
}

static u32 hs_poll(struct socket *s, struct poll_table *pt)
{
    u32 ready = poll_host(pt, host_of(s)->hfd, POLL_HOST);

    if (s->domain == AF_NETLINK && netlink_notes_wait(&host_of(s)->notes, pt))
        ready |= POLLIN | POLLRDNORM;
    return ready;
}

static void hs_release(struct socket *s)
{
    host_close(host_of(s)->hfd);
    netlink_notes_drop(&host_of(s)->notes);
    kfree(host_of(s));
}

static const struct socket_ops host_socket_ops = {
    .bind = hs_bind,
    .connect = hs_connect,
    .listen = hs_listen,
    .accept = hs_accept,
    .getname = hs_getname,
    .send = hs_send,
    .recv = hs_recv,
    .shutdown = hs_shutdown,
    .getsockopt = hs_getsockopt,
    .setsockopt = hs_setsockopt,
    .ioctl = hs_ioctl,
    .poll = hs_poll,
    .release = hs_release,
};
