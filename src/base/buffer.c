/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hex.h"

char *buffer_reserve(struct buffer *buf, size_t extra)
{
    if (extra >= SIZE_MAX / 2 - buf->size)
        abort();
    size_t need = buf->size + extra + 1;
    if (need > buf->capacity) {
        size_t capacity = buf->capacity ? buf->capacity : 128;
        while (capacity < need)
            capacity *= 2;
        buf->data = xrealloc(buf->data, capacity);
        buf->capacity = capacity;
    }
    buf->data[buf->size] = '\0';
    return buf->data + buf->size;
}

void buffer_append(struct buffer *buf, const void *data, size_t size)
{
    char *end = buffer_reserve(buf, size);
    if (size)
        memcpy(end, data, size);
    buf->size += size;
    buf->data[buf->size] = '\0';
}

void buffer_append_text(struct buffer *buf, const char *text)
{
    buffer_append(buf, text, strlen(text));
}

void buffer_append_char(struct buffer *buf, char c)
{
    buffer_append(buf, &c, 1);
}

void buffer_append_vformat(struct buffer *buf, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, fmt, args);
    if (length < 0)
        abort();
    char *end = buffer_reserve(buf, (size_t)length);
    vsnprintf(end, (size_t)length + 1, fmt, again);
    va_end(again);
    buf->size += (size_t)length;
}

void buffer_append_format(struct buffer *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    buffer_append_vformat(buf, fmt, args);
    va_end(args);
}

void buffer_append_hex(struct buffer *buf, const void *data, size_t size)
{
    hex_format(buffer_reserve(buf, 2 * size), data, size);
    buf->size += 2 * size;
}

void buffer_consume(struct buffer *buf, size_t size)
{
    if (size >= buf->size) {
        buffer_clear(buf);
        return;
    }
    memmove(buf->data, buf->data + size, buf->size - size + 1);
    buf->size -= size;
}

void buffer_clear(struct buffer *buf)
{
    buf->size = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

char *buffer_take(struct buffer *buf)
{
    buffer_reserve(buf, 0);
    char *text = buf->data;
    *buf = (struct buffer)BUFFER_INIT;
    return text;
}

const char *buffer_text(const struct buffer *buf)
{
    return buf->data ? buf->data : "";
}

void buffer_release(struct buffer *buf)
{
    free(buf->data);
    *buf = (struct buffer)BUFFER_INIT;
}
