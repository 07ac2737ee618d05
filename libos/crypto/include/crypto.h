/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cryptography of the trusted code (libos/crypto), over libnettle's static library. The
 * application's vector registers and FS base are live while LibOS code runs; every function here
 * that reaches nettle saves and restores them, so callers need not care. nettle's objects use the
 * red zone and 128 bytes below RSP therefore belong to the interrupted code: an exception or
 * preemption handler that runs on the same stack must step over them.
 */
#pragma once

#include "types.h"

#define SHA256_SIZE   32
#define AES_CMAC_SIZE 16

/*
 * Once, in boot, before anything else here. AES-NI and PCLMULQDQ are there, or cpuid_init() would
 * have failed (table-driven AES has a cache side channel). Whether SHA-NI is, the processor was
 * asked by executing it. Runs a known-answer test of each algorithm; panics when one fails.
 */
#define CRYPTO_HAVE_SHA_NI (1u << 0)
void crypto_init(u32 features);

/* One call over prefix (may be empty) and data: what a dm-verity block needs. */
void sha256_once(const void *prefix, size_t prefix_size, const void *data, size_t size,
                 u8 digest[SHA256_SIZE]);

void hmac_sha256_once(const void *key, size_t key_size, const void *data, size_t size,
                      u8 mac[SHA256_SIZE]);
/* AES-128-CMAC (SP 800-38B): the MAC of SGX reports. */
void aes_cmac_once(const u8 key[16], const void *data, size_t size, u8 mac[AES_CMAC_SIZE]);

/* Equal? In time that depends on size only. */
bool crypto_equal(const void *a, const void *b, size_t size);
