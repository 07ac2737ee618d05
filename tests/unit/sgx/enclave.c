/* SPDX-License-Identifier: Apache-2.0 */
/* Enclave side of the SGX tests. No function here may use anything outside of its section. */
#include "enclave.h"

#define ENCLAVE __attribute__((section("enclave_text"), noinline, used, no_stack_protector))

/*
 * RAX: CSSA, RBX: TCS, RCX: where to EEXIT to, RDI: struct test_call of the host. GS base is
 * TEST_TLS(i); RSP and the exit address of each CSSA are kept there.
 */
__asm__(".pushsection enclave_text, \"ax\", @progbits\n"
        ".balign 64\n"
        ".globl test_enclave_entry\n"
        "test_enclave_entry:\n"
        "    mov %rsp, %gs:8(,%rax,8)\n"
        "    mov %rcx, %gs:32(,%rax,8)\n"
        "    lea 0x6000(%rbx), %rsp\n" /* the page behind the TLS page is the stack */
        "    test %rax, %rax\n"
        "    jz 1f\n"
        "    lea 0x5800(%rbx), %rsp\n" /* its lower half is for the exception handler */
        "1:  push %rax\n"
        "    sub $8, %rsp\n"
        "    mov %rax, %rsi\n"
        "    mov %rbx, %rdx\n"
        "    call test_enclave_main\n"
        "    add $8, %rsp\n"
        "    pop %rcx\n"
        "    mov %gs:32(,%rcx,8), %rbx\n"
        "    mov %gs:8(,%rcx,8), %rsp\n"
        "    cmp $1, %eax\n"
        "    mov $4, %eax\n"
        "    je test_enclave_sites\n"
        "    .byte 0x0f, 0x01, 0xd7\n"
        "    ud2\n"
        /* the two rewritable sites: EEXIT and EACCEPT */
        ".globl test_enclave_sites\n"
        "test_enclave_sites:\n"
        "    .byte 0x0f, 0x01, 0xd7, 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
        "    ud2\n"
        ".globl test_enclave_accept\n"
        "test_enclave_accept:\n" /* (secinfo, page) */
        "    push %rbx\n"
        "    mov %rdi, %rbx\n"
        "    mov %rsi, %rcx\n"
        "    mov $5, %eax\n"
        ".globl test_enclave_sites_end\n"
        "test_enclave_sites_end:\n"
        "    .byte 0x0f, 0x01, 0xd7, 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
        "    pop %rbx\n"
        "    ret\n"
        /* spin(flag): 1 when vector and general registers are what they were */
        "test_enclave_spin:\n"
        "    push %rbx\n"
        "    push %r15\n"
        "    mov $0x1122334455667788, %rbx\n"
        "    movq %rbx, %xmm7\n"
        "    movq %rbx, %xmm15\n"
        "    mov %rbx, %r8\n"
        "    mov %rbx, %r15\n"
        "    xor %eax, %eax\n"
        "    stc\n"
        "2:  pause\n"
        "    mov (%rdi), %rcx\n"
        "    jrcxz 2b\n"
        "    jnc 3f\n"
        "    movq %xmm7, %rcx\n"
        "    cmp %rbx, %rcx\n"
        "    jne 3f\n"
        "    movq %xmm15, %rcx\n"
        "    cmp %rbx, %rcx\n"
        "    jne 3f\n"
        "    cmp %rbx, %r8\n"
        "    jne 3f\n"
        "    cmp %rbx, %r15\n"
        "    jne 3f\n"
        "    inc %eax\n"
        "3:  pop %r15\n"
        "    pop %rbx\n"
        "    ret\n"
        ".popsection\n");

uint64_t test_enclave_accept(const struct sgx_secinfo *secinfo, uint64_t page);
uint64_t test_enclave_spin(uint64_t flag);
int test_enclave_main(struct test_call *call, uint64_t cssa, uint64_t tcs);

ENCLAVE static uint64_t enclu(uint32_t leaf, const void *rbx, uint64_t rcx, uint64_t rdx)
{
    uint64_t rax = leaf;

    __asm__ volatile(".byte 0x0f, 0x01, 0xd7"
                     : "+a"(rax)
                     : "b"(rbx), "c"(rcx), "d"(rdx)
                     : "memory", "cc");
    return rax;
}

ENCLAVE static void copy(volatile uint8_t *to, const volatile uint8_t *from, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        to[i] = from[i];
}

ENCLAVE static uint64_t with_secinfo(uint32_t leaf, uint64_t page, uint64_t flags, uint64_t source)
{
    volatile struct sgx_secinfo s;

    s.flags = flags;
    for (int i = 0; i < 7; i++)
        s.reserved[i] = 0;
    return enclu(leaf, (const void *)&s, page, source);
}

ENCLAVE static uint64_t accept_many(struct test_call *call)
{
    volatile struct sgx_secinfo s;
    uint64_t rc = 0;

    s.flags = SGX_SECINFO_R | SGX_SECINFO_W | SGX_SECINFO_PENDING | SGX_SECINFO_TYPE(SGX_PT_REG);
    for (int i = 0; i < 7; i++)
        s.reserved[i] = 0;
    for (uint64_t i = 0; i < call->c; i++)
        rc |= call->command == TEST_SITE_ADD
                  ? test_enclave_accept((const struct sgx_secinfo *)&s, call->a + i * SGX_PAGE_SIZE)
                  : enclu(SGX_EACCEPT, (const void *)&s, call->a + i * SGX_PAGE_SIZE, 0);
    return rc;
}

