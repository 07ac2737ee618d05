/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of strings. */
#include "heap.h"

char *kstrdup(const char *s)
{
    return kstrndup(s, strlen(s));
}

char *kstrndup(const char *s, size_t n)
{
    size_t m = strnlen(s, n);
    char *p = kmalloc(m + 1);

    if (p == NULL)
        return NULL;
    memcpy(p, s, m);
    p[m] = '\0';
    return p;
}
