/* SPDX-License-Identifier: Apache-2.0 */
/* Private to bound.c and bound_text.c: the compiler of bounds. */
#pragma once

#include <stdbool.h>

#include "enclave/bundle/bound_build.h"

struct bound_compiler {
    const char *origin;
    struct json_lines *lines;
    struct buffer *blob;
    uint32_t members;
    const char *path; /* of the member at hand, for messages */
    unsigned line;    /* where it begins: for values that have no line of their own */
    struct error *err;
};

/* "bound.json:7: env: ..."; -1. A line of 0 is that of the member. */
int bound_fail(struct bound_compiler *c, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int bound_wrong(struct bound_compiler *c, const json_t *value, const char *wanted);
/* `at`: the value that gives the rule its line. name may be NULL. */
void bound_add_rule(struct bound_compiler *c, const json_t *at, uint32_t flags,
                    const struct buffer *name, const void *value, size_t size);
/* Every member of the object is one of `names` (NULL-terminated). */
int bound_check_names(struct bound_compiler *c, const json_t *object, const char *const *names);
/* A member of an object that is true or false; absent is false. */
int bound_object_flag(struct bound_compiler *c, const json_t *object, const char *name, bool *out);
void bound_append_exact(struct buffer *pattern, const char *text);
int bound_append_pattern(struct bound_compiler *c, struct buffer *pattern, const json_t *value);
/* {"value": exact}, {"pattern": ...} or {"any": true}, whatever else is in the object. */
int bound_object_text(struct bound_compiler *c, const json_t *object, struct buffer *pattern);
/* A string is exact, else an object as above; `flag` is the one further member that it may have, or
 * NULL. */
int bound_read_text(struct bound_compiler *c, const json_t *value, struct buffer *pattern,
                    const char *flag, bool *flagged);
/* The items of a list in the order in which a deployment has its mounts; a new reference. */
json_t *bound_sort_targets(const json_t *value);
/* fn for each item of a list, or for the value itself where one may stand for a list of one. */
int bound_each(struct bound_compiler *c, const json_t *value, bool single, uint32_t *count,
               int (*fn)(struct bound_compiler *c, const json_t *item));
