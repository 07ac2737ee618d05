/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting and waking. thread.park holds two wake-up tokens and whether the thread is parked
 * outside. Whoever sets a token and sees PARKED asks the host to wake the thread; a host that does
 * not only makes the container hang.
 */
#include "host.h"
#include "thread.h"

#define PARK_QUEUE  1u /* token of thread_wake() */
#define PARK_LOCK   2u /* token of thread_unpark_lock() */
#define PARK_PARKED 4u

void waitq_init(struct waitq *q)
{
    q->lock.v = 0;
    list_init(&q->entries);
}

static void add_entry(struct waitq *q, struct wait_entry *e)
{
    e->queue = q;
    e->woken = 0;
    e->tag = NULL;
    spin_lock(&q->lock);
    list_add_tail(&e->link, &q->entries);
    spin_unlock(&q->lock);
}

void waitq_add(struct waitq *q, struct wait_entry *e)
{
    e->thread = current();
    e->fn = NULL;
    add_entry(q, e);
}

void waitq_add_fn(struct waitq *q, struct wait_entry *e, void (*fn)(struct wait_entry *e))
{
    e->thread = NULL;
    e->fn = fn;
    e->exclusive = false;
    add_entry(q, e);
}

void waitq_remove(struct wait_entry *e)
{
    struct waitq *q = e->queue;

    if (q == NULL)
        return;
    spin_lock(&q->lock);
    list_del(&e->link);
    spin_unlock(&q->lock);
    e->queue = NULL;
}

static void wake(struct waitq *q, u32 count, bool one_exclusive)
{
    bool taken = false;
    struct wait_entry *e, *n;
    struct list_head woken;

    /* No look without the lock: while another waker holds it, entries are in its own list. */
    list_init(&woken);
    wake_begin();
    spin_lock(&q->lock);
    list_for_each_entry_safe (e, n, &q->entries, link) {
        if (e->fn != NULL) {
            if (one_exclusive && e->exclusive && taken)
                continue;
            e->fn(e);
            taken |= e->exclusive;
            if (one_exclusive && e->exclusive) { /* the next wake-up is another's */
                list_del(&e->link);
                list_add_tail(&e->link, &woken);
            }
        } else if (count > 0) {
            if (count != UINT32_MAX)
                count--;
            __atomic_store_n(&e->woken, 1, __ATOMIC_RELEASE);
            thread_wake(e->thread);
            /* To the end: the next wake-up is another waiter's. */
            list_del(&e->link);
            list_add_tail(&e->link, &woken);
        }
    }
    while (!list_empty(&woken)) {
        e = list_first_entry(&woken, struct wait_entry, link);
        list_del(&e->link);
        list_add_tail(&e->link, &q->entries);
    }
    spin_unlock(&q->lock);
    wake_end();
}

void waitq_wake(struct waitq *q, u32 count)
{
    wake(q, count, false);
}

void waitq_wake_data(struct waitq *q)
{
    wake(q, UINT32_MAX, true);
}

static void wake_host(struct thread *t)
{
    struct host_memory *host = __atomic_load_n(&t->host, __ATOMIC_SEQ_CST);

    if (host != NULL)
        host_thread_wake(host);
}

static void give_token(struct thread *t, u32 token)
{
    u32 old = __atomic_fetch_or(&t->park, token, __ATOMIC_SEQ_CST);
    struct thread *me = current();

    if ((old & PARK_PARKED) == 0 || (old & token) != 0)
        return;
    if (me->wake_depth > 0 && me->wake_count < ARRAY_SIZE(me->wakes))
        me->wakes[me->wake_count++] = t; /* threads are never freed */
    else
        wake_host(t);
}

void wake_begin(void)
{
    current()->wake_depth++;
}

void wake_end(void)
{
    struct thread *me = current();

    if (--me->wake_depth > 0)
        return;
    while (me->wake_count > 0)
        wake_host(me->wakes[--me->wake_count]);
}

void thread_wake(struct thread *t)
{
    give_token(t, PARK_QUEUE);
}

void thread_unpark_lock(struct thread *t)
{
    give_token(t, PARK_LOCK);
}

/* Go outside unless the token is there. Returns the host's answer: 0, or -ETIMEDOUT. */
static i64 park(u32 token, u64 timeout, struct host_pollfd *fds, size_t count)
{
    struct thread *t = current();
    u32 old = __atomic_load_n(&t->park, __ATOMIC_SEQ_CST);
    u64 begin;
    i64 r;

    do {
        if ((old & token) != 0) {
            __atomic_and_fetch(&t->park, ~token, __ATOMIC_SEQ_CST);
            return 0;
        }
    } while (!__atomic_compare_exchange_n(&t->park, &old, old | PARK_PARKED, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    begin = unlikely(t->sample_begin != 0) ? clock_monotonic() : 0;
    r = host_thread_wait(timeout, fds, count);
    if (unlikely(begin != 0))
        t->sample_waited += clock_monotonic() - begin;
    __atomic_and_fetch(&t->park, ~(PARK_PARKED | token), __ATOMIC_SEQ_CST);
    return r;
}

void thread_park_lock(void)
{
    park(PARK_LOCK, UINT64_MAX, NULL, 0);
}

/* Who wants the range of the fork group has it while this thread waits, and who wants a barrier
 * waits for user code: no reason to come back with half of what a call was asked for. */
static bool interrupted(struct thread *t)
{
    return (__atomic_load_n(&t->attention, __ATOMIC_SEQ_CST) &
            ~(ATTENTION_GROUP | ATTENTION_RAISED | ATTENTION_BARRIER)) != 0;
}

int thread_wait(u64 deadline, bool interruptible, struct host_pollfd *fds, size_t count)
{
    struct thread *t = current();
    struct mm *mm = t->mm;
    u64 timeout = UINT64_MAX;
    i64 r = 0;

    if (interruptible && interrupted(t))
        return -EINTR;
    if (deadline != NO_DEADLINE) {
        u64 now = clock_monotonic();

        timeout = deadline > now ? deadline - now : 0;
    }
    __atomic_store_n(&t->asleep, interruptible, __ATOMIC_RELEASE);
    if (mm != NULL) {
        __atomic_fetch_and(&t->attention, ~ATTENTION_GROUP, __ATOMIC_SEQ_CST);
        g_residency->leave(mm);
    }
    r = timeout == 0 && count == 0 ? -ETIMEDOUT : park(PARK_QUEUE, timeout, fds, count);
    __atomic_store_n(&t->asleep, false, __ATOMIC_RELEASE);
    if (mm != NULL)
        g_residency->enter(mm);
    if (interruptible && interrupted(t))
        return -EINTR;
    /* A host that always has something ready gets one more look than the deadline allows. */
    if (deadline != NO_DEADLINE && (r <= 0 || timeout == 0) && clock_monotonic() >= deadline)
        return -ETIMEDOUT;
    return 0;
}

void thread_notify(struct thread *t, u32 flags)
{
    struct host_memory *host;
    u32 parked;

    __atomic_fetch_or(&t->attention, flags, __ATOMIC_SEQ_CST);
    if (t == current())
        return;
    parked = __atomic_fetch_or(&t->park, PARK_QUEUE, __ATOMIC_SEQ_CST);
    host = __atomic_load_n(&t->host, __ATOMIC_SEQ_CST);
    if (host == NULL)
        return; /* not started, or ended */
    if ((parked & PARK_PARKED) != 0) {
        if ((parked & PARK_QUEUE) == 0)
            host_thread_wake(host);
    } else {
        host_thread_kick(host);
    }
}
