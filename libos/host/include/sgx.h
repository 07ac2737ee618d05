/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SGX leaves that enclave code executes (ENCLU), and the structures they take (SDM volume 3D).
 * Every leaf is an ENCLU site of abi/enclave_file.h, recorded in the section .enclu_sites, from
 * which the bundle converter makes the file's site table: an array of int32_t, each the distance
 * from the entry itself to the site.
 */
#pragma once

#include "types.h"
#include "extable.h"
#include "enclave_file.h"

#define SGX_LEAF_EREPORT     0
#define SGX_LEAF_EGETKEY     1
#define SGX_LEAF_EEXIT       4
#define SGX_LEAF_EACCEPT     5
#define SGX_LEAF_EMODPE      6
#define SGX_LEAF_EACCEPTCOPY 7

#define SGX_SECINFO_R        (1ull << 0)
#define SGX_SECINFO_W        (1ull << 1)
#define SGX_SECINFO_X        (1ull << 2)
#define SGX_SECINFO_PENDING  (1ull << 3)
#define SGX_SECINFO_MODIFIED (1ull << 4)
#define SGX_SECINFO_PR       (1ull << 5)
#define SGX_SECINFO_TCS      (1ull << 8)
#define SGX_SECINFO_REG      (2ull << 8)
#define SGX_SECINFO_TRIM     (4ull << 8)

#define SGX_PAGE_TYPE_TCS  1u
#define SGX_PAGE_TYPE_TRIM 4u

struct sgx_secinfo {
    u64 flags;
    u64 reserved[7];
} __attribute__((aligned(64)));

struct sgx_report_body {
    u8 cpu_svn[16];
    u32 miscselect;
    u8 cet_attributes;
    u8 reserved1[11];
    u8 isv_ext_prod_id[16];
    u64 attributes, xfrm;
    u8 mrenclave[32];
    u8 reserved2[32];
    u8 mrsigner[32];
    u8 reserved3[32];
    u8 config_id[64];
    u16 isv_prod_id, isv_svn, config_svn;
    u8 reserved4[42];
    u8 isv_family_id[16];
    u8 report_data[64];
};
_Static_assert(sizeof(struct sgx_report_body) == 384, "REPORTBODY");

struct sgx_report {
    struct sgx_report_body body;
    u8 key_id[32];
    u8 mac[16];
};
_Static_assert(sizeof(struct sgx_report) == 432, "REPORT");

struct sgx_key_request {
    u16 key_name, key_policy, isv_svn;
    u8 cet_attributes_mask, reserved1;
    u8 cpu_svn[16];
    u64 attribute_mask, xfrm_mask;
    u8 key_id[32];
    u32 misc_mask;
    u16 config_svn;
    u8 reserved2[434];
};
_Static_assert(sizeof(struct sgx_key_request) == 512, "KEYREQUEST");

#define SGX_ATTRIBUTE_DEBUG     (1ull << 1)
#define SGX_ATTRIBUTE_KSS       (1ull << 7)
#define SGX_ATTRIBUTE_AEXNOTIFY (1ull << 10)

/* One ENCLU with RBX, RCX, RDX. Returns RAX. */
static inline u64 sgx_enclu(u64 leaf, const void *rbx, const void *rcx, void *rdx)
{
    u64 rax = leaf;

    __asm__ volatile("771:\n\t" ENCLU_SITE_ASM "\n\t"
                     ".pushsection .enclu_sites, \"a\", @progbits\n\t"
                     ".long 771b - .\n\t"
                     ".popsection"
                     : "+a"(rax)
                     : "b"(rbx), "c"(rcx), "d"(rdx)
                     : "memory", "cc");
    return rax;
}

/*
 * EACCEPT and EACCEPTCOPY touch a page that the host is to add: where it gives none (the EPC is
 * used up), they fault. 0, the leaf's error code, or -ENOMEM for such a fault.
 */
static inline int sgx_enclu_accept(u64 leaf, const void *secinfo, u64 addr, const void *from)
{
    u64 rax = leaf;
    u32 failed = 1;

    __asm__ volatile("771:\n\t" ENCLU_SITE_ASM "\n\t"
                     "xorl %1, %1\n"
                     "772:\n\t"
                     ".pushsection .enclu_sites, \"a\", @progbits\n\t"
                     ".long 771b - .\n\t"
                     ".popsection\n\t" EX_TABLE_KIND("771b", "772b", EX_ENCLU)
                     : "+a"(rax), "+&r"(failed)
                     : "b"(secinfo), "c"(addr), "d"(from)
                     : "memory", "cc");
    return failed ? -ENOMEM : (int)rax;
}

/* A host that takes a page from its page tables for a moment has refused nothing: only one that
 * does not give it several times in a row has. */
#define SGX_ACCEPT_TRIES 64

/* Accept the page at addr (aligned) in the state that flags describe. */
static inline int sgx_eaccept(u64 addr, u64 flags)
{
    struct sgx_secinfo secinfo = {.flags = flags};
    int r = -ENOMEM;

    for (int i = 0; r == -ENOMEM && i < SGX_ACCEPT_TRIES; i++)
        r = sgx_enclu_accept(SGX_LEAF_EACCEPT, &secinfo, addr, NULL);
    return r;
}

/* Accept the page at addr, which is pending, as a copy of the page at from. flags: the
 * permissions it gets. */
static inline int sgx_eacceptcopy(u64 addr, const void *from, u64 flags)
{
    struct sgx_secinfo secinfo = {.flags = flags};
    int r = -ENOMEM;

    for (int i = 0; r == -ENOMEM && i < SGX_ACCEPT_TRIES; i++)
        r = sgx_enclu_accept(SGX_LEAF_EACCEPTCOPY, &secinfo, addr, from);
    return r;
}

/* Add permissions to the page at addr. */
static inline void sgx_emodpe(u64 addr, u64 flags)
{
    struct sgx_secinfo secinfo = {.flags = flags};

    sgx_enclu(SGX_LEAF_EMODPE, &secinfo, (void *)addr, NULL);
}

/* ---- libos/crypto/report.c ---- */
/* A REPORT (432 bytes) for the target (TARGETINFO); target_info NULL: for nobody, to learn about
 * this enclave. */
int sgx_report(const u8 target_info[512], const u8 report_data[64], u8 report[432]);
int sgx_get_key(const struct sgx_key_request *request, u8 key[16]);
/* Facts about this enclave, from a report made at start. */
extern struct sgx_report_body g_self;
