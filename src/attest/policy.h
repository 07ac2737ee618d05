/* SPDX-License-Identifier: Apache-2.0 */
/* What a verifier demands beyond genuineness. The format is docs/attest-policy.md's. */
#pragma once

#include "attest.h"
#include "attest/fields.h"
#include "attest/status.h"

struct attest_answer;

enum rule_kind { RULE_ANY_OF, RULE_EQUALS, RULE_AT_LEAST, RULE_AT_MOST };

/* Bytes, and which of their bits count. */
struct policy_value {
    uint8_t bytes[FIELD_SIZE_MAX], mask[FIELD_SIZE_MAX];
};

/* One demand on a measured field; evidence of a TEE that has no such field fails it. */
struct policy_rule {
    char *name; /* of the policy's member */
    const char *field;
    enum rule_kind kind;
    uint64_t number;
    struct policy_value *values; /* RULE_ANY_OF, of a size that the field has */
    size_t value_count, value_size;
};

struct attest_policy {
    uint32_t statuses;                      /* allowed: bit 1 << status */
    int64_t grace[ATTEST_TCB_STATUS_COUNT]; /* allowed until then; 0: no grace */
    bool lists_advisories;
    char **advisories;
    size_t advisory_count;
    uint64_t evaluation_min;
    int64_t tcb_date_min;
    int64_t collateral_age_max; /* seconds; 0: as long as it is valid */
    bool allow_debug, allow_simulation, allow_expired_collateral, allow_missing_crl;
    bool forbid_smt, forbid_dynamic_platform;
    bool has_user_data;
    uint8_t user_data[64];
    size_t user_data_size;
    struct policy_rule *rules;
    size_t rule_count;
};

/* What holds without a policy. */
extern const struct attest_policy g_default_policy;

/* The policy's part of a verification: the checks from TCB status on, and the rules. */
void policy_check(struct attest_answer *answer, const struct attest_request *request);
