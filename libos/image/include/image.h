/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sealed root filesystem, bottom up (libos/image): verity.c reads one block of the untrusted
 * image and proves it against the measured root hash; blockcache.c keeps verified blocks; erofs.c
 * reads files out of them. None of the three knows the VFS, so that unit tests, fuzzers and the
 * bundle converter run the same code on the host.
 *
 *   host image --read--> verity (copy once, hash, climb the tree) --> block cache --read--> erofs
 *              --> VFS (fs/tmpfs/sealed.c)
 */
#pragma once

#include "crypto.h"
#include "lib.h"

#define IMAGE_BLOCK 4096u

/* n bytes at off; 0 or negative errno. Never fewer bytes. */
typedef int image_read_fn(void *ctx, u64 off, void *buf, size_t n);

/* ---- verified blocks (libos/image/blockcache.c): bounded, least recently used goes first ---- */
struct blockcache;
/* Fill a page with block `block`, verified; 0 or negative errno. Called without locks, perhaps by
 * two threads at once. */
typedef int blockcache_fill_fn(void *ctx, u64 block, void *page);
/* NULL: no memory. size is bytes of cached data; 0 takes BLOCKCACHE_DEFAULT. Pages are allocated as
 * blocks come. blocks_once: how many blocks there are, when those that are asked for as a whole are
 * kept from the second time on; 0: all are kept at once. */
#define BLOCKCACHE_DEFAULT (64ull << 20)
struct blockcache *blockcache_create(u64 size, u64 blocks_once, blockcache_fill_fn *fill,
                                     void *ctx);
void blockcache_destroy(struct blockcache *cache);
/* Copy n bytes at off of a block (off + n <= IMAGE_BLOCK) to dst: 0, or the error of fill; nothing
 * of the block is in dst then. */
int blockcache_read(struct blockcache *cache, u64 block, u32 off, void *dst, u32 n);
/* The same for any range, as an image_read_fn with the cache as ctx. Cut at an error: part of buf
 * may have been filled. */
int blockcache_read_bytes(void *cache, u64 off, void *buf, size_t n);
struct blockcache_stats {
    u64 hits, misses, evictions, blocks;
};
void blockcache_stats(struct blockcache *cache, struct blockcache_stats *out);
/* Give back up to `pages` cached pages, oldest first (memory is short elsewhere). Returns how
 * many. */
u64 blockcache_shrink(struct blockcache *cache, u64 pages);

/* ---- dm-verity (libos/image/verity.c) ---- */
#define VERITY_LEVELS_MAX 9
struct verity {
    image_read_fn *read;
    void *ctx;
    u8 root_hash[SHA256_SIZE];
    u8 salt[SHA256_SIZE];
    u32 salt_size;
    u32 levels; /* of hash blocks; 0: one data block, whose hash is the root hash */
    u64 data_blocks;
    u64 level_start[VERITY_LEVELS_MAX]; /* block number in the image; level 0 holds the hashes of
                                           data blocks */
    u64 level_blocks[VERITY_LEVELS_MAX];
    struct blockcache *tree; /* verified hash blocks, by block number in the image */
    u32 complaints;          /* bad blocks logged so far */
};
struct manifest_image;
/*
 * Check the manifest's geometry, the size of the image, its verity superblock and the top hash
 * block. image_size is the host's. -EIO with one log line when the image is not the one that was
 * measured, -EINVAL for an impossible manifest, -ENOMEM.
 */
int verity_open(struct verity *v, const struct manifest_image *manifest, u64 image_size,
                image_read_fn *read, void *ctx);
void verity_close(struct verity *v);
/* Data block to out (IMAGE_BLOCK bytes). -EIO and one log line on any mismatch or failed read; out
 * is then all zero. */
int verity_read(struct verity *v, u64 block, void *out);

/* ---- EROFS (libos/image/erofs.c): uncompressed images of mkfs.erofs ---- */
struct erofs {
    image_read_fn *read; /* bytes of the filesystem; verified, when in the enclave */
    void *ctx;
    u64 size; /* bytes that read serves */
    u64 root_nid;
    u64 inode_count;
    u64 blocks;
    u64 meta_start, xattr_start; /* bytes */
    i64 build_time;              /* ns */
    u32 build_nsec;
};
struct erofs_inode {
    u64 nid; /* also the inode number that Linux shows */
    u64 size;
    u64 rdev;  /* Linux's dev_t of stat: makedev(major, minor) of glibc */
    i64 mtime; /* ns; atime and ctime are the same */
    u32 mode, uid, gid, nlink;
    u32 layout; /* 0 plain, 2 inline tail, 4 chunks */
    u32 chunk_format;
    u64 data;  /* byte offset of the plain blocks, or block map of chunks */
    u64 tail;  /* byte offset of the inline tail */
    u64 xattr; /* byte offset and size of the inline xattr area */
    u32 xattr_size;
};
/* -EINVAL with a log line: not EROFS or a feature we do not read; -EIO: damaged (or the read's
 * error). */
int erofs_open(struct erofs *fs, u64 size, image_read_fn *read, void *ctx);
int erofs_inode_read(struct erofs *fs, u64 nid, struct erofs_inode *out);
/* name in directory: 0 with *nid and *d_type (DT_*), -ENOENT, -EIO. */
int erofs_lookup(struct erofs *fs, const struct erofs_inode *dir, const char *name, size_t len,
                 u64 *nid, u8 *d_type);
/*
 * Entries from position pos (0 at first) on, "." and ".." left out; fn returns false when it has no
 * room, then the entry is given again by the next call with its position. next_pos is the position
 * after the entry. Returns 0 or negative errno. fn may be called with any LibOS lock that the
 * caller holds; names are at most 255 bytes, without '/' and NUL.
 */
typedef bool erofs_dirent_fn(void *ctx, const char *name, size_t len, u64 nid, u8 d_type,
                             u64 next_pos);
int erofs_iterate(struct erofs *fs, const struct erofs_inode *dir, u64 pos, erofs_dirent_fn *fn,
                  void *ctx);
/* Up to n bytes of a regular file, directory or symlink; 0 at its end. */
ssize_t erofs_pread(struct erofs *fs, const struct erofs_inode *inode, u64 off, void *buf,
                    size_t n);
/* Target without NUL; cut at n. */
ssize_t erofs_readlink(struct erofs *fs, const struct erofs_inode *inode, char *buf, size_t n);
/* As getxattr(2), listxattr(2): n 0 asks for the size; -ERANGE when it does not fit; -ENODATA. */
ssize_t erofs_getxattr(struct erofs *fs, const struct erofs_inode *inode, const char *name,
                       void *buf, size_t n);
ssize_t erofs_listxattr(struct erofs *fs, const struct erofs_inode *inode, char *buf, size_t n);
