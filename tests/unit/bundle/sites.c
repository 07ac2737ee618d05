/* SPDX-License-Identifier: Apache-2.0 */
/* The site scanner on hand-made code: what is a window, what must not be one, and that no bytes
 * upset it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <elf.h>

#include "enclave/bundle/sites.h"

#define CODE_AT   0x1000u /* file offset and address of the code */
#define CODE_SIZE 0x1000u
#define ADDRESS   0x401000ull

struct made {
    uint8_t file[0x4000];
    unsigned symbols, code_used;
};

static Elf64_Ehdr *header_of(struct made *m)
{
    return (Elf64_Ehdr *)m->file;
}

static Elf64_Sym *symbols_of(struct made *m)
{
    return (Elf64_Sym *)(m->file + 0x2000);
}

static void begin(struct made *m)
{
    memset(m, 0, sizeof(*m));
    memset(m->file + CODE_AT, 0x90, CODE_SIZE);
    Elf64_Ehdr *h = header_of(m);
    memcpy(h->e_ident, ELFMAG, SELFMAG);
    h->e_ident[EI_CLASS] = ELFCLASS64;
    h->e_ident[EI_DATA] = ELFDATA2LSB;
    h->e_type = ET_EXEC;
    h->e_machine = EM_X86_64;
    h->e_phoff = sizeof(*h);
    h->e_phentsize = sizeof(Elf64_Phdr);
    h->e_phnum = 1;
    h->e_shoff = 0x3000;
    h->e_shentsize = sizeof(Elf64_Shdr);
    h->e_shnum = 1;
    Elf64_Phdr *p = (Elf64_Phdr *)(m->file + h->e_phoff);
    *p = (Elf64_Phdr){.p_type = PT_LOAD,
                      .p_flags = PF_R | PF_X,
                      .p_offset = CODE_AT,
                      .p_vaddr = ADDRESS,
                      .p_filesz = CODE_SIZE,
                      .p_memsz = CODE_SIZE};
    Elf64_Shdr *s = (Elf64_Shdr *)(m->file + h->e_shoff);
    s->sh_type = SHT_SYMTAB;
    s->sh_offset = 0x2000;
    s->sh_entsize = sizeof(Elf64_Sym);
}

/* A function at `at` bytes into the code. */
static void put(struct made *m, unsigned at, const void *code, unsigned size)
{
    memcpy(m->file + CODE_AT + at, code, size);
    symbols_of(m)[m->symbols++] = (Elf64_Sym){.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                                              .st_shndx = 1,
                                              .st_value = ADDRESS + at,
                                              .st_size = size};
    Elf64_Shdr *s = (Elf64_Shdr *)(m->file + header_of(m)->e_shoff);
    s->sh_size = m->symbols * sizeof(Elf64_Sym);
}
#define PUT(m, at, code) put(m, at, code, sizeof(code) - 1)

static struct sites_list scan(struct made *m)
{
    struct sites_list list;
    assert_int_equal(sites_scan(m->file, sizeof(m->file), &list), 0);
    return list;
}

static void expect_one(struct made *m, unsigned at, unsigned before, unsigned after)
{
    struct sites_list list = scan(m);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.sites[0].offset, CODE_AT + at);
    assert_int_equal(list.sites[0].before_size, before);
    assert_int_equal(list.sites[0].after_size, after);
    assert_int_equal(list.sites[0].length, before + 2 + after);
    sites_list_release(&list);
}

static void expect_none(struct made *m, uint64_t syscalls)
{
    struct sites_list list = scan(m);
    assert_int_equal(list.count, 0);
    assert_int_equal(list.syscalls, syscalls);
    sites_list_release(&list);
}

#define MOV_EAX "\xb8\x27\x00\x00\x00" /* mov $39, %eax */
#define XOR_EAX "\x31\xc0"             /* xor %eax, %eax */
#define SYSCALL "\x0f\x05"
#define CMP_RAX "\x48\x3d\x00\xf0\xff\xff" /* cmp $-4096, %rax */
#define RET     "\xc3"

static void test_mov(void **state)
{
    struct made m;
    begin(&m);
    PUT(&m, 0x10, MOV_EAX SYSCALL RET);
    expect_one(&m, 0x10, 5, 0);
}

static void test_number_set_earlier(void **state)
{
    struct made m;
    begin(&m);
    /* mov $39,%eax; mov %rdi,%rsi (3); mov %edx,%edi (2): the shortest run of three bytes and
     * more */
    PUT(&m, 0x10,
        MOV_EAX "\x48\x89\xfe"
                "\x89\xd7" SYSCALL RET);
    expect_one(&m, 0x15, 5, 0);
}

