/* SPDX-License-Identifier: Apache-2.0 */
/* The signed enclave of an image: found by all that goes into it, or built. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "enclave/bundle/bound_build.h"
#include "enclave/bundle/layout_build.h"
#include "enclave/bundle/service.h"
#include "enclave/bundle/signing.h"
#include "layout.h"
#include "sgx/sigstruct.h"

#define ENCLAVE_FORMAT 4u /* change when the same inputs would give another enclave file */

struct enclave_maker {
    const struct bundle_options *options;
    const struct image_info *info;
    struct bundle_settings settings;
    struct manifest_image manifest;
    char *libos_path;
    struct buffer libos; /* only read to build */
    struct buffer bound, bound_json;
    uint8_t bound_hash[BUNDLE_HASH_SIZE];
    uint8_t libos_hash[BUNDLE_HASH_SIZE], signer[BUNDLE_HASH_SIZE];
    const char *key_path;
};

#define HASH_SLOTS 8u /* installations and keys that share a cache and keep their hashes */

/* As with a root's fingerprint: the ctime notices every change (fingerprint.c). */
struct file_identity {
    uint64_t dev, ino, size;
    int64_t mtime, ctime; /* ns */
    uint8_t hash[BUNDLE_HASH_SIZE];
};

/* What a file beside the image keeps, the latest first; one slot for each device and inode. */
struct hash_slots {
    struct file_identity slot[HASH_SLOTS];
    size_t count;
};

static int read_libos(struct enclave_maker *maker, struct error *err)
{
    if (maker->libos.size)
        return 0;
    return read_file_at(AT_FDCWD, maker->libos_path, &maker->libos, LIBOS_LIMIT, err);
}

static int64_t nanoseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A file that is no whole number of slots has none. */
static void read_slots(int image_dir, const char *name, struct hash_slots *slots)
{
    cleanup_buffer struct buffer kept = BUFFER_INIT;
    slots->count = 0;
    if (faccessat(image_dir, name, R_OK, 0) < 0 ||
        read_file_at(image_dir, name, &kept, sizeof(slots->slot), NULL) < 0 ||
        kept.size % sizeof(slots->slot[0]) != 0)
        return;
    memcpy(slots->slot, kept.data, kept.size);
    slots->count = kept.size / sizeof(slots->slot[0]);
}

static bool same_file(const struct file_identity *a, const struct file_identity *b)
{
    return a->dev == b->dev && a->ino == b->ino;
}

/* The hash of a file as it is now, kept in the image's directory from an earlier start. */
static bool hash_known(int image_dir, const char *name, const struct file_identity *id,
                       uint8_t hash[BUNDLE_HASH_SIZE])
{
    struct hash_slots slots;
    read_slots(image_dir, name, &slots);
    for (size_t i = 0; i < slots.count; i++) {
        if (memcmp(&slots.slot[i], id, offsetof(struct file_identity, hash)) != 0)
            continue;
        memcpy(hash, slots.slot[i].hash, sizeof(slots.slot[i].hash));
        return true;
    }
    return false;
}

/*
 * Not of a file that changed just now: its next change could fall into the same tick. Of makers
 * that keep theirs at once the last one's file stays: what is not in it is hashed again.
 */
static void hash_keep(int image_dir, const char *name, struct file_identity *id,
                      const uint8_t hash[BUNDLE_HASH_SIZE])
{
    struct timespec now;
    memcpy(id->hash, hash, sizeof(id->hash));
    clock_gettime(CLOCK_REALTIME, &now);
    if (nanoseconds(now) - id->ctime <= 2000000000)
        return;
    struct hash_slots old, slots = {.slot[0] = *id, .count = 1};
    read_slots(image_dir, name, &old);
    for (size_t i = 0; i < old.count && slots.count < HASH_SLOTS; i++) {
        if (!same_file(&old.slot[i], id))
            slots.slot[slots.count++] = old.slot[i];
    }
    (void)replace_file_at(image_dir, name, slots.slot, slots.count * sizeof(slots.slot[0]), 0600,
                          false, NULL);
}

static int identify(const char *path, struct file_identity *id)
{
    struct stat st;
    memset(id, 0, sizeof(*id));
    if (stat(path, &st) < 0)
        return -errno;
    id->dev = st.st_dev;
    id->ino = st.st_ino;
    id->size = (uint64_t)st.st_size;
    id->mtime = nanoseconds(st.st_mtim);
    id->ctime = nanoseconds(st.st_ctim);
    return 0;
}

