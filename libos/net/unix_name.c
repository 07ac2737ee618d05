/* SPDX-License-Identifier: Apache-2.0 */
/* Names of UNIX sockets: abstract ones by their bytes, paths by the inode that bind() made. */
#include "unix.h"
#include <linux/stat.h>

#define BUCKETS   64
#define PATH_ROOM (sizeof(((struct sockaddr_un *)0)->sun_path) + 1)
#define NAME_HEAD offsetof(struct sockaddr_un, sun_path)

static struct mutex g_names_lock;
static struct list_head g_names[BUCKETS];

void unix_name_put(struct unix_name *n)
{
    if (!ref_put(&n->refs))
        return;
    if (n->dentry != NULL)
        dentry_put(n->dentry);
    kfree(n);
}

void unix_name_forget(struct unix_sock *u)
{
    mutex_lock(&g_names_lock);
    if (u->name->owner == u) {
        u->name->owner = NULL;
        list_del(&u->name->link);
    }
    mutex_unlock(&g_names_lock);
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

int unix_find(const u8 *name, u32 len, int type, struct unix_sock **out, struct dentry **outside)
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
        if (n == NULL && d != NULL && inode_is_outside(d->inode))
            r = 1;
        else if (n == NULL)
            r = -ECONNREFUSED;
        else if (n->owner->base.type != type)
            r = -EPROTOTYPE;
        else
            unix_get(*out = n->owner);
        mutex_unlock(&g_names_lock);
    }
    if (r == 1)
        *outside = d;
    else if (d != NULL)
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

int unix_bind(struct socket *s, const u8 *name, u32 len)
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
        r = unix_bind_path(u, path, &n->dentry);
        if (r < 0) {
            n->dentry = NULL;
            unix_name_put(n);
            return r == -EEXIST ? -EADDRINUSE : r;
        }
    }
    return name_bind(u, n);
}

int unix_getname(struct socket *s, bool peer, u8 *name, u32 *len)
{
    struct unix_sock *u = unix_of(s);
    const struct unix_name *n;
    u16 family = AF_UNIX;
    int r = 0;

    mutex_lock(&u->lock);
    if (peer && unix_is_outside(u)) {
        *len = MAX(u->outer_peer_len, (u32)NAME_HEAD);
        memcpy(name, &u->outer_peer, u->outer_peer_len);
        memcpy(name, &family, sizeof(family));
    } else if (peer && (u->peer == NULL ||
                        (u->base.type != SOCK_DGRAM && unix_state(u) != UNIX_CONNECTED))) {
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
