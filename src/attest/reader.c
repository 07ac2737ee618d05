/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/reader.h"

#include "attest/clock.h"
#include "base/hex.h"

void reader_start(struct reader *r, struct span text)
{
    *r = (struct reader){.at = (const char *)text.data, .end = (const char *)text.data + text.size};
}

bool reader_fail(struct reader *r, const char *problem)
{
    if (!r->problem)
        r->problem = problem;
    return false;
}

void reader_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

/* Take one character after white space; false when another one is there, without a problem. */
static bool accept(struct reader *r, char c)
{
    reader_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool expect(struct reader *r, char c, const char *problem)
{
    return accept(r, c) || reader_fail(r, problem);
}

/* A string as it lies there, and whether it has escapes. */
static bool raw_string(struct reader *r, struct span *out, bool *escaped)
{
    *escaped = false;
    if (!expect(r, '"', "a string is expected"))
        return false;
    const char *start = r->at;
    for (; r->at < r->end && *r->at != '"'; r->at++) {
        if ((unsigned char)*r->at < ' ')
            return reader_fail(r, "a string has a control character");
        if (*r->at == '\\') {
            *escaped = true;
            if (++r->at == r->end || !strchr("\"\\/bfnrtu", *r->at))
                return reader_fail(r, "a string has an escape that is none");
        }
    }
    if (r->at == r->end)
        return reader_fail(r, "a string has no end");
    *out = span_of(start, (size_t)(r->at++ - start));
    return true;
}

bool reader_string(struct reader *r, struct span *out)
{
    bool escaped;

    return raw_string(r, out, &escaped) &&
           (!escaped || reader_fail(r, "a string has escapes, which have no place here"));
}

bool reader_hex(struct reader *r, uint8_t *out, size_t size)
{
    struct span text;

    return reader_string(r, &text) &&
           (hex_parse((const char *)text.data, text.size, out, size) ||
            reader_fail(r, "not the right number of hexadecimal digits"));
}

bool reader_date(struct reader *r, int64_t *out)
{
    struct span text;

    return reader_string(r, &text) &&
           (clock_parse((const char *)text.data, text.size, out) || reader_fail(r, "not a date"));
}

bool reader_uint(struct reader *r, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    reader_space(r);
    const char *start = r->at;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        value = value * 10 + (uint64_t)(*r->at - '0');
        if (value > max || r->at - start > 18)
            return reader_fail(r, "a number is too large");
    }
    if (r->at == start || (*start == '0' && r->at - start > 1) ||
        (r->at < r->end && (*r->at == '.' || *r->at == 'e' || *r->at == 'E')))
        return reader_fail(r, "an integer, not negative, is expected");
    *out = value;
    return true;
}

static bool enter(struct reader *r)
{
    return ++r->depth <= READER_DEPTH_MAX || reader_fail(r, "nested too deeply");
}

static bool reader_skip(struct reader *r);

static bool take_member(struct reader *r, const struct reader_field *fields, size_t count,
                        void *ctx, uint64_t *seen)
{
    struct span key, outer = r->where;
    size_t i = 0;

    if (!reader_string(r, &key) || !expect(r, ':', "\":\" is expected"))
        return false;
    while (i < count && !span_is(key, fields[i].name))
        i++;
    r->where = key;
    if (i == count            ? !reader_skip(r)
        : (*seen & 1ull << i) ? !reader_fail(r, "a member is there twice")
                              : !fields[i].read(r, ctx))
        return reader_fail(r, "cannot be read");
    if (i < count)
        *seen |= 1ull << i;
    r->where = outer;
    return true;
}

bool reader_object(struct reader *r, const struct reader_field *fields, size_t count, void *ctx)
{
    uint64_t seen = 0;

    if (!expect(r, '{', "an object is expected") || !enter(r))
        return false;
    if (!accept(r, '}')) {
        do {
            if (!take_member(r, fields, count, ctx, &seen))
                return false;
        } while (accept(r, ','));
        if (!expect(r, '}', "\",\" or \"}\" is expected"))
            return false;
    }
    r->depth--;
    for (size_t i = 0; i < count; i++)
        if (fields[i].required && !(seen & 1ull << i)) {
            r->where = span_of(fields[i].name, strlen(fields[i].name));
            return reader_fail(r, "is missing");
        }
    return true;
}

bool reader_array(struct reader *r, bool (*read)(struct reader *r, void *ctx), void *ctx)
{
    if (!expect(r, '[', "an array is expected") || !enter(r))
        return false;
    if (!accept(r, ']')) {
        do {
            if (!read(r, ctx))
                return reader_fail(r, "cannot be read");
        } while (accept(r, ','));
        if (!expect(r, ']', "\",\" or \"]\" is expected"))
            return false;
    }
    r->depth--;
    return true;
}

static bool skip_element(struct reader *r, void *ctx)
{
    return reader_skip(r);
}

/* A number or a word: [-+.0-9A-Za-z]*, which is laxer than JSON; what is skipped has no meaning. */
static bool skip_word(struct reader *r)
{
    const char *start = r->at;

    while (r->at < r->end && (strchr("+-.", *r->at) || (*r->at >= '0' && *r->at <= '9') ||
                              ((*r->at | 0x20) >= 'a' && (*r->at | 0x20) <= 'z')))
        r->at++;
    return r->at > start || reader_fail(r, "a value is expected");
}

static bool reader_skip(struct reader *r)
{
    struct span text;
    bool escaped;

    reader_space(r);
    if (r->at == r->end)
        return reader_fail(r, "ends too early");
    switch (*r->at) {
    case '{':
        return reader_object(r, NULL, 0, NULL);
    case '[':
        return reader_array(r, skip_element, NULL);
    case '"':
        return raw_string(r, &text, &escaped);
    default:
        return skip_word(r);
    }
}

bool reader_end(struct reader *r)
{
    reader_space(r);
    return r->at == r->end || reader_fail(r, "something follows the object");
}
