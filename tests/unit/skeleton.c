/* SPDX-License-Identifier: Apache-2.0 */
/* The skeleton runtime with its real enclave, on whatever SGX the machine has: hello, echo, cat, a
 * local report. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pal_exit.h"
#include "sgx_arch.h"

static struct pal_runtime *g_runtime;

static void on_log(void *context, int level, const char *message)
{
    if (level <= 1)
        print_message("log %d: %s\n", level, message);
}

static void set_up(void)
{
    struct error err = ERROR_INIT;
    struct pal_init_args_v4 args = {
        .size = sizeof(args), .enclave_type = "simulatedSgx", .event = on_event, .log = on_log};
    if (pal_runtime_load(SKELETON, &g_runtime, &err) < 0 ||
        pal_runtime_init(g_runtime, &args, &err) < 0)
        fail_msg("%s", error_text(&err));
}

/* Run argv with `input` on stdin; its output goes to `output`. Returns the wait status. */
static int run(const char *const *argv, const char *input, char *output, size_t room)
{
    static const char *const env[] = {NULL};
    int in[2], out[2], pid = 0;
    struct error err = ERROR_INIT;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    struct pal_process_args_v4 args = {
        .size = sizeof(args), .argv = argv, .env = env, .stdio = {in[0], out[1], STDERR_FILENO}};
    if (pal_runtime_create_process(g_runtime, &args, &pid, &err) < 0 ||
        pal_runtime_start(g_runtime, pid, &err) < 0)
        fail_msg("%s", error_text(&err));
    close(in[0]);
    close(out[1]);
    assert_int_equal(write(in[1], input, strlen(input)), strlen(input));
    close(in[1]);
    size_t size = 0;
    ssize_t got;
    while ((got = read(out[0], output + size, room - 1 - size)) > 0)
        size += (size_t)got;
    output[size] = '\0';
    close(out[0]);
    return wait_exit(pid);
}

static void programs(void)
{
    char output[8192];
    assert_int_equal(run((const char *const[]){"hello", NULL}, "", output, sizeof(output)), 0);
    assert_string_equal(output, "hello, world, from inside the enclave\n");
    assert_int_equal(
        run((const char *const[]){"/bin/echo", "a", "", "b c", NULL}, "", output, sizeof(output)),
        0);
    assert_string_equal(output, "a  b c\n");
    assert_int_equal(run((const char *const[]){"cat", NULL}, "one\ntwo\n", output, sizeof(output)),
                     0);
    assert_string_equal(output, "one\ntwo\n");
    assert_int_equal(run((const char *const[]){"exit", "42", NULL}, "", output, sizeof(output)),
                     W_EXITCODE(42, 0));
    assert_int_equal(run((const char *const[]){"nothing", NULL}, "", output, sizeof(output)),
                     W_EXITCODE(127, 0));
}

static void local_report(void)
{
    struct sgx_targetinfo target = {0};
    struct sgx_report report;
    struct pal_info_v4 info;
    int size = sizeof(report);
    assert_int_equal(pal_runtime_info(g_runtime, &info), 0);
    assert_int_equal(pal_runtime_report(g_runtime, &target, sizeof(target), &report, &size), 0);
    assert_int_equal(size, sizeof(report));
    assert_memory_equal(report.body.mrenclave, info.mrenclave, 32);
    assert_memory_equal(report.body.mrsigner, info.mrsigner, 32);
    assert_string_equal((char *)report.body.report_data, "rune skeleton");
    static const uint8_t zero[32];
    assert_memory_not_equal(report.mac, zero, sizeof(report.mac));
    /* Another target, another MAC: the key is the target's. */
    struct sgx_report other;
    target.mrenclave[0] = 1;
    assert_int_equal(pal_runtime_report(g_runtime, &target, sizeof(target), &other, &size), 0);
    assert_memory_not_equal(report.mac, other.mac, sizeof(report.mac));
    size = 100;
    assert_int_equal(pal_runtime_report(g_runtime, &target, sizeof(target), &other, &size),
                     -EINVAL);
}

/* One test: cmocka puts its own handlers for SIGILL and SIGSEGV in place at the start of each. */
static void test_skeleton(void **state)
{
    set_up();
    programs();
    local_report();
    assert_int_equal(pal_runtime_destroy(g_runtime), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_skeleton)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
