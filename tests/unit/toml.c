/* SPDX-License-Identifier: Apache-2.0 */
/* src/base/toml.c: what a configuration may say, and the line of what it may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/toml.h"

static void read_good(const char *text, struct toml *out)
{
    cleanup_error struct error err = ERROR_INIT;
    if (toml_read("f", text, strlen(text), out, &err) < 0)
        fail_msg("%s", error_text(&err));
}

static void test_strings(void **state)
{
    static const char *const cases[][2] = {
        {"k = \"\"", ""},
        {"k=\"a # b\" # c", "a # b"},
        {"k = \"\\t\\\"\\\\\\u00e9\\U0001f600\"", "\t\"\\\xc3\xa9\xf0\x9f\x98\x80"},
        {"k = 'C:\\x\"'", "C:\\x\""},
        {"k = \"\"\"\na\nb\"\"\"", "a\nb"},
        {"k = \"\"\"a \\\n\n   b\"\"\"\"", "a b\""},
        {"k = '''\r\na\\\r\n'''", "a\\\n"},
        {"\xef\xbb\xbf k = \"x\"\r\n", "x"},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        cleanup_toml struct toml toml = TOML_INIT;
        read_good(cases[i][0], &toml);
        assert_int_equal(toml.count, 1);
        assert_string_equal(toml.entries[0].key, "k");
        assert_int_equal(toml.entries[0].type, TOML_STRING);
        assert_string_equal(toml.entries[0].text, cases[i][1]);
    }
}

static void test_other_values(void **state)
{
    static const struct {
        const char *text;
        enum toml_type type;
        int64_t number;
        bool truth;
    } cases[] = {
        {"k = 0", TOML_INTEGER, 0, false},
        {"k = -1_000", TOML_INTEGER, -1000, false},
        {"k = +0", TOML_INTEGER, 0, false},
        {"k = 0xfF", TOML_INTEGER, 255, false},
        {"k = 0o17", TOML_INTEGER, 15, false},
        {"k = 0b101", TOML_INTEGER, 5, false},
        {"k = 9223372036854775807", TOML_INTEGER, INT64_MAX, false},
        {"k = -9223372036854775808", TOML_INTEGER, INT64_MIN, false},
        {"k = true", TOML_BOOLEAN, 0, true},
        {"k = false # no", TOML_BOOLEAN, 0, false},
        {"k = 1.5e3", TOML_OTHER, 0, false},
        {"k = -inf", TOML_OTHER, 0, false},
        {"k = 1979-05-27T07:32:00Z", TOML_OTHER, 0, false},
        {"k = [1, [\"a\", '''b'''], # c\n {x = 1}, ]", TOML_OTHER, 0, false},
        {"k = { a.b = 1, 'c' = [] }", TOML_OTHER, 0, false},
        {"k = {}", TOML_OTHER, 0, false},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        cleanup_toml struct toml toml = TOML_INIT;
        read_good(cases[i].text, &toml);
        assert_int_equal(toml.entries[0].type, cases[i].type);
        assert_true(toml.entries[0].number == cases[i].number);
        assert_true(toml.entries[0].truth == cases[i].truth);
    }
}

static void test_keys_and_lines(void **state)
{
    cleanup_toml struct toml toml = TOML_INIT;
    read_good("# first\na = 1\n[ b . \"c\".'d e' ]\nx.\"y\" = [\n]\n\n[[l]]\nz = 2\n[[l]]\nz = 3",
              &toml);
    static const struct {
        const char *key;
        unsigned line;
    } expected[] = {{"a", 2},     {"b.c.\"d e\"", 3}, {"b.c.\"d e\".x.y", 4}, {"l[]", 7},
                    {"l[].z", 8}, {"l[]", 9},         {"l[].z", 10}};
    assert_int_equal(toml.count, array_count(expected));
    for (size_t i = 0; i < toml.count; i++) {
        assert_string_equal(toml.entries[i].key, expected[i].key);
        assert_int_equal(toml.entries[i].line, expected[i].line);
    }
    assert_null(toml_find(&toml, "z"));
    assert_int_equal(toml_find(&toml, "l[].z")->number, 2);
}

static void test_errors(void **state)
{
    static const char *const cases[][2] = {
        {"a = 1\nb = info", "f:2: a value is expected"},
        {"a", "f:1: = is expected"},
        {"a =", "f:1: a value is expected"},
        {"= 1", "f:1: a key is expected"},
        {"a = 1 b = 2", "f:1: the line is not at its end"},
        {"a = 1\n\na = 2", "f:3: \"a\" is there a second time (first in line 1)"},
        {"[t]\n[t]", "f:2: \"t\" is there a second time"},
        {"[t", "f:1: the name of a table ends with ]"},
        {"[]", "f:1: a key is expected"},
        {"a = \"x", "f:1: a string has no end"},
        {"a = \"x\ny\"", "f:1: a string has no end"},
        {"a = \"\"\"x\ny", "f:2: a string has no end"},
        {"a = \"\\x\"", "f:1: an escape that is not known"},
        {"a = \"\\ud800\"", "f:1: an escape that is no character"},
        {"a = 01", "f:1: a number begins with 0"},
        {"a = 1__0", "f:1: an underscore"},
        {"a = 1_", "f:1: an underscore"},
        {"a = 0xg", "f:1: this is no number"},
        {"a = 9223372036854775808", "f:1: a number is out of range"},
        {"a = [1 2]", "f:1: an array goes on"},
        {"a = [1,\n", "f:2: a value is expected"},
        {"a = {b = 1 c = 2}", "f:1: a table in braces"},
        {"a = \"\x01\"", "f:1: a control character"},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        cleanup_error struct error err = ERROR_INIT;
        cleanup_toml struct toml toml = TOML_INIT;
        assert_int_equal(toml_read("f", cases[i][0], strlen(cases[i][0]), &toml, &err), -1);
        if (strstr(error_text(&err), cases[i][1]) != error_text(&err))
            fail_msg("%s: %s", cases[i][0], error_text(&err));
    }
    char deep[200] = "a = ";
    memset(deep + 4, '[', sizeof(deep) - 5);
    cleanup_error struct error err = ERROR_INIT;
    cleanup_toml struct toml toml = TOML_INIT;
    assert_int_equal(toml_read("f", deep, strlen(deep), &toml, &err), -1);
    assert_string_equal(error_text(&err), "f:1: values are nested too deeply");
    error_release(&err);
    assert_int_equal(toml_read("f", "a\0b", 3, &toml, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_other_values),
        cmocka_unit_test(test_keys_and_lines),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
