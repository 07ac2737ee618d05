/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verified blocks, least recently used first out. Each shard has its own lock, hash chains and use
 * list; a fill (which reads and hashes) runs without the lock, so two threads may verify the same
 * block at once, and the second finds the first's.
 *
 * A block that is asked for as a whole is kept from the second time on: most pages of programs are
 * asked for once, and then lie in a process's memory.
 */
#include "image.h"
#include "heap.h"
#include "mutex.h"

#define SHARDS   8
#define CHAINS   256          /* per shard */
#define SEEN_MAX (1ull << 20) /* bits; larger images share them */

struct entry {
    struct list_head use;
    struct entry *chain;
    u64 block;
    void *page;
};

struct shard {
    struct mutex lock;
    struct list_head use; /* front: used last */
    struct entry *chains[CHAINS];
    u64 count;
    u64 hits, misses, evictions;
};

struct blockcache {
    blockcache_fill_fn *fill;
    void *ctx;
    u64 shard_limit; /* blocks */
    u8 *seen;        /* bits, by block: it was asked for as a whole; NULL: all are kept at once */
    u64 seen_count;
    struct shard shards[SHARDS];
};

static u64 mix(u64 block)
{
    return (block * 0x9e3779b97f4a7c15ull) >> 40;
}

static struct shard *shard_of(struct blockcache *cache, u64 block)
{
    return &cache->shards[mix(block) % SHARDS];
}

static struct entry **chain_of(struct shard *shard, u64 block)
{
    return &shard->chains[mix(block) / SHARDS % CHAINS];
}

struct blockcache *blockcache_create(u64 size, u64 blocks_once, blockcache_fill_fn *fill, void *ctx)
{
    struct blockcache *cache = kzalloc(sizeof(*cache));
    if (!cache)
        return NULL;
    u64 blocks = (size ? size : BLOCKCACHE_DEFAULT) / IMAGE_BLOCK;
    cache->fill = fill;
    cache->ctx = ctx;
    cache->shard_limit = MAX(blocks / SHARDS, 1ull);
    cache->seen_count = MIN(blocks_once, SEEN_MAX);
    if (cache->seen_count)
        cache->seen = kzalloc(cache->seen_count / 8 + 1);
    for (u32 i = 0; i < SHARDS; i++)
        list_init(&cache->shards[i].use);
    return cache;
}

static struct entry *find(struct shard *shard, u64 block)
{
    struct entry *e = *chain_of(shard, block);
    while (e && e->block != block)
        e = e->chain;
    return e;
}

static void unlink_entry(struct shard *shard, struct entry *e)
{
    struct entry **slot = chain_of(shard, e->block);
    while (*slot != e)
        slot = &(*slot)->chain;
    *slot = e->chain;
    list_del(&e->use);
    shard->count--;
}

static void free_entry(struct entry *e)
{
    page_free(e->page, 1);
    kfree(e);
}

static struct entry *oldest(struct shard *shard)
{
    return list_entry(shard->use.prev, struct entry, use);
}

/* Take page in as `block`. Takes the page; lock held. */
static void insert(struct blockcache *cache, struct shard *shard, u64 block, void *page)
{
    struct entry *e = NULL;
    if (find(shard, block)) {
        page_free(page, 1);
        return;
    }
    if (shard->count >= cache->shard_limit) { /* reuse the oldest entry, give its page back */
        e = oldest(shard);
        unlink_entry(shard, e);
        page_free(e->page, 1);
        shard->evictions++;
    } else {
        e = kmalloc(sizeof(*e));
    }
    if (!e) {
        page_free(page, 1);
        return;
    }
    e->block = block;
    e->page = page;
    e->chain = *chain_of(shard, block);
    *chain_of(shard, block) = e;
    list_add(&e->use, &shard->use);
    shard->count++;
}

static bool copy_cached(struct shard *shard, u64 block, u32 off, void *dst, u32 n)
{
    mutex_lock(&shard->lock);
    struct entry *e = find(shard, block);
    if (e) {
        list_del(&e->use);
        list_add(&e->use, &shard->use);
        memcpy(dst, (const u8 *)e->page + off, n);
        shard->hits++;
    } else {
        shard->misses++;
    }
    mutex_unlock(&shard->lock);
    return e != NULL;
}

/* The block is asked for as a whole for the first time. */
static bool first_time(struct blockcache *cache, u64 block)
{
    if (!cache->seen)
        return false;
    u64 at = block % cache->seen_count;
    u8 bit = (u8)(1u << at % 8);
    return !(__atomic_fetch_or(&cache->seen[at / 8], bit, __ATOMIC_RELAXED) & bit);
}

int blockcache_read(struct blockcache *cache, u64 block, u32 off, void *dst, u32 n)
{
    if (off > IMAGE_BLOCK || n > IMAGE_BLOCK - off)
        return -EINVAL;
    struct shard *shard = shard_of(cache, block);
    if (copy_cached(shard, block, off, dst, n))
        return 0;
    if (n == IMAGE_BLOCK && first_time(cache, block))
        return cache->fill(cache->ctx, block, dst);
    void *page = page_alloc(1);
    if (!page) { /* make room by giving up cached blocks, then try once more */
        blockcache_shrink(cache, SHARDS);
        page = page_alloc(1);
    }
    if (!page)
        return -ENOMEM;
    int ret = cache->fill(cache->ctx, block, page);
    if (ret < 0) {
        page_free(page, 1);
        return ret;
    }
    memcpy(dst, (const u8 *)page + off, n);
    mutex_lock(&shard->lock);
    insert(cache, shard, block, page);
    mutex_unlock(&shard->lock);
    return 0;
}

int blockcache_read_bytes(void *ctx, u64 off, void *buf, size_t n)
{
    struct blockcache *cache = ctx;
    while (n) {
        u32 at = (u32)(off % IMAGE_BLOCK);
        u32 here = (u32)MIN(n, (size_t)(IMAGE_BLOCK - at));
        int ret = blockcache_read(cache, off / IMAGE_BLOCK, at, buf, here);
        if (ret < 0)
            return ret;
        off += here;
        buf = (u8 *)buf + here;
        n -= here;
    }
    return 0;
}

u64 blockcache_shrink(struct blockcache *cache, u64 pages)
{
    u64 freed = 0;
    for (u32 i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        u64 want = (pages - freed) / (SHARDS - i);
        mutex_lock(&shard->lock);
        for (; want && shard->count; want--, freed++) {
            struct entry *e = oldest(shard);
            unlink_entry(shard, e);
            free_entry(e);
        }
        mutex_unlock(&shard->lock);
    }
    return freed;
}

void blockcache_stats(struct blockcache *cache, struct blockcache_stats *out)
{
    memset(out, 0, sizeof(*out));
    for (u32 i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        mutex_lock(&shard->lock);
        out->hits += shard->hits;
        out->misses += shard->misses;
        out->evictions += shard->evictions;
        out->blocks += shard->count;
        mutex_unlock(&shard->lock);
    }
}

void blockcache_destroy(struct blockcache *cache)
{
    for (u32 i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        while (shard->count) {
            struct entry *e = oldest(shard);
            unlink_entry(shard, e);
            free_entry(e);
        }
    }
    kfree(cache->seen);
    kfree(cache);
}
