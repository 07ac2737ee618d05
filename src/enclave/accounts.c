/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/accounts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/number.h"
#include "base/path.h"

enum { FILE_MAX = 4 << 20, FIELDS = 7 };

static void read_file(const char *rootfs, const char *path, struct buffer *out)
{
    cleanup_close int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int fd = root < 0 ? -1
                                    : path_open_in_root(root, path, O_RDONLY | O_NONBLOCK, 0, NULL);
    if (fd < 0 || read_all(fd, out, FILE_MAX) < 0)
        buffer_clear(out);
}

static bool is_number(const char *text, uint32_t *out)
{
    uint64_t value;
    if (text[0] < '0' || text[0] > '9' || text[strspn(text, "0123456789")] != '\0' ||
        number_parse(text, strlen(text), UINT32_MAX, &value) < 0)
        return false;
    *out = (uint32_t)value;
    return true;
}

/* The next line's fields; false at the end. Missing fields are "". */
static bool next_line(char **rest, char *fields[FIELDS])
{
    static char none[1];
    char *line = strsep(rest, "\n");
    if (!line)
        return false;
    for (size_t i = 0; i < FIELDS; i++) {
        char *field = strsep(&line, ":");
        fields[i] = field ? field : none;
    }
    return true;
}

static void add_group(struct account *out, uint32_t gid)
{
    out->groups = xreallocarray(out->groups, out->group_count + 1, sizeof(*out->groups));
    out->groups[out->group_count++] = gid;
}

static int find_group(const char *rootfs, const char *text, uint32_t *gid, struct error *err)
{
    cleanup_buffer struct buffer file = BUFFER_INIT;
    char *fields[FIELDS];
    if (is_number(text, gid))
        return 0;
    read_file(rootfs, "/etc/group", &file);
    char *rest = file.data;
    while (rest && next_line(&rest, fields))
        if (strcmp(fields[0], text) == 0 && is_number(fields[2], gid))
            return 0;
    return error_set(err, "the image has no group \"%s\" in /etc/group", text);
}

/* Groups that name the user as a member. */
static void add_memberships(const char *rootfs, const char *name, struct account *out)
{
    cleanup_buffer struct buffer file = BUFFER_INIT;
    char *fields[FIELDS], *member;
    uint32_t gid;
    read_file(rootfs, "/etc/group", &file);
    char *rest = file.data;
    while (rest && next_line(&rest, fields)) {
        char *members = fields[3];
        while ((member = strsep(&members, ",")) != NULL)
            if (strcmp(member, name) == 0 && is_number(fields[2], &gid))
                add_group(out, gid);
    }
}

int account_find(const char *rootfs, const char *user, const json_t *extra, bool own,
                 struct account *out, struct error *err)
{
    cleanup_buffer struct buffer file = BUFFER_INIT;
    cleanup_free char *copy = xstrdup(user);
    char *group = copy, *name = strsep(&group, ":"), *fields[FIELDS];
    const bool number = is_number(name, &out->uid);
    bool found = false;
    uint32_t uid, gid;
    read_file(rootfs, "/etc/passwd", &file);
    char *rest = file.data;
    while (!found && rest && next_line(&rest, fields)) {
        if (!is_number(fields[2], &uid) || !is_number(fields[3], &gid) ||
            (number ? uid != out->uid : strcmp(fields[0], name) != 0))
            continue;
        found = true;
        out->uid = uid;
        out->gid = gid;
        if (!group)
            add_memberships(rootfs, fields[0], out);
    }
    if (!found && !number)
        return error_set(err, "the image has no user \"%s\" in /etc/passwd", name);
    if (group && group[0] && find_group(rootfs, group, &out->gid, err) < 0)
        return -1;
    if (own)
        add_group(out, out->gid);
    for (size_t i = 0; i < json_array_size(extra); i++) {
        if (find_group(rootfs, json_string_value(json_array_get(extra, i)), &gid, err) < 0)
            return -1;
        add_group(out, gid);
    }
    return 0;
}

void account_release(struct account *account)
{
    free(account->groups);
    account->groups = NULL;
}
