/* SPDX-License-Identifier: Apache-2.0 */
/* What exception.c, aex.c and dispatch.c share. */
#pragma once

#include "cpu.h"
#include "tcb.h"
#include "vector.h"

/* Is the enclave told of AEX of this thread (AEX-Notify)? */
static inline bool is_told(const struct ssa_tail *s)
{
    return (s->gpr.aexnotify & 1) != 0;
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
