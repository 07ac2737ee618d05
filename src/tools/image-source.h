/* SPDX-License-Identifier: Apache-2.0 */
/* rune-image: where the image comes from, a root directory or an image file. */
#pragma once

#include "cli/cli.h"
#include "enclave/bundle/bundle.h"
#include "image/image.h"

struct image_source {
    struct image *image; /* NULL: a root directory */
    struct image_totals limits;
    struct bundle_tree tree;
};

/* Options of every command that takes a ROOTFS|IMAGE. */
extern const char *g_image_name, *g_image_max_size, *g_image_max_files;
#define OPTIONS_IMAGE_SOURCE                                                                  \
    {"image",       NULL,   OPTION_TEXT,                                                      \
     &g_image_name, "NAME", "which image of the file: a tag, a name, or a manifest's digest", \
     NULL},                                                                                   \
        {"max-size",  NULL,                                                                   \
         OPTION_TEXT, &g_image_max_size,                                                      \
         "N",         "refuse an image file that unpacks to more (default: 64G)",             \
         NULL},                                                                               \
    {                                                                                         \
        "max-files", NULL, OPTION_TEXT, &g_image_max_files, "N",                              \
            "refuse an image file with more entries in its layers (default: 4M)", NULL        \
    }

/*
 * Open what `path` is, and tell it to a conversion. *source must outlive the conversion;
 * image_source_close releases it.
 */
int image_source_open(const char *path, struct image_source *source, struct bundle_options *options,
                      struct error *err);
void image_source_close(struct image_source *source);
#define cleanup_image_source __attribute__((cleanup(image_source_close)))
