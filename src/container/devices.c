/* SPDX-License-Identifier: Apache-2.0 */
/* Device nodes and the links of /dev that the specification asks for. Runs in the init, before
 * pivot_root. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "container/private.h"

static const struct oci_device default_devices[] = {
    {"/dev/null", S_IFCHR | 0666, 1, 3},    {"/dev/zero", S_IFCHR | 0666, 1, 5},
    {"/dev/full", S_IFCHR | 0666, 1, 7},    {"/dev/random", S_IFCHR | 0666, 1, 8},
    {"/dev/urandom", S_IFCHR | 0666, 1, 9}, {"/dev/tty", S_IFCHR | 0666, 5, 0},
};

/* A user namespace may not make device nodes: bind the host's. */
static int bind_device(int parent, const char *name, const struct oci_device *device,
                       struct error *err)
{
    /* An object that is there already serves as well; the open below tells. */
    int made = openat(parent, name, O_CREAT | O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
    if (made >= 0)
        close(made);
    cleanup_close int target = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0)
        return error_errno(err, errno, "create %s", device->path);
    cleanup_close int tree = sys_open_tree(AT_FDCWD, device->path,
                                           OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 || mount_detached(tree, target) < 0)
        return error_errno(err, errno, "bind device %s", device->path);
    return 0;
}

static int make_device(struct container_init *init, int parent, const char *name,
                       const struct oci_device *device, struct error *err)
{
    if (init->new_user_namespace && !S_ISFIFO(device->mode))
        return bind_device(parent, name, device, err);
    dev_t number = S_ISFIFO(device->mode)
                       ? 0
                       : makedev((unsigned)device->major, (unsigned)device->minor);
    if (mknodat(parent, name, device->mode, number) < 0) {
        if (errno == EPERM)
            return bind_device(parent, name, device, err);
        if (errno != EEXIST)
            return error_errno(err, errno, "create device %s", device->path);
        struct stat st;
        if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return error_errno(err, errno, "stat device %s", device->path);
        if ((st.st_mode & S_IFMT) != (device->mode & S_IFMT) || st.st_rdev != number) {
            if (unlinkat(parent, name, 0) < 0 || mknodat(parent, name, device->mode, number) < 0)
                return error_errno(err, errno, "replace device %s", device->path);
        }
    }
    if ((device->uid || device->gid) &&
        fchownat(parent, name, device->uid, device->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, errno, "change the owner of %s", device->path);
    return 0;
}

static int create_one(struct container_init *init, int root_fd, int dev_fd,
                      const struct oci_device *device, struct error *err)
{
    /* Nearly all lie directly in /dev, whose descriptor is at hand. */
    if (dev_fd >= 0 && strncmp(device->path, "/dev/", 5) == 0 && !strchr(device->path + 5, '/') &&
        device->path[5] && device->path[5] != '.')
        return make_device(init, dev_fd, device->path + 5, device, err);
    cleanup_free char *name = NULL;
    cleanup_close int parent = path_parent_in_root(root_fd, device->path, &name, err);
    if (parent < 0)
        return parent;
    return make_device(init, parent, name, device, err);
}

static bool configured(const struct oci_config *config, const char *path)
{
    for (size_t i = 0; i < config->device_count; i++)
        if (strcmp(config->devices[i].path, path) == 0)
            return true;
    return false;
}

const char *device_path(const struct oci_config *config, size_t index)
{
    size_t defaults = array_count(default_devices);
    if (index < defaults)
        return default_devices[index].path;
    return index - defaults < config->device_count ? config->devices[index - defaults].path : NULL;
}

static int create_links(int dev_fd, struct error *err)
{
    static const char *const links[][2] = {
        {"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
        {"/proc/self/fd/2", "stderr"}, {"/proc/kcore", "core"},      {"pts/ptmx", "ptmx"},
    };
    for (size_t i = 0; i < array_count(links); i++) {
        if (strcmp(links[i][1], "core") == 0 && access("/proc/kcore", F_OK) < 0)
            continue;
        if (symlinkat(links[i][0], dev_fd, links[i][1]) == 0 || errno == EROFS)
            continue;
        if (errno != EEXIST)
            return error_errno(err, errno, "create /dev/%s", links[i][1]);
        /* An image may bring a ptmx node of the host's devpts; ours must win. */
        struct stat st;
        if (strcmp(links[i][1], "ptmx") == 0 &&
            fstatat(dev_fd, "ptmx", &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISLNK(st.st_mode) &&
            (unlinkat(dev_fd, "ptmx", 0) < 0 || symlinkat("pts/ptmx", dev_fd, "ptmx") < 0) &&
            errno != EROFS && errno != EBUSY)
            return error_errno(err, errno, "replace /dev/ptmx");
    }
    return 0;
}

int devices_create(struct container_init *init, int root_fd, struct error *err)
{
    const struct oci_config *config = init->config;
    /* A /dev bound from the host is complete, and not ours to change. */
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct oci_mount *mount = &config->mounts[i];
        if (strcmp(mount->destination, "/dev") == 0 && mount->type &&
            strcmp(mount->type, "bind") == 0)
            return 0;
    }
    cleanup_close int dev_fd = path_mkdir_p_in_root(root_fd, "/dev", 0755, err);
    if (dev_fd < 0)
        return dev_fd;
    mode_t old = umask(0);
    int ret = 0;
    for (size_t i = 0; i < array_count(default_devices) && ret == 0; i++)
        if (!configured(config, default_devices[i].path))
            ret = create_one(init, root_fd, dev_fd, &default_devices[i], err);
    /* /dev/ptmx is the link to the container's own devpts, whatever the list says. */
    for (size_t i = 0; i < config->device_count && ret == 0; i++)
        if (strcmp(config->devices[i].path, "/dev/ptmx") != 0)
            ret = create_one(init, root_fd, dev_fd, &config->devices[i], err);
    if (ret == 0)
        ret = create_links(dev_fd, err);
    umask(old);
    return ret;
}
