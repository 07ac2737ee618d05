/* SPDX-License-Identifier: Apache-2.0 */
/* What exception.c, dispatch.c and instructions.c share. */
#pragma once

#include "thread.h"

static inline u64 read_fs_base(void)
{
    u64 v;
    __asm__ volatile("rdfsbase %0" : "=r"(v));
    return v;
}
static inline void write_fs_base(u64 v)
{
    __asm__ volatile("wrfsbase %0" : : "r"(v));
}

/* Emulation of instructions that enclaves may not execute (cpuid.c, instructions.c). */
void exception_cpuid(struct uregs *regs);
void exception_rdtsc(struct uregs *regs);

/* boot/vector.c: before an exit to the host, and before the return to the application. */
void vector_leave(void);
void vector_restore(void);
void vector_init(void);
void vector_scrub(
    void); /* the registers that vector_init() knows, when they hold nothing of worth */
void vector_initial(void *xsave);
#define VECTOR_LIVE     0 /* the application's values are in the registers */
#define VECTOR_SAVED    1 /* in current->xsave; the registers hold something else, perhaps secret */
#define VECTOR_SCRUBBED 2 /* in current->xsave; the registers hold nothing */
