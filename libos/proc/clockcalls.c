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

static int report_left(u64 deadline, u64 where)
{
    u64 now = clock_monotonic();
    return where ? timespec_to_user(where, deadline > now ? deadline - now : 0) : 0;
}

static long sleep_restart(struct thread *t)
{
    u64 deadline = t->restart_args[0], where = t->restart_args[1];
    if (sleep_until(deadline) == 0)
        return 0;
    return report_left(deadline, where) < 0 ? -EFAULT : -ERESTART_RESTARTBLOCK;
}

static long sleep_relative(u64 deadline, u64 where)
{
    struct thread *t = current();
    if (sleep_until(deadline) == 0)
        return 0;
    if (report_left(deadline, where) < 0)
        return -EFAULT;
    t->restart = sleep_restart;
    t->restart_args[0] = deadline;
    t->restart_args[1] = where;
    return -ERESTART_RESTARTBLOCK;
}

long sys_nanosleep(SYSCALL_ARGS)
{
    u64 ns, deadline;
    int r = timespec_from_user((u64)a, &ns);
    if (r < 0)
        return r;
    clock_deadline(CLOCK_MONOTONIC, false, ns, &deadline);
    return sleep_relative(deadline, (u64)b);
}

long sys_clock_nanosleep(SYSCALL_ARGS)
{
    u64 ns, deadline;
    if (a == CLOCK_THREAD_CPUTIME_ID || a == CLOCK_MONOTONIC_RAW || a == CLOCK_REALTIME_COARSE ||
        a == CLOCK_MONOTONIC_COARSE)
        return -EOPNOTSUPP;
    int r = clock_read((i32)a, &ns);
    if (r < 0)
        return r;
    r = timespec_from_user((u64)c, &ns);
    if (r < 0)
        return r;
    bool absolute = b & TIMER_ABSTIME;
    r = clock_deadline((i32)a, absolute, ns, &deadline);
    if (r < 0)
        return r;
    if (!absolute)
        return sleep_relative(deadline, (u64)d);
    return sleep_until(deadline) == 0 ? 0 : -ERESTARTNOHAND;
}

long sys_restart_syscall(SYSCALL_ARGS)
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

long sys_clock_gettime(SYSCALL_ARGS)
{
    u64 ns;
    int r = clock_read((i32)a, &ns);
    return r < 0 ? r : timespec_to_user((u64)b, ns);
}

long sys_clock_getres(SYSCALL_ARGS)
{
    u64 ns;
    int r = clock_read((i32)a, &ns);
    if (r < 0)
        return r;
    bool coarse = a == CLOCK_REALTIME_COARSE || a == CLOCK_MONOTONIC_COARSE;
    return b ? timespec_to_user((u64)b, coarse ? 4000000 : 1) : 0;
}

long sys_clock_settime(SYSCALL_ARGS)
{
    u64 ns;
    int r = clock_read((i32)a, &ns);
    if (r < 0 || a != CLOCK_REALTIME)
        return -EINVAL;
    r = timespec_from_user((u64)b, &ns);
    return r < 0 ? r : -EPERM;
}

long sys_settimeofday(SYSCALL_ARGS)
{
    return -EPERM;
}

long sys_gettimeofday(SYSCALL_ARGS)
{
    u64 ns = clock_realtime();
    if (a) {
        i64 tv[2] = {(i64)(ns / 1000000000), (i64)(ns % 1000000000 / 1000)};
        if (copy_to_user((void *)a, tv, sizeof(tv)) < 0)
            return -EFAULT;
    }
    if (b && clear_user((void *)b, 8) < 0)
        return -EFAULT;
    return 0;
}

long sys_time(SYSCALL_ARGS)
{
    i64 now = (i64)(clock_realtime() / 1000000000);
    if (a && put_user(now, (i64 *)a) < 0)
        return -EFAULT;
    return now;
}

static long adjtimex_read(u64 where)
{
    struct __kernel_timex tx;
    if (get_user(tx, (void *)where) < 0)
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
    if (copy_to_user((void *)where, &tx, sizeof(tx)) < 0)
        return -EFAULT;
    return 5; /* TIME_ERROR: unsynchronised */
}

long sys_adjtimex(SYSCALL_ARGS)
{
    return adjtimex_read((u64)a);
}

long sys_clock_adjtime(SYSCALL_ARGS)
{
    if (a != CLOCK_REALTIME)
        return -EINVAL;
    return adjtimex_read((u64)b);
}
