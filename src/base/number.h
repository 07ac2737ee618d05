/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that people write. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * A decimal number, or one with 0x, and perhaps a suffix K, M, G or T (powers of 1024), in the
 * first `length` bytes of text: all of them. -EINVAL for anything else, and for more than `max`.
 */
int number_parse(const char *text, size_t length, uint64_t max, uint64_t *out);
/* A signal by number or name ("9", "KILL", "SIGKILL", "RTMIN+3"), -1 when unknown. */
int signal_number(const char *text);
