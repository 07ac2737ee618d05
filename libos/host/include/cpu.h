/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processor can do, found out inside. CPUID is the host's word in an enclave; an
 * instruction that is executed is not. probe.c executes one of each feature, cpuid.c answers the
 * application's CPUID from that, from XFRM and from constants.
 */
#pragma once

#include "types.h"

/* Words of feature bits as CPUID gives them. */
enum cpu_word {
    CPU_1_ECX,
    CPU_7_EBX,
    CPU_7_ECX,
    CPU_7_EDX,
    CPU_7_1_EAX,
    CPU_D_1_EAX,
    CPU_EXT_1_ECX, /* leaf 0x80000001 */
    CPU_EXT_1_EDX,
    CPU_WORDS
};

#define CPU_SSE    0x03ull /* XFRM */
#define CPU_AVX    0x07ull
#define CPU_AVX512 0xe7ull

/*
 * F(name, word, bit, XFRM that it needs, needed, before, instruction, after)
 *
 * Needed: the LibOS itself, or its constant-time cryptography and that of usual libraries, has no
 * other code for it: an enclave without it does not start. All others are the application's; what
 * XFRM does not enable, or the instruction's #UD denies, is not there.
 *
 * Before the instruction RAX to RDX are 0 and RSI is a page to write to; it may change these, XMM0
 * to XMM31 and the opmasks. `after` jumps to 2f where the result is not that of the feature: BSR
 * is executed where LZCNT is not known.
 */
