/* SPDX-License-Identifier: Apache-2.0 */
#include "sgx/driver.h"

#include <cpuid.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "sgx/emulator/emulator.h"
#include "sgx/emulator/machine.h"
#include "sgx/info.h"

uint64_t sgx_host_xfrm(void)
{
    /* x87, SSE, AVX and AVX-512: what both drivers and LAYOUT_SSA_PAGES can save */
    const uint64_t known = SGX_XFRM_LEGACY | SGX_XFRM_AVX | SGX_XFRM_AVX512;
    static _Atomic uint64_t kept; /* CPUID costs an exit of a virtual machine */
    unsigned eax, ebx, ecx, edx, low, high;

    if (atomic_load_explicit(&kept, memory_order_relaxed))
        return atomic_load_explicit(&kept, memory_order_relaxed);
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE))
        return SGX_XFRM_LEGACY;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    uint64_t xfrm = (((uint64_t)high << 32) | low) & known;
    if ((xfrm & SGX_XFRM_AVX512) != SGX_XFRM_AVX512 || !(xfrm & SGX_XFRM_AVX))
        xfrm &= ~SGX_XFRM_AVX512;
    atomic_store_explicit(&kept, xfrm, memory_order_relaxed);
    return xfrm;
}

uint64_t sgx_ssa_size(uint64_t xfrm, uint32_t miscselect)
{
    const uint64_t size = emu_xsave_size(xfrm) + sizeof(struct sgx_ssa_gpr);

    return miscselect & SGX_MISC_EXINFO ? size + sizeof(struct sgx_ssa_exinfo) : size;
}

static int unknown_type(const char *type, struct error *err)
{
    return error_code(err, EINVAL, "enclave type \"%s\" is not intelSgx or simulatedSgx", type);
}

static const struct sgx_driver *emulated(struct error *err)
{
    static atomic_flag warned = ATOMIC_FLAG_INIT;
    const struct sgx_driver *driver = sgx_driver_emulated(err);

    if (driver && !atomic_flag_test_and_set(&warned))
        log_info("SGX is emulated: the enclave is not protected from this machine");
    return driver;
}

const struct sgx_driver *sgx_driver_open(const char *type, struct error *err)
{
    if (strcmp(type, "intelSgx") == 0)
        return sgx_driver_kernel(err);
    if (strcmp(type, "simulatedSgx") == 0)
        return emulated(err);
    unknown_type(type, err);
    return NULL;
}

static void describe_hardware(const struct sgx_driver *driver, struct sgx_machine *out)
{
    struct sgx_info info;

    sgx_info_get(&info);
    *out = (struct sgx_machine){
        .sgx2 = driver->sgx2,
        .kss = driver->kss,
        .aex_notify = info.edeccssa && (info.attributes & SGX_ATTR_AEX_NOTIFY),
        .size_max = 1ull << (info.max_size_bits < 63 ? info.max_size_bits : 63),
        .backing = UINT64_MAX};
    for (unsigned i = 0; i < info.section_count; i++)
        out->epc += info.sections[i].size;
}

int sgx_machine_get(const char *type, struct sgx_machine *out, struct error *err)
{
    const struct sgx_machine *emulated_machine;

    if (strcmp(type, "intelSgx") == 0) {
        const struct sgx_driver *driver = sgx_driver_kernel(err);
        if (driver)
            describe_hardware(driver, out);
        return driver ? 0 : -ENODEV;
    }
    if (strcmp(type, "simulatedSgx") != 0)
        return unknown_type(type, err);
    int rc = emu_machine_get(&emulated_machine, err);
    if (rc == 0)
        *out = *emulated_machine;
    return rc;
}
