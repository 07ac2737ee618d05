/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <time.h>

#include "base/cleanup.h"

enum { BATCH_MAX = 32 };

uint64_t loop_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int loop_init(struct loop *loop, struct error *err)
{
    *loop = (struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC)};
    return loop->epoll < 0 ? error_errno(err, errno, "epoll_create1") : 0;
}

void loop_release(struct loop *loop)
{
    close_and_reset(&loop->epoll);
}

int loop_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events,
             struct error *err)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return error_errno(err, errno, "watch descriptor %d", fd);
    watch->fd = fd;
    watch->events = events;
    return 0;
}

void loop_change(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (watch->events == events)
        return;
    watch->events = events;
    (void)epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_remove(struct loop *loop, struct loop_watch *watch)
{
    if (watch->fd < 0)
        return;
    (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->fd = -1;
    for (int i = 0; i < loop->batch_count; i++)
        if (loop->batch[i].data.ptr == watch)
            loop->batch[i].data.ptr = NULL;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    if (timer->due == 0)
        return;
    timer->due = 0;
    struct loop_timer **slot = &loop->timers;
    while (*slot && *slot != timer)
        slot = &(*slot)->next;
    if (*slot)
        *slot = timer->next;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t delay)
{
    loop_timer_cancel(loop, timer);
    uint64_t now = loop_now();
    timer->due = delay > UINT64_MAX - now ? UINT64_MAX : now + delay;
    struct loop_timer **slot = &loop->timers;
    while (*slot && (*slot)->due <= timer->due)
        slot = &(*slot)->next;
    timer->next = *slot;
    *slot = timer;
}

static int wait_limit(const struct loop *loop, int limit)
{
    if (!loop->timers)
        return limit;
    uint64_t now = loop_now();
    uint64_t left = loop->timers->due > now ? loop->timers->due - now : 0;
    if (limit >= 0 && left > (uint64_t)limit)
        return limit;
    return left > INT_MAX ? INT_MAX : (int)left;
}

static void fire_timers(struct loop *loop)
{
    uint64_t now = loop_now();
    while (loop->timers && loop->timers->due <= now) {
        struct loop_timer *timer = loop->timers;
        loop_timer_cancel(loop, timer);
        timer->fire(timer);
    }
}

int loop_step(struct loop *loop, int limit, struct error *err)
{
    struct epoll_event batch[BATCH_MAX];
    int count = epoll_wait(loop->epoll, batch, BATCH_MAX, wait_limit(loop, limit));
    if (count < 0 && errno != EINTR)
        return error_errno(err, errno, "epoll_wait");
    loop->batch = batch;
    loop->batch_count = count > 0 ? count : 0;
    for (int i = 0; i < loop->batch_count; i++) {
        struct loop_watch *watch = batch[i].data.ptr;
        if (watch)
            watch->ready(watch, batch[i].events);
    }
    loop->batch = NULL;
    loop->batch_count = 0;
    fire_timers(loop);
    return 0;
}

int loop_run(struct loop *loop, struct error *err)
{
    while (!loop->stop)
        if (loop_step(loop, -1, err) < 0)
            return -1;
    return 0;
}
