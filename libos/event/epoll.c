/* SPDX-License-Identifier: Apache-2.0 */
/* epoll: the file, epoll_ctl and epoll_wait. */
#include "epoll.h"

#define NESTING_MAX 4

static struct mutex g_epoll_lock;
static const struct file_ops epoll_ops;

/* The file's last reference goes. */
static void unwatch(struct file *f)
{
    struct epoll_item *item;

    mutex_lock(&g_epoll_lock);
    while ((item = f->epoll_watch) != NULL) {
        struct epoll *ep = item->ep;

        mutex_lock(&ep->lock);
        epoll_item_remove(item);
        mutex_unlock(&ep->lock);
    }
    mutex_unlock(&g_epoll_lock);
}

void epoll_file_host_gone(struct file *f)
{
    mutex_lock(&g_epoll_lock);
    for (struct epoll_item *item = f->epoll_watch; item != NULL; item = item->next_watch) {
        mutex_lock(&item->ep->lock);
        epoll_item_forget_host(item);
        mutex_unlock(&item->ep->lock);
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
    item->hfd = no_hostfd(-1);
    item->deadline = NO_DEADLINE;
    list_init(&item->ready);
    list_init(&item->timed);
    epoll_item_insert(item);
    r = epoll_item_poll(item, true, &ready);
    if (r < 0) {
        epoll_item_remove(item);
        return r;
    }
    if (ready != 0)
        epoll_item_queue(item);
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
    if (hostfd_ok(item->hfd))
        r = host_epoll_ctl(item->ep->host_fd, EPOLL_CTL_MOD, item->hfd,
                           epoll_item_host_events(item), (u32)item->host_node.key);
    if (r == 0)
        r = epoll_item_poll(item, false, &ready);
    if (r == 0 && ready != 0)
        epoll_item_queue(item);
    return r;
}

static int ctl_check(const struct file *epf, int op, const struct file *file,
                     const struct epoll_event *event)
{
    if (file->ops->poll == NULL)
        return -EPERM;
    if (epf->ops != &epoll_ops || (file->ops == &epoll_ops && file->private == epf->private))
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
    struct epoll_item *item = epoll_item_find(ep, fd, file);

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
        epoll_item_remove(item);
        return 0;
    default:
        return -EINVAL;
    }
}

static long ctl(struct file *epf, int op, int fd, struct file *file,
                const struct epoll_event *event)
{
    int r = ctl_check(epf, op, file, event);
    struct epoll *ep = epf->private;

    if (r < 0)
        return r;
    mutex_lock(&g_epoll_lock);
    mutex_lock(&ep->lock);
    r = ctl_locked(ep, op, fd, file, event);
    mutex_unlock(&ep->lock);
    mutex_unlock(&g_epoll_lock);
    return r;
}

long sys_epoll_ctl(int epoll, int operation, int fd, uaddr user_event)
{
    struct epoll_event event = {0};
    struct file *epf, *file;
    long r = -EBADF;

    if (operation != EPOLL_CTL_DEL && copy_from_user(&event, user_event, sizeof(event)) < 0)
        return -EFAULT;
    epf = fd_get(epoll);
    file = fd_get(fd);
    if (epf != NULL && file != NULL && !((epf->flags | file->flags) & O_PATH))
        r = ctl(epf, operation, fd, file, &event);
    if (file != NULL)
        file_put(file);
    if (epf != NULL)
        file_put(epf);
    return r;
}

/* ---- epoll_wait ---- */

