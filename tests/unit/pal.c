/* SPDX-License-Identifier: Apache-2.0 */
/* The PAL loader against the test libraries of tests/pal, each with the layout of its version. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "pal_exit.h"

static void on_log(void *context, int level, const char *message)
{
}

/* A runtime is never unloaded: threads of its library may still be returning. */
static struct pal_runtime *volatile g_loaded[16];
static size_t g_loaded_count;

static struct pal_runtime *load(const char *path)
{
    struct error err = ERROR_INIT;
    struct pal_runtime *runtime = NULL;
    if (pal_runtime_load(path, &runtime, &err) < 0)
        fail_msg("%s", error_text(&err));
    struct pal_init_args_v4 args = {.size = sizeof(args), .args = "a b", .log_level = "warn"};
    args.event = on_event;
    args.log = on_log;
    if (pal_runtime_init(runtime, &args, &err) < 0)
        fail_msg("%s", error_text(&err));
    g_loaded[g_loaded_count++ % 16] = runtime;
    return runtime;
}

/* Start argv with its output in a pipe; returns the pid and the pipe's read end. */
static int spawn(struct pal_runtime *runtime, const char *const *argv, int *output)
{
    static const char *const env[] = {"COLOUR=blue", NULL};
    int pipe_fds[2];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct pal_process_args_v4 args = {.size = sizeof(args), .argv = argv, .env = env};
    args.stdio[0] = null_fd;
    args.stdio[1] = pipe_fds[1];
    args.stdio[2] = null_fd;
    struct error err = ERROR_INIT;
    int pid = 0;
    int result = pal_runtime_create_process(runtime, &args, &pid, &err);
    close(null_fd);
    close(pipe_fds[1]); /* the loader must have kept its own */
    if (result == 0)
        result = pal_runtime_start(runtime, pid, &err);
    *output = pipe_fds[0];
    error_release(&err);
    return result < 0 ? result : pid;
}

