/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/der.h"

#include "attest/clock.h"

bool der_any(struct span *in, unsigned *tag, struct span *content, struct span *whole)
{
    const uint8_t *start = in->data;
    struct span head, rest = *in;
    size_t length;

    if (!span_cut(&rest, 2, &head) || (head.data[0] & 0x1f) == 0x1f)
        return false;
    *tag = head.data[0];
    length = head.data[1];
    if (length >= 0x80) {
        size_t count = length & 0x7f;
        struct span bytes;

        if (count < 1 || count > 3 || !span_cut(&rest, count, &bytes) || bytes.data[0] == 0)
            return false;
        length = 0;
        for (size_t i = 0; i < count; i++)
            length = length << 8 | bytes.data[i];
        if (length < 0x80)
            return false;
    }
    if (!span_cut(&rest, length, content))
        return false;
    if (whole)
        *whole = span_of(start, (size_t)(rest.data - start));
    *in = rest;
    return true;
}

bool der_take(struct span *in, unsigned tag, struct span *content)
{
    unsigned found;

    return der_any(in, &found, content, NULL) && found == tag;
}

bool der_take_whole(struct span *in, unsigned tag, struct span *whole)
{
    struct span content;
    unsigned found;

    return der_any(in, &found, &content, whole) && found == tag;
}

bool der_next_is(const struct span *in, unsigned tag)
{
    return in->size > 0 && in->data[0] == tag;
}

bool der_uint(struct span *in, unsigned tag, uint64_t max, uint64_t *out)
{
    struct span bytes;
    uint64_t value = 0;

    if (!der_take(in, tag, &bytes) || bytes.size < 1 || bytes.size > 8 || bytes.data[0] >= 0x80 ||
        (bytes.size > 1 && bytes.data[0] == 0 && bytes.data[1] < 0x80))
        return false;
    for (size_t i = 0; i < bytes.size; i++)
        value = value << 8 | bytes.data[i];
    *out = value;
    return value <= max;
}

bool der_bool(struct span *in, bool *out)
{
    struct span bytes;

    if (!der_take(in, DER_BOOLEAN, &bytes) || bytes.size != 1 ||
        (bytes.data[0] != 0 && bytes.data[0] != 0xff))
        return false;
    *out = bytes.data[0] != 0;
    return true;
}

bool der_oid(struct span *in, struct span *out)
{
    bool first = true; /* of a number */

    if (!der_take(in, DER_OID, out) || !out->size)
        return false;
    for (size_t i = 0; i < out->size; i++) {
        if (first && out->data[i] == 0x80)
            return false;
        first = out->data[i] < 0x80;
    }
    return first;
}

static bool two_digits(const uint8_t *at, unsigned *out)
{
    if (at[0] < '0' || at[0] > '9' || at[1] < '0' || at[1] > '9')
        return false;
    *out = (unsigned)(at[0] - '0') * 10 + (unsigned)(at[1] - '0');
    return true;
}

bool der_time(struct span *in, int64_t *out)
{
    unsigned tag, part[7] = {0};
    struct span text;

    if (!der_any(in, &tag, &text, NULL))
        return false;
    /* YYMMDDhhmmssZ or YYYYMMDDhhmmssZ: two digits at a time, the century where there is one. */
    size_t first = tag == DER_UTC_TIME ? 1 : 0;
    if ((tag != DER_UTC_TIME && tag != DER_GENERALIZED_TIME) || text.size != (7 - first) * 2 + 1 ||
        text.data[text.size - 1] != 'Z')
        return false;
    for (size_t i = first; i < 7; i++)
        if (!two_digits(text.data + (i - first) * 2, &part[i]))
            return false;
    if (first)
        part[0] = part[1] >= 50 ? 19 : 20;
    return clock_from_civil(part[0] * 100 + part[1], part[2], part[3], part[4], part[5], part[6],
                            out);
}
