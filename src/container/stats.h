/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics and out-of-memory notices of a container's cgroups, for `rune events`. */
#pragma once

#include "base/json.h"
#include "container/container.h"

/* The data object of a stats event, in the shape that runc gives it. */
json_t *container_stats(const struct container *container);
/* memory_oom_open() and memory_oom_read() (oom.h) for the container's cgroup. */
int container_oom_open(const struct container *container, struct error *err);
int container_oom_read(const struct container *container, int fd, uint64_t *seen);
