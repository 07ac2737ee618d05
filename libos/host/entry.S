/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every way into and out of the enclave that needs more than C: the entry of all TCS, exits, the
 * system call entry of rewritten call sites, and the return to user code. See
 * docs/design/boundary.md. ENCLU sites need 256 dead bytes below RSP: on the way out RSP is the
 * host's, whose stack below RSP is dead by its own calling convention.
 */
#include "tcb.h"

.macro ENCLU_SITE
771:    .byte 0x0f, 0x01, 0xd7, 0x0f, 0x1f, 0x44, 0x00, 0x00
        .pushsection .enclu_sites, "a", @progbits
        .long 771b - .
        .popsection
.endm

/* Clears what an exit must not carry out; RDI, RSI, RBX, RSP, RBP are set by the caller. */
.macro SCRUB
        xorl %edx, %edx
        xorl %r8d, %r8d
        xorl %r9d, %r9d
        xorl %r10d, %r10d
        xorl %r11d, %r11d
        xorl %r12d, %r12d
        xorl %r13d, %r13d
        xorl %r14d, %r14d
        xorl %r15d, %r15d
        xorl %ecx, %ecx
.endm

.macro POP_UREGS
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbp
        popq %rbx
        popq %r11
        popq %r10
        popq %r9
        popq %r8
        popq %rax
        popq %rcx
        popq %rdx
        popq %rsi
        popq %rdi
.endm

        .text
        .globl enclave_entry, ocall_leave, enclave_leave, return_to_user
        .globl syscall_entry, attention_entry, fault_entry, touch_fault_entry
        .globl kernel_fault_entry, panic_entry
        .globl user_window_start, user_window_end, user_window_restart
        .hidden enclave_entry, ocall_leave, enclave_leave, return_to_user
        .hidden syscall_entry, attention_entry, fault_entry, touch_fault_entry
        .hidden kernel_fault_entry, panic_entry
        .hidden user_window_start, user_window_end, user_window_restart

/*
 * EENTER, at every CSSA. RAX = CSSA, RBX = TCS, RCX = where EEXIT has to go. Everything but RAX,
 * RBX, RCX and GS is the host's word.
 *
 * MRENCLAVE covers offsets, not addresses: the host chooses BASEADDR, and at another one than the
 * image was linked for, every absolute address in here is memory of the host. RBX is the address of
 * the TCS as the processor checked it, GS base is BASEADDR + the measured OGSBASE, and tcb.tcs
 * there is measured, or written by add_tcs(), as an absolute address. They agree at one BASEADDR.
 * Until that is proved nothing but GS, and nothing of the host's, is used. LFENCE: neither is it by
 * speculation past the branch. libos/check_image.py sees that this is what the entry begins with.
 */
        .balign 64
enclave_entry:
        cmpq %gs:TCB_TCS, %rbx
        jne stranger
        lfence
        cmpl $0, g_dead(%rip)
        jne stranger                 /* after a panic nothing enters: host/panic.c */
        cld
        testq %rax, %rax
        jnz exception_entry
        movq %rsp, %gs:TCB_HOST_RSP
        movq %rbp, %gs:TCB_HOST_RBP
        movq %rcx, %gs:TCB_HOST_RET
        movq %gs:TCB_OCALL_RSP, %rcx
        testq %rcx, %rcx
        jnz ocall_return
        movq %gs:TCB_STACK_TOP, %rsp
        pushq $2
        popfq
        xorl %ebp, %ebp
        cmpb $0, %gs:TCB_BOOTED
        je clear_stack
1:      call ecall_main
        movq %rax, %rdi
        /* falls through */

enclave_leave: /* RDI = result */
        movq %rdi, %rsi
        movl $2, %edi /* BOUNDARY_EXIT_RETURN */
leave:
        movq %gs:TCB_HOST_RET, %rbx
        movq %gs:TCB_HOST_RSP, %rsp
        movq %gs:TCB_HOST_RBP, %rbp
        SCRUB
        movl $4, %eax
        ENCLU_SITE
        ud2

/*
 * The stacks of the enclave file are not measured: the host chose what is in them. Before the first
 * thread of a TCS nothing of that is left for code that forgets to write before it reads.
 */
clear_stack:
        movq %rdi, %r8
        leaq -TCB_STACK_SIZE(%rsp), %rdi
        movl $(TCB_STACK_SIZE / 8), %ecx
        xorl %eax, %eax
        rep stosq
        movq %r8, %rdi
        jmp 1b

/* RDI = ocall number. The host's next EENTER on this TCS continues at ocall_return with nothing but
 * the saved stack. */
ocall_leave:
        pushq %rbp
        pushq %rbx
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        movq %rsp, %gs:TCB_OCALL_RSP
        movq %rdi, %rsi
        movl $1, %edi /* BOUNDARY_EXIT_OCALL */
        jmp leave
ocall_return:
        movq %rcx, %rsp
        movq $0, %gs:TCB_OCALL_RSP
        pushq $2
        popfq
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbx
        popq %rbp
        ret

/*
 * EENTER at CSSA 1: after an exception, or a kick. ERESUME comes here too where the enclave is told
 * of its asynchronous exits (aex.c), and nothing tells which it was: then both end in aex_resume.
 * Above that the host made a mistake or plays games: back without a look.
 */
exception_entry:
        cmpq $1, %rax
        jne 1f
        movq %rsp, %gs:TCB_EXC_RSP
        movq %rbp, %gs:TCB_EXC_RBP
        movq %rcx, %gs:TCB_EXC_RET
        movq %gs:0, %rsp
        leaq TCB_SIZE(%rsp), %rsp
        pushq $2
        popfq
        xorl %ebp, %ebp
        call exception_stage1
        testb %al, %al
        jnz aex_resume
        movq %gs:TCB_EXC_RSP, %rsp
        movq %gs:TCB_EXC_RBP, %rbp
        movq %gs:TCB_EXC_RET, %rcx
