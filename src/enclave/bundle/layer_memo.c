/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine's layers were found to be. An engine writes a layer once, under a name that it
 * does not use again, and never after it is below an overlay: so the layer's directory stands for
 * all that is in it, and the second container of an image looks at none of its files. The directory
 * counts with its place, inode, birth and change. This holds for the engines' own stores alone;
 * other overlays are walked each time. An image that is made is made from layers that were walked.
 */
#include "enclave/bundle/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"

#define MEMO_DIRECTORY "layers"
#define MEMO_FORMAT    1u
#define ID_DIGITS      64u

/* What is hashed to the memo's name; the layer's path follows. */
struct place {
    uint64_t format, dev, ino;
    int64_t born, changed, modified; /* ns */
};

/* The component that ends before `end`; *start is where it begins. */
static size_t component(const char *path, const char *end, const char **start)
{
    const char *at = end;
    while (at > path && at[-1] != '/')
        at--;
    *start = at;
    return (size_t)(end - at);
}

static bool is_named(const char *start, size_t size, const char *name)
{
    return size == strlen(name) && strncmp(start, name, size) == 0;
}

/*
 * .../io.containerd.snapshotter.v1.overlayfs/snapshots/NUMBER/fs, .../overlay2/ID/diff (Docker),
 * .../overlay/ID/diff (Podman, CRI-O).
 */
static bool is_in_store(const char *path)
{
    const char *last, *id, *store, *above;
    size_t last_size = component(path, path + strlen(path), &last);
    if (last - path < 2)
        return false;
    size_t id_size = component(path, last - 1, &id);
    if (id - path < 2)
        return false;
    size_t store_size = component(path, id - 1, &store);
    if (store - path < 2)
        return false;
    size_t above_size = component(path, store - 1, &above);
    if (is_named(last, last_size, "fs"))
        return strspn(id, "0123456789") == id_size && id_size > 0 &&
               is_named(store, store_size, "snapshots") &&
               is_named(above, above_size, "io.containerd.snapshotter.v1.overlayfs");
    return is_named(last, last_size, "diff") && id_size == ID_DIGITS &&
           strspn(id, "0123456789abcdef") == id_size &&
           (is_named(store, store_size, "overlay2") || is_named(store, store_size, "overlay"));
}

static int64_t nanoseconds(const struct statx_timestamp *t)
{
    return t->tv_sec * 1000000000ll + t->tv_nsec;
}

bool layer_memo_name(const char *layer, char name[LAYER_MEMO_NAME])
{
    const unsigned wanted = STATX_INO | STATX_CTIME | STATX_MTIME | STATX_BTIME;
    struct statx st;
    uint8_t key[BUNDLE_HASH_SIZE];
    cleanup_free char *real = realpath(layer, NULL);
    if (!real || !is_in_store(real) ||
        statx(AT_FDCWD, real, AT_SYMLINK_NOFOLLOW, wanted, &st) < 0 ||
        (st.stx_mask & wanted) != wanted)
        return false;
    const struct place place = {
        .format = MEMO_FORMAT,
        .dev = ((uint64_t)st.stx_dev_major << 32) | st.stx_dev_minor,
        .ino = st.stx_ino,
        .born = nanoseconds(&st.stx_btime),
        .changed = nanoseconds(&st.stx_ctime),
        .modified = nanoseconds(&st.stx_mtime),
    };
    struct hash *h = hash_new();
    hash_add(h, &place, sizeof(place));
    hash_add(h, real, strlen(real));
    hash_end(h, key);
    hash_free(h);
    memcpy(name, MEMO_DIRECTORY "/", sizeof(MEMO_DIRECTORY));
    hex_format(name + sizeof(MEMO_DIRECTORY), key, sizeof(key));
    return true;
}

bool layer_memo_read(int cache, const char *name, struct layer_memo *out)
{
    cleanup_buffer struct buffer kept = BUFFER_INIT;
    if (faccessat(cache, name, R_OK, 0) < 0 ||
        read_file_at(cache, name, &kept, sizeof(*out), NULL) < 0 || kept.size != sizeof(*out))
        return false;
    memcpy(out, kept.data, sizeof(*out));
    return true;
}

/* A memo that cannot be written is a slower start. */
void layer_memo_write(int cache, const char *name, const struct layer_memo *memo)
{
    if (mkdirat(cache, MEMO_DIRECTORY, 0700) < 0 && errno != EEXIST)
        return;
    (void)replace_file_at(cache, name, memo, sizeof(*memo), 0600, false, NULL);
}

/* Those of layers that went are of no use; one that is still needed is made again. */
void layer_memo_trim(int cache, int64_t oldest)
{
    int fd = openat(cache, MEMO_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir))) {
        struct stat st;
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            st.st_mtime < oldest)
            (void)unlinkat(fd, entry->d_name, 0);
    }
    (void)unlinkat(cache, MEMO_DIRECTORY, AT_REMOVEDIR); /* when it is empty */
}
