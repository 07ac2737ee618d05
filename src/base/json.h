/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Typed access to jansson values with messages that name the member ("linux.resources.pids.limit:
 * expected an integer"). `where` is the dotted path of `object` ("" at the top). A getter returns 1
 * when the member is there, 0 when it is absent or null (then *out is untouched), and negative with
 * err when it has another type. Strings and objects are borrowed from the tree. Where no member has
 * the name exactly, one that differs in case is taken, as runc does ("CPU": {"Cpus": "0"}).
 */
static inline void json_decref_cleanup(json_t **value)
{
    json_decref(*value);
}
#define cleanup_json __attribute__((cleanup(json_decref_cleanup)))

/* Parse text; the message names `origin`, line and column. Duplicate keys take the last value, as
 * in Go. */
json_t *json_parse(const char *text, size_t size, const char *origin, struct error *err);
/* Read and parse a file of at most `limit` bytes. */
json_t *json_parse_file(int dirfd, const char *path, size_t limit, struct error *err);

int json_get_string(const json_t *object, const char *where, const char *key, const char **out,
                    struct error *err);
int json_get_bool(const json_t *object, const char *where, const char *key, bool *out,
                  struct error *err);
int json_get_int64(const json_t *object, const char *where, const char *key, int64_t *out,
                   struct error *err);
/* Accepts 0 .. UINT64_MAX; jansson keeps integers as int64, larger ones as reals, which are
 * converted. */
int json_get_uint64(const json_t *object, const char *where, const char *key, uint64_t *out,
                    struct error *err);
int json_get_uint32(const json_t *object, const char *where, const char *key, uint32_t *out,
                    struct error *err);
int json_get_object(const json_t *object, const char *where, const char *key, json_t **out,
                    struct error *err);
int json_get_array(const json_t *object, const char *where, const char *key, json_t **out,
                   struct error *err);
/* A member of `size` bytes in hexadecimal digits. It must be there, under exactly this name. */
int json_read_hex(const json_t *object, const char *key, uint8_t *out, size_t size,
                  struct error *err);
/* An integer from 0 to `most`, likewise. */
int json_read_number(const json_t *object, const char *key, uint64_t most, uint64_t *out,
                     struct error *err);
/* Compact text of a value, malloc'd; JSON_PRESERVE_ORDER. */
char *json_text(const json_t *value, size_t flags);
