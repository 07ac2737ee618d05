/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the enclave finds in a report over itself that MRENCLAVE does not cover. A SIGSTRUCT fixes
 * some of it, but anybody can sign the same enclave again with a key of their own, and a verifier
 * may look at MRENCLAVE alone. docs/design/entry.md has the table.
 */
#include "self.h"
#include "lib.h"
#include "manifest.h"

#define ATTRIBUTE_INIT   (1ull << 0)
#define ATTRIBUTE_MODE64 (1ull << 2)
#define MISC_EXINFO      1u

#define XFRM_LEGACY 3ull /* x87 and SSE */
#define XFRM_AVX    (1ull << 2)
#define XFRM_AVX512 (7ull << 5)

/* What LAYOUT_SSA_PAGES and the save area of a thread have room for, as XSAVE allows it. */
static bool good_xfrm(u64 xfrm)
{
    u64 avx512 = xfrm & XFRM_AVX512;

    return (xfrm & XFRM_LEGACY) == XFRM_LEGACY &&
           (xfrm & ~(XFRM_LEGACY | XFRM_AVX | XFRM_AVX512)) == 0 &&
           (avx512 == 0 || (avx512 == XFRM_AVX512 && (xfrm & XFRM_AVX) != 0));
}

static bool all_zero(const u8 *p, size_t n)
{
    u8 any = 0;

    for (size_t i = 0; i < n; i++)
        any |= p[i];
    return any == 0;
}

const char *self_refusal(const struct sgx_report_body *self, u32 manifest_flags)
{
    const u64 needed = ATTRIBUTE_INIT | ATTRIBUTE_MODE64;
    const bool kss = (manifest_flags & MANIFEST_KSS) != 0;
    const bool told = (manifest_flags & MANIFEST_AEXNOTIFY) != 0;
    const u64 wanted = needed | (kss ? SGX_ATTRIBUTE_KSS : 0) |
                       (told ? SGX_ATTRIBUTE_AEXNOTIFY : 0);

    if ((self->attributes & SGX_ATTRIBUTE_DEBUG) != 0 && (manifest_flags & MANIFEST_DEBUG) == 0)
        return "the host started it to be debugged (ATTRIBUTES.DEBUG), which its manifest does not "
               "allow: it is for production";
    if (kss && (self->attributes & SGX_ATTRIBUTE_KSS) == 0)
        return "the host gave it no CONFIGID (ATTRIBUTES.KSS), which its manifest binds the "
               "deployment to";
    if (told && (self->attributes & SGX_ATTRIBUTE_AEXNOTIFY) == 0)
        return "the host tells it of no asynchronous exits (ATTRIBUTES.AEXNOTIFY), which its "
               "manifest asks for: run it where the processor has AEX-Notify, or build it without "
               "enclave.aexnotify";
    if ((self->attributes & ~SGX_ATTRIBUTE_DEBUG) != wanted || self->cet_attributes != 0)
        return "the host gave it attributes (ATTRIBUTES, CET_ATTRIBUTES) that it was not built for";
    if (!good_xfrm(self->xfrm))
        return "the host gave it a set of vector registers (XFRM) that it was not built for";
    if (self->miscselect != MISC_EXINFO)
        return "the host gave it a MISCSELECT that it was not built for: without EXINFO a page "
               "fault cannot be told from a lie";
    if (!all_zero(self->config_id + (kss ? 32 : 0), sizeof(self->config_id) - (kss ? 32 : 0)) ||
        self->config_svn != 0)
        return "the host gave it a CONFIGID with more than the deployment's hash, or a CONFIGSVN";
    return NULL;
}