static void test_xor_takes_what_follows(void **state)
{
    struct made m;
    begin(&m);
    PUT(&m, 0x10, "\x75\x0b" XOR_EAX SYSCALL CMP_RAX RET RET RET RET RET);
    expect_one(&m, 0x14, 0, 6);
}

static void test_after_is_not_movable(void **state)
{
    struct made m;
    begin(&m);
    PUT(&m, 0x10, "\x75\x00" XOR_EAX SYSCALL "\x73\x01" RET RET); /* jae follows */
    expect_none(&m, 1);
}

static void test_rip_relative_is_not_moved(void **state)
{
    struct made m;
    begin(&m);
    /* mov 0x10(%rip),%eax; syscall; ret: nothing before can be moved, RET cannot either */
    PUT(&m, 0x10, "\x8b\x05\x10\x00\x00\x00" SYSCALL RET);
    expect_none(&m, 1);
}

static void test_branch_into_window(void **state)
{
    struct made m;
    begin(&m);
    /* 0: jz to 8 (inside the pair of instructions that would be replaced) */
    PUT(&m, 0x10,
        "\x74\x02"
        "\x89\xf7" XOR_EAX SYSCALL RET);
    expect_none(&m, 1);
    /* The same target, but the window can begin there. */
    begin(&m);
    PUT(&m, 0x10,
        "\x74\x00"
        "\xbf\x01\x00\x00\x00" XOR_EAX SYSCALL RET);
    expect_one(&m, 0x12, 7, 0);
}

static void test_backward_branch_to_syscall(void **state)
{
    struct made m;
    begin(&m);
    /* mov; 5: syscall; 7: jmp 5. The jump covers bytes 0..4 only, so the target survives. */
    PUT(&m, 0x10, MOV_EAX SYSCALL "\xeb\xfc");
    expect_one(&m, 0x10, 5, 0);
    /* xor; nop; syscall; jmp to the syscall: inside the five bytes. */
    begin(&m);
    PUT(&m, 0x10, XOR_EAX "\x90" SYSCALL "\xeb\xfc");
    expect_none(&m, 1);
}

static void test_two_in_a_row(void **state)
{
    struct made m;
    begin(&m);
    PUT(&m, 0x10, MOV_EAX SYSCALL MOV_EAX SYSCALL RET);
    struct sites_list list = scan(&m);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.sites[0].offset + list.sites[0].length, list.sites[1].offset);
    sites_list_release(&list);
    begin(&m);
    PUT(&m, 0x10, XOR_EAX SYSCALL XOR_EAX SYSCALL RET);
    list = scan(&m);
    assert_true(list.count <= 1);
    sites_list_release(&list);
}

static void test_indirect_jump_needs_a_whole_instruction(void **state)
{
    struct made m;
    begin(&m);
    /* jmp *%rdx somewhere: it may go to the second instruction of the pair */
    PUT(&m, 0x10,
        "\xff\xe2"
        "\x89\xf7"
        "\x90" XOR_EAX SYSCALL RET);
    expect_none(&m, 1);
    begin(&m);
    PUT(&m, 0x10, "\xff\xe2" MOV_EAX SYSCALL RET);
    expect_one(&m, 0x12, 5, 0);
}

static void test_far_branch_from_elsewhere(void **state)
{
    struct made m;
    begin(&m);
    PUT(&m, 0x10,
        "\x89\xf7"
        "\x90" XOR_EAX SYSCALL RET);
    expect_one(&m, 0x12, 3, 0);
    /* jmp rel32 from 0x400 to 0x13 */
    PUT(&m, 0x400, "\xe9\x0e\xfc\xff\xff");
    struct sites_list list = scan(&m);
    for (size_t i = 0; i < list.count; i++)
        assert_false(list.sites[i].offset < CODE_AT + 0x13 &&
                     list.sites[i].offset + 5 > CODE_AT + 0x13);
    sites_list_release(&list);
}

static void test_short_branch_from_neighbour(void **state)
{
    struct made m;
    begin(&m);
    PUT(&m, 0x10,
        "\x89\xf7"
        "\x90" XOR_EAX SYSCALL RET);
    PUT(&m, 0x20, "\xeb\xf1" RET); /* to 0x13 */
    expect_none(&m, 1);
}

static void test_label_inside(void **state)
{
    struct made m;
    begin(&m);
    PUT(&m, 0x10,
        "\x89\xf7"
        "\x90" XOR_EAX SYSCALL RET);
    symbols_of(&m)[m.symbols++] = (Elf64_Sym){.st_shndx = 1, .st_value = ADDRESS + 0x13};
    ((Elf64_Shdr *)(m.file + 0x3000))->sh_size = m.symbols * sizeof(Elf64_Sym);
    expect_none(&m, 1);
}

