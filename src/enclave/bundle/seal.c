/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dm-verity tree over an image, in the same file, in veritysetup's format 1 (Linux
 * Documentation/admin-guide/device-mapper/verity.rst and cryptsetup's docs/on-disk-format):
 * superblock at the first byte after the data, then the levels, top first.
 */
#include "enclave/bundle/internal.h"

#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define BLOCK        ((size_t)4096)
#define PER_BLOCK    (BLOCK / BUNDLE_HASH_SIZE)
#define CHUNK_BLOCKS ((size_t)256)
#define THREADS      2
#define LEVELS_MAX   9

struct verity_super {
    uint8_t signature[8];
    uint32_t version, hash_type;
    uint8_t uuid[16];
    char algorithm[32];
    uint32_t data_block_size, hash_block_size;
    uint64_t data_blocks;
    uint16_t salt_size;
    uint8_t pad1[6];
    uint8_t salt[256];
    uint8_t pad2[168];
};
_Static_assert(sizeof(struct verity_super) == 512, "superblock of veritysetup");

struct job {
    pthread_t thread;
    int fd;
    uint64_t first, count; /* blocks */
    const struct seal *seal;
    uint8_t *digests; /* of block `first` on */
    int result;       /* 0 or errno */
};

static void hash_block(struct hash *h, const struct seal *seal, const uint8_t *block,
                       uint8_t *digest)
{
    hash_begin(h);
    hash_add(h, seal->salt, seal->salt_size);
    hash_add(h, block, BLOCK);
    hash_end(h, digest);
}

static int read_at(int fd, void *data, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        done += (size_t)n;
    }
    return 0;
}

static int write_at(int fd, const void *data, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, (const char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : ENOSPC;
        done += (size_t)n;
    }
    return 0;
}

static void *hash_range(void *arg)
{
    struct job *job = arg;
    cleanup_free uint8_t *chunk = xmalloc(CHUNK_BLOCKS * BLOCK);
    struct hash *h = hash_new();
    for (uint64_t done = 0; done < job->count && !job->result;) {
        uint64_t count = job->count - done < CHUNK_BLOCKS ? job->count - done : CHUNK_BLOCKS;
        job->result = read_at(job->fd, chunk, count * BLOCK, (job->first + done) * BLOCK);
        for (uint64_t i = 0; i < count && !job->result; i++)
            hash_block(h, job->seal, chunk + i * BLOCK,
                       job->digests + (done + i) * BUNDLE_HASH_SIZE);
        done += count;
    }
    hash_free(h);
    return NULL;
}

/* Hash the data blocks to `digests`, the second half in a second thread. */
static int hash_data(int fd, const struct seal *seal, uint8_t *digests)
{
    struct job jobs[THREADS];
    uint64_t first = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        uint64_t end = seal->data_blocks * (i + 1) / THREADS;
        jobs[i] = (struct job){.fd = fd,
                               .first = first,
                               .count = end - first,
                               .seal = seal,
                               .digests = digests + first * BUNDLE_HASH_SIZE};
        first = end;
    }
    bool threaded = pthread_create(&jobs[1].thread, NULL, hash_range, &jobs[1]) == 0;
    hash_range(&jobs[0]);
    if (threaded)
        pthread_join(jobs[1].thread, NULL);
    else
        hash_range(&jobs[1]);
    return jobs[0].result ? jobs[0].result : jobs[1].result;
}

/* Salt and UUID come from the content, so that equal images are equal files. The first block holds
 * the image's superblock. */
static int choose_salt(int fd, struct seal *seal, struct hash *h)
{
    uint8_t block[BLOCK];
    int code = read_at(fd, block, sizeof(block), 0);
    if (code)
        return code;
    hash_begin(h);
    hash_add(h, "rune verity salt 1", 18);
    hash_add(h, block, sizeof(block));
    hash_end(h, seal->salt);
    seal->salt_size = BUNDLE_HASH_SIZE;
    return 0;
}

