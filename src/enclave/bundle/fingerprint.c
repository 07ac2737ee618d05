/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fingerprint of a root directory: SHA-256 over the metadata of every object in it, in the
 * order of names. What makes it notice a change is the ctime: any write, truncation, chmod, chown,
 * link, rename or setxattr moves it, nobody can set it back (short of the clock or the block
 * device), and inode and device numbers tell a replaced file. Extended attributes are covered by it
 * too. docs/design/bundle.md lists what it cannot see.
 */
#include "enclave/bundle/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"

#define DEPTH_MAX 512

struct names {
    char *text; /* names one after the other, NUL-terminated */
    size_t size, capacity;
    uint32_t *offsets;
    size_t count, room;
};

struct walk {
    struct hash *hash;
    struct fingerprint *out;
    const char *where;
    struct error *err;
};

/* What one object adds to the hash; the name (and a link's target) follows. */
struct record {
    uint64_t ino, size, rdev, dev;
    int64_t mtime, ctime;
    uint32_t mode, uid, gid, nlink, name_size, target_size;
};

static void names_release(struct names *names)
{
    free(names->text);
    free(names->offsets);
}

static int compare_names(const void *a, const void *b, void *text)
{
    return strcmp((char *)text + *(const uint32_t *)a, (char *)text + *(const uint32_t *)b);
}

static void names_add(struct names *names, const char *name)
{
    size_t size = strlen(name) + 1;
    if (names->size + size > names->capacity) {
        names->capacity = (names->capacity + size) * 2;
        names->text = xrealloc(names->text, names->capacity);
    }
    if (names->count == names->room) {
        names->room = names->room ? names->room * 2 : 64;
        names->offsets = xreallocarray(names->offsets, names->room, sizeof(*names->offsets));
    }
    names->offsets[names->count++] = (uint32_t)names->size;
    memcpy(names->text + names->size, name, size);
    names->size += size;
}

/*
 * Names of a directory, sorted. getdents64 itself, for opendir would cost five more system calls
 * and an allocation for each of thousands of directories at every start.
 */
static int names_read(int fd, struct names *names)
{
    static _Thread_local char buffer[32768] __attribute__((aligned(8)));
    for (;;) {
        ssize_t size = getdents64(fd, buffer, sizeof(buffer));
        if (size < 0)
            return -errno;
        if (size == 0)
            break;
        for (ssize_t at = 0; at < size;) {
            const struct dirent64 *entry = (const struct dirent64 *)(buffer + at);
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                names_add(names, entry->d_name);
            at += entry->d_reclen;
        }
    }
    if (names->count > 1)
        qsort_r(names->offsets, names->count, sizeof(*names->offsets), compare_names, names->text);
    return 0;
}

static int64_t nanoseconds(const struct statx_timestamp *t)
{
    return t->tv_sec * 1000000000ll + t->tv_nsec;
}

static void add_record(struct walk *walk, const struct statx *st, const char *name,
                       const char *target, size_t target_size)
{
    struct record record = {
        .ino = st->stx_ino,
        .size = st->stx_size,
        .rdev = ((uint64_t)st->stx_rdev_major << 32) | st->stx_rdev_minor,
        .dev = ((uint64_t)st->stx_dev_major << 32) | st->stx_dev_minor,
        .mtime = nanoseconds(&st->stx_mtime),
        .ctime = nanoseconds(&st->stx_ctime),
        .mode = st->stx_mode,
        .uid = st->stx_uid,
        .gid = st->stx_gid,
        .nlink = st->stx_nlink,
        .name_size = (uint32_t)strlen(name),
        .target_size = (uint32_t)target_size,
    };
    hash_add(walk->hash, &record, sizeof(record));
    hash_add(walk->hash, name, record.name_size);
    hash_add(walk->hash, target, target_size);
    walk->out->entries++;
    if (S_ISREG(st->stx_mode))
        walk->out->bytes += st->stx_size;
    if (record.ctime > walk->out->newest_change)
        walk->out->newest_change = record.ctime;
}

static int walk_directory(struct walk *walk, int dir, unsigned depth);

static int walk_entry(struct walk *walk, int dir, const char *name, unsigned depth)
{
    struct statx st;
    if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &st) < 0)
        return error_errno(walk->err, errno, "%s: %s", walk->where, name);

    char target[PATH_MAX];
    ssize_t target_size = 0;
    if (S_ISLNK(st.stx_mode)) {
        target_size = readlinkat(dir, name, target, sizeof(target));
        if (target_size < 0)
            return error_errno(walk->err, errno, "%s: read link %s", walk->where, name);
    }
    add_record(walk, &st, name, target, (size_t)target_size);
    if (!S_ISDIR(st.stx_mode))
        return 0;

    if (depth >= DEPTH_MAX)
        return error_set(walk->err, "%s: directories are nested deeper than %d at %s", walk->where,
                         DEPTH_MAX, name);
    cleanup_close int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(walk->err, errno, "%s: open %s", walk->where, name);
    int ret = walk_directory(walk, fd, depth + 1);
    /* A mark where a directory ends: else "a/b" and "a", "b" side by side would look the same. */
    hash_add(walk->hash, "end", 4);
    return ret;
}

