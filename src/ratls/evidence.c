/* SPDX-License-Identifier: Apache-2.0 */
#include "ratls/evidence.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "ratls/cbor.h"

#define OID_EVIDENCE     "2.23.133.5.4.9"
#define OID_ENDORSEMENTS "2.23.133.5.4.2"
#define OID_OPEN_ENCLAVE "1.2.840.113556.10.1.1"
/* 1.2.840.113741.1337.6 with its tag and length, as if that were an OID. */
#define OID_GRAMINE "0.6.9.42.840.113741.1337.6"

#define TAG_QUOTE       60000 /* SGX and TDX; also of the endorsements */
#define COLLATERAL_FORM 3     /* the version of Intel's structure that the array follows */
#define CLAIMS_MAX      16

static int bad(struct error *err, const char *what)
{
    return error_code(err, EBADMSG, "%s", what);
}

/* ---- certificates ---- */

X509 *certificate_read(const void *der, size_t size, struct error *err)
{
    const unsigned char *at = der;
    X509 *x = size > 0 && size <= RATLS_CERTIFICATE_MAX ? d2i_X509(NULL, &at, (long)size) : NULL;
    EVP_PKEY *key = x ? X509_get0_pubkey(x) : NULL;

    if (size > RATLS_CERTIFICATE_MAX)
        bad(err, "the certificate is longer than 256 KiB");
    else if (!x)
        bad(err, "not a certificate");
    else if (at != (const unsigned char *)der + size)
        bad(err, "there is something behind the certificate");
    else if (!key)
        bad(err, "the certificate's key is of an unknown kind");
    else if (X509_verify(x, key) != 1)
        bad(err, "the certificate is not signed by its own key: it was changed, or is not one of "
                 "RA-TLS");
    else
        return x;
    X509_free(x);
    return NULL;
}

/* The content of an extension, empty when it is absent; -EBADMSG when it is there twice. */
static int find_extension(const X509 *x, const char *oid, struct span *out, struct error *err)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    int at = object ? X509_get_ext_by_OBJ(x, object, -1) : -1;
    bool twice = at >= 0 && X509_get_ext_by_OBJ(x, object, at) >= 0;

    ASN1_OBJECT_free(object);
    *out = span_of(NULL, 0);
    if (twice)
        return error_code(err, EBADMSG, "the certificate has two extensions %s", oid);
    if (at >= 0) {
        const ASN1_OCTET_STRING *s = X509_EXTENSION_get_data(X509_get_ext(x, at));
        *out = span_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    }
    return 0;
}

static int add_extension(X509 *x, const char *oid, const void *data, size_t size, struct error *err)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension = NULL;

    if (object && octets && ASN1_OCTET_STRING_set(octets, data, (int)size) == 1)
        extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, octets);
    bool good = extension && X509_add_ext(x, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(object);
    return good ? 0 : error_code(err, EIO, "the certificate cannot be made");
}

/* ---- what binds the key ---- */

/* Hash algorithms of IANA's Named Information registry. */
static const EVP_MD *named_hash(uint64_t id)
{
    switch (id) {
    case 1:
        return EVP_sha256();
    case 7:
        return EVP_sha384();
    case 8:
        return EVP_sha512();
    default:
        return NULL;
    }
}

/* Of the key as a certificate has it (SubjectPublicKeyInfo in DER), or as PEM with its NUL. */
static bool hash_key(EVP_PKEY *key, const EVP_MD *md, bool pem, uint8_t out[EVP_MAX_MD_SIZE])
{
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *der = NULL;
    char *text;
    bool good = false;

    if (bio && pem && PEM_write_bio_PUBKEY(bio, key) == 1 && BIO_write(bio, "", 1) == 1) {
        long size = BIO_get_mem_data(bio, &text);
        good = size > 0 && EVP_Digest(text, (size_t)size, out, NULL, md, NULL) == 1;
    } else if (!pem) {
        int size = i2d_PUBKEY(key, &der);
        good = size > 0 && EVP_Digest(der, (size_t)size, out, NULL, md, NULL) == 1;
    }
    OPENSSL_free(der);
    BIO_free(bio);
    return good;
}

static int check_key_hash(struct span value, EVP_PKEY *key, struct error *err)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    uint64_t count, id;
    struct span given;

    if (!cbor_head(&value, CBOR_ARRAY, &count) || count != 2 ||
        !cbor_head(&value, CBOR_UINT, &id) || !cbor_string(&value, CBOR_BYTES, &given) ||
        value.size != 0)
        return bad(err, "the evidence's pubkey-hash is malformed");
    const EVP_MD *md = named_hash(id);
    if (!md)
        return error_code(err, EBADMSG,
                          "the evidence's pubkey-hash is of algorithm %llu, which is none of "
                          "SHA-256 (1), SHA-384 (7), SHA-512 (8)",
                          (unsigned long long)id);
    if (!hash_key(key, md, false, hash) ||
        !span_equal(given, span_of(hash, (size_t)EVP_MD_get_size(md))))
        return bad(err, "the evidence is for another key than the certificate's");
    return 0;
}

