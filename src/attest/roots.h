/* SPDX-License-Identifier: Apache-2.0 */
/* The vendors' roots of trust, built in. */
#pragma once

#include "attest/cert.h"

#define AMD_ROOT_COUNT 3

extern const struct trust_root g_intel_root;
extern const uint8_t g_amd_roots[AMD_ROOT_COUNT][32];
