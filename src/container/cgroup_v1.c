/* SPDX-License-Identifier: Apache-2.0 */
/* Version 1 hierarchies: making the directories, and resources to files. Runs in rune. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "container/private.h"

/* A new cpuset is empty and takes no process; it inherits what its parent has. */
static int inherit_cpuset(const char *path, struct error *err)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    cleanup_free char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));
    cleanup_close int to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int from = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (to < 0 || from < 0)
        return error_errno(err, errno, "open %s", path);
    for (size_t i = 0; i < array_count(files); i++) {
        cleanup_buffer struct buffer value = BUFFER_INIT;
        if (read_file_at(from, files[i], &value, 65536, err) < 0)
            return error_wrap(err, "%s", path);
        if (buffer_text(&value)[0] == '\n') {
            /* The parent was made by somebody who left it empty. */
            buffer_clear(&value);
            if (inherit_cpuset(parent, err) < 0 ||
                read_file_at(from, files[i], &value, 65536, err) < 0)
                return error_wrap(err, "%s", path);
        }
        if (write_file_at(to, files[i], value.data, value.size, err) < 0)
            return error_wrap(err, "%s", path);
    }
    return 0;
}

static int make_directory(const char *path, bool cpuset, bool *existed, struct error *err)
{
    if (mkdir(path, 0755) < 0) {
        if (errno == EEXIST) {
            *existed = true;
            return 0;
        }
        if (errno != ENOENT)
            return error_errno(err, errno, "create cgroup %s", path);
        cleanup_free char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));
        bool ignored;
        if (make_directory(parent, cpuset, &ignored, err) < 0)
            return -1;
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return error_errno(err, errno, "create cgroup %s", path);
    }
    return cpuset ? inherit_cpuset(path, err) : 0;
}

static bool has_controller(const char *key)
{
    return strcmp(key, cgroup_hybrid_key) != 0 && strncmp(key, "name=", 5) != 0;
}

/*
 * A rootless container goes without the cgroups that its user may not make, one by one: who has the
 * pids controller delegated has its limit. With cgroupsPath it is an error, since somebody chose
 * it. A hierarchy without a controller limits nothing, so nobody is refused for want of it.
 */
static bool may_miss(const struct cgroup *cgroup, const char *key, int code)
{
    if (!has_controller(key))
        return cgroup->optional;
    return cgroup->optional && !cgroup->chosen &&
           (code == EACCES || code == EPERM || code == EROFS);
}

static int make_one(const struct cgroup *cgroup, const char *key, const char *path, bool *existed,
                    struct error *err)
{
    const char *cpuset = cgroup_path(cgroup, "cpuset");
    int ret = make_directory(path, cpuset && strcmp(path, cpuset) == 0, existed, err);
    if (ret < 0 || !*existed)
        return ret;
    /* One that was there may be another user's. */
    const char *file = strcmp(key, cgroup_hybrid_key) == 0 ? "cgroup.procs" : "tasks";
    cleanup_free char *entrance = path_join(path, file);
    return access(entrance, W_OK) < 0 ? error_errno(err, errno, "open %s", entrance) : 0;
}

int cgroup_v1_create(struct cgroup *cgroup, struct error *err)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(cgroup->paths, next, key, value)
    {
        cleanup_error struct error failure = ERROR_INIT;
        bool existed = false;
        if (make_one(cgroup, key, json_string_value(value), &existed, &failure) == 0) {
            cgroup->existed |= existed;
        } else if (may_miss(cgroup, key, failure.code)) {
            log_debug("no %s cgroup for this rootless container: %s", key, error_text(&failure));
            json_object_del(cgroup->paths, key);
        } else {
            return error_move(err, &failure);
        }
    }
    return 0;
}

/* ---- resources ---- */

/* One controller's directory, opened when its first file is written. */
struct setter {
    const struct cgroup *cgroup;
    const char *controller;
    int dir;
};

static int open_controller(struct setter *set, const char *controller, struct error *err)
{
    if (set->dir >= 0 && strcmp(set->controller, controller) == 0)
        return 0;
    close_and_reset(&set->dir);
    const char *path = cgroup_path(set->cgroup, controller);
    if (!path && set->cgroup->optional)
        return error_set(err, "cannot set %s limit: container could not join or create cgroup",
                         controller);
    if (!path)
        return error_set(err, "the %s cgroup controller is not available on this machine",
                         controller);
    set->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    set->controller = controller;
    return set->dir < 0 ? error_errno(err, errno, "open cgroup %s", path) : 0;
}

