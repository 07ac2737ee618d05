/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of tests/libos share: they check themselves, and print the same lines natively
 * and in the LibOS. */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int g_failed;

#define CHECK(cond)                                                                     \
    do {                                                                                \
        if (!(cond)) {                                                                  \
            int saved_ = errno;                                                         \
            g_failed = 1;                                                               \
            printf("FAILED %s:%d: %s (errno %d)\n", __FILE__, __LINE__, #cond, saved_); \
            fflush(stdout);                                                             \
        }                                                                               \
    } while (0)

#define RUN(test)              \
    do {                       \
        test();                \
        printf("%s\n", #test); \
        fflush(stdout);        \
    } while (0)

static inline int finish(void)
{
    printf("%s\n", g_failed ? "failed" : "passed");
    fflush(stdout);
    return g_failed;
}

static inline double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline void sleep_ms(int ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000l};
    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}

/* fork(), run fn in the child, return the wait status. */
static inline int in_child(void (*fn)(void))
{
    int status = -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        fn();
        fflush(stdout);
        _exit(g_failed);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return status;
}
