/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify in pass-through mounts: what others do there the host tells, by an instance of its own
 * for each of the LibOS's that watches something there. Its events are the host's word, as names
 * and contents there are; they are for the program alone, and no state here follows from them but
 * that a watch ends. What the enclave does itself the VFS tells, once: see fs/host/hostfs_own.c.
 */
#include "filesystems.h"
#include "host.h"
#include "inotify.h"

#define ROUNDS      256 /* of reading: a host that never ends is left */
#define HOST_COOKIE (1u << 31)
#define TOLD        (IN_ALL_EVENTS | IN_UNMOUNT | IN_ISDIR)

static struct mutex g_outside_lock;
static struct list_head g_outside;
static struct thread *g_own_by; /* whose own change is under way */

static bool is_own(const struct own_change *own, const struct inode *i,
                   const struct host_inotify_event *e)
{
    if (own == NULL || (e->mask & own->mask & IN_ALL_EVENTS) == 0)
        return false;
    if (e->name_len == 0) /* who was renamed, the host knows */
        return i == own->self || (e->mask & IN_MOVE_SELF) != 0;
    for (u32 k = 0; k < own->count; k++) {
        const struct own_name *n = &own->names[k];

        if (n->dir == i && n->len == e->name_len && memcmp(n->name, e->name, n->len) == 0)
            return true;
    }
    return false;
}

/* To the watches of the host's: how many of them end with it. g_watch_lock held. */
static void deliver(struct inotify *n, const struct host_inotify_event *e,
                    const struct own_change *own)
{
    u32 cookie = e->cookie != 0 ? e->cookie | HOST_COOKIE : 0;
    struct inotify_watch *w;

    list_for_each_entry (w, &n->watches, of_instance) {
        if (w->host_wd == e->wd && (w->mask & e->mask & (IN_ALL_EVENTS | IN_UNMOUNT)) != 0 &&
            !is_own(own, w->inode, e))
            inotify_event_add(n, w->wd, e->mask & TOLD, cookie, e->name_len ? e->name : NULL,
                              e->name_len);
    }
}

/* A watch that ended with the event, taken away; NULL: no other. g_watch_lock held. */
static struct inode *remove_ended(struct inotify *n, const struct host_inotify_event *e)
{
    struct inotify_watch *w;

    list_for_each_entry (w, &n->watches, of_instance) {
        if (w->host_wd == e->wd && ((e->mask & (IN_IGNORED | IN_DELETE_SELF)) != 0 ||
                                    ((w->mask & IN_ONESHOT) != 0 && (w->mask & e->mask) != 0)))
            return inotify_watch_remove(w, true);
    }
    return NULL;
}

static void take(struct inotify *n, const struct host_inotify_event *e,
                 const struct own_change *own)
{
    struct inode *i;

    mutex_lock(&g_watch_lock);
    if (e->wd < 0) {
        if ((e->mask & IN_Q_OVERFLOW) != 0)
            inotify_event_add(n, -1, IN_Q_OVERFLOW, 0, NULL, 0);
        mutex_unlock(&g_watch_lock);
        return;
    }
    deliver(n, e, own);
    i = remove_ended(n, e);
    while (i != NULL) {
        mutex_unlock(&g_watch_lock);
        inode_put(i);
        mutex_lock(&g_watch_lock);
        i = remove_ended(n, e);
    }
    mutex_unlock(&g_watch_lock);
}

/* g_outside_lock held. */
static void drain(struct inotify *n, const struct own_change *own)
{
    struct host_inotify_event e;
    u8 buf[2048];

    for (int round = 0; round < ROUNDS; round++) {
        ssize_t size = host_inotify_read(n->host_fd, buf, sizeof(buf));

        for (ssize_t at = 0; at < size;) {
            at += host_inotify_next(buf + at, &e);
            take(n, &e, own);
        }
        if (size <= 0)
            break;
    }
}

void inotify_host_drain(struct inotify *n)
{
    if (!hostfd_ok(inotify_host_fd(n)))
        return;
    mutex_lock(&g_outside_lock);
    drain(n, NULL);
    mutex_unlock(&g_outside_lock);
}

/* ---- own changes ---- */

static void drain_all(const struct own_change *own)
{
    struct inotify *n;

    list_for_each_entry (n, &g_outside, of_outside)
        drain(n, own);
}

/* One within another is part of it. */
static bool own_change_begin(void)
{
    if (__atomic_load_n(&g_own_by, __ATOMIC_RELAXED) == current())
        return false;
    mutex_lock(&g_outside_lock);
    __atomic_store_n(&g_own_by, current(), __ATOMIC_RELAXED);
    drain_all(NULL);
    return true;
}

static void own_change_end(const struct own_change *own)
{
    drain_all(own);
    __atomic_store_n(&g_own_by, NULL, __ATOMIC_RELAXED);
    mutex_unlock(&g_outside_lock);
}

static struct outside_watch g_watch = {.begin = own_change_begin, .end = own_change_end};

/* ---- watches ---- */

static hostfd instance_of(struct inotify *n)
{
    hostfd fd = n->host_fd;

    if (hostfd_ok(fd))
        return fd;
    fd = host_inotify_create();
    if (!hostfd_ok(fd))
        return fd;
    if (g_outside.next == NULL)
        list_init(&g_outside);
    list_add_tail(&n->of_outside, &g_outside);
    __atomic_store_n(&n->host_fd.n, fd.n, __ATOMIC_RELEASE);
    __atomic_store_n(&g_outside_watch, &g_watch, __ATOMIC_RELEASE);
    waitq_wake(&n->readable, UINT32_MAX); /* who polls asks the host from now on */
    return fd;
}

int inotify_host_add(struct inotify *n, struct inode *i, u32 mask)
{
    hostfd place = hostfs_place_open(i), fd;
    int r;

    if (!hostfd_ok(place))
        return place.n == -ESTALE ? -ENOENT : place.n;
    mutex_lock(&g_outside_lock);
    fd = instance_of(n);
    /* Two names here can be one file of the host: what either wants is asked for. */
    r = fd.n;
    if (hostfd_ok(fd))
        r = host_inotify_add(fd, place, (mask & IN_ALL_EVENTS) | IN_DELETE_SELF | IN_MASK_ADD);
    mutex_unlock(&g_outside_lock);
    host_close(place);
    return r;
}

void inotify_host_remove(struct inotify *n, i32 host_wd)
{
    struct inotify_watch *w;
    bool used = host_wd < 0;

    mutex_lock(&g_outside_lock);
    mutex_lock(&g_watch_lock);
    list_for_each_entry (w, &n->watches, of_instance)
        used = used || w->host_wd == host_wd;
    mutex_unlock(&g_watch_lock);
    if (!used && hostfd_ok(n->host_fd))
        (void)host_inotify_remove(n->host_fd, host_wd);
    mutex_unlock(&g_outside_lock);
}

void inotify_host_release(struct inotify *n)
{
    if (!hostfd_ok(inotify_host_fd(n)))
        return;
    mutex_lock(&g_outside_lock);
    list_del(&n->of_outside);
    mutex_unlock(&g_outside_lock);
    host_close(n->host_fd);
}
