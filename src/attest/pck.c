/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/pck.h"

#include <errno.h>

#include "attest/der.h"

/* Numbers under the extension's own OID, and under .2 (TCB) and .7 (configuration). */
enum { PCK_PPID = 1, PCK_TCB, PCK_PCEID, PCK_FMSPC, PCK_TYPE, PCK_INSTANCE, PCK_CONFIGURATION };
enum { TCB_PCESVN = 17, TCB_CPUSVN = 18 };

static bool take_octets(struct span *in, uint8_t *out, size_t size)
{
    struct span bytes;

    if (!der_take(in, DER_OCTET_STRING, &bytes) || bytes.size != size)
        return false;
    memcpy(out, bytes.data, size);
    return true;
}

static bool parse_tcb_pair(unsigned number, struct span *value, struct pck *out)
{
    uint64_t svn;

    if (number == TCB_CPUSVN)
        return take_octets(value, out->cpusvn, sizeof(out->cpusvn));
    if (number < 1 || number > TCB_PCESVN ||
        !der_uint(value, DER_INTEGER, number == TCB_PCESVN ? UINT16_MAX : UINT8_MAX, &svn))
        return false;
    if (number == TCB_PCESVN)
        out->pcesvn = (uint16_t)svn;
    else
        out->components[number - 1] = (uint8_t)svn;
    return true;
}

static bool parse_configuration_pair(unsigned number, struct span *value, struct pck *out)
{
    int *const flags[] = {&out->dynamic_platform, &out->cached_keys, &out->smt};
    bool flag;

    if (number < 1 || number > 3 || !der_bool(value, &flag))
        return false;
    *flags[number - 1] = flag;
    return true;
}

static bool parse_pairs(struct span value, const uint8_t *prefix, size_t prefix_size,
                        bool (*parse)(unsigned number, struct span *value, struct pck *out),
                        uint32_t needed, struct pck *out);

static bool parse_pair(unsigned number, struct span *value, struct pck *out)
{
    static const uint8_t tcb[] = {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01, 0x02};
    static const uint8_t configuration[] = {0x2a, 0x86, 0x48, 0x86, 0xf8,
                                            0x4d, 0x01, 0x0d, 0x01, 0x07};
    uint8_t instance[16];
    uint64_t type;

    switch (number) {
    case PCK_PPID:
        return take_octets(value, out->ppid, sizeof(out->ppid));
    case PCK_TCB: {
        struct span whole;
        return der_take_whole(value, DER_SEQUENCE, &whole) &&
               parse_pairs(whole, tcb, sizeof(tcb), parse_tcb_pair, 0x7fffe, out);
    }
    case PCK_PCEID:
        return take_octets(value, out->pceid, sizeof(out->pceid));
    case PCK_FMSPC:
        return take_octets(value, out->fmspc, sizeof(out->fmspc));
    case PCK_TYPE:
        if (!der_uint(value, DER_ENUMERATED, PCK_SCALABLE_WITH_INTEGRITY, &type))
            return false;
        out->type = (enum pck_type)type;
        return true;
    case PCK_INSTANCE:
        return take_octets(value, instance, sizeof(instance));
    case PCK_CONFIGURATION: {
        struct span whole;
        return der_take_whole(value, DER_SEQUENCE, &whole) &&
               parse_pairs(whole, configuration, sizeof(configuration), parse_configuration_pair, 0,
                           out);
    }
    default:
        return false;
    }
}

/*
 * SEQUENCE OF SEQUENCE { OID prefix.number, value }. Each number once, and all whose bits are in
 * `needed`.
 */
static bool parse_pairs(struct span value, const uint8_t *prefix, size_t prefix_size,
                        bool (*parse)(unsigned number, struct span *value, struct pck *out),
                        uint32_t needed, struct pck *out)
{
    struct span pairs, pair, oid;
    uint32_t seen = 0;

    if (!der_take(&value, DER_SEQUENCE, &pairs) || value.size)
        return false;
    while (pairs.size) {
        if (!der_take(&pairs, DER_SEQUENCE, &pair) || !der_oid(&pair, &oid) ||
            oid.size != prefix_size + 1 || memcmp(oid.data, prefix, prefix_size) != 0)
            return false;
        unsigned number = oid.data[prefix_size];
        if (number > 31 || (seen & 1u << number) || !parse(number, &pair, out) || pair.size)
            return false;
        seen |= 1u << number;
    }
    return (seen & needed) == needed;
}

int pck_parse(struct span extension, struct pck *out, struct error *err)
{
    static const uint8_t prefix[] = {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01};

    *out = (struct pck){.dynamic_platform = -1, .cached_keys = -1, .smt = -1};
    if (!extension.size)
        return error_code(err, EINVAL, "it has no SGX extension");
    if (!parse_pairs(extension, prefix, sizeof(prefix), parse_pair, 0x3e, out))
        return error_code(err, EINVAL, "its SGX extension cannot be read");
    return 0;
}
