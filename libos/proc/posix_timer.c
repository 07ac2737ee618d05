/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of processes: timer_create() and friends, setitimer(), alarm(), and the limit of CPU time.
 * A process's timers are one list under g_process_lock. A timer on a CPU clock looks at the clock
 * again when it may have run out at the earliest, and not more often than Linux does, each tick.
 */
#include "proc.h"
#include <linux/time.h>

struct ptimer {
    struct list_head link;
    struct ktimer timer;
    struct process *process; /* outlives its timers */
    i32 id, clock, notify_tid;
    int signo;           /* 0: SIGEV_NONE */
    u64 value, interval; /* value: sigev_value; interval: ns */
    u64 expires;         /* ns of its clock (monotonic, or CPU time), 0: disarmed */
    i32 cpu_tid;         /* CPU time of this thread; 0: of the process */
    bool cpu;
    bool queued; /* its signal is pending */
    bool itimer, dead;
    u32 overrun, overrun_last;
};
#define ITIMER_COUNT 4
#define ITIMER_LIMIT 3 /* RLIMIT_CPU, behind ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF */
struct timers {
    struct list_head list;
    i32 next_id;
    struct ptimer itimers[ITIMER_COUNT];
};

#define TIMERS_MAX 1024
#define ITIMER_IDS (-10)
#define TICK_NS    4000000u
#define SECOND_NS  1000000000ull

static void expire(struct ktimer *k);

static void ptimer_init(struct ptimer *t, struct process *p, i32 id)
{
    memset(t, 0, sizeof(*t));
    list_init(&t->link);
    ktimer_init(&t->timer, expire);
    t->process = p;
    t->id = id;
}

static struct timers *timers_get_locked(struct process *p)
{
    static const int signals[ITIMER_COUNT] = {SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU};
    struct timers *ts = p->timers ? NULL : kzalloc(sizeof(*ts));
    if (!ts)
        return p->timers;
    list_init(&ts->list);
    for (int i = 0; i < ITIMER_COUNT; i++) {
        ptimer_init(&ts->itimers[i], p, ITIMER_IDS - i);
        ts->itimers[i].itimer = true;
        ts->itimers[i].signo = signals[i];
        ts->itimers[i].cpu = i != 0;
    }
    p->timers = ts;
    return ts;
}

static struct timers *timers_get(struct process *p)
{
    mutex_lock(&g_process_lock);
    struct timers *ts = timers_get_locked(p);
    mutex_unlock(&g_process_lock);
    return ts;
}

static u64 clock_now_locked(const struct ptimer *t)
{
    if (!t->cpu)
        return clock_monotonic();
    if (!t->cpu_tid)
        return process_cpu_time(t->process);
    struct thread *thread = thread_find(t->cpu_tid);
    return thread && thread->process == t->process ? thread_cpu_time(thread) : 0;
}

/*
 * Have it looked at when it runs out; on a CPU clock: when it can have run out, all threads
 * running.
 */
static int arm_ktimer_locked(struct ptimer *t)
{
    if (!t->cpu)
        return ktimer_arm(&t->timer, t->expires);
    u64 now = clock_now_locked(t);
    u64 left = t->expires > now ? t->expires - now : 0;
    if (!t->cpu_tid)
        left /= MAX(t->process->thread_count, 1u);
    return ktimer_arm(&t->timer, clock_monotonic() + MAX(left, (u64)TICK_NS));
}

static void overrun_add(struct ptimer *t, u64 times)
{
    t->overrun = (u32)MIN((u64)t->overrun + times, INT32_MAX);
}

