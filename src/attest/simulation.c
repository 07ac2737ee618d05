/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/simulation.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/asn1.h>
#include <openssl/conf.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "../../abi/sgx_emulated.h"
#include "attest/authority.h"
#include "attest/clock.h"
#include "base/hex.h"
#include "attest/quote.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "sgx/emulated.h"

enum { ROOT, PCK_CA, PCK, TCB_SIGNING, CERT_COUNT };

/* "EMUL" in ASCII: no processor's. */
static const uint8_t g_fmspc[6] = {'E', 'M', 'U', 'L', 0, 0};
static const uint8_t g_pceid[2] = {0, 0};
static const uint8_t g_cpu_svn[16] = SGX_EMULATED_CPUSVN;
static const uint8_t g_vendor[16] = {0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                     0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07};

enum { QE_PROD_ID = 1, TD_QE_PROD_ID = 2, QE_SVN = 1, PCE_SVN = 1, EVALUATION_NUMBER = 1 };

struct simulation {
    EVP_PKEY *keys[CERT_COUNT], *attestation_key;
    X509 *certs[CERT_COUNT];
    struct buffer pck_chain, tcb_chain;
    uint8_t public_key[64], auth_data[32];
    uint8_t qe_mrenclave[32], qe_mrsigner[32], ppid[16];
};

/* ---- Intel's extension ---- */

/*
 * OpenSSL's language for ASN.1 (ASN1_generate_nconf), with Intel's OIDs; attest/pck.c reads it.
 */
static void describe_extension(const uint8_t ppid[16], struct buffer *out)
{
    static const char oid[] = "1.2.840.113741.1.13.1";
    char hex[33];

    buffer_append_text(out, "[sgx]\n");
    for (int i = 1; i <= 5; i++)
        buffer_append_format(out, "%d=SEQUENCE:s%d\n", i, i);
    buffer_append_format(out, "[s1]\n1=OID:%s.1\n2=FORMAT:HEX,OCTETSTRING:%s\n", oid,
                         hex_format(hex, ppid, 16));
    buffer_append_format(out, "[s2]\n1=OID:%s.2\n2=SEQUENCE:tcb\n[tcb]\n", oid);
    for (int i = 1; i <= 18; i++)
        buffer_append_format(out, "%d=SEQUENCE:t%d\n", i, i);
    for (int i = 1; i <= 18; i++) {
        buffer_append_format(out, "[t%d]\n1=OID:%s.2.%d\n2=", i, oid, i);
        if (i <= 16)
            buffer_append_format(out, "INTEGER:%u\n", g_cpu_svn[i - 1]);
        else if (i == 17)
            buffer_append_format(out, "INTEGER:%d\n", PCE_SVN);
        else
            buffer_append_format(out, "FORMAT:HEX,OCTETSTRING:%s\n",
                                 hex_format(hex, g_cpu_svn, 16));
    }
    buffer_append_format(out, "[s3]\n1=OID:%s.3\n2=FORMAT:HEX,OCTETSTRING:%s\n", oid,
                         hex_format(hex, g_pceid, 2));
    buffer_append_format(out, "[s4]\n1=OID:%s.4\n2=FORMAT:HEX,OCTETSTRING:%s\n", oid,
                         hex_format(hex, g_fmspc, 6));
    buffer_append_format(out, "[s5]\n1=OID:%s.5\n2=ENUMERATED:0\n", oid);
}

static int make_extension(const uint8_t ppid[16], unsigned char **der, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    CONF *conf = NCONF_new(NULL);
    long line;
    int size = -1;

    describe_extension(ppid, &text);
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.size);
    ASN1_TYPE *value = NULL;
    if (conf && bio && NCONF_load_bio(conf, bio, &line) == 1)
        value = ASN1_generate_nconf("SEQUENCE:sgx", conf);
    if (value)
        size = i2d_ASN1_TYPE(value, der);
    ASN1_TYPE_free(value);
    NCONF_free(conf);
    BIO_free(bio);
    return size > 0
               ? size
               : error_code(err, EIO, "simulated attestation: the SGX extension cannot be made");
}

