/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON with line numbers. jansson keeps none, but it keeps the order of members, so a second walk
 * over a text that it has accepted meets the values in the order of the tree.
 */
#include "enclave/bundle/bound_build.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct located {
    const void *what; /* a value, or the name of a member */
    unsigned line;
};

struct json_lines {
    struct located *items;
    size_t count, room;
};

struct walk {
    struct json_lines *lines;
    const char *p; /* the text ends with a NUL */
    unsigned line;
};

static void skip_space(struct walk *w)
{
    for (; *w->p && strchr(" \t\r\n", *w->p); w->p++)
        w->line += *w->p == '\n';
}

/* To the end of a string; jansson has refused raw newlines in it. */
static void skip_string(struct walk *w)
{
    for (w->p++; *w->p && *w->p != '"'; w->p++)
        if (*w->p == '\\' && w->p[1])
            w->p++;
    w->p += *w->p == '"';
}

static void note(struct walk *w, const void *what)
{
    struct json_lines *lines = w->lines;
    if (lines->count == lines->room) {
        lines->room = lines->room ? lines->room * 2 : 64;
        lines->items = xrealloc(lines->items, lines->room * sizeof(*lines->items));
    }
    lines->items[lines->count++] = (struct located){what, w->line};
}

static void walk_value(struct walk *w, const json_t *value)
{
    skip_space(w);
    if (!json_is_boolean(value) && !json_is_null(value))
        note(w, value);
    if (json_is_object(value)) {
        const char *key;
        json_t *member;
        w->p++;
        json_object_foreach ((json_t *)value, key, member) {
            skip_space(w);
            note(w, key);
            skip_string(w);
            skip_space(w);
            w->p++; /* the colon */
            walk_value(w, member);
            skip_space(w);
            w->p += *w->p == ',';
        }
        skip_space(w);
        w->p++;
    } else if (json_is_array(value)) {
        size_t i;
        json_t *item;
        w->p++;
        json_array_foreach (value, i, item) {
            walk_value(w, item);
            skip_space(w);
            w->p += *w->p == ',';
        }
        skip_space(w);
        w->p++;
    } else if (json_is_string(value)) {
        skip_string(w);
    } else {
        w->p += strcspn(w->p, " \t\r\n,]}");
    }
}

static int compare(const void *a, const void *b)
{
    const struct located *x = a, *y = b;
    return x->what < y->what ? -1 : x->what > y->what;
}

json_t *json_lines_parse(const char *text, size_t size, const char *origin,
                         struct json_lines **lines, struct error *err)
{
    json_error_t failure;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &failure);
    if (!root) {
        char *near = strstr(failure.text, " near ");
        if (near)
            *near = 0;
        error_set(err, "%s:%d:%d: %s", origin, failure.line, failure.column, failure.text);
        return NULL;
    }
    *lines = xcalloc(1, sizeof(**lines));
    struct walk walk = {.lines = *lines, .p = text, .line = 1};
    walk_value(&walk, root);
    qsort((*lines)->items, (*lines)->count, sizeof(*(*lines)->items), compare);
    return root;
}

static unsigned find(const struct json_lines *lines, const void *what)
{
    struct located wanted = {what, 0};
    const struct located *found = bsearch(&wanted, lines->items, lines->count,
                                          sizeof(*lines->items), compare);
    return found ? found->line : 0;
}

unsigned json_line(const struct json_lines *lines, const json_t *value)
{
    return find(lines, value);
}

unsigned json_member_line(const struct json_lines *lines, const json_t *object, const char *key)
{
    void *at = json_object_iter_at((json_t *)object, key);
    return at ? find(lines, json_object_iter_key(at)) : find(lines, object);
}

void json_lines_free(struct json_lines *lines)
{
    if (lines)
        free(lines->items);
    free(lines);
}
