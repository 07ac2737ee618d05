/* SPDX-License-Identifier: Apache-2.0 */
/* Signing, by OpenSSL. A file of its own, for who only checks starts without that library. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "sgx/signing_key.h"
#include "sgx/sigstruct.h"

#define RSA_BITS (SGX_RSA_SIZE * 8)

static void free_bn(BIGNUM **n)
{
    BN_free(*n);
}

static void free_bn_ctx(BN_CTX **ctx)
{
    BN_CTX_free(*ctx);
}

static void free_md_ctx(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

#define cleanup_bn     __attribute__((cleanup(free_bn)))
#define cleanup_bn_ctx __attribute__((cleanup(free_bn_ctx)))
#define cleanup_md_ctx __attribute__((cleanup(free_md_ctx)))

/* Put the key's modulus and exponent into the structure; refuses what SGX cannot use. */
static int take_key(struct sgx_sigstruct *s, EVP_PKEY *key, const char *path, struct error *err)
{
    cleanup_bn BIGNUM *n = NULL;
    cleanup_bn BIGNUM *e = NULL;

    if (!EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) != RSA_BITS)
        return error_code(err, EINVAL, "signing key %s: not an RSA key of 3072 bits", path);
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) != 1)
        return error_code(err, EIO, "signing key %s: no modulus", path);
    if (!BN_is_word(e, 3))
        return error_code(err, EINVAL,
                          "signing key %s: the public exponent must be 3 "
                          "(openssl genrsa -3 3072 makes one)",
                          path);
    if (BN_bn2lebinpad(n, s->modulus, SGX_RSA_SIZE) != SGX_RSA_SIZE)
        return error_code(err, EIO, "signing key %s: modulus does not fit", path);
    s->exponent = 3;
    return 0;
}

/* Q1 = floor(s^2 / n), Q2 = floor(s * (s^2 mod n) / n): the processor's shortcut for s^3 mod n. */
static int compute_q(const struct sgx_sigstruct *s, uint8_t q1[SGX_RSA_SIZE],
                     uint8_t q2[SGX_RSA_SIZE], struct error *err)
{
    cleanup_bn_ctx BN_CTX *ctx = BN_CTX_new();
    cleanup_bn BIGNUM *n = BN_lebin2bn(s->modulus, SGX_RSA_SIZE, NULL);
    cleanup_bn BIGNUM *sig = BN_lebin2bn(s->signature, SGX_RSA_SIZE, NULL);
    cleanup_bn BIGNUM *t = BN_new();
    cleanup_bn BIGNUM *q = BN_new();
    cleanup_bn BIGNUM *r = BN_new();

    if (!ctx || !n || !sig || !t || !q || !r)
        return error_errno(err, ENOMEM, "SIGSTRUCT");
    if (BN_is_zero(n) || BN_cmp(sig, n) >= 0)
        return error_code(err, EINVAL, "SIGSTRUCT: the signature is not smaller than the modulus");
    if (BN_sqr(t, sig, ctx) != 1 || BN_div(q, r, t, n, ctx) != 1 ||
        BN_bn2lebinpad(q, q1, SGX_RSA_SIZE) < 0 || BN_mul(t, sig, r, ctx) != 1 ||
        BN_div(q, NULL, t, n, ctx) != 1 || BN_bn2lebinpad(q, q2, SGX_RSA_SIZE) < 0)
        return error_code(err, EIO, "SIGSTRUCT: Q1 and Q2 cannot be computed");
    return 0;
}

/* Store a big-endian signature, complete the structure and prove it. */
static int finish(struct sgx_sigstruct *s, const uint8_t signature[SGX_RSA_SIZE], struct error *err)
{
    for (unsigned i = 0; i < SGX_RSA_SIZE; i++)
        s->signature[i] = signature[SGX_RSA_SIZE - 1 - i];
    int rc = compute_q(s, s->q1, s->q2, err);
    return rc < 0 ? rc : sgx_sigstruct_check(s, err);
}

int sgx_sigstruct_sign(struct sgx_sigstruct *s, const char *name, struct error *err)
{
    cleanup_pkey EVP_PKEY *key = NULL;
    cleanup_md_ctx EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t material[SGX_SIGNING_MATERIAL_SIZE], signature[SGX_RSA_SIZE];
    size_t size = sizeof(signature);

    int rc = sgx_key_open(name, true, &key, err);
    if (rc < 0)
        return rc;
    cleanup_free char *shown = sgx_key_name(name);
    rc = take_key(s, key, shown, err);
    if (rc < 0)
        return rc;
    sgx_sigstruct_signing_material(s, material);
    if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(ctx, signature, &size, material, sizeof(material)) != 1 ||
        size != sizeof(signature))
        return error_code(err, EIO, "sign with %s: OpenSSL failed: %s", shown,
                          ERR_reason_error_string(ERR_peek_last_error()));
    return finish(s, signature, err);
}

int sgx_sigstruct_import(struct sgx_sigstruct *s, const char *public_key_path,
                         const uint8_t signature[SGX_RSA_SIZE], struct error *err)
{
    cleanup_file FILE *file = fopen(public_key_path, "re");
    cleanup_pkey EVP_PKEY *key = NULL;

    if (!file)
        return error_errno(err, errno, "public key %s", public_key_path);
    key = PEM_read_PUBKEY(file, NULL, NULL, NULL);
    if (!key)
        return error_code(err, EINVAL, "public key %s: not a PEM public key", public_key_path);
    int rc = take_key(s, key, public_key_path, err);
    return rc < 0 ? rc : finish(s, signature, err);
}
