/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/properties.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/log.h"

enum treatment { INSIDE, OUTSIDE, WARNED, REFUSED };

static const struct property {
    const char *path;
    enum treatment treatment;
    const char *harmless, *note;
} g_properties[] = {
#define P(path, treatment, harmless, note) {path, treatment, harmless, note},
#include "enclave/properties.def"
#undef P
};

struct check {
    bool said[array_count(g_properties)];
    struct error *err;
};

/* Does a name match a component of a pattern, which ends at '.', '[' or the end? */
static bool component_matches(const char *pattern, size_t size, const char *name, size_t name_size)
{
    if (size == 1 && pattern[0] == '*')
        return true;
    if (size == 0 || pattern[0] != '{')
        return size == name_size && memcmp(pattern, name, size) == 0;
    for (const char *at = pattern + 1, *end = pattern + size - 1; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t length = (size_t)((comma ? comma : end) - at);
        if (length == name_size && memcmp(at, name, length) == 0)
            return true;
        at += length + 1;
    }
    return false;
}

/* A path as walk() builds it, against a row's. */
static bool path_matches(const char *pattern, const char *path)
{
    for (;;) {
        size_t size = pattern[0] == '{' ? (size_t)(strchr(pattern, '}') - pattern) + 1
                                        : strcspn(pattern, ".[");
        size_t name_size = strcspn(path, ".[");
        if (!component_matches(pattern, size, path, name_size))
            return false;
        pattern += size;
        path += name_size;
        size_t separator = strspn(pattern, "[].");
        if (separator != strspn(path, "[].") || memcmp(pattern, path, separator) != 0)
            return false;
        if (separator == 0)
            return *pattern == '\0' && *path == '\0';
        pattern += separator;
        path += separator;
    }
}

static bool says_something(const json_t *value, const char *harmless)
{
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        return text[0] != '\0' && (harmless == NULL || strcmp(text, harmless) != 0);
    }
    if (json_is_integer(value))
        return json_integer_value(value) != 0;
    return json_is_true(value) || json_array_size(value) > 0 || json_object_size(value) > 0;
}

static int apply(struct check *check, const char *path, const json_t *value)
{
    for (size_t i = 0; i < array_count(g_properties); i++) {
        const struct property *property = &g_properties[i];
        if (property->treatment == INSIDE || property->treatment == OUTSIDE || check->said[i] ||
            !says_something(value, property->harmless) || !path_matches(property->path, path))
            continue;
        if (property->treatment == REFUSED)
            return error_set(check->err, "config.json: %s: an enclave container cannot have it: %s",
                             path, property->note);
        check->said[i] = true;
        log_warning("config.json: %s has no effect in the enclave: %s", path, property->note);
    }
    return 0;
}

static int walk(struct check *check, const char *path, json_t *value);

static int walk_array(struct check *check, const char *path, json_t *array)
{
    size_t i;
    json_t *item;
    json_array_foreach (array, i, item) {
        const char *type = json_string_value(json_object_get(item, "type"));
        /* A namespace goes by its name. */
        bool named = strcmp(path, "linux.namespaces") == 0 && type != NULL;
        cleanup_free char *inner = named ? xasprintf("%s.%s", path, type) : xasprintf("%s[]", path);
        if (walk(check, inner, item) < 0)
            return -1;
    }
    return 0;
}

static int walk(struct check *check, const char *path, json_t *value)
{
    const char *name;
    json_t *member;
    if (path[0] != '\0' && apply(check, path, value) < 0)
        return -1;
    if (json_is_array(value))
        return walk_array(check, path, value);
    json_object_foreach (value, name, member) {
        cleanup_free char *inner = path[0] != '\0' ? xasprintf("%s.%s", path, name) : xstrdup(name);
        if (walk(check, inner, member) < 0)
            return -1;
    }
    return 0;
}

int properties_check(const json_t *config, struct error *err)
{
    struct check check = {.err = err};
    return walk(&check, "", (json_t *)(uintptr_t)config);
}
