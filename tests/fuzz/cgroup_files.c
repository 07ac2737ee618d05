/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of cgroups that rune reads: statistics, process lists, the freezer, out-of-memory
 * counts. The first byte says which version; then one text for each file of the list, separated by
 * NUL. The files are real ones in a directory of memory.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "container/private.h"
#include "container/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const files_v1[] = {
    "memory.stat",   "cpu.stat",
    "cpuacct.stat",  "cpuacct.usage_percpu",
    "cpuacct.usage", "memory.limit_in_bytes",
    "pids.max",      "cgroup.procs",
    "freezer.state", "blkio.throttle.io_service_bytes_recursive",
};
static const char *const files_v2[] = {
    "memory.stat", "cpu.stat", "io.stat",      "memory.events", "memory.max",
    "memory.peak", "pids.max", "cgroup.procs", "cgroup.events", "cgroup.freeze",
};

static char g_dir[64];

static void remove_directory(void)
{
    (void)path_remove_tree(AT_FDCWD, g_dir, NULL);
}

static void make_directory(void)
{
    if (*g_dir)
        return;
    snprintf(g_dir, sizeof(g_dir), "/dev/shm/rune-fuzz.XXXXXX");
    if (!mkdtemp(g_dir))
        abort();
    atexit(remove_directory);
}

static void fill(int dir, const char *const *names, size_t count, const char *data, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        size_t length = strnlen(data, size);
        int fd = openat(dir, names[i], O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write_all(fd, data, length) < 0)
            abort();
        close(fd);
        data += length;
        size -= length;
        if (size > 0) {
            data++;
            size--;
        }
    }
}

static struct oci_state *make_state(bool v2)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_json json_t *tree = json_pack("{s:s,s:s,s:s,s:{s:s}}", "id", "x", "bundle", "/",
                                          "created", "t", "cgroupPaths",
                                          v2 ? "" : "cpu,cpuacct,memory,pids,blkio,freezer", g_dir);
    cleanup_free char *text = json_text(tree, JSON_COMPACT);
    struct oci_state *state = NULL;
    if (oci_state_parse(text, strlen(text), &state, &err) < 0)
        abort();
    return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    make_directory();
    bool v2 = data[0] & 1;
    cleanup_close int dir = open(g_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        abort();
    fill(dir, v2 ? files_v2 : files_v1, v2 ? array_count(files_v2) : array_count(files_v1),
         (const char *)data + 1, size - 1);
    struct container container = {.dir = -1, .state = make_state(v2)};
    cleanup_json json_t *stats = container_stats(&container);
    /* What cannot be told must be left out, not stop the rest. */
    if (!json_is_object(json_object_get(stats, "cpu")) ||
        !json_is_object(json_object_get(stats, "memory")))
        abort();
    free(json_text(stats, JSON_COMPACT));
    struct cgroup cgroup;
    cgroup_from_state(container.state, &cgroup);
    (void)cgroup_frozen(&cgroup);
    cleanup_free pid_t *pids = NULL;
    size_t count = 0;
    cleanup_error struct error err = ERROR_INIT;
    if (cgroup_pids(&cgroup, &pids, &count, &err) == 0)
        for (size_t i = 0; i < count; i++)
            if (pids[i] <= 0)
                abort(); /* they get signals */
    cgroup_release(&cgroup);
    oci_state_free(container.state);
    return 0;
}
