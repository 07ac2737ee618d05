/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of config.json, in order. Runs in the init, before pivot_root, by descriptors below
 * the root. */
#include "container/mount_options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "container/private.h"

#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

char *path_in_root(int root_fd, int fd)
{
    struct fd_path link;
    char root[PATH_MAX], path[PATH_MAX];
    ssize_t root_size = readlink(fd_path_of(&link, root_fd), root, sizeof(root) - 1);
    ssize_t size = readlink(fd_path_of(&link, fd), path, sizeof(path) - 1);
    if (root_size < 0 || size < 0)
        return NULL;
    root[root_size] = path[size] = '\0';
    if (root_size == 1)
        return xstrdup(path);
    if (strncmp(path, root, (size_t)root_size) != 0 ||
        (path[root_size] != '/' && path[root_size] != '\0'))
        return NULL;
    return path[root_size] ? xstrdup(path + root_size) : xstrdup("/");
}

/*
 * A mount below /proc could hide what later writes go through (attr/exec, sysctl). Only what
 * LXCFS-like helpers provide may be covered, and /proc itself only by procfs or by a directory tree
 * given on purpose.
 */
static int check_proc_target(const char *place, const char *destination, bool is_proc,
                             struct error *err)
{
    static const char *const allowed[] = {
        "/proc/cpuinfo",
        "/proc/diskstats",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/uptime",
        "/proc/loadavg",
        "/proc/slabinfo",
        "/proc/net/dev",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/sys/crypto/fips_enabled",
    };
    if (strncmp(place, "/proc", 5) != 0 || (place[5] != '\0' && place[5] != '/'))
        return 0;
    if (place[5] == '\0')
        return is_proc ? 0 : error_set(err, "%s must be a mount of type proc", destination);
    for (size_t i = 0; i < array_count(allowed); i++)
        if (strcmp(place, allowed[i]) == 0)
            return 0;
    return error_set(err, "%s is inside /proc, which is not allowed", destination);
}

static int check_ordinary(const char *place, const char *destination, const char *type,
                          struct error *err)
{
    cleanup_free char *clean = path_clean(destination);
    if (strcmp(clean, place) == 0 || (strcmp(type, "proc") != 0 && strcmp(type, "sysfs") != 0))
        return 0;
    return error_set(err, "filesystem \"%s\" must be mounted on ordinary directory", type);
}

static int open_target(struct container_init *init, int root_fd, const struct oci_mount *mount,
                       bool directory, bool is_proc, struct error *err)
{
    cleanup_close int fd = path_make_target_in_root(root_fd, mount->destination, directory, 0755,
                                                    err);
    if (fd < 0)
        return fd;
    cleanup_free char *place = path_in_root(root_fd, fd);
    if (!place)
        return error_set(err, "%s left the root filesystem", mount->destination);
    if (check_proc_target(place, mount->destination, is_proc, err) < 0 ||
        (mount->type && check_ordinary(place, mount->destination, mount->type, err) < 0))
        return -1;
    return take_fd(fd);
}

/* Copy what the image has below a tmpfs into it (option tmpcopyup). */
static int copy_tree(int from, int to, struct error *err);

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st,
                     struct error *err)
{
    cleanup_close int in = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    cleanup_close int out = openat(to_dir, name,
                                   O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (in < 0 || out < 0)
        return error_errno(err, errno, "copy %s", name);
    char block[65536];
    for (;;) {
        ssize_t n = read(in, block, sizeof(block));
        if (n == 0)
            break;
        if (n < 0)
            return error_errno(err, errno, "read %s", name);
        int ret = write_all(out, block, (size_t)n);
        if (ret < 0)
            return error_errno(err, -ret, "copy %s", name);
    }
    if (fchown(out, st->st_uid, st->st_gid) < 0 || fchmod(out, st->st_mode & 07777) < 0)
        return error_errno(err, errno, "copy %s", name);
    return 0;
}

static int copy_entry(int from, int to, const char *name, struct error *err)
{
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, errno, "stat %s", name);
    if (S_ISREG(st.st_mode))
        return copy_file(from, to, name, &st, err);
    if (S_ISLNK(st.st_mode)) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);
        if (n < 0)
            return error_errno(err, errno, "read link %s", name);
        target[n] = '\0';
        if (symlinkat(target, to, name) < 0 ||
            fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
            return error_errno(err, errno, "copy link %s", name);
        return 0;
    }
    if (S_ISDIR(st.st_mode)) {
        if (mkdirat(to, name, 0700) < 0)
            return error_errno(err, errno, "copy %s", name);
        cleanup_close int from_dir = openat(from, name,
                                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        cleanup_close int to_dir = openat(to, name,
                                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (from_dir < 0 || to_dir < 0)
            return error_errno(err, errno, "copy %s", name);
        if (copy_tree(from_dir, to_dir, err) < 0)
            return error_wrap(err, "%s", name);
        if (fchown(to_dir, st.st_uid, st.st_gid) < 0 || fchmod(to_dir, st.st_mode & 07777) < 0)
            return error_errno(err, errno, "copy %s", name);
        return 0;
    }
    if (mknodat(to, name, st.st_mode, st.st_rdev) < 0 ||
        fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, errno, "copy %s", name);
    return 0;
}

static int copy_tree(int from, int to, struct error *err)
{
    int copy = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy < 0)
        return error_errno(err, errno, "open a directory to copy");
    cleanup_dir DIR *dir = fdopendir(copy);
    if (!dir) {
        close(copy);
        return error_errno(err, errno, "read a directory to copy");
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (copy_entry(from, to, entry->d_name, err) < 0)
            return -1;
    }
    return 0;
}

