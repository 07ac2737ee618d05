/* SPDX-License-Identifier: Apache-2.0 */
/* libos/crypto on the host, against OpenSSL on random inputs and against its own known answers. */
#include "enclave/bundle/trusted_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

/* The names that the trusted header also uses are OpenSSL's macros nowhere; only types differ. */
#include "crypto.h"

static u8 g_data[10000];

static void fill(void)
{
    for (size_t i = 0; i < sizeof(g_data); i++)
        g_data[i] = (u8)rand();
}

static void test_known_answers(void **state)
{
    crypto_init(0); /* panics when one is wrong */
}

static void test_sha256(void **state)
{
    static const size_t sizes[] = {0, 1, 55, 56, 63, 64, 65, 127, 4096, 9999};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        u8 expected[32], actual[32];
        fill();
        EVP_Digest(g_data, sizes[i], expected, NULL, EVP_sha256(), NULL);
        size_t cut = sizes[i] / 3;
        sha256_once(g_data, cut, g_data + cut, sizes[i] - cut, actual);
        assert_memory_equal(actual, expected, 32);
    }
}

static void test_hmac(void **state)
{
    u8 expected[32], actual[32];
    fill();
    HMAC(EVP_sha256(), g_data, 77, g_data + 100, 1234, expected, NULL);
    hmac_sha256_once(g_data, 77, g_data + 100, 1234, actual);
    assert_memory_equal(actual, expected, 32);
}

static void test_cmac(void **state)
{
    for (size_t size = 0; size < 100; size += 7) {
        u8 expected[16], actual[16];
        fill();
        size_t length;
        assert_non_null(EVP_Q_mac(NULL, "CMAC", NULL, "AES-128-CBC", NULL, g_data, 16, g_data + 16,
                                  size, expected, sizeof(expected), &length));
        aes_cmac_once(g_data, g_data + 16, size, actual);
        assert_memory_equal(actual, expected, 16);
    }
}

/* The application's vector registers are as they were after a call. */
static void test_vector_registers_are_kept(void **state)
{
    u8 before[16][16], after[16][16], digest[32];
    for (size_t i = 0; i < 256; i++)
        ((u8 *)before)[i] = (u8)(i * 7 + 1);
    sha256_once(NULL, 0, "x", 1,
                digest); /* bind lazily before, the dynamic linker has registers of its own */
    const struct {
        const void *before, *data;
        void *digest, *once, *after;
    } call = {before, g_data, digest, (void *)sha256_once, after};
    const void *at = &call;
    __asm__ volatile("mov %%rax, %%r13\n\t"
                     "mov 0(%%r13), %%rbx\n\t"
                     "movups 0x00(%%rbx), %%xmm0\n\tmovups 0x10(%%rbx), %%xmm1\n\t"
                     "movups 0x70(%%rbx), %%xmm7\n\tmovups 0xf0(%%rbx), %%xmm15\n\t"
                     "xor %%edi, %%edi\n\txor %%esi, %%esi\n\t"
                     "mov 8(%%r13), %%rdx\n\tmov $4096, %%ecx\n\tmov 16(%%r13), %%r8\n\t"
                     "mov %%rsp, %%r12\n\tsub $256, %%rsp\n\tand $-16, %%rsp\n\t"
                     "call *24(%%r13)\n\t"
                     "mov %%r12, %%rsp\n\tmov 32(%%r13), %%rbx\n\t"
                     "movups %%xmm0, 0x00(%%rbx)\n\tmovups %%xmm1, 0x10(%%rbx)\n\t"
                     "movups %%xmm7, 0x70(%%rbx)\n\tmovups %%xmm15, 0xf0(%%rbx)\n\t"
                     : "+a"(at)
                     :
                     : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
                       "xmm0", "xmm1", "xmm7", "xmm15", "memory", "cc");
    static const int kept[] = {0, 1, 7, 15};
    for (size_t i = 0; i < 4; i++)
        assert_memory_equal(after[kept[i]], before[kept[i]], 16);
}

static void test_equal(void **state)
{
    u8 a[40] = {1}, b[40] = {1};
    assert_true(crypto_equal(a, b, 40));
    b[39] = 1;
    assert_false(crypto_equal(a, b, 40));
    assert_true(crypto_equal(a, b, 39));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_cmac),
        cmocka_unit_test(test_vector_registers_are_kept),
        cmocka_unit_test(test_equal),
    };
    return cmocka_run_group_tests_name("libos-crypto", tests, NULL, NULL);
}
