/* SPDX-License-Identifier: Apache-2.0 */
/* Options of mount(2): "size=8k,mode=700". */
#include "fs_private.h"

u64 mount_parse_size(const char *s)
{
    u64 v = 0;

    while (*s >= '0' && *s <= '9')
        v = v * 10 + (u64)(*s++ - '0');
    switch (*s | 0x20) {
    case 'g':
        v <<= 10; /* fall through */
        __attribute__((fallthrough));
    case 'm':
        v <<= 10;
        __attribute__((fallthrough));
    case 'k':
        v <<= 10;
        break;
    case '%' | 0x20:
        v = 0;
    }
    return v;
}

u32 mount_parse_octal(const char *s)
{
    u32 v = 0;

    while (*s >= '0' && *s <= '7')
        v = v * 8 + (u32)(*s++ - '0');
    return v;
}

const char *mount_option(const char *options, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = options; p && *p;) {
        const char *comma = strchr(p, ',');

        if (strncmp(p, name, n) == 0 && p[n] == '=')
            return p + n + 1;
        p = comma ? comma + 1 : NULL;
    }
    return NULL;
}

bool mount_option_given(const char *options, const char *name)
{
    size_t n = strlen(name);

    if (mount_option(options, name))
        return true;
    for (const char *p = options; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, name, n) == 0 && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

/* 0 when it is not there. */
u32 mount_option_number(const char *options, const char *name)
{
    const char *v = mount_option(options, name);

    return v ? (u32)mount_parse_size(v) : 0;
}
