/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EROFS reader for uncompressed images (on-disk format: Linux fs/erofs/erofs_fs.h). The bytes that
 * it reads are verified when it runs in the enclave, but they come from a packer that we do not
 * trust more than any parser's input: every offset, size and name is checked, and what does not fit
 * is -EIO.
 */
#include "image.h"
#include "heap.h"

#define SUPER_OFFSET  1024
#define SUPER_MAGIC   0xe0f5e1e2u
#define SLOT          32u
#define NAME_MAX_SIZE 255u
#define LINK_MAX_SIZE 4096u
#define NSEC_PER_SEC  1000000000ll

/* feature_incompat: LZ4 zero padding says nothing about plain files; chunked files are refused one
 * by one. */
#define INCOMPAT_READABLE 0x5u

enum { LAYOUT_PLAIN = 0, LAYOUT_INLINE = 2, LAYOUT_CHUNKS = 4 };

struct disk_super {
    u32 magic, checksum, feature_compat;
    u8 block_bits, ext_slots;
    u16 root_nid;
    u64 inodes, build_time;
    u32 build_nsec, blocks, meta_block, xattr_block;
    u8 uuid[16], volume[16];
    u32 feature_incompat;
    u8 rest[44];
} __attribute__((packed));
_Static_assert(sizeof(struct disk_super) == 128, "EROFS superblock");

struct disk_inode_compact {
    u16 format, xattr_count, mode, nlink;
    u32 size, reserved, data, ino;
    u16 uid, gid;
    u32 reserved2;
} __attribute__((packed));
_Static_assert(sizeof(struct disk_inode_compact) == 32, "compact inode");

struct disk_inode_extended {
    u16 format, xattr_count, mode, reserved;
    u64 size;
    u32 data, ino, uid, gid;
    u64 mtime;
    u32 mtime_nsec, nlink;
    u8 reserved2[16];
} __attribute__((packed));
_Static_assert(sizeof(struct disk_inode_extended) == 64, "extended inode");

struct disk_dirent {
    u64 nid;
    u16 name_offset;
    u8 type, reserved;
} __attribute__((packed));
_Static_assert(sizeof(struct disk_dirent) == 12, "directory entry");

struct disk_xattr_header {
    u32 reserved;
    u8 shared_count, reserved2[7];
} __attribute__((packed));
_Static_assert(sizeof(struct disk_xattr_header) == 12, "xattr header");

struct disk_xattr {
    u8 name_size, prefix;
    u16 value_size;
} __attribute__((packed));
_Static_assert(sizeof(struct disk_xattr) == 4, "xattr entry");

#define MODE_TYPE    0170000u
#define MODE_DIR     0040000u
#define MODE_REGULAR 0100000u
#define MODE_LINK    0120000u
#define MODE_CHAR    0020000u
#define MODE_BLOCK   0060000u

static bool inside(const struct erofs *fs, u64 off, u64 n)
{
    return off <= fs->size && n <= fs->size - off;
}

static int fetch(struct erofs *fs, u64 off, void *buf, size_t n)
{
    if (n == 0)
        return 0; /* what has no blocks has no place either */
    return inside(fs, off, n) ? fs->read(fs->ctx, off, buf, n) : -EIO;
}

static int damaged(const char *what, u64 nid)
{
    log_error("sealed image: inode %llu: %s", (unsigned long long)nid, what);
    return -EIO;
}

int erofs_open(struct erofs *fs, u64 size, image_read_fn *read, void *ctx)
{
    struct disk_super super;
    fs->read = read;
    fs->ctx = ctx;
    fs->size = size;
    int ret = fetch(fs, SUPER_OFFSET, &super, sizeof(super));
    if (ret < 0)
        return ret;
    if (super.magic != SUPER_MAGIC || super.block_bits != 12) {
        log_error("sealed image: not EROFS with 4 KiB blocks");
        return -EINVAL;
    }
    if (super.feature_incompat & ~INCOMPAT_READABLE) {
        log_error("sealed image: EROFS features 0x%x are not supported; pack without compression",
                  super.feature_incompat);
        return -EINVAL;
    }
    fs->root_nid = super.root_nid;
    fs->inode_count = super.inodes;
    fs->blocks = super.blocks;
    fs->meta_start = (u64)super.meta_block * IMAGE_BLOCK;
    fs->xattr_start = (u64)super.xattr_block * IMAGE_BLOCK;
    if (super.build_time > INT64_MAX / NSEC_PER_SEC - 1 || super.build_nsec >= NSEC_PER_SEC)
        return damaged("build time", super.root_nid);
    fs->build_time = (i64)super.build_time * NSEC_PER_SEC + super.build_nsec;
    fs->build_nsec = super.build_nsec;
    if (fs->blocks > size / IMAGE_BLOCK || !inside(fs, fs->meta_start, SLOT))
        return damaged("superblock does not fit the image", super.root_nid);
    return 0;
}

