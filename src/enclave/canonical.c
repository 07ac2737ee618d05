/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/canonical.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void canonical_sort(char **texts, size_t count)
{
    qsort(texts, count, sizeof(*texts), compare_texts);
}

const char **canonical_texts(const struct oci_strings *list)
{
    const char **out = xcalloc(list->count + 1, sizeof(*out));
    for (size_t i = 0; i < list->count; i++)
        out[i] = list->items[i];
    qsort(out, list->count, sizeof(*out), compare_texts);
    return out;
}

static size_t name_size(const char *entry)
{
    return strcspn(entry, "=");
}

static bool same_name(const char *a, const char *b)
{
    return name_size(a) == name_size(b) && strncmp(a, b, name_size(a)) == 0;
}

/* By names, not by entries: '=' sorts behind digits. */
static int compare_variables(const void *a, const void *b)
{
    const char *one = *(const char *const *)a, *two = *(const char *const *)b;
    const size_t m = name_size(one), n = name_size(two);
    const int order = memcmp(one, two, m < n ? m : n);
    if (order != 0)
        return order;
    if (m != n)
        return m < n ? -1 : 1;
    return strcmp(one, two);
}

const char **canonical_variables(const struct oci_strings *list)
{
    const char **out = xcalloc(list->count + 1, sizeof(*out));
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        bool later = false;
        for (size_t k = i + 1; !later && k < list->count; k++)
            later = same_name(list->items[i], list->items[k]);
        if (!later)
            out[count++] = list->items[i];
    }
    qsort(out, count, sizeof(*out), compare_variables);
    return out;
}

/* A mount on `path` is hidden by a later one on `target`. */
static bool hides(const char *target, const char *path)
{
    const size_t size = strcmp(target, "/") == 0 ? 0 : strlen(target);
    return strncmp(target, path, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

struct placed {
    char *target;
    size_t number;
};

static int compare_placed(const void *a, const void *b)
{
    return path_compare(((const struct placed *)a)->target, ((const struct placed *)b)->target);
}

size_t canonical_mounts(const struct oci_config *config, size_t **out)
{
    cleanup_free struct placed *placed = xcalloc(config->mount_count + 1, sizeof(*placed));
    cleanup_free struct placed *seen = xcalloc(config->mount_count + 1, sizeof(*seen));
    size_t count = 0;
    for (size_t i = 0; i < config->mount_count; i++)
        placed[i] = (struct placed){path_clean(config->mounts[i].destination), i};
    for (size_t i = 0; i < config->mount_count; i++) {
        bool hidden = false;
        for (size_t k = i + 1; !hidden && k < config->mount_count; k++)
            hidden = hides(placed[k].target, placed[i].target);
        if (!hidden)
            seen[count++] = placed[i];
    }
    qsort(seen, count, sizeof(*seen), compare_placed);
    *out = xcalloc(count + 1, sizeof(**out));
    for (size_t i = 0; i < count; i++)
        (*out)[i] = seen[i].number;
    for (size_t i = 0; i < config->mount_count; i++)
        free(placed[i].target);
    return count;
}
