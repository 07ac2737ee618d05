/* SPDX-License-Identifier: Apache-2.0 */
#include "container/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "container/oom.h"
#include "container/private.h"

enum { STAT_FILE_MAX = 1 << 20 };

static bool read_text(const char *dir, const char *file, struct buffer *out)
{
    if (!dir)
        return false;
    cleanup_free char *path = path_join(dir, file);
    return read_file_at(AT_FDCWD, path, out, STAT_FILE_MAX, NULL) == 0;
}

/* A file with one number; "max" is the largest. */
static json_int_t read_number(const char *dir, const char *file)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (!read_text(dir, file, &text))
        return 0;
    if (strncmp(buffer_text(&text), "max", 3) == 0)
        return 0;
    if (buffer_text(&text)[0] == '-')
        return strtoll(buffer_text(&text), NULL, 10);
    unsigned long long value = strtoull(buffer_text(&text), NULL, 10);
    return value > INT64_MAX ? INT64_MAX : (json_int_t)value;
}

/* "key value" lines as an object. */
static json_t *read_table(const char *dir, const char *file)
{
    json_t *out = json_object();
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (!read_text(dir, file, &text))
        return out;
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *value = strchr(line, ' ');
        if (!value)
            continue;
        *value++ = '\0';
        unsigned long long number = strtoull(value, NULL, 10);
        json_object_set_new(out, line,
                            json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number));
    }
    return out;
}

static json_int_t table_number(const json_t *table, const char *key)
{
    return json_integer_value(json_object_get(table, key));
}

static json_t *number_list(const char *dir, const char *file)
{
    json_t *out = json_array();
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (read_text(dir, file, &text)) {
        char *end;
        for (char *p = text.data;; p = end) {
            unsigned long long value = strtoull(p, &end, 10);
            if (end == p)
                break;
            json_array_append_new(out, json_integer((json_int_t)value));
        }
    }
    return out;
}

/* Column `column` of cpuacct.usage_all: "cpu user system", a line each processor. */
static json_t *processor_column(const char *dir, int column)
{
    json_t *out = json_array();
    cleanup_buffer struct buffer text = BUFFER_INIT;
    char *rest = read_text(dir, "cpuacct.usage_all", &text) ? text.data : NULL;
    for (char *line; (line = strsep(&rest, "\n"));) {
        unsigned long long values[3];
        if (sscanf(line, "%llu %llu %llu", &values[0], &values[1], &values[2]) == 3)
            json_array_append_new(out, json_integer((json_int_t)values[column]));
    }
    return out;
}

/* "0-3,8" as its numbers. */
static json_t *number_ranges(const char *dir, const char *file)
{
    enum { NUMBERS_MAX = 8192 };
    json_t *out = json_array();
    cleanup_buffer struct buffer text = BUFFER_INIT;
    char *rest = read_text(dir, file, &text) ? text.data : NULL;
    for (char *range; (range = strsep(&rest, ",\n"));) {
        unsigned first = 0, last = 0;
        int fields = sscanf(range, "%u-%u", &first, &last);
        if (fields < 2)
            last = first;
        for (unsigned n = first; fields > 0 && n <= last && json_array_size(out) < NUMBERS_MAX; n++)
            json_array_append_new(out, json_integer(n));
    }
    return out;
}

static json_t *cpuset_v1(const struct cgroup *cgroup)
{
    /* The names of runc's events and the files they come from. */
    static const char *const files[][2] = {
        {"cpu_exclusive", "cpuset.cpu_exclusive"},
        {"mem_hardwall", "cpuset.mem_hardwall"},
        {"mem_exclusive", "cpuset.mem_exclusive"},
        {"memory_migrate", "cpuset.memory_migrate"},
        {"memory_spread_page", "cpuset.memory_spread_page"},
        {"memory_spread_slab", "cpuset.memory_spread_slab"},
        {"memory_pressure", "cpuset.memory_pressure"},
        {"sched_load_balance", "cpuset.sched_load_balance"},
        {"sched_relax_domain_level", "cpuset.sched_relax_domain_level"},
    };
    const char *dir = cgroup_path(cgroup, "cpuset");
    json_t *out = json_pack("{s:o,s:o}", "cpus", number_ranges(dir, "cpuset.cpus"), "mems",
                            number_ranges(dir, "cpuset.mems"));
    for (size_t i = 0; i < array_count(files); i++)
        json_object_set_new(out, files[i][0], json_integer(read_number(dir, files[i][1])));
    return out;
}

