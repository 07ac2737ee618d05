/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of files in pass-through mounts, which programs outside lock as well. The LibOS grants one
 * when its own locks allow it and the host gives it too: so the host can refuse a lock, but not
 * have two programs of the enclave hold it.
 *
 * The enclave is one process of the host, so a lock there is owned by an open description: flock
 * and OFD locks by the file's own, POSIX locks by one that is opened for their owner, a descriptor
 * table, and closed when that gives them up. When the enclave dies all of them go.
 */
#include "hostfs.h"
#include "locks.h"

struct host_lock_owner {
    struct host_lock_owner *next;
    const void *owner; /* struct files */
    hostfd fd;
};

static struct host_lock_owner *find_owner(struct host_inode *h, const void *owner)
{
    struct host_lock_owner *o = h->lock_owners;

    while (o && o->owner != owner)
        o = o->next;
    return o;
}

/* A second description of f's own file: not by its name, which may be another's by now. */
static hostfd open_again(struct file *f)
{
    hostfd fd = host_open(f->host_fd, "", O_RDWR | O_CLOEXEC, 0);

    if (hostfd_ok(fd))
        return fd;
    return host_open(f->host_fd, "", (int)(f->flags & O_ACCMODE) | O_CLOEXEC, 0);
}

/* The descriptor whose description owns k; make: also when none is there yet. */
static hostfd owner_fd(struct file *f, const struct lock *k, bool make)
{
    struct host_inode *h = host_of(f->inode);
    struct host_lock_owner *o;
    hostfd fd;

    if (k->kind != LOCK_POSIX)
        return f->host_fd;
    o = find_owner(h, k->owner);
    if (o)
        return o->fd;
    if (!make)
        return no_hostfd(-ENOENT);
    o = kmalloc(sizeof(*o));
    fd = o ? open_again(f) : no_hostfd(-ENOLCK);
    if (!hostfd_ok(fd)) {
        kfree(o);
        return no_hostfd(-ENOLCK);
    }
    *o = (struct host_lock_owner){.next = h->lock_owners, .owner = k->owner, .fd = fd};
    h->lock_owners = o;
    return fd;
}

int host_file_lock(struct file *f, struct lock *k, int op)
{
    bool whole = k->kind == LOCK_FLOCK;
    hostfd fd;
    int r, type = F_UNLCK;

    if (op == LOCK_DROP) {
        host_drop_locks(f->inode, k->owner);
        return 0;
    }
    fd = owner_fd(f, k, op == LOCK_SET);
    if (op == LOCK_TEST) {
        r = host_lock_test(hostfd_ok(fd) ? fd : f->host_fd, &k->write, &k->start, &k->end);
        k->pid = k->kind == LOCK_POSIX ? 0 : -1; /* nobody in here */
        return r;
    }
    if (!hostfd_ok(fd))
        return op == LOCK_SET ? fd.n : 0;
    if (op != LOCK_CLEAR)
        type = k->write ? F_WRLCK : F_RDLCK;
    r = host_lock(fd, whole, type, k->start, k->end);
    return r == -EACCES || r == -EWOULDBLOCK ? -EAGAIN : r;
}

void host_drop_locks(struct inode *i, const void *owner)
{
    struct host_lock_owner **p = &host_of(i)->lock_owners;

    while (*p) {
        struct host_lock_owner *o = *p;

        if (owner && o->owner != owner) {
            p = &o->next;
            continue;
        }
        *p = o->next;
        host_close(o->fd);
        kfree(o);
    }
}
