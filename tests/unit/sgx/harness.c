/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const struct sgx_driver *g_driver;
static char g_root[32];

int harness_root(void)
{
    if (g_root[0])
        return 0;
    snprintf(g_root, sizeof(g_root), "/tmp/sgx-root.XXXXXX");
    if (!mkdtemp(g_root))
        return -1;
    return setenv("RUNE_SGX_EMULATOR_ROOT", g_root, 1);
}

int harness_open(void)
{
    struct error err = ERROR_INIT;

    if (harness_root() < 0)
        return -1;
    const char *type = getenv("SGX_TEST_DRIVER");
    g_driver = sgx_driver_open(type ? type : "simulatedSgx", &err);
    if (!g_driver)
        print_error("%s\n", error_text(&err));
    return g_driver ? 0 : -1;
}

int harness_close(void)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/root-key", g_root);
    unlink(path);
    int rc = rmdir(g_root);
    g_root[0] = '\0';
    return rc;
}

int harness_load(uint64_t base, int sites, const struct sgx_load_options *options,
                 struct sgx_enclave **out, struct error *err)
{
    int fd = memfd_create("enclave", MFD_CLOEXEC);
    struct sgx_sigstruct sigstruct;

    test_enclave_make(fd, base, sites, &sigstruct);
    int rc = sgx_enclave_load(g_driver, fd, &sigstruct, options, out, err);
    close(fd);
    return rc;
}

int harness_enter(struct sgx_enclave *e, unsigned i, unsigned function, struct test_call *c,
                  struct sgx_enclave_run *run)
{
    memset(run, 0, sizeof(*run));
    run->tcs = e->tcs[i];
    int rc = e->driver->enter((unsigned long)c, 0, 0, function, 0, 0, run);
    return rc < 0 ? rc : (int)run->function;
}

void harness_run(void **state)
{
    static const int signals[] = {SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGSYS};
    const struct sigaction plain = {.sa_handler = SIG_DFL};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        assert_int_equal(g_driver->sigaction(signals[i], &plain, NULL), 0);
    ((void (*)(void)) * state)();
}

void harness_run_emulated(void **state)
{
    if (!g_driver->emulated)
        skip();
    harness_run(state);
}
