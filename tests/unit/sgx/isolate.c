/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RUNE_SGX_EMULATOR_ISOLATE: what the host does with enclave memory ends the process and says
 * where. The mode is the program's argument, keys or pages; each access is made by a child.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED 77

static struct sgx_enclave *g_enclave;
static bool g_keys;
static volatile uint64_t g_flag;
static char g_said[1024];

static volatile uint64_t *inside(uint64_t offset)
{
    return (volatile uint64_t *)(g_enclave->base + offset);
}

static uint64_t call(unsigned slot, enum test_command command, uint64_t a, uint64_t b)
{
    struct test_call c = {command, a, b, 1, 0, 0};
    struct sgx_enclave_run run;

    if (harness_enter(g_enclave, slot, SGX_EENTER, &c, &run) != SGX_EEXIT)
        _exit(3);
    return c.result;
}

/* Everything that leaves the enclave: EEXIT, an exception, an interrupt. */
static void use_enclave(void)
{
    const uint64_t page = g_enclave->base + TEST_HOLE;
    struct test_call bad = {TEST_UD2}, skip = {TEST_SKIP, 2};
    struct sgx_enclave_run run;

    if (call(0, TEST_ADD, 40, 2) != 42)
        _exit(4);
    call(0, TEST_WRITE, g_enclave->base + TEST_DATA, 7);
    if (call(0, TEST_ACCEPT_MANY, page, 0) != 0)
        _exit(5);
    call(0, TEST_WRITE, page, 9);
    if (call(0, TEST_READ, page, 0) != 9)
        _exit(6);
    if (harness_enter(g_enclave, 0, SGX_EENTER, &bad, &run) != SGX_ERESUME ||
        harness_enter(g_enclave, 0, SGX_EENTER, &skip, &run) != SGX_EEXIT ||
        harness_enter(g_enclave, 0, SGX_ERESUME, &bad, &run) != SGX_EEXIT)
        _exit(7);
}

static int run_child(void (*access)(void), int *said)
{
    int pipe_[2], status = 0;

    assert_int_equal(pipe(pipe_), 0);
    assert_int_equal(harness_root(), 0);
    pid_t pid = fork();
    if (pid == 0) {
        const struct sgx_load_options options = {.debug = true};
        struct error err = ERROR_INIT;
        dup2(pipe_[1], STDERR_FILENO);
        if (harness_open() < 0 || harness_load(UINT64_MAX, 0, &options, &g_enclave, &err) < 0)
            _exit(2);
        use_enclave();
        access();
        sgx_enclave_free(g_enclave);
        _exit(0);
    }
    close(pipe_[1]);
    ssize_t size = 0, n;
    while ((n = read(pipe_[0], g_said + size, sizeof(g_said) - 1 - (size_t)size)) > 0)
        size += n;
    g_said[size] = '\0';
    close(pipe_[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(harness_close(), 0); /* the child may not have come so far */
    *said = (int)size;
    return status;
}

static void nothing_to_find(void)
{
}

static void good_host_is_left_alone(void **state)
{
    int said, status = run_child(nothing_to_find, &said);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void ends_with(void (*access)(void), const char *what)
{
    int said, status = run_child(access, &said);

    if (!WIFSIGNALED(status) || !strstr(g_said, what))
        print_error("status %#x, \"%s\"\n", status, g_said);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(g_said, "host code touched enclave memory: "));
    assert_non_null(strstr(g_said, what));
    assert_non_null(strstr(g_said, "test-sgx-isolate+0x")); /* where */
    assert_non_null(strchr(g_said, '\n'));
    assert_int_equal(strchr(g_said, '\n')[1], '\0'); /* one line */
}

static void read_data(void)
{
    g_flag = *inside(TEST_DATA);
}

static void write_data(void)
{
    *inside(TEST_DATA + 8) = 1;
}

static void read_frame(void)
{
    g_flag = *inside(TEST_SSA(0) + 8);
}

static void read_code(void)
{
    g_flag = *inside(TEST_CODE);
}

static void read_hole(void)
{
    g_flag = *inside(TEST_HOLE + 0x100000);
}

static void finds_reads_and_writes(void **state)
{
    ends_with(read_data, "a read of ");
    ends_with(write_data, "a write of ");
    ends_with(read_frame, "a read of ");
    ends_with(read_code, "a read of ");
    ends_with(read_hole, "a read of ");
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
    read_data();
}

/* The host's handler of a signal that hit the enclave, on either stack. */
static void interrupt_with(int flags)
{
    const struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};

    if (g_driver->sigaction(SIGALRM, &act, NULL) < 0)
        _exit(8);
    alarm(1);
    g_flag = 0;
    call(0, TEST_SPIN, (uint64_t)&g_flag, 0);
}

static void interrupt(void)
{
    interrupt_with(0);
}

static void interrupt_on_stack(void)
{
    interrupt_with(SA_ONSTACK);
}

static void finds_handlers(void **state)
{
    ends_with(interrupt, "a read of ");
    ends_with(interrupt_on_stack, "a read of ");
}

static void *spin(void *arg)
{
    call(1, TEST_SPIN, (uint64_t)&g_flag, 0);
    return NULL;
}

/* While another thread is inside. */
static void read_beside(void)
{
    pthread_t thread;

    g_flag = 0;
    pthread_create(&thread, NULL, spin, NULL);
    usleep(200000);
    read_data();
    g_flag = 1;
    pthread_join(thread, NULL);
}

static void finds_what_is_done_beside(void **state)
{
    if (!g_keys)
        skip(); /* found only where the other thread has not used the page */
    ends_with(read_beside, "a read of ");
}

static void system_call(void)
{
    int pipe_[2];

    if (pipe(pipe_) < 0 || write(pipe_[1], "12345678", 8) != 8)
        _exit(9);
    errno = 0;
    if (read(pipe_[0], (void *)inside(TEST_DATA), 8) != -1 || errno != EFAULT)
        _exit(10);
    if (write(pipe_[1], (void *)inside(TEST_DATA), 8) != -1 || errno != EFAULT)
        _exit(11);
    if (call(0, TEST_ADD, 1, 2) != 3)
        _exit(12);
}

static void system_calls_fail(void **state)
{
    int said, status = run_child(system_call, &said);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void unknown_modes_are_refused(void **state)
{
    char mode[16];

    snprintf(mode, sizeof(mode), "%s", getenv("RUNE_SGX_EMULATOR_ISOLATE"));
    setenv("RUNE_SGX_EMULATOR_ISOLATE", "some", 1);
    int said, status = run_child(nothing_to_find, &said);
    setenv("RUNE_SGX_EMULATOR_ISOLATE", mode, 1);
    assert_int_equal(WEXITSTATUS(status), 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_host_is_left_alone), cmocka_unit_test(finds_reads_and_writes),
        cmocka_unit_test(finds_handlers),          cmocka_unit_test(finds_what_is_done_beside),
        cmocka_unit_test(system_calls_fail),       cmocka_unit_test(unknown_modes_are_refused),
    };

    if (argc < 2)
        return 2;
    g_keys = strcmp(argv[1], "keys") == 0;
    int key = g_keys ? pkey_alloc(0, 0) : 0;
    if (key < 0) {
        printf("no protection keys here: tests/conformance/vm.sh has them\n");
        return SKIPPED;
    }
    if (g_keys)
        pkey_free(key);
    setenv("RUNE_SGX_EMULATOR_ISOLATE", argv[1], 1);
    return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}
