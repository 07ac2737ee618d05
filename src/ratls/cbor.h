/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CBOR (RFC 8949), as far as RA-TLS evidence needs it: unsigned integers, strings, arrays, maps and
 * tags of definite length. As in attest/der.h, a function takes what it reads off the front of `in`
 * and returns false where that is not there.
 */
#pragma once

#include "attest/span.h"
#include "base/buffer.h"

enum cbor_major {
    CBOR_UINT = 0,
    CBOR_BYTES = 2,
    CBOR_TEXT = 3,
    CBOR_ARRAY = 4,
    CBOR_MAP = 5,
    CBOR_TAG = 6,
};

/* The head of an item of that kind: its number, count, length or tag. */
bool cbor_head(struct span *in, enum cbor_major major, uint64_t *value);
/* A byte or text string. */
bool cbor_string(struct span *in, enum cbor_major major, struct span *out);

void cbor_put_head(struct buffer *out, enum cbor_major major, uint64_t value);
void cbor_put_string(struct buffer *out, enum cbor_major major, const void *data, size_t size);
