/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host program may know about emulated enclaves of its machine. On hardware only the
 * processor can do this; here it is how the simulated quoting service checks a report before it
 * signs a quote for the simulation root.
 */
#pragma once

#include <stdint.h>

#include "sgx_arch.h"

struct error;

/*
 * 0 when `report` was made on this machine, by an emulated enclave, for `target`. -EPERM when the
 * MAC does not match, or CPUSVN is not the emulator's (abi/sgx_emulated.h).
 */
int sgx_emulated_report_verify(const struct sgx_report *report, const struct sgx_targetinfo *target,
                               struct error *err);

/*
 * A secret of this machine's software SGX for the purpose that `label` names; the same each time.
 * For the simulated quoting service (attest/simulation.h).
 */
int sgx_emulated_secret(const char *label, uint8_t out[32], struct error *err);

/*
 * Open (or make) the file of the emulated root key, for a program that runs where it has no right
 * to: that finds the descriptor's number in the environment variable SGX_EMULATED_ROOT_FD.
 */
#define SGX_EMULATED_ROOT_FD "RUNE_SGX_EMULATOR_ROOT_FD"
int sgx_emulated_root_open(struct error *err);

/*
 * Read (or make) the emulated root key now. For programs that change their root directory before
 * they open an enclave.
 */
int sgx_emulated_preload(struct error *err);

/*
 * The emulated root key from one copy of this code to another: to a library that is loaded where
 * the key's file is not in sight. The caller wipes it.
 */
#define SGX_EMULATED_ROOT_SIZE 64
int sgx_emulated_root_export(uint8_t out[SGX_EMULATED_ROOT_SIZE], struct error *err);
void sgx_emulated_root_import(const uint8_t root[SGX_EMULATED_ROOT_SIZE]);
