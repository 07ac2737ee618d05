/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"

static const struct {
    const char *name, *what;
    enum attest_verdict weight;
} g_checks[CHECK_COUNT] = {
#define CHECK(id, name, what, weight) [CHECK_##id] = {name, what, ATTEST_##weight},
    ANSWER_CHECKS(CHECK)
#undef CHECK
};

/* Without these nothing is accepted, even if nothing failed. */
static const enum check_id g_needed_dcap[] = {
    CHECK_FORMAT,      CHECK_SIMULATION,        CHECK_CHAIN,
    CHECK_CHAIN_DATES, CHECK_ROOT_CRL,          CHECK_PCK_CRL,
    CHECK_TCB_INFO,    CHECK_TCB_INFO_DATES,    CHECK_TCB_INFO_PLATFORM,
    CHECK_QE_IDENTITY, CHECK_QE_IDENTITY_DATES, CHECK_QE_REPORT,
    CHECK_QE_BINDING,  CHECK_QE_ENCLAVE,        CHECK_SIGNATURE,
    CHECK_TCB_LEVEL,   CHECK_TCB_STATUS,        CHECK_DEBUG,
};
static const enum check_id g_needed_snp[] = {CHECK_FORMAT,   CHECK_CHAIN,     CHECK_CHAIN_DATES,
                                             CHECK_ROOT_CRL, CHECK_SIGNATURE, CHECK_TCB_LEVEL,
                                             CHECK_DEBUG};

static void fail(struct attest_answer *a, enum check_id id, bool tolerated,
                 enum attest_verdict weight, const char *remedy, const char *fmt, va_list args)
{
    struct answer_check *check = &a->checks[id];

    /* The first failure of a check is the one that counts; a tolerated one gives way. */
    if (check->outcome == ATTEST_FAILED)
        return;
    free(check->detail);
    check->outcome = tolerated ? ATTEST_TOLERATED : ATTEST_FAILED;
    check->weight = weight;
    check->remedy = remedy;
    check->detail = xvasprintf(fmt, args);
}

void answer_pass(struct attest_answer *a, enum check_id id)
{
    if (a->checks[id].outcome == ATTEST_NOT_CHECKED)
        a->checks[id].outcome = ATTEST_PASSED;
}

void answer_fail(struct attest_answer *a, enum check_id id, bool tolerated, const char *remedy,
                 const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fail(a, id, tolerated, 0, remedy, fmt, args);
    va_end(args);
}

void answer_fail_as(struct attest_answer *a, enum check_id id, enum attest_verdict weight,
                    const char *remedy, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fail(a, id, false, weight, remedy, fmt, args);
    va_end(args);
}

bool attest_answer_check(const struct attest_answer *a, size_t i, struct attest_check *out)
{
    const struct answer_check *check;

    if (i < CHECK_COUNT) {
        check = &a->checks[i];
        *out = (struct attest_check){.name = g_checks[i].name,
                                     .what = g_checks[i].what,
                                     .weight = check->weight ? check->weight : g_checks[i].weight};
    } else if (a->rules && i - CHECK_COUNT < a->policy->rule_count) {
        check = &a->rules[i - CHECK_COUNT];
        *out = (struct attest_check){.name = a->policy->rules[i - CHECK_COUNT].name,
                                     .what = "as the policy says",
                                     .weight = check->weight};
    } else {
        return false;
    }
    out->outcome = check->outcome;
    out->detail = check->detail;
    out->remedy = check->remedy;
    return true;
}

enum attest_verdict attest_answer_verdict(const struct attest_answer *a)
{
    return a->verdict;
}

static void add_missing(struct attest_answer *a)
{
    bool snp = a->tee == ATTEST_TEE_SNP;
    const enum check_id *needed = snp ? g_needed_snp : g_needed_dcap;
    size_t count = snp ? array_count(g_needed_snp) : array_count(g_needed_dcap);

    for (size_t i = 0; i < count; i++)
        if (a->checks[needed[i]].outcome == ATTEST_NOT_CHECKED)
            answer_fail(a, needed[i], false, "report this: a check was left out",
                        "it was not made");
}

