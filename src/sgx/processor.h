/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the processor of this machine is one for which the enclaves' defences are right
 * (docs/design/processors.md). It is what an operator looks at before buying or updating; a
 * verifier goes by the TCB level of the quote, for all of this is the host's own word.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* CPUID leaf 7, EDX */
#define SGX_CPU_MD_CLEAR          (1u << 10)
#define SGX_CPU_ARCH_CAPABILITIES (1u << 29)
/* CPUID leaf 7, EBX */
#define SGX_CPU_RTM (1u << 11)

/* IA32_ARCH_CAPABILITIES (MSR 10AH) */
#define SGX_ARCH_RDCL_NO      (1ull << 0)
#define SGX_ARCH_MDS_NO       (1ull << 5)
#define SGX_ARCH_TAA_NO       (1ull << 8)
#define SGX_ARCH_SBDR_SSDP_NO (1ull << 13)
#define SGX_ARCH_FBSDP_NO     (1ull << 14)
#define SGX_ARCH_PSDP_NO      (1ull << 15)
#define SGX_ARCH_FB_CLEAR     (1ull << 17)
#define SGX_ARCH_GDS_NO       (1ull << 26)
#define SGX_ARCH_RFDS_NO      (1ull << 27)
#define SGX_ARCH_RFDS_CLEAR   (1ull << 28)

#define SGX_VULNERABILITY_MAX 32u

struct sgx_processor {
    char vendor[13];
    unsigned family, model, stepping;
    uint32_t leaf7_ebx, leaf7_edx;
    bool microcode_known, arch_known, smt_known;
    uint32_t microcode;
    uint64_t arch; /* IA32_ARCH_CAPABILITIES */
    bool smt;
    unsigned vulnerability_count; /* what Linux says */
    struct {
        char name[32], state[96];
    } vulnerabilities[SGX_VULNERABILITY_MAX];
};

enum sgx_judgement {
    SGX_JUDGED_RIGHT,   /* a generation that was looked at, and nothing speaks against it */
    SGX_JUDGED_WRONG,   /* something that the defences do not cover: a finding says what */
    SGX_JUDGED_UNKNOWN, /* not a processor with SGX that is known here */
};

#define SGX_FINDING_MAX 16u
struct sgx_findings {
    unsigned count;
    char lines[SGX_FINDING_MAX][160];
};

/* Of this machine. root: where /proc, /sys and /dev are ("" but in tests). */
void sgx_processor_get(struct sgx_processor *out, const char *root);
enum sgx_judgement sgx_processor_judge(const struct sgx_processor *p, struct sgx_findings *out);
const char *sgx_processor_generation(const struct sgx_processor *p); /* NULL: not known */
