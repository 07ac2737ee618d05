/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads and TCS. A LibOS thread that is started waits in a queue; the host thread asked for
 * enters on any free TCS and takes the oldest. How many TCS there are is counted here, the host
 * only says on which one it enters. With SGX2 more are made from heap pages. struct thread is never
 * freed, only reused: a late wake-up of an ended thread is then harmless.
 *
 * Nothing that the host says of a thread is believed: it enters when it likes, whether it was asked
 * to or not, and answers what it likes. Where a thread is, its slot says.
 */
#include "boundary.h"
#include "host.h"
#include "measured.h"
#include "sgx.h"
#include "task.h"
#include "tcb.h"
#include "vector.h"
#include <linux/time.h>

#define CONTROL_TCS 2 /* kept for ecalls that are not threads */
#define SSA_PAGES   (LAYOUT_NSSA * LAYOUT_SSA_PAGES)
#define STACK_PAGES (LAYOUT_STACK_SIZE / PAGE_SIZE)

/*
 * taken by             from     to
 * take_slot()          FREE     OWNED     its generation grows
 * thread_start()       OWNED    QUEUED    on g_ready
 * thread_run_next()    QUEUED   RUNNING   until thread_finish()
 * thread_start()       QUEUED   OWNED     the host refuses, and no host thread had come for it
 * drop_slot()          any      FREE      on g_free
 */
enum slot_state { SLOT_FREE, SLOT_OWNED, SLOT_QUEUED, SLOT_RUNNING };

struct slot {
    struct thread thread;
    struct uregs start;
    struct list_head link; /* g_free or g_ready */
    /* Of which thread this is the slot: a start whose thread has ended sees another. */
    u64 generation;
    enum slot_state state;
};

/* SDM volume 3D, "Thread Control Structure". */
struct tcs_page {
    u64 state, flags, ossa;
    u32 cssa, nssa;
    u64 oentry, aep, ofsbase, ogsbase;
    u32 fslimit, gslimit;
    u64 ocetssa, prevssp;
    u8 reserved[4008];
};
_Static_assert(sizeof(struct tcs_page) == 4096, "TCS");
#define TCS_AEXNOTIFY (1u << 1) /* flags */

extern char enclave_entry[];

static struct spinlock g_lock; /* all below */
static struct list_head g_free = LIST_HEAD_INIT(g_free), g_ready = LIST_HEAD_INIT(g_ready);
static u32 g_tcs_total, g_threads;
static u64 g_thread_limit, g_thread_limit_measured; /* the first is atomic */
static struct mutex g_tcs_lock;                     /* one at a time makes a TCS */
static struct tcb *g_tcbs;                          /* of all TCS that were entered */

void threads_limit_changed(u64 wanted)
{
    u64 measured = g_thread_limit_measured;
    u64 limit = wanted == 0 || (measured != 0 && measured < wanted) ? measured : wanted;

    __atomic_store_n(&g_thread_limit, limit, __ATOMIC_RELAXED);
}

void threads_init(u32 static_tcs, u64 measured, u64 wanted)
{
    g_tcs_total = static_tcs;
    g_thread_limit_measured = measured;
    threads_limit_changed(wanted);
}

/* A hole below the stack, so that a stack that grows too far faults: the page is given back, its
 * place stays ours. */
static int make_guard(u64 page)
{
    int r = host_sgx_modify_type(page, PAGE_SIZE, SGX_PT_TRIM);

    if (r == 0 && sgx_eaccept(page, SGX_SECINFO_TRIM | SGX_SECINFO_MODIFIED) != 0)
        r = -EIO;
    return r == 0 ? host_sgx_remove(page, PAGE_SIZE) : r;
}

/* A new TCS with its stack, SSA frames and tcb page, all from the heap; kept for good. */
static int add_tcs(void)
{
    const size_t pages = 1 + STACK_PAGES + 1 + SSA_PAGES + 1;
    u64 base, stack_top, tcs, ssa, gs;
    struct layout_tcb *head;
    int r;

    if ((g_layout->flags & LAYOUT_FLAG_SGX2) == 0)
        return -EAGAIN;
    base = (u64)page_alloc(pages);
    if (base == 0)
        return -ENOMEM;
    memset((void *)base, 0, pages * PAGE_SIZE);
    stack_top = base + PAGE_SIZE + LAYOUT_STACK_SIZE;
    tcs = stack_top;
    ssa = tcs + PAGE_SIZE;
    gs = ssa + SSA_PAGES * PAGE_SIZE;
    *(struct tcs_page *)tcs = (struct tcs_page){
        .flags = (g_layout->flags & LAYOUT_FLAG_AEXNOTIFY) != 0 ? TCS_AEXNOTIFY : 0,
        .ossa = ssa,
        .nssa = LAYOUT_NSSA,
        .oentry = (u64)enclave_entry,
        .ofsbase = gs,
        .ogsbase = gs,
        .fslimit = 0xfff,
        .gslimit = 0xfff,
    };
    head = (struct layout_tcb *)gs;
    *head = (struct layout_tcb){
        .self = gs,
        .magic = TCB_MAGIC,
        .tcs = tcs,
        .ssa = ssa,
        .stack_top = stack_top,
        .layout = (u64)g_layout,
        .index = g_tcs_total,
        .ssa_frame_size = LAYOUT_SSA_PAGES * PAGE_SIZE,
    };
    r = make_guard(base);
    if (r == 0)
        r = host_sgx_modify_type(tcs, PAGE_SIZE, SGX_PT_TCS);
    if (r == 0 && sgx_eaccept(tcs, SGX_SECINFO_TCS | SGX_SECINFO_MODIFIED) != 0)
        r = -EIO;
    if (r == 0)
        r = host_tcs_add(tcs);
    if (r < 0)
        log_error("cannot add a thread (TCS) to the enclave: error %d", -r);
    /* After a failure the pages are in an unknown state: they are not given back. */
    return r;
}

