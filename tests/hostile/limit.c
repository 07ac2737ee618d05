/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a run may take. What counts is the time in which it could have gone on: while its
 * threads wait for a processor, because the machine has other work, the clock goes slower. A run
 * that sleeps for ever, or goes round for ever, still comes to its end.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/hostile/hostile.h"

#define TICK_NS 200000000ull

/* Nanoseconds that all threads ran, and that they were ready to run. */
struct load {
    uint64_t ran, waited;
};

/*
 * /proc/PID/task/TID/schedstat; zeros where the kernel has none, and all time counts. Not of this
 * thread: nobody waits for it.
 */
static struct load load_so_far(void)
{
    struct load sum = {0, 0};
    DIR *tasks = opendir("/proc/self/task");

    for (const struct dirent *d; tasks != NULL && (d = readdir(tasks)) != NULL;) {
        char path[300], text[100];
        uint64_t ran, waited;
        if (strtol(d->d_name, NULL, 10) == gettid())
            continue;
        snprintf(path, sizeof(path), "%s/schedstat", d->d_name);
        int fd = openat(dirfd(tasks), path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
        if (fd >= 0)
            close(fd);
        text[n > 0 ? n : 0] = '\0';
        if (sscanf(text, "%" SCNu64 " %" SCNu64, &ran, &waited) == 2) {
            sum.ran += ran;
            sum.waited += waited;
        }
    }
    if (tasks != NULL)
        closedir(tasks);
    return sum;
}

/* What of `passed` counts. Threads that ended in between take their share of a sum away. */
static uint64_t counts(uint64_t passed, struct load before, struct load now)
{
    const uint64_t ran = now.ran > before.ran ? now.ran - before.ran : 0;
    const uint64_t waited = now.waited > before.waited ? now.waited - before.waited : 0;

    if (ran + waited <= passed)
        return passed - waited;
    return (uint64_t)((double)passed * (double)ran / (double)(ran + waited));
}

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *time_limit(void *arg)
{
    const uint64_t limit = (uint64_t)(uintptr_t)arg * 1000000000u;
    struct load before = load_so_far();
    uint64_t then = clock_ns();

    for (uint64_t counted = 0; counted < limit;) {
        const struct timespec tick = {0, TICK_NS};
        nanosleep(&tick, NULL);
        const struct load now = load_so_far();
        const uint64_t time = clock_ns();
        counted += counts(time - then, before, now);
        before = now;
        then = time;
    }
    watch_end(-1);
}

void limit_start(unsigned seconds)
{
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, NULL, time_limit, (void *)(uintptr_t)seconds) != 0)
        abort();
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}