static void test_only_known_functions(void **state)
{
    struct made m;
    begin(&m);
    memcpy(m.file + CODE_AT + 0x10, MOV_EAX SYSCALL RET, 8);
    expect_none(&m, 0);
}

static void test_between_functions(void **state)
{
    struct made m;
    begin(&m);
    PUT(&m, 0x00, "\x90" RET);
    memcpy(m.file + CODE_AT + 0x10, MOV_EAX SYSCALL RET, 8);
    PUT(&m, 0x40, "\x90" RET);
    expect_one(&m, 0x10, 5, 0);
    /* Only what begins with the number: anything could enter between two short instructions. */
    memcpy(m.file + CODE_AT + 0x10, "\x89\xf7\x90" XOR_EAX SYSCALL RET, 8);
    expect_none(&m, 1);
    /* Bytes that are no instructions: not code after all. */
    memcpy(m.file + CODE_AT + 0x10, MOV_EAX SYSCALL RET "\x06", 9);
    expect_none(&m, 0);
}

static void test_sigreturn_stays(void **state)
{
    struct made m;
    begin(&m);
    PUT(&m, 0x10, "\x48\xc7\xc0\x0f\x00\x00\x00" SYSCALL);
    expect_none(&m, 1);
    begin(&m);
    PUT(&m, 0x10, "\xb8\x0f\x00\x00\x00" SYSCALL);
    expect_none(&m, 1);
}

static void test_bytes_that_look_like_it(void **state)
{
    struct made m;
    begin(&m);
    PUT(&m, 0x10, "\xb8\x0f\x05\x0f\x05" RET); /* an immediate */
    expect_none(&m, 0);
}

static void test_function_that_does_not_decode(void **state)
{
    struct made m;
    begin(&m);
    PUT(&m, 0x10, MOV_EAX SYSCALL "\x06\x06\x06"); /* push %es: not in 64-bit mode */
    expect_none(&m, 0);
}

static void test_syscall_with_a_prefix(void **state)
{
    struct made m;
    begin(&m);
    PUT(&m, 0x10, MOV_EAX "\x48" SYSCALL RET); /* rex.W syscall: three bytes; left to the trap */
    expect_none(&m, 0);
}

static void test_any_bytes(void **state)
{
    struct made m;
    srand(7);
    for (int round = 0; round < 3000; round++) {
        begin(&m);
        PUT(&m, 0x10, MOV_EAX SYSCALL RET);
        PUT(&m, 0x30, XOR_EAX SYSCALL CMP_RAX RET);
        for (int i = 0; i < 12; i++) {
            unsigned where = (unsigned)rand() % 4;
            unsigned at = where == 0   ? (unsigned)rand() % 0x80
                          : where == 1 ? CODE_AT + (unsigned)rand() % 0x80
                          : where == 2 ? 0x2000 + (unsigned)rand() % 0x40
                                       : 0x3000 + (unsigned)rand() % 0x40;
            m.file[at] = (uint8_t)rand();
        }
        struct sites_list list;
        size_t size = round % 5 ? sizeof(m.file) : (size_t)rand() % sizeof(m.file);
        uint8_t *copy = malloc(size ? size : 1); /* exact size: an overrun is seen by ASan */
        memcpy(copy, m.file, size);
        assert_int_equal(sites_scan(copy, size, &list), 0);
        for (size_t i = 0; i < list.count; i++)
            assert_true((uint64_t)list.sites[i].offset + list.sites[i].length <= size);
        sites_list_release(&list);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mov),
        cmocka_unit_test(test_number_set_earlier),
        cmocka_unit_test(test_xor_takes_what_follows),
        cmocka_unit_test(test_after_is_not_movable),
        cmocka_unit_test(test_rip_relative_is_not_moved),
        cmocka_unit_test(test_branch_into_window),
        cmocka_unit_test(test_backward_branch_to_syscall),
        cmocka_unit_test(test_two_in_a_row),
        cmocka_unit_test(test_indirect_jump_needs_a_whole_instruction),
        cmocka_unit_test(test_far_branch_from_elsewhere),
        cmocka_unit_test(test_short_branch_from_neighbour),
        cmocka_unit_test(test_label_inside),
        cmocka_unit_test(test_only_known_functions),
        cmocka_unit_test(test_between_functions),
        cmocka_unit_test(test_sigreturn_stays),
        cmocka_unit_test(test_bytes_that_look_like_it),
        cmocka_unit_test(test_function_that_does_not_decode),
        cmocka_unit_test(test_syscall_with_a_prefix),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests_name("bundle-sites", tests, NULL, NULL);
}
