/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libattest: is this evidence genuine, is its platform in order, and is it what the policy says?
 *
 * Evidence is a DCAP ECDSA quote (version 3, 4 or 5; of an SGX enclave or of a TD) or an AMD
 * SEV-SNP attestation report (version 2, 3 or 5). Nothing here uses the network but attest_fetch().
 *
 *     struct attest_verifier *v = attest_verifier_new();
 *     struct attest_collateral *c = attest_collateral_open(v, "collateral/", &error);
 *     struct attest_policy *p = attest_policy_parse(json, size, &error);
 *     struct attest_request r = {.time = time(NULL), .nonce = nonce, .nonce_size = sizeof(nonce)};
 *     struct attest_answer *a = attest_verify(v, quote, quote_size, c, p, &r);
 *     if (attest_answer_verdict(a) == ATTEST_ACCEPTED) ...
 *
 * All objects may be used by any number of threads at once, but for what makes or frees them;
 * there is no global state. Functions that fail return NULL or a negative errno value and, where
 * `error` is not NULL, store one line of text there, to be freed with free(). Lack of memory ends
 * the process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATTEST_EXPORT __attribute__((visibility("default")))

/* ---- verifier: the roots of trust, and what was verified before ---------------------------- */

/* What a root vouches for. */
enum attest_root {
    ATTEST_ROOT_INTEL,      /* P-256; today's Intel SGX Root CA is built in */
    ATTEST_ROOT_SIMULATION, /* P-256; a software SGX, which protects nothing: only for a policy with
                               "allow_simulation" */
    ATTEST_ROOT_AMD,        /* an ARK, RSA-4096; those of Milan, Genoa and Turin are built in */
};

struct attest_verifier;

/* NULL when OpenSSL cannot do P-256. */
ATTEST_EXPORT struct attest_verifier *attest_verifier_new(void);
/* After the last use; collateral and answers must be freed before. */
ATTEST_EXPORT void attest_verifier_free(struct attest_verifier *verifier);
/*
 * Trust one more root: a certificate in PEM or DER. Its public key counts, not its dates. Before
 * the verifier is used by more than one thread.
 */
ATTEST_EXPORT int attest_verifier_add_root(struct attest_verifier *verifier, enum attest_root kind,
                                           const void *certificate, size_t size, char **error);
/* Trust no built-in root, so that only what attest_verifier_add_root() names counts. */
ATTEST_EXPORT void attest_verifier_forget_roots(struct attest_verifier *verifier);
/* Forget verified PCK chains; they are kept so that a platform's next quote is quickly judged. */
ATTEST_EXPORT void attest_verifier_forget_chains(struct attest_verifier *verifier);

/* ---- collateral ---------------------------------------------------------------------------- */

enum attest_file {
    ATTEST_TCB_INFO,          /* JSON as served, version 2 or 3 */
    ATTEST_TCB_INFO_CHAIN,    /* TCB signing certificate and root, PEM */
    ATTEST_QE_IDENTITY,       /* JSON as served; of the QE or the TD QE */
    ATTEST_QE_IDENTITY_CHAIN, /* PEM; where it is absent, the TCB info's */
    ATTEST_PCK_CRL,           /* PEM, DER, or DER in hexadecimal digits */
    ATTEST_ROOT_CRL,          /* the same, of the root CA */
    ATTEST_PCK_CHAIN,         /* PEM, for quotes that do not carry it */
    ATTEST_SNP_CHAIN,         /* VCEK or VLEK, ASK or ASVK, ARK: PEM */
    ATTEST_SNP_CRL,           /* of the ARK; PEM or DER */
    ATTEST_FILE_COUNT
};

struct attest_collateral;

/* One part each; size 0 and data NULL for what is not there. The bytes are copied. */
struct attest_bytes {
    const void *data;
    size_t size;
};
/*
 * Never fails: what is missing or wrong with a part is an outcome of the checks that need it.
 * Signatures are verified here, once; dates and revocations in each attest_verify().
 */
ATTEST_EXPORT struct attest_collateral *attest_collateral_new(
    const struct attest_verifier *verifier, const struct attest_bytes files[ATTEST_FILE_COUNT]);
