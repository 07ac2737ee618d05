/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SGX architecture, for both sides: structures, leaf numbers and error codes as Intel's SDM
 * volume 3D defines them. Nothing of Linux and nothing of ours is in here.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SGX_PAGE_SIZE    4096ull
#define SGX_PAGE_SHIFT   12
#define SGX_EEXTEND_SIZE 256u

/* ENCLU leaves, in EAX */
enum sgx_enclu_leaf {
    SGX_EREPORT = 0,
    SGX_EGETKEY = 1,
    SGX_EENTER = 2,
    SGX_ERESUME = 3,
    SGX_EEXIT = 4,
    SGX_EACCEPT = 5,
    SGX_EMODPE = 6,
    SGX_EACCEPTCOPY = 7,
    SGX_EVERIFYREPORT2 = 8,
    SGX_EDECCSSA = 9,
};

/* Error codes of leaves (SDM table "SGX error codes") */
enum sgx_error_code {
    SGX_SUCCESS = 0,
    SGX_INVALID_SIG_STRUCT = 1,
    SGX_INVALID_ATTRIBUTE = 2,
    SGX_BLSTATE = 3,
    SGX_INVALID_MEASUREMENT = 4,
    SGX_NOTBLOCKABLE = 5,
    SGX_PG_INVLD = 6,
    SGX_EPC_PAGE_CONFLICT = 7,
    SGX_INVALID_SIGNATURE = 8,
    SGX_MAC_COMPARE_FAIL = 9,
    SGX_PAGE_NOT_BLOCKED = 10,
    SGX_NOT_TRACKED = 11,
    SGX_VA_SLOT_OCCUPIED = 12,
    SGX_CHILD_PRESENT = 13,
    SGX_ENCLAVE_ACT = 14,
    SGX_ENTRYEPOCH_LOCKED = 15,
    SGX_INVALID_EINITTOKEN = 16,
    SGX_PREV_TRK_INCMPL = 17,
    SGX_PG_IS_SECS = 18,
    SGX_PAGE_ATTRIBUTES_MISMATCH = 19,
    SGX_PAGE_NOT_MODIFIABLE = 20,
    SGX_PAGE_NOT_DEBUGGABLE = 21,
    SGX_INVALID_CPUSVN = 32,
    SGX_INVALID_ISVSVN = 64,
    SGX_UNMASKED_EVENT = 128,
    SGX_INVALID_KEYNAME = 256,
};

/* Exception vectors that EXITINFO can carry */
enum x86_vector {
    X86_DE = 0,
    X86_DB = 1,
    X86_BP = 3,
    X86_BR = 5,
    X86_UD = 6,
    X86_GP = 13,
    X86_PF = 14,
    X86_MF = 16,
    X86_AC = 17,
    X86_XM = 19,
    X86_CP = 21,
};

/* Page fault error code */
#define X86_PF_PRESENT (1u << 0)
#define X86_PF_WRITE   (1u << 1)
#define X86_PF_USER    (1u << 2)
#define X86_PF_INSTR   (1u << 4)
#define X86_PF_SGX     (1u << 15)

/* ATTRIBUTES.FLAGS */
#define SGX_ATTR_INIT          (1ull << 0)
#define SGX_ATTR_DEBUG         (1ull << 1)
#define SGX_ATTR_MODE64        (1ull << 2)
#define SGX_ATTR_PROVISION_KEY (1ull << 4)
#define SGX_ATTR_EINIT_KEY     (1ull << 5)
#define SGX_ATTR_CET           (1ull << 6)
#define SGX_ATTR_KSS           (1ull << 7)
#define SGX_ATTR_AEX_NOTIFY    (1ull << 10)

/* ATTRIBUTES.XFRM has XCR0's bits */
#define SGX_XFRM_LEGACY (3ull) /* x87 and SSE: always set */
#define SGX_XFRM_AVX    (1ull << 2)
#define SGX_XFRM_AVX512 (7ull << 5)
#define SGX_XFRM_PKRU   (1ull << 9)
#define SGX_XFRM_AMX    (3ull << 17)

#define SGX_MISC_EXINFO (1u << 0)

/* KEYREQUEST.KEYNAME and KEYPOLICY */
#define SGX_KEY_EINITTOKEN     0
#define SGX_KEY_PROVISION      1
#define SGX_KEY_PROVISION_SEAL 2
#define SGX_KEY_REPORT         3
#define SGX_KEY_SEAL           4

#define SGX_POLICY_MRENCLAVE    (1u << 0)
#define SGX_POLICY_MRSIGNER     (1u << 1)
#define SGX_POLICY_NOISVPRODID  (1u << 2)
#define SGX_POLICY_CONFIGID     (1u << 3)
#define SGX_POLICY_ISVFAMILYID  (1u << 4)
#define SGX_POLICY_ISVEXTPRODID (1u << 5)

