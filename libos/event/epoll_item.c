/* SPDX-License-Identifier: Apache-2.0 */
/* epoll: one watched file: its place in the epoll, where its events come from. */
#include "epoll.h"

struct item_table {
    struct poll_table pt;
    struct epoll_item *item;
    int err;
};

/* ---- becoming ready ---- */

/*
 * Somebody is woken also when the item is on the list already: a level-triggered one stays there
 * when it is reported, and who got the report may never come back.
 */
void epoll_item_queue(struct epoll_item *item)
{
    struct epoll *ep = item->ep;
    bool disabled;

    spin_lock(&ep->ready_lock);
    disabled = item->disabled;
    if (!item->queued && !disabled) {
        item->queued = true;
        list_add_tail(&item->ready, &ep->ready);
    }
    spin_unlock(&ep->ready_lock);
    if (disabled)
        return;
    waitq_wake(&ep->wait, 1);
    waitq_wake(&ep->watchers, UINT32_MAX);
}

static void item_callback(struct wait_entry *e)
{
    struct item_entry *x = container_of(e, struct item_entry, entry);

    /* A queue for another kind of event is no edge. */
    if (x->key == 0 || (x->key & (x->item->events | POLL_ALWAYS)) != 0)
        epoll_item_queue(x->item);
}

static void item_unqueue(struct epoll_item *item)
{
    spin_lock(&item->ep->ready_lock);
    if (item->queued) {
        item->queued = false;
        list_del(&item->ready);
    }
    spin_unlock(&item->ep->ready_lock);
}

/* ---- asking a file, registering where asked to ---- */

static void item_wait(struct poll_table *pt, struct waitq *q)
{
    struct item_table *t = container_of(pt, struct item_table, pt);
    struct epoll_item *item = t->item;
    struct item_entry *e;

    if (item->entry_count < ARRAY_SIZE(item->entries)) {
        e = &item->entries[item->entry_count];
    } else {
        e = kmalloc(sizeof(*e));
        if (e == NULL) {
            t->err = -ENOMEM;
            return;
        }
        e->next = item->extra;
        item->extra = e;
    }
    item->entry_count++;
    e->item = item;
    e->key = pt->key;
    waitq_add_fn(q, &e->entry, item_callback);
    e->entry.exclusive = (item->events & EPOLLEXCLUSIVE) != 0;
}

u32 epoll_item_host_events(const struct epoll_item *item)
{
    return item->events & (EPOLL_ITEM_EVENTS | EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE);
}

/* Also called when a nested epoll gets its host descriptor later. */
static void item_host(struct poll_table *pt, hostfd hfd, u16 events)
{
    struct item_table *t = container_of(pt, struct item_table, pt);
    struct epoll_item *item = t->item;
    struct epoll *ep = item->ep;
    int r;

    (void)events;
    if (hostfd_ok(item->hfd))
        return;
    if (!hostfd_ok(ep->host_fd)) {
        ep->host_fd = host_epoll_create();
        if (!hostfd_ok(ep->host_fd)) {
            t->err = ep->host_fd.n;
            ep->host_fd = no_hostfd(-1);
            return;
        }
    }
    item->host_node.key = ++ep->next_id;
    item->hfd_owned = false;
    r = host_epoll_ctl(ep->host_fd, EPOLL_CTL_ADD, hfd, epoll_item_host_events(item), ep->next_id);
    if (r == -EEXIST) { /* the file is watched under a second descriptor number */
        hfd = host_dup(hfd);
        if (!hostfd_ok(hfd)) {
            t->err = hfd.n;
            return;
        }
        item->hfd_owned = true;
        r = host_epoll_ctl(ep->host_fd, EPOLL_CTL_ADD, hfd, epoll_item_host_events(item),
                           ep->next_id);
    }
    if (r == 0)
        r = rb_insert(&ep->hosts, &item->host_node);
    if (r < 0) {
        if (item->hfd_owned)
            host_close(hfd);
        t->err = r;
        return;
    }
    item->hfd = hfd;
    if (ep->host_count++ == 0) { /* sleepers do not know the host descriptor yet */
        waitq_wake(&ep->wait, UINT32_MAX);
        waitq_wake(&ep->watchers, UINT32_MAX);
    }
}

