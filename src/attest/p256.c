/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By OpenSSL's ECDSA_do_verify, which 3.0 deprecates: the way through EVP makes the curve anew for
 * each key that comes as bytes, and so takes twice as long as the signature itself.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "attest/p256.h"

#include <pthread.h>
#include <stdatomic.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>

#include "attest/der.h"
#include "base/alloc.h"

/* Multiples take as long to compute as is gained with a thousand signatures. */
enum { EXPECTED_MAX = 8, WORTHWHILE = 1000 };

struct expected {
    uint8_t key[64];
    atomic_uint uses;
    _Atomic(EC_GROUP *) group; /* the curve with the key as its generator, and multiples of it */
};

/* Slots below `count` stay as they are, but for their atomic members. */
struct expected_keys {
    pthread_mutex_t lock; /* of who adds one */
    atomic_uint count;
    struct expected keys[EXPECTED_MAX];
};

struct p256 {
    EC_GROUP *group;
    EVP_MD *sha256;
    struct expected_keys *expected;
};

struct p256 *p256_new(void)
{
    struct p256 *p256 = xcalloc(1, sizeof(*p256));

    p256->expected = xcalloc(1, sizeof(*p256->expected));
    pthread_mutex_init(&p256->expected->lock, NULL);
    p256->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    p256->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (p256->group && p256->sha256)
        return p256;
    p256_free(p256);
    return NULL;
}

void p256_free(struct p256 *p256)
{
    if (!p256)
        return;
    for (unsigned i = 0; i < EXPECTED_MAX; i++)
        EC_GROUP_free(p256->expected->keys[i].group);
    pthread_mutex_destroy(&p256->expected->lock);
    free(p256->expected);
    EC_GROUP_free(p256->group);
    EVP_MD_free(p256->sha256);
    free(p256);
}

void p256_hash(const struct p256 *p256, struct span message, uint8_t digest[32])
{
    p256_hash2(p256, message, span_of(NULL, 0), digest);
}

void p256_hash2(const struct p256 *p256, struct span a, struct span b, uint8_t digest[32])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    /* A verifier that cannot hash has no answer to give. */
    if (!ctx || EVP_DigestInit_ex2(ctx, p256->sha256, NULL) != 1 ||
        EVP_DigestUpdate(ctx, a.data, a.size) != 1 || EVP_DigestUpdate(ctx, b.data, b.size) != 1 ||
        EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
        abort();
    EVP_MD_CTX_free(ctx);
}

/* ---- keys that are met again ---- */

static struct expected *find_expected(const struct p256 *p256, const uint8_t key[64])
{
    struct expected_keys *e = p256->expected;
    unsigned count = atomic_load(&e->count);

    for (unsigned i = 0; i < count; i++)
        if (memcmp(e->keys[i].key, key, sizeof(e->keys[i].key)) == 0)
            return &e->keys[i];
    return NULL;
}

void p256_expect(const struct p256 *p256, const uint8_t key[64])
{
    struct expected_keys *e = p256->expected;

    if (find_expected(p256, key))
        return;
    pthread_mutex_lock(&e->lock);
    unsigned count = atomic_load(&e->count);
    if (count < EXPECTED_MAX && !find_expected(p256, key)) {
        memcpy(e->keys[count].key, key, sizeof(e->keys[count].key));
        atomic_store(&e->count, count + 1);
    }
    pthread_mutex_unlock(&e->lock);
}

/* OpenSSL keeps multiples of a curve's generator alone: so this one has the key for it. */
static EC_GROUP *multiples(const struct p256 *p256, const uint8_t point[65])
{
    EC_GROUP *group = EC_GROUP_dup(p256->group);
    EC_POINT *key = EC_POINT_new(p256->group);

    if (!group || !key || EC_POINT_oct2point(group, key, point, 65, NULL) != 1 ||
        EC_GROUP_set_generator(group, key, EC_GROUP_get0_order(p256->group),
                               EC_GROUP_get0_cofactor(p256->group)) != 1 ||
        EC_GROUP_precompute_mult(group, NULL) != 1) {
        EC_GROUP_free(group);
        group = NULL;
    }
    EC_POINT_free(key);
    return group;
}

/* The group with the key's multiples, or NULL. Whoever comes at the right moment computes them. */
static const EC_GROUP *expected_group(const struct p256 *p256, const uint8_t point[65])
{
    struct expected *e = find_expected(p256, point + 1);

    if (!e)
        return NULL;
    EC_GROUP *group = atomic_load(&e->group);
    if (!group && atomic_fetch_add(&e->uses, 1) + 1 == WORTHWHILE) {
        group = multiples(p256, point);
        atomic_store(&e->group, group);
    }
    return group;
}

/* ---- signatures ---- */

