/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON that is signed by its bytes (TCB info, QE identity), read where it lies. The span that is
 * verified and the values that are used come from one pass, so that no two readers can disagree
 * on what was signed; no memory is taken, and depth and numbers are bounded. Strict RFC 8259.
 */
#pragma once

#include "attest/span.h"

#define READER_DEPTH_MAX 16

struct reader {
    const char *at, *end;
    unsigned depth;
    const char *problem; /* the first one; NULL as long as all is well */
    struct span where;   /* the member that it is with */
};

/* How one member of an object is read: a function that takes its value off the reader. */
struct reader_field {
    const char *name;
    bool required;
    bool (*read)(struct reader *r, void *ctx);
};

void reader_start(struct reader *r, struct span text);
/* To what comes after white space. */
void reader_space(struct reader *r);
/* false, with the problem noted (if none was before). */
bool reader_fail(struct reader *r, const char *problem);
/*
 * An object: `fields` in any order, each once, others skipped. More than 64 fields are a mistake of
 * the caller's.
 */
bool reader_object(struct reader *r, const struct reader_field *fields, size_t count, void *ctx);
/* An array of any length; `read` takes each element. */
bool reader_array(struct reader *r, bool (*read)(struct reader *r, void *ctx), void *ctx);
/* A string without escapes. */
bool reader_string(struct reader *r, struct span *out);
/* A string of exactly 2 * size hexadecimal digits. */
bool reader_hex(struct reader *r, uint8_t *out, size_t size);
/* An integer from 0 to max. */
bool reader_uint(struct reader *r, uint64_t max, uint64_t *out);
/* A string with a date (clock.h). */
bool reader_date(struct reader *r, int64_t *out);
/* Nothing but white space is left. */
bool reader_end(struct reader *r);
