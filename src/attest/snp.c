/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "attest/answer.h"
#include "attest/clock.h"
#include "attest/der.h"
#include "base/hex.h"
#include "base/alloc.h"
#include "base/cleanup.h"

/* Offsets in the report. */
enum {
    AT_VERSION = 0x00,
    AT_SIGNATURE_ALGORITHM = 0x34,
    AT_FLAGS = 0x48,
    AT_REPORTED_TCB = 0x180,
    AT_CHIP_ID = 0x1a0,
    AT_SIGNATURE = 0x2a0,
    SIGNATURE_NUMBER_SIZE = 72,
    SIGNED_SIZE = AT_SIGNATURE,
    CHIP_ID_SIZE = 64,
};

enum { SIGNED_BY_VCEK = 0, SIGNED_BY_VLEK = 1 };

static const char g_forged[] = "the report was changed or forged; do not trust it";
static const char g_chain_remedy[] =
    "get the VCEK from AMD's key distribution service (or the VLEK from the provider), and give "
    "it with ASK and ARK as snp_chain.pem";

struct snp_chain {
    X509 *certs[3]; /* VCEK or VLEK, ASK or ASVK, ARK */
    int count;
};

static void release_chain(struct snp_chain *chain)
{
    for (int i = 0; i < 3; i++)
        X509_free(chain->certs[i]);
}

static X509 *parse_cert(struct span der)
{
    const unsigned char *at = der.data;
    X509 *cert = d2i_X509(NULL, &at, (long)der.size);

    if (cert && at != der.data + der.size) {
        X509_free(cert);
        cert = NULL;
    }
    ERR_clear_error();
    return cert;
}

static int read_chain(struct span text, struct snp_chain *out, struct error *err)
{
    struct pem_objects objects;
    int rc = pem_read(text, "CERTIFICATE", &objects, err);

    if (rc == 0 && objects.count != 3)
        rc = error_set(err, "%zu certificates, where VCEK or VLEK, ASK or ASVK, and ARK are due",
                       objects.count);
    for (; rc == 0 && out->count < 3; out->count++) {
        out->certs[out->count] = parse_cert(objects.objects[out->count]);
        if (!out->certs[out->count])
            rc = error_set(err, "certificate %d cannot be read", out->count + 1);
    }
    pem_release(&objects);
    return rc;
}

static bool key_digest(X509 *cert, uint8_t digest[32])
{
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    bool good = size > 0 && EVP_Digest(der, (size_t)size, digest, NULL, EVP_sha256(), NULL) == 1;

    OPENSSL_free(der);
    return good;
}

int snp_root_digest(struct span certificate, uint8_t digest[32], struct error *err)
{
    struct pem_objects objects;
    X509 *cert = NULL;
    int rc = pem_read(certificate, "CERTIFICATE", &objects, err);

    if (rc == 0 && objects.count == 1)
        cert = parse_cert(objects.objects[0]);
    if (rc == 0 && (!cert || !key_digest(cert, digest)))
        rc = error_code(err, EINVAL, "not a certificate");
    X509_free(cert);
    pem_release(&objects);
    return rc;
}

/* The subject's common name in the caller's buffer, "" when there is none. */
static const char *common_name(const X509 *cert, char out[80])
{
    if (X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, out, 80) < 0)
        out[0] = 0;
    return out;
}

static bool is_pinned(const struct attest_verifier *v, X509 *ark)
{
    uint8_t digest[32];

    if (!key_digest(ark, digest))
        return false;
    for (const struct amd_root *root = v->amd_roots; root; root = root->next)
        if (memcmp(root->key_digest, digest, sizeof(digest)) == 0)
            return true;
    return false;
}

/* VCEKs are issued by SEV-Milan, VLEKs by SEV-VLEK-Milan, both of which ARK-Milan issues. */
static int check_names(const struct snp_chain *chain, bool vlek, struct error *err)
{
    char leaf[80], middle[80], root[80];

    common_name(chain->certs[0], leaf);
    common_name(chain->certs[1], middle);
    common_name(chain->certs[2], root);
    const char *prefix = vlek ? "SEV-VLEK-" : "SEV-";
    if (strcmp(leaf, vlek ? "SEV-VLEK" : "SEV-VCEK") != 0)
        return error_code(err, EPERM, "the report is signed by a %s, and the chain is of %s",
                          vlek ? "VLEK" : "VCEK", leaf);
    if (strncmp(root, "ARK-", 4) != 0 || strncmp(middle, prefix, strlen(prefix)) != 0 ||
        strcmp(middle + strlen(prefix), root + 4) != 0)
        return error_code(err, EPERM, "%s and %s are not the authorities of a %s", middle, root,
                          leaf);
    return 0;
}

