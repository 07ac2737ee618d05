/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/quote.h"

#include <errno.h>

enum { ATTESTATION_KEY_P256 = 2, TEE_SGX = 0, TEE_TDX = 0x81 };

static const uint8_t g_intel_vendor[16] = {0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                           0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07};

static int too_short(const char *what, struct error *err)
{
    return error_code(err, EINVAL, "the quote ends in its %s", what);
}

static bool cut_u16(struct span *from, unsigned *out)
{
    struct span bytes;

    if (!span_cut(from, 2, &bytes))
        return false;
    *out = read_le16(bytes.data);
    return true;
}

static bool cut_u32(struct span *from, uint32_t *out)
{
    struct span bytes;

    if (!span_cut(from, 4, &bytes))
        return false;
    *out = read_le32(bytes.data);
    return true;
}

static bool cut_array(struct span *from, size_t size, const uint8_t **out)
{
    struct span bytes;

    if (!span_cut(from, size, &bytes))
        return false;
    *out = bytes.data;
    return true;
}

/* Type u16, size u32, bytes. */
static bool cut_certification(struct span *from, unsigned *type, struct span *out)
{
    uint32_t size;

    return cut_u16(from, type) && cut_u32(from, &size) && span_cut(from, size, out);
}

static int parse_header(const uint8_t *header, struct quote *out, unsigned *tee, struct error *err)
{
    unsigned key_type = read_le16(header + 2);

    out->version = read_le16(header);
    if (out->version < 3 || out->version > 5)
        return error_code(err, EINVAL, "quote version %u is not one of 3, 4 and 5", out->version);
    if (key_type != ATTESTATION_KEY_P256)
        return error_code(err, EINVAL, "attestation key type %u is not ECDSA P-256 (2)", key_type);
    if (memcmp(header + 12, g_intel_vendor, sizeof(g_intel_vendor)) != 0)
        return error_code(err, EINVAL, "the quoting enclave's vendor is not Intel");
    *tee = read_le32(header + 4);
    if (out->version == 3)
        *tee = TEE_SGX; /* reserved in this version, and signed */
    if (*tee != TEE_SGX && *tee != TEE_TDX)
        return error_code(err, EINVAL, "TEE type 0x%x is neither SGX (0) nor TDX (0x81)", *tee);
    return 0;
}

/* Kind and size of the body that comes next; version 5 says them, older ones imply them. */
static int parse_body_kind(struct span *rest, unsigned tee, struct quote *out, size_t *size,
                           struct error *err)
{
    static const size_t sizes[] = {[QUOTE_BODY_SGX] = sizeof(struct sgx_report_body),
                                   [QUOTE_BODY_TD10] = TD_REPORT10_SIZE,
                                   [QUOTE_BODY_TD15] = TD_REPORT15_SIZE};
    unsigned type = tee == TEE_TDX ? QUOTE_BODY_TD10 : QUOTE_BODY_SGX;

    if (out->version == 5) {
        uint32_t said;
        if (!cut_u16(rest, &type) || !cut_u32(rest, &said))
            return too_short("body's size", err);
        if (type < QUOTE_BODY_SGX || type > QUOTE_BODY_TD15 || said != sizes[type] ||
            (type == QUOTE_BODY_SGX) != (tee == TEE_SGX))
            return error_code(err, EINVAL,
                              "body type %u of %u bytes is not known for TEE type 0x%x", type, said,
                              tee);
    }
    out->body_type = (enum quote_body)type;
    *size = sizes[type];
    return 0;
}

static int parse_body(struct span evidence, struct span *rest, struct quote *out, struct error *err)
{
    struct span header, body;
    unsigned tee = 0;
    size_t size = 0;

    if (!span_cut(rest, QUOTE_HEADER_SIZE, &header))
        return too_short("header", err);
    int rc = parse_header(header.data, out, &tee, err);
    if (rc == 0)
        rc = parse_body_kind(rest, tee, out, &size, err);
    if (rc < 0)
        return rc;
    if (!span_cut(rest, size, &body))
        return too_short("body", err);
    if (out->body_type == QUOTE_BODY_SGX)
        memcpy(&out->report, body.data, sizeof(out->report));
    else
        memcpy(&out->td, body.data, body.size);
    out->signed_bytes = span_of(evidence.data, (size_t)(rest->data - evidence.data));
    return 0;
}

/* QE report, its signature, authentication data, and what certifies the key of that signature. */
static int parse_qe(struct span *in, struct quote *out, struct error *err)
{
    unsigned size;

    if (!span_cut(in, sizeof(out->qe_report), &out->qe_report_bytes) ||
        !cut_array(in, 64, &out->qe_signature))
        return too_short("QE report", err);
    memcpy(&out->qe_report, out->qe_report_bytes.data, sizeof(out->qe_report));
    if (!cut_u16(in, &size) || !span_cut(in, size, &out->auth_data))
        return too_short("authentication data", err);
    if (!cut_certification(in, &out->certification_type, &out->certification))
        return too_short("certification data", err);
    if (in->size)
        return error_code(err, EINVAL, "%zu bytes follow the certification data", in->size);
    if (out->certification_type < CERTIFICATION_PPID ||
        out->certification_type > CERTIFICATION_PCK_CHAIN)
        return error_code(err, EINVAL, "certification data of type %u cannot certify a key",
                          out->certification_type);
    return 0;
}

static int parse_signature(struct span data, struct quote *out, struct error *err)
{
    struct span nested;
    unsigned type;

    if (!cut_array(&data, 64, &out->signature) || !cut_array(&data, 64, &out->key))
        return too_short("signature", err);
    if (out->version == 3)
        return parse_qe(&data, out, err);
    if (!cut_certification(&data, &type, &nested))
        return too_short("certification data", err);
    if (type != CERTIFICATION_QE_REPORT || data.size)
        return error_code(err, EINVAL,
                          "certification data of type %u, where version %u has a QE report (6)",
                          type, out->version);
    return parse_qe(&nested, out, err);
}

int quote_parse(struct span evidence, struct quote *out, struct error *err)
{
    struct span rest = evidence, data;
    uint32_t size;

    *out = (struct quote){.version = 0};
    if (evidence.size > QUOTE_SIZE_MAX)
        return error_code(err, EINVAL, "%zu bytes are too many for a quote", evidence.size);
    int rc = parse_body(evidence, &rest, out, err);
    if (rc < 0)
        return rc;
    if (!cut_u32(&rest, &size))
        return too_short("signature's size", err);
    if (!span_cut(&rest, size, &data))
        return error_code(err, EINVAL, "the quote has %zu bytes of a signature of %u", rest.size,
                          size);
    out->size = evidence.size - rest.size;
    return parse_signature(data, out, err);
}
