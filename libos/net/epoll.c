/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll. An item watches a file through callbacks in the wait queues of LibOS objects, which put it
 * on the ready list, and through a host epoll instance (made for the first such item) for files
 * with a host descriptor, where level, edge and oneshot are the host's. epoll_wait looks at ready
 * items again before it reports them, so a callback may be early, never late.
 *
 * Locks: g_epoll_lock (items come and go, links from files) < ep->lock (items, collecting; nested
 * ones outermost first) < object locks < queue locks < ep->ready_lock. A file cannot go away under
 * ep->lock: epoll_file_closed() needs it.
 */
#include "poll.h"

#define COLLECT_MAX \
    64 /* events of one look at the host, and of an epoll_wait without a buffer of its own */
#define NESTING_MAX 4

#define ITEM_EVENTS                                                                    \
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
    int host_fd;            /* -1: none yet */
    u32 host_count, next_id;
    u32 item_count;
    u32 round;         /* of epoll_wait: an item is reported once a call */
    struct file *file; /* not a reference: its own */
};

struct item_entry {
    struct wait_entry entry;
    struct epoll_item *item;
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
    u64 deadline;
    int hfd; /* -1: none */
    bool hfd_owned;
    u32 entry_count;
    struct item_entry entries[2];
    struct item_entry *extra;
};

struct item_table {
    struct poll_table pt;
    struct epoll_item *item;
    int err;
};

static struct mutex g_epoll_lock;
static const struct file_ops epoll_ops;

/* ---- becoming ready ---- */

/*
 * Somebody is woken also when the item is on the list already: a level-triggered one stays there
 * when it is reported, and who got the report may never come back.
 */
static void item_queue(struct epoll_item *item)
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
    item_queue(container_of(e, struct item_entry, entry)->item);
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
    waitq_add_fn(q, &e->entry, item_callback);
}

static u32 item_host_events(const struct epoll_item *item)
{
    return item->events & (ITEM_EVENTS | EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE);
}

