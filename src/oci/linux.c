/* SPDX-License-Identifier: Apache-2.0 */
/* The linux object of config.json, except its resources. */
#include <errno.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "oci/private.h"

const char *const oci_namespace_names[OCI_NS_TYPES] = {
    [OCI_NS_USER] = "user",       [OCI_NS_IPC] = "ipc",   [OCI_NS_UTS] = "uts",
    [OCI_NS_NETWORK] = "network", [OCI_NS_PID] = "pid",   [OCI_NS_MOUNT] = "mount",
    [OCI_NS_CGROUP] = "cgroup",   [OCI_NS_TIME] = "time",
};

static int fill_namespaces(const json_t *linux_, struct oci_config *config, struct error *err)
{
    json_t *array = NULL;
    size_t count;
    int ret = oci_get_objects(linux_, "linux", "namespaces", &array, &count, err);
    if (ret <= 0)
        return ret;
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(array, i);
        const char *type = NULL, *path = NULL;
        if (json_get_string(item, "", "type", &type, err) < 0 ||
            json_get_string(item, "", "path", &path, err) < 0)
            return error_wrap(err, "linux.namespaces[%zu]", i);
        size_t n = 0;
        while (type && n < OCI_NS_TYPES && strcmp(type, oci_namespace_names[n]) != 0)
            n++;
        if (!type || n == OCI_NS_TYPES)
            return error_set(err, "linux.namespaces[%zu]: unknown type %s", i,
                             type ? type : "(none)");
        if (config->namespaces[n].present)
            return error_set(err, "linux.namespaces: %s is given twice", type);
        config->namespaces[n].present = true;
        config->namespaces[n].path = path && *path ? path : NULL;
        if (path && *path && path[0] != '/')
            return error_set(err, "linux.namespaces[%zu].path: %s is not absolute", i, path);
    }
    return 0;
}

static int fill_time_offset(const json_t *offsets, const char *name, struct oci_time_offset *out,
                            struct error *err)
{
    json_t *object = NULL;
    int ret = json_get_object(offsets, "linux.timeOffsets", name, &object, err);
    if (ret <= 0)
        return ret;
    out->set = true;
    if (json_get_int64(object, "linux.timeOffsets", "secs", &out->seconds, err) < 0 ||
        json_get_uint32(object, "linux.timeOffsets", "nanosecs", &out->nanoseconds, err) < 0)
        return -1;
    return 0;
}

static int fill_devices(const json_t *linux_, struct oci_config *config, struct error *err)
{
    json_t *array = NULL;
    size_t count;
    int ret = oci_get_objects(linux_, "linux", "devices", &array, &count, err);
    if (ret <= 0)
        return ret;
    config->devices = oci_config_alloc(config, count, sizeof(*config->devices));
    config->device_count = count;
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(array, i);
        struct oci_device *device = &config->devices[i];
        const char *type = NULL;
        uint32_t mode = 0666;
        if (json_get_string(item, "", "path", &device->path, err) < 0 ||
            json_get_string(item, "", "type", &type, err) < 0 ||
            json_get_uint32(item, "", "fileMode", &mode, err) < 0 ||
            json_get_uint32(item, "", "uid", &device->uid, err) < 0 ||
            json_get_uint32(item, "", "gid", &device->gid, err) < 0 ||
            json_get_int64(item, "", "major", &device->major, err) < 0 ||
            json_get_int64(item, "", "minor", &device->minor, err) < 0)
            return error_wrap(err, "linux.devices[%zu]", i);
        if (!device->path || !*device->path)
            return error_set(err, "linux.devices[%zu]: path is missing", i);
        mode_t kind = 0;
        if (type && (strcmp(type, "c") == 0 || strcmp(type, "u") == 0))
            kind = S_IFCHR;
        else if (type && strcmp(type, "b") == 0)
            kind = S_IFBLK;
        else if (type && strcmp(type, "p") == 0)
            kind = S_IFIFO;
        if (!kind)
            return error_set(err, "linux.devices[%zu]: unknown type %s", i, type ? type : "(none)");
        device->mode = kind | (mode & 07777);
    }
    return 0;
}