static void send_locked(struct ptimer *t)
{
    struct siginfo_k info = {.signo = t->signo,
                             .code = SI_TIMER,
                             .timer_id = (u32)t->id,
                             .value = t->value,
                             .timer = true};
    if (t->itimer) {
        info.timer = false;
        info.code = SI_KERNEL;
        signal_send_process_locked(t->process, &info, false);
        return;
    }
    if (t->queued) {
        overrun_add(t, 1);
        return;
    }
    int r = -ESRCH;
    t->queued = true;
    if (t->notify_tid) {
        struct thread *target = thread_find(t->notify_tid);
        if (target && target->process == t->process)
            r = signal_send_thread_locked(target, &info, false);
    } else {
        r = signal_send_process_locked(t->process, &info, false);
    }
    /* Ignored signals are never taken, so they cannot clear the mark. */
    u64 pending = t->process->sig_pending;
    struct thread *o;
    list_for_each_entry (o, &t->process->threads, siblings)
        pending |= o->sig_pending;
    if (r < 0 || !(pending & SIG_BIT(t->signo)))
        t->queued = false;
}

/*
 * As Linux: SIGXCPU each second from the soft limit on, which moves along; SIGKILL at the hard one.
 */
static void limit_reached_locked(struct ptimer *t, u64 now)
{
    struct process *p = t->process;
    struct rlimit64 *limit = &p->rlimits[LIMIT_CPU];
    struct siginfo_k info = {.signo = SIGXCPU, .code = SI_KERNEL};
    if (limit->hard <= now / SECOND_NS) {
        info.signo = SIGKILL;
        signal_send_process_locked(p, &info, true);
        t->expires = 0;
        return;
    }
    signal_send_process_locked(p, &info, false);
    if (limit->soft < limit->hard)
        limit->soft++;
    t->expires += SECOND_NS;
    arm_ktimer_locked(t);
}

void timers_cpu_limit_locked(struct process *p)
{
    u64 seconds = p->rlimits[LIMIT_CPU].soft;
    bool limited = seconds < RLIMIT_INFINITE / SECOND_NS;
    if (!limited && !p->timers)
        return;
    struct timers *ts = timers_get_locked(p);
    if (!ts)
        return;
    struct ptimer *t = &ts->itimers[ITIMER_LIMIT];
    t->expires = limited ? MAX(seconds, 1ull) * SECOND_NS : 0;
    if (limited)
        arm_ktimer_locked(t);
    else
        ktimer_cancel(&t->timer);
}

static void expire(struct ktimer *k)
{
    struct ptimer *t = container_of(k, struct ptimer, timer);
    mutex_lock(&g_process_lock);
    u64 now = t->dead || !t->expires ? 0 : clock_now_locked(t);
    if (t->dead || !t->expires || t->expires > now || t->id == ITIMER_IDS - ITIMER_LIMIT) {
        if (!t->dead && t->expires && t->expires > now)
            arm_ktimer_locked(t);
        else if (!t->dead && t->expires)
            limit_reached_locked(t, now);
        mutex_unlock(&g_process_lock);
        return;
    }
    if (t->interval) {
        u64 missed = (now - t->expires) / t->interval;
        overrun_add(t, t->itimer ? 0 : missed);
        t->expires += (missed + 1) * t->interval;
    } else {
        t->expires = 0;
    }
    if (t->signo)
        send_locked(t);
    /* While its signal waits a timer has nothing to do: what it misses is counted then. */
    if (t->expires && !t->queued)
        arm_ktimer_locked(t);
    mutex_unlock(&g_process_lock);
}

/* The signal of t does not wait any more: t goes on, and knows what it missed. */
static void go_on_locked(struct ptimer *t)
{
    u64 now = t->queued && t->expires && t->interval ? clock_now_locked(t) : 0;
    t->queued = false;
    if (now >= t->expires && now) {
        u64 missed = (now - t->expires) / t->interval + 1;
        overrun_add(t, missed);
        t->expires += missed * t->interval;
    }
    if (t->expires)
        arm_ktimer_locked(t);
}

/* A thread takes a timer's signal: how often the timer ran out meanwhile goes with it. */
void timers_signal_taken_locked(struct process *p, struct siginfo_k *info)
{
    struct ptimer *t;
    if (!p->timers)
        return;
    list_for_each_entry (t, &p->timers->list, link)
        if ((u32)t->id == info->timer_id) {
            go_on_locked(t);
            t->overrun_last = t->overrun;
            info->overrun = t->overrun;
            t->overrun = 0;
        }
}

