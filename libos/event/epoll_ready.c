/* SPDX-License-Identifier: Apache-2.0 */
/* epoll: the ready list, and collecting events from it and from the host. */
#include "epoll.h"

/* Items whose deadline has passed become ready; returns the next deadline. ep->lock held. */
static u64 timed_expire(struct epoll *ep)
{
    u64 now, next = NO_DEADLINE;
    struct epoll_item *i, *n;

    if (list_empty(&ep->timed))
        return NO_DEADLINE;
    now = clock_monotonic();
    list_for_each_entry_safe (i, n, &ep->timed, timed) {
        if (i->deadline <= now) {
            list_del(&i->timed);
            i->deadline = NO_DEADLINE;
            epoll_item_queue(i);
        } else {
            next = MIN(next, i->deadline);
        }
    }
    return next;
}

static struct epoll_item *batch_pop(struct epoll *ep, struct list_head *batch)
{
    struct epoll_item *item = NULL;

    spin_lock(&ep->ready_lock);
    if (!list_empty(batch)) {
        item = list_first_entry(batch, struct epoll_item, ready);
        list_del(&item->ready);
        item->queued = false;
    }
    spin_unlock(&ep->ready_lock);
    return item;
}

static void list_splice_head(struct list_head *from, struct list_head *to)
{
    if (list_empty(from))
        return;
    from->prev->next = to->next;
    to->next->prev = from->prev;
    to->next = from->next;
    from->next->prev = to;
    list_init(from);
}

static void item_fired(struct epoll_item *item, u32 ready, struct epoll_event *out, size_t place)
{
    struct epoll *ep = item->ep;

    out[place].events = ready;
    out[place].data = item->data;
    item->round = ep->round;
    item->place = place;
    spin_lock(&ep->ready_lock);
    if (item->events & EPOLLONESHOT) {
        item->disabled = true;
        if (item->queued) {
            item->queued = false;
            list_del(&item->ready);
        }
    }
    spin_unlock(&ep->ready_lock);
}

static size_t collect_ready(struct epoll *ep, struct epoll_event *out, size_t max)
{
    struct list_head batch, again;
    struct epoll_item *item;
    size_t n = 0;
    u32 ready;

    list_init(&batch);
    list_init(&again);
    spin_lock(&ep->ready_lock);
    list_splice_head(&ep->ready, &batch);
    spin_unlock(&ep->ready_lock);
    while (n < max && (item = batch_pop(ep, &batch)) != NULL) {
        (void)epoll_item_poll(item, false, &ready);
        if (ready == 0)
            continue;
        item_fired(item, ready, out, n++);
        if (hostfd_ok(item->hfd) && (item->events & EPOLLONESHOT) != 0)
            (void)host_epoll_ctl(ep->host_fd, EPOLL_CTL_MOD, item->hfd, 0,
                                 (u32)item->host_node.key);
        if ((item->events & (EPOLLET | EPOLLONESHOT)) != 0)
            continue;
        spin_lock(&ep->ready_lock);
        if (!item->queued) {
            item->queued = true;
            list_add_tail(&item->ready, &again);
        }
        spin_unlock(&ep->ready_lock);
    }
    /* Level-triggered items go behind those that have not been looked at yet, and behind new
     * ones. */
    spin_lock(&ep->ready_lock);
    list_splice_head(&batch, &ep->ready);
    if (!list_empty(&again))
        list_splice_head(&again, ep->ready.prev);
    spin_unlock(&ep->ready_lock);
    return n;
}

/* Behind the n events that are in out. One item may have events of both kinds (a socket with two
 * halves): they are reported together, for the host tells of an edge only once. */
static size_t collect_host(struct epoll *ep, struct epoll_event *out, size_t n, size_t max)
{
    struct host_epoll_event events[EPOLL_COLLECT_MAX];
    int count = host_epoll_wait(ep->host_fd, events, MIN(max - n, (size_t)EPOLL_COLLECT_MAX));

    for (int i = 0; i < count; i++) {
        struct rb_node *node = rb_find(&ep->hosts, events[i].data);
        struct epoll_item *item;
        u32 ready;

        if (node == NULL)
            continue;
        item = container_of(node, struct epoll_item, host_node);
        ready = events[i].events & (item->events | EPOLLERR | EPOLLHUP) & EPOLL_ITEM_EVENTS;
        if (ready == 0)
            continue;
        if (item->round == ep->round)
            out[item->place].events |= ready;
        else if (!item->disabled)
            item_fired(item, ready, out, n++);
    }
    return n;
}

size_t epoll_collect(struct epoll *ep, struct epoll_event *out, size_t max, bool ask_host,
                     u64 *next, bool *more)
{
    size_t n;

    mutex_lock(&ep->lock);
    ep->round++;
    *next = timed_expire(ep);
    n = collect_ready(ep, out, max);
    if (ep->host_count > 0 && n < max && (ask_host || n > 0))
        n = collect_host(ep, out, n, max);
    spin_lock(&ep->ready_lock);
    *more = !list_empty(&ep->ready);
    spin_unlock(&ep->ready_lock);
    mutex_unlock(&ep->lock);
    return n;
}

bool epoll_has_ready(struct epoll *ep, u64 *next)
{
    struct list_head batch;
    struct epoll_item *item;
    u32 ready = 0;

    list_init(&batch);
    *next = timed_expire(ep);
    spin_lock(&ep->ready_lock);
    list_splice_head(&ep->ready, &batch);
    spin_unlock(&ep->ready_lock);
    while (ready == 0 && (item = batch_pop(ep, &batch)) != NULL) {
        (void)epoll_item_poll(item, false, &ready);
        if (ready != 0) {
            spin_lock(&ep->ready_lock);
            if (!item->queued) {
                item->queued = true;
                list_add(&item->ready, &ep->ready);
            }
            spin_unlock(&ep->ready_lock);
        }
    }
    spin_lock(&ep->ready_lock);
    list_splice_head(&batch, &ep->ready);
    spin_unlock(&ep->ready_lock);
    return ready != 0;
}
