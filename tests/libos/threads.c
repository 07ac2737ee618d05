/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and futexes: mutexes, conditions, robust and priority-inheritance locks, process-shared
 * ones, exit. */
#include "check.h"
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define THREADS 6
#define ROUNDS  3000

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
static long g_counter;
static __thread int g_local = 5;

static void *add(void *arg)
{
    g_local++;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&g_lock);
        g_counter++;
        pthread_mutex_unlock(&g_lock);
    }
    return (void *)(long)g_local;
}

static void mutexes(void)
{
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&t[i], NULL, add, NULL) == 0);
    for (int i = 0; i < THREADS; i++) {
        void *r = NULL;
        CHECK(pthread_join(t[i], &r) == 0 && r == (void *)6);
    }
    CHECK(g_counter == THREADS * ROUNDS && g_local == 5);
}

static int g_turn;
static void *ping(void *arg)
{
    int me = (int)(long)arg;
    for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(&g_lock);
        while (g_turn != me)
            pthread_cond_wait(&g_cond, &g_lock);
        g_turn = (g_turn + 1) % 3;
        pthread_cond_broadcast(&g_cond);
        pthread_mutex_unlock(&g_lock);
    }
    return NULL;
}

static void conditions(void)
{
    pthread_t t[3];
    for (long i = 0; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, ping, (void *)i) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    CHECK(g_turn == 0);
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 30000000;
    ts.tv_sec += ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    pthread_mutex_lock(&g_lock);
    double start = now();
    CHECK(pthread_cond_timedwait(&g_cond, &g_lock, &ts) == ETIMEDOUT);
    CHECK(now() - start > 0.02);
    pthread_mutex_unlock(&g_lock);
}

static pthread_mutex_t g_robust;
static void *die_with_lock(void *arg)
{
    pthread_mutex_lock(&g_robust);
    return NULL;
}

static void robust(void)
{
    pthread_mutexattr_t a;
    pthread_t t;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&g_robust, &a);
    CHECK(pthread_create(&t, NULL, die_with_lock, NULL) == 0 && pthread_join(t, NULL) == 0);
    CHECK(pthread_mutex_lock(&g_robust) == EOWNERDEAD);
    CHECK(pthread_mutex_consistent(&g_robust) == 0 && pthread_mutex_unlock(&g_robust) == 0);
    CHECK(pthread_mutex_lock(&g_robust) == 0 && pthread_mutex_unlock(&g_robust) == 0);
}

static pthread_mutex_t g_pi;
static long g_pi_count;
static void *add_pi(void *arg)
{
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&g_pi);
        g_pi_count++;
        if (i % 100 == 0)
            sched_yield();
        pthread_mutex_unlock(&g_pi);
    }
    return NULL;
}

static void priority_inheritance(void)
{
    pthread_mutexattr_t a;
    pthread_t t[4];
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
    CHECK(pthread_mutex_init(&g_pi, &a) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&t[i], NULL, add_pi, NULL) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    CHECK(g_pi_count == 2000);
}

/* Each holds the lock once and ends: who saw it as the owner must not take it for a dead one. */
static void *add_pi_once(void *arg)
{
    pthread_mutex_lock(&g_pi);
    for (volatile int i = 0; i < 3000; i++)
        continue;
    g_pi_count++;
    pthread_mutex_unlock(&g_pi);
    return NULL;
}

static void owners_end(void)
{
    pthread_t t[16];
    g_pi_count = 0;
    for (int round = 0; round < 150; round++) {
        for (int i = 0; i < 16; i++)
            CHECK(pthread_create(&t[i], NULL, add_pi_once, NULL) == 0);
        for (int i = 0; i < 16; i++)
            CHECK(pthread_join(t[i], NULL) == 0);
    }
    CHECK(g_pi_count == 150 * 16);
}

static void between_processes(void)
{
    struct shared {
        pthread_mutex_t lock;
        pthread_cond_t cond;
        int turn;
    } *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t ma;
    pthread_condattr_t ca;
    pthread_mutexattr_init(&ma);
    pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->lock, &ma);
    pthread_condattr_init(&ca);
    pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&s->cond, &ca);
    pid_t pid = fork();
    int me = pid == 0;
    for (int i = 0; i < 50; i++) {
        pthread_mutex_lock(&s->lock);
        while (s->turn != me)
            pthread_cond_wait(&s->cond, &s->lock);
        s->turn = !me;
        pthread_cond_signal(&s->cond);
        pthread_mutex_unlock(&s->lock);
    }
    if (pid == 0)
        _exit(0);
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    munmap(s, 4096);
}

