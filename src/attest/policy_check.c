/* SPDX-License-Identifier: Apache-2.0 */
/* A policy against what was verified. */
#include <stdio.h>
#include <stdlib.h>

#include "attest/answer.h"
#include "attest/clock.h"
#include "base/hex.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"

/* ---- the platform ---- */

static bool status_allowed(const struct attest_answer *a, bool *by_grace)
{
    const struct attest_policy *p = a->policy;
    enum tcb_status status = a->tcb.status;

    *by_grace = false;
    if (status == TCB_NOT_SUPPORTED || status == TCB_REVOKED || status == TCB_UNKNOWN)
        return false;
    if (p->statuses & 1u << status)
        return true;
    *by_grace = p->grace[status] && a->time <= p->grace[status];
    return *by_grace;
}

/* "SGX component 1 (BIOS) has 14 and needs 16; PCESVN has 10 and needs 11" */
static void append_shorts(struct buffer *out, const struct attest_answer *a)
{
    struct attest_short item;

    for (size_t i = 0; attest_answer_short(a, i, &item); i++) {
        buffer_append_format(out, "; %s", item.part);
        if (*item.from)
            buffer_append_format(out, " (%s)", item.from);
        buffer_append_format(out, " has %u and needs %u", item.has, item.needs);
    }
}

static const char *status_remedy(enum tcb_status status)
{
    switch (status) {
    case TCB_SW_HARDENING:
        return "build the enclave with the mitigations of the advisories, and allow the status in "
               "the policy's tcb_status";
    case TCB_CONFIGURATION:
    case TCB_CONFIGURATION_SW_HARDENING:
        return "change the platform's BIOS settings as the advisories say, or allow the status in "
               "the policy's tcb_status";
    case TCB_RELAUNCH:
    case TCB_RELAUNCH_CONFIGURATION:
        return "start the TD anew, so that it runs on the updated TDX module";
    case TCB_OUT_OF_DATE:
    case TCB_OUT_OF_DATE_CONFIGURATION:
        return "update BIOS, microcode and SGX software of the platform and provision it again, or "
               "allow the status for some time in the policy's tcb_grace";
    case TCB_REVOKED:
        return "do not use this platform";
    default:
        return "update BIOS, microcode and SGX software of the platform and provision it again";
    }
}

static void check_status(struct attest_answer *a)
{
    cleanup_buffer struct buffer detail = BUFFER_INIT;
    bool by_grace, allowed = status_allowed(a, &by_grace);

    if (allowed && !by_grace) {
        answer_pass(a, CHECK_TCB_STATUS);
        return;
    }
    append_shorts(&detail, a);
    answer_fail(a, CHECK_TCB_STATUS, allowed, status_remedy(a->tcb.status), "%s%s",
                attest_tcb_status_name((enum attest_tcb_status)a->tcb.status),
                buffer_text(&detail));
}

static void check_tcb_date(struct attest_answer *a)
{
    struct clock_text has, needs;

    if (!a->policy->tcb_date_min)
        return;
    if (a->tcb.date >= a->policy->tcb_date_min)
        answer_pass(a, CHECK_TCB_DATE);
    else
        answer_fail(a, CHECK_TCB_DATE, false, "update the platform",
                    "its TCB is of %s, the policy asks for %s", clock_format(&has, a->tcb.date),
                    clock_format(&needs, a->policy->tcb_date_min));
}

static void check_evaluation(struct attest_answer *a)
{
    if (!a->policy->evaluation_min)
        return;
    if (a->tcb.evaluation_number >= a->policy->evaluation_min)
        answer_pass(a, CHECK_EVALUATION);
    else
        answer_fail(a, CHECK_EVALUATION, false,
                    "fetch collateral of a newer TCB evaluation (update=early, or a PCCS that is "
                    "refreshed)",
                    "the TCB evaluation number is %llu, the policy asks for %llu",
                    (unsigned long long)a->tcb.evaluation_number,
                    (unsigned long long)a->policy->evaluation_min);
}

static bool advisory_allowed(const struct attest_policy *p, struct span id)
{
    for (size_t i = 0; i < p->advisory_count; i++)
        if (span_is(id, p->advisories[i]))
            return true;
    return false;
}

