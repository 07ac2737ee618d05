/* SPDX-License-Identifier: Apache-2.0 */
/* An answer for people. */
#include <stdlib.h>

#include "attest/answer.h"
#include "attest/clock.h"
#include "base/hex.h"
#include "base/buffer.h"
#include "base/cleanup.h"

#define LABEL "%-22s "

static const char *outcome_mark(enum attest_outcome outcome)
{
    static const char *const marks[] = {
        [ATTEST_NOT_CHECKED] = "-",
        [ATTEST_PASSED] = "ok",
        [ATTEST_TOLERATED] = "ALLOWED",
        [ATTEST_FAILED] = "FAILED",
    };

    return marks[outcome];
}

static void append_advisories(struct buffer *out, const struct signed_json *json,
                              const struct advisory_range *range)
{
    for (uint32_t i = 0; i < range->count; i++) {
        struct span id = json->advisories.ids[range->first + i];
        buffer_append_format(out, " %.*s", (int)id.size, (const char *)id.data);
    }
}

static void append_part(struct buffer *out, const char *label, enum tcb_status status, int64_t date,
                        const struct signed_json *json, const struct advisory_range *range)
{
    struct clock_text when;

    buffer_append_format(out, LABEL "%s, of %.10s", label,
                         attest_tcb_status_name((enum attest_tcb_status)status),
                         clock_format(&when, date));
    append_advisories(out, json, range);
    buffer_append_char(out, '\n');
}

static void append_tcb(struct buffer *out, const struct attest_answer *a)
{
    const struct attest_collateral *c = a->collateral;
    const struct tcb_result *t = &a->tcb;
    struct attest_short item;

    buffer_append_format(out, LABEL "%s, by TCB evaluation %llu\n", "TCB status",
                         attest_tcb_status_name((enum attest_tcb_status)t->status),
                         (unsigned long long)t->evaluation_number);
    if (t->platform_level)
        append_part(out, "  platform", t->platform_level->status, t->platform_level->date,
                    &c->tcb_info.json, &t->platform_level->advisories);
    if (t->module_level)
        append_part(out, "  TDX module", t->module_level->status, t->module_level->date,
                    &c->tcb_info.json, &t->module_level->advisories);
    if (t->qe_level)
        append_part(out, "  quoting enclave", t->qe_level->status, t->qe_level->date,
                    &c->qe_identity.json, &t->qe_level->advisories);
    for (size_t i = 0; attest_answer_short(a, i, &item); i++)
        buffer_append_format(out, LABEL "%s%s%s%s has %u, needs %u\n", i ? "" : "  short",
                             item.part, *item.from ? " (" : "", item.from, *item.from ? ")" : "",
                             item.has, item.needs);
}

static void append_fields(struct buffer *out, const struct attest_answer *a)
{
    char text[2 * FIELD_SIZE_MAX + 1];

    for (size_t i = 0; i < g_field_count; i++) {
        const struct field *field = &g_fields[i];
        if (field->tee != a->tee || !attest_answer_field(a, field->name, NULL))
            continue;
        if (field->kind == FIELD_NUMBER)
            buffer_append_format(out, LABEL "%llu\n", field->name,
                                 (unsigned long long)field_number(field, a->body));
        else if (!span_is_zero(span_of(a->body + field->offset, field->size)))
            buffer_append_format(out, LABEL "%s\n", field->name,
                                 hex_format(text, a->body + field->offset, field->size));
    }
}

static void append_checks(struct buffer *out, const struct attest_answer *a)
{
    struct attest_check check;

    for (size_t i = 0; attest_answer_check(a, i, &check); i++) {
        if (check.outcome == ATTEST_NOT_CHECKED)
            continue;
        buffer_append_format(out, "%-8s" LABEL "%s\n", outcome_mark(check.outcome), check.name,
                             check.what);
        if (check.detail)
            buffer_append_format(out, "%-8s  %s\n", "", check.detail);
        if (check.remedy)
            buffer_append_format(out, "%-8s  -> %s\n", "", check.remedy);
    }
}

char *attest_answer_text(const struct attest_answer *a)
{
    cleanup_free char *summary = attest_answer_summary(a);
    struct buffer out = BUFFER_INIT;
    struct clock_text when;
    char fmspc[13];

    if (a->tee != ATTEST_TEE_NONE)
        buffer_append_format(&out, LABEL "%s %s, version %u, judged as of %s\n", "evidence",
                             attest_tee_name(a->tee), a->tee == ATTEST_TEE_SNP ? "report" : "quote",
                             a->version, clock_format(&when, a->time));
    if (a->simulated)
        buffer_append_format(&out, LABEL "%s\n", "SIMULATED",
                             "made by a software SGX: no protection from the machine's operator");
    if (a->has_pck)
        buffer_append_format(&out, LABEL "FMSPC %s, PCESVN %u\n", "platform",
                             hex_format(fmspc, a->pck.fmspc, 6), a->pck.pcesvn);
    if (a->checks[CHECK_TCB_LEVEL].outcome != ATTEST_NOT_CHECKED && a->tee != ATTEST_TEE_SNP)
        append_tcb(&out, a);
    append_fields(&out, a);
    append_checks(&out, a);
    if (a->verdict == ATTEST_ACCEPTED && !a->policy->rule_count)
        buffer_append_text(&out, "note: the policy names no measurement, so this may be anybody's "
                                 "program\n");
    buffer_append_format(&out, "%s\n", summary);
    return buffer_take(&out);
}
