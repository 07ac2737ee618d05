/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which memory the instruction at RIP reads and writes. For aex.c, which touches it before the
 * instruction runs: a miss costs protection against single steps, never correctness, so this knows
 * the encodings (SDM volume 2, chapter 2) and what of the opcodes compilers use, and has no tables
 * of sizes. Gathers and scatters are not looked at.
 */
#pragma once

#include "thread.h"

/* aex.c and all that it calls: entry.S has the reason. */
#define AEX_CODE __attribute__((section(".text.aex")))

#define OPERANDS 2 /* MOVS has two, PUSH and CALL of memory too */

struct operand {
    u64 addr;
    bool write;
};

/*
 * The operands of the instruction at regs->rip, whose bytes are read as far as needed and not at
 * code_end or behind; how many there are. Addresses are not checked.
 */
u32 operands_of(const struct uregs *regs, u64 fs_base, u64 code_end, struct operand out[OPERANDS]);