static void item_deadline(struct poll_table *pt, u64 when)
{
    struct epoll_item *item = container_of(pt, struct item_table, pt)->item;

    if (item->deadline == NO_DEADLINE)
        list_add(&item->timed, &item->ep->timed);
    item->deadline = MIN(item->deadline, when);
}

int epoll_item_poll(struct epoll_item *item, bool registering, u32 *ready)
{
    struct item_table t = {.item = item};

    t.pt.wait = registering ? item_wait : NULL;
    t.pt.host = item_host;
    t.pt.deadline = item_deadline;
    t.pt.events = (u16)EPOLL_ITEM_EVENTS;
    if (item->deadline != NO_DEADLINE) {
        list_del(&item->timed);
        item->deadline = NO_DEADLINE;
    }
    *ready = item->file->ops->poll(item->file, &t.pt) & (item->events | EPOLLERR | EPOLLHUP) &
             EPOLL_ITEM_EVENTS;
    return t.err;
}

/* ---- items ---- */

struct epoll_item *epoll_item_find(struct epoll *ep, int fd, const struct file *file)
{
    struct rb_node *n = rb_find(&ep->items, (u64)fd);
    struct epoll_item *item = n != NULL ? container_of(n, struct epoll_item, node) : NULL;

    while (item != NULL && item->file != file)
        item = item->same_fd;
    return item;
}

void epoll_item_insert(struct epoll_item *item)
{
    struct rb_node *n = rb_find(&item->ep->items, (u64)item->fd);

    item->ep->item_count++;
    item->node.key = (u64)item->fd;
    if (n == NULL) {
        (void)rb_insert(&item->ep->items, &item->node);
    } else {
        struct epoll_item *head = container_of(n, struct epoll_item, node);

        item->same_fd = head->same_fd;
        head->same_fd = item;
    }
    item->next_watch = item->file->epoll_watch;
    item->file->epoll_watch = item;
}

static void item_erase(struct epoll_item *item)
{
    struct epoll *ep = item->ep;
    struct epoll_item *head = container_of(rb_find(&ep->items, (u64)item->fd), struct epoll_item,
                                           node);
    struct epoll_item *w = item->file->epoll_watch;

    ep->item_count--;
    if (head == item) {
        rb_erase(&ep->items, &item->node);
        if (item->same_fd != NULL) {
            item->same_fd->node.key = (u64)item->fd;
            (void)rb_insert(&ep->items, &item->same_fd->node);
        }
    } else {
        while (head->same_fd != item)
            head = head->same_fd;
        head->same_fd = item->same_fd;
    }
    if (w == item) {
        item->file->epoll_watch = item->next_watch;
    } else {
        while (w->next_watch != item)
            w = w->next_watch;
        w->next_watch = item->next_watch;
    }
}

void epoll_item_forget_host(struct epoll_item *item)
{
    struct epoll *ep = item->ep;

    if (!hostfd_ok(item->hfd))
        return;
    (void)host_epoll_ctl(ep->host_fd, EPOLL_CTL_DEL, item->hfd, 0, 0);
    rb_erase(&ep->hosts, &item->host_node);
    ep->host_count--;
    if (item->hfd_owned)
        host_close(item->hfd);
    item->hfd = no_hostfd(-1);
}

void epoll_item_remove(struct epoll_item *item)
{
    struct item_entry *x;

    for (u32 i = 0; i < MIN(item->entry_count, (u32)ARRAY_SIZE(item->entries)); i++)
        waitq_remove(&item->entries[i].entry);
    while ((x = item->extra) != NULL) {
        waitq_remove(&x->entry);
        item->extra = x->next;
        kfree(x);
    }
    epoll_item_forget_host(item);
    if (item->deadline != NO_DEADLINE)
        list_del(&item->timed);
    item_unqueue(item);
    item_erase(item);
    kfree(item);
}
