/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that lies about threads: libos/thread/thread.c, wait.c and the locks with real threads on
 * both sides. Each input is a plan: what the LibOS's threads do (start others, lock, wait, wake),
 * and what the host does at each THREAD_CREATE (did it and says no, says yes and comes late, comes
 * twice, comes for another thread) and WAIT (returns at once). Afterwards each thread that was said
 * to be started ran once, each that was refused never, and nothing is counted twice.
 */
#include <asm/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "exception.h"
#include "host_call.h"
#include "mm.h"
#include "process.h"
#include "start.h"
#include "tcb.h"

#define PARENTS     3u
#define STARTS      8u /* of each parent */
#define TCS_MAX     64u
#define OWED_MAX    1024u
#define WAIT_NS     200000u
#define THREADS_MAX 24u

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
unsigned fuzz_thread_lies(void);

/* What the host does with a request for a thread. */
enum create_lie {
    CREATE_HONEST,
    CREATE_RAN_DENIED,     /* the thread has ended when the host refuses */
    CREATE_STARTED_DENIED, /* it runs meanwhile */
    CREATE_NOTHING_DENIED, /* the honest refusal */
    CREATE_LATE,           /* yes, but it comes at another's request, or at the end */
    CREATE_TWICE,
    CREATE_TWICE_DENIED,
    CREATE_KINDS
};

struct host_thread {
    struct tcb tcb;
    struct boundary_area *area;
    jmp_buf leave;
    void (*body)(void *); /* NULL: ECALL_THREAD */
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool token, busy;
};

struct record { /* of one thread_start() */
    u32 ran;
    bool refused, started;
};

static pthread_mutex_t g_host_lock = PTHREAD_MUTEX_INITIALIZER;
static struct host_thread g_threads[TCS_MAX];
static pthread_t g_owed[OWED_MAX]; /* entries that are under way */
static u32 g_owed_count, g_late;
static const u8 *g_plan;
static size_t g_plan_size, g_plan_at;
static unsigned g_lies;

static struct process g_model; /* its members: started and not yet ended */
static i64 g_members;
static struct record g_records[PARENTS][STARTS];
static struct mutex g_mutex;
static struct waitq g_queue = WAITQ_INIT(g_queue);
static u64 g_counter, g_expected; /* under g_mutex; atomic */

static const struct enclave_layout g_test_layout = {.size = 4096};
const struct enclave_layout *g_layout = &g_test_layout;
int g_log_level = LOG_FATAL;

unsigned fuzz_thread_lies(void)
{
    return g_lies;
}

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    (void)!write(2, what, strlen(what));
    (void)!write(2, "\n", 1);
    abort();
}

static u8 plan_next(void)
{
    size_t at = __atomic_fetch_add(&g_plan_at, 1, __ATOMIC_RELAXED);

    return g_plan_size > 0 ? g_plan[at % g_plan_size] : 0;
}

/* ---- the host ---- */

static struct host_thread *me(void)
{
    return container_of(tcb(), struct host_thread, tcb);
}

static struct host_thread *tcs_take(void)
{
    struct host_thread *h = NULL;

    while (h == NULL) {
        pthread_mutex_lock(&g_host_lock);
        for (u32 i = 0; h == NULL && i < TCS_MAX; i++) {
            if (!g_threads[i].busy)
                h = &g_threads[i];
        }
        if (h != NULL)
            h->busy = true;
        pthread_mutex_unlock(&g_host_lock);
        if (h == NULL)
            sched_yield();
    }
    return h;
}

static void *enter(void *p)
{
    struct host_thread *h = p;

    syscall(158 /* arch_prctl */, ARCH_SET_GS, &h->tcb);
    if (setjmp(h->leave) == 0) {
        if (h->body == NULL) {
            thread_run_next(&h->tcb, (struct host_memory *)h->area);
        } else {
            thread_bind_control(&h->tcb, (struct host_memory *)h->area);
            h->body(h->arg);
            thread_unbind_control(&h->tcb);
        }
    }
    pthread_mutex_lock(&g_host_lock);
    h->busy = false;
    pthread_mutex_unlock(&g_host_lock);
    return NULL;
}

