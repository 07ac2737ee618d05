/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGSTRUCT: make, sign (with a local key, or elsewhere by exporting the material), check. Keys are
 * RSA-3072 with public exponent 3, in PEM.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sgx_arch.h"

struct error;

#define SGX_SIGNING_MATERIAL_SIZE 256u

struct sgx_sign_params {
    uint8_t mrenclave[32];
    struct sgx_attributes attributes;     /* without INIT */
    struct sgx_attributes attribute_mask; /* bits that must be as in `attributes` */
    uint32_t miscselect, misc_mask;
    uint16_t isv_prod_id, isv_svn;
    uint8_t isv_ext_prod_id[16], isv_family_id[16];
    uint32_t date; /* BCD yyyymmdd, 0: 20200101, so that a signature is reproducible */
    uint32_t vendor, swdefined;
};

/*
 * Parameters from an enclave file: measures it, takes ids and attributes from its header. `debug`
 * lets the enclave be started with the DEBUG attribute; without it DEBUG is forced to 0. KSS and
 * the AVX bits of XFRM stay the loader's choice.
 */
int sgx_sign_params_from_file(int enclave_fd, bool debug, struct sgx_sign_params *out,
                              struct error *err);

/* The body, not yet signed: modulus, exponent, signature, Q1 and Q2 are zero. */
void sgx_sigstruct_fill(const struct sgx_sign_params *params, struct sgx_sigstruct *out);

/* Sign with a private key: a PEM file, or a URI (sgx/signing_key.h). May ask for its password. */
int sgx_sigstruct_sign(struct sgx_sigstruct *s, const char *key, struct error *err);

/* The 256 bytes that are signed (RSA PKCS#1 v1.5, SHA-256), to be signed elsewhere. */
void sgx_sigstruct_signing_material(const struct sgx_sigstruct *s,
                                    uint8_t out[SGX_SIGNING_MATERIAL_SIZE]);

/* Take a signature made elsewhere: the PEM public key, and 384 bytes, big-endian as openssl writes
 * them. Checks it. */
int sgx_sigstruct_import(struct sgx_sigstruct *s, const char *public_key_path,
                         const uint8_t signature[SGX_RSA_SIZE], struct error *err);

/* Form, key and signature, Q1 and Q2: all that EINIT checks without knowing the enclave. */
int sgx_sigstruct_check(const struct sgx_sigstruct *s, struct error *err);

/* SHA-256 of the modulus. */
void sgx_sigstruct_mrsigner(const struct sgx_sigstruct *s, uint8_t mrsigner[32]);

int sgx_sigstruct_read(int fd, struct sgx_sigstruct *out, struct error *err);
int sgx_sigstruct_write(int fd, const struct sgx_sigstruct *s, struct error *err);

/* Make a signing key at `path` (mode 0600, created exclusively; -EEXIST when it is there). */
int sgx_key_generate(const char *path, struct error *err);
