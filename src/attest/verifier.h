/* SPDX-License-Identifier: Apache-2.0 */
/* The room's own view of verifier and collateral. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "attest.h"
#include "attest/cert.h"
#include "attest/export.h"
#include "attest/p256.h"
#include "attest/pck.h"
#include "attest/signed_json.h"

/* A PCK chain that was verified: leaf, intermediate, root. */
struct pck_chain {
    struct chain chain;
    const struct trust_root *root;
    struct pck pck;
    int64_t from, until;
    uint8_t digest[32]; /* of its text */
    uint8_t *text;
    atomic_uint references;
    pthread_mutex_t lock;
    uint8_t qe_report[32]; /* SHA-256 of the last QE report that it signed, with the signature */
    bool has_qe_report;
};

/* The platforms whose quotes come again; the oldest one goes first. */
#define CHAIN_CACHE_SIZE 64

struct amd_root {
    uint8_t key_digest[32]; /* SHA-256 of its SubjectPublicKeyInfo */
    struct amd_root *next;
};

struct attest_verifier {
    struct p256 *p256;
    struct trust_root *roots;
    struct amd_root *amd_roots;
    pthread_mutex_t lock; /* of the cache */
    struct pck_chain *cache[CHAIN_CACHE_SIZE];
    unsigned cache_next;
};

/*
 * Verify a PCK chain, or find it verified. NULL with the error's code: -ENOKEY for a root that is
 * not trusted. To be given back with pck_chain_put().
 */
struct pck_chain *pck_chain_get(struct attest_verifier *verifier, struct span text,
                                struct error *err);
void pck_chain_put(struct pck_chain *chain);

/*
 * Is the quoting enclave's report signed by the chain's leaf? The same one comes with each quote of
 * a platform until its quoting enclave starts anew, so the last one is remembered.
 */
bool pck_chain_signed(struct pck_chain *chain, const struct p256 *p256, struct span qe_report,
                      const uint8_t signature[64]);

/* Its common name is `name` behind the vendor's: "Intel ", or "Simulated " under such a root. */
bool is_named(const struct cert *cert, const struct trust_root *root, const char *name);

/* A part of the collateral that is an X.509 chain. */
struct collateral_chain {
    struct span text;
    struct chain chain;
    const struct trust_root *root; /* NULL when it did not verify */
    int64_t from, until;
    struct error error;
};

/* A CRL, and whose key it was last verified with. */
struct collateral_crl {
    struct span text;
    struct crl crl;
    struct error error; /* of reading */
    pthread_mutex_t lock;
    bool known, good; /* by issuer_key */
    uint8_t issuer_key[64];
};

/* Absent parts have an empty text; `error` is set when a part that is there is not good. */
struct attest_collateral {
    struct span text[ATTEST_FILE_COUNT];
    uint8_t *memory;
    struct collateral_chain tcb_chain, qe_chain;
    struct tcb_info tcb_info;
    struct qe_identity qe_identity;
    struct error tcb_info_error, qe_identity_error;
    struct collateral_crl pck_crl, root_crl;
    size_t snp_crl_count;
};

/* The chain that signs the QE identity: its own, or the TCB info's. */
static inline const struct collateral_chain *collateral_qe_chain(const struct attest_collateral *c)
{
    return c->qe_chain.text.size ? &c->qe_chain : &c->tcb_chain;
}

/* Is it a CRL of `issuer`'s? 0, or -EPERM with what is wrong; also when it could not be read. */
int collateral_crl_verify(struct collateral_crl *crl, const struct cert *issuer,
                          const struct p256 *p256, struct error *err);
