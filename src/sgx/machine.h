/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine offers to enclaves: asked of CPUID, or presented by the emulator, which can be
 * told to be a lesser machine than it is:
 *
 *   RUNE_SGX_EMULATOR_FEATURES   what there is beside SGX1: a list of sgx2, kss, aexnotify, with
 *                                commas; "sgx1" alone is the least. Default: all.
 *   RUNE_SGX_EMULATOR_EPC        SIZE[,BACKING]: bytes of enclave memory, and of the memory that
 *                                pages are written back to when it is full; suffix K, M, G or T.
 *                                Default: the machine's memory, and no limit.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct error;

struct sgx_machine {
    bool emulated;
    bool sgx2;         /* memory and TCS can be added to a running enclave */
    bool kss;          /* CONFIGID and its kin */
    bool aex_notify;   /* ATTRIBUTES.AEXNOTIFY, EDECCSSA */
    uint64_t size_max; /* of an enclave, bytes: a power of two */
    uint64_t epc;      /* bytes; 0: not known */
    uint64_t backing;
};

/*
 * By enclave type as sgx_driver_open() takes it. Fails when a variable above cannot be understood,
 * and for "intelSgx" without hardware.
 */
int sgx_machine_get(const char *type, struct sgx_machine *out, struct error *err);