/* The files of a directory, by their names (attest_file_name). Those that are absent are absent. */
ATTEST_EXPORT struct attest_collateral *attest_collateral_open(
    const struct attest_verifier *verifier, const char *directory, char **error);
ATTEST_EXPORT void attest_collateral_free(struct attest_collateral *collateral);
/* The name that a part has in a directory: "tcb_info.json". */
ATTEST_EXPORT const char *attest_file_name(enum attest_file file);
/* The end of the time in which all parts are valid, in seconds since 1970; INT64_MIN when a part
 * is damaged. */
ATTEST_EXPORT int64_t attest_collateral_until(const struct attest_collateral *collateral);

/*
 * Where collateral comes from: Intel's PCS ("https://api.trustedservices.intel.com") or a PCCS
 * ("https://localhost:8081"), API version 4. What it serves is signed, so it need not be trusted;
 * it can hold back newer collateral until the older one's nextUpdate, no longer.
 */
struct attest_service {
    const char *url;     /* with or without /sgx/certification/v4 */
    const char *ca_file; /* PEM certificates that vouch for it; NULL: the system's */
    const char *cache;   /* directory for what was fetched, kept until nextUpdate; NULL: none */
    unsigned timeout_ms; /* for everything; 0: 30000 */
    bool early;          /* update=early: of a TCB recovery that is not yet enforced */
};

/*
 * Collateral for the platform that a DCAP quote names: from the cache when all of it is valid at
 * `now` (seconds since 1970), else fetched. At most 1 MiB a part, no redirects. NULL and `error`
 * when a part cannot be had, or is not what the service should have served.
 */
ATTEST_EXPORT struct attest_collateral *attest_fetch(const struct attest_verifier *verifier,
                                                     const void *quote, size_t size,
                                                     const struct attest_service *service,
                                                     int64_t now, char **error);

/* ---- policy -------------------------------------------------------------------------------- */

struct attest_policy;

/* A policy as docs/attest-policy.md describes it. NULL and `error` when there is anything in it
 * that is not understood. */
ATTEST_EXPORT struct attest_policy *attest_policy_parse(const char *json, size_t size,
                                                        char **error);
ATTEST_EXPORT void attest_policy_free(struct attest_policy *policy);

/* ---- answer -------------------------------------------------------------------------------- */

enum attest_tee { ATTEST_TEE_NONE, ATTEST_TEE_SGX, ATTEST_TEE_TDX, ATTEST_TEE_SNP };

/* The first thing that is wrong, in this order of weight; also the exit code of verify-quote. */
enum attest_verdict {
    ATTEST_ACCEPTED = 0,
    ATTEST_NOT_GENUINE = 2,    /* malformed, forged, changed, revoked, or of an unknown root */
    ATTEST_BAD_COLLATERAL = 3, /* missing, changed, expired, or of another platform */
    ATTEST_SIMULATED = 4,      /* of a software SGX, and the policy does not allow that */
    ATTEST_BAD_TCB = 5,        /* genuine, but the platform's state is not allowed */
    ATTEST_NOT_EXPECTED = 6,   /* genuine, but not what the policy describes */
};

enum attest_outcome {
    ATTEST_NOT_CHECKED, /* does not apply, is not asked for, or could not be reached */
    ATTEST_PASSED,
    ATTEST_TOLERATED, /* would fail, but the policy allows it */
    ATTEST_FAILED,
};

/* TCB statuses with Intel's names. */
enum attest_tcb_status {
    ATTEST_TCB_UNKNOWN,
    ATTEST_TCB_UP_TO_DATE,
    ATTEST_TCB_SW_HARDENING_NEEDED,
    ATTEST_TCB_CONFIGURATION_NEEDED,
    ATTEST_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED,
    ATTEST_TCB_TD_RELAUNCH_ADVISED,
    ATTEST_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED,
    ATTEST_TCB_OUT_OF_DATE,
    ATTEST_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED,
    ATTEST_TCB_REVOKED,
    ATTEST_TCB_NOT_SUPPORTED, /* no TCB level covers the platform */
    ATTEST_TCB_STATUS_COUNT
};
ATTEST_EXPORT const char *attest_tcb_status_name(enum attest_tcb_status status);

