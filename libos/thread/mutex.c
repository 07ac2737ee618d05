/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutexes. One that is held parks its waiters in a small hashed table of queues; waking one of them
 * is mutex_unlock()'s duty.
 */
#include "thread.h"

#define SPINS_BEFORE_PARK 100
#define BUCKETS           64u

enum { MUTEX_FREE, MUTEX_HELD, MUTEX_CONTENDED };

struct mutex_waiter {
    struct list_head link;
    struct mutex *mutex;
    struct thread *thread;
    u32 woken;
};

static struct bucket {
    struct spinlock lock;
    struct list_head waiters; /* next is NULL before the first use */
} g_buckets[BUCKETS];

bool mutex_trylock(struct mutex *m)
{
    u32 free = MUTEX_FREE;

    return __atomic_compare_exchange_n(&m->state, &free, MUTEX_HELD, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static struct bucket *bucket_of(const struct mutex *m)
{
    u64 h = (uintptr_t)m * 0x9e3779b97f4a7c15ull;

    return &g_buckets[h >> 58];
}

/* Queue the current thread on m, unless m became free meanwhile, and wait to be woken. */
static void mutex_park(struct mutex *m)
{
    struct bucket *b = bucket_of(m);
    struct mutex_waiter w = {.mutex = m, .thread = current()};

    spin_lock(&b->lock);
    if (b->waiters.next == NULL)
        list_init(&b->waiters);
    if (__atomic_load_n(&m->state, __ATOMIC_SEQ_CST) != MUTEX_CONTENDED) {
        spin_unlock(&b->lock);
        return;
    }
    list_add_tail(&w.link, &b->waiters);
    spin_unlock(&b->lock);
    while (__atomic_load_n(&w.woken, __ATOMIC_ACQUIRE) == 0)
        thread_park_lock();
}

void mutex_lock(struct mutex *m)
{
    if (likely(mutex_trylock(m)))
        return;
    for (int i = 0; i < SPINS_BEFORE_PARK; i++) {
        __builtin_ia32_pause();
        if (__atomic_load_n(&m->state, __ATOMIC_RELAXED) == MUTEX_FREE && mutex_trylock(m))
            return;
    }
    /* Whoever parked must take the lock as contended: others may still be queued. */
    while (__atomic_exchange_n(&m->state, MUTEX_CONTENDED, __ATOMIC_ACQUIRE) != MUTEX_FREE)
        mutex_park(m);
}

void mutex_unlock(struct mutex *m)
{
    struct bucket *b;
    struct mutex_waiter *w;

    if (likely(__atomic_exchange_n(&m->state, MUTEX_FREE, __ATOMIC_SEQ_CST) != MUTEX_CONTENDED))
        return;
    b = bucket_of(m);
    spin_lock(&b->lock);
    if (b->waiters.next != NULL) {
        list_for_each_entry (w, &b->waiters, link) {
            struct thread *t = w->thread;

            if (w->mutex != m)
                continue;
            /* w is on its owner's stack and is gone once woken is set. Threads are never freed. */
            list_del(&w->link);
            __atomic_store_n(&w->woken, 1, __ATOMIC_RELEASE);
            spin_unlock(&b->lock);
            thread_unpark_lock(t);
            return;
        }
    }
    spin_unlock(&b->lock);
}
