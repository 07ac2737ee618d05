/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host side as enclave runtimes of others have it: system calls by instructions of its own,
 * ELRANGE mapped before ECREATE, ENCLU outside of the vDSO, threads without a TLS.
 */
#pragma once

#include <signal.h>
#include <stdint.h>

#include "harness.h"

/* -errno for an error. */
long raw(long number, ...);

/* The device by raw(); its `map` does nothing for a hole, which is mapped since before ECREATE. */
extern const struct sgx_driver g_raw_driver;
int raw_device(struct sgx_handle *h);

/* EENTER with our own ENCLU: returns after EEXIT. An AEX goes to raw_aep, an ENCLU. */
void raw_enter(uint64_t tcs, struct test_call *call);
extern const char raw_aep[], raw_eenter[];
uint64_t raw_call(const struct sgx_enclave *e, unsigned slot, enum test_command command, uint64_t a,
                  uint64_t b);

/* The vDSO's function, whose enclave may leave with any registers. */
int raw_vdso(vdso_sgx_enter_enclave_t enter, struct test_call *call, unsigned function,
             struct sgx_enclave_run *run);

/*
 * A thread by clone without CLONE_SETTLS, so with the FS base of its maker. It ends with
 * run(argument). Returns a word that becomes 0 when it is gone.
 */
volatile int *raw_thread(void (*run)(void *), void *argument);
void raw_wait(volatile int *thread);

typedef void raw_handler(int signo, siginfo_t *info, void *context);
/* rt_sigaction with a restorer of our own, whatever the signal. */
long raw_sigaction(int signo, raw_handler *handler, unsigned long flags);
