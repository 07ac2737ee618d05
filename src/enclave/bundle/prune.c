/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the image cache, and taking it out. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "enclave/bundle/internal.h"

static int open_cache(const char *cache_dir, struct error *err)
{
    int fd = open(cache_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_errno(err, errno, "image cache %s", cache_dir) : fd;
}

/* Blocks on disk of a tree. */
static uint64_t tree_bytes(int parent, const char *name)
{
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    uint64_t bytes = (uint64_t)st.st_blocks * 512;
    if (!S_ISDIR(st.st_mode))
        return bytes;
    cleanup_close int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return bytes;
    fd = -1; /* the stream's now */
    const struct dirent *entry;
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            bytes += tree_bytes(dirfd(dir), entry->d_name);
    return bytes;
}

/* An entry's name is a hash in hexadecimal, perhaps with the suffix of an unfinished one. */
static bool is_entry(const char *name)
{
    size_t digits = strspn(name, "0123456789abcdef");
    return digits == 2 * BUNDLE_HASH_SIZE && (!name[digits] || strcmp(name + digits, ".tmp") == 0);
}

int bundle_cache_list(const char *cache_dir,
                      int (*fn)(void *ctx, const struct bundle_cache_item *item, struct error *err),
                      void *ctx, struct error *err)
{
    cleanup_close int cache = open_cache(cache_dir, err);
    if (cache < 0)
        return cache;
    struct dirent **entries = NULL;
    int count = scandir(cache_dir, &entries, NULL, alphasort);
    int ret = count < 0 ? error_errno(err, errno, "image cache %s", cache_dir) : 0;
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        struct stat st;
        if (ret == 0 && is_entry(name) && fstatat(cache, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            struct bundle_cache_item item = {.name = name,
                                             .used = st.st_mtim.tv_sec,
                                             .bytes = tree_bytes(cache, name),
                                             .complete = image_entry_exists(cache, name)};
            ret = fn(ctx, &item, err);
        }
        free(entries[i]);
    }
    free(entries);
    return ret < 0 ? ret : 0;
}

int bundle_cache_remove(const char *cache_dir, const char *name, struct error *err)
{
    if (!is_entry(name))
        return error_set(err, "%s is not the name of an image in the cache", name);
    cleanup_close int cache = open_cache(cache_dir, err);
    return cache < 0 ? cache : cache_remove(cache, name, err);
}
