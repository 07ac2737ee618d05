/* SPDX-License-Identifier: Apache-2.0 */
#include "image-source.h"

#include <string.h>

#include "base/number.h"

const char *g_image_name, *g_image_max_size, *g_image_max_files;

static int unpack(void *ctx, int dir, uint64_t *entries, uint64_t *bytes, struct error *err)
{
    const struct image_source *source = ctx;
    struct image_totals totals = {0};
    int ret = image_unpack(source->image, dir, &source->limits, &totals, err);
    *entries = totals.entries;
    *bytes = totals.bytes;
    return ret;
}

static int read_limit(const char *option, const char *text, uint64_t max, uint64_t *out,
                      struct error *err)
{
    if (text && number_parse(text, strlen(text), max, out) < 0)
        return error_set(err, "%s: \"%s\" is not a number in range", option, text);
    return 0;
}

int image_source_open(const char *path, struct image_source *source, struct bundle_options *options,
                      struct error *err)
{
    *source = (struct image_source){.limits = {IMAGE_ENTRIES_MAX, IMAGE_BYTES_MAX}};
    if (!image_is_one(path)) {
        if (g_image_name)
            return error_set(err, "--image chooses in an image file, and %s is none", path);
        options->rootfs = path;
        return 0;
    }
    if (read_limit("--max-size", g_image_max_size, INT64_MAX, &source->limits.bytes, err) < 0 ||
        read_limit("--max-files", g_image_max_files, UINT32_MAX, &source->limits.entries, err) <
            0 ||
        image_open(path, g_image_name, &source->image, err) < 0)
        return -1;
    source->tree = (struct bundle_tree){.name = path, .make = unpack, .ctx = source};
    memcpy(source->tree.identity, image_identity(source->image), sizeof(source->tree.identity));
    options->tree = &source->tree;
    return 0;
}

void image_source_close(struct image_source *source)
{
    image_close(source->image);
    source->image = NULL;
}