static int apply_propagation(const struct mount_plan *plan, int fd, const char *destination,
                             struct error *err)
{
    for (size_t i = 0; i < plan->propagation_count; i++) {
        unsigned flags = plan->propagation[i];
        if (sys_mount_setattr(fd, "", AT_EMPTY_PATH | ((flags & MS_REC) ? AT_RECURSIVE : 0), 0, 0,
                              flags & ~MS_REC, -1) < 0)
            return error_errno(err, errno, "set the propagation of %s", destination);
    }
    return 0;
}

static int apply_attributes(const struct mount_plan *plan, int fd, const char *destination,
                            struct error *err)
{
    if ((plan->rec_set || plan->rec_clear) &&
        sys_mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, plan->rec_set, plan->rec_clear, 0,
                          -1) < 0)
        return error_errno(err, errno, "set recursive attributes of %s", destination);
    return 0;
}

static bool wants_idmap(const struct oci_mount *mount, const struct mount_plan *plan)
{
    return plan->idmap || mount->uid_mappings.count > 0;
}

/* The user namespace whose maps a mount gets: of mappings of its own, else the container's. */
static int mapping_namespace(const struct oci_config *config, const struct oci_mount *mount,
                             struct error *err)
{
    if (mount->uid_mappings.count > 0)
        return userns_for_mapping(&mount->uid_mappings, &mount->gid_mappings, err);
    const char *path = config->namespaces[OCI_NS_USER].path;
    if (path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        return fd < 0 ? error_errno(err, errno, "open user namespace %s", path) : fd;
    }
    if (config->uid_mappings.count == 0 || config->gid_mappings.count == 0)
        return error_set(err, "idmap needs id mappings");
    return userns_for_mapping(&config->uid_mappings, &config->gid_mappings, err);
}

static int apply_idmap(const struct oci_config *config, const struct oci_mount *mount,
                       const struct mount_plan *plan, int tree, struct error *err)
{
    cleanup_close int userns = mapping_namespace(config, mount, err);
    if (userns < 0)
        return error_wrap(err, "mount %s", mount->destination);
    if (sys_mount_setattr(tree, "", AT_EMPTY_PATH | (plan->idmap_recursive ? AT_RECURSIVE : 0),
                          MOUNT_ATTR_IDMAP, 0, 0, userns) < 0)
        return error_errno(err, errno, "id-map %s", mount->destination);
    return 0;
}

int mount_open_source(const struct oci_config *config, const char *bundle,
                      const struct oci_mount *mount, struct error *err)
{
    struct mount_plan plan;
    mount_plan_parse(mount, &plan);
    mount_plan_release(&plan); /* its numbers stay */
    if (!mount->source || !*mount->source)
        return error_set(err, "mount %s: a bind mount needs a source", mount->destination);
    cleanup_free char *source = mount->source[0] == '/' ? xstrdup(mount->source)
                                                        : path_join(bundle, mount->source);
    cleanup_close int tree = sys_open_tree(AT_FDCWD, source,
                                           OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                                               (plan.recursive ? AT_RECURSIVE : 0));
    if (tree < 0)
        return error_errno(err, errno, "bind mount %s to %s", source, mount->destination);
    if (wants_idmap(mount, &plan)) {
        int ret = apply_idmap(config, mount, &plan, tree, err);
        if (ret < 0)
            return ret;
    }
    return take_fd(tree);
}

