/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/bundle/trusted_names.h"

#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "enclave/bundle/trusted_shim.h"

void *kmalloc(size_t size);
void *kzalloc(size_t size);
void kfree(void *p);
void *page_alloc(size_t count);
void page_free(void *p, size_t count);
void mutex_lock(uint32_t *state);
void mutex_unlock(uint32_t *state);
size_t strlcpy(char *d, const char *s, size_t size);
void log_write(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

int g_log_level = 1; /* errors */
static void (*g_sink)(const char *line);

void trusted_log_divert(void (*sink)(const char *line))
{
    g_sink = sink;
}

void *kmalloc(size_t size)
{
    return malloc(size);
}

void *kzalloc(size_t size)
{
    return calloc(1, size);
}

void kfree(void *p)
{
    free(p);
}

void *page_alloc(size_t count)
{
    return aligned_alloc(4096, count * 4096);
}

void page_free(void *p, size_t count)
{
    (void)count;
    free(p);
}

/* struct mutex is one word; the host's uses are short and mostly single-threaded. */
void mutex_lock(uint32_t *state)
{
    while (__atomic_exchange_n(state, 1, __ATOMIC_ACQUIRE))
        sched_yield();
}

void mutex_unlock(uint32_t *state)
{
    __atomic_store_n(state, 0, __ATOMIC_RELEASE);
}

size_t strlcpy(char *d, const char *s, size_t size)
{
    size_t length = strlen(s);
    if (size) {
        size_t n = length < size ? length : size - 1;
        memcpy(d, s, n);
        d[n] = 0;
    }
    return length;
}

void log_write(int level, const char *fmt, ...)
{
    (void)level;
    char line[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (g_sink)
        g_sink(line);
}

void panic(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}
