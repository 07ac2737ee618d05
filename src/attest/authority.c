/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/authority.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "sgx/emulated.h"

/* All the time in which the software SGX has been and will be of use. */
#define NOT_BEFORE "20200101000000Z"
#define NOT_AFTER  "20491231235959Z"

static int failed(const char *what, struct error *err)
{
    return error_code(err, EIO, "simulated attestation: OpenSSL cannot %s", what);
}

/* The secret as a number from 1 to n - 1, and its point of the curve. */
static bool derive_pair(const EC_GROUP *group, const uint8_t secret[32], BIGNUM *number,
                        uint8_t point[65])
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *limit = BN_dup(EC_GROUP_get0_order(group));
    EC_POINT *public = EC_POINT_new(group);
    bool good = ctx && limit && public && BN_bin2bn(secret, 32, number) &&
                BN_sub_word(limit, 1) == 1 && BN_mod(number, number, limit, ctx) == 1 &&
                BN_add_word(number, 1) == 1 &&
                EC_POINT_mul(group, public, number, NULL, NULL, ctx) == 1 &&
                EC_POINT_point2oct(group, public, POINT_CONVERSION_UNCOMPRESSED, point, 65, ctx) ==
                    65;

    EC_POINT_free(public);
    BN_free(limit);
    BN_CTX_free(ctx);
    return good;
}

static EVP_PKEY *make_key(const BIGNUM *number, const uint8_t point[65])
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (builder && ctx &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, number) &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, 65))
        params = OSSL_PARAM_BLD_to_param(builder);
    if (!params || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

EVP_PKEY *authority_key(const char *label, struct error *err)
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    BIGNUM *number = BN_secure_new();
    uint8_t secret[32], point[65];
    EVP_PKEY *key = NULL;

    if (sgx_emulated_secret(label, secret, err) == 0) {
        if (group && number && derive_pair(group, secret, number, point))
            key = make_key(number, point);
        if (!key)
            failed("make a key", err);
    }
    OPENSSL_cleanse(secret, sizeof(secret));
    BN_clear_free(number);
    EC_GROUP_free(group);
    return key;
}

int authority_public(EVP_PKEY *key, uint8_t out[64], struct error *err)
{
    uint8_t point[65];
    size_t size;

    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
                                        &size) != 1 ||
        size != sizeof(point))
        return failed("give a public key", err);
    memcpy(out, point + 1, 64);
    return 0;
}

int authority_sign(EVP_PKEY *key, const void *data, size_t size, uint8_t out[64], struct error *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[80];
    const uint8_t *at = der;
    size_t der_size = sizeof(der);
    ECDSA_SIG *signature = NULL;

    if (ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestSign(ctx, der, &der_size, data, size) == 1)
        signature = d2i_ECDSA_SIG(NULL, &at, (long)der_size);
    EVP_MD_CTX_free(ctx);
    int good = signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, 32) == 32 &&
               BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + 32, 32) == 32;
    ECDSA_SIG_free(signature);
    return good ? 0 : failed("sign", err);
}

/* ---- certificates ---- */

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool good = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static bool add_sgx_extension(X509 *cert, const uint8_t *value, size_t size)
{
    ASN1_OBJECT *oid = OBJ_txt2obj("1.2.840.113741.1.13.1", 1);
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension = NULL;

    if (oid && octets && ASN1_OCTET_STRING_set(octets, value, (int)size) == 1)
        extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, octets);
    bool good = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(oid);
    return good;
}

/* From the name and the key, so that it is the same each time; positive, of 16 bytes. */
static bool set_serial(X509 *cert, const struct authority_subject *subject)
{
    uint8_t key[64], digest[32];
    struct error ignored = ERROR_INIT;
    BIGNUM *number;

    if (authority_public(subject->key, key, &ignored) < 0) {
        error_release(&ignored);
        return false;
    }
    SHA256(key, sizeof(key), digest);
    digest[0] = (digest[0] & 0x3f) | 0x40;
    number = BN_bin2bn(digest, 16, NULL);
    bool good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return good;
}

