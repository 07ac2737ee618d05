/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timerfd. Nothing runs when a timer expires: whoever reads or polls compares the clock, and waits
 * no longer than until the next expiry (poll_deadline()).
 */
#include "event.h"
#include "poll.h"
#include "process.h"
#include <linux/time.h>
#include <linux/timerfd.h>

struct timerfd {
    struct mutex lock;
    i32 clock;
    u64 next;          /* CLOCK_MONOTONIC ns; NO_DEADLINE: disarmed */
    u64 interval;      /* ns, 0: once */
    u64 expired;       /* not yet read */
    struct waitq wait; /* woken when the setting changes */
};

static const struct file_ops timerfd_ops;

/* Counts what has expired by now; the lock is held. */
static void timer_update(struct timerfd *t)
{
    u64 now = clock_monotonic(), times;

    if (t->next > now)
        return;
    if (t->interval == 0) {
        t->expired++;
        t->next = NO_DEADLINE;
    } else {
        times = 1 + (now - t->next) / t->interval;
        t->expired += times;
        t->next += times * t->interval;
    }
}

static ssize_t timerfd_read(struct file *f, struct uio *io, u64 *pos)
{
    struct timerfd *t = f->private;
    struct wait_entry we;
    u64 value, next;
    int r = 0;

    if (io->left < sizeof(value))
        return -EINVAL;
    waitq_add(&t->wait, &we);
    for (;;) {
        mutex_lock(&t->lock);
        timer_update(t);
        value = t->expired;
        t->expired = 0;
        next = t->next;
        mutex_unlock(&t->lock);
        if (value != 0 || r == -EINTR || (f->flags & O_NONBLOCK) != 0)
            break;
        r = thread_wait(next, true, NULL, 0);
    }
    waitq_remove(&we);
    if (value == 0)
        return r == -EINTR ? -ERESTARTSYS : -EAGAIN;
    return uio_to(io, &value, sizeof(value));
}

static u32 timerfd_poll(struct file *f, struct poll_table *pt)
{
    struct timerfd *t = f->private;
    u32 ready;

    poll_wait(pt, &t->wait);
    mutex_lock(&t->lock);
    timer_update(t);
    ready = t->expired > 0 ? POLLIN | POLLRDNORM : 0;
    if (t->next != NO_DEADLINE)
        poll_deadline(pt, t->next);
    mutex_unlock(&t->lock);
    return ready;
}

static void timerfd_release(struct file *f)
{
    kfree(f->private);
}

static const struct file_ops timerfd_ops = {
    .read = timerfd_read,
    .poll = timerfd_poll,
    .release = timerfd_release,
};

long sys_timerfd_create(int clock, int flags)
{
    struct timerfd *t;
    struct file *file;

    if ((flags & ~(u32)(O_CLOEXEC | O_NONBLOCK)) != 0)
        return -EINVAL;
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME &&
        clock != CLOCK_REALTIME_ALARM && clock != CLOCK_BOOTTIME_ALARM)
        return -EINVAL;
    t = kzalloc(sizeof(*t));
    file = t != NULL ? file_alloc(&timerfd_ops, O_RDWR | (flags & O_NONBLOCK)) : NULL;
    if (file == NULL) {
        kfree(t);
        return -ENOMEM;
    }
    t->clock = clock == CLOCK_REALTIME_ALARM   ? CLOCK_REALTIME
               : clock == CLOCK_BOOTTIME_ALARM ? CLOCK_BOOTTIME
                                               : clock;
    t->next = NO_DEADLINE;
    waitq_init(&t->wait);
    file->private = t;
    file->kind = "timerfd";
    return fd_install(file, (flags & O_CLOEXEC) != 0);
}

/* As struct itimerspec. */
struct setting {
    i64 interval_sec, interval_nsec, value_sec, value_nsec;
};

/* What is left; the lock is held. */
static void setting_of(struct timerfd *t, struct setting *s)
{
    u64 left = 0, now = clock_monotonic();

    timer_update(t);
    if (t->next != NO_DEADLINE)
        left = t->next > now ? t->next - now : 1;
    *s = (struct setting){(i64)(t->interval / 1000000000), (i64)(t->interval % 1000000000),
                          (i64)(left / 1000000000), (i64)(left % 1000000000)};
}

static bool time_ok(i64 sec, i64 nsec)
{
    return sec >= 0 && nsec >= 0 && nsec < 1000000000;
}

static u64 to_ns(i64 sec, i64 nsec)
{
    return sec > INT64_MAX / 1000000000 - 1 ? INT64_MAX : (u64)sec * 1000000000 + (u64)nsec;
}

static int timer_get(int fd, struct file **out)
{
    struct file *f = fd_get(fd);

    if (f == NULL)
        return -EBADF;
    if (f->ops != &timerfd_ops) {
        file_put(f);
        return -EINVAL;
    }
    *out = f;
    return 0;
}

static int timer_set(struct timerfd *t, bool absolute, const struct setting *s, struct setting *old)
{
    u64 deadline = NO_DEADLINE, value = to_ns(s->value_sec, s->value_nsec);
    u64 interval = value != 0 ? to_ns(s->interval_sec, s->interval_nsec) : 0;
    u64 late = absolute && interval ? clock_late(t->clock, value) : 0;
    int r = 0;

    if (value != 0)
        r = clock_deadline(t->clock, absolute, value, &deadline);
    if (r < 0)
        return r;
    mutex_lock(&t->lock);
    setting_of(t, old);
    t->next = deadline;
    t->interval = interval;
    t->expired = 0;
    if (late > 0) { /* it ran out already, and perhaps more than once */
        t->expired = late / interval;
        t->next -= MIN(late % interval, deadline - 1);
    }
    mutex_unlock(&t->lock);
    waitq_wake(&t->wait, UINT32_MAX);
    return 0;
}

long sys_timerfd_settime(int fd, int flags, uaddr value, uaddr user_old)
{
    struct setting s, old;
    struct file *file;
    int r;

    if (copy_from_user(&s, value, sizeof(s)) < 0)
        return -EFAULT;
    if (((u32)flags & ~(u32)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) != 0 ||
        !time_ok(s.interval_sec, s.interval_nsec) || !time_ok(s.value_sec, s.value_nsec))
        return -EINVAL;
    r = timer_get(fd, &file);
    if (r < 0)
        return r;
    r = timer_set(file->private, ((u32)flags & TFD_TIMER_ABSTIME) != 0, &s, &old);
    file_put(file);
    if (r == 0 && user_old.at && copy_to_user(user_old, &old, sizeof(old)) < 0)
        r = -EFAULT;
    return r;
}

long sys_timerfd_gettime(int fd, uaddr value)
{
    struct timerfd *t;
    struct setting s;
    struct file *file;
    int r = timer_get(fd, &file);

    if (r < 0)
        return r;
    t = file->private;
    mutex_lock(&t->lock);
    setting_of(t, &s);
    mutex_unlock(&t->lock);
    file_put(file);
    return copy_to_user(value, &s, sizeof(s));
}