/* Linux's new_encode_dev() to the 64-bit dev_t that stat(2) returns. */
static u64 decode_device(u32 dev)
{
    u64 major = (dev >> 8) & 0xfff, minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
    return ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & ~0xffull) << 12);
}

static int fill_compact(struct erofs *fs, const struct disk_inode_compact *disk,
                        struct erofs_inode *out, u32 *data)
{
    out->size = disk->size;
    out->mode = disk->mode;
    out->uid = disk->uid;
    out->gid = disk->gid;
    out->nlink = disk->nlink;
    out->mtime = fs->build_time;
    *data = disk->data;
    return 0;
}

static int fill_extended(const struct disk_inode_extended *disk, struct erofs_inode *out, u32 *data)
{
    i64 seconds = (i64)disk->mtime;
    if (seconds > INT64_MAX / NSEC_PER_SEC - 1 || seconds < INT64_MIN / NSEC_PER_SEC + 1 ||
        disk->mtime_nsec >= NSEC_PER_SEC)
        return damaged("time out of range", out->nid);
    out->size = disk->size;
    out->mode = disk->mode;
    out->uid = disk->uid;
    out->gid = disk->gid;
    out->nlink = disk->nlink;
    out->mtime = seconds * NSEC_PER_SEC + disk->mtime_nsec;
    *data = disk->data;
    return 0;
}

/* Where an inode's content is, checked against the image. `body` is the byte after the inode and
 * its xattrs. */
static int place_data(struct erofs *fs, struct erofs_inode *inode, u32 data, u64 body)
{
    u32 type = inode->mode & MODE_TYPE;
    if (type == MODE_CHAR || type == MODE_BLOCK)
        inode->rdev = decode_device(data);
    if (type != MODE_REGULAR && type != MODE_DIR && type != MODE_LINK) {
        inode->size = 0;
        return 0;
    }
    if (inode->size > INT64_MAX)
        return damaged("size out of range", inode->nid);
    if (type == MODE_LINK && inode->size >= LINK_MAX_SIZE)
        return damaged("symbolic link too long", inode->nid);
    if (inode->layout == LAYOUT_CHUNKS) {
        log_error(
            "sealed image: inode %llu: chunked files are not supported; pack without --chunksize",
            (unsigned long long)inode->nid);
        return -EINVAL;
    }
    u64 plain = inode->size;
    inode->data = (u64)data * IMAGE_BLOCK;
    inode->tail = 0;
    if (inode->layout == LAYOUT_INLINE && inode->size) {
        plain = (inode->size - 1) / IMAGE_BLOCK * IMAGE_BLOCK;
        u64 tail_size = inode->size - plain;
        inode->tail = body;
        if (body % IMAGE_BLOCK + tail_size > IMAGE_BLOCK || !inside(fs, body, tail_size))
            return damaged("inline tail crosses a block", inode->nid);
    }
    if (plain && !inside(fs, inode->data, plain))
        return damaged("content lies outside the image", inode->nid);
    return 0;
}

