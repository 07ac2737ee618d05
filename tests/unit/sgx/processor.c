/* SPDX-License-Identifier: Apache-2.0 */
/* What is made of a processor: machines by their bits, and what Linux says of them in files. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"
#include "sgx/processor.h"

#define ALL_FIXED (SGX_ARCH_RDCL_NO | SGX_ARCH_MDS_NO | SGX_ARCH_TAA_NO | SGX_ARCH_FB_CLEAR)

static struct sgx_processor intel(unsigned model)
{
    return (struct sgx_processor){.vendor = "GenuineIntel",
                                  .family = 6,
                                  .model = model,
                                  .leaf7_edx = SGX_CPU_MD_CLEAR | SGX_CPU_ARCH_CAPABILITIES,
                                  .arch_known = true,
                                  .arch = ALL_FIXED};
}

static void says(const struct sgx_processor *p, enum sgx_judgement wanted, unsigned count,
                 const char *words)
{
    struct sgx_findings f;
    bool found = words == NULL;

    assert_int_equal(sgx_processor_judge(p, &f), wanted);
    assert_int_equal(f.count, count);
    for (unsigned i = 0; i < f.count; i++)
        found |= words != NULL && strstr(f.lines[i], words) != NULL;
    assert_true(found);
}

static void test_generations(void **state)
{
    static const unsigned good[] = {0x6a, 0x6c, 0x8f, 0xcf, 0xad, 0xae, 0xaf};
    static const unsigned old[] = {0x4e, 0x5e, 0x8e, 0x9e, 0xa5, 0x5c, 0x7a};
    struct sgx_processor p;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        p = intel(good[i]);
        says(&p, SGX_JUDGED_RIGHT, 0, NULL);
        assert_non_null(sgx_processor_generation(&p));
    }
    for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
        p = intel(old[i]);
        says(&p, SGX_JUDGED_WRONG, 1, "LVI");
    }
    p = intel(0xa7);
    says(&p, SGX_JUDGED_WRONG, 1, "not looked at");
    p = intel(0x01);
    says(&p, SGX_JUDGED_UNKNOWN, 1, "model 0x1 ");
    assert_null(sgx_processor_generation(&p));
    p = intel(0x6a);
    snprintf(p.vendor, sizeof(p.vendor), "AuthenticAMD");
    says(&p, SGX_JUDGED_UNKNOWN, 1, "AuthenticAMD");
}

static void test_bits(void **state)
{
    struct sgx_processor p = intel(0x6a);

    p.leaf7_edx &= ~SGX_CPU_MD_CLEAR;
    says(&p, SGX_JUDGED_RIGHT, 0, NULL); /* MDS_NO */
    p.arch &= ~SGX_ARCH_MDS_NO;
    says(&p, SGX_JUDGED_WRONG, 1, "MD_CLEAR");
    p = intel(0x6a);
    p.arch &= ~SGX_ARCH_RDCL_NO;
    says(&p, SGX_JUDGED_WRONG, 1, "RDCL_NO");
    p = intel(0x6a);
    p.arch &= ~SGX_ARCH_TAA_NO;
    says(&p, SGX_JUDGED_RIGHT, 0, NULL); /* no TSX */
    p.leaf7_ebx = SGX_CPU_RTM;
    says(&p, SGX_JUDGED_WRONG, 1, "TSX");
    p = intel(0x6a);
    p.arch &= ~SGX_ARCH_FB_CLEAR;
    says(&p, SGX_JUDGED_WRONG, 1, "FB_CLEAR");
    p.arch |= SGX_ARCH_SBDR_SSDP_NO | SGX_ARCH_FBSDP_NO;
    says(&p, SGX_JUDGED_WRONG, 1, "FB_CLEAR");
    p.arch |= SGX_ARCH_PSDP_NO;
    says(&p, SGX_JUDGED_RIGHT, 0, NULL);
    p.arch_known = false;
    p.arch = 0;
    says(&p, SGX_JUDGED_RIGHT, 0, NULL); /* not to be seen: Linux's files are all there is */
}

static void put(const char *root, const char *name, const char *text)
{
    char path[300], *slash = path;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", root, name);
    while ((slash = strchr(slash + 1, '/')) != NULL) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_files(void **state)
{
    char root[] = "/tmp/sgx-processor.XXXXXX";
    cleanup_error struct error err = ERROR_INIT;
    struct sgx_processor p, files;

    assert_non_null(mkdtemp(root));
    put(root, "proc/cpuinfo", "processor\t: 0\nmicrocode\t: 0xd0003a5\nmicrocode\t: 0x1\n");
    put(root, "sys/devices/system/cpu/smt/active", "1\n");
    put(root, "sys/devices/system/cpu/vulnerabilities/mds", "Not affected\n");
    put(root, "sys/devices/system/cpu/vulnerabilities/mmio_stale_data",
        "Mitigation: Clear CPU buffers; SMT vulnerable\n");
    put(root, "sys/devices/system/cpu/vulnerabilities/gather_data_sampling",
        "Vulnerable: No microcode\n");
    put(root, "sys/devices/system/cpu/vulnerabilities/retbleed", "Vulnerable\n");
    sgx_processor_get(&files, root);
    assert_true(files.microcode_known && files.microcode == 0xd0003a5);
    assert_true(files.smt_known && files.smt);
    assert_int_equal(files.vulnerability_count, 3);
    p = intel(0x6a);
    p.vulnerability_count = files.vulnerability_count;
    memcpy(p.vulnerabilities, files.vulnerabilities, sizeof(p.vulnerabilities));
    says(&p, SGX_JUDGED_WRONG, 2, "mmio_stale_data: Mitigation: Clear CPU buffers; SMT vulnerable");
    says(&p, SGX_JUDGED_WRONG, 2, "gather_data_sampling: Vulnerable: No microcode");
    assert_int_equal(path_remove_tree(AT_FDCWD, root, &err), 0);

    sgx_processor_get(&files, "/nowhere");
    assert_false(files.microcode_known || files.smt_known || files.arch_known);
    assert_int_equal(files.vulnerability_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_generations),
                                       cmocka_unit_test(test_bits), cmocka_unit_test(test_files)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
