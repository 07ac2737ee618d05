/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Container images as files: an OCI image layout (a directory), or an archive of docker save,
 * podman save or skopeo (docker-archive, oci-archive; plain or compressed). Opens one, and unpacks
 * the root file system of its layers into a directory. Nothing of an image is believed: names stay
 * in the directory, sizes and counts are bounded, each layer is unpacked only after its hash was
 * found to be what the configuration says.
 *
 *     image.c     which image of the file: index, manifest, configuration
 *     store.c     where its blobs are
 *     stream.c    a layer: decompressed, hashed, read as tar (libarchive)
 *     layer.c     whiteouts, then entries
 *     tree.c      objects in the directory
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define IMAGE_IDENTITY_SIZE 32u

struct image;

struct image_totals {
    uint64_t entries; /* of all layers */
    uint64_t bytes;   /* contents of their files, and of the layers themselves */
};
/* Far above what images have. */
#define IMAGE_ENTRIES_MAX (4ull << 20)
#define IMAGE_BYTES_MAX   (64ull << 30)

/* Is it such a file or directory? An ordinary root directory is not. */
bool image_is_one(const char *path);

/*
 * Open it and read its configuration. `reference` chooses among several images: a tag or name as
 * the file has it, or a manifest's digest; NULL where there is only one for linux/amd64. The error
 * lists what there is. *out is the caller's (image_close).
 */
int image_open(const char *path, const char *reference, struct image **out, struct error *err);
void image_close(struct image *image);

/* A hash of what the layers unpack to, the same however they are kept and compressed:
 * IMAGE_IDENTITY_SIZE bytes. */
const uint8_t *image_identity(const struct image *image);

/* The image's configuration (OCI image-spec, "Image Configuration"); borrowed. */
const json_t *image_config(const struct image *image);

/*
 * Unpack all layers into the empty directory behind `dir`, whose owner and mode become the root's.
 * Needs the rights to make any owner and device that the image has: root, or a user namespace.
 * The same image gives the same tree: a directory that no layer names has mode 0755, is root's
 * and of time 0, as is the time of the root itself. *totals (may be NULL) is what was unpacked.
 * Changes the process's umask and the thread's locale meanwhile.
 */
int image_unpack(const struct image *image, int dir, const struct image_totals *limits,
                 struct image_totals *totals, struct error *err);