static void append_refused(struct buffer *out, const struct attest_policy *p,
                           const struct signed_json *json, const struct advisory_range *range)
{
    for (uint32_t i = 0; i < range->count; i++) {
        struct span id = json->advisories.ids[range->first + i];
        if (advisory_allowed(p, id))
            continue;
        buffer_append_text(out, out->size ? ", " : "");
        buffer_append(out, id.data, id.size);
    }
}

static void check_advisories(struct attest_answer *a)
{
    cleanup_buffer struct buffer refused = BUFFER_INIT;
    const struct tcb_result *t = &a->tcb;

    if (!a->policy->lists_advisories)
        return;
    if (t->platform_level)
        append_refused(&refused, a->policy, &a->collateral->tcb_info.json,
                       &t->platform_level->advisories);
    if (t->module_level)
        append_refused(&refused, a->policy, &a->collateral->tcb_info.json,
                       &t->module_level->advisories);
    if (t->qe_level)
        append_refused(&refused, a->policy, &a->collateral->qe_identity.json,
                       &t->qe_level->advisories);
    if (refused.size)
        answer_fail(a, CHECK_ADVISORIES, false,
                    "update the platform, or list the advisory in the policy's advisories",
                    "not allowed by the policy: %s", buffer_text(&refused));
    else
        answer_pass(a, CHECK_ADVISORIES);
}

static void check_platform_flags(struct attest_answer *a)
{
    const struct attest_policy *p = a->policy;

    if (!a->has_pck || (!p->forbid_smt && !p->forbid_dynamic_platform))
        return;
    if (p->forbid_smt && a->pck.smt != 0)
        answer_fail(a, CHECK_PLATFORM, false, "switch hyper-threading off and provision again",
                    "simultaneous multi-threading is %s", a->pck.smt > 0 ? "on" : "not known");
    else if (p->forbid_dynamic_platform && a->pck.dynamic_platform != 0)
        answer_fail(a, CHECK_PLATFORM, false, "use a platform without added packages",
                    "that packages can be added is %s",
                    a->pck.dynamic_platform > 0 ? "possible" : "not known");
    else
        answer_pass(a, CHECK_PLATFORM);
}

static void check_collateral_age(struct attest_answer *a)
{
    const struct attest_collateral *c = a->collateral;
    struct clock_text when;

    if (!a->policy->collateral_age_max || !c)
        return;
    int64_t issued = c->tcb_info.json.issue_date;
    if (c->qe_identity.json.issue_date < issued)
        issued = c->qe_identity.json.issue_date;
    if (a->time - issued <= a->policy->collateral_age_max)
        answer_pass(a, CHECK_COLLATERAL_AGE);
    else
        answer_fail(a, CHECK_COLLATERAL_AGE, false, "fetch the collateral again",
                    "it was issued at %s", clock_format(&when, issued));
}

/* ---- the evidence itself ---- */

static bool is_debuggable(const struct attest_answer *a)
{
    const struct field *field;

    switch (a->tee) {
    case ATTEST_TEE_SGX:
        field = field_find(a->tee, "attributes", 10);
        return read_le64(a->body + field->offset) & SGX_ATTR_DEBUG;
    case ATTEST_TEE_TDX:
        /* TUD, "TD under debug": its first bit is DEBUG, and the others are no better. */
        field = field_find(a->tee, "td_attributes", 13);
        return a->body[field->offset] != 0;
    default:
        field = field_find(a->tee, "guest_policy", 12);
        return read_le64(a->body + field->offset) & 1ull << 19;
    }
}

static void check_debug(struct attest_answer *a)
{
    if (!is_debuggable(a))
        answer_pass(a, CHECK_DEBUG);
    else
        answer_fail(a, CHECK_DEBUG, a->policy->allow_debug,
                    "start it in production mode, or set the policy's allow_debug for tests",
                    "it may be debugged: the host can read and change its memory");
}

