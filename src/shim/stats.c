/* SPDX-License-Identifier: Apache-2.0 */
/* containerd's metrics of a task, from the files of its cgroups. */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "shim/cgroup1.pb-c.h"
#include "shim/cgroup2.pb-c.h"
#include "shim/shim.h"

enum { FILE_MAX = 1 << 20 };

static bool read_text(const char *dir, const char *file, struct buffer *out)
{
    if (!dir)
        return false;
    cleanup_free char *path = path_join(dir, file);
    return read_file_at(AT_FDCWD, path, out, FILE_MAX, NULL) == 0;
}

/* A file with one number; "max" is the largest. */
static uint64_t number(const char *dir, const char *file)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (!read_text(dir, file, &text))
        return 0;
    return strncmp(buffer_text(&text), "max", 3) == 0 ? UINT64_MAX
                                                      : strtoull(buffer_text(&text), NULL, 10);
}

/* Lines "key value": where the value goes in a message. */
struct field {
    const char *key;
    size_t offset;
    uint64_t unit; /* 0 is as good as 1 */
};

static void fill(void *message, const char *dir, const char *file, const struct field *fields,
                 size_t count)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    char *rest = read_text(dir, file, &text) ? text.data : NULL;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *value = strchr(line, ' ');
        if (!value)
            continue;
        *value++ = '\0';
        for (size_t i = 0; i < count; i++)
            if (strcmp(fields[i].key, line) == 0)
                *(uint64_t *)((char *)message + fields[i].offset) = strtoull(value, NULL, 10) *
                                                                    (fields[i].unit ? fields[i].unit
                                                                                    : 1);
    }
}

/* One more element of a repeated field. */
#define APPEND(list, count, item)                                     \
    do {                                                              \
        (list) = xreallocarray((list), (count) + 1, sizeof(*(list))); \
        (list)[(count)++] = (item);                                   \
    } while (0)

#define NEW(type, init)                     \
    ({                                      \
        type *new_ = xmalloc(sizeof(type)); \
        init(new_);                         \
        new_;                               \
    })

/* --- version 1 ------------------------------------------------------------------------------- */

#define FIELD1(key, member)                           \
    {                                                 \
        key, offsetof(Cgroup1__MemoryStat, member), 0 \
    }
static const struct field memory1[] = {
    FIELD1("cache", cache),
    FIELD1("rss", rss),
    FIELD1("rss_huge", rss_huge),
    FIELD1("mapped_file", mapped_file),
    FIELD1("dirty", dirty),
    FIELD1("writeback", writeback),
    FIELD1("pgpgin", pg_pg_in),
    FIELD1("pgpgout", pg_pg_out),
    FIELD1("pgfault", pg_fault),
    FIELD1("pgmajfault", pg_maj_fault),
    FIELD1("inactive_anon", inactive_anon),
    FIELD1("active_anon", active_anon),
    FIELD1("inactive_file", inactive_file),
    FIELD1("active_file", active_file),
    FIELD1("unevictable", unevictable),
    FIELD1("hierarchical_memory_limit", hierarchical_memory_limit),
    FIELD1("hierarchical_memsw_limit", hierarchical_swap_limit),
    FIELD1("total_cache", total_cache),
    FIELD1("total_rss", total_rss),
    FIELD1("total_rss_huge", total_rss_huge),
    FIELD1("total_mapped_file", total_mapped_file),
    FIELD1("total_dirty", total_dirty),
    FIELD1("total_writeback", total_writeback),
    FIELD1("total_pgpgin", total_pg_pg_in),
    FIELD1("total_pgpgout", total_pg_pg_out),
    FIELD1("total_pgfault", total_pg_fault),
    FIELD1("total_pgmajfault", total_pg_maj_fault),
    FIELD1("total_inactive_anon", total_inactive_anon),
    FIELD1("total_active_anon", total_active_anon),
    FIELD1("total_inactive_file", total_inactive_file),
    FIELD1("total_active_file", total_active_file),
    FIELD1("total_unevictable", total_unevictable),
};

static Cgroup1__MemoryEntry *memory_entry(const char *dir, const char *prefix)
{
    static const struct {
        const char *file;
        size_t offset;
    } files[] = {{"usage_in_bytes", offsetof(Cgroup1__MemoryEntry, usage)},
                 {"max_usage_in_bytes", offsetof(Cgroup1__MemoryEntry, max)},
                 {"failcnt", offsetof(Cgroup1__MemoryEntry, failcnt)},
                 {"limit_in_bytes", offsetof(Cgroup1__MemoryEntry, limit)}};
    Cgroup1__MemoryEntry *entry = NEW(Cgroup1__MemoryEntry, cgroup1__memory_entry__init);
    for (size_t i = 0; i < array_count(files); i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s.%s", prefix, files[i].file);
        *(uint64_t *)((char *)entry + files[i].offset) = number(dir, name);
    }
    return entry;
}

