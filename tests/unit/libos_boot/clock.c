/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clocks of the LibOS under a host that sets its own: back, forward, at another frequency. The
 * TSC is the machine's; the host's frequency is chosen so that a second of the LibOS is short.
 */
#include <stdlib.h>
#include <unistd.h>

#include "host.h"
#include "lib.h"
#include "start.h"
#include "thread.h"

#define SECOND 1000000000ull

int printf(const char *fmt, ...);
int test_tsc_behind(u64 ticks); /* tsc.c */

static struct enclave_layout g_test_layout = {.size = 4096, .flags = LAYOUT_FLAG_SGX2};
const struct enclave_layout *g_layout = &g_test_layout;
static struct host_time g_host;
static i64 g_clocks[2]; /* SGX1: REALTIME, MONOTONIC */
static unsigned g_looks, g_bad;

#define CHECK(cond)                                   \
    do {                                              \
        if (!(cond)) {                                \
            printf("line %d: %s\n", __LINE__, #cond); \
            g_bad++;                                  \
        }                                             \
    } while (0)

static u64 tsc(void)
{
    return __builtin_ia32_rdtsc();
}

void host_time(struct host_time *t)
{
    g_looks++;
    g_host.tsc = tsc();
    *t = g_host;
}

i64 host_clock(int id)
{
    return g_clocks[id];
}

void spin_lock(struct spinlock *l)
{
    l->v = 1;
}

void spin_unlock(struct spinlock *l)
{
    l->v = 0;
}

void panic(const char *fmt, ...)
{
    printf("panic: %s\n", fmt);
    abort();
}

/* Read for some looks at the host; the clocks must not go back. */
static void run(unsigned looks, u64 *monotonic, u64 *realtime)
{
    for (unsigned end = g_looks + looks; g_looks < end;) {
        u64 m = clock_monotonic(), r = clock_realtime();

        CHECK(m >= *monotonic);
        CHECK(r >= *realtime);
        *monotonic = m;
        *realtime = r;
    }
}

int main(void)
{
    u64 monotonic = 0, realtime = 0, start, before;

    /* The least frequency: a look every 100 million ticks. */
    g_host = (struct host_time){
        .monotonic = 1000 * SECOND, .realtime = 1700000000 * SECOND, .frequency = 100000000};
    clock_init();
    run(2, &monotonic, &realtime);
    CHECK(realtime >= 1700000000 * SECOND && realtime < 1700000010 * SECOND);

    /* An hour back: never back, and slower. */
    g_host.realtime -= 3600 * SECOND;
    run(1, &monotonic, &realtime);
    before = realtime;
    start = monotonic;
    run(3, &monotonic, &realtime);
    CHECK(realtime - before <= (monotonic - start) * 3 / 4);
    CHECK(realtime > before);

    /* Forward is believed. */
    g_host.realtime = realtime + 7200 * SECOND;
    run(2, &monotonic, &realtime);
    CHECK(realtime >= g_host.realtime);

    /* The monotonic clock jumps: the other does not go with it. */
    g_host.monotonic = monotonic + 500 * SECOND;
    g_host.realtime = realtime;
    run(2, &monotonic, &realtime);
    CHECK(monotonic >= g_host.monotonic && realtime < g_host.realtime + 10 * SECOND);

    /* Another frequency is not believed: looks stay 100 million ticks apart. */
    g_host.frequency = 20000000000;
    start = tsc();
    run(2, &monotonic, &realtime);
    CHECK(tsc() - start < 1000000000);

    /* On a processor whose TSC is behind, neither goes back. */
    for (start = tsc(); tsc() - start < 60000000;)
        ;
    monotonic = clock_monotonic();
    realtime = clock_realtime();
    if (test_tsc_behind(50000000) == 0) {
        u64 m = clock_monotonic(), r = clock_realtime();
        test_tsc_behind(0);
        CHECK(m >= monotonic);
        CHECK(r >= realtime);
    }

    /* SGX1: each look is the host's. */
    g_test_layout.flags = 0;
    clock_init();
    g_clocks[0] = (i64)(realtime + SECOND);
    g_clocks[1] = (i64)(monotonic + SECOND);
    CHECK(clock_realtime() == realtime + SECOND && clock_monotonic() == monotonic + SECOND);
    g_clocks[0] -= 10;
    g_clocks[1] -= 10;
    CHECK(clock_realtime() == realtime + SECOND && clock_monotonic() == monotonic + SECOND);
    return g_bad != 0;
}
