/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that want the same addresses at the same time: this one executes itself several times
 * over. Built for a fixed address, all its instances overlap; each has threads, writes its own
 * patterns and looks whether they stay.
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#define INSTANCES 3
#define THREADS   3
#define WORDS     (64 * 1024)
#define SECONDS   0.4

static uint64_t g_data[THREADS][WORDS];
static int g_self;

static uint64_t pattern(int thread, int round, int i)
{
    return (uint64_t)g_self << 48 | (uint64_t)thread << 40 | (uint64_t)round << 20 | (uint64_t)i;
}

static void *work(void *arg)
{
    int thread = (int)(intptr_t)arg, round = 0;
    double start = now();
    long bad = 0;

    while (now() - start < SECONDS || round < 2) {
        uint64_t *heap = malloc(4096 * sizeof(*heap));

        for (int i = 0; i < WORDS; i += 7)
            g_data[thread][i] = pattern(thread, round, i);
        for (int i = 0; i < 4096; i++)
            heap[i] = pattern(thread, round, ~i & 0xfffff);
        if (round % 3 == thread % 3)
            sleep_ms(1);
        for (int i = 0; i < WORDS; i += 7)
            bad += g_data[thread][i] != pattern(thread, round, i);
        for (int i = 0; i < 4096; i++)
            bad += heap[i] != pattern(thread, round, ~i & 0xfffff);
        free(heap);
        round++;
    }
    return (void *)bad;
}

/* A child of the instance sees the data of the moment, and its own changes stay its own. */
static long fork_and_look(void)
{
    int status;

    g_data[0][1] = 0x1234;
    pid_t pid = fork();
    if (pid == 0) {
        long bad = g_data[0][1] != 0x1234;

        g_data[0][1] = 0x5678;
        sleep_ms(2);
        _exit(bad || g_data[0][1] != 0x5678);
    }
    g_data[0][1] = 0x9abc;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        return 1;
    return g_data[0][1] != 0x9abc;
}

static int instance(int self)
{
    pthread_t threads[THREADS];
    long bad = 0;

    g_self = self;
    for (intptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < 5; i++)
        bad += fork_and_look();
    for (int i = 0; i < THREADS; i++) {
        void *r;

        pthread_join(threads[i], &r);
        bad += (long)r;
    }
    return bad == 0 ? 0 : 1;
}

static char *g_program;

static void start_all(pid_t *pids, int count)
{
    for (int i = 0; i < count; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char number[4] = {(char)('1' + i), 0};

            execl(g_program, g_program, number, NULL);
            _exit(99);
        }
    }
}

static void side_by_side(void)
{
    pid_t pids[INSTANCES];

    start_all(pids, INSTANCES);
    for (int i = 0; i < INSTANCES; i++) {
        int status = -1;

        CHECK(waitpid(pids[i], &status, 0) == pids[i]);
        CHECK(status == 0);
    }
}

static void many_short(void)
{
    for (int round = 0; round < 5; round++) {
        pid_t pids[8];

        for (int i = 0; i < 8; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                execl(g_program, g_program, "0", NULL);
                _exit(99);
            }
        }
        for (int i = 0; i < 8; i++) {
            int status = -1;

            CHECK(waitpid(pids[i], &status, 0) == pids[i]);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
        }
    }
}

static void killed_while_waiting(void)
{
    pid_t pids[INSTANCES];

    start_all(pids, INSTANCES);
    sleep_ms(50);
    for (int i = 0; i < INSTANCES; i++)
        kill(pids[i], SIGKILL);
    for (int i = 0; i < INSTANCES; i++) {
        int status = -1;

        CHECK(waitpid(pids[i], &status, 0) == pids[i]);
        CHECK(WIFSIGNALED(status) || WIFEXITED(status));
    }
}

int main(int argc, char **argv)
{
    g_program = argv[0];
    if (argc > 1)
        return argv[1][0] == '0' ? 42 : instance(argv[1][0] - '0');
    RUN(side_by_side);
    RUN(many_short);
    RUN(killed_while_waiting);
    return finish();
}
