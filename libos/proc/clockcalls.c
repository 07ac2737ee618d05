/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping and reading clocks. */
#include "proc.h"
#include <linux/time.h>
#include <linux/timex.h>

static long sleep_until(u64 deadline)
{
    int r;
    do {
        if (clock_monotonic() >= deadline)
            return 0;
        r = thread_wait(deadline, true, NULL, 0);
    } while (r == 0);
    return r == -ETIMEDOUT ? 0 : r;
}

static int report_left(u64 deadline, uaddr where)
{
    u64 now = clock_monotonic();
    return where.at ? timespec_to_user(where, deadline > now ? deadline - now : 0) : 0;
}

static long sleep_restart(struct thread *t)
{
    u64 deadline = t->restart_args[0];
    uaddr where = user_at(t->restart_args[1]);
    if (sleep_until(deadline) == 0)
        return 0;
    return report_left(deadline, where) < 0 ? -EFAULT : -ERESTART_RESTARTBLOCK;
}

static long sleep_relative(u64 deadline, uaddr where)
{
    struct thread *t = current();
    if (sleep_until(deadline) == 0)
        return 0;
    if (report_left(deadline, where) < 0)
        return -EFAULT;
    t->restart = sleep_restart;
    t->restart_args[0] = deadline;
    t->restart_args[1] = where.at;
    return -ERESTART_RESTARTBLOCK;
}

long sys_nanosleep(uaddr time, uaddr left)
{
    u64 ns, deadline;
    int r = timespec_from_user(time, &ns);
    if (r < 0)
        return r;
    clock_deadline(CLOCK_MONOTONIC, false, ns, &deadline);
    return sleep_relative(deadline, left);
}

long sys_clock_nanosleep(int clock, int flags, uaddr time, uaddr left)
{
    u64 ns, deadline;
    if (clock == CLOCK_THREAD_CPUTIME_ID || clock == CLOCK_MONOTONIC_RAW ||
        clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE)
        return -EOPNOTSUPP;
    int r = clock_read(clock, &ns);
    if (r < 0)
        return r;
    r = timespec_from_user(time, &ns);
    if (r < 0)
        return r;
    bool absolute = flags & TIMER_ABSTIME;
    r = clock_deadline(clock, absolute, ns, &deadline);
    if (r < 0)
        return r;
    if (!absolute)
        return sleep_relative(deadline, left);
    return sleep_until(deadline) == 0 ? 0 : -ERESTARTNOHAND;
}

long sys_restart_syscall(void)
{
    struct thread *t = current();
    long (*restart)(struct thread *) = t->restart;
    if (!restart)
        return -EINTR;
    t->restart = NULL;
    long r = restart(t);
    if (r == -ERESTART_RESTARTBLOCK && !t->restart)
        t->restart = restart;
    return r;
}

long sys_clock_gettime(int clock, uaddr time)
{
    u64 ns;
    int r = clock_read(clock, &ns);
    return r < 0 ? r : timespec_to_user(time, ns);
}

long sys_clock_getres(int clock, uaddr time)
{
    u64 ns;
    int r = clock_read(clock, &ns);
    if (r < 0)
        return r;
    bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
    return time.at ? timespec_to_user(time, coarse ? 4000000 : 1) : 0;
}

long sys_clock_settime(int clock, uaddr time)
{
    u64 ns;
    int r = clock_read(clock, &ns);
    if (r < 0 || clock != CLOCK_REALTIME)
        return -EINVAL;
    r = timespec_from_user(time, &ns);
    return r < 0 ? r : -EPERM;
}

long sys_settimeofday(uaddr time, uaddr zone)
{
    return -EPERM;
}

long sys_gettimeofday(uaddr time, uaddr zone)
{
    u64 ns = clock_realtime();
    if (time.at) {
        i64 tv[2] = {(i64)(ns / 1000000000), (i64)(ns % 1000000000 / 1000)};
        if (copy_to_user(time, tv, sizeof(tv)) < 0)
            return -EFAULT;
    }
    if (zone.at && clear_user(zone, 8) < 0)
        return -EFAULT;
    return 0;
}

long sys_time(uaddr time)
{
    i64 now = (i64)(clock_realtime() / 1000000000);
    if (time.at && put_user(now, time) < 0)
        return -EFAULT;
    return now;
}

static long adjtimex_read(uaddr where)
{
    struct __kernel_timex tx;
    if (get_user(tx, where) < 0)
        return -EFAULT;
    if (tx.modes != 0)
        return -EPERM;
    u64 ns = clock_realtime();
    memset(&tx, 0, sizeof(tx));
    tx.status = 0x40; /* STA_UNSYNC: nobody in here disciplines this clock */
    tx.tick = 10000;
    tx.precision = 1;
    tx.tolerance = 32768000;
    tx.maxerror = tx.esterror = 16000000;
    tx.time.tv_sec = (i64)(ns / 1000000000);
    tx.time.tv_usec = (i64)(ns % 1000000000 / 1000);
    if (copy_to_user(where, &tx, sizeof(tx)) < 0)
        return -EFAULT;
    return 5; /* TIME_ERROR: unsynchronised */
}

long sys_adjtimex(uaddr values)
{
    return adjtimex_read(values);
}

long sys_clock_adjtime(int clock, uaddr values)
{
    if (clock != CLOCK_REALTIME)
        return -EINVAL;
    return adjtimex_read(values);
}