static void check_report_data(struct attest_answer *a, const struct attest_request *r)
{
    const struct field *field = field_find(a->tee, "report_data", 11);
    const uint8_t *found = a->body + field->offset;
    uint8_t expected[64] = {0};
    const void *user = r->user_data;
    size_t size = r->user_data_size;
    char text[129], wanted[129];

    if (!user && a->policy->has_user_data) {
        user = a->policy->user_data;
        size = a->policy->user_data_size;
    }
    if (!user && !r->nonce)
        return;
    if (size + r->nonce_size > sizeof(expected)) {
        answer_fail(a, CHECK_REPORT_DATA, false, "ask for less",
                    "user data and nonce are longer than the 64 bytes of report data");
        return;
    }
    if (user && size)
        memcpy(expected, user, size);
    if (r->nonce && r->nonce_size)
        memcpy(expected + size, r->nonce, r->nonce_size);
    if (memcmp(expected, found, sizeof(expected)) == 0)
        answer_pass(a, CHECK_REPORT_DATA);
    else
        answer_fail(a, CHECK_REPORT_DATA, false,
                    "have the program put the user data and the nonce into its report, in this "
                    "order; an old answer may have been replayed",
                    "report data is %s, where %s is expected", hex_format(text, found, 64),
                    hex_format(wanted, expected, 64));
}

static bool has_value(const uint8_t *found, const struct policy_value *wanted, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((found[i] & wanted->mask[i]) != wanted->bytes[i])
            return false;
    return true;
}

static bool rule_holds(const struct policy_rule *rule, const struct field *field,
                       const uint8_t *body)
{
    uint64_t number;

    switch (rule->kind) {
    case RULE_ANY_OF:
        for (size_t i = 0; i < rule->value_count; i++)
            if (rule->value_size == field->size &&
                has_value(body + field->offset, &rule->values[i], field->size))
                return true;
        return false;
    case RULE_EQUALS:
        return field_number(field, body) == rule->number;
    case RULE_AT_LEAST:
        number = field_number(field, body);
        return number >= rule->number;
    default:
        number = field_number(field, body);
        return number <= rule->number;
    }
}

static char *rule_detail(const struct policy_rule *rule, const struct field *field,
                         const uint8_t *body)
{
    char found[2 * FIELD_SIZE_MAX + 1], wanted[2 * FIELD_SIZE_MAX + 1];

    if (rule->kind != RULE_ANY_OF) {
        const char *bound = "";
        if (rule->kind == RULE_AT_LEAST)
            bound = " or more";
        else if (rule->kind == RULE_AT_MOST)
            bound = " or less";
        return xasprintf("it is %llu, the policy asks for %llu%s",
                         (unsigned long long)field_number(field, body),
                         (unsigned long long)rule->number, bound);
    }
    return xasprintf("it is %s, the policy asks for %s%s",
                     hex_format(found, body + field->offset, field->size),
                     hex_format(wanted, rule->values[0].bytes, rule->value_size),
                     rule->value_count > 1 ? " or another one of its list" : "");
}

static void check_rules(struct attest_answer *a)
{
    const struct attest_policy *p = a->policy;

    if (!p->rule_count)
        return;
    a->rules = xcalloc(p->rule_count, sizeof(*a->rules));
    for (size_t i = 0; i < p->rule_count; i++) {
        const struct policy_rule *rule = &p->rules[i];
        const struct field *field = field_find(a->tee, rule->field, strlen(rule->field));
        struct answer_check *check = &a->rules[i];

        check->weight = ATTEST_NOT_EXPECTED;
        check->outcome = field && rule_holds(rule, field, a->body) ? ATTEST_PASSED : ATTEST_FAILED;
        if (check->outcome == ATTEST_PASSED)
            continue;
        check->detail = field ? rule_detail(rule, field, a->body)
                              : xstrdup("evidence of this kind has no such field");
        check->remedy = "this is not what the policy describes; do not trust it";
    }
}

void policy_check(struct attest_answer *a, const struct attest_request *request)
{
    if (a->tee != ATTEST_TEE_SNP) {
        if (a->checks[CHECK_TCB_LEVEL].outcome != ATTEST_NOT_CHECKED) {
            check_status(a);
            check_tcb_date(a);
            check_evaluation(a);
            check_advisories(a);
        }
        check_platform_flags(a);
        check_collateral_age(a);
    }
    check_debug(a);
    check_report_data(a, request);
    check_rules(a);
}
