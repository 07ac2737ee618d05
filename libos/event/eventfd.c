/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd: a counter that can be waited for. */
#include "event.h"
#include "eventfd.h"
#include "poll.h"
#include "process.h"

#define EFD_SEMAPHORE 1
#define EFD_FLAGS     (EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK)
#define COUNT_MAX     (UINT64_MAX - 1)

struct eventfd {
    struct spinlock lock;
    u64 count;
    bool semaphore;
    struct waitq readable, writable;
};

static u64 count_of(const struct eventfd *e)
{
    return __atomic_load_n(&e->count, __ATOMIC_ACQUIRE);
}

static ssize_t eventfd_read(struct file *f, struct uio *io, u64 *pos)
{
    struct eventfd *e = f->private;
    u64 value;
    ssize_t r;

    if (io->left < sizeof(value))
        return -EINVAL;
    for (;;) {
        spin_lock(&e->lock);
        value = e->semaphore ? e->count != 0 : e->count;
        e->count -= value;
        spin_unlock(&e->lock);
        if (value != 0)
            break;
        if ((f->flags & O_NONBLOCK) != 0)
            return -EAGAIN;
        if (wait_event(&e->readable, count_of(e) != 0, NO_DEADLINE) < 0)
            return -ERESTARTSYS;
    }
    waitq_wake(&e->writable, UINT32_MAX);
    r = uio_to(io, &value, sizeof(value));
    return r;
}

static ssize_t eventfd_write(struct file *f, struct uio *io, u64 *pos)
{
    struct eventfd *e = f->private;
    u64 value;
    bool fits;

    if (io->left < sizeof(value))
        return -EINVAL;
    if (uio_from(io, &value, sizeof(value)) != (ssize_t)sizeof(value))
        return -EFAULT;
    if (value > COUNT_MAX)
        return -EINVAL;
    for (;;) {
        spin_lock(&e->lock);
        fits = e->count <= COUNT_MAX && value <= COUNT_MAX - e->count;
        if (fits)
            __atomic_store_n(&e->count, e->count + value, __ATOMIC_RELEASE);
        spin_unlock(&e->lock);
        if (fits)
            break;
        if ((f->flags & O_NONBLOCK) != 0)
            return -EAGAIN;
        if (wait_event(&e->writable, count_of(e) <= COUNT_MAX && value <= COUNT_MAX - count_of(e),
                       NO_DEADLINE) < 0)
            return -ERESTARTSYS;
    }
    if (value > 0)
        waitq_wake_data(&e->readable);
    return sizeof(value);
}

static u32 eventfd_poll(struct file *f, struct poll_table *pt)
{
    struct eventfd *e = f->private;
    u64 count;

    poll_wait_for(pt, &e->readable, POLLIN | POLLRDNORM);
    poll_wait_for(pt, &e->writable, POLLOUT | POLLWRNORM);
    count = count_of(e);
    return (count > 0 ? POLLIN | POLLRDNORM : 0) | (count == UINT64_MAX ? POLLERR : 0) |
           (count < COUNT_MAX ? POLLOUT | POLLWRNORM : 0);
}

static const struct file_ops eventfd_ops;

bool file_is_eventfd(const struct file *f)
{
    return f->ops == &eventfd_ops;
}

void eventfd_signal(struct file *f)
{
    struct eventfd *e = f->private;

    spin_lock(&e->lock);
    if (e->count < UINT64_MAX)
        __atomic_store_n(&e->count, e->count + 1, __ATOMIC_RELEASE);
    spin_unlock(&e->lock);
    waitq_wake_data(&e->readable);
}

static void eventfd_info(struct file *f, struct fdinfo *to)
{
    fdinfo_line(to, "eventfd-count: %16llx\n", (unsigned long long)count_of(f->private));
}

static void eventfd_release(struct file *f)
{
    kfree(f->private);
}

static const struct file_ops eventfd_ops = {
    .read = eventfd_read,
    .write = eventfd_write,
    .poll = eventfd_poll,
    .fdinfo = eventfd_info,
    .release = eventfd_release,
};

static long eventfd_create(u32 count, u32 flags)
{
    struct eventfd *e;
    struct file *f;

    if ((flags & ~(u32)EFD_FLAGS) != 0)
        return -EINVAL;
    e = kzalloc(sizeof(*e));
    f = e != NULL ? file_alloc(&eventfd_ops, O_RDWR | (flags & O_NONBLOCK)) : NULL;
    if (f == NULL) {
        kfree(e);
        return -ENOMEM;
    }
    e->count = count;
    e->semaphore = (flags & EFD_SEMAPHORE) != 0;
    waitq_init(&e->readable);
    waitq_init(&e->writable);
    f->private = e;
    f->kind = "eventfd";
    return fd_install(f, (flags & O_CLOEXEC) != 0);
}

long sys_eventfd(u32 count)
{
    return eventfd_create(count, 0);
}

long sys_eventfd2(u32 count, int flags)
{
    return eventfd_create(count, (u32)flags);
}
