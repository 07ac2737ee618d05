/* SPDX-License-Identifier: Apache-2.0 */
#include "base/toml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/hex.h"

enum { DEPTH_MAX = 32, NUMBER_MAX = 80 };

struct reader {
    const char *name, *p, *end;
    unsigned line, depth;
    struct toml *out;
    char *table; /* of the last header, "" before the first */
    struct error *err;
};

static int fail(struct reader *r, const char *what)
{
    return error_set(r->err, "%s:%u: %s", r->name, r->line, what);
}

static int peek(const struct reader *r)
{
    return r->p < r->end ? (unsigned char)*r->p : -1;
}

static bool at(const struct reader *r, const char *text)
{
    size_t size = strlen(text);
    return (size_t)(r->end - r->p) >= size && memcmp(r->p, text, size) == 0;
}

static void skip_blanks(struct reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t')
        r->p++;
}

static bool at_line_end(const struct reader *r)
{
    return r->p == r->end || at(r, "\n") || at(r, "\r\n");
}

static void skip_line_end(struct reader *r)
{
    if (at(r, "\r\n"))
        r->p++;
    if (r->p < r->end) {
        r->p++;
        r->line++;
    }
}

static int skip_comment(struct reader *r)
{
    if (peek(r) != '#')
        return 0;
    for (; !at_line_end(r); r->p++)
        if ((peek(r) < ' ' && peek(r) != '\t') || peek(r) == 0x7f)
            return fail(r, "a control character in a comment");
    return 0;
}

/* Blanks, comments and line ends: what may stand between the elements of an array. */
static int skip_space(struct reader *r)
{
    for (;;) {
        skip_blanks(r);
        if (skip_comment(r) < 0)
            return -1;
        if (r->p == r->end || !at_line_end(r))
            return 0;
        skip_line_end(r);
    }
}

/* --- strings --------------------------------------------------------------------------------- */

static void append_utf8(struct buffer *out, uint32_t code)
{
    if (code < 0x80) {
        buffer_append_char(out, (char)code);
        return;
    }
    int more = 1 + (code >= 0x800) + (code >= 0x10000);
    static const unsigned char first[] = {0, 0xc0, 0xe0, 0xf0};
    buffer_append_char(out, (char)(first[more] | code >> (6 * more)));
    while (more-- > 0)
        buffer_append_char(out, (char)(0x80 | (code >> (6 * more) & 0x3f)));
}

static int read_unicode(struct reader *r, int digits, struct buffer *out)
{
    uint32_t code = 0;
    for (int i = 0; i < digits; i++) {
        int digit = hex_digit((char)peek(r));
        if (digit < 0)
            return fail(r, "\\u takes 4 hexadecimal digits, \\U takes 8");
        code = code << 4 | (uint32_t)digit;
        r->p++;
    }
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return fail(r, "an escape that is no character");
    append_utf8(out, code);
    return 0;
}

