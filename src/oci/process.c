/* SPDX-License-Identifier: Apache-2.0 */
/* The process object of config.json, which rune exec --process reads as well. */
#include <errno.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "oci/private.h"

#ifndef SCHED_ISO
#define SCHED_ISO 4
#endif
#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif

struct named_number {
    const char *name;
    long number;
};

static long lookup(const struct named_number *table, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].number;
    return -1;
}

/* Index is the capability's number; generated order of <linux/capability.h>. */
static const char *const capability_names[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};

int oci_capability_number(const char *name)
{
    if (strncasecmp(name, "CAP_", 4) == 0)
        name += 4;
    for (size_t i = 0; i < array_count(capability_names); i++)
        if (strcasecmp(capability_names[i], name) == 0)
            return (int)i;
    return -1;
}

const char *oci_capability_name(int number)
{
    if (number < 0 || (size_t)number >= array_count(capability_names))
        return NULL;
    return capability_names[number];
}

static const struct named_number rlimits[] = {
    {"RLIMIT_AS", RLIMIT_AS},           {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},         {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},     {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK}, {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},       {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},     {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},   {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_STACK", RLIMIT_STACK},     {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
};

int oci_rlimit_number(const char *name)
{
    return (int)lookup(rlimits, array_count(rlimits), name);
}

const char *oci_rlimit_name(int resource)
{
    for (size_t i = 0; i < array_count(rlimits); i++)
        if (rlimits[i].number == resource)
            return rlimits[i].name;
    return "an unknown limit";
}

static int fill_capability_set(const json_t *object, const char *key, uint64_t *out,
                               struct error *err)
{
    json_t *array = NULL;
    int ret = json_get_array(object, "capabilities", key, &array, err);
    if (ret <= 0)
        return ret;
    size_t i;
    json_t *item;
    json_array_foreach (array, i, item) {
        const char *name = json_string_value(item);
        if (!name)
            return error_set(err, "capabilities.%s[%zu]: expected a string", key, i);
        int number = oci_capability_number(name);
        /* A newer engine may name what this one does not know; it cannot be granted, and that is no
         * failure. */
        if (number < 0)
            log_warning("ignoring unknown capability %s", name);
        else
            *out |= 1ull << number;
    }
    return 0;
}

static int fill_capabilities(const json_t *process, struct oci_capabilities *out, struct error *err)
{
    json_t *object = NULL;
    int ret = json_get_object(process, "", "capabilities", &object, err);
    if (ret <= 0)
        return ret;
    out->present = true;
    const struct {
        const char *name;
        uint64_t *set;
    } sets[] = {
        {"bounding", &out->bounding},   {"effective", &out->effective},
        {"permitted", &out->permitted}, {"inheritable", &out->inheritable},
        {"ambient", &out->ambient},
    };
    for (size_t i = 0; i < array_count(sets); i++)
        if (fill_capability_set(object, sets[i].name, sets[i].set, err) < 0)
            return -1;
    return 0;
}

static int fill_rlimits(const json_t *process, struct oci_config *config, struct oci_process *out,
                        struct error *err)
{
    json_t *array = NULL;
    size_t count;
    int ret = oci_get_objects(process, "", "rlimits", &array, &count, err);
    if (ret <= 0)
        return ret;
    out->rlimits = oci_config_alloc(config, count, sizeof(*out->rlimits));
    out->rlimit_count = count;
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(array, i);
        const char *type = NULL;
        struct oci_rlimit *limit = &out->rlimits[i];
        if (json_get_string(item, "rlimits", "type", &type, err) < 0 ||
            json_get_uint64(item, "rlimits", "soft", &limit->soft, err) < 0 ||
            json_get_uint64(item, "rlimits", "hard", &limit->hard, err) < 0)
            return -1;
        limit->resource = type ? oci_rlimit_number(type) : -1;
        if (limit->resource < 0)
            return error_set(err, "rlimits[%zu].type: unknown limit %s", i, type ? type : "(none)");
        for (size_t j = 0; j < i; j++)
            if (out->rlimits[j].resource == limit->resource)
                return error_set(err, "rlimits: %s is given twice", type);
    }
    return 0;
}

