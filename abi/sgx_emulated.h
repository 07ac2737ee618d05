/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a report of the software SGX is told from a processor's, by its body alone and without its
 * key: by CPUSVN, which EREPORT fills in and no program can choose. A processor's CPUSVN has one
 * security version for each of 16 components (SDM volume 3D, EREPORT; Intel's TCB info lists
 * them). Here the first eight, which Intel's TCB levels differ in, are 0, so that every demand of
 * a minimum fails; the rest, which no processor uses, spells what it is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SGX_EMULATED_CPUSVN                                            \
    {                                                                  \
        0, 0, 0, 0, 0, 0, 0, 0, 'E', 'M', 'U', 'L', 'A', 'T', 'E', 'D' \
    }

static inline bool sgx_cpusvn_is_emulated(const uint8_t cpu_svn[16])
{
    static const uint8_t emulated[16] = SGX_EMULATED_CPUSVN;
    unsigned differences = 0;

    for (unsigned i = 0; i < sizeof(emulated); i++)
        differences |= cpu_svn[i] ^ emulated[i];
    return differences == 0;
}
