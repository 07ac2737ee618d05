/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/cert.h"

#include <errno.h>

#include "attest/der.h"

/* SEQUENCE { ecdsa-with-SHA256 } */
static const uint8_t g_ecdsa_sha256[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                         0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
/* SubjectPublicKeyInfo of an uncompressed point of P-256, up to X */
static const uint8_t g_p256_spki[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                      0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                      0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};

static const uint8_t g_oid_basic_constraints[] = {0x55, 0x1d, 0x13};
static const uint8_t g_oid_key_usage[] = {0x55, 0x1d, 0x0f};
static const uint8_t g_oid_sgx[] = {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01};
static const uint8_t g_oid_common_name[] = {0x55, 0x04, 0x03};

#define IS_OID(oid, known) span_equal(oid, span_of(known, sizeof(known)))

/* A string as Intel's names have them; anything else leaves room for two readings. */
static bool is_plain(unsigned tag, struct span text)
{
    if (tag != DER_UTF8_STRING && tag != DER_PRINTABLE_STRING)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < ' ' || text.data[i] > '~')
            return false;
    return text.size > 0;
}

/* A DN of plain strings; *out is its last common name, empty when there is none. */
static bool parse_name(struct span name, struct span *out)
{
    struct span rdns, set, pair, oid, value;
    unsigned tag;

    *out = span_of(NULL, 0);
    if (!der_take(&name, DER_SEQUENCE, &rdns) || name.size)
        return false;
    while (rdns.size) {
        if (!der_take(&rdns, DER_SET, &set) || !set.size)
            return false;
        while (set.size) {
            if (!der_take(&set, DER_SEQUENCE, &pair) || !der_oid(&pair, &oid) ||
                !der_any(&pair, &tag, &value, NULL) || pair.size || !is_plain(tag, value))
                return false;
            if (IS_OID(oid, g_oid_common_name))
                *out = value;
        }
    }
    return true;
}

static bool parse_basic_constraints(struct span value, struct cert *out)
{
    struct span body;
    uint64_t path;

    if (!der_take(&value, DER_SEQUENCE, &body) || value.size ||
        (der_next_is(&body, DER_BOOLEAN) && (!der_bool(&body, &out->ca) || !out->ca)))
        return false;
    /* The path length is not looked at: a chain has one intermediate at most, by name. */
    return (!body.size || (out->ca && der_uint(&body, DER_INTEGER, 255, &path))) && !body.size;
}

static bool parse_key_usage(struct span value, struct cert *out)
{
    struct span bits;

    if (!der_take(&value, DER_BIT_STRING, &bits) || value.size || bits.size < 2 || bits.size > 3 ||
        bits.data[0] > 7 || (bits.data[bits.size - 1] & ((1u << bits.data[0]) - 1)))
        return false;
    out->may_sign_certs = bits.data[1] & 0x04;
    out->may_sign_crls = bits.data[1] & 0x02;
    return true;
}

static bool keep_sgx(struct span value, struct cert *out)
{
    out->sgx = value;
    return value.size > 0;
}

static const struct {
    struct span oid;
    bool (*parse)(struct span value, struct cert *out);
} g_extensions[] = {
    {{g_oid_basic_constraints, sizeof(g_oid_basic_constraints)}, parse_basic_constraints},
    {{g_oid_key_usage, sizeof(g_oid_key_usage)}, parse_key_usage},
    {{g_oid_sgx, sizeof(g_oid_sgx)}, keep_sgx},
};

/* One extension; `seen` has a bit for each known one. What is critical and not known is refused. */
static bool parse_extension(struct span *in, struct cert *out, unsigned *seen)
{
    struct span extension, oid, value;
    bool critical = false;

    if (!der_take(in, DER_SEQUENCE, &extension) || !der_oid(&extension, &oid) ||
        (der_next_is(&extension, DER_BOOLEAN) && (!der_bool(&extension, &critical) || !critical)) ||
        !der_take(&extension, DER_OCTET_STRING, &value) || extension.size)
        return false;
    for (unsigned i = 0; i < sizeof(g_extensions) / sizeof(g_extensions[0]); i++) {
        if (!span_equal(oid, g_extensions[i].oid))
            continue;
        if (*seen & 1u << i)
            return false;
        *seen |= 1u << i;
        return g_extensions[i].parse(value, out);
    }
    return !critical;
}

/* RFC 5280: at most 20 bytes; in the shortest form, so that equal serials have equal bytes. */
static bool take_serial(struct span *in, struct span *out)
{
    if (!der_take(in, DER_INTEGER, out) || out->size < 1 || out->size > 21)
        return false;
    return out->size == 1 || !((out->data[0] == 0 && out->data[1] < 0x80) ||
                               (out->data[0] == 0xff && out->data[1] >= 0x80));
}

