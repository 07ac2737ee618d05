/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets that assembler and C share; thread.h asserts them. */
#pragma once

#define EMU_STACK_BLOCK \
    0x40000 /* a thread's block: its struct, a guard page, the signal stack; aligned to its size \
             */

#define T_HOST_FS 0x08
#define T_HOST_GS 0x10
#define T_ENC_FS  0x18
#define T_ENC_GS  0x20
#define T_CRIT    0x28
#define T_TCS     0x30
#define T_LEAF    0x38 /* a leaf runs for a rewritten site; its registers follow */
#define T_DEFER   0x40
#define T_L_RAX   0x48
#define T_L_RBX   0x50
#define T_L_RCX   0x58
#define T_L_RDX   0x60
#define T_L_FLAGS 0x68
#define T_L_RDI   0x70
#define T_L_RSI   0x78
#define T_L_R8    0x80
#define T_L_R9    0x88
#define T_L_R10   0x90
#define T_L_R11   0x98
#define T_L_RSP   0xa0
#define T_L_FS    0xa8
#define T_L_GS    0xb0

/* struct emu_tcs */
#define C_THREAD 0x00
#define C_AEP    0x08
#define C_BUSY   0x10

/* A thread's block: struct, guard, stack of leaves, guard, signal stack */
#define EMU_LEAF_STACK_TOP 0xa000
#define EMU_STACK_AT       0xb000

/* Table of GS bases: 16 bytes an entry, a power of two of them */
#define EMU_SITE_COUNT 0x10000
#define EMU_SITE_MASK  0xffff0

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
