/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thin layers: what a container engine puts on top of an image for one container - the upper
 * directory of a container that has not run yet, and Docker's "-init" layer with its mount points
 * (empty files and directories, .dockerenv). Their inodes and times are those of the container, so
 * keyed on metadata no container would ever find the image of another. They are small enough to be
 * keyed on what they show instead: names, types, modes, owners, link targets, extended attributes;
 * and the times of what they bring are cleared in the sealed image, so that it is the image's and
 * not the first container's.
 */
#include "enclave/bundle/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"

#define ENTRIES_MAX 64u
#define DEPTH_MAX   8u
#define XATTRS_MAX  4096u

struct thin_walk {
    struct thin_paths *paths;
    struct buffer *shown; /* what is hashed */
};

static void add_path(struct thin_paths *paths, const char *path)
{
    paths->items = xreallocarray(paths->items, paths->count + 1, sizeof(char *));
    paths->items[paths->count++] = xstrdup(path);
}

void thin_release(struct thin_paths *paths)
{
    for (size_t i = 0; i < paths->count; i++)
        free(paths->items[i]);
    free(paths->items);
    memset(paths, 0, sizeof(*paths));
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names and values of all extended attributes, by name: overlayfs keeps whiteouts and opaque
 * directories there. */
static bool add_xattrs(const char *path, struct buffer *out)
{
    char names[XATTRS_MAX], value[XATTRS_MAX];
    ssize_t size = llistxattr(path, names, sizeof(names));
    if (size < 0)
        return errno == ENOTSUP;
    char *sorted[XATTRS_MAX / 2];
    size_t count = 0;
    for (char *name = names; name < names + size; name += strlen(name) + 1)
        sorted[count++] = name;
    /* cppcheck-suppress uninitvar ; its first `count` are set */
    qsort(sorted, count, sizeof(*sorted), compare_texts);
    for (size_t i = 0; i < count; i++) {
        ssize_t value_size = lgetxattr(path, sorted[i], value, sizeof(value));
        if (value_size < 0)
            return false;
        buffer_append_format(out, "%zu:%s=%zd:", strlen(sorted[i]), sorted[i], value_size);
        buffer_append(out, value, (size_t)value_size);
    }
    return true;
}

static bool add_entry(struct thin_walk *walk, const char *path, const char *inner)
{
    struct stat st;
    char target[PATH_MAX];
    if (lstat(path, &st) < 0 || walk->paths->count >= ENTRIES_MAX ||
        (S_ISREG(st.st_mode) && st.st_size != 0))
        return false;
    ssize_t target_size = S_ISLNK(st.st_mode) ? readlink(path, target, sizeof(target)) : 0;
    if (target_size < 0)
        return false;
    buffer_append_format(walk->shown, "\n%zu:%s %o %u %u %llu %zd:", strlen(inner), inner,
                         (unsigned)st.st_mode, (unsigned)st.st_uid, (unsigned)st.st_gid,
                         S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? (unsigned long long)st.st_rdev
                                                                    : 0ull,
                         target_size);
    buffer_append(walk->shown, target, (size_t)target_size);
    add_path(walk->paths, inner);
    return add_xattrs(path, walk->shown);
}

static bool walk_thin(struct thin_walk *walk, const char *path, const char *inner, unsigned depth)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, NULL);
    bool ok = count >= 0 && count <= (int)ENTRIES_MAX + 2 && depth < DEPTH_MAX;
    if (ok) {
        char *names[ENTRIES_MAX + 2];
        for (int i = 0; i < count; i++)
            names[i] = entries[i]->d_name;
        /* cppcheck-suppress uninitvar ; its first `count` are set */
        qsort(names, (size_t)count, sizeof(*names), compare_texts);
        for (int i = 0; ok && i < count; i++) {
            if (strcmp(names[i], ".") == 0 || strcmp(names[i], "..") == 0)
                continue;
            cleanup_free char *child = path_join(path, names[i]);
            cleanup_free char *child_inner = xasprintf("%s/%s", inner, names[i]);
            struct stat st;
            ok = add_entry(walk, child, child_inner) && lstat(child, &st) == 0 &&
                 (!S_ISDIR(st.st_mode) || walk_thin(walk, child, child_inner, depth + 1));
        }
    }
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return ok;
}

bool thin_fingerprint(const char *layer, struct hash *h, struct thin_paths *paths)
{
    cleanup_buffer struct buffer shown = BUFFER_INIT;
    struct thin_paths found = {0};
    struct thin_walk walk = {&found, &shown};
    struct stat st;
    if (lstat(layer, &st) < 0 || !walk_thin(&walk, layer, "", 0)) {
        thin_release(&found);
        return false;
    }
    uint32_t root[] = {st.st_mode, st.st_uid, st.st_gid};
    hash_add(h, "thin", 4);
    hash_add(h, root, sizeof(root));
    hash_add(h, buffer_text(&shown), shown.size);
    for (size_t i = 0; i < found.count; i++)
        add_path(paths, found.items[i]);
    thin_release(&found);
    return true;
}
