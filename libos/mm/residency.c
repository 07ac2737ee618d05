/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who of a fork group is resident, and who waits: a thread in mm_enter() of a mm that is not. It
 * queues; when the resident's last thread leaves (blocks, ends, execs) the first of the queue goes
 * next. A waiter that sees no progress for a slice asks the resident's threads to give the range up
 * on their next way back to user code.
 */
#include "internal.h"
#include "task.h"
#include <asm/signal.h>

#define SLICE_NS 10000000ul

void (*g_mm_kill_locked)(struct process *p, u32 status);

static int kill_doomed(struct process *p, void *ctx)
{
    if (!p->mm || !p->mm->doomed || p->group_exit)
        return 0;
    log_error("process %d is killed: out of enclave memory while switching between forked "
              "processes; raise the container's memory limit or enclave.memory",
              p->pid);
    memory_tell_killed(p->pid);
    g_mm_kill_locked(p, SIGKILL);
    return 0;
}

void group_preempt(struct mm *r)
{
    struct process *p;
    struct thread *t;
    mutex_lock(&g_process_lock);
    list_for_each_entry (p, &g_processes, all) {
        if (p->mm != r)
            continue;
        list_for_each_entry (t, &p->threads, siblings)
            if (t->mm == r)
                thread_notify(t, ATTENTION_GROUP);
    }
    mutex_unlock(&g_process_lock);
}

struct queued {
    struct list_head link;
    struct mm *mm;
};

enum entry { ENTRY_WAIT, ENTRY_DONE, ENTRY_NEVER };

/* Under s->lock: make mm resident if it is its turn. q NULL: it has not queued. */
static enum entry try_enter(struct space *s, struct mm *mm, const struct queued *q)
{
    if (mm->doomed)
        return ENTRY_NEVER;
    if (mm->alone && (mm->alone != current() || __atomic_load_n(&mm->active, __ATOMIC_SEQ_CST)))
        return ENTRY_WAIT;
    if (s->resident == mm && !s->wanted)
        return ENTRY_DONE;
    bool idle = !s->resident || s->resident == mm ||
                !__atomic_load_n(&s->resident->active, __ATOMIC_SEQ_CST);
    bool turn = q ? s->queue.next == &q->link : list_empty(&s->queue);
    if (!idle || !turn)
        return ENTRY_WAIT;
    int r = group_switch(s, mm);
    s->wanted = false;
    return r < 0 ? ENTRY_NEVER : ENTRY_DONE;
}

/* false: mm is doomed. */
static bool enter_shared(struct mm *mm)
{
    struct queued q = {.mm = mm};
    struct wait_entry e;
    struct space *queued_in = NULL;
    for (;;) {
        struct space *s = mm->space;
        mutex_lock(&s->lock);
        if (queued_in && queued_in != s) { /* a join moved our mm: queue there */
            mutex_unlock(&s->lock);
            mutex_lock(&queued_in->lock);
            list_del(&q.link);
            if (!queued_in->member_count && list_empty(&queued_in->queue))
                space_spare(queued_in);
            mutex_unlock(&queued_in->lock);
            waitq_remove(&e);
            queued_in = NULL;
            continue;
        }
        if (mm->space != s) {
            mutex_unlock(&s->lock);
            continue;
        }
        enum entry entry = try_enter(s, mm, queued_in ? &q : NULL);
        if (entry != ENTRY_WAIT) {
            if (entry == ENTRY_DONE)
                __atomic_add_fetch(&mm->active, 1, __ATOMIC_SEQ_CST);
            if (queued_in)
                list_del(&q.link);
            bool to_kill = s->to_kill || entry == ENTRY_NEVER;
            s->to_kill = false;
            mutex_unlock(&s->lock);
            if (queued_in) {
                waitq_remove(&e);
                waitq_wake(&s->waiters, UINT32_MAX);
            }
            if (to_kill)
                process_for_each(kill_doomed, NULL);
            return entry == ENTRY_DONE;
        }
        if (!queued_in) {
            if (mm->alone == current())
                list_add(&q.link, &s->queue); /* those who wait for it may be the first there */
            else
                list_add_tail(&q.link, &s->queue);
            waitq_add(&s->waiters, &e);
            queued_in = s;
            mutex_unlock(&s->lock);
            continue; /* from here on nobody leaves without waking us */
        }
        mutex_unlock(&s->lock);
        if (thread_wait(clock_monotonic() + SLICE_NS, false, NULL, 0) == -ETIMEDOUT) {
            mutex_lock(&s->lock);
            struct mm *r = s->resident;
            s->wanted = r != NULL;
            if (r && !ref_get_live(&r->refs))
                r = NULL; /* it is being destroyed, and then is no resident any more */
            mutex_unlock(&s->lock);
            if (r) {
                group_preempt(r);
                mm_put(r);
            }
        }
    }
}

/* With a full barrier behind it, on which membarrier(2) relies. */
static void set_mm(struct thread *t, struct mm *mm)
{
    __atomic_store_n(&t->mm, mm, __ATOMIC_SEQ_CST);
}

void mm_enter(struct mm *mm)
{
    struct thread *t = current();
    if (!mm || t->mm == mm)
        return;
    BUG_ON(t->mm);
    if (likely(!__atomic_load_n(&mm->space->shared, __ATOMIC_SEQ_CST))) {
        __atomic_add_fetch(&mm->active, 1, __ATOMIC_SEQ_CST);
        set_mm(t, mm);
        if (likely(!__atomic_load_n(&mm->space->shared, __ATOMIC_SEQ_CST)))
            return;
        mm_leave(mm);
    }
    if (enter_shared(mm))
        set_mm(t, mm);
}

void mm_leave(struct mm *mm)
{
    struct thread *t = current();
    if (!mm || t->mm != mm)
        return;
    t->mm = NULL;
    struct space *s = mm->space;
    if (__atomic_sub_fetch(&mm->active, 1, __ATOMIC_SEQ_CST) == 0 && s->shared)
        waitq_wake(&s->waiters, UINT32_MAX);
}

void mm_yield(void)
{
    struct mm *mm = current()->mm;
    if (!mm || !mm->space->shared)
        return;
    mm_leave(mm);
    mm_enter(mm);
}

int residency_alone(struct mm *mm)
{
    for (;;) {
        if (current()->mm != mm)
            return -ENOMEM;
        mm_lock(mm);
        if (!mm->alone)
            break;
        mm_unlock(mm);
        mm_yield(); /* another thread is before us */
    }
    mm->alone = current();
    mm->space->resident = mm;
    __atomic_store_n(&mm->space->shared, true, __ATOMIC_SEQ_CST);
    bool others = __atomic_load_n(&mm->active, __ATOMIC_SEQ_CST) > 1;
    mm_unlock(mm);
    if (!others)
        return 0;
    mm_leave(mm);
    group_preempt(mm);
    mm_enter(mm);
    if (current()->mm == mm)
        return 0;
    residency_alone_end(mm);
    return -ENOMEM;
}

void residency_alone_end(struct mm *mm)
{
    mm_lock(mm);
    mm->alone = NULL;
    struct space *s = mm->space;
    mm_unlock(mm);
    if (current()->mm == mm)
        mm_leave(mm); /* as the last one, which wakes the others */
    else
        waitq_wake(&s->waiters, UINT32_MAX);
}
