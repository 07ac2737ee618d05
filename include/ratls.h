/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libratls: TLS whose peers prove by attestation evidence what they are (RA-TLS), on OpenSSL 3.
 * A certificate is signed by its own key and has a quote whose report data bind that key. TLS 1.3
 * only, no resumption: each connection is a proof of its own.
 *
 * In an enclave:
 *
 *     struct ratls_prover *p = ratls_prover_new(&(struct ratls_prover_options){0}, &error);
 *     SSL_CTX *ctx = ratls_server_context(p, NULL, &error);
 *
 * At the other end:
 *
 *     struct ratls_demand demand = {.verifier = v, .collateral = c, .policy = policy};
 *     SSL_CTX *ctx = ratls_client_context(NULL, &demand, &error);
 *
 * Both sides prove themselves where both contexts have a prover and a demand. Functions that fail
 * return NULL or a negative errno value and, where `error` is not NULL, store one line of text
 * there, to be freed with free(). All objects may be used by any number of threads at once.
 * docs/design/ratls.md has the formats.
 */
#pragma once

#include <openssl/ssl.h>

#include "attest.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the side that proves ------------------------------------------------------------------ */

/* Forms of evidence in a certificate. */
enum ratls_form {
    RATLS_INTEROPERABLE =
        1,             /* TCG DICE tagged evidence, 2.23.133.5.4.9 (CCC's interoperable form) */
    RATLS_GRAMINE = 2, /* Gramine's before 1.8: a bare quote */
    RATLS_OPEN_ENCLAVE = 4, /* Open Enclave's attested TLS; is verified, not made */
};

struct ratls_prover;

struct ratls_prover_options {
    unsigned forms; /* RATLS_INTEROPERABLE and RATLS_GRAMINE; 0: the first. A quote for each */
    /*
     * A quote over 64 bytes, at most *size bytes to `out`; 0 or -errno with `error`. NULL: from
     * /dev/attestation (Gramine's files, which the LibOS has too).
     */
    int (*quote)(void *context, const uint8_t report_data[64], uint8_t *out, size_t *size,
                 char **error);
    /*
     * Collateral for the certificate, so that verifiers need no network: the files of attest.h,
     * freed by the caller of the function with free(). NULL: the certificate has none.
     */
    int (*collateral)(void *context, const uint8_t *quote, size_t size,
                      struct attest_bytes files[ATTEST_FILE_COUNT], int64_t *until, char **error);
    void *context;       /* for both */
    unsigned lifetime_s; /* of a key and its certificate; 0: a day. At most as long as collateral */
};

/*
 * Makes the first key and certificate at once. New ones are made when half of their time is over,
 * by the connection that comes then; the old ones serve while that fails, until they expire.
 */
ATTEST_EXPORT struct ratls_prover *ratls_prover_new(const struct ratls_prover_options *options,
                                                    char **error);
/* Contexts made with it must be freed before. */
ATTEST_EXPORT void ratls_prover_free(struct ratls_prover *prover);
/* The present certificate in DER, to be freed with free(); *renewed counts the renewals so far. */
ATTEST_EXPORT int ratls_prover_certificate(struct ratls_prover *prover, uint8_t **der, size_t *size,
                                           unsigned *renewed);

/* ---- the side that demands ----------------------------------------------------------------- */

struct ratls_judgement;

/* All pointers must outlive the contexts that were made with it. */
struct ratls_demand {
    struct attest_verifier *verifier;
    const struct attest_collateral *collateral; /* NULL: the certificate's own, or `fetch` */
    /* For a certificate without collateral; returns what the caller frees, or NULL. May be NULL. */
    struct attest_collateral *(*fetch)(void *context, const void *quote, size_t size, int64_t now,
                                       char **error);
    const struct attest_policy *policy; /* as attest_verify() takes it */
    bool allow_simulation;
    int64_t time; /* as of when, seconds since 1970; 0: now */
    /* Is told each judgement of a connection's peer. May be NULL. */
    void (*judged)(void *context, const struct ratls_judgement *judgement);
    void *context;
};

/* Judge a certificate in DER: its form, the binding of its key, its dates, and its evidence. Never
 * NULL; what the demand points to must outlive it. */
ATTEST_EXPORT struct ratls_judgement *ratls_judge(const void *certificate, size_t size,
                                                  const struct ratls_demand *demand);
ATTEST_EXPORT void ratls_judgement_free(struct ratls_judgement *judgement);
/* Why the certificate is refused, in one line; NULL when it is accepted. */
ATTEST_EXPORT const char *ratls_judgement_refused(const struct ratls_judgement *judgement);
/* What the evidence's checks said; NULL when there was no evidence that is bound to the key. */
ATTEST_EXPORT const struct attest_answer *ratls_judgement_answer(
    const struct ratls_judgement *judgement);
/* 0 when there was none that is understood. */
ATTEST_EXPORT enum ratls_form ratls_judgement_form(const struct ratls_judgement *judgement);

/* ---- TLS ----------------------------------------------------------------------------------- */

/*
 * A handshake with a peer that is refused fails, and OpenSSL's error queue begins with an error of
 * this reason, of ERR_LIB_USER; its data say why.
 */
#define RATLS_REFUSED 1

/* A context for servers. demand NULL: clients prove nothing. To be freed with SSL_CTX_free(). */
ATTEST_EXPORT SSL_CTX *ratls_server_context(struct ratls_prover *prover,
                                            const struct ratls_demand *demand, char **error);
/* A context for clients. prover NULL: the client proves nothing. */
ATTEST_EXPORT SSL_CTX *ratls_client_context(struct ratls_prover *prover,
                                            const struct ratls_demand *demand, char **error);

#ifdef __cplusplus
}
#endif
