/* SPDX-License-Identifier: Apache-2.0 */
/* A mount of type cgroup: the container's own cgroups, in the layout of the host. Runs in the
 * init. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "container/private.h"

static int mount_unified(struct container_init *init, int target, const struct oci_mount *mount,
                         const struct mount_plan *plan, struct error *err)
{
    if (mount_on_fd("cgroup", target, "cgroup2", plan->flags, NULL) == 0)
        return 0;
    if (errno != EPERM && errno != EBUSY)
        return error_errno(err, errno, "mount %s (type cgroup2)", mount->destination);
    /* In a user namespace without an own cgroup namespace: the directory itself. */
    const char *path = json_string_value(json_object_get(init->cgroup_mounts, ""));
    cleanup_close int tree = sys_open_tree(AT_FDCWD, path ? path : "/sys/fs/cgroup",
                                           OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0 ||
        sys_mount_setattr(tree, "", AT_EMPTY_PATH, plan->attr_set, plan->attr_clear, 0, -1) < 0 ||
        mount_detached(tree, target) < 0)
        return error_errno(err, errno, "mount %s (type cgroup2)", mount->destination);
    return 0;
}

/* One v1 hierarchy, below the tmpfs: by itself in a cgroup namespace, else as a bind of the
 * container's directory. */
static int mount_hierarchy(struct container_init *init, int dir, const char *host_name,
                           const char *path, const struct mount_plan *plan, struct error *err)
{
    if (mkdirat(dir, host_name, 0755) < 0 && errno != EEXIST)
        return error_errno(err, errno, "create %s", host_name);
    cleanup_close int target = openat(dir, host_name,
                                      O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0)
        return error_errno(err, errno, "open %s", host_name);
    if (init->config->namespaces[OCI_NS_CGROUP].present && !init->new_user_namespace) {
        cleanup_free char *data = strcmp(host_name, "systemd") == 0
                                      ? xstrdup("none,name=systemd,xattr")
                                      : xstrdup(host_name);
        if (mount_on_fd("cgroup", target, "cgroup", plan->flags, data) == 0)
            return 0;
        if (errno != EPERM && errno != EBUSY && errno != EINVAL)
            return error_errno(err, errno, "mount cgroup %s", host_name);
    }
    cleanup_close int tree = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 ||
        sys_mount_setattr(tree, "", AT_EMPTY_PATH, plan->attr_set, plan->attr_clear, 0, -1) < 0 ||
        mount_detached(tree, target) < 0)
        return error_errno(err, errno, "mount cgroup %s", host_name);
    return 0;
}

/* Controllers mounted together ("cpu,cpuacct") get a link for each. */
static int link_controllers(int dir, const char *host_name, struct error *err)
{
    if (!strchr(host_name, ','))
        return 0;
    cleanup_free char *copy = xstrdup(host_name);
    char *save = NULL;
    for (char *name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save))
        if (symlinkat(host_name, dir, name) < 0 && errno != EEXIST)
            return error_errno(err, errno, "link %s", name);
    return 0;
}

char *cgroup_hierarchy_name(const char *path)
{
    static const char prefix[] = "/sys/fs/cgroup/";
    if (strncmp(path, prefix, sizeof(prefix) - 1) != 0)
        return NULL;
    path += sizeof(prefix) - 1;
    return xstrndup(path, strcspn(path, "/"));
}

int mount_cgroups(struct container_init *init, int root_fd, int target,
                  const struct oci_mount *mount, const struct mount_plan *plan, struct error *err)
{
    if (json_object_get(init->cgroup_mounts, "") || json_object_size(init->cgroup_mounts) == 0)
        return mount_unified(init, target, mount, plan, err);

    unsigned long flags = plan->flags & ~(unsigned long)MS_RDONLY;
    if (mount_on_fd("tmpfs", target, "tmpfs", flags, "mode=755") < 0)
        return error_errno(err, errno, "mount %s (tmpfs for cgroups)", mount->destination);
    cleanup_close int dir = path_open_in_root(root_fd, mount->destination, O_RDONLY | O_DIRECTORY,
                                              0, err);
    if (dir < 0)
        return dir;
    const char *controller;
    json_t *value;
    json_object_foreach (init->cgroup_mounts, controller, value) {
        const char *path = json_string_value(value);
        cleanup_free char *name = cgroup_hierarchy_name(path);
        if (!name || strcmp(name, "unified") == 0 ||
            faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        if (mount_hierarchy(init, dir, name, path, plan, err) < 0 ||
            link_controllers(dir, name, err) < 0)
            return error_wrap(err, "mount %s", mount->destination);
    }
    if ((plan->flags & MS_RDONLY) &&
        sys_mount_setattr(dir, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, 0, -1) < 0)
        return error_errno(err, errno, "make %s read-only", mount->destination);
    return 0;
}
