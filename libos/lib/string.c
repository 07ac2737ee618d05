/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory and string functions. The compiler itself calls the first four. Long blocks are left to
 * the processor's string instructions (FSRM, ERMS): vector registers hold the application's values.
 */
#include "lib.h"

typedef u64 __attribute__((may_alias, aligned(1))) u64_any;
typedef u32 __attribute__((may_alias, aligned(1))) u32_any;
typedef u16 __attribute__((may_alias, aligned(1))) u16_any;

/* Up to 32 bytes by overlapping loads before any store, so it serves memmove too. */
static inline void copy_small(u8 *d, const u8 *s, size_t n)
{
    if (n >= 16) {
        u64 a = *(const u64_any *)s, b = *(const u64_any *)(s + 8);
        u64 y = *(const u64_any *)(s + n - 16), z = *(const u64_any *)(s + n - 8);

        *(u64_any *)d = a;
        *(u64_any *)(d + 8) = b;
        *(u64_any *)(d + n - 16) = y;
        *(u64_any *)(d + n - 8) = z;
    } else if (n >= 8) {
        u64 a = *(const u64_any *)s, z = *(const u64_any *)(s + n - 8);

        *(u64_any *)d = a;
        *(u64_any *)(d + n - 8) = z;
    } else if (n >= 4) {
        u32 a = *(const u32_any *)s, z = *(const u32_any *)(s + n - 4);

        *(u32_any *)d = a;
        *(u32_any *)(d + n - 4) = z;
    } else if (n >= 2) {
        u16 a = *(const u16_any *)s, z = *(const u16_any *)(s + n - 2);

        *(u16_any *)d = a;
        *(u16_any *)(d + n - 2) = z;
    } else if (n == 1) {
        *d = *s;
    }
}

void *memcpy(void *restrict d, const void *restrict s, size_t n)
{
    void *dst = d;

    if (n <= 32) {
        copy_small(d, s, n);
        return d;
    }
    __asm__ volatile("rep movsb" : "+D"(dst), "+S"(s), "+c"(n) : : "memory");
    return d;
}

void *memmove(void *d, const void *s, size_t n)
{
    u8 *dst = d;
    const u8 *src = s;

    if (n <= 32) {
        copy_small(dst, src, n);
        return d;
    }
    if ((uintptr_t)dst - (uintptr_t)src >= n) {
        __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
        return d;
    }
    while (n >= 8) {
        n -= 8;
        *(u64_any *)(dst + n) = *(const u64_any *)(src + n);
    }
    while (n > 0) {
        n--;
        ((volatile u8 *)dst)[n] = src[n];
    }
    return d;
}

void *memset(void *d, int c, size_t n)
{
    void *dst = d;

    __asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(c) : "memory");
    return d;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;

    for (; n >= 8 && *(const u64_any *)x == *(const u64_any *)y; n -= 8) {
        x += 8;
        y += 8;
    }
    for (; n > 0; n--, x++, y++) {
        if (*x != *y)
            return *x - *y;
    }
    return 0;
}

void *memchr(const void *s, int c, size_t n)
{
    const u8 *p = s;

    for (; n > 0; n--, p++) {
        if (*p == (u8)c)
            return (void *)p;
    }
    return NULL;
}

/* Loops that the compiler must not turn back into calls of the function that they implement. */
#define NO_IDIOM __attribute__((optimize("no-tree-loop-distribute-patterns")))

NO_IDIOM size_t strlen(const char *s)
{
    size_t n = 0;

    while (s[n] != '\0')
        n++;
    return n;
}

size_t strnlen(const char *s, size_t n)
{
    size_t i = 0;

    while (i < n && s[i] != '\0')
        i++;
    return i;
}

int strcmp(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n > 0; n--, a++, b++) {
        if (*a != *b || *a == '\0')
            return (u8)*a - (u8)*b;
    }
    return 0;
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)s;
        if (*s == '\0')
            return NULL;
    }
}

char *strrchr(const char *s, int c)
{
    const char *last = NULL;

    for (;; s++) {
        if (*s == (char)c)
            last = s;
        if (*s == '\0')
            return (char *)last;
    }
}

size_t strlcpy(char *d, const char *s, size_t size)
{
    size_t n = strlen(s);

    if (size > 0) {
        size_t m = n < size ? n : size - 1;

        memcpy(d, s, m);
        d[m] = '\0';
    }
    return n;
}
