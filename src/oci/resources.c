/* SPDX-License-Identifier: Apache-2.0 */
/* linux.resources, which rune update --resources reads as well. */
#include <string.h>

#include "base/cleanup.h"
#include "oci/private.h"

int oci_get_opt_int64(const json_t *object, const char *where, const char *key,
                      struct oci_int64 *out, struct error *err)
{
    int ret = json_get_int64(object, where, key, &out->value, err);
    out->set = ret > 0 || out->set;
    return ret;
}

static int oci_get_opt_uint64(const json_t *object, const char *where, const char *key,
                              struct oci_uint64 *out, struct error *err)
{
    int ret = json_get_uint64(object, where, key, &out->value, err);
    out->set = ret > 0 || out->set;
    return ret;
}

static int fill_device_rules(const json_t *json, struct oci_config *config,
                             struct oci_resources *out, struct error *err)
{
    json_t *array = NULL;
    size_t count;
    int ret = oci_get_objects(json, "", "devices", &array, &count, err);
    if (ret <= 0)
        return ret;
    out->devices = oci_config_alloc(config, count, sizeof(*out->devices));
    out->device_count = count;
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(array, i);
        struct oci_device_rule *rule = &out->devices[i];
        const char *type = "a";
        rule->major = rule->minor = -1;
        rule->access = "rwm";
        if (json_get_bool(item, "", "allow", &rule->allow, err) < 0 ||
            json_get_string(item, "", "type", &type, err) < 0 ||
            json_get_int64(item, "", "major", &rule->major, err) < 0 ||
            json_get_int64(item, "", "minor", &rule->minor, err) < 0 ||
            json_get_string(item, "", "access", &rule->access, err) < 0)
            return error_wrap(err, "devices[%zu]", i);
        if (!*type)
            type = "a";
        if (type[1] || !strchr("abc", type[0]))
            return error_set(err, "devices[%zu].type: unknown type %s", i, type);
        /* Other letters mean nothing, and runc lets them pass. */
        if (strspn(rule->access, "rwm") != strlen(rule->access)) {
            char *kept = oci_config_format(config, "%s", rule->access), *to = kept;
            for (const char *from = rule->access; *from; from++)
                if (strchr("rwm", *from))
                    *to++ = *from;
            *to = '\0';
            rule->access = kept;
        }
        if (!*rule->access)
            rule->access = "rwm";
        if (rule->major < -1 || rule->minor < -1)
            return error_set(err, "devices[%zu]: device number below -1", i);
        rule->type = type[0];
    }
    return 0;
}

static int fill_memory(const json_t *json, struct oci_resources *out, struct error *err)
{
    json_t *object = NULL;
    int ret = json_get_object(json, "", "memory", &object, err);
    if (ret <= 0)
        return ret;
    __auto_type memory = &out->memory;
    if (oci_get_opt_int64(object, "memory", "limit", &memory->limit, err) < 0 ||
        oci_get_opt_int64(object, "memory", "reservation", &memory->reservation, err) < 0 ||
        oci_get_opt_int64(object, "memory", "swap", &memory->swap, err) < 0 ||
        oci_get_opt_int64(object, "memory", "kernel", &memory->kernel, err) < 0 ||
        oci_get_opt_int64(object, "memory", "kernelTCP", &memory->kernel_tcp, err) < 0 ||
        oci_get_opt_uint64(object, "memory", "swappiness", &memory->swappiness, err) < 0 ||
        json_get_bool(object, "memory", "disableOOMKiller", &memory->disable_oom_killer, err) < 0 ||
        json_get_bool(object, "memory", "useHierarchy", &memory->use_hierarchy, err) < 0 ||
        json_get_bool(object, "memory", "checkBeforeUpdate", &memory->check_before_update, err) < 0)
        return -1;
    return 0;
}