/* The data pages serve as the buffers that EREPORT and EGETKEY need inside. */
ENCLAVE static uint64_t report(struct test_call *call, uint8_t *data)
{
    copy(data, (uint8_t *)call->a, sizeof(struct sgx_targetinfo));
    copy(data + 0x200, (uint8_t *)call->b, 64);
    enclu(SGX_EREPORT, data, (uint64_t)data + 0x200, (uint64_t)data + 0x400);
    copy((uint8_t *)call->c, data + 0x400, sizeof(struct sgx_report));
    return 0;
}

ENCLAVE static uint64_t key(struct test_call *call, uint8_t *data)
{
    copy(data, (uint8_t *)call->a, sizeof(struct sgx_keyrequest));
    uint64_t rc = enclu(SGX_EGETKEY, data, (uint64_t)data + 0x200, 0);
    copy((uint8_t *)call->c, data + 0x200, 16);
    return rc;
}

ENCLAVE static void skip(struct test_call *call, uint64_t tcs)
{
    struct sgx_ssa_gpr *gpr = (struct sgx_ssa_gpr *)(tcs + 0x2000) - 1;
    struct sgx_ssa_exinfo *misc = (struct sgx_ssa_exinfo *)gpr - 1;

    call->b = gpr->rip;
    call->c = misc->maddr;
    call->result = gpr->exitinfo;
    gpr->rip += call->a;
}

ENCLAVE static uint64_t instruction(uint64_t which)
{
    uint64_t rax = 1, rcx = 0;

    if (which == TEST_CPUID)
        __asm__ volatile("cpuid" : "+a"(rax), "+c"(rcx) : : "rbx", "rdx");
    else if (which == TEST_RDTSC)
        __asm__ volatile("rdtsc" : "+a"(rax) : : "rdx");
    else if (which == TEST_RDTSCP)
        __asm__ volatile("rdtscp" : "+a"(rax), "+c"(rcx) : : "rdx");
    else
        __asm__ volatile("pushf\n\torl $0x100, (%%rsp)\n\tpopf\n\tnop\n\tpushf\n\tpop %0"
                         : "=r"(rax)
                         :
                         : "cc", "memory");
    return rax | 1;
}

ENCLAVE static void run_command(struct test_call *call, uint64_t cssa, uint64_t tcs)
{
    uint8_t *data = (uint8_t *)(tcs - (tcs & (TEST_SIZE - 1)) + TEST_DATA);

    const uint64_t command = call->command & ~TEST_BY_SITE;

    call->cssa = cssa;
    if (command == TEST_ADD)
        call->result = call->a + call->b;
    else if (command == TEST_READ)
        call->result = *(volatile uint64_t *)call->a;
    else if (command == TEST_WRITE)
        *(volatile uint64_t *)call->a = call->b;
    else if (command == TEST_UD2)
        __asm__ volatile("ud2");
    else if (command == TEST_SYSCALL)
        __asm__ volatile("syscall" : "=a"(call->result) : "a"(39) : "rcx", "r11", "memory");
    else if (command == TEST_INT3)
        __asm__ volatile("int3");
    else if (command == TEST_DIVIDE)
        call->result = call->a / call->b;
    else if (command == TEST_SPIN)
        call->result = test_enclave_spin(call->a);
    else if (command == TEST_ACCEPT)
        call->result = with_secinfo(SGX_EACCEPT, call->a, call->b, 0);
    else if (command == TEST_ACCEPT_MANY)
        call->result = accept_many(call);
    else if (command == TEST_EXTEND)
        with_secinfo(SGX_EMODPE, call->a, call->b, 0);
    else if (command == TEST_ACCEPT_COPY)
        call->result = with_secinfo(SGX_EACCEPTCOPY, call->a, call->b, call->c);
    else if (command == TEST_REPORT)
        call->result = report(call, data);
    else if (command == TEST_KEY)
        call->result = key(call, data);
    else if (command == TEST_BASES) {
        __asm__ volatile("rdfsbase %0" : "=r"(call->result));
        __asm__ volatile("rdgsbase %0" : "=r"(call->a));
    } else if (command == TEST_CALL)
        call->result = ((uint64_t(*)(void))call->a)();
    else if (command == TEST_SKIP)
        skip(call, tcs);
    else if (command == TEST_ENCLU)
        call->result = enclu((uint32_t)call->a, (const void *)call->b, call->c, call->b);
    else if (command == TEST_NOTIFY)
        ((struct sgx_ssa_gpr *)(tcs + 0x2000) - 1)->aexnotify = 1;
    else if (command == TEST_SITE_ADD)
        call->result = accept_many(call) ? 0 : call->a + call->b;
    else if (command == TEST_INSTRUCTION)
        call->result = instruction(call->a);
}

/* 1: leave by the rewritable site */
ENCLAVE int test_enclave_main(struct test_call *call, uint64_t cssa, uint64_t tcs)
{
    const uint64_t site = call->command & TEST_BY_SITE;

    run_command(call, cssa, tcs);
    return site || call->command == TEST_SITE_ADD;
}
