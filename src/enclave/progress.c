/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/progress.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"

#define PATIENCE_SECONDS 2

struct progress {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    pthread_t thread; /* from the first step on: a start that finds all has none */
    struct timespec deadline;
    bool has_thread, shown, over;
    char *step;
};

static void show(struct progress *progress)
{
    if (log_fd() != STDERR_FILENO)
        log_info("%s ...", progress->step);
    else
        fprintf(stderr, "rune: %s ...\n", progress->step);
    progress->shown = true;
}

static void *patience(void *argument)
{
    struct progress *progress = argument;
    pthread_mutex_lock(&progress->lock);
    int code = 0;
    while (!progress->over && code == 0)
        code = pthread_cond_timedwait(&progress->ended, &progress->lock, &progress->deadline);
    if (!progress->over && progress->step != NULL)
        show(progress);
    progress->shown = true; /* steps of later show at once */
    pthread_mutex_unlock(&progress->lock);
    return NULL;
}

struct progress *progress_start(void)
{
    struct progress *progress = xcalloc(1, sizeof(*progress));
    pthread_mutex_init(&progress->lock, NULL);
    pthread_cond_init(&progress->ended, NULL);
    clock_gettime(CLOCK_REALTIME, &progress->deadline);
    progress->deadline.tv_sec += PATIENCE_SECONDS;
    return progress;
}

void progress_step(void *ctx, const char *step)
{
    struct progress *progress = ctx;
    pthread_mutex_lock(&progress->lock);
    free(progress->step);
    progress->step = xstrdup(step);
    if (progress->shown)
        show(progress);
    else if (!progress->has_thread)
        progress->has_thread = pthread_create(&progress->thread, NULL, patience, progress) == 0;
    pthread_mutex_unlock(&progress->lock);
}

void progress_end(struct progress *progress)
{
    pthread_mutex_lock(&progress->lock);
    progress->over = true;
    pthread_cond_signal(&progress->ended);
    pthread_mutex_unlock(&progress->lock);
    if (progress->has_thread)
        pthread_join(progress->thread, NULL);
    free(progress->step);
    free(progress);
}
