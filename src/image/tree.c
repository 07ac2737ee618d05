/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of an image in a directory. Names are resolved in that directory as in a container's
 * root (base/path.h): links of the image lead nowhere else. Nothing is written through a link or
 * into a file that is there already.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "image/internal.h"

enum { WALK_DEPTH_MAX = 512 };

/* Making things in a directory changes its time, so directories get theirs at the end. */
struct dir_time {
    ino_t ino;
    struct timespec time;
};

static int compare(const void *a, const void *b)
{
    const struct dir_time *x = a, *y = b;
    return (x->ino > y->ino) - (x->ino < y->ino);
}

static void keep_time(struct tree *tree, ino_t ino, struct timespec time)
{
    const struct dir_time key = {.ino = ino};
    struct dir_time **found = tfind(&key, &tree->times, compare);

    if (found) { /* inodes are used again */
        (*found)->time = time;
        return;
    }
    struct dir_time *fresh = xmalloc(sizeof(*fresh));
    *fresh = (struct dir_time){ino, time};
    if (!tsearch(fresh, &tree->times, compare))
        abort();
}

static int keep_time_of(struct tree *tree, int dir, const char *name, struct timespec time,
                        struct error *err)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, errno, "stat");
    keep_time(tree, st.st_ino, time);
    return 0;
}

int tree_begin(struct tree *tree, int root, uint64_t bytes_max, struct error *err)
{
    *tree = (struct tree){.root = root, .bytes_left = bytes_max};
    if (fchown(root, 0, 0) < 0 || fchmod(root, 0755) < 0)
        return error_errno(err, errno,
                           "owners of files cannot be set; be root, or in a user namespace "
                           "(unshare --map-root-user --map-auto)");
    return 0;
}

/* ---- places ---- */

/* The directory that is to hold `path`, made if it is missing: as root's, of time 0. */
static int open_parent(struct tree *tree, const char *path, char **base, struct error *err)
{
    const char *slash = strrchr(path, '/');
    cleanup_free char *dir = xstrndup(path, slash ? (size_t)(slash - path) : 0);
    int fd = path_open_in_root(tree->root, dir, O_PATH | O_DIRECTORY, 0, NULL);

    for (size_t at = 0; fd == -ENOENT && at <= strlen(dir); at++) {
        if (dir[at] && dir[at] != '/')
            continue;
        cleanup_free char *part = xstrndup(dir, at);
        cleanup_close int there = path_open_in_root(tree->root, part, O_PATH | O_DIRECTORY, 0,
                                                    NULL);
        if (there >= 0)
            continue;
        there = path_mkdir_p_in_root(tree->root, part, 0755, err);
        if (there < 0)
            return there;
        struct stat st;
        if (fstat(there, &st) < 0)
            return error_errno(err, errno, "%s", part);
        keep_time(tree, st.st_ino, (struct timespec){0});
    }
    if (fd == -ENOENT)
        fd = path_open_in_root(tree->root, dir, O_PATH | O_DIRECTORY, 0, err);
    else if (fd < 0)
        return error_errno(err, -fd, "its directory");
    if (fd >= 0)
        *base = xstrdup(slash ? slash + 1 : path);
    return fd;
}

int tree_remove(struct tree *tree, const char *path, bool contents, struct error *err)
{
    const char *slash = strrchr(path, '/');
    cleanup_free char *dir = xstrndup(path, contents ? strlen(path)
                                            : slash  ? (size_t)(slash - path)
                                                     : 0);
    cleanup_close int fd = path_open_in_root(tree->root, dir, O_RDONLY | O_DIRECTORY, 0, NULL);

    if (fd == -ENOENT || fd == -ENOTDIR)
        return 0;
    if (fd < 0)
        return error_errno(err, -fd, "whiteout");
    if (!contents)
        return path_remove_tree(fd, slash ? slash + 1 : path, err);
    cleanup_dir DIR *list = fdopendir(fd);
    if (!list)
        return error_errno(err, errno, "whiteout");
    fd = -1;
    const struct dirent *entry;
    while ((entry = readdir(list)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            path_remove_tree(dirfd(list), entry->d_name, err) < 0)
            return -1;
    return 0;
}

/* ---- what an object has ---- */

/* Of overlayfs, they would hide something from who looks through one. */
static bool is_overlay_xattr(const char *name)
{
    return strncmp(name, "trusted.overlay.", 16) == 0 || strncmp(name, "user.overlay.", 13) == 0;
}

static int set_xattrs(int dir, const char *name, struct archive_entry *entry, struct error *err)
{
    const char *key;
    const void *value;
    size_t size;
    cleanup_free char *path = xasprintf("/proc/self/fd/%d/%s", dir, name);

    archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &key, &value, &size) == ARCHIVE_OK) {
        if (is_overlay_xattr(key))
            continue;
        if (lsetxattr(path, key, value, size, 0) < 0)
            return error_errno(err, errno,
                               "its extended attribute %.80s cannot be set here (another cache "
                               "directory may be able to)",
                               key);
    }
    return 0;
}

