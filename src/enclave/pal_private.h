/* SPDX-License-Identifier: Apache-2.0 */
/* Private to pal_runtime.c and pal_blocking.c: a loaded library. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "enclave/pal_runtime.h"

/* What a version does its own way. */
struct pal_version {
    int number;
    int (*init)(struct pal_runtime *runtime, const struct pal_init_args_v4 *args);
    int (*create)(struct pal_runtime *runtime, const struct pal_process_args_v4 *args, int *pid);
    int (*start)(struct pal_runtime *runtime, int pid, struct error *err);
    int (*kill)(struct pal_runtime *runtime, int pid, int sig);
};

/* A process of versions 1 to 3, from create until its pal_exec has returned. */
struct pal_blocking_process {
    struct pal_blocking_process *next;
    struct pal_runtime *runtime;
    int pid;                       /* rune's number */
    int library_pid;               /* the library's, once it is started */
    bool first, starting, started; /* the last two change with runtime->lock held */
    char *path;
    char **argv, **env;
    int stdio[3]; /* ours */
    int lent[3];  /* the library's, of the same open files */
};

struct pal_runtime {
    char *path;
    void *library;
    const struct pal_version *version;

    /* Symbols; the table in pal_runtime.c says which version must have which. */
    void *init, *exec, *create_process, *start_process;
    pal_kill_fn *kill;
    pal_kill_foreground_fn *kill_foreground;
    pal_resize_fn *resize;
    pal_get_info_fn *get_info;
    pal_get_stats_fn *get_stats;
    pal_get_local_report_fn *get_local_report;
    pal_get_quote_fn *get_quote;
    pal_set_limits_fn *set_limits;
    pal_destroy_fn *destroy;
    void *occlum; /* the library is Occlum's */

    /* Versions 1 to 3: where their events go. */
    pal_event_fn *event;
    pal_log_fn *log;
    void *context;
    pthread_mutex_t lock; /* processes, and one event at a time */
    struct pal_blocking_process *processes;
    int last_pid;
    struct pal_call_thread *call_thread;
};

extern const struct pal_version pal_version_1, pal_version_2, pal_version_3;

/* The result of a PAL call as 0 or a negative errno; older libraries return -1 and set errno. */
int pal_result(const struct pal_runtime *runtime, int result);
/* "exec: PATH: ..." in the words of an ordinary container: Docker makes its exit code 127 or 126 of
 * them. Returns -code. */
int pal_exec_error(const char *path, int code, struct error *err);