/* From rune, which may open what the root of a user namespace may not, and map ids. */
static int ask_for_source(struct container_init *init, const struct oci_mount *mount,
                          struct error *err)
{
    int fd = -1;
    int ret = sync_send(init->sync_fd, SYNC_MOUNT, (int)(mount - init->config->mounts), NULL, -1);
    if (ret < 0)
        return error_errno(err, -ret, "ask rune for a mount");
    ret = sync_wait_go(init, &fd, err);
    if (ret < 0)
        return ret;
    return fd < 0 ? error_set(err, "rune sent no mount for %s", mount->destination) : fd;
}

static int open_source(struct container_init *init, const struct oci_mount *mount,
                       const struct mount_plan *plan, struct error *err)
{
    /* A map is written through /proc, which does not know the pids of our new pid namespace; and a
     * user namespace may not map the host's file systems. */
    if (wants_idmap(mount, plan))
        return ask_for_source(init, mount, err);
    int tree = mount_open_source(init->config, init->bundle, mount, err);
    if (tree != -EACCES || !init->new_user_namespace)
        return tree;
    /* A directory above the source is closed to the ids of the user namespace. */
    int asked = ask_for_source(init, mount, NULL);
    return asked < 0 ? tree : asked;
}

/* With a user namespace, attributes that the host set on the source are locked; keep them instead
 * of failing. */
static int set_bind_attributes(const struct mount_plan *plan, int fd)
{
    if (!plan->attr_set && !plan->attr_clear)
        return 0;
    if (sys_mount_setattr(fd, "", AT_EMPTY_PATH, plan->attr_set, plan->attr_clear, 0, -1) == 0)
        return 0;
    if (errno != EPERM)
        return -1;
    uint64_t set = plan->attr_set & ~(uint64_t)MOUNT_ATTR__ATIME;
    return set ? sys_mount_setattr(fd, "", AT_EMPTY_PATH, set, 0, 0, -1) : 0;
}

static int bind_mount(struct container_init *init, int root_fd, const struct oci_mount *mount,
                      const struct mount_plan *plan, struct error *err)
{
    cleanup_close int tree = open_source(init, mount, plan, err);
    if (tree < 0)
        return tree;
    struct stat st;
    struct statfs fs;
    if (fstat(tree, &st) < 0 || fstatfs(tree, &fs) < 0)
        return error_errno(err, errno, "stat %s", mount->source);
    cleanup_close int target = open_target(init, root_fd, mount, S_ISDIR(st.st_mode),
                                           fs.f_type == PROC_SUPER_MAGIC, err);
    if (target < 0)
        return target;
    if (set_bind_attributes(plan, tree) < 0)
        return error_errno(err, errno, "set the attributes of %s", mount->destination);
    if (apply_attributes(plan, tree, mount->destination, err) < 0)
        return -1;
    if (mount_detached(tree, target) < 0)
        return error_errno(err, errno, "bind mount %s to %s", mount->source, mount->destination);
    return apply_propagation(plan, tree, mount->destination, err);
}

/* A descriptor of the mount that was just put on `target`, which itself still names what lies
 * below. */
static int reopen_target(int root_fd, const struct oci_mount *mount, struct error *err)
{
    return path_open_in_root(root_fd, mount->destination, O_PATH, 0, err);
}

static bool label_fits(const char *type)
{
    /* procfs and sysfs take no context; mqueue does only in the initial user namespace. */
    return strcmp(type, "proc") != 0 && strcmp(type, "sysfs") != 0 && strcmp(type, "mqueue") != 0;
}

