/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of TOML (toml.io, version 1.0), for configuration files: Debian has no library of it
 * for C. It knows the whole grammar, but gives the values of strings, integers and booleans only;
 * of others (floats, dates, arrays, inline tables) it tells that they are there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum toml_type {
    TOML_TABLE, /* a header: [key] */
    TOML_STRING,
    TOML_INTEGER,
    TOML_BOOLEAN,
    TOML_OTHER,
};

struct toml_entry {
    /* From the root, its parts joined by dots; what is no bare key is in quotes: a."b.c".d. In an
     * array of tables ([[a]]) it begins with "a[]". */
    char *key;
    enum toml_type type;
    char *text;     /* TOML_STRING; else NULL */
    int64_t number; /* TOML_INTEGER */
    bool truth;     /* TOML_BOOLEAN */
    unsigned line;
};

struct toml {
    struct toml_entry *entries; /* in the order of the file */
    size_t count;
};

#define TOML_INIT \
    {             \
        NULL, 0   \
    }
#define cleanup_toml __attribute__((cleanup(toml_release)))

/* Read `size` bytes. `name` is the file's, for errors: "NAME:LINE: ...". -1 when it is no TOML. */
int toml_read(const char *name, const char *text, size_t size, struct toml *out, struct error *err);
/* The entry of that key, or NULL. */
const struct toml_entry *toml_find(const struct toml *toml, const char *key);
/* "a string", "an integer", ... */
const char *toml_type_name(enum toml_type type);
void toml_release(struct toml *toml);