/*
 * Hashes of the LibOS and of the signing key's public half are part of every enclave's name. A
 * start that finds its enclave need not read megabytes, or parse a key, for them.
 */
static int hash_libos(struct enclave_maker *maker, int image_dir, struct error *err)
{
    struct file_identity id;
    int ret = identify(maker->libos_path, &id);
    if (ret < 0)
        return error_errno(err, -ret, "%s", maker->libos_path);
    if (hash_known(image_dir, "libos-hash", &id, maker->libos_hash))
        return 0;
    ret = read_libos(maker, err);
    if (ret < 0)
        return ret;
    hash_of(buffer_text(&maker->libos), maker->libos.size, maker->libos_hash);
    hash_keep(image_dir, "libos-hash", &id, maker->libos_hash);
    return 0;
}

/* An installation without ratls-proxy makes enclaves without it. */
static int add_proxy(struct enclave_maker *maker, int image_dir, struct error *err)
{
    cleanup_free char *proxy = find_proxy(maker->libos_path);
    cleanup_buffer struct buffer program = BUFFER_INIT;
    struct file_identity id;
    int ret = identify(proxy, &id);
    if (ret == -ENOENT)
        return 0;
    if (ret < 0)
        return error_errno(err, -ret, "%s", proxy);
    maker->manifest.proxy_size = id.size;
    if (hash_known(image_dir, "proxy-hash", &id, maker->manifest.proxy_hash))
        return 0;
    ret = read_file_at(AT_FDCWD, proxy, &program, MANIFEST_PROXY_MAX, err);
    if (ret < 0)
        return ret;
    maker->manifest.proxy_size = program.size;
    hash_of(buffer_text(&program), program.size, maker->manifest.proxy_hash);
    hash_keep(image_dir, "proxy-hash", &id, maker->manifest.proxy_hash);
    return 0;
}

static int hash_signer(struct enclave_maker *maker, int image_dir, struct error *err)
{
    struct file_identity id;
    if (maker->options->client_signing)
        return 0;
    if (maker->options->service) {
        service_identity(maker->options->service, maker->signer);
        return 0;
    }
    bool there = identify(maker->key_path, &id) == 0;
    if (there && hash_known(image_dir, "signer-hash", &id, maker->signer))
        return 0;
    if (maker->options->miss)
        maker->options->miss();
    int ret = signing_key_prepare(maker->key_path, maker->signer, err);
    if (ret == 0 && there)
        hash_keep(image_dir, "signer-hash", &id, maker->signer);
    return ret;
}

