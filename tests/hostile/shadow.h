/* SPDX-License-Identifier: Apache-2.0 */
/* Where the sanitized LibOS has its shadow memory: outside, in the process that loads it. */
#pragma once

#define SHADOW_START 0x100000000000ull
#define SHADOW_OF    0xc00000000ull /* the LibOS's part of an ELRANGE of 64 GiB */
#define SHADOW_SIZE  ((16ull << 30) / 8)
