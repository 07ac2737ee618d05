/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/node.h"
#include "doctor/doctor.h"
#include "sgx_arch.h"
#include "sgx/processor.h"

#define EPC_LEAST (128ull << 20)

static bool skip_without_sgx(const struct node *node, struct finding *out)
{
    if (!node->hardware)
        find(out, DOCTOR_SKIPPED, xstrdup("this processor has no SGX"), NULL);
    return !node->hardware;
}

void check_processor(const struct node *node, struct finding *out)
{
    const struct sgx_info *s = &node->sgx;

    if (strcmp(s->vendor, "GenuineIntel") != 0)
        find(out, DOCTOR_FAULT,
             xasprintf("%s has no SGX", *s->vendor ? s->vendor : "this processor"),
             xstrdup("use a machine with an Intel processor that has SGX; here only the software "
                     "SGX can run enclaves, which protects nothing from this machine"));
    else if (!s->cpu)
        find(out, DOCTOR_FAULT, xstrdup("the processor has no SGX, or the firmware hides it"),
             xstrdup("in the firmware's setup switch on SGX (\"Software Guard Extensions\"); a "
                     "virtual machine must be given it by its hypervisor"));
    else if (!s->sgx1)
        find(
            out, DOCTOR_FAULT, xstrdup("SGX is there, and the firmware has not switched it on"),
            xstrdup("in the firmware's setup set SGX to \"enabled\", not \"software controlled\""));
    else if (!s->flc)
        find(out, DOCTOR_FAULT, xstrdup("no flexible launch control: Linux's driver needs it"),
             xstrdup("switch on launch control (\"SGX Launch Control: unlocked\") in the firmware; "
                     "processors from before 2018 do not have it"));
    else
        find(out, DOCTOR_OK, xstrdup("SGX with flexible launch control"), NULL);
}

void check_features(const struct node *node, struct finding *out)
{
    const struct sgx_info *s = &node->sgx;

    if (skip_without_sgx(node, out))
        return;
    if (!s->sgx2)
        find(out, DOCTOR_WARNING,
             xstrdup("no SGX2: all memory and threads of an enclave are added at its start"),
             xstrdup("give each container enclave.memory and enclave.threads, or use a processor "
                     "with SGX2"));
    else if (!s->kss)
        find(out, DOCTOR_WARNING,
             xstrdup("no KSS: each deployment of an image has an MRENCLAVE of its own"),
             xstrdup("switch on \"Key Separation and Sharing\" in the firmware, if it has that"));
    else
        find(out, DOCTOR_OK,
             xasprintf("SGX2 and KSS%s",
                       s->edeccssa && (s->attributes & SGX_ATTR_AEX_NOTIFY) ? ", AEX-Notify" : ""),
             NULL);
}

void check_epc(const struct node *node, struct finding *out)
{
    uint64_t size = 0;

    if (skip_without_sgx(node, out))
        return;
    for (unsigned i = 0; i < node->sgx.section_count; i++)
        size += node->sgx.sections[i].size;
    char *text = xasprintf("%llu MiB of enclave memory (EPC)", (unsigned long long)size >> 20);
    if (size == 0)
        find(out, DOCTOR_FAULT, text,
             xstrdup("reserve memory for SGX (PRMRR size) in the firmware"));
    else if (size < EPC_LEAST)
        find(out, DOCTOR_WARNING, text,
             xstrdup("enclaves will be paged, and slow: raise the PRMRR size in the firmware"));
    else
        find(out, DOCTOR_OK, text, NULL);
}

void check_defences(const struct node *node, struct finding *out)
{
    struct sgx_processor p;
    struct sgx_findings findings = {0};

    if (skip_without_sgx(node, out))
        return;
    sgx_processor_get(&p, node->root);
    if (sgx_processor_judge(&p, &findings) == SGX_JUDGED_RIGHT)
        find(out, DOCTOR_OK, xstrdup("the enclaves' defences are right for this processor"), NULL);
    else
        find(out, DOCTOR_WARNING,
             xstrdup(findings.count ? findings.lines[0]
                                    : "whether the enclaves' defences fit this processor is not "
                                      "known"),
             xstrdup("update firmware and microcode; sgx-tools info has the details"));
}

