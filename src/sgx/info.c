/* SPDX-License-Identifier: Apache-2.0 */
#include "sgx/info.h"

#include <cpuid.h>
#include <string.h>
#include <unistd.h>

#include "sgx/driver.h"
#include "sgx/vdso.h"

/* SDM volume 3D, "CPUID leaf 12H" */
#define SGX_LEAF 0x12

static uint64_t metric(unsigned low, unsigned high)
{
    return (low & 0xfffff000u) | ((uint64_t)(high & 0xfffffu) << 32);
}

static void get_leaf(struct sgx_info *out)
{
    unsigned a, b, c, d;

    if (!__get_cpuid_count(SGX_LEAF, 0, &a, &b, &c, &d))
        return;
    out->sgx1 = a & 1;
    out->sgx2 = a & 2;
    out->edeccssa = a & (1u << 11);
    out->miscselect = b;
    out->max_size_bits = (d >> 8) & 0xff;
    __cpuid_count(SGX_LEAF, 1, a, b, c, d);
    out->attributes = ((uint64_t)b << 32) | a;
    out->xfrm = ((uint64_t)d << 32) | c;
    out->kss = out->attributes & SGX_ATTR_KSS;
    for (unsigned i = 0; i < SGX_INFO_SECTIONS; i++) {
        __cpuid_count(SGX_LEAF, 2 + i, a, b, c, d);
        if ((a & 0xf) != 1)
            break;
        out->sections[i].base = metric(a, b);
        out->sections[i].size = metric(c, d);
        out->section_count = i + 1;
    }
}

void sgx_info_get(struct sgx_info *out)
{
    unsigned a, b, c, d;

    memset(out, 0, sizeof(*out));
    if (__get_cpuid(0, &a, &b, &c, &d)) {
        memcpy(out->vendor, &b, 4);
        memcpy(out->vendor + 4, &d, 4);
        memcpy(out->vendor + 8, &c, 4);
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        out->cpu = b & (1u << 2);
        out->flc = c & (1u << 30);
    }
    if (out->cpu)
        get_leaf(out);
    out->device = access(SGX_DEVICE, F_OK) == 0;
    out->provision_device = access(SGX_PROVISION_DEVICE, F_OK) == 0;
    out->vdso = sgx_vdso_symbol("__vdso_sgx_enter_enclave") != NULL;
    out->host_xfrm = sgx_host_xfrm();
}
