/* SPDX-License-Identifier: Apache-2.0 */
/* The timer thread: one ordered tree of deadlines, one LibOS thread that sleeps until the first.
 * Also what the clocks say. */
#include "proc.h"
#include "host.h"
#include <linux/time.h>

static struct mutex g_timer_lock;
static struct rb_root g_timers;
static struct thread *g_timer_thread;
static struct ktimer *g_running;
static u64 g_sleeping_until = NO_DEADLINE;

void ktimer_init(struct ktimer *t, void (*fn)(struct ktimer *))
{
    memset(t, 0, sizeof(*t));
    t->fn = fn;
}

static void run_due_locked(void)
{
    struct rb_node *n;
    while ((n = rb_first(&g_timers)) && n->key <= clock_monotonic()) {
        struct ktimer *t = container_of(n, struct ktimer, node);
        rb_erase(&g_timers, n);
        t->armed = false;
        __atomic_store_n(&g_running, t, __ATOMIC_RELEASE);
        mutex_unlock(&g_timer_lock);
        t->fn(t);
        mutex_lock(&g_timer_lock);
        __atomic_store_n(&g_running, NULL, __ATOMIC_RELEASE);
    }
}

static __noreturn void timer_thread(void *arg)
{
    for (;;) {
        mutex_lock(&g_timer_lock);
        run_due_locked();
        struct rb_node *n = rb_first(&g_timers);
        u64 next = n ? n->key : NO_DEADLINE;
        g_sleeping_until = next;
        mutex_unlock(&g_timer_lock);
        thread_wait(next, false, NULL, 0);
    }
}

int ktimer_arm(struct ktimer *t, u64 deadline)
{
    int r = 0;
    mutex_lock(&g_timer_lock);
    if (t->armed)
        rb_erase(&g_timers, &t->node);
    t->armed = true;
    t->node.key = deadline;
    while (rb_insert(&g_timers, &t->node) == -EEXIST)
        t->node.key++; /* one nanosecond later is the same to everybody */
    if (!g_timer_thread) {
        g_timer_thread = kthread_start(timer_thread, NULL);
        if (!g_timer_thread) {
            rb_erase(&g_timers, &t->node);
            t->armed = false;
            r = -EAGAIN;
        }
    } else if (deadline < g_sleeping_until) {
        g_sleeping_until = deadline;
        thread_wake(g_timer_thread);
    }
    mutex_unlock(&g_timer_lock);
    return r;
}

bool ktimer_cancel(struct ktimer *t)
{
    mutex_lock(&g_timer_lock);
    bool was = t->armed;
    if (was)
        rb_erase(&g_timers, &t->node);
    t->armed = false;
    mutex_unlock(&g_timer_lock);
    return was;
}

void ktimer_cancel_sync(struct ktimer *t)
{
    bool self = current() == g_timer_thread;
    ktimer_cancel(t);
    while (!self && __atomic_load_n(&g_running, __ATOMIC_ACQUIRE) == t) {
        host_yield();
        ktimer_cancel(t); /* it may have armed itself again */
    }
}

/* ---- clocks ---- */

#define SAMPLE_EVERY   64u
#define LONGEST_SAMPLE 200000ul /* ns: more is a wait outside, or another task's turn */

static u64 host_thread_time(void)
{
    i64 now = host_clock(CLOCK_THREAD_CPUTIME_ID);
    return now > 0 ? (u64)now : 0;
}

/*
 * CPU time is the host's word about its thread. Of another thread than the caller's g_process_lock
 * is held.
 */
u64 thread_cpu_time(struct thread *t)
{
    struct host_memory *host = __atomic_load_n(&t->host, __ATOMIC_ACQUIRE);
    u64 now = 0;
    if (t == current()) {
        now = host_thread_time();
    } else if (host && t->utime_start) {
        i64 r = host_thread_clock(host);
        now = r > 0 ? (u64)r : 0;
    }
    if (now > t->utime_start && now - t->utime_start > t->utime_last)
        t->utime_last = now - t->utime_start;
    return t->utime_last;
}

u32 cpu_sample_begin(void)
{
    struct thread *t = current();
    u32 weight = MAX(t->sample_weight, 1u);
    u64 now = clock_monotonic();
    t->sample_weight = SAMPLE_EVERY / 2 + (u32)now % SAMPLE_EVERY;
    t->untimed = t->sample_weight - 1; /* now: the call may not come back */
    t->sample_waited = 0;
    t->sample_begin = clock_monotonic();
    t->sample_cost = t->sample_begin - now;
    return weight;
}