int erofs_inode_read(struct erofs *fs, u64 nid, struct erofs_inode *out)
{
    union {
        u16 format;
        struct disk_inode_compact compact;
        struct disk_inode_extended extended;
    } disk;
    memset(out, 0, sizeof(*out));
    out->nid = nid;
    if (nid >= fs->size / SLOT)
        return damaged("outside the image", nid);
    u64 at = fs->meta_start + nid * SLOT;
    int ret = fetch(fs, at, &disk.compact, sizeof(disk.compact));
    if (ret < 0)
        return ret;
    u16 format = disk.format;
    out->layout = (format >> 1) & 7;
    if ((format & ~0xf) || (out->layout != LAYOUT_PLAIN && out->layout != LAYOUT_INLINE &&
                            out->layout != LAYOUT_CHUNKS))
        return damaged("compressed or of an unknown format", nid);

    u16 xattr_count = disk.compact.xattr_count;
    u64 body = at + sizeof(disk.compact);
    u32 data = 0;
    if (format & 1) {
        ret = fetch(fs, body, (char *)&disk + sizeof(disk.compact),
                    sizeof(disk.extended) - sizeof(disk.compact));
        if (ret == 0)
            ret = fill_extended(&disk.extended, out, &data);
        body = at + sizeof(disk.extended);
    } else {
        ret = fill_compact(fs, &disk.compact, out, &data);
    }
    if (ret < 0)
        return ret;
    if (xattr_count) {
        out->xattr = body;
        out->xattr_size = (u32)sizeof(struct disk_xattr_header) + 4u * (xattr_count - 1u);
        body += out->xattr_size;
        if (!inside(fs, out->xattr, out->xattr_size))
            return damaged("extended attributes lie outside the image", nid);
    }
    return place_data(fs, out, data, body);
}

ssize_t erofs_pread(struct erofs *fs, const struct erofs_inode *inode, u64 off, void *buf, size_t n)
{
    if (off >= inode->size)
        return 0;
    n = MIN(n, inode->size - off);
    u64 plain = inode->tail ? (inode->size - 1) / IMAGE_BLOCK * IMAGE_BLOCK : inode->size;
    size_t head = off < plain ? MIN(n, plain - off) : 0;
    int ret = fetch(fs, inode->data + off, buf, head);
    if (ret == 0 && head < n)
        ret = fetch(fs, inode->tail + (off + head - plain), (char *)buf + head, n - head);
    return ret < 0 ? ret : (ssize_t)n;
}

ssize_t erofs_readlink(struct erofs *fs, const struct erofs_inode *inode, char *buf, size_t n)
{
    if ((inode->mode & MODE_TYPE) != MODE_LINK)
        return -EINVAL;
    return erofs_pread(fs, inode, 0, buf, n);
}

/* ---- directories: blocks of sorted entries, entries first, then their names ---- */

struct dir_block {
    u32 size, count;
    u8 data[IMAGE_BLOCK];
};

static u32 name_offset(const struct dir_block *block, u32 i)
{
    struct disk_dirent entry;
    memcpy(&entry, block->data + i * sizeof(entry), sizeof(entry));
    return entry.name_offset;
}

static int dir_block_read(struct erofs *fs, const struct erofs_inode *dir, u64 index,
                          struct dir_block *block)
{
    ssize_t n = erofs_pread(fs, dir, index * IMAGE_BLOCK, block->data, IMAGE_BLOCK);
    if (n < 0)
        return (int)n;
    block->size = (u32)n;
    if (block->size < sizeof(struct disk_dirent))
        return damaged("directory block too short", dir->nid);
    u32 first = name_offset(block, 0);
    if (first < sizeof(struct disk_dirent) || first >= block->size ||
        first % sizeof(struct disk_dirent))
        return damaged("directory block", dir->nid);
    block->count = first / (u32)sizeof(struct disk_dirent);
    return 0;
}

/* Entry i: checked name, nid and type. */
static int dir_block_entry(const struct erofs_inode *dir, const struct dir_block *block, u32 i,
                           struct disk_dirent *entry, const char **name, u32 *len)
{
    memcpy(entry, block->data + i * sizeof(*entry), sizeof(*entry));
    u32 start = entry->name_offset;
    u32 end = i + 1 < block->count ? name_offset(block, i + 1) : block->size;
    if (start >= end || end > block->size || start < block->count * sizeof(*entry))
        return damaged("directory entry", dir->nid);
    *name = (const char *)block->data + start;
    *len = (u32)strnlen(*name, end - start);
    if (*len == 0 || *len > NAME_MAX_SIZE || memchr(*name, '/', *len) ||
        (i + 1 < block->count && *len != end - start))
        return damaged("name of a directory entry", dir->nid);
    return 0;
}