static bool parse_tbs(struct span tbs, struct cert *out)
{
    struct span body, version, algorithm, validity, spki, tagged, extensions, issuer_name;
    uint64_t number;
    unsigned seen = 0;

    if (!der_take(&tbs, DER_SEQUENCE, &body) || tbs.size ||
        !der_take(&body, DER_CONTEXT_0, &version) || !der_uint(&version, DER_INTEGER, 2, &number) ||
        number != 2 || version.size || !take_serial(&body, &out->serial) ||
        !der_take_whole(&body, DER_SEQUENCE, &algorithm) || !IS_OID(algorithm, g_ecdsa_sha256) ||
        !der_take_whole(&body, DER_SEQUENCE, &out->issuer) ||
        !parse_name(out->issuer, &issuer_name) || !der_take(&body, DER_SEQUENCE, &validity) ||
        !der_time(&validity, &out->not_before) || !der_time(&validity, &out->not_after) ||
        validity.size || !der_take_whole(&body, DER_SEQUENCE, &out->subject) ||
        !parse_name(out->subject, &out->common_name) || !der_take_whole(&body, DER_SEQUENCE, &spki))
        return false;
    if (spki.size != sizeof(g_p256_spki) + 64 ||
        memcmp(spki.data, g_p256_spki, sizeof(g_p256_spki)) != 0)
        return false;
    memcpy(out->key, spki.data + sizeof(g_p256_spki), 64);
    if (!der_take(&body, DER_CONTEXT_3, &tagged) || body.size ||
        !der_take(&tagged, DER_SEQUENCE, &extensions) || tagged.size || !extensions.size)
        return false;
    while (extensions.size)
        if (!parse_extension(&extensions, out, &seen))
            return false;
    return true;
}

/* What certificates and CRLs have in common: SEQUENCE { tbs, ecdsa-with-SHA256, signature } */
static bool parse_signed(struct span der, struct span *tbs, struct span *signature)
{
    struct span body, algorithm, bits;

    if (!der_take(&der, DER_SEQUENCE, &body) || der.size ||
        !der_take_whole(&body, DER_SEQUENCE, tbs) ||
        !der_take_whole(&body, DER_SEQUENCE, &algorithm) || !IS_OID(algorithm, g_ecdsa_sha256) ||
        !der_take(&body, DER_BIT_STRING, &bits) || body.size || bits.size < 1 || bits.data[0] != 0)
        return false;
    *signature = span_of(bits.data + 1, bits.size - 1);
    return true;
}

static int cert_parse(struct span der, struct cert *out, struct error *err)
{
    *out = (struct cert){.der = der};
    if (!parse_signed(der, &out->tbs, &out->signature) || !parse_tbs(out->tbs, out))
        return error_code(err, EINVAL, "not a certificate (X.509 v3, P-256, ECDSA with SHA-256)");
    return 0;
}

int chain_read(struct span text, struct chain *out, struct error *err)
{
    *out = (struct chain){.count = 0};
    int rc = pem_read(text, "CERTIFICATE", &out->objects, err);
    if (rc < 0)
        return rc;
    if (out->objects.count > CHAIN_MAX)
        return error_set(err, "%zu certificates, more than %d", out->objects.count, CHAIN_MAX);
    for (; out->count < out->objects.count; out->count++) {
        rc = cert_parse(out->objects.objects[out->count], &out->certs[out->count], err);
        if (rc < 0)
            return error_wrap(err, "certificate %zu of %zu", out->count + 1, out->objects.count);
    }
    return 0;
}

void chain_release(struct chain *chain)
{
    pem_release(&chain->objects);
    *chain = (struct chain){.count = 0};
}

/* As much of a name as a message has room for. */
static int printable(struct span name)
{
    return name.size < 80 ? (int)name.size : 80;
}

/* This very certificate is known, so the root's signature on it is as well. */
static bool is_known(const struct trust_root *root, const struct cert *cert,
                     const struct p256 *p256)
{
    uint8_t digest[32];

    if (!root->known_count)
        return false;
    p256_hash(p256, cert->der, digest);
    for (size_t i = 0; i < root->known_count; i++)
        if (memcmp(digest, root->known[i], sizeof(digest)) == 0)
            return true;
    return false;
}

