/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program pays for sgx-emulate: system calls, and EENTER with EEXIT by an ENCLU of its own.
 * Without the argument "enclave" system calls only, for the peer outside. Prints one number (ns) a
 * line, judges nothing; sgx-emulate.sh makes the table.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../unit/sgx/raw.h"

enum { ROUNDS = 20000, BATCHES = 9 };

const struct sgx_driver *g_driver; /* harness.h */
static struct sgx_enclave *g_enclave;
static volatile long g_number = SYS_getppid;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* libc's form: mov $n, %eax; syscall. */
static void by_libc(void)
{
    getppid();
}

/* The number comes from elsewhere, so that there is no mov to rewrite. */
static void by_number(void)
{
    raw(g_number);
}

static void enter_and_exit(void)
{
    if (raw_call(g_enclave, 0, TEST_ADD, 40, 2) != 42)
        abort();
}

/* The best of a few batches: others use the machine, too. */
static double best(void (*what)(void))
{
    double least = 1e18;

    for (int batch = 0; batch < BATCHES; batch++) {
        const double start = now();
        for (int i = 0; i < ROUNDS; i++)
            what();
        const double each = (now() - start) / ROUNDS;
        if (each < least)
            least = each;
    }
    return least;
}

static void load(void)
{
    const struct sgx_load_options options = {.debug = true};
    struct sgx_sigstruct sigstruct;
    struct error err = ERROR_INIT;
    const int fd = memfd_create("enclave", MFD_CLOEXEC);

    test_enclave_make(fd, UINT64_MAX, 0, &sigstruct);
    if (sgx_enclave_load(&g_raw_driver, fd, &sigstruct, &options, &g_enclave, &err) < 0)
        error_fatal(&err);
    close(fd);
}

int main(int argc, char **argv)
{
    const bool enclave = argc > 1 && strcmp(argv[1], "enclave") == 0;

    printf("%.0f\n%.0f\n", best(by_libc), best(by_number));
    if (!enclave)
        return 0;
    load();
    printf("%.0f\n%.0f\n%.0f\n", best(by_libc), best(by_number), best(enter_and_exit));
    return 0;
}
