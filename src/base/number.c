/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int number_parse(const char *text, size_t length, uint64_t max, uint64_t *out)
{
    static const char suffixes[] = "KMGT";
    char copy[32], *end;

    if (length == 0 || length >= sizeof(copy) || !isdigit((unsigned char)text[0]))
        return -EINVAL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    errno = 0;
    unsigned long long value = strtoull(copy, &end, strncmp(copy, "0x", 2) == 0 ? 16 : 10);
    const char *suffix = *end ? strchr(suffixes, *end) : NULL;
    const unsigned shift = suffix ? 10u * (unsigned)(suffix - suffixes + 1) : 0;
    if (errno || (suffix ? end[1] : *end) || value > max >> shift)
        return -EINVAL;
    *out = (uint64_t)value << shift;
    return 0;
}
