/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
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

int signal_number(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end != text && !*end)
        return number >= 0 && number < NSIG ? (int)number : -1;
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    for (int sig = 1; sig < NSIG; sig++) {
        const char *known = sigabbrev_np(sig);
        if (known && strcasecmp(known, name) == 0)
            return sig;
    }
    if (strncasecmp(name, "RTMIN", 5) == 0 || strncasecmp(name, "RTMAX", 5) == 0) {
        long offset = strtol(name + 5, &end, 10);
        int base = strncasecmp(name, "RTMIN", 5) == 0 ? SIGRTMIN : SIGRTMAX;
        if (!*end && base + offset >= SIGRTMIN && base + offset <= SIGRTMAX)
            return base + (int)offset;
    }
    return -1;
}