static long futex(unsigned *word, int op, unsigned value, const struct timespec *ts,
                  unsigned *word2, unsigned value3)
{
    return syscall(SYS_futex, word, op, value, ts, word2, value3);
}

static unsigned g_word, g_word2;
static void *wait_word(void *arg)
{
    return (void *)futex(&g_word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void raw_futex(void)
{
    struct timespec ts = {0, 20000000};
    CHECK(futex(&g_word, FUTEX_WAIT, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
    CHECK(futex(&g_word, FUTEX_WAIT, 0, &ts, NULL, 0) == -1 && errno == ETIMEDOUT);
    CHECK(futex((unsigned *)((char *)&g_word + 1), FUTEX_WAIT, 0, NULL, NULL, 0) == -1 &&
          errno == EINVAL);
    CHECK(futex((unsigned *)8, FUTEX_WAIT, 0, NULL, NULL, 0) == -1 && errno == EFAULT);
    CHECK(futex(&g_word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, wait_word, NULL) == 0);
    long queued = 0; /* as they arrive */
    for (int i = 0; i < 1000 && queued < 3; i++) {
        queued += futex(&g_word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)10, &g_word2, 0);
        sleep_ms(5);
    }
    CHECK(queued == 3);
    CHECK(futex(&g_word2, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10, &g_word, 1) == -1 &&
          errno == EAGAIN);
    CHECK(futex(&g_word2, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10, &g_word, 0) == 3);
    CHECK(futex(&g_word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0) == 2);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    unsigned op = FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0);
    CHECK(futex(&g_word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &g_word2, op) == 0 && g_word2 == 5);
}

static void *sleeper(void *arg)
{
    for (;;)
        pause();
}

static void exit_with_threads(void)
{
    pthread_t t;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 3; i++)
            if (pthread_create(&t, NULL, sleeper, NULL) != 0)
                _exit(1);
        exit(21);
    }
    int s = -1;
    CHECK(waitpid(pid, &s, 0) == pid && WEXITSTATUS(s) == 21);
    pid = fork();
    if (pid == 0) {
        pthread_create(&t, NULL, sleeper, NULL);
        raise(SIGTERM);
    }
    CHECK(waitpid(pid, &s, 0) == pid && WTERMSIG(s) == SIGTERM);
}

static void *exits_process(void *arg)
{
    sleep_ms(20);
    exit(33);
}

static void main_thread_leaves(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        pthread_create(&t, NULL, exits_process, NULL);
        pthread_exit(NULL);
    }
    int s = -1;
    CHECK(waitpid(pid, &s, 0) == pid && WEXITSTATUS(s) == 33);
}

static void *fork_in_thread(void *arg)
{
    int s = -1;
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(&g_lock);
        g_counter = -1;
        pthread_mutex_unlock(&g_lock);
        _exit(8);
    }
    return (void *)(long)(waitpid(pid, &s, 0) == pid && WEXITSTATUS(s) == 8);
}

static void forks_of_threads(void)
{
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, fork_in_thread, NULL) == 0);
    for (int i = 0; i < 3; i++) {
        void *r = NULL;
        CHECK(pthread_join(t[i], &r) == 0 && r == (void *)1);
    }
    CHECK(g_counter == THREADS * ROUNDS);
}

/* Fewer than what a fork of a big process would share instead of copying. */
#define SNAPSHOT_PAGES 24
#define PAGE           4096
static char *g_snapshot;
static volatile int g_stop;

static volatile unsigned long *snapshot_word(int page)
{
    return (volatile unsigned long *)(g_snapshot + (size_t)page * PAGE);
}

static void *writes_pages_in_order(void *arg)
{
    for (unsigned long round = 1; !g_stop; round++)
        for (int i = 0; i < SNAPSHOT_PAGES; i++)
            *snapshot_word(i) = round;
    return arg;
}

