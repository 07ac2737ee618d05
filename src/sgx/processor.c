/* SPDX-License-Identifier: Apache-2.0 */
#include "sgx/processor.h"

#include <cpuid.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Family 6. RIGHT: the enclave's defences in software are all that is left to do there. */
static const struct {
    unsigned model;
    enum { LVI, NOT_LOOKED_AT, RIGHT } state;
    const char *name;
} g_generations[] = {
    {0x4e, LVI, "Skylake client"},
    {0x5e, LVI, "Skylake client"},
    {0x8e, LVI, "Kaby, Coffee, Whiskey or Comet Lake client"},
    {0x9e, LVI, "Kaby or Coffee Lake client, Xeon E-2100 and E-2200"},
    {0xa5, LVI, "Comet Lake client, Xeon W-1200"},
    {0xa6, LVI, "Comet Lake client"},
    {0x5c, LVI, "Apollo Lake"},
    {0x7a, LVI, "Gemini Lake"},
    {0x7d, NOT_LOOKED_AT, "Ice Lake client"},
    {0x7e, NOT_LOOKED_AT, "Ice Lake client"},
    {0xa7, NOT_LOOKED_AT, "Rocket Lake, Xeon E-2300"},
    {0x6a, RIGHT, "Ice Lake SP"},
    {0x6c, RIGHT, "Ice Lake D"},
    {0x8f, RIGHT, "Sapphire Rapids"},
    {0xcf, RIGHT, "Emerald Rapids"},
    {0xad, RIGHT, "Granite Rapids"},
    {0xae, RIGHT, "Granite Rapids D"},
    {0xaf, RIGHT, "Sierra Forest"},
};

#define GENERATIONS (sizeof(g_generations) / sizeof(g_generations[0]))

/* Of /sys/devices/system/cpu/vulnerabilities: what reaches an enclave. */
static const char *const g_reaching[] = {
    "l1tf",
    "mds",
    "tsx_async_abort",
    "mmio_stale_data",
    "srbds",
    "gather_data_sampling",
    "reg_file_data_sampling",
    "indirect_target_selection",
    "meltdown",
    "spectre_v1",
    "spectre_v2",
};

/* ---- this machine ---- */

enum { LINES_MAX = 1000 };

/* A regular file, as those of /proc and /sys are: another one, under a root of tests, may wait. */
static int open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool read_line(const char *root, const char *path, char *out, size_t size)
{
    char full[256];
    snprintf(full, sizeof(full), "%s%s", root, path);
    cleanup_close int fd = open_file(full);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    if (n <= 0)
        return false;
    out[n] = 0;
    out[strcspn(out, "\n")] = 0;
    return true;
}

static void read_microcode(struct sgx_processor *p, const char *root)
{
    char path[256], line[256];
    snprintf(path, sizeof(path), "%s/proc/cpuinfo", root);
    cleanup_close int fd = open_file(path);
    cleanup_file FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (f)
        fd = -1;
    /* The first processor's, which has some 30 lines. */
    for (int i = 0; f && !p->microcode_known && i < LINES_MAX && fgets(line, sizeof(line), f);
         i++) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "microcode", 9) == 0 && colon) {
            p->microcode = (uint32_t)strtoul(colon + 1, NULL, 0);
            p->microcode_known = true;
        }
    }
}

/* The file is there with the msr module, for root. */
static void read_arch(struct sgx_processor *p, const char *root)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/dev/cpu/0/msr", root);
    cleanup_close int fd = p->leaf7_edx & SGX_CPU_ARCH_CAPABILITIES
                               ? open(path, O_RDONLY | O_CLOEXEC)
                               : -1;
    p->arch_known = fd >= 0 && pread(fd, &p->arch, sizeof(p->arch), 0x10a) == sizeof(p->arch);
}

static void read_vulnerabilities(struct sgx_processor *p, const char *root)
{
    for (size_t i = 0; i < sizeof(g_reaching) / sizeof(g_reaching[0]); i++) {
        char path[128];
        unsigned n = p->vulnerability_count;
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/vulnerabilities/%s", g_reaching[i]);
        if (!read_line(root, path, p->vulnerabilities[n].state,
                       sizeof(p->vulnerabilities[n].state)))
            continue;
        snprintf(p->vulnerabilities[n].name, sizeof(p->vulnerabilities[n].name), "%s",
                 g_reaching[i]);
        p->vulnerability_count++;
    }
}

