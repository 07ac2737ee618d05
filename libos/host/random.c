/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers come from the processor only; the host has no say. */
#include "log.h"

#define RDRAND_TRIES 1000

u64 random_u64(void)
{
    u64 v;
    bool ok;

    for (int i = 0; i < RDRAND_TRIES; i++) {
        __asm__ volatile("rdrand %0" : "=r"(v), "=@ccc"(ok));
        if (ok)
            return v;
        __builtin_ia32_pause();
    }
    panic("the processor's random number generator (RDRAND) fails");
}

void random_bytes(void *buf, size_t n)
{
    u8 *p = buf;

    while (n > 0) {
        u64 v = random_u64();
        size_t m = MIN(n, sizeof(v));

        memcpy(p, &v, m);
        p += m;
        n -= m;
    }
}
