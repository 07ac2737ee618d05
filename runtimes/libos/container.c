/* SPDX-License-Identifier: Apache-2.0 */
/* What the LibOS is told of the container around it (struct boundary_limits, boundary_boot). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime.h"

/*
 * What the LibOS may commit of the container's memory: the rest is for this side (threads, areas,
 * the page cache of the image), so that the LibOS says what ran out before the host's OOM killer
 * says nothing.
 */
static uint64_t enclave_share(uint64_t limit)
{
    const uint64_t own = (20ull << 20) + limit / 32;
    return limit > 2 * own ? limit - own : limit / 2;
}

/*
 * A container without a limit has the machine's memory: what programs read of /proc/meminfo (Java's
 * heap is a quarter of it) must not be the size of ELRANGE.
 */
static uint64_t memory_limit(uint64_t limit)
{
    struct sysinfo machine;
    if (limit == 0 && sysinfo(&machine) == 0)
        limit = ((uint64_t)machine.totalram + machine.totalswap) * machine.mem_unit;
    return enclave_share(limit);
}

void container_limits(const struct pal_limits_v4 *limits, struct boundary_limits *out)
{
    cpu_set_t set;
    _Static_assert(sizeof(set) == sizeof(out->cpus), "1024 processors");
    *out = (struct boundary_limits){.memory = memory_limit(limits->memory_limit),
                                    .threads = limits->thread_limit,
                                    .cpu_quota = limits->cpu_quota,
                                    .cpu_period = limits->cpu_period};
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        memcpy(out->cpus, &set, sizeof(set));
}

/* Empty when it cannot be read, or is longer than the LibOS takes: it then shows the usual one. */
static void read_text(const char *path, struct buffer *out)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read_all(fd, out, BOUNDARY_ID_MAP_MAX) < 0)
        buffer_clear(out);
}

void container_facts(struct container_facts *out)
{
    cleanup_buffer struct buffer score = BUFFER_INIT;
    memset(out, 0, sizeof(*out));
    read_text("/proc/self/uid_map", &out->uid_map);
    read_text("/proc/self/gid_map", &out->gid_map);
    read_text("/proc/self/oom_score_adj", &score);
    out->oom_score_adj = (int32_t)strtol(buffer_text(&score), NULL, 10);
}

void container_facts_release(struct container_facts *facts)
{
    buffer_release(&facts->uid_map);
    buffer_release(&facts->gid_map);
}