/* Claims that are not known are others' business; a name twice is nobody's. */
static int check_claims(struct span claims, EVP_PKEY *key, struct error *err)
{
    struct span names[CLAIMS_MAX], value, key_hash = {0};
    uint64_t count;

    if (!cbor_head(&claims, CBOR_MAP, &count) || count > CLAIMS_MAX)
        return bad(err, "the evidence's claims are malformed");
    for (size_t i = 0; i < count; i++) {
        if (!cbor_string(&claims, CBOR_TEXT, &names[i]) ||
            !cbor_string(&claims, CBOR_BYTES, &value))
            return bad(err, "the evidence's claims are malformed");
        for (size_t k = 0; k < i; k++)
            if (span_equal(names[k], names[i]))
                return bad(err, "the evidence has a claim twice");
        if (span_is(names[i], "pubkey-hash"))
            key_hash = value;
    }
    if (claims.size != 0)
        return bad(err, "there is something behind the evidence's claims");
    if (!key_hash.data)
        return bad(err, "the evidence has no pubkey-hash: it is for no key");
    return check_key_hash(key_hash, key, err);
}

/* ---- each form ---- */

static int read_interoperable(struct span in, EVP_PKEY *key, struct evidence *out,
                              struct error *err)
{
    uint64_t tag, count;
    struct span claims;

    if (!cbor_head(&in, CBOR_TAG, &tag))
        return bad(err, "the evidence is not tagged CBOR");
    if (tag != TAG_QUOTE)
        return error_code(err, EBADMSG,
                          "the evidence has the CBOR tag %llu; quotes of SGX and TDX (60000) are "
                          "understood",
                          (unsigned long long)tag);
    if (!cbor_head(&in, CBOR_ARRAY, &count) || count != 2 ||
        !cbor_string(&in, CBOR_BYTES, &out->quote) || !cbor_string(&in, CBOR_BYTES, &claims))
        return bad(err, "the evidence is not a quote and its claims");
    if (in.size != 0)
        return bad(err, "there is something behind the evidence");
    int rc = check_claims(claims, key, err);
    if (rc == 0 && EVP_Digest(claims.data, claims.size, out->bound, NULL, EVP_sha256(), NULL) != 1)
        rc = error_code(err, EIO, "OpenSSL cannot do SHA-256");
    return rc;
}

static int read_gramine(struct span in, EVP_PKEY *key, struct evidence *out, struct error *err)
{
    uint8_t hash[EVP_MAX_MD_SIZE];

    out->quote = in;
    if (!hash_key(key, EVP_sha256(), false, hash))
        return error_code(err, EIO, "the key cannot be hashed");
    memcpy(out->bound, hash, sizeof(out->bound));
    return 0;
}

static int read_open_enclave(struct span in, EVP_PKEY *key, struct evidence *out, struct error *err)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    struct span head;

    if (!span_cut(&in, 16, &head) || read_le32(head.data) != 1 || read_le32(head.data + 4) != 2 ||
        read_le64(head.data + 8) != in.size)
        return bad(err, "the evidence is not a remote report of Open Enclave");
    out->quote = in;
    if (!hash_key(key, EVP_sha256(), true, hash))
        return error_code(err, EIO, "the key cannot be hashed");
    memcpy(out->bound, hash, sizeof(out->bound));
    return 0;
}

/* The first that a certificate has counts. */
static const struct form {
    enum ratls_form form;
    const char *oid;
    int (*read)(struct span in, EVP_PKEY *key, struct evidence *out, struct error *err);
} g_forms[] = {
    {RATLS_INTEROPERABLE, OID_EVIDENCE, read_interoperable},
    {RATLS_GRAMINE, OID_GRAMINE, read_gramine},
    {RATLS_OPEN_ENCLAVE, OID_OPEN_ENCLAVE, read_open_enclave},
};

/* ---- endorsements ---- */

/* Their order in the array, behind the version. ATTEST_FILE_COUNT: the PCK CRL's issuers, who are
 * in the quote as well. */
static const unsigned g_endorsements[] = {
    ATTEST_TCB_INFO,   ATTEST_TCB_INFO_CHAIN, ATTEST_PCK_CRL,          ATTEST_ROOT_CRL,
    ATTEST_FILE_COUNT, ATTEST_QE_IDENTITY,    ATTEST_QE_IDENTITY_CHAIN};

