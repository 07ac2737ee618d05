/* SPDX-License-Identifier: Apache-2.0 */
/* The cache entry of a sealed image: find it by the tree's fingerprint, or make it. */
#include "enclave/bundle/internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"

#define INFO_LIMIT 65536
#define ATTEMPTS   3
/*
 * ctime is taken from a clock that ticks every 1 to 10 ms, so a file changed twice within a tick
 * looks changed once. A tree is only packed when its newest change is this much older than the
 * fingerprint.
 */
#define CTIME_TICK_NS 20000000ll

struct maker {
    const struct bundle_options *options;
    const char *name; /* for messages */
    char *rootfs;     /* absolute; NULL: options->tree */
    char *mkfs;
    const char *cache_path;
    int cache;
    bool walk; /* look at every file: an image is to be made */
    struct fingerprint fingerprint;
    char key[2 * BUNDLE_HASH_SIZE + 1];
};

/* ---- info.json ---- */

static bool get_hash(const json_t *info, const char *key, uint8_t out[BUNDLE_HASH_SIZE])
{
    const char *text = NULL;
    if (json_get_string(info, "", key, &text, NULL) != 1 || strlen(text) != 2 * BUNDLE_HASH_SIZE)
        return false;
    for (size_t i = 0; i < BUNDLE_HASH_SIZE; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        out[i] = (uint8_t)byte;
    }
    return true;
}

static bool file_has_size(int dir, const char *name, uint64_t size)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == size;
}

bool image_info_load(int dir, struct image_info *info)
{
    cleanup_json json_t *json = json_parse_file(dir, "info.json", INFO_LIMIT, NULL);
    struct seal *seal = &info->seal;
    uint32_t format = 0;
    memset(info, 0, sizeof(*info));
    return json && json_get_uint32(json, "", "format", &format, NULL) == 1 &&
           format == PACK_FORMAT && get_hash(json, "rootHash", seal->root_hash) &&
           get_hash(json, "salt", seal->salt) &&
           json_get_uint32(json, "", "saltSize", &seal->salt_size, NULL) == 1 &&
           json_get_uint32(json, "", "levels", &seal->levels, NULL) == 1 &&
           json_get_uint64(json, "", "dataBlocks", &seal->data_blocks, NULL) == 1 &&
           json_get_uint64(json, "", "hashOffset", &seal->hash_offset, NULL) == 1 &&
           json_get_uint64(json, "", "imageSize", &seal->image_size, NULL) == 1 &&
           json_get_uint64(json, "", "sitesSize", &info->sites_size, NULL) == 1 &&
           json_get_uint64(json, "", "siteCount", &info->site_count, NULL) == 1 &&
           json_get_uint64(json, "", "entries", &info->entries, NULL) == 1 &&
           get_hash(json, "sitesHash", info->sites_hash) && seal->salt_size <= sizeof(seal->salt) &&
           file_has_size(dir, "image", seal->image_size) &&
           file_has_size(dir, "sites", info->sites_size);
}

static int save_info(int dir, const struct image_info *info, struct error *err)
{
    char root_hash[2 * BUNDLE_HASH_SIZE + 1], salt[sizeof(root_hash)], sites[sizeof(root_hash)];
    hex_format(root_hash, info->seal.root_hash, BUNDLE_HASH_SIZE);
    hex_format(salt, info->seal.salt, BUNDLE_HASH_SIZE);
    hex_format(sites, info->sites_hash, BUNDLE_HASH_SIZE);
    cleanup_json json_t *json = json_pack(
        "{s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:I}", "format", (int)PACK_FORMAT,
        "rootHash", root_hash, "salt", salt, "saltSize", (json_int_t)info->seal.salt_size, "levels",
        (json_int_t)info->seal.levels, "dataBlocks", (json_int_t)info->seal.data_blocks,
        "hashOffset", (json_int_t)info->seal.hash_offset, "imageSize",
        (json_int_t)info->seal.image_size, "sitesHash", sites, "sitesSize",
        (json_int_t)info->sites_size, "siteCount", (json_int_t)info->site_count, "entries",
        (json_int_t)info->entries);
    if (!json)
        return error_set(err, "info.json: out of memory");
    cleanup_free char *text = json_text(json, JSON_INDENT(2));
    return replace_file_at(dir, "info.json", text, strlen(text), 0600, true, err);
}