static void assert_output(int fd, const char *expected)
{
    char text[256] = "";
    size_t size = 0;
    ssize_t got;
    while ((got = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
        size += (size_t)got;
    close(fd);
    assert_string_equal(text, expected);
}

static void check_version(const char *path, int version)
{
    struct pal_runtime *runtime = load(path);
    assert_int_equal(pal_runtime_version(runtime), version);

    int output;
    int pid = spawn(runtime, (const char *const[]){"echo", "hello", NULL}, &output);
    assert_true(pid > 0);
    assert_int_equal(wait_exit(pid), W_EXITCODE(0, 0));
    assert_output(output, "hello\n");

    pid = spawn(runtime, (const char *const[]){"exit", "42", NULL}, &output);
    assert_int_equal(wait_exit(pid), W_EXITCODE(42, 0));
    close(output);

    pid = spawn(runtime, (const char *const[]){"env", NULL}, &output);
    wait_exit(pid);
    assert_output(output, version == 1 ? "" : "COLOUR=blue\n");

    pid = spawn(runtime, (const char *const[]){"sleep", "1000", NULL}, &output);
    assert_true(pid > 0);
    close(output);
    if (version == 1) {
        assert_int_equal(pal_runtime_kill(runtime, pid, SIGTERM), -ENOTSUP);
    } else {
        assert_int_equal(pal_runtime_kill(runtime, pid, SIGTERM), 0);
        int expected = version == 4 ? SIGTERM : W_EXITCODE(128 + SIGTERM, 0);
        assert_int_equal(wait_exit(pid), expected);
        assert_int_equal(pal_runtime_kill(runtime, 60, SIGTERM), -ESRCH);
    }

    unsigned char target[512] = {7}, report[1024];
    int report_size = sizeof(report);
    int result = pal_runtime_report(runtime, target, sizeof(target), report, &report_size);
    assert_int_equal(result, version < 3 ? -ENOTSUP : 0);
    if (version >= 3)
        assert_int_equal(report_size, 432);
    struct pal_info_v4 info;
    assert_int_equal(pal_runtime_info(runtime, &info), version < 4 ? -ENOTSUP : 0);
    size_t quote_size = sizeof(report);
    assert_int_equal(pal_runtime_quote(runtime, target, report, &quote_size), -ENOTSUP);
    assert_int_equal(pal_runtime_destroy(runtime), 0);
}

static void test_version_1(void **state)
{
    check_version(TEST_PAL_DIR "/libpal-v1.so", 1);
}

static void test_version_2(void **state)
{
    check_version(TEST_PAL_DIR "/libpal-v2.so", 2);
}

static void test_version_3(void **state)
{
    check_version(TEST_PAL_DIR "/libpal-v3.so", 3);
}

static void test_version_4(void **state)
{
    check_version(TEST_PAL_DIR "/libpal-v4.so", 4);
}

static void test_no_such_program(void **state)
{
    int output;
    struct pal_runtime *runtime = load(TEST_PAL_DIR "/libpal-v4.so");
    assert_int_equal(spawn(runtime, (const char *const[]){"nonsense", NULL}, &output), -ENOENT);
    close(output);
    /* Version 1 learns it only when it runs: as a shell would say it. */
    runtime = load(TEST_PAL_DIR "/libpal-v1.so");
    int pid = spawn(runtime, (const char *const[]){"nonsense", NULL}, &output);
    assert_int_equal(wait_exit(pid), W_EXITCODE(127, 0));
    close(output);
}

static struct pal_runtime *load_with(const char *path, const char *arguments, int expected)
{
    struct error err = ERROR_INIT;
    struct pal_runtime *runtime = NULL;
    assert_int_equal(pal_runtime_load(path, &runtime, &err), 0);
    struct pal_init_args_v4 args = {.size = sizeof(args), .args = arguments};
    args.event = on_event;
    args.log = on_log;
    assert_int_equal(pal_runtime_init(runtime, &args, &err), expected);
    error_release(&err);
    g_loaded[g_loaded_count++ % 16] = runtime;
    return runtime;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void a_stderr_that_the_library_closes_is_not_closed_again(void **state)
{
    struct pal_runtime *runtime = load_with(TEST_PAL_DIR "/libpal-skeleton-v2.so", NULL, 0);
    int output, before = open_descriptors();
    int pid = spawn(runtime, (const char *const[]){"exit", "42", NULL}, &output);
    /* The number that the library has closed is taken by somebody else while pal_exec waits. */
    int mine[16];
    for (size_t i = 0; i < array_count(mine); i++)
        mine[i] = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    assert_int_equal(wait_exit(pid), W_EXITCODE(42, 0));
    close(output);
    for (size_t i = 0; i < array_count(mine); i++) {
        char byte;
        assert_int_equal(read(mine[i], &byte, 1), 1);
        close(mine[i]);
    }
    /* The thread of pal_exec tells the end before it gives back what it has. */
    for (int i = 0; i < 500 && open_descriptors() != before; i++)
        usleep(10000);
    assert_int_equal(open_descriptors(), before);
}

static void occlum_gives_statuses_of_wait(void **state)
{
    load_with(TEST_PAL_DIR "/libpal-occlum.so", NULL, -EINVAL);
    struct pal_runtime *runtime = load_with(TEST_PAL_DIR "/libpal-occlum.so", "/tmp", 0);
    static const struct {
        const char *program, *argument;
        int status;
    } cases[] = {{"exit", "0", 0}, {"exit", "3", W_EXITCODE(3, 0)}, {"die", "9", SIGKILL}};
    for (size_t i = 0; i < array_count(cases); i++) {
        int output;
        int pid = spawn(runtime, (const char *const[]){cases[i].program, cases[i].argument, NULL},
                        &output);
        assert_true(pid > 0);
        assert_int_equal(wait_exit(pid), cases[i].status);
        close(output);
    }
}

static void occlum_interrupts_its_threads_by_signal_64(void **state)
{
    static const int sent[] = {SIGTERM, SIGKILL, SIGINT}, seen[] = {SIGTERM, SIGKILL, SIGTERM};
    struct pal_runtime *runtime = load_with(TEST_PAL_DIR "/libpal-occlum.so", "/tmp", 0);
    for (size_t i = 0; i < array_count(sent); i++) {
        int output;
        int pid = spawn(runtime, (const char *const[]){"spin", NULL}, &output);
        assert_true(pid > 0);
        assert_int_equal(pal_runtime_kill(runtime, pid, SIGCHLD), -EINVAL);
        usleep(50000);
        assert_int_equal(pal_runtime_kill(runtime, pid, sent[i]), 0);
        assert_int_equal(wait_exit(pid), seen[i]);
        close(output);
    }
}

static void refused(const char *path, const char *part)
{
    struct error err = ERROR_INIT;
    struct pal_runtime *runtime = NULL;
    assert_true(pal_runtime_load(path, &runtime, &err) < 0);
    if (strstr(error_text(&err), part) == NULL || strstr(error_text(&err), path) == NULL)
        fail_msg("\"%s\" does not name \"%s\" and \"%s\"", error_text(&err), path, part);
    assert_null(strchr(error_text(&err), '\n'));
    error_release(&err);
}

static void test_refused(void **state)
{
    refused(TEST_PAL_DIR "/libpal-broken.so", "pal_create_process");
    refused(TEST_PAL_DIR "/libpal-future.so", "version 9");
    refused(TEST_PAL_DIR "/libpal-senseless.so", "version -1");
    refused(TEST_PAL_DIR "/libpal-none.so", "no such file");
    refused("libpal-v1.so", "absolute");
    refused("/etc/passwd", "enclave runtime");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_version_3),
        cmocka_unit_test(test_version_4),
        cmocka_unit_test(test_no_such_program),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(a_stderr_that_the_library_closes_is_not_closed_again),
        cmocka_unit_test(occlum_gives_statuses_of_wait),
        cmocka_unit_test(occlum_interrupts_its_threads_by_signal_64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
