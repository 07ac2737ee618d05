/* SPDX-License-Identifier: Apache-2.0 */
/* The unified hierarchy: making the directory with its controllers, and resources to files. Runs in
 * rune. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "container/private.h"

/* Give the children of a directory every controller that it has itself. */
static void enable_controllers(int dir)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (read_file_at(dir, "cgroup.controllers", &text, 4096, NULL) < 0)
        return;
    char *save = NULL;
    for (char *name = strtok_r(text.data, " \n", &save); name;
         name = strtok_r(NULL, " \n", &save)) {
        char word[64];
        int length = snprintf(word, sizeof(word), "+%s", name);
        /* One by one: a controller that cannot be had must not keep the others away. */
        (void)write_file_at(dir, "cgroup.subtree_control", word, (size_t)length, NULL);
    }
}

int cgroup_v2_create(struct cgroup *cgroup, struct error *err)
{
    const char *path = cgroup_path(cgroup, "");
    static const char mount[] = "/sys/fs/cgroup";
    cleanup_close int dir = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "open %s", mount);
    cleanup_free char *copy = xstrdup(path + sizeof(mount) - 1);
    char *save = NULL;
    for (char *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
        enable_controllers(dir);
        cgroup->existed = mkdirat(dir, name, 0755) < 0;
        if (cgroup->existed && errno != EEXIST)
            return error_errno(err, errno, "create cgroup %s", path);
        int next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return error_errno(err, errno, "open cgroup %s", path);
        close(dir);
        dir = next;
    }
    return 0;
}

/* A cgroup namespace of its own, and /sys/fs/cgroup to write to. */
static bool wants_delegation(const struct oci_config *config)
{
    const struct oci_namespace *ns = &config->namespaces[OCI_NS_CGROUP];
    if (!ns->present || ns->path)
        return false;
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct oci_mount *mount = &config->mounts[i];
        cleanup_free char *target = path_clean(mount->destination);
        if (!mount->source || strcmp(mount->source, "cgroup") != 0 ||
            strcmp(target, "/sys/fs/cgroup") != 0)
            continue;
        struct mount_plan plan;
        mount_plan_parse(mount, &plan);
        bool writable = !(plan.flags & MS_RDONLY);
        mount_plan_release(&plan);
        return writable;
    }
    return false;
}

int cgroup_v2_delegate(const struct cgroup *cgroup, const struct oci_config *config,
                       struct error *err)
{
    if (!wants_delegation(config))
        return 0;
    int64_t uid = config->process.uid;
    if (config->namespaces[OCI_NS_USER].present)
        uid = userns_host_id(&config->uid_mappings, config->process.uid);
    if (uid < 0 || uid == geteuid())
        return 0;
    const char *path = cgroup_path(cgroup, "");
    cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fchown(dir, (uid_t)uid, (gid_t)-1) < 0)
        return error_errno(err, errno, "give cgroup %s to user %lld", path, (long long)uid);
    /* The kernel says which files go with it. */
    cleanup_buffer struct buffer files = BUFFER_INIT;
    if (read_file_at(AT_FDCWD, "/sys/kernel/cgroup/delegate", &files, 65536, err) < 0)
        return -1;
    char *save = NULL;
    for (char *name = strtok_r(files.data, "\n", &save); name; name = strtok_r(NULL, "\n", &save))
        if (fchownat(dir, name, (uid_t)uid, (gid_t)-1, 0) < 0 && errno != ENOENT)
            return error_errno(err, errno, "give %s/%s to user %lld", path, name, (long long)uid);
    return 0;
}

/* dir: the cgroup; -1 for a container that has none, and can have no limits then. */
static int put_text(int dir, const char *file, const char *text, struct error *err)
{
    if (dir < 0)
        return error_set(err, "cannot set %s: container could not join or create cgroup", file);
    return write_file_at(dir, file, text, strlen(text), err);
}

/* -1 means no limit. */
static int put_limit(int dir, const char *file, int64_t value, struct error *err)
{
    char text[24] = "max";
    if (value >= 0)
        snprintf(text, sizeof(text), "%lld", (long long)value);
    return put_text(dir, file, text, err);
}

static int set_memory(int dir, const struct oci_resources *r, struct error *err)
{
    struct oci_int64 limit = r->memory.limit, low = r->memory.reservation, swap;
    limit.set &= limit.value != 0;
    if (cgroup_v2_swap(r, &swap, err) < 0)
        return -1;
    if (swap.set) {
        cleanup_error struct error failure = ERROR_INIT;
        if (put_limit(dir, "memory.swap.max", swap.value, &failure) < 0 &&
            !(failure.code == ENOENT && swap.value <= 0))
            return error_move(err, &failure);
    }
    if (r->memory.check_before_update && limit.set && limit.value > 0) {
        cleanup_buffer struct buffer usage = BUFFER_INIT;
        if (read_file_at(dir, "memory.current", &usage, 64, err) < 0)
            return -1;
        if (strtoull(buffer_text(&usage), NULL, 10) > (uint64_t)limit.value)
            return error_set(err, "rejecting memory limit %lld below current usage",
                             (long long)limit.value);
    }
    if (limit.set && put_limit(dir, "memory.max", limit.value, err) < 0)
        return -1;
    return low.set && low.value ? put_limit(dir, "memory.low", low.value, err) : 0;
}

