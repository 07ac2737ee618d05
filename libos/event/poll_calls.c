/* SPDX-License-Identifier: Apache-2.0 */
/* poll and ppoll. */
#include "poll.h"
#include "process.h"

static int poll_items_from_user(struct poll_item *items, uaddr ufds, size_t count)
{
    struct pollfd p;

    for (size_t i = 0; i < count; i++) {
        if (copy_from_user(&p, user_plus(ufds, i * sizeof(p)), sizeof(p)) < 0) {
            poll_items_put(items, i);
            return -EFAULT;
        }
        items[i] = (struct poll_item){.fd = p.fd, .events = (u16)p.events};
        if (p.fd < 0)
            continue;
        items[i].file = fd_get(p.fd);
        if (items[i].file == NULL)
            items[i].revents = POLLNVAL;
    }
    return 0;
}

static long poll_user(uaddr ufds, u64 count, u64 deadline)
{
    struct poll_item fast[POLL_INLINE_ITEMS], *items = fast;
    long r;

    if (count > current_process()->rlimits[LIMIT_NOFILE].soft)
        return -EINVAL;
    if (count > POLL_INLINE_ITEMS) {
        items = kmalloc(count * sizeof(*items));
        if (items == NULL)
            return -ENOMEM;
    }
    r = poll_items_from_user(items, ufds, count);
    if (r == 0) {
        r = poll_items(items, count, deadline);
        for (size_t i = 0; r >= 0 && i < count; i++) {
            if (put_user(items[i].revents, user_plus(ufds, i * sizeof(struct pollfd) +
                                                               offsetof(struct pollfd, revents))) <
                0)
                r = -EFAULT;
        }
        poll_items_put(items, count);
    }
    if (items != fast)
        kfree(items);
    return r;
}

static long poll_interrupted(struct thread *t, uaddr ufds, u64 count, u64 deadline);

static long poll_restart(struct thread *t)
{
    uaddr ufds = user_at(t->restart_args[0]);
    u64 count = t->restart_args[1], deadline = t->restart_args[2];
    long r = poll_user(ufds, count, deadline);

    return r == -EINTR ? poll_interrupted(t, ufds, count, deadline) : r;
}

static long poll_interrupted(struct thread *t, uaddr ufds, u64 count, u64 deadline)
{
    t->restart = poll_restart;
    t->restart_args[0] = ufds.at;
    t->restart_args[1] = count;
    t->restart_args[2] = deadline;
    return -ERESTART_RESTARTBLOCK;
}

long sys_poll(uaddr fds, u32 count, int timeout)
{
    u64 deadline = timeout < 0    ? NO_DEADLINE
                   : timeout == 0 ? 0
                                  : deadline_after((u64)timeout * 1000000);
    long r = poll_user(fds, count, deadline);

    return r == -EINTR ? poll_interrupted(current(), fds, count, deadline) : r;
}

long sys_ppoll(uaddr fds, u32 count, uaddr timeout, uaddr mask, u64 mask_size)
{
    u64 deadline;
    long r = deadline_from_timespec(timeout, &deadline);

    if (r == 0)
        r = sigmask_enter(mask, mask_size);
    if (r < 0)
        return r;
    r = poll_user(fds, count, deadline);
    sigmask_leave(r == -EINTR);
    put_remaining_time(timeout, deadline, false);
    return r == -EINTR ? -ERESTARTNOHAND : r;
}
