/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host says of the container around us: its processors and their quota, the maps of its
 * user namespace, the OOM score of process 1. Programs size their pools by it and show it; nothing
 * in here relies on it.
 */
#include "proc.h"
#include "boundary.h"

#define CPU_WORDS      16u
#define PERIOD_DEFAULT 100000u
#define SCORE_MOST     1000

static struct {
    struct mutex lock;
    u64 cpus[CPU_WORDS]; /* as they were told: all zero is every one */
    u64 quota, period, threads;
    char *maps[2]; /* uid, gid; NULL: the initial namespace's */
    i32 oom_score_adj;
} g_container = {.period = PERIOD_DEFAULT};

void container_set_limits(const struct boundary_limits *limits)
{
    mutex_lock(&g_container.lock);
    memcpy(g_container.cpus, limits->cpus, sizeof(g_container.cpus));
    g_container.threads = limits->threads;
    g_container.quota = limits->cpu_quota;
    g_container.period = limits->cpu_period ? limits->cpu_period : PERIOD_DEFAULT;
    mutex_unlock(&g_container.lock);
}

void container_cpus(u64 mask[CPU_WORDS])
{
    u64 any = 0, every[CPU_WORDS] = {0};

    for (u32 i = 0; i < cpu_count(); i++)
        every[i / 64] |= 1ull << (i % 64);
    mutex_lock(&g_container.lock);
    for (u32 i = 0; i < CPU_WORDS; i++)
        any |= mask[i] = every[i] & g_container.cpus[i];
    mutex_unlock(&g_container.lock);
    if (!any)
        memcpy(mask, every, sizeof(every));
}

void container_cpu_quota(u64 *quota, u64 *period)
{
    mutex_lock(&g_container.lock);
    *quota = g_container.quota;
    *period = g_container.period;
    mutex_unlock(&g_container.lock);
}

u64 container_thread_limit(void)
{
    return __atomic_load_n(&g_container.threads, __ATOMIC_RELAXED);
}

static bool map_is_plain(const char *s)
{
    for (; *s; s++)
        if ((*s < '0' || *s > '9') && *s != ' ' && *s != '\n')
            return false;
    return true;
}

int container_set_id_maps(const char *uid, const char *gid)
{
    const char *const texts[] = {uid, gid};

    for (u32 i = 0; i < 2; i++) {
        if (!texts[i])
            continue;
        if (!map_is_plain(texts[i]))
            return -EINVAL;
        g_container.maps[i] = kstrndup(texts[i], strlen(texts[i]));
        if (!g_container.maps[i])
            return -ENOMEM;
    }
    return 0;
}

const char *container_id_map(bool gid)
{
    const char *map = g_container.maps[gid ? 1 : 0];

    return map ? map : "         0          0 4294967295\n";
}

void container_set_oom_score_adj(i32 score)
{
    g_container.oom_score_adj = score < -SCORE_MOST ? -SCORE_MOST : MIN(score, SCORE_MOST);
}

i32 container_oom_score_adj(void)
{
    return g_container.oom_score_adj;
}
