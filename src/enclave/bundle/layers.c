/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/bundle/internal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"

/* mountinfo writes blank, tab, newline and backslash as \ooo. In place. */
static void unescape_octal(char *text)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' &&
            in[3] >= '0' && in[3] <= '7') {
            *out++ = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 3;
        } else {
            *out++ = *in;
        }
    }
    *out = 0;
}

/* Up to `stop`, with backslash taking the next character as it is; *rest points behind the
 * separator or at the end. */
static char *take_escaped(const char *text, char stop, const char **rest)
{
    char *out = xmalloc(strlen(text) + 1);
    size_t size = 0;
    while (*text && *text != stop) {
        if (*text == '\\' && text[1])
            text++;
        out[size++] = *text++;
    }
    out[size] = 0;
    *rest = *text ? text + 1 : text;
    return out;
}

static void add_lower(struct layers *layers, char *path)
{
    layers->lower = xreallocarray(layers->lower, layers->lower_count + 1, sizeof(char *));
    layers->lower[layers->lower_count++] = path;
}

static void parse_lower_list(struct layers *layers, const char *list)
{
    while (*list)
        add_lower(layers, take_escaped(list, ':', &list));
}

/* The superblock options of an overlay; false when a layer's place cannot be told (relative,
 * data-only "::"). */
static bool parse_options(struct layers *layers, const char *options)
{
    while (*options) {
        /* Split at commas only: the lower list keeps its own escapes until it is cut at colons. */
        const char *end = options;
        while (*end && *end != ',')
            end += *end == '\\' && end[1] ? 2 : 1;
        cleanup_free char *option = xstrndup(options, (size_t)(end - options));
        options = *end ? end + 1 : end;

        const char *rest;
        if (strncmp(option, "lowerdir=", 9) == 0) {
            if (strstr(option, "::"))
                return false;
            parse_lower_list(layers, option + 9);
        } else if (strncmp(option, "lowerdir+=", 10) == 0) {
            add_lower(layers, take_escaped(option + 10, 0, &rest));
        } else if (strncmp(option, "datadir+=", 9) == 0) {
            return false;
        } else if (strncmp(option, "upperdir=", 9) == 0) {
            free(layers->upper);
            layers->upper = take_escaped(option + 9, 0, &rest);
        }
    }
    for (size_t i = 0; i < layers->lower_count; i++)
        if (layers->lower[i][0] != '/')
            return false;
    return layers->lower_count > 0 && (!layers->upper || layers->upper[0] == '/');
}

struct mount_line {
    char *point, *type, *options;
    bool whole; /* its root is that of the file system */
};

/*
 * "36 35 98:0 / /mnt rw,noatime master:1 - overlay overlay rw,lowerdir=...". False for a line that
 * is none, and for a mount of a part of its file system (a bind mount), whose layers' roots are
 * somewhere above.
 */
static bool parse_line(char *line, struct mount_line *out)
{
    char *field = strsep(&line, " ");
    for (int i = 0; field && i < 3; i++)
        field = strsep(&line, " ");
    out->whole = field && strcmp(field, "/") == 0;
    out->point = strsep(&line, " ");
    do
        field = strsep(&line, " ");
    while (field && strcmp(field, "-") != 0);
    out->type = strsep(&line, " ");
    if (!out->type || !strsep(&line, " "))
        return false;
    out->options = line;
    return out->point && out->options;
}

int layers_find(const char *rootfs, struct layers *out)
{
    memset(out, 0, sizeof(*out));
    cleanup_free char *real = realpath(rootfs, NULL);
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (!real || strcmp(real, "/") == 0 ||
        read_file_at(AT_FDCWD, "/proc/self/mountinfo", &text, 64u << 20, NULL) < 0)
        return 0;

    size_t real_size = strlen(real);
    bool found = false;
    char *next = text.data;
    for (char *line = strsep(&next, "\n"); line; line = strsep(&next, "\n")) {
        struct mount_line mount;
        if (!parse_line(line, &mount))
            continue;
        unescape_octal(mount.point);
        if (strncmp(mount.point, real, real_size) != 0)
            continue;
        if (mount.point[real_size] == '/') { /* something else is mounted inside */
            found = false;
            break;
        }
        if (mount.point[real_size])
            continue;
        /* The last line for a point is the one on top. */
        layers_release(out);
        unescape_octal(mount.options);
        found = mount.whole && strcmp(mount.type, "overlay") == 0 &&
                parse_options(out, mount.options);
    }
    if (!found)
        layers_release(out);
    return found;
}

void layers_release(struct layers *layers)
{
    for (size_t i = 0; i < layers->lower_count; i++)
        free(layers->lower[i]);
    free(layers->lower);
    free(layers->upper);
    memset(layers, 0, sizeof(*layers));
}
