/* SPDX-License-Identifier: Apache-2.0 */
#include "sgx-dump.h"

#include <inttypes.h>
#include <stdio.h>

#include "../../abi/sgx_emulated.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/hex.h"
#include "base/node.h"
#include "sgx/processor.h"
#include "sgx/sigstruct.h"

#define LABEL "%-16s "

void dump_hex(const char *label, const void *data, size_t size)
{
    printf(LABEL, label);
    hex_print(stdout, data, size);
}

static void flags(const char *label, uint64_t value)
{
    static const struct {
        uint64_t bit;
        const char *name;
    } names[] = {
        {SGX_ATTR_INIT, "INIT"},
        {SGX_ATTR_DEBUG, "DEBUG"},
        {SGX_ATTR_MODE64, "MODE64BIT"},
        {SGX_ATTR_PROVISION_KEY, "PROVISIONKEY"},
        {SGX_ATTR_EINIT_KEY, "EINITTOKEN"},
        {SGX_ATTR_CET, "CET"},
        {SGX_ATTR_KSS, "KSS"},
        {SGX_ATTR_AEX_NOTIFY, "AEXNOTIFY"},
    };

    printf(LABEL "%016" PRIx64, label, value);
    for (size_t i = 0; i < array_count(names); i++)
        if (value & names[i].bit)
            printf(" %s", names[i].name);
    putchar('\n');
}

void dump_sigstruct(const struct sgx_sigstruct *s)
{
    uint8_t mrsigner[32];

    sgx_sigstruct_mrsigner(s, mrsigner);
    dump_hex("mrenclave", s->mrenclave, sizeof(s->mrenclave));
    dump_hex("mrsigner", mrsigner, sizeof(mrsigner));
    printf(LABEL "%u\n" LABEL "%u\n", "isv-prod-id", s->isv_prod_id, "isv-svn", s->isv_svn);
    printf(LABEL "%08x\n" LABEL "%08x\n", "date", s->date, "vendor", s->vendor);
    flags("attributes", s->attributes.flags);
    printf(LABEL "%016" PRIx64 "\n", "attribute-mask", s->attribute_mask.flags);
    printf(LABEL "%016" PRIx64 "\n", "xfrm", s->attributes.xfrm);
    printf(LABEL "%016" PRIx64 "\n", "xfrm-mask", s->attribute_mask.xfrm);
    printf(LABEL "%08x\n" LABEL "%08x\n", "miscselect", s->miscselect, "misc-mask", s->misc_mask);
    dump_hex("isv-family-id", s->isv_family_id, sizeof(s->isv_family_id));
    dump_hex("isv-ext-prod-id", s->isv_ext_prod_id, sizeof(s->isv_ext_prod_id));
}

void dump_report(const struct sgx_report_body *b)
{
    if (sgx_cpusvn_is_emulated(b->cpu_svn))
        printf(LABEL "%s\n", "processor", "EMULATED: no protection from the machine's operator");
    dump_hex("mrenclave", b->mrenclave, sizeof(b->mrenclave));
    dump_hex("mrsigner", b->mrsigner, sizeof(b->mrsigner));
    printf(LABEL "%u\n" LABEL "%u\n", "isv-prod-id", b->isv_prod_id, "isv-svn", b->isv_svn);
    dump_hex("cpu-svn", b->cpu_svn, sizeof(b->cpu_svn));
    flags("attributes", b->attributes.flags);
    printf(LABEL "%016" PRIx64 "\n" LABEL "%08x\n", "xfrm", b->attributes.xfrm, "miscselect",
           b->miscselect);
    dump_hex("config-id", b->config_id, sizeof(b->config_id));
    printf(LABEL "%u\n", "config-svn", b->config_svn);
    dump_hex("isv-family-id", b->isv_family_id, sizeof(b->isv_family_id));
    dump_hex("isv-ext-prod-id", b->isv_ext_prod_id, sizeof(b->isv_ext_prod_id));
    dump_hex("report-data", b->report_data, sizeof(b->report_data));
}

static void yes_no(const char *label, bool value)
{
    printf(LABEL "%s\n", label, value ? "yes" : "no");
}

static void dump_processor(void)
{
    static const char *const judgements[] = {
        [SGX_JUDGED_RIGHT] = "right for this processor, as far as can be seen from here",
        [SGX_JUDGED_WRONG] = "NOT right for this processor",
        [SGX_JUDGED_UNKNOWN] = "not known for this processor"};
    struct sgx_processor p;
    struct sgx_findings findings;

    sgx_processor_get(&p, "");
    const char *generation = sgx_processor_generation(&p);
    printf(LABEL "%s family %u model 0x%x stepping %u%s%s%s\n", "processor", p.vendor, p.family,
           p.model, p.stepping, generation ? " (" : "", generation ? generation : "",
           generation ? ")" : "");
    if (p.microcode_known)
        printf(LABEL "0x%x\n", "microcode", p.microcode);
    if (p.arch_known)
        printf(LABEL "%016" PRIx64 "\n", "arch-capabilities", p.arch);
    else
        printf(LABEL "not readable (modprobe msr, as root)\n", "arch-capabilities");
    if (p.smt_known)
        printf(LABEL "%s\n", "smt", p.smt ? "on" : "off");
    printf(LABEL "%s\n", "defences", judgements[sgx_processor_judge(&p, &findings)]);
    for (unsigned i = 0; i < findings.count; i++)
        printf(LABEL "%s\n", "", findings.lines[i]);
}

void dump_info(const struct sgx_info *info)
{
    dump_processor();
    yes_no("sgx", info->cpu && info->sgx1);
    yes_no("sgx2", info->sgx2);
    yes_no("flexible-launch", info->flc);
    yes_no("kss", info->kss);
    yes_no("aex-notify", info->edeccssa && (info->attributes & SGX_ATTR_AEX_NOTIFY));
    for (unsigned i = 0; i < info->section_count; i++)
        printf(LABEL "%" PRIu64 " MiB at %#" PRIx64 "\n", "epc", info->sections[i].size >> 20,
               info->sections[i].base);
    yes_no("device", info->device);
    yes_no("provisioning", info->provision_device);
    yes_no("vdso", info->vdso);
    printf(LABEL "%016" PRIx64 "\n", "xfrm", info->host_xfrm);
    if (info->cpu && info->device && info->vdso) {
        printf(LABEL "%s\n", "enclave.type", "intelSgx");
        return;
    }
    cleanup_error struct error err = ERROR_INIT;
    if (node_allows_emulator(&err) == 0)
        printf(LABEL "%s\n", "enclave.type", "simulatedSgx");
    else
        printf(LABEL "none: %s\n", "enclave.type", error_text(&err));
}
