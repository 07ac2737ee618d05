/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX sockets: names, connecting, options, life. */
#include "unix.h"
#include <linux/stat.h>

#define BUCKETS     64
#define BACKLOG_MAX 4096
#define PATH_ROOM   (sizeof(((struct sockaddr_un *)0)->sun_path) + 1)
#define NAME_HEAD   offsetof(struct sockaddr_un, sun_path)

static const struct socket_ops unix_ops;
static struct mutex g_names_lock;
static struct list_head g_names[BUCKETS];

/* ---- life ---- */

void unix_get(struct unix_sock *u)
{
    ref_get(&u->refs);
}

void unix_put(struct unix_sock *u)
{
    if (!ref_put(&u->refs))
        return;
    if (u->name != NULL)
        unix_name_put(u->name);
    kfree(u->ring);
    kfree(u);
}

struct ucred unix_current_cred(void)
{
    struct process *p = current_process();

    return (struct ucred){p->pid, p->cred.euid, p->cred.egid};
}

static struct unix_sock *sock_alloc(int type)
{
    struct unix_sock *u = kzalloc(sizeof(*u));

    if (u == NULL)
        return NULL;
    socket_init(&u->base, &unix_ops, AF_UNIX, type, 0);
    ref_init(&u->refs);
    waitq_init(&u->readable);
    waitq_init(&u->writable);
    list_init(&u->marks);
    list_init(&u->packets);
    list_init(&u->backlog);
    list_init(&u->backlog_link);
    u->limit = u->send_size = UNIX_BUFFER;
    u->cred = unix_current_cred();
    return u;
}

int unix_create(int type, int protocol, struct socket **out)
{
    struct unix_sock *u;

    if (protocol != 0 && protocol != AF_UNIX)
        return -EPROTONOSUPPORT;
    if (type == SOCK_RAW) /* as Linux: the same as datagrams */
        type = SOCK_DGRAM;
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return -ESOCKTNOSUPPORT;
    u = sock_alloc(type);
    if (u == NULL)
        return -ENOMEM;
    *out = &u->base;
    return 0;
}

/* Each holds a reference to the other. Nobody else may know them yet, or a's and b's locks are
 * held. */
