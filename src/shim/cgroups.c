/* SPDX-License-Identifier: Apache-2.0 */
/* Which cgroups a process is in: of whatever runtime, from /proc. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/procfs.h"
#include "shim/shim.h"

enum {
    CONTROLLERS_MAX = 32,
    PROC_MAX = 4 << 20,
};

/* A controller ("" for the unified hierarchy) and a directory: its mount point, or a cgroup. */
struct entry {
    char *controller, *path;
};

struct cgroups {
    struct entry entries[CONTROLLERS_MAX];
    size_t count;
};

static void add(struct cgroups *cgroups, const char *controller, char *path)
{
    if (cgroups->count == CONTROLLERS_MAX) {
        free(path);
        return;
    }
    cgroups->entries[cgroups->count++] = (struct entry){xstrdup(controller), path};
}

static const struct entry *find(const struct cgroups *cgroups, const char *controller)
{
    for (size_t i = 0; i < cgroups->count; i++)
        if (strcmp(cgroups->entries[i].controller, controller) == 0)
            return &cgroups->entries[i];
    return NULL;
}

void cgroups_free(struct cgroups *cgroups)
{
    if (!cgroups)
        return;
    for (size_t i = 0; i < cgroups->count; i++) {
        free(cgroups->entries[i].controller);
        free(cgroups->entries[i].path);
    }
    free(cgroups);
}

/*
 * Where the hierarchies are mounted. Flags among the options are as good as controllers that nobody
 * asks for.
 */
static void read_mounts(struct cgroups *out)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    struct procfs_mount mount;
    if (read_file_at(AT_FDCWD, "/proc/self/mountinfo", &text, PROC_MAX, NULL) < 0)
        return;
    char *rest = text.data;
    while (procfs_next_mount(&rest, &mount)) {
        if (strcmp(mount.type, "cgroup2") == 0) {
            if (!find(out, ""))
                add(out, "", xstrdup(mount.point));
        } else if (strcmp(mount.type, "cgroup") == 0) {
            char *options = mount.options;
            for (char *name; (name = strsep(&options, ","));)
                if (!find(out, name))
                    add(out, name, xstrdup(mount.point));
        }
    }
}

struct cgroups *cgroups_of(pid_t pid)
{
    char name[64];
    cleanup_buffer struct buffer text = BUFFER_INIT;
    snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
    if (read_file_at(AT_FDCWD, name, &text, PROC_MAX, NULL) < 0)
        return NULL;
    struct cgroups *mounts = xcalloc(1, sizeof(*mounts)), *out = xcalloc(1, sizeof(*out));
    read_mounts(mounts);
    char *rest = text.data, *controllers, *path;
    while (procfs_next_cgroup(&rest, &controllers, &path)) {
        do {
            char *controller = strsep(&controllers, ",");
            const struct entry *mount = find(mounts, controller);
            if (mount)
                add(out, controller, path_join(mount->path, path));
        } while (controllers);
    }
    cgroups_free(mounts);
    return out;
}

const char *cgroups_path(const struct cgroups *cgroups, const char *controller)
{
    const struct entry *entry = cgroups ? find(cgroups, controller) : NULL;
    return entry ? entry->path : NULL;
}

bool cgroups_unified(const struct cgroups *cgroups)
{
    return find(cgroups, "") && !find(cgroups, "memory") && !find(cgroups, "pids") &&
           !find(cgroups, "cpu");
}

int cgroups_join(const char *path, pid_t pid, struct error *err)
{
    struct cgroups *mounts = xcalloc(1, sizeof(*mounts));
    char number[16];
    int size = snprintf(number, sizeof(number), "%d", (int)pid), joined = 0;
    read_mounts(mounts);
    for (size_t i = 0; i < mounts->count; i++) {
        cleanup_free char *dir = path_join(mounts->entries[i].path, path);
        cleanup_free char *procs = path_join(dir, "cgroup.procs");
        if (access(procs, F_OK) == 0 &&
            write_file_at(AT_FDCWD, procs, number, (size_t)size, err) == 0)
            joined++;
    }
    cgroups_free(mounts);
    if (joined > 0) {
        error_release(err);
        return 0;
    }
    return error_wrap(err, "failed to join cgroup %s", path);
}