/* Count one more thread in, with a TCS for it. */
static int reserve_tcs(void)
{
    int r = 0;

    mutex_lock(&g_tcs_lock);
    spin_lock(&g_lock);
    u64 limit = __atomic_load_n(&g_thread_limit, __ATOMIC_RELAXED);

    if (limit != 0 && g_threads >= limit)
        r = -EAGAIN;
    else if (g_threads + CONTROL_TCS < g_tcs_total)
        g_threads++;
    else
        r = 1;
    spin_unlock(&g_lock);
    if (r == 1) {
        r = add_tcs();
        spin_lock(&g_lock);
        if (r == 0) {
            g_tcs_total++;
            g_threads++;
        }
        spin_unlock(&g_lock);
    }
    mutex_unlock(&g_tcs_lock);
    return r;
}

static struct slot *take_slot(void)
{
    struct slot *s = NULL;

    spin_lock(&g_lock);
    if (!list_empty(&g_free)) {
        s = list_first_entry(&g_free, struct slot, link);
        list_del(&s->link);
        BUG_ON(s->state != SLOT_FREE);
        s->state = SLOT_OWNED;
        s->generation++;
    }
    spin_unlock(&g_lock);
    if (s == NULL) {
        s = kzalloc(sizeof(*s));
        if (s == NULL)
            return NULL;
        s->thread.xsave = page_alloc(1);
        if (s->thread.xsave == NULL) {
            kfree(s);
            return NULL;
        }
        s->state = SLOT_OWNED;
    } else {
        void *xsave = s->thread.xsave;

        memset(&s->thread, 0, sizeof(s->thread));
        memset(&s->start, 0, sizeof(s->start));
        s->thread.xsave = xsave;
    }
    list_init(&s->link);
    list_init(&s->thread.siblings);
    list_init(&s->thread.sig_queue);
    vector_initial(s->thread.xsave);
    return s;
}

static void drop_slot(struct slot *s)
{
    spin_lock(&g_lock);
    BUG_ON(s->state == SLOT_FREE || s->state == SLOT_QUEUED);
    s->state = SLOT_FREE;
    list_add(&s->link, &g_free);
    spin_unlock(&g_lock);
}

struct thread *thread_alloc(struct process *p)
{
    int r = reserve_tcs();
    struct slot *s;

    if (r < 0) {
        log_error("no more threads: %u run; raise %s", g_threads,
                  g_layout->flags & LAYOUT_FLAG_SGX2
                      ? "the container's pids limit (linux.resources.pids.limit), or "
                        "enclave.threads"
                      : "enclave.threads: all of the enclave's threads were made at start (SGX1)");
        return NULL;
    }
    s = take_slot();
    if (s == NULL) {
        thread_release(NULL);
        log_error("no memory for a thread; raise the container's memory limit");
        return NULL;
    }
    s->thread.process = p;
    return &s->thread;
}

/* Give back what thread_alloc() took: t, when not NULL, was never started. */
void thread_release(struct thread *t)
{
    spin_lock(&g_lock);
    g_threads--;
    spin_unlock(&g_lock);
    if (t != NULL)
        drop_slot(container_of(t, struct slot, thread));
}

/*
 * 0: the thread runs, or will as soon as a host thread comes, or ran and has ended. -EAGAIN: it
 * never ran and never will. The host's answer decides only what may still be decided: while the
 * slot waits in the queue as the same thread. A host that refuses may have entered before (for this
 * or another thread), and by now the slot may be the slot of another thread.
 */