static int fill_cpu(const json_t *json, struct oci_resources *out, struct error *err)
{
    json_t *object = NULL;
    int ret = json_get_object(json, "", "cpu", &object, err);
    if (ret <= 0)
        return ret;
    __auto_type cpu = &out->cpu;
    if (oci_get_opt_uint64(object, "cpu", "shares", &cpu->shares, err) < 0 ||
        oci_get_opt_int64(object, "cpu", "quota", &cpu->quota, err) < 0 ||
        oci_get_opt_uint64(object, "cpu", "burst", &cpu->burst, err) < 0 ||
        oci_get_opt_uint64(object, "cpu", "period", &cpu->period, err) < 0 ||
        oci_get_opt_int64(object, "cpu", "realtimeRuntime", &cpu->realtime_runtime, err) < 0 ||
        oci_get_opt_uint64(object, "cpu", "realtimePeriod", &cpu->realtime_period, err) < 0 ||
        oci_get_opt_int64(object, "cpu", "idle", &cpu->idle, err) < 0 ||
        json_get_string(object, "cpu", "cpus", &cpu->cpus, err) < 0 ||
        json_get_string(object, "cpu", "mems", &cpu->mems, err) < 0)
        return -1;
    if (cpu->cpus && !*cpu->cpus)
        cpu->cpus = NULL;
    if (cpu->mems && !*cpu->mems)
        cpu->mems = NULL;
    return 0;
}

static int fill_throttles(const json_t *object, const char *key, struct oci_config *config,
                          struct oci_throttles *out, struct error *err)
{
    json_t *array = NULL;
    size_t count;
    int ret = oci_get_objects(object, "blockIO", key, &array, &count, err);
    if (ret <= 0)
        return ret;
    out->items = oci_config_alloc(config, count, sizeof(*out->items));
    out->count = count;
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(array, i);
        struct oci_throttle_device *device = &out->items[i];
        if (json_get_int64(item, key, "major", &device->major, err) < 0 ||
            json_get_int64(item, key, "minor", &device->minor, err) < 0 ||
            json_get_uint64(item, key, "rate", &device->rate, err) < 0)
            return error_wrap(err, "blockIO");
    }
    return 0;
}

static int fill_block_io(const json_t *json, struct oci_config *config, struct oci_resources *out,
                         struct error *err)
{
    json_t *object = NULL, *array = NULL;
    int ret = json_get_object(json, "", "blockIO", &object, err);
    if (ret <= 0)
        return ret;
    __auto_type io = &out->block_io;
    size_t count;
    if (oci_get_opt_int64(object, "blockIO", "weight", &io->weight, err) < 0 ||
        oci_get_opt_int64(object, "blockIO", "leafWeight", &io->leaf_weight, err) < 0 ||
        oci_get_objects(object, "blockIO", "weightDevice", &array, &count, err) < 0 ||
        fill_throttles(object, "throttleReadBpsDevice", config, &io->read_bps, err) < 0 ||
        fill_throttles(object, "throttleWriteBpsDevice", config, &io->write_bps, err) < 0 ||
        fill_throttles(object, "throttleReadIOPSDevice", config, &io->read_iops, err) < 0 ||
        fill_throttles(object, "throttleWriteIOPSDevice", config, &io->write_iops, err) < 0)
        return -1;
    io->weight_devices = oci_config_alloc(config, count, sizeof(*io->weight_devices));
    io->weight_device_count = count;
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(array, i);
        struct oci_weight_device *device = &io->weight_devices[i];
        if (json_get_int64(item, "weightDevice", "major", &device->major, err) < 0 ||
            json_get_int64(item, "weightDevice", "minor", &device->minor, err) < 0 ||
            oci_get_opt_int64(item, "weightDevice", "weight", &device->weight, err) < 0 ||
            oci_get_opt_int64(item, "weightDevice", "leafWeight", &device->leaf_weight, err) < 0)
            return error_wrap(err, "blockIO");
    }
    return 0;
}

