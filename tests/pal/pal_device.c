/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A version 2 library that uses the SGX device as genuine ones do: it looks for it in a constructor
 * and ends the process without it; its programs are one addition in an enclave.
 */
#define PAL_VERSION 2
#include "pal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit/sgx/raw.h"

const struct sgx_driver *g_driver; /* harness.h */
static struct sgx_enclave *g_enclave;

__attribute__((constructor)) static void look_for_device(void)
{
    struct stat st;

    if (stat("/dev/sgx_enclave", &st) < 0) {
        fprintf(stderr, "no SGX device\n");
        exit(1);
    }
}

int pal_get_version(void)
{
    return 2;
}

int pal_init(pal_attr_v1_t *attr)
{
    const struct sgx_load_options options = {.debug = true};
    struct sgx_sigstruct sigstruct;
    struct error err = ERROR_INIT;
    const int fd = memfd_create("enclave", MFD_CLOEXEC);

    (void)attr;
    test_enclave_make(fd, UINT64_MAX, 0, &sigstruct);
    const int rc = sgx_enclave_load(&g_raw_driver, fd, &sigstruct, &options, &g_enclave, &err);
    if (rc < 0)
        fprintf(stderr, "%s\n", error_text(&err));
    error_release(&err);
    close(fd);
    return rc;
}

int pal_create_process(pal_create_process_args *args)
{
    *args->pid = 1;
    return strcmp(args->argv[0], "add") == 0 ? 0 : -ENOENT;
}

int pal_exec(pal_exec_args *args)
{
    *args->exit_value = (int)raw_call(g_enclave, 0, TEST_ADD, 40, 2);
    return 0;
}

int pal_kill(int pid, int sig)
{
    (void)pid;
    (void)sig;
    return 0;
}

int pal_destroy(void)
{
    sgx_enclave_free(g_enclave);
    return 0;
}
