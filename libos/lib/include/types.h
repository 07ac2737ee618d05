/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types of the trusted code. Errors are negative errno (Linux values). Linux's own UAPI headers
 * (<linux/...>, <asm/...>) give constants and structures; nothing else from the host's include path
 * is used.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <asm/errno.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;
typedef int64_t i64;
typedef int64_t off_t;
typedef int64_t ssize_t;

#define PAGE_SIZE    4096ul
#define PAGE_SHIFT   12
#define PAGE_MASK    (~(PAGE_SIZE - 1))
#define PAGE_DOWN(x) ((u64)(x)&PAGE_MASK)
#define PAGE_UP(x)   (((u64)(x) + PAGE_SIZE - 1) & PAGE_MASK)

#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                       ((a) < (b) ? (a) : (b))
#define MAX(a, b)                       ((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define likely(x)                       __builtin_expect(!!(x), 1)
#define unlikely(x)                     __builtin_expect(!!(x), 0)
#define __noreturn                      __attribute__((noreturn))
#define __printf(a, b)                  __attribute__((format(printf, a, b)))

/*
 * An address of the application's, as it came: NULL, or pointing anywhere. It is no pointer, so it
 * compiles neither where a trusted pointer is due nor the other way round; copy_from_user() and
 * friends (user.h) look behind it.
 */
typedef struct {
    u64 at;
} uaddr;
static inline uaddr user_at(u64 at)
{
    return (uaddr){at};
}
static inline uaddr user_plus(uaddr p, u64 n)
{
    return (uaddr){p.at + n};
}
#define USER_FIELD(p, type, member) user_plus(p, offsetof(type, member))

/*
 * A descriptor of the host's, as it gave it: no descriptor of the application's, no count, and no
 * other number, so it compiles neither where one of these is due nor the other way round. Negative:
 * none, and then the negative errno of the call that was to give it.
 */
typedef struct {
    i32 n;
} hostfd;
static inline hostfd no_hostfd(int err)
{
    return (hostfd){err};
}
static inline bool hostfd_ok(hostfd fd)
{
    return fd.n >= 0;
}

/* Pointers that are negative errno: the last page of the address space is never mapped. */
static inline bool is_err(const void *p)
{
    return (uintptr_t)p >= (uintptr_t)-4095;
}
static inline int ptr_err(const void *p)
{
    return (int)(intptr_t)p;
}
static inline void *err_ptr(int err)
{
    return (void *)(intptr_t)err;
}
