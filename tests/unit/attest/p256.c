/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures by keys that are met again are judged as all others are. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "attest/p256.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/obj_mac.h>
#include <openssl/sha.h>

enum { USES = 1100, THREADS = 8 };

static atomic_uint g_tables;

int __real_EC_GROUP_precompute_mult(EC_GROUP *group, BN_CTX *ctx);
int __wrap_EC_GROUP_precompute_mult(EC_GROUP *group, BN_CTX *ctx);
int __wrap_EC_GROUP_precompute_mult(EC_GROUP *group, BN_CTX *ctx)
{
    atomic_fetch_add(&g_tables, 1);
    return __real_EC_GROUP_precompute_mult(group, ctx);
}

struct signer {
    EC_KEY *ec;
    uint8_t key[64];
};

static struct signer signer_new(void)
{
    struct signer s = {.ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1)};
    uint8_t point[65];

    assert_int_equal(EC_KEY_generate_key(s.ec), 1);
    assert_int_equal(EC_POINT_point2oct(EC_KEY_get0_group(s.ec), EC_KEY_get0_public_key(s.ec),
                                        POINT_CONVERSION_UNCOMPRESSED, point, sizeof(point), NULL),
                     sizeof(point));
    memcpy(s.key, point + 1, sizeof(s.key));
    return s;
}

static void sign(const struct signer *s, struct span message, uint8_t signature[64])
{
    uint8_t digest[32];

    SHA256(message.data, message.size, digest);
    ECDSA_SIG *sig = ECDSA_do_sign(digest, sizeof(digest), s->ec);
    assert_non_null(sig);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + 32, 32);
    ECDSA_SIG_free(sig);
}

/* Until its multiples are there. */
static void use(const struct p256 *p256, const struct signer *s)
{
    const struct span message = span_of("used", 4);
    uint8_t signature[64];

    sign(s, message, signature);
    for (unsigned i = 0; i < USES; i++)
        assert_true(p256_verify(p256, s->key, message, signature));
}

static void good_and_changed_signatures_are_told_apart(void **state)
{
    struct p256 *plain = p256_new(), *p256 = p256_new();
    struct signer s = signer_new(), other = signer_new();
    uint8_t signature[64], changed[64];

    (void)state;
    g_tables = 0;
    p256_expect(p256, s.key);
    use(p256, &s);
    use(p256, &other);
    assert_int_equal(g_tables, 1);
    for (unsigned i = 0; i < 500; i++) {
        struct span message = span_of(&i, sizeof(i));
        sign(&s, message, signature);
        assert_true(p256_verify(plain, s.key, message, signature));
        assert_true(p256_verify(p256, s.key, message, signature));
        assert_false(p256_verify(p256, other.key, message, signature));
        memcpy(changed, signature, sizeof(changed));
        changed[i % 64] ^= (uint8_t)(1u << i / 64);
        assert_false(p256_verify(p256, s.key, message, changed));
        assert_false(p256_verify(p256, s.key, span_of(&i, sizeof(i) - 1), signature));
        sign(&other, message, signature);
        assert_false(p256_verify(p256, s.key, message, signature));
    }
    EC_KEY_free(s.ec);
    EC_KEY_free(other.ec);
    p256_free(p256);
    p256_free(plain);
}

/* r and s at the edges of their range, and r for which the two products are equal or opposite. */
static void numbers_at_the_edge_are_judged_as_by_openssl(void **state)
{
    struct p256 *plain = p256_new(), *p256 = p256_new();
    struct signer s = signer_new();
    const BIGNUM *n = EC_GROUP_get0_order(EC_KEY_get0_group(s.ec));
    const struct span message = span_of("edge", 4);
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *numbers[10];
    uint8_t good[64], digest[32];

    (void)state;
    p256_expect(p256, s.key);
    use(p256, &s);
    sign(&s, message, good);
    for (unsigned i = 0; i < 10; i++)
        numbers[i] = BN_new();
    BN_one(numbers[1]);
    BN_copy(numbers[2], n);
    BN_sub(numbers[3], n, BN_value_one());
    BN_add(numbers[4], n, BN_value_one());
    memset(digest, 0xff, sizeof(digest));
    BN_bin2bn(digest, sizeof(digest), numbers[5]);
    SHA256(message.data, message.size, digest);
    BN_bin2bn(digest, sizeof(digest), numbers[6]);
    BN_mod_inverse(numbers[7], EC_KEY_get0_private_key(s.ec), n, ctx);
    BN_mod_mul(numbers[6], numbers[6], numbers[7], n, ctx); /* equal */
    BN_sub(numbers[7], n, numbers[6]);                      /* opposite: their sum is no point */
    BN_bin2bn(good, 32, numbers[8]);
    BN_bin2bn(good + 32, 32, numbers[9]);
    for (unsigned i = 0; i < 100; i++) {
        uint8_t signature[64];
        BN_bn2binpad(numbers[i / 10], signature, 32);
        BN_bn2binpad(numbers[i % 10], signature + 32, 32);
        bool expected = p256_verify(plain, s.key, message, signature);
        assert_int_equal(expected, i == 89);
        assert_int_equal(p256_verify(p256, s.key, message, signature), expected);
    }
    /* -s is as good as s. */
    BN_sub(numbers[9], n, numbers[9]);
    BN_bn2binpad(numbers[9], good + 32, 32);
    assert_true(p256_verify(plain, s.key, message, good));
    assert_true(p256_verify(p256, s.key, message, good));
    for (unsigned i = 0; i < 10; i++)
        BN_free(numbers[i]);
    BN_CTX_free(ctx);
    EC_KEY_free(s.ec);
    p256_free(p256);
    p256_free(plain);
}

static void what_is_no_point_verifies_nothing(void **state)
{
    struct p256 *p256 = p256_new();
    struct signer s = signer_new();
    uint8_t signature[64];

    (void)state;
    sign(&s, span_of("used", 4), signature);
    s.key[63] ^= 1;
    p256_expect(p256, s.key);
    for (unsigned i = 0; i < USES; i++)
        assert_false(p256_verify(p256, s.key, span_of("used", 4), signature));
    EC_KEY_free(s.ec);
    p256_free(p256);
}

struct user {
    const struct p256 *p256;
    const struct signer *signers;
};

static void *use_all(void *context)
{
    const struct user *u = context;

    for (unsigned i = 0; i < 12; i++) {
        p256_expect(u->p256, u->signers[i].key);
        use(u->p256, &u->signers[i]);
    }
    return NULL;
}

static void threads_share_the_multiples_of_eight_keys(void **state)
{
    struct p256 *p256 = p256_new();
    struct signer signers[12];
    struct user user = {p256, signers};
    pthread_t threads[THREADS];

    (void)state;
    for (unsigned i = 0; i < 12; i++)
        signers[i] = signer_new();
    g_tables = 0;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_all, &user), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(g_tables, 8);
    for (unsigned i = 0; i < 12; i++)
        EC_KEY_free(signers[i].ec);
    p256_free(p256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_and_changed_signatures_are_told_apart),
        cmocka_unit_test(numbers_at_the_edge_are_judged_as_by_openssl),
        cmocka_unit_test(what_is_no_point_verifies_nothing),
        cmocka_unit_test(threads_share_the_multiples_of_eight_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
