/* SPDX-License-Identifier: Apache-2.0 */
/*
 * void crypto_enter(struct crypto_frame *frame) and void crypto_leave(struct crypto_frame *frame):
 * around calls into nettle. nettle uses the XMM registers (legacy SSE encodings, which leave the
 * upper halves alone) and, built with stack protectors, reads %fs:0x28. The application's XMM
 * registers are live, and its FS base may be anything, so FS borrows the tcb page from GS.
 */
    .text
    .globl crypto_enter
    .hidden crypto_enter
    .type crypto_enter, @function
crypto_enter:
    movups %xmm0, 0x00(%rdi)
    movups %xmm1, 0x10(%rdi)
    movups %xmm2, 0x20(%rdi)
    movups %xmm3, 0x30(%rdi)
    movups %xmm4, 0x40(%rdi)
    movups %xmm5, 0x50(%rdi)
    movups %xmm6, 0x60(%rdi)
    movups %xmm7, 0x70(%rdi)
    movups %xmm8, 0x80(%rdi)
    movups %xmm9, 0x90(%rdi)
    movups %xmm10, 0xa0(%rdi)
    movups %xmm11, 0xb0(%rdi)
    movups %xmm12, 0xc0(%rdi)
    movups %xmm13, 0xd0(%rdi)
    movups %xmm14, 0xe0(%rdi)
    movups %xmm15, 0xf0(%rdi)
#ifndef CRYPTO_ON_HOST
    rdfsbase %rax
    movq %rax, 0x100(%rdi)
    rdgsbase %rax
    wrfsbase %rax
#endif
    ret
    .size crypto_enter, . - crypto_enter

    .globl crypto_leave
    .hidden crypto_leave
    .type crypto_leave, @function
crypto_leave:
#ifndef CRYPTO_ON_HOST
    movq 0x100(%rdi), %rax
    wrfsbase %rax
#endif
    movups 0x00(%rdi), %xmm0
    movups 0x10(%rdi), %xmm1
    movups 0x20(%rdi), %xmm2
    movups 0x30(%rdi), %xmm3
    movups 0x40(%rdi), %xmm4
    movups 0x50(%rdi), %xmm5
    movups 0x60(%rdi), %xmm6
    movups 0x70(%rdi), %xmm7
    movups 0x80(%rdi), %xmm8
    movups 0x90(%rdi), %xmm9
    movups 0xa0(%rdi), %xmm10
    movups 0xb0(%rdi), %xmm11
    movups 0xc0(%rdi), %xmm12
    movups 0xd0(%rdi), %xmm13
    movups 0xe0(%rdi), %xmm14
    movups 0xf0(%rdi), %xmm15
    ret
    .size crypto_leave, . - crypto_leave

    .section .note.GNU-stack, "", @progbits
