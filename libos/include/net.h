/* SPDX-License-Identifier: Apache-2.0 */
/* What other rooms call in libos/net; poll_wait() and friends are in fs.h. */
#pragma once

#include "fs.h"

/* file_put() calls this for the last reference, before ops->release, when f->epoll_watch is not NULL. */
void epoll_file_closed(struct file *f);

/*
 * inotify: the VFS reports what happened, after it happened and with no lock held. Costs one load while nobody watches.
 * mask: one IN_* event; name: the entry's name for events of the directory `dir`, else NULL. cookie joins the two halves of a
 * rename (inotify_cookie()). child: the inode the event is about, for IN_ISDIR; may be NULL.
 */
extern u32 g_inotify_watches;
void inotify_report(struct inode *dir_or_inode, struct inode *child, u32 mask, u32 cookie, const char *name);
u32 inotify_cookie(void);
static inline void inotify_event(struct inode *i, struct inode *child, u32 mask, u32 cookie, const char *name)
{
    if (__atomic_load_n(&g_inotify_watches, __ATOMIC_RELAXED) != 0)
        inotify_report(i, child, mask, cookie, name);
}
/* The last link of an inode is gone (IN_DELETE_SELF, IN_IGNORED): watches of it end. */
void inotify_inode_gone(struct inode *i);

/* proc/ calls these: a process exits (SysV semaphore undo), and an mm goes or forks (SysV shared memory counts). */
void sysv_exit(struct process *p);
