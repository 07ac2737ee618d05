/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Annotations org.systemd.property.NAME: a unit's property, its value in GVariant's text form
 * ("'text'", "true", "uint64 5", "@as []", "['a', 'b']"). Numbers without a type are int32 or
 * double, as in runc. Runs in rune.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "container/systemd_unit.h"

enum { DEPTH_MAX = 8 };

/* A value that was read: a D-Bus type, and what belongs to it. */
struct value {
    char *signature;
    char *text;      /* s, o, g */
    uint64_t number; /* b, and all integers, in two's complement */
    double real;
    struct value *items; /* a */
    size_t count;
};

struct reader {
    const char *at;
    unsigned depth;
    struct error *err;
};

static const struct type_name {
    const char *name;
    char type;
    unsigned char bits; /* of an integer */
    bool is_signed;
} type_names[] = {
    {"boolean", 'b', 0, false}, {"byte", 'y', 8, false},       {"int16", 'n', 16, true},
    {"uint16", 'q', 16, false}, {"int32", 'i', 32, true},      {"uint32", 'u', 32, false},
    {"int64", 'x', 64, true},   {"uint64", 't', 64, false},    {"double", 'd', 0, false},
    {"string", 's', 0, false},  {"objectpath", 'o', 0, false}, {"signature", 'g', 0, false},
};

static void value_release(struct value *value)
{
    for (size_t i = 0; i < value->count; i++)
        value_release(&value->items[i]);
    free(value->items);
    free(value->signature);
    free(value->text);
    *value = (struct value){0};
}

static int malformed(struct reader *r, const char *what)
{
    return error_set(r->err, "%s at \"%s\"", what, r->at);
}

static void skip_space(struct reader *r)
{
    r->at += strspn(r->at, " \t\n");
}

static const struct type_name *type_of(char type)
{
    for (size_t i = 0; i < array_count(type_names); i++)
        if (type_names[i].type == type)
            return &type_names[i];
    return NULL;
}

/* A type written as word ("uint32 5"); the reader moves behind it. */
static const struct type_name *read_type_word(struct reader *r)
{
    for (size_t i = 0; i < array_count(type_names); i++) {
        size_t length = strlen(type_names[i].name);
        if (strncmp(r->at, type_names[i].name, length) == 0 &&
            isspace((unsigned char)r->at[length])) {
            r->at += length;
            skip_space(r);
            return &type_names[i];
        }
    }
    return NULL;
}

static int read_string(struct reader *r, struct value *out)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    char quote = *r->at++;
    for (; *r->at && *r->at != quote; r->at++) {
        char c = *r->at;
        if (c == '\\') {
            static const char names[] = "abfnrtv", values[] = "\a\b\f\n\r\t\v";
            c = *++r->at;
            if (!c)
                break;
            if (c == 'u' || c == 'U')
                return malformed(r, "an escape that is not supported");
            const char *known = strchr(names, c);
            if (known)
                c = values[known - names];
        }
        buffer_append_char(&text, c);
    }
    if (*r->at != quote)
        return malformed(r, "a string without an end");
    r->at++;
    out->text = buffer_take(&text);
    return 0;
}

static int read_integer(struct reader *r, const struct type_name *type, struct value *out)
{
    char *end;
    errno = 0;
    bool negative = *r->at == '-';
    if (negative && !type->is_signed)
        return malformed(r, "a negative number for an unsigned type");
    int64_t number = type->is_signed ? strtoll(r->at, &end, 0) : 0;
    uint64_t plain = type->is_signed ? (uint64_t)number : strtoull(r->at, &end, 0);
    if (end == r->at || errno)
        return malformed(r, "not a number of that type");
    if (type->bits < 64) {
        bool fits = type->is_signed ? number >= -(INT64_C(1) << (type->bits - 1)) &&
                                          number < INT64_C(1) << (type->bits - 1)
                                    : plain < UINT64_C(1) << type->bits;
        if (!fits)
            return malformed(r, "a number out of range");
    }
    out->number = plain;
    r->at = end;
    return 0;
}

static int read_basic(struct reader *r, const struct type_name *type, struct value *out)
{
    out->signature = xasprintf("%c", type->type);
    switch (type->type) {
    case 'b':
        out->number = strncmp(r->at, "true", 4) == 0;
        if (!out->number && strncmp(r->at, "false", 5) != 0)
            return malformed(r, "not a boolean");
        r->at += out->number ? 4 : 5;
        return 0;
    case 's':
    case 'o':
    case 'g':
        if (*r->at != '\'' && *r->at != '"')
            return malformed(r, "not a string");
        return read_string(r, out);
    case 'd': {
        char *end;
        out->real = strtod(r->at, &end);
        if (end == r->at)
            return malformed(r, "not a number");
        r->at = end;
        return 0;
    }
    default:
        return read_integer(r, type, out);
    }
}

static int read_value(struct reader *r, const char *signature, struct value *out);