/* Also called when a nested epoll gets its host descriptor later. */
static void item_host(struct poll_table *pt, int hfd, u16 events)
{
    struct item_table *t = container_of(pt, struct item_table, pt);
    struct epoll_item *item = t->item;
    struct epoll *ep = item->ep;
    int r;

    (void)events;
    if (item->hfd >= 0)
        return;
    if (ep->host_fd < 0) {
        ep->host_fd = host_epoll_create();
        if (ep->host_fd < 0) {
            t->err = ep->host_fd;
            ep->host_fd = -1;
            return;
        }
    }
    item->host_node.key = ++ep->next_id;
    item->hfd_owned = false;
    r = host_epoll_ctl(ep->host_fd, EPOLL_CTL_ADD, hfd, item_host_events(item), ep->next_id);
    if (r == -EEXIST) { /* the file is watched under a second descriptor number */
        hfd = host_dup(hfd);
        if (hfd < 0) {
            t->err = hfd;
            return;
        }
        item->hfd_owned = true;
        r = host_epoll_ctl(ep->host_fd, EPOLL_CTL_ADD, hfd, item_host_events(item), ep->next_id);
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

/* Events of the item's file that it wants, by LibOS state; host events come by the host epoll.
 * ep->lock held. */
static int item_poll(struct epoll_item *item, bool registering, u32 *ready)
{
    struct item_table t = {.item = item};

    t.pt.wait = registering ? item_wait : NULL;
    t.pt.host = item_host;
    t.pt.deadline = item_deadline;
    t.pt.events = (u16)ITEM_EVENTS;
    if (item->deadline != NO_DEADLINE) {
        list_del(&item->timed);
        item->deadline = NO_DEADLINE;
    }
    *ready = item->file->ops->poll(item->file, &t.pt) & (item->events | EPOLLERR | EPOLLHUP) &
             ITEM_EVENTS;
    return t.err;
}

/* ---- items ---- */

static struct epoll_item *item_find(struct epoll *ep, int fd, const struct file *file)
{
    struct rb_node *n = rb_find(&ep->items, (u64)fd);
    struct epoll_item *item = n != NULL ? container_of(n, struct epoll_item, node) : NULL;

    while (item != NULL && item->file != file)
        item = item->same_fd;
    return item;
}

static void item_insert(struct epoll_item *item)
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

/* g_epoll_lock and ep->lock held. */
static void item_remove(struct epoll_item *item)
{
    struct epoll *ep = item->ep;
    struct item_entry *x;

    for (u32 i = 0; i < MIN(item->entry_count, (u32)ARRAY_SIZE(item->entries)); i++)
        waitq_remove(&item->entries[i].entry);
    while ((x = item->extra) != NULL) {
        waitq_remove(&x->entry);
        item->extra = x->next;
        kfree(x);
    }
    if (item->hfd >= 0) {
        (void)host_epoll_ctl(ep->host_fd, EPOLL_CTL_DEL, item->hfd, 0, 0);
        rb_erase(&ep->hosts, &item->host_node);
        ep->host_count--;
        if (item->hfd_owned)
            host_close(item->hfd);
    }
    if (item->deadline != NO_DEADLINE)
        list_del(&item->timed);
    item_unqueue(item);
    item_erase(item);
    kfree(item);
}

void epoll_file_closed(struct file *f)
{
    struct epoll_item *item;

    mutex_lock(&g_epoll_lock);
    while ((item = f->epoll_watch) != NULL) {
        struct epoll *ep = item->ep;

        mutex_lock(&ep->lock);
        item_remove(item);
        mutex_unlock(&ep->lock);
    }
    mutex_unlock(&g_epoll_lock);
}

/* ---- nesting: an epoll may watch others, not itself, not too deep ---- */

static int depth_below(const struct epoll *ep, const struct epoll *forbidden)
{
    int depth = 0;

    if (ep == forbidden)
        return NESTING_MAX + 1;
    for (struct rb_node *n = rb_first(&ep->items); n != NULL; n = rb_next(n)) {
        struct epoll_item *i = container_of(n, struct epoll_item, node);

        for (; i != NULL && depth <= NESTING_MAX; i = i->same_fd) {
            if (i->file->ops == &epoll_ops)
                depth = MAX(depth, 1 + depth_below(i->file->private, forbidden));
        }
    }
    return depth;
}

static int depth_above(const struct epoll *ep)
{
    int depth = 0;

    for (struct epoll_item *i = ep->file->epoll_watch; i != NULL; i = i->next_watch)
        depth = MAX(depth, 1 + depth_above(i->ep));
    return depth;
}

/* ---- epoll_ctl ---- */

static int ctl_add(struct epoll *ep, int fd, struct file *file, const struct epoll_event *event)
{
    struct epoll_item *item = kzalloc(sizeof(*item));
    u32 ready;
    int r;

    if (item == NULL)
        return -ENOMEM;
    item->ep = ep;
    item->file = file;
    item->fd = fd;
    item->events = event->events;
    item->data = event->data;
    item->hfd = -1;
    item->deadline = NO_DEADLINE;
    list_init(&item->ready);
    list_init(&item->timed);
    item_insert(item);
    r = item_poll(item, true, &ready);
    if (r < 0) {
        item_remove(item);
        return r;
    }
    if (ready != 0)
        item_queue(item);
    return 0;
}

static int ctl_modify(struct epoll_item *item, const struct epoll_event *event)
{
    u32 ready;
    int r = 0;

    if ((item->events | event->events) & EPOLLEXCLUSIVE)
        return -EINVAL;
    spin_lock(&item->ep->ready_lock);
    item->disabled = false;
    spin_unlock(&item->ep->ready_lock);
    item->events = event->events;
    item->data = event->data;
    if (item->hfd >= 0)
        r = host_epoll_ctl(item->ep->host_fd, EPOLL_CTL_MOD, item->hfd, item_host_events(item),
                           (u32)item->host_node.key);
    if (r == 0)
        r = item_poll(item, false, &ready);
    if (r == 0 && ready != 0)
        item_queue(item);
    return r;
}

static int ctl_check(struct epoll *ep, int op, struct file *file, const struct epoll_event *event)
{
    if (file->ops->poll == NULL)
        return -EPERM;
    if (file->ops == &epoll_ops && file->private == ep)
        return -EINVAL;
    if (op != EPOLL_CTL_DEL && (event->events & EPOLLEXCLUSIVE) != 0) {
        u32 allowed = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET |
                      EPOLLEXCLUSIVE;

        if (op == EPOLL_CTL_MOD || file->ops == &epoll_ops || (event->events & ~allowed) != 0)
            return -EINVAL;
    }
    return 0;
}

static int ctl_locked(struct epoll *ep, int op, int fd, struct file *file,
                      const struct epoll_event *event)
{
    struct epoll_item *item = item_find(ep, fd, file);

    switch (op) {
    case EPOLL_CTL_ADD:
        if (item != NULL)
            return -EEXIST;
        if (file->ops == &epoll_ops &&
            depth_below(file->private, ep) + 1 + depth_above(ep) > NESTING_MAX)
            return -ELOOP;
        return ctl_add(ep, fd, file, event);
    case EPOLL_CTL_MOD:
        return item == NULL ? -ENOENT : ctl_modify(item, event);
    case EPOLL_CTL_DEL:
        if (item == NULL)
            return -ENOENT;
        item_remove(item);
        return 0;
    default:
        return -EINVAL;
    }
}

static long ctl(struct file *epf, int op, int fd, struct file *file,
                const struct epoll_event *event)
{
    struct epoll *ep = epf->private;
    int r;

    if (epf->ops != &epoll_ops)
        return -EINVAL;
    r = ctl_check(ep, op, file, event);
    if (r < 0)
        return r;
    mutex_lock(&g_epoll_lock);
    mutex_lock(&ep->lock);
    r = ctl_locked(ep, op, fd, file, event);
    mutex_unlock(&ep->lock);
    mutex_unlock(&g_epoll_lock);
    return r;
}

long sys_epoll_ctl(SYSCALL_ARGS)
{
    struct epoll_event event = {0};
    struct file *epf, *file;
    long r = -EBADF;

    if ((int)b != EPOLL_CTL_DEL && copy_from_user(&event, (void __user *)d, sizeof(event)) < 0)
        return -EFAULT;
    epf = fd_get((int)a);
    file = fd_get((int)c);
    if (epf != NULL && file != NULL)
        r = ctl(epf, (int)b, (int)c, file, &event);
    if (file != NULL)
        file_put(file);
    if (epf != NULL)
        file_put(epf);
    return r;
}

/* ---- collecting events ---- */

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
            item_queue(i);
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

static void item_fired(struct epoll_item *item, u32 ready, struct epoll_event *out)
{
    struct epoll *ep = item->ep;

    out->events = ready;
    out->data = item->data;
    item->round = ep->round;
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
        (void)item_poll(item, false, &ready);
        if (ready == 0)
            continue;
        item_fired(item, ready, &out[n++]);
        if (item->hfd >= 0 && (item->events & EPOLLONESHOT) != 0)
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

static size_t collect_host(struct epoll *ep, struct epoll_event *out, size_t max)
{
    struct host_epoll_event events[COLLECT_MAX];
    int count = host_epoll_wait(ep->host_fd, events, MIN(max, (size_t)COLLECT_MAX));
    size_t n = 0;

    for (int i = 0; i < count; i++) {
        struct rb_node *node = rb_find(&ep->hosts, events[i].data);
        struct epoll_item *item;
        u32 ready;

        if (node == NULL)
            continue;
        item = container_of(node, struct epoll_item, host_node);
        ready = events[i].events & (item->events | EPOLLERR | EPOLLHUP) & ITEM_EVENTS;
        if (ready == 0 || item->disabled || item->round == ep->round)
            continue;
        item_fired(item, ready, &out[n++]);
    }
    return n;
}

/*
 * Events that are there, at most max. The host is asked when ask_host, or when there are LibOS
 * events anyway (it must not starve behind them). *next is the next deadline of an item. *more:
 * items are still on the ready list, for somebody else.
 */
static size_t collect(struct epoll *ep, struct epoll_event *out, size_t max, bool ask_host,
                      u64 *next, bool *more)
{
    size_t n;

    mutex_lock(&ep->lock);
    ep->round++;
    *next = timed_expire(ep);
    n = collect_ready(ep, out, max);
    if (ep->host_count > 0 && n < max && (ask_host || n > 0))
        n += collect_host(ep, out + n, max - n);
    spin_lock(&ep->ready_lock);
    *more = !list_empty(&ep->ready);
    spin_unlock(&ep->ready_lock);
    mutex_unlock(&ep->lock);
    return n;
}

static int wait_events(struct epoll *ep, struct epoll_event *out, size_t max, u64 deadline)
{
    struct wait_entry entry;
    struct host_pollfd host;
    bool ask_host = deadline == 0, waiting = false, more;
    u64 next;
    size_t n;
    int r = 0;

    for (;;) {
        n = collect(ep, out, max, ask_host, &next, &more);
        if (n > 0 || deadline == 0 || r < 0)
            break;
        if (!waiting) {
            waitq_add(&ep->wait, &entry);
            waiting = true;
            continue;
        }
        host = (struct host_pollfd){.hfd = ep->host_fd, .events = POLLIN};
        r = thread_wait(MIN(deadline, next), true, &host, ep->host_count > 0 ? 1 : 0);
        ask_host = host.revents != 0 || r < 0;
        if (r == -ETIMEDOUT && (deadline == NO_DEADLINE || clock_monotonic() < deadline))
            r = 0;
    }
    if (waiting)
        waitq_remove(&entry);
    if (n > 0 && more) /* not before: it could wake this entry */
        waitq_wake(&ep->wait, 1);
    if (n > 0)
        return (int)n;
    return r == -EINTR ? r : 0;
}

static long epoll_wait_file(struct file *f, struct epoll_event __user *user, size_t max,
                            u64 deadline)
{
    struct epoll_event few[COLLECT_MAX], *many = NULL;
    struct epoll *ep = f->private;
    long r;

    /* No more events than items; without memory for all, the rest is told by the next call. */
    max = MIN(max, MAX((size_t)ep->item_count, (size_t)COLLECT_MAX));
    if (max > COLLECT_MAX && (many = kmalloc(max * sizeof(*many))) == NULL)
        max = COLLECT_MAX;
    r = wait_events(ep, many ? many : few, max, deadline);
    if (r > 0 && copy_to_user(user, many ? many : few, (size_t)r * sizeof(*few)) < 0)
        r = -EFAULT;
    kfree(many);
    return r;
}

static long epoll_wait_user(int epfd, struct epoll_event __user *user, int max, u64 deadline)
{
    struct file *f;
    long r = -EINVAL;

    if (max <= 0 || (size_t)max > INT32_MAX / sizeof(struct epoll_event))
        return -EINVAL;
    f = fd_get(epfd);
    if (f == NULL)
        return -EBADF;
    if (f->ops == &epoll_ops)
        r = epoll_wait_file(f, user, (size_t)max, deadline);
    file_put(f);
    return r;
}

static u64 deadline_from_ms(int ms)
{
    return ms < 0 ? NO_DEADLINE : ms == 0 ? 0 : deadline_after((u64)ms * 1000000);
}

static long wait_restartable(int epfd, u64 user, int max, u64 deadline);

static long wait_restart(struct thread *t)
{
    return wait_restartable((int)t->restart_args[0], t->restart_args[1], (int)t->restart_args[2],
                            t->restart_args[3]);
}

/* -EINTR for a handler as in Linux; what interrupts without one (a stop, the turn of a fork group)
 * does not show. */
static long wait_restartable(int epfd, u64 user, int max, u64 deadline)
{
    struct thread *t = current();
    long r = epoll_wait_user(epfd, (struct epoll_event __user *)user, max, deadline);

    if (r != -EINTR)
        return r;
    t->restart = wait_restart;
    t->restart_args[0] = (u64)epfd;
    t->restart_args[1] = user;
    t->restart_args[2] = (u64)max;
    t->restart_args[3] = deadline;
    return -ERESTART_RESTARTBLOCK;
}

long sys_epoll_wait(SYSCALL_ARGS)
{
    return wait_restartable((int)a, (u64)b, (int)c, deadline_from_ms((int)d));
}

static long wait_masked(int epfd, u64 user, int max, u64 deadline, const void __user *mask,
                        size_t size)
{
    long r;

    if (mask == NULL)
        return wait_restartable(epfd, user, max, deadline);
    r = sigmask_enter(mask, size);
    if (r < 0)
        return r;
    r = epoll_wait_user(epfd, (struct epoll_event __user *)user, max, deadline);
    sigmask_leave(r == -EINTR);
    return r == -EINTR ? -ERESTARTNOHAND : r;
}

long sys_epoll_pwait(SYSCALL_ARGS)
{
    return wait_masked((int)a, (u64)b, (int)c, deadline_from_ms((int)d), (void __user *)e,
                       (size_t)f);
}

long sys_epoll_pwait2(SYSCALL_ARGS)
{
    u64 deadline;
    long r = deadline_from_timespec((void __user *)d, &deadline);

    return r < 0 ? r : wait_masked((int)a, (u64)b, (int)c, deadline, (void __user *)e, (size_t)f);
}

/* ---- the file ---- */

/* Readable when an item truly has events; items that do not leave the ready list. */
static u32 epoll_poll(struct file *f, struct poll_table *pt)
{
    struct epoll *ep = f->private;
    struct list_head batch;
    struct epoll_item *item;
    u32 ready = 0;
    u64 next;

    poll_wait(pt, &ep->watchers);
    list_init(&batch);
    mutex_lock(&ep->lock);
    next = timed_expire(ep);
    if (next != NO_DEADLINE)
        poll_deadline(pt, next);
    spin_lock(&ep->ready_lock);
    list_splice_head(&ep->ready, &batch);
    spin_unlock(&ep->ready_lock);
    while (ready == 0 && (item = batch_pop(ep, &batch)) != NULL) {
        (void)item_poll(item, false, &ready);
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
    if (ep->host_count > 0)
        ready |= poll_host(pt, ep->host_fd, POLLIN);
    mutex_unlock(&ep->lock);
    return ready != 0 ? POLLIN | POLLRDNORM : 0;
}

static void epoll_release(struct file *f)
{
    struct epoll *ep = f->private;
    struct rb_node *n;

    mutex_lock(&g_epoll_lock);
    mutex_lock(&ep->lock);
    while ((n = rb_first(&ep->items)) != NULL)
        item_remove(container_of(n, struct epoll_item, node));
    mutex_unlock(&ep->lock);
    mutex_unlock(&g_epoll_lock);
    if (ep->host_fd >= 0)
        host_close(ep->host_fd);
    kfree(ep);
}

static const struct file_ops epoll_ops = {
    .poll = epoll_poll,
    .release = epoll_release,
};

static long epoll_create(u32 flags)
{
    struct epoll *ep = kzalloc(sizeof(*ep));
    struct file *f = ep != NULL ? file_alloc(&epoll_ops, O_RDWR) : NULL;

    if (f == NULL) {
        kfree(ep);
        return -ENOMEM;
    }
    list_init(&ep->ready);
    list_init(&ep->timed);
    waitq_init(&ep->wait);
    waitq_init(&ep->watchers);
    ep->host_fd = -1;
    ep->file = f;
    f->private = ep;
    f->kind = "eventpoll";
    return fd_install(f, (flags & O_CLOEXEC) != 0);
}

long sys_epoll_create(SYSCALL_ARGS)
{
    return (int)a <= 0 ? -EINVAL : epoll_create(0);
}

long sys_epoll_create1(SYSCALL_ARGS)
{
    return ((u32)a & ~EPOLL_CLOEXEC) != 0 ? -EINVAL : epoll_create((u32)a);
}