1:      movl $3, %edi /* BOUNDARY_EXIT_RESUME */
leave_at_once: /* RCX = where to, RDI = why; RSP and RBP are still the host's */
        movq %rcx, %rbx
        xorl %esi, %esi
        SCRUB
        movl $4, %eax
        ENCLU_SITE
        ud2

stranger:
        movl $4, %edi /* BOUNDARY_EXIT_DEAD */
        jmp leave_at_once

/*
 * Back to what an asynchronous exit interrupted, tcb.resume; vector registers and FS are its own
 * already. From EDECCSSA on this is CSSA 0, where the next AEX is told of as well: whatever it
 * finds in this section begins anew (aex.c). So nothing here changes what that needs, and the pages
 * that aex_touch() touched are still in the TLB at the jump, or the jump is not come to.
 */
        .pushsection .text.aex, "ax", @progbits
aex_resume: /* RSP = end of the tcb page */
        movl $9, %eax                /* EDECCSSA */
        ENCLU_SITE
aex_again: /* the same */
        xorl %ebp, %ebp
        movq %gs:0, %rdi
        call aex_touch
        testb %al, %al
        jnz 1f
        movq %gs:0, %rsp
        leaq TCB_RESUME(%rsp), %rsp
        movq UREGS_RIP(%rsp), %rax
        movq %rax, %gs:TCB_RESUME_RIP
        POP_UREGS
        leaq 16(%rsp), %rsp
        popfq
        movq (%rsp), %rsp
        jmp *%gs:TCB_RESUME_RIP
1:      movq %gs:TCB_STACK_TOP, %rsp /* user code of whose thread somebody wants something */
        leaq -UREGS_FRAME(%rsp), %rsp
        jmp attention_entry
        .popsection

/*
 * A system call: registers as after the SYSCALL instruction, but RSP is still the application's and
 * interrupts are those of the application. RCX = return address.
 */
        .balign 64
syscall_entry:
        movq %rsp, %gs:TCB_USER_RSP
        movq %gs:TCB_STACK_TOP, %rsp
        pushq %rax                   /* alignment */
        pushq %gs:TCB_USER_RSP
        pushfq
        pushq %rcx
        pushq %rax                   /* orig_rax */
        pushq %rdi
        pushq %rsi
        pushq %rdx
        pushq %rcx
        pushq %rax
        pushq %r8
        pushq %r9
        pushq %r10
        pushq %r11
        pushq %rbx
        pushq %rbp
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        incq %gs:TCB_DIRECT
        cld
        testl $RFLAGS_AC, UREGS_RFLAGS(%rsp)
        jnz 2f                       /* an application that has alignment checked: not the LibOS */
1:
        movq %rsp, %rdi
        xorl %ebp, %ebp
        call syscall_dispatch
        jmp user_window_restart
2:      pushq $2
        popfq
        jmp 1b

attention_entry: /* RSP = uregs */
        xorl %ebp, %ebp
        jmp user_window_restart

fault_entry: /* RSP = uregs */
        xorl %ebp, %ebp
        movq %rsp, %rdi
        call fault_user
        jmp user_window_restart

touch_fault_entry: /* RSP = uregs */
        xorl %ebp, %ebp
        movq %rsp, %rdi
        call touch_fault
        jmp user_window_restart

return_to_user:
        movq %gs:TCB_STACK_TOP, %rsp
        leaq -UREGS_FRAME(%rsp), %rsp
        xorl %ebp, %ebp
user_window_restart: /* RSP = uregs */
        movq %rsp, %rdi
        call return_prepare
        /*
         * From this look at `attention` to the jump, a kick restarts at user_window_restart; so no
         * request is missed, and nothing in here changes what a restart needs.
         */
user_window_start:
        movq %gs:TCB_CURRENT_OFF, %rax
        cmpl $0, THREAD_ATTENTION(%rax)
        jne user_window_restart
        cmpl $0, g_dead(%rip)
        jne stop
        cmpb $0, %gs:TCB_CAREFUL
        jne careful
        movq UREGS_RIP(%rsp), %rax
        movq %rax, %gs:TCB_USER_RIP
        POP_UREGS
        leaq 16(%rsp), %rsp
        popfq
        movq (%rsp), %rsp
        jmp *%gs:TCB_USER_RIP
careful: /* to where an asynchronous exit came from: as after one */
        movq %rsp, %rsi
        movq %gs:0, %rsp
        leaq TCB_RESUME(%rsp), %rdi
        leaq TCB_SIZE(%rsp), %rsp
        movl $(UREGS_SIZE / 8), %ecx
        rep movsq
        jmp aex_again
user_window_end:
stop:   ud2                          /* enclave_stop() */

/* A fault of LibOS code that kernel_fault() can repair, or redirect to its fix-up. RSP = struct
 * kernel_frame. */
kernel_fault_entry:
        xorl %ebp, %ebp
        movq %rsp, %rdi
        call kernel_fault
        movq UREGS_RIP(%rsp), %rax
        movq %rax, %gs:TCB_KERNEL_RIP
        POP_UREGS
        leaq 16(%rsp), %rsp
        popfq
        movq (%rsp), %rsp
        jmp *%gs:TCB_KERNEL_RIP

panic_entry: /* RSP = struct kernel_frame */
        xorl %ebp, %ebp
        movq %rsp, %rdi
        call panic_fault
        ud2

        .section .note.GNU-stack, "", @progbits