static int wait_events(struct epoll *ep, struct epoll_event *out, size_t max, u64 deadline)
{
    struct wait_entry entry;
    struct host_pollfd host;
    bool ask_host = deadline == 0, waiting = false, more;
    u64 next;
    size_t n;
    int r = 0;

    for (;;) {
        n = epoll_collect(ep, out, max, ask_host, &next, &more);
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

static long epoll_wait_file(struct file *f, uaddr user, size_t max, u64 deadline)
{
    struct epoll_event few[EPOLL_COLLECT_MAX], *many = NULL;
    struct epoll *ep = f->private;
    long r;

    /* No more events than items; without memory for all, the rest is told by the next call. */
    max = MIN(max, MAX((size_t)ep->item_count, (size_t)EPOLL_COLLECT_MAX));
    if (max > EPOLL_COLLECT_MAX && (many = kmalloc(max * sizeof(*many))) == NULL)
        max = EPOLL_COLLECT_MAX;
    r = wait_events(ep, many ? many : few, max, deadline);
    if (r > 0 && copy_to_user(user, many ? many : few, (size_t)r * sizeof(*few)) < 0)
        r = -EFAULT;
    kfree(many);
    return r;
}

static long epoll_wait_user(int epfd, uaddr user, int max, u64 deadline)
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

static long wait_restartable(int epfd, uaddr user, int max, u64 deadline);

static long wait_restart(struct thread *t)
{
    return wait_restartable((int)t->restart_args[0], user_at(t->restart_args[1]),
                            (int)t->restart_args[2], t->restart_args[3]);
}

/* -EINTR for a handler as in Linux; what interrupts without one (a stop, the turn of a fork group)
 * does not show. */
static long wait_restartable(int epfd, uaddr user, int max, u64 deadline)
{
    struct thread *t = current();
    long r = epoll_wait_user(epfd, user, max, deadline);

    if (r != -EINTR)
        return r;
    t->restart = wait_restart;
    t->restart_args[0] = (u64)epfd;
    t->restart_args[1] = user.at;
    t->restart_args[2] = (u64)max;
    t->restart_args[3] = deadline;
    return -ERESTART_RESTARTBLOCK;
}

long sys_epoll_wait(int epoll, uaddr events, int most, int timeout)
{
    return wait_restartable(epoll, events, most, deadline_from_ms(timeout));
}

static long wait_masked(int epfd, uaddr user, int max, u64 deadline, uaddr mask, size_t size)
{
    long r;

    if (!mask.at)
        return wait_restartable(epfd, user, max, deadline);
    r = sigmask_enter(mask, size);
    if (r < 0)
        return r;
    r = epoll_wait_user(epfd, user, max, deadline);
    sigmask_leave(r == -EINTR);
    return r == -EINTR ? -ERESTARTNOHAND : r;
}

long sys_epoll_pwait(int epoll, uaddr events, int most, int timeout, uaddr mask, u64 mask_size)
{
    return wait_masked(epoll, events, most, deadline_from_ms(timeout), mask, mask_size);
}

long sys_epoll_pwait2(int epoll, uaddr events, int most, uaddr timeout, uaddr mask, u64 mask_size)
{
    u64 deadline;
    long r = deadline_from_timespec(timeout, &deadline);

    return r < 0 ? r : wait_masked(epoll, events, most, deadline, mask, mask_size);
}

/* ---- the file ---- */

static u32 epoll_poll(struct file *f, struct poll_table *pt)
{
    struct epoll *ep = f->private;
    bool ready;
    u64 next;

    poll_wait(pt, &ep->watchers);
    mutex_lock(&ep->lock);
    ready = epoll_has_ready(ep, &next);
    if (next != NO_DEADLINE)
        poll_deadline(pt, next);
    if (ep->host_count > 0)
        ready |= poll_host(pt, ep->host_fd, POLLIN) != 0;
    mutex_unlock(&ep->lock);
    return ready ? POLLIN | POLLRDNORM : 0;
}

static void epoll_release(struct file *f)
{
    struct epoll *ep = f->private;
    struct rb_node *n;

    mutex_lock(&g_epoll_lock);
    mutex_lock(&ep->lock);
    while ((n = rb_first(&ep->items)) != NULL)
        epoll_item_remove(container_of(n, struct epoll_item, node));
    mutex_unlock(&ep->lock);
    mutex_unlock(&g_epoll_lock);
    if (hostfd_ok(ep->host_fd))
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
    ep->host_fd = no_hostfd(-1);
    ep->file = f;
    f->private = ep;
    f->kind = "eventpoll";
    __atomic_store_n(&g_file_unwatch, unwatch, __ATOMIC_RELEASE); /* nothing is watched before */
    return fd_install(f, (flags & O_CLOEXEC) != 0);
}

long sys_epoll_create(int size)
{
    return size <= 0 ? -EINVAL : epoll_create(0);
}

long sys_epoll_create1(int flags)
{
    return ((u32)flags & ~EPOLL_CLOEXEC) != 0 ? -EINVAL : epoll_create((u32)flags);
}
