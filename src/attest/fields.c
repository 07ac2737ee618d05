/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/fields.h"

#include "attest/quote.h"
#include "attest/snp.h"
#include "base/cleanup.h"

#define SGX(name, member)                                                            \
    {                                                                                \
        name, ATTEST_TEE_SGX, FIELD_BYTES, offsetof(struct sgx_report_body, member), \
            sizeof(((struct sgx_report_body *)0)->member)                            \
    }
#define SGX_NUMBER(name, member)                                                      \
    {                                                                                 \
        name, ATTEST_TEE_SGX, FIELD_NUMBER, offsetof(struct sgx_report_body, member), \
            sizeof(((struct sgx_report_body *)0)->member)                             \
    }
#define TDX(name, member)                                                      \
    {                                                                          \
        name, ATTEST_TEE_TDX, FIELD_BYTES, offsetof(struct td_report, member), \
            sizeof(((struct td_report *)0)->member)                            \
    }
#define SNP(name, kind, offset, size)            \
    {                                            \
        name, ATTEST_TEE_SNP, kind, offset, size \
    }

const struct field g_fields[] = {
    SGX("mrenclave", mrenclave),
    SGX("mrsigner", mrsigner),
    SGX("configid", config_id),
    SGX_NUMBER("isv_prod_id", isv_prod_id),
    SGX_NUMBER("isv_svn", isv_svn),
    SGX_NUMBER("config_svn", config_svn),
    SGX("isv_ext_prod_id", isv_ext_prod_id),
    SGX("isv_family_id", isv_family_id),
    SGX("attributes", attributes),
    SGX_NUMBER("miscselect", miscselect),
    SGX("cpusvn", cpu_svn),
    SGX("report_data", report_data),
    TDX("mrtd", mrtd),
    TDX("rtmr0", rtmr[0]),
    TDX("rtmr1", rtmr[1]),
    TDX("rtmr2", rtmr[2]),
    TDX("rtmr3", rtmr[3]),
    TDX("mrconfigid", mrconfigid),
    TDX("mrowner", mrowner),
    TDX("mrownerconfig", mrownerconfig),
    TDX("mrservicetd", mrservicetd),
    TDX("mrseam", mrseam),
    TDX("td_attributes", attributes),
    TDX("xfam", xfam),
    TDX("tee_tcb_svn", tee_tcb_svn),
    TDX("report_data", report_data),
    SNP("measurement", FIELD_BYTES, 0x90, 48),
    SNP("host_data", FIELD_BYTES, 0xc0, 32),
    SNP("id_key_digest", FIELD_BYTES, 0xe0, 48),
    SNP("author_key_digest", FIELD_BYTES, 0x110, 48),
    SNP("family_id", FIELD_BYTES, 0x10, 16),
    SNP("image_id", FIELD_BYTES, 0x20, 16),
    SNP("chip_id", FIELD_BYTES, 0x1a0, 64),
    SNP("guest_svn", FIELD_NUMBER, 0x04, 4),
    SNP("vmpl", FIELD_NUMBER, 0x30, 4),
    SNP("tcb_boot_loader", FIELD_NUMBER, SNP_SVN_AT(SNP_BOOT_LOADER), 1),
    SNP("tcb_tee", FIELD_NUMBER, SNP_SVN_AT(SNP_TEE), 1),
    SNP("tcb_snp", FIELD_NUMBER, SNP_SVN_AT(SNP_FIRMWARE), 1),
    SNP("tcb_microcode", FIELD_NUMBER, SNP_SVN_AT(SNP_MICROCODE), 1),
    SNP("tcb_fmc", FIELD_NUMBER, SNP_SVN_AT(SNP_FMC), 1),
    SNP("guest_policy", FIELD_BYTES, 0x08, 8),
    SNP("report_data", FIELD_BYTES, 0x50, 64),
};
const size_t g_field_count = array_count(g_fields);

static bool is_named(const struct field *field, const char *name, size_t size)
{
    return span_equal(span_of(field->name, strlen(field->name)), span_of(name, size));
}

const struct field *field_find(enum attest_tee tee, const char *name, size_t size)
{
    for (size_t i = 0; i < g_field_count; i++)
        if (g_fields[i].tee == tee && is_named(&g_fields[i], name, size))
            return &g_fields[i];
    return NULL;
}

const struct field *field_named(const char *name, size_t size, size_t i)
{
    for (size_t at = 0; at < g_field_count; at++)
        if (is_named(&g_fields[at], name, size) && i-- == 0)
            return &g_fields[at];
    return NULL;
}

uint64_t field_number(const struct field *field, const uint8_t *body)
{
    const uint8_t *at = body + field->offset;

    switch (field->size) {
    case 1:
        return *at;
    case 2:
        return read_le16(at);
    case 4:
        return read_le32(at);
    default:
        return read_le64(at);
    }
}