#define CPU_FEATURES(F)                                                                            \
    F(SSE3, CPU_1_ECX, 0, CPU_SSE, true, "", "haddps %%xmm0, %%xmm0", "")                          \
    F(PCLMULQDQ, CPU_1_ECX, 1, CPU_SSE, true, "", "pclmulqdq $0, %%xmm0, %%xmm0", "")              \
    F(SSSE3, CPU_1_ECX, 9, CPU_SSE, true, "", "pshufb %%xmm0, %%xmm0", "")                         \
    F(FMA, CPU_1_ECX, 12, CPU_AVX, false, "", "vfmadd132ps %%xmm0, %%xmm0, %%xmm0", "")            \
    F(CMPXCHG16B, CPU_1_ECX, 13, CPU_SSE, true, "", "lock cmpxchg16b (%%rsi)", "")                 \
    F(SSE4_1, CPU_1_ECX, 19, CPU_SSE, true, "", "pmulld %%xmm0, %%xmm0", "")                       \
    F(SSE4_2, CPU_1_ECX, 20, CPU_SSE, true, "", "crc32b %%al, %%eax", "")                          \
    F(MOVBE, CPU_1_ECX, 22, CPU_SSE, false, "", "movbe (%%rsi), %%eax", "")                        \
    F(POPCNT, CPU_1_ECX, 23, CPU_SSE, true, "", "popcnt %%eax, %%eax", "")                         \
    F(AES, CPU_1_ECX, 25, CPU_SSE, true, "", "aesenc %%xmm0, %%xmm0", "")                          \
    F(XSAVE, CPU_1_ECX, 26, CPU_SSE, true, "", "xsave64 (%%rsi)", "")                              \
    F(OSXSAVE, CPU_1_ECX, 27, CPU_SSE, true, "", "xgetbv", "")                                     \
    F(AVX, CPU_1_ECX, 28, CPU_AVX, false, "", "vaddps %%ymm0, %%ymm0, %%ymm0", "")                 \
    F(F16C, CPU_1_ECX, 29, CPU_AVX, false, "", "vcvtph2ps %%xmm0, %%xmm0", "")                     \
    F(RDRAND, CPU_1_ECX, 30, CPU_SSE, true, "", "rdrand %%eax", "")                                \
    F(FSGSBASE, CPU_7_EBX, 0, CPU_SSE, true, "", "rdfsbase %%rax", "")                             \
    F(BMI1, CPU_7_EBX, 3, CPU_SSE, false, "", "andn %%eax, %%eax, %%eax", "")                      \
    F(AVX2, CPU_7_EBX, 5, CPU_AVX, false, "", "vpaddd %%ymm0, %%ymm0, %%ymm0", "")                 \
    F(BMI2, CPU_7_EBX, 8, CPU_SSE, false, "", "rorx $1, %%eax, %%eax", "")                         \
    F(AVX512F, CPU_7_EBX, 16, CPU_AVX512, false, "", "vpaddd %%zmm0, %%zmm0, %%zmm0", "")          \
    F(AVX512DQ, CPU_7_EBX, 17, CPU_AVX512, false, "", "vpmullq %%zmm0, %%zmm0, %%zmm0", "")        \
    F(RDSEED, CPU_7_EBX, 18, CPU_SSE, false, "", "rdseed %%eax", "")                               \
    F(ADX, CPU_7_EBX, 19, CPU_SSE, false, "", "adcx %%eax, %%eax", "")                             \
    F(AVX512_IFMA, CPU_7_EBX, 21, CPU_AVX512, false, "", "vpmadd52luq %%zmm0, %%zmm0, %%zmm0", "") \
    F(CLFLUSHOPT, CPU_7_EBX, 23, CPU_SSE, false, "", "clflushopt (%%rsi)", "")                     \
    F(CLWB, CPU_7_EBX, 24, CPU_SSE, false, "", "clwb (%%rsi)", "")                                 \
    F(AVX512CD, CPU_7_EBX, 28, CPU_AVX512, false, "", "vplzcntd %%zmm0, %%zmm0", "")               \
    F(SHA, CPU_7_EBX, 29, CPU_SSE, false, "", "sha256msg1 %%xmm0, %%xmm0", "")                     \
    F(AVX512BW, CPU_7_EBX, 30, CPU_AVX512, false, "", "vpaddb %%zmm0, %%zmm0, %%zmm0", "")         \
    F(AVX512VL, CPU_7_EBX, 31, CPU_AVX512, false, "", "vpaddd %%xmm16, %%xmm16, %%xmm16", "")      \
    F(AVX512_VBMI, CPU_7_ECX, 1, CPU_AVX512, false, "", "vpermb %%zmm0, %%zmm0, %%zmm0", "")       \
    F(AVX512_VBMI2, CPU_7_ECX, 6, CPU_AVX512, false, "", "vpshldvd %%zmm0, %%zmm0, %%zmm0", "")    \
    F(GFNI, CPU_7_ECX, 8, CPU_SSE, false, "", "gf2p8mulb %%xmm0, %%xmm0", "")                      \
    F(VAES, CPU_7_ECX, 9, CPU_AVX, false, "", "vaesenc %%ymm0, %%ymm0, %%ymm0", "")                \
    F(VPCLMULQDQ, CPU_7_ECX, 10, CPU_AVX, false, "", "vpclmulqdq $0, %%ymm0, %%ymm0, %%ymm0", "")  \
    F(AVX512_VNNI, CPU_7_ECX, 11, CPU_AVX512, false, "", "vpdpbusd %%zmm0, %%zmm0, %%zmm0", "")    \
    F(AVX512_BITALG, CPU_7_ECX, 12, CPU_AVX512, false, "", "vpopcntb %%zmm0, %%zmm0", "")          \
    F(AVX512_VPOPCNTDQ, CPU_7_ECX, 14, CPU_AVX512, false, "", "vpopcntd %%zmm0, %%zmm0", "")       \
    F(AVX512_FP16, CPU_7_EDX, 23, CPU_AVX512, false, "", "vaddph %%zmm0, %%zmm0, %%zmm0", "")      \
    F(AVX_VNNI, CPU_7_1_EAX, 4, CPU_AVX, false, "", "%{vex%} vpdpbusd %%ymm0, %%ymm0, %%ymm0", "") \
    F(AVX512_BF16, CPU_7_1_EAX, 5, CPU_AVX512, false, "", "vcvtne2ps2bf16 %%zmm0, %%zmm0, %%zmm0", \
      "")                                                                                          \
    F(XSAVEOPT, CPU_D_1_EAX, 0, CPU_SSE, false, "", "xsaveopt64 (%%rsi)", "")                      \
    F(XSAVEC, CPU_D_1_EAX, 1, CPU_SSE, false, "", "xsavec64 (%%rsi)", "")                          \
    F(XGETBV1, CPU_D_1_EAX, 2, CPU_SSE, true, "incl %%ecx", "xgetbv", "")                          \
    F(LAHF, CPU_EXT_1_ECX, 0, CPU_SSE, false, "", "lahf", "")                                      \
    F(LZCNT, CPU_EXT_1_ECX, 5, CPU_SSE, false, "incl %%eax", "lzcnt %%eax, %%eax",                 \
      "cmpl $31, %%eax\n\tjne 2f")                                                                 \
    F(RDTSCP, CPU_EXT_1_EDX, 27, CPU_SSE, false, "", "rdtscp", "")

/* probe.c: the bits of CPU_FEATURES that are there. Leaves the vector registers changed. */
void cpu_probe(u64 xfrm, u32 words[CPU_WORDS]);

/* cpuid.c: 0, or -ENODEV after a line that says what the processor lacks. Once, in boot, before
 * an application runs. */
int cpuid_init(void);
bool cpuid_has_sha(void);

struct uregs;
/* Emulation of instructions that enclaves may not execute (cpuid.c, instructions.c). */
void exception_cpuid(struct uregs *regs);
void exception_rdtsc(struct uregs *regs);