static void destroy_posix(struct timers *ts)
{
    for (;;) {
        mutex_lock(&g_process_lock);
        if (list_empty(&ts->list)) {
            mutex_unlock(&g_process_lock);
            return;
        }
        struct ptimer *t = list_first_entry(&ts->list, struct ptimer, link);
        t->dead = true;
        list_del(&t->link);
        mutex_unlock(&g_process_lock);
        ktimer_cancel_sync(&t->timer);
        kfree(t);
    }
}

void timers_destroy(struct process *p)
{
    struct timers *ts = p->timers;
    if (!ts)
        return;
    destroy_posix(ts);
    mutex_lock(&g_process_lock);
    for (int i = 0; i < ITIMER_COUNT; i++)
        ts->itimers[i].dead = true;
    p->timers = NULL;
    mutex_unlock(&g_process_lock);
    for (int i = 0; i < ITIMER_COUNT; i++)
        ktimer_cancel_sync(&ts->itimers[i].timer);
    kfree(ts);
}

/* exec keeps interval timers and drops the others. */
void timers_exec(struct process *p)
{
    if (p->timers)
        destroy_posix(p->timers);
}

/* expires: of the timer's clock */
static int arm_locked(struct ptimer *t, u64 expires, u64 interval)
{
    t->expires = expires;
    t->interval = interval;
    if (!expires) {
        ktimer_cancel(&t->timer);
        return 0;
    }
    return arm_ktimer_locked(t);
}

static u64 remaining_locked(const struct ptimer *t)
{
    u64 now = t->expires ? clock_now_locked(t) : 0;
    if (!t->expires)
        return 0;
    if (t->expires > now)
        return t->expires - now;
    /* One that waits for its signal is not armed, and goes on in its interval all the same. */
    return t->interval ? t->interval - (now - t->expires) % t->interval : 1;
}

/* ---- interval timers ---- */

struct timeval64 {
    i64 sec, usec;
};
struct itimerval64 {
    struct timeval64 interval, value;
};

static struct timeval64 timeval_of(u64 ns)
{
    return (struct timeval64){(i64)(ns / 1000000000), (i64)(ns % 1000000000 / 1000)};
}

static bool timeval_valid(const struct timeval64 *tv)
{
    return tv->sec >= 0 && tv->usec >= 0 && tv->usec < 1000000;
}

static u64 timeval_ns(const struct timeval64 *tv)
{
    return (u64)MIN(tv->sec, 9000000000ll) * 1000000000u + (u64)tv->usec * 1000u;
}

static int itimer_set(int which, u64 value, u64 interval, u64 *old_value, u64 *old_interval)
{
    struct timers *ts = timers_get(current_process());
    if (!ts)
        return -ENOMEM;
    struct ptimer *t = &ts->itimers[which];
    mutex_lock(&g_process_lock);
    *old_value = remaining_locked(t);
    *old_interval = t->interval;
    int r = arm_locked(t, value ? clock_now_locked(t) + value : 0, interval);
    mutex_unlock(&g_process_lock);
    return r;
}

static void itimer_get(int which, struct itimerval64 *out)
{
    struct timers *ts = current_process()->timers;
    memset(out, 0, sizeof(*out));
    if (!ts)
        return;
    mutex_lock(&g_process_lock);
    u64 left = remaining_locked(&ts->itimers[which]);
    out->interval = timeval_of(ts->itimers[which].interval);
    mutex_unlock(&g_process_lock);
    out->value = timeval_of(left && left < 1000 ? 1000 : left);
}