static int fill_hugepages(const json_t *json, struct oci_config *config, struct oci_resources *out,
                          struct error *err)
{
    json_t *array = NULL;
    size_t count;
    int ret = oci_get_objects(json, "", "hugepageLimits", &array, &count, err);
    if (ret <= 0)
        return ret;
    out->hugepages = oci_config_alloc(config, count, sizeof(*out->hugepages));
    out->hugepage_count = count;
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(array, i);
        struct oci_hugepage_limit *limit = &out->hugepages[i];
        if (json_get_string(item, "hugepageLimits", "pageSize", &limit->page_size, err) < 0 ||
            json_get_uint64(item, "hugepageLimits", "limit", &limit->limit, err) < 0)
            return -1;
        /* The name becomes part of a file name. */
        if (!limit->page_size ||
            strspn(limit->page_size, "0123456789KMGB") != strlen(limit->page_size))
            return error_set(err, "hugepageLimits[%zu].pageSize: expected a size such as 2MB", i);
    }
    return 0;
}

static int fill_network(const json_t *json, struct oci_config *config, struct oci_resources *out,
                        struct error *err)
{
    json_t *object = NULL, *array = NULL;
    int ret = json_get_object(json, "", "network", &object, err);
    if (ret <= 0)
        return ret;
    size_t count;
    if (oci_get_opt_uint64(object, "network", "classID", &out->class_id, err) < 0 ||
        oci_get_objects(object, "network", "priorities", &array, &count, err) < 0)
        return -1;
    out->priorities = oci_config_alloc(config, count, sizeof(*out->priorities));
    out->priority_count = count;
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(array, i);
        if (json_get_string(item, "priorities", "name", &out->priorities[i].name, err) < 0 ||
            json_get_uint32(item, "priorities", "priority", &out->priorities[i].priority, err) < 0)
            return error_wrap(err, "network");
        if (!out->priorities[i].name)
            return error_set(err, "network.priorities[%zu]: name is missing", i);
    }
    return 0;
}

static int fill_rdma(const json_t *json, struct oci_config *config, struct oci_resources *out,
                     struct error *err)
{
    json_t *object = NULL;
    int ret = json_get_object(json, "", "rdma", &object, err);
    if (ret <= 0)
        return ret;
    out->rdma = oci_config_alloc(config, json_object_size(object), sizeof(*out->rdma));
    const char *name;
    json_t *item;
    json_object_foreach (object, name, item) {
        struct oci_rdma *rdma = &out->rdma[out->rdma_count++];
        rdma->device = name;
        if (!json_is_object(item))
            return error_set(err, "rdma.%s: expected an object", name);
        if (oci_get_opt_int64(item, "rdma", "hcaHandles", &rdma->handles, err) < 0 ||
            oci_get_opt_int64(item, "rdma", "hcaObjects", &rdma->objects, err) < 0)
            return -1;
    }
    return 0;
}

static int check_unified(const struct oci_pairs *unified, struct error *err)
{
    for (size_t i = 0; i < unified->count; i++)
        if (strchr(unified->items[i].key, '/') || unified->items[i].key[0] == '.' ||
            !unified->items[i].key[0])
            return error_set(err, "unified: %s must be a file name without slashes",
                             unified->items[i].key);
    return 0;
}

int oci_resources_fill(const json_t *json, struct oci_config *config, struct oci_resources *out,
                       struct error *err)
{
    json_t *pids = NULL;
    if (json_get_object(json, "", "pids", &pids, err) < 0 ||
        (pids && oci_get_opt_int64(pids, "pids", "limit", &out->pids_limit, err) < 0) ||
        fill_device_rules(json, config, out, err) < 0 || fill_memory(json, out, err) < 0 ||
        fill_cpu(json, out, err) < 0 || fill_block_io(json, config, out, err) < 0 ||
        fill_hugepages(json, config, out, err) < 0 || fill_network(json, config, out, err) < 0 ||
        fill_rdma(json, config, out, err) < 0 ||
        oci_get_pairs(config, json, "", "unified", &out->unified, err) < 0)
        return -1;
    return check_unified(&out->unified, err);
}

int oci_resources_parse(json_t *json, struct oci_config *config, struct oci_resources *out,
                        struct error *err)
{
    json_object_set_new(config->json, "\x01resources", json);
    if (!json_is_object(json))
        return error_set(err, "resources: expected an object");
    if (oci_resources_fill(json, config, out, err) < 0)
        return error_wrap(err, "resources");
    return 0;
}