static bool enclave_exists(int parent, const char *name)
{
    struct stat st;
    cleanup_free char *path = xasprintf("%s/manifest.json", name);
    return fstatat(parent, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static void compute_key(const struct enclave_maker *maker, char name[80])
{
    uint8_t key[BUNDLE_HASH_SIZE];
    const struct bundle_settings *s = &maker->settings;
    uint64_t numbers[] = {ENCLAVE_FORMAT,     s->enclave_size,   s->preadded_user, s->preadded_heap,
                          s->no_sgx2,         s->isv_prod_id,    s->isv_svn,       s->debug,
                          s->static_tcs,      LAYOUT_STACK_SIZE, LAYOUT_NSSA,      LAYOUT_SSA_PAGES,
                          LAYOUT_HEAP_INITIAL};
    struct hash *h = hash_new();
    hash_add(h, "rune enclave", 12);
    hash_add(h, numbers, sizeof(numbers));
    hash_add(h, &maker->manifest, sizeof(maker->manifest));
    hash_add(h, maker->signer, sizeof(maker->signer));
    hash_add(h, maker->bound_hash, sizeof(maker->bound_hash));
    hash_add(h, maker->libos_hash, sizeof(maker->libos_hash));
    hash_end(h, key);
    hash_free(h);
    char hex[2 * BUNDLE_HASH_SIZE + 1];
    hex_format(hex, key, sizeof(key));
    snprintf(name, 80, "enclave-%.32s", hex);
}

static int write_summary(int dir, const struct enclave_maker *maker, const char *sigstruct_name,
                         struct error *err)
{
    struct sgx_sigstruct s;
    int ret = signing_read(dir, sigstruct_name, &s, err);
    if (ret < 0)
        return ret;
    char root[65], enclave[65], signer[65] = "", sites[65];
    uint8_t mrsigner[BUNDLE_HASH_SIZE];
    hex_format(root, maker->manifest.root_hash, 32);
    hex_format(sites, maker->manifest.sites_hash, 32);
    hex_format(enclave, s.mrenclave, 32);
    if (!maker->options->client_signing) {
        sgx_sigstruct_mrsigner(&s, mrsigner);
        hex_format(signer, mrsigner, 32);
    }
    cleanup_json json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:i, s:b, s:b, s:b, s:b, s:i, s:i}",
        "mrenclave", enclave, "mrsigner", signer, "rootHash", root, "sitesHash", sites, "imageSize",
        (json_int_t)maker->manifest.image_size, "dataSize", (json_int_t)maker->manifest.hash_offset,
        "siteCount", (json_int_t)maker->info->site_count, "enclaveSize",
        (json_int_t)maker->settings.enclave_size, "memoryLimit",
        (json_int_t)maker->settings.memory_limit, "staticThreads", (int)maker->settings.static_tcs,
        "debug", maker->settings.debug, "kss", !maker->settings.no_kss, "sgx2",
        !maker->settings.no_sgx2, "aexnotify", maker->settings.aexnotify, "isvProdId",
        (int)s.isv_prod_id, "isvSvn", (int)s.isv_svn);
    if (!json)
        return error_set(err, "manifest.json: out of memory");
    if (maker->bound.size) {
        char bound[65];
        hex_format(bound, maker->bound_hash, 32);
        json_object_set_new(json, "boundHash", json_string(bound));
        json_object_set_new(
            json, "bound",
            json_parse(buffer_text(&maker->bound_json), maker->bound_json.size, "bound", NULL));
    }
    cleanup_free char *text = json_text(json, JSON_INDENT(2));
    return replace_file_at(dir, "manifest.json", text, strlen(text), 0600, true, err);
}

static int ask_service(const struct enclave_maker *maker, int dir, struct error *err)
{
    struct signing_request request = {.settings = maker->options->settings,
                                      .bound = maker->bound, /* borrowed */
                                      .salt_size = maker->manifest.salt_size,
                                      .data_size = maker->manifest.hash_offset,
                                      .sites_size = maker->manifest.sites_size};
    memcpy(request.root_hash, maker->manifest.root_hash, BUNDLE_HASH_SIZE);
    memcpy(request.salt, maker->manifest.salt, BUNDLE_HASH_SIZE);
    memcpy(request.sites_hash, maker->manifest.sites_hash, BUNDLE_HASH_SIZE);
    memcpy(request.libos_hash, maker->libos_hash, BUNDLE_HASH_SIZE);
    memcpy(request.proxy_hash, maker->manifest.proxy_hash, BUNDLE_HASH_SIZE);
    if (maker->options->progress)
        maker->options->progress(maker->options->progress_ctx, "asking the signing service");
    return service_sign(maker->options->service, dir, &request, err);
}

static int sign(const struct enclave_maker *maker, int dir, struct error *err)
{
    return maker->options->service ? ask_service(maker, dir, err)
                                   : signing_sign(dir, maker->key_path, err);
}