static int fill_rdt(const json_t *linux_, struct oci_intel_rdt *out, struct error *err)
{
    json_t *object = NULL;
    int ret = json_get_object(linux_, "linux", "intelRdt", &object, err);
    if (ret <= 0)
        return ret;
    out->present = true;
    if (json_get_string(object, "linux.intelRdt", "closID", &out->clos_id, err) < 0 ||
        json_get_string(object, "linux.intelRdt", "l3CacheSchema", &out->l3_cache_schema, err) <
            0 ||
        json_get_string(object, "linux.intelRdt", "memBwSchema", &out->mem_bw_schema, err) < 0 ||
        json_get_bool(object, "linux.intelRdt", "enableCMT", &out->enable_cmt, err) < 0 ||
        json_get_bool(object, "linux.intelRdt", "enableMBM", &out->enable_mbm, err) < 0)
        return -1;
    if (out->clos_id && (strchr(out->clos_id, '/') || strcmp(out->clos_id, ".") == 0 ||
                         strcmp(out->clos_id, "..") == 0 || !*out->clos_id))
        return error_set(err, "linux.intelRdt.closID: %s is not a directory name", out->clos_id);
    return 0;
}

static int fill_personality(const json_t *linux_, struct oci_config *config, struct error *err)
{
    json_t *object = NULL;
    int ret = json_get_object(linux_, "linux", "personality", &object, err);
    if (ret <= 0)
        return ret;
    const char *domain = NULL;
    json_t *flags = NULL;
    if (json_get_string(object, "linux.personality", "domain", &domain, err) < 0 ||
        json_get_array(object, "linux.personality", "flags", &flags, err) < 0)
        return -1;
    if (json_array_size(flags) > 0)
        return error_set(err, "linux.personality.flags: no flag is defined by the specification");
    if (domain && strcmp(domain, "LINUX") == 0)
        config->personality = PER_LINUX;
    else if (domain && strcmp(domain, "LINUX32") == 0)
        config->personality = PER_LINUX32;
    else
        return error_set(err, "linux.personality.domain: unknown domain %s",
                         domain ? domain : "(none)");
    config->personality_set = true;
    return 0;
}

static int check_propagation(const char *value, struct error *err)
{
    static const char *const known[] = {"private", "rprivate", "slave",      "rslave",
                                        "shared",  "rshared",  "unbindable", "runbindable"};
    for (size_t i = 0; i < array_count(known); i++)
        if (strcmp(value, known[i]) == 0)
            return 0;
    return error_set(err, "linux.rootfsPropagation: unknown value %s", value);
}

static int fill_rest(const json_t *linux_, struct oci_config *config, struct error *err)
{
    json_t *offsets = NULL, *resources = NULL;
    if (json_get_object(linux_, "linux", "timeOffsets", &offsets, err) < 0 ||
        oci_get_mappings(config, linux_, "linux", "uidMappings", &config->uid_mappings, err) < 0 ||
        oci_get_mappings(config, linux_, "linux", "gidMappings", &config->gid_mappings, err) < 0 ||
        oci_get_pairs(config, linux_, "linux", "sysctl", &config->sysctl, err) < 0 ||
        json_get_string(linux_, "linux", "cgroupsPath", &config->cgroups_path, err) < 0 ||
        json_get_string(linux_, "linux", "rootfsPropagation", &config->rootfs_propagation, err) <
            0 ||
        json_get_string(linux_, "linux", "mountLabel", &config->mount_label, err) < 0 ||
        json_get_object(linux_, "linux", "seccomp", &config->seccomp, err) < 0 ||
        json_get_object(linux_, "linux", "resources", &resources, err) < 0 ||
        oci_get_strings(config, linux_, "linux", "maskedPaths", &config->masked_paths, err) < 0 ||
        oci_get_strings(config, linux_, "linux", "readonlyPaths", &config->readonly_paths, err) < 0)
        return -1;
    if (offsets && (fill_time_offset(offsets, "monotonic", &config->monotonic, err) < 0 ||
                    fill_time_offset(offsets, "boottime", &config->boottime, err) < 0))
        return -1;
    if (resources && oci_resources_fill(resources, config, &config->resources, err) < 0)
        return error_wrap(err, "linux.resources");
    if (config->cgroups_path && !*config->cgroups_path)
        config->cgroups_path = NULL;
    if (config->mount_label && !*config->mount_label)
        config->mount_label = NULL;
    if (config->rootfs_propagation && !*config->rootfs_propagation)
        config->rootfs_propagation = NULL;
    if (config->rootfs_propagation && check_propagation(config->rootfs_propagation, err) < 0)
        return -1;
    return 0;
}

int oci_linux_fill(struct oci_config *config, struct error *err)
{
    static const char *empty[] = {NULL};
    config->masked_paths.items = config->readonly_paths.items = empty;
    json_t *object = NULL;
    int ret = json_get_object(config->json, "", "linux", &object, err);
    if (ret <= 0)
        return ret;
    if (fill_namespaces(object, config, err) < 0 || fill_rest(object, config, err) < 0 ||
        fill_devices(object, config, err) < 0 || fill_rdt(object, &config->intel_rdt, err) < 0 ||
        fill_personality(object, config, err) < 0)
        return -1;
    return 0;
}
