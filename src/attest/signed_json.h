/* SPDX-License-Identifier: Apache-2.0 */
/* TCB info and QE identity: Intel's signed JSON (FORMATS: PCS API v3 and v4), parsed. */
#pragma once

#include "attest/span.h"
#include "attest/status.h"
#include "base/error.h"

/* Spans point into the JSON text. */
struct advisories {
    struct span *ids;
    size_t count, capacity;
};

struct advisory_range {
    uint32_t first, count; /* in struct advisories */
};

struct tcb_level {
    uint8_t sgx[16], tdx[16];
    uint16_t pcesvn;
    int64_t date;
    enum tcb_status status;
    struct advisory_range advisories;
};

/* A level of an enclave or of a TDX module: by one SVN. */
struct svn_level {
    uint16_t svn;
    int64_t date;
    enum tcb_status status;
    struct advisory_range advisories;
};

struct svn_levels {
    struct svn_level *levels; /* the highest SVN first */
    size_t count, capacity;
};

struct tdx_module {
    struct span id; /* "TDX_01"; empty for the one that TEE_TCB_SVN[1] = 0 stands for */
    uint8_t mrsigner[48], attributes[8], attributes_mask[8];
    struct svn_levels levels;
};

/* What BIOS or operating system brings: "BIOS", "Early Microcode Update". */
struct component_name {
    struct span category, type;
};

struct signed_json {
    struct span signed_bytes;
    uint8_t signature[64];
    bool tdx;
    uint64_t version, evaluation_number;
    int64_t issue_date, next_update;
    struct advisories advisories;
};

struct tcb_info {
    struct signed_json json;
    uint8_t fmspc[6], pceid[2];
    bool has_module;
    struct tdx_module module;
    struct tdx_module *modules;
    size_t module_count, module_capacity;
    struct tcb_level *levels; /* the highest first */
    size_t level_count, level_capacity;
    struct component_name sgx_names[16], tdx_names[16]; /* of the first level that has them */
};

struct qe_identity {
    struct signed_json json;
    uint8_t miscselect[4], miscselect_mask[4], attributes[16], attributes_mask[16], mrsigner[32];
    uint16_t isv_prod_id;
    struct svn_levels levels;
};

/* *out is to be released even when these fail. The text must outlive it. */
int tcb_info_parse(struct span text, struct tcb_info *out, struct error *err);
void tcb_info_release(struct tcb_info *info);
int qe_identity_parse(struct span text, struct qe_identity *out, struct error *err);
void qe_identity_release(struct qe_identity *identity);
