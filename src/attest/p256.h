/* SPDX-License-Identifier: Apache-2.0 */
/* The one signature scheme of DCAP: ECDSA over P-256 with SHA-256. */
#pragma once

#include "attest/span.h"

struct p256;

/* Shared by any number of threads. NULL when OpenSSL refuses. */
struct p256 *p256_new(void);
void p256_free(struct p256 *p256);

void p256_hash(const struct p256 *p256, struct span message, uint8_t digest[32]);
/* The hash of two parts, one after the other. */
void p256_hash2(const struct p256 *p256, struct span a, struct span b, uint8_t digest[32]);

/*
 * A key that a trusted root vouches for, and which will have signed more than this. After a
 * thousand signatures its multiples are kept, 150 KiB, and then each costs a third less; all of it
 * is verified as before. Of more than eight keys the first ones count.
 */
void p256_expect(const struct p256 *p256, const uint8_t key[64]);

/* key: X and Y, signature: r and s, 32 bytes each, big-endian. */
bool p256_verify(const struct p256 *p256, const uint8_t key[64], struct span message,
                 const uint8_t signature[64]);
/* The same, of an ECDSA-Sig-Value in DER, as certificates have it. */
bool p256_verify_der(const struct p256 *p256, const uint8_t key[64], struct span message,
                     struct span signature);
