/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root file system: made private and bound to itself, protected, and finally switched to. Runs
 * in the init. Every path below the root is resolved by base/path.h, never by the kernel from "/".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/procfs.h"
#include "container/private.h"

int sys_open_tree(int dirfd, const char *path, unsigned flags)
{
    return (int)syscall(SYS_open_tree, dirfd, path, flags);
}

static int sys_move_mount(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return (int)syscall(SYS_move_mount, from_fd, from, to_fd, to, flags);
}

int sys_mount_setattr(int dirfd, const char *path, unsigned flags, uint64_t set, uint64_t clear,
                      uint64_t propagation, int userns_fd)
{
    struct mount_attr attr = {.attr_set = set,
                              .attr_clr = clear,
                              .propagation = propagation,
                              .userns_fd = userns_fd >= 0 ? (uint64_t)userns_fd : 0};
    return (int)syscall(SYS_mount_setattr, dirfd, path, flags, &attr, sizeof(attr));
}

int mount_on_fd(const char *source, int target, const char *type, unsigned long flags,
                const char *data)
{
    struct fd_path path;
    return mount(source, fd_path_of(&path, target), type, flags, data);
}

/* Put a detached mount on the object that `target` is. */
int mount_detached(int mount_fd, int target)
{
    return sys_move_mount(mount_fd, "", target, "",
                          MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int set_propagation(const struct container_init *init, struct error *err)
{
    const char *wanted = init->config->rootfs_propagation;
    /* "slave" unless told otherwise: the host's unmounts reach us, ours never reach the host. */
    unsigned flags = wanted ? mount_propagation(wanted) | MS_REC : MS_SLAVE | MS_REC;
    /* An unbindable root could not be bound to itself below: it becomes that at the end. */
    if (flags & MS_UNBINDABLE)
        flags = MS_PRIVATE | MS_REC;
    if (mount(NULL, "/", NULL, flags, NULL) < 0)
        return error_errno(err, errno, "set the propagation of /");
    return 0;
}

/* pivot_root() refuses a root whose parent mount is shared. */
static int make_parent_private(const char *rootfs, struct error *err)
{
    cleanup_free char *path = xstrdup(rootfs);
    for (;;) {
        if (mount(NULL, path, NULL, MS_PRIVATE, NULL) == 0)
            return 0;
        if (errno != EINVAL || strcmp(path, "/") == 0)
            return error_errno(err, errno, "make the mount above the root filesystem private");
        char *slash = strrchr(path, '/');
        if (slash == path)
            slash[1] = '\0';
        else
            *slash = '\0';
    }
}

/*
 * A writable layer of the container's own, in memory, over a root that is to stay as it is: mount
 * points are made there. The root was bound to itself, so what lies below goes with our namespace.
 * Where the kernel has no such overlay (in a user namespace before 5.11, over two others) mount
 * points are made in the root itself.
 */
static void cover_root(const char *rootfs)
{
    cleanup_close int lower = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (lower < 0 || mount("tmpfs", rootfs, "tmpfs", MS_NODEV | MS_NOSUID, "mode=755") < 0)
        return;
    cleanup_close int layer = open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char options[128];
    snprintf(
        options, sizeof(options),
        "lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d/upper,workdir=/proc/self/fd/%d/work",
        lower, layer, layer);
    if (layer < 0 || mkdirat(layer, "upper", 0755) < 0 || mkdirat(layer, "work", 0700) < 0 ||
        mount("overlay", rootfs, "overlay", 0, options) < 0) {
        log_debug("mount points are made in the root filesystem: no overlay: %s", strerror(errno));
        (void)umount2(rootfs, MNT_DETACH);
    }
}

int rootfs_prepare(struct container_init *init, bool untouched, int *root_fd, struct error *err)
{
    const char *rootfs = init->rootfs;
    bool own_mounts = init->config->namespaces[OCI_NS_MOUNT].present;
    if (own_mounts) {
        if (set_propagation(init, err) < 0)
            return -1;
        const char *wanted = init->config->rootfs_propagation;
        if (wanted && (mount_propagation(wanted) & MS_SHARED) &&
            make_parent_private(rootfs, err) < 0)
            return -1;
        if (mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) < 0)
            return error_errno(err, errno, "bind the root filesystem %s", rootfs);
        if (untouched)
            cover_root(rootfs);
    }
    *root_fd = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*root_fd < 0)
        return error_errno(err, errno, "open the root filesystem %s", rootfs);
    return 0;
}