long sys_setitimer(int which, uaddr value, uaddr user_old)
{
    struct itimerval64 new = {{0, 0}, {0, 0}}, old;
    if ((u64)which > 2)
        return -EINVAL;
    if (value.at && get_user(new, value) < 0)
        return -EFAULT;
    if (!timeval_valid(&new.value) || !timeval_valid(&new.interval))
        return -EINVAL;
    u64 old_value, old_interval;
    int r = itimer_set(which, timeval_ns(&new.value), timeval_ns(&new.interval), &old_value,
                       &old_interval);
    if (r < 0)
        return r;
    old.value = timeval_of(old_value && old_value < 1000 ? 1000 : old_value);
    old.interval = timeval_of(old_interval);
    return user_old.at ? copy_to_user(user_old, &old, sizeof(old)) : 0;
}

long sys_getitimer(int which, uaddr value)
{
    struct itimerval64 now;
    if ((u64)which > 2)
        return -EINVAL;
    itimer_get(which, &now);
    return copy_to_user(value, &now, sizeof(now));
}

long sys_alarm(u32 after)
{
    u64 old, interval;
    int r = itimer_set(0, (u64)after * 1000000000u, 0, &old, &interval);
    if (r < 0)
        return 0;
    u64 seconds = old / 1000000000, rest = old % 1000000000;
    /* As Linux: never 0 for a running alarm, otherwise to the nearest second. */
    if ((seconds == 0 && rest) || rest >= 500000000)
        seconds++;
    return (long)seconds;
}

/* ---- timer_create and friends ---- */

struct sigevent64 {
    u64 value;
    i32 signo, notify, tid;
    u8 pad[44];
};
_Static_assert(sizeof(struct sigevent64) == 64, "sigevent layout");

static struct ptimer *find_locked(i32 id)
{
    struct timers *ts = current_process()->timers;
    struct ptimer *t;
    if (ts)
        list_for_each_entry (t, &ts->list, link)
            if (t->id == id)
                return t;
    return NULL;
}

static int event_check(const struct sigevent64 *ev)
{
    int kind = ev->notify & ~SIGEV_THREAD_ID;
    if (kind == SIGEV_NONE && !(ev->notify & SIGEV_THREAD_ID))
        return 0;
    if (kind != SIGEV_SIGNAL && kind != SIGEV_THREAD)
        return -EINVAL;
    if (ev->signo < 1 || ev->signo > NSIG)
        return -EINVAL;
    if (!(ev->notify & SIGEV_THREAD_ID))
        return 0;
    mutex_lock(&g_process_lock);
    struct thread *t = thread_find(ev->tid);
    int r = t && t->process == current_process() ? 0 : -EINVAL;
    mutex_unlock(&g_process_lock);
    return r;
}

/*
 * Clock numbers as clock_read_dynamic() has them; CPU clocks of other processes run as
 * clock_deadline() thinks.
 */
static void cpu_clock_locked(struct ptimer *t)
{
    i32 id = ~(t->clock >> 3);
    bool thread = t->clock == CLOCK_THREAD_CPUTIME_ID || (t->clock < 0 && (t->clock & 4));
    struct thread *target = t->clock < 0 && id ? thread_find(id) : current();
    t->cpu = (t->clock < 0 || t->clock == CLOCK_PROCESS_CPUTIME_ID || thread) && target &&
             target->process == t->process;
    t->cpu_tid = t->cpu && thread ? target->tid : 0;
}

long sys_timer_create(int clock, uaddr event, uaddr user_id)
{
    struct sigevent64 ev = {.signo = SIGALRM, .notify = SIGEV_SIGNAL};
    u64 now;
    int r = clock_read(clock, &now);
    if (r < 0)
        return r;
    if (event.at && get_user(ev, event) < 0)
        return -EFAULT;
    r = event_check(&ev);
    if (r < 0)
        return r;
    struct timers *ts = timers_get(current_process());
    struct ptimer *t = kzalloc(sizeof(*t));
    if (!ts || !t) {
        kfree(t);
        return -EAGAIN;
    }
    mutex_lock(&g_process_lock);
    i32 id = ts->next_id++;
    ptimer_init(t, current_process(), id);
    t->clock = clock;
    cpu_clock_locked(t);
    t->signo = (ev.notify & ~SIGEV_THREAD_ID) == SIGEV_NONE ? 0 : ev.signo;
    t->notify_tid = (ev.notify & SIGEV_THREAD_ID) ? ev.tid : 0;
    t->value = event.at ? ev.value : (u64)id;
    mutex_unlock(&g_process_lock);
    /* Nobody finds it before its number is told: once listed it is any thread's to delete. */
    if (put_user(id, user_id) < 0) {
        kfree(t);
        return -EFAULT;
    }
    mutex_lock(&g_process_lock);
    list_add_tail(&t->link, &ts->list);
    mutex_unlock(&g_process_lock);
    return 0;
}

