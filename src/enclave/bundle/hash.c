/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/bundle/internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

static void must(bool ok)
{
    if (!ok) {
        fputs("SHA-256 of OpenSSL failed: out of memory?\n", stderr);
        abort();
    }
}

static EVP_MD_CTX *ctx_of(struct hash *h)
{
    return (EVP_MD_CTX *)h;
}

struct hash *hash_new(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(ctx && EVP_DigestInit_ex2(ctx, EVP_sha256(), NULL));
    return (struct hash *)ctx;
}

void hash_begin(struct hash *h)
{
    must(EVP_DigestInit_ex2(ctx_of(h), NULL, NULL));
}

void hash_add(struct hash *h, const void *data, size_t size)
{
    must(EVP_DigestUpdate(ctx_of(h), data, size));
}

void hash_end(struct hash *h, uint8_t out[BUNDLE_HASH_SIZE])
{
    must(EVP_DigestFinal_ex(ctx_of(h), out, NULL));
}

void hash_free(struct hash *h)
{
    EVP_MD_CTX_free(ctx_of(h));
}

void hash_of(const void *data, size_t size, uint8_t out[BUNDLE_HASH_SIZE])
{
    must(EVP_Digest(data, size, out, NULL, EVP_sha256(), NULL));
}