/* "not genuine", "failed", "SGX": the names in JSON answers. */
ATTEST_EXPORT const char *attest_verdict_name(enum attest_verdict verdict);
ATTEST_EXPORT const char *attest_outcome_name(enum attest_outcome outcome);
ATTEST_EXPORT const char *attest_tee_name(enum attest_tee tee);

/* One check. Texts are the answer's. */
struct attest_check {
    const char *name; /* "qe_report_signature" */
    const char *what; /* what it is about, for people */
    enum attest_outcome outcome;
    enum attest_verdict weight; /* the verdict when it fails */
    const char *detail;         /* what was found; NULL when there is no more to say */
    const char *remedy;         /* what to do; NULL likewise */
};

/* An SVN that is lower than the newest level asks for. */
struct attest_short {
    char
        part[48]; /* "SGX component 3", "PCESVN", "TDX module TDX_01", "quoting enclave's ISVSVN" */
    char from[80]; /* what brings it: "OS/VMM, SGX Late Microcode Update"; or "" */
    unsigned has, needs;
};

struct attest_answer;

/*
 * What changes from one verification to the next. Report data must be `user_data`, then `nonce`,
 * then zeros, 64 bytes in all; it is not looked at when both are absent and the policy does not
 * speak of it either.
 */
struct attest_request {
    int64_t time; /* as of when: seconds since 1970 */
    const void *user_data;
    size_t user_data_size;
    const void *nonce;
    size_t nonce_size;
    bool allow_simulation; /* as if the policy did */
};

/*
 * Judge evidence. `collateral` may be NULL (nothing is there), `policy` too: then only an
 * up-to-date, not simulated, not debuggable platform passes, whoever's enclave it is. Never NULL.
 * Evidence and request may be freed at once; verifier, collateral and policy must outlive the
 * answer.
 */
ATTEST_EXPORT struct attest_answer *attest_verify(struct attest_verifier *verifier,
                                                  const void *evidence, size_t size,
                                                  const struct attest_collateral *collateral,
                                                  const struct attest_policy *policy,
                                                  const struct attest_request *request);
ATTEST_EXPORT void attest_answer_free(struct attest_answer *answer);

ATTEST_EXPORT enum attest_verdict attest_answer_verdict(const struct attest_answer *answer);
/* One line: accepted, or the gravest failed check, its detail and its remedy. To be freed. */
ATTEST_EXPORT char *attest_answer_summary(const struct attest_answer *answer);
/* The i-th check in the order in which they are made; false behind the last. */
ATTEST_EXPORT bool attest_answer_check(const struct attest_answer *answer, size_t i,
                                       struct attest_check *out);
/* Of the whole, of the platform alone, and of the quoting enclave (INTEL only). */
ATTEST_EXPORT enum attest_tcb_status attest_answer_tcb(const struct attest_answer *answer);
ATTEST_EXPORT enum attest_tcb_status attest_answer_platform_tcb(const struct attest_answer *answer);
ATTEST_EXPORT enum attest_tcb_status attest_answer_qe_tcb(const struct attest_answer *answer);
ATTEST_EXPORT bool attest_answer_short(const struct attest_answer *answer, size_t i,
                                       struct attest_short *out);
/* The evidence is of a software SGX. True also where it was refused for that. */
ATTEST_EXPORT bool attest_answer_simulated(const struct attest_answer *answer);
ATTEST_EXPORT enum attest_tee attest_answer_tee(const struct attest_answer *answer);
/*
 * A measured field by its name in policies ("mrenclave", "report_data", "mrtd", "measurement").
 * NULL when the evidence has none of that name, or is not genuine.
 */
ATTEST_EXPORT const void *attest_answer_field(const struct attest_answer *answer, const char *name,
                                              size_t *size);
/* Everything, as a JSON object; as text for people; as one HTML page. To be freed with free(). */
ATTEST_EXPORT char *attest_answer_json(const struct attest_answer *answer);
ATTEST_EXPORT char *attest_answer_text(const struct attest_answer *answer);
ATTEST_EXPORT char *attest_answer_html(const struct attest_answer *answer);

#ifdef __cplusplus
}
#endif