struct itimerspec64 {
    struct timespec64 interval, value;
};

static bool timespec_valid(const struct timespec64 *ts)
{
    return ts->sec >= 0 && ts->nsec >= 0 && ts->nsec < 1000000000;
}

static u64 timespec_ns(const struct timespec64 *ts)
{
    return (u64)MIN(ts->sec, 9000000000ll) * 1000000000u + (u64)ts->nsec;
}

static struct timespec64 timespec_of(u64 ns)
{
    return (struct timespec64){(i64)(ns / 1000000000), (i64)(ns % 1000000000)};
}

long sys_timer_settime(int id, int flags, uaddr user_value, uaddr user_old)
{
    struct itimerspec64 new, old;
    u64 deadline = 0;
    if (!user_value.at)
        return -EINVAL;
    if (get_user(new, user_value) < 0)
        return -EFAULT;
    if (!timespec_valid(&new.value) || !timespec_valid(&new.interval))
        return -EINVAL;
    mutex_lock(&g_process_lock);
    struct ptimer *t = find_locked(id);
    i32 clock = t ? t->clock : 0;
    u64 value = timespec_ns(&new.value);
    bool cpu = t && t->cpu;
    if (cpu && value)
        deadline = value + (flags & 1 ? 0 : clock_now_locked(t));
    mutex_unlock(&g_process_lock);
    if (!t)
        return -EINVAL;
    u64 interval = timespec_ns(&new.interval), late = 0;
    if (value && !cpu) {
        bool absolute = flags & 1; /* TIMER_ABSTIME */
        int r = clock_deadline(clock, absolute, value, &deadline);
        if (r < 0)
            return r;
        late = absolute ? clock_late(clock, value) : 0;
    }
    mutex_lock(&g_process_lock);
    t = find_locked(id);
    int r = -EINVAL;
    if (t) {
        old.value = timespec_of(remaining_locked(t));
        old.interval = timespec_of(t->interval);
        t->overrun = 0;
        if (late && interval) { /* it ran out already, and more than once */
            overrun_add(t, late / interval);
            deadline -= MIN(late % interval, deadline - 1);
        }
        r = arm_locked(t, deadline, interval);
    }
    mutex_unlock(&g_process_lock);
    if (r == 0 && user_old.at)
        r = copy_to_user(user_old, &old, sizeof(old));
    return r;
}

long sys_timer_gettime(int id, uaddr value)
{
    struct itimerspec64 now;
    mutex_lock(&g_process_lock);
    struct ptimer *t = find_locked(id);
    if (t) {
        now.value = timespec_of(remaining_locked(t));
        now.interval = timespec_of(t->interval);
    }
    mutex_unlock(&g_process_lock);
    return t ? copy_to_user(value, &now, sizeof(now)) : -EINVAL;
}

long sys_timer_getoverrun(int id)
{
    mutex_lock(&g_process_lock);
    struct ptimer *t = find_locked(id);
    long r = t ? (long)t->overrun_last : -EINVAL;
    mutex_unlock(&g_process_lock);
    return r;
}

long sys_timer_delete(int id)
{
    mutex_lock(&g_process_lock);
    struct ptimer *t = find_locked(id);
    if (t) {
        t->dead = true;
        list_del(&t->link);
    }
    mutex_unlock(&g_process_lock);
    if (!t)
        return -EINVAL;
    ktimer_cancel_sync(&t->timer);
    kfree(t);
    return 0;
}