static int compare_name(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, MIN(a_len, b_len));
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static u8 type_to_dt(u8 type)
{
    static const u8 table[] = {0, 8, 4,  2,
                               6, 1, 12, 10}; /* unknown reg dir chr blk fifo sock lnk */
    return type < sizeof(table) ? table[type] : 0;
}

static int search_block(const struct erofs_inode *dir, const struct dir_block *block,
                        const char *name, size_t len, u64 *nid, u8 *d_type)
{
    u32 low = 0, high = block->count;
    while (low < high) {
        u32 middle = low + (high - low) / 2, found_len;
        struct disk_dirent entry;
        const char *found;
        int ret = dir_block_entry(dir, block, middle, &entry, &found, &found_len);
        if (ret < 0)
            return ret;
        int order = compare_name(name, len, found, found_len);
        if (order == 0) {
            *nid = entry.nid;
            *d_type = type_to_dt(entry.type);
            return 0;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -ENOENT;
}

int erofs_lookup(struct erofs *fs, const struct erofs_inode *dir, const char *name, size_t len,
                 u64 *nid, u8 *d_type)
{
    if ((dir->mode & MODE_TYPE) != MODE_DIR)
        return -ENOTDIR;
    if (len > NAME_MAX_SIZE)
        return -ENAMETOOLONG;
    struct dir_block *block = kmalloc(sizeof(*block));
    if (!block)
        return -ENOMEM;
    u64 low = 0, high = (dir->size + IMAGE_BLOCK - 1) / IMAGE_BLOCK;
    int ret = -ENOENT;
    /* Blocks are sorted by their first names; the name is in the last block that does not begin
     * behind it. */
    while (low < high) {
        u64 middle = low + (high - low) / 2;
        struct disk_dirent entry;
        const char *first;
        u32 first_len;
        ret = dir_block_read(fs, dir, middle, block);
        if (ret == 0)
            ret = dir_block_entry(dir, block, 0, &entry, &first, &first_len);
        if (ret < 0)
            break;
        ret = -ENOENT;
        if (compare_name(name, len, first, first_len) < 0) {
            high = middle;
            continue;
        }
        ret = search_block(dir, block, name, len, nid, d_type);
        if (ret != -ENOENT)
            break;
        low = middle + 1;
    }
    kfree(block);
    return ret;
}

static bool is_dot(const char *name, u32 len)
{
    return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

/* A position is the byte offset of an entry in its directory. */
static int iterate_block(const struct erofs_inode *dir, const struct dir_block *block, u64 *pos,
                         erofs_dirent_fn *fn, void *ctx, bool *full)
{
    u64 base = *pos / IMAGE_BLOCK * IMAGE_BLOCK;
    if ((*pos - base) % sizeof(struct disk_dirent))
        return -EINVAL;
    for (u32 i = (u32)((*pos - base) / sizeof(struct disk_dirent)); i < block->count; i++) {
        struct disk_dirent entry;
        const char *name;
        u32 len;
        int ret = dir_block_entry(dir, block, i, &entry, &name, &len);
        if (ret < 0)
            return ret;
        u64 next = i + 1 < block->count ? base + (i + 1) * sizeof(entry) : base + IMAGE_BLOCK;
        if (!is_dot(name, len) && !fn(ctx, name, len, entry.nid, type_to_dt(entry.type), next)) {
            *full = true;
            return 0;
        }
        *pos = next;
    }
    *pos = base + IMAGE_BLOCK;
    return 0;
}

int erofs_iterate(struct erofs *fs, const struct erofs_inode *dir, u64 pos, erofs_dirent_fn *fn,
                  void *ctx)
{
    if ((dir->mode & MODE_TYPE) != MODE_DIR)
        return -ENOTDIR;
    struct dir_block *block = kmalloc(sizeof(*block));
    if (!block)
        return -ENOMEM;
    int ret = 0;
    bool full = false;
    while (ret == 0 && !full && pos < dir->size) {
        ret = dir_block_read(fs, dir, pos / IMAGE_BLOCK, block);
        if (ret == 0)
            ret = iterate_block(dir, block, &pos, fn, ctx, &full);
    }
    kfree(block);
    return ret;
}

/* ---- extended attributes ---- */

struct xattr_visit {
    const char *want; /* name to find, or NULL: list */
    char *out;
    size_t room;
    ssize_t size; /* result so far, or negative errno */
};

static const char *const g_prefixes[] = {
    NULL, "user.",     "system.posix_acl_access", "system.posix_acl_default", "trusted.",
    NULL, "security.",
};

/* One entry at off (checked to lie in the image). Returns 1 when the visit is over, and its whole
 * size in *size. */
static int visit_xattr(struct erofs *fs, u64 nid, u64 off, struct xattr_visit *visit, u64 *size)
{
    struct disk_xattr entry;
    char name[32 + NAME_MAX_SIZE + 1];
    int ret = fetch(fs, off, &entry, sizeof(entry));
    if (ret < 0)
        return ret;
    *size = (sizeof(entry) + entry.name_size + entry.value_size + 3) & ~3ull;
    if (entry.prefix >= ARRAY_SIZE(g_prefixes) || !g_prefixes[entry.prefix])
        return 0; /* a kind that Linux would not show either */
    size_t len = strlcpy(name, g_prefixes[entry.prefix], sizeof(name));
    ret = fetch(fs, off + sizeof(entry), name + len, entry.name_size);
    if (ret < 0)
        return ret;
    len += entry.name_size;
    name[len] = 0;
    if (memchr(name, 0, len))
        return damaged("name of an extended attribute", nid);

    if (!visit->want) {
        if (visit->room && (size_t)visit->size + len + 1 > visit->room)
            return -ERANGE;
        if (visit->room)
            memcpy(visit->out + visit->size, name, len + 1);
        visit->size += (ssize_t)len + 1;
        return 0;
    }
    if (strcmp(name, visit->want) != 0)
        return 0;
    visit->size = entry.value_size;
    if (visit->room && entry.value_size > visit->room)
        return -ERANGE;
    if (visit->room)
        ret = fetch(fs, off + sizeof(entry) + entry.name_size, visit->out, entry.value_size);
    return ret < 0 ? ret : 1;
}

static int visit_shared(struct erofs *fs, const struct erofs_inode *inode, u32 count,
                        struct xattr_visit *visit)
{
    for (u32 i = 0; i < count; i++) {
        u32 id;
        u64 size;
        int ret = fetch(fs, inode->xattr + sizeof(struct disk_xattr_header) + i * 4, &id, 4);
        if (ret == 0)
            ret = visit_xattr(fs, inode->nid, fs->xattr_start + (u64)id * 4, visit, &size);
        if (ret)
            return ret;
    }
    return 0;
}

static int visit_all(struct erofs *fs, const struct erofs_inode *inode, struct xattr_visit *visit)
{
    struct disk_xattr_header header;
    if (!inode->xattr_size)
        return 0;
    int ret = fetch(fs, inode->xattr, &header, sizeof(header));
    if (ret < 0)
        return ret;
    u64 used = sizeof(header) + 4ull * header.shared_count;
    if (used > inode->xattr_size)
        return damaged("extended attributes", inode->nid);
    ret = visit_shared(fs, inode, header.shared_count, visit);
    while (ret == 0 && used + sizeof(struct disk_xattr) <= inode->xattr_size) {
        u64 size = 0;
        ret = visit_xattr(fs, inode->nid, inode->xattr + used, visit, &size);
        used += size;
        if (ret >= 0 && used > inode->xattr_size)
            return damaged("extended attributes", inode->nid);
    }
    return ret;
}

ssize_t erofs_getxattr(struct erofs *fs, const struct erofs_inode *inode, const char *name,
                       void *buf, size_t n)
{
    struct xattr_visit visit = {.want = name, .out = buf, .room = n};
    int ret = visit_all(fs, inode, &visit);
    if (ret < 0)
        return ret;
    return ret == 1 ? visit.size : -ENODATA;
}

ssize_t erofs_listxattr(struct erofs *fs, const struct erofs_inode *inode, char *buf, size_t n)
{
    struct xattr_visit visit = {.out = buf, .room = n};
    int ret = visit_all(fs, inode, &visit);
    return ret < 0 ? ret : visit.size;
}