static int copy_up(int root_fd, const struct oci_mount *mount, int below, struct error *err)
{
    cleanup_close int above = reopen_target(root_fd, mount, err);
    if (above < 0)
        return above;
    cleanup_close int from = openat(below, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int to = openat(above, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 || to < 0)
        return error_errno(err, errno, "open %s to copy up", mount->destination);
    return copy_tree(from, to, err);
}

static int mount_with_fallback(const struct oci_mount *mount, int target, const char *type,
                               unsigned long flags, const char *data)
{
    const char *source = mount->source ? mount->source : type;
    if (mount_on_fd(source, target, type, flags, data) == 0)
        return 0;
    /* An unprivileged user namespace without an own network may not mount sysfs: show the host's,
     * as others do. */
    if (errno == EPERM && strcmp(type, "sysfs") == 0) {
        cleanup_close int tree = sys_open_tree(AT_FDCWD, "/sys",
                                               OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        if (tree < 0)
            return -1;
        if ((flags & MS_RDONLY) && sys_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE,
                                                     MOUNT_ATTR_RDONLY, 0, 0, -1) < 0)
            return -1;
        return mount_detached(tree, target);
    }
    return -1;
}

static bool is_there(int root_fd, const char *path)
{
    cleanup_error struct error unused = ERROR_INIT;
    cleanup_close int fd = path_open_in_root(root_fd, path, O_PATH | O_CLOEXEC, 0, &unused);
    return fd >= 0;
}

static int filesystem_mount(struct container_init *init, int root_fd, const struct oci_mount *mount,
                            const struct mount_plan *plan, struct error *err)
{
    const char *type = mount->type;
    if (!type || !*type || strcmp(type, "none") == 0)
        return error_set(err, "mount %s: the type is missing", mount->destination);
    bool tmpfs = strcmp(type, "tmpfs") == 0;
    /* A tmpfs takes the mode of the directory that it covers, unless the options say otherwise; one
     * that is made here for it covers nothing, and the tmpfs has its own default. */
    bool covers = tmpfs && is_there(root_fd, mount->destination);
    cleanup_close int target = open_target(init, root_fd, mount, true, strcmp(type, "proc") == 0,
                                           err);
    if (target < 0)
        return target;
    if (strcmp(type, "cgroup") == 0 || strcmp(type, "cgroup2") == 0)
        return mount_cgroups(init, root_fd, target, mount, plan, err);

    cleanup_buffer struct buffer data = BUFFER_INIT;
    buffer_append_text(&data, buffer_text(&plan->data));
    const char *label = init->config->mount_label;
    if (label && label_fits(type))
        buffer_append_format(&data, "%scontext=\"%s\"", data.size ? "," : "", label);
    struct stat st;
    if (covers && !strstr(buffer_text(&data), "mode=") && fstat(target, &st) == 0)
        buffer_append_format(&data, "%smode=%o", data.size ? "," : "", st.st_mode & 07777);

    unsigned long flags = plan->flags;
    bool copy = tmpfs && plan->tmpcopyup;
    /* Mount points and device nodes are still to be made in /dev; rootfs_protect() finishes
     * that. */
    if (copy || (tmpfs && strcmp(mount->destination, "/dev") == 0))
        flags &= ~(unsigned long)MS_RDONLY;
    if (mount_with_fallback(mount, target, type, flags, buffer_text(&data)) < 0) {
        if (errno != EINVAL || !label)
            return error_errno(err, errno, "mount %s (type %s, options %s)", mount->destination,
                               type, buffer_text(&data));
        /* Without SELinux in the kernel the context option is what it refuses. */
        if (mount_with_fallback(mount, target, type, flags, buffer_text(&plan->data)) < 0)
            return error_errno(err, errno, "mount %s (type %s)", mount->destination, type);
    }
    if (copy && copy_up(root_fd, mount, target, err) < 0)
        return error_wrap(err, "tmpcopyup %s", mount->destination);
    bool more = plan->propagation_count || plan->rec_set || plan->rec_clear ||
                (copy && (plan->flags & MS_RDONLY)) || plan->idmap || mount->uid_mappings.count;
    if (!more)
        return 0;
    cleanup_close int mounted = reopen_target(root_fd, mount, err);
    if (mounted < 0)
        return mounted;
    if (copy && (plan->flags & MS_RDONLY) &&
        sys_mount_setattr(mounted, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, 0, -1) < 0)
        return error_errno(err, errno, "make %s read-only", mount->destination);
    if (apply_attributes(plan, mounted, mount->destination, err) < 0)
        return -1;
    return apply_propagation(plan, mounted, mount->destination, err);
}

static int remount(struct container_init *init, int root_fd, const struct oci_mount *mount,
                   const struct mount_plan *plan, struct error *err)
{
    cleanup_close int target = reopen_target(root_fd, mount, err);
    if (target < 0)
        return target;
    if (mount_on_fd(NULL, target, NULL, plan->flags | (plan->bind ? MS_BIND : 0),
                    buffer_text(&plan->data)) < 0)
        return error_errno(err, errno, "remount %s", mount->destination);
    return 0;
}

int mounts_perform(struct container_init *init, int root_fd, struct error *err)
{
    const struct oci_config *config = init->config;
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct oci_mount *mount = &config->mounts[i];
        struct mount_plan plan;
        mount_plan_parse(mount, &plan);
        int ret;
        if (plan.flags & MS_REMOUNT)
            ret = remount(init, root_fd, mount, &plan, err);
        else if (plan.bind)
            ret = bind_mount(init, root_fd, mount, &plan, err);
        else
            ret = filesystem_mount(init, root_fd, mount, &plan, err);
        mount_plan_release(&plan);
        if (ret < 0)
            return ret;
    }
    return 0;
}
