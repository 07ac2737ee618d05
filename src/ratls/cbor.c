/* SPDX-License-Identifier: Apache-2.0 */
#include "ratls/cbor.h"

bool cbor_head(struct span *in, enum cbor_major major, uint64_t *value)
{
    struct span rest = *in, first, bytes;

    if (!span_cut(&rest, 1, &first) || first.data[0] >> 5 != (unsigned)major)
        return false;
    unsigned info = first.data[0] & 31;
    *value = info;
    if (info >= 24) {
        if (info > 27 || !span_cut(&rest, 1u << (info - 24), &bytes))
            return false;
        *value = 0;
        for (size_t i = 0; i < bytes.size; i++)
            *value = *value << 8 | bytes.data[i];
    }
    *in = rest;
    return true;
}

bool cbor_string(struct span *in, enum cbor_major major, struct span *out)
{
    struct span rest = *in;
    uint64_t size;

    if (!cbor_head(&rest, major, &size) || size > rest.size || !span_cut(&rest, size, out))
        return false;
    *in = rest;
    return true;
}

void cbor_put_head(struct buffer *out, enum cbor_major major, uint64_t value)
{
    unsigned info = value < 24 ? (unsigned)value : 24, size = 0;

    if (value >= 24) {
        for (size = 1; size < 8 && value >> (8 * size); size *= 2)
            info++;
    }
    buffer_append_char(out, (char)((unsigned)major << 5 | info));
    for (unsigned i = size; i-- > 0;)
        buffer_append_char(out, (char)(value >> (8 * i)));
}

void cbor_put_string(struct buffer *out, enum cbor_major major, const void *data, size_t size)
{
    cbor_put_head(out, major, size);
    buffer_append(out, data, size);
}
