/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct sgx_driver's `enter`: __vdso_sgx_enter_enclave made callable from C. The vDSO saves only
 * RBX and RBP; an asynchronous exit clears R12 to R15, and an enclave may leave MXCSR and the x87
 * control word as it likes.
 */
    .text
.macro SAFE_ENTER name, target
    .globl \name
    .hidden \name
    .type \name, @function
\name:
    .cfi_startproc
    endbr64
    push %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    mov %rsp, %rbp
    .cfi_def_cfa_register %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    .cfi_rel_offset %rbx, -8
    .cfi_rel_offset %r12, -16
    .cfi_rel_offset %r13, -24
    .cfi_rel_offset %r14, -32
    .cfi_rel_offset %r15, -40
    sub $16, %rsp
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    pushq 16(%rbp)
    call \target
    lea -56(%rbp), %rsp
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    add $16, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_endproc
    .size \name, . - \name
.endm

    SAFE_ENTER sgx_enter_emulated, emu_enter_enclave
    SAFE_ENTER sgx_enter_kernel, *sgx_vdso_enter(%rip)

    .section .note.GNU-stack, "", @progbits
