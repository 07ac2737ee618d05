/* SPDX-License-Identifier: Apache-2.0 */
/* Between the halves of the CPUID test: libc's names on one side, the LibOS's on the other. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* enum cpu_word, compared in cpu_trusted.c */
#define TEST_WORD_1_ECX   0
#define TEST_WORD_7_EBX   1
#define TEST_WORD_7_ECX   2
#define TEST_WORD_D_1_EAX 5
#define TEST_WORDS        8

/* SSE3 PCLMULQDQ SSSE3 CMPXCHG16B SSE4.1 SSE4.2 POPCNT AES XSAVE OSXSAVE RDRAND */
#define TEST_NEEDED_1_ECX 0x4e982203u

struct test_regs {
    uint32_t eax, ebx, ecx, edx;
};

/* the LibOS's half */
struct test_regs test_cpuid(uint32_t leaf, uint32_t subleaf);
bool test_is_zero(struct test_regs r);
int test_cpuid_init(void);
void test_cpu_probe(uint64_t xfrm, uint32_t *words);
uint32_t test_probed(uint32_t word); /* the bits that the probe knows */

/* the host's half */
uint64_t test_xfrm(void);
int test_host_cpuid(uint32_t out[4]);
bool test_probe(uint32_t *words); /* false: the real one is wanted */
