/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets that assembler and C share; thread.h asserts them. */
#pragma once

#define EMU_STACK_BLOCK 0x40000 /* a thread's block: its struct, a guard page, the signal stack; aligned to its size */

#define T_HOST_FS 0x08
#define T_HOST_GS 0x10
#define T_ENC_FS  0x18
#define T_ENC_GS  0x20
#define T_CRIT    0x28

/* struct emu_image: popped from r15 on, then the frame of IRETQ */
#define I_R15    0x00
#define I_R14    0x08
#define I_R13    0x10
#define I_R12    0x18
#define I_R11    0x20
#define I_R10    0x28
#define I_R9     0x30
#define I_R8     0x38
#define I_RDI    0x40
#define I_RSI    0x48
#define I_RBP    0x50
#define I_RBX    0x58
#define I_RDX    0x60
#define I_RCX    0x68
#define I_RAX    0x70
#define I_RIP    0x78
#define I_CS     0x80
#define I_RFLAGS 0x88
#define I_RSP    0x90
#define I_SS     0x98
#define I_FSBASE 0xa0
#define I_GSBASE 0xa8
#define I_XFRM   0xb0
#define I_SIZE   0xb8

#define EMU_XSAVE_SIZE 3072 /* room for the XSAVE area of every XFRM that the emulator offers */

#define EMU_RANGE_COUNT 16 /* enclaves of one process */
