/* SPDX-License-Identifier: Apache-2.0 */
/* aesmd, Intel's service with the quoting enclave: one request and one answer a connection. */
#pragma once

#include "quoting/quoting.h"

#define AESM_QUOTE_MAX   16384u
#define AESM_KEY_ID_SIZE 256

/* The attestation key that this project knows, ECDSA P-256 in Intel's quoting enclave. */
void aesm_key_id(uint8_t out[AESM_KEY_ID_SIZE]);
#define AESM_ALGORITHM_AT    154 /* uint32_t in a key's ID ... */
#define AESM_ALGORITHM_ECDSA 2   /* ... of that one */

/* Also makes the service load its attestation key. */
int aesm_target_info(const struct quoting_options *options, struct sgx_targetinfo *out,
                     struct error *err);
/* Not yet compared with the report. */
int aesm_quote(const struct quoting_options *options, const struct sgx_report *report,
               struct buffer *out, struct error *err);
