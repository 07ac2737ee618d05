/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, sleeping, interval timers and POSIX timers. */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>

static volatile sig_atomic_t g_count, g_value, g_code;

static void on_timer(int sig, siginfo_t *info, void *context)
{
    g_count++;
    g_value = info->si_value.sival_int;
    g_code = info->si_code;
}

static void install(int sig)
{
    struct sigaction sa = {.sa_flags = SA_SIGINFO};
    sa.sa_sigaction = on_timer;
    CHECK(sigaction(sig, &sa, NULL) == 0);
}

static void clocks(void)
{
    struct timespec a, b, r;
    const clockid_t ids[] = {CLOCK_REALTIME,           CLOCK_MONOTONIC,
                             CLOCK_BOOTTIME,           CLOCK_MONOTONIC_RAW,
                             CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        CHECK(clock_gettime(ids[i], &a) == 0 && clock_gettime(ids[i], &b) == 0);
        CHECK(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
        CHECK(clock_getres(ids[i], &r) == 0 && r.tv_sec == 0 && r.tv_nsec > 0);
        CHECK(syscall(SYS_clock_gettime, ids[i], &a) == 0);
    }
    CHECK(clock_gettime(100, &a) == -1 && errno == EINVAL);
    struct timeval tv;
    CHECK(gettimeofday(&tv, NULL) == 0 && clock_gettime(CLOCK_REALTIME, &a) == 0);
    CHECK(labs(tv.tv_sec - a.tv_sec) <= 1 && labs(time(NULL) - a.tv_sec) <= 1);
    CHECK(a.tv_sec > 1600000000);
}

static void sleeping(void)
{
    struct timespec ts = {0, 50000000}, bad = {0, 1000000000};
    double start = now();
    CHECK(nanosleep(&ts, NULL) == 0 && now() - start >= 0.05 && now() - start < 2);
    CHECK(nanosleep(&bad, NULL) == -1 && errno == EINVAL);
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_nsec += 30000000;
    ts.tv_sec += ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    start = now();
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0 && now() - start >= 0.02);
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0);
    CHECK(clock_nanosleep(100, 0, &ts, NULL) == EINVAL);
}

static void alarms(void)
{
    install(SIGALRM);
    g_count = 0;
    CHECK(alarm(100) == 0);
    CHECK(alarm(0) == 100);
    struct itimerval it = {{0, 10000}, {0, 20000}}, old;
    CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
    while (g_count < 3)
        pause();
    CHECK(getitimer(ITIMER_REAL, &old) == 0 && old.it_interval.tv_usec == 10000);
    memset(&it, 0, sizeof(it));
    CHECK(setitimer(ITIMER_REAL, &it, &old) == 0 && old.it_interval.tv_usec == 10000);
    int seen = g_count;
    sleep_ms(40);
    CHECK(g_count == seen);
    it.it_value.tv_usec = 1000000;
    CHECK(setitimer(ITIMER_REAL, &it, NULL) == -1 && errno == EINVAL);
}

static void interrupted_sleep(void)
{
    install(SIGALRM);
    struct itimerval it = {{0, 0}, {0, 30000}};
    struct timespec ts = {10, 0}, left = {0, 0};
    CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
    CHECK(nanosleep(&ts, &left) == -1 && errno == EINTR);
    CHECK(left.tv_sec == 9 && left.tv_nsec > 0);
}

static void posix_timers(void)
{
    timer_t t;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    struct itimerspec its = {{0, 5000000}, {0, 20000000}}, now_;
    ev.sigev_value.sival_int = 1234;
    install(SIGRTMIN);
    g_count = 0;
    CHECK(timer_create(CLOCK_MONOTONIC, &ev, &t) == 0);
    CHECK(timer_settime(t, 0, &its, NULL) == 0);
    CHECK(timer_gettime(t, &now_) == 0 && now_.it_interval.tv_nsec == 5000000 &&
          now_.it_value.tv_nsec > 0);
    while (g_count < 3)
        pause();
    CHECK(g_value == 1234 && g_code == SI_TIMER);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, &old);
    sleep_ms(60);
    siginfo_t info;
    CHECK(sigwaitinfo(&set, &info) == SIGRTMIN && info.si_overrun >= 3);
    CHECK(timer_getoverrun(t) >= 3);
    CHECK(timer_delete(t) == 0);
    struct timespec zero = {0, 0};
    while (sigtimedwait(&set, &info, &zero) == SIGRTMIN)
        ;
    sigprocmask(SIG_SETMASK, &old, NULL);
