/* SPDX-License-Identifier: Apache-2.0 */
/* poll and ppoll. */
#include "poll.h"
#include "process.h"

static int poll_items_from_user(struct poll_item *items, const struct pollfd __user *ufds,
                                size_t count)
{
    struct pollfd p;

    for (size_t i = 0; i < count; i++) {
        if (copy_from_user(&p, ufds + i, sizeof(p)) < 0) {
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

static long poll_user(struct pollfd __user *ufds, u64 count, u64 deadline)
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
            if (copy_to_user(&ufds[i].revents, &items[i].revents, sizeof(ufds[i].revents)) < 0)
                r = -EFAULT;
        }
        poll_items_put(items, count);
    }
    if (items != fast)
        kfree(items);
    return r;
}

static long poll_interrupted(struct thread *t, u64 ufds, u64 count, u64 deadline);

static long poll_restart(struct thread *t)
{
    u64 ufds = t->restart_args[0], count = t->restart_args[1], deadline = t->restart_args[2];
    long r = poll_user((struct pollfd __user *)ufds, count, deadline);

    return r == -EINTR ? poll_interrupted(t, ufds, count, deadline) : r;
}

static long poll_interrupted(struct thread *t, u64 ufds, u64 count, u64 deadline)
{
    t->restart = poll_restart;
    t->restart_args[0] = ufds;
    t->restart_args[1] = count;
    t->restart_args[2] = deadline;
    return -ERESTART_RESTARTBLOCK;
}

long sys_poll(SYSCALL_ARGS)
{
    int timeout = (int)c;
    u64 deadline = timeout < 0    ? NO_DEADLINE
                   : timeout == 0 ? 0
                                  : deadline_after((u64)timeout * 1000000);
    long r = poll_user((struct pollfd __user *)a, (u32)b, deadline);

    return r == -EINTR ? poll_interrupted(current(), (u64)a, (u32)b, deadline) : r;
}

long sys_ppoll(SYSCALL_ARGS)
{
    u64 deadline;
    long r = deadline_from_timespec((void __user *)c, &deadline);

    if (r == 0)
        r = sigmask_enter((void __user *)d, (size_t)e);
    if (r < 0)
        return r;
    r = poll_user((struct pollfd __user *)a, (u32)b, deadline);
    sigmask_leave(r == -EINTR);
    put_remaining_time((void __user *)c, deadline, false);
    return r == -EINTR ? -ERESTARTNOHAND : r;
}
