/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/fd.h"
#include "base/hex.h"

/*
 * jansson keeps integers as int64, while Go writes "unlimited" as 18446744073709551615. Integers of
 * 19 digits and more become reals here (".0" appended); json_get_uint64() turns them back.
 */
static void widen_integers(const char *text, size_t size, struct buffer *out)
{
    bool quoted = false;
    for (size_t i = 0; i < size;) {
        char c = text[i];
        if (quoted && c == '\\' && i + 1 < size) {
            buffer_append(out, text + i, 2);
            i += 2;
            continue;
        }
        if (c == '"')
            quoted = !quoted;
        size_t digits = 0;
        while (!quoted && i + digits < size && text[i + digits] >= '0' && text[i + digits] <= '9')
            digits++;
        if (digits == 0) {
            buffer_append_char(out, c);
            i++;
            continue;
        }
        buffer_append(out, text + i, digits);
        i += digits;
        bool fraction = i < size && (text[i] == '.' || text[i] == 'e' || text[i] == 'E');
        if (digits >= 19 && !fraction)
            buffer_append_text(out, ".0");
        /* The digits of a fraction or an exponent are not an integer of their own. */
        while (fraction && i < size && text[i] && strchr("0123456789.eE+-", text[i]))
            buffer_append_char(out, text[i++]);
    }
}

json_t *json_parse(const char *text, size_t size, const char *origin, struct error *err)
{
    json_error_t failure;
    json_t *root = json_loadb(text, size, 0, &failure);
    if (!root && json_error_code(&failure) == json_error_numeric_overflow) {
        cleanup_buffer struct buffer widened = BUFFER_INIT;
        widen_integers(text, size, &widened);
        root = json_loadb(buffer_text(&widened), widened.size, 0, &failure);
    }
    if (!root)
        error_set(err, "%s: line %d column %d: %s", origin, failure.line, failure.column,
                  failure.text);
    return root;
}

json_t *json_parse_file(int dirfd, const char *path, size_t limit, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (read_file_at(dirfd, path, &text, limit, err) < 0)
        return NULL;
    return json_parse(buffer_text(&text), text.size, path, err);
}

static int wrong_type(const char *where, const char *key, const char *wanted, struct error *err)
{
    return error_set(err, "%s%s%s: expected %s", where, *where ? "." : "", key, wanted);
}

/* The member, or NULL when it is absent or null. Go's decoder does not look at case, if need be. */
static json_t *member(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key), *other;
    const char *name;
    if (!value)
        json_object_foreach ((json_t *)object, name, other)
            if (strcasecmp(name, key) == 0)
                value = other;
    return json_is_null(value) ? NULL : value;
}

int json_get_string(const json_t *object, const char *where, const char *key, const char **out,
                    struct error *err)
{
    json_t *value = member(object, key);
    if (!value)
        return 0;
    if (!json_is_string(value))
        return wrong_type(where, key, "a string", err);
    const char *text = json_string_value(value);
    if (strlen(text) != json_string_length(value))
        return wrong_type(where, key, "a string without NUL characters", err);
    *out = text;
    return 1;
}

int json_get_bool(const json_t *object, const char *where, const char *key, bool *out,
                  struct error *err)
{
    json_t *value = member(object, key);
    if (!value)
        return 0;
    if (!json_is_boolean(value))
        return wrong_type(where, key, "true or false", err);
    *out = json_is_true(value);
    return 1;
}

int json_get_int64(const json_t *object, const char *where, const char *key, int64_t *out,
                   struct error *err)
{
    json_t *value = member(object, key);
    if (!value)
        return 0;
    if (json_is_real(value)) {
        double real = json_real_value(value);
        /* cppcheck-suppress incorrectLogicOperator ; it cannot read hexadecimal floats */
        if (real < -0x1p63 || real >= 0x1p63 || real != (double)(int64_t)real)
            return wrong_type(where, key, "an integer", err);
        *out = (int64_t)real;
        return 1;
    }
    if (!json_is_integer(value))
        return wrong_type(where, key, "an integer", err);
    *out = json_integer_value(value);
    return 1;
}

int json_get_uint64(const json_t *object, const char *where, const char *key, uint64_t *out,
                    struct error *err)
{
    json_t *value = member(object, key);
    if (!value)
        return 0;
    if (json_is_real(value)) {
        double real = json_real_value(value);
        if (real < 0 || real > 0x1p64 || real != __builtin_floor(real))
            return wrong_type(where, key, "a non-negative integer", err);
        /* 2^64-1 has no double; the nearest one above stands for it. */
        *out = real >= 0x1p64 ? UINT64_MAX : (uint64_t)real;
        return 1;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return wrong_type(where, key, "a non-negative integer", err);
    *out = (uint64_t)json_integer_value(value);
    return 1;
}

int json_get_uint32(const json_t *object, const char *where, const char *key, uint32_t *out,
                    struct error *err)
{
    uint64_t value = 0;
    int ret = json_get_uint64(object, where, key, &value, err);
    if (ret <= 0)
        return ret;
    if (value > UINT32_MAX)
        return wrong_type(where, key, "an integer below 2^32", err);
    *out = (uint32_t)value;
    return 1;
}

int json_get_object(const json_t *object, const char *where, const char *key, json_t **out,
                    struct error *err)
{
    json_t *value = member(object, key);
    if (!value)
        return 0;
    if (!json_is_object(value))
        return wrong_type(where, key, "an object", err);
    /* "cpu" and "CPU" are one object with the members of both. */
    const char *name;
    json_t *other;
    json_object_foreach ((json_t *)object, name, other)
        if (other != value && json_is_object(other) && strcasecmp(name, key) == 0 &&
            json_object_update(value, other) < 0)
            return error_set(err, "no memory for %s", key);
    *out = value;
    return 1;
}

int json_get_array(const json_t *object, const char *where, const char *key, json_t **out,
                   struct error *err)
{
    json_t *value = member(object, key);
    if (!value)
        return 0;
    if (!json_is_array(value))
        return wrong_type(where, key, "an array", err);
    *out = value;
    return 1;
}

int json_read_hex(const json_t *object, const char *key, uint8_t *out, size_t size,
                  struct error *err)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text && hex_parse(text, strlen(text), out, size))
        return 0;
    return error_set(err, "%s is not %zu hexadecimal digits", key, 2 * size);
}

int json_read_number(const json_t *object, const char *key, uint64_t most, uint64_t *out,
                     struct error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > most)
        return error_set(err, "%s is not an integer from 0 to %llu", key, (unsigned long long)most);
    *out = (uint64_t)json_integer_value(value);
    return 0;
}

char *json_text(const json_t *value, size_t flags)
{
    char *text = json_dumps(value, flags | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
    if (!text)
        abort();
    return text;
}
