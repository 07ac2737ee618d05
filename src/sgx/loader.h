/* SPDX-License-Identifier: Apache-2.0 */
/* From an enclave file and its SIGSTRUCT to an initialised enclave, and to MRENCLAVE by the same
 * walk over the file. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver.h"
#include "enclave_file.h"

struct error;

struct sgx_load_options {
    bool debug; /* ATTRIBUTES.DEBUG; the SIGSTRUCT must allow it */
    bool kss;   /* ATTRIBUTES.KSS with the two below */
    /* The file must name a base: code that is bound to one refuses to run at another. */
    bool fixed_base;
    uint8_t config_id[64];
    uint16_t config_svn;
};

struct sgx_enclave {
    const struct sgx_driver *driver;
    struct sgx_handle *handle;
    uint64_t base, size;
    uint8_t mrenclave[32], mrsigner[32];
    struct sgx_attributes attributes;
    uint32_t ssa_frame_size; /* pages */
    uint64_t info[ENCLAVE_FILE_INFO];
    uint64_t *tcs; /* addresses of the TCS pages of the file, in its order */
    unsigned tcs_count;
};

/*
 * Map, create, add, initialise. Holes of ELRANGE are mapped RWX with SGX2, so that pages can be
 * added on demand. Owned by the caller; enclave_fd may be closed afterwards. On failure nothing is
 * left.
 */
int sgx_enclave_load(const struct sgx_driver *driver, int enclave_fd,
                     const struct sgx_sigstruct *sigstruct, const struct sgx_load_options *options,
                     struct sgx_enclave **out, struct error *err);
void sgx_enclave_free(struct sgx_enclave *enclave);

/* MRENCLAVE of the file, without a driver. */
int sgx_enclave_measure(int enclave_fd, uint8_t mrenclave[32], struct error *err);