bool image_entry_exists(int cache, const char *name)
{
    struct image_info info;
    cleanup_close int dir = openat(cache, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir >= 0 && image_info_load(dir, &info);
}

/* ---- making ---- */

static int write_sites(int dir, int image, struct image_info *info, struct error *err)
{
    cleanup_buffer struct buffer table = BUFFER_INIT;
    struct sites_stats stats = {0};
    int ret = sites_build(image, info->seal.hash_offset, &table, &stats, err);
    if (ret < 0)
        return error_wrap(err, "system call sites");
    log_debug("%" PRIu64 " of %" PRIu64 " system calls in %" PRIu64 " programs can be rewritten",
              stats.sites, stats.syscalls, stats.elf_files);
    hash_of(buffer_text(&table), table.size, info->sites_hash);
    info->sites_size = table.size;
    info->site_count = stats.sites;
    return replace_file_at(dir, "sites", buffer_text(&table), table.size, 0600, true, err);
}

static int check_space(const struct maker *maker, struct error *err)
{
    struct statvfs fs;
    if (fstatvfs(maker->cache, &fs) < 0)
        return error_errno(err, errno, "%s", maker->cache_path);
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    /* Contents, a kilobyte of metadata each, and 1/127 for the tree. */
    uint64_t need = maker->fingerprint.bytes + maker->fingerprint.entries * 128;
    need += need / 64 + (1u << 20);
    if (need <= room)
        return 0;
    return error_code(err, ENOSPC,
                      "no space left in %s: the image needs up to %" PRIu64 " MiB, %" PRIu64
                      " MiB are free; free some or choose another cache directory",
                      maker->cache_path, need >> 20, room >> 20);
}

static void tell(const struct maker *maker, const char *step)
{
    log_info("%s", step);
    if (maker->options->progress)
        maker->options->progress(maker->options->progress_ctx, step);
}

#define TREE_NAME "root"

/* The tree that is made for this, in the entry, and away again. Returns the image's descriptor. */
static int pack_made_tree(struct maker *maker, const struct cache_entry *entry, const char *path,
                          struct error *err)
{
    const struct bundle_tree *tree = maker->options->tree;
    if (mkdirat(entry->dir, TREE_NAME, 0700) < 0)
        return error_errno(err, errno, "make a directory for the tree");
    cleanup_close int dir = openat(entry->dir, TREE_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "open the tree");
    tell(maker, "unpacking the image");
    int ret = tree->make(tree->ctx, dir, &maker->fingerprint.entries, &maker->fingerprint.bytes,
                         err);
    if (ret == 0)
        ret = check_space(maker, err);
    if (ret < 0)
        return ret;
    cleanup_free char *root = xasprintf("%s/%s/" TREE_NAME, maker->cache_path, entry->tmp);
    tell(maker, "packing the root filesystem");
    cleanup_close int image = pack_image(maker->mkfs, maker->options, root, path,
                                         &maker->fingerprint, entry->dir, err);
    if (image >= 0 && path_remove_tree(entry->dir, TREE_NAME, err) < 0)
        return -1;
    return take_fd(image);
}

/* 1: the tree changed while it was packed. */
static int pack_directory(struct maker *maker, const struct cache_entry *entry, const char *path,
                          int *image, struct error *err)
{
    tell(maker, "packing the root filesystem");
    *image = pack_image(maker->mkfs, maker->options, maker->rootfs, path, &maker->fingerprint,
                        entry->dir, err);
    if (*image < 0)
        return *image;
    (void)sync_file_range(*image, 0, 0,
                          SYNC_FILE_RANGE_WRITE); /* a head start for fdatasync later */
    struct fingerprint after;
    int ret = fingerprint_tree(maker->rootfs, maker->cache, true, &after, err);
    if (ret < 0)
        return ret;
    bool changed = memcmp(after.hash, maker->fingerprint.hash, sizeof(after.hash)) != 0;
    fingerprint_release(&after);
    return changed;
}

/* Fill the entry. 1: the tree changed meanwhile, try again. */
static int fill_entry(struct maker *maker, struct cache_entry *entry, struct error *err)
{
    cleanup_free char *path = xasprintf("%s/%s/image", maker->cache_path, entry->tmp);
    cleanup_close int image = -1;
    int ret = 0;
    if (maker->options->tree)
        image = pack_made_tree(maker, entry, path, err);
    else
        ret = pack_directory(maker, entry, path, &image, err);
    if (image < 0 || ret != 0)
        return image < 0 ? image : ret;
    struct image_info info = {.entries = maker->fingerprint.entries};

    tell(maker, "sealing the image");
    ret = seal_image(image, &info.seal, err);
    if (ret < 0)
        return ret;
    tell(maker, "looking for system calls");
    ret = write_sites(entry->dir, image, &info, err);
    if (ret < 0)
        return ret;
    if (fchmod(image, 0600) < 0 || fdatasync(image) < 0)
        return error_errno(err, errno, "write image");
    ret = save_info(entry->dir, &info, err);
    return ret < 0 ? ret : cache_commit(entry, err);
}

/* 0: there is an entry, *made by us or by a faster one; 1: the tree changed meanwhile. */
static int make_entry(struct maker *maker, bool *made, struct error *err)
{
    struct cache_entry entry = CACHE_ENTRY_INIT;
    int ret = cache_begin(&entry, maker->cache, maker->key, image_entry_exists, err);
    if (ret == 1) {
        ret = check_space(maker, err);
        if (ret == 0)
            ret = fill_entry(maker, &entry, err);
        *made = ret == 0;
    }
    struct statvfs fs;
    if (ret < 0 && fstatvfs(maker->cache, &fs) == 0 && fs.f_bavail * fs.f_frsize < 65536)
        ret = error_wrap(err, "no space left in %s; free some or choose another cache directory",
                         maker->cache_path);
    cache_end(&entry);
    return ret;
}

/* Nothing where there are none. */
static void add_maps(struct hash *h, const struct oci_id_mappings *maps)
{
    if (maps->count > 0) {
        hash_add(h, "map", 3);
        hash_add(h, maps->items, maps->count * sizeof(*maps->items));
    }
}

/* The entry's name: the tree, how we pack, and with what. */
static int compute_key(struct maker *maker, struct error *err)
{
    const struct bundle_tree *tree = maker->options->tree;
    fingerprint_release(&maker->fingerprint);
    int ret = tree ? 0
                   : fingerprint_tree(maker->rootfs, maker->cache, maker->walk, &maker->fingerprint,
                                      err);
    if (ret < 0)
        return ret;
    uint8_t key[BUNDLE_HASH_SIZE];
    uint32_t format = PACK_FORMAT;
    struct hash *h = hash_new();
    hash_add(h, tree ? "rune tree " : "rune image", 10);
    hash_add(h, &format, sizeof(format));
    hash_add(h, tree ? tree->identity : maker->fingerprint.hash, BUNDLE_HASH_SIZE);
    add_maps(h, &maker->options->uids);
    add_maps(h, &maker->options->gids);
    hash_end(h, key);
    hash_free(h);
    hex_format(maker->key, key, sizeof(key));
    return 0;
}

static bool changed_just_now(const struct fingerprint *fingerprint)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age = now.tv_sec * 1000000000ll + now.tv_nsec - fingerprint->newest_change;
    /* A ctime from the future is another machine's clock (NFS); waiting would not help. */
    return age >= 0 && age < CTIME_TICK_NS;
}

