/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/policy.h"

#include <stdio.h>
#include <stdlib.h>

#include "attest/clock.h"
#include "attest/export.h"
#include "base/hex.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"

#define POLICY_SIZE_MAX (1u << 20)

const struct attest_policy g_default_policy = {.statuses = 1u << TCB_UP_TO_DATE};

/* ---- members that are no measured field ---- */

static int expect(bool good, const char *name, const char *what, struct error *err)
{
    return good ? 0 : error_set(err, "%s: expected %s", name, what);
}

static enum tcb_status status_of(const json_t *value)
{
    return json_is_string(value)
               ? tcb_status_parse(span_of(json_string_value(value), json_string_length(value)))
               : TCB_UNKNOWN;
}

static int read_statuses(struct attest_policy *p, const char *name, const json_t *value,
                         struct error *err)
{
    const json_t *item;
    size_t i;

    if (!json_is_array(value))
        return expect(false, name, "an array of TCB statuses", err);
    p->statuses = 0;
    json_array_foreach (value, i, item) {
        enum tcb_status status = status_of(item);
        if (status == TCB_UNKNOWN || status == TCB_REVOKED)
            return expect(false, name, "TCB statuses such as \"UpToDate\", and not \"Revoked\"",
                          err);
        p->statuses |= 1u << status;
    }
    return 0;
}

static bool read_date(const json_t *value, int64_t *out)
{
    return json_is_string(value) &&
           clock_parse(json_string_value(value), json_string_length(value), out);
}

static int read_grace(struct attest_policy *p, const char *name, const json_t *value,
                      struct error *err)
{
    const char *key;
    json_t *date;

    if (!json_is_object(value))
        return expect(false, name, "an object of TCB statuses and dates", err);
    json_object_foreach ((json_t *)value, key, date) {
        enum tcb_status status = tcb_status_parse(span_of(key, strlen(key)));
        if (status == TCB_UNKNOWN || status == TCB_REVOKED || !read_date(date, &p->grace[status]))
            return expect(false, name, "{\"OutOfDate\": \"2026-12-31\"} or the like", err);
    }
    return 0;
}

static int read_advisories(struct attest_policy *p, const char *name, const json_t *value,
                           struct error *err)
{
    const json_t *item;
    size_t i;

    if (!json_is_array(value))
        return expect(false, name, "an array of advisories", err);
    p->lists_advisories = true;
    p->advisories = xcalloc(json_array_size(value) + 1, sizeof(*p->advisories));
    json_array_foreach (value, i, item) {
        if (!json_is_string(item))
            return expect(false, name, "advisories such as \"INTEL-SA-00615\"", err);
        p->advisories[p->advisory_count++] = xstrdup(json_string_value(item));
    }
    return 0;
}

static int read_evaluation(struct attest_policy *p, const char *name, const json_t *value,
                           struct error *err)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return expect(false, name, "a number", err);
    p->evaluation_min = (uint64_t)json_integer_value(value);
    return 0;
}

static int read_tcb_date(struct attest_policy *p, const char *name, const json_t *value,
                         struct error *err)
{
    return expect(read_date(value, &p->tcb_date_min), name, "a date such as \"2024-03-13\"", err);
}

static int read_age(struct attest_policy *p, const char *name, const json_t *value,
                    struct error *err)
{
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > 36500)
        return expect(false, name, "a number of days", err);
    p->collateral_age_max = json_integer_value(value) * 86400;
    return 0;
}

static int read_user_data(struct attest_policy *p, const char *name, const json_t *value,
                          struct error *err)
{
    size_t size = json_string_length(value) / 2;

    if (!json_is_string(value) || size > sizeof(p->user_data) ||
        !hex_parse(json_string_value(value), json_string_length(value), p->user_data, size))
        return expect(false, name, "at most 64 bytes in hexadecimal digits", err);
    p->has_user_data = true;
    p->user_data_size = size;
    return 0;
}

#define FLAG(member)                                                                         \
    static int read_##member(struct attest_policy *p, const char *name, const json_t *value, \
                             struct error *err)                                              \
    {                                                                                        \
        p->member = json_is_true(value);                                                     \
        return expect(json_is_boolean(value), name, "true or false", err);                   \
    }
FLAG(allow_debug)
FLAG(allow_simulation)
FLAG(allow_expired_collateral)
FLAG(allow_missing_crl)
FLAG(forbid_smt)
FLAG(forbid_dynamic_platform)

static const struct {
    const char *name;
    int (*read)(struct attest_policy *p, const char *name, const json_t *value, struct error *err);
} g_members[] = {
    {"tcb_status", read_statuses},
    {"tcb_grace", read_grace},
    {"tcb_date_min", read_tcb_date},
    {"tcb_evaluation_number_min", read_evaluation},
    {"advisories", read_advisories},
    {"collateral_age_max_days", read_age},
    {"user_data", read_user_data},
    {"allow_debug", read_allow_debug},
    {"allow_simulation", read_allow_simulation},
    {"allow_expired_collateral", read_allow_expired_collateral},
    {"allow_missing_crl", read_allow_missing_crl},
    {"forbid_smt", read_forbid_smt},
    {"forbid_dynamic_platform", read_forbid_dynamic_platform},
};

/* ---- measured fields ---- */

