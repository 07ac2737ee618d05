/* SPDX-License-Identifier: Apache-2.0 */
/* The tiny enclave of the SGX tests: its code is a section of the test program, copied into an
 * enclave file. */
#pragma once

#include <stdint.h>

#include "sgx_arch.h"

/* What REPORT and KEY take and give is in host memory. */
enum test_command {
    TEST_ADD,   /* result = a + b */
    TEST_READ,  /* result = *a */
    TEST_WRITE, /* *a = b */
    TEST_UD2,
    TEST_SYSCALL, /* getpid */
    TEST_INT3,
    TEST_DIVIDE,      /* result = a / b */
    TEST_SPIN,        /* until *a; result = 1 when all registers survived */
    TEST_ACCEPT,      /* EACCEPT page a with SECINFO flags b: result = error code */
    TEST_ACCEPT_MANY, /* EACCEPT c pages from a */
    TEST_EXTEND,      /* EMODPE page a with SECINFO flags b */
    TEST_ACCEPT_COPY, /* EACCEPTCOPY to a with SECINFO flags b from c */
    TEST_REPORT,      /* EREPORT for the TARGETINFO at a with the report data at b to c */
    TEST_KEY,         /* EGETKEY for the KEYREQUEST at a to c: result = error code */
    TEST_BASES,       /* result = FS base, a = GS base */
    TEST_CALL,        /* call a */
    TEST_SKIP,     /* at CSSA 1: RIP of the interrupted frame += a; result = EXITINFO, b = RIP, c =
                      MADDR */
    TEST_ENCLU,    /* leaf a with RBX b, RCX c, RDX b: result = RAX */
    TEST_NOTIFY,   /* at CSSA 1: ask for AEX notification of the interrupted frame */
    TEST_SITE_ADD, /* as TEST_ADD, but leaves by a rewritable site, and EACCEPTs c pages from
                      there */
    TEST_INSTRUCTION, /* enum test_instruction a: result is not 0 */
};

/* TEST_POPF_TF: 1 | RFLAGS after a POPF that sets TF */
enum test_instruction { TEST_CPUID, TEST_RDTSC, TEST_RDTSCP, TEST_POPF_TF };

#define TEST_BY_SITE 0x100ull /* with a command: leave by the rewritable site */

struct test_call {
    uint64_t command, a, b, c, result, cssa;
};

#define TEST_TCS_COUNT  64u
#define TEST_NSSA       3u
#define TEST_SIZE       (1ull << 24)
#define TEST_CODE       0x12000ull /* an ELRANGE at 0 is usable from 64 KiB on */
#define TEST_TRAMPOLINE 0x11000ull
#define TEST_DATA       0x18000ull /* two pages */
#define TEST_TCS(i)     (0x20000ull + (i)*0x10000ull)
#define TEST_SSA(i)     (TEST_TCS(i) + 0x1000)
#define TEST_TLS(i) \
    (TEST_TCS(i) + 0x1000 * (1 + TEST_NSSA)) /* GS base; its stack is the page behind */
#define TEST_HOLE 0x800000ull                /* from here on nothing is added */

extern const uint8_t __start_enclave_text[], __stop_enclave_text[];
void test_enclave_entry(void);
extern const uint8_t test_enclave_sites[], test_enclave_sites_end[];

/*
 * Write the enclave's file to fd and its SIGSTRUCT, signed with a key made for the occasion. `base`
 * UINT64_MAX: any.
 */
extern uint64_t g_test_attributes; /* more of them; with AEXNOTIFY the TCS have it as well */
void test_enclave_make(int fd, uint64_t base, int sites, struct sgx_sigstruct *sigstruct);
