/* SPDX-License-Identifier: Apache-2.0 */
/* Times of the emulated driver, each over a plain getppid in the same run. Prints, judges
 * nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../unit/sgx/enclave.h"
#include "base/error.h"
#include "sgx/loader.h"

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct sgx_enclave *g_enclave;

static void call(uint64_t command, uint64_t a, uint64_t c)
{
    struct test_call t = {command, a, 1, c, 0, 0};
    struct sgx_enclave_run run = {.tcs = g_enclave->tcs[0]};

    if (g_enclave->driver->enter((unsigned long)&t, 0, 0, SGX_EENTER, 0, 0, &run) != 0 ||
        run.function != SGX_EEXIT)
        abort();
}

/* An exception, its handler at CSSA 1, and ERESUME: what a demand-paged access costs. */
static void except(void)
{
    /* a write to code: mov %rdx, (%rax), three bytes */
    struct test_call t = {TEST_WRITE | TEST_BY_SITE, g_enclave->base + TEST_CODE, 0, 0, 0, 0};
    struct test_call skip = {TEST_SKIP | TEST_BY_SITE, 3, 0, 0, 0, 0};
    struct sgx_enclave_run run = {.tcs = g_enclave->tcs[0]};
    vdso_sgx_enter_enclave_t enter = g_enclave->driver->enter;

    if (enter((unsigned long)&t, 0, 0, SGX_EENTER, 0, 0, &run) != 0 || run.function != SGX_ERESUME)
        abort();
    if (enter((unsigned long)&skip, 0, 0, SGX_EENTER, 0, 0, &run) != 0)
        abort();
    if (enter(0, 0, 0, SGX_ERESUME, 0, 0, &run) != 0 || run.function != SGX_EEXIT)
        abort();
}

static void print(const char *what, double each, double unit)
{
    printf("%-44s %9.0f ns  %7.2f x getppid\n", what, each, each / unit);
}

int main(void)
{
    const unsigned rounds = 100000, pages = 1500;
    const struct sgx_load_options options = {.debug = true};
    struct error err = ERROR_INIT;
    struct sgx_sigstruct sigstruct;
    int fd = memfd_create("enclave", MFD_CLOEXEC);
    const struct sgx_driver *driver = sgx_driver_open("simulatedSgx", &err);

    test_enclave_make(fd, 0, 1, &sigstruct);
    if (!driver || sgx_enclave_load(driver, fd, &sigstruct, &options, &g_enclave, &err) < 0)
        error_fatal(&err);
    double start = now();
    for (unsigned i = 0; i < rounds; i++)
        syscall(SYS_getppid);
    double unit = (now() - start) / rounds;
    call(TEST_ADD, 0, 0);
    print("getppid", unit, unit);
    start = now();
    for (unsigned i = 0; i < rounds; i++)
        call(TEST_ADD, 1, 0);
    print("EENTER and EEXIT, ENCLU by SIGILL", (now() - start) / rounds, unit);
    start = now();
    for (unsigned i = 0; i < rounds; i++)
        call(TEST_SITE_ADD, 0, 0);
    print("EENTER and EEXIT, rewritten site", (now() - start) / rounds, unit);
    start = now();
    for (unsigned i = 0; i < rounds; i++)
        except();
    print("page fault, handler at CSSA 1, ERESUME", (now() - start) / rounds, unit);
    uint64_t hole = g_enclave->base + TEST_HOLE;
    start = now();
    call(TEST_ACCEPT_MANY, hole, pages);
    print("EACCEPT of a page, ENCLU by SIGILL", (now() - start) / pages, unit);
    hole += pages * SGX_PAGE_SIZE;
    start = now();
    call(TEST_SITE_ADD, hole, pages / 4);
    print("EACCEPT of a page, rewritten site", (now() - start) / (pages / 4), unit);
    start = now();
    for (unsigned i = 0; i < pages / 4; i++)
        call(TEST_WRITE, hole + i * SGX_PAGE_SIZE, 0);
    print("first write to an accepted page (and an entry)", (now() - start) / (pages / 4), unit);
    sgx_enclave_free(g_enclave);
    return 0;
}
