/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The converter is two programs of one source. enclave-convert finds what is in the cache, which
 * most starts do, and links no OpenSSL: to load it would be half of the converter's time. Where
 * something is to be made or signed it becomes enclave-make, which takes the request from its
 * beginning.
 */
#pragma once

/* In enclave-convert: does not return. In enclave-make: nothing. */
void converter_make(void);
