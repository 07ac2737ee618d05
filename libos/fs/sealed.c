/* SPDX-License-Identifier: Apache-2.0 */
/* The sealed root: host image, dm-verity, block cache, EROFS, and a tree in memory over it. */
#include "../../abi/manifest.h"
#include "memfs.h"

static struct verity g_verity;
static struct erofs g_erofs;
static struct blockcache *g_cache;

static int read_host(void *ctx, u64 off, void *buf, size_t n)
{
    return host_image_read(off, buf, n);
}

static int fill_block(void *ctx, u64 block, void *page)
{
    return verity_read(&g_verity, block, page);
}

static int read_verified(void *ctx, u64 off, void *buf, size_t n)
{
    u8 *out = buf;

    while (n) {
        u32 skip = (u32)(off % IMAGE_BLOCK), part = (u32)MIN(n, (size_t)(IMAGE_BLOCK - skip));
        int r = blockcache_read(g_cache, off / IMAGE_BLOCK, skip, out, part);

        if (r < 0)
            return r;
        off += part;
        out += part;
        n -= part;
    }
    return 0;
}

struct super *sealed_create(const struct manifest_image *m)
{
    int r = verity_open(&g_verity, m, host_image_size(), read_host, NULL);

    if (r < 0)
        return err_ptr(r);
    g_cache = blockcache_create(m->cache_size, fill_block, NULL);
    if (!g_cache)
        return err_ptr(-ENOMEM);
    r = erofs_open(&g_erofs, m->data_blocks * IMAGE_BLOCK, read_verified, NULL);
    return r < 0 ? err_ptr(r) : memfs_over_image(&g_erofs);
}