static int put_text(struct setter *set, const char *controller, const char *file, const char *text,
                    struct error *err)
{
    int ret = open_controller(set, controller, err);
    return ret < 0 ? ret : write_file_at(set->dir, file, text, strlen(text), err);
}

static int put(struct setter *set, const char *controller, const char *file, int64_t value,
               struct error *err)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    return put_text(set, controller, file, text, err);
}

static int put_opt(struct setter *set, const char *controller, const char *file,
                   struct oci_int64 value, struct error *err)
{
    return value.set ? put(set, controller, file, value.value, err) : 0;
}

static int put_nonzero(struct setter *set, const char *controller, const char *file,
                       struct oci_uint64 value, struct error *err)
{
    return value.set && value.value ? put(set, controller, file, (int64_t)value.value, err) : 0;
}

/* Limit and limit-with-swap bound each other, so the order of two writes depends on what is
 * there. */
static int set_memory_and_swap(struct setter *set, const struct oci_resources *r, struct error *err)
{
    struct oci_int64 limit = r->memory.limit, swap = r->memory.swap;
    if (limit.set && limit.value == 0)
        limit.set = false;
    if (swap.set && swap.value == 0)
        swap.set = false;
    /* No limit at all, and nothing said about swap: unlimited as well. */
    if (limit.set && limit.value == -1 && !swap.set)
        swap = (struct oci_int64){true, -1};
    if (!swap.set || !cgroup_path(set->cgroup, "memory"))
        return put_opt(set, "memory", "memory.limit_in_bytes", limit, err);
    if (open_controller(set, "memory", err) < 0)
        return -1;
    if (faccessat(set->dir, "memory.memsw.limit_in_bytes", F_OK, 0) < 0) {
        /* A kernel without swap accounting. */
        if (swap.value > 0 && limit.value != swap.value)
            log_warning("swap limits are not supported by this kernel");
        return put_opt(set, "memory", "memory.limit_in_bytes", limit, err);
    }
    cleanup_error struct error first = ERROR_INIT;
    if (swap.value != -1 && put_opt(set, "memory", "memory.limit_in_bytes", limit, &first) == 0)
        return put_opt(set, "memory", "memory.memsw.limit_in_bytes", swap, err);
    if (put_opt(set, "memory", "memory.memsw.limit_in_bytes", swap, err) < 0)
        return -1;
    return put_opt(set, "memory", "memory.limit_in_bytes", limit, err);
}

static int set_memory(struct setter *set, const struct oci_resources *r, struct error *err)
{
    if (r->memory.check_before_update && r->memory.limit.set && r->memory.limit.value > 0) {
        cleanup_buffer struct buffer usage = BUFFER_INIT;
        if (open_controller(set, "memory", err) < 0 ||
            read_file_at(set->dir, "memory.usage_in_bytes", &usage, 64, err) < 0)
            return -1;
        if (strtoull(buffer_text(&usage), NULL, 10) > (uint64_t)r->memory.limit.value)
            return error_set(err, "rejecting memory limit %lld below current usage %s",
                             (long long)r->memory.limit.value, buffer_text(&usage));
    }
    if (set_memory_and_swap(set, r, err) < 0)
        return -1;
    struct oci_int64 reservation = r->memory.reservation, tcp = r->memory.kernel_tcp;
    reservation.set &= reservation.value != 0;
    tcp.set &= tcp.value != 0;
    if (put_opt(set, "memory", "memory.soft_limit_in_bytes", reservation, err) < 0 ||
        put_opt(set, "memory", "memory.kmem.tcp.limit_in_bytes", tcp, err) < 0)
        return -1;
    if (r->memory.disable_oom_killer && put(set, "memory", "memory.oom_control", 1, err) < 0)
        return -1;
    if (r->memory.swappiness.set) {
        if (r->memory.swappiness.value > 100)
            return error_set(err, "invalid memory swappiness value: %llu (valid range is 0-100)",
                             (unsigned long long)r->memory.swappiness.value);
        return put(set, "memory", "memory.swappiness", (int64_t)r->memory.swappiness.value, err);
    }
    return 0;
}

