/* SPDX-License-Identifier: Apache-2.0 */
/* Loading by the emulated driver: where an enclave may be, and what ECREATE and EINIT refuse. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sgx/sigstruct.h"

static int g_file = -1;
static struct sgx_sigstruct g_sigstruct; /* of the file */

static int setup(void **state)
{
    g_file = memfd_create("enclave", MFD_CLOEXEC);
    test_enclave_make(g_file, UINT64_MAX, 0, &g_sigstruct);
    return harness_open();
}

static int teardown(void **state)
{
    close(g_file);
    return harness_close();
}

static void loads_at_zero(void)
{
    const struct sgx_load_options options = {.debug = true};
    struct error err = ERROR_INIT;
    struct sgx_enclave *e = NULL;
    struct test_call call = {TEST_ADD, 1, 2, 0, 0, 0};
    struct sgx_enclave_run run;

    assert_int_equal(harness_load(0, 0, &options, &e, &err), 0);
    assert_int_equal(e->base, 0);
    assert_int_equal(harness_enter(e, 5, SGX_EENTER, &call, &run), SGX_EEXIT);
    assert_int_equal(call.result, 3);
    /* ELRANGE at 0 is below everything: a system call traps with every kernel */
    call.command = TEST_SYSCALL;
    assert_int_equal(harness_enter(e, 5, SGX_EENTER, &call, &run), SGX_ERESUME);
    assert_int_equal(run.exception_vector, X86_UD);
    sgx_enclave_free(e);
}

static void refuses_what_was_not_signed(void)
{
    const struct sgx_load_options options = {0};
    struct sgx_sigstruct s = g_sigstruct;
    struct error err = ERROR_INIT;
    struct sgx_enclave *e = NULL;

    s.mrenclave[3] ^= 1;
    assert_true(sgx_enclave_load(g_driver, g_file, &s, &options, &e, &err) < 0);
    s = g_sigstruct;
    s.isv_svn++;
    assert_true(sgx_enclave_load(g_driver, g_file, &s, &options, &e, &err) < 0);
    assert_non_null(strstr(error_text(&err), "signature"));

    /* each of EINIT's error codes, and what Linux refuses before */
    const struct {
        uint8_t *field;
        int rc;
        const char *part;
    } codes[] = {
        {(uint8_t *)&s.vendor, -EINVAL, "vendor"},
        {&s.header[4], -EPERM, "SGX_INVALID_SIG_STRUCT"},
        {(uint8_t *)&s.exponent, -EPERM, "SGX_INVALID_SIG_STRUCT"},
        {&s.q1[9], -EPERM, "SGX_INVALID_SIG_STRUCT"},
        {&s.q2[9], -EPERM, "SGX_INVALID_SIG_STRUCT"},
        {&s.reserved4[3], -EPERM, "SGX_INVALID_SIG_STRUCT"},
        {&s.signature[9], -EPERM, "SGX_INVALID_SIGNATURE"},
        {&s.mrenclave[9], -EPERM, "SGX_INVALID_SIGNATURE"},
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        s = g_sigstruct;
        *codes[i].field ^= 2;
        assert_int_equal(sgx_enclave_load(g_driver, g_file, &s, &options, &e, &err), codes[i].rc);
        assert_non_null(strstr(error_text(&err), codes[i].part));
    }
    s = g_sigstruct;

    /* a changed page: the SIGSTRUCT is right, the enclave is not */
    int fd = memfd_create("changed", MFD_CLOEXEC);
    uint8_t page[4096];
    off_t at = 0;
    for (ssize_t n; (n = pread(g_file, page, sizeof(page), at)) > 0; at += n)
        assert_int_equal(write(fd, page, n), n);
    struct enclave_file *file = NULL;
    assert_int_equal(enclave_file_open(g_file, &file, &err), 0);
    assert_int_equal(pwrite(fd, "x", 1, (off_t)file->ranges[0].file_offset + 4000), 1);
    enclave_file_close(file);
    assert_true(sgx_enclave_load(g_driver, fd, &g_sigstruct, &options, &e, &err) < 0);
    assert_non_null(strstr(error_text(&err), "SGX_INVALID_MEASUREMENT"));
    close(fd);
    error_release(&err);
}

