/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases (F_SETLEASE): who has one is told by a signal before another opens or cuts the file, and
 * the other waits until it is given back, 45 seconds at most. One lock for all of them.
 */
#include "vfs.h"

#define BREAK_TIME    45000000000ull /* ns; /proc/sys/fs/lease-break-time */
#define POLL_MSG_CODE 3

struct lease {
    struct lease *next;
    struct file *file; /* not a reference: it goes with it */
    int type, fd;      /* F_RDLCK, F_WRLCK */
    int wanted;        /* while it is broken: what may stay of it */
    bool broken;
    u64 deadline;
};

static struct mutex g_lease_lock;
static struct waitq g_lease_wait = WAITQ_INIT(g_lease_wait);

static struct lease **find(struct inode *i, const struct file *f)
{
    struct lease **p = &i->leases;

    while (*p && (*p)->file != f)
        p = &(*p)->next;
    return p;
}

static void drop(struct lease **p)
{
    struct lease *l = *p;

    file_clear_owner(l->file); /* as Linux: who has no lease has no owner either */
    __atomic_store_n(p, l->next, __ATOMIC_RELEASE);
    kfree(l);
}

void leases_release(struct file *f)
{
    struct lease **p;

    mutex_lock(&g_lease_lock);
    p = find(f->inode, f);
    if (*p)
        drop(p);
    mutex_unlock(&g_lease_lock);
    waitq_wake(&g_lease_wait, UINT32_MAX);
}

/* Others have the file open in a way that the lease excludes. */
static bool in_use(const struct inode *i, const struct file *f, int type)
{
    if (type == F_RDLCK)
        return i->writers > 0;
    return __atomic_load_n(&i->readers, __ATOMIC_ACQUIRE) > (u32)f->counts_reader ||
           i->writers > (i32)f->counts_writer;
}

static int set_lease(struct file *f, int fd, int type)
{
    struct lease *l = *find(f->inode, f);

    for (struct lease *k = f->inode->leases; k; k = k->next)
        if (k->file != f && (type == F_WRLCK || k->type == F_WRLCK || k->broken))
            return -EAGAIN;
    if (in_use(f->inode, f, type) || (l && l->broken && type != l->wanted))
        return -EAGAIN;
    if (!l) {
        l = kzalloc(sizeof(*l));
        if (!l)
            return -ENOMEM;
        l->file = f;
        l->next = f->inode->leases;
        __atomic_store_n(&f->inode->leases, l, __ATOMIC_RELEASE);
    }
    l->type = type;
    l->fd = fd;
    l->broken = false;
    return 0;
}

long lease_set(struct file *f, int fd, long type)
{
    struct inode *i = f->inode;
    struct lease **own;
    int r = 0;

    if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK)
        return -EINVAL;
    if (!i || !inode_is_memory(i)) /* what is the host's is opened there too */
        return -EINVAL;
    if (fs_uid() != i->uid && !fs_capable(CAP_LEASE))
        return -EACCES;
    if (type != F_UNLCK)
        r = file_set_owner(f, F_OWNER_PID, current_process()->pid, false);
    if (r < 0)
        return r;
    mutex_lock(&g_lease_lock);
    own = find(i, f);
    if (type != F_UNLCK)
        r = set_lease(f, fd, (int)type);
    else if (*own)
        drop(own);
    else
        r = -EAGAIN;
    mutex_unlock(&g_lease_lock);
    waitq_wake(&g_lease_wait, UINT32_MAX);
    return r;
}

long lease_get(struct file *f)
{
    struct lease *l;
    long r;

    if (!f->inode)
        return F_UNLCK;
    mutex_lock(&g_lease_lock);
    l = *find(f->inode, f);
    r = !l ? F_UNLCK : l->broken ? l->wanted : l->type;
    mutex_unlock(&g_lease_lock);
    return r;
}

/* What is in the way of an opening: its holders are told, once; overdue ones end. The next
 * deadline, or 0: nothing is in the way. */
static u64 break_all(struct inode *i, bool write)
{
    u64 now = clock_monotonic(), next = 0;
    int stays = write ? F_UNLCK : F_RDLCK;
    struct lease **p = &i->leases;

    while (*p) {
        struct lease *l = *p;

        if (l->type == F_RDLCK && !write) {
            p = &l->next;
            continue;
        }
        if (!l->broken) {
            l->broken = true;
            l->wanted = stays;
            l->deadline = now + BREAK_TIME;
            file_signal(l->file, l->fd, POLL_MSG_CODE);
        } else if (l->deadline <= now) {
            l->type = l->wanted;
            l->broken = false;
            if (l->type == F_UNLCK)
                drop(p);
            continue;
        } else if (write) {
            l->wanted = F_UNLCK;
        }
        next = next ? MIN(next, l->deadline) : l->deadline;
        p = &l->next;
    }
    return next;
}

int lease_break(struct inode *i, bool write, bool nonblock)
{
    struct wait_entry we;
    u64 next;
    int r = 0;

    if (likely(!__atomic_load_n(&i->leases, __ATOMIC_ACQUIRE)))
        return 0;
    waitq_add(&g_lease_wait, &we);
    for (;;) {
        mutex_lock(&g_lease_lock);
        next = break_all(i, write);
        mutex_unlock(&g_lease_lock);
        r = next && nonblock ? -EAGAIN : 0;
        if (!next || r < 0)
            break;
        if (thread_wait(next, true, NULL, 0) == -EINTR) {
            r = -ERESTARTSYS;
            break;
        }
    }
    waitq_remove(&we);
    return r;
}
