/* SPDX-License-Identifier: Apache-2.0 */
/* Measurement, SIGSTRUCT and enclave files: right ones, and wrong ones in every field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include "base/error.h"
#include "enclave.h"
#include "sgx/enclave_file.h"
#include "sgx/loader.h"
#include "sgx/measure.h"
#include "sgx/sigstruct.h"

static int g_fd = -1;
static uint8_t *g_data;
static size_t g_size;
static struct sgx_sigstruct g_sigstruct;

static int setup(void **state)
{
    g_fd = memfd_create("enclave", MFD_CLOEXEC);
    test_enclave_make(g_fd, UINT64_MAX, 1, &g_sigstruct);
    struct stat st;
    if (fstat(g_fd, &st) < 0)
        return -1;
    g_size = (size_t)st.st_size;
    g_data = mmap(NULL, g_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, g_fd, 0);
    return g_data == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state)
{
    munmap(g_data, g_size);
    return close(g_fd);
}

/* ---- measurement ---- */

/* The stream of the SDM, written out for an enclave of two pages of which one is measured. */
static void measures_what_the_sdm_says(void **state)
{
    static uint8_t stream[64 + 64 + 16 * (64 + 256) + 64];
    uint8_t page[4096], expected[32], found[32];
    struct error err = ERROR_INIT;
    struct sgx_measurement *m = NULL;
    uint8_t *at = stream;

    for (unsigned i = 0; i < sizeof(page); i++)
        page[i] = (uint8_t)(i * 7);
    memcpy(at, "ECREATE\0\2\0\0\0\0\0\4\0\0\0\0\0", 20); /* SSA frame 2 pages, size 0x40000 */
    at += 64;
    memcpy(at, "EADD\0\0\0\0\0\x10\0\0\0\0\0\0\5\2", 18); /* offset 0x1000, REG, R and X */
    at += 64;
    for (unsigned chunk = 0; chunk < 16; chunk++) {
        memcpy(at, "EEXTEND\0\0\x10", 10);
        at[9] = (uint8_t)(0x10 + chunk);
        memcpy(at + 64, page + chunk * 256, 256);
        at += 64 + 256;
    }
    memcpy(at, "EADD\0\0\0\0\0\x20\0\0\0\0\0\0\3\2", 18);
    SHA256(stream, sizeof(stream), expected);

    assert_int_equal(sgx_measure_create(&m, 0x40000, 2, &err), 0);
    sgx_measure_page(m, 0x1000, 0x205, page, true);
    sgx_measure_page(m, 0x2000, 0x203, NULL, false);
    sgx_measure_final(m, found);
    sgx_measure_free(m);
    assert_memory_equal(found, expected, 32);
}

static void measures_the_file_as_it_was_signed(void **state)
{
    struct error err = ERROR_INIT;
    uint8_t found[32];

    assert_int_equal(sgx_enclave_measure(g_fd, found, &err), 0);
    assert_memory_equal(found, g_sigstruct.mrenclave, 32);
}

/* ---- enclave files ---- */

static int parse(struct error *err)
{
    struct enclave_file *file = NULL;
    int rc = enclave_file_parse(g_data, g_size, &file, err);

    enclave_file_close(file);
    return rc;
}