static struct timespec time_of(struct archive_entry *entry)
{
    return (struct timespec){archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
}

/* Owner before mode (chown takes set-id bits away) and before attributes (and capabilities). */
static int set_metadata(struct tree *tree, int dir, const char *name, struct archive_entry *entry,
                        mode_t type, struct error *err)
{
    la_int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);

    if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
        return error_set(err, "its owner %lld:%lld cannot be", (long long)uid, (long long)gid);
    if (fchownat(dir, name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, errno, "set its owner %lld:%lld", (long long)uid, (long long)gid);
    if (type != AE_IFLNK && fchmodat(dir, name, archive_entry_perm(entry), 0) < 0)
        return error_errno(err, errno, "set its mode");
    if (set_xattrs(dir, name, entry, err) < 0)
        return -1;
    if (type == AE_IFDIR)
        return keep_time_of(tree, dir, name, time_of(entry), err);
    const struct timespec times[2] = {time_of(entry), time_of(entry)};
    return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0
               ? error_errno(err, errno, "set its time")
               : 0;
}

/* ---- kinds ---- */

static int write_data(int fd, struct stream *stream, uint64_t size, struct error *err)
{
    const void *data;
    size_t count;
    la_int64_t offset;
    int ret;

    while ((ret = archive_read_data_block(stream->tar, &data, &count, &offset)) == ARCHIVE_OK) {
        if (offset < 0 || (uint64_t)offset > size || count > size - (uint64_t)offset)
            return error_set(err, "more data than its header says");
        for (size_t done = 0; done < count;) {
            ssize_t n = pwrite(fd, (const char *)data + done, count - done,
                               offset + (la_int64_t)done);
            if (n <= 0)
                return error_errno(err, n < 0 ? errno : EIO, "write");
            done += (size_t)n;
        }
    }
    if (ret != ARCHIVE_EOF)
        return stream_error(stream, err);
    return ftruncate(fd, (off_t)size) < 0 ? error_errno(err, errno, "write") : 0;
}

static int make_file(struct tree *tree, struct stream *stream, int dir, const char *name,
                     struct archive_entry *entry, struct error *err)
{
    la_int64_t size = archive_entry_size(entry);

    if (size < 0 || (uint64_t)size > tree->bytes_left)
        return error_code(err, EFBIG, "the image unpacks to more than the limit (--max-size)");
    tree->bytes_left -= (uint64_t)size;
    cleanup_close int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                                  0600);
    if (fd < 0)
        return error_errno(err, errno, "make the file");
    return write_data(fd, stream, (uint64_t)size, err);
}

/* What the entry says of owner, mode and time is the file's from then on, as engines have it. */
static int make_hard_link(struct tree *tree, int dir, const char *name, const char *target,
                          struct archive_entry *entry, struct error *err)
{
    cleanup_free char *clean = path_clean(target);
    const char *path = clean + strspn(clean, "/"), *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    cleanup_free char *above = xstrndup(path, slash ? (size_t)(slash - path) : 0);
    cleanup_close int from = path_open_in_root(tree->root, above, O_PATH | O_DIRECTORY, 0, NULL);
    struct stat old, st;

