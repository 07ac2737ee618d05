/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an EROFS image: the LibOS's reader walks what it finds. The superblock's magic is
 * put right, so that mutation gets in. */
#include "enclave/bundle/trusted_names.h"
#include "image.h"

#include <stdlib.h>

#define SIZE_MAX_ (64u << 10)

struct input {
    const u8 *bytes;
    size_t size;
    u64 children[64];
    unsigned count;
};

static u8 g_copy[SIZE_MAX_];

static int read_input(void *ctx, u64 off, void *buf, size_t n)
{
    const struct input *in = ctx;
    if (off > in->size || n > in->size - off)
        abort(); /* the reader must have checked */
    memcpy(buf, in->bytes + off, n);
    return 0;
}

static bool note(void *ctx, const char *name, size_t len, u64 nid, u8 type, u64 next)
{
    struct input *in = ctx;
    if (len == 0 || len > 255 || memchr(name, '/', len) || memchr(name, 0, len))
        abort();
    if (in->count < 64)
        in->children[in->count++] = nid;
    return in->count < 64;
}

static void visit(struct erofs *fs, struct input *in, u64 nid, unsigned depth)
{
    struct erofs_inode inode;
    static char buf[8192];
    u64 child;
    u8 type;
    if (erofs_inode_read(fs, nid, &inode) < 0)
        return;
    ssize_t n = erofs_pread(fs, &inode, inode.size > 5000 ? inode.size - 5000 : 0, buf,
                            sizeof(buf));
    if (n > (ssize_t)sizeof(buf) || (n > 0 && (u64)n > inode.size))
        abort();
    n = erofs_readlink(fs, &inode, buf, 10);
    if (n > 10)
        abort();
    (void)erofs_listxattr(fs, &inode, NULL, 0);
    n = erofs_listxattr(fs, &inode, buf, 300);
    if (n > 300)
        abort();
    n = erofs_getxattr(fs, &inode, "user.a", buf, 100);
    if (n > 100)
        abort();
    (void)erofs_lookup(fs, &inode, "etc", 3, &child, &type);
    struct input list = *in;
    list.count = 0;
    (void)erofs_iterate(fs, &inode, 0, note, &list);
    for (unsigned i = 0; depth && i < list.count && i < 8; i++)
        visit(fs, in, list.children[i], depth - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2048 || size > SIZE_MAX_)
        return 0;
    memcpy(g_copy, data, size);
    memcpy(g_copy + 1024, "\xe2\xe1\xf5\xe0", 4);
    g_copy[1024 + 12] = 12;
    memset(g_copy + 1024 + 80, 0, 4);
    struct input in = {.bytes = g_copy, .size = size};
    struct erofs fs;
    if (erofs_open(&fs, size, read_input, &in) == 0)
        visit(&fs, &in, fs.root_nid, 3);
    return 0;
}
