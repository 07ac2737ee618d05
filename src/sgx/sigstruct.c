/* SPDX-License-Identifier: Apache-2.0 */
#include "sgx/sigstruct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "sgx/signing_key.h"

#define RSA_BITS     (SGX_RSA_SIZE * 8)
#define SIGNED1_SIZE offsetof(struct sgx_sigstruct, modulus)
#define SIGNED2_AT   offsetof(struct sgx_sigstruct, miscselect)
#define SIGNED2_SIZE (offsetof(struct sgx_sigstruct, reserved4) - SIGNED2_AT)
_Static_assert(SIGNED1_SIZE + SIGNED2_SIZE == SGX_SIGNING_MATERIAL_SIZE, "signed bytes");

static const uint8_t g_header[16] = {6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
static const uint8_t g_header2[16] = {1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0};

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

void sgx_sigstruct_fill(const struct sgx_sign_params *params, struct sgx_sigstruct *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->header, g_header, sizeof(g_header));
    memcpy(out->header2, g_header2, sizeof(g_header2));
    out->vendor = params->vendor;
    out->date = params->date ? params->date : 0x20200101;
    out->swdefined = params->swdefined;
    out->miscselect = params->miscselect;
    out->misc_mask = params->misc_mask;
    memcpy(out->isv_family_id, params->isv_family_id, sizeof(out->isv_family_id));
    memcpy(out->isv_ext_prod_id, params->isv_ext_prod_id, sizeof(out->isv_ext_prod_id));
    out->attributes = params->attributes;
    out->attribute_mask = params->attribute_mask;
    memcpy(out->mrenclave, params->mrenclave, sizeof(out->mrenclave));
    out->isv_prod_id = params->isv_prod_id;
    out->isv_svn = params->isv_svn;
}

void sgx_sigstruct_signing_material(const struct sgx_sigstruct *s,
                                    uint8_t out[SGX_SIGNING_MATERIAL_SIZE])
{
    memcpy(out, s, SIGNED1_SIZE);
    memcpy(out + SIGNED1_SIZE, (const uint8_t *)s + SIGNED2_AT, SIGNED2_SIZE);
}

void sgx_sigstruct_mrsigner(const struct sgx_sigstruct *s, uint8_t mrsigner[32])
{
    SHA256(s->modulus, sizeof(s->modulus), mrsigner);
}

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

/* s^3 mod n must be the PKCS #1 v1.5 encoding of the SHA-256 of the signed bytes, all of it. */
static int check_signature(const struct sgx_sigstruct *s, struct error *err)
{
    static const uint8_t digest_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                          0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                          0x01, 0x05, 0x00, 0x04, 0x20};
    cleanup_bn_ctx BN_CTX *ctx = BN_CTX_new();
    cleanup_bn BIGNUM *n = BN_lebin2bn(s->modulus, SGX_RSA_SIZE, NULL);
    cleanup_bn BIGNUM *m = BN_lebin2bn(s->signature, SGX_RSA_SIZE, NULL);
    cleanup_bn BIGNUM *e = BN_new();
    uint8_t material[SGX_SIGNING_MATERIAL_SIZE], expected[SGX_RSA_SIZE], found[SGX_RSA_SIZE];

    if (!ctx || !n || !m || !e || BN_set_word(e, 3) != 1)
        return error_errno(err, ENOMEM, "SIGSTRUCT");
    if (BN_num_bits(n) != RSA_BITS || !BN_is_odd(n))
        return error_code(err, EINVAL, "SIGSTRUCT: the modulus is not one of 3072 bits");
    if (BN_cmp(m, n) >= 0)
        return error_code(err, EINVAL, "SIGSTRUCT: the signature is not smaller than the modulus");
    if (BN_mod_exp(m, m, e, n, ctx) != 1 || BN_bn2binpad(m, found, SGX_RSA_SIZE) < 0)
        return error_code(err, EIO, "SIGSTRUCT: the signature cannot be computed");

    const size_t hash_at = SGX_RSA_SIZE - 32, info_at = hash_at - sizeof(digest_info);
    memset(expected, 0xff, sizeof(expected));
    expected[0] = 0;
    expected[1] = 1;
    expected[info_at - 1] = 0;
    memcpy(expected + info_at, digest_info, sizeof(digest_info));
    sgx_sigstruct_signing_material(s, material);
    SHA256(material, sizeof(material), expected + hash_at);
    if (memcmp(expected, found, sizeof(expected)) != 0)
        return error_code(err, EPERM, "SIGSTRUCT: the signature does not match its contents");
    return 0;
}

int sgx_sigstruct_check(const struct sgx_sigstruct *s, struct error *err)
{
    uint8_t q1[SGX_RSA_SIZE], q2[SGX_RSA_SIZE];

    if (memcmp(s->header, g_header, sizeof(g_header)) != 0 ||
        memcmp(s->header2, g_header2, sizeof(g_header2)) != 0)
        return error_code(err, EINVAL, "SIGSTRUCT: not a SIGSTRUCT (header)");
    if (s->exponent != 3)
        return error_code(err, EINVAL, "SIGSTRUCT: the exponent is %u, not 3", s->exponent);
    for (size_t i = 0; i < sizeof(s->reserved4); i++)
        if (s->reserved4[i])
            return error_code(err, EINVAL, "SIGSTRUCT: a reserved byte is not zero");
    int rc = check_signature(s, err);
    if (rc == 0)
        rc = compute_q(s, q1, q2, err);
    if (rc < 0)
        return rc;
    if (memcmp(q1, s->q1, sizeof(q1)) != 0 || memcmp(q2, s->q2, sizeof(q2)) != 0)
        return error_code(err, EINVAL, "SIGSTRUCT: Q1 or Q2 does not belong to the signature");
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

int sgx_sigstruct_read(int fd, struct sgx_sigstruct *out, struct error *err)
{
    struct stat st;
    ssize_t n = pread(fd, out, sizeof(*out), 0);

    if (n < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "read the SIGSTRUCT");
    if (n != sizeof(*out) || (S_ISREG(st.st_mode) && st.st_size != sizeof(*out)))
        return error_code(err, EINVAL, "read the SIGSTRUCT: it is not %zu bytes long",
                          sizeof(*out));
    return 0;
}

int sgx_sigstruct_write(int fd, const struct sgx_sigstruct *s, struct error *err)
{
    int rc = write_all(fd, s, sizeof(*s));

    return rc < 0 ? error_errno(err, -rc, "write the SIGSTRUCT") : 0;
}