/* ---- identity ---- */

static int make_keys(struct simulation *s, struct error *err)
{
    static const char *const labels[CERT_COUNT] = {
        [ROOT] = "root CA", [PCK_CA] = "PCK CA", [PCK] = "PCK", [TCB_SIGNING] = "TCB signing"};

    for (unsigned i = 0; i < CERT_COUNT; i++)
        if (!(s->keys[i] = authority_key(labels[i], err)))
            return -1;
    s->attestation_key = authority_key("attestation key", err);
    if (!s->attestation_key)
        return -1;
    return authority_public(s->attestation_key, s->public_key, err);
}

static int issue(struct simulation *s, unsigned which, const char *name, int ca, unsigned issuer,
                 const uint8_t *sgx, size_t sgx_size, struct error *err)
{
    struct authority_subject subject = {
        .name = name, .key = s->keys[which], .ca = ca, .sgx = sgx, .sgx_size = sgx_size};

    s->certs[which] = authority_issue(&subject, issuer == which ? NULL : s->certs[issuer],
                                      s->keys[issuer], err);
    return s->certs[which] ? 0 : -1;
}

static int issue_all(struct simulation *s, struct error *err)
{
    unsigned char *sgx = NULL;
    int size = make_extension(s->ppid, &sgx, err);
    int rc = size < 0 ? size : 0;

    if (rc == 0)
        rc = issue(s, ROOT, "Simulated SGX Root CA", 1, ROOT, NULL, 0, err);
    if (rc == 0)
        rc = issue(s, PCK_CA, "Simulated SGX PCK Processor CA", 0, ROOT, NULL, 0, err);
    if (rc == 0)
        rc = issue(s, PCK, "Simulated SGX PCK Certificate", -1, PCK_CA, sgx, (size_t)size, err);
    if (rc == 0)
        rc = issue(s, TCB_SIGNING, "Simulated SGX TCB Signing", -1, ROOT, NULL, 0, err);
    OPENSSL_free(sgx);
    for (int i = PCK; rc == 0 && i >= ROOT; i--) /* PCK, its CA, root */
        rc = authority_append_pem(s->certs[i], &s->pck_chain, err);
    if (rc == 0)
        rc = authority_append_pem(s->certs[TCB_SIGNING], &s->tcb_chain, err);
    return rc == 0 ? authority_append_pem(s->certs[ROOT], &s->tcb_chain, err) : rc;
}

/* Names, not measurements: there is no quoting enclave. */
static void name_enclave(struct simulation *s)
{
    static const char enclave[] = "rune: simulated quoting enclave";
    static const char signer[] = "rune: signer of the simulated quoting enclave";

    SHA256((const uint8_t *)enclave, sizeof(enclave) - 1, s->qe_mrenclave);
    SHA256((const uint8_t *)signer, sizeof(signer) - 1, s->qe_mrsigner);
    for (unsigned i = 0; i < sizeof(s->auth_data); i++)
        s->auth_data[i] = (uint8_t)i; /* as Intel's QE has them */
}

int simulation_open(struct simulation **out, struct error *err)
{
    struct simulation *s = xcalloc(1, sizeof(*s));
    uint8_t secret[32];
    int rc = sgx_emulated_secret("PPID", secret, err);

    if (rc == 0) {
        memcpy(s->ppid, secret, sizeof(s->ppid));
        name_enclave(s);
        rc = make_keys(s, err);
    }
    if (rc == 0)
        rc = issue_all(s, err);
    if (rc == 0)
        *out = s;
    else
        simulation_free(s);
    return rc;
}