void sgx_processor_get(struct sgx_processor *out, const char *root)
{
    unsigned a, b, c, d;
    char smt[8];

    memset(out, 0, sizeof(*out));
    if (__get_cpuid(0, &a, &b, &c, &d)) {
        memcpy(out->vendor, &b, 4);
        memcpy(out->vendor + 4, &d, 4);
        memcpy(out->vendor + 8, &c, 4);
    }
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        out->stepping = a & 0xf;
        out->family = (a >> 8 & 0xf) + ((a >> 8 & 0xf) == 0xf ? a >> 20 & 0xff : 0);
        out->model = (a >> 4 & 0xf) | (a >> 12 & 0xf0);
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        out->leaf7_ebx = b;
        out->leaf7_edx = d;
    }
    out->smt_known = read_line(root, "/sys/devices/system/cpu/smt/active", smt, sizeof(smt));
    out->smt = out->smt_known && smt[0] == '1';
    read_microcode(out, root);
    read_arch(out, root);
    read_vulnerabilities(out, root);
}

/* ---- what is made of it ---- */

static size_t generation_of(const struct sgx_processor *p)
{
    size_t i = 0;
    if (strcmp(p->vendor, "GenuineIntel") != 0 || p->family != 6)
        return GENERATIONS;
    while (i < GENERATIONS && g_generations[i].model != p->model)
        i++;
    return i;
}

const char *sgx_processor_generation(const struct sgx_processor *p)
{
    size_t i = generation_of(p);
    return i < GENERATIONS ? g_generations[i].name : NULL;
}

__attribute__((format(printf, 2, 3))) static void find(struct sgx_findings *out, const char *format,
                                                       ...)
{
    va_list ap;
    if (out->count == SGX_FINDING_MAX)
        return;
    va_start(ap, format);
    vsnprintf(out->lines[out->count++], sizeof(out->lines[0]), format, ap);
    va_end(ap);
}

static void judge_bits(const struct sgx_processor *p, struct sgx_findings *out)
{
    const uint64_t stale = SGX_ARCH_SBDR_SSDP_NO | SGX_ARCH_FBSDP_NO | SGX_ARCH_PSDP_NO;
    if (!(p->leaf7_edx & SGX_CPU_MD_CLEAR) && !(p->arch_known && p->arch & SGX_ARCH_MDS_NO))
        find(out, "no MD_CLEAR: the microcode does not clear buffers (INTEL-SA-00233); update it");
    if (!p->arch_known)
        return;
    if (!(p->arch & SGX_ARCH_RDCL_NO))
        find(out, "no RDCL_NO: L1 terminal fault (INTEL-SA-00161) reads enclaves");
    if (!(p->arch & SGX_ARCH_TAA_NO) && p->leaf7_ebx & SGX_CPU_RTM)
        find(out, "TSX without TAA_NO (INTEL-SA-00270): switch TSX off, or update the microcode");
    if ((p->arch & stale) != stale && !(p->arch & SGX_ARCH_FB_CLEAR))
        find(out, "neither FB_CLEAR nor SBDR_SSDP_NO, FBSDP_NO, PSDP_NO: stale data of MMIO "
                  "(INTEL-SA-00615); update the microcode");
}

static void judge_linux(const struct sgx_processor *p, struct sgx_findings *out)
{
    for (unsigned i = 0; i < p->vulnerability_count; i++) {
        const char *state = p->vulnerabilities[i].state;
        if (strncmp(state, "Vulnerable", 10) == 0 || strstr(state, "no microcode") ||
            strstr(state, "SMT vulnerable"))
            find(out, "Linux says of %s: %s", p->vulnerabilities[i].name, state);
    }
}

enum sgx_judgement sgx_processor_judge(const struct sgx_processor *p, struct sgx_findings *out)
{
    size_t i = generation_of(p);
    out->count = 0;
    if (i == GENERATIONS) {
        find(out, "%s family %u model 0x%x is not a processor with SGX that is known here",
             p->vendor, p->family, p->model);
        return SGX_JUDGED_UNKNOWN;
    }
    if (g_generations[i].state == LVI)
        find(out,
             "%s: enclaves need mitigations by the compiler there (LVI, INTEL-SA-00334), "
             "which the LibOS and images do not have; use Ice Lake SP or later",
             g_generations[i].name);
    else if (g_generations[i].state == NOT_LOOKED_AT)
        find(out, "%s: a client processor that was not looked at; use Ice Lake SP or later",
             g_generations[i].name);
    judge_bits(p, out);
    judge_linux(p, out);
    return out->count == 0 ? SGX_JUDGED_RIGHT : SGX_JUDGED_WRONG;
}
