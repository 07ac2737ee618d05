/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AEX-Notify: an enclave that is told of its asynchronous exits (docs/design/entry.md). Where SSA
 * frame 0 says so, ERESUME does not resume it but enters at CSSA 1, as EENTER does. Then
 *
 *   CSSA 1   exception_stage1() sees to an exception; aex_take() takes what was interrupted to
 *            tcb.resume, with its vector registers and FS
 *   CSSA 0   (EDECCSSA) aex_touch() touches the pages that the next instruction needs, and
 *            aex_resume goes there
 *
 * A host that steps through an enclave wins by one instruction that takes long: it clears the
 * accessed bit of the instruction's page, or lets the TLB miss. Now those are looked up before. An
 * AEX while they are is told of like any other, and all begins anew from tcb.resume, which holds
 * still: so the instruction runs when its pages have been touched since the last AEX, or not.
 */
#include "exception.h"
#include "lib.h"
#include "mm.h"
#include "operand.h"
#include "sgx.h"
#include "start.h"

#define RFLAGS_TF 0x100ull

static bool g_told; /* ATTRIBUTES.AEXNOTIFY */

void aex_init(void)
{
    g_told = (g_self.attributes.flags & SGX_ATTR_AEX_NOTIFY) != 0;
}

void aex_enter(const struct tcb *t)
{
    ssa_tail(t)->gpr.aexnotify = g_told;
}

bool aex_take(struct tcb *t)
{
    const struct ssa_tail *s = ssa_tail(t);

    if (!is_told(s))
        return false;
    if (!is_aex_code(s->gpr.rip)) {
        ssa_save(&t->resume, s);
        t->resume.rflags &= ~RFLAGS_TF;
        if (is_user_code(s->gpr.rip))
            t->bare = false;
    }
    vector_load((const void *)t->head.ssa);
    write_fs_base(s->gpr.fsbase);
    return true;
}

AEX_CODE static void touch(u64 addr, bool write)
{
    if (write)
        __asm__ volatile("lock orb $0, (%0)" : : "r"(addr) : "memory", "cc");
    else
        __asm__ volatile("movb (%0), %%al" : : "r"(addr) : "rax", "memory");
}

/* Memory of the LibOS that is always there: a fault is the host's doing. */
AEX_CODE static bool is_own(const struct tcb *t, u64 addr)
{
    return (addr >= (u64)__libos_start && addr < (u64)__libos_end) ||
           addr - (t->head.stack_top - LAYOUT_STACK_SIZE) < LAYOUT_STACK_SIZE;
}

AEX_CODE static bool is_of_process(u64 addr)
{
    return addr >= LAYOUT_USER_START && addr < (u64)__libos_start;
}

AEX_CODE static void touch_all(const struct tcb *t, bool user)
{
    const struct uregs *r = &t->resume;
    struct operand operands[OPERANDS];
    u64 end = user ? (u64)__libos_start : (u64)__libos_end;
    u32 count = operands_of(r, read_fs_base(), end, operands);

    /* What is above an RSP at the start of a page may be no stack. */
    if ((r->rsp & (PAGE_SIZE - 1)) != 0 && (user ? is_of_process(r->rsp) : is_own(t, r->rsp)))
        touch(r->rsp, false);
    for (u32 i = 0; i < count; i++) {
        u64 addr = operands[i].addr;

        if (user ? is_of_process(addr) : is_own(t, addr))
            touch(addr, operands[i].write);
    }
}

/* True: somebody wants something of the thread, whose user code this is; its registers are where
 * they belong then. */
AEX_CODE bool aex_touch(struct tcb *t)
{
    const u64 *from = (const u64 *)&t->resume;
    volatile u64 *to = (volatile u64 *)(t->head.stack_top - UREGS_FRAME);

    if (!is_user_code(t->resume.rip)) {
        touch_all(t, false);
        return false;
    }
    if (t->current != NULL && __atomic_load_n(&t->current->attention, __ATOMIC_SEQ_CST) != 0) {
        for (u32 i = 0; i < sizeof(t->resume) / sizeof(*from); i++)
            to[i] = from[i];
        t->careful = true;
        return true;
    }
    t->careful = false;
    if (!t->bare && is_of_process(t->resume.rip))
        touch_all(t, true);
    return false;
}
