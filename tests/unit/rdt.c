/* SPDX-License-Identifier: Apache-2.0 */
/* Intel RDT against a directory that stands in for resctrl: which groups are made, joined, refused
 * and removed. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "container/private.h"

static char g_root[] = "/tmp/rune-rdt.XXXXXX";

/* resctrl fills a new directory itself; here that is done beforehand. */
static void make_group(const char *name, const char *schemata)
{
    static const char *const files[] = {"tasks", "schemata"};
    cleanup_free char *path = path_join(g_root, name);
    assert_int_equal(path_mkdir_p(path, 0755, NULL), 0);
    for (size_t i = 0; i < array_count(files); i++) {
        cleanup_free char *file = path_join(path, files[i]);
        const char *text = i == 1 ? schemata : "";
        assert_int_equal(replace_file_at(AT_FDCWD, file, text, strlen(text), 0644, false, NULL), 0);
    }
}

static void holds(const char *name, const char *expected)
{
    cleanup_free char *path = path_join(g_root, name);
    cleanup_buffer struct buffer text = BUFFER_INIT;
    assert_int_equal(read_file_at(AT_FDCWD, path, &text, 4096, NULL), 0);
    assert_string_equal(buffer_text(&text), expected);
}

static bool there(const char *name)
{
    cleanup_free char *path = path_join(g_root, name);
    return access(path, F_OK) == 0;
}

static int apply(const struct oci_intel_rdt *rdt, const char *part)
{
    struct oci_config config = {.intel_rdt = *rdt};
    config.intel_rdt.present = true;
    cleanup_error struct error err = ERROR_INIT;
    int ret = rdt_apply(g_root, &config, "box", 4711, &err);
    if (part && !strstr(error_text(&err), part))
        fail_msg("%s lacks %s", error_text(&err), part);
    return ret;
}

static void test_own_group(void **state)
{
    make_group("box", "");
    const struct oci_intel_rdt rdt = {.l3_cache_schema = "L3:0=7f;1=3", .mem_bw_schema = "MB:0=20"};
    assert_int_equal(apply(&rdt, NULL), 0);
    holds("box/tasks", "4711");
    holds("box/schemata", "L3:0=7f;1=3\nMB:0=20\n");
}

static void test_named_group(void **state)
{
    static const char schemata[] = "    L3:0=07f;1=0003\n    MB:0= 20;1= 30\n";
    make_group("gold", schemata);
    const struct oci_intel_rdt same = {
        .clos_id = "gold", .l3_cache_schema = "L3:0=7f;1=3", .mem_bw_schema = "MB:1=30"};
    assert_int_equal(apply(&same, NULL), 0);
    holds("gold/tasks", "4711");
    holds("gold/schemata", schemata);
    static const char *const others[] = {"L3:0=7;1=3", "L3:2=7f", "L3:0=7f;1=33", "L2:0=7f", "L3"};
    for (size_t i = 0; i < array_count(others); i++) {
        const struct oci_intel_rdt other = {.clos_id = "gold", .l3_cache_schema = others[i]};
        assert_true(apply(&other, "another schema") < 0);
    }
    const struct oci_intel_rdt join = {.clos_id = "gold"};
    assert_int_equal(apply(&join, NULL), 0);
    const struct oci_intel_rdt missing = {.clos_id = "silver"};
    assert_true(apply(&missing, "silver") < 0);
    assert_false(there("silver"));
}

static void test_monitoring(void **state)
{
    make_group("gold", "L3:0=f\n");
    make_group("gold/mon_groups/box", "");
    const struct oci_intel_rdt rdt = {.clos_id = "gold", .enable_cmt = true};
    assert_int_equal(apply(&rdt, NULL), 0);
    holds("gold/mon_groups/box/tasks", "4711");
    make_group("bronze", "");
    const struct oci_intel_rdt none = {.clos_id = "bronze", .enable_mbm = true};
    assert_true(apply(&none, "monitoring group") < 0);
}

static void test_remove(void **state)
{
    struct oci_config config = {.intel_rdt = {.present = true}};
    cleanup_free char *own = path_join(g_root, "box2"), *named = path_join(g_root, "named");
    assert_int_equal(path_mkdir_p(own, 0755, NULL), 0);
    assert_int_equal(path_mkdir_p(named, 0755, NULL), 0);
    rdt_remove(g_root, &config, "box2");
    assert_false(there("box2"));
    config.intel_rdt.clos_id = "named";
    rdt_remove(g_root, &config, "box2");
    assert_true(there("named"));
}

static int set_up(void **state)
{
    return mkdtemp(g_root) ? 0 : -1;
}

static int tear_down(void **state)
{
    return path_remove_tree(AT_FDCWD, g_root, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_group),
        cmocka_unit_test(test_named_group),
        cmocka_unit_test(test_monitoring),
        cmocka_unit_test(test_remove),
    };
    return cmocka_run_group_tests_name("rdt", tests, set_up, tear_down);
}