#ifdef __GLIBC__ /* musl looks into the deleted timer */
    CHECK(timer_delete(t) == -1 && errno == EINVAL);
#endif
    CHECK(timer_create(1000, &ev, &t) == -1 && errno == EINVAL);
}

static void thread_fn(union sigval v)
{
    g_count += v.sival_int;
}

static void thread_timer(void)
{
    timer_t t;
    struct sigevent ev = {.sigev_notify = SIGEV_THREAD};
    struct itimerspec its = {{0, 0}, {0, 10000000}};
    ev.sigev_notify_function = thread_fn;
    ev.sigev_value.sival_int = 50;
    g_count = 0;
    CHECK(timer_create(CLOCK_REALTIME, &ev, &t) == 0 && timer_settime(t, 0, &its, NULL) == 0);
    for (int i = 0; i < 200 && g_count == 0; i++)
        sleep_ms(5);
    CHECK(g_count == 50 && timer_delete(t) == 0);
}

static void usage(void)
{
    struct rusage u;
    struct tms t;
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    double end = now() + 10, used = 0; /* a busy machine gives little of it */
    volatile unsigned x = 0;
    while (now() < end && used < 0.02) {
        for (int i = 0; i < 10000; i++)
            x++;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
        used = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    }
    CHECK(used >= 0.02);
    CHECK(getrusage(RUSAGE_SELF, &u) == 0 && u.ru_utime.tv_sec * 1000000 + u.ru_utime.tv_usec +
                                                     u.ru_stime.tv_sec * 1000000 +
                                                     u.ru_stime.tv_usec >
                                                 10000);
    CHECK(times(&t) != (clock_t)-1);
    CHECK(getrusage(55, &u) == -1 && errno == EINVAL);
}

static volatile sig_atomic_t g_profiled;

static void on_prof(int sig)
{
    g_profiled++;
}

static void *burn(void *arg)
{
    double end = now() + 10;
    volatile unsigned x = 0;
    while (!g_profiled && now() < end)
        for (int i = 0; i < 10000; i++)
            x++;
    return NULL;
}

/* Timers of CPU time: sleeping does not count, another thread's work does. */
static void cpu_timers(void)
{
    struct itimerval it = {{0, 0}, {0, 50000}}, left;
    pthread_t thread;
    signal(SIGPROF, on_prof);
    CHECK(setitimer(ITIMER_PROF, &it, NULL) == 0);
    sleep_ms(120);
    CHECK(g_profiled == 0);
    CHECK(getitimer(ITIMER_PROF, &left) == 0 && left.it_value.tv_usec > 0 &&
          left.it_value.tv_usec <= 60000); /* to the next tick */
    CHECK(pthread_create(&thread, NULL, burn, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(g_profiled == 1);
    struct timespec used;
    clockid_t clock;
    CHECK(clock_getcpuclockid(getpid(), &clock) == 0 && clock_gettime(clock, &used) == 0);
    CHECK(used.tv_sec > 0 || used.tv_nsec >= 40000000);
    g_profiled = 0;
    timer_t id;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF};
    struct itimerspec its = {{0, 0}, {0, 30000000}};
    CHECK(timer_create(CLOCK_THREAD_CPUTIME_ID, &ev, &id) == 0);
    CHECK(timer_settime(id, 0, &its, NULL) == 0);
    sleep_ms(80);
    CHECK(g_profiled == 0);
    burn(NULL);
    CHECK(g_profiled == 1);
    CHECK(timer_delete(id) == 0);
}

/* A timer that should have run out long ago did so more than once. */
static void late_timers(void)
{
    timer_t t;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    struct itimerspec its = {{0, 1}, {0, 0}};
    uint64_t times = 0;
    siginfo_t info;
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, &old);
    clock_gettime(CLOCK_REALTIME, &its.it_value);
    its.it_value.tv_sec -= 4;
    CHECK(timer_create(CLOCK_REALTIME, &ev, &t) == 0);
    CHECK(timer_settime(t, TIMER_ABSTIME, &its, NULL) == 0);
    CHECK(sigwaitinfo(&set, &info) == SIGRTMIN && info.si_overrun == INT32_MAX);
    CHECK(timer_getoverrun(t) == INT32_MAX);
    CHECK(timer_delete(t) == 0);
    struct timespec zero = {0, 0};
    while (sigtimedwait(&set, &info, &zero) == SIGRTMIN)
        ;
    sigprocmask(SIG_SETMASK, &old, NULL);

    int fd = timerfd_create(CLOCK_REALTIME, 0);
    clock_gettime(CLOCK_REALTIME, &its.it_value);
    its.it_value.tv_sec -= 10;
    its.it_interval.tv_sec = 1;
    CHECK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) == 0);
    CHECK(read(fd, &times, sizeof(times)) == sizeof(times) && times >= 10 && times <= 20);
    close(fd);
}

