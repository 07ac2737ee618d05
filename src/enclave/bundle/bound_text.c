/* SPDX-License-Identifier: Apache-2.0 */
/* What the members of a bound share: messages, rules, texts. */
#include "enclave/bundle/bound_text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "bound.h"

/* ---- messages ---- */

int bound_fail(struct bound_compiler *c, unsigned line, const char *fmt, ...)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    va_list args;
    va_start(args, fmt);
    buffer_append_vformat(&text, fmt, args);
    va_end(args);
    return error_set(c->err, "%s:%u: %s: %s", c->origin, line ? line : c->line, c->path,
                     buffer_text(&text));
}

int bound_wrong(struct bound_compiler *c, const json_t *value, const char *wanted)
{
    return bound_fail(c, json_line(c->lines, value), "expected %s", wanted);
}

/* ---- writing ---- */

static void pad(struct buffer *blob)
{
    static const char zeros[8];
    buffer_append(blob, zeros, (8 - blob->size % 8) % 8);
}

void bound_add_rule(struct bound_compiler *c, const json_t *at, uint32_t flags,
                    const struct buffer *name, const void *value, size_t size)
{
    unsigned line = json_line(c->lines, at);
    struct bound_rule rule = {.line = line ? line : c->line,
                              .flags = flags,
                              .name_size = name ? (uint32_t)name->size : 0,
                              .value_size = (uint32_t)size};
    buffer_append(c->blob, &rule, sizeof(rule));
    if (name)
        buffer_append(c->blob, name->data, name->size);
    buffer_append(c->blob, value, size);
    pad(c->blob);
}

/* ---- texts ---- */

int bound_check_names(struct bound_compiler *c, const json_t *object, const char *const *names)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)object, key, value) {
        size_t i = 0;
        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (!names[i])
            return bound_fail(c, json_member_line(c->lines, object, key), "unknown member");
    }
    return 0;
}

void bound_append_exact(struct buffer *pattern, const char *text)
{
    for (; *text; text++) {
        if (strchr("*?\\", *text))
            buffer_append_char(pattern, '\\');
        buffer_append_char(pattern, *text);
    }
}

int bound_append_pattern(struct bound_compiler *c, struct buffer *pattern, const json_t *value)
{
    const char *text = json_string_value(value);
    if (!text)
        return bound_wrong(c, value, "a string");
    for (const char *p = text; *p; p++)
        if (*p == '\\' && !*++p)
            return bound_fail(c, json_line(c->lines, value),
                              "a pattern that ends with a backslash");
    buffer_append_text(pattern, text);
    return 0;
}

int bound_object_text(struct bound_compiler *c, const json_t *object, struct buffer *pattern)
{
    const json_t *exact = json_object_get(object, "value");
    const json_t *given = json_object_get(object, "pattern"), *any = json_object_get(object, "any");
    if (!!exact + !!given + !!any != 1)
        return bound_wrong(c, object, "one of value, pattern and any");
    if (given)
        return bound_append_pattern(c, pattern, given);
    if (any && !json_is_true(any))
        return bound_wrong(c, object, "true for any");
    if (exact && !json_is_string(exact))
        return bound_wrong(c, exact, "a string");
    if (any)
        buffer_append_char(pattern, '*');
    else
        bound_append_exact(pattern, json_string_value(exact));
    return 0;
}

int bound_object_flag(struct bound_compiler *c, const json_t *object, const char *name, bool *out)
{
    const json_t *value = json_object_get(object, name);
    *out = json_is_true(value);
    if (value && !json_is_boolean(value))
        return bound_fail(c, json_member_line(c->lines, object, name),
                          "expected true or false for %s", name);
    return 0;
}

int bound_read_text(struct bound_compiler *c, const json_t *value, struct buffer *pattern,
                    const char *flag, bool *flagged)
{
    const char *const names[] = {"value", "pattern", "any", flag, NULL};
    buffer_clear(pattern);
    *flagged = false;
    if (json_is_string(value)) {
        bound_append_exact(pattern, json_string_value(value));
        return 0;
    }
    if (!json_is_object(value))
        return bound_wrong(c, value, "a string, or an object with value, pattern or any");
    if (bound_check_names(c, value, names) < 0 || bound_object_text(c, value, pattern) < 0)
        return -1;
    return flag ? bound_object_flag(c, value, flag, flagged) : 0;
}

int bound_each(struct bound_compiler *c, const json_t *value, bool single, uint32_t *count,
               int (*fn)(struct bound_compiler *c, const json_t *item))
{
    size_t i;
    json_t *item;
    if (!json_is_array(value)) {
        *count = 1;
        return single ? fn(c, value) : bound_wrong(c, value, "a list");
    }
    json_array_foreach (value, i, item)
        if (fn(c, item) < 0)
            return -1;
    *count = (uint32_t)json_array_size(value);
    return 0;
}

/* ---- the order of mounts ---- */

static const char *target_of(const json_t *item)
{
    const char *target = json_string_value(json_object_get(item, "target"));
    return target ? target : "";
}

static int compare_targets(const void *a, const void *b)
{
    return path_compare(target_of(*(json_t *const *)a), target_of(*(json_t *const *)b));
}

json_t *bound_sort_targets(const json_t *value)
{
    const size_t count = json_array_size(value);
    if (!json_is_array(value))
        return json_incref((json_t *)(uintptr_t)value);
    cleanup_free json_t **items = xcalloc(count + 1, sizeof(*items));
    for (size_t i = 0; i < count; i++)
        items[i] = json_array_get(value, i);
    qsort(items, count, sizeof(json_t *), compare_targets);
    json_t *sorted = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append(sorted, items[i]);
    return sorted;
}
