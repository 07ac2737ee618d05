/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time. The host's clock is believed as a fact about the host, but inside it never goes backwards
 * and moves with the processor's TSC between two looks at the host, one a second at most. When the
 * host is ahead, the clock jumps there; when it is behind, the clock waits for it by running
 * slower, at half speed at least. That holds of CLOCK_REALTIME as well: who sets the host's clock
 * back does not make an expired certificate valid again for what runs. The TSC's frequency is the
 * host's first word for good (docs/design/boundary.md, "Time").
 */
#include "host.h"
#include "log.h"
#include "measured.h"

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
    u64 realtime_offset; /* at the pair, from ns to CLOCK_REALTIME (modulo 2^64) */
    u64 realtime_ahead;  /* by how much it shrinks, at half speed */
    u64 frequency;       /* Hz */
    u64 last, last_real; /* told to programs */
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

/* CLOCK_REALTIME at our monotonic `ns`, by the present pair. */
static u64 realtime_at(u64 ns)
{
    return ns + g_clock.realtime_offset - MIN(g_clock.realtime_ahead, (ns - g_clock.ns) / 2);
}

static void sync(void)
{
    struct host_time host;
    u64 now, mine, mult, told;

    host_time(&host);
    if (host.frequency < FREQUENCY_MIN || host.frequency > FREQUENCY_MAX)
        panic("the host gives no usable TSC frequency");
    now = rdtsc();
    /* The host's pair is a moment old; a TSC of the future, or a very old one, is a lie or a
     * migration. */
    if (host.tsc > now || now - host.tsc > host.frequency)
        host.tsc = now;
    spin_lock(&g_clock.lock);
    if (g_clock.frequency == 0)
        g_clock.frequency = host.frequency;
    host.frequency = g_clock.frequency;
    g_clock.true_mult = (u64)(((unsigned __int128)1000000000 << 32) / host.frequency);
    host.monotonic += scale(now - host.tsc, g_clock.true_mult);
    mine = g_clock.ns == 0 ? host.monotonic : extrapolate(now);
    told = g_clock.ns == 0 ? host.realtime : realtime_at(mine); /* at most, so far */
    mult = g_clock.true_mult;
    if (host.monotonic < mine) {
        /* At most half speed, until the next look. */
        u64 ahead = MIN(mine - host.monotonic, SYNC_INTERVAL_NS / 2);

        mult -= (u64)((unsigned __int128)mult * ahead / SYNC_INTERVAL_NS);
    }
    mine = MAX(mine, host.monotonic);
    __atomic_add_fetch(&g_clock.sequence, 1, __ATOMIC_SEQ_CST);
    g_clock.realtime_ahead = told > host.realtime ? told - host.realtime : 0;
    g_clock.realtime_offset = MAX(told, host.realtime) - mine;
    g_clock.ns = mine;
    g_clock.tsc = now;
    g_clock.mult = mult;
    g_clock.sync_ticks = host.frequency;
    __atomic_add_fetch(&g_clock.sequence, 1, __ATOMIC_SEQ_CST);
    spin_unlock(&g_clock.lock);
}

void clock_init(void)
{
    g_clock.has_tsc = (g_layout->flags & LAYOUT_FLAG_SGX2) != 0;
    if (g_clock.has_tsc)
        sync();
}

static u64 never_back(u64 *told, u64 ns)
{
    u64 last = __atomic_load_n(told, __ATOMIC_RELAXED);

    while (ns > last) {
        if (__atomic_compare_exchange_n(told, &last, ns, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return ns;
    }
    return last;
}

/* Processors with SGX1 only raise #UD for RDTSC in an enclave: there each look is the host's. */
static u64 read_host_clock(bool real)
{
    u64 ns = (u64)MAX(host_clock(real ? 0 : 1), 0); /* CLOCK_REALTIME, CLOCK_MONOTONIC */

    return never_back(real ? &g_clock.last_real : &g_clock.last, ns);
}

static u64 read_clock(bool real)
{
    u64 tsc, ns, realtime, limit;
    u32 seq;

    if (unlikely(!g_clock.has_tsc))
        return read_host_clock(real);
    do {
        seq = __atomic_load_n(&g_clock.sequence, __ATOMIC_ACQUIRE) & ~1u;
        tsc = rdtsc();
        ns = extrapolate(tsc);
        limit = g_clock.tsc + g_clock.sync_ticks;
        realtime = realtime_at(ns);
    } while (__atomic_load_n(&g_clock.sequence, __ATOMIC_ACQUIRE) != seq);
    if (unlikely(tsc > limit)) {
        sync();
        return read_clock(real);
    }
    /* TSCs of two processors may differ by a little. */
    return real ? never_back(&g_clock.last_real, realtime) : never_back(&g_clock.last, ns);
}

u64 clock_monotonic(void)
{
    return read_clock(false);
}

u64 clock_realtime(void)
{
    return read_clock(true);
}
