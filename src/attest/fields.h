/* SPDX-License-Identifier: Apache-2.0 */
/* What evidence measures: each field by the name that policies and answers use. */
#pragma once

#include "attest.h"
#include "attest/span.h"

enum field_kind {
    FIELD_BYTES,
    FIELD_NUMBER, /* little-endian, of 1, 2, 4 or 8 bytes */
};

/* A place in the report body, TD report or SNP report. */
struct field {
    const char *name;
    enum attest_tee tee;
    enum field_kind kind;
    uint16_t offset, size;
};

#define FIELD_SIZE_MAX 64

extern const struct field g_fields[];
extern const size_t g_field_count;

/* NULL when there is none; `size` characters of name. */
const struct field *field_find(enum attest_tee tee, const char *name, size_t size);
/* The field of any TEE with that name, the i-th; NULL behind the last. */
const struct field *field_named(const char *name, size_t size, size_t i);
uint64_t field_number(const struct field *field, const uint8_t *body);
