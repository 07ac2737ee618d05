/* SPDX-License-Identifier: Apache-2.0 */
/* The evidence in a certificate: each form's encoding, and how it binds the certificate's key. */
#pragma once

#include <openssl/x509.h>

#include "attest/span.h"
#include "base/buffer.h"
#include "base/error.h"
#include "ratls.h"

#define RATLS_CERTIFICATE_MAX (256u << 10)

/* Spans are into the certificate. */
struct evidence {
    enum ratls_form form;
    struct span quote;
    uint8_t bound[32]; /* report data must be this, then zeros */
    bool has_collateral;
    struct span collateral[ATTEST_FILE_COUNT];
};

/* A certificate in DER, all of it, signed by its own key. NULL with err. */
X509 *certificate_read(const void *der, size_t size, struct error *err);

/*
 * Find and decode; 0, or -EBADMSG when there is none, when it is malformed, or when it names
 * another key than the certificate's. The quote itself is not looked at.
 */
int evidence_read(X509 *certificate, struct evidence *out, struct error *err);

/* What a quote is to be bound to, for a certificate with that key; claims are empty but for the
 * interoperable form. -EIO. */
int evidence_bind(EVP_PKEY *key, enum ratls_form form, struct buffer *claims, uint8_t bound[32],
                  struct error *err);
/* Put it into a certificate that is not yet signed. */
int evidence_add(X509 *certificate, enum ratls_form form, struct span quote, struct span claims,
                 struct error *err);
/* The same for collateral; `quote` has the PCK certificate's issuers. */
int evidence_add_collateral(X509 *certificate, struct span quote,
                            const struct attest_bytes files[ATTEST_FILE_COUNT], struct error *err);