static void memory_v1(const char *dir, Cgroup1__Metrics *out)
{
    static const struct field oom[] = {
        {"oom_kill_disable", offsetof(Cgroup1__MemoryOomControl, oom_kill_disable), 0},
        {"under_oom", offsetof(Cgroup1__MemoryOomControl, under_oom), 0},
        {"oom_kill", offsetof(Cgroup1__MemoryOomControl, oom_kill), 0}};
    out->memory = NEW(Cgroup1__MemoryStat, cgroup1__memory_stat__init);
    fill(out->memory, dir, "memory.stat", memory1, array_count(memory1));
    out->memory->usage = memory_entry(dir, "memory");
    out->memory->swap = memory_entry(dir, "memory.memsw");
    out->memory->kernel = memory_entry(dir, "memory.kmem");
    out->memory->kernel_tcp = memory_entry(dir, "memory.kmem.tcp");
    out->memory_oom_control = NEW(Cgroup1__MemoryOomControl, cgroup1__memory_oom_control__init);
    fill(out->memory_oom_control, dir, "memory.oom_control", oom, array_count(oom));
}

static void cpu_v1(const struct cgroups *cgroups, Cgroup1__Metrics *out)
{
    static const struct field throttling[] = {
        {"nr_periods", offsetof(Cgroup1__Throttle, periods), 0},
        {"nr_throttled", offsetof(Cgroup1__Throttle, throttled_periods), 0},
        {"throttled_time", offsetof(Cgroup1__Throttle, throttled_time), 0}};
    const char *account = cgroups_path(cgroups, "cpuacct");
    uint64_t tick = 1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK);
    const struct field usage[] = {{"user", offsetof(Cgroup1__CPUUsage, user), tick},
                                  {"system", offsetof(Cgroup1__CPUUsage, kernel), tick}};
    out->cpu = NEW(Cgroup1__CPUStat, cgroup1__cpustat__init);
    out->cpu->throttling = NEW(Cgroup1__Throttle, cgroup1__throttle__init);
    fill(out->cpu->throttling, cgroups_path(cgroups, "cpu"), "cpu.stat", throttling,
         array_count(throttling));
    Cgroup1__CPUUsage *cpu = out->cpu->usage = NEW(Cgroup1__CPUUsage, cgroup1__cpuusage__init);
    cpu->total = number(account, "cpuacct.usage");
    fill(cpu, account, "cpuacct.stat", usage, array_count(usage));
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (!read_text(account, "cpuacct.usage_percpu", &text))
        return;
    char *end;
    for (char *at = text.data;; at = end) {
        uint64_t value = strtoull(at, &end, 10);
        if (end == at)
            break;
        APPEND(cpu->per_cpu, cpu->n_per_cpu, value);
    }
}

/* Lines "8:0 Read 4096"; the sum at the end is none. */
static void block_file(const char *dir, const char *file, Cgroup1__BlkIOEntry ***list,
                       size_t *count)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    char *rest = read_text(dir, file, &text) ? text.data : NULL;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char operation[32] = "";
        unsigned long long major, minor, value;
        if (sscanf(line, "%llu:%llu %31s %llu", &major, &minor, operation, &value) != 4)
            continue;
        Cgroup1__BlkIOEntry *entry = NEW(Cgroup1__BlkIOEntry, cgroup1__blk_ioentry__init);
        entry->op = xstrdup(operation);
        entry->major = major;
        entry->minor = minor;
        entry->value = value;
        APPEND(*list, *count, entry);
    }
}

static void block_v1(const char *dir, Cgroup1__Metrics *out)
{
    Cgroup1__BlkIOStat *io = out->blkio = NEW(Cgroup1__BlkIOStat, cgroup1__blk_iostat__init);
    /* With the CFQ scheduler's successor only the throttling files have numbers. */
    block_file(dir, "blkio.throttle.io_service_bytes_recursive", &io->io_service_bytes_recursive,
               &io->n_io_service_bytes_recursive);
    block_file(dir, "blkio.throttle.io_serviced_recursive", &io->io_serviced_recursive,
               &io->n_io_serviced_recursive);
}

/* Sizes of huge pages as cgroups name them ("2MB"). */
static size_t huge_page_sizes(char names[][16], size_t limit)
{
    size_t count = 0;
    cleanup_dir DIR *dir = opendir("/sys/kernel/mm/hugepages");
    for (struct dirent *entry; dir && count < limit && (entry = readdir(dir));) {
        unsigned long long kib;
        if (sscanf(entry->d_name, "hugepages-%llukB", &kib) != 1)
            continue;
        static const char *const units[] = {"KB", "MB", "GB"};
        size_t unit = (kib >= 1 << 10) + (kib >= 1 << 20);
        snprintf(names[count++], 16, "%u%s", (unsigned)((kib >> (10 * unit)) & 0xffff),
                 units[unit]);
    }
    return count;
}

