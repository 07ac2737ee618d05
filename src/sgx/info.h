/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do for SGX enclaves: for people, and for messages that say what is
 * missing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SGX_INFO_SECTIONS 8

struct sgx_info {
    char vendor[13];
    bool cpu, sgx1, sgx2, flc, kss, edeccssa;
    uint32_t miscselect; /* that an enclave may set */
    uint64_t attributes, xfrm;
    unsigned max_size_bits; /* of ELRANGE */
    unsigned section_count;
    struct {
        uint64_t base, size;
    } sections[SGX_INFO_SECTIONS]; /* enclave page cache */
    bool device, provision_device, vdso;
    uint64_t host_xfrm; /* XFRM that a driver here gives to an enclave */
};

void sgx_info_get(struct sgx_info *out);