static int set_cpu(int dir, const struct oci_resources *r, struct error *err)
{
    char text[64];
    __auto_type cpu = &r->cpu;
    if (cpu->idle.set) {
        snprintf(text, sizeof(text), "%lld", (long long)cpu->idle.value);
        if (put_text(dir, "cpu.idle", text, err) < 0)
            return -1;
    }
    /* An idle group has no weight of its own. */
    if (cpu->shares.set && cpu->shares.value && !(cpu->idle.set && cpu->idle.value == 1)) {
        snprintf(text, sizeof(text), "%llu",
                 (unsigned long long)cgroup_v2_cpu_weight(cpu->shares.value));
        if (put_text(dir, "cpu.weight", text, err) < 0)
            return -1;
    }
    if (cpu->burst.set)
        (void)put_text(dir, "cpu.max.burst", "0", NULL);
    if ((cpu->quota.set && cpu->quota.value) || (cpu->period.set && cpu->period.value)) {
        if (cpu->quota.set && cpu->quota.value > 0)
            snprintf(text, sizeof(text), "%lld", (long long)cpu->quota.value);
        else
            snprintf(text, sizeof(text), "max");
        if (cpu->period.set && cpu->period.value) {
            size_t n = strlen(text);
            snprintf(text + n, sizeof(text) - n, " %llu", (unsigned long long)cpu->period.value);
        }
        if (put_text(dir, "cpu.max", text, err) < 0)
            return -1;
    }
    if (cpu->burst.set) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long)cpu->burst.value);
        if (put_text(dir, "cpu.max.burst", text, err) < 0)
            return -1;
    }
    if (cpu->cpus && put_text(dir, "cpuset.cpus", cpu->cpus, err) < 0)
        return -1;
    return cpu->mems ? put_text(dir, "cpuset.mems", cpu->mems, err) : 0;
}

static int set_throttles(int dir, const char *key, const struct oci_throttles *list,
                         struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        char line[96], rate[24] = "max";
        if (list->items[i].rate)
            snprintf(rate, sizeof(rate), "%llu", (unsigned long long)list->items[i].rate);
        snprintf(line, sizeof(line), "%lld:%lld %s=%s", (long long)list->items[i].major,
                 (long long)list->items[i].minor, key, rate);
        if (put_text(dir, "io.max", line, err) < 0)
            return -1;
    }
    return 0;
}

static int set_io(int dir, const struct oci_resources *r, struct error *err)
{
    __auto_type io = &r->block_io;
    char text[64];
    bool bfq = faccessat(dir, "io.bfq.weight", F_OK, 0) == 0;
    if (io->weight.set && io->weight.value) {
        int64_t weight = io->weight.value;
        snprintf(text, sizeof(text), bfq ? "%lld" : "default %lld",
                 (long long)(bfq ? weight : (int64_t)cgroup_v2_io_weight(weight)));
        if (put_text(dir, bfq ? "io.bfq.weight" : "io.weight", text, err) < 0)
            return -1;
    }
    for (size_t i = 0; bfq && i < io->weight_device_count; i++) {
        const struct oci_weight_device *device = &io->weight_devices[i];
        snprintf(text, sizeof(text), "%lld:%lld %lld", (long long)device->major,
                 (long long)device->minor, (long long)device->weight.value);
        if (device->weight.set && put_text(dir, "io.bfq.weight", text, err) < 0)
            return -1;
    }
    if (set_throttles(dir, "rbps", &io->read_bps, err) < 0 ||
        set_throttles(dir, "wbps", &io->write_bps, err) < 0 ||
        set_throttles(dir, "riops", &io->read_iops, err) < 0)
        return -1;
    return set_throttles(dir, "wiops", &io->write_iops, err);
}

static int set_rest(int dir, const struct oci_resources *r, struct error *err)
{
    if (r->pids_limit.set && r->pids_limit.value != 0 &&
        put_limit(dir, "pids.max", r->pids_limit.value, err) < 0)
        return -1;
    for (size_t i = 0; i < r->hugepage_count; i++) {
        cleanup_free char *file = xasprintf("hugetlb.%s.max", r->hugepages[i].page_size);
        if (put_limit(dir, file, (int64_t)r->hugepages[i].limit, err) < 0)
            return -1;
        cleanup_free char *reserved = xasprintf("hugetlb.%s.rsvd.max", r->hugepages[i].page_size);
        cleanup_error struct error failure = ERROR_INIT;
        if (put_limit(dir, reserved, (int64_t)r->hugepages[i].limit, &failure) < 0 &&
            failure.code != ENOENT)
            return error_move(err, &failure);
    }
    for (size_t i = 0; i < r->rdma_count; i++) {
        cleanup_buffer struct buffer line = BUFFER_INIT;
        buffer_append_text(&line, r->rdma[i].device);
        if (r->rdma[i].handles.set)
            buffer_append_format(&line, " hca_handle=%lld", (long long)r->rdma[i].handles.value);
        if (r->rdma[i].objects.set)
            buffer_append_format(&line, " hca_object=%lld", (long long)r->rdma[i].objects.value);
        if (put_text(dir, "rdma.max", line.data, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < r->unified.count; i++)
        if (put_text(dir, r->unified.items[i].key, r->unified.items[i].value, err) < 0)
            return -1;
    return 0;
}

int cgroup_v2_set(const struct cgroup *cgroup, const struct oci_resources *r, struct error *err)
{
    const char *path = cgroup_path(cgroup, "");
    cleanup_close int dir = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (path && dir < 0)
        return error_errno(err, errno, "open cgroup %s", path);
    if (set_memory(dir, r, err) < 0 || set_cpu(dir, r, err) < 0 || set_io(dir, r, err) < 0 ||
        set_rest(dir, r, err) < 0)
        return err && err->code ? -err->code : -1;
    cleanup_error struct error failure = ERROR_INIT;
    if (!path)
        return 0;
    if (cgroup_v2_devices(dir, r, &failure) == 0)
        return 0;
    /* Nobody without privileges may load a filter; nor could such a container make devices. */
    if (!cgroup->optional)
        return error_move(err, &failure);
    log_debug("no device filter for this rootless container: %s", error_text(&failure));
    return 0;
}