/* A field of that name and size, of any TEE. */
static bool has_size(const char *name, size_t size)
{
    const struct field *field;

    for (size_t i = 0; (field = field_named(name, strlen(name), i)); i++)
        if (field->size == size)
            return true;
    return false;
}

/* "VALUE", or "VALUE/MASK": only the bits of the mask count. */
static int read_value(struct policy_rule *rule, const json_t *value, struct error *err)
{
    struct policy_value *out = &rule->values[rule->value_count];
    const char *text = json_string_value(value), *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text), size = length / 2;

    if (!has_size(rule->field, size) || (rule->value_count && rule->value_size != size))
        return error_set(err, "%s: a value of %zu bytes does not fit", rule->name, size);
    memset(out->mask, 0xff, sizeof(out->mask));
    if (!hex_parse(text, length, out->bytes, size) ||
        (slash && !hex_parse(slash + 1, strlen(slash + 1), out->mask, size)))
        return error_set(err, "%s: not %zu bytes in hexadecimal digits", rule->name, size);
    for (size_t i = 0; i < size; i++)
        if (out->bytes[i] & ~out->mask[i])
            return error_set(err, "%s: a bit is asked for that the mask leaves out", rule->name);
    rule->value_size = size;
    rule->value_count++;
    return 0;
}

static int read_bytes_rule(struct policy_rule *rule, const json_t *value, struct error *err)
{
    size_t count = json_is_array(value) ? json_array_size(value) : 1;

    rule->kind = RULE_ANY_OF;
    rule->values = xcalloc(count ? count : 1, sizeof(*rule->values));
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_string(item))
            return error_set(err, "%s: expected hexadecimal digits, or an array of such",
                             rule->name);
        int rc = read_value(rule, item, err);
        if (rc < 0)
            return rc;
    }
    return count ? 0 : error_set(err, "%s: an empty array, which nothing can meet", rule->name);
}

static int read_number_rule(struct policy_rule *rule, const json_t *value, struct error *err)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return error_set(err, "%s: expected a number", rule->name);
    rule->number = (uint64_t)json_integer_value(value);
    return 0;
}

/* "isv_svn", "isv_svn_min", "isv_svn_max": the field and the kind of the rule. */
static const struct field *rule_field(const char *name, enum rule_kind *kind)
{
    size_t size = strlen(name);
    const struct field *field = field_named(name, size, 0);

    *kind = RULE_EQUALS;
    if (!field && size > 4 && strcmp(name + size - 4, "_min") == 0) {
        *kind = RULE_AT_LEAST;
        field = field_named(name, size - 4, 0);
    } else if (!field && size > 4 && strcmp(name + size - 4, "_max") == 0) {
        *kind = RULE_AT_MOST;
        field = field_named(name, size - 4, 0);
    }
    return field && (field->kind == FIELD_NUMBER || *kind == RULE_EQUALS) ? field : NULL;
}

static int read_rule(struct attest_policy *p, const char *name, const json_t *value,
                     struct error *err)
{
    enum rule_kind kind;
    const struct field *field = rule_field(name, &kind);

    if (!field)
        return error_set(err, "%s: there is no such member", name);
    struct policy_rule *rule = &p->rules[p->rule_count++];
    rule->name = xstrdup(name);
    rule->field = field->name;
    rule->kind = kind;
    return field->kind == FIELD_NUMBER ? read_number_rule(rule, value, err)
                                       : read_bytes_rule(rule, value, err);
}

static int read_member(struct attest_policy *p, const char *name, const json_t *value,
                       struct error *err)
{
    for (size_t i = 0; i < array_count(g_members); i++)
        if (strcmp(g_members[i].name, name) == 0)
            return g_members[i].read(p, name, value, err);
    return read_rule(p, name, value, err);
}

static int parse_policy(const char *json, size_t size, struct attest_policy *p, struct error *err)
{
    json_error_t failure;
    const char *name;
    json_t *value;

    if (size > POLICY_SIZE_MAX)
        return error_set(err, "it is larger than %u bytes", POLICY_SIZE_MAX);
    /* A member that is there twice would leave open which one counts. */
    cleanup_json json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &failure);
    if (!root)
        return error_set(err, "line %d column %d: %s", failure.line, failure.column, failure.text);
    if (!json_is_object(root))
        return error_set(err, "expected an object");
    p->rules = xcalloc(json_object_size(root) + 1, sizeof(*p->rules));
    json_object_foreach (root, name, value) {
        int rc = read_member(p, name, value, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

struct attest_policy *attest_policy_parse(const char *json, size_t size, char **error)
{
    struct attest_policy *policy = xmemdup(&g_default_policy, sizeof(g_default_policy));
    struct error err = ERROR_INIT;

    if (parse_policy(json, size, policy, &err) == 0)
        return policy;
    error_wrap(&err, "policy");
    export_error(&err, error);
    attest_policy_free(policy);
    return NULL;
}

void attest_policy_free(struct attest_policy *policy)
{
    if (!policy)
        return;
    for (size_t i = 0; i < policy->rule_count; i++) {
        free(policy->rules[i].name);
        free(policy->rules[i].values);
    }
    for (size_t i = 0; i < policy->advisory_count; i++)
        free(policy->advisories[i]);
    free(policy->rules);
    free(policy->advisories);
    free(policy);
}