void check_kernel(const struct node *node, struct finding *out)
{
    if (skip_without_sgx(node, out))
        return;
    if (!node->sgx.device)
        find(out, DOCTOR_FAULT, xstrdup("/dev/sgx_enclave is not there"),
             xstrdup("use Linux 5.11 or later (6.0 for SGX2) with CONFIG_X86_SGX, and look for "
                     "\"sgx\" in its messages (dmesg); a container must be given the device"));
    else if (!node->sgx.vdso)
        find(out, DOCTOR_FAULT, xstrdup("the kernel's vDSO cannot enter enclaves"),
             xstrdup("boot without vdso=0"));
    else
        find(out, DOCTOR_OK, xstrdup("Linux has the SGX driver and the vDSO call"), NULL);
}

/* Programs are mapped from the device, which a mount option of /dev can forbid. */
static bool dev_is_noexec(const struct node *node)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    char point[256], options[512];
    bool noexec = false;

    if (!node_read(node, "/proc/self/mounts", &text))
        return false;
    char *next = text.data;
    for (char *line = strsep(&next, "\n"); line; line = strsep(&next, "\n"))
        if (sscanf(line, "%*s %255s %*s %511s", point, options) == 2 && strcmp(point, "/dev") == 0)
            noexec = strstr(options, "noexec") != NULL;
    return noexec;
}

void check_devices(const struct node *node, struct finding *out)
{
    cleanup_free char *path = node_file(node, "/dev/sgx_enclave");

    if (skip_without_sgx(node, out))
        return;
    if (access(path, F_OK) < 0)
        find(out, DOCTOR_SKIPPED, xstrdup("no device"), NULL);
    else if (access(path, R_OK | W_OK) < 0)
        find(out, DOCTOR_FAULT, xstrdup("/dev/sgx_enclave cannot be opened by this user"),
             xstrdup(
                 "be root, or add the user to the group of the device (ls -l /dev/sgx_enclave)"));
    else if (dev_is_noexec(node))
        find(out, DOCTOR_FAULT, xstrdup("/dev is mounted noexec, so enclaves cannot be mapped"),
             xstrdup("mount -o remount,exec /dev, and in /etc/fstab for the next boot"));
    else
        find(out, DOCTOR_OK, xstrdup("/dev/sgx_enclave can be used"), NULL);
}

void check_provisioning(const struct node *node, struct finding *out)
{
    cleanup_free char *path = node_file(node, "/dev/sgx_provision");

    if (skip_without_sgx(node, out))
        return;
    if (access(path, F_OK) < 0)
        find(out, DOCTOR_WARNING, xstrdup("/dev/sgx_provision is not there: no quotes can be made"),
             xstrdup("use Linux 5.11 or later"));
    else
        find(out, DOCTOR_OK, xstrdup("/dev/sgx_provision is there"), NULL);
}

void check_software_sgx(const struct node *node, struct finding *out)
{
    cleanup_error struct error err = ERROR_INIT;
    bool allowed = node_allows_emulator(&err) == 0;

    if (node->hardware && allowed)
        find(out, DOCTOR_WARNING,
             xstrdup("node.json allows emulated enclaves on a machine that has SGX"),
             xstrdup("set \"emulator\" to \"deny\" in /etc/rune/node.json, but for development"));
    else if (node->hardware)
        find(out, DOCTOR_OK, xstrdup("emulated enclaves are refused"), NULL);
    else if (allowed)
        find(out, DOCTOR_OK, xstrdup("allowed: enclave containers run here for development"), NULL);
    else
        find(out, DOCTOR_FAULT,
             xasprintf("not allowed, so no enclave starts here: %s", error_text(&err)),
             xstrdup("for development, set \"emulator\" to \"allow\" in /etc/rune/node.json"));
}
