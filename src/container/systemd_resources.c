/* SPDX-License-Identifier: Apache-2.0 */
/* linux.resources as properties of a systemd unit (systemd.resource-control(5)). Runs in rune. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "container/private.h"
#include "container/systemd_unit.h"

/* The kernel's default, in microseconds. */
static const uint64_t default_period = 100000;

uint64_t systemd_cpu_quota(int64_t quota, uint64_t period)
{
    enum { PERCENT = 10000 };
    if (quota <= 0)
        return UINT64_MAX;
    uint64_t usec = (uint64_t)quota * 1000000 / (period ? period : default_period);
    return (usec + PERCENT - 1) / PERCENT * PERCENT;
}

static void add_cpu_quota(struct systemd_bus *bus, struct systemd_call *call, int64_t quota,
                          uint64_t period)
{
    enum { VERSION_WITH_PERIOD = 242 };
    if (period && systemd_version(bus) >= VERSION_WITH_PERIOD)
        systemd_property(call, "CPUQuotaPeriodUSec", "t", period);
    if (quota || period)
        systemd_property(call, "CPUQuotaPerSecUSec", "t", systemd_cpu_quota(quota, period));
}

static int add_mask(struct systemd_bus *bus, struct systemd_call *call, const char *property,
                    const char *list, struct error *err)
{
    enum { VERSION_WITH_CPUSET = 244 };
    cleanup_free unsigned char *mask = NULL;
    size_t size = 0;
    if (!list)
        return 0;
    if (systemd_cpu_mask(list, &mask, &size, err) < 0)
        return error_wrap(err, "%s", property);
    if (systemd_version(bus) >= VERSION_WITH_CPUSET)
        systemd_property_bytes(call, property, mask, size);
    return 0;
}

static void add_limit(struct systemd_call *call, const char *property, struct oci_int64 limit)
{
    /* -1 is systemd's infinity; 0 says nothing. */
    if (limit.set && limit.value != 0)
        systemd_property(call, property, "t", (uint64_t)limit.value);
}

/* What v1 and v2 call by the same names. */
static int add_common(struct systemd_bus *bus, struct systemd_call *call,
                      const struct oci_resources *r, struct error *err)
{
    add_cpu_quota(bus, call, r->cpu.quota.set ? r->cpu.quota.value : 0,
                  r->cpu.period.set ? r->cpu.period.value : 0);
    if (r->pids_limit.set && (r->pids_limit.value > 0 || r->pids_limit.value == -1))
        systemd_property(call, "TasksMax", "t", (uint64_t)r->pids_limit.value);
    if (add_mask(bus, call, "AllowedCPUs", r->cpu.cpus, err) < 0)
        return -1;
    return add_mask(bus, call, "AllowedMemoryNodes", r->cpu.mems, err);
}

int systemd_resources_v1(struct systemd_bus *bus, struct systemd_call *call,
                         const struct oci_resources *r, struct error *err)
{
    add_limit(call, "MemoryLimit", r->memory.limit);
    if (r->cpu.shares.set && r->cpu.shares.value)
        systemd_property(call, "CPUShares", "t", r->cpu.shares.value);
    if (r->block_io.weight.set && r->block_io.weight.value)
        systemd_property(call, "BlockIOWeight", "t", (uint64_t)r->block_io.weight.value);
    return add_common(bus, call, r, err);
}

/* ---- resources.unified ---- */

static int parse_number(const char *key, const char *text, uint64_t *out, struct error *err)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (errno || end == text || !isdigit((unsigned char)*text) || end[strspn(end, " \t\n")])
        return error_set(err, "unified resource \"%s\": \"%s\" is not a number", key, text);
    return 0;
}

static int add_unified_number(struct systemd_call *call, const char *key, const char *property,
                              const char *text, struct error *err)
{
    uint64_t value = UINT64_MAX;
    if (strncmp(text, "max", 3) != 0 && parse_number(key, text, &value, err) < 0)
        return -1;
    systemd_property(call, property, "t", value);
    return 0;
}

/* "QUOTA [PERIOD]" */
static int add_unified_quota(struct systemd_bus *bus, struct systemd_call *call, const char *text,
                             struct error *err)
{
    uint64_t quota = 0, period = default_period;
    cleanup_free char *first = xstrndup(text, strcspn(text, " \t"));
    const char *second = text + strlen(first) + strspn(text + strlen(first), " \t\n");
    if (strcmp(first, "max") != 0 && parse_number("cpu.max", first, &quota, err) < 0)
        return -1;
    if (*second && parse_number("cpu.max", second, &period, err) < 0)
        return -1;
    add_cpu_quota(bus, call, (int64_t)quota, period);
    return 0;
}

static int add_unified(struct systemd_bus *bus, struct systemd_call *call, const char *key,
                       const char *value, struct error *err)
{
    static const struct {
        const char *key, *property;
    } numbers[] = {
        {"cpu.weight", "CPUWeight"}, {"memory.high", "MemoryHigh"},
        {"memory.low", "MemoryLow"}, {"memory.max", "MemoryMax"},
        {"memory.min", "MemoryMin"}, {"memory.swap.max", "MemorySwapMax"},
        {"pids.max", "TasksMax"},
    };
    value += strspn(value, " \t\n");
    for (size_t i = 0; i < array_count(numbers); i++)
        if (strcmp(key, numbers[i].key) == 0)
            return add_unified_number(call, key, numbers[i].property, value, err);
    if (strcmp(key, "cpu.max") == 0)
        return add_unified_quota(bus, call, value, err);
    if (strcmp(key, "cpuset.cpus") == 0)
        return add_mask(bus, call, "AllowedCPUs", value, err);
    if (strcmp(key, "cpuset.mems") == 0)
        return add_mask(bus, call, "AllowedMemoryNodes", value, err);
    log_debug("unified resource %s has no property in systemd: it is only written to its file",
              key);
    return 0;
}

int systemd_resources_v2(struct systemd_bus *bus, struct systemd_call *call,
                         const struct oci_resources *r, struct error *err)
{
    enum { VERSION_WITH_IDLE = 252 };
    struct oci_int64 swap;
    if (cgroup_v2_swap(r, &swap, err) < 0)
        return -1;
    add_limit(call, "MemoryMax", r->memory.limit);
    add_limit(call, "MemoryLow", r->memory.reservation);
    if (swap.set)
        systemd_property(call, "MemorySwapMax", "t", (uint64_t)swap.value);
    if (r->cpu.idle.set && r->cpu.idle.value == 1) {
        if (systemd_version(bus) >= VERSION_WITH_IDLE)
            systemd_property(call, "CPUWeight", "t", (uint64_t)0);
    } else if (r->cpu.shares.set && r->cpu.shares.value) {
        systemd_property(call, "CPUWeight", "t", cgroup_v2_cpu_weight(r->cpu.shares.value));
    }
    if (r->block_io.weight.set && r->block_io.weight.value)
        systemd_property(call, "IOWeight", "t", cgroup_v2_io_weight(r->block_io.weight.value));
    if (add_common(bus, call, r, err) < 0)
        return -1;
    for (size_t i = 0; i < r->unified.count; i++)
        if (add_unified(bus, call, r->unified.items[i].key, r->unified.items[i].value, err) < 0)
            return -1;
    return 0;
}