static void huge_v1(const char *dir, Cgroup1__Metrics *out)
{
    char sizes[8][16], name[64];
    size_t count = dir ? huge_page_sizes(sizes, array_count(sizes)) : 0;
    for (size_t i = 0; i < count; i++) {
        Cgroup1__HugetlbStat *stat = NEW(Cgroup1__HugetlbStat, cgroup1__hugetlb_stat__init);
        stat->pagesize = xstrdup(sizes[i]);
        snprintf(name, sizeof(name), "hugetlb.%s.usage_in_bytes", sizes[i]);
        stat->usage = number(dir, name);
        snprintf(name, sizeof(name), "hugetlb.%s.max_usage_in_bytes", sizes[i]);
        stat->max = number(dir, name);
        snprintf(name, sizeof(name), "hugetlb.%s.failcnt", sizes[i]);
        stat->failcnt = number(dir, name);
        APPEND(out->hugetlb, out->n_hugetlb, stat);
    }
}

static void stats_v1(const struct cgroups *cgroups, Ttrpc__Any *any)
{
    Cgroup1__Metrics *out = NEW(Cgroup1__Metrics, cgroup1__metrics__init);
    const char *pids = cgroups_path(cgroups, "pids");
    huge_v1(cgroups_path(cgroups, "hugetlb"), out);
    out->pids = NEW(Cgroup1__PidsStat, cgroup1__pids_stat__init);
    out->pids->current = number(pids, "pids.current");
    out->pids->limit = number(pids, "pids.max");
    if (out->pids->limit == UINT64_MAX)
        out->pids->limit = 0;
    cpu_v1(cgroups, out);
    memory_v1(cgroups_path(cgroups, "memory"), out);
    block_v1(cgroups_path(cgroups, "blkio"), out);
    any->type_url = xstrdup("io.containerd.cgroups.v1.Metrics");
    any->value.data = ttrpc_pack(&out->base, &any->value.len);
    cgroup1__metrics__free_unpacked(out, NULL);
}

/* --- version 2 ------------------------------------------------------------------------------- */

#define FIELD2(member)                                    \
    {                                                     \
#member, offsetof(Cgroup2__MemoryStat, member), 0 \
    }
#define FIELD2_CPU(member)                             \
    {                                                  \
#member, offsetof(Cgroup2__CPUStat, member), 0 \
    }
#define FIELD2_EVENT(member)                                \
    {                                                       \
#member, offsetof(Cgroup2__MemoryEvents, member), 0 \
    }
static const struct field memory2[] = {
    FIELD2(anon),
    FIELD2(file),
    FIELD2(kernel_stack),
    FIELD2(slab),
    FIELD2(sock),
    FIELD2(shmem),
    FIELD2(file_mapped),
    FIELD2(file_dirty),
    FIELD2(file_writeback),
    FIELD2(anon_thp),
    FIELD2(inactive_anon),
    FIELD2(active_anon),
    FIELD2(inactive_file),
    FIELD2(active_file),
    FIELD2(unevictable),
    FIELD2(slab_reclaimable),
    FIELD2(slab_unreclaimable),
    FIELD2(pgfault),
    FIELD2(pgmajfault),
    FIELD2(workingset_refault),
    FIELD2(workingset_activate),
    FIELD2(workingset_nodereclaim),
    FIELD2(workingset_refault_anon),
    FIELD2(workingset_refault_file),
    FIELD2(workingset_activate_anon),
    FIELD2(workingset_activate_file),
    FIELD2(pgrefill),
    FIELD2(pgscan),
    FIELD2(pgsteal),
    FIELD2(pgactivate),
    FIELD2(pgdeactivate),
    FIELD2(pglazyfree),
    FIELD2(pglazyfreed),
    FIELD2(thp_fault_alloc),
    FIELD2(thp_collapse_alloc),
};
static const struct field cpu2[] = {FIELD2_CPU(usage_usec),   FIELD2_CPU(user_usec),
                                    FIELD2_CPU(system_usec),  FIELD2_CPU(nr_periods),
                                    FIELD2_CPU(nr_throttled), FIELD2_CPU(throttled_usec),
                                    FIELD2_CPU(nr_bursts),    FIELD2_CPU(burst_usec)};
static const struct field events2[] = {FIELD2_EVENT(low),      FIELD2_EVENT(high),
                                       FIELD2_EVENT(max),      FIELD2_EVENT(oom),
                                       FIELD2_EVENT(oom_kill), FIELD2_EVENT(oom_group_kill)};

