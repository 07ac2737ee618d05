/* SPDX-License-Identifier: Apache-2.0 */
/* What the LibOS refuses of a report over itself: values that no loader here, and no ECREATE of the
 * software SGX, would let through. */
#include "self.h"
#include "manifest.h"

int printf(const char *format, ...);

static u32 g_count, g_bad;

static void expect(bool runs, const struct sgx_report_body *body, u32 flags, const char *what)
{
    const char *refusal = self_refusal(body, flags);
    bool good = (refusal == NULL) == runs;

    printf("%s %u - %s: %s\n", good ? "ok" : "not ok", ++g_count, what,
           refusal != NULL ? refusal : "runs");
    g_bad += !good;
}

/* Each bit of a 64-bit field: it runs with those of `free`. */
static void each_bit(struct sgx_report_body *body, u64 *field, u64 free, u32 flags,
                     const char *what)
{
    for (u32 bit = 0; bit < 64; bit++) {
        u64 kept = *field;

        *field ^= 1ull << bit;
        expect((free >> bit & 1) != 0, body, flags, what);
        *field = kept;
    }
}

int main(void)
{
    struct sgx_report_body body = {.attributes = {SGX_ATTR_MODE64 | SGX_ATTR_INIT, 7},
                                   .miscselect = 1};
    static const u64 xfrm[][2] = {
        {3, 1},    {7, 1},    {0xe7, 1},  {0, 0},       {1, 0},
        {2, 0},    {6, 0},    {0xe3, 0},  {0x67, 0},    {0xc7, 0},
        {0xa7, 0}, {0x27, 0}, {0x207, 0}, {0x60007, 0}, {1ull << 63 | 7, 0}};

    expect(true, &body, 0, "MODE64 and INIT");
    each_bit(&body, &body.attributes.flags, 0, 0, "ATTRIBUTES without KSS, production");
    each_bit(&body, &body.attributes.flags, SGX_ATTR_DEBUG, MANIFEST_DEBUG,
             "ATTRIBUTES without KSS, debug");
    body.attributes.flags |= SGX_ATTR_KSS;
    body.config_id[31] = 7;
    expect(true, &body, MANIFEST_KSS, "a CONFIGID of 32 bytes");
    each_bit(&body, &body.attributes.flags, 0, MANIFEST_KSS, "ATTRIBUTES with KSS");
    body.attributes.flags |= SGX_ATTR_AEX_NOTIFY;
    expect(true, &body, MANIFEST_KSS | MANIFEST_AEXNOTIFY, "AEX-Notify, as the manifest asks");
    each_bit(&body, &body.attributes.flags, 0, MANIFEST_KSS | MANIFEST_AEXNOTIFY,
             "ATTRIBUTES with KSS and AEX-Notify");
    body.attributes.flags &= ~SGX_ATTR_AEX_NOTIFY;
    for (u32 i = 0; i < 15; i++) {
        body.attributes.xfrm = xfrm[i][0];
        expect(xfrm[i][1] != 0, &body, MANIFEST_KSS, "XFRM");
    }
    body.attributes.xfrm = 0xe7;
    for (u32 i = 32; i < 64; i++) {
        body.config_id[i] = 1;
        expect(false, &body, MANIFEST_KSS, "the tail of CONFIGID");
        body.config_id[i] = 0;
    }
    for (u32 bit = 0; bit < 32; bit++) {
        body.miscselect ^= 1u << bit;
        expect(false, &body, MANIFEST_KSS, "MISCSELECT");
        body.miscselect ^= 1u << bit;
    }
    body.cet_attributes = 1;
    expect(false, &body, MANIFEST_KSS, "CET_ATTRIBUTES");
    body.cet_attributes = 0;
    body.config_svn = 0x100;
    expect(false, &body, MANIFEST_KSS, "CONFIGSVN");
    printf("1..%u\n", g_count);
    return g_bad != 0;
}
