/* SPDX-License-Identifier: Apache-2.0 */
/* What the SGX tests share: the driver under test, loading the test enclave, entering it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "enclave.h"
#include "sgx/loader.h"

/* The emulated one, or that which SGX_TEST_DRIVER names. */
extern const struct sgx_driver *g_driver;

/*
 * Open the driver, with a root directory of its own for the emulator's keys; undo that. 0 or -1.
 * harness_root() makes the directory alone, for a parent whose child opens the driver and may be
 * killed: the parent closes.
 */
int harness_root(void);
int harness_open(void);
int harness_close(void);

/* A test enclave of its own; `sites` as for test_enclave_make(). */
int harness_load(uint64_t base, int sites, const struct sgx_load_options *options,
                 struct sgx_enclave **out, struct error *err);

/* Enter on thread slot `i`; the function that was left by is returned, negative for an error of
 * enter itself. All entries from one place: the enclave leaves with the stack pointer of the
 * first. */
int harness_enter(struct sgx_enclave *e, unsigned i, unsigned function, struct test_call *c,
                  struct sgx_enclave_run *run);

/*
 * cmocka takes SIGSEGV and its like around every test; the emulator must have them. What a test
 * asserts inside a handler's reach still ends the program. *state is the test.
 */
void harness_run(void **state);
/* Of the emulator alone, or with a second enclave, which the stand-in for the device has no room
 * for. */
void harness_run_emulated(void **state);

#define TEST(name)                                   \
    {                                                \
#name, harness_run, NULL, NULL, (void *)name \
    }
#define EMULATED(name)                                        \
    {                                                         \
#name, harness_run_emulated, NULL, NULL, (void *)name \
    }
