/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets that assembler and C share; start.c asserts them. */
#pragma once

#include "sgx/emulator/layout.h"

#define H_CORE_FS 0x200
#define H_NOW_FS  0x208
#define H_NOW_GS  0x210
#define H_HOST_FS 0x218
#define H_HOST_GS 0x220
#define H_FRAME   0x228
#define H_MASK    0x230

/* Below the stack pointer at ENCLU: the red zone, eight bytes, and a struct emu_image. */
#define ENCLU_ROOM  0x140
#define ENCLU_COUNT 8192 /* places in the table of threads, a power of two, of 16 bytes each */
#define ENCLU_HOST  1    /* what host_enclu_fast() returns: load the program's vector state, */
#define ENCLU_SAVED 2    /* or the enclave's */
