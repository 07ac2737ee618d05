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

/*
 * EENTER and ERESUME without a signal. An ENCLU that was made a jump comes here by its gate
 * (gate.c), that of the vDSO by host_vdso_enclu, with
 *
 *     RSP   ENCLU_ROOM lower: the red zone, eight bytes, a struct emu_image
 *     R15   the address behind ENCLU; the register itself is in the image
 *
 * and all else as it was. The thread is found by its TID, for FS and GS may be anybody's. Signals
 * are blocked while the core runs. One before that finds everything in the image:
 * host_enclu_rewind() puts it back. One after it finds the image of T_CRIT and acts as if it had
 * been loaded. UD2 hands the ENCLU over to the signal handler.
 */
    HIDDEN(host_vdso_enclu)
host_vdso_enclu:
    .byte 0x48, 0x8d, 0xa4, 0x24 /* lea -ENCLU_ROOM(%rsp), %rsp in eight bytes, as in a gate */
    .long -ENCLU_ROOM
    mov %r15, (%rsp)
    lea host_vdso_exit(%rip), %r15
    jmp host_enclu_start

    HIDDEN(host_enclu_start)
host_enclu_start:
    mov %r15, I_RIP(%rsp)
    mov %rsp, %r15
    HIDDEN(host_enclu_based)
host_enclu_based:
    mov %r14, I_R14(%r15)
    mov %r13, I_R13(%r15)
    mov %r12, I_R12(%r15)
    mov %r11, I_R11(%r15)
    mov %r10, I_R10(%r15)
    mov %r9, I_R9(%r15)
    mov %r8, I_R8(%r15)
    mov %rdi, I_RDI(%r15)
    mov %rsi, I_RSI(%r15)
    mov %rbp, I_RBP(%r15)
    mov %rbx, I_RBX(%r15)
    mov %rdx, I_RDX(%r15)
    mov %rcx, I_RCX(%r15)
    mov %rax, I_RAX(%r15)
    lea (I_SIZE + 8)(%r15), %rsp
    pushfq
    popq I_RFLAGS(%r15)
    HIDDEN(host_enclu_saved)
host_enclu_saved:
    mov %r15, %rsp
    lea ENCLU_ROOM(%r15), %rax
    mov %rax, I_RSP(%r15)
    xor %eax, %eax
    mov %cs, %eax
    mov %rax, I_CS(%r15)
    mov %ss, %eax
    mov %rax, I_SS(%r15)
    cmpl $0, g_host_enclu_off(%rip)
    jne host_enclu_slow
    mov $186, %eax /* gettid */
    syscall
    mov %eax, %edx
    and $(ENCLU_COUNT - 1), %edx
    shl $4, %edx
    lea g_host_enclu_threads(%rip), %rcx
    add %rdx, %rcx
    cmp %rax, (%rcx)
    jne host_enclu_slow
    mov 8(%rcx), %rbx
    mov $2, %edi /* SIG_SETMASK */
    lea g_host_all_signals(%rip), %rsi
    lea H_MASK(%rbx), %rdx
    mov $8, %r10d
    mov $14, %eax /* rt_sigprocmask */
    syscall

    rdfsbase %rax
    mov %rax, H_NOW_FS(%rbx)
    rdgsbase %rax
    mov %rax, H_NOW_GS(%rbx)
    mov H_CORE_FS(%rbx), %rax
    wrfsbase %rax
    lea EMU_LEAF_STACK_TOP(%rbx), %rsp
    pushq $2
    popfq
    sub $EMU_XSAVE_SIZE, %rsp
    mov %rsp, %r13 /* the program's vector state */
    xor %eax, %eax
    lea 512(%rsp), %rdi
    mov $8, %ecx
    rep stosq
    mov g_host_xfrm(%rip), %eax
    mov (g_host_xfrm + 4)(%rip), %edx
    xsave64 (%r13)
    sub $EMU_XSAVE_SIZE, %rsp
    mov %rsp, %r14 /* the enclave's */
    sub $((I_SIZE + 15) & ~15), %rsp
    mov %rsp, %r12 /* what is loaded */
    mov %r15, %rdi
    mov %rbx, %rsi
    mov %r14, %rdx
    mov %r12, %rcx
    call host_enclu_fast
    mov %eax, %ebp
    cmp $ENCLU_SAVED, %ebp
    je 1f
    mov g_host_xfrm(%rip), %eax
    mov (g_host_xfrm + 4)(%rip), %edx
    xrstor64 (%r13)
    jmp 2f
1:  mov I_XFRM(%r12), %eax
    mov (I_XFRM + 4)(%r12), %edx
    xrstor64 (%r14)
2:  mov %r12, T_CRIT(%rbx)
    mov $2, %edi
    lea H_MASK(%rbx), %rsi
    xor %edx, %edx
    mov $8, %r10d
    mov $14, %eax
    test %ebp, %ebp
    jz 3f
    syscall
    HIDDEN(host_enclu_crit)
host_enclu_crit:
    mov %r12, %rsp
    mov I_FSBASE(%rsp), %rcx
    mov I_GSBASE(%rsp), %rdx
    jmp emu_crit_start
    HIDDEN(host_enclu_crit_end)
host_enclu_crit_end:
3:  mov H_NOW_FS(%rbx), %rcx
    wrfsbase %rcx
    syscall
    HIDDEN(host_enclu_slow)
host_enclu_slow:
    ud2
    HIDDEN(host_enclu_end)
host_enclu_end:

/*
 * EEXIT without a signal, by the gate of an ENCLU of the enclave: RAX is EEXIT, and RCX is free,
 * for it gets the AEP. The TCS is found by GS base. A signal before host_eexit_left is one after
 * EEXIT, and so is one from there on, see host_eexit_finish().
 */
    HIDDEN(host_eexit)
host_eexit:
    rdgsbase %rcx
    shr $8, %ecx
    and $EMU_SITE_MASK, %ecx
    lea g_emu_sites(%rip), %rax
    add %rcx, %rax
    rdgsbase %rcx
    cmp %rcx, (%rax)
    jne 4f
    mov 8(%rax), %rax
    mov C_THREAD(%rax), %rcx
    test %rcx, %rcx
    jz 4f
    mov H_HOST_FS(%rcx), %rcx
    wrfsbase %rcx
    mov C_THREAD(%rax), %rcx
    mov H_HOST_GS(%rcx), %rcx
    wrgsbase %rcx
    mov C_THREAD(%rax), %rcx
    movq $0, T_TCS(%rcx)
    HIDDEN(host_eexit_left)
host_eexit_left:
    mov C_AEP(%rax), %rcx
    movq $0, C_THREAD(%rax)
    movl $0, C_BUSY(%rax)
    HIDDEN(host_eexit_free)
host_eexit_free:
    mov $EEXIT, %eax
    jmp *%rbx
4:  ud2
    HIDDEN(host_eexit_end)
host_eexit_end:

/* __vdso_sgx_enter_enclave with an ENCLU that is done here. */
    ENTER_ENCLAVE host_vdso_enter, host_vdso_aep, host_vdso_exit, host_vdso_exception, \
        jmp host_vdso_enclu

    .section .note.GNU-stack, "", @progbits
