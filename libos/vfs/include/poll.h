/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind struct poll_table, time and signal mask arguments. */
#pragma once

#include "fs.h"
#include "host.h"
#include "syscall.h"
#include "task.h"
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
    void (*host)(struct poll_table *pt, hostfd hfd, u16 events);
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
