/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tcb page: what GS points to inside the enclave, one for each TCS. struct layout_tcb, then the
 * LibOS's own fields, then (downwards from the end of the page) the stack of the exception entry.
 * entry.S uses the offsets.
 */
#pragma once

#define TCB_TCS          16
#define TCB_STACK_TOP    32
#define TCB_CURRENT_OFF  64
#define TCB_SYSCALL_OFF  72
#define TCB_USER_RSP     80
#define TCB_USER_RIP     88
#define TCB_KERNEL_RIP   96
#define TCB_HOST_RSP     104
#define TCB_HOST_RBP     112
#define TCB_HOST_RET     120
#define TCB_OCALL_RSP    128
#define TCB_EXC_RSP      136
#define TCB_EXC_RBP      144
#define TCB_EXC_RET      152
#define TCB_DIRECT       160
#define TCB_VECTOR_SAVED 168
#define TCB_BOOTED       172
#define TCB_CAREFUL      173
#define TCB_RESUME_RIP   176
#define TCB_RESUME       184
#define TCB_SIZE         4096
#define TCB_STACK_SIZE   0x10000 /* LAYOUT_STACK_SIZE */

/* The application's registers, at the top of the LibOS stack. */
#define UREGS_SIZE   152
#define UREGS_FRAME  160 /* stack_top - UREGS_FRAME is where they start */
#define UREGS_RAX    80
#define UREGS_RIP    128
#define UREGS_RFLAGS 136
#define UREGS_RSP    144

#define RFLAGS_AC 0x40000

#define THREAD_ATTENTION 20

#ifndef __ASSEMBLER__
#include "current.h"
#include "layout.h"
#include "sgx_arch.h"

struct host_memory;

/* What stage 1 of an exception leaves for stage 2. */
struct fault_info {
    u32 vector;
    u32 error_code;
    u64 addr;
};

struct tcb {
    struct layout_tcb head;
    u64 reserved;
    struct thread *current;
    void *syscall_entry;
    u64 user_rsp, user_rip, kernel_rip;
    u64 host_rsp, host_rbp,
        host_ret;  /* at the last EENTER with CSSA 0: untrusted values, only given back */
    u64 ocall_rsp; /* not 0: inside an ocall */
    u64 exc_rsp, exc_rbp, exc_ret; /* the same for CSSA 1 */
    u64 syscalls_direct;
    u32 vector_saved; /* the application's vector state is in current->xsave */
    bool booted;      /* a thread ran on this TCS: its stack is clear of what the host put there */
    /* aex.c, where the enclave is told of its asynchronous exits: */
    bool careful;        /* user code was left by one: the way back to it is by aex_resume too */
    bool bare;           /* what `resume` needs is not to be had: it goes on without */
    u8 patience;         /* how often in a row the page at away_page was not there */
    u64 resume_rip;      /* on the way to `resume` */
    struct uregs resume; /* what was interrupted */
    u64 away_page;
    struct host_memory *area; /* outside of the enclave */
    struct fault_info fault;  /* of user code */
    u64 syscalls_trapped, aex, ocalls;
    struct tcb *next; /* list of all */
};
_Static_assert(sizeof(struct layout_tcb) == 56, "tcb");
_Static_assert(offsetof(struct layout_tcb, tcs) == TCB_TCS, "tcb");
_Static_assert(offsetof(struct layout_tcb, stack_top) == TCB_STACK_TOP, "tcb");
_Static_assert(offsetof(struct tcb, current) == TCB_CURRENT, "tcb");
_Static_assert(offsetof(struct tcb, syscall_entry) == TCB_SYSCALL_ENTRY, "tcb");
_Static_assert(offsetof(struct tcb, user_rsp) == TCB_USER_RSP, "tcb");
_Static_assert(offsetof(struct tcb, user_rip) == TCB_USER_RIP, "tcb");
_Static_assert(offsetof(struct tcb, kernel_rip) == TCB_KERNEL_RIP, "tcb");
_Static_assert(offsetof(struct tcb, host_rsp) == TCB_HOST_RSP, "tcb");
_Static_assert(offsetof(struct tcb, host_ret) == TCB_HOST_RET, "tcb");
_Static_assert(offsetof(struct tcb, ocall_rsp) == TCB_OCALL_RSP, "tcb");
_Static_assert(offsetof(struct tcb, exc_ret) == TCB_EXC_RET, "tcb");
_Static_assert(offsetof(struct tcb, syscalls_direct) == TCB_DIRECT, "tcb");
_Static_assert(offsetof(struct tcb, vector_saved) == TCB_VECTOR_SAVED, "tcb");
_Static_assert(offsetof(struct tcb, booted) == TCB_BOOTED, "tcb");
_Static_assert(offsetof(struct tcb, careful) == TCB_CAREFUL, "tcb");
_Static_assert(offsetof(struct tcb, resume_rip) == TCB_RESUME_RIP, "tcb");
_Static_assert(offsetof(struct tcb, resume) == TCB_RESUME, "tcb");
_Static_assert(LAYOUT_STACK_SIZE == TCB_STACK_SIZE, "tcb");
_Static_assert(sizeof(struct tcb) <= 512, "the rest is the exception stack");
_Static_assert(sizeof(struct uregs) == UREGS_SIZE, "uregs");
_Static_assert(offsetof(struct uregs, rax) == UREGS_RAX, "uregs");
_Static_assert(offsetof(struct uregs, rip) == UREGS_RIP, "uregs");
_Static_assert(offsetof(struct uregs, rflags) == UREGS_RFLAGS, "uregs");
_Static_assert(offsetof(struct uregs, rsp) == UREGS_RSP, "uregs");
_Static_assert(offsetof(struct thread, attention) == THREAD_ATTENTION, "thread");

