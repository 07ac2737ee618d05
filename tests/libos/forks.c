/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A big process and its descendants, three generations of them at once: each writes parts of what
 * it inherited, changes its mappings, and looks whether it sees what it wrote and what it
 * inherited, and nothing else.
 */
#include "check.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

#define PAGES       2048
#define PAGE        4096
#define GENERATIONS 3
#define CHILDREN    3

static char *g_memory;           /* PAGES pages */
static uint64_t g_expect[PAGES]; /* the first word of each */

static uint64_t *word(int page)
{
    return (uint64_t *)(g_memory + (size_t)page * PAGE);
}

static void scribble(int from, int to, int step, uint64_t value)
{
    for (int i = from; i < to; i += step)
        *word(i) = g_expect[i] = value + (uint64_t)i;
}

static long differ(void)
{
    long n = 0;
    for (int i = 0; i < PAGES; i++)
        n += *word(i) != g_expect[i];
    return n;
}

static void discard(int from, int to)
{
    CHECK(madvise(word(from), (size_t)(to - from) * PAGE, MADV_DONTNEED) == 0);
    memset(&g_expect[from], 0, (size_t)(to - from) * sizeof(g_expect[0]));
}

static void map_anew(int from, int to)
{
    size_t size = (size_t)(to - from) * PAGE;
    CHECK(munmap(word(from), size) == 0);
    CHECK(mmap(word(from), size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
               -1, 0) == word(from));
    memset(&g_expect[from], 0, (size_t)(to - from) * sizeof(g_expect[0]));
}

static void hide_and_show(int from, int to)
{
    CHECK(mprotect(word(from), (size_t)(to - from) * PAGE, PROT_NONE) == 0);
    sleep_ms(1);
    CHECK(mprotect(word(from), (size_t)(to - from) * PAGE, PROT_READ | PROT_WRITE) == 0);
}

static void move(int from, int to, int count)
{
    size_t size = (size_t)count * PAGE;
    CHECK(mremap(word(from), size, size, MREMAP_MAYMOVE | MREMAP_FIXED, word(to)) == word(to));
    memcpy(&g_expect[to], &g_expect[from], (size_t)count * sizeof(g_expect[0]));
    CHECK(mmap(word(from), size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
               -1, 0) == word(from));
    memset(&g_expect[from], 0, (size_t)count * sizeof(g_expect[0]));
}

static void live(int generation, int number)
{
    uint64_t value = (uint64_t)(generation * 100 + number) << 32;
    scribble(number, PAGES, 2 + number, value);
    if (number == 0)
        discard(100, 300);
    if (number == 1)
        hide_and_show(200, 500);
    if (number == 1)
        move(700, 1500, 200);
    if (number == 2)
        map_anew(1000, 1200);
    sleep_ms(number);
    scribble(900, 1100, 1, value + 1);
}

static void family(int generation)
{
    pid_t pids[CHILDREN];
    for (int c = 0; c < CHILDREN; c++) {
        scribble(generation + c, PAGES, 5 + c, (uint64_t)(generation + 1) << 40);
        pids[c] = fork();
        if (pids[c] == 0) {
            long bad = differ();
            live(generation, c);
            bad += differ();
            if (generation + 1 < GENERATIONS)
                family(generation + 1);
            _exit(bad + differ() ? 1 : 0);
        }
        CHECK(differ() == 0);
    }
    for (int c = 0; c < CHILDREN; c++) {
        int status = -1;
        CHECK(waitpid(pids[c], &status, 0) == pids[c]);
        CHECK(status == 0);
    }
    CHECK(differ() == 0);
}

static void generations(void)
{
    scribble(0, PAGES, 1, 7);
    family(0);
}

/*
 * One half is written by a thread while the other forks: the child's copy of that half stands
 * still.
 */
static volatile int g_stop;
static uint64_t g_rounds;

static void *writer(void *arg)
{
    while (!g_stop) {
        g_rounds++;
        for (int i = PAGES / 2; i < PAGES; i++)
            *word(i) = g_rounds;
    }
    return arg;
}

