/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/tcb.h"

#include <stdio.h>
#include <strings.h>

/* ---- which level ---- */

/* With a TDX module that has an identity of its own, the first two SVNs are compared there. */
static unsigned first_tdx_component(const uint8_t svn[16])
{
    return svn[1] > 0 ? 2 : 0;
}

static bool covers(const struct tcb_level *level, const struct pck *pck, const uint8_t *tdx_svn)
{
    if (level->pcesvn > pck->pcesvn)
        return false;
    for (unsigned i = 0; i < 16; i++)
        if (level->sgx[i] > pck->components[i])
            return false;
    for (unsigned i = tdx_svn ? first_tdx_component(tdx_svn) : 16; i < 16; i++)
        if (level->tdx[i] > tdx_svn[i])
            return false;
    return true;
}

static const struct tcb_level *platform_level(const struct tcb_info *info, const struct pck *pck,
                                              const uint8_t *tdx_svn)
{
    for (size_t i = 0; i < info->level_count; i++)
        if (covers(&info->levels[i], pck, tdx_svn))
            return &info->levels[i];
    return NULL;
}

static const struct svn_level *svn_level(const struct svn_levels *levels, uint16_t svn)
{
    for (size_t i = 0; i < levels->count; i++)
        if (levels->levels[i].svn <= svn)
            return &levels->levels[i];
    return NULL;
}

const struct tdx_module *tcb_find_module(const struct tcb_info *info, const uint8_t svn[16])
{
    char id[16];

    if (svn[1] == 0)
        return info->has_module ? &info->module : NULL;
    snprintf(id, sizeof(id), "TDX_%02X", svn[1]);
    for (size_t i = 0; i < info->module_count; i++) {
        struct span name = info->modules[i].id;
        if (name.size == strlen(id) && strncasecmp((const char *)name.data, id, name.size) == 0)
            return &info->modules[i];
    }
    return NULL;
}

/* ---- status ---- */

/* The status of a TD under one of its two TEE_TCB_SVN, or of an enclave (NULL). */
static enum tcb_status evaluate_once(const struct tcb_info *info, const struct pck *pck,
                                     const uint8_t *tdx_svn, struct tcb_result *out)
{
    out->platform_level = platform_level(info, pck, tdx_svn);
    out->platform = out->platform_level ? out->platform_level->status : TCB_NOT_SUPPORTED;
    out->module = TCB_UP_TO_DATE;
    out->module_level = NULL;
    out->tdx_module = NULL;
    if (tdx_svn && tdx_svn[1] > 0) {
        out->tdx_module = tcb_find_module(info, tdx_svn);
        if (out->tdx_module)
            out->module_level = svn_level(&out->tdx_module->levels, tdx_svn[0]);
        out->module = out->module_level ? out->module_level->status : TCB_NOT_SUPPORTED;
    }
    return tcb_status_converge(tcb_status_converge(out->platform, out->module), out->qe);
}

/* ---- what is short ---- */

/* Up to date but for the enclave's own part; in order but for BIOS settings; neither. */
static unsigned rank(enum tcb_status status)
{
    switch (status) {
    case TCB_UP_TO_DATE:
    case TCB_SW_HARDENING:
        return 0;
    case TCB_CONFIGURATION:
    case TCB_CONFIGURATION_SW_HARDENING:
        return 1;
    default:
        return 2;
    }
}

static void add_short(struct tcb_result *out, enum tcb_part part, unsigned index, unsigned has,
                      unsigned needs)
{
    if (has < needs)
        out->shorts[out->short_count++] = (struct tcb_short){
            .part = part, .index = (uint8_t)index, .has = (uint16_t)has, .needs = (uint16_t)needs};
}

static void add_platform_shorts(const struct tcb_level *level, const struct pck *pck,
                                const uint8_t *tdx_svn, struct tcb_result *out)
{
    for (unsigned i = 0; i < 16; i++)
        add_short(out, TCB_PART_SGX, i, pck->components[i], level->sgx[i]);
    add_short(out, TCB_PART_PCE, 0, pck->pcesvn, level->pcesvn);
    for (unsigned i = tdx_svn ? first_tdx_component(tdx_svn) : 16; i < 16; i++)
        add_short(out, TCB_PART_TDX, i, tdx_svn[i], level->tdx[i]);
}

/* Compare with the level in best order that lacks least. */
static void find_platform_shorts(const struct tcb_info *info, const struct pck *pck,
                                 const uint8_t *tdx_svn, struct tcb_result *out)
{
    const struct tcb_level *best = NULL;
    size_t best_count = SIZE_MAX;

    for (size_t i = 0; i < info->level_count; i++) {
        const struct tcb_level *level = &info->levels[i];
        struct tcb_result trial = {.short_count = 0};

        add_platform_shorts(level, pck, tdx_svn, &trial);
        if (!best || rank(level->status) < rank(best->status) ||
            (rank(level->status) == rank(best->status) && trial.short_count < best_count)) {
            best = level;
            best_count = trial.short_count;
        }
    }
    if (best && rank(best->status) < rank(out->platform))
        add_platform_shorts(best, pck, tdx_svn, out);
}

static void find_svn_short(const struct svn_levels *levels, unsigned has, enum tcb_status status,
                           enum tcb_part part, struct tcb_result *out)
{
    /* The lowest SVN that is in order. */
    for (size_t i = levels->count; i > 0 && rank(status) > 0; i--)
        if (rank(levels->levels[i - 1].status) == 0) {
            add_short(out, part, 0, has, levels->levels[i - 1].svn);
            return;
        }
}

static int64_t oldest(const struct tcb_result *r)
{
    int64_t date = INT64_MAX;

    if (r->platform_level)
        date = r->platform_level->date;
    if (r->qe_level && r->qe_level->date < date)
        date = r->qe_level->date;
    if (r->module_level && r->module_level->date < date)
        date = r->module_level->date;
    return date == INT64_MAX ? 0 : date;
}

void tcb_evaluate(const struct tcb_info *info, const struct qe_identity *qe, const struct pck *pck,
                  const struct quote *quote, struct tcb_result *out)
{
    bool td = quote_is_td(quote);
    const uint8_t *launch_svn = td ? quote->td.tee_tcb_svn : NULL;
    struct tcb_result current;

    *out = (struct tcb_result){.evaluation_number = info->json.evaluation_number};
    if (qe->json.evaluation_number < out->evaluation_number)
        out->evaluation_number = qe->json.evaluation_number;
    out->qe_level = svn_level(&qe->levels, quote->qe_report.isv_svn);
    out->qe = out->qe_level ? out->qe_level->status : TCB_NOT_SUPPORTED;
    out->status = out->launch = out->current = evaluate_once(info, pck, launch_svn, out);
    if (quote->body_type == QUOTE_BODY_TD15) {
        current = *out;
        out->current = evaluate_once(info, pck, quote->td.tee_tcb_svn2, &current);
        out->status = tcb_status_relaunch(out->launch, out->current);
    }
    out->date = oldest(out);
    if (rank(out->platform) > 0)
        find_platform_shorts(info, pck, launch_svn, out);
    if (td && out->tdx_module)
        find_svn_short(&out->tdx_module->levels, launch_svn[0], out->module, TCB_PART_MODULE, out);
    find_svn_short(&qe->levels, quote->qe_report.isv_svn, out->qe, TCB_PART_QE, out);
}