static int verify_chain(const struct attest_verifier *v, const struct snp_chain *chain, bool vlek,
                        struct error *err)
{
    char name[80];

    if (!is_pinned(v, chain->certs[2]))
        return error_code(err, ENOKEY, "ends in the root \"%s\", whose key is not trusted",
                          common_name(chain->certs[2], name));
    for (int i = 0; i < 3; i++) {
        X509 *issuer = chain->certs[i < 2 ? i + 1 : i];
        bool good = X509_NAME_cmp(X509_get_issuer_name(chain->certs[i]),
                                  X509_get_subject_name(issuer)) == 0 &&
                    X509_verify(chain->certs[i], X509_get0_pubkey(issuer)) == 1;
        ERR_clear_error();
        if (!good)
            return error_code(err, EPERM, "certificate %d is not signed by the next one", i + 1);
    }
    return check_names(chain, vlek, err);
}

static int64_t seconds(const ASN1_TIME *time)
{
    struct tm tm;

    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : INT64_MIN;
}

static void check_span(struct attest_answer *a, enum check_id id, const char *what, int64_t from,
                       int64_t until)
{
    struct clock_text edge, now;

    if (a->time >= from && a->time <= until)
        answer_pass(a, id);
    else
        answer_fail(a, id, a->time > until && a->policy->allow_expired_collateral,
                    "fetch it again, or give the time of then to judge the past",
                    a->time < from ? "%s is valid from %s on, and it is %s"
                                   : "%s expired at %s, and it is %s",
                    what, clock_format(&edge, a->time < from ? from : until),
                    clock_format(&now, a->time));
}

static void check_dates(struct attest_answer *a, const struct snp_chain *chain)
{
    for (int i = 0; i < 3; i++)
        check_span(a, CHECK_CHAIN_DATES, "a certificate of the chain",
                   seconds(X509_get0_notBefore(chain->certs[i])),
                   seconds(X509_get0_notAfter(chain->certs[i])));
}

/* ---- CRL ---- */

static X509_CRL *parse_crl(struct span text)
{
    struct pem_objects objects;
    X509_CRL *crl = NULL;

    if (pem_read(text, "X509 CRL", &objects, NULL) == 0 && objects.count == 1) {
        const unsigned char *at = objects.objects[0].data;
        crl = d2i_X509_CRL(NULL, &at, (long)objects.objects[0].size);
        if (crl && at != objects.objects[0].data + objects.objects[0].size) {
            X509_CRL_free(crl);
            crl = NULL;
        }
    }
    pem_release(&objects);
    return crl;
}

static void check_revoked(struct attest_answer *a, X509_CRL *crl, const struct snp_chain *chain)
{
    X509_REVOKED *entry;

    /* The ARK's list names what the ARK has issued. */
    if (X509_CRL_get0_by_serial(crl, &entry, X509_get_serialNumber(chain->certs[1])) == 1)
        answer_fail(a, CHECK_REVOCATION, false, "do not use this platform: its key is known",
                    "the ASK's or ASVK's certificate is revoked");
    else
        answer_pass(a, CHECK_REVOCATION);
}

static void check_crl(struct attest_answer *a, const struct attest_collateral *c,
                      const struct snp_chain *chain)
{
    if (!c->text[ATTEST_SNP_CRL].size) {
        answer_fail(a, CHECK_ROOT_CRL, a->policy->allow_missing_crl,
                    "get it from AMD's key distribution service (/vcek/v1/PRODUCT/crl)",
                    "the ARK's CRL is missing");
        return;
    }
    X509_CRL *crl = parse_crl(c->text[ATTEST_SNP_CRL]);
    if (!crl || !X509_CRL_get0_nextUpdate(crl) ||
        X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(chain->certs[2])) != 0 ||
        X509_CRL_verify(crl, X509_get0_pubkey(chain->certs[2])) != 1) {
        answer_fail(a, CHECK_ROOT_CRL, false, "fetch it again", "it is not a CRL of the ARK's");
    } else {
        answer_pass(a, CHECK_ROOT_CRL);
        check_span(a, CHECK_CRL_DATES, "the ARK's CRL", seconds(X509_CRL_get0_lastUpdate(crl)),
                   seconds(X509_CRL_get0_nextUpdate(crl)));
        check_revoked(a, crl, chain);
    }
    ERR_clear_error();
    X509_CRL_free(crl);
}