void simulation_free(struct simulation *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < CERT_COUNT; i++) {
        EVP_PKEY_free(s->keys[i]);
        X509_free(s->certs[i]);
    }
    EVP_PKEY_free(s->attestation_key);
    buffer_release(&s->pck_chain);
    buffer_release(&s->tcb_chain);
    free(s);
}

void simulation_target_info(const struct simulation *s, struct sgx_targetinfo *out)
{
    *out = (struct sgx_targetinfo){
        .attributes = {.flags = SGX_ATTR_INIT | SGX_ATTR_MODE64, .xfrm = SGX_XFRM_LEGACY}};
    memcpy(out->mrenclave, s->qe_mrenclave, sizeof(out->mrenclave));
}

/* ---- quotes ---- */

static void append_u16(struct buffer *out, unsigned value)
{
    const uint8_t bytes[] = {(uint8_t)value, (uint8_t)(value >> 8)};

    buffer_append(out, bytes, sizeof(bytes));
}

static void append_u32(struct buffer *out, uint32_t value)
{
    append_u16(out, value & 0xffff);
    append_u16(out, value >> 16);
}

static void append_header(const struct simulation *s, unsigned version, bool td, struct buffer *out)
{
    uint8_t user_data[20] = {0};

    memcpy(user_data, s->ppid, 16); /* stands for the QE's id of the platform */
    append_u16(out, version);
    append_u16(out, 2); /* ECDSA P-256 */
    append_u32(out, version > 3 && td ? 0x81 : 0);
    append_u16(out, version > 3 ? 0 : QE_SVN);
    append_u16(out, version > 3 ? 0 : PCE_SVN);
    buffer_append(out, g_vendor, sizeof(g_vendor));
    buffer_append(out, user_data, sizeof(user_data));
}

static void fill_qe_report(const struct simulation *s, bool td, struct sgx_report_body *out)
{
    uint8_t bound[96];

    *out = (struct sgx_report_body){
        .attributes = {.flags = SGX_ATTR_INIT | SGX_ATTR_MODE64, .xfrm = SGX_XFRM_LEGACY},
        .isv_prod_id = td ? TD_QE_PROD_ID : QE_PROD_ID,
        .isv_svn = QE_SVN};
    memcpy(out->cpu_svn, g_cpu_svn, sizeof(out->cpu_svn));
    memcpy(out->mrenclave, s->qe_mrenclave, sizeof(out->mrenclave));
    memcpy(out->mrsigner, s->qe_mrsigner, sizeof(out->mrsigner));
    memcpy(bound, s->public_key, 64);
    memcpy(bound + 64, s->auth_data, 32);
    SHA256(bound, sizeof(bound), out->report_data);
}

/* QE report, its signature, authentication data, PCK chain. */
static int append_certified(const struct simulation *s, bool td, struct buffer *out,
                            struct error *err)
{
    struct sgx_report_body report;
    uint8_t signature[64];

    fill_qe_report(s, td, &report);
    int rc = authority_sign(s->keys[PCK], &report, sizeof(report), signature, err);
    if (rc < 0)
        return rc;
    buffer_append(out, &report, sizeof(report));
    buffer_append(out, signature, sizeof(signature));
    append_u16(out, sizeof(s->auth_data));
    buffer_append(out, s->auth_data, sizeof(s->auth_data));
    append_u16(out, CERTIFICATION_PCK_CHAIN);
    append_u32(out, (uint32_t)s->pck_chain.size + 1);
    buffer_append(out, s->pck_chain.data, s->pck_chain.size + 1); /* with its NUL, as Intel's */
    return 0;
}

