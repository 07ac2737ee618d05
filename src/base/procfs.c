/* SPDX-License-Identifier: Apache-2.0 */
#include "base/procfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int procfs_parse_stat(const char *text, uint64_t *start_time, char *state)
{
    enum { STATE_FIELD = 3, START_TIME_FIELD = 22 };
    /* The name in parentheses may hold anything, also parentheses: fields start after the last one.
     */
    const char *p = strrchr(text, ')');
    if (!p || p[1] != ' ' || !p[2] || p[2] == ' ')
        return -EPROTO;
    p += 2;
    if (state)
        *state = *p;
    for (int field = STATE_FIELD; field < START_TIME_FIELD; field++) {
        p = strchr(p, ' ');
        if (!p)
            return -EPROTO;
        p++;
    }
    char *end;
    unsigned long long value = strtoull(p, &end, 10);
    if (end == p)
        return -EPROTO;
    if (start_time)
        *start_time = value;
    return 0;
}

/* "\040" and friends, in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7' && memcmp(from + 1, "000", 3) != 0) {
            *to++ = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

/* "36 35 98:0 /root /point rw,noatime master:1 - type source options" */
static bool parse_mount(char *line, struct procfs_mount *out)
{
    char *field = strsep(&line, " ");
    for (int i = 0; field && i < 3; i++)
        field = strsep(&line, " ");
    out->root = field;
    out->point = strsep(&line, " ");
    do
        field = strsep(&line, " ");
    while (field && strcmp(field, "-") != 0);
    out->type = strsep(&line, " ");
    out->source = strsep(&line, " ");
    out->options = line;
    if (!out->root || !out->point || !out->type || !out->source || !out->options)
        return false;
    char *const texts[] = {out->root, out->point, out->type, out->source, out->options};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        unescape(texts[i]);
    return true;
}

bool procfs_next_mount(char **rest, struct procfs_mount *out)
{
    for (char *line; (line = strsep(rest, "\n"));)
        if (parse_mount(line, out))
            return true;
    return false;
}

bool procfs_next_cgroup(char **rest, char **controllers, char **path)
{
    for (char *line; (line = strsep(rest, "\n"));) {
        strsep(&line, ":");
        *controllers = strsep(&line, ":");
        *path = line;
        if (*controllers && *path && **path == '/')
            return true;
    }
    return false;
}