static int fill_scheduler(const json_t *process, struct oci_scheduler *out, struct error *err)
{
    static const struct named_number policies[] = {
        {"SCHED_OTHER", SCHED_OTHER},       {"SCHED_FIFO", SCHED_FIFO}, {"SCHED_RR", SCHED_RR},
        {"SCHED_BATCH", SCHED_BATCH},       {"SCHED_ISO", SCHED_ISO},   {"SCHED_IDLE", SCHED_IDLE},
        {"SCHED_DEADLINE", SCHED_DEADLINE},
    };
    static const struct named_number flags[] = {
        {"SCHED_FLAG_RESET_ON_FORK", 0x01},  {"SCHED_FLAG_RECLAIM", 0x02},
        {"SCHED_FLAG_DL_OVERRUN", 0x04},     {"SCHED_FLAG_KEEP_POLICY", 0x08},
        {"SCHED_FLAG_KEEP_PARAMS", 0x10},    {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
        {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40},
    };
    json_t *object = NULL, *list = NULL;
    int ret = json_get_object(process, "", "scheduler", &object, err);
    if (ret <= 0)
        return ret;
    const char *policy = NULL;
    int64_t nice = 0, priority = 0;
    if (json_get_string(object, "scheduler", "policy", &policy, err) < 0 ||
        json_get_int64(object, "scheduler", "nice", &nice, err) < 0 ||
        json_get_int64(object, "scheduler", "priority", &priority, err) < 0 ||
        json_get_uint64(object, "scheduler", "runtime", &out->runtime, err) < 0 ||
        json_get_uint64(object, "scheduler", "deadline", &out->deadline, err) < 0 ||
        json_get_uint64(object, "scheduler", "period", &out->period, err) < 0 ||
        json_get_array(object, "scheduler", "flags", &list, err) < 0)
        return -1;
    out->policy = policy ? (int)lookup(policies, array_count(policies), policy) : -1;
    if (out->policy < 0)
        return error_set(err, "scheduler.policy: unknown policy %s", policy ? policy : "(none)");
    if (nice < -20 || nice > 19)
        return error_set(err, "scheduler.nice: %lld is not in -20..19", (long long)nice);
    if (priority != 0 && out->policy != SCHED_FIFO && out->policy != SCHED_RR)
        return error_set(err, "scheduler.priority: only for SCHED_FIFO and SCHED_RR");
    if ((out->runtime || out->deadline || out->period) && out->policy != SCHED_DEADLINE)
        return error_set(err, "scheduler.runtime, deadline and period: only for SCHED_DEADLINE");
    size_t i;
    json_t *item;
    json_array_foreach (list, i, item) {
        const char *name = json_string_value(item);
        long flag = name ? lookup(flags, array_count(flags), name) : -1;
        if (flag < 0)
            return error_set(err, "scheduler.flags[%zu]: unknown flag %s", i, name ? name : "");
        out->flags |= (uint64_t)flag;
    }
    out->nice = (int32_t)nice;
    out->priority = (int32_t)priority;
    out->present = true;
    return 0;
}

static int fill_io_priority(const json_t *process, struct oci_process *out, struct error *err)
{
    static const struct named_number classes[] = {
        {"IOPRIO_CLASS_RT", IOPRIO_CLASS_RT},
        {"IOPRIO_CLASS_BE", IOPRIO_CLASS_BE},
        {"IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE},
    };
    json_t *object = NULL;
    int ret = json_get_object(process, "", "ioPriority", &object, err);
    if (ret <= 0)
        return ret;
    const char *name = NULL;
    int64_t priority = 0;
    if (json_get_string(object, "ioPriority", "class", &name, err) < 0 ||
        json_get_int64(object, "ioPriority", "priority", &priority, err) < 0)
        return -1;
    long number = name ? lookup(classes, array_count(classes), name) : -1;
    if (number < 0)
        return error_set(err, "ioPriority.class: unknown class %s", name ? name : "(none)");
    if (priority < 0 || priority > 7)
        return error_set(err, "ioPriority.priority: %lld is not in 0..7", (long long)priority);
    out->io_priority_set = true;
    out->io_priority_class = (int)number;
    out->io_priority = (int)priority;
    return 0;
}

static int fill_user(const json_t *process, struct oci_config *config, struct oci_process *out,
                     struct error *err)
{
    json_t *user = NULL, *groups = NULL;
    int ret = json_get_object(process, "", "user", &user, err);
    if (ret <= 0)
        return ret;
    uint32_t umask = 0;
    int have_umask = json_get_uint32(user, "user", "umask", &umask, err);
    if (have_umask < 0 || json_get_uint32(user, "user", "uid", &out->uid, err) < 0 ||
        json_get_uint32(user, "user", "gid", &out->gid, err) < 0 ||
        json_get_array(user, "user", "additionalGids", &groups, err) < 0)
        return -1;
    out->umask_set = have_umask > 0;
    out->umask = umask & 0777;
    out->additional_gid_count = json_array_size(groups);
    out->additional_gids = oci_config_alloc(config, out->additional_gid_count, sizeof(gid_t));
    size_t i;
    json_t *item;
    json_array_foreach (groups, i, item) {
        if (!json_is_integer(item) || json_integer_value(item) < 0 ||
            json_integer_value(item) > UINT32_MAX)
            return error_set(err, "user.additionalGids[%zu]: expected a group number", i);
        out->additional_gids[i] = (gid_t)json_integer_value(item);
    }
    return 0;
}

int oci_process_fill(const json_t *json, struct oci_config *config, struct oci_process *out,
                     struct error *err)
{
    static const char *empty[] = {NULL};
    out->args.items = out->env.items = empty;
    json_t *console = NULL, *affinity = NULL;
    if (json_get_bool(json, "", "terminal", &out->terminal, err) < 0 ||
        json_get_object(json, "", "consoleSize", &console, err) < 0 ||
        oci_get_strings(config, json, "", "args", &out->args, err) < 0 ||
        oci_get_strings(config, json, "", "env", &out->env, err) < 0 ||
        json_get_string(json, "", "cwd", &out->cwd, err) < 0 ||
        json_get_bool(json, "", "noNewPrivileges", &out->no_new_privileges, err) < 0 ||
        json_get_string(json, "", "apparmorProfile", &out->apparmor_profile, err) < 0 ||
        json_get_string(json, "", "selinuxLabel", &out->selinux_label, err) < 0 ||
        oci_get_opt_int64(json, "", "oomScoreAdj", &out->oom_score_adj, err) < 0 ||
        json_get_object(json, "", "execCPUAffinity", &affinity, err) < 0 ||
        fill_user(json, config, out, err) < 0 ||
        fill_capabilities(json, &out->capabilities, err) < 0 ||
        fill_rlimits(json, config, out, err) < 0 ||
        fill_scheduler(json, &out->scheduler, err) < 0 || fill_io_priority(json, out, err) < 0)
        return -1;
    if (console &&
        (json_get_uint32(console, "consoleSize", "width", &out->console_width, err) < 0 ||
         json_get_uint32(console, "consoleSize", "height", &out->console_height, err) < 0))
        return -1;
    if (affinity &&
        (json_get_string(affinity, "execCPUAffinity", "initial", &out->cpu_affinity_initial, err) <
             0 ||
         json_get_string(affinity, "execCPUAffinity", "final", &out->cpu_affinity_final, err) < 0))
        return -1;
    if (out->apparmor_profile && !*out->apparmor_profile)
        out->apparmor_profile = NULL;
    if (out->selinux_label && !*out->selinux_label)
        out->selinux_label = NULL;
    if (out->oom_score_adj.set &&
        (out->oom_score_adj.value < -1000 || out->oom_score_adj.value > 1000))
        return error_set(err, "oomScoreAdj: %lld is not in -1000..1000",
                         (long long)out->oom_score_adj.value);
    return 0;
}

int oci_process_parse(json_t *json, struct oci_config *config, struct oci_process *out,
                      struct error *err)
{
    /* Under a key that no configuration has, so that the strings live as long as the owner. */
    json_object_set_new(config->json, "\x01process", json);
    if (!json_is_object(json))
        return error_set(err, "process: expected an object");
    if (oci_process_fill(json, config, out, err) < 0)
        return error_wrap(err, "process");
    return 0;
}
