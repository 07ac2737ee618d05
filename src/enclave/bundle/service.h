/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a signing service is asked, by either side (docs/signing-service.md). It gets all from which
 * it can build the enclave by itself, and nothing that it would have to believe.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "enclave/bundle/internal.h"
#include "sgx_arch.h"

struct signing_request {
    uint8_t root_hash[BUNDLE_HASH_SIZE], salt[BUNDLE_HASH_SIZE], sites_hash[BUNDLE_HASH_SIZE];
    uint32_t salt_size;
    uint64_t data_size, sites_size;
    struct bundle_settings settings; /* before settings_complete() */
    struct buffer bound;             /* as it is in the enclave; empty: none */
    /* What the asking side has. They tell why two sides see different enclaves. */
    uint8_t libos_hash[BUNDLE_HASH_SIZE], proxy_hash[BUNDLE_HASH_SIZE];
    uint8_t mrenclave[BUNDLE_HASH_SIZE];
};
#define SIGNING_REQUEST_MAX (3ul << 20) /* bytes of its text */

void signing_request_write(const struct signing_request *request, struct buffer *text);
/* Everything is checked that can be without files. Release in any case. */
int signing_request_read(const char *text, size_t size, struct signing_request *out,
                         struct error *err);
void signing_request_release(struct signing_request *request);

/* What all enclaves of a service have in common: its own LibOS and ratls-proxy. */
struct signing_programs {
    char *libos_path;
    struct buffer libos;
    uint8_t libos_hash[BUNDLE_HASH_SIZE], proxy_hash[BUNDLE_HASH_SIZE]; /* zero: no ratls-proxy */
    uint64_t proxy_size;
};
/* libos: NULL: the installed one. Release in any case. */
int signing_programs_open(const char *libos, struct signing_programs *out, struct error *err);
void signing_programs_release(struct signing_programs *programs);

/* Build the enclave that is asked for, and its SIGSTRUCT without key and signature. */
int signing_rebuild(const struct signing_programs *programs, const struct signing_request *request,
                    struct sgx_sigstruct *out, struct error *err);

/* Stands in a cache for the key that a service has. */
void service_identity(const struct bundle_service *service, uint8_t identity[BUNDLE_HASH_SIZE]);
/*
 * Have the unsigned SIGSTRUCT of directory `dir` signed. What comes back is stored only if it is
 * that one, with a good signature, by the key that is expected. request->mrenclave is filled in.
 */
int service_sign(const struct bundle_service *service, int dir, struct signing_request *request,
                 struct error *err);
