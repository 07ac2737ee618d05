/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of /proc/PID/fdinfo, for the rooms whose files have some. */
#include "vfs.h"

void fdinfo_line(struct fdinfo *to, const char *fmt, ...)
{
    char line[200];
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    to->add(to, line, MIN((size_t)n, sizeof(line) - 1));
}
