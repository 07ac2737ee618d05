/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DER (X.690), as far as certificates, CRLs and Intel's extension need it: tags of one byte,
 * definite lengths in their shortest form. A function takes what it reads off the front of `in`
 * and returns false where that is not there; then nothing can be said of `in`.
 *
 * Why not OpenSSL's X509: its decoder takes as long as three signatures a certificate (3.0), and a
 * verification reads five. tests/fuzz/attest_cert.c proves that what is accepted here is read alike
 * by OpenSSL.
 */
#pragma once

#include "attest/span.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_ENUMERATED = 0x0a,
    DER_UTF8_STRING = 0x0c,
    DER_PRINTABLE_STRING = 0x13,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT_0 = 0xa0,
    DER_CONTEXT_3 = 0xa3,
};

/* The next element, whatever it is. `whole` (with tag and length) may be NULL. */
bool der_any(struct span *in, unsigned *tag, struct span *content, struct span *whole);
bool der_take(struct span *in, unsigned tag, struct span *content);
/* With its tag and length. */
bool der_take_whole(struct span *in, unsigned tag, struct span *whole);
/* The tag of the next element is `tag`. */
bool der_next_is(const struct span *in, unsigned tag);
/* An INTEGER or ENUMERATED (`tag`) from 0 to max. */
bool der_uint(struct span *in, unsigned tag, uint64_t max, uint64_t *out);
bool der_bool(struct span *in, bool *out);
bool der_oid(struct span *in, struct span *out);
/* UTCTime or GeneralizedTime as RFC 5280 has them, in seconds since 1970. */
bool der_time(struct span *in, int64_t *out);