    if (from < 0 || fstatat(from, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, from < 0 ? -from : errno, "a hard link to %.200s", target);
    bool same = fstatat(dir, name, &old, AT_SYMLINK_NOFOLLOW) == 0 && old.st_ino == st.st_ino &&
                old.st_dev == st.st_dev;
    if (!same && path_remove_tree(dir, name, err) < 0)
        return -1;
    if (!same && linkat(from, base, dir, name, 0) < 0)
        return error_errno(err, errno, "a hard link to %.200s", target);
    return set_metadata(tree, dir, name, entry, st.st_mode & S_IFMT, err);
}

/* Something of another kind, or a file: out of the way. */
static int clear_place(int dir, const char *name, bool keep_directory, struct error *err)
{
    struct stat st;

    if (keep_directory && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        return 0;
    return path_remove_tree(dir, name, err);
}

static int make_object(struct tree *tree, struct stream *stream, int dir, const char *name,
                       struct archive_entry *entry, struct error *err)
{
    mode_t type = archive_entry_filetype(entry);
    const char *link = archive_entry_symlink(entry);

    switch (type) {
    case AE_IFREG:
        return make_file(tree, stream, dir, name, entry, err);
    case AE_IFDIR:
        if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
            return error_errno(err, errno, "make the directory");
        return 0;
    case AE_IFLNK:
        if (!link || !*link)
            return error_set(err, "a symbolic link to nothing");
        return symlinkat(link, dir, name) < 0 ? error_errno(err, errno, "make the link") : 0;
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO:
        return mknodat(dir, name, type | 0600, archive_entry_rdev(entry)) < 0
                   ? error_errno(err, errno, "make the special file")
                   : 0;
    default:
        return error_set(err, "its kind (%o) is none of a file system", type);
    }
}

int tree_add(struct tree *tree, struct stream *stream, struct archive_entry *entry,
             const char *path, struct error *err)
{
    const char *target = archive_entry_hardlink(entry);
    bool directory = !target && archive_entry_filetype(entry) == AE_IFDIR;
    cleanup_free char *name = NULL;

    if (!*path) { /* the root: its time is 0, as in a container that an engine makes */
        if (!directory)
            return error_set(err, "the root is not a directory");
        int ret = set_metadata(tree, tree->root, ".", entry, AE_IFDIR, err);
        return ret < 0 ? ret : keep_time_of(tree, tree->root, ".", (struct timespec){0}, err);
    }
    cleanup_close int dir = open_parent(tree, path, &name, err);
    if (dir < 0)
        return dir;
    if (target)
        return make_hard_link(tree, dir, name, target, entry, err);
    int ret = clear_place(dir, name, directory, err);
    if (ret == 0)
        ret = make_object(tree, stream, dir, name, entry, err);
    return ret < 0 ? ret : set_metadata(tree, dir, name, entry, archive_entry_filetype(entry), err);
}

/* ---- the end ---- */

static int set_times(struct tree *tree, int fd, unsigned depth, struct error *err)
{
    cleanup_close int own = fd;
    struct stat st;
    cleanup_dir DIR *list = depth < WALK_DEPTH_MAX ? fdopendir(own) : NULL;

    if (!list)
        return error_errno(err, depth < WALK_DEPTH_MAX ? errno : ELOOP, "directories of the image");
    own = -1;
    const struct dirent *entry;
    while ((entry = readdir(list))) {
        if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0)
            continue;
        int next = openat(dirfd(list), entry->d_name,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return error_errno(err, errno, "open %s", entry->d_name);
        if (set_times(tree, next, depth + 1, err) < 0)
            return -1;
    }
    if (fstat(dirfd(list), &st) < 0)
        return error_errno(err, errno, "stat");
    const struct dir_time key = {.ino = st.st_ino};
    struct dir_time **found = tfind(&key, &tree->times, compare);
    struct timespec time = found ? (*found)->time : (struct timespec){0};
    const struct timespec times[2] = {time, time};
    return futimens(dirfd(list), times) < 0 ? error_errno(err, errno, "set times") : 0;
}

int tree_finish(struct tree *tree, struct error *err)
{
    int fd = openat(tree->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? error_errno(err, errno, "open the tree") : set_times(tree, fd, 0, err);
}

void tree_release(struct tree *tree)
{
    tdestroy(tree->times, free);
    tree->times = NULL;
}
