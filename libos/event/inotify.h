/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to libos/event: inotify. inotify.c: instances, watches, what the LibOS's own programs do;
 * inotify_host.c: what others do in pass-through mounts, by an inotify instance of the host behind
 * the LibOS's.
 *
 * Locks: g_outside_lock (what the host tells is taken under it, in order), then g_watch_lock.
 */
#pragma once

#include "event.h"
#include "poll.h"
#include "process.h"
#include <linux/inotify.h>

struct inotify_watch {
    struct inotify_watch *next_of_inode;
    struct list_head of_instance;
    struct inotify *owner; /* NULL: */
    struct file *dir;      /* F_NOTIFY of it, no reference; wd is the descriptor */
    struct inode *inode;   /* reference */
    i32 wd;
    u32 mask;
    i32 host_wd; /* of the owner's host_fd; -1: none */
};

struct inotify {
    struct list_head watches, events;
    struct waitq readable;
    u32 count; /* events; atomic for poll */
    i32 last_wd;
    hostfd host_fd;              /* -1: nothing of the host is watched; atomic, set once */
    struct list_head of_outside; /* under g_outside_lock, once there is one */
};

extern struct mutex g_watch_lock;

/* ---- inotify.c; g_watch_lock held ---- */
void inotify_event_add(struct inotify *n, i32 wd, u32 mask, u32 cookie, const char *name,
                       size_t len);
/* Takes the watch off its inode, and tells of it; the caller drops the inode's reference after the
 * lock. */
struct inode *inotify_watch_remove(struct inotify_watch *w, bool tell);
/* A watch by F_NOTIFY. */
void inotify_watch_directory(struct inotify_watch *w);

/* ---- async.c ---- */
#define POLL_MSG_CODE 3                          /* POLL_MSG of siginfo.h */
void async_notify_gone(struct inotify_watch *w); /* g_watch_lock held */

/* ---- inotify_host.c; g_watch_lock not held ---- */
static inline hostfd inotify_host_fd(const struct inotify *n)
{
    return (hostfd){__atomic_load_n(&n->host_fd.n, __ATOMIC_ACQUIRE)};
}
/* A watch of the host for an inode of a pass-through mount: its number, or negative errno. */
int inotify_host_add(struct inotify *n, struct inode *i, u32 mask);
void inotify_host_remove(struct inotify *n, i32 host_wd);
/* Takes in what the host has to tell. */
void inotify_host_drain(struct inotify *n);
void inotify_host_release(struct inotify *n);
