/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time. The host's clock is believed as a fact about the host, but inside it never goes backwards
 * and moves with the processor's TSC between two looks at the host, one a second at most. When the
 * host is ahead, the clock jumps there; when it is behind, the clock waits for it by running
 * slower.
 */
#include "host.h"
#include "lib.h"
#include "start.h"
#include "thread.h"

#define SYNC_INTERVAL_NS 1000000000ull
#define FREQUENCY_MIN    100000000ull /* Hz: outside of these the host's word is nonsense */
#define FREQUENCY_MAX    20000000000ull

static struct {
    struct spinlock lock;
    u32 sequence; /* odd while it changes */
    u64 tsc, ns;  /* a pair */
    u64 mult;     /* ns = ticks * mult >> 32 */
    u64 true_mult;
    u64 sync_ticks;
    i64 realtime_offset;
    u64 last;
    bool has_tsc;
} g_clock;

static inline u64 rdtsc(void)
{
    u32 lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (u64)hi << 32 | lo;
}

static inline u64 scale(u64 ticks, u64 mult)
{
    return (u64)((unsigned __int128)ticks * mult >> 32);
}

/* ns at `tsc` by the present pair. */
static u64 extrapolate(u64 tsc)
{
    u64 ticks = tsc > g_clock.tsc ? tsc - g_clock.tsc : 0;

    return g_clock.ns + scale(ticks, g_clock.mult);
}

static void sync(void)
{
    struct host_time host;
    u64 now, mine, mult;

    host_time(&host);
    if (host.frequency < FREQUENCY_MIN || host.frequency > FREQUENCY_MAX)
        panic("the host gives no usable TSC frequency");
    now = rdtsc();
    /* The host's pair is a moment old; a TSC of the future, or a very old one, is a lie or a
     * migration. */
    if (host.tsc > now || now - host.tsc > host.frequency)
        host.tsc = now;
    spin_lock(&g_clock.lock);
    g_clock.true_mult = (u64)(((unsigned __int128)1000000000 << 32) / host.frequency);
    host.monotonic += scale(now - host.tsc, g_clock.true_mult);
    mine = g_clock.ns == 0 ? host.monotonic : extrapolate(now);
    mult = g_clock.true_mult;
    if (host.monotonic < mine) {
        /* At most half speed, until the next look. */
        u64 ahead = MIN(mine - host.monotonic, SYNC_INTERVAL_NS / 2);

        mult -= (u64)((unsigned __int128)mult * ahead / SYNC_INTERVAL_NS);
    }
    __atomic_add_fetch(&g_clock.sequence, 1, __ATOMIC_SEQ_CST);
    g_clock.ns = MAX(mine, host.monotonic);
    g_clock.tsc = now;
    g_clock.mult = mult;
    g_clock.sync_ticks = host.frequency;
    g_clock.realtime_offset = (i64)(host.realtime - host.monotonic);
    __atomic_add_fetch(&g_clock.sequence, 1, __ATOMIC_SEQ_CST);
    spin_unlock(&g_clock.lock);
}

void clock_init(void)
{
    g_clock.has_tsc = (g_layout->flags & LAYOUT_FLAG_SGX2) != 0;
    if (g_clock.has_tsc)
        sync();
}

/* Processors with SGX1 only raise #UD for RDTSC in an enclave: there each look is the host's. */
static u64 read_host_clock(bool real)
{
    u64 ns = (u64)MAX(host_clock(real ? 0 : 1), 0), last; /* CLOCK_REALTIME, CLOCK_MONOTONIC */

    if (real)
        return ns;
    last = __atomic_load_n(&g_clock.last, __ATOMIC_RELAXED);
    while (ns > last) {
        if (__atomic_compare_exchange_n(&g_clock.last, &last, ns, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return ns;
    }
    return last;
}

static u64 read_clock(bool real)
{
    u64 tsc, ns, limit;
    i64 offset;
    u32 seq;

    if (unlikely(!g_clock.has_tsc))
        return read_host_clock(real);
    do {
        seq = __atomic_load_n(&g_clock.sequence, __ATOMIC_ACQUIRE) & ~1u;
        tsc = rdtsc();
        ns = extrapolate(tsc);
        limit = g_clock.tsc + g_clock.sync_ticks;
        offset = g_clock.realtime_offset;
    } while (__atomic_load_n(&g_clock.sequence, __ATOMIC_ACQUIRE) != seq);
    if (unlikely(tsc > limit)) {
        sync();
        return read_clock(real);
    }
    if (!real) {
        u64 last = __atomic_load_n(&g_clock.last, __ATOMIC_RELAXED);

        /* TSCs of two processors may differ by a little. */
        while (ns > last) {
            if (__atomic_compare_exchange_n(&g_clock.last, &last, ns, true, __ATOMIC_RELAXED,
                                            __ATOMIC_RELAXED))
                return ns;
        }
        return last;
    }
    return ns + (u64)offset;
}

u64 clock_monotonic(void)
{
    return read_clock(false);
}

u64 clock_realtime(void)
{
    return read_clock(true);
}