/* Two timers with one signal that waits: each is told, and goes on. */
static void timers_of_one_signal(void)
{
    timer_t t[2];
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec its = {{0, 5000000}, {0, 1000000}}, off = {{0, 0}, {0, 0}};
    int seen[2] = {0, 0};
    siginfo_t info;
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    for (int i = 0; i < 2; i++) {
        ev.sigev_value.sival_int = i;
        CHECK(timer_create(CLOCK_MONOTONIC, &ev, &t[i]) == 0);
        CHECK(timer_settime(t[i], 0, &its, NULL) == 0);
    }
    for (int i = 0; i < 20; i++) {
        sleep_ms(10);
        struct timespec zero = {0, 0};
        while (sigtimedwait(&set, &info, &zero) == SIGUSR1)
            seen[info.si_value.sival_int & 1]++;
    }
    CHECK(seen[0] >= 3 && seen[1] >= 3);
    for (int i = 0; i < 2; i++)
        CHECK(timer_settime(t[i], 0, &off, NULL) == 0 && timer_delete(t[i]) == 0);
    struct timespec zero = {0, 0};
    while (sigtimedwait(&set, &info, &zero) == SIGUSR1)
        ;
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static long long cpu_us(int who, long long *system)
{
    struct rusage u;
    CHECK(getrusage(who, &u) == 0);
    *system = u.ru_stime.tv_sec * 1000000ll + u.ru_stime.tv_usec;
    return u.ru_utime.tv_sec * 1000000ll + u.ru_utime.tv_usec;
}

static long long own_us(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0);
    return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

static void spin(long long until)
{
    while (own_us() < until)
        for (volatile int i = 0; i < 1000000; i++)
            ;
}

static void call(long long until)
{
    while (own_us() < until)
        for (int i = 0; i < 20000; i++)
            syscall(SYS_fcntl, 0, F_GETFD);
}

/* What a process computes is user time, and what its system calls take is system time. */
static void user_and_system_time(void)
{
    long long system, user = cpu_us(RUSAGE_SELF, &system), system_now, user_now;
    spin(own_us() + 300000);
    user_now = cpu_us(RUSAGE_SELF, &system_now);
    CHECK(user_now - user >= 200000 && system_now - system < 100000);
    system = system_now;
    call(own_us() + 600000);
    user = cpu_us(RUSAGE_SELF, &system_now);
    CHECK(system_now - system >= 60000); /* natively about a half, by the kernel's entry */
    CHECK(user >= user_now);

    struct tms t;
    CHECK(times(&t) != (clock_t)-1 && t.tms_stime * 10000ll >= system_now - 20000);
    struct rusage own;
    CHECK(getrusage(RUSAGE_THREAD, &own) == 0 &&
          own.ru_stime.tv_sec * 1000000ll + own.ru_stime.tv_usec >= 60000);

    pid_t pid = fork();
    if (pid == 0) {
        call(own_us() + 300000);
        _exit(0);
    }
    cpu_us(RUSAGE_CHILDREN, &system);
    int ended;
    CHECK(waitpid(pid, &ended, 0) == pid && ended == 0);
    cpu_us(RUSAGE_CHILDREN, &system_now);
    CHECK(system_now - system >= 30000);
}

/* Neither ever goes back, whatever one more sample says. */
static void times_never_go_back(void)
{
    long long system_before = 0, user_before = 0;
    for (int i = 0; i < 20000; i++) {
        long long system, user = cpu_us(RUSAGE_SELF, &system);
        if (user < user_before || system < system_before) {
            CHECK(!"a time went back");
            break;
        }
        user_before = user;
        system_before = system;
        if (i % 64 == 0)
            sched_yield();
    }
}

int main(void)
{
    RUN(clocks);
    RUN(sleeping);
    RUN(alarms);
    RUN(interrupted_sleep);
    RUN(posix_timers);
    RUN(late_timers);
    RUN(timers_of_one_signal);
    RUN(thread_timer);
    RUN(usage);
    RUN(user_and_system_time);
    RUN(times_never_go_back);
    RUN(cpu_timers);
    return finish();
}