static void fill_super(struct verity_super *super, const struct seal *seal, struct hash *h)
{
    memset(super, 0, sizeof(*super));
    memcpy(super->signature, "verity\0\0", 8);
    super->version = htole32(1);
    super->hash_type = htole32(1);
    memcpy(super->algorithm, "sha256", 6);
    super->data_block_size = htole32(BLOCK);
    super->hash_block_size = htole32(BLOCK);
    super->data_blocks = htole64(seal->data_blocks);
    super->salt_size = htole16((uint16_t)seal->salt_size);
    memcpy(super->salt, seal->salt, seal->salt_size);

    uint8_t id[BUNDLE_HASH_SIZE];
    hash_begin(h);
    hash_add(h, "rune verity uuid 1", 18);
    hash_add(h, seal->root_hash, sizeof(seal->root_hash));
    hash_end(h, id);
    memcpy(super->uuid, id, sizeof(super->uuid));
    super->uuid[6] = (uint8_t)((super->uuid[6] & 0x0f) |
                               0x80); /* RFC 9562: version 8, our own making */
    super->uuid[8] = (uint8_t)((super->uuid[8] & 0x3f) | 0x80);
}

/* Digests of one level to its blocks, at `offset`; their hashes replace `digests`. *count becomes
 * their number. */
static int write_level(int fd, const struct seal *seal, struct hash *h, uint8_t *digests,
                       uint64_t *count, uint64_t offset)
{
    uint64_t blocks = (*count + PER_BLOCK - 1) / PER_BLOCK;
    for (uint64_t i = 0; i < blocks; i++) {
        uint8_t block[BLOCK] = {0};
        uint64_t here = *count - i * PER_BLOCK < PER_BLOCK ? *count - i * PER_BLOCK : PER_BLOCK;
        memcpy(block, digests + i * BLOCK, here * BUNDLE_HASH_SIZE);
        int code = write_at(fd, block, sizeof(block), offset + i * BLOCK);
        if (code)
            return code;
        hash_block(h, seal, block, digests + i * BUNDLE_HASH_SIZE);
    }
    *count = blocks;
    return 0;
}

/* The blocks of each level above `data_blocks` of data, and their number. */
static unsigned tree_levels(uint64_t data_blocks, uint64_t blocks[LEVELS_MAX], uint64_t *total)
{
    unsigned levels = 0;
    *total = 0;
    for (uint64_t n = data_blocks; n > 1; *total += n) {
        n = (n + PER_BLOCK - 1) / PER_BLOCK;
        blocks[levels++] = n;
    }
    return levels;
}

void seal_place(struct seal *seal, uint64_t data_size)
{
    uint64_t blocks[LEVELS_MAX], total;
    seal->data_blocks = data_size / BLOCK;
    seal->hash_offset = data_size;
    seal->levels = tree_levels(seal->data_blocks, blocks, &total);
    seal->image_size = seal->hash_offset + BLOCK + total * BLOCK;
}

static int write_tree(int fd, struct seal *seal, struct hash *h, uint8_t *digests)
{
    uint64_t blocks[LEVELS_MAX], total;
    unsigned levels = tree_levels(seal->data_blocks, blocks, &total);

    uint64_t count = seal->data_blocks, end = seal->image_size;
    for (unsigned i = 0; i < levels; i++) { /* level 0 lies last */
        end -= blocks[i] * BLOCK;
        int code = write_level(fd, seal, h, digests, &count, end);
        if (code)
            return code;
    }
    memcpy(seal->root_hash, digests, BUNDLE_HASH_SIZE);

    uint8_t block[BLOCK] = {0};
    struct verity_super super;
    fill_super(&super, seal, h);
    memcpy(block, &super, sizeof(super));
    return write_at(fd, block, sizeof(block), seal->hash_offset);
}

int seal_image(int fd, struct seal *out, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "image");
    memset(out, 0, sizeof(*out));
    seal_place(out, (uint64_t)st.st_size);

    struct hash *h = hash_new();
    cleanup_free uint8_t *digests = xcalloc((out->data_blocks + PER_BLOCK - 1) / PER_BLOCK, BLOCK);
    int code = choose_salt(fd, out, h);
    if (!code)
        code = hash_data(fd, out, digests);
    if (!code)
        code = write_tree(fd, out, h, digests);
    hash_free(h);
    return code ? error_errno(err, code, "write the hash tree of the image") : 0;
}

/* ---- checking ---- */

