/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container with a user namespace sees the owners of its files through the namespace's maps. The
 * sealed image has them as the container sees them, so it is the same image, with the same
 * MRENCLAVE, wherever an engine has shifted the owners on disk.
 */
#include "enclave/bundle/internal.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "enclave/bundle/sealed_reader.h"

#define OVERFLOW_ID 65534u
#define SLOT        32u /* bytes: an inode's number counts these */

struct mapper {
    int fd;
    struct sealed_reader *reader;
    const struct oci_id_mappings *uids, *gids;
    uint8_t *seen; /* a bit for each slot: hard links lead to one inode */
    uint64_t slots;
    uint64_t *directories; /* still to be listed */
    size_t count, room;
    struct error *err;
    int result;
};

static uint32_t mapped(const struct oci_id_mappings *maps, uint32_t id)
{
    for (size_t i = 0; i < maps->count; i++) {
        const struct oci_id_mapping *map = &maps->items[i];
        if (id >= map->host_id && id - map->host_id < map->size)
            return map->container_id + (id - map->host_id);
    }
    return maps->count == 0 ? id : OVERFLOW_ID;
}

static int map_inode(const struct mapper *mapper, uint64_t nid)
{
    struct pack_inode inode;
    off_t at = (off_t)sealed_inode_offset(mapper->reader, nid);
    if (pread(mapper->fd, &inode, sizeof(inode), at) != (ssize_t)sizeof(inode) ||
        !(le16toh(inode.format) & 1))
        return error_set(mapper->err, "mkfs.erofs made an image with an inode that we cannot read");
    inode.uid = htole32(mapped(mapper->uids, le32toh(inode.uid)));
    inode.gid = htole32(mapped(mapper->gids, le32toh(inode.gid)));
    if (pwrite(mapper->fd, &inode, sizeof(inode), at) != (ssize_t)sizeof(inode))
        return error_errno(mapper->err, errno, "write image");
    return 0;
}

static bool visit(void *ctx, uint64_t nid, enum sealed_type type)
{
    struct mapper *mapper = ctx;
    if (nid >= mapper->slots) {
        mapper->result = error_set(mapper->err, "mkfs.erofs made an image with an inode outside");
        return false;
    }
    if (mapper->seen[nid / 8] & (1u << nid % 8))
        return true;
    mapper->seen[nid / 8] |= (uint8_t)(1u << nid % 8);
    if (type == SEALED_DIRECTORY) {
        if (mapper->count == mapper->room) {
            mapper->room = mapper->room ? 2 * mapper->room : 256;
            mapper->directories = xreallocarray(mapper->directories, mapper->room,
                                                sizeof(*mapper->directories));
        }
        mapper->directories[mapper->count++] = nid;
    }
    mapper->result = map_inode(mapper, nid);
    return mapper->result == 0;
}

int owners_map(int fd, uint64_t size, const struct oci_id_mappings *uids,
               const struct oci_id_mappings *gids, struct error *err)
{
    struct mapper mapper = {.fd = fd, .uids = uids, .gids = gids, .err = err, .slots = size / SLOT};
    if (uids->count == 0 && gids->count == 0)
        return 0;
    int ret = sealed_open(&mapper.reader, fd, size, err);
    if (ret < 0)
        return ret;
    mapper.seen = xcalloc(mapper.slots / 8 + 1, 1);
    (void)visit(&mapper, sealed_root(mapper.reader), SEALED_DIRECTORY);
    while (mapper.result == 0 && mapper.count > 0) {
        uint64_t nid = mapper.directories[--mapper.count];
        int listed = sealed_list(mapper.reader, nid, visit, &mapper);
        if (listed < 0 && mapper.result == 0)
            mapper.result = error_errno(err, -listed, "packed image: list a directory");
    }
    sealed_close(mapper.reader);
    free(mapper.directories);
    free(mapper.seen);
    return mapper.result;
}