/* ---- the leaf's extensions ---- */

static bool find_extension(const X509 *cert, const char *oid, struct span *out)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    int at = object ? X509_get_ext_by_OBJ(cert, object, -1) : -1;

    ASN1_OBJECT_free(object);
    if (at < 0)
        return false;
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_get_ext(cert, at));
    *out = span_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    return true;
}

static bool extension_svn(const X509 *cert, const char *oid, uint8_t *out)
{
    struct span der;
    uint64_t number;

    if (!find_extension(cert, oid, &der) || !der_uint(&der, DER_INTEGER, UINT8_MAX, &number) ||
        der.size)
        return false;
    *out = (uint8_t)number;
    return true;
}

/* SVNs of a TCB_VERSION, each with the extension that has it; Turin's are in other places. */
struct tcb_part_place {
    const char *name, *oid;
    uint8_t at;
    enum snp_svn svn;
};
static const struct tcb_part_place g_milan[] = {
    {"boot loader", "1.3.6.1.4.1.3704.1.3.1", 0, SNP_BOOT_LOADER},
    {"TEE", "1.3.6.1.4.1.3704.1.3.2", 1, SNP_TEE},
    {"SNP firmware", "1.3.6.1.4.1.3704.1.3.3", 6, SNP_FIRMWARE},
    {"microcode", "1.3.6.1.4.1.3704.1.3.8", 7, SNP_MICROCODE},
};
static const struct tcb_part_place g_turin[] = {
    {"FMC", "1.3.6.1.4.1.3704.1.3.9", 0, SNP_FMC},
    {"boot loader", "1.3.6.1.4.1.3704.1.3.1", 1, SNP_BOOT_LOADER},
    {"TEE", "1.3.6.1.4.1.3704.1.3.2", 2, SNP_TEE},
    {"SNP firmware", "1.3.6.1.4.1.3704.1.3.3", 3, SNP_FIRMWARE},
    {"microcode", "1.3.6.1.4.1.3704.1.3.8", 7, SNP_MICROCODE},
};

static void check_tcb(struct attest_answer *a, const struct snp_chain *chain, const uint8_t *report)
{
    char root[80];
    bool turin = strcmp(common_name(chain->certs[2], root), "ARK-Turin") == 0;
    const struct tcb_part_place *places = turin ? g_turin : g_milan;
    size_t count = turin ? array_count(g_turin) : array_count(g_milan);

    for (size_t i = 0; i < count; i++) {
        uint8_t certified, reported = report[AT_REPORTED_TCB + places[i].at];

        a->body[SNP_SVN_AT(places[i].svn)] = reported;
        if (!extension_svn(chain->certs[0], places[i].oid, &certified))
            answer_fail_as(a, CHECK_TCB_LEVEL, ATTEST_NOT_GENUINE, g_forged,
                           "the certificate has no SVN of the %s", places[i].name);
        else if (certified != reported)
            answer_fail_as(a, CHECK_TCB_LEVEL, ATTEST_BAD_COLLATERAL,
                           "get the certificate of the reported TCB",
                           "the certificate is of %s SVN %u, the report of %u", places[i].name,
                           certified, reported);
    }
    answer_pass(a, CHECK_TCB_LEVEL);
}

/* A VCEK is one chip's; a VLEK has no chip, and its report may hide which one it was. */
static bool is_chip(const struct snp_chain *chain, bool vlek, const uint8_t *report)
{
    struct span id;

    if (vlek)
        return !find_extension(chain->certs[0], "1.3.6.1.4.1.3704.1.4", &id);
    return find_extension(chain->certs[0], "1.3.6.1.4.1.3704.1.4", &id) &&
           (id.size == CHIP_ID_SIZE || id.size == 8) &&
           memcmp(id.data, report + AT_CHIP_ID, id.size) == 0;
}

/* ---- the report ---- */

bool snp_is_report(struct span evidence)
{
    return evidence.size == SNP_REPORT_SIZE && evidence.data[0] >= 2 && evidence.data[0] <= 5 &&
           evidence.data[1] == 0 && evidence.data[2] == 0 && evidence.data[3] == 0;
}

