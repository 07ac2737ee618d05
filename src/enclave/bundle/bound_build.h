/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

/* Private to src/enclave/bundle: what deployments may say (docs/design/policy-bound.md). */

/* ---- bound_json.c: lines of values ---- */
struct json_lines;
/*
 * Parse strictly (no duplicate members) and find out in which line each value begins. NULL with an
 * error that names line and column, and nothing of the text: the file may be one that the user of
 * the container must not read.
 */
json_t *json_lines_parse(const char *text, size_t size, const char *origin,
                         struct json_lines **lines, struct error *err);
/* Of a string, number, list or object; true, false and null are one value wherever they are. */
unsigned json_line(const struct json_lines *lines, const json_t *value);
/* Of a member's name; of the object when it has no such member. */
unsigned json_member_line(const struct json_lines *lines, const json_t *object, const char *key);
void json_lines_free(struct json_lines *lines);

/* ---- bound.c: JSON to abi/bound.h ---- */
int bound_compile(const char *text, size_t size, const char *origin, struct buffer *blob,
                  struct error *err);

/* ---- bound_source.c: the image's own file, or the one that was named ---- */
/* *json stays empty when there is none. `image` is the sealed image, data_size bytes of file
 * system. *origin is malloc'd. */
int bound_find(const char *path, int image, uint64_t data_size, struct buffer *json, char **origin,
               struct error *err);
