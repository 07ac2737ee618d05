/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to libos/event: epoll. epoll.c: the file, epoll_ctl and epoll_wait; epoll_item.c: one
 * watched file; epoll_ready.c: which items have events.
 *
 * An item watches a file through callbacks in the wait queues of LibOS objects, which put it on the
 * ready list, and through a host epoll instance (made for the first such item) for files with a
 * host descriptor, where level, edge and oneshot are the host's. Collecting looks at ready items
 * again before it reports them, so a callback may be early, never late.
 *
 * Locks: the one of epoll.c (items come and go, links from files) < ep->lock (items, collecting;
 * nested ones outermost first) < object locks < queue locks < ep->ready_lock. A file cannot go away
 * under ep->lock: g_file_unwatch() needs it.
 */
#pragma once

#include "event.h"
#include "poll.h"
#include "process.h"

/* Events of one look at the host, and of an epoll_wait without a buffer of its own. */
#define EPOLL_COLLECT_MAX 64

#define EPOLL_ITEM_EVENTS                                                              \
    (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDNORM | EPOLLRDBAND | \
     EPOLLWRNORM | EPOLLWRBAND | EPOLLMSG | EPOLLRDHUP)

struct epoll {
    struct mutex lock;
    struct spinlock ready_lock;
    struct list_head ready; /* items that may have events */
    struct waitq wait;      /* threads in epoll_wait */
    struct waitq watchers;  /* poll and outer epolls */
    struct list_head timed; /* items with a deadline */
    struct rb_root items;   /* by descriptor number */
    struct rb_root hosts;   /* items with a host descriptor by id */
    hostfd host_fd;         /* -1: none yet */
    u32 host_count, next_id;
    u32 item_count;
    u32 round;         /* of epoll_wait: an item is reported once a call */
    struct file *file; /* not a reference: its own */
};

struct item_entry {
    struct wait_entry entry;
    struct epoll_item *item;
    u32 key;                 /* events that the queue is for; 0: any */
    struct item_entry *next; /* of those beyond the first ones */
};

struct epoll_item {
    struct rb_node node, host_node;
    struct epoll_item *same_fd;    /* another file that was watched under this number */
    struct epoll_item *next_watch; /* of the file */
    struct epoll *ep;
    struct file *file; /* not a reference */
    int fd;
    u32 events;
    u64 data;
    struct list_head ready, timed;
    bool queued, disabled; /* disabled: EPOLLONESHOT has fired. Both under ready_lock. */
    u32 round;
    size_t place; /* in what that round reports */
    u64 deadline;
    hostfd hfd; /* -1: none */
    bool hfd_owned;
    u32 entry_count;
    struct item_entry entries[2];
    struct item_entry *extra;
};

/* ---- epoll_item.c; ep->lock held but for queueing ---- */

/* Put the item on the ready list and wake who waits. */
void epoll_item_queue(struct epoll_item *item);
/* Events of the item's file that it wants, by LibOS state; host events come by the host epoll. The
 * first time it registers where the file says that they come from: 0 or a negative errno. */
int epoll_item_poll(struct epoll_item *item, bool registering, u32 *ready);
/* What the host is to tell of the item's file. */
u32 epoll_item_host_events(const struct epoll_item *item);
struct epoll_item *epoll_item_find(struct epoll *ep, int fd, const struct file *file);
void epoll_item_insert(struct epoll_item *item);
/* The host is not asked of the item's file until its poll says so again. */
void epoll_item_forget_host(struct epoll_item *item);
/* Ends the watch and frees the item; also the lock of epoll.c is held. */
void epoll_item_remove(struct epoll_item *item);

/* ---- epoll_ready.c ---- */

/*
 * Events that are there, at most max. The host is asked when ask_host, or when there are LibOS
 * events anyway (it must not starve behind them). *next is the next deadline of an item. *more:
 * items are still on the ready list, for somebody else.
 */
size_t epoll_collect(struct epoll *ep, struct epoll_event *out, size_t max, bool ask_host,
                     u64 *next, bool *more);
/* Whether an item truly has LibOS events; items that do not leave the ready list. ep->lock held. */
bool epoll_has_ready(struct epoll *ep, u64 *next);
