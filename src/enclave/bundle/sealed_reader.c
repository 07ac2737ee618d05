/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/bundle/trusted_names.h"
#include "image.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "enclave/bundle/sealed_reader.h"

struct sealed_reader {
    const u8 *map;
    u64 size;
    struct erofs fs;
};

static int read_mapped(void *ctx, u64 off, void *buf, size_t n)
{
    const struct sealed_reader *reader = ctx;
    if (off > reader->size || n > reader->size - off)
        return -EIO;
    memcpy(buf, reader->map + off, n);
    return 0;
}

int sealed_open(struct sealed_reader **out, int fd, uint64_t size, struct error *err)
{
    struct sealed_reader *reader = xcalloc(1, sizeof(*reader));
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        free(reader);
        return error_set(err, "map the packed image");
    }
    reader->map = map;
    reader->size = size;
    int ret = erofs_open(&reader->fs, size, read_mapped, reader);
    if (ret < 0) {
        sealed_close(reader);
        return error_code(err, -ret,
                          "the packed image is not of a kind that the LibOS reads; use "
                          "mkfs.erofs of erofs-utils 1.5 or later");
    }
    *out = reader;
    return 0;
}

void sealed_close(struct sealed_reader *reader)
{
    munmap((void *)reader->map, reader->size);
    free(reader);
}

uint64_t sealed_root(const struct sealed_reader *reader)
{
    return reader->fs.root_nid;
}

uint64_t sealed_inode_offset(const struct sealed_reader *reader, uint64_t nid)
{
    return reader->fs.meta_start + nid * 32;
}

int sealed_find(struct sealed_reader *reader, const char *path, uint64_t *nid)
{
    struct erofs_inode inode;
    *nid = reader->fs.root_nid;
    for (;;) {
        path += strspn(path, "/");
        size_t len = strcspn(path, "/");
        u8 type;
        if (!len)
            return 0;
        int ret = erofs_inode_read(&reader->fs, *nid, &inode);
        if (ret == 0)
            ret = erofs_lookup(&reader->fs, &inode, path, len, nid, &type);
        if (ret < 0)
            return ret;
        path += len;
    }
}

struct list_context {
    bool (*fn)(void *ctx, uint64_t nid, enum sealed_type type);
    void *ctx;
};

/* The types of directory entries are those of modes. */
static enum sealed_type type_of_mode(u32 mode)
{
    switch (mode & 0170000) {
    case 0100000:
        return SEALED_REGULAR;
    case 0040000:
        return SEALED_DIRECTORY;
    default:
        return SEALED_OTHER;
    }
}

static bool pass_entry(void *ctx, const char *name, size_t len, u64 nid, u8 d_type, u64 next_pos)
{
    const struct list_context *list = ctx;
    return list->fn(list->ctx, nid, type_of_mode((u32)d_type << 12));
}

int sealed_list(struct sealed_reader *reader, uint64_t nid,
                bool (*fn)(void *ctx, uint64_t nid, enum sealed_type type), void *ctx)
{
    struct erofs_inode inode;
    struct list_context list = {fn, ctx};
    int ret = erofs_inode_read(&reader->fs, nid, &inode);
    return ret < 0 ? ret : erofs_iterate(&reader->fs, &inode, 0, pass_entry, &list);
}

enum sealed_type sealed_type_of(struct sealed_reader *reader, uint64_t nid)
{
    struct erofs_inode inode;
    if (erofs_inode_read(&reader->fs, nid, &inode) < 0)
        return SEALED_OTHER;
    return type_of_mode(inode.mode);
}

int64_t sealed_size(struct sealed_reader *reader, uint64_t nid)
{
    struct erofs_inode inode;
    int ret = erofs_inode_read(&reader->fs, nid, &inode);
    return ret < 0 ? ret : (int64_t)inode.size;
}

int sealed_read(struct sealed_reader *reader, uint64_t nid, uint64_t offset, void *data, size_t n)
{
    struct erofs_inode inode;
    int ret = erofs_inode_read(&reader->fs, nid, &inode);
    if (ret < 0)
        return ret;
    ssize_t got = erofs_pread(&reader->fs, &inode, offset, data, n);
    if (got < 0)
        return (int)got;
    return (size_t)got == n ? 0 : -EIO;
}
