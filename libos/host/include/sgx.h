/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SGX leaves that enclave code executes (ENCLU); abi/sgx_arch.h has the structures they take.
 * Every leaf is an ENCLU site of abi/enclave_file.h, recorded in the section .enclu_sites, from
 * which the bundle converter makes the file's site table: an array of int32_t, each the distance
 * from the entry itself to the site.
 */
#pragma once

#include "types.h"
#include "extable.h"
#include "enclave_file.h"
#include "sgx_arch.h"

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
        r = sgx_enclu_accept(SGX_EACCEPT, &secinfo, addr, NULL);
    return r;
}

/* Accept the page at addr, which is pending, as a copy of the page at from. flags: the
 * permissions it gets. */
static inline int sgx_eacceptcopy(u64 addr, const void *from, u64 flags)
{
    struct sgx_secinfo secinfo = {.flags = flags};
    int r = -ENOMEM;

    for (int i = 0; r == -ENOMEM && i < SGX_ACCEPT_TRIES; i++)
        r = sgx_enclu_accept(SGX_EACCEPTCOPY, &secinfo, addr, from);
    return r;
}

/* Add permissions to the page at addr. */
static inline void sgx_emodpe(u64 addr, u64 flags)
{
    struct sgx_secinfo secinfo = {.flags = flags};

    sgx_enclu(SGX_EMODPE, &secinfo, (void *)addr, NULL);
}

/* ---- libos/crypto/report.c ---- */
/* A REPORT (432 bytes) for the target (TARGETINFO); target_info NULL: for nobody, to learn about
 * this enclave. */
int sgx_report(const u8 target_info[SGX_TARGETINFO_SIZE], const u8 report_data[64],
               u8 report[SGX_REPORT_SIZE]);
/* -EACCES: of a later CPUSVN than the processor's; -EINVAL: EGETKEY refuses for another reason. */
int sgx_get_key(const struct sgx_keyrequest *request, u8 key[16]);
/* Facts about this enclave, from a report made at start. */
extern struct sgx_report_body g_self;
