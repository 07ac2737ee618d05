/* SPDX-License-Identifier: Apache-2.0 */
/* The simulation's certification authority: keys, certificates and CRLs, by OpenSSL. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/buffer.h"
#include "base/error.h"

/* The P-256 key of this machine's software SGX with that label. NULL with err. */
EVP_PKEY *authority_key(const char *label, struct error *err);
/* X and Y. */
int authority_public(EVP_PKEY *key, uint8_t out[64], struct error *err);
/* ECDSA with SHA-256: r and s. */
int authority_sign(EVP_PKEY *key, const void *data, size_t size, uint8_t out[64],
                   struct error *err);

struct authority_subject {
    const char *name;
    EVP_PKEY *key;
    int ca;             /* how many authorities may be below it; -1: it is none */
    const uint8_t *sgx; /* the SGX extension's value in DER, or NULL */
    size_t sgx_size;
};

/* A certificate by `issuer` (NULL: by itself) and its key. NULL with err. */
X509 *authority_issue(const struct authority_subject *subject, X509 *issuer, EVP_PKEY *issuer_key,
                      struct error *err);
/* A CRL of 30 days in DER; `revoked` may be NULL. */
int authority_crl(X509 *issuer, EVP_PKEY *key, X509 *revoked, int64_t now, struct buffer *out,
                  struct error *err);
int authority_append_pem(X509 *cert, struct buffer *out, struct error *err);
