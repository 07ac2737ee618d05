/* SPDX-License-Identifier: Apache-2.0 */
/* Logging: one line, formatted in the enclave, then handed to the host. */
#include "log.h"
#include "host.h"

#define LINE_MAX_SIZE 512

int g_log_level = LOG_WARN;

void log_write(enum log_level level, const char *fmt, ...)
{
    char line[LINE_MAX_SIZE];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof(line))
        n = sizeof(line) - 1;
    /* A newline in data must not forge a second line. */
    for (int i = 0; i < n; i++) {
        if ((u8)line[i] < 0x20)
            line[i] = ' ';
    }
    host_log(level, line, (size_t)n);
}