static void refuses_every_wrong_field(void **state)
{
    struct enclave_file_header *h = (struct enclave_file_header *)g_data;
    struct enclave_file_range *r = (struct enclave_file_range *)(g_data + h->ranges_offset);
    uint64_t *site = (uint64_t *)(g_data + h->sites_offset);
    const struct {
        void *field;
        size_t size;
        uint64_t value;
    } wrong[] = {
        {&h->magic, 8, 1},
        {&h->version, 4, 2},
        {&h->header_size, 4, 255},
        {&h->size, 8, 0},
        {&h->size, 8, TEST_SIZE + 4096},
        {&h->size, 8, 1ull << 63},
        {&h->size, 8, 0x8000},
        {&h->attributes, 8, SGX_ATTR_INIT},
        {&h->attributes, 8, 1ull << 40},
        {&h->ssa_frame_size, 4, 0},
        {&h->ssa_frame_size, 4, 0x10000001},
        {&h->miscselect, 4, 2},
        {&h->file_size, 8, g_size - 1},
        {&h->file_size, 8, g_size + 4096},
        {&h->ranges_offset, 8, g_size},
        {&h->ranges_offset, 8, UINT64_MAX - 8},
        {&h->range_count, 4, 0},
        {&h->range_count, 4, UINT32_MAX},
        {&h->range_size, 4, 48},
        {&h->sites_offset, 8, UINT64_MAX},
        {&h->site_count, 4, UINT32_MAX},
        {&h->site_count, 4, 3},
        {&h->trampoline_offset, 8, 0},
        {&h->trampoline_offset, 8, TEST_CODE},
        {&h->trampoline_offset, 8, TEST_SIZE},
        {&h->trampoline_offset, 8, 1},
        {&h->flags, 4, 5},
        {&h->reserved[7], 1, 1},
        {&h->reserved0, 4, 1},
        {&r->offset, 8, TEST_SIZE},
        {&r->offset, 8, TEST_CODE + 1},
        {&r->offset, 8, UINT64_MAX - 4095},
        {&r->offset, 8, TEST_DATA},
        {&r->size, 8, 0},
        {&r->size, 8, UINT64_MAX - 4095},
        {&r->size, 8, 4097},
        {&r->file_offset, 8, g_size},
        {&r->file_offset, 8, 1},
        {&r->file_offset, 8, UINT64_MAX - 8191},
        {&r->file_offset, 8, ENCLAVE_FILE_ZERO}, /* there are sites in it */
        {&r->secinfo_flags, 8, ENCLAVE_FILE_REG},
        {&r->secinfo_flags, 8, ENCLAVE_FILE_REG | 7}, /* sites that are writable */
        {&r->secinfo_flags, 8, ENCLAVE_FILE_TCS | 1},
        {&r->secinfo_flags, 8, 0x305},
        {&r->flags, 4, 2},
        {&r->reserved, 4, 1},
        {&site[0], 8, TEST_CODE},
        {&site[0], 8, site[1]},
        {&site[1], 8, TEST_SIZE},
        {&site[1], 8, UINT64_MAX},
    };
    struct error err = ERROR_INIT;

    assert_int_equal(parse(&err), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint8_t right[8];
        memcpy(right, wrong[i].field, wrong[i].size);
        memcpy(wrong[i].field, &wrong[i].value, wrong[i].size);
        if (parse(&err) >= 0)
            fail_msg("wrong value %zu was accepted", i);
        memcpy(wrong[i].field, right, wrong[i].size);
    }
    assert_int_equal(parse(&err), 0);
    error_release(&err);
}

static void refuses_truncation_anywhere(void **state)
{
    struct error err = ERROR_INIT;

    for (size_t size = 0; size < g_size; size += size < 8192 ? 97 : 4096) {
        struct enclave_file *file = NULL;
        assert_true(enclave_file_parse(g_data, size, &file, &err) < 0);
    }
    error_release(&err);
}

static void builds_the_same_bytes(void **state)
{
    int fd = memfd_create("again", MFD_CLOEXEC);
    struct sgx_sigstruct s;

    test_enclave_make(fd, UINT64_MAX, 1, &s);
    uint8_t *again = mmap(NULL, g_size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(again != MAP_FAILED);
    assert_memory_equal(again, g_data, g_size);
    munmap(again, g_size);
    close(fd);
}

/* ---- SIGSTRUCT ---- */

static void refuses_any_changed_byte(void **state)
{
    struct error err = ERROR_INIT;

    assert_int_equal(sgx_sigstruct_check(&g_sigstruct, &err), 0);
    for (size_t i = 0; i < sizeof(g_sigstruct); i += 11) {
        struct sgx_sigstruct s = g_sigstruct;
        ((uint8_t *)&s)[i] ^= 0x40;
        /* the reserved bytes between modulus and the second signed part do not exist: all count */
        if (sgx_sigstruct_check(&s, &err) >= 0)
            fail_msg("changed byte %zu was accepted", i);
    }
    error_release(&err);
}

static void write_pem(const char *path, EVP_PKEY *key)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(PEM_write_PUBKEY(file, key), 1);
    fclose(file);
}

