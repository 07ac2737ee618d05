/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UNIX sockets with a name in a pass-through mount: the name is the host's, and so is a socket
 * there, the outer half. Whoever is outside meets programs of the enclave by it. Two programs of
 * the enclave that meet there talk inside, as by any other name.
 *
 *   bind        the outer half gets the name; the inode is in the table of names inside
 *   connect     a socket inside that is bound to the inode, or else the outer half
 *   sendto      as connect, for each datagram
 *   accept, recv, poll    both halves, in turn
 *
 * Nobody outside passes for a process inside: credentials are UCRED_OUTSIDE, names lead to
 * pass-through mounts or are none. Descriptors do not cross: those of the enclave mean nothing
 * outside, and what the host would give for one is its choice.
 */
#include "filesystems.h"
#include "host.h"
#include "unix_data.h"
#include <linux/stat.h>

#define NAME_HEAD offsetof(struct sockaddr_un, sun_path)

struct socket *unix_outer(struct unix_sock *u)
{
    struct socket *outer = __atomic_load_n(&u->outer, __ATOMIC_ACQUIRE);

    if (outer != NULL) {
        outer->file = u->base.file;
        outer->receive_timeout = u->base.receive_timeout;
        outer->send_timeout = u->base.send_timeout;
        outer->pass_cred = u->base.pass_cred;
    }
    return outer;
}

static int outer_make(struct unix_sock *u)
{
    struct socket *outer;
    int r = 0, half = (int)u->send_size / 2;

    mutex_lock(&u->lock);
    if (u->outer == NULL) {
        r = host_socket_create(AF_UNIX, u->base.type, 0, &outer);
        if (r == 0 && u->send_size != UNIX_BUFFER)
            (void)outer->ops->setsockopt(outer, SOL_SOCKET, SO_SNDBUF, (u8 *)&half, sizeof(half));
        if (r == 0)
            __atomic_store_n(&u->outer, outer, __ATOMIC_RELEASE);
    }
    mutex_unlock(&u->lock);
    if (r == 0)
        waitq_wake(&u->readable, UINT32_MAX); /* who polls asks the host from now on */
    return r;
}

struct unix_binding {
    struct socket_binding b;
    struct unix_sock *u;
};

static hostfd make_for_bind(struct socket_binding *b)
{
    struct unix_sock *u = container_of(b, struct unix_binding, b)->u;
    int r = outer_make(u);

    return r < 0 ? no_hostfd(r) : host_socket_fd(u->outer);
}

int unix_bind_path(struct unix_sock *u, const char *path, struct dentry **out)
{
    struct unix_binding binding = {.b = {.make = make_for_bind, .text = path}, .u = u};

    return path_bind(path, 0777, &binding.b, out);
}

struct socket *unix_outer_listener(struct unix_sock *u)
{
    const struct unix_name *n = u->name;

    return n != NULL && n->dentry != NULL && inode_is_outside(n->dentry->inode) ? unix_outer(u)
                                                                                : NULL;
}

int unix_outer_listen(struct unix_sock *u, int backlog)
{
    struct socket *outer = unix_outer_listener(u);
    struct ucred c = unix_current_cred();

    if (outer == NULL)
        return 0;
    return host_listen(host_socket_fd(outer), backlog, c.uid, c.gid);
}

int unix_outer_accept(struct unix_sock *u, struct unix_sock **out)
{
    struct socket *outer = unix_outer_listener(u), *peer;
    struct unix_sock *e;
    u8 name[ADDRESS_MAX];
    u32 len = 0;
    int r;

    if (outer == NULL)
        return -EAGAIN;
    r = outer->ops->accept(outer, true, &peer, name, &len);
    if (r < 0)
        return r;
    e = unix_alloc(u->base.type);
    if (e == NULL) {
        peer->ops->release(peer);
        return -ENOMEM;
    }
    mutex_lock(&u->lock);
    e->name = u->name;
    ref_get(&u->name->refs);
    e->base.pass_cred = u->base.pass_cred;
    mutex_unlock(&u->lock);
    e->outer = peer;
    e->outer_peer_len = MIN(len, (u32)sizeof(e->outer_peer));
    memcpy(&e->outer_peer, name, e->outer_peer_len);
    e->state = UNIX_CONNECTED;
    e->outside = true;
    *out = e;
    return 0;
}