int simulation_sign(const struct simulation *s, unsigned version, unsigned body_type,
                    const void *body, struct buffer *out, struct error *err)
{
    static const size_t sizes[] = {[QUOTE_BODY_SGX] = sizeof(struct sgx_report_body),
                                   [QUOTE_BODY_TD10] = TD_REPORT10_SIZE,
                                   [QUOTE_BODY_TD15] = TD_REPORT15_SIZE};
    cleanup_buffer struct buffer certified = BUFFER_INIT;
    bool td = body_type != QUOTE_BODY_SGX;
    size_t start = out->size;
    uint8_t signature[64];

    append_header(s, version, td, out);
    if (version == 5) {
        append_u16(out, body_type);
        append_u32(out, (uint32_t)sizes[body_type]);
    }
    buffer_append(out, body, sizes[body_type]);
    int rc = authority_sign(s->attestation_key, out->data + start, out->size - start, signature,
                            err);
    if (rc == 0)
        rc = append_certified(s, td, &certified, err);
    if (rc < 0)
        return rc;
    append_u32(out, (uint32_t)certified.size + 128 + (version > 3 ? 6 : 0));
    buffer_append(out, signature, sizeof(signature));
    buffer_append(out, s->public_key, sizeof(s->public_key));
    if (version > 3) {
        append_u16(out, CERTIFICATION_QE_REPORT);
        append_u32(out, (uint32_t)certified.size);
    }
    buffer_append(out, certified.data, certified.size);
    return 0;
}

int simulation_quote(const struct simulation *s, const struct sgx_report *report,
                     struct buffer *out, struct error *err)
{
    struct sgx_targetinfo target;

    simulation_target_info(s, &target);
    int rc = sgx_emulated_report_verify(report, &target, err);
    if (rc < 0)
        return error_wrap(err,
                          "this report cannot be quoted (it must be made for the TARGETINFO of "
                          "the simulated quoting enclave)");
    return simulation_sign(s, 3, QUOTE_BODY_SGX, &report->body, out, err);
}

/* ---- collateral ---- */

static void append_dates(struct buffer *out, int64_t now)
{
    struct clock_text from, until;

    buffer_append_format(out,
                         "\"issueDate\":\"%s\",\"nextUpdate\":\"%s\","
                         "\"tcbEvaluationDataNumber\":%d,",
                         clock_format(&from, now), clock_format(&until, now + 30 * 86400),
                         EVALUATION_NUMBER);
}

static void append_components(struct buffer *out, const char *name, const uint8_t *svn,
                              unsigned raised)
{
    buffer_append_format(out, "\"%s\":[", name);
    for (unsigned i = 0; i < 16; i++)
        buffer_append_format(out, "%s{\"svn\":%u%s}", i ? "," : "",
                             svn[i] + (raised == i + 1 ? 1 : 0),
                             i == 0 ? ",\"category\":\"simulation\"" : "");
    buffer_append_char(out, ']');
}

static void append_level(struct buffer *out, const struct simulation_options *o, unsigned raised,
                         const char *status)
{
    static const uint8_t zeros[16];

    buffer_append_text(out, "{\"tcb\":{");
    append_components(out, "sgxtcbcomponents", g_cpu_svn, raised);
    buffer_append_format(out, ",\"pcesvn\":%d", PCE_SVN);
    if (o->tdx) {
        buffer_append_char(out, ',');
        append_components(out, "tdxtcbcomponents", zeros, 0);
    }
    buffer_append_format(out, "},\"tcbDate\":\"2024-01-01T00:00:00Z\",\"tcbStatus\":\"%s\"}",
                         status);
}

static void append_tcb_info(struct buffer *out, const struct simulation_options *o)
{
    static const char module[] =
        "\"tdxModule\":{\"mrsigner\":\"000000000000000000000000000000000000000000000000"
        "000000000000000000000000000000000000000000000000\",\"attributes\":\"0000000000000000\","
        "\"attributesMask\":\"FFFFFFFFFFFFFFFF\"},";
    const char *status = o->tcb_status ? o->tcb_status : "UpToDate";
    char fmspc[13];

    buffer_append_format(out, "{\"id\":\"%s\",\"version\":3,", o->tdx ? "TDX" : "SGX");
    append_dates(out, o->now);
    buffer_append_format(out, "\"fmspc\":\"%s\",\"pceId\":\"0000\",\"tcbType\":0,%s\"tcbLevels\":[",
                         hex_format(fmspc, g_fmspc, sizeof(g_fmspc)), o->tdx ? module : "");
    if (o->raise_component) {
        append_level(out, o, o->raise_component, "UpToDate");
        buffer_append_char(out, ',');
    }
    append_level(out, o, 0, o->raise_component ? "OutOfDate" : status);
    buffer_append_text(out, "]}");
}

