/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/*
 * A growable byte string. `data` is NULL or holds `size` bytes followed by a NUL, so it can be used
 * as text. Growth aborts on lack of memory (base/alloc.h).
 */
struct buffer {
    char *data;
    size_t size;
    size_t capacity;
};

#define BUFFER_INIT \
    {               \
        NULL, 0, 0  \
    }
#define cleanup_buffer __attribute__((cleanup(buffer_release)))

/* Room for `extra` more bytes (and a NUL); returns where they go. Does not change size. */
char *buffer_reserve(struct buffer *buf, size_t extra);
void buffer_append(struct buffer *buf, const void *data, size_t size);
void buffer_append_text(struct buffer *buf, const char *text);
void buffer_append_char(struct buffer *buf, char c);
void buffer_append_format(struct buffer *buf, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void buffer_append_vformat(struct buffer *buf, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Two lower-case digits a byte. */
void buffer_append_hex(struct buffer *buf, const void *data, size_t size);
/* Drop the first `size` bytes. */
void buffer_consume(struct buffer *buf, size_t size);
void buffer_clear(struct buffer *buf);
/* The text as a malloc'd string (never NULL); the buffer becomes empty. */
char *buffer_take(struct buffer *buf);
/* The text, "" when empty. */
const char *buffer_text(const struct buffer *buf);
void buffer_release(struct buffer *buf);
