/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics and out-of-memory notices of a container's cgroups, for `rune events`. */
#pragma once

#include "base/json.h"
#include "container/container.h"

/* The data object of a stats event, in the shape that runc gives it. */
json_t *container_stats(const struct container *container);
/*
 * A descriptor that becomes readable when the container ran out of memory (v1: an eventfd of
 * memory.oom_control, also when the cgroup goes; v2: inotify on memory.events). Negative with err.
 */
int container_oom_open(const struct container *container, struct error *err);
/* Consume what made it readable: 1 a process was killed for memory, 0 something else, -1 the cgroup
 * is gone. */
int container_oom_read(const struct container *container, int fd, uint64_t *seen);
