/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "enclave/bundle/internal.h"
#include "manifest.h"

/* ---- libos_elf.c: the LibOS's ELF file, as the enclave gets it ---- */
struct libos_segment {
    uint64_t address; /* in the file's own terms; page aligned down by the reader */
    uint64_t size;    /* in memory, whole pages */
    uint8_t *data;    /* file bytes, relocated */
    uint64_t data_size;
    uint64_t permissions; /* ENCLAVE_FILE_R | W | X */
};
struct libos_elf {
    struct libos_segment *segments;
    unsigned segment_count;
    uint64_t entry, end;
    uint64_t *sites; /* of ENCLU, addresses */
    size_t site_count;
};
/* `base` is where address 0 of the file goes. */
int libos_elf_read(const char *path, const void *data, size_t size, uint64_t base,
                   struct libos_elf *out, struct error *err);
void libos_elf_release(struct libos_elf *elf);

/* ---- layout.c: the enclave file (abi/layout.h) ---- */
/* `bound` is what bound_compile made; empty or NULL: deployments may say anything. */
int layout_write(const struct libos_elf *elf, const struct manifest_image *manifest,
                 const struct buffer *bound, const struct bundle_settings *settings, int fd,
                 struct error *err);

/* The image half of the manifest for these settings. */
void manifest_fill(const struct bundle_settings *settings, const struct image_info *info,
                   struct manifest_image *out);
/* Zero fields become defaults; checks what cannot work. */
int settings_complete(struct bundle_settings *settings, struct error *err);
