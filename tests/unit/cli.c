/* SPDX-License-Identifier: Apache-2.0 */
/* Options as runc parses them, and what is said when they are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after stddef.h and the others, as cmocka wants it */
#include <cmocka.h>

#include "base/cleanup.h"
#include "cli/cli.h"

static bool flag, given, help;
static const char *text;
static long long number;
static struct option_list list;
static const struct option g_options[] = {
    {"flag", "f", OPTION_FLAG, &flag, NULL, "a flag", NULL},
    {"text", "t", OPTION_TEXT, &text, "TEXT", "a text", &given},
    {"number", NULL, OPTION_NUMBER, &number, "N", "a number", NULL},
    {"list", "l", OPTION_LIST, &list, "ITEM", "a list", NULL},
};

static int reset(void **state)
{
    (void)state;
    free(list.items);
    list = (struct option_list){0};
    flag = given = help = false;
    text = NULL;
    number = 0;
    return 0;
}

#define COUNT(argv) ((int)array_count(argv) - 1)

static int parse(int argc, const char **argv, struct error *err)
{
    return options_parse(g_options, array_count(g_options), argc, (char **)argv, &help, err);
}

static void values_come_behind_an_equals_sign_or_as_the_next_argument(void **state)
{
    (void)state;
    const char *argv[] = {"--text=a=b", "-number", "-7", "--list", "x", "-l=y", "-f", "rest", NULL};
    assert_int_equal(parse(COUNT(argv), argv, NULL), 7);
    assert_string_equal(text, "a=b");
    assert_true(given && flag && !help);
    assert_int_equal(number, -7);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[1], "y");
}

static void parsing_stops_at_the_first_argument_and_behind_two_dashes(void **state)
{
    (void)state;
    const char *argv[] = {"-f", "--", "--text", "x", NULL};
    assert_int_equal(parse(COUNT(argv), argv, NULL), 2);
    const char *dash[] = {"-", "-f", NULL};
    assert_int_equal(parse(COUNT(dash), dash, NULL), 0);
    assert_null(text);
}

static void options_behind_arguments_move_to_the_front(void **state)
{
    (void)state;
    const char *argv[] = {"name", "--number", "3", "more", "-f", "--", "-x", NULL};
    options_reorder(g_options, array_count(g_options), COUNT(argv), (char **)argv);
    assert_int_equal(parse(COUNT(argv), argv, NULL), 3);
    assert_int_equal(number, 3);
    assert_true(flag);
    assert_string_equal(argv[3], "name");
    assert_string_equal(argv[5], "--");
}

static void a_flag_takes_a_boolean(void **state)
{
    (void)state;
    const char *argv[] = {"--flag=true", "--flag=F", NULL};
    assert_int_equal(parse(1, argv, NULL), 1);
    assert_true(flag);
    assert_int_equal(parse(2, argv, NULL), 2);
    assert_false(flag);
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *argument, *message;
    } cases[] = {
        {"--nosuch=1", "flag provided but not defined: -nosuch"},
        {"--flag=maybe", "invalid boolean value \"maybe\" for --flag"},
        {"--number=3x", "invalid value \"3x\" for --number: a number is needed"},
        {"--text", "flag needs an argument: -text"},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        cleanup_error struct error err = ERROR_INIT;
        const char *argv[] = {cases[i].argument, NULL};
        assert_true(parse(1, argv, &err) < 0);
        assert_string_equal(error_text(&err), cases[i].message);
    }
}

static int g_ran;
static int run(int argc, char **argv, struct error *err)
{
    (void)err;
    g_ran++;
    assert_string_equal(argv[argc - 1], "last");
    return argc;
}

static void a_command_gets_its_arguments_and_returns_its_status(void **state)
{
    (void)state;
    static const struct command command = {.name = "do",
                                           .summary = "do it",
                                           .arguments = "A B",
                                           .options = g_options,
                                           .option_count = array_count(g_options),
                                           .min_arguments = 2,
                                           .max_arguments = 2,
                                           .run = run};
    static const struct command *const commands[] = {&command, NULL};
    static const struct program program = {.name = "tool", .commands = commands};
    assert_ptr_equal(program_command(&program, "do"), &command);
    assert_null(program_command(&program, "undo"));
    assert_null(program_command(&program, NULL));
    const char *argv[] = {"do", "first", "-f", "last", NULL};
    cleanup_error struct error err = ERROR_INIT;
    g_ran = 0;
    assert_int_equal(program_run(&program, &command, 4, (char **)argv, NULL, &err), 2);
    assert_int_equal(g_ran, 1);
    assert_true(program_run(&program, &command, 3, (char **)argv, NULL, &err) < 0);
    assert_string_equal(error_text(&err), "\"tool do\" requires exactly 2 arguments");
    assert_int_equal(g_ran, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(values_come_behind_an_equals_sign_or_as_the_next_argument, reset),
        cmocka_unit_test_teardown(parsing_stops_at_the_first_argument_and_behind_two_dashes, reset),
        cmocka_unit_test_teardown(options_behind_arguments_move_to_the_front, reset),
        cmocka_unit_test_teardown(a_flag_takes_a_boolean, reset),
        cmocka_unit_test_teardown(wrong_options_are_named, reset),
        cmocka_unit_test_teardown(a_command_gets_its_arguments_and_returns_its_status, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
