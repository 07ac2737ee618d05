/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the enclave finds in a report over itself that MRENCLAVE does not cover. A SIGSTRUCT fixes
 * some of it, but anybody can sign the same enclave again with a key of their own, and a verifier
 * may look at MRENCLAVE alone. docs/design/entry.md has the table.
 */
#include "self.h"
#include "lib.h"
#include "manifest.h"

/* What LAYOUT_SSA_PAGES and the save area of a thread have room for, as XSAVE allows it. */
static bool good_xfrm(u64 xfrm)
{
    u64 avx512 = xfrm & SGX_XFRM_AVX512;

    return (xfrm & SGX_XFRM_LEGACY) == SGX_XFRM_LEGACY &&
           (xfrm & ~(SGX_XFRM_LEGACY | SGX_XFRM_AVX | SGX_XFRM_AVX512)) == 0 &&
           (avx512 == 0 || (avx512 == SGX_XFRM_AVX512 && (xfrm & SGX_XFRM_AVX) != 0));
}

const char *self_refusal(const struct sgx_report_body *self, u32 manifest_flags)
{
    const u64 needed = SGX_ATTR_INIT | SGX_ATTR_MODE64;
    const bool kss = (manifest_flags & MANIFEST_KSS) != 0;
    const bool told = (manifest_flags & MANIFEST_AEXNOTIFY) != 0;
    const u64 wanted = needed | (kss ? SGX_ATTR_KSS : 0) | (told ? SGX_ATTR_AEX_NOTIFY : 0);

    if ((self->attributes.flags & SGX_ATTR_DEBUG) != 0 && (manifest_flags & MANIFEST_DEBUG) == 0)
        return "the host started it to be debugged (ATTRIBUTES.DEBUG), which its manifest does not "
               "allow: it is for production";
    if (kss && (self->attributes.flags & SGX_ATTR_KSS) == 0)
        return "the host gave it no CONFIGID (ATTRIBUTES.KSS), which its manifest binds the "
               "deployment to";
    if (told && (self->attributes.flags & SGX_ATTR_AEX_NOTIFY) == 0)
        return "the host tells it of no asynchronous exits (ATTRIBUTES.AEXNOTIFY), which its "
               "manifest asks for: run it where the processor has AEX-Notify, or build it without "
               "enclave.aexnotify";
    if ((self->attributes.flags & ~SGX_ATTR_DEBUG) != wanted || self->cet_attributes != 0)
        return "the host gave it attributes (ATTRIBUTES, CET_ATTRIBUTES) that it was not built for";
    if (!good_xfrm(self->attributes.xfrm))
        return "the host gave it a set of vector registers (XFRM) that it was not built for";
    if (self->miscselect != SGX_MISC_EXINFO)
        return "the host gave it a MISCSELECT that it was not built for: without EXINFO a page "
               "fault cannot be told from a lie";
    if (!memory_is_zero(self->config_id + (kss ? 32 : 0),
                        sizeof(self->config_id) - (kss ? 32 : 0)) ||
        self->config_svn != 0)
        return "the host gave it a CONFIGID with more than the deployment's hash, or a CONFIGSVN";
    return NULL;
}
