/* SPDX-License-Identifier: Apache-2.0 */
/* What exception.c, dispatch.c and instructions.c share. */
#pragma once

#include "tcb.h"

/* The end of an SSA frame: GPRSGX, with EXINFO below it (SDM volume 3D, "State Save Area"). */
struct ssa_tail {
    u64 fault_address;
    u32 fault_error, reserved0;
    u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    u64 rflags, rip, ursp, urbp;
    u32 exitinfo;
    u8 reserved1[3], aexnotify; /* bit 0: ERESUME of this frame is an entry (AEX-Notify) */
    u64 fsbase, gsbase;
};
_Static_assert(sizeof(struct ssa_tail) == 16 + 184, "GPRSGX and EXINFO");

/* Of SSA frame 0: what was interrupted, while this is CSSA 1. */
static inline struct ssa_tail *ssa_tail(const struct tcb *t)
{
    return (struct ssa_tail *)(t->head.ssa + t->head.ssa_frame_size - sizeof(struct ssa_tail));
}

/* Is the enclave told of AEX of this thread (AEX-Notify)? */
static inline bool is_told(const struct ssa_tail *s)
{
    return (s->aexnotify & 1) != 0;
}

/* LibOS code has its own addresses, user code all others. */
static inline bool is_user_code(u64 rip)
{
    return rip < (u64)__libos_start || rip >= (u64)__libos_end;
}

/* exception.c: r is what an exception or interrupt found. */
void ssa_save(struct uregs *r, const struct ssa_tail *s);

/* ---- aex.c ---- */
void aex_init(void);                 /* by ATTRIBUTES, before the second TCS is entered */
void aex_enter(const struct tcb *t); /* at each entry with CSSA 0 */
/* At CSSA 1: frame 0 is to be resumed inside, and what that needs is in place. */
bool aex_take(struct tcb *t);
/* Was the way back to tcb.resume itself interrupted, at rip? */
static inline bool is_aex_code(u64 rip)
{
    return rip >= (u64)__aex_start && rip < (u64)__aex_end;
}

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

/* host/vector.c: before an exit to the host, and before the return to the application. */
void vector_leave(void);
void vector_restore(void);
void vector_init(void);
void vector_scrub(
    void); /* the registers that vector_init() knows, when they hold nothing of worth */
void vector_initial(void *xsave);
void vector_load(const void *area); /* all that XFRM has */
#define VECTOR_LIVE     0           /* the application's values are in the registers */
#define VECTOR_SAVED    1 /* in current->xsave; the registers hold something else, perhaps secret */
#define VECTOR_SCRUBBED 2 /* in current->xsave; the registers hold nothing */