static json_t *memory_entry(json_int_t limit, json_int_t usage, json_int_t max, json_int_t failures)
{
    return json_pack("{s:I,s:I,s:I,s:I}", "limit", limit, "usage", usage, "max", max, "failcnt",
                     failures);
}

static json_t *memory_entry_v1(const char *dir, const char *prefix)
{
    static const char *const names[] = {"limit_in_bytes", "usage_in_bytes", "max_usage_in_bytes",
                                        "failcnt"};
    json_int_t values[4];
    for (size_t i = 0; i < array_count(names); i++) {
        cleanup_free char *file = xasprintf("%s.%s", prefix, names[i]);
        values[i] = read_number(dir, file);
    }
    return memory_entry(values[0], values[1], values[2], values[3]);
}

static json_t *cpu_v1(const struct cgroup *cgroup)
{
    const char *acct = cgroup_path(cgroup, "cpuacct"), *cpu = cgroup_path(cgroup, "cpu");
    cleanup_json json_t *stat = read_table(acct, "cpuacct.stat");
    cleanup_json json_t *throttle = read_table(cpu, "cpu.stat");
    enum { NANOSECONDS_A_TICK = 10000000 };
    return json_pack("{s:{s:I,s:o,s:o,s:o,s:I,s:I},s:{s:I,s:I,s:I}}", "usage", "total",
                     read_number(acct, "cpuacct.usage"), "percpu",
                     number_list(acct, "cpuacct.usage_percpu"), "percpu_kernel",
                     processor_column(acct, 2), "percpu_user", processor_column(acct, 1), "kernel",
                     table_number(stat, "system") * NANOSECONDS_A_TICK, "user",
                     table_number(stat, "user") * NANOSECONDS_A_TICK, "throttling", "periods",
                     table_number(throttle, "nr_periods"), "throttledPeriods",
                     table_number(throttle, "nr_throttled"), "throttledTime",
                     table_number(throttle, "throttled_time"));
}

static json_t *memory_v1(const struct cgroup *cgroup)
{
    const char *dir = cgroup_path(cgroup, "memory");
    json_t *raw = read_table(dir, "memory.stat");
    return json_pack("{s:I,s:o,s:o,s:o,s:o,s:o}", "cache", table_number(raw, "cache"), "usage",
                     memory_entry_v1(dir, "memory"), "swap", memory_entry_v1(dir, "memory.memsw"),
                     "kernel", memory_entry_v1(dir, "memory.kmem"), "kernelTCP",
                     memory_entry_v1(dir, "memory.kmem.tcp"), "raw", raw);
}

/* "8:0 Read 123" lines; `total` lines are left out. */
static json_t *block_table(const char *dir, const char *file)
{
    json_t *out = json_array();
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (!read_text(dir, file, &text))
        return out;
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        unsigned major, minor;
        char operation[16];
        unsigned long long value;
        if (sscanf(line, "%u:%u %15s %llu", &major, &minor, operation, &value) == 4)
            json_array_append_new(out, json_pack("{s:i,s:i,s:s,s:I}", "major", (int)major, "minor",
                                                 (int)minor, "op", operation, "value",
                                                 (json_int_t)value));
    }
    return out;
}

static json_t *block_v1(const struct cgroup *cgroup)
{
    const char *dir = cgroup_path(cgroup, "blkio");
    return json_pack("{s:o,s:o}", "ioServiceBytesRecursive",
                     block_table(dir, "blkio.throttle.io_service_bytes_recursive"),
                     "ioServicedRecursive",
                     block_table(dir, "blkio.throttle.io_serviced_recursive"));
}

static json_t *cpu_v2(const char *dir)
{
    cleanup_json json_t *stat = read_table(dir, "cpu.stat");
    return json_pack(
        "{s:{s:I,s:I,s:I},s:{s:I,s:I,s:I}}", "usage", "total",
        table_number(stat, "usage_usec") * 1000, "kernel", table_number(stat, "system_usec") * 1000,
        "user", table_number(stat, "user_usec") * 1000, "throttling", "periods",
        table_number(stat, "nr_periods"), "throttledPeriods", table_number(stat, "nr_throttled"),
        "throttledTime", table_number(stat, "throttled_usec") * 1000);
}