/* Until the other side's backlog has room, which the host tells nobody. */
static int connect_file(struct unix_sock *u, hostfd file, bool nonblock)
{
    u64 timeout = u->base.send_timeout, deadline = socket_deadline(timeout), pause = 0;
    struct ucred c = unix_current_cred();
    int r;

    for (;;) {
        r = host_connect_file(host_socket_fd(u->outer), file, c.uid, c.gid);
        if (r != -EAGAIN || nonblock)
            return r;
        r = host_pause(NULL, &pause, deadline);
        if (r < 0)
            return socket_wait_result(r, timeout);
    }
}

int unix_outer_connect(struct unix_sock *u, struct dentry *to, const u8 *name, u32 len,
                       bool nonblock)
{
    int r = outer_make(u);
    hostfd file;

    if (r < 0)
        return r;
    file = hostfs_place_open(to->inode);
    if (!hostfd_ok(file))
        return file.n == -ESTALE || file.n == -ENOENT ? -ECONNREFUSED : file.n;
    r = connect_file(u, file, nonblock);
    host_close(file);
    if (r < 0)
        return r;
    mutex_lock(&u->lock);
    u->outer_peer_len = MIN(len, (u32)sizeof(u->outer_peer));
    memcpy(&u->outer_peer, name, u->outer_peer_len);
    __atomic_store_n(&u->outside, true, __ATOMIC_RELEASE);
    __atomic_store_n(&u->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
    mutex_unlock(&u->lock);
    waitq_wake(&u->readable, UINT32_MAX);
    waitq_wake(&u->writable, UINT32_MAX);
    return 0;
}

void unix_outer_disconnect(struct unix_sock *u)
{
    const u16 none[8] = {AF_UNSPEC};

    if (!unix_is_outside(u))
        return;
    (void)host_connect(host_socket_fd(u->outer), none, sizeof(none));
    __atomic_store_n(&u->outside, false, __ATOMIC_RELEASE);
}

ssize_t unix_outer_send_to(struct unix_sock *u, struct dentry *to, struct socket_msg *m)
{
    u64 timeout = u->base.send_timeout, deadline = socket_deadline(timeout), pause = 0;
    struct socket *outer;
    ssize_t r = outer_make(u);
    int flags = m->flags;
    hostfd file;

    if (r < 0)
        return r;
    outer = unix_outer(u);
    file = hostfs_place_open(to->inode);
    if (!hostfd_ok(file))
        return file.n == -ESTALE || file.n == -ENOENT ? -ECONNREFUSED : file.n;
    m->flags |= MSG_DONTWAIT; /* the host does not tell when another one has room */
    for (;;) {
        struct uio saved = *m->io;

        r = host_socket_send_to(outer, file, m);
        if (r != -EAGAIN || (flags & MSG_DONTWAIT) != 0)
            break;
        *m->io = saved;
        r = host_pause(NULL, &pause, deadline);
        if (r < 0) {
            r = socket_wait_result((int)r, timeout);
            break;
        }
    }
    host_close(file);
    return r;
}

ssize_t unix_outer_recv(struct unix_sock *u, struct socket_msg *m)
{
    struct socket *outer = unix_outer(u);

    return outer->ops->recv(outer, m);
}

/*
 * A name that the host gives is looked up, and when that leads to its mount the host is asked, and
 * sees it. So no name of the enclave's own may be on the way but one that leads there anyhow:
 * "/tmp/name/../../host/socket" would tell whether /tmp/name is there.
 */
static bool is_plain(const char *path)
{
    return path[0] == '/' && !path_goes_up(path);
}

void unix_name_arriving(u8 *name, u32 *len)
{
    char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1] = {0};
    struct dentry *d = NULL;
    bool known = false;

    if (*len > NAME_HEAD && name[NAME_HEAD] != 0) {
        memcpy(path, name + NAME_HEAD, *len - NAME_HEAD);
        known = is_plain(path) && path_lookup(AT_FDCWD, path, LOOKUP_NO_MAGIC, &d) == 0 &&
                inode_is_outside(d->inode) && (d->inode->mode & S_IFMT) == S_IFSOCK;
        if (d != NULL)
            dentry_put(d);
    }
    if (!known)
        *len = MIN(*len, (u32)NAME_HEAD);
}