static inline struct tcb *tcb(void)
{
    struct tcb *t;
    __asm__("movq %%gs:0, %0" : "=r"(t));
    return t;
}

/* The end of an SSA frame: GPRSGX, with EXINFO below it (SDM volume 3D, "State Save Area"). */
struct ssa_tail {
    struct sgx_ssa_exinfo exinfo;
    struct sgx_ssa_gpr gpr;
};
_Static_assert(sizeof(struct ssa_tail) == 16 + 184, "GPRSGX and EXINFO");

/* Of SSA frame 0: what was interrupted, while this is CSSA 1. */
static inline struct ssa_tail *ssa_tail(const struct tcb *t)
{
    return (struct ssa_tail *)(t->head.ssa + t->head.ssa_frame_size - sizeof(struct ssa_tail));
}

/* The registers of the application, while this thread serves it. */
static inline struct uregs *tcb_uregs(void)
{
    return (struct uregs *)(tcb()->head.stack_top - UREGS_FRAME);
}

/* ---- entry.S ---- */
void ocall_leave(u64 number); /* EEXIT for an ocall; returns when the host comes back */
__noreturn void enclave_leave(u64 result); /* EEXIT of an ecall; the stack is gone */
__noreturn void return_to_user(void);      /* with tcb_uregs() */
extern char syscall_entry[], attention_entry[], fault_entry[], kernel_fault_entry[], panic_entry[];
extern char user_window_start[], user_window_end[], user_window_restart[];
extern char touch_fault_entry[], __aex_start[], __aex_end[];
extern char __libos_start[], __libos_rodata_end[], __libos_end[];

/* A kernel fault's frame, below the interrupted stack. */
struct kernel_frame {
    struct uregs regs;
    u64 pad;
    struct fault_info fault;
};

/* ---- from entry.S into C ---- */
void syscall_dispatch(struct uregs *regs);
void return_prepare(struct uregs *regs);
void fault_user(struct uregs *regs);
void kernel_fault(struct kernel_frame *frame);
__noreturn void panic_fault(struct kernel_frame *frame);
bool exception_stage1(void);
bool aex_touch(struct tcb *t);
void touch_fault(struct uregs *regs);
u64 ecall_main(u64 number, struct host_memory *area, u64 argument);
#endif
