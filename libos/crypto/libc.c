/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few symbols of a C library that nettle's archive refers to, beyond those of libos/lib. Most
 * belong to its processor detection (fat-x86_64.o): the answer of secure_getenv() replaces CPUID
 * there, and its verbose output is never on.
 */
#include "log.h"

const char *crypto_nettle_features(void);

char *secure_getenv(const char *name);
char *getenv(const char *name);
__noreturn void __assert_fail(const char *expression, const char *file, unsigned line,
                              const char *function);
__noreturn void __stack_chk_fail(void);
int __fprintf_chk(void *stream, int flag, const char *format, ...);
size_t fwrite(const void *data, size_t size, size_t count, void *stream);
extern void *stderr;

void *stderr;

char *secure_getenv(const char *name)
{
    return strcmp(name, "NETTLE_FAT_OVERRIDE") == 0 ? (char *)crypto_nettle_features() : NULL;
}

char *getenv(const char *name)
{
    return secure_getenv(name);
}

void __assert_fail(const char *expression, const char *file, unsigned line, const char *function)
{
    panic("nettle: %s:%u: %s", file, line, expression);
}

void __stack_chk_fail(void)
{
    panic("nettle: stack overwritten");
}

int __fprintf_chk(void *stream, int flag, const char *format, ...)
{
    return 0;
}

size_t fwrite(const void *data, size_t size, size_t count, void *stream)
{
    return count;
}