static int build_file(struct enclave_maker *maker, int dir, struct error *err)
{
    struct libos_elf elf;
    int ret = read_libos(maker, err);
    if (ret < 0)
        return ret;
    ret = libos_elf_read(maker->libos_path, maker->libos.data, maker->libos.size,
                         LAYOUT_LIBOS_BASE(maker->settings.enclave_size), &elf, err);
    if (ret < 0)
        return ret;
    cleanup_close int fd = openat(dir, "enclave", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        ret = error_errno(err, errno, "make the enclave file");
    else
        ret = layout_write(&elf, &maker->manifest, &maker->bound, &maker->settings, fd, err);
    libos_elf_release(&elf);
    if (ret < 0)
        return ret;
    const char *name = SIGNING_UNSIGNED;
    ret = signing_material_write(dir, fd, maker->settings.debug, err);
    if (ret == 0 && !maker->options->client_signing) {
        ret = sign(maker, dir, err);
        name = SIGNING_SIGNED;
    }
    if (ret == 0 && fsync(fd) < 0)
        ret = error_errno(err, errno, "write the enclave file");
    return ret < 0 ? ret : write_summary(dir, maker, name, err);
}

static int make_enclave(struct enclave_maker *maker, int image_dir, const char *name, bool *built,
                        struct error *err)
{
    struct cache_entry entry = CACHE_ENTRY_INIT;
    int ret = cache_begin(&entry, image_dir, name, enclave_exists, err);
    if (ret == 1) {
        if (maker->options->progress)
            maker->options->progress(maker->options->progress_ctx, "building the enclave");
        ret = build_file(maker, entry.dir, err);
        if (ret == 0)
            ret = cache_commit(&entry, err);
        *built = ret == 0;
    }
    cache_end(&entry);
    return ret < 0 ? error_wrap(err, "build the enclave") : 0;
}

static int describe(const char *enclave_dir, struct bundle_result *result, struct error *err)
{
    cleanup_close int dir = open(enclave_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "%s", enclave_dir);
    struct sgx_sigstruct s;
    bool is_signed = faccessat(dir, SIGNING_SIGNED, F_OK, 0) == 0;
    int ret = signing_read(dir, is_signed ? SIGNING_SIGNED : SIGNING_UNSIGNED, &s, err);
    if (ret < 0)
        return ret;
    memcpy(result->mrenclave, s.mrenclave, sizeof(result->mrenclave));
    if (is_signed) {
        sgx_sigstruct_mrsigner(&s, result->mrsigner);
        result->sigstruct = path_join(enclave_dir, SIGNING_SIGNED);
    }
    result->enclave = path_join(enclave_dir, "enclave");
    result->manifest = path_join(enclave_dir, "manifest.json");
    return 0;
}

/* The bound, compiled: two files that mean the same, with the same lines, make one enclave. */
static int read_bound(struct enclave_maker *maker, int image_dir, struct error *err)
{
    cleanup_free char *origin = NULL;
    cleanup_close int image = openat(image_dir, "image", O_RDONLY | O_CLOEXEC);
    if (image < 0)
        return error_errno(err, errno, "open the sealed image");
    int ret = bound_find(maker->options->bound, image, maker->info->seal.hash_offset,
                         &maker->bound_json, &origin, err);
    if (ret == 0 && origin)
        ret = bound_compile(buffer_text(&maker->bound_json), maker->bound_json.size, origin,
                            &maker->bound, err);
    if (ret == 0 && origin)
        hash_of(maker->bound.data, maker->bound.size, maker->bound_hash);
    return ret;
}

int enclave_prepare(const struct bundle_options *options, int image_dir, const char *image_path,
                    const struct image_info *info, struct bundle_result *result, struct error *err)
{
    struct enclave_maker maker = {.options = options,
                                  .info = info,
                                  .settings = options->settings,
                                  .libos = BUFFER_INIT,
                                  .key_path = options->key};
    int ret = settings_complete(&maker.settings, err);
    if (ret < 0)
        return ret;
    maker.settings.signed_elsewhere = options->client_signing || options->service;
    manifest_fill(&maker.settings, info, &maker.manifest);
    maker.libos_path = find_libos(options->libos);
    ret = hash_libos(&maker, image_dir, err);
    if (ret < 0)
        ret = error_wrap(err, "LibOS (RUNE_RUNTIMES_DIR or --libos tells where it is)");

    char name[80] = "";
    if (ret == 0)
        ret = add_proxy(&maker, image_dir, err);
    if (ret == 0)
        ret = read_bound(&maker, image_dir, err);
    if (ret == 0)
        ret = hash_signer(&maker, image_dir, err);
    if (ret == 0)
        compute_key(&maker, name);
    if (ret == 0 && !enclave_exists(image_dir, name)) {
        if (options->miss)
            options->miss();
        cache_sweep(image_dir);
        ret = make_enclave(&maker, image_dir, name, &result->enclave_built, err);
    }
    if (ret == 0) {
        result->enclave_dir = path_join(image_path, name);
        ret = describe(result->enclave_dir, result, err);
        result->bounded = maker.bound.size != 0;
        memcpy(result->bound_hash, maker.bound_hash, sizeof(result->bound_hash));
    }
    buffer_release(&maker.bound);
    buffer_release(&maker.bound_json);
    free(maker.libos_path);
    buffer_release(&maker.libos);
    return ret;
}
