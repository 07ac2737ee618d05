/* SPDX-License-Identifier: Apache-2.0 */
/* DCAP ECDSA quotes, versions 3, 4 and 5, of SGX enclaves and of TDs, taken apart. */
#pragma once

#include "attest/span.h"
#include "base/error.h"
#include "sgx_arch.h"

#define QUOTE_SIZE_MAX 65536u

enum quote_body { QUOTE_BODY_SGX = 1, QUOTE_BODY_TD10 = 2, QUOTE_BODY_TD15 = 3 };

enum {
    QUOTE_HEADER_SIZE = 48,
    TD_REPORT10_SIZE = 584,
    TD_REPORT15_SIZE = 648,
};

/* TD report, as a quote has it; fields of 1.5 are behind those of 1.0. */
struct td_report {
    uint8_t tee_tcb_svn[16];
    uint8_t mrseam[48];
    uint8_t mrsigner_seam[48];
    uint8_t seam_attributes[8];
    uint8_t attributes[8];
    uint8_t xfam[8];
    uint8_t mrtd[48];
    uint8_t mrconfigid[48];
    uint8_t mrowner[48];
    uint8_t mrownerconfig[48];
    uint8_t rtmr[4][48];
    uint8_t report_data[64];
    uint8_t tee_tcb_svn2[16];
    uint8_t mrservicetd[48];
};
_Static_assert(sizeof(struct td_report) == TD_REPORT15_SIZE, "TD report 1.5");
_Static_assert(offsetof(struct td_report, tee_tcb_svn2) == TD_REPORT10_SIZE, "TD report 1.0");

enum certification_type {
    CERTIFICATION_PPID = 1,
    CERTIFICATION_PPID_RSA2048 = 2,
    CERTIFICATION_PPID_RSA3072 = 3,
    CERTIFICATION_PCK_LEAF = 4,
    CERTIFICATION_PCK_CHAIN = 5,
    CERTIFICATION_QE_REPORT = 6,
    CERTIFICATION_MANIFEST = 7,
};

/* Spans and pointers are into the evidence; reports are copies, for their alignment. */
struct quote {
    unsigned version;
    enum quote_body body_type;
    struct span signed_bytes;       /* header and body */
    struct sgx_report_body report;  /* of an enclave */
    struct td_report td;            /* of a TD; what 1.0 does not have is zero */
    const uint8_t *signature, *key; /* 64 bytes each */
    struct span qe_report_bytes;
    struct sgx_report_body qe_report; /* of the quoting enclave */
    const uint8_t *qe_signature;      /* 64 bytes */
    struct span auth_data;
    unsigned certification_type;
    struct span certification;
    size_t size; /* without what follows */
};

/* -EINVAL and what is wrong where. Bytes behind the quote are not looked at: TDX stacks pad it. */
int quote_parse(struct span evidence, struct quote *out, struct error *err);

static inline bool quote_is_td(const struct quote *quote)
{
    return quote->body_type != QUOTE_BODY_SGX;
}

static inline const uint8_t *quote_report_data(const struct quote *quote)
{
    return quote_is_td(quote) ? quote->td.report_data : quote->report.report_data;
}