static int read_escape(struct reader *r, bool lines, struct buffer *out)
{
    static const char names[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
    int c = peek(r);
    const char *found = c > 0 ? strchr(names, c) : NULL;
    if (found) {
        r->p++;
        buffer_append_char(out, values[found - names]);
        return 0;
    }
    if (c == 'u' || c == 'U') {
        r->p++;
        return read_unicode(r, c == 'u' ? 4 : 8, out);
    }
    if (lines) {
        skip_blanks(r);
        if (r->p < r->end && at_line_end(r)) {
            while (r->p < r->end && (at_line_end(r) || peek(r) == ' ' || peek(r) == '\t'))
                if (at_line_end(r))
                    skip_line_end(r);
                else
                    r->p++;
            return 0;
        }
    }
    return fail(r, "an escape that is not known; a backslash is written \\\\");
}

/* `quote` is one of " ' """ '''; the reader is behind it. */
static int read_quoted(struct reader *r, const char *quote, struct buffer *out)
{
    bool lines = quote[1] != '\0', escapes = quote[0] == '"';
    if (lines && r->p < r->end && at_line_end(r))
        skip_line_end(r);
    for (;;) {
        int c = peek(r);
        if (c < 0 || (!lines && at_line_end(r)))
            return fail(r, "a string has no end");
        if (at(r, quote)) {
            r->p += strlen(quote);
            /* Up to two more quotes belong to the text. */
            for (int i = 0; lines && i < 2 && peek(r) == quote[0]; i++) {
                buffer_append_char(out, quote[0]);
                r->p++;
            }
            return 0;
        }
        if (at_line_end(r)) {
            buffer_append_char(out, '\n');
            skip_line_end(r);
        } else if (c == '\\' && escapes) {
            r->p++;
            if (read_escape(r, lines, out) < 0)
                return -1;
        } else if ((c < ' ' && c != '\t') || c == 0x7f) {
            return fail(r, "a control character in a string");
        } else {
            buffer_append_char(out, (char)c);
            r->p++;
        }
    }
}

static const char *quote_at(const struct reader *r)
{
    static const char *const quotes[] = {"\"\"\"", "'''", "\"", "'"};
    for (size_t i = 0; i < array_count(quotes); i++)
        if (at(r, quotes[i]))
            return quotes[i];
    return NULL;
}

/* --- keys ------------------------------------------------------------------------------------ */

static bool is_bare(int c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || c == '-';
}

static int read_key_part(struct reader *r, struct buffer *out)
{
    const char *quote = quote_at(r);
    if (!quote) {
        const char *start = r->p;
        while (is_bare(peek(r)))
            r->p++;
        if (r->p == start)
            return fail(r, "a key is expected");
        buffer_append(out, start, (size_t)(r->p - start));
        return 0;
    }
    if (quote[1])
        return fail(r, "a key is expected, not a string of several lines");
    r->p++;
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (read_quoted(r, quote, &text) < 0)
        return -1;
    bool bare = text.size > 0;
    for (size_t i = 0; i < text.size; i++)
        bare = bare && is_bare((unsigned char)text.data[i]);
    buffer_append_format(out, bare ? "%s" : "\"%s\"", buffer_text(&text));
    return 0;
}

static int read_key(struct reader *r, struct buffer *out)
{
    for (;;) {
        skip_blanks(r);
        if (read_key_part(r, out) < 0)
            return -1;
        skip_blanks(r);
        if (peek(r) != '.')
            return 0;
        r->p++;
        buffer_append_char(out, '.');
    }
}

/* --- values ---------------------------------------------------------------------------------- */

static int read_value(struct reader *r, struct toml_entry *out);

/* The text of a number without its underscores, which stand between two digits. */
static int number_text(struct reader *r, char text[NUMBER_MAX])
{
    size_t size = 0;
    char last = '\0';
    for (;; r->p++) {
        int c = peek(r);
        if (!is_bare(c) && c != '+' && c != '.' && c != ':')
            break;
        if (c == '_' && (!is_bare(last) || last == '_' || r->p + 1 == r->end || !is_bare(r->p[1])))
            return fail(r, "an underscore in a number stands between two digits");
        last = (char)c;
        if (c != '_') {
            if (size + 1 == NUMBER_MAX)
                return fail(r, "a number is too long");
            text[size++] = (char)c;
        }
    }
    text[size] = '\0';
    return 0;
}

static int read_number(struct reader *r, struct toml_entry *out)
{
    char text[NUMBER_MAX] = ""; /* the analyzer does not see that a prefix is there */
    const char *start = r->p;
    if (number_text(r, text) < 0)
        return -1;
    const char *digits = text + (text[0] == '+' || text[0] == '-');
    if (strcmp(digits, "inf") == 0 || strcmp(digits, "nan") == 0)
        return 0;
    if (*digits < '0' || *digits > '9') {
        r->p = start;
        return fail(r,
                    "a value is expected: \"text in quotes\", a number, true, false, [a list] or "
                    "{a table}");
    }
    static const struct {
        const char *prefix, *digits;
        int base;
    } forms[] = {{"0x", "0123456789abcdefABCDEF", 16},
                 {"0o", "01234567", 8},
                 {"0b", "01", 2},
                 {"", "0123456789", 10}};
    size_t form = 0;
    while (strncmp(digits, forms[form].prefix, strlen(forms[form].prefix)) != 0)
        form++;
    const char *body = digits + strlen(forms[form].prefix);
    if (*body == '\0' || body[strspn(body, forms[form].digits)] != '\0') {
        if (body[strspn(body, "0123456789+-.:eEtTzZ")] != '\0' || forms[form].base != 10)
            return fail(r, "this is no number; text stands in \"quotes\"");
        return 0; /* a float, a date or a time */
    }
    if (forms[form].base == 10 && body[0] == '0' && body[1] != '\0')
        return fail(r, "a number begins with 0");
    errno = 0;
    bool negative = text[0] == '-';
    unsigned long long value = strtoull(body, NULL, forms[form].base);
    if (errno != 0 || value > (unsigned long long)INT64_MAX + negative)
        return fail(r, "a number is out of range");
    out->type = TOML_INTEGER;
    out->number = negative ? (int64_t)(0 - value) : (int64_t)value;
    return 0;
}

static int read_array(struct reader *r)
{
    r->p++;
    for (;;) {
        if (skip_space(r) < 0)
            return -1;
        if (peek(r) == ']')
            break;
        struct toml_entry element = {0};
        int ret = read_value(r, &element);
        free(element.text);
        if (ret < 0 || skip_space(r) < 0)
            return -1;
        if (peek(r) == ',')
            r->p++;
        else if (peek(r) != ']')
            return fail(r, "an array goes on with a comma, or ends with ]");
    }
    r->p++;
    return 0;
}

static int read_inline_table(struct reader *r)
{
    r->p++;
    skip_blanks(r);
    for (bool first = true; peek(r) != '}'; first = false) {
        cleanup_buffer struct buffer key = BUFFER_INIT;
        struct toml_entry element = {0};
        if (!first) {
            if (peek(r) != ',')
                return fail(r, "a table in braces goes on with a comma, or ends with }");
            r->p++;
        }
        if (read_key(r, &key) < 0)
            return -1;
        if (peek(r) != '=')
            return fail(r, "= is expected");
        r->p++;
        skip_blanks(r);
        int ret = read_value(r, &element);
        free(element.text);
        if (ret < 0)
            return -1;
        skip_blanks(r);
    }
    r->p++;
    return 0;
}

static int read_nested(struct reader *r)
{
    if (r->depth == DEPTH_MAX)
        return fail(r, "values are nested too deeply");
    r->depth++;
    int ret = peek(r) == '[' ? read_array(r) : read_inline_table(r);
    r->depth--;
    return ret;
}

static int read_value(struct reader *r, struct toml_entry *out)
{
    out->type = TOML_OTHER;
    const char *quote = quote_at(r);
    if (quote) {
        cleanup_buffer struct buffer text = BUFFER_INIT;
        r->p += strlen(quote);
        if (read_quoted(r, quote, &text) < 0)
            return -1;
        out->type = TOML_STRING;
        out->text = buffer_take(&text);
        return 0;
    }
    if (peek(r) == '[' || peek(r) == '{')
        return read_nested(r);
    for (int truth = 0; truth < 2; truth++) {
        const char *word = truth ? "true" : "false";
        size_t size = strlen(word);
        if (at(r, word) && (r->p + size == r->end || !is_bare((unsigned char)r->p[size]))) {
            r->p += size;
            out->type = TOML_BOOLEAN;
            out->truth = truth;
            return 0;
        }
    }
    return read_number(r, out);
}

/* --- lines ----------------------------------------------------------------------------------- */

/* Takes the key's text. A key that was there before is an error, but for an array's elements. */
static struct toml_entry *add(struct reader *r, struct buffer *key, enum toml_type type)
{
    const struct toml_entry *old = toml_find(r->out, buffer_text(key));
    if (old && !strstr(old->key, "[]")) {
        error_set(r->err, "%s:%u: \"%s\" is there a second time (first in line %u)", r->name,
                  r->line, old->key, old->line);
        return NULL;
    }
    r->out->entries = xreallocarray(r->out->entries, r->out->count + 1, sizeof(*r->out->entries));
    struct toml_entry *entry = &r->out->entries[r->out->count++];
    *entry = (struct toml_entry){.key = buffer_take(key), .type = type, .line = r->line};
    return entry;
}

static int read_header(struct reader *r)
{
    cleanup_buffer struct buffer key = BUFFER_INIT;
    bool array = at(r, "[[");
    r->p += array ? 2 : 1;
    if (read_key(r, &key) < 0)
        return -1;
    if (!at(r, array ? "]]" : "]"))
        return fail(r, "the name of a table ends with ]");
    r->p += array ? 2 : 1;
    if (array)
        buffer_append_text(&key, "[]");
    free(r->table);
    r->table = xstrdup(buffer_text(&key));
    return add(r, &key, TOML_TABLE) ? 0 : -1;
}

static int read_assignment(struct reader *r)
{
    cleanup_buffer struct buffer key = BUFFER_INIT;
    if (*r->table)
        buffer_append_format(&key, "%s.", r->table);
    if (read_key(r, &key) < 0)
        return -1;
    if (peek(r) != '=')
        return fail(r, "= is expected");
    r->p++;
    skip_blanks(r);
    struct toml_entry *entry = add(r, &key, TOML_OTHER);
    return entry ? read_value(r, entry) : -1;
}

int toml_read(const char *name, const char *text, size_t size, struct toml *out, struct error *err)
{
    struct reader r = {.name = name,
                       .p = text,
                       .end = text + size,
                       .line = 1,
                       .out = out,
                       .table = xstrdup(""),
                       .err = err};
    *out = (struct toml)TOML_INIT;
    int ret = 0;
    if (size > 0 && memchr(text, '\0', size))
        ret = error_set(err, "%s: it has a zero byte: this is no text", name);
    if (ret == 0 && at(&r, "\xef\xbb\xbf"))
        r.p += 3;
    while (ret == 0) {
        ret = skip_space(&r);
        if (ret < 0 || r.p == r.end)
            break;
        ret = peek(&r) == '[' ? read_header(&r) : read_assignment(&r);
        if (ret < 0)
            break;
        skip_blanks(&r);
        if (skip_comment(&r) < 0)
            ret = -1;
        else if (!at_line_end(&r))
            ret = fail(&r, "the line is not at its end here");
    }
    free(r.table);
    if (ret < 0)
        toml_release(out);
    return ret;
}

const struct toml_entry *toml_find(const struct toml *toml, const char *key)
{
    for (size_t i = 0; i < toml->count; i++)
        if (strcmp(toml->entries[i].key, key) == 0)
            return &toml->entries[i];
    return NULL;
}

const char *toml_type_name(enum toml_type type)
{
    static const char *const names[] = {"a table", "a string", "an integer", "true or false",
                                        "another value"};
    return names[type];
}

void toml_release(struct toml *toml)
{
    for (size_t i = 0; i < toml->count; i++) {
        free(toml->entries[i].key);
        free(toml->entries[i].text);
    }
    free(toml->entries);
    *toml = (struct toml)TOML_INIT;
}
