/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a rewritten ENCLU site arrives: the site is `call` to the trampoline page, which jumps
 * here. FS, GS, stack and all registers are the enclave's; (%rsp) is the address behind the call.
 * The thread is found by GS base in g_emu_sites.
 *
 * EEXIT, EACCEPT, EACCEPTCOPY, EMODPE and EDECCSSA are done here; other leaves, and a GS base that
 * is not in the table, execute ENCLU, which SIGILL takes care of as ever.
 *
 * A signal may come between any two instructions; emu_site_signal (sites.c) knows by RIP what has
 * been done. So the order of the instructions here is a contract with that function:
 *   head   nothing has happened: put the registers back and rewind to the site; g_emu_site_pushes
 *          says what is on the stack
 *   EEXIT  finish it
 *   body   t->in_leaf is set: hold the signal back
 *   tail   all is in the thread struct: load it from there
 * While GS base is 0 the FS base is the host's (emu_signal_entry relies on that).
 */
#include "sgx/emulator/layout.h"

#define EEXIT   4
#define EACCEPT 5
#define EMODPE  6
#define EACCEPTCOPY 7
#define EDECCSSA 9

#define MARK(name) .globl name; .hidden name; name:

/* RCX: GS base; RAX: room; RDX: table. Falls through with the TCS in RAX, or jumps. */
.macro FIND_TCS miss
    lea g_emu_sites(%rip), %rdx
    mov %ecx, %eax
    shr $8, %eax
    and $EMU_SITE_MASK, %eax
1:  cmp %rcx, (%rdx, %rax)
    je 2f
    cmpq $0, (%rdx, %rax)
    je \miss
    add $16, %eax
    and $EMU_SITE_MASK, %eax
    jmp 1b
2:  mov 8(%rdx, %rax), %rax
.endm

    .text
MARK(emu_site_entry)
    cmp $EEXIT, %eax
    je emu_site_eexit
    cmp $EACCEPT, %eax
    je .Lfast
    cmp $EMODPE, %eax
    je .Lfast
    cmp $EACCEPTCOPY, %eax
    je .Lfast
    cmp $EDECCSSA, %eax
    je .Lfast
MARK(emu_site_enclu)
    .byte 0x0f, 0x01, 0xd7
MARK(emu_site_return)
    ret

/* ---- EEXIT: RAX and RCX need not survive ---- */

MARK(emu_site_eexit)
    rdgsbase %rcx
    push %rdx
MARK(emu_site_eexit_pushed)
    FIND_TCS .Leexit_miss
    jmp 3f
.Leexit_miss: /* SIGILL finishes it, the long way */
    ud2
3:  mov C_THREAD(%rax), %rdx
    mov T_HOST_FS(%rdx), %rcx
    wrfsbase %rcx
    mov T_HOST_GS(%rdx), %rcx
    wrgsbase %rcx
    mov C_AEP(%rax), %rcx
MARK(emu_site_eexit_leave) /* from here on RAX has the TCS */
    movq $0, C_THREAD(%rax)
    movq $0, T_TCS(%rdx)
    pop %rdx
MARK(emu_site_eexit_popped) /* the stack is another thread's as soon as the TCS is */
    movl $0, C_BUSY(%rax)
MARK(emu_site_eexit_left)
    mov $EEXIT, %eax
    lea 8(%rsp), %rsp
MARK(emu_site_eexit_last)
    jmp *%rbx
MARK(emu_site_eexit_end)

/* ---- EACCEPT, EMODPE, EACCEPTCOPY, EDECCSSA ---- */

.Lfast:
    push %rcx
.Lpushed1:
    push %rdx
.Lpushed2:
    push %rax
.Lpushed3:
    rdgsbase %rcx
    FIND_TCS .Lfast_miss
    mov C_THREAD(%rax), %rdx
    mov %rbx, T_L_RBX(%rdx)
    mov %rdi, T_L_RDI(%rdx)
    mov %rsi, T_L_RSI(%rdx)
    mov %r8, T_L_R8(%rdx)
    mov %r9, T_L_R9(%rdx)
    mov %r10, T_L_R10(%rdx)
    mov %r11, T_L_R11(%rdx)
    mov %rsp, T_L_RSP(%rdx)
    mov (%rsp), %rax
    mov %rax, T_L_RAX(%rdx)
    mov 8(%rsp), %rax
    mov %rax, T_L_RDX(%rdx)
    mov 16(%rsp), %rax
    mov %rax, T_L_RCX(%rdx)
    mov %rcx, T_L_GS(%rdx)
    rdfsbase %rax
    mov %rax, T_L_FS(%rdx)
    movq $1, T_LEAF(%rdx)

MARK(emu_site_body)
    lea EMU_LEAF_STACK_TOP(%rdx), %rsp
    pushfq
    popq T_L_FLAGS(%rdx)
    cld
    mov T_HOST_FS(%rdx), %rax
    wrfsbase %rax
    mov T_HOST_GS(%rdx), %rax
    wrgsbase %rax
    mov %rdx, %rbx
    mov %rdx, %rdi
    call emu_site_leaf
    test %eax, %eax
    jnz emu_site_fault
    cmpq $0, T_DEFER(%rbx)
MARK(emu_site_tail) /* from here on a signal is not held back any more */
    jne emu_site_held
    mov T_L_GS(%rbx), %rax
    wrgsbase %rax
    mov T_L_FS(%rbx), %rax
    wrfsbase %rax
    pushq T_L_FLAGS(%rbx)
    popfq
    mov T_L_RAX(%rbx), %rax
    mov T_L_RCX(%rbx), %rcx
    mov T_L_RDX(%rbx), %rdx
    mov T_L_RDI(%rbx), %rdi
    mov T_L_RSI(%rbx), %rsi
    mov T_L_R8(%rbx), %r8
    mov T_L_R9(%rbx), %r9
    mov T_L_R10(%rbx), %r10
    mov T_L_R11(%rbx), %r11
    mov T_L_RSP(%rbx), %rsp
    movq $0, T_LEAF(%rbx)
    mov T_L_RBX(%rbx), %rbx
    lea 24(%rsp), %rsp
    ret
MARK(emu_site_tail_end)

MARK(emu_site_fault)
    ud2
MARK(emu_site_held)
    ud2

.Lfast_miss:
    pop %rax
.Lmiss2:
    pop %rdx
.Lmiss1:
    pop %rcx
.Lmiss0:
    jmp emu_site_enclu
MARK(emu_site_end)

/* How many of RCX, RDX, RAX are on the stack from an address of the head on. */
    .section .data.rel.ro, "aw", @progbits
    .balign 8
MARK(g_emu_site_pushes)
    .quad emu_site_entry, 0
    .quad .Lpushed1, 1
    .quad .Lpushed2, 2
    .quad .Lpushed3, 3
    .quad .Lmiss2, 2
    .quad .Lmiss1, 1
    .quad .Lmiss0, 0
    .quad emu_site_end, 0

    .section .note.GNU-stack, "", @progbits
