/* SPDX-License-Identifier: Apache-2.0 */
/* Dates as certificates and Intel's JSON have them: UTC, no leap seconds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* false where there is no such date. */
bool clock_from_civil(unsigned year, unsigned month, unsigned day, unsigned hour, unsigned minute,
                      unsigned second, int64_t *out);
/* "2025-06-06T12:30:47Z", or "2025-06-06" for its start. */
bool clock_parse(const char *text, size_t size, int64_t *out);

struct clock_text {
    char text[32];
};
/* "2025-06-06T12:30:47Z" in the caller's buffer. */
const char *clock_format(struct clock_text *out, int64_t time);
