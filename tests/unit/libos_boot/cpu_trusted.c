/* SPDX-License-Identifier: Apache-2.0 */
/* The LibOS's half of the CPUID test: cpuid.c and probe.c with what they ask for. */
#include "cpu.h"
#include "cpu_test.h"
#include "exception.h"
#include "lib.h"
#include "start.h"

_Static_assert(TEST_WORD_1_ECX == CPU_1_ECX && TEST_WORD_7_EBX == CPU_7_EBX &&
                   TEST_WORD_7_ECX == CPU_7_ECX && TEST_WORD_D_1_EAX == CPU_D_1_EAX &&
                   TEST_WORDS == CPU_WORDS,
               "the words of cpu.h");

int g_log_level = LOG_FATAL;

/* cpuid.c calls this one, so that a test can choose the processor. */
void chosen_probe(u64 xfrm, u32 words[CPU_WORDS]);

void chosen_probe(u64 xfrm, u32 words[CPU_WORDS])
{
    u32 have[CPU_WORDS];

    if (!test_probe(have)) {
        cpu_probe(xfrm, words);
        return;
    }
    memset(words, 0, sizeof(have));
#define HAVE(name, word, bit, needs, needed, before, instruction, after) \
    if ((xfrm & (needs)) == (needs))                                     \
        words[word] |= have[word] & 1u << (bit);
    CPU_FEATURES(HAVE)
#undef HAVE
}

u64 vector_features(void)
{
    return test_xfrm();
}

void vector_scrub(void)
{
}

int host_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
    return test_host_cpuid(out);
}

void log_write(enum log_level level, const char *fmt, ...)
{
}

/* ---- for the other half ---- */

struct test_regs test_cpuid(u32 leaf, u32 subleaf)
{
    struct uregs r = {.rax = leaf, .rcx = subleaf};

    exception_cpuid(&r);
    return (struct test_regs){(u32)r.rax, (u32)r.rbx, (u32)r.rcx, (u32)r.rdx};
}

bool test_is_zero(struct test_regs r)
{
    return (r.eax | r.ebx | r.ecx | r.edx) == 0;
}

int test_cpuid_init(void)
{
    return cpuid_init();
}

void test_cpu_probe(u64 xfrm, u32 *words)
{
    cpu_probe(xfrm, words);
}

u32 test_probed(u32 word)
{
    u32 bits = 0;

#define PROBED(name, w, bit, needs, needed, before, instruction, after) \
    if ((w) == word && (test_xfrm() & (needs)) == (needs))              \
        bits |= 1u << (bit);
    CPU_FEATURES(PROBED)
#undef PROBED
    return bits;
}
