/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/hex.h"
#include "enclave/bundle/bundle.h"

/* Private to src/enclave/bundle. Change when the same tree would be packed to other bytes: old
 * entries are then not found. */
#define PACK_FORMAT 4u

/* ---- hash.c: SHA-256 by nettle, which needs no library to load and no initialisation ---- */
struct hash;
struct hash *hash_new(void);
void hash_begin(struct hash *h);
void hash_add(struct hash *h, const void *data, size_t size);
void hash_end(struct hash *h, uint8_t out[BUNDLE_HASH_SIZE]);
void hash_free(struct hash *h);
void hash_of(const void *data, size_t size, uint8_t out[BUNDLE_HASH_SIZE]);

/* ---- thin.c: layers that hold one container's mount points ---- */
struct thin_paths {
    char **items; /* "/etc/hosts" */
    size_t count;
};
/* Hash what a layer shows, without times and inodes, and append its paths; false, with nothing
 * hashed, when it is not thin. */
bool thin_fingerprint(const char *layer, struct hash *h, struct thin_paths *paths);
void thin_release(struct thin_paths *paths);

/* ---- fingerprint.c: what identifies a tree without reading its files ---- */
struct fingerprint {
    uint8_t hash[BUNDLE_HASH_SIZE];
    uint64_t entries;
    uint64_t bytes;         /* file contents, hard links once or more */
    int64_t newest_change;  /* ns, latest ctime */
    bool layered;           /* the root is an overlay */
    struct thin_paths thin; /* what its thin layers bring: of no fixed time */
};
void fingerprint_release(struct fingerprint *fingerprint);
/* cache: where memos of layers are, -1 for none. `walk`: all is looked at, memos or not. */
int fingerprint_tree(const char *rootfs, int cache, bool walk, struct fingerprint *out,
                     struct error *err);

/* ---- layer_memo.c: what an engine's layers were found to be ---- */
#define LAYER_MEMO_NAME (sizeof("layers/") + 2 * BUNDLE_HASH_SIZE)
struct layer_memo {
    uint8_t hash[BUNDLE_HASH_SIZE];
    uint64_t entries, bytes;
    int64_t newest_change;
};
/* False: the layer is not one of an engine's store. */
bool layer_memo_name(const char *layer, char name[LAYER_MEMO_NAME]);
bool layer_memo_read(int cache, const char *name, struct layer_memo *out);
void layer_memo_write(int cache, const char *name, const struct layer_memo *memo);
void layer_memo_trim(int cache, int64_t oldest);

/* ---- layers.c: the directories below an overlay mount ---- */
struct layers {
    char **lower; /* topmost first */
    size_t lower_count;
    char *upper; /* NULL: read-only overlay */
};
/* 1: rootfs is the root of an overlay without mounts inside, and *out its layers; 0: it is not, or
 * they cannot be told. */
int layers_find(const char *rootfs, struct layers *out);
void layers_release(struct layers *layers);

/* ---- pack.c: mkfs.erofs ---- */
/* The fields of an inode that are rewritten (Linux fs/erofs/erofs_fs.h); format has bit 0: the long
 * form. Little-endian. */
struct pack_inode {
    uint16_t format, xattr_count, mode, reserved;
    uint64_t size;
    uint32_t data, ino, uid, gid;
    uint64_t mtime;
    uint32_t mtime_nsec;
} __attribute__((packed));
/* Path of mkfs.erofs (malloc'd), or NULL with err. */
char *pack_find_mkfs(const char *option, struct error *err);
/*
 * Pack rootfs (absolute) to the new file `image`; deterministic. `lock` is a descriptor that the
 * packer holds open for as long as it lives. Returns an open descriptor.
 */
int pack_image(const char *mkfs, const struct bundle_options *options, const char *rootfs,
               const char *image, const struct fingerprint *fingerprint, int lock,
               struct error *err);

/* ---- owners.c: a user namespace's ids ---- */
/* Owners of all inodes of an image as the maps say. */
int owners_map(int fd, uint64_t size, const struct oci_id_mappings *uids,
               const struct oci_id_mappings *gids, struct error *err);

/* ---- seal.c: the dm-verity tree ---- */
struct seal {
    uint8_t root_hash[BUNDLE_HASH_SIZE];
    uint8_t salt[BUNDLE_HASH_SIZE];
    uint32_t salt_size;
    uint32_t levels;
    uint64_t data_blocks;
    uint64_t hash_offset;
    uint64_t image_size;
};
/* Append superblock and tree to an image file whose size is a multiple of 4096. */
int seal_image(int fd, struct seal *out, struct error *err);
/* What follows from the size of the data alone: blocks, levels and places. */
void seal_place(struct seal *seal, uint64_t data_size);

/* ---- programs.c: other files of the installation ---- */
/* The LibOS: the option, RUNE_RUNTIMES_DIR, next to the installed binary, the build's directory. */
char *find_libos(const char *option);
/* A program of libexec, in the same way (RUNE_LIBEXEC_DIR). malloc'd, as all of these. */
char *find_program(const char *name);
/* ratls-proxy lies beside the LibOS. */
char *find_proxy(const char *libos);
/* The most that is read of a LibOS. */
#define LIBOS_LIMIT (256u << 20)

/* ---- sites.c: the table of system call sites of a packed image ---- */
struct sites_stats {
    uint64_t files, elf_files, syscalls, sites;
};
int sites_build(int image_fd, uint64_t data_size, struct buffer *table, struct sites_stats *stats,
                struct error *err);

/* ---- cache.c: entries that appear whole or not at all ---- */
struct cache_entry {
    int parent;    /* directory of entries */
    int dir;       /* the temporary directory, locked */
    char *name;    /* final name */
    char *tmp;     /* temporary name */
    bool complete; /* renamed */
};
#define CACHE_ENTRY_INIT          \
    {                             \
        -1, -1, NULL, NULL, false \
    }
/*
 * Become the one that makes entry `name` in `parent` (not owned): waits for another maker. 1: it is
 * ours to make, in the empty directory entry->dir; 0: it has been made meanwhile (exists(parent,
 * name) said so).
 */
int cache_begin(struct cache_entry *entry, int parent, const char *name,
                bool (*exists)(int parent, const char *name), struct error *err);
/* Put it in place (replacing a damaged one) and release. */
int cache_commit(struct cache_entry *entry, struct error *err);
/* Release; without a commit everything made so far is removed. */
void cache_end(struct cache_entry *entry);
/* Remove what killed makers left in a directory of entries. */
void cache_sweep(int parent);
/* Remove an entry, or what a killed maker left. 1: somebody is making or using it. */
int cache_remove(int parent, const char *name, struct error *err);

/* ---- image.c: the sealed image's cache entry ---- */
struct image_info {
    struct seal seal;
    uint8_t sites_hash[BUNDLE_HASH_SIZE];
    uint64_t sites_size, site_count, entries;
};
/* Find or make. *dir is an open descriptor of the entry (caller's), *converted tells which. */
int image_prepare(const struct bundle_options *options, char **path, int *dir,
                  struct image_info *info, bool *converted, struct error *err);

/* What info.json of an entry says; false when it is damaged, or the files have other sizes. */
bool image_info_load(int dir, struct image_info *info);

/* Is there a whole image at cache/name? */
bool image_entry_exists(int cache, const char *name);

/* ---- build.c: the enclave's cache entry ---- */
int enclave_prepare(const struct bundle_options *options, int image_dir, const char *image_path,
                    const struct image_info *info, struct bundle_result *result, struct error *err);