static void append_identity(const struct simulation *s, struct buffer *out,
                            const struct simulation_options *o)
{
    char mrsigner[65];

    buffer_append_format(out, "{\"id\":\"%s\",\"version\":2,", o->tdx ? "TD_QE" : "QE");
    append_dates(out, o->now);
    buffer_append_format(
        out,
        "\"miscselect\":\"00000000\",\"miscselectMask\":\"FFFFFFFF\","
        "\"attributes\":\"01000000000000000000000000000000\","
        "\"attributesMask\":\"FBFFFFFFFFFFFFFF0000000000000000\","
        "\"mrsigner\":\"%s\",\"isvprodid\":%d,\"tcbLevels\":[{\"tcb\":{\"isvsvn\":%d},"
        "\"tcbDate\":\"2024-01-01T00:00:00Z\",\"tcbStatus\":\"%s\"}]}",
        hex_format(mrsigner, s->qe_mrsigner, sizeof(s->qe_mrsigner)),
        o->tdx ? TD_QE_PROD_ID : QE_PROD_ID, QE_SVN, o->qe_status ? o->qe_status : "UpToDate");
}

/* {"NAME":INNER,"signature":"HEX"}; the signature is over INNER. */
static int seal_document(const struct simulation *s, const char *name, const struct buffer *inner,
                         struct buffer *out, struct error *err)
{
    uint8_t signature[64];
    char hex[129];
    int rc = authority_sign(s->keys[TCB_SIGNING], inner->data, inner->size, signature, err);

    if (rc == 0)
        buffer_append_format(out, "{\"%s\":%s,\"signature\":\"%s\"}", name, buffer_text(inner),
                             hex_format(hex, signature, sizeof(signature)));
    return rc;
}

int simulation_collateral(const struct simulation *s, const struct simulation_options *o,
                          struct buffer files[ATTEST_FILE_COUNT], struct buffer *root,
                          struct error *err)
{
    cleanup_buffer struct buffer tcb_info = BUFFER_INIT;
    cleanup_buffer struct buffer identity = BUFFER_INIT;

    append_tcb_info(&tcb_info, o);
    append_identity(s, &identity, o);
    int rc = seal_document(s, "tcbInfo", &tcb_info, &files[ATTEST_TCB_INFO], err);
    if (rc == 0)
        rc = seal_document(s, "enclaveIdentity", &identity, &files[ATTEST_QE_IDENTITY], err);
    if (rc == 0)
        rc = authority_crl(s->certs[PCK_CA], s->keys[PCK_CA], o->revoke_pck ? s->certs[PCK] : NULL,
                           o->now, &files[ATTEST_PCK_CRL], err);
    if (rc == 0)
        rc = authority_crl(s->certs[ROOT], s->keys[ROOT], o->revoke_ca ? s->certs[PCK_CA] : NULL,
                           o->now, &files[ATTEST_ROOT_CRL], err);
    if (rc == 0)
        rc = authority_append_pem(s->certs[ROOT], root, err);
    if (rc < 0)
        return rc;
    buffer_append(&files[ATTEST_TCB_INFO_CHAIN], s->tcb_chain.data, s->tcb_chain.size);
    buffer_append(&files[ATTEST_QE_IDENTITY_CHAIN], s->tcb_chain.data, s->tcb_chain.size);
    buffer_append(&files[ATTEST_PCK_CHAIN], s->pck_chain.data, s->pck_chain.size);
    return 0;
}