/* The failed check of the greatest weight (which is the smallest number), the first of its kind. */
static bool find_worst(const struct attest_answer *a, struct attest_check *worst)
{
    struct attest_check check;
    bool found = false;

    for (size_t i = 0; attest_answer_check(a, i, &check); i++)
        if (check.outcome == ATTEST_FAILED && (!found || check.weight < worst->weight)) {
            *worst = check;
            found = true;
        }
    return found;
}

void answer_finish(struct attest_answer *a)
{
    struct attest_check worst;

    if (!find_worst(a, &worst)) {
        add_missing(a);
        a->verdict = find_worst(a, &worst) ? worst.weight : ATTEST_ACCEPTED;
    } else {
        a->verdict = worst.weight;
    }
}

char *attest_answer_summary(const struct attest_answer *a)
{
    struct attest_check worst;

    if (!find_worst(a, &worst))
        return xasprintf("accepted%s", a->simulated
                                           ? ", although SIMULATED: it protects nothing from the "
                                             "machine's operator"
                                           : "");
    return xasprintf("refused, %s: %s: %s (%s)", attest_verdict_name(worst.weight), worst.name,
                     worst.detail, worst.remedy);
}

void attest_answer_free(struct attest_answer *a)
{
    if (!a)
        return;
    for (unsigned i = 0; i < CHECK_COUNT; i++)
        free(a->checks[i].detail);
    for (size_t i = 0; a->rules && i < a->policy->rule_count; i++)
        free(a->rules[i].detail);
    free(a->rules);
    pck_chain_put(a->chain);
    free(a);
}

enum attest_tcb_status attest_answer_tcb(const struct attest_answer *a)
{
    return (enum attest_tcb_status)a->tcb.status;
}

enum attest_tcb_status attest_answer_platform_tcb(const struct attest_answer *a)
{
    return (enum attest_tcb_status)a->tcb.platform;
}

enum attest_tcb_status attest_answer_qe_tcb(const struct attest_answer *a)
{
    return (enum attest_tcb_status)a->tcb.qe;
}

bool attest_answer_simulated(const struct attest_answer *a)
{
    return a->simulated;
}

enum attest_tee attest_answer_tee(const struct attest_answer *a)
{
    return a->tee;
}

static void name_component(struct attest_short *out, const char *kind, unsigned index,
                           const struct component_name *name)
{
    snprintf(out->part, sizeof(out->part), "%s component %u", kind, index + 1);
    snprintf(out->from, sizeof(out->from), "%.*s%s%.*s", (int)name->category.size,
             name->category.size ? (const char *)name->category.data : "",
             name->category.size && name->type.size ? ", " : "", (int)name->type.size,
             name->type.size ? (const char *)name->type.data : "");
}

bool attest_answer_short(const struct attest_answer *a, size_t i, struct attest_short *out)
{
    if (i >= a->tcb.short_count)
        return false;
    const struct tcb_short *item = &a->tcb.shorts[i];
    const struct tcb_info *info = &a->collateral->tcb_info;

    *out = (struct attest_short){.has = item->has, .needs = item->needs};
    switch (item->part) {
    case TCB_PART_SGX:
        name_component(out, "SGX", item->index, &info->sgx_names[item->index]);
        break;
    case TCB_PART_TDX:
        name_component(out, "TDX", item->index, &info->tdx_names[item->index]);
        break;
    case TCB_PART_PCE:
        snprintf(out->part, sizeof(out->part), "PCESVN");
        break;
    case TCB_PART_MODULE:
        snprintf(out->part, sizeof(out->part), "TDX module %.*s", (int)a->tcb.tdx_module->id.size,
                 (const char *)a->tcb.tdx_module->id.data);
        break;
    case TCB_PART_QE:
        snprintf(out->part, sizeof(out->part), "quoting enclave's ISVSVN");
        break;
    }
    return true;
}

const void *attest_answer_field(const struct attest_answer *a, const char *name, size_t *size)
{
    const struct field *field = field_find(a->tee, name, strlen(name));

    if (!field || a->verdict == ATTEST_NOT_GENUINE ||
        a->checks[CHECK_SIGNATURE].outcome != ATTEST_PASSED)
        return NULL;
    if (size)
        *size = field->size;
    return a->body + field->offset;
}