/* A thread's write is in no child without the writes before it: glibc repairs its lists by that. */
static void forks_are_snapshots(void)
{
    pthread_t t;
    size_t size = (size_t)SNAPSHOT_PAGES * PAGE;
    int private = MAP_PRIVATE | MAP_ANONYMOUS;
    g_snapshot = mmap(NULL, size, PROT_READ | PROT_WRITE, private, -1, 0);
    CHECK(g_snapshot != MAP_FAILED);
    for (int i = 0; i < SNAPSHOT_PAGES; i++)
        *snapshot_word(i) = 0;
    CHECK(pthread_create(&t, NULL, writes_pages_in_order, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        int s = -1;
        pid_t pid = fork();
        if (pid == 0) {
            int later = 0;
            for (int k = 1; k < SNAPSHOT_PAGES; k++)
                later += *snapshot_word(k) > *snapshot_word(k - 1);
            _exit(later != 0 || *snapshot_word(0) > *snapshot_word(SNAPSHOT_PAGES - 1) + 1);
        }
        CHECK(waitpid(pid, &s, 0) == pid && s == 0);
    }
    g_stop = 1;
    pthread_join(t, NULL);
    munmap(g_snapshot, size);
}

/* ---- membarrier: one side of a lock pays for both ---- */

static volatile int g_quick_wants, g_slow_wants, g_over;
static volatile long g_inside;

/* No call and no barrier of its own: only the other side's calls order what it does. */
static void *quick_side(void *arg)
{
    while (!g_over) {
        g_quick_wants = 1;
        __asm__ volatile("" ::: "memory");
        if (!g_slow_wants)
            g_inside++;
        __asm__ volatile("" ::: "memory");
        g_quick_wants = 0;
    }
    return NULL;
}

static long barrier_call(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

static void slow_side(int command, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        g_slow_wants = 1;
        CHECK(barrier_call(command) == 0);
        while (g_quick_wants)
            ;
        long before = g_inside;
        for (volatile int k = 0; k < 200; k++)
            ;
        CHECK(g_inside == before);
        g_slow_wants = 0;
    }
}

static void not_registered(void)
{
    long offered = barrier_call(MEMBARRIER_CMD_QUERY);
    if (offered & MEMBARRIER_CMD_PRIVATE_EXPEDITED)
        CHECK(barrier_call(MEMBARRIER_CMD_PRIVATE_EXPEDITED) < 0 && errno == EPERM);
    if (offered & MEMBARRIER_CMD_GLOBAL_EXPEDITED)
        CHECK(barrier_call(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0);
}

static void still_registered(void)
{
    CHECK(barrier_call(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0);
}

static void barriers_of_other_threads(void)
{
    long wanted = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
                  MEMBARRIER_CMD_PRIVATE_EXPEDITED;
    long offered = barrier_call(MEMBARRIER_CMD_QUERY);
    pthread_t t;
    CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 1, 0) < 0 && errno == EINVAL);
    CHECK(barrier_call(-1) < 0 && errno == EINVAL);
    CHECK(barrier_call(MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED) < 0 &&
          errno == EINVAL);
    CHECK(in_child(not_registered) == 0);
    CHECK((offered & wanted & ~MEMBARRIER_CMD_GLOBAL) == (wanted & ~MEMBARRIER_CMD_GLOBAL));
    CHECK(barrier_call(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0);
    CHECK(barrier_call(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0);
    CHECK(in_child(still_registered) == 0);
    CHECK(pthread_create(&t, NULL, quick_side, NULL) == 0);
    slow_side(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 200);
    slow_side(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 20);
    if (offered & MEMBARRIER_CMD_GLOBAL) /* not on a machine with processors without ticks */
        slow_side(MEMBARRIER_CMD_GLOBAL, 4);
    g_over = 1;
    pthread_join(t, NULL);
}

int main(void)
{
    RUN(mutexes);
    RUN(conditions);
    RUN(robust);
    RUN(priority_inheritance);
    RUN(owners_end);
    RUN(between_processes);
    RUN(raw_futex);
    RUN(exit_with_threads);
    RUN(main_thread_leaves);
    RUN(barriers_of_other_threads);
    RUN(forks_of_threads);
    RUN(forks_are_snapshots);
    return finish();
}