static void threads_write_on(void)
{
    pthread_t thread;
    uint64_t before[PAGES / 2];
    pthread_create(&thread, NULL, writer, NULL);
    for (int round = 0; round < 10; round++) {
        int status = -1;
        scribble(0, PAGES / 2, 1, (uint64_t)round << 20);
        pid_t pid = fork();
        if (pid == 0) {
            long bad = 0;
            for (int i = 0; i < PAGES / 2; i++)
                before[i] = *word(PAGES / 2 + i);
            sleep_ms(2);
            for (int i = 0; i < PAGES / 2; i++)
                bad += before[i] != *word(PAGES / 2 + i) || *word(i) != g_expect[i];
            _exit(bad ? 1 : 0);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(status == 0);
    }
    g_stop = 1;
    pthread_join(thread, NULL);
}

#define SHARED 64 /* pages */

static int holds(const char *p, int from, int to, char value)
{
    int wrong = 0;
    for (int i = from; i < to; i++)
        wrong += p[(size_t)i * PAGE] != value || p[(size_t)i * PAGE + PAGE - 1] != value;
    return wrong == 0;
}

static void fill(char *p, int from, int to, char value)
{
    memset(p + (size_t)from * PAGE, value, (size_t)(to - from) * PAGE);
}

static char *own(char *p, int from, int to, int flags)
{
    return mmap(p + (size_t)from * PAGE, (size_t)(to - from) * PAGE, PROT_READ | PROT_WRITE,
                flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/*
 * One child has private memory where the others share some, and a second one shares with the parent
 * all the time. Another one has shared memory of its own where the parent's is private.
 */
static void shared_beside_private(void)
{
    char *p = mmap(NULL, (size_t)SHARED * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0);
    char *q = mmap(NULL, (size_t)SHARED * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
    int status, go[2]; /* closed by the parent when it has written */
    char byte;
    CHECK(p != MAP_FAILED && q != MAP_FAILED && pipe(go) == 0);
    fill(p, 0, SHARED / 2, 1); /* the other half is touched by nobody yet */
    fill(q, 0, SHARED / 2, 1);
    fflush(stdout);
    if (fork() == 0) {
        close(go[1]);
        int bad = own(p, 16, 48, MAP_PRIVATE) == MAP_FAILED || !holds(p, 16, 48, 0);
        fill(p, 16, 48, 2);
        for (int i = 0; i < 20; i++) {
            sleep_ms(5);
            bad += !holds(p, 16, 48, 2);
        }
        bad += read(go[0], &byte, 1) != 0;
        _exit(bad || !holds(p, 48, SHARED, 3) || !holds(p, 16, 48, 2));
    }
    if (fork() == 0) {
        close(go[1]);
        int bad = own(q, 16, 48, MAP_SHARED) == MAP_FAILED || !holds(q, 16, 48, 0);
        fill(q, 16, 48, 4);
        if (fork() == 0) {
            sleep_ms(20);
            fill(q, 16, 48, 5);
            _exit(0);
        }
        bad += wait(&status) < 0 || status != 0 || !holds(q, 16, 48, 5);
        _exit(bad);
    }
    if (fork() == 0) {
        close(go[1]);
        int bad = read(go[0], &byte, 1) != 0 || !holds(p, 0, SHARED, 3);
        fill(p, 16, 48, 6);
        _exit(bad);
    }
    sleep_ms(10);
    CHECK(holds(p, 0, 32, 1) && holds(p, 32, SHARED, 0) && holds(q, 0, 32, 1));
    fill(p, 0, SHARED, 3);
    fill(q, 32, SHARED, 7);
    close(go[1]);
    for (int i = 0; i < 3; i++)
        CHECK(wait(&status) > 0 && status == 0);
    CHECK(holds(p, 16, 48, 6) && holds(p, 0, 16, 3) && holds(p, 48, SHARED, 3));
    CHECK(holds(q, 0, 32, 1) && holds(q, 32, SHARED, 7));
    munmap(p, (size_t)SHARED * PAGE);
    munmap(q, (size_t)SHARED * PAGE);
    close(go[0]);
}

int main(void)
{
    g_memory = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
    CHECK(g_memory != MAP_FAILED);
    RUN(shared_beside_private);
    RUN(generations);
    RUN(threads_write_on);
    return finish();
}
