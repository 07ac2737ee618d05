/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind struct poll_table, time and signal mask arguments. */
#pragma once

#include "host.h"
#include "net.h"
#include "process.h"
#include "syscall.h"
#include "thread.h"
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <asm/poll.h>

/* Linux gives these values to poll and epoll alike; <asm/poll.h> has no RDHUP without the right
 * macros. */
#ifndef POLLRDHUP
#define POLLRDHUP 0x2000
#endif
#define POLL_ALWAYS (POLLERR | POLLHUP)

/* Who asks: poll(2) and its kin, or an epoll instance. Any callback may be NULL: not
 * registering. */
struct poll_table {
    void (*wait)(struct poll_table *pt, struct waitq *q);
    void (*host)(struct poll_table *pt, int hfd, u16 events);
    void (*deadline)(struct poll_table *pt, u64 when);
    u32 key;    /* while wait() runs: the events that the queue is for; 0: any */
    u16 events; /* what the asker wants to know; ERR and HUP always */
};

struct poll_item {
    int fd;
    u16 events, revents;
    struct file *file; /* NULL: ignored, or POLLNVAL set already */
    int hosts;         /* private: the host descriptor gathered last + 1; 0 */
};

/* Wait until one of the items has events (their revents are set): how many, 0 at the deadline,
 * -EINTR, -ENOMEM. A deadline of 0 does not wait. */
int poll_items(struct poll_item *items, size_t count, u64 deadline);
/* Drop the references to the items' files. */
void poll_items_put(struct poll_item *items, size_t count);
#define POLL_INLINE_ITEMS 16 /* so many are kept on the stack */

/* ---- eventfd.c ---- */
bool file_is_eventfd(const struct file *f);
void eventfd_signal(
    struct file *f); /* counts one more without waiting; at the end it stays there */

/* ---- poll_args.c ---- */

/* A relative time to a deadline, saturating. */
u64 deadline_after(u64 ns);
/* Reads a timespec argument; NULL: NO_DEADLINE. A time of zero gives 0: do not wait. -EFAULT,
 * -EINVAL. */
int deadline_from_timespec(const void __user *ts, u64 *deadline);
int ns_from_timespec(const void __user *ts, u64 *ns);
/* What is left until the deadline, for the calls that write it back. Failure to write is ignored,
 * as Linux does. */
void put_remaining_time(void __user *ts, u64 deadline, bool timeval);

/* ppoll, pselect6, epoll_pwait: a temporary signal mask. enter: mask NULL changes nothing; size
 * must be 8. leave: puts the old mask back unless the call was interrupted: then delivery does. */
int sigmask_enter(const void __user *mask, size_t size);
void sigmask_leave(bool interrupted);

/* Prototypes of the system calls of this room. */
#define S(name, function, status, note) syscall_fn function;
#include "table_net.h"
#undef S