static int read_super(int fd, uint64_t size, struct seal *out, struct error *err)
{
    /* The place of the superblock is not recorded in the file: the tree after it must fill the
     * rest. Try the number of data blocks that makes it so. */
    uint64_t blocks = size / BLOCK;
    struct verity_super super;
    for (uint64_t data = blocks - blocks / PER_BLOCK - 8 < blocks ? blocks - blocks / PER_BLOCK - 8
                                                                  : 1;
         data < blocks; data++) {
        if (read_at(fd, &super, sizeof(super), data * BLOCK) != 0)
            break;
        if (memcmp(super.signature, "verity\0\0", 8) != 0 || le64toh(super.data_blocks) != data ||
            le16toh(super.salt_size) > sizeof(out->salt))
            continue;
        out->data_blocks = data;
        out->hash_offset = data * BLOCK;
        out->salt_size = le16toh(super.salt_size);
        memcpy(out->salt, super.salt, out->salt_size);
        return 0;
    }
    return error_set(err, "no verity superblock: not a sealed image, or truncated");
}

/* Compare one level of the file with what it must be. */
static int check_level(int fd, const struct seal *seal, struct hash *h, uint8_t *digests,
                       uint64_t *count, uint64_t offset, unsigned level, struct error *err)
{
    uint64_t blocks = (*count + PER_BLOCK - 1) / PER_BLOCK;
    for (uint64_t i = 0; i < blocks; i++) {
        uint8_t expected[BLOCK] = {0}, found[BLOCK];
        uint64_t here = *count - i * PER_BLOCK < PER_BLOCK ? *count - i * PER_BLOCK : PER_BLOCK;
        memcpy(expected, digests + i * BLOCK, here * BUNDLE_HASH_SIZE);
        int code = read_at(fd, found, sizeof(found), offset + i * BLOCK);
        if (code)
            return error_errno(err, code, "block %" PRIu64, offset / BLOCK + i);
        for (unsigned k = 0; k < PER_BLOCK; k++) {
            if (memcmp(expected + (size_t)32 * k, found + (size_t)32 * k, 32) == 0)
                continue;
            if (level == 0 && k < here)
                return error_set(
                    err, "block %" PRIu64 " (data), or its hash in block %" PRIu64 ", was changed",
                    i * PER_BLOCK + k, offset / BLOCK + i);
            return error_set(err, "block %" PRIu64 " (hash level %u) was changed",
                             offset / BLOCK + i, level);
        }
        hash_block(h, seal, expected, digests + i * BUNDLE_HASH_SIZE);
    }
    *count = blocks;
    return 0;
}

static int seal_verify(int fd, uint64_t size, const uint8_t root_hash[BUNDLE_HASH_SIZE],
                       struct error *err)
{
    struct seal seal = {0};
    int ret = size % BLOCK ? error_set(err, "truncated: not whole blocks")
                           : read_super(fd, size, &seal, err);
    if (ret < 0)
        return ret;
    uint64_t total = 0;
    for (uint64_t n = seal.data_blocks; n > 1; total += n)
        n = (n + PER_BLOCK - 1) / PER_BLOCK;
    if (seal.hash_offset + (1 + total) * BLOCK != size)
        return error_set(err, "truncated, or something was appended");

    struct hash *h = hash_new();
    cleanup_free uint8_t *digests = xcalloc((seal.data_blocks + PER_BLOCK - 1) / PER_BLOCK, BLOCK);
    int code = hash_data(fd, &seal, digests);
    ret = code ? error_errno(err, code, "read") : 0;
    uint64_t count = seal.data_blocks, end = size;
    for (unsigned level = 0; ret == 0 && count > 1; level++) {
        end -= (count + PER_BLOCK - 1) / PER_BLOCK * BLOCK;
        ret = check_level(fd, &seal, h, digests, &count, end, level, err);
    }
    hash_free(h);
    if (ret == 0 && memcmp(digests, root_hash, BUNDLE_HASH_SIZE) != 0)
        ret = error_set(err,
                        "sound in itself, but its root hash is another: this is another image");
    return ret;
}

int bundle_image_verify(const char *image, const uint8_t root_hash[BUNDLE_HASH_SIZE],
                        struct error *err)
{
    cleanup_close int fd = open(image, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "image %s", image);
    int ret = seal_verify(fd, (uint64_t)st.st_size, root_hash, err);
    return ret < 0 ? error_wrap(err, "image %s", image) : 0;
}
