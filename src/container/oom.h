/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices that a cgroup ran out of memory. `dir` is its directory: of the memory controller, or the
 * unified one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/*
 * A descriptor that becomes readable when the cgroup ran out of memory (v1: an eventfd of
 * memory.oom_control, also when the cgroup goes; v2: inotify on memory.events). Negative with err.
 */
int memory_oom_open(const char *dir, bool unified, struct error *err);
/*
 * Consume what made it readable: 1 a process was killed for memory, 0 something else, -1 the cgroup
 * is gone. *seen starts as 0.
 */
int memory_oom_read(const char *dir, bool unified, int fd, uint64_t *seen);
