/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/pem.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hex.h"
#include "base/alloc.h"

/* 64 by RFC 7468; chains of 2019 and 2020 have more. */
enum { LINE_MAX_DIGITS = 76 };

/* One more than the value of a base64 digit, 0 for none. */
static const uint8_t g_digits[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* The value of a base64 digit, more than 63 for none. */
static unsigned digit(uint8_t c)
{
    return g_digits[c] - 1u;
}

/* A line without its end, which is \n or \r\n; the last one may have none. */
static bool next_line(struct span *text, struct span *line)
{
    if (!text->size)
        return false;
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end ? (size_t)(end - text->data) : text->size;
    *line = span_of(text->data, size);
    if (end && size && line->data[size - 1] == '\r')
        line->size--;
    size += end ? 1 : 0;
    text->data += size;
    text->size -= size;
    return true;
}

static bool is_marker(struct span line, const char *which, const char *label)
{
    char marker[64];

    snprintf(marker, sizeof(marker), "-----%s %s-----", which, label);
    return span_is(line, marker);
}

/* One line of digits, appended to `out`. `*last` is set by padding. */
static bool decode_line(struct span line, uint8_t **out, bool *last)
{
    if (line.size == 0 || line.size > LINE_MAX_DIGITS || line.size % 4 || *last)
        return false;
    for (size_t i = 0; i < line.size; i += 4) {
        const uint8_t *c = line.data + i;
        unsigned pad = 0;
        if (c[3] == '=')
            pad = c[2] == '=' ? 2 : 1;
        unsigned a = digit(c[0]), b = digit(c[1]);
        unsigned d = pad == 2 ? 0 : digit(c[2]), e = pad ? 0 : digit(c[3]);

        if (a > 63 || b > 63 || d > 63 || e > 63 || *last || (pad == 1 && (d & 3)) ||
            (pad == 2 && (b & 15)))
            return false;
        *last = pad > 0;
        *(*out)++ = (uint8_t)(a << 2 | b >> 4);
        if (pad < 2)
            *(*out)++ = (uint8_t)(b << 4 | d >> 2);
        if (pad < 1)
            *(*out)++ = (uint8_t)(d << 6 | e);
    }
    return true;
}

static int read_pem(struct span text, const char *label, struct pem_objects *out, struct error *err)
{
    uint8_t *at = out->memory = xmalloc(text.size);
    struct span line;

    /* Intel's quoting libraries end the chain in a quote with a NUL. */
    if (text.data[text.size - 1] == 0)
        text.size--;
    while (next_line(&text, &line)) {
        const uint8_t *start = at;
        bool last = false, ended = false;

        if (line.size == 0)
            continue;
        if (!is_marker(line, "BEGIN", label))
            return error_set(err, "not PEM of kind %s", label);
        if (out->count == PEM_OBJECTS_MAX)
            return error_set(err, "more than %d objects", PEM_OBJECTS_MAX);
        while (!ended && next_line(&text, &line)) {
            ended = is_marker(line, "END", label);
            if (!ended && !decode_line(line, &at, &last))
                return error_set(err, "PEM object %zu is damaged", out->count + 1);
        }
        if (!ended)
            return error_set(err, "PEM object %zu has no end", out->count + 1);
        out->objects[out->count++] = span_of(start, (size_t)(at - start));
    }
    return out->count ? 0 : error_set(err, "empty");
}

int pem_read(struct span text, const char *label, struct pem_objects *out, struct error *err)
{
    *out = (struct pem_objects){.count = 0};
    if (text.size == 0)
        return error_set(err, "empty");
    if (text.data[0] == '-' || text.data[0] == '\n' || text.data[0] == '\r')
        return read_pem(text, label, out, err);
    if (text.size >= 2 && text.data[0] == 0x30 && text.data[1] >= 0x80) {
        out->objects[out->count++] = text;
        return 0;
    }
    /* A PCCS serves CRLs as digits, perhaps with a NUL or a line's end behind them. */
    while (text.size && (text.data[text.size - 1] == 0 || text.data[text.size - 1] == '\n'))
        text.size--;
    out->memory = xmalloc(text.size / 2 + 1);
    if (!hex_parse((const char *)text.data, text.size, out->memory, text.size / 2) ||
        text.size < 2 || out->memory[0] != 0x30)
        return error_set(err, "neither PEM nor DER nor DER in hexadecimal digits");
    out->objects[out->count++] = span_of(out->memory, text.size / 2);
    return 0;
}

void pem_release(struct pem_objects *objects)
{
    free(objects->memory);
    *objects = (struct pem_objects){.count = 0};
}
