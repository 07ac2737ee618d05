/* SPDX-License-Identifier: Apache-2.0 */
/* What a verification finds, check by check. */
#pragma once

#include "attest/fields.h"
#include "attest/policy.h"
#include "attest/quote.h"
#include "attest/snp.h"
#include "attest/tcb.h"
#include "attest/verifier.h"
#include "base/error.h"

/* In the order in which they are made: id, name, what it is about, weight. */
#define ANSWER_CHECKS(CHECK)                                                                     \
    CHECK(FORMAT, "evidence_format", "the evidence can be read", NOT_GENUINE)                    \
    CHECK(SIMULATION, "simulation", "made by a processor, not by a software SGX", SIMULATED)     \
    CHECK(CHAIN, "certificate_chain", "the platform's key is certified by a trusted root",       \
          NOT_GENUINE)                                                                           \
    CHECK(CHAIN_DATES, "certificate_dates", "its certificates are valid now", BAD_COLLATERAL)    \
    CHECK(ROOT_CRL, "root_crl", "the root's list of revoked certificates", BAD_COLLATERAL)       \
    CHECK(PCK_CRL, "pck_crl", "the list of revoked platform certificates", BAD_COLLATERAL)       \
    CHECK(CRL_DATES, "crl_dates", "the lists are current", BAD_COLLATERAL)                       \
    CHECK(REVOCATION, "revocation", "no certificate is revoked", NOT_GENUINE)                    \
    CHECK(TCB_INFO, "tcb_info", "TCB info is signed by Intel", BAD_COLLATERAL)                   \
    CHECK(TCB_INFO_DATES, "tcb_info_dates", "TCB info is current", BAD_COLLATERAL)               \
    CHECK(TCB_INFO_PLATFORM, "tcb_info_platform", "TCB info is this platform's", BAD_COLLATERAL) \
    CHECK(QE_IDENTITY, "qe_identity", "the QE identity is signed by Intel", BAD_COLLATERAL)      \
    CHECK(QE_IDENTITY_DATES, "qe_identity_dates", "the QE identity is current", BAD_COLLATERAL)  \
    CHECK(COLLATERAL_AGE, "collateral_age", "the collateral is as new as the policy asks",       \
          BAD_COLLATERAL)                                                                        \
    CHECK(QE_REPORT, "qe_report_signature", "the platform's key signed the quoting enclave",     \
          NOT_GENUINE)                                                                           \
    CHECK(QE_BINDING, "attestation_key", "the attestation key is the quoting enclave's",         \
          NOT_GENUINE)                                                                           \
    CHECK(QE_ENCLAVE, "qe_enclave", "the quoting enclave is Intel's", NOT_GENUINE)               \
    CHECK(SIGNATURE, "evidence_signature", "the evidence is signed by that key", NOT_GENUINE)    \
    CHECK(TDX_MODULE, "tdx_module", "the TDX module is Intel's", NOT_GENUINE)                    \
    CHECK(TCB_LEVEL, "tcb_level", "a TCB level covers the platform", BAD_TCB)                    \
    CHECK(TCB_STATUS, "tcb_status", "the platform's TCB status is allowed", BAD_TCB)             \
    CHECK(TCB_DATE, "tcb_date", "the platform's TCB is as new as the policy asks", BAD_TCB)      \
    CHECK(EVALUATION, "tcb_evaluation_number", "judged by recent enough rules", BAD_TCB)         \
    CHECK(ADVISORIES, "advisories", "each open advisory is allowed", BAD_TCB)                    \
    CHECK(PLATFORM, "platform_flags", "the platform's configuration is allowed", BAD_TCB)        \
    CHECK(DEBUG, "debug", "the host cannot debug it", NOT_EXPECTED)                              \
    CHECK(REPORT_DATA, "freshness", "report data is the user data and the nonce", NOT_EXPECTED)

enum check_id {
#define CHECK(id, name, what, weight) CHECK_##id,
    ANSWER_CHECKS(CHECK)
#undef CHECK
        CHECK_COUNT
};

struct answer_check {
    enum attest_outcome outcome;
    enum attest_verdict weight; /* of this failure; 0: the check's usual one */
    char *detail;
    const char *remedy; /* static */
};

#define EVIDENCE_BODY_MAX (SNP_REPORT_SIZE + SNP_SVN_COUNT)

struct attest_answer {
    struct answer_check checks[CHECK_COUNT];
    struct answer_check *rules; /* one for each of the policy's */
    const struct attest_policy *policy;
    const struct attest_collateral *collateral;
    int64_t time;
    enum attest_tee tee;
    unsigned version; /* of quote or report */
    unsigned body_type, certification_type;
    bool simulated;
    uint8_t body[EVIDENCE_BODY_MAX];
    size_t body_size;
    struct pck_chain *chain; /* of a quote, when it verified; a reference */
    bool has_pck;
    struct pck pck;
    struct tcb_result tcb;
    enum attest_verdict verdict;
};

void answer_pass(struct attest_answer *answer, enum check_id id);
/* Failed, or tolerated when the policy allows it. The detail is formatted. */
void answer_fail(struct attest_answer *answer, enum check_id id, bool tolerated, const char *remedy,
                 const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* The same with the weight of another kind of failure. */
void answer_fail_as(struct attest_answer *answer, enum check_id id, enum attest_verdict weight,
                    const char *remedy, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* All checks are made: find the verdict. */
void answer_finish(struct attest_answer *answer);