static int set_cpu(struct setter *set, const struct oci_resources *r, struct error *err)
{
    __auto_type cpu = &r->cpu;
    if (put_nonzero(set, "cpu", "cpu.shares", cpu->shares, err) < 0)
        return -1;
    struct oci_uint64 period = cpu->period;
    struct oci_int64 quota = cpu->quota;
    quota.set &= quota.value != 0;
    /* quota/period of a child may not exceed its parent's, in between neither: the one that is
     * refused comes second. */
    cleanup_error struct error refused = ERROR_INIT;
    bool again = false;
    if (put_nonzero(set, "cpu", "cpu.cfs_period_us", period, &refused) < 0) {
        if (refused.code != EINVAL || !quota.set)
            return error_move(err, &refused);
        again = true;
    }
    if (cpu->burst.set && quota.set)
        (void)put(set, "cpu", "cpu.cfs_burst_us", 0, NULL);
    if (put_opt(set, "cpu", "cpu.cfs_quota_us", quota, err) < 0)
        return -1;
    if (again && put_nonzero(set, "cpu", "cpu.cfs_period_us", period, err) < 0)
        return -1;
    if (cpu->burst.set && put(set, "cpu", "cpu.cfs_burst_us", (int64_t)cpu->burst.value, err) < 0)
        return -1;
    struct oci_int64 runtime = cpu->realtime_runtime;
    runtime.set &= runtime.value != 0;
    if (put_nonzero(set, "cpu", "cpu.rt_period_us", cpu->realtime_period, err) < 0 ||
        put_opt(set, "cpu", "cpu.rt_runtime_us", runtime, err) < 0 ||
        put_opt(set, "cpu", "cpu.idle", cpu->idle, err) < 0)
        return -1;
    if (cpu->cpus && put_text(set, "cpuset", "cpuset.cpus", cpu->cpus, err) < 0)
        return -1;
    return cpu->mems ? put_text(set, "cpuset", "cpuset.mems", cpu->mems, err) : 0;
}

static int write_rule(int fd, const struct oci_device_rule *rule, struct error *err)
{
    char major[24] = "*", minor[24] = "*", line[80];
    if (rule->major >= 0)
        snprintf(major, sizeof(major), "%lld", (long long)rule->major);
    if (rule->minor >= 0)
        snprintf(minor, sizeof(minor), "%lld", (long long)rule->minor);
    int length = snprintf(line, sizeof(line), "%c %s:%s %s", rule->type, major, minor,
                          rule->access);
    if (write(fd, line, (size_t)length) != length)
        return error_errno(err, errno, "device rule %s", line);
    return 0;
}

static int set_devices(struct setter *set, const struct oci_resources *r, struct error *err)
{
    if (r->device_count == 0)
        return 0;
    if (!cgroup_path(set->cgroup, "devices")) {
        log_warning("the devices cgroup controller is not available: device rules are not applied");
        return 0;
    }
    if (open_controller(set, "devices", err) < 0)
        return -1;
    cleanup_close int allow = openat(set->dir, "devices.allow", O_WRONLY | O_CLOEXEC);
    cleanup_close int deny = openat(set->dir, "devices.deny", O_WRONLY | O_CLOEXEC);
    if (allow < 0 || deny < 0)
        return error_errno(err, errno, "open the devices cgroup");
    for (size_t i = 0; i < r->device_count; i++)
        if (write_rule(r->devices[i].allow ? allow : deny, &r->devices[i], err) < 0)
            return -1;
    /* Rules that allow everything leave nothing to add. */
    const struct oci_device_rule *last = &r->devices[r->device_count - 1];
    if (last->allow && last->type == 'a')
        return 0;
    for (size_t i = 0; i < cgroup_default_device_count; i++)
        if (write_rule(allow, &cgroup_default_devices[i], err) < 0)
            return -1;
    return 0;
}

static int set_throttles(struct setter *set, const char *file, const struct oci_throttles *list,
                         struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        char line[80];
        snprintf(line, sizeof(line), "%lld:%lld %llu", (long long)list->items[i].major,
                 (long long)list->items[i].minor, (unsigned long long)list->items[i].rate);
        if (put_text(set, "blkio", file, line, err) < 0)
            return -1;
    }
    return 0;
}

/* blkio.weight went with CFQ; BFQ has its own files. */
static int put_weight(struct setter *set, const char *plain, const char *bfq, const char *text,
                      struct error *err)
{
    if (open_controller(set, "blkio", err) < 0)
        return -1;
    const char *file = faccessat(set->dir, plain, F_OK, 0) == 0 ? plain : bfq;
    return put_text(set, "blkio", file, text, err);
}

