/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instructions the processor has, by executing them: #UD ends at the fix-up. An #UD that the
 * host makes up is not in EXITINFO, so it can deny nothing; any other fault ends the enclave.
 */
#include "cpu.h"
#include "extable.h"

static u8 g_scratch[4096] __attribute__((aligned(64)));

#define PROBE(name, word, bit, needs, needed, before, instruction, after) \
    if ((xfrm & (needs)) == (needs)) {                                    \
        u32 failed = 1;                                                   \
                                                                          \
        __asm__ volatile("xorl %%eax, %%eax\n\t"                          \
                         "xorl %%ebx, %%ebx\n\t"                          \
                         "xorl %%ecx, %%ecx\n\t"                          \
                         "xorl %%edx, %%edx\n\t" before "\n"              \
                         "1:\t" instruction "\n\t" after "\n\t"           \
                         "xorl %0, %0\n"                                  \
                         "2:\n\t" EX_TABLE_KIND("1b", "2b", EX_PROBE)     \
                         : "+&r"(failed)                                  \
                         : "S"(g_scratch)                                 \
                         : "rax", "rbx", "rcx", "rdx", "memory", "cc");   \
        if (!failed)                                                      \
            words[word] |= 1u << (bit);                                   \
    }

void cpu_probe(u64 xfrm, u32 words[CPU_WORDS])
{
    for (u32 i = 0; i < CPU_WORDS; i++)
        words[i] = 0;
    CPU_FEATURES(PROBE)
}
