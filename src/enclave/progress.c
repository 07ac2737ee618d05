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
    pthread_t thread;
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
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_SECONDS;
    pthread_mutex_lock(&progress->lock);
    int code = 0;
    while (!progress->over && code == 0)
        code = pthread_cond_timedwait(&progress->ended, &progress->lock, &deadline);
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
    progress->has_thread = pthread_create(&progress->thread, NULL, patience, progress) == 0;
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
