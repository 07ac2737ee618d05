/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines, and the arguments of system calls that give them. */
#include "task.h"
#include "user.h"
#include <linux/personality.h>
#include <linux/time_types.h>

u64 deadline_after(u64 ns)
{
    u64 now = clock_monotonic();

    return ns >= NO_DEADLINE - now ? NO_DEADLINE - 1 : now + ns;
}

int ns_from_timespec(uaddr ts, u64 *ns)
{
    struct __kernel_timespec t;

    if (copy_from_user(&t, ts, sizeof(t)) < 0)
        return -EFAULT;
    if (t.tv_sec < 0 || t.tv_nsec < 0 || t.tv_nsec >= 1000000000)
        return -EINVAL;
    if (t.tv_sec > INT64_MAX / 1000000000 - 1)
        *ns = INT64_MAX;
    else
        *ns = (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
    return 0;
}

int deadline_from_timespec(uaddr ts, u64 *deadline)
{
    u64 ns;
    int r;

    *deadline = NO_DEADLINE;
    if (!ts.at)
        return 0;
    r = ns_from_timespec(ts, &ns);
    if (r == 0)
        *deadline = ns == 0 ? 0 : deadline_after(ns);
    return r;
}

void put_remaining_time(uaddr ts, u64 deadline, bool timeval)
{
    i64 out[2] = {0, 0};
    u64 now, left;

    if (!ts.at || deadline == NO_DEADLINE || (current_process()->personality & STICKY_TIMEOUTS))
        return;
    now = deadline == 0 ? 0 : clock_monotonic();
    left = deadline > now ? deadline - now : 0;
    out[0] = (i64)(left / 1000000000);
    out[1] = (i64)(left % 1000000000) / (timeval ? 1000 : 1);
    (void)copy_to_user(ts, out, sizeof(out));
}
