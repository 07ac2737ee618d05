/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that somebody else owns. What evidence and collateral are read into: nothing is copied. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *data;
    size_t size;
};

static inline struct span span_of(const void *data, size_t size)
{
    return (struct span){data, size};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool span_is(struct span a, const char *text)
{
    return span_equal(a, span_of(text, strlen(text)));
}

/* Cut `size` bytes off the front; false (and nothing cut) when there are fewer. */
static inline bool span_cut(struct span *from, size_t size, struct span *out)
{
    if (from->size < size)
        return false;
    *out = span_of(from->data, size);
    from->data += size;
    from->size -= size;
    return true;
}

static inline bool span_is_zero(struct span a)
{
    for (size_t i = 0; i < a.size; i++)
        if (a.data[i])
            return false;
    return true;
}

static inline uint16_t read_le16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t read_le32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t read_le64(const uint8_t *at)
{
    return read_le32(at) | (uint64_t)read_le32(at + 4) << 32;
}
