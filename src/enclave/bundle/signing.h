/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "enclave/bundle/bundle.h"
#include "sgx/sigstruct.h"

/* Files of an enclave's cache entry. */
#define SIGNING_SIGNED   "sigstruct"
#define SIGNING_UNSIGNED "sigstruct.unsigned" /* body without key and signature */

/* A file or a URI (sgx/signing_key.h). A file that is missing is made; *signer becomes a hash of
 * the public half. */
int signing_key_prepare(const char *key, uint8_t signer[BUNDLE_HASH_SIZE], struct error *err);
int signing_read(int dir, const char *name, struct sgx_sigstruct *out, struct error *err);
int signing_store(int dir, const char *name, const struct sgx_sigstruct *s, struct error *err);
/* The unsigned SIGSTRUCT of an enclave file. */
int signing_material_write(int dir, int enclave_fd, bool debug, struct error *err);
int signing_sign(int dir, const char *key, struct error *err);