/* Wait until a further change of the tree would show. */
static int settle(struct maker *maker, struct error *err)
{
    for (int i = 0; i < 50 && changed_just_now(&maker->fingerprint); i++) {
        const struct timespec tick = {0, CTIME_TICK_NS};
        nanosleep(&tick, NULL);
        int ret = compute_key(maker, err);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int open_entry(struct maker *maker, char **path, int *dir, struct image_info *info)
{
    cleanup_close int fd = openat(maker->cache, maker->key, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || !image_info_load(fd, info))
        return -1;
    *path = path_join(maker->cache_path, maker->key);
    (void)futimens(fd, NULL); /* used now: what bundle_cache_prune goes by */
    *dir = take_fd(fd);
    return 0;
}

static int find_or_make(struct maker *maker, char **path, int *dir, struct image_info *info,
                        bool *converted, struct error *err)
{
    int ret = compute_key(maker, err);
    if (ret == 0)
        ret = settle(maker, err);
    *converted = false;
    if (ret == 0 && open_entry(maker, path, dir, info) == 0)
        return 0;
    if (ret == 0 && maker->options->miss)
        maker->options->miss();
    maker->walk = true;
    if (ret == 0 && maker->fingerprint.layered) {
        ret = compute_key(maker, err);
        if (ret == 0)
            ret = settle(maker, err);
    }
    for (int attempt = 0; ret == 0 && attempt < ATTEMPTS; attempt++) {
        if (open_entry(maker, path, dir, info) == 0)
            return 0;
        cache_sweep(maker->cache);
        if (!maker->mkfs)
            maker->mkfs = pack_find_mkfs(maker->options->mkfs, err);
        if (!maker->mkfs)
            return -1;
        ret = make_entry(maker, converted, err);
        if (ret < 0)
            return ret;
        if (ret == 1)
            ret = compute_key(maker, err);
        if (ret == 0)
            ret = settle(maker, err);
    }
    if (ret == 0 && open_entry(maker, path, dir, info) == 0)
        return 0;
    return ret < 0 ? ret
                   : error_set(err, "%s keeps changing while it is packed; stop what writes to it",
                               maker->name);
}

/* A cache in the tree that is packed would be packed as well. */
static int check_place(const char *cache, const char *rootfs, struct error *err)
{
    size_t size = strlen(rootfs);
    if (strncmp(cache, rootfs, size) == 0 && (size == 1 || !cache[size] || cache[size] == '/'))
        return error_set(err,
                         "the image cache %s lies inside the root filesystem %s; choose "
                         "another cache directory",
                         cache, rootfs);
    return 0;
}

int image_prepare(const struct bundle_options *options, char **path, int *dir,
                  struct image_info *info, bool *converted, struct error *err)
{
    const char *cache_dir = options->cache_dir;
    const char *name = options->tree ? options->tree->name : options->rootfs;
    cleanup_free char *rootfs = options->tree ? NULL : realpath(options->rootfs, NULL);
    if (!rootfs && !options->tree)
        return error_errno(err, errno, "root filesystem %s", options->rootfs);
    int ret = path_mkdir_p(cache_dir, 0700, err);
    if (ret < 0)
        return error_wrap(err, "image cache");
    cleanup_free char *cache_path = realpath(cache_dir, NULL);
    cleanup_close int cache = open(cache_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cache < 0 || !cache_path)
        return error_errno(err, errno, "image cache %s", cache_dir);
    if (rootfs && check_place(cache_path, rootfs, err) < 0)
        return -1;

    struct maker maker = {.options = options,
                          .name = name,
                          .rootfs = rootfs,
                          .cache_path = cache_path,
                          .cache = cache};
    ret = find_or_make(&maker, path, dir, info, converted, err);
    free(maker.mkfs);
    fingerprint_release(&maker.fingerprint);
    return ret < 0 ? error_wrap(err, "convert %s", name) : 0;
}
