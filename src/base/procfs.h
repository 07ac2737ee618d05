/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * What the files of /proc say, as proc(5) has it. Parsers of text only: the caller reads the file.
 * Those that walk through lines change the text; *rest starts as the whole and becomes NULL.
 */

/* /proc/PID/stat: state letter and start time (field 22); either may be NULL. 0 or -EPROTO. */
int procfs_parse_stat(const char *text, uint64_t *start_time, char *state);

struct procfs_mount {
    char *root;    /* of the mount in its file system */
    char *point;   /* where it is */
    char *type;    /* of the file system */
    char *source;  /* device or what stands for one */
    char *options; /* of the file system, not of the mount */
};

/* The next line of /proc/PID/mountinfo that is one, its escapes (\040) resolved; false at the
 * end. */
bool procfs_next_mount(char **rest, struct procfs_mount *out);

/* The next line of /proc/PID/cgroup; controllers is "" for the unified hierarchy. */
bool procfs_next_cgroup(char **rest, char **controllers, char **path);