static pthread_t start_host_thread(void (*body)(void *), void *arg)
{
    struct host_thread *h = tcs_take();
    pthread_t t;

    h->body = body;
    h->arg = arg;
    pthread_mutex_lock(&h->lock);
    h->token = false;
    pthread_mutex_unlock(&h->lock);
    check(pthread_create(&t, NULL, enter, h) == 0, "no host thread");
    return t;
}

static void enter_later(void)
{
    pthread_t t = start_host_thread(NULL, NULL);

    pthread_mutex_lock(&g_host_lock);
    check(g_owed_count < OWED_MAX, "too many entries");
    g_owed[g_owed_count++] = t;
    pthread_mutex_unlock(&g_host_lock);
}

static i64 serve_create(void)
{
    enum create_lie lie = plan_next() % CREATE_KINDS;

    __atomic_fetch_add(&g_lies, lie != CREATE_HONEST, __ATOMIC_RELAXED);
    switch (lie) {
    case CREATE_HONEST:
        enter_later();
        return 0;
    case CREATE_RAN_DENIED:
        pthread_join(start_host_thread(NULL, NULL), NULL);
        return -EAGAIN;
    case CREATE_STARTED_DENIED:
        enter_later();
        return -EAGAIN;
    case CREATE_NOTHING_DENIED:
        return -ENOMEM;
    case CREATE_LATE:
        __atomic_fetch_add(&g_late, 1, __ATOMIC_RELAXED);
        return 0;
    case CREATE_TWICE:
        enter_later();
        enter_later();
        return 0;
    default:
        enter_later();
        pthread_join(start_host_thread(NULL, NULL), NULL);
        return -EAGAIN;
    }
}

static i64 serve_wait(struct host_thread *h, u64 timeout)
{
    i64 r = 0;
    struct timespec until;

    if (plan_next() % 4 == 0)
        return plan_next() % 2 == 0 ? 0 : -ETIMEDOUT; /* for no reason */
    clock_gettime(CLOCK_REALTIME, &until);
    timeout = MIN(timeout, 1000000000ul);
    until.tv_nsec += (long)timeout;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&h->lock);
    while (!h->token && r == 0)
        r = -pthread_cond_timedwait(&h->woken, &h->lock, &until);
    h->token = false;
    pthread_mutex_unlock(&h->lock);
    return r;
}

static i64 serve_wake(struct boundary_area *area)
{
    for (u32 i = 0; i < TCS_MAX; i++) {
        struct host_thread *h = &g_threads[i];

        if (h->area == area || plan_next() % 16 == 0) { /* others as well */
            pthread_mutex_lock(&h->lock);
            h->token = true;
            pthread_cond_signal(&h->woken);
            pthread_mutex_unlock(&h->lock);
        }
    }
    return 0;
}

static struct host_memory *lying_area(void)
{
    return (struct host_memory *)me()->area;
}

static void lying_call(u32 number)
{
    struct boundary_area *a = me()->area;

    switch (number) {
    case OCALL_THREAD_CREATE:
        a->ret = serve_create();
        break;
    case OCALL_WAIT:
        a->ret = serve_wait(me(), a->args[0]);
        break;
    case OCALL_WAKE:
        a->ret = serve_wake((struct boundary_area *)a->args[0]);
        break;
    case OCALL_YIELD:
        sched_yield();
        a->ret = 0;
        break;
    default:
        a->ret = 0;
    }
}

static const struct host_ops g_lying = {lying_area, lying_call};
const struct host_ops *g_host_ops = &g_lying;

/* ---- what thread.c uses of the LibOS ---- */

char enclave_entry[1], syscall_entry[1];

void panic(const char *fmt, ...)
{
    check(false, fmt);
    abort();
}

void log_write(enum log_level level, const char *fmt, ...)
{
}

void *kzalloc(size_t n)
{
    return calloc(1, n);
}

void kfree(void *p)
{
    free(p);
}

void *page_alloc(size_t count)
{
    return aligned_alloc(PAGE_SIZE, count * PAGE_SIZE);
}

void vector_initial(void *xsave)
{
    *(u64 *)xsave = 0;
}

void vector_leave(void)
{
}

u64 clock_monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000000000u + (u64)now.tv_nsec;
}

