/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cache entries appear whole or not at all. A maker works in <name>.tmp, holding a lock (flock) on
 * that directory itself, and renames it to <name>. Who waits for the lock finds afterwards that the
 * directory it locked is no longer called <name>.tmp, and looks again. A maker that was killed
 * leaves an unlocked <name>.tmp, which the next one takes over and clears.
 */
#include "enclave/bundle/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"

#define TMP_SUFFIX ".tmp"

static int remove_contents(int dirfd, struct error *err)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "open cache entry");
    cleanup_dir DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return error_errno(err, ENOMEM, "open cache entry");
    }
    const struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int ret = path_remove_tree(dirfd, entry->d_name, err);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int lock_directory(int fd, bool wait)
{
    while (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

/* Does `name` still lead to the directory behind fd? */
static bool same_directory(int parent, const char *name, int fd)
{
    struct stat a, b;
    return fstatat(parent, name, &a, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int cache_begin(struct cache_entry *entry, int parent, const char *name,
                bool (*exists)(int parent, const char *name), struct error *err)
{
    entry->parent = parent;
    entry->name = xstrdup(name);
    entry->tmp = xasprintf("%s" TMP_SUFFIX, name);
    for (;;) {
        if (mkdirat(parent, entry->tmp, 0700) < 0 && errno != EEXIST)
            return error_errno(err, errno, "make cache entry %s", entry->tmp);
        cleanup_close int dir = openat(parent, entry->tmp,
                                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0 && errno == ENOENT)
            continue;
        if (dir < 0)
            return error_errno(err, errno, "open cache entry %s", entry->tmp);
        int ret = lock_directory(dir, true);
        if (ret < 0)
            return error_errno(err, -ret, "lock cache entry %s", entry->tmp);
        if (!same_directory(parent, entry->tmp, dir)) {
            if (exists(parent, name))
                return 0;
            continue;
        }
        if (exists(parent, name)) { /* the other maker was done before we made our directory */
            (void)path_remove_tree(parent, entry->tmp, NULL);
            return 0;
        }
        entry->dir = take_fd(dir);
        ret = remove_contents(entry->dir, err);
        return ret < 0 ? ret : 1;
    }
}

int cache_commit(struct cache_entry *entry, struct error *err)
{
    if (renameat2(entry->parent, entry->tmp, entry->parent, entry->name, 0) < 0) {
        /* A damaged entry is in the way: an entry with files in it is only replaced by an
         * exchange. */
        if ((errno != ENOTEMPTY && errno != EEXIST) ||
            renameat2(entry->parent, entry->tmp, entry->parent, entry->name, RENAME_EXCHANGE) < 0)
            return error_errno(err, errno, "put cache entry %s in place", entry->name);
        entry->complete = true;
        int ret = path_remove_tree(entry->parent, entry->tmp, err);
        if (ret < 0)
            return ret;
    }
    entry->complete = true;
    return 0;
}

void cache_end(struct cache_entry *entry)
{
    if (entry->dir >= 0) {
        if (!entry->complete)
            (void)path_remove_tree(entry->parent, entry->tmp, NULL);
        close_and_reset(&entry->dir);
    }
    free(entry->name);
    free(entry->tmp);
    entry->name = entry->tmp = NULL;
}

void cache_sweep(int parent)
{
    int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    cleanup_dir DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir))) {
        size_t size = strlen(entry->d_name), suffix = sizeof(TMP_SUFFIX) - 1;
        if (size <= suffix || strcmp(entry->d_name + size - suffix, TMP_SUFFIX) != 0)
            continue;
        cleanup_close int victim = openat(parent, entry->d_name,
                                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (victim >= 0 && lock_directory(victim, false) == 0 &&
            same_directory(parent, entry->d_name, victim))
            (void)path_remove_tree(parent, entry->d_name, NULL);
    }
}

/* Who has started an enclave from an image holds a shared lock on it (bundle_image_hold). Returns a
 * descriptor that keeps others from starting, -ENOENT without an image, -EWOULDBLOCK. */
static int lock_image(int entry)
{
    cleanup_close int image = openat(entry, "image", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (image < 0)
        return -errno;
    int ret = lock_directory(image, false);
    return ret < 0 ? ret : take_fd(image);
}

/* Under its temporary name nobody finds an entry any more; then it can be taken apart in peace. */
int cache_remove(int parent, const char *name, struct error *err)
{
    size_t size = strlen(name), suffix = sizeof(TMP_SUFFIX) - 1;
    bool is_tmp = size > suffix && strcmp(name + size - suffix, TMP_SUFFIX) == 0;
    cleanup_free char *tmp = is_tmp ? xstrdup(name) : xasprintf("%s" TMP_SUFFIX, name);
    cleanup_close int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "%s", name);
    int ret = lock_directory(dir, false);
    if (ret == -EWOULDBLOCK)
        return 1;
    if (ret < 0)
        return error_errno(err, -ret, "lock %s", name);
    cleanup_close int image = lock_image(dir);
    if (image == -EWOULDBLOCK)
        return 1;
    if (!is_tmp && renameat2(parent, name, parent, tmp, RENAME_NOREPLACE) < 0)
        return errno == EEXIST ? 1 : error_errno(err, errno, "remove %s", name);
    return path_remove_tree(parent, tmp, err);
}