static json_t *memory_v2(const char *dir)
{
    json_t *raw = read_table(dir, "memory.stat");
    cleanup_json json_t *events = read_table(dir, "memory.events");
    json_int_t usage = read_number(dir, "memory.current"), limit = read_number(dir, "memory.max");
    json_int_t swap = read_number(dir, "memory.swap.current"),
               swap_limit = read_number(dir, "memory.swap.max");
    return json_pack(
        "{s:I,s:o,s:o,s:o,s:o,s:o}", "cache", table_number(raw, "file"), "usage",
        memory_entry(limit, usage, read_number(dir, "memory.peak"), table_number(events, "max")),
        "swap", memory_entry(swap_limit ? limit + swap_limit : 0, usage + swap, 0, 0), "kernel",
        memory_entry(0, table_number(raw, "kernel"), 0, 0), "kernelTCP",
        memory_entry(0, table_number(raw, "sock"), 0, 0), "raw", raw);
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4" */
static json_t *block_v2(const char *dir)
{
    static const struct {
        const char *key, *operation;
        bool bytes;
    } fields[] = {{"rbytes=", "Read", true},
                  {"wbytes=", "Write", true},
                  {"rios=", "Read", false},
                  {"wios=", "Write", false}};
    json_t *bytes = json_array(), *operations = json_array();
    cleanup_buffer struct buffer text = BUFFER_INIT;
    char *rest = read_text(dir, "io.stat", &text) ? text.data : NULL;
    for (char *line; (line = strsep(&rest, "\n"));) {
        unsigned major, minor;
        if (sscanf(line, "%u:%u", &major, &minor) != 2)
            continue;
        for (size_t i = 0; i < array_count(fields); i++) {
            const char *at = strstr(line, fields[i].key);
            if (!at)
                continue;
            json_int_t value = strtoll(at + strlen(fields[i].key), NULL, 10);
            json_array_append_new(fields[i].bytes ? bytes : operations,
                                  json_pack("{s:i,s:i,s:s,s:I}", "major", (int)major, "minor",
                                            (int)minor, "op", fields[i].operation, "value", value));
        }
    }
    return json_pack("{s:o,s:o}", "ioServiceBytesRecursive", bytes, "ioServicedRecursive",
                     operations);
}

json_t *container_stats(const struct container *container)
{
    struct cgroup cgroup;
    cgroup_from_state(container->state, &cgroup);
    json_t *out = json_object();
    if (json_object_size(cgroup.paths) > 0) {
        const char *unified = cgroup.v2 ? cgroup_path(&cgroup, "") : NULL;
        json_object_set_new(out, "cpu", unified ? cpu_v2(unified) : cpu_v1(&cgroup));
        json_object_set_new(out, "memory", unified ? memory_v2(unified) : memory_v1(&cgroup));
        if (!unified)
            json_object_set_new(out, "cpuset", cpuset_v1(&cgroup));
        const char *pids = cgroup_path(&cgroup, "pids");
        json_object_set_new(out, "pids",
                            json_pack("{s:I,s:I}", "current", read_number(pids, "pids.current"),
                                      "limit", read_number(pids, "pids.max")));
        json_object_set_new(out, "blkio", unified ? block_v2(unified) : block_v1(&cgroup));
        json_object_set_new(out, "hugetlb", json_object());
        json_object_set_new(out, "intel_rdt", json_object());
        json_object_set_new(out, "network_interfaces", json_null());
    }
    cgroup_release(&cgroup);
    return out;
}

bool cgroup_oom_killed(const struct cgroup *cgroup)
{
    cleanup_json json_t *table = read_table(cgroup_path(cgroup, "memory"),
                                            cgroup->v2 ? "memory.events" : "memory.oom_control");
    return table_number(table, "oom_kill") > 0;
}

int container_oom_open(const struct container *container, struct error *err)
{
    struct cgroup cgroup;
    cgroup_from_state(container->state, &cgroup);
    const char *dir = cgroup_path(&cgroup, "memory");
    int fd = dir ? memory_oom_open(dir, cgroup.v2, err)
                 : error_set(err, "the container has no memory cgroup");
    cgroup_release(&cgroup);
    return fd;
}

int container_oom_read(const struct container *container, int fd, uint64_t *seen)
{
    struct cgroup cgroup;
    cgroup_from_state(container->state, &cgroup);
    const char *dir = cgroup_path(&cgroup, "memory");
    int ret = dir ? memory_oom_read(dir, cgroup.v2, fd, seen) : -1;
    cgroup_release(&cgroup);
    return ret;
}
