/* SPDX-License-Identifier: Apache-2.0 */
/* Where the core is entered, each time on its own stack and with its own FS base. */
#include "sgx/emulate/layout.h"
#include "sgx/emulator/vdso_enter.inc"

    .text
/*
 * Every signal: (signo, siginfo, ucontext) on this thread's signal stack. All signals are blocked,
 * and FS and GS are anybody's.
 */
    HIDDEN(host_signal_entry)
    .type host_signal_entry, @function
host_signal_entry:
    endbr64
    pushq $2
    popfq
    mov %rsp, %rbx
    and $-EMU_STACK_BLOCK, %rbx
    rdfsbase %rax
    mov %rax, H_NOW_FS(%rbx)
    rdgsbase %rax
    mov %rax, H_NOW_GS(%rbx)
    mov H_CORE_FS(%rbx), %rax
    wrfsbase %rax
    mov %rbx, %rcx
    sub $8, %rsp
    call host_signal
    add $8, %rsp
    mov H_NOW_FS(%rbx), %rax
    wrfsbase %rax
    mov H_NOW_GS(%rbx), %rax
    wrgsbase %rax
    ret
    .size host_signal_entry, . - host_signal_entry

    HIDDEN(host_restorer)
    .type host_restorer, @function
    nop
host_restorer:
    mov $15, %eax /* rt_sigreturn */
    syscall
    ud2
    .size host_restorer, . - host_restorer

/* host_attach(): of the preload library, in the program's context, all signals blocked. */
    HIDDEN(host_attach)
    .type host_attach, @function
host_attach:
    endbr64
    push %rbx
    push %r12
    push %r13
    rdfsbase %r12
    mov g_host_first(%rip), %rbx
    mov H_CORE_FS(%rbx), %rax
    wrfsbase %rax
    mov %rbx, %rdi
    call host_attach_first
    wrfsbase %r12
    pop %r13
    pop %r12
    pop %rbx
    ret
    .size host_attach, . - host_attach

/* host_syscall(number, ...): up to six arguments. */
    HIDDEN(host_syscall)
    .type host_syscall, @function
host_syscall:
    endbr64
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsi
    mov %rcx, %rdx
    mov %r8, %r10
    mov %r9, %r8
    mov 8(%rsp), %r9
    syscall
    ret
    .size host_syscall, . - host_syscall

/*
 * host_clone(flags, stack, ptid, ctid, thread): a thread with the block `thread` begins on `stack`
 * and goes on in the program by thread->frame.
 */
    HIDDEN(host_clone)
    .type host_clone, @function
host_clone:
    endbr64
    push %rbx
    mov %r8, %rbx
    mov %rcx, %r10
    xor %r8d, %r8d
    mov $56, %eax
    syscall
    test %rax, %rax
    jz 1f
    pop %rbx
    ret
1:  xor %ebp, %ebp
    mov H_CORE_FS(%rbx), %rax
    wrfsbase %rax
    mov %rbx, %rdi
    call host_process_child
    mov H_NOW_FS(%rbx), %rax
    wrfsbase %rax
    mov H_NOW_GS(%rbx), %rax
    wrgsbase %rax
    mov H_FRAME(%rbx), %rsp
    mov $15, %eax
    syscall
    ud2
    .size host_clone, . - host_clone

/* __vdso_sgx_enter_enclave with an ENCLU that traps. */
    ENTER_ENCLAVE host_vdso_enter, host_vdso_aep, host_vdso_exit, host_vdso_exception, \
        .byte 0x0f, 0x01, 0xd7

    .section .note.GNU-stack, "", @progbits
