/* SPDX-License-Identifier: Apache-2.0 */
/* The image cache bounds itself: what goes first, and what stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/path.h"
#include "enclave/bundle/bundle.h"

#define KIB 64u

static char g_cache[] = "/tmp/rune-cache-XXXXXX";

/* An entry that was used so many days ago, KIB of it. */
static void make_entry(char digit, int days)
{
    char path[128], image[160];
    char data[KIB * 1024] = {1};
    snprintf(path, sizeof(path), "%s/%064d", g_cache, 0);
    memset(path + strlen(g_cache) + 1, digit, 64);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(image, sizeof(image), "%s/image", path);
    int fd = open(image, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && write(fd, data, sizeof(data)) == (ssize_t)sizeof(data));
    close(fd);
    struct timespec used[2] = {{time(NULL) - days * 86400l, 0}, {time(NULL) - days * 86400l, 0}};
    assert_int_equal(utimensat(AT_FDCWD, path, used, 0), 0);
}

static bool is_there(char digit)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%064d", g_cache, 0);
    memset(path + strlen(g_cache) + 1, digit, 64);
    return access(path, F_OK) == 0;
}

static unsigned trim(uint64_t kib, uint32_t days)
{
    struct bundle_cache_trimmed out;
    struct error err = ERROR_INIT;
    if (bundle_cache_trim(g_cache, kib << 10, days, &out, &err) < 0)
        fail_msg("%s", error_text(&err));
    return out.removed;
}

static int set_up(void **state)
{
    memcpy(g_cache + strlen(g_cache) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(g_cache));
    make_entry('a', 3);
    make_entry('b', 1);
    make_entry('c', 40);
    make_entry('d', 2);
    return 0;
}

static int tear_down(void **state)
{
    return path_remove_tree(AT_FDCWD, g_cache, NULL);
}

static void test_no_limit(void **state)
{
    assert_int_equal(trim(0, 0), 0);
}

static void test_age(void **state)
{
    assert_int_equal(trim(0, 30), 1);
    assert_false(is_there('c'));
}

static void test_size(void **state)
{
    assert_int_equal(trim(3 * KIB, 0), 2); /* directories have blocks of their own */
    assert_true(is_there('b') && is_there('d'));
    assert_int_equal(trim(1, 0), 2);
}

static void test_held(void **state)
{
    char image[160];
    struct error err = ERROR_INIT;
    snprintf(image, sizeof(image), "%s/%064d/image", g_cache, 0);
    memset(image + strlen(g_cache) + 1, 'c', 64);
    int fd = bundle_image_hold(image, &err), copy = dup(fd);
    assert_true(fd >= 0 && copy >= 0);
    close(fd); /* the duplicate, as in another process, holds it as well */
    assert_int_equal(trim(1, 1), 3);
    assert_true(is_there('c'));
    close(copy);
    assert_int_equal(trim(1, 1), 1);
    assert_true(bundle_image_hold(image, &err) < 0 && err.code == ESTALE);
    error_release(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_age, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_held, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("bundle-cache", tests, NULL, NULL);
}