/* ---- masked and read-only paths ---- */

/*
 * Masking goes by descriptors throughout: the object is opened once, in the root, and what is
 * checked is what gets covered. The empty directory and /dev/null that cover it come from outside
 * the container (CVE-2025-31133).
 */
struct mask {
    int null_fd;      /* detached mount of the host's /dev/null, cloned for each file */
    int directory_fd; /* detached empty read-only tmpfs */
};

static int open_null(struct error *err)
{
    cleanup_close int fd = open("/dev/null", O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "open /dev/null");
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
        return error_set(err, "/dev/null is not the null device");
    return take_fd(fd);
}

static int make_empty_directory(const struct container_init *init, struct error *err)
{
    cleanup_close int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0)
        return error_errno(err, errno, "open a tmpfs for masked paths");
    const char *label = init->config->mount_label;
    if ((label && syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "context", label, 0) < 0) ||
        syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_blocks", "1", 0) < 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0) < 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return error_errno(err, errno, "create a tmpfs for masked paths");
    int fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                          MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                              MOUNT_ATTR_NOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "mount a tmpfs for masked paths");
    return fd;
}

static int cover(int source, int target)
{
    cleanup_close int clone = sys_open_tree(source, "",
                                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (clone < 0)
        return -1;
    return mount_detached(clone, target);
}

static int mask_path(const struct container_init *init, struct mask *mask, int root_fd,
                     const char *path, struct error *err)
{
    cleanup_close int target = path_open_in_root(root_fd, path, O_PATH, 0, NULL);
    if (target == -ENOENT || target == -ENOTDIR || target == -EACCES)
        return 0;
    if (target < 0)
        return error_errno(err, -target, "mask %s", path);
    struct stat st;
    if (fstat(target, &st) < 0)
        return error_errno(err, errno, "mask %s", path);
    int *source = S_ISDIR(st.st_mode) ? &mask->directory_fd : &mask->null_fd;
    int ret = 0;
    if (*source < 0) {
        *source = S_ISDIR(st.st_mode) ? make_empty_directory(init, err) : open_null(err);
        if (*source < 0)
            return *source;
        /* The first use takes the mount itself; clones of a detached mount are refused before
         * Linux 6.15. */
        if (S_ISDIR(st.st_mode)) {
            ret = mount_detached(*source, target);
            return ret < 0 ? error_errno(err, errno, "mask %s", path) : 0;
        }
    }
    ret = cover(*source, target);
    return ret < 0 ? error_errno(err, errno, "mask %s", path) : 0;
}

static int make_readonly(int root_fd, const char *path, struct error *err)
{
    cleanup_close int target = path_open_in_root(root_fd, path, O_PATH, 0, NULL);
    if (target == -ENOENT || target == -ENOTDIR || target == -EACCES)
        return 0;
    if (target < 0)
        return error_errno(err, -target, "make %s read-only", path);
    cleanup_close int clone = sys_open_tree(
        target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (clone < 0 || sys_mount_setattr(clone, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, 0, -1) < 0 ||
        mount_detached(clone, target) < 0)
        return error_errno(err, errno, "make %s read-only", path);
    return 0;
}

static int protect_dev(const struct oci_config *config, int root_fd, struct error *err)
{
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct oci_mount *mount = &config->mounts[i];
        if (strcmp(mount->destination, "/dev") != 0 || !mount->type ||
            strcmp(mount->type, "tmpfs") != 0)
            continue;
        struct mount_plan plan;
        mount_plan_parse(mount, &plan);
        bool readonly = plan.flags & MS_RDONLY;
        mount_plan_release(&plan);
        if (!readonly)
            continue;
        cleanup_close int dev = path_open_in_root(root_fd, "/dev", O_PATH | O_DIRECTORY, 0, err);
        if (dev < 0)
            return dev;
        if (sys_mount_setattr(dev, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, 0, -1) < 0)
            return error_errno(err, errno, "make /dev read-only");
    }
    return 0;
}

int rootfs_protect(struct container_init *init, int root_fd, struct error *err)
{
    const struct oci_config *config = init->config;
    if (!config->namespaces[OCI_NS_MOUNT].present)
        return 0;
    for (size_t i = 0; i < config->readonly_paths.count; i++)
        if (make_readonly(root_fd, config->readonly_paths.items[i], err) < 0)
            return -1;
    struct mask mask = {-1, -1};
    int ret = 0;
    for (size_t i = 0; i < config->masked_paths.count && ret == 0; i++)
        ret = mask_path(init, &mask, root_fd, config->masked_paths.items[i], err);
    close_and_reset(&mask.null_fd);
    close_and_reset(&mask.directory_fd);
    if (ret < 0 || protect_dev(config, root_fd, err) < 0)
        return -1;
    if (config->root_readonly) {
        /* O_PATH of the mount's root is what the attribute goes to; the bind of rootfs_prepare
         * makes it ours alone. */
        if (sys_mount_setattr(root_fd, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, 0, -1) < 0)
            return error_errno(err, errno, "make the root filesystem read-only");
    }
    return 0;
}

/* ---- the switch ---- */

static int pivot(int root_fd, struct error *err)
{
    cleanup_close int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old < 0)
        return error_errno(err, errno, "open /");
    if (fchdir(root_fd) < 0)
        return error_errno(err, errno, "enter the root filesystem");
    /* Old root on top of the new one, in the same place: no directory for it is needed. */
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return error_errno(err, errno, "pivot_root");
    if (fchdir(old) < 0)
        return error_errno(err, errno, "enter the old root");
    /* What is unmounted here must not be unmounted on the host. */
    if (mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0 || umount2(".", MNT_DETACH) < 0)
        return error_errno(err, errno, "unmount the old root");
    if (chdir("/") < 0)
        return error_errno(err, errno, "enter /");
    return 0;
}

