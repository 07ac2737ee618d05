/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and CRLs: what our reader takes, OpenSSL takes too, and reads alike. The other way
 * round it need not be: ours knows one profile.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "attest/cert.h"
#include "attest/pck.h"
#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool same_time(const ASN1_TIME *theirs, int64_t ours)
{
    struct tm tm;

    return ASN1_TIME_to_tm(theirs, &tm) == 1 && (int64_t)timegm(&tm) == ours;
}

static bool same_name(const X509_NAME *theirs, struct span ours)
{
    const unsigned char *der;
    size_t size;

    return X509_NAME_get0_der(theirs, &der, &size) == 1 && size == ours.size &&
           memcmp(der, ours.data, size) == 0;
}

static bool same_serial(const ASN1_INTEGER *theirs, struct span ours)
{
    unsigned char *der = NULL;
    int size = i2d_ASN1_INTEGER(theirs, &der);
    bool same = size == (int)ours.size + 2 && memcmp(der + 2, ours.data, ours.size) == 0;

    OPENSSL_free(der);
    return same;
}

static void compare_cert(const struct cert *ours)
{
    const unsigned char *at = ours->der.data;
    X509 *theirs = d2i_X509(NULL, &at, (long)ours->der.size);
    struct pck pck;

    must(theirs && at == ours->der.data + ours->der.size);
    must(X509_get_version(theirs) == X509_VERSION_3);
    must(same_time(X509_get0_notBefore(theirs), ours->not_before));
    must(same_time(X509_get0_notAfter(theirs), ours->not_after));
    must(same_name(X509_get_issuer_name(theirs), ours->issuer));
    must(same_name(X509_get_subject_name(theirs), ours->subject));
    must(same_serial(X509_get0_serialNumber(theirs), ours->serial));
    const ASN1_BIT_STRING *key = X509_get0_pubkey_bitstr(theirs);
    must(ASN1_STRING_length(key) == 65 &&
         memcmp(ASN1_STRING_get0_data(key) + 1, ours->key, 64) == 0);
    BASIC_CONSTRAINTS *constraints = X509_get_ext_d2i(theirs, NID_basic_constraints, NULL, NULL);
    must(ours->ca == (constraints && constraints->ca));
    BASIC_CONSTRAINTS_free(constraints);
    ASN1_BIT_STRING *usage = X509_get_ext_d2i(theirs, NID_key_usage, NULL, NULL);
    must(ours->may_sign_certs == (usage && ASN1_BIT_STRING_get_bit(usage, 5)));
    must(ours->may_sign_crls == (usage && ASN1_BIT_STRING_get_bit(usage, 6)));
    ASN1_BIT_STRING_free(usage);
    X509_free(theirs);
    if (ours->sgx.size)
        pck_parse(ours->sgx, &pck, NULL);
}

static void compare_crl(const struct crl *ours)
{
    struct span der = ours->objects.objects[0];
    const unsigned char *at = der.data;
    X509_CRL *theirs = d2i_X509_CRL(NULL, &at, (long)der.size);

    must(theirs && at == der.data + der.size);
    must(same_name(X509_CRL_get_issuer(theirs), ours->issuer));
    must(same_time(X509_CRL_get0_lastUpdate(theirs), ours->this_update));
    must(same_time(X509_CRL_get0_nextUpdate(theirs), ours->next_update));
    must((size_t)(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(theirs)) < 0
                      ? 0
                      : sk_X509_REVOKED_num(X509_CRL_get_REVOKED(theirs))) == ours->count);
    X509_CRL_free(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chain chain;
    struct crl crl;

    if (chain_read(span_of(data, size), &chain, NULL) == 0)
        for (size_t i = 0; i < chain.count; i++)
            compare_cert(&chain.certs[i]);
    chain_release(&chain);
    if (crl_read(span_of(data, size), &crl, NULL) == 0)
        compare_crl(&crl);
    crl_release(&crl);
    ERR_clear_error();
    return 0;
}
