/* SPDX-License-Identifier: Apache-2.0 */
/* The real LibOS image as an enclave file, for tests that load it as a hostile host would. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "enclave/bundle/layout_build.h"
#include "layout.h"
#include "manifest.h"
#include "sgx_arch.h"
#include "sgx/sigstruct.h"

#define IMAGE_SIZE (64ull << 30) /* of its ELRANGE: there is room for it at another base */

struct image {
    uint8_t *elf; /* libos.elf */
    size_t elf_size;
    struct bundle_settings settings;
    struct enclave_layout layout; /* as the enclave file has it */
    int file;                     /* enclave file */
    struct sgx_sign_params params;
    struct sgx_sigstruct sigstruct;
};

/* Read libos.elf; without_proof: the entry's proof of its base becomes NOPs, as the code was before
 * there was one. */
void image_read(struct image *image, const char *path, bool without_proof);
/* Make and sign the enclave file. */
void image_build(struct image *image, bool production);
/* Sign again what `params` now says. Keys are made in the emulator's root directory. */
enum image_signer { IMAGE_OF_TENANT, IMAGE_OF_HOST };
void image_sign(struct image *image, enum image_signer signer);
/* Give every page whose contents no measurement covers other contents. */
void image_fill_unmeasured(struct image *image, uint8_t byte);
void image_release(struct image *image);

/* Offset of a symbol in the image. */
uint64_t image_symbol(const struct image *image, const char *name);
/* Of a function's static variable, by its size. */
uint64_t image_variable(const struct image *image, const char *name, uint64_t size);
/* Any field of the enclave file's header, which no measurement covers. */
void image_put_header(struct image *image, size_t offset, const void *value, size_t size);
