/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets that assembler and C share; start.c asserts them. */
#pragma once

#include "sgx/emulator/layout.h"

#define H_CORE_FS 0x200
#define H_NOW_FS  0x208
#define H_NOW_GS  0x210
#define H_FRAME   0x228