static int walk_directory(struct walk *walk, int dir, unsigned depth)
{
    struct names names = {0};
    int ret = names_read(dir, &names);
    if (ret < 0)
        ret = error_errno(walk->err, -ret, "%s: read directory", walk->where);
    for (size_t i = 0; ret == 0 && i < names.count; i++)
        ret = walk_entry(walk, dir, names.text + names.offsets[i], depth);
    names_release(&names);
    return ret;
}

static int walk_tree(int dir, const char *where, struct hash *h, struct fingerprint *out,
                     struct error *err)
{
    struct walk walk = {h, out, where, err};
    struct statx st;
    if (statx(dir, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0)
        return error_errno(err, errno, "%s", where);
    add_record(&walk, &st, "", NULL, 0);
    if (lseek(dir, 0, SEEK_SET) < 0) /* it may have been read before */
        return error_errno(err, errno, "%s", where);
    return walk_directory(&walk, dir, 0);
}

/* Is it Docker's layer of mount points? */
static bool is_init_layer(const char *path)
{
    cleanup_free char *mark = path_join(path, ".dockerenv");
    return access(mark, F_OK) == 0;
}

struct layers_walk {
    struct hash *hash;
    struct fingerprint *out;
    int cache;
    bool walk;
};

static int walk_layer(const char *path, struct layer_memo *memo, struct error *err)
{
    struct fingerprint found = {0};
    cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "layer %s", path);
    struct hash *h = hash_new();
    int ret = walk_tree(dir, path, h, &found, err);
    hash_end(h, memo->hash);
    hash_free(h);
    memo->entries = found.entries;
    memo->bytes = found.bytes;
    memo->newest_change = found.newest_change;
    return ret;
}

/* The upper directory is a container's own, and has no memo. */
static int find_layer(const struct layers_walk *walk, const char *path, bool lower,
                      struct layer_memo *memo, struct error *err)
{
    char name[LAYER_MEMO_NAME];
    const bool kept = lower && walk->cache >= 0 && layer_memo_name(path, name);
    if (kept && !walk->walk && layer_memo_read(walk->cache, name, memo))
        return 0;
    int ret = walk_layer(path, memo, err);
    if (ret == 0 && kept)
        layer_memo_write(walk->cache, name, memo);
    return ret;
}

static int fingerprint_layer(const struct layers_walk *walk, const char *path, bool lower,
                             bool may_be_thin, struct error *err)
{
    struct layer_memo memo = {0};
    if (may_be_thin && thin_fingerprint(path, walk->hash, &walk->out->thin))
        return 0;
    int ret = find_layer(walk, path, lower, &memo, err);
    if (ret < 0)
        return ret;
    hash_add(walk->hash, "layer", 5);
    hash_add(walk->hash, memo.hash, sizeof(memo.hash));
    walk->out->entries += memo.entries;
    walk->out->bytes += memo.bytes;
    if (memo.newest_change > walk->out->newest_change)
        walk->out->newest_change = memo.newest_change;
    return 0;
}

/* Owners as the merged tree shows them: the same layers may be mounted with an id mapping. */
static int fingerprint_owners(int root, const char *where, struct hash *h, struct error *err)
{
    struct names names = {0};
    int ret = names_read(root, &names);
    for (size_t i = 0; ret == 0 && i < names.count; i++) {
        struct stat st;
        const char *name = names.text + names.offsets[i];
        ret = fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
        uint32_t owners[] = {st.st_mode, st.st_uid, st.st_gid};
        hash_add(h, name, strlen(name) + 1);
        hash_add(h, owners, sizeof(owners));
    }
    names_release(&names);
    return ret < 0 ? error_errno(err, -ret, "%s", where) : 0;
}

/*
 * Containers of one image share the lower layers, whatever their own mounts and upper directories
 * are called: key on the layers, topmost first.
 */
static int fingerprint_layers(const struct layers_walk *walk, int root, const char *where,
                              const struct layers *layers, struct error *err)
{
    int ret = layers->upper ? fingerprint_layer(walk, layers->upper, false, true, err) : 0;
    for (size_t i = 0; ret == 0 && i < layers->lower_count; i++)
        ret = fingerprint_layer(walk, layers->lower[i], true,
                                i == 0 && is_init_layer(layers->lower[i]), err);
    return ret < 0 ? ret : fingerprint_owners(root, where, walk->hash, err);
}

int fingerprint_tree(const char *rootfs, int cache, bool walk, struct fingerprint *out,
                     struct error *err)
{
    memset(out, 0, sizeof(*out));
    cleanup_close int dir = open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "root filesystem %s", rootfs);

    struct hash *h = hash_new();
    struct layers layers = {0};
    int ret = -1;
    if (layers_find(rootfs, &layers) == 1) {
        const struct layers_walk layered = {h, out, cache, walk};
        ret = fingerprint_layers(&layered, dir, rootfs, &layers, NULL);
        out->layered = ret == 0;
        layers_release(&layers);
    }
    if (ret < 0) { /* no overlay, or its layers are out of reach: the merged tree does as well */
        fingerprint_release(out);
        hash_begin(h);
        ret = walk_tree(dir, rootfs, h, out, err);
    }
    if (ret == 0)
        hash_end(h, out->hash);
    else
        fingerprint_release(out);
    hash_free(h);
    return ret;
}

void fingerprint_release(struct fingerprint *fingerprint)
{
    thin_release(&fingerprint->thin);
    memset(fingerprint, 0, sizeof(*fingerprint));
}