static void signs_elsewhere_and_imports(void **state)
{
    char dir[] = "/tmp/sgx-sign.XXXXXX", key_path[64], public_path[64];
    uint8_t material[SGX_SIGNING_MATERIAL_SIZE], signature[SGX_RSA_SIZE];
    struct sgx_sigstruct local = g_sigstruct, imported = g_sigstruct;
    struct error err = ERROR_INIT;
    struct stat st;

    assert_non_null(mkdtemp(dir));
    snprintf(key_path, sizeof(key_path), "%s/key", dir);
    snprintf(public_path, sizeof(public_path), "%s/pub", dir);
    assert_int_equal(sgx_key_generate(key_path, &err), 0);
    assert_int_equal(stat(key_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(sgx_key_generate(key_path, &err), -EEXIST);
    assert_int_equal(sgx_sigstruct_sign(&local, key_path, &err), 0);

    FILE *file = fopen(key_path, "re");
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    write_pem(public_path, key);
    sgx_sigstruct_signing_material(&imported, material);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t size = sizeof(signature);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &size, material, sizeof(material)), 1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    assert_int_equal(sgx_sigstruct_import(&imported, public_path, signature, &err), 0);
    assert_memory_equal(&imported, &local, sizeof(local));
    signature[100] ^= 1;
    assert_true(sgx_sigstruct_import(&imported, public_path, signature, &err) < 0);

    /* a key with the usual exponent cannot sign an enclave */
    key = EVP_RSA_gen(3072);
    write_pem(public_path, key);
    EVP_PKEY_free(key);
    assert_true(sgx_sigstruct_import(&imported, public_path, signature, &err) < 0);
    assert_non_null(strstr(error_text(&err), "exponent"));
    error_release(&err);
    unlink(key_path);
    unlink(public_path);
    rmdir(dir);
}

/* SIGSTRUCTs of Intel and others, where the machine has them. */
static void accepts_genuine_ones(void **state)
{
    DIR *dir = opendir(GENUINE_SIGSTRUCTS);
    struct error err = ERROR_INIT;
    unsigned count = 0;

    if (!dir) {
        print_message("%s is not here\n", GENUINE_SIGSTRUCTS);
        skip();
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct sgx_sigstruct s;
        const char *suffix = strrchr(entry->d_name, '.');
        if (!suffix || strcmp(suffix, ".sigstruct") != 0)
            continue;
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
        assert_int_equal(sgx_sigstruct_read(fd, &s, &err), 0);
        assert_int_equal(sgx_sigstruct_check(&s, &err), 0);
        s.mrenclave[0] ^= 1;
        assert_int_equal(sgx_sigstruct_check(&s, &err), -EPERM);
        close(fd);
        count++;
    }
    closedir(dir);
    error_release(&err);
    assert_true(count > 0);
}

/* The independent computation, in Python. */
static void agrees_with_python(void **state)
{
    char path[64], command[512], hex[80] = "", expected[65];

    if (access("/usr/bin/python3", X_OK) < 0) {
        print_message("there is no python3\n");
        skip();
    }
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), g_fd);
    snprintf(command, sizeof(command), "/usr/bin/python3 '%s' %s", MRENCLAVE_PY, path);
    FILE *pipe = popen(command, "re");
    assert_non_null(pipe);
    assert_non_null(fgets(hex, sizeof(hex), pipe));
    assert_int_equal(pclose(pipe), 0);
    for (unsigned i = 0; i < 32; i++)
        snprintf(expected + 2 * i, 3, "%02x", g_sigstruct.mrenclave[i]);
    hex[strcspn(hex, "\n")] = 0;
    assert_string_equal(hex, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measures_what_the_sdm_says),
        cmocka_unit_test(measures_the_file_as_it_was_signed),
        cmocka_unit_test(refuses_every_wrong_field),
        cmocka_unit_test(refuses_truncation_anywhere),
        cmocka_unit_test(builds_the_same_bytes),
        cmocka_unit_test(refuses_any_changed_byte),
        cmocka_unit_test(signs_elsewhere_and_imports),
        cmocka_unit_test(accepts_genuine_ones),
        cmocka_unit_test(agrees_with_python),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
