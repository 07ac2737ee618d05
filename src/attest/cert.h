/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and CRLs of Intel's SGX hierarchy (RFC 5280, with P-256 and ECDSA with SHA-256
 * alone), and what they say together. AMD's, with RSA and P-384, are read by OpenSSL (snp.c).
 */
#pragma once

#include "attest/p256.h"
#include "attest/pem.h"
#include "attest/span.h"
#include "base/error.h"

/* Spans point into the DER. */
struct cert {
    struct span der, tbs, signature, serial, issuer, subject, common_name;
    uint8_t key[64]; /* X and Y */
    int64_t not_before, not_after;
    bool ca, may_sign_certs, may_sign_crls;
    struct span sgx; /* value of Intel's SGX extension; empty when there is none */
};

#define CHAIN_MAX 4

/* Leaf first. Each certificate's issuer is the next one, the last one is its own. */
struct chain {
    struct cert certs[CHAIN_MAX];
    size_t count;
    struct pem_objects objects;
};

/* Reads only; nothing is verified. *out is to be released even when this fails. */
int chain_read(struct span text, struct chain *out, struct error *err);
void chain_release(struct chain *chain);

/* A key that is trusted because somebody said so. */
struct trust_root {
    uint8_t key[64];
    bool simulation;            /* of the software SGX: proves nothing */
    const uint8_t (*known)[32]; /* SHA-256 of certificates that it is known to have signed */
    size_t known_count;
    struct trust_root *next;
};

/*
 * Names and signatures of a chain whose last certificate is of a root in the list; *root is then
 * that root. -ENOKEY when it ends in another root, -EPERM when anything else is wrong.
 */
int chain_verify(const struct chain *chain, const struct p256 *p256, const struct trust_root *roots,
                 const struct trust_root **root, struct error *err);
/* When all of them are valid: the later start and the earlier end. */
void chain_validity(const struct chain *chain, int64_t *from, int64_t *until);

struct crl {
    struct span tbs, signature, issuer;
    struct span revoked; /* the entries, one after the other */
    size_t count;
    int64_t this_update, next_update;
    struct pem_objects objects;
};

/* *out is to be released even when this fails. */
int crl_read(struct span text, struct crl *out, struct error *err);
void crl_release(struct crl *crl);
/* Made by `issuer`, which may make CRLs. -EPERM when not. */
int crl_verify(const struct crl *crl, const struct cert *issuer, const struct p256 *p256,
               struct error *err);
bool crl_has(const struct crl *crl, const struct cert *cert);