/*
 * Without pivot_root the host's mounts stay below ours. A complete /proc or /sys among them would
 * let the container mount one of its own without the masks (the kernel allows that only to who sees
 * one in full): take them away.
 */
static int hide_host_filesystems(const char *rootfs, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    enum { MOUNTINFO_MAX = 16 << 20 };
    if (read_file_at(AT_FDCWD, "/proc/self/mountinfo", &text, MOUNTINFO_MAX, err) < 0)
        return -1;
    size_t length = strlen(rootfs);
    char *rest = text.data;
    for (struct procfs_mount mounted; procfs_next_mount(&rest, &mounted);) {
        const char *point = mounted.point;
        if (strcmp(mounted.type, "proc") != 0 && strcmp(mounted.type, "sysfs") != 0)
            continue;
        if (strncmp(point, rootfs, length) == 0 && (point[length] == '/' || !point[length]))
            continue;
        (void)mount(NULL, point, NULL, MS_PRIVATE, NULL);
        if (umount2(point, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT && errno != EPERM)
            return error_errno(err, errno, "unmount %s", point);
    }
    return 0;
}

/* For a root that is no mount of its own kind (initramfs): move the new root over /. */
static int move_root(const char *rootfs, int root_fd, struct error *err)
{
    if (hide_host_filesystems(rootfs, err) < 0)
        return -1;
    if (fchdir(root_fd) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        return error_errno(err, errno, "move the root filesystem to /");
    return 0;
}

int rootfs_switch(struct container_init *init, int root_fd, struct error *err)
{
    const char *wanted = init->config->rootfs_propagation;
    int ret;
    if (!init->config->namespaces[OCI_NS_MOUNT].present) {
        if (fchdir(root_fd) < 0 || chroot(".") < 0 || chdir("/") < 0)
            return error_errno(err, errno, "chroot");
        return 0;
    }
    if (init->no_pivot)
        ret = move_root(init->rootfs, root_fd, err);
    else
        ret = pivot(root_fd, err);
    if (ret == 0 && wanted && (mount_propagation(wanted) & (MS_SHARED | MS_UNBINDABLE)) &&
        mount(NULL, "/", NULL, mount_propagation(wanted), NULL) < 0)
        ret = error_errno(err, errno, "set the propagation of the root filesystem to %s", wanted);
    return ret;
}