/* "[...]"; the type of the elements is that of the first, unless it was given. */
static int read_array(struct reader *r, const char *signature, struct value *out)
{
    if (*r->at != '[')
        return malformed(r, "not an array");
    if (++r->depth > DEPTH_MAX)
        return malformed(r, "too deep");
    cleanup_free char *element = signature && signature[1] ? xstrdup(signature + 1) : NULL;
    r->at++;
    for (skip_space(r); *r->at != ']'; skip_space(r)) {
        out->items = xreallocarray(out->items, out->count + 1, sizeof(*out->items));
        struct value *item = &out->items[out->count++];
        *item = (struct value){0};
        if (read_value(r, element, item) < 0)
            return -1;
        if (!element)
            element = xstrdup(item->signature);
        if (strcmp(element, item->signature) != 0)
            return malformed(r, "elements of different types");
        skip_space(r);
        if (*r->at == ',')
            r->at++;
        else if (*r->at != ']')
            return malformed(r, "neither , nor ]");
    }
    r->at++;
    r->depth--;
    if (!element)
        return malformed(r, "an empty array without a type (say \"@as []\")");
    out->signature = xasprintf("a%s", element);
    return 0;
}

/* signature NULL: as the text suggests. */
static int read_value(struct reader *r, const char *signature, struct value *out)
{
    cleanup_free char *given = NULL;
    skip_space(r);
    if (*r->at == '@') {
        r->at++;
        given = xstrndup(r->at, strcspn(r->at, " \t\n"));
        r->at += strlen(given);
        skip_space(r);
        signature = given;
    }
    if (signature && signature[0] == 'a')
        return read_array(r, signature, out);
    const struct type_name *type = signature ? type_of(signature[0]) : read_type_word(r);
    if (signature && (!type || signature[1]))
        return malformed(r, "a type that is not supported");
    if (type)
        return read_basic(r, type, out);
    if (*r->at == '[')
        return read_array(r, NULL, out);
    if (*r->at == '\'' || *r->at == '"')
        return read_basic(r, type_of('s'), out);
    if (isalpha((unsigned char)*r->at))
        return read_basic(r, type_of('b'), out);
    size_t digits = *r->at == '0' && (r->at[1] | 32) == 'x' ? 0 : strcspn(r->at, ".eE,] \t\n");
    bool real = digits && (r->at[digits] == '.' || (r->at[digits] | 32) == 'e');
    return read_basic(r, type_of(real ? 'd' : 'i'), out);
}

static void append_value(struct systemd_call *call, const struct value *value)
{
    switch (value->signature[0]) {
    case 'a':
        systemd_open_array(call, value->signature + 1);
        for (size_t i = 0; i < value->count; i++)
            append_value(call, &value->items[i]);
        systemd_close_array(call);
        break;
    case 's':
    case 'o':
    case 'g':
        systemd_append(call, value->signature, value->text);
        break;
    case 'd':
        systemd_append(call, "d", value->real);
        break;
    case 'x':
    case 't':
        systemd_append(call, value->signature, value->number);
        break;
    default: /* what int promotes to */
        systemd_append(call, value->signature, (uint32_t)value->number);
    }
}

/* D-Bus has USec where the documentation says Sec: "TimeoutStopSec" is TimeoutStopUSec, in
 * microseconds. */
static char *property_name(const char *name, struct value *value, struct error *err)
{
    size_t length = strlen(name);
    if (length < 4 || strcmp(name + length - 3, "Sec") != 0 ||
        !islower((unsigned char)name[length - 4]))
        return xstrdup(name);
    enum { MICROSECONDS = 1000000 };
    if (value->signature[0] == 'd') {
        value->number = (uint64_t)(value->real * MICROSECONDS);
    } else if (strchr("ynqiuxt", value->signature[0])) {
        value->number *= MICROSECONDS;
    } else {
        error_set(err, "not a number");
        return NULL;
    }
    free(value->signature);
    value->signature = xstrdup("t");
    return xasprintf("%.*sUSec", (int)(length - 3), name);
}

static int check_name(const char *name, struct error *err)
{
    if (strlen(name) < 3)
        return error_set(err, "too short");
    for (; *name; name++)
        if (!isascii((unsigned char)*name) || !isalpha((unsigned char)*name))
            return error_set(err, "contains non-alphabetic character");
    return 0;
}

static int add_annotation(struct systemd_call *call, const char *name, const char *text,
                          struct error *err)
{
    struct reader reader = {.at = text, .err = err};
    struct value value = {0};
    int ret = read_value(&reader, NULL, &value);
    skip_space(&reader);
    if (ret == 0 && *reader.at)
        ret = malformed(&reader, "more than one value");
    cleanup_free char *property = ret == 0 ? property_name(name, &value, err) : NULL;
    if (property) {
        systemd_property_open(call, property, value.signature);
        append_value(call, &value);
        systemd_property_close(call);
    }
    value_release(&value);
    return property ? 0 : -1;
}

int systemd_annotations(struct systemd_call *call, const struct oci_config *config,
                        struct error *err)
{
    static const char prefix[] = "org.systemd.property.";
    for (size_t i = 0; i < config->annotations.count; i++) {
        const char *key = config->annotations.items[i].key;
        const char *text = config->annotations.items[i].value;
        if (strncmp(key, prefix, sizeof(prefix) - 1) != 0)
            continue;
        const char *name = key + sizeof(prefix) - 1;
        if (check_name(name, err) < 0)
            return error_wrap(err, "annotation %s name incorrect", key);
        if (add_annotation(call, name, text, err) < 0)
            return error_wrap(err, "annotation %s=%s value parse error", key, text);
    }
    return 0;
}