static bool set_names(X509 *cert, const char *name, X509 *issuer)
{
    X509_NAME *subject = X509_get_subject_name(cert);

    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1,
                                      0) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                                      (const uint8_t *)"Software SGX of one machine", -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : subject) == 1;
}

static bool set_extensions(X509 *cert, const struct authority_subject *subject, X509 *issuer)
{
    char constraints[64];

    snprintf(constraints, sizeof(constraints),
             subject->ca >= 0 ? "critical,CA:TRUE,pathlen:%d" : "critical,CA:FALSE", subject->ca);
    return add_extension(cert, issuer, NID_basic_constraints, constraints) &&
           add_extension(cert, issuer, NID_key_usage,
                         subject->ca >= 0 ? "critical,keyCertSign,cRLSign"
                                          : "critical,digitalSignature,nonRepudiation") &&
           add_extension(cert, issuer, NID_subject_key_identifier, "hash") &&
           (!subject->sgx || add_sgx_extension(cert, subject->sgx, subject->sgx_size));
}

X509 *authority_issue(const struct authority_subject *subject, X509 *issuer, EVP_PKEY *issuer_key,
                      struct error *err)
{
    X509 *cert = X509_new();

    if (cert && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert, subject) &&
        set_names(cert, subject->name, issuer) &&
        ASN1_TIME_set_string_X509(X509_getm_notBefore(cert), NOT_BEFORE) == 1 &&
        ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), NOT_AFTER) == 1 &&
        X509_set_pubkey(cert, subject->key) == 1 &&
        set_extensions(cert, subject, issuer ? issuer : cert) &&
        X509_sign(cert, issuer ? issuer_key : subject->key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    failed("issue a certificate", err);
    return NULL;
}

int authority_append_pem(X509 *cert, struct buffer *out, struct error *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long size = bio && PEM_write_bio_X509(bio, cert) == 1 ? BIO_get_mem_data(bio, &text) : 0;

    if (size > 0)
        buffer_append(out, text, (size_t)size);
    BIO_free(bio);
    return size > 0 ? 0 : failed("write a certificate", err);
}

/* ---- CRLs ---- */

static bool add_revoked(X509_CRL *crl, X509 *cert, const ASN1_TIME *when)
{
    X509_REVOKED *entry = X509_REVOKED_new();

    if (entry && X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(cert)) == 1 &&
        X509_REVOKED_set_revocationDate(entry, (ASN1_TIME *)when) == 1 &&
        X509_CRL_add0_revoked(crl, entry) == 1)
        return true;
    X509_REVOKED_free(entry);
    return false;
}

static bool add_number(X509_CRL *crl)
{
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    bool good = number && ASN1_INTEGER_set(number, 1) == 1 &&
                X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1;

    ASN1_INTEGER_free(number);
    return good;
}

int authority_crl(X509 *issuer, EVP_PKEY *key, X509 *revoked, int64_t now, struct buffer *out,
                  struct error *err)
{
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)now);
    ASN1_TIME *until = ASN1_TIME_adj(NULL, (time_t)now, 30, 0);
    X509_CRL *crl = X509_CRL_new();
    unsigned char *der = NULL;
    int size = -1;

    if (from && until && crl && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
        X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) == 1 &&
        X509_CRL_set1_lastUpdate(crl, from) == 1 && X509_CRL_set1_nextUpdate(crl, until) == 1 &&
        (!revoked || add_revoked(crl, revoked, from)) && add_number(crl) &&
        X509_CRL_sign(crl, key, EVP_sha256()) > 0)
        size = i2d_X509_CRL(crl, &der);
    if (size > 0)
        buffer_append(out, der, (size_t)size);
    OPENSSL_free(der);
    X509_CRL_free(crl);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    return size > 0 ? 0 : failed("make a CRL", err);
}