static bool in_range(const BIGNUM *number, const BIGNUM *order)
{
    return !BN_is_zero(number) && !BN_is_negative(number) && BN_cmp(number, order) < 0;
}

/* FIPS 186-5, 6.4.2, with both products from tables. */
static bool verify_expected(const struct p256 *p256, const EC_GROUP *key, const uint8_t digest[32],
                            const ECDSA_SIG *signature)
{
    const BIGNUM *n = EC_GROUP_get0_order(p256->group);
    const BIGNUM *r = ECDSA_SIG_get0_r(signature), *s = ECDSA_SIG_get0_s(signature);
    EC_POINT *by_hash = EC_POINT_new(p256->group), *by_key = EC_POINT_new(p256->group);
    BN_CTX *ctx = BN_CTX_new();
    bool good = false;

    if (!ctx || !by_hash || !by_key)
        goto out;
    BN_CTX_start(ctx);
    BIGNUM *e = BN_CTX_get(ctx), *w = BN_CTX_get(ctx), *x = BN_CTX_get(ctx);
    if (!x || !in_range(r, n) || !in_range(s, n) || !BN_bin2bn(digest, 32, e) ||
        !BN_mod_inverse(w, s, n, ctx) || BN_mod_mul(e, e, w, n, ctx) != 1 ||
        BN_mod_mul(w, r, w, n, ctx) != 1)
        goto out;
    good = EC_POINT_mul(p256->group, by_hash, e, NULL, NULL, ctx) == 1 &&
           EC_POINT_mul(key, by_key, w, NULL, NULL, ctx) == 1 &&
           EC_POINT_add(p256->group, by_hash, by_hash, by_key, ctx) == 1 &&
           !EC_POINT_is_at_infinity(p256->group, by_hash) &&
           EC_POINT_get_affine_coordinates(p256->group, by_hash, x, NULL, ctx) == 1 &&
           BN_nnmod(x, x, n, ctx) == 1 && BN_cmp(x, r) == 0;
out:
    BN_CTX_free(ctx);
    EC_POINT_free(by_key);
    EC_POINT_free(by_hash);
    return good;
}

static bool verify_any(const struct p256 *p256, const uint8_t point[65], const uint8_t digest[32],
                       const ECDSA_SIG *signature)
{
    EC_KEY *ec = EC_KEY_new();

    /* EC_KEY_oct2key refuses what is not a point of the curve. */
    bool good = ec && EC_KEY_set_group(ec, p256->group) == 1 &&
                EC_KEY_oct2key(ec, point, 65, NULL) == 1 &&
                ECDSA_do_verify(digest, 32, signature, ec) == 1;
    EC_KEY_free(ec);
    return good;
}

/* Takes r and s. */
static bool verify(const struct p256 *p256, const uint8_t key[64], struct span message, BIGNUM *r,
                   BIGNUM *s)
{
    ECDSA_SIG *signature = ECDSA_SIG_new();
    uint8_t digest[32], point[65] = {POINT_CONVERSION_UNCOMPRESSED};
    bool good = false;

    if (!signature || !r || !s || ECDSA_SIG_set0(signature, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        goto out;
    }
    memcpy(point + 1, key, 64);
    p256_hash(p256, message, digest);
    const EC_GROUP *group = expected_group(p256, point);
    good = group ? verify_expected(p256, group, digest, signature)
                 : verify_any(p256, point, digest, signature);
out:
    ECDSA_SIG_free(signature);
    if (!good)
        ERR_clear_error();
    return good;
}

bool p256_verify(const struct p256 *p256, const uint8_t key[64], struct span message,
                 const uint8_t signature[64])
{
    return verify(p256, key, message, BN_bin2bn(signature, 32, NULL),
                  BN_bin2bn(signature + 32, 32, NULL));
}

/* A positive INTEGER of at most 32 bytes, in its shortest form. */
static bool take_number(struct span *in, struct span *out)
{
    if (!der_take(in, DER_INTEGER, out) || out->size < 1 || out->data[0] >= 0x80)
        return false;
    if (out->size > 1 && out->data[0] == 0) {
        if (out->data[1] < 0x80)
            return false;
        *out = span_of(out->data + 1, out->size - 1);
    }
    return out->size <= 32;
}

bool p256_verify_der(const struct p256 *p256, const uint8_t key[64], struct span message,
                     struct span signature)
{
    struct span pair, r, s;

    if (!der_take(&signature, DER_SEQUENCE, &pair) || signature.size || !take_number(&pair, &r) ||
        !take_number(&pair, &s) || pair.size)
        return false;
    return verify(p256, key, message, BN_bin2bn(r.data, (int)r.size, NULL),
                  BN_bin2bn(s.data, (int)s.size, NULL));
}
