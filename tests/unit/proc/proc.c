/* SPDX-License-Identifier: Apache-2.0 */
/* Host-native tests of the parts of libos/proc that only compute: the script line and the initial
 * stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proc.h"
#include <linux/auxvec.h>

static int parse(const char *text, struct script_line *out)
{
    return script_parse(text, strlen(text), out);
}

static void script_lines(void **state)
{
    static const struct {
        const char *text, *interpreter, *argument;
    } good[] = {
        {"#!/bin/sh\n", "/bin/sh", ""},
        {"#!/bin/sh", "/bin/sh", ""},
        {"#! \t /bin/sh \t \nrest", "/bin/sh", ""},
        {"#!/usr/bin/env python3 -u\n", "/usr/bin/env", "python3 -u"},
        {"#!/bin/sh\t -e  \nx", "/bin/sh", "-e"},
        {"#!sh\n", "sh", ""},
    };
    struct script_line line;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(parse(good[i].text, &line), 0);
        assert_string_equal(line.interpreter, good[i].interpreter);
        assert_string_equal(line.argument, good[i].argument);
    }
    static const char *const bad[] = {"", "#", "#!", "#!\n", "#!   \n", "# !/bin/sh\n", "\177ELF"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(parse(bad[i], &line), -ENOEXEC);
}

static void long_script_lines(void **state)
{
    char head[EXEC_HEAD_SIZE + 1];
    struct script_line line;
    memset(head, 'a', sizeof(head));
    memcpy(head, "#!/", 3);
    /* The name may go on where nobody has read: refused. */
    assert_int_equal(script_parse(head, EXEC_HEAD_SIZE, &line), -ENOEXEC);
    /* A cut argument is cut, as in Linux. */
    head[100] = ' ';
    assert_int_equal(script_parse(head, EXEC_HEAD_SIZE, &line), 0);
    assert_int_equal(strlen(line.interpreter), 98);
    assert_int_equal(strlen(line.argument), EXEC_HEAD_SIZE - 101);
    /* A file that ends there is whole. */
    assert_int_equal(script_parse(head, 50, &line), 0);
    assert_int_equal(strlen(line.interpreter), 48);
}

#define TOP 0x700000000000ull

struct built {
    u8 *buf;
    size_t size;
    struct stack_spec spec;
};

static u64 word_at(const struct built *b, u64 addr)
{
    u64 v;
    assert_in_range(addr, TOP - b->size, TOP - 8);
    memcpy(&v, b->buf + (addr - (TOP - b->size)), 8);
    return v;
}

static const char *string_at(const struct built *b, u64 addr)
{
    assert_in_range(addr, TOP - b->size, TOP - 1);
    return (const char *)b->buf + (addr - (TOP - b->size));
}

static u64 aux(const struct built *b, u64 auxv, u64 type)
{
    for (;; auxv += 16) {
        if (word_at(b, auxv) == type)
            return word_at(b, auxv + 8);
        if (word_at(b, auxv) == AT_NULL)
            fail_msg("no entry %lu", (unsigned long)type);
    }
}

static void check_stack(char **argv, char **env)
{
    static const u64 auxv[] = {AT_PAGESZ, 4096, AT_UID, 1000};
    struct built b = {
        .spec = {.argv = argv, .env = env, .execfn = "/bin/prog", .auxv = auxv, .auxv_words = 4}};
    memset(b.spec.random, 0xab, 16);
    b.size = PAGE_UP(stack_size_needed(&b.spec));
    b.buf = test_malloc(b.size);
    assert_int_equal(stack_build(&b.spec, TOP, b.buf, b.size), 0);
    u64 at = b.spec.sp, argc = word_at(&b, at);
    assert_int_equal(at % 16, 0);
    at += 8;
    size_t n = 0;
    for (; argv[n]; n++, at += 8)
        assert_string_equal(string_at(&b, word_at(&b, at)), argv[n]);
    assert_int_equal(argc, n);
    assert_int_equal(word_at(&b, at), 0);
    at += 8;
    for (n = 0; env[n]; n++, at += 8)
        assert_string_equal(string_at(&b, word_at(&b, at)), env[n]);
    assert_int_equal(word_at(&b, at), 0);
    at += 8;
    assert_int_equal(aux(&b, at, AT_PAGESZ), 4096);
    assert_int_equal(aux(&b, at, AT_UID), 1000);
    assert_string_equal(string_at(&b, aux(&b, at, AT_EXECFN)), "/bin/prog");
    assert_string_equal(string_at(&b, aux(&b, at, AT_PLATFORM)), "x86_64");
    assert_memory_equal(string_at(&b, aux(&b, at, AT_RANDOM)), b.spec.random, 16);
    /* What /proc/PID/cmdline and environ show are these ranges. */
    if (argc)
        assert_string_equal(string_at(&b, b.spec.arg_start), argv[0]);
    assert_true(b.spec.arg_start <= b.spec.arg_end && b.spec.arg_end <= b.spec.env_start);
    assert_int_equal(b.spec.auxv_final[b.spec.auxv_final_words - 2], AT_NULL);
    test_free(b.buf);
}

static void stacks(void **state)
{
    char *none[] = {NULL}, *one[] = {(char *)"prog", NULL};
    char *three[] = {(char *)"/bin/prog", (char *)"", (char *)"an argument with blanks", NULL};
    char *env[] = {(char *)"PATH=/bin", (char *)"X=", NULL};
    check_stack(none, none);
    check_stack(one, none);
    check_stack(three, env);
    check_stack(env, three);
}

static void stack_too_small(void **state)
{
    char *one[] = {(char *)"prog", NULL};
    u8 buf[64];
    struct stack_spec s = {.argv = one, .env = one, .execfn = "x", .auxv = NULL, .auxv_words = 0};
    assert_int_equal(stack_build(&s, TOP, buf, sizeof(buf)), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(script_lines),
        cmocka_unit_test(long_script_lines),
        cmocka_unit_test(stacks),
        cmocka_unit_test(stack_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
