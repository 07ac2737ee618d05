/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/bundle/internal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/procfs.h"

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
    for (struct procfs_mount mount; procfs_next_mount(&next, &mount);) {
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
        /* A mount of a part of its file system (a bind) has its layers' roots somewhere above. */
        found = strcmp(mount.root, "/") == 0 && strcmp(mount.type, "overlay") == 0 &&
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
