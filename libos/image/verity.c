/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a block of the untrusted image into enclave memory, once, and proves it against the
 * measured root hash (dm-verity, hash type 1: SHA-256(salt, block)). The geometry comes from the
 * manifest alone. Hash blocks that were proved are cached, so a data block usually costs two hashes
 * at most. What cannot be proved is never returned.
 */
#include "image.h"
#include "heap.h"
#include "manifest.h"

#define PER_BLOCK       (IMAGE_BLOCK / SHA256_SIZE)
#define COMPLAINTS_MAX  16u
#define TREE_CACHE_SIZE (4ull << 20) /* covers 512 MiB of data */

struct verity_super {
    u8 signature[8];
    u32 version, hash_type;
    u8 uuid[16];
    char algorithm[32];
    u32 data_block_size, hash_block_size;
    u64 data_blocks;
    u16 salt_size;
    u8 pad1[6];
    u8 salt[256];
    u8 pad2[168];
} __attribute__((packed));
_Static_assert(sizeof(struct verity_super) == 512, "superblock of veritysetup");

/* Levels are named from the data up; the image holds them from the top down. -1: data blocks. */
static const char *level_name(int level, char text[24])
{
    if (level < 0)
        return "data";
    snprintf(text, 24, "hash level %d", level);
    return text;
}

/* A program that retries would fill the log: the first bad blocks tell the story. */
static void complain(struct verity *v, u64 block, int level, const char *what)
{
    char text[24];
    u32 count = __atomic_fetch_add(&v->complaints, 1, __ATOMIC_RELAXED);
    if (count < COMPLAINTS_MAX)
        log_error("sealed image: block %llu (%s) %s", (unsigned long long)block,
                  level_name(level, text), what);
    else if (count == COMPLAINTS_MAX)
        log_error("sealed image: further bad blocks are not logged");
}

static int fetch_block(struct verity *v, u64 block, int level, u8 *out)
{
    if (v->read(v->ctx, block * IMAGE_BLOCK, out, IMAGE_BLOCK) == 0)
        return 0;
    complain(v, block, level, "cannot be read");
    return -EIO;
}

/* The proved digest of block `index` of `level` (-1: data). */
static int expected_digest(struct verity *v, int level, u64 index, u8 digest[SHA256_SIZE])
{
    int above = level + 1;
    if (above == (int)v->levels) {
        memcpy(digest, v->root_hash, SHA256_SIZE);
        return 0;
    }
    return blockcache_read(v->tree, v->level_start[above] + index / PER_BLOCK,
                           (u32)(index % PER_BLOCK) * SHA256_SIZE, digest, SHA256_SIZE);
}

/* Copy in, hash, compare. `block` is the place in the image, `index` in its level. */
static int read_proved(struct verity *v, int level, u64 index, u64 block, u8 *out)
{
    u8 expected[SHA256_SIZE], actual[SHA256_SIZE];
    int ret = expected_digest(v, level, index, expected);
    if (ret == 0)
        ret = fetch_block(v, block, level, out);
    if (ret == 0) {
        sha256_once(v->salt, v->salt_size, out, IMAGE_BLOCK, actual);
        if (!crypto_equal(expected, actual, SHA256_SIZE)) {
            complain(v, block, level, "is not what was measured");
            ret = -EIO;
        }
    }
    if (ret < 0)
        memset(out, 0, IMAGE_BLOCK);
    return ret;
}

/* Fill of the tree cache: which level a place in the image belongs to follows from the geometry. */
static int fill_hash_block(void *ctx, u64 block, void *page)
{
    struct verity *v = ctx;
    for (int level = 0; level < (int)v->levels; level++)
        if (block >= v->level_start[level] &&
            block - v->level_start[level] < v->level_blocks[level])
            return read_proved(v, level, block - v->level_start[level], block, page);
    return -EIO;
}

int verity_read(struct verity *v, u64 block, void *out)
{
    if (block >= v->data_blocks) {
        memset(out, 0, IMAGE_BLOCK);
        log_error("sealed image: block %llu is behind its end", (unsigned long long)block);
        return -EIO;
    }
    return read_proved(v, -1, block, block, out);
}

/* Sizes of the levels and their places: the top level comes first, after the block of the
 * superblock. */
static int lay_out(struct verity *v, const struct manifest_image *m)
{
    if (!m->data_blocks || m->data_blocks > (1ull << 48) || m->salt_size > sizeof(v->salt) ||
        m->hash_offset != m->data_blocks * IMAGE_BLOCK)
        return -EINVAL;
    u64 total = 0;
    v->levels = 0;
    for (u64 n = m->data_blocks; n > 1; total += n) {
        n = (n + PER_BLOCK - 1) / PER_BLOCK;
        if (v->levels == VERITY_LEVELS_MAX)
            return -EINVAL;
        v->level_blocks[v->levels++] = n;
    }
    u64 end = m->data_blocks + 1 + total;
    if (v->levels != m->hash_levels || m->image_size != end * IMAGE_BLOCK)
        return -EINVAL;
    for (u32 i = 0; i < v->levels; i++) {
        end -= v->level_blocks[i];
        v->level_start[i] = end;
    }
    v->data_blocks = m->data_blocks;
    v->salt_size = m->salt_size;
    memcpy(v->salt, m->salt, sizeof(v->salt));
    memcpy(v->root_hash, m->root_hash, sizeof(v->root_hash));
    return 0;
}

/* Nothing is taken from the image's own superblock, but one that contradicts the manifest is
 * another image's, or damaged. */
static int check_super(struct verity *v)
{
    struct verity_super super;
    int ret = v->read(v->ctx, v->data_blocks * IMAGE_BLOCK, &super, sizeof(super));
    if (ret < 0)
        return -EIO;
    if (memcmp(super.signature, "verity\0\0", 8) != 0 || super.version != 1 ||
        super.hash_type != 1 || memcmp(super.algorithm, "sha256", 7) != 0 ||
        super.data_block_size != IMAGE_BLOCK || super.hash_block_size != IMAGE_BLOCK ||
        super.data_blocks != v->data_blocks || super.salt_size != v->salt_size ||
        memcmp(super.salt, v->salt, v->salt_size) != 0)
        return -EIO;
    return 0;
}

int verity_open(struct verity *v, const struct manifest_image *manifest, u64 image_size,
                image_read_fn *read, void *ctx)
{
    memset(v, 0, sizeof(*v));
    v->read = read;
    v->ctx = ctx;
    if (lay_out(v, manifest) < 0) {
        log_error("manifest: impossible geometry of the sealed image");
        return -EINVAL;
    }
    if (image_size < manifest->image_size) {
        log_error("sealed image: truncated: %llu bytes, the measured image has %llu",
                  (unsigned long long)image_size, (unsigned long long)manifest->image_size);
        return -EIO;
    }
    if (check_super(v) < 0) {
        log_error("sealed image: its verity superblock is not that of the measured image");
        return -EIO;
    }
    v->tree = blockcache_create(TREE_CACHE_SIZE, 0, fill_hash_block, v);
    if (!v->tree)
        return -ENOMEM;
    /* The first block proves the path to the root: a swapped image is refused here, not at some
     * later read. */
    u8 *block = kmalloc(IMAGE_BLOCK);
    int ret = block ? verity_read(v, 0, block) : -ENOMEM;
    kfree(block);
    if (ret < 0)
        verity_close(v);
    return ret;
}

void verity_close(struct verity *v)
{
    if (v->tree)
        blockcache_destroy(v->tree);
    v->tree = NULL;
}