/* SECINFO.FLAGS */
#define SGX_SECINFO_R          (1ull << 0)
#define SGX_SECINFO_W          (1ull << 1)
#define SGX_SECINFO_X          (1ull << 2)
#define SGX_SECINFO_PENDING    (1ull << 3)
#define SGX_SECINFO_MODIFIED   (1ull << 4)
#define SGX_SECINFO_PR         (1ull << 5)
#define SGX_SECINFO_PERM_MASK  (7ull)
#define SGX_SECINFO_TYPE_SHIFT 8
#define SGX_SECINFO_TYPE_MASK  (0xffull << SGX_SECINFO_TYPE_SHIFT)
#define SGX_SECINFO_TYPE(t)    ((uint64_t)(t) << SGX_SECINFO_TYPE_SHIFT)
#define SGX_SECINFO_TCS        SGX_SECINFO_TYPE(SGX_PT_TCS)
#define SGX_SECINFO_REG        SGX_SECINFO_TYPE(SGX_PT_REG)
#define SGX_SECINFO_TRIM       SGX_SECINFO_TYPE(SGX_PT_TRIM)

enum sgx_page_kind {
    SGX_PT_SECS = 0,
    SGX_PT_TCS = 1,
    SGX_PT_REG = 2,
    SGX_PT_VA = 3,
    SGX_PT_TRIM = 4
};

struct sgx_attributes {
    uint64_t flags;
    uint64_t xfrm;
};

struct sgx_secs {
    uint64_t size;
    uint64_t base;
    uint32_t ssa_frame_size; /* pages */
    uint32_t miscselect;
    uint8_t cet_leg_bitmap[8];
    uint8_t cet_attributes;
    uint8_t reserved1[15];
    struct sgx_attributes attributes;
    uint8_t mrenclave[32];
    uint8_t reserved2[32];
    uint8_t mrsigner[32];
    uint8_t reserved3[32];
    uint8_t config_id[64];
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    uint16_t config_svn;
    uint8_t reserved4[3834];
};

#define SGX_TCS_DBGOPTIN  (1ull << 0)
#define SGX_TCS_AEXNOTIFY (1ull << 1)

struct sgx_tcs {
    uint64_t state; /* reserved for the processor */
    uint64_t flags;
    uint64_t ossa;
    uint32_t cssa;
    uint32_t nssa;
    uint64_t oentry;
    uint64_t aep; /* reserved for the processor */
    uint64_t ofsbasgx;
    uint64_t ogsbasgx;
    uint32_t fslimit;
    uint32_t gslimit;
    uint64_t ocetssa;
    uint64_t prevssp;
    uint8_t reserved[4008];
};

struct sgx_secinfo {
    uint64_t flags;
    uint64_t reserved[7];
} __attribute__((aligned(64)));

struct sgx_pageinfo {
    uint64_t linaddr;
    uint64_t srcpge;
    uint64_t secinfo;
    uint64_t secs;
} __attribute__((aligned(32)));

#define SGX_EXITINFO_VALID         (1u << 31)
#define SGX_EXITINFO_VECTOR(x)     ((x)&0xffu)
#define SGX_EXITINFO_TYPE(x)       (((x) >> 8) & 7u)
#define SGX_EXITINFO_TYPE_HARDWARE 3u
#define SGX_EXITINFO_TYPE_SOFTWARE 6u

/* The last 184 bytes of an SSA frame */
struct sgx_ssa_gpr {
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rflags, rip;
    uint64_t ursp, urbp;
    uint32_t exitinfo;
    uint8_t reserved[3];
    uint8_t aexnotify;
    uint64_t fsbase, gsbase;
};

/* Just below the GPR area when MISCSELECT.EXINFO is set */
struct sgx_ssa_exinfo {
    uint64_t maddr; /* #PF: the faulting address */
    uint32_t errcd;
    uint32_t reserved;
};

struct sgx_report_body {
    uint8_t cpu_svn[16];
    uint32_t miscselect;
    uint8_t cet_attributes;
    uint8_t reserved1[11];
    uint8_t isv_ext_prod_id[16];
    struct sgx_attributes attributes;
    uint8_t mrenclave[32];
    uint8_t reserved2[32];
    uint8_t mrsigner[32];
    uint8_t reserved3[32];
    uint8_t config_id[64];
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    uint16_t config_svn;
    uint8_t reserved4[42];
    uint8_t isv_family_id[16];
    uint8_t report_data[64];
};

struct sgx_report {
    struct sgx_report_body body;
    uint8_t key_id[32];
    uint8_t mac[16];
};

struct sgx_targetinfo {
    uint8_t mrenclave[32];
    struct sgx_attributes attributes;
    uint8_t cet_attributes;
    uint8_t reserved1;
    uint16_t config_svn;
    uint32_t miscselect;
    uint8_t reserved2[8];
    uint8_t config_id[64];
    uint8_t reserved3[384];
};

