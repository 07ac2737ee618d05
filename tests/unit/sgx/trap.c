/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RUNE_SGX_EMULATOR_TRAP: the instruction that the argument names is #UD in the enclave, and works
 * in host code, on the same thread too. Where the machine cannot do that, the message says so.
 */
#include "harness.h"

#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct sgx_enclave *g_enclave;
static bool g_cpuid;

static int setup(void **state)
{
    const struct sgx_load_options options = {.debug = true};
    struct error err = ERROR_INIT;

    return harness_open() < 0 || harness_load(UINT64_MAX, 0, &options, &g_enclave, &err) < 0 ? -1
                                                                                             : 0;
}

static int teardown(void **state)
{
    sgx_enclave_free(g_enclave);
    return harness_close();
}

static void is_undefined(enum test_instruction instruction, uint64_t size)
{
    struct test_call call = {TEST_INSTRUCTION, instruction}, skip = {TEST_SKIP, size};
    struct sgx_enclave_run run;

    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &call, &run), SGX_ERESUME);
    assert_int_equal(run.exception_vector, X86_UD);
    assert_int_equal(run.exception_error_code, 0);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &skip, &run), SGX_EEXIT);
    assert_int_equal(skip.result, SGX_EXITINFO_VALID | SGX_EXITINFO_TYPE_HARDWARE << 8 | X86_UD);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_ERESUME, &call, &run), SGX_EEXIT);
}

static void works(enum test_instruction instruction)
{
    struct test_call call = {TEST_INSTRUCTION, instruction};
    struct sgx_enclave_run run;

    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &call, &run), SGX_EEXIT);
    assert_int_not_equal(call.result, 0);
}

static void enclave_is_refused(void)
{
    if (g_cpuid) {
        is_undefined(TEST_CPUID, 2);
        works(TEST_RDTSC);
    } else {
        is_undefined(TEST_RDTSC, 2);
        is_undefined(TEST_RDTSCP, 3);
        works(TEST_CPUID);
    }
    /* another #GP stays one */
    struct test_call read = {TEST_READ, 0x8000000000000000ull}, skip = {TEST_SKIP, 3};
    struct sgx_enclave_run run;
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &read, &run), SGX_ERESUME);
    assert_int_equal(run.exception_vector, X86_GP);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &skip, &run), SGX_EEXIT);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_ERESUME, &read, &run), SGX_EEXIT);
}

static void host_is_served(void)
{
    unsigned max = __get_cpuid_max(0, NULL), a, b, c, d, low, high, aux;
    struct timespec before, after;

    assert_true(max >= 1);
    assert_true(__get_cpuid(1, &a, &b, &c, &d) && (d & bit_SSE2));
    uint64_t first = __builtin_ia32_rdtsc();
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &before), 0); /* the vDSO's RDTSC */
    assert_int_equal(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &after), 0);
    assert_true(after.tv_sec - before.tv_sec < 5);
    __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
    assert_true(((uint64_t)high << 32 | low) > first);
}

/* cmocka looks at the clock between tests, when the handlers are not the emulator's: so that its
 * own thread must never enter. */
static void *run(void *arg)
{
    host_is_served();
    enclave_is_refused();
    host_is_served();
    return NULL;
}

static void instruction_is_undefined(void)
{
    pthread_t threads[2];

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, NULL), 0);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void is_said(void **state)
{
    struct error err = ERROR_INIT;

    assert_null(sgx_driver_open("simulatedSgx", &err));
    assert_non_null(strstr(error_text(&err), "RUNE_SGX_EMULATOR_TRAP has cpuid, but this"));
    setenv("RUNE_SGX_EMULATOR_TRAP", "rdtsc,cpu", 1);
    assert_null(sgx_driver_open("simulatedSgx", &err));
    assert_non_null(strstr(error_text(&err), "a list of cpuid and rdtsc"));
    setenv("RUNE_SGX_EMULATOR_FEATURES", "sgx2", 1);
    setenv("RUNE_SGX_EMULATOR_TRAP", "rdtsc", 1);
    assert_null(sgx_driver_open("simulatedSgx", &err));
    assert_non_null(strstr(error_text(&err), "RUNE_SGX_EMULATOR_FEATURES=sgx1"));
    error_release(&err);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {TEST(instruction_is_undefined)};
    const struct CMUnitTest without[] = {cmocka_unit_test(is_said)};

    if (argc < 2)
        return 2;
    g_cpuid = strcmp(argv[1], "cpuid") == 0;
    setenv("RUNE_SGX_EMULATOR_TRAP", argv[1], 1);
    if (g_cpuid && syscall(SYS_arch_prctl, 0x1012 /* ARCH_SET_CPUID */, 1) < 0)
        return cmocka_run_group_tests_name("no CPUID faulting", without, NULL, NULL);
    return cmocka_run_group_tests_name(argv[1], tests, setup, teardown);
}