static int read_endorsements(struct span in, struct evidence *out, struct error *err)
{
    static const char malformed[] = "the certificate's endorsements are malformed";
    uint64_t tag, count, version, time;
    struct span part;

    if (!cbor_head(&in, CBOR_TAG, &tag) || tag != TAG_QUOTE ||
        !cbor_head(&in, CBOR_ARRAY, &count) || count < 8 || count > 9 ||
        !cbor_head(&in, CBOR_UINT, &version))
        return bad(err, malformed);
    for (size_t i = 0; i < sizeof(g_endorsements) / sizeof(g_endorsements[0]); i++) {
        if (!cbor_string(&in, CBOR_BYTES, &part) && !cbor_string(&in, CBOR_TEXT, &part))
            return bad(err, malformed);
        if (g_endorsements[i] < ATTEST_FILE_COUNT)
            out->collateral[g_endorsements[i]] = part;
    }
    if (count == 9 && !cbor_head(&in, CBOR_UINT, &time) && !cbor_string(&in, CBOR_BYTES, &part) &&
        !cbor_string(&in, CBOR_TEXT, &part))
        return bad(err, malformed);
    if (in.size != 0)
        return bad(err, malformed);
    out->has_collateral = true;
    return 0;
}

int evidence_read(X509 *certificate, struct evidence *out, struct error *err)
{
    struct span in = {0};
    size_t i;

    *out = (struct evidence){0};
    for (i = 0; i < sizeof(g_forms) / sizeof(g_forms[0]); i++) {
        int rc = find_extension(certificate, g_forms[i].oid, &in, err);

        if (rc < 0)
            return rc;
        if (in.size > 0)
            break;
    }
    if (i == sizeof(g_forms) / sizeof(g_forms[0]))
        return bad(err, "the certificate has no evidence: it is not one of RA-TLS");
    out->form = g_forms[i].form;
    int rc = g_forms[i].read(in, X509_get0_pubkey(certificate), out, err);
    if (rc == 0)
        rc = find_extension(certificate, OID_ENDORSEMENTS, &in, err);
    return rc == 0 && in.size > 0 ? read_endorsements(in, out, err) : rc;
}

/* ---- the other way round ---- */

int evidence_bind(EVP_PKEY *key, enum ratls_form form, struct buffer *claims, uint8_t bound[32],
                  struct error *err)
{
    cleanup_buffer struct buffer value = BUFFER_INIT;
    uint8_t hash[EVP_MAX_MD_SIZE];

    if (!hash_key(key, EVP_sha256(), false, hash))
        return error_code(err, EIO, "the key cannot be hashed");
    if (form == RATLS_GRAMINE) {
        memcpy(bound, hash, 32);
        return 0;
    }
    cbor_put_head(&value, CBOR_ARRAY, 2);
    cbor_put_head(&value, CBOR_UINT, 1);
    cbor_put_string(&value, CBOR_BYTES, hash, 32);
    cbor_put_head(claims, CBOR_MAP, 1);
    cbor_put_string(claims, CBOR_TEXT, "pubkey-hash", strlen("pubkey-hash"));
    cbor_put_string(claims, CBOR_BYTES, value.data, value.size);
    return EVP_Digest(claims->data, claims->size, bound, NULL, EVP_sha256(), NULL) == 1
               ? 0
               : error_code(err, EIO, "OpenSSL cannot do SHA-256");
}

int evidence_add(X509 *certificate, enum ratls_form form, struct span quote, struct span claims,
                 struct error *err)
{
    cleanup_buffer struct buffer out = BUFFER_INIT;

    if (form == RATLS_GRAMINE)
        return add_extension(certificate, OID_GRAMINE, quote.data, quote.size, err);
    cbor_put_head(&out, CBOR_TAG, TAG_QUOTE);
    cbor_put_head(&out, CBOR_ARRAY, 2);
    cbor_put_string(&out, CBOR_BYTES, quote.data, quote.size);
    cbor_put_string(&out, CBOR_BYTES, claims.data, claims.size);
    return add_extension(certificate, OID_EVIDENCE, out.data, out.size, err);
}

/* Of the PCK chain in the quote, what follows the leaf. */
static struct span issuers_of(struct span quote)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    const uint8_t *end = quote.data + quote.size;
    const uint8_t *leaf = memmem(quote.data, quote.size, begin, strlen(begin));
    const uint8_t *next = leaf ? memmem(leaf + 1, (size_t)(end - leaf - 1), begin, strlen(begin))
                               : NULL;

    return next ? span_of(next, strnlen((const char *)next, (size_t)(end - next))) : span_of("", 0);
}

int evidence_add_collateral(X509 *certificate, struct span quote,
                            const struct attest_bytes files[ATTEST_FILE_COUNT], struct error *err)
{
    cleanup_buffer struct buffer out = BUFFER_INIT;
    struct span issuers = issuers_of(quote);

    cbor_put_head(&out, CBOR_TAG, TAG_QUOTE);
    cbor_put_head(&out, CBOR_ARRAY, 8);
    cbor_put_head(&out, CBOR_UINT, COLLATERAL_FORM);
    for (size_t i = 0; i < sizeof(g_endorsements) / sizeof(g_endorsements[0]); i++) {
        unsigned file = g_endorsements[i];
        struct span part = file < ATTEST_FILE_COUNT ? span_of(files[file].data, files[file].size)
                                                    : issuers;
        cbor_put_string(&out, CBOR_BYTES, part.data, part.size);
    }
    return add_extension(certificate, OID_ENDORSEMENTS, out.data, out.size, err);
}
