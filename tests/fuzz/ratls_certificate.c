/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates of RA-TLS up to the quote: evidence, claims, endorsements. The input is a
 * certificate, or, behind a byte that names the form, evidence for a certificate that is made here
 * (what is not signed would never get so far).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "ratls/evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool is_inside(struct span part, struct span whole)
{
    return part.size == 0 ||
           (part.data >= whole.data && part.size <= (size_t)(whole.data + whole.size - part.data));
}

static void add(X509 *x, const char *oid, const uint8_t *data, size_t size)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();

    ASN1_OCTET_STRING_set(octets, data, (int)size);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, octets);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(object);
}

static X509 *make(unsigned form, const uint8_t *data, size_t size)
{
    static const char *const oids[] = {"2.23.133.5.4.9", "2.23.133.5.4.2", "1.2.840.113556.10.1.1",
                                       "0.6.9.42.840.113741.1337.6"};
    static EVP_PKEY *key;
    X509 *x = X509_new();

    if (!key)
        key = EVP_EC_gen("P-256");
    X509_set_pubkey(x, key);
    add(x, oids[form], data, size);
    if (form == 1) /* endorsements are read with evidence only */
        add(x, oids[3], (const uint8_t *)"quote", 5);
    return x;
}

static void read_evidence(X509 *x)
{
    struct error err = ERROR_INIT;
    struct evidence e;

    if (evidence_read(x, &e, &err) == 0) {
        must(e.form != 0);
        for (int i = 0; i < X509_get_ext_count(x); i++) {
            const ASN1_OCTET_STRING *s = X509_EXTENSION_get_data(X509_get_ext(x, i));
            struct span whole = span_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
            if (is_inside(e.quote, whole))
                goto found;
        }
        abort();
    } else {
        must(err.code == EBADMSG && err.message && !strchr(err.message, '\n'));
    }
found:
    error_release(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    X509 *x = certificate_read(data, size, &err);

    if (!x && size > 0 && data[0] < 4)
        x = make(data[0], data + 1, size - 1);
    if (x)
        read_evidence(x);
    X509_free(x);
    error_release(&err);
    ERR_clear_error();
    return 0;
}