static int set_block_io(struct setter *set, const struct oci_resources *r, struct error *err)
{
    __auto_type io = &r->block_io;
    char text[64];
    if (io->weight.set && io->weight.value) {
        snprintf(text, sizeof(text), "%lld", (long long)io->weight.value);
        if (put_weight(set, "blkio.weight", "blkio.bfq.weight", text, err) < 0)
            return -1;
    }
    struct oci_int64 leaf = io->leaf_weight;
    leaf.set &= leaf.value != 0;
    if (put_opt(set, "blkio", "blkio.leaf_weight", leaf, err) < 0)
        return -1;
    for (size_t i = 0; i < io->weight_device_count; i++) {
        const struct oci_weight_device *device = &io->weight_devices[i];
        if (device->weight.set && device->weight.value) {
            snprintf(text, sizeof(text), "%lld:%lld %lld", (long long)device->major,
                     (long long)device->minor, (long long)device->weight.value);
            if (put_weight(set, "blkio.weight_device", "blkio.bfq.weight_device", text, err) < 0)
                return -1;
        }
    }
    if (set_throttles(set, "blkio.throttle.read_bps_device", &io->read_bps, err) < 0 ||
        set_throttles(set, "blkio.throttle.write_bps_device", &io->write_bps, err) < 0 ||
        set_throttles(set, "blkio.throttle.read_iops_device", &io->read_iops, err) < 0)
        return -1;
    return set_throttles(set, "blkio.throttle.write_iops_device", &io->write_iops, err);
}

static int set_rest(struct setter *set, const struct oci_resources *r, struct error *err)
{
    if (r->pids_limit.set && r->pids_limit.value != 0) {
        int ret = r->pids_limit.value > 0 ? put(set, "pids", "pids.max", r->pids_limit.value, err)
                                          : put_text(set, "pids", "pids.max", "max", err);
        if (ret < 0)
            return ret;
    }
    for (size_t i = 0; i < r->hugepage_count; i++) {
        cleanup_free char *file = xasprintf("hugetlb.%s.limit_in_bytes", r->hugepages[i].page_size);
        if (put(set, "hugetlb", file, (int64_t)r->hugepages[i].limit, err) < 0)
            return -1;
    }
    if (put_nonzero(set, "net_cls", "net_cls.classid", r->class_id, err) < 0)
        return -1;
    for (size_t i = 0; i < r->priority_count; i++) {
        cleanup_free char *line = xasprintf("%s %u", r->priorities[i].name,
                                            r->priorities[i].priority);
        if (put_text(set, "net_prio", "net_prio.ifpriomap", line, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < r->rdma_count; i++) {
        cleanup_buffer struct buffer line = BUFFER_INIT;
        buffer_append_text(&line, r->rdma[i].device);
        if (r->rdma[i].handles.set)
            buffer_append_format(&line, " hca_handle=%lld", (long long)r->rdma[i].handles.value);
        if (r->rdma[i].objects.set)
            buffer_append_format(&line, " hca_object=%lld", (long long)r->rdma[i].objects.value);
        if (put_text(set, "rdma", "rdma.max", line.data, err) < 0)
            return -1;
    }
    return 0;
}

/* Device rules are not for an ordinary user to set; its processes open what it may open itself. */
static int set_devices_if_allowed(struct setter *set, const struct oci_resources *r,
                                  struct error *err)
{
    if (!set->cgroup->optional)
        return set_devices(set, r, err);
    cleanup_error struct error refused = ERROR_INIT;
    if (cgroup_path(set->cgroup, "devices") && set_devices(set, r, &refused) < 0)
        log_debug("no device rules: %s", error_text(&refused));
    return 0;
}

int cgroup_v1_set(const struct cgroup *cgroup, const struct oci_resources *r, struct error *err)
{
    if (r->unified.count > 0)
        return error_set(err, "invalid configuration: resources.unified needs cgroup v2");
    struct setter set = {cgroup, "", -1};
    int ret = 0;
    if (set_devices_if_allowed(&set, r, err) < 0 || set_memory(&set, r, err) < 0 ||
        set_cpu(&set, r, err) < 0 || set_block_io(&set, r, err) < 0 || set_rest(&set, r, err) < 0)
        ret = err && err->code ? -err->code : -1;
    close_and_reset(&set.dir);
    return ret;
}
