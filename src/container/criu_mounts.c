/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts of a container that CRIU must not look into: binds from the host, cgroup directories,
 * masks, devices. CRIU calls them external; both sides of a checkpoint name them alike, so the
 * names are made by one function.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "container/criu.h"

struct mounts {
    const struct oci_config *config;
    const struct cgroup *cgroup;
    const char *bundle;
    int root_fd;
    bool dump;
    Criu__Options *rpc;
};

const char criu_root_name[] = "criu-root";

void criu_unbind_root(const char *state_dir)
{
    cleanup_free char *path = path_join(state_dir, criu_root_name);
    /* Detached, so that what others hold open in it keeps nothing here. Mostly there is none. */
    (void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

/* ---- names ---- */

/*
 * Where a mount of the configuration really is, links of the image resolved, in the container's
 * terms. What is not there yet (or lies on a mount of the container) stays as it is written.
 */
static char *resolve(int root_fd, const char *destination)
{
    cleanup_free char *head = path_clean(destination), *tail = xstrdup("");
    for (;;) {
        cleanup_close int fd = path_open_in_root(root_fd, head, O_PATH, 0, NULL);
        cleanup_free char *place = fd >= 0 ? path_in_root(root_fd, fd) : NULL;
        if (place)
            return strcmp(place, "/") == 0 && *tail ? xstrdup(tail)
                                                    : xasprintf("%s%s", place, tail);
        char *slash = strrchr(head, '/');
        if (!slash || !slash[1])
            return path_clean(destination);
        char *longer = xasprintf("%s%s", slash, tail);
        free(tail);
        tail = longer;
        slash[slash == head] = '\0';
    }
}

static void add(const struct mounts *m, const char *destination, const char *source)
{
    cleanup_free char *place = resolve(m->root_fd, destination);
    criu_add_mount(m->rpc, place, m->dump ? place : source);
}

/* Version 1 hierarchies without a cgroup namespace are binds of the container's directories. */
static void add_cgroups(const struct mounts *m, const struct oci_mount *mount)
{
    const struct oci_namespace *namespaces = m->config->namespaces;
    if (m->cgroup->v2 || (namespaces[OCI_NS_CGROUP].present && !namespaces[OCI_NS_USER].present))
        return;
    const char *key;
    json_t *value;
    json_object_foreach (m->cgroup->paths, key, value) {
        const char *path = json_string_value(value);
        cleanup_free char *name = cgroup_hierarchy_name(path);
        if (!name || strcmp(name, "unified") == 0)
            continue;
        cleanup_free char *place = path_join(mount->destination, name);
        add(m, place, path);
    }
}

static void add_configured(const struct mounts *m)
{
    for (size_t i = 0; i < m->config->mount_count; i++) {
        const struct oci_mount *mount = &m->config->mounts[i];
        struct mount_plan plan;
        mount_plan_parse(mount, &plan);
        bool bind = plan.bind;
        mount_plan_release(&plan);
        if (bind && mount->source) {
            cleanup_free char *source = mount->source[0] == '/'
                                            ? xstrdup(mount->source)
                                            : path_join(m->bundle, mount->source);
            /* CRIU compares it with the names of mount points: neither dots nor links. */
            cleanup_free char *real = realpath(source, NULL);
            add(m, mount->destination, real ? real : source);
        } else if (!bind && mount->type && strncmp(mount->type, "cgroup", 6) == 0) {
            add_cgroups(m, mount);
        }
    }
}

/* Masked files have the host's /dev/null on them; masked directories a tmpfs, which CRIU saves. */
static int add_masks(const struct mounts *m, pid_t pid, struct error *err)
{
    const struct oci_strings *masked = &m->config->masked_paths;
    if (!m->dump) {
        if (masked->count > 0)
            criu_add_mount(m->rpc, "/dev/null", "/dev/null");
        return 0;
    }
    cleanup_free char *path = xasprintf("/proc/%d/root", (int)pid);
    cleanup_close int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_errno(err, errno, "open the root of process %d", (int)pid);
    for (size_t i = 0; i < masked->count; i++) {
        cleanup_close int fd = path_open_in_root(root, masked->items[i], O_PATH, 0, NULL);
        struct stat st;
        if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
            criu_add_mount(m->rpc, masked->items[i], "/dev/null");
    }
    return 0;
}

int criu_external_mounts(const struct oci_config *config, const struct cgroup *cgroup,
                         const char *rootfs, const char *bundle, pid_t pid, Criu__Options *rpc,
                         struct error *err)
{
    cleanup_close int root_fd = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return error_errno(err, errno, "open the root filesystem %s", rootfs);
    struct mounts m = {config, cgroup, bundle, root_fd, pid > 0, rpc};
    add_configured(&m);
    if (add_masks(&m, pid, err) < 0)
        return -1;
    /* In a user namespace devices are binds of the host's. */
    const char *device;
    for (size_t i = 0; (device = device_path(config, i)); i++)
        add(&m, device, device);
    return 0;
}

/* ---- mount points for a restore ---- */

/* CRIU brings back what a tmpfs holds, mount points included. */
static bool below_tmpfs(const struct oci_config *config, const char *destination)
{
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct oci_mount *mount = &config->mounts[i];
        size_t length = strlen(mount->destination);
        if (mount->type && strcmp(mount->type, "tmpfs") == 0 &&
            strncmp(destination, mount->destination, length) == 0 && destination[length] == '/')
            return true;
    }
    return false;
}

/* Binds are mounted, because mount points of later ones may lie in them. */
static int make_bind_point(int root_fd, const struct oci_mount *mount, const char *bundle,
                           struct error *err)
{
    cleanup_free char *source = mount->source[0] == '/' ? xstrdup(mount->source)
                                                        : path_join(bundle, mount->source);
    cleanup_close int tree = sys_open_tree(AT_FDCWD, source,
                                           OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    struct stat st;
    if (tree < 0 || fstat(tree, &st) < 0)
        return error_errno(err, errno, "bind mount %s to %s", source, mount->destination);
    cleanup_close int target = path_make_target_in_root(root_fd, mount->destination,
                                                        S_ISDIR(st.st_mode), 0755, err);
    if (target < 0)
        return target;
    if (mount_detached(tree, target) < 0)
        return error_errno(err, errno, "bind mount %s to %s", source, mount->destination);
    return 0;
}

struct points {
    const struct oci_config *config;
    const char *rootfs, *bundle;
};

static int make_points(void *ctx, struct error *err)
{
    const struct points *points = ctx;
    const struct oci_config *config = points->config;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
        return error_errno(err, errno, "make a mount namespace");
    cleanup_close int root_fd = open(points->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return error_errno(err, errno, "open the root filesystem %s", points->rootfs);
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct oci_mount *mount = &config->mounts[i];
        if (below_tmpfs(config, mount->destination) ||
            (mount->type && strncmp(mount->type, "cgroup", 6) == 0))
            continue;
        struct mount_plan plan;
        mount_plan_parse(mount, &plan);
        bool bind = plan.bind, remount = plan.flags & MS_REMOUNT;
        mount_plan_release(&plan);
        if (remount)
            continue;
        if (bind && mount->source) {
            if (make_bind_point(root_fd, mount, points->bundle, err) < 0)
                return -1;
            continue;
        }
        cleanup_close int point = path_mkdir_p_in_root(root_fd, mount->destination, 0755, err);
        if (point < 0)
            return point;
    }
    return 0;
}

/* In a child with a mount namespace of its own: the binds end with it. */
int criu_make_mount_points(const struct oci_config *config, const char *rootfs, const char *bundle,
                           struct error *err)
{
    struct points points = {config, rootfs, bundle};
    pid_t pid = child_start(make_points, &points, err);
    if (pid < 0)
        return error_wrap(err, "make mount points");
    return child_wait(pid) == 0 ? 0 : error_set(err, "make mount points: the helper process died");
}
