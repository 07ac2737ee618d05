/* SPDX-License-Identifier: Apache-2.0 */
/* The sealed root: host image, dm-verity, block cache, EROFS, and a tree in memory over it. */
#include "manifest.h"
#include "memfs.h"
#include "mm.h"

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

/* What the manifest says; else the default, but a small container keeps its memory for the
 * application. */
static u64 cache_size(const struct manifest_image *m)
{
    struct mm_totals totals;

    mm_totals(&totals);
    if (m->cache_size || !totals.limit)
        return m->cache_size;
    return MAX(MIN(BLOCKCACHE_DEFAULT, totals.limit / 8), 64 * PAGE_SIZE);
}

struct super *sealed_create(const struct manifest_image *m)
{
    int r = verity_open(&g_verity, m, host_image_size(), read_host, NULL);

    if (r < 0)
        return err_ptr(r);
    g_cache = blockcache_create(cache_size(m), m->data_blocks, fill_block, NULL);
    if (!g_cache)
        return err_ptr(-ENOMEM);
    r = erofs_open(&g_erofs, m->data_blocks * IMAGE_BLOCK, blockcache_read_bytes, g_cache);
    return r < 0 ? err_ptr(r) : memfs_over_image(&g_erofs);
}