void enclave_leave(u64 result)
{
    longjmp(me()->leave, 1);
}

void return_to_user(void)
{
    check(false, "a LibOS thread went to user code");
    abort();
}

/* ---- the LibOS's threads ---- */

/* What a thread of a process does between its start and its end. */
static void work(void)
{
    struct wait_entry e;
    u8 what = plan_next();

    mutex_lock(&g_mutex);
    g_counter++;
    mutex_unlock(&g_mutex);
    __atomic_fetch_add(&g_expected, 1, __ATOMIC_RELAXED);
    if ((what & 1) != 0) {
        waitq_add(&g_queue, &e);
        thread_wait(clock_monotonic() + WAIT_NS, false, NULL, 0);
        waitq_remove(&e);
    }
    if ((what & 2) != 0)
        waitq_wake(&g_queue, 1);
}

static void child(void *arg)
{
    struct record *r = arg;

    check(current()->process == &g_model, "a thread without its process");
    check(__atomic_fetch_add(&r->ran, 1, __ATOMIC_SEQ_CST) == 0, "a thread ran twice");
    work();
    __atomic_fetch_sub(&g_members, 1, __ATOMIC_SEQ_CST);
}

/* As proc/clone.c: the process counts its thread in before the start, and out where it failed. */
static void parent(void *arg)
{
    struct record *records = arg;

    for (u32 i = 0; i < STARTS; i++) {
        struct record *r = &records[i];
        struct thread *t = thread_alloc(&g_model);

        if (t == NULL)
            continue;
        t->kernel_fn = child;
        t->kernel_arg = r;
        __atomic_fetch_add(&g_members, 1, __ATOMIC_SEQ_CST);
        if (thread_start(t, NULL) < 0) {
            r->refused = true;
            check(t->process == &g_model, "a refused thread lost its process");
            thread_release(t);
            __atomic_fetch_sub(&g_members, 1, __ATOMIC_SEQ_CST);
        } else {
            r->started = true;
        }
        work();
    }
}

/* ---- an input ---- */

static void join_owed(void)
{
    for (;;) {
        pthread_t t;

        pthread_mutex_lock(&g_host_lock);
        if (g_owed_count == 0) {
            pthread_mutex_unlock(&g_host_lock);
            return;
        }
        t = g_owed[--g_owed_count];
        pthread_mutex_unlock(&g_host_lock);
        pthread_join(t, NULL);
    }
}

static void set_up(void)
{
    static bool done;

    if (done)
        return;
    done = true;
    threads_init(TCS_MAX, 0, THREADS_MAX);
    for (u32 i = 0; i < TCS_MAX; i++) {
        struct host_thread *h = &g_threads[i];

        h->area = calloc(1, sizeof(*h->area));
        h->tcb.head.self = (u64)&h->tcb;
        pthread_mutex_init(&h->lock, NULL);
        pthread_cond_init(&h->woken, NULL);
    }
    /* The first ecall has a thread of its own: not several at once. */
    pthread_join(start_host_thread((void (*)(void *))free, NULL), NULL);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct boundary_stats stats = {0};
    pthread_t parents[PARENTS];

    g_plan = data;
    g_plan_size = size;
    g_plan_at = 0;
    g_late = 0;
    set_up();
    memset(g_records, 0, sizeof(g_records));
    for (u32 i = 0; i < PARENTS; i++)
        parents[i] = start_host_thread(parent, g_records[i]);
    for (u32 i = 0; i < PARENTS; i++)
        pthread_join(parents[i], NULL);
    join_owed();
    for (; g_late > 0; g_late--)
        enter_later();
    join_owed();
    threads_stats(&stats);
    check(stats.threads == 0, "threads that do not run are counted");
    check(g_members == 0, "the process's threads are counted wrongly");
    check(g_counter == g_expected, "two threads held the mutex");
    for (u32 i = 0; i < PARENTS * STARTS; i++) {
        struct record *r = &g_records[i / STARTS][i % STARTS];

        check(!r->refused || r->ran == 0, "a thread ran that was refused");
        check(!r->started || r->ran == 1, "a thread that was started did not run once");
    }
    return 0;
}