static void reverse(uint8_t *out, const uint8_t *in, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = in[size - 1 - i];
}

static bool signed_by(EVP_PKEY *key, const uint8_t *report)
{
    uint8_t number[2][SIGNATURE_NUMBER_SIZE];
    unsigned char *der = NULL;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = false;

    for (int i = 0; i < 2; i++)
        reverse(number[i], report + AT_SIGNATURE + i * SIGNATURE_NUMBER_SIZE,
                SIGNATURE_NUMBER_SIZE);
    BIGNUM *r = BN_bin2bn(number[0], SIGNATURE_NUMBER_SIZE, NULL);
    BIGNUM *s = BN_bin2bn(number[1], SIGNATURE_NUMBER_SIZE, NULL);
    if (!signature || !r || !s || ECDSA_SIG_set0(signature, r, s) != 1) {
        BN_free(r);
        BN_free(s);
    } else if (ctx && EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) == 384) {
        int size = i2d_ECDSA_SIG(signature, &der);
        good = size > 0 && EVP_DigestVerifyInit(ctx, NULL, EVP_sha384(), NULL, key) == 1 &&
               EVP_DigestVerify(ctx, der, (size_t)size, report, SIGNED_SIZE) == 1;
    }
    ERR_clear_error();
    OPENSSL_free(der);
    ECDSA_SIG_free(signature);
    EVP_MD_CTX_free(ctx);
    return good;
}

static void verify_with_chain(const struct attest_verifier *v, const uint8_t *report,
                              const struct attest_collateral *c, const struct snp_chain *chain,
                              bool vlek, struct attest_answer *a)
{
    cleanup_error struct error err = ERROR_INIT;

    if (verify_chain(v, chain, vlek, &err) < 0) {
        answer_fail(a, CHECK_CHAIN, false, g_forged, "%s", error_text(&err));
        return;
    }
    if (!is_chip(chain, vlek, report)) {
        answer_fail(a, CHECK_CHAIN, false, g_chain_remedy,
                    "the certificate is of another chip than the report");
        return;
    }
    answer_pass(a, CHECK_CHAIN);
    check_dates(a, chain);
    check_crl(a, c, chain);
    check_tcb(a, chain, report);
    if (signed_by(X509_get0_pubkey(chain->certs[0]), report))
        answer_pass(a, CHECK_SIGNATURE);
    else
        answer_fail(a, CHECK_SIGNATURE, false, g_forged,
                    "the report's signature is not by the certified key");
}

void snp_verify(const struct attest_verifier *v, struct span report,
                const struct attest_collateral *c, struct attest_answer *a)
{
    cleanup_error struct error err = ERROR_INIT;
    struct snp_chain chain = {.count = 0};
    unsigned key = read_le32(report.data + AT_FLAGS) >> 2 & 7;

    a->tee = ATTEST_TEE_SNP;
    a->version = read_le32(report.data + AT_VERSION);
    a->body_size = report.size;
    memcpy(a->body, report.data, report.size);
    if (read_le32(report.data + AT_SIGNATURE_ALGORITHM) != 1 || key > SIGNED_BY_VLEK ||
        !(read_le64(report.data + 8) & 1ull << 17)) {
        answer_fail(a, CHECK_FORMAT, false, g_forged,
                    "not a report that is signed with ECDSA P-384 by a VCEK or VLEK");
        return;
    }
    answer_pass(a, CHECK_FORMAT);
    answer_pass(a, CHECK_SIMULATION);
    if (!c || !c->text[ATTEST_SNP_CHAIN].size) {
        answer_fail_as(a, CHECK_CHAIN, ATTEST_BAD_COLLATERAL, g_chain_remedy,
                       "the %s certificate is not given", key == SIGNED_BY_VLEK ? "VLEK" : "VCEK");
        return;
    }
    if (read_chain(c->text[ATTEST_SNP_CHAIN], &chain, &err) < 0)
        answer_fail_as(a, CHECK_CHAIN, ATTEST_BAD_COLLATERAL, g_chain_remedy, "snp_chain.pem: %s",
                       error_text(&err));
    else
        verify_with_chain(v, report.data, c, &chain, key == SIGNED_BY_VLEK, a);
    release_chain(&chain);
}
