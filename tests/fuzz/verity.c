/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile host's changes to a sealed image, and a host that answers differently each time:
 * verity_read returns the measured block or fails with zeros. The input is a list of changes: 3
 * bytes of place, 1 byte of xor, and when each takes effect.
 */
#include "enclave/bundle/trusted_names.h"
#include "image.h"
#include "manifest.h"

#include <stdlib.h>

#define DATA_BLOCKS 200u
#define TREE_BLOCKS 3u /* 2 and their root */
#define BLOCKS      (DATA_BLOCKS + 1 + TREE_BLOCKS)

static u8 g_good[BLOCKS * IMAGE_BLOCK], g_bad[BLOCKS * IMAGE_BLOCK];
static struct manifest_image g_manifest;
static unsigned g_reads, g_switch;

static int read_image(void *ctx, u64 off, void *buf, size_t n)
{
    if (off > sizeof(g_good) || n > sizeof(g_good) - off)
        abort();
    memcpy(buf, (g_reads++ >= g_switch ? g_bad : g_good) + off, n);
    return 0;
}

static void hash(const u8 *block, u8 *out)
{
    sha256_once(g_manifest.salt, g_manifest.salt_size, block, IMAGE_BLOCK, out);
}

static void set_up(void)
{
    struct manifest_image *m = &g_manifest;
    m->salt_size = 32;
    memset(m->salt, 0x5a, 32);
    m->data_blocks = DATA_BLOCKS;
    m->hash_offset = DATA_BLOCKS * IMAGE_BLOCK;
    m->hash_levels = 2;
    m->image_size = sizeof(g_good);
    for (u32 i = 0; i < DATA_BLOCKS * IMAGE_BLOCK; i++)
        g_good[i] = (u8)(i * 2654435761u >> 11);
    u8 *super = g_good + m->hash_offset;
    memcpy(super, "verity\0\0\1\0\0\0\1\0\0\0", 16);
    memcpy(super + 32, "sha256", 6);
    u32 block_size = IMAGE_BLOCK;
    memcpy(super + 64, &block_size, 4);
    memcpy(super + 68, &block_size, 4);
    memcpy(super + 72, &m->data_blocks, 8);
    super[80] = 32;
    memcpy(super + 88, m->salt, 32);
    u8 *root = super + IMAGE_BLOCK, *leaves = root + IMAGE_BLOCK;
    for (u32 i = 0; i < DATA_BLOCKS; i++)
        hash(g_good + i * IMAGE_BLOCK, leaves + i * SHA256_SIZE);
    for (u32 i = 0; i < 2; i++)
        hash(leaves + i * IMAGE_BLOCK, root + i * SHA256_SIZE);
    hash(root, m->root_hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    static const u8 zero[IMAGE_BLOCK];
    static u8 page[IMAGE_BLOCK];
    if (!ready)
        set_up();
    ready = true;
    if (size < 2)
        return 0;
    memcpy(g_bad, g_good, sizeof(g_bad));
    g_switch = data[0] % 32;
    u32 step = 1 + data[1] % 61;
    for (size_t i = 2; i + 4 <= size && i < 400; i += 4) {
        u32 at = (data[i] | (u32)data[i + 1] << 8 | (u32)data[i + 2] << 16) % sizeof(g_bad);
        g_bad[at] ^= data[i + 3];
    }
    struct verity v;
    g_reads = 0;
    if (verity_open(&v, &g_manifest, sizeof(g_bad), read_image, NULL) < 0)
        return 0;
    for (u32 i = 0; i < DATA_BLOCKS; i += step) {
        int ret = verity_read(&v, i, page);
        if (memcmp(page, ret == 0 ? g_good + i * IMAGE_BLOCK : zero, IMAGE_BLOCK) != 0)
            abort();
    }
    verity_close(&v);
    return 0;
}
