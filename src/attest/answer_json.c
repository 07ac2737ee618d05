/* SPDX-License-Identifier: Apache-2.0 */
/* An answer for machines. docs/attest-policy.md lists the members. */
#include <jansson.h>
#include <stdlib.h>

#include "attest/answer.h"
#include "attest/clock.h"
#include "base/hex.h"
#include "base/cleanup.h"
#include "base/json.h"

static const char *const g_outcomes[] = {
    [ATTEST_NOT_CHECKED] = "not checked",
    [ATTEST_PASSED] = "passed",
    [ATTEST_TOLERATED] = "tolerated",
    [ATTEST_FAILED] = "failed",
};

const char *attest_outcome_name(enum attest_outcome outcome)
{
    return g_outcomes[outcome];
}

const char *attest_verdict_name(enum attest_verdict verdict)
{
    switch (verdict) {
    case ATTEST_ACCEPTED:
        return "accepted";
    case ATTEST_NOT_GENUINE:
        return "not genuine";
    case ATTEST_BAD_COLLATERAL:
        return "bad collateral";
    case ATTEST_SIMULATED:
        return "simulated";
    case ATTEST_BAD_TCB:
        return "bad TCB";
    case ATTEST_NOT_EXPECTED:
        return "not expected";
    }
    return "unknown";
}

const char *attest_tee_name(enum attest_tee tee)
{
    static const char *const names[] = {
        [ATTEST_TEE_NONE] = "none",
        [ATTEST_TEE_SGX] = "SGX",
        [ATTEST_TEE_TDX] = "TDX",
        [ATTEST_TEE_SNP] = "SEV-SNP",
    };

    return names[tee];
}

/* Text of somebody else's: what is not UTF-8 is left out rather than the whole. */
static json_t *text_value(struct span text)
{
    json_t *value = json_stringn((const char *)text.data, text.size);

    return value ? value : json_string("(not UTF-8)");
}

static json_t *hex_value(const void *data, size_t size)
{
    char text[2 * FIELD_SIZE_MAX + 1];

    return json_string(hex_format(text, data, size < FIELD_SIZE_MAX ? size : FIELD_SIZE_MAX));
}

static json_t *date_value(int64_t time)
{
    struct clock_text text;

    return json_string(clock_format(&text, time));
}

static json_t *checks_value(const struct attest_answer *a)
{
    json_t *array = json_array();
    struct attest_check check;

    for (size_t i = 0; attest_answer_check(a, i, &check); i++) {
        json_t *item = json_pack("{s:s, s:s, s:s}", "name", check.name, "what", check.what,
                                 "outcome", attest_outcome_name(check.outcome));
        if (check.detail)
            json_object_set_new(item, "detail",
                                text_value(span_of(check.detail, strlen(check.detail))));
        if (check.remedy)
            json_object_set_new(item, "remedy", json_string(check.remedy));
        json_array_append_new(array, item);
    }
    return array;
}

static json_t *advisories_value(const struct signed_json *json, const struct advisory_range *range)
{
    json_t *array = json_array();

    for (uint32_t i = 0; i < range->count; i++)
        json_array_append_new(array, text_value(json->advisories.ids[range->first + i]));
    return array;
}

static json_t *part_value(enum tcb_status status, int64_t date, const struct signed_json *json,
                          const struct advisory_range *range)
{
    return json_pack("{s:s, s:o, s:o}", "status",
                     attest_tcb_status_name((enum attest_tcb_status)status), "date",
                     date_value(date), "advisories", advisories_value(json, range));
}