static void join(struct unix_sock *a, struct unix_sock *b)
{
    unix_get(a);
    unix_get(b);
    a->peer = b;
    b->peer = a;
    a->peer_cred = b->cred;
    b->peer_cred = a->cred;
    __atomic_store_n(&b->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
    __atomic_store_n(&a->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
}

int unix_pair(int type, int protocol, struct socket *out[2])
{
    int r = unix_create(type, protocol, &out[0]);

    if (r < 0)
        return r;
    r = unix_create(type, protocol, &out[1]);
    if (r < 0) {
        unix_put(unix_of(out[0]));
        return r;
    }
    join(unix_of(out[0]), unix_of(out[1]));
    return 0;
}

/* u's other end: nothing comes from u any more. */
static void tell_peer_gone(struct unix_sock *u, bool unread)
{
    struct unix_sock *peer = u->peer;

    mutex_lock(&peer->lock);
    peer->eof = peer->peer_gone = true;
    if (unread)
        peer->error = ECONNRESET;
    mutex_unlock(&peer->lock);
    waitq_wake(&peer->readable, UINT32_MAX);
    waitq_wake(&peer->writable, UINT32_MAX);
}

/* An accepted socket shares the name of its listener, and does not own it. */
static void name_forget(struct unix_sock *u)
{
    mutex_lock(&g_names_lock);
    if (u->name->owner == u) {
        u->name->owner = NULL;
        list_del(&u->name->link);
    }
    mutex_unlock(&g_names_lock);
}

static void sock_close(struct unix_sock *u)
{
    struct unix_sock *peer;
    struct list_head backlog;
    bool unread;

    if (u->name != NULL)
        name_forget(u);
    list_init(&backlog);
    mutex_lock(&u->lock);
    __atomic_store_n(&u->state, UNIX_CLOSED, __ATOMIC_RELEASE);
    while (!list_empty(&u->backlog)) {
        struct list_head *l = u->backlog.next;

        list_del(l);
        list_add_tail(l, &backlog);
    }
    mutex_unlock(&u->lock);
    unread = unix_drop_data(u);
    waitq_wake(&u->writable, UINT32_MAX); /* connect() waiting for the backlog */
    if (u->peer != NULL && u->base.type != SOCK_DGRAM)
        tell_peer_gone(u, unread);
    while (!list_empty(&backlog)) {
        struct unix_sock *e = list_first_entry(&backlog, struct unix_sock, backlog_link);

        list_del(&e->backlog_link);
        mutex_lock(&e->lock);
        __atomic_store_n(&e->state, UNIX_CLOSED, __ATOMIC_RELEASE);
        mutex_unlock(&e->lock);
        (void)unix_drop_data(e);
        tell_peer_gone(e, true);
        unix_put(e->peer);
        unix_put(e);
    }
    mutex_lock(&u->lock);
    peer = u->peer;
    u->peer = NULL;
    mutex_unlock(&u->lock);
    if (peer != NULL)
        unix_put(peer);
}

/* ---- names: abstract ones by their bytes, paths by the inode that bind() made ---- */

void unix_name_put(struct unix_name *n)
{
    if (!ref_put(&n->refs))
        return;
    if (n->dentry != NULL)
        dentry_put(n->dentry);
    kfree(n);
}

static u32 hash_bytes(const u8 *p, size_t n)
{
    u32 h = 2166136261u;

    while (n-- > 0)
        h = (h ^ *p++) * 16777619u;
    return h % BUCKETS;
}

static u32 hash_inode(const struct inode *i)
{
    return hash_bytes((const u8 *)&i, sizeof(i));
}

static struct list_head *bucket(u32 hash)
{
    struct list_head *b = &g_names[hash];

    if (b->next == NULL)
        list_init(b);
    return b;
}

static struct unix_name *find_abstract(const u8 *addr, u32 len)
{
    struct unix_name *n;

    list_for_each_entry (n, bucket(hash_bytes(addr, len)), link) {
        if (n->dentry == NULL && n->len == len && memcmp(&n->addr, addr, len) == 0)
            return n;
    }
    return NULL;
}

static struct unix_name *find_inode(const struct inode *i)
{
    struct unix_name *n;

    list_for_each_entry (n, bucket(hash_inode(i)), link) {
        if (n->dentry != NULL && n->dentry->inode == i)
            return n;
    }
    return NULL;
}

static bool name_is_path(const u8 *name, u32 len)
{
    return len > NAME_HEAD && name[NAME_HEAD] != 0;
}

static int check_name(const u8 *name, u32 len)
{
    u16 family;

    memcpy(&family, name, sizeof(family));
    return family != AF_UNIX || len > sizeof(struct sockaddr_un) ? -EINVAL : 0;
}

static void path_of(const u8 *name, u32 len, char path[PATH_ROOM])
{
    memcpy(path, name + NAME_HEAD, len - NAME_HEAD);
    path[len - NAME_HEAD] = 0;
}

int unix_find(const u8 *name, u32 len, int type, struct unix_sock **out)
{
    struct dentry *d = NULL;
    struct unix_name *n;
    char path[PATH_ROOM];
    int r = check_name(name, len);

    if (r < 0 || len <= NAME_HEAD)
        return r < 0 ? r : -EINVAL;
    if (name_is_path(name, len)) {
        path_of(name, len, path);
        r = path_lookup(AT_FDCWD, path, 0, &d);
        if (r < 0)
            return r;
        r = inode_permission(d->inode, MAY_WRITE);
        if (r == 0 && (d->inode->mode & S_IFMT) != S_IFSOCK)
            r = -ECONNREFUSED;
    }
    if (r == 0) {
        mutex_lock(&g_names_lock);
        n = d != NULL ? find_inode(d->inode) : find_abstract(name, len);
        if (n == NULL)
            r = -ECONNREFUSED;
        else if (n->owner->base.type != type)
            r = -EPROTOTYPE;
        else
            unix_get(*out = n->owner);
        mutex_unlock(&g_names_lock);
    }
    if (d != NULL)
        dentry_put(d);
    return r;
}

static struct unix_name *name_alloc(struct unix_sock *u, const u8 *name, u32 len)
{
    struct unix_name *n = kzalloc(sizeof(*n));

    if (n == NULL)
        return NULL;
    ref_init(&n->refs);
    list_init(&n->link);
    n->owner = u;
    n->len = len;
    memcpy(&n->addr, name, len);
    return n;
}

/* Takes n. */
static int name_bind(struct unix_sock *u, struct unix_name *n)
{
    int r = 0;
    u32 hash;

    mutex_lock(&g_names_lock);
    hash = n->dentry != NULL ? hash_inode(n->dentry->inode) : hash_bytes((u8 *)&n->addr, n->len);
    if (u->name != NULL)
        r = -EINVAL;
    else if (n->dentry == NULL && find_abstract((u8 *)&n->addr, n->len) != NULL)
        r = -EADDRINUSE;
    else
        list_add(&n->link, bucket(hash));
    if (r == 0)
        u->name = n;
    mutex_unlock(&g_names_lock);
    if (r < 0)
        unix_name_put(n);
    return r;
}

int unix_autobind(struct unix_sock *u)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int r = -EADDRINUSE;

    for (int tries = 0; r == -EADDRINUSE && tries < 1000; tries++) {
        struct unix_name *n;

        (void)snprintf(addr.sun_path + 1, 6, "%05x", (u32)(random_u64() & 0xfffff));
        n = name_alloc(u, (u8 *)&addr, NAME_HEAD + 6);
        if (n == NULL)
            return -ENOMEM;
        r = name_bind(u, n);
    }
    return u->name != NULL ? 0 : r;
}

static int unix_bind(struct socket *s, const u8 *name, u32 len)
{
    struct unix_sock *u = unix_of(s);
    struct unix_name *n;
    char path[PATH_ROOM];
    int r = check_name(name, len);

    if (r < 0)
        return r;
    if (u->name != NULL)
        return -EINVAL;
    if (len == NAME_HEAD)
        return unix_autobind(u);
    if (name_is_path(name, len)) { /* the address ends with the path's NUL */
        path_of(name, len, path);
        len = (u32)(NAME_HEAD + strlen(path) + 1);
        len = MIN(len, (u32)sizeof(struct sockaddr_un));
    }
    n = name_alloc(u, name, len);
    if (n == NULL)
        return -ENOMEM;
    if (name_is_path(name, len)) {
        r = path_mknod(AT_FDCWD, path, S_IFSOCK | 0777, 0, &n->dentry);
        if (r < 0) {
            n->dentry = NULL;
            unix_name_put(n);
            return r == -EEXIST ? -EADDRINUSE : r;
        }
    }
    return name_bind(u, n);
}

static int unix_getname(struct socket *s, bool peer, u8 *name, u32 *len)
{
    struct unix_sock *u = unix_of(s);
    const struct unix_name *n;
    u16 family = AF_UNIX;
    int r = 0;

    mutex_lock(&u->lock);
    if (peer &&
        (u->peer == NULL || (u->base.type != SOCK_DGRAM && unix_state(u) != UNIX_CONNECTED))) {
        r = -ENOTCONN;
    } else {
        n = peer ? u->peer->name : u->name;
        *len = n != NULL ? n->len : NAME_HEAD;
        if (n != NULL)
            memcpy(name, &n->addr, n->len);
        else
            memcpy(name, &family, sizeof(family));
    }
    mutex_unlock(&u->lock);
    return r;
}

/* ---- connecting ---- */

static int unix_listen(struct socket *s, int backlog)
{
    struct unix_sock *u = unix_of(s);
    int r = 0;

    if (u->base.type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    if (u->name == NULL)
        return -EINVAL;
    mutex_lock(&u->lock);
    if (u->state != UNIX_IDLE && u->state != UNIX_LISTENING) {
        r = -EINVAL;
    } else {
        u->backlog_max = backlog < 0 || backlog > BACKLOG_MAX ? BACKLOG_MAX : (u32)backlog;
        u->cred = unix_current_cred();
        __atomic_store_n(&u->state, UNIX_LISTENING, __ATOMIC_RELEASE);
    }
    mutex_unlock(&u->lock);
    waitq_wake(&u->writable, UINT32_MAX); /* the backlog may have grown */
    return r;
}

static bool backlog_open(const struct unix_sock *l)
{
    return unix_state(l) != UNIX_LISTENING ||
           __atomic_load_n(&l->backlog_count, __ATOMIC_ACQUIRE) <= l->backlog_max;
}

/* Puts e, joined with u, on the listener's backlog. -EAGAIN: full. */
static int backlog_push(struct unix_sock *l, struct unix_sock *u, struct unix_sock *e)
{
    int r = 0;

    mutex_lock(&l->lock);
    if (unix_state(l) != UNIX_LISTENING || l->shut_read) {
        r = -ECONNREFUSED;
    } else if (!backlog_open(l)) {
        r = -EAGAIN;
    } else {
        e->cred = l->cred;
        e->base.pass_cred = l->base.pass_cred;
        e->name = l->name;
        ref_get(&l->name->refs);
        u->limit = e->send_size;
        e->limit = u->send_size;
        join(u, e);
        list_add_tail(&e->backlog_link, &l->backlog);
        __atomic_add_fetch(&l->backlog_count, 1, __ATOMIC_RELEASE);
    }
    mutex_unlock(&l->lock);
    if (r == 0)
        waitq_wake(&l->readable, UINT32_MAX);
    return r;
}

static int stream_connect_to(struct unix_sock *u, struct unix_sock *l, bool nonblock)
{
    u64 timeout = u->base.send_timeout, deadline = socket_deadline(timeout);
    struct unix_sock *e = sock_alloc(u->base.type);
    int r;

    if (e == NULL)
        return -ENOMEM;
    for (;;) {
        r = backlog_push(l, u, e);
        if (r != -EAGAIN || nonblock)
            break;
        r = wait_event(&l->writable, backlog_open(l), deadline);
        if (r < 0) {
            r = r == -ETIMEDOUT ? -EAGAIN : timeout == NO_DEADLINE ? -ERESTARTSYS : -EINTR;
            break;
        }
    }
    if (r < 0)
        unix_put(e);
    return r;
}

static int stream_connect(struct unix_sock *u, const u8 *name, u32 len, bool nonblock)
{
    struct unix_sock *l;
    u32 idle = UNIX_IDLE;
    int r = unix_find(name, len, u->base.type, &l);

    if (r < 0)
        return r;
    if (u->base.pass_cred && u->name == NULL)
        r = unix_autobind(u);
    if (r == 0 && !__atomic_compare_exchange_n(&u->state, &idle, UNIX_CONNECTING, false,
                                               __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        r = idle == UNIX_CONNECTED ? -EISCONN : idle == UNIX_CONNECTING ? -EALREADY : -EINVAL;
    if (r == 0) {
        u->cred = unix_current_cred();
        r = stream_connect_to(u, l, nonblock);
        if (r < 0)
            __atomic_store_n(&u->state, UNIX_IDLE, __ATOMIC_RELEASE);
        else
            waitq_wake(&u->writable, UINT32_MAX);
    }
    unix_put(l);
    return r;
}

static int datagram_connect(struct unix_sock *u, const u8 *name, u32 len)
{
    struct unix_sock *to = NULL, *old;
    u16 family;
    int r = 0;

    memcpy(&family, name, sizeof(family));
    if (family != AF_UNSPEC) {
        r = unix_find(name, len, SOCK_DGRAM, &to);
        if (r == 0 && u->base.pass_cred && u->name == NULL)
            r = unix_autobind(u);
        if (r == 0 && to->peer != NULL && to->peer != u)
            r = -EPERM;
        if (r < 0) {
            if (to != NULL)
                unix_put(to);
            return r;
        }
    }
    mutex_lock(&u->lock);
    old = u->peer;
    u->peer = to;
    __atomic_store_n(&u->state, to != NULL ? UNIX_CONNECTED : UNIX_IDLE, __ATOMIC_RELEASE);
    mutex_unlock(&u->lock);
    if (old != NULL)
        unix_put(old);
    return 0;
}

static int unix_connect(struct socket *s, const u8 *name, u32 len, bool nonblock)
{
    struct unix_sock *u = unix_of(s);

    return u->base.type == SOCK_DGRAM ? datagram_connect(u, name, len)
                                      : stream_connect(u, name, len, nonblock);
}

static int unix_accept(struct socket *s, bool nonblock, struct socket **out, u8 *name, u32 *len)
{
    struct unix_sock *u = unix_of(s), *e = NULL;
    u64 timeout = s->receive_timeout, deadline = socket_deadline(timeout);
    bool was_full;
    int r;

    if (s->type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    for (;;) {
        if (unix_state(u) != UNIX_LISTENING || u->shut_read)
            return -EINVAL;
        mutex_lock(&u->lock);
        was_full = !backlog_open(u);
        if (!list_empty(&u->backlog)) {
            e = list_first_entry(&u->backlog, struct unix_sock, backlog_link);
            list_del(&e->backlog_link);
            __atomic_sub_fetch(&u->backlog_count, 1, __ATOMIC_RELEASE);
        }
        mutex_unlock(&u->lock);
        if (e != NULL)
            break;
        if (nonblock)
            return -EAGAIN;
        r = wait_event(&u->readable,
                       __atomic_load_n(&u->backlog_count, __ATOMIC_ACQUIRE) > 0 || u->shut_read ||
                           unix_state(u) != UNIX_LISTENING,
                       deadline);
        if (r < 0)
            return r == -ETIMEDOUT ? -EAGAIN : timeout == NO_DEADLINE ? -ERESTARTSYS : -EINTR;
    }
    if (was_full)
        waitq_wake(&u->writable, UINT32_MAX);
    *out = &e->base;
    return unix_getname(&e->base, true, name, len);
}

static int unix_shutdown(struct socket *s, int how)
{
    struct unix_sock *u = unix_of(s), *peer;
    bool rd = how != SHUT_WR, wr = how != SHUT_RD;

    mutex_lock(&u->lock);
    if (u->state != UNIX_CONNECTED && u->state != UNIX_LISTENING) {
        mutex_unlock(&u->lock);
        return -ENOTCONN;
    }
    u->shut_read |= rd;
    u->shut_write |= wr;
    peer = u->base.type != SOCK_DGRAM ? u->peer : NULL;
    mutex_unlock(&u->lock);
    if (peer != NULL) {
        mutex_lock(&peer->lock);
        peer->eof |= wr;
        peer->shut_write |= rd;
        mutex_unlock(&peer->lock);
        waitq_wake(&peer->readable, UINT32_MAX);
        waitq_wake(&peer->writable, UINT32_MAX);
    }
    waitq_wake(&u->readable, UINT32_MAX);
    waitq_wake(&u->writable, UINT32_MAX);
    return 0;
}

/* ---- options ---- */

static int get_groups(u8 *val, u32 *len)
{
    const struct cred *c = &current_process()->cred;

    if (*len < c->group_count * sizeof(u32)) {
        *len = (u32)(c->group_count * sizeof(u32));
        return -ERANGE;
    }
    *len = (u32)(c->group_count * sizeof(u32));
    memcpy(val, c->groups, *len);
    return 0;
}

static int unix_getsockopt(struct socket *s, int level, int name, u8 *val, u32 *len)
{
    struct unix_sock *u = unix_of(s);
    struct ucred none = {0, UINT32_MAX, UINT32_MAX};
    int x = 0;

    if (level != SOL_SOCKET)
        return -EOPNOTSUPP;
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
    case SO_PEERCRED:
        if (unix_state(u) == UNIX_CONNECTED && u->base.type != SOCK_DGRAM)
            none = u->peer_cred;
        else if (u->base.type == SOCK_DGRAM && u->peer != NULL)
            none = u->peer_cred;
        *len = MIN(*len, (u32)sizeof(none));
        memcpy(val, &none, *len);
        return 0;
    case SO_PEERGROUPS:
        return get_groups(val, len);
    default:
        return -ENOPROTOOPT;
    }
    *len = MIN(*len, (u32)sizeof(x));
    memcpy(val, &x, *len);
    return 0;
}

static int unix_setsockopt(struct socket *s, int level, int name, const u8 *val, u32 len)
{
    struct unix_sock *u = unix_of(s);
    int x;

    if (level != SOL_SOCKET)
        return -EOPNOTSUPP;
    if (len < sizeof(x))
        return -EINVAL;
    memcpy(&x, val, sizeof(x));
    switch (name) {
    case SO_SNDBUF:
    case SO_SNDBUFFORCE: /* doubled and bounded as Linux does */
        x = x < 0 || x > (int)UNIX_BUFFER ? (int)UNIX_BUFFER : x;
        u->send_size = (u32)MAX(x * 2, 4608);
        if (u->base.type != SOCK_DGRAM && u->peer != NULL)
            u->peer->limit = MIN(u->send_size, UNIX_BUFFER * 2);
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

static long unix_ioctl(struct socket *s, u32 cmd, u64 arg)
{
    struct unix_sock *u = unix_of(s);
    i32 x = 0;

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
    return put_user(x, (i32 __user *)arg);
}

static void unix_release(struct socket *s)
{
    struct unix_sock *u = unix_of(s);

    sock_close(u);
    unix_put(u);
}

static const struct socket_ops unix_ops = {
    .bind = unix_bind,
    .connect = unix_connect,
    .listen = unix_listen,
    .accept = unix_accept,
    .getname = unix_getname,
    .send = unix_send,
    .recv = unix_recv,
    .shutdown = unix_shutdown,
    .getsockopt = unix_getsockopt,
    .setsockopt = unix_setsockopt,
    .ioctl = unix_ioctl,
    .poll = unix_poll,
    .release = unix_release,
};