int chain_verify(const struct chain *chain, const struct p256 *p256, const struct trust_root *roots,
                 const struct trust_root **root, struct error *err)
{
    if (chain->count < 2)
        return error_code(err, EPERM, "%zu certificates, where leaf and root are needed",
                          chain->count);
    const struct cert *last = &chain->certs[chain->count - 1];
    for (*root = roots; *root; *root = (*root)->next)
        if (memcmp((*root)->key, last->key, sizeof(last->key)) == 0)
            break;
    if (!*root)
        return error_code(err, ENOKEY, "ends in the root \"%.*s\", whose key is not trusted",
                          printable(last->common_name), last->common_name.data);
    for (size_t i = 0; i < chain->count; i++) {
        const struct cert *cert = &chain->certs[i];
        const struct cert *issuer = i + 1 < chain->count ? cert + 1 : cert;

        if (!span_equal(cert->issuer, issuer->subject) || !issuer->ca || !issuer->may_sign_certs)
            return error_code(err, EPERM, "certificate %zu is not issued by the next one", i + 1);
        if ((issuer != last || !is_known(*root, cert, p256)) &&
            !p256_verify_der(p256, issuer->key, cert->tbs, cert->signature))
            return error_code(err, EPERM, "the signature of certificate %zu (\"%.*s\") is wrong",
                              i + 1, printable(cert->common_name), cert->common_name.data);
    }
    for (size_t i = 1; i < chain->count; i++)
        p256_expect(p256, chain->certs[i].key);
    return 0;
}

void chain_validity(const struct chain *chain, int64_t *from, int64_t *until)
{
    *from = INT64_MIN;
    *until = INT64_MAX;
    for (size_t i = 0; i < chain->count; i++) {
        if (chain->certs[i].not_before > *from)
            *from = chain->certs[i].not_before;
        if (chain->certs[i].not_after < *until)
            *until = chain->certs[i].not_after;
    }
}

/* ---- CRLs ---- */

/* The extensions of a CRL or of an entry: none of them may be critical, for none is known. */
static bool no_critical_extension(struct span extensions)
{
    while (extensions.size) {
        struct span extension, oid, value;

        if (!der_take(&extensions, DER_SEQUENCE, &extension) || !der_oid(&extension, &oid) ||
            der_next_is(&extension, DER_BOOLEAN) ||
            !der_take(&extension, DER_OCTET_STRING, &value) || extension.size)
            return false;
    }
    return true;
}

static bool next_entry(struct span *entries, struct span *serial)
{
    struct span entry, extensions;
    int64_t when;

    return der_take(entries, DER_SEQUENCE, &entry) && take_serial(&entry, serial) &&
           der_time(&entry, &when) &&
           (!entry.size || (der_take(&entry, DER_SEQUENCE, &extensions) && !entry.size &&
                            no_critical_extension(extensions)));
}

static bool parse_crl(struct span der, struct crl *out)
{
    struct span tbs, body, algorithm, tagged, extensions, entries, serial, name;
    uint64_t version;

    if (!parse_signed(der, &out->tbs, &out->signature))
        return false;
    tbs = out->tbs;
    if (!der_take(&tbs, DER_SEQUENCE, &body) || tbs.size ||
        !der_uint(&body, DER_INTEGER, 1, &version) || version != 1 ||
        !der_take_whole(&body, DER_SEQUENCE, &algorithm) || !IS_OID(algorithm, g_ecdsa_sha256) ||
        !der_take_whole(&body, DER_SEQUENCE, &out->issuer) || !parse_name(out->issuer, &name) ||
        !der_time(&body, &out->this_update) || !der_time(&body, &out->next_update))
        return false;
    if (der_next_is(&body, DER_SEQUENCE) && !der_take(&body, DER_SEQUENCE, &out->revoked))
        return false;
    if (body.size && (!der_take(&body, DER_CONTEXT_0, &tagged) || body.size ||
                      !der_take(&tagged, DER_SEQUENCE, &extensions) || tagged.size ||
                      !no_critical_extension(extensions)))
        return false;
    for (entries = out->revoked; entries.size; out->count++)
        if (!next_entry(&entries, &serial))
            return false;
    return true;
}

int crl_read(struct span text, struct crl *out, struct error *err)
{
    *out = (struct crl){.count = 0};
    int rc = pem_read(text, "X509 CRL", &out->objects, err);
    if (rc < 0)
        return rc;
    if (out->objects.count != 1 || !parse_crl(out->objects.objects[0], out))
        return error_code(err, EINVAL, "not a CRL (version 2, ECDSA with SHA-256)");
    return 0;
}

void crl_release(struct crl *crl)
{
    pem_release(&crl->objects);
    *crl = (struct crl){.count = 0};
}

int crl_verify(const struct crl *crl, const struct cert *issuer, const struct p256 *p256,
               struct error *err)
{
    if (!span_equal(crl->issuer, issuer->subject) || !issuer->may_sign_crls)
        return error_code(err, EPERM, "not a CRL of \"%.*s\"", printable(issuer->common_name),
                          issuer->common_name.data);
    if (!p256_verify_der(p256, issuer->key, crl->tbs, crl->signature))
        return error_code(err, EPERM, "the signature is wrong");
    return 0;
}

bool crl_has(const struct crl *crl, const struct cert *cert)
{
    struct span entries = crl->revoked, entry, serial;

    /* Read whole when it was loaded; here only what is asked for. */
    while (der_take(&entries, DER_SEQUENCE, &entry))
        if (der_take(&entry, DER_INTEGER, &serial) && span_equal(serial, cert->serial))
            return true;
    return false;
}
