/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the image cache, and taking it out. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

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

/* ---- a cache that bounds itself ---- */

struct items {
    struct bundle_cache_item *list; /* names are copies */
    size_t count;
};

static int keep_item(void *ctx, const struct bundle_cache_item *item, struct error *err)
{
    struct items *items = ctx;
    (void)err;
    items->list = xreallocarray(items->list, items->count + 1, sizeof(*items->list));
    items->list[items->count] = *item;
    items->list[items->count++].name = xstrdup(item->name);
    return 0;
}

static int compare_used(const void *a, const void *b)
{
    int64_t left = ((const struct bundle_cache_item *)a)->used;
    int64_t right = ((const struct bundle_cache_item *)b)->used;
    return (left > right) - (left < right);
}

int bundle_cache_trim(const char *cache_dir, uint64_t bytes, uint32_t days,
                      struct bundle_cache_trimmed *out, struct error *err)
{
    struct items items = {0};
    const int64_t oldest = days ? time(NULL) - (int64_t)days * 86400 : INT64_MIN;
    *out = (struct bundle_cache_trimmed){0};
    int ret = bundle_cache_list(cache_dir, keep_item, &items, err);
    for (size_t i = 0; i < items.count; i++)
        out->left += items.list[i].bytes;
    if (items.count > 1)
        qsort(items.list, items.count, sizeof(*items.list), compare_used);
    for (size_t i = 0; ret >= 0 && i < items.count; i++) {
        const struct bundle_cache_item *item = &items.list[i];
        if (item->used >= oldest && (bytes == 0 || out->left <= bytes))
            break; /* later ones were used later */
        ret = bundle_cache_remove(cache_dir, item->name, err);
        if (ret == 0) {
            out->removed++;
            out->freed += item->bytes;
            out->left -= item->bytes;
        }
    }
    cleanup_close int cache = days ? open(cache_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (cache >= 0)
        layer_memo_trim(cache, oldest);
    for (size_t i = 0; i < items.count; i++)
        free((char *)(uintptr_t)items.list[i].name);
    free(items.list);
    return ret < 0 ? ret : 0;
}

int bundle_image_hold(const char *image, struct error *err)
{
    struct stat st;
    cleanup_close int fd = open(image, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? error_code(err, ESTALE, "%s was removed", image)
                               : error_errno(err, errno, "open %s", image);
    /* Waits for who is removing it. */
    while (flock(fd, LOCK_SH) < 0)
        if (errno != EINTR)
            return error_errno(err, errno, "lock %s", image);
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", image);
    return st.st_nlink == 0 ? error_code(err, ESTALE, "%s was removed", image) : take_fd(fd);
}
