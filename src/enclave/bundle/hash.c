/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/bundle/internal.h"

#include <nettle/sha2.h>
#include <stdlib.h>

#include "base/alloc.h"

struct hash {
    struct sha256_ctx sha256;
};

struct hash *hash_new(void)
{
    struct hash *h = xmalloc(sizeof(*h));
    hash_begin(h);
    return h;
}

void hash_begin(struct hash *h)
{
    sha256_init(&h->sha256);
}

void hash_add(struct hash *h, const void *data, size_t size)
{
    sha256_update(&h->sha256, size, data);
}

void hash_end(struct hash *h, uint8_t out[BUNDLE_HASH_SIZE])
{
    sha256_digest(&h->sha256, BUNDLE_HASH_SIZE, out);
}

void hash_free(struct hash *h)
{
    free(h);
}

void hash_of(const void *data, size_t size, uint8_t out[BUNDLE_HASH_SIZE])
{
    struct hash h;
    hash_begin(&h);
    hash_add(&h, data, size);
    hash_end(&h, out);
}
