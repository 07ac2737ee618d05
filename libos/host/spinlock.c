/* SPDX-License-Identifier: Apache-2.0 */
/* A spin lock's holder can lose the processor (the host schedules), so a long spin yields to the
 * host. */
#include "host.h"
#include "log.h"

#define SPINS_BEFORE_YIELD 2000

void spin_lock(struct spinlock *l)
{
    u32 spins = 0;

    while (__atomic_exchange_n(&l->v, 1, __ATOMIC_ACQUIRE) != 0) {
        while (__atomic_load_n(&l->v, __ATOMIC_RELAXED) != 0) {
            __builtin_ia32_pause();
            if (++spins % SPINS_BEFORE_YIELD == 0)
                host_yield();
        }
    }
}

void spin_unlock(struct spinlock *l)
{
    __atomic_store_n(&l->v, 0, __ATOMIC_RELEASE);
}