static json_t *tcb_value(const struct attest_answer *a)
{
    const struct attest_collateral *c = a->collateral;
    const struct tcb_result *t = &a->tcb;
    json_t *shorts = json_array();
    json_t *tcb = json_pack(
        "{s:s, s:I, s:o}", "status", attest_tcb_status_name((enum attest_tcb_status)t->status),
        "evaluation_number", (json_int_t)t->evaluation_number, "date", date_value(t->date));
    struct attest_short item;

    if (t->platform_level)
        json_object_set_new(tcb, "platform",
                            part_value(t->platform_level->status, t->platform_level->date,
                                       &c->tcb_info.json, &t->platform_level->advisories));
    if (t->qe_level)
        json_object_set_new(tcb, "qe",
                            part_value(t->qe_level->status, t->qe_level->date, &c->qe_identity.json,
                                       &t->qe_level->advisories));
    if (t->module_level)
        json_object_set_new(tcb, "tdx_module",
                            part_value(t->module_level->status, t->module_level->date,
                                       &c->tcb_info.json, &t->module_level->advisories));
    for (size_t i = 0; attest_answer_short(a, i, &item); i++)
        json_array_append_new(shorts,
                              json_pack("{s:s, s:s, s:i, s:i}", "part", item.part, "from",
                                        item.from, "has", (int)item.has, "needs", (int)item.needs));
    json_object_set_new(tcb, "short", shorts);
    return tcb;
}

static json_t *platform_value(const struct attest_answer *a)
{
    static const char *const types[] = {"Standard", "Scalable", "ScalableWithIntegrity"};
    const struct pck *p = &a->pck;
    json_t *components = json_array();
    json_t *platform = json_pack("{s:o, s:o, s:o, s:s, s:i}", "fmspc", hex_value(p->fmspc, 6),
                                 "pceid", hex_value(p->pceid, 2), "ppid", hex_value(p->ppid, 16),
                                 "type", types[p->type], "pcesvn", (int)p->pcesvn);

    for (unsigned i = 0; i < 16; i++)
        json_array_append_new(components, json_integer(p->components[i]));
    json_object_set_new(platform, "components", components);
    if (p->smt >= 0)
        json_object_set_new(platform, "smt", json_boolean(p->smt));
    if (p->dynamic_platform >= 0)
        json_object_set_new(platform, "dynamic_platform", json_boolean(p->dynamic_platform));
    return platform;
}

static json_t *chain_value(const struct chain *chain)
{
    json_t *array = json_array();

    for (size_t i = 0; i < chain->count; i++) {
        const struct cert *cert = &chain->certs[i];
        json_array_append_new(
            array, json_pack("{s:o, s:o, s:o, s:o}", "name", text_value(cert->common_name),
                             "serial", hex_value(cert->serial.data, cert->serial.size), "from",
                             date_value(cert->not_before), "until", date_value(cert->not_after)));
    }
    return array;
}

static json_t *fields_value(const struct attest_answer *a)
{
    json_t *fields = json_object();

    for (size_t i = 0; i < g_field_count; i++) {
        const struct field *field = &g_fields[i];
        if (field->tee != a->tee || !attest_answer_field(a, field->name, NULL))
            continue;
        json_object_set_new(fields, field->name,
                            field->kind == FIELD_NUMBER
                                ? json_integer((json_int_t)field_number(field, a->body))
                                : hex_value(a->body + field->offset, field->size));
    }
    return fields;
}

char *attest_answer_json(const struct attest_answer *a)
{
    cleanup_free char *summary = attest_answer_summary(a);
    cleanup_json json_t *root = json_pack(
        "{s:s, s:i, s:o, s:b, s:s, s:i, s:o}", "verdict", attest_verdict_name(a->verdict), "code",
        (int)a->verdict, "summary", text_value(span_of(summary, strlen(summary))), "simulated",
        (int)a->simulated, "tee", attest_tee_name(a->tee), "version", (int)a->version, "time",
        date_value(a->time));

    if (a->has_pck)
        json_object_set_new(root, "platform", platform_value(a));
    if (a->chain)
        json_object_set_new(root, "chain", chain_value(&a->chain->chain));
    if (a->checks[CHECK_TCB_LEVEL].outcome != ATTEST_NOT_CHECKED && a->tee != ATTEST_TEE_SNP)
        json_object_set_new(root, "tcb", tcb_value(a));
    json_object_set_new(root, "fields", fields_value(a));
    json_object_set_new(root, "checks", checks_value(a));
    return json_text(root, JSON_INDENT(2));
}
