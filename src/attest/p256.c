/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By OpenSSL's ECDSA_do_verify, which 3.0 deprecates: the way through EVP makes the curve anew for
 * each key that comes as bytes, and so takes twice as long as the signature itself.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "attest/p256.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>

#include "attest/der.h"
#include "base/alloc.h"

struct p256 {
    EC_GROUP *group;
    EVP_MD *sha256;
};

struct p256 *p256_new(void)
{
    struct p256 *p256 = xcalloc(1, sizeof(*p256));

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

static bool verify(const struct p256 *p256, const uint8_t key[64], struct span message, BIGNUM *r,
                   BIGNUM *s)
{
    EC_KEY *ec = EC_KEY_new();
    ECDSA_SIG *signature = ECDSA_SIG_new();
    uint8_t digest[32], point[65] = {POINT_CONVERSION_UNCOMPRESSED};
    bool good = false;

    if (!ec || !signature || !r || !s || ECDSA_SIG_set0(signature, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        goto out;
    }
    memcpy(point + 1, key, 64);
    p256_hash(p256, message, digest);
    /* EC_KEY_oct2key refuses what is not a point of the curve. */
    good = EC_KEY_set_group(ec, p256->group) == 1 &&
           EC_KEY_oct2key(ec, point, sizeof(point), NULL) == 1 &&
           ECDSA_do_verify(digest, sizeof(digest), signature, ec) == 1;
out:
    ECDSA_SIG_free(signature);
    EC_KEY_free(ec);
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