int thread_start(struct thread *t, const struct uregs *regs)
{
    struct slot *s = container_of(t, struct slot, thread);
    bool waits;
    u64 generation;
    int r;

    if (regs != NULL)
        s->start = *regs;
    spin_lock(&g_lock);
    BUG_ON(s->state != SLOT_OWNED);
    generation = s->generation;
    s->state = SLOT_QUEUED;
    list_add_tail(&s->link, &g_ready);
    spin_unlock(&g_lock);
    r = host_thread_create();
    if (r == 0)
        return 0;
    spin_lock(&g_lock);
    waits = s->state == SLOT_QUEUED && s->generation == generation;
    if (waits) {
        list_del(&s->link);
        s->state = SLOT_OWNED;
    }
    spin_unlock(&g_lock);
    log_error("the host cannot start a thread: error %d", -r);
    return waits ? -EAGAIN : 0;
}

struct thread *kthread_start(void (*fn)(void *), void *arg)
{
    struct thread *t = thread_alloc(&g_kernel_process);

    if (t == NULL)
        return NULL;
    t->kernel_fn = fn;
    t->kernel_arg = arg;
    if (thread_start(t, NULL) < 0) {
        thread_release(t);
        return NULL;
    }
    return t;
}

static void bind(struct tcb *t, struct slot *s, struct host_memory *area)
{
    t->area = area;
    t->vector_saved = VECTOR_SCRUBBED;
    t->syscall_entry = syscall_entry;
    s->thread.host = area;
    if (s->thread.process == NULL)
        s->thread.process = &g_kernel_process;
    t->current = &s->thread;
    if (!t->booted) {
        t->booted = true;
        spin_lock(&g_lock);
        t->next = g_tcbs;
        g_tcbs = t;
        spin_unlock(&g_lock);
    }
}

void thread_run_next(struct tcb *t, struct host_memory *area)
{
    struct slot *s = NULL;
    i64 cpu;

    spin_lock(&g_lock);
    if (!list_empty(&g_ready)) {
        s = list_first_entry(&g_ready, struct slot, link);
        list_del(&s->link);
        s->state = SLOT_RUNNING;
    }
    spin_unlock(&g_lock);
    if (s == NULL)
        return; /* nothing was asked for, or another host thread came first */
    bind(t, s, area);
    cpu = host_clock(CLOCK_THREAD_CPUTIME_ID); /* the host thread may have served others */
    s->thread.utime_start = cpu > 0 ? (u64)cpu : 0;
    if (s->thread.kernel_fn != NULL) {
        s->thread.kernel_fn(s->thread.kernel_arg);
        thread_finish();
    }
    *tcb_uregs() = s->start;
    s->thread.regs = tcb_uregs();
    if (s->thread.process != NULL && s->thread.process->mm != NULL)
        g_residency->enter(s->thread.process->mm);
    return_to_user();
}

void thread_finish(void)
{
    struct tcb *t = tcb();
    struct slot *s = container_of(t->current, struct slot, thread);

    if (s->thread.mm != NULL)
        g_residency->leave(s->thread.mm);
    vector_leave();
    spin_lock(&g_lock); /* before the thread is gone: waiting for it may ask the host to yield */
    t->current = NULL;
    s->thread.process = NULL;
    __atomic_store_n(&s->thread.host, NULL, __ATOMIC_SEQ_CST);
    g_threads--;
    s->state = SLOT_FREE;
    list_add_tail(&s->link, &g_free);
    spin_unlock(&g_lock);
    enclave_leave(0);
}

/* An ecall that is not a thread of its own still needs current(), for locks and logging. */
struct thread *thread_bind_control(struct tcb *t, struct host_memory *area)
{
    static struct slot boot;
    static bool booted;
    struct slot *s;

    if (!booted) { /* the heap is not there yet */
        static u8 xsave[PAGE_SIZE] __attribute__((aligned(64)));

        booted = true;
        boot.thread.xsave = xsave;
        boot.state = SLOT_OWNED;
        list_init(&boot.link);
        list_init(&boot.thread.siblings);
        list_init(&boot.thread.sig_queue);
        vector_initial(xsave);
        bind(t, &boot, area);
        return &boot.thread;
    }
    s = take_slot();
    if (s == NULL)
        return NULL;
    bind(t, s, area);
    return &s->thread;
}

void thread_unbind_control(struct tcb *t)
{
    struct slot *s = container_of(t->current, struct slot, thread);

    vector_leave();
    s->thread.host = NULL;
    t->current = NULL;
    drop_slot(s);
}

void thread_return_to_user(void)
{
    return_to_user();
}

void threads_stats(struct boundary_stats *stats)
{
    spin_lock(&g_lock);
    stats->threads = g_threads;
    stats->tcs_total = g_tcs_total;
    for (struct tcb *t = g_tcbs; t != NULL; t = t->next) {
        stats->ocalls += t->ocalls;
        stats->aex += t->aex;
        stats->syscalls_direct += t->syscalls_direct;
        stats->syscalls_trapped += t->syscalls_trapped;
    }
    spin_unlock(&g_lock);
}
