/* SPDX-License-Identifier: Apache-2.0 */
/* MRENCLAVE as the processor computes it (SDM volume 3D, ECREATE, EADD, EEXTEND). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sgx_arch.h"

struct error;
struct sgx_measurement;

/* Of MRSIGNER and CONFIGID. */
void sgx_sha256(const void *data, uint64_t size, uint8_t digest[32]);

/* The record of ECREATE opens the measurement. */
int sgx_measure_create(struct sgx_measurement **out, uint64_t size, uint32_t ssa_frame_size,
                       struct error *err);
/* EADD of one page, and EEXTEND of its 16 chunks when `measure`. data may be NULL for zeros. */
void sgx_measure_page(struct sgx_measurement *m, uint64_t offset, uint64_t secinfo_flags,
                      const void *data, bool measure);
void sgx_measure_final(struct sgx_measurement *m, uint8_t mrenclave[32]);
void sgx_measure_free(struct sgx_measurement *m);
