/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of PAL libraries: waiting for the end of a process that a runtime tells by an event. */
#pragma once

#include <pthread.h>

#include "enclave/pal_runtime.h"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int exited_pid, status;
} g_exit = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

/* For struct pal_init_args. */
static void on_event(void *context, const struct pal_event *event)
{
    if (event->type != PAL_EVENT_EXITED)
        return;
    pthread_mutex_lock(&g_exit.lock);
    g_exit.exited_pid = event->pid;
    g_exit.status = event->status;
    pthread_cond_signal(&g_exit.changed);
    pthread_mutex_unlock(&g_exit.lock);
}

/* The wait status of process `pid`, one at a time. */
static int wait_exit(int pid)
{
    pthread_mutex_lock(&g_exit.lock);
    while (g_exit.exited_pid != pid)
        pthread_cond_wait(&g_exit.changed, &g_exit.lock);
    g_exit.exited_pid = 0;
    int status = g_exit.status;
    pthread_mutex_unlock(&g_exit.lock);
    return status;
}