/* A SECS that ECREATE, or Linux before it, does not take. */
static void refuses_a_bad_secs(void)
{
    const struct sgx_secs right = {
        .size = TEST_SIZE, .ssa_frame_size = 1, .attributes = {SGX_ATTR_MODE64, SGX_XFRM_LEGACY}};
    struct sgx_secs s;
    struct error err = ERROR_INIT;
    const struct {
        void *field;
        uint64_t value;
    } wrong[] = {
        {&s.attributes.flags, 0},
        {&s.attributes.flags, SGX_ATTR_MODE64 | SGX_ATTR_CET},
        {&s.attributes.flags, SGX_ATTR_MODE64 | 1ull << 3},
        {&s.attributes.flags, SGX_ATTR_MODE64 | 1ull << 40},
        {&s.attributes.xfrm, 1},
        {&s.attributes.xfrm, SGX_XFRM_LEGACY | SGX_XFRM_AVX512},
        {&s.attributes.xfrm, SGX_XFRM_LEGACY | SGX_XFRM_AVX | 1ull << 5},
        {&s.attributes.xfrm, SGX_XFRM_LEGACY | SGX_XFRM_AMX},
        {&s.attributes.xfrm, SGX_XFRM_LEGACY | 1ull << 63},
        {&s.size, 2 * TEST_SIZE},
    };

    for (size_t i = 0; i <= sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct sgx_handle *h = NULL;
        const bool last = i == sizeof(wrong) / sizeof(wrong[0]);
        s = right;
        assert_int_equal(g_driver->open(&h, &err), 0);
        assert_int_equal(g_driver->reserve(h, 0, TEST_SIZE, true, &s.base, &err), 0);
        if (!last)
            memcpy(wrong[i].field, &wrong[i].value, sizeof(wrong[i].value));
        assert_int_equal(g_driver->create(h, &s, &err), last ? 0 : -EINVAL);
        g_driver->close(h);
    }
    error_release(&err);
}

/* The provisioning key is for who was granted it. */
static void provisioning_is_granted(void)
{
    struct error err = ERROR_INIT;
    struct sgx_handle *h = NULL;
    struct sgx_secs s = {.size = TEST_SIZE,
                         .ssa_frame_size = 1,
                         .attributes = {SGX_ATTR_MODE64 | SGX_ATTR_PROVISION_KEY, SGX_XFRM_LEGACY}};

    assert_int_equal(g_driver->open(&h, &err), 0);
    assert_int_equal(g_driver->reserve(h, 0, TEST_SIZE, true, &s.base, &err), 0);
    assert_int_equal(g_driver->create(h, &s, &err), 0);
    assert_int_equal(g_driver->init(h, &g_sigstruct, &err), -EACCES);
    assert_int_equal(g_driver->provision(h, &err), 0);
    assert_int_equal(g_driver->init(h, &g_sigstruct, &err), -EPERM); /* now it is the measurement */
    g_driver->close(h);
    error_release(&err);
}

static void production_enclave_refuses_debug(void)
{
    const struct sgx_load_options debug = {.debug = true}, plain = {.kss = true};
    char dir[] = "/tmp/sgx-key.XXXXXX", path[64];
    struct error err = ERROR_INIT;
    struct sgx_enclave *e = NULL;
    struct sgx_sign_params params;
    struct sgx_sigstruct s;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/key", dir);
    assert_int_equal(sgx_key_generate(path, &err), 0);
    assert_int_equal(sgx_sign_params_from_file(g_file, false, &params, &err), 0);
    sgx_sigstruct_fill(&params, &s);
    assert_int_equal(sgx_sigstruct_sign(&s, path, &err), 0);
    unlink(path);
    rmdir(dir);
    assert_int_equal(sgx_enclave_load(g_driver, g_file, &s, &debug, &e, &err), -EPERM);
    assert_non_null(strstr(error_text(&err), "attributes"));
    assert_int_equal(sgx_enclave_load(g_driver, g_file, &s, &plain, &e, &err), 0);
    sgx_enclave_free(e);
    error_release(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMULATED(loads_at_zero),
        EMULATED(refuses_what_was_not_signed),
        EMULATED(refuses_a_bad_secs),
        EMULATED(provisioning_is_granted),
        EMULATED(production_enclave_refuses_debug),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
