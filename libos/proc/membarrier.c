/* SPDX-License-Identifier: Apache-2.0 */
/*
 * membarrier(2). Every other thread that may be in user code is asked to come into the LibOS, where
 * it takes ATTENTION_BARRIER with an atomic exchange: a full barrier, after the caller's accesses
 * and before the caller returns. A thread that holds no residency (struct thread.mm) is in no user
 * code, and passes one in mm_enter() on its way there. A host that does not kick a thread delays
 * the caller; it cannot make it go on too early.
 */
#include "proc.h"
#include <linux/membarrier.h>

#define GET_REGISTRATIONS (1 << 9) /* MEMBARRIER_CMD_GET_REGISTRATIONS, Linux 6.3 */
#define REGISTRATIONS \
    (MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
#define LOOK_AGAIN_NS 1000000ul /* for threads that wait meanwhile, which tell nobody */

static u64 g_ticket; /* atomic: of the last barrier */
static struct waitq g_passed = WAITQ_INIT(g_passed);

struct barrier {
    const struct mm *mm; /* only its threads; NULL: all */
    u32 registered;      /* only those of processes that registered for it */
    u64 ticket;
    u32 left;
};

void membarrier_pass(struct thread *t)
{
    u64 last = __atomic_load_n(&g_ticket, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->barrier_seen, last, __ATOMIC_SEQ_CST);
    waitq_wake(&g_passed, UINT32_MAX);
}

static bool concerns(const struct barrier *b, const struct process *p)
{
    return p->mm && (!b->mm || p->mm == b->mm) &&
           (!b->registered ||
            __atomic_load_n(&p->mm->membarrier, __ATOMIC_SEQ_CST) & b->registered);
}

static bool in_user_memory(const struct thread *t)
{
    return t != current() && __atomic_load_n(&t->mm, __ATOMIC_SEQ_CST);
}

static int ask(struct process *p, void *ctx)
{
    const struct barrier *b = ctx;
    struct thread *t;
    if (concerns(b, p))
        list_for_each_entry (t, &p->threads, siblings)
            if (in_user_memory(t))
                thread_notify(t, ATTENTION_BARRIER);
    return 0;
}

static int count(struct process *p, void *ctx)
{
    struct barrier *b = ctx;
    struct thread *t;
    if (concerns(b, p))
        list_for_each_entry (t, &p->threads, siblings)
            b->left += __atomic_load_n(&t->attention, __ATOMIC_SEQ_CST) & ATTENTION_BARRIER &&
                       in_user_memory(t) &&
                       __atomic_load_n(&t->barrier_seen, __ATOMIC_SEQ_CST) < b->ticket;
    return 0;
}

static u32 left(struct barrier *b)
{
    b->left = 0;
    process_for_each(count, b);
    return b->left;
}

static long barrier(const struct mm *mm, u32 registered)
{
    struct barrier b = {.mm = mm, .registered = registered};
    struct wait_entry e;
    b.ticket = __atomic_add_fetch(&g_ticket, 1, __ATOMIC_SEQ_CST);
    waitq_add(&g_passed, &e);
    process_for_each(ask, &b);
    while (left(&b) && !current_process()->group_exit)
        thread_wait(clock_monotonic() + LOOK_AGAIN_NS, false, NULL, 0);
    waitq_remove(&e);
    return 0;
}

/* Without the commands that also serialize instructions or restart sequences. */
long sys_membarrier(int command, u32 flags, int cpu)
{
    struct mm *mm = current_process()->mm;
    if (flags)
        return -EINVAL;
    switch (command) {
    case MEMBARRIER_CMD_QUERY:
        return MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
               MEMBARRIER_CMD_PRIVATE_EXPEDITED | REGISTRATIONS | GET_REGISTRATIONS;
    case MEMBARRIER_CMD_GLOBAL:
        return barrier(NULL, 0);
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
        return barrier(NULL, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
        if (!(mm->membarrier & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
            return -EPERM;
        return barrier(mm, 0);
    case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
        __atomic_or_fetch(&mm->membarrier, (u32)command, __ATOMIC_SEQ_CST);
        return 0;
    case GET_REGISTRATIONS:
        return (long)__atomic_load_n(&mm->membarrier, __ATOMIC_SEQ_CST);
    default:
        return -EINVAL;
    }
}