struct sgx_keyrequest {
    uint16_t key_name;
    uint16_t key_policy;
    uint16_t isv_svn;
    uint8_t cet_attributes_mask;
    uint8_t reserved1;
    uint8_t cpu_svn[16];
    struct sgx_attributes attribute_mask;
    uint8_t key_id[32];
    uint32_t misc_mask;
    uint16_t config_svn;
    uint8_t reserved2[434];
};

/* For buffers of bytes */
#define SGX_REPORT_BODY_SIZE 384u
#define SGX_REPORT_SIZE      432u
#define SGX_TARGETINFO_SIZE  512u

#define SGX_RSA_SIZE 384u

struct sgx_sigstruct {
    /* signed, part 1 */
    uint8_t header[16];
    uint32_t vendor;
    uint32_t date; /* BCD yyyymmdd */
    uint8_t header2[16];
    uint32_t swdefined;
    uint8_t reserved1[84];
    /* the key */
    uint8_t modulus[SGX_RSA_SIZE]; /* little-endian, like every large number here */
    uint32_t exponent;
    uint8_t signature[SGX_RSA_SIZE];
    /* signed, part 2 */
    uint32_t miscselect;
    uint32_t misc_mask;
    uint8_t cet_attributes;
    uint8_t cet_attributes_mask;
    uint8_t reserved2[2];
    uint8_t isv_family_id[16];
    struct sgx_attributes attributes;
    struct sgx_attributes attribute_mask;
    uint8_t mrenclave[32];
    uint8_t reserved3[16];
    uint8_t isv_ext_prod_id[16];
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    /* not signed */
    uint8_t reserved4[12];
    uint8_t q1[SGX_RSA_SIZE];
    uint8_t q2[SGX_RSA_SIZE];
};

/* The structures have no padding, so offsets say that every field is where the SDM has it. */
_Static_assert(sizeof(struct sgx_secs) == 4096, "SECS");
_Static_assert(offsetof(struct sgx_secs, attributes) == 48, "SECS");
_Static_assert(offsetof(struct sgx_secs, mrsigner) == 128, "SECS");
_Static_assert(offsetof(struct sgx_secs, config_id) == 192, "SECS");
_Static_assert(offsetof(struct sgx_secs, isv_prod_id) == 256, "SECS");
_Static_assert(sizeof(struct sgx_tcs) == 4096, "TCS");
_Static_assert(offsetof(struct sgx_tcs, ogsbasgx) == 56, "TCS");
_Static_assert(sizeof(struct sgx_secinfo) == 64, "SECINFO");
_Static_assert(sizeof(struct sgx_pageinfo) == 32, "PAGEINFO");
_Static_assert(sizeof(struct sgx_ssa_gpr) == 184, "GPRSGX");
_Static_assert(offsetof(struct sgx_ssa_gpr, exitinfo) == 160, "GPRSGX");
_Static_assert(offsetof(struct sgx_ssa_gpr, fsbase) == 168, "GPRSGX");
_Static_assert(sizeof(struct sgx_report_body) == SGX_REPORT_BODY_SIZE, "REPORTBODY");
_Static_assert(offsetof(struct sgx_report_body, mrenclave) == 64, "REPORTBODY");
_Static_assert(offsetof(struct sgx_report_body, config_id) == 192, "REPORTBODY");
_Static_assert(offsetof(struct sgx_report_body, report_data) == 320, "REPORTBODY");
_Static_assert(sizeof(struct sgx_report) == SGX_REPORT_SIZE, "REPORT");
_Static_assert(sizeof(struct sgx_targetinfo) == SGX_TARGETINFO_SIZE, "TARGETINFO");
_Static_assert(offsetof(struct sgx_targetinfo, config_id) == 64, "TARGETINFO");
_Static_assert(sizeof(struct sgx_keyrequest) == 512, "KEYREQUEST");
_Static_assert(offsetof(struct sgx_keyrequest, key_id) == 40, "KEYREQUEST");
_Static_assert(sizeof(struct sgx_sigstruct) == 1808, "SIGSTRUCT");
_Static_assert(offsetof(struct sgx_sigstruct, modulus) == 128, "SIGSTRUCT");
_Static_assert(offsetof(struct sgx_sigstruct, miscselect) == 900, "SIGSTRUCT");
_Static_assert(offsetof(struct sgx_sigstruct, mrenclave) == 960, "SIGSTRUCT");
_Static_assert(offsetof(struct sgx_sigstruct, isv_prod_id) == 1024, "SIGSTRUCT");
_Static_assert(offsetof(struct sgx_sigstruct, q1) == 1040, "SIGSTRUCT");
