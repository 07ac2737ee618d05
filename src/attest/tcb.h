/* SPDX-License-Identifier: Apache-2.0 */
/* Intel's rule from SVNs to a TCB status, and which SVN is short. */
#pragma once

#include "attest/pck.h"
#include "attest/quote.h"
#include "attest/signed_json.h"

/* 16 SGX components, PCESVN, 16 TDX components, TDX module, QE */
#define TCB_SHORT_MAX 35

enum tcb_part { TCB_PART_SGX, TCB_PART_PCE, TCB_PART_TDX, TCB_PART_MODULE, TCB_PART_QE };

struct tcb_short {
    enum tcb_part part;
    uint8_t index; /* of the component */
    uint16_t has, needs;
};

struct tcb_result {
    enum tcb_status status; /* of the whole */
    enum tcb_status platform, qe, module, launch, current;
    const struct tcb_level *platform_level; /* NULL when none covers the platform */
    const struct svn_level *qe_level, *module_level;
    const struct tdx_module *tdx_module; /* NULL: none is named */
    uint64_t evaluation_number;
    int64_t date; /* the oldest of the levels' */
    struct tcb_short shorts[TCB_SHORT_MAX];
    size_t short_count;
};

/* Everything that goes into *out. The documents must outlive it. */
void tcb_evaluate(const struct tcb_info *info, const struct qe_identity *qe, const struct pck *pck,
                  const struct quote *quote, struct tcb_result *out);

/* The module that TEE_TCB_SVN names; NULL for one that TCB info does not know. */
const struct tdx_module *tcb_find_module(const struct tcb_info *info, const uint8_t svn[16]);
