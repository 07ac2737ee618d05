/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the enclave file of enclave.c. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "enclave.h"
#include "sgx/enclave_file.h"
#include "sgx/sigstruct.h"

static void check(int rc, struct error *err)
{
    if (rc < 0) {
        fprintf(stderr, "test enclave: %s\n", error_text(err));
        abort();
    }
}

uint64_t g_test_attributes;

static void add_thread(struct enclave_file_builder *b, unsigned i, struct error *err)
{
    struct sgx_tcs tcs;

    memset(&tcs, 0, sizeof(tcs));
    tcs.oentry = TEST_CODE + (uint64_t)((const uint8_t *)test_enclave_entry - __start_enclave_text);
    tcs.ossa = TEST_SSA(i);
    tcs.nssa = TEST_NSSA;
    tcs.flags = g_test_attributes & SGX_ATTR_AEX_NOTIFY ? SGX_TCS_AEXNOTIFY : 0;
    tcs.ofsbasgx = TEST_TLS(i);
    tcs.ogsbasgx = TEST_TLS(i);
    tcs.fslimit = tcs.gslimit = 0xfff;
    check(enclave_file_builder_add(b, TEST_TCS(i), sizeof(tcs), &tcs, sizeof(tcs), ENCLAVE_FILE_TCS,
                                   ENCLAVE_FILE_MEASURED, err),
          err);
    check(enclave_file_builder_add(b, TEST_SSA(i), (TEST_NSSA + 2) * SGX_PAGE_SIZE, NULL, 0,
                                   ENCLAVE_FILE_REG | ENCLAVE_FILE_R | ENCLAVE_FILE_W,
                                   ENCLAVE_FILE_MEASURED, err),
          err);
}

void test_enclave_make(int fd, uint64_t base, int sites, struct sgx_sigstruct *sigstruct)
{
    struct enclave_file_header h = {
        .base = base == UINT64_MAX ? 0 : base,
        .flags = base == UINT64_MAX ? ENCLAVE_FILE_ANY_BASE : 0,
        .size = TEST_SIZE,
        .attributes = SGX_ATTR_MODE64 | g_test_attributes,
        .xfrm = 0xe7,
        .miscselect = SGX_MISC_EXINFO,
        .ssa_frame_size = 1,
        .isv_prod_id = 7,
        .isv_svn = 3,
        .trampoline_offset = sites ? TEST_TRAMPOLINE : 0,
    };
    struct enclave_file_builder *b = NULL;
    struct sgx_sign_params params;
    struct error err = ERROR_INIT;
    char dir[] = "/tmp/sgx-test.XXXXXX", path[64];

    check(enclave_file_builder_new(&h, &b, &err), &err);
    size_t size = (size_t)(__stop_enclave_text - __start_enclave_text);
    check(enclave_file_builder_add(b, TEST_CODE, size, __start_enclave_text, size,
                                   ENCLAVE_FILE_REG | ENCLAVE_FILE_R | ENCLAVE_FILE_X,
                                   ENCLAVE_FILE_MEASURED, &err),
          &err);
    check(enclave_file_builder_add(b, TEST_DATA, 2 * SGX_PAGE_SIZE, NULL, 0,
                                   ENCLAVE_FILE_REG | ENCLAVE_FILE_R | ENCLAVE_FILE_W, 0, &err),
          &err);
    for (unsigned i = 0; i < TEST_TCS_COUNT; i++)
        add_thread(b, i, &err);
    if (sites) {
        check(enclave_file_builder_add_site(
                  b, TEST_CODE + (uint64_t)(test_enclave_sites - __start_enclave_text), &err),
              &err);
        check(enclave_file_builder_add_site(
                  b, TEST_CODE + (uint64_t)(test_enclave_sites_end - __start_enclave_text), &err),
              &err);
    }
    check(enclave_file_builder_write(b, fd, &err), &err);
    enclave_file_builder_free(b);

    check(sgx_sign_params_from_file(fd, true, &params, &err), &err);
    sgx_sigstruct_fill(&params, sigstruct);
    if (!mkdtemp(dir))
        abort();
    snprintf(path, sizeof(path), "%s/key.pem", dir);
    check(sgx_key_generate(path, &err), &err);
    check(sgx_sigstruct_sign(sigstruct, path, &err), &err);
    unlink(path);
    rmdir(dir);
}