static void memory_v2(const char *dir, Cgroup2__Metrics *out)
{
    Cgroup2__MemoryStat *memory = out->memory = NEW(Cgroup2__MemoryStat,
                                                    cgroup2__memory_stat__init);
    fill(memory, dir, "memory.stat", memory2, array_count(memory2));
    memory->usage = number(dir, "memory.current");
    memory->usage_limit = number(dir, "memory.max");
    memory->max_usage = number(dir, "memory.peak");
    memory->swap_usage = number(dir, "memory.swap.current");
    memory->swap_limit = number(dir, "memory.swap.max");
    memory->swap_max_usage = number(dir, "memory.swap.peak");
    out->memory_events = NEW(Cgroup2__MemoryEvents, cgroup2__memory_events__init);
    fill(out->memory_events, dir, "memory.events", events2, array_count(events2));
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4" */
static void io_v2(const char *dir, Cgroup2__Metrics *out)
{
    static const struct field fields[] = {{"rbytes=", offsetof(Cgroup2__IOEntry, rbytes), 0},
                                          {"wbytes=", offsetof(Cgroup2__IOEntry, wbytes), 0},
                                          {"rios=", offsetof(Cgroup2__IOEntry, rios), 0},
                                          {"wios=", offsetof(Cgroup2__IOEntry, wios), 0}};
    cleanup_buffer struct buffer text = BUFFER_INIT;
    out->io = NEW(Cgroup2__IOStat, cgroup2__iostat__init);
    char *rest = read_text(dir, "io.stat", &text) ? text.data : NULL;
    for (char *line; (line = strsep(&rest, "\n"));) {
        unsigned long long major, minor;
        if (sscanf(line, "%llu:%llu", &major, &minor) != 2)
            continue;
        Cgroup2__IOEntry *entry = NEW(Cgroup2__IOEntry, cgroup2__ioentry__init);
        entry->major = major;
        entry->minor = minor;
        for (size_t i = 0; i < array_count(fields); i++) {
            const char *at = strstr(line, fields[i].key);
            if (at)
                *(uint64_t *)((char *)entry +
                              fields[i].offset) = strtoull(at + strlen(fields[i].key), NULL, 10);
        }
        APPEND(out->io->usage, out->io->n_usage, entry);
    }
}

static void huge_v2(const char *dir, Cgroup2__Metrics *out)
{
    static const struct field events[] = {{"max", offsetof(Cgroup2__HugeTlbStat, failcnt), 0}};
    char sizes[8][16], name[64];
    size_t count = huge_page_sizes(sizes, array_count(sizes));
    for (size_t i = 0; i < count; i++) {
        cleanup_buffer struct buffer text = BUFFER_INIT;
        snprintf(name, sizeof(name), "hugetlb.%s.current", sizes[i]);
        if (!read_text(dir, name, &text))
            continue;
        Cgroup2__HugeTlbStat *stat = NEW(Cgroup2__HugeTlbStat, cgroup2__huge_tlb_stat__init);
        stat->pagesize = xstrdup(sizes[i]);
        stat->current = strtoull(buffer_text(&text), NULL, 10);
        snprintf(name, sizeof(name), "hugetlb.%s.max", sizes[i]);
        stat->max = number(dir, name);
        snprintf(name, sizeof(name), "hugetlb.%s.events", sizes[i]);
        fill(stat, dir, name, events, array_count(events));
        APPEND(out->hugetlb, out->n_hugetlb, stat);
    }
}

static void stats_v2(const char *dir, Ttrpc__Any *any)
{
    Cgroup2__Metrics *out = NEW(Cgroup2__Metrics, cgroup2__metrics__init);
    out->pids = NEW(Cgroup2__PidsStat, cgroup2__pids_stat__init);
    out->pids->current = number(dir, "pids.current");
    out->pids->limit = number(dir, "pids.max");
    out->cpu = NEW(Cgroup2__CPUStat, cgroup2__cpustat__init);
    fill(out->cpu, dir, "cpu.stat", cpu2, array_count(cpu2));
    memory_v2(dir, out);
    io_v2(dir, out);
    huge_v2(dir, out);
    any->type_url = xstrdup("io.containerd.cgroups.v2.Metrics");
    any->value.data = ttrpc_pack(&out->base, &any->value.len);
    cgroup2__metrics__free_unpacked(out, NULL);
}

void cgroups_stats(const struct cgroups *cgroups, Ttrpc__Any *any)
{
    if (cgroups_unified(cgroups))
        stats_v2(cgroups_path(cgroups, ""), any);
    else
        stats_v1(cgroups, any);
}
