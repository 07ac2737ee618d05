/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only way in. EENTER gives: RAX = CSSA, RBX = TCS, RCX = where to EEXIT to; all else is what
 * the host left, and nothing of it may be trusted. RDI is the argument.
 *
 * The host also chooses the base that the enclave lies at, which no measurement shows. Code for any
 * base must find everything from RIP and RBX, which the processor vouches for: an absolute address
 * would be memory of the host. The build refuses to link one (meson.build, skeleton-checked). An
 * enclave for one base proves where it is before it does anything else (libos/host/entry.S).
 */

#define EEXIT 4
#define SSA_BYTES 0x2000

    .section .text.entry, "ax"
    .globl enclave_entry
enclave_entry:
    /* A second frame would mean an exception in here; this enclave handles none, so it goes out at
     * once. */
    test    %rax, %rax
    jnz     2f
    /* The host chose the flags: the ABI wants DF clear, and AC set would fault on our accesses. */
    cld
    /* Nothing of this entry, and nothing of the host's, is used by speculation before here. */
    lfence

    /* Its stack is the host's. Ours ends below the SSA frames, which end at the TCS. */
    mov     %rsp, host_rsp(%rip)
    mov     %rbp, host_rbp(%rip)
    mov     %rcx, host_return(%rip)
    lea     -SSA_BYTES(%rbx), %rsp
    xor     %ebp, %ebp
    pushq   $2
    popfq
    call    enclave_main

    /* Leave nothing in registers: the caller-saved ones hold what the code last worked on. */
    mov     host_rsp(%rip), %rsp
    mov     host_rbp(%rip), %rbp
    mov     host_return(%rip), %rcx
2:  mov     %rcx, %rbx
    xor     %edx, %edx
    xor     %esi, %esi
    xor     %edi, %edi
    xor     %r8d, %r8d
    xor     %r9d, %r9d
    xor     %r10d, %r10d
    xor     %r11d, %r11d
    mov     $EEXIT, %eax
    enclu
    ud2

    /* EREPORT: RAX = 0, RBX = TARGETINFO, RCX = REPORTDATA, RDX = where the REPORT goes; all
     * inside, all aligned. */
    .globl enclave_ereport
enclave_ereport:
    push    %rbx
    mov     %rdi, %rbx
    mov     %rsi, %rcx
    xor     %eax, %eax
    enclu
    pop     %rbx
    ret

    .bss
    .balign 8
host_rsp:    .quad 0
host_rbp:    .quad 0
host_return: .quad 0
    .section .note.GNU-stack, "", @progbits