void cpu_sample_end(u32 weight)
{
    struct thread *t = current();
    u64 ns = clock_monotonic() - t->sample_begin, less = t->sample_waited + t->sample_cost;
    t->system_time += MIN(ns - MIN(ns, less), LONGEST_SAMPLE) * weight;
    t->sample_begin = 0;
}

/* The CPU time is known, and how it divides is an estimate: neither part ever goes back. */
static struct cpu_times divide(u64 cpu, u64 system, struct cpu_times *told)
{
    if (cpu > told->user + told->system) {
        told->system = MAX(told->system, MIN(system, cpu - told->user));
        told->user = cpu - told->system;
    }
    return *told;
}

struct cpu_times thread_cpu_times(struct thread *t)
{
    u64 cpu = thread_cpu_time(t), system = MIN(t->system_time, cpu);
    return (struct cpu_times){.user = cpu - system, .system = system};
}

struct cpu_times process_cpu_times(struct process *p)
{
    struct thread *t;
    u64 system = p->ended_system;
    list_for_each_entry (t, &p->threads, siblings)
        system += t->system_time;
    return divide(process_cpu_time(p), system, &p->told_cpu);
}

u64 process_cpu_time(struct process *p)
{
    struct thread *t;
    u64 sum = p->ended_cpu;
    list_for_each_entry (t, &p->threads, siblings)
        sum += thread_cpu_time(t);
    return sum;
}

static u64 process_cpu_time_unlocked(struct process *p)
{
    mutex_lock(&g_process_lock);
    u64 ns = process_cpu_time(p);
    mutex_unlock(&g_process_lock);
    return ns;
}

/* clock_getcpuclockid(), pthread_getcpuclockid(): ~pid << 3 | 4 for threads | kind. */
static int clock_read_dynamic(i32 clock, u64 *ns)
{
    i32 id = (i32)(~(u32)clock >> 3);
    int r = -EINVAL;
    if ((clock & 3) == 3)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    struct thread *t = id == 0 ? current() : thread_find(id);
    if (t && (clock & 4)) {
        *ns = thread_cpu_time(t);
        r = 0;
    } else if (t) {
        *ns = process_cpu_time(t->process);
        r = 0;
    }
    mutex_unlock(&g_process_lock);
    return r;
}

int clock_read(i32 clock, u64 *ns)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        *ns = clock_realtime();
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *ns = clock_monotonic();
        return 0;
    case CLOCK_PROCESS_CPUTIME_ID:
        *ns = process_cpu_time_unlocked(current_process());
        return 0;
    case CLOCK_THREAD_CPUTIME_ID:
        *ns = thread_cpu_time(current());
        return 0;
    default:
        return clock < 0 ? clock_read_dynamic(clock, ns) : -EINVAL;
    }
}

int clock_deadline(i32 clock, bool absolute, u64 ns, u64 *deadline)
{
    u64 now = clock_monotonic(), then = now;
    if (absolute) {
        u64 base;
        int r = clock_read(clock, &base);
        if (r < 0)
            return r;
        if (ns <= base) {
            *deadline = now;
            return 0;
        }
        ns -= base;
    }
    *deadline = then + ns < then ? NO_DEADLINE : then + ns;
    return 0;
}

u64 clock_late(i32 clock, u64 ns)
{
    u64 now;
    return clock_read(clock, &now) == 0 && now > ns ? now - ns : 0;
}

int timespec_from_user(uaddr addr, u64 *ns)
{
    struct timespec64 ts;
    if (get_user(ts, addr) < 0)
        return -EFAULT;
    if (ts.sec < 0 || ts.nsec < 0 || ts.nsec >= 1000000000)
        return -EINVAL;
    *ns = (u64)ts.sec > INT64_MAX / 1000000000 ? INT64_MAX
                                               : (u64)ts.sec * 1000000000u + (u64)ts.nsec;
    return 0;
}

int timespec_to_user(uaddr addr, u64 ns)
{
    struct timespec64 ts = {(i64)(ns / 1000000000), (i64)(ns % 1000000000)};
    return copy_to_user(addr, &ts, sizeof(ts));
}
