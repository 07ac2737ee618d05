/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads an enclave runtime's PAL library (include/pal.h) of any version and shows it in the shape
 * of version 4. Used by init-runelet only. What an older version cannot say is -ENOTSUP; its
 * blocking pal_exec runs on a thread of its own and ends in a PAL_EVENT_EXITED.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "pal.h"

struct pal_runtime;

/* dlopen, version, symbols; nothing of the library but pal_get_version() and its constructors has
 * run. */
int pal_runtime_load(const char *path, struct pal_runtime **out, struct error *err);
int pal_runtime_version(const struct pal_runtime *runtime);
const char *pal_runtime_path(const struct pal_runtime *runtime);

/* Events and log lines go to args->event and args->log (both needed) with args->context, one at a
 * time. */
int pal_runtime_init(struct pal_runtime *runtime, const struct pal_init_args_v4 *args,
                     struct error *err);
/* The stdio descriptors may be closed after the call, with every version. err names program and
 * reason. */
int pal_runtime_create_process(struct pal_runtime *runtime, const struct pal_process_args_v4 *args,
                               int *pid, struct error *err);
/* For the log callback, with a line of level 1 or less: true when it belongs to a process that the
 * calling thread is creating, and is said with that failure. */
bool pal_runtime_keep_reason(const char *message);
int pal_runtime_start(struct pal_runtime *runtime, int pid, struct error *err);

/* The rest returns 0 or a negative errno; -ENOTSUP when the library's version has no such call. */
int pal_runtime_kill(struct pal_runtime *runtime, int pid, int sig);
/* A signal from the terminal of pid's session. */
int pal_runtime_kill_foreground(struct pal_runtime *runtime, int pid, int sig);
int pal_runtime_resize(struct pal_runtime *runtime, int pid, uint16_t rows, uint16_t columns);
int pal_runtime_info(struct pal_runtime *runtime, struct pal_info_v4 *info);
int pal_runtime_stats(struct pal_runtime *runtime, struct pal_stats_v4 *stats);
int pal_runtime_set_limits(struct pal_runtime *runtime, const struct pal_limits_v4 *limits);
int pal_runtime_report(struct pal_runtime *runtime, void *target_info, int target_info_size,
                       void *report, int *report_size);
int pal_runtime_quote(struct pal_runtime *runtime, const uint8_t report_data[64], uint8_t *quote,
                      size_t *quote_size);
/* pal_destroy; the library stays mapped, threads of it may still be returning. */
int pal_runtime_destroy(struct pal_runtime *runtime);
