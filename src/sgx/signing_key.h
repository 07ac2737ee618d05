/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing keys, by name: a PEM file, or a URI of a key that is somewhere else (PKCS #11, RFC 7512,
 * or whatever OpenSSL's providers know). The key is used through OpenSSL and never leaves its
 * place.
 */
#pragma once

#include <stdbool.h>

#include <openssl/evp.h>

struct error;

static inline void cleanup_pkey_fn(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}
#define cleanup_pkey __attribute__((cleanup(cleanup_pkey_fn)))

/* Is it "scheme:..."? Then there is no file. */
bool sgx_key_is_uri(const char *key);

/* The name for messages, malloc'd: a URI without its query, which may hold the PIN. */
char *sgx_key_name(const char *key);

/*
 * Open a private key. A URI is asked of OpenSSL's providers, and "pkcs11:" where none of them knows
 * it of the engine "pkcs11" (libengine-pkcs11-openssl), with module-path of the URI as its module.
 * A password or PIN that is missing is asked for on the terminal, if `ask` says so and stdin is
 * one. *out is the caller's (EVP_PKEY_free). Not while other threads write to stderr.
 */
int sgx_key_open(const char *key, bool ask, EVP_PKEY **out, struct error *err);
