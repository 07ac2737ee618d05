/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways into and out of the enclave. The contract of emu_enter_enclave is that of
 * __vdso_sgx_enter_enclave in <asm/sgx.h>; stack frame and register use at the AEP are those that a
 * handler or an enclave sees on hardware.
 */
#include "sgx/emulator/layout.h"
#include "sgx/emulator/vdso_enter.inc"

#define UC_RIP 168

    .text
    ENTER_ENCLAVE emu_enter_enclave, emu_aep, emu_exit, emu_exception, jmp load_enclave

/*
 * ENCLU outside of an enclave: EENTER and ERESUME. All registers become a struct emu_image on the
 * stack; C fills in what the enclave starts with, and one IRETQ loads it. A signal between
 * emu_crit_start and emu_crit_end finds the image by thread->crit and acts as if it had been
 * loaded.
 */
    .type load_enclave, @function
load_enclave:
    lea -(I_SIZE + 128)(%rsp), %rsp
    mov %r15, I_R15(%rsp)
    mov %r14, I_R14(%rsp)
    mov %r13, I_R13(%rsp)
    mov %r12, I_R12(%rsp)
    mov %r11, I_R11(%rsp)
    mov %r10, I_R10(%rsp)
    mov %r9, I_R9(%rsp)
    mov %r8, I_R8(%rsp)
    mov %rdi, I_RDI(%rsp)
    mov %rsi, I_RSI(%rsp)
    mov %rbp, I_RBP(%rsp)
    mov %rbx, I_RBX(%rsp)
    mov %rdx, I_RDX(%rsp)
    mov %rcx, I_RCX(%rsp)
    mov %rax, I_RAX(%rsp)
    pushf
    popq I_RFLAGS(%rsp)
    xor %eax, %eax
    mov %cs, %eax
    mov %rax, I_CS(%rsp)
    mov %ss, %eax
    mov %rax, I_SS(%rsp)
    lea (I_SIZE + 128)(%rsp), %rax
    mov %rax, I_RSP(%rsp)

    mov %rsp, %rbx
    mov %rsp, %rdi
    and $-64, %rsp
    sub $EMU_XSAVE_SIZE, %rsp
    mov %rsp, %rsi
    cld
    call emu_enclu
    test %rax, %rax
    jz .Lfault

    mov %rax, %r8
    mov I_XFRM(%rbx), %rax
    test %rax, %rax
    jz 2f
    mov %rax, %rdx
    shr $32, %rdx
    xrstor64 (%rsp)
2:  mov %rbx, %rsp
    mov I_FSBASE(%rsp), %rcx
    mov I_GSBASE(%rsp), %rdx
    mov %rsp, T_CRIT(%r8)
    HIDDEN(emu_crit_start)
emu_crit_start:
    wrfsbase %rcx
    wrgsbase %rdx
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    iretq
    HIDDEN(emu_crit_end)
emu_crit_end:
    ud2

.Lfault:
    mov I_RAX(%rbx), %rax
    mov I_RDI(%rbx), %rdi
    mov I_RSI(%rbx), %rsi
    mov I_RDX(%rbx), %rdx
    mov I_RBP(%rbx), %rbp
    mov I_RSP(%rbx), %rsp
    jmp emu_exception
    .size load_enclave, . - load_enclave

/*
 * Every signal handler begins here: (signo, siginfo, ucontext) on this thread's signal stack, or on
 * the ordinary stack of a thread that never entered. FS and GS may be the enclave's, so nothing may
 * touch TLS (the stack protector's canary is there) until that is settled: GS base is 0 in host
 * code; an enclave whose GS base is 0 shows by its RIP.
 */
    HIDDEN(emu_signal_entry)
    .type emu_signal_entry, @function
emu_signal_entry:
    endbr64
    pushq $2 /* the enclave's direction flag, and its alignment checks, which Linux leaves on */
    popfq
    rdgsbase %rax
    test %rax, %rax
    jnz .Lenclave
    mov UC_RIP(%rdx), %rax
    lea emu_crit_start(%rip), %rcx
    lea emu_crit_end(%rip), %r8
    mov %rax, %r9
    sub %rcx, %r9
    sub %rcx, %r8
    cmp %r8, %r9
    jb .Lenclave
    lea emu_site_entry(%rip), %rcx
    lea emu_site_end(%rip), %r8
    mov %rax, %r9
    sub %rcx, %r9
    sub %rcx, %r8
    cmp %r8, %r9
    jb .Lenclave
    lea g_emu_ranges(%rip), %rcx
    lea (EMU_RANGE_COUNT * 16)(%rcx), %r8
3:  mov %rax, %r9
    sub (%rcx), %r9
    cmp 8(%rcx), %r9
    jb .Lenclave
    add $16, %rcx
    cmp %r8, %rcx
    jne 3b
    jmp emu_signal_host /* returns to emu_restorer */

.Lenclave:
    mov %rsp, %rbx
    and $-EMU_STACK_BLOCK, %rbx
    rdfsbase %rax
    mov %rax, T_ENC_FS(%rbx)
    rdgsbase %rax
    mov %rax, T_ENC_GS(%rbx)
    mov T_HOST_FS(%rbx), %rax
    wrfsbase %rax
    mov T_HOST_GS(%rbx), %rax
    wrgsbase %rax
    mov %rbx, %rcx
    sub $8, %rsp
    call emu_signal_enclave
    add $8, %rsp
    test %eax, %eax
    jz 4f
    mov T_ENC_FS(%rbx), %rax
    wrfsbase %rax
    mov T_ENC_GS(%rbx), %rax
    wrgsbase %rax
4:  ret
    .size emu_signal_entry, . - emu_signal_entry

    HIDDEN(emu_restorer)
    .type emu_restorer, @function
    nop /* unwinders look at the instruction before a return address */
emu_restorer:
    mov $15, %eax /* rt_sigreturn */
    syscall
    ud2
    .size emu_restorer, . - emu_restorer

/*
 * emu_run_on_stack(frame, handler, signo, info, context, mask): as if the kernel had put the frame
 * there.
 */
    HIDDEN(emu_run_on_stack)
    .type emu_run_on_stack, @function
emu_run_on_stack:
    mov %rdi, %rsp
    mov %rsi, %rbx
    mov %edx, %ebp
    mov %rcx, %r12
    mov %r8, %r13
    mov $2, %edi /* SIG_SETMASK */
    mov %r9, %rsi
    xor %edx, %edx
    mov $8, %r10d
    mov $14, %eax /* rt_sigprocmask */
    syscall
    mov %ebp, %edi
    mov %r12, %rsi
    mov %r13, %rdx
    xor %eax, %eax
    jmp *%rbx
    .size emu_run_on_stack, . - emu_run_on_stack

    .section .note.GNU-stack, "", @progbits
