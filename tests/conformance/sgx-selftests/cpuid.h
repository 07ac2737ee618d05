/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Given to the compiler with -include when the kernel's SGX selftests, or our own kernel driver for
 * a test, are built: what they ask CPUID about SGX is answered for the emulator (SGX1 and SGX2, one
 * EPC section of 64 MiB), everything else by the processor.
 */
#pragma once

#ifndef __ASSEMBLER__ /* some of the source is assembler */

#include <cpuid.h>

/* The enclave's own source is compiled with this, too, and has names of libc's headers. */
extern char *getenv(const char *name);

static inline void sgx_test_cpuid(unsigned leaf, unsigned subleaf, unsigned *a, unsigned *b,
                                  unsigned *c, unsigned *d)
{
    if (leaf != 0x12) {
        __cpuid_count(leaf, subleaf, *a, *b, *c, *d);
        if (leaf == 7)
            *b |= 1u << 2; /* there is SGX */
        return;
    }
    *a = *b = *c = *d = 0;
    /* the emulator's machine, as src/sgx/machine.h has it */
    const char *features = getenv("RUNE_SGX_EMULATOR_FEATURES");
    if (subleaf == 0) {
        *a = !features || __builtin_strstr(features, "sgx2") ? 3 : 1;
    } else if (subleaf == 1) {
        *a = features && __builtin_strstr(features, "kss") ? 1u << 7 : 0;
    } else if (subleaf == 2) {
        *a = 0x40000000u | 1; /* a section, at 1 GiB */
        *c = 64u << 20 | 1;
    }
}

#undef __cpuid_count
#define __cpuid_count(leaf, subleaf, a, b, c, d) \
    sgx_test_cpuid((leaf), (subleaf), &(a), &(b), &(c), &(d))

static inline int sgx_test_get_cpuid(unsigned leaf, unsigned subleaf, unsigned *a, unsigned *b,
                                     unsigned *c, unsigned *d)
{
    sgx_test_cpuid(leaf, subleaf, a, b, c, d);
    return 1;
}

#define __get_cpuid_count sgx_test_get_cpuid

#endif
